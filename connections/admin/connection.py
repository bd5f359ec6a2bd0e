"""What is set up of a connection. How it runs, and the buttons for that, syncer/admin/connection.py adds."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from connections import scope, services
from connections.admin.base import ClientFilter, ServiceAdmin, actor, list_of, page_of
from connections.admin.panel import Button, Go
from connections.forms.base import ServiceForm
from connections.forms.connection import BOOKS, AccountsForm, ConnectionForm
from connections.models import Account, Connection, FieldMapping, Rule
from connections.numbers import row

FOR_NEW = ("left_owner", "right_owner", "left_consent", "right_consent")
NEVER_CHANGED = ("client", "seen")


class ConnectionAdmin(ServiceAdmin):
    form = ConnectionForm
    list_display = ["name", "client", "left_account", "direction", "right_account", "state", "last_success_at"]
    list_filter = [ClientFilter, "state", "direction"]
    list_select_related = ["client", "left_account", "right_account"]
    search_fields = ["name"]

    # Adding, in two steps

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "GET" and self.has_add_permission(request):
            chosen = AccountsForm(request, request.GET if "left_account" in request.GET else None)
            if not chosen.is_valid():
                return self.choose_accounts(request, chosen)
        return super().add_view(request, form_url, extra_context)

    def choose_accounts(self, request: HttpRequest, form: AccountsForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Add connection: which accounts?",
            "opts": self.opts,
            "form": form,
            "enough": form.fields["left_account"].queryset.count() > 0,  # type: ignore[attr-defined]
            "add_account": list_of(Account) + "add/",
        }
        return TemplateResponse(request, "admin/counterpart/choose_accounts.html", context)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        found = dict(super().get_changeform_initial_data(request))
        account = row(Account.objects.all(), found.get("left_account", ""))
        return found | {"client": account.client_id} if account is not None else found

    # The form

    def groups(self, request: HttpRequest, obj: Any) -> Any:
        for_new = []
        if obj is None or self.has_change_permission(request, obj):
            form: type[ServiceForm] = self.get_form(request, obj)  # type: ignore[assignment]
            known = form(instance=obj) if obj is not None else form(self.sent(request), initial=self.first(request))
            for_new = [name for name in FOR_NEW if name in known.fields]
        return [
            (None, {"fields": ["client", "name", "seen"]}),
            ("Books", {"fields": [BOOKS[:2], BOOKS[2:]]}),
            ("What travels", {"fields": ["direction", "winner", "avoid_duplicates", *for_new]}),
            (
                "Deletions and unsubscribes",
                {"fields": ["sync_deletions", "trash_tag", "sync_unsubscribes", "unsubscribe_tag"]},
            ),
            ("Running", {"fields": ["interval", "review", "limits"]}),
        ]

    def sent(self, request: HttpRequest) -> Any:
        return request.POST if request.method == "POST" else None

    def first(self, request: HttpRequest) -> dict[str, Any]:
        return {} if request.method == "POST" else self.get_changeform_initial_data(request)

    # Saving

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        given = {name: form.cleaned_data[name] for name in form._meta.fields}
        if not change:
            defaults = form.create_defaults()
            made = services.create_connection(given.pop("client"), actor(request), create_defaults=defaults, **given)
            obj.pk = made.pk
            return
        connection = Connection.objects.get(pk=obj.pk)
        changes = {name: given[name] for name in form.changed_data if name in given and name not in NEVER_CHANGED}
        defaults = form.create_defaults()
        if defaults != connection.create_defaults:
            changes["create_defaults"] = defaults
        if changes:
            services.update_connection(connection, actor(request), changes, "edited")

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        messages.info(request, "It is a draft: look at its mappings and rules, then activate it.")
        return HttpResponseRedirect(page_of(obj))

    def delete_by_service(self, request: HttpRequest, obj: Any) -> None:
        services.delete_connection(obj, actor(request))

    def goes_along(self, obj: Any) -> dict[str, int]:
        return {"mappings": obj.mappings.count(), "rules": obj.rules.count(), "links": obj.links.count()}

    # What can be done, and where to go

    def buttons(self, request: HttpRequest, obj: Any) -> Sequence[Button]:
        by = actor(request)
        if obj.state == Connection.State.DRAFT:
            return [Button("activate", "Activate", lambda: self.started(obj, by), strong=True)]
        if obj.state == Connection.State.PAUSED:
            return [Button("resume", "Resume", lambda: self.resumed(obj, by), strong=True)]
        return [Button("pause", "Pause", lambda: self.paused(obj, by))]

    def started(self, obj: Connection, by: str) -> str:
        services.activate(obj, by)
        return "Active. Its first run reads both books; then its plan is shown for review, unless you chose otherwise."

    def resumed(self, obj: Connection, by: str) -> str:
        services.resume(obj, by)
        return "Active again. What changed in the meantime is synced by the next run."

    def paused(self, obj: Connection, by: str) -> str:
        services.pause(obj, by)
        return "Paused. A write that is under way is still brought to its end."

    def links(self, obj: Connection) -> list[Go]:
        mine = {"connection__id__exact": obj.pk}
        return [
            Go(f"Mappings ({obj.mappings.count()})", list_of(FieldMapping, **mine)),
            Go(f"Rules ({obj.rules.count()})", list_of(Rule, **mine)),
            Go("Add a mapping", f"{list_of(FieldMapping)}add/?connection={obj.pk}"),
            Go("Add a rule for the left", f"{list_of(Rule)}add/?connection={obj.pk}&source=left"),
            Go("Add a rule for the right", f"{list_of(Rule)}add/?connection={obj.pk}&source=right"),
        ]


class ConnectionFilter(admin.RelatedFieldListFilter):
    """Names only connections that the person may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        found = Connection.objects.filter(client__in=scope.clients(request))
        return [(connection.pk, connection.name) for connection in found]
