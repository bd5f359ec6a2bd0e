from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from connections import scope, services
from connections.admin.base import REFUSALS, ClientFilter, ServiceAdmin, actor, list_of, page_of, words
from connections.admin.panel import Button, Go, Panel
from connections.forms import reading
from connections.forms.account import AccountForm, account_form
from connections.forms.base import ServiceForm, asked
from connections.models import Account
from connections.numbers import whole_number
from connections.oauth import begin_authorization
from connections.tokens import client_of, waits_for_a_person
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
        inputs: dict[str, Any] = {"fields": [one.name for one in (*app.settings, *app.credentials)]}
        if app.oauth is not None:
            inputs |= {"description": self.about_client(request, app)}
        return [
            (None, {"fields": ["client", "label", "seen", "app"]}),
            (app.label, inputs),
            ("Calls", {"fields": ["api_share"]}),
        ]

    def about_client(self, request: HttpRequest, app: App) -> str:
        ours = f"Leave these empty to use the portal's own OAuth client at {app.label}. Another has to know"
        none = f"The portal has no OAuth client of its own at {app.label}: enter one that knows"
        text = none if client_of(app, {}) is None else ours
        instead = f"{app.oauth.instead} For the button instead: " if app.oauth and app.oauth.instead else ""
        return format_html("{}{} this redirect address: <code>{}</code>", instead, text, callback_of(request))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.app in CONNECTORS)

    def buttons(self, request: HttpRequest, obj: Any) -> Sequence[Button]:
        check = Button("check", "Check again", lambda: self.checked(request, obj))
        app = connector_class(obj.app).app
        if app.oauth is None:
            return [check]
        known = obj.identity != ""
        label = "Authorise again" if known else f"Authorise with {app.label}"
        return [Button("authorize", label, lambda: self.sent_away(request, obj), strong=not known), check]

    def sent_away(self, request: HttpRequest, account: Account) -> HttpResponseRedirect:
        session = request.session.session_key
        assert session is not None
        begun = begin_authorization(account, actor(request), callback_of(request), session=session)
        return HttpResponseRedirect(begun.url)

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
        credentials = form.values(form.about.credentials)
        account = services.create_account(
            obj.client,
            actor(request),
            app=form.about.slug,
            label=form.cleaned_data["label"],
            settings=form.values(form.about.settings),
            credentials=credentials,
        )
        if form.cleaned_data["api_share"] != account.api_share:
            services.update_account(account, actor(request), api_share=form.cleaned_data["api_share"])
        obj.pk = account.pk
        if not waits_for_a_person(form.about, credentials):
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


def callback_of(request: HttpRequest) -> str:
    """The address to which the pages of apps send people back."""
    return request.build_absolute_uri(reverse("oauth_callback"))
