from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest

from connections.admin.base import ClientFilter, list_of, page_of
from connections.admin.panel import Go, Panel, Table
from connections.fieldtypes import NOUNS, fold
from syncer.admin.base import ReadOnlyAdmin
from syncer.admin.values import Books, as_code
from syncer.engine.setup import fields_from
from syncer.models import Book, Link, Record
from syncer.webhooks import problems, words


@admin.register(Book)
class BookAdmin(ReadOnlyAdmin):
    client_path = "account__client"
    list_display = ["__str__", "account", "contacts", "pulled_at", "complete_at", "problem"]
    list_display_links = ["__str__"]
    list_filter = [ClientFilter]
    list_select_related = ["account"]
    ordering = ["account", "name", "id"]

    def contacts(self, book: Any) -> int:
        found: int = book.contacts_now
        return found

    def prepare(self, request: HttpRequest, rows: list[Any]) -> None:
        live = Record.objects.filter(book__in=rows, state=Record.State.LIVE).order_by().values("book")
        counts = dict(live.annotate(number=Count("pk")).values_list("book", "number"))
        for book in rows:
            book.contacts_now = counts.get(book.pk, 0)

    def panel(self, request: HttpRequest, obj: Any) -> Panel:
        states = dict(obj.records.order_by().values_list("state").annotate(Count("pk")))
        labels = [f"{states[state]} {label.lower()}" for state, label in Record.State.choices if state in states]
        facts = [
            ("Account", obj.account),
            ("Id in the app", obj.remote_id),
            ("Contacts", ", ".join(labels) if labels else "none read yet"),
            ("Last read", obj.pulled_at or "never"),
            ("Last read completely", obj.complete_at or "never"),
            *words(obj),
        ]
        sides = obj.sides.select_related("connection")
        links = [
            Go(str(obj.account), page_of(obj.account)),
            Go("Its contacts", list_of(Record, book__id__exact=obj.pk)),
        ]
        links += [Go(f"{side.connection} ({side.side})", page_of(side.connection)) for side in sides]
        fields = fields_from(obj.schema).values()
        rows = [(one.label, one.name, NOUNS[one.type], "yes" if one.name in obj.fields else "") for one in fields]
        table = Table(
            "Fields of the app", ["Field", "Name", "Type", "Read"], rows, "The fields have not been read yet."
        )
        said = [obj.problem] if obj.problem != "" else []
        return Panel(facts, [*said, *problems(Book.objects.filter(pk=obj.pk))], links, [table])


@admin.register(Record)
class RecordAdmin(ReadOnlyAdmin):
    client_path = "book__account__client"
    list_display = ["person", "book_name", "state", "problem", "observed_at"]
    list_display_links = ["person"]
    list_filter = [ClientFilter, "state"]
    narrowed_by = ("book",)
    list_select_related = ["book__account"]
    ordering = ["-id"]
    search_fields = ["code__exact"]
    search_help_text = "A whole e-mail address, the app's id, or a code"

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        text = search_term.strip()
        code = as_code(text)
        if text == "":
            return queryset, False
        # UIDs of cards can look like our codes.
        by_code = Q(code=code) if code is not None else Q()
        return queryset.filter(Q(match_key=fold(text)) | Q(remote_id=text) | by_code), False

    @admin.display(description="contact")
    def person(self, record: Any) -> str:
        found: str = record.person
        return found

    @admin.display(description="book")
    def book_name(self, record: Any) -> str:
        return f"{record.book} of {record.book.account}"

    def prepare(self, request: HttpRequest, rows: list[Any]) -> None:
        books = Books()
        for record in rows:
            record.person = books.person(record, self.eyes(request, record))

    def title_of(self, request: HttpRequest, obj: Any) -> str:
        return Books().person(obj, self.eyes(request, obj))

    def panel(self, request: HttpRequest, obj: Any) -> Panel:
        eyes, books = self.eyes(request, obj), Books()
        facts = [
            ("Contact", books.person(obj, eyes)),
            ("Book", self.book_name(obj)),
            ("Id in the app", eyes.see(obj.remote_id)),
            ("State", obj.get_state_display()),
            ("First seen", obj.first_seen_at),
            ("Seen like this", obj.observed_at),
            ("Written by us", obj.written_at or "never"),
        ]
        found = Link.objects.filter(Q(left=obj) | Q(right=obj)).select_related("connection")
        links = [Go(f"In {link.connection}: {link.get_state_display()}", page_of(link)) for link in found]
        rows = [(books.label(obj.book_id, name), eyes.see(value)) for name, value in obj.values.items()]
        table = Table("Values as read last", ["Field", "Value"], rows, "No values are kept.")
        return Panel(
            facts, [obj.problem] if obj.problem != "" else [], [*links, Go(str(obj.book), page_of(obj.book))], [table]
        )
