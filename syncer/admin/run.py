from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from connections.admin.base import ClientFilter, actor, list_of, page_of
from connections.admin.connection import ConnectionFilter
from connections.admin.panel import Button, Go, Panel, Table, when
from connections.models import Connection
from connections.services import Refused
from syncer import services
from syncer.admin.base import ReadOnlyAdmin
from syncer.admin.values import Books, Eyes, why
from syncer.engine.cancelling import UNDER_WAY
from syncer.engine.run import OPEN_PLAN
from syncer.models import Change, SyncLog, SyncRun

PER_PAGE = 100
FILTERS = ("side", "operation", "state")
NOT_SEEN = "This is not the plan that you looked at. Load it again."
ENDS_SOON = "A worker is at it: the run ends as soon as what was sent is settled. What was done stays done."
DONE = (Change.State.DONE, Change.State.RECOVERED)
PAST = {"create": "created", "update": "updated", "tag": "tagged", "untag": "untagged", "link": "linked"}


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    client_path = "connection__client"
    list_display = ["connection", "status", "what", "done", "trigger", "actor", "queued_at", "finished"]
    list_display_links = ["connection"]
    list_filter = [ClientFilter, ("connection", ConnectionFilter), "status", "dry_run"]
    list_select_related = ["connection"]
    search_help_text = "The code of a run"
    search_fields = ["code__exact"]

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        from syncer.admin.values import as_code

        code = as_code(search_term)
        if search_term == "":
            return queryset, False
        return (queryset.filter(code=code) if code is not None else queryset.none()), False

    @admin.display(description="kind")
    def what(self, run: SyncRun) -> str:
        return "plan" if run.dry_run else "sync"

    @admin.display(description="did")
    def done(self, run: SyncRun) -> str:
        return counts_words(run.counts)

    # The page of one run

    def buttons(self, request: HttpRequest, obj: Any) -> Sequence[Button]:
        if obj.status not in OPEN_PLAN:
            return []
        seen = (("digest", obj.plan_digest),)
        return [
            Button("approve", "Approve this plan", lambda: self.approved(request, obj), seen, strong=True),
            Button("reject", "Reject it and pause", lambda: self.rejected(request, obj), seen),
        ]

    def readers_buttons(self, request: HttpRequest, obj: Any) -> Sequence[Button]:
        """Who may start a run may end it."""
        may = admin.site.get_model_admin(Connection).has_change_permission(request, obj.connection)
        if not may or obj.status not in UNDER_WAY:
            return []
        return [Button("cancel", "Cancel this run", lambda: self.cancelled(request, obj))]

    def seen(self, request: HttpRequest, run: SyncRun) -> str:
        """The digest of the plan that the person looked at. Raises Refused where it is another now."""
        digest = request.POST.get("digest", "")
        if digest == "" or digest != run.plan_digest:
            raise Refused(NOT_SEEN)
        return digest

    def approved(self, request: HttpRequest, run: SyncRun) -> str:
        services.approve(run, actor(request), self.seen(request, run))
        return "Approved. Exactly this plan is carried out; what changed in the meantime is left for the next run."

    def rejected(self, request: HttpRequest, run: SyncRun) -> str:
        self.seen(request, run)
        services.reject(run, actor(request))
        return "Rejected: nothing was written. The connection is paused; change what was wrong, then resume it."

    def cancelled(self, request: HttpRequest, run: SyncRun) -> str:
        ended = services.cancel(run, actor(request)).status == SyncRun.Status.CANCELLED
        return "Cancelled. What was done stays done; the next run goes on from there." if ended else ENDS_SOON

    def title_of(self, request: HttpRequest, obj: Any) -> str:
        return f"{obj.connection}, {when(obj.queued_at)}"

    def panel(self, request: HttpRequest, obj: Any) -> Panel:
        facts = [
            ("Connection", obj.connection),
            ("Status", obj.get_status_display()),
            ("Kind", "a plan: nothing is written" if obj.dry_run else "a sync"),
            ("Started by", f"{obj.actor} ({obj.trigger})"),
            ("Queued", obj.queued_at),
            ("Finished", obj.finished or "not yet"),
            ("Configuration", f"version {obj.version}"),
            ("Calls to the apps", obj.api_calls),
            ("Did", counts_words(obj.counts) or "nothing yet"),
        ]
        if obj.finished is None and obj.status not in OPEN_PLAN:
            facts.append(("Now", f"{obj.get_phase_display()}: {obj.progress_done} of {obj.progress_total}"))
        error = self.eyes(request, obj).tell(obj.error)
        links = [
            Go(str(obj.connection), page_of(obj.connection)),
            Go("History of this run", list_of(SyncLog, q=obj.code)),
        ]
        problems = [f"Over a limit: {error}"] if obj.status == SyncRun.Status.HELD else [error]
        return Panel(facts, [text for text in problems if text != ""], links, self.tables(request, obj))

    def tables(self, request: HttpRequest, run: SyncRun) -> list[Table]:
        chosen = {name: request.GET[name] for name in FILTERS if request.GET.get(name, "") != ""}
        changes = run.changes.filter(**chosen).order_by("pk")
        pages = Paginator(changes.select_related("link__left", "link__right"), PER_PAGE)
        page = pages.get_page(request.GET.get("page"))
        eyes, books = self.eyes(request, run), Books()
        rows = [change_row(change, books, eyes) for change in page.object_list]
        heads = ["Contact", "Side", "What", "Before and after", "State"]
        note = leaf(page.number, pages.num_pages, pages.count, chosen)
        return [self.totals(run, chosen), Table("Changes", heads, rows, "No change to show here.", note)]

    def totals(self, run: SyncRun, chosen: dict[str, str]) -> Table:
        rows = run.changes.order_by().values_list("side", "operation", "state").annotate(Count("pk"))
        operations, states = dict(Change.Operation.choices), dict(Change.State.choices)
        found = [
            (side, operations[operation], states[state], pick(number, side=side, operation=operation, state=state))
            for side, operation, state, number in sorted(rows)
        ]
        every = [("All", "", "", pick(sum(row[3] for row in rows)))] if chosen else []
        return Table("Totals", ["Side", "What", "State", "Contacts"], found + every, "This run has no changes.")


def pick(number: int, **chosen: str) -> SafeString:
    return format_html('<a href="?{}">{}</a>', urlencode(chosen), number)


def leaf(number: int, pages: int, count: int, chosen: dict[str, str]) -> SafeString | str:
    if pages <= 1:
        return f"{count} in all." if count > 0 else ""
    steps = [("Earlier", number - 1)] if number > 1 else []
    steps += [("Next", number + 1)] if number < pages else []
    links = format_html_join(
        " ", '<a href="?{}">{}</a>', ((urlencode({**chosen, "page": at}), word) for word, at in steps)
    )
    return format_html("{} in all, page {} of {}. {}", count, number, pages, links)


def change_row(change: Change, books: Books, eyes: Eyes) -> list[Any]:
    who = format_html('<a href="{}">{}</a>', page_of(change.link), books.of_link(change.link, eyes))
    detail = eyes.tell(change.detail, change.values, change.base)
    state = change.get_state_display() + (f": {detail}" if detail != "" else "")
    return [who, change.side, change.get_operation_display(), before_after(change, books, eyes), state]


def before_after(change: Change, books: Books, eyes: Eyes) -> SafeString:
    """Each field with what it holds, what it will hold, and why."""
    reasons: dict[str, list[str]] = {}
    for reason in change.reasons:
        reasons.setdefault(str(reason.get("field", "")), []).append(why(reason))
    lines = []
    for name, value in change.values.items():
        before = "" if change.operation == Change.Operation.CREATE else f"{eyes.see(change.base.get(name))} \u2192 "
        cause = "; ".join(reasons.get(name, []))
        label = books.label(change.book_id, name)
        lines.append((f"{label}: {before}{eyes.see(value)}" + (f" ({cause})" if cause else ""),))
    lines += [(f"Because: {text}",) for text in reasons.get("", [])]
    return format_html_join("", "<div>{}</div>", lines)


def counts_words(counts: dict[str, Any]) -> str:
    """{"left": {"created": 2}, "failed": 1} as "2 created on the left, 1 failed"."""
    planned = counts.get("planned")
    if isinstance(planned, dict):
        words = side_words({side: {PAST[key]: n for key, n in found.items()} for side, found in planned.items()})
        return f"to be {words}" if words else ""
    rest = [f"{number} {name}" for name, number in counts.items() if isinstance(number, int) and number > 0]
    sides = side_words({side: found for side, found in counts.items() if isinstance(found, dict)})
    return ", ".join([*([sides] if sides else []), *rest])


def side_words(sides: dict[str, dict[str, int]]) -> str:
    return ", ".join(
        f"{number} {name} on the {side}"
        for side, found in sides.items()
        for name, number in found.items()
        if number > 0
    )
