from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from connections import scope, services
from connections.admin.base import REFUSALS, ClientFilter, ServiceAdmin, actor, list_of, page_of, words
from connections.admin.panel import Button, Go, Panel
from connections.forms import reading
from connections.forms.account import AccountForm, account_form
from connections.forms.base import ServiceForm, asked
from connections.models import Account
from connections.numbers import whole_number
from portal.clock import SYSTEM
from syncer.connectors.base import App
from syncer.connectors.registry import CONNECTORS, apps, calls_per_hour, connector_class
from syncer.rates import Budget


class AppFilter(admin.SimpleListFilter):
    title = "app"
    parameter_name = "app"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(app.slug, app.label) for app in apps()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(app=self.value()) if self.value() is not None else queryset


@admin.register(Account)
class AccountAdmin(ServiceAdmin):
    list_display = ["label", "client", "app_name", "status", "status_text", "checked_at"]
    list_filter = [ClientFilter, AppFilter, "status"]
    list_select_related = ["client"]
    search_fields = ["label"]

    @admin.display(description="app", ordering="app")
    def app_name(self, account: Account) -> str:
        return reading.app_label(account.app)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if asked(request, "app") not in CONNECTORS and self.has_add_permission(request):
            return self.choose_app(request)
        return super().add_view(request, form_url, extra_context)

    def choose_app(self, request: HttpRequest) -> HttpResponse:
        if asked(request, "app"):
            messages.error(request, "There is no such app. Choose one of these.")
        client = whole_number(asked(request, "client"))
        context = {
            **self.admin_site.each_context(request),
            "title": "Add account: which app?",
            "opts": self.opts,
            "apps": apps(),
            "query": f"&client={client}" if client is not None else "",
        }
        return TemplateResponse(request, "admin/counterpart/choose_app.html", context)

    def app(self, request: HttpRequest, obj: Account | None) -> App:
        return connector_class(asked(request, "app")).app if obj is None else reading.app_of(obj)

    def form_class(self, request: HttpRequest, obj: Any) -> type[ServiceForm]:
        return account_form(self.app(request, obj), obj)

    hidden = ("app",)

    def groups(self, request: HttpRequest, obj: Any) -> Any:
        app = self.app(request, obj)
        return [
            (None, {"fields": ["client", "label", "seen", "app"]}),
            (app.label, {"fields": [one.name for one in (*app.settings, *app.credentials)]}),
            ("Calls", {"fields": ["api_share"]}),
        ]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.app in CONNECTORS)

    def buttons(self, request: HttpRequest, obj: Any) -> Sequence[Button]:
        return [Button("check", "Check again", lambda: self.checked(request, obj))]

    def checked(self, request: HttpRequest, account: Account) -> str:
        identity = services.check_account(account, actor(request))
        return f"Connected as {identity.label}."

    def panel(self, request: HttpRequest, obj: Any) -> Panel:
        known = obj.app in CONNECTORS
        limit = calls_per_hour(obj.app) if known else None
        used = Budget(obj.lease_key, "people", limit, SYSTEM).used()
        facts = [
            ("App", reading.app_label(obj.app)),
            ("Status", obj.get_status_display()),
            ("Checked", obj.checked_at or "never"),
            ("Calls in the last hour", f"{used} of {limit}" if limit is not None else str(used)),
        ]
        facts += [("No calls until", obj.blocked_until)] if obj.blocked_until is not None else []
        used_by = [*obj.left_connections.all(), *obj.right_connections.all()]
        links = [Go(connection.name, page_of(connection)) for connection in dict.fromkeys(used_by)]
        problems = [obj.status_text] if obj.status_text != "" else []
        problems += [] if known else [reading.unknown_app(obj)]
        note = "" if links else "No connection uses this account yet."
        return Panel(
            facts, problems, [*links, Go("All of this client", list_of(Account, client=obj.client_id))], note=note
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            self.update(request, form)
            return
        account = services.create_account(
            obj.client,
            actor(request),
            app=form.about.slug,
            label=form.cleaned_data["label"],
            settings=form.values(form.about.settings),
            credentials=form.values(form.about.credentials),
        )
        if form.cleaned_data["api_share"] != account.api_share:
            services.update_account(account, actor(request), api_share=form.cleaned_data["api_share"])
        obj.pk = account.pk
        self.say_check(request, account)

    def update(self, request: HttpRequest, form: AccountForm) -> None:
        account = Account.objects.get(pk=form.instance.pk)
        if account.edition != form.instance.edition:
            raise services.Overtaken
        settings = form.values(form.about.settings)
        credentials = form.values(form.about.credentials)
        moved = any(account.settings.get(name, "") != value for name, value in settings.items())
        given = {name: value for name, value in credentials.items() if value != ""}
        services.update_account(
            account,
            actor(request),
            label=form.cleaned_data["label"],
            settings=settings if moved else None,
            credentials=given,
            api_share=form.cleaned_data["api_share"],
        )
        if moved or given:
            self.say_check(request, account)

    def say_check(self, request: HttpRequest, account: Account) -> None:
        """The account is kept whatever the app says."""
        try:
            messages.success(request, self.checked(request, account))
        except REFUSALS as error:
            messages.error(request, f"Saved, but not connected: {words(error)}")

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return HttpResponseRedirect(page_of(obj))

    def goes_along(self, obj: Any) -> dict[str, int]:
        return {"copies of books": obj.books.count()}

    def delete_by_service(self, request: HttpRequest, obj: Any) -> None:
        services.delete_account(obj, actor(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and len(scope.clients(request, scope.MANAGER)) > 0
