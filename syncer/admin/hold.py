from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest

from connections import scope
from connections.admin.base import actor, page_of
from connections.admin.panel import Button, Go, Panel, Table, when
from connections.models import Connection
from connections.numbers import row
from syncer import services
from syncer.admin.base import ReadOnlyAdmin
from syncer.admin.values import Books, Eyes
from syncer.attention import holds_of, open_plan
from syncer.models import Hold, Record

TODO = {
    Hold.Kind.CONFLICT: "Correct the value in one of the two apps, or let the mapping choose a winner.",
    Hold.Kind.AMBIGUOUS: "Merge the contacts in their app, or give them different e-mail addresses.",
    Hold.Kind.GUARD: "Look at the plan, then approve or reject it.",
    Hold.Kind.REQUIRED_EMPTY: "Fill the field in the app, or give its mapping a fallback.",
    Hold.Kind.VALUE: "Change the value in the app so that it fits the other side.",
    Hold.Kind.MATCH_KEY_REMOVED: "Put the e-mail address back, or remove it on the other side too.",
    Hold.Kind.DELETED_EDITED: "Decide in the apps whether the contact stays.",
    Hold.Kind.CREATE_UNKNOWN: "Look in the app. If the contact is there, say which; if not, have it created again.",
    Hold.Kind.EMPTIED: "Look in the app. If it is right that the book is empty, say so; then it is read again.",
    Hold.Kind.SUSPECTS: "Look in the app. If it is right that these contacts are gone, say so; then reading goes on.",
    Hold.Kind.IDENTITY: "Enter the credentials of the login that the account was connected with.",
}
MOST_SHOWN = 5
"""Of the contacts that a create may have made, the newest."""


class OpenFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("resolved", "Resolved")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("open", "resolved"):
            return queryset
        return queryset.filter(resolved__isnull=self.value() == "open")


class OfFilter(admin.SimpleListFilter):
    """Those of a connection and of its books."""

    title = "connection"
    parameter_name = "of"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = Connection.objects.filter(client__in=scope.clients(request))
        return [(str(connection.pk), connection.name) for connection in found]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        connection = row(Connection.objects.all(), self.value())
        return queryset if connection is None else queryset.filter(pk__in=holds_of(connection).values("pk"))


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    list_display = ["kind", "about", "person", "opened", "resolved", "resolution", "resolver"]
    list_display_links = ["kind"]
    list_filter = [OpenFilter, OfFilter, "kind"]
    list_select_related = ["connection", "book__account", "link__left", "link__right"]
    ordering = [F("resolved").asc(nulls_first=True), "-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found = Hold.objects.order_by(*self.ordering)
        if scope.sees_all(request):
            return found
        own = scope.client_ids(request)
        return found.filter(Q(connection__client__in=own) | Q(book__account__client__in=own))

    def client_of(self, obj: Any) -> int | None:
        found: int = obj.connection.client_id if obj.connection is not None else obj.book.account.client_id
        return found

    def about(self, hold: Hold) -> str:
        return str(hold.connection) if hold.connection is not None else f"{hold.book} of {hold.book.account}"  # type: ignore[union-attr]

    @admin.display(description="contact")
    def person(self, hold: Any) -> str:
        found: str = hold.person
        return found

    def prepare(self, request: HttpRequest, rows: list[Any]) -> None:
        books = Books()
        for hold in rows:
            hold.person = books.of_link(hold.link, self.eyes(request, hold))

    def buttons(self, request: HttpRequest, obj: Any) -> Sequence[Button]:
        if obj.resolved is not None:
            return []
        if obj.kind in (Hold.Kind.EMPTIED, Hold.Kind.SUSPECTS):
            return [Button("right", "It is right", lambda: self.said_right(request, obj), strong=True)]
        return self.about_a_create(request, obj) if obj.kind == Hold.Kind.CREATE_UNKNOWN else []

    def about_a_create(self, request: HttpRequest, hold: Hold) -> list[Button]:
        eyes, books, found = self.eyes(request, hold), Books(), services.could_be_it(hold)[:MOST_SHOWN]
        these = [
            Button(
                f"this-{record.pk}",
                f"It is {books.person(record, eyes)}",
                partial(self.decided, request, hold, "this", record),
            )
            for record in found
        ]
        again = Button("again", "Create it again", partial(self.decided, request, hold, "again"))
        leave = Button("leave", "Leave it alone", partial(self.decided, request, hold, "leave"))
        return [*these, again, leave]

    def decided(self, request: HttpRequest, hold: Hold, choice: str, record: Record | None = None) -> str:
        services.resolve_create(hold, choice, actor(request), record)
        return "Noted. The next run goes on from here."

    def said_right(self, request: HttpRequest, hold: Hold) -> str:
        services.resolve_book_hold(hold, actor(request))
        return "Noted. The next runs of its connections go on from here."

    def panel(self, request: HttpRequest, obj: Any) -> Panel:
        eyes = self.eyes(request, obj)
        facts = [("What", obj.get_kind_display()), ("Of", self.about(obj)), ("Opened", obj.opened)]
        if obj.link is not None:
            facts.append(("Contact", Books().of_link(obj.link, eyes)))
        if obj.resolved is None:
            facts.append(("What to do", TODO.get(obj.kind, "Look at both apps.")))
        else:
            facts.append(("Resolved", f"{when(obj.resolved)}: {obj.resolution} ({obj.resolver})"))
        return Panel(facts, links=self.links(obj), tables=[details(obj, eyes)])

    def links(self, hold: Hold) -> list[Go]:
        found = [Go("Its contact", page_of(hold.link))] if hold.link is not None else []
        if hold.connection is not None:
            found.append(Go(str(hold.connection), page_of(hold.connection)))
            plan = open_plan(hold.connection) if hold.kind == Hold.Kind.GUARD else None
            found += [Go("The plan", page_of(plan))] if plan is not None else []
        if hold.book is not None:
            found.append(Go(str(hold.book), page_of(hold.book)))
        return found


LABELS = {"contacts": "Contacts", "of": "Of", "limits": "Limits", "reason": "Why", "left": "Left", "right": "Right"}
NO_VALUES = ("contacts", "of", "limits", "reason")


def details(hold: Hold, eyes: Eyes) -> Table:
    """What the hold knows; the values of contacts as the person may see them."""
    plain = Eyes(True)
    known = {name: value for name, value in hold.data.items() if value is not None or hold.mapping is not None}
    rows = [
        (LABELS.get(name, name), (plain if name in NO_VALUES else eyes).see(value)) for name, value in known.items()
    ]
    return Table("What was found", [], rows, "Nothing more is known.")
