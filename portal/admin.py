"""django-q2's own pages, read only: its Schedule form would run any dotted path on the worker."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django_q.admin import FailAdmin, QueueAdmin, ScheduleAdmin, TaskAdmin
from django_q.models import Failure, OrmQ, Schedule, Success


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


admin.site.site_header = admin.site.site_title = "Counterpart"
admin.site.index_title = "What is kept in sync, and what was done"

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
