"""What needs a person, in words. Derived from what is stored, so that it can never be out of date."""

from django.db.models import Count, Q, QuerySet

from connections.models import Account, Connection
from connections.models.connection import SIDES
from syncer.audit.checkpoint import behind
from syncer.engine.run import OPEN_PLAN
from syncer.engine.setup import fields_from
from syncer.models import Book, Hold, Link, Side, SyncRun
from syncer.models.link import ENDED


def open_holds(connection: Connection) -> QuerySet[Hold]:
    """Of the connection and of its two books."""
    return holds_of(connection).filter(resolved__isnull=True)


def holds_of(connection: Connection) -> QuerySet[Hold]:
    books = Side.objects.filter(connection=connection).values("book")
    return Hold.objects.filter(Q(connection=connection) | Q(book__in=books))


def open_plan(connection: Connection) -> SyncRun | None:
    return SyncRun.objects.filter(connection=connection, status__in=OPEN_PLAN).first()


def live_links(connection: Connection) -> QuerySet[Link]:
    return Link.objects.filter(connection=connection).exclude(state__in=ENDED).order_by()


def by_state(connection: Connection) -> dict[str, int]:
    """How many contacts are in which state, from one index alone: a condition more doubles what it takes."""
    counts = Link.objects.filter(connection=connection).order_by().values_list("state").annotate(count=Count("*"))
    return {state: count for state, count in counts if state not in ENDED}


def attention(connection: Connection) -> list[str]:
    restored = behind()
    return [
        *([restored] if restored else []),
        *of_accounts(connection),
        *of_plan(connection),
        *of_books(connection),
        *of_holds(connection),
        *of_contacts(connection),
        *of_last_run(connection),
    ]


def of_accounts(connection: Connection) -> list[str]:
    found = []
    for side in SIDES:
        account = connection.account(side)
        if account.status != Account.Status.CONNECTED:
            text = f": {account.status_text}" if account.status_text != "" else "."
            found.append(f"The {side} account {account} is not connected{text}")
    return found


def of_plan(connection: Connection) -> list[str]:
    plan = open_plan(connection)
    if plan is None:
        return []
    if plan.status == SyncRun.Status.HELD:
        return [f"A plan is over a limit: {plan.error}. Look at it, then approve or reject it."]
    return ["A plan waits for review. Look at it, then approve or reject it."]


def of_books(connection: Connection) -> list[str]:
    sides = {side.side: side.book for side in Side.objects.filter(connection=connection).select_related("book")}
    found = [f"The {side} book: {book.problem}" for side, book in sorted(sides.items()) if book.problem != ""]
    return found + of_mappings(connection, sides)


def of_mappings(connection: Connection, books: dict[str, Book]) -> list[str]:
    """Lines that rest because a field is no longer in the app."""
    found = []
    for side, book in sorted(books.items()):
        known = fields_from(book.schema)
        if known:
            names = connection.mappings.filter(enabled=True).values_list(f"{side}_field", flat=True)
            found += [
                f"The mapping of {name} rests: the {side} book has no such field any more. Choose another field for it."
                for name in names
                if name not in known
            ]
    return found


def of_holds(connection: Connection) -> list[str]:
    count = open_holds(connection).exclude(kind=Hold.Kind.GUARD).count()
    if count == 0:
        return []
    waiting = "One question waits" if count == 1 else f"{count} questions wait"
    return [f"{waiting} for a person, see Holds."]


def of_contacts(connection: Connection) -> list[str]:
    failing = Link.objects.filter(connection=connection, state=Link.State.FAILING).count()
    if failing == 0:
        return []
    return [f"{failing} contact{' is' if failing == 1 else 's are'} failing, see Contacts for the reasons."]


def of_last_run(connection: Connection) -> list[str]:
    last = SyncRun.objects.filter(connection=connection, finished__isnull=False).first()
    if last is None or last.status != SyncRun.Status.FAILED:
        return []
    return [f"The last run failed: {last.error}"]
