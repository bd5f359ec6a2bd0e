from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from connections.admin.base import ClientFilter, list_of, page_of
from connections.admin.connection import ConnectionFilter
from connections.admin.panel import Go, Panel, Table
from connections.fieldtypes import fold
from syncer.admin.base import ReadOnlyAdmin
from syncer.admin.values import NOT_SAID, Books, Eyes, as_code
from syncer.admin.viewing import viewed
from syncer.engine.planner import WORDS
from syncer.models import Hold, Link, Record, SyncLog

LOG_LINES = 20


@admin.register(Link)
class LinkAdmin(ReadOnlyAdmin):
    """One contact of a connection, as the connection knows it."""

    client_path = "connection__client"
    list_display = ["person", "connection", "state", "why", "updated_at"]
    list_display_links = ["person"]
    list_filter = [ClientFilter, ("connection", ConnectionFilter), "state"]
    list_select_related = ["connection", "left", "right"]
    ordering = ["-id"]
    search_fields = ["code__exact"]
    search_help_text = "A whole e-mail address, or the code of a link"

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        text = search_term.strip()
        code = as_code(text)
        if text == "":
            return queryset, False
        if code is not None:
            return queryset.filter(code=code), False
        return queryset.filter(Q(left__match_key=fold(text)) | Q(right__match_key=fold(text))), False

    @admin.display(description="contact")
    def person(self, link: Any) -> str:
        found: str = link.person
        return found

    @admin.display(description="reason")
    def why(self, link: Any) -> str:
        found: str = link.why
        return found

    def prepare(self, request: HttpRequest, rows: list[Any]) -> None:
        books = Books()
        for link in rows:
            eyes = self.eyes(request, link)
            link.person, link.why = books.of_link(link, eyes), reason_of(link, eyes)

    def title_of(self, request: HttpRequest, obj: Any) -> str:
        return Books().of_link(obj, self.eyes(request, obj))

    def panel(self, request: HttpRequest, obj: Any) -> Panel:
        viewed(request, [obj.connection.code])
        eyes, books = self.eyes(request, obj), Books()
        holds = Hold.objects.filter(link=obj, resolved__isnull=True)
        facts = [
            ("Contact", books.of_link(obj, eyes)),
            ("State", obj.get_state_display()),
            ("Why", reason_of(obj, eyes) or "-"),
            ("Changed", obj.updated_at),
        ]
        facts += [("Next try", obj.next_attempt_at)] if obj.next_attempt_at is not None else []
        facts += [("Tries", obj.attempts)] if obj.attempts > 0 else []
        problems = [f"Waits for a person: {hold.get_kind_display()}." for hold in holds]
        links = [Go(str(obj.connection), page_of(obj.connection))]
        links += [Go(f"Hold: {hold.get_kind_display()}", page_of(hold)) for hold in holds]
        links += [
            Go(f"The {side} contact", page_of(getattr(obj, side))) for side in ("left", "right") if getattr(obj, side)
        ]
        links.append(Go("Its history", list_of(SyncLog, q=obj.code)))
        tables = [values_table(obj, books, eyes), reasons_table(obj), history_table(obj)]
        return Panel(facts, problems, links, tables)


def reason_of(link: Link, eyes: Eyes) -> str:
    return eyes.tell(link.reason, *(side.values for side in (link.left, link.right) if side is not None))


def values_table(link: Link, books: Books, eyes: Eyes) -> Table:
    """What either side holds, line by line, and what both held when they last agreed."""
    rows = []
    for mapping in link.connection.mappings.filter(enabled=True):
        agreed = link.shadow.get(str(mapping.code))
        seen = "not yet" if agreed is None else " = ".join(dict.fromkeys(eyes.see(value) for value in agreed))
        left, right = cell(link.left, mapping.left_field, eyes), cell(link.right, mapping.right_field, eyes)
        rows.append(
            (
                field(link.left, mapping.left_field, books),
                left,
                right,
                field(link.right, mapping.right_field, books),
                seen,
            )
        )
    heads = ["Left field", "Left", "Right", "Right field", "Last agreed"]
    return Table("Values", heads, rows, "No field is mapped.")


def field(record: Record | None, name: str, books: Books) -> str:
    return name if record is None else books.label(record.book_id, name)


def cell(record: Record | None, name: str, eyes: Eyes) -> str:
    if record is None:
        return "(no contact)"
    return eyes.see(record.values[name]) if name in record.values else NOT_SAID


def reasons_table(link: Link) -> Table:
    """The trace of the last decision, as it was then."""
    names = {str(mapping.code): str(mapping) for mapping in link.connection.mappings.all()}
    rows = []
    for step in link.trace:
        of = f"Rule: {step['rule']}" if "rule" in step else f"Mapping: {names.get(step.get('line', ''), 'removed')}"
        text = str(step.get("why", ""))
        rows.append((of, WORDS.get(text, text)))
    return Table("How it was decided", [], rows, "Not decided yet.")


def history_table(link: Link) -> Table:
    entries = SyncLog.objects.filter(link=link.code).order_by("-id").defer("header", "payload")[:LOG_LINES]
    rows = [
        (
            format_html('<a href="{}">{}</a>', page_of(one), one.at.strftime("%Y-%m-%d %H:%M:%S")),
            one.get_kind_display(),
            one.side,
            one.operation,
            one.actor,
        )
        for one in entries
    ]
    return Table("History, newest first", ["When (UTC)", "What", "Side", "", "Who"], rows, "Nothing has happened yet.")
