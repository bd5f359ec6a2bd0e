"""Other packages' tables, read only: django-q2's own Schedule form would run any dotted path on the worker."""

from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin
from django.http import HttpRequest
from django_q.admin import FailAdmin, QueueAdmin, ScheduleAdmin, TaskAdmin
from django_q.models import Failure, OrmQ, Schedule, Success

from syncer.admin.base import InsideAdmin


class ReadOnly:
    """Mixed in before a ModelAdmin: look, do not touch. No action either, and so no resubmitting."""

    actions = None
    list_editable: tuple[str, ...] = ()

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}


class ReadOnlySchedule(ReadOnly, ScheduleAdmin):  # type: ignore[misc]
    pass


class ReadOnlySuccess(ReadOnly, TaskAdmin):  # type: ignore[misc]
    pass


class ReadOnlyFailure(ReadOnly, FailAdmin):  # type: ignore[misc]
    pass


class ReadOnlyQueue(ReadOnly, QueueAdmin):  # type: ignore[misc]
    pass


READ_ONLY: tuple[tuple[Any, Any], ...] = (
    (Schedule, ReadOnlySchedule),
    (Success, ReadOnlySuccess),
    (Failure, ReadOnlyFailure),
    (OrmQ, ReadOnlyQueue),
)
for model, page in READ_ONLY:
    if admin.site.is_registered(model):
        admin.site.unregister(model)
    admin.site.register(model, page)


@admin.register(AccessAttempt)
class FailedLoginsAdmin(InsideAdmin):
    """What django-axes counts until the cool-off is over. The names of people we know; of others only a digest."""

    list_display = ["attempt_time", "username", "ip_address", "failures_since_start"]
    fields = ["attempt_time", "username", "ip_address", "user_agent", "path_info", "failures_since_start"]
    ordering = ["-attempt_time"]
