"""Read-only pages: what the engine knows and did can be looked at, and only services change it."""

from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.forms import modelform_factory
from django.http import HttpRequest
from django.utils.functional import cached_property

from connections import scope
from connections.admin.base import PlainAdmin, ServiceAdmin
from connections.forms.base import ServiceForm
from connections.roles import Right
from syncer.admin.values import Eyes

if TYPE_CHECKING:
    PlainPaginator = Paginator[Any]
else:
    PlainPaginator = Paginator
MOST = 10_000


class BoundedPaginator(PlainPaginator):
    """Counts no further than MOST rows: pages beyond are reached by search and filters, not by leafing."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        if isinstance(rows, QuerySet):
            return len(rows.order_by().values_list("pk", flat=True)[:MOST])
        return len(rows)


class ReadOnlyAdmin(ServiceAdmin):
    """Nobody changes anything here; buttons are for those whose role decides (connections/roles.py)."""

    paginator = BoundedPaginator
    list_display_links: Any = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def may_act(self, request: HttpRequest, obj: Any) -> bool:
        return self.may(request, obj, Right.DECIDE)

    def form_class(self, request: HttpRequest, obj: Any) -> type[ServiceForm]:
        found: Any = modelform_factory(self.model, form=ServiceForm, fields=[])
        form: type[ServiceForm] = found
        return form

    def eyes(self, request: HttpRequest, obj: Any) -> Eyes:
        return Eyes(scope.sees_values(request, self.client_of(obj)))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Rows know who looks at them, and what else one query can tell of all of them."""
        found: Any = super().get_changelist_instance(request)
        found.result_list = list(found.result_list)
        self.prepare(request, found.result_list)
        return found

    def prepare(self, request: HttpRequest, rows: list[Any]) -> None:
        """Set on the rows of a list what its columns show."""


class InsideAdmin(PlainAdmin):
    """The machine room: for superusers, to look at."""

    actions = None
    show_full_result_count = False
    paginator = BoundedPaginator

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
