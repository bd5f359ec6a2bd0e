import json
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.text import Truncator

from connections import scope
from connections.admin.base import REFUSALS, actor, list_of, page_of, words
from connections.admin.panel import Go, Panel, Table, when
from connections.models import Connection
from portal.clock import SYSTEM
from syncer import restored
from syncer.admin.base import InsideAdmin, ReadOnlyAdmin
from syncer.admin.values import Eyes, as_code
from syncer.admin.viewing import viewed
from syncer.audit import checkpoint
from syncer.audit.changes import settings_of
from syncer.models import AccountLease, ApiUsage, Heartbeat, Link, LogChain, LogCheckpoint, SyncLog, SyncRun
from syncer.models.log import Kind


@admin.register(SyncLog)
class SyncLogAdmin(ReadOnlyAdmin):
    """The audit trail. Newest first; older than what can be leafed through is found by code, kind or date."""

    list_display = ["when", "kind", "of", "actor", "side", "operation"]
    list_display_links = ["when"]
    list_filter = ["kind", "at"]
    list_per_page = 50
    ordering = ["-id"]
    sortable_by = ()
    search_fields = ["link__exact"]
    search_help_text = "The code of a connection, a run or a contact's link"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """A client's people see their connections' chains; the portal's own is for superusers."""
        found = SyncLog.objects.order_by("-id").defer("header", "payload")
        if scope.sees_all(request):
            return found
        own = Connection.objects.filter(client__in=scope.client_ids(request))
        return found.filter(connection__in=list(own.values_list("code", flat=True)))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        code = as_code(search_term)
        if search_term.strip() == "":
            return queryset, False
        if code is None:
            return queryset.none(), False
        return queryset.filter(Q(connection=code) | Q(run=code) | Q(link=code)), False

    def client_of(self, obj: Any) -> int | None:
        found = Connection.objects.filter(code=obj.connection).values_list("client_id", flat=True)
        return found.first()

    @admin.display(description="when (UTC)")
    def when(self, entry: SyncLog) -> str:
        return entry.at.strftime("%Y-%m-%d %H:%M:%S")

    def of(self, entry: Any) -> str:
        found: str = entry.of
        return found

    def prepare(self, request: HttpRequest, rows: list[Any]) -> None:
        codes = {row.connection for row in rows if row.connection is not None}
        names = dict(Connection.objects.filter(code__in=codes).values_list("code", "name"))
        for row in rows:
            name = names.get(row.connection, "a deleted connection") if row.connection is not None else "the portal"
            row.of = Truncator(name).chars(60)
        viewed(request, codes)

    def title_of(self, request: HttpRequest, obj: Any) -> str:
        return f"{obj.get_kind_display()}, {when(obj.at)}"

    def panel(self, request: HttpRequest, obj: Any) -> Panel:
        viewed(request, [obj.connection])
        facts = [
            ("What", obj.get_kind_display()),
            ("When", f"{obj.at:%Y-%m-%d %H:%M:%S} UTC"),
            ("Who", obj.actor),
            ("Side", obj.side or "-"),
            ("Operation", obj.operation or "-"),
            ("Place", f"number {obj.seq} of {obj.chain}"),
            ("Hash", obj.entry_hash),
            ("Hash of the one before", obj.previous_hash),
        ]
        header = json.dumps(json.loads(obj.header), indent=2, ensure_ascii=False)
        tables = [
            payload_table(obj, self.eyes(request, obj)),
            Table("Header (what is hashed)", [], [(raw(header),)], ""),
        ]
        return Panel(facts, links=links_of(obj), tables=tables)


def payload_table(entry: SyncLog, eyes: Eyes) -> Table:
    if entry.payload is None:
        erased = (
            f"Erased on request; entry {entry.redacted_by} says by whom." if entry.redacted_by is not None else "None."
        )
        return Table("Values and texts", [], [], erased)
    found = entry.said or {}
    if entry.kind == Kind.CONFIG_CHANGED and isinstance(found.get("before"), dict):
        return changes_table(found)
    # A configuration is no contact's; all else may be.
    eyes = Eyes(True) if entry.kind == Kind.CONFIG_CHANGED else eyes
    return Table("Values and texts", [], [(raw(eyes.see_json(found)),)], "")


def changes_table(payload: dict[str, Any]) -> Table:
    """What a new version of a configuration changed."""
    rows = [(name, before or "-", after or "-") for name, before, after in settings_of(payload)]
    return Table("What changed", ["Setting", "Before", "After"], rows, "Nothing.", str(payload.get("reason", "")))


def raw(text: str) -> str:
    return format_html('<pre class="cp-raw">{}</pre>', text)


def links_of(entry: SyncLog) -> list[Go]:
    """Where to go from here, as far as it still exists."""
    models = {"connection": Connection, "run": SyncRun, "link": Link}
    found = []
    for name, model in models.items():
        code = getattr(entry, name)
        there = model._default_manager.filter(code=code).first() if code is not None else None
        if there is not None:
            words = str(there) if name == "connection" else {"run": "Its run", "link": "Its contact"}[name]
            found.append(Go(words, page_of(there)))
    return found


@admin.register(LogChain)
class LogChainAdmin(InsideAdmin):
    list_display = ["name", "head_seq", "last_at", "quiet_runs"]
    search_fields = ["name"]


@admin.register(LogCheckpoint)
class LogCheckpointAdmin(InsideAdmin):
    """Above the list: the key to check signatures with, what is wrong, and what a restore needs."""

    list_display = ["number", "at", "key_id", "delivered_at"]
    ordering = ["-number"]
    change_list_template = "admin/counterpart/checkpoints.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.acknowledge_view)
        return [path("acknowledge/", view, name="syncer_logcheckpoint_acknowledge"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        behind, trouble = checkpoint.behind(), checkpoint.trouble(SYSTEM.now())
        facts = [
            ("Public key (Ed25519, hex)", checkpoint.public_key() or "none: CHECKPOINT_KEY is not set"),
            ("Delivered to", settings.CHECKPOINT_DIR),
        ]
        found = {"panel": Panel(facts, [text for text in [behind or trouble] if text != ""])}
        more = {"behind": behind, "what_it_does": restored.WHAT_IT_DOES, "most_reason": restored.MOST_REASON}
        return super().changelist_view(request, {**(extra_context or {}), **found, **more})

    def acknowledge_view(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not request.user.is_superuser:
            raise PermissionDenied
        try:
            made = restored.acknowledge(actor(request), request.POST.get("reason", ""))
        except REFUSALS as error:
            messages.error(request, words(error))
        else:
            messages.success(request, f"Acknowledged by checkpoint {made.number}. Every book is read anew.")
        return HttpResponseRedirect(list_of(LogCheckpoint))


@admin.register(AccountLease)
class AccountLeaseAdmin(InsideAdmin):
    list_display = ["key", "holder", "token", "expires_at"]


@admin.register(ApiUsage)
class ApiUsageAdmin(InsideAdmin):
    list_display = ["key", "slot", "caller", "calls"]
    ordering = ["-slot"]


@admin.register(Heartbeat)
class HeartbeatAdmin(InsideAdmin):
    list_display = ["name", "at", "age"]

    def age(self, obj: Heartbeat) -> str:
        return f"{(SYSTEM.now() - obj.at).total_seconds():.0f} s"
