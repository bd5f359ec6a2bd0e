from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from connections import clients, scope
from connections.admin.base import GivenByAdministrators, ServiceAdmin, actor, list_of, rows_sent
from connections.admin.panel import Go, Panel
from connections.forms.account import ClientForm
from connections.models import Account, Client, Connection, Membership

if TYPE_CHECKING:
    MemberBase = admin.TabularInline[Membership, Client]
else:
    MemberBase = admin.TabularInline


class Members(GivenByAdministrators, MemberBase):
    """Who may do what for the client."""

    model = Membership
    extra = 0
    verbose_name, verbose_name_plural = "member", "members"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.site.get_model_admin(Client).has_view_permission(request, obj)


@admin.register(Client)
class ClientAdmin(ServiceAdmin):
    client_path = "pk"
    form = ClientForm
    inlines = [Members]
    list_display = ["name", "slug", "four_eyes", "accounts", "connections"]
    search_fields = ["name", "slug"]
    fieldsets = [(None, {"fields": ["name", "slug", "four_eyes", "seen"]})]
    prepopulated_fields = {"slug": ["name"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        counts = {
            "account_count": Count("accounts", distinct=True),
            "connection_count": Count("connections", distinct=True),
        }
        found: QuerySet[Any] = super().get_queryset(request).annotate(**counts)
        return found

    @admin.display(ordering="account_count")
    def accounts(self, client: Any) -> int:
        count: int = client.account_count
        return count

    @admin.display(ordering="connection_count")
    def connections(self, client: Any) -> int:
        count: int = client.connection_count
        return count

    def panel(self, request: HttpRequest, obj: Any) -> Panel:
        links = [
            Go(f"Accounts ({obj.accounts.count()})", list_of(Account, client=obj.pk)),
            Go(f"Connections ({obj.connections.count()})", list_of(Connection, client=obj.pk)),
        ]
        return Panel(links=links)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """In `save_related`: members are saved with their client."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        members = None
        if scope.sees_all(request):
            members = members_sent(form.instance, formsets)
        seen = {name: form.initial[name] for name in clients.FIELDS} if change else None
        clients.save_client(form.instance, actor(request), members, seen=seen)

    def goes_along(self, obj: Any) -> dict[str, int]:
        return {"members": obj.memberships.count()}

    def delete_by_service(self, request: HttpRequest, obj: Any) -> None:
        clients.delete_client(obj, actor(request))


def members_sent(client: Client, formsets: Any) -> list[clients.Member]:
    there = Membership.objects.filter(client=client.pk)
    return [clients.Member(row.user_id, row.role, row.values) for row in rows_sent(formsets, there)]
