"""Reading a book into its replica (ENGINE.md 2): each page and its cursor in one transaction, and nothing is taken for
deleted before it is proven."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import Q

from syncer.audit.chain import JSON, Entry, append
from syncer.connectors.base import (
    LISTING_TRIES,
    Connector,
    CursorExpired,
    Observed,
    Page,
    RecordGone,
    Rejected,
    Transient,
)
from syncer.engine.holds import close_book_hold, open_book_hold
from syncer.engine.replica import chunks, live, mark_gone, store, take_sequences
from syncer.engine.setup import fields_from, schema_of, schema_outdated, wanted_fields
from syncer.engine.slice import NotReady, Slice
from syncer.models import Book, Hold, Link, Record

FULL_PASS_EVERY = {True: timedelta(days=30), False: timedelta(days=1)}
"""How old the last complete pass may grow, by whether the app reports deletions itself."""
SWEEP_AT_MOST_EVERY = timedelta(hours=1)
READ_AT_ONCE = 200


@dataclass(frozen=True)
class Reader:
    """A book with its connector, for one pull."""

    slice: Slice
    connector: Connector

    @property
    def tombstones(self) -> bool:
        return self.connector.app.capabilities.tombstones

    @property
    def late(self) -> bool:
        """What the feed shows can be older than what we hold."""
        return not self.connector.app.capabilities.fresh_feed


def pull(reader: Reader, book: Book) -> Book:
    """Bring the replica up to date: goes on with the pass under way, or does a delta (or a full pass where one is
    due). Returns the book as it is then. Raises ConnectorError, NotReady, OutOfTime, LeaseLost; each page stored
    stays."""
    full = due_for_full(reader, book)
    if full or Hold.objects.filter(book=book, kind=Hold.Kind.IDENTITY, resolved__isnull=True).exists():
        confirm_identity(reader, book)
    if full or schema_outdated(book):
        refresh_schema(reader, book)
    prepare(reader, book)
    while book.pass_kind:
        reader.slice.check_time()
        try:
            page = reader.connector.changes(book.remote_id, book.page_cursor, book.fields)
        except CursorExpired as expired:
            if book.page_cursor == "":
                raise Transient("The app does not let us begin to read. It is tried again later.") from expired
            confirm_identity(reader, book)  # it may be another login, whose cursor it never was
            with reader.slice.transaction():
                start_pass(reader, book, full=True)
            continue
        store_page(reader, book, page)
        reader.slice.progress(
            f"Scanning {book}", live(book).count() if book.pass_kind == "full" else 0, page.total or 0
        )
    return book


def confirm_identity(reader: Reader, book: Book) -> None:
    """Are we still who we were? Another login would show other contacts, and ours would seem deleted: nothing that it
    shows is believed. Raises NotReady."""
    known, found = book.account.identity, reader.connector.check().key
    now = reader.slice.now()
    with reader.slice.transaction():
        if known in ("", found):
            close_book_hold(book, Hold.Kind.IDENTITY, now)
            return
        open_book_hold(book, Hold.Kind.IDENTITY, {}, now)
    raise NotReady(f"{book.account} is another login than before. Authorise the right one.")


def due_for_full(reader: Reader, book: Book) -> bool:
    if book.pass_kind:
        return False
    too_old = book.complete_started is not None and (
        reader.slice.now() - book.complete_started >= FULL_PASS_EVERY[reader.tombstones]
    )
    return book.cursor == "" or book.complete_pass == 0 or book.full_wanted or too_old


def refresh_schema(reader: Reader, book: Book) -> None:
    """Read the app's fields anew. Where they are others than before, what the app refused is worth another try."""
    schema, now = schema_of(reader.connector.fields(book.remote_id)), reader.slice.now()
    with reader.slice.transaction():
        if book.schema and fields_from(schema) != fields_from(book.schema):
            states = [Link.State.FAILING, Link.State.OPPOSITE_DELETED]
            refused = Link.objects.filter(connection__sides__book=book, state__in=states).exclude(refused={})
            refused.update(refused={}, next_attempt_at=now)
        book.schema, book.schema_at = schema, now
        book.save(update_fields=["schema", "schema_at"])


def prepare(reader: Reader, book: Book) -> None:
    """Start a pass where none is under way. A field that was not read so far makes it a full one."""
    wanted = wanted_fields(book)
    grown = not set(wanted) <= set(book.fields)
    if book.pass_kind and not grown:
        return
    with reader.slice.transaction():
        if grown:
            book.fields = sorted(set(book.fields) | set(wanted))
        start_pass(reader, book, full=grown or due_for_full(reader, book))


def start_pass(reader: Reader, book: Book, full: bool) -> None:
    book.pass_kind = "full" if full else "delta"
    book.pass_number += 1 if full else 0
    book.page_cursor = "" if full else book.cursor
    book.cursor = "" if full else book.cursor
    book.pass_started, book.pass_tries, book.pass_total, book.finish_cursor = reader.slice.now(), 0, None, ""
    book.pull_wanted = False
    book.full_wanted = book.full_wanted and not full
    book.save(update_fields=[*PASS_FIELDS, "pull_wanted", "full_wanted"])


PASS_FIELDS = [
    "fields",
    "cursor",
    "pass_kind",
    "pass_number",
    "pass_started",
    "pass_tries",
    "pass_total",
    "page_cursor",
    "finish_cursor",
    "complete_pass",
    "complete_started",
    "complete_at",
    "complete_fields",
    "pulled_at",
    "problem",
    "empty_accepted",
    "restored_until",
]
"""What a pass changes: a wish for another reading that somebody stores meanwhile is left alone."""


def store_page(reader: Reader, book: Book, page: Page) -> None:
    """One page and the cursor behind it, in one transaction."""
    with reader.slice.transaction():
        book.refresh_from_db(fields=["sequence"])
        new = store(reader.slice, book, page.records, hint=reader.late)
        new += mark_gone(reader.slice, book, page.gone, hint=reader.late)
        if book.pass_total is None:
            book.pass_total = page.total
        known_ground = book.pass_kind == "delta" and page.stop_if_known and new == 0
        if page.done or known_ground:
            end_listing(reader, book, page)
        else:
            book.page_cursor = page.cursor
        book.save(update_fields=PASS_FIELDS)


def end_listing(reader: Reader, book: Book, page: Page) -> None:
    now = reader.slice.now()
    book.finish_cursor = book.finish_cursor or page.finish
    if book.finish_cursor == "":
        raise ValueError("a connector ended a pass without saying where the next begins")
    if book.pass_kind == "full" and not proven(book, page):
        book.pass_tries += 1
        if book.pass_tries < LISTING_TRIES:
            book.page_cursor, book.pass_total = "", None
            return
        book.problem = "The app's listing did not add up, so nobody new is created and nothing counts as missing."
        if not set(book.fields) <= set(book.complete_fields):
            want_full(book)
    elif book.pass_kind == "full":
        complete(reader, book)
    elif page.total is not None and page.total < live(book).count() and may_sweep(reader, book):
        want_full(book)
    book.cursor, book.page_cursor, book.pass_kind, book.finish_cursor = book.finish_cursor, "", "", ""
    book.pulled_at = now


def want_full(book: Book) -> None:
    Book.objects.filter(pk=book.pk).update(full_wanted=True)
    book.full_wanted = True


def proven(book: Book, page: Page) -> bool:
    """A full pass is complete if the connector proves it, or if the distinct live ids equal the app's own count before
    and after."""
    if page.complete:
        return True
    seen = live(book).filter(seen_pass=book.pass_number).count()
    return page.total is not None and book.pass_total == page.total == seen


def may_sweep(reader: Reader, book: Book) -> bool:
    return book.complete_started is None or reader.slice.now() - book.complete_started >= SWEEP_AT_MOST_EVERY


def complete(reader: Reader, book: Book) -> None:
    """A complete full pass: only now may what is missing be suspected, and not if everybody is missing at once."""
    now = reader.slice.now()
    # What we wrote since, or shortly before where the app's listing lags, need not be listed yet.
    assert book.pass_started is not None
    ours = book.pass_started - reader.connector.app.capabilities.visibility_delay
    missing = live(book).exclude(seen_pass=book.pass_number).exclude(written_at__gte=ours)
    count, remaining = missing.count(), live(book).filter(seen_pass=book.pass_number).count()
    if count and not remaining and not book.empty_accepted:
        want_full(book)
        open_book_hold(book, Hold.Kind.EMPTIED, {"contacts": count}, now)
        book.problem = f"The app lists no contact where there were {count}."
        return
    close_book_hold(book, Hold.Kind.EMPTIED, now)
    if count:
        take_sequences(book, list(missing.values_list("pk", flat=True)), state=Record.State.SUSPECT)
        if count > max(5, (count + remaining) * 2 // 100) and not book.empty_accepted:
            open_book_hold(book, Hold.Kind.SUSPECTS, {"contacts": count, "of": count + remaining}, now)
    book.complete_pass, book.complete_started, book.complete_at = book.pass_number, book.pass_started, now
    book.complete_fields, book.problem, book.empty_accepted = book.fields, "", False
    if book.restored_at is not None and book.restored_until is None:
        book.restored_until = now
    record_pass(book, remaining, count, now=now)


def record_pass(book: Book, contacts: int, missing: int, now: datetime) -> None:
    header: dict[str, JSON] = {
        "account": str(book.account.code),
        "pass": book.pass_number,
        "contacts": contacts,
        "missing": missing,
    }
    append("portal", [Entry("pass.completed", "system", header, {"book": book.remote_id})], now)


def confirm(reader: Reader, book: Book) -> None:
    """Read by id whom a listing left out and whom a late feed contradicted: only a read of the contact itself tells.
    A failed read leaves it in doubt. Too many missing at once wait for a person first."""
    if Hold.objects.filter(book=book, resolved__isnull=True).exists():
        return
    doubtful = Record.objects.filter(Q(state=Record.State.SUSPECT) | Q(needs_read=True), book=book)
    ids = list(doubtful.exclude(state=Record.State.ERASED).order_by("pk").values_list("remote_id", flat=True))
    size = max(1, reader.connector.app.capabilities.read_batch)
    for part in chunks(ids, min(size, READ_AT_ONCE)):
        reader.slice.check_time()
        found = read_patiently(reader.connector, book, part)
        with reader.slice.transaction():
            store(reader.slice, book, [one for one in found.values() if one is not None])
            mark_gone(reader.slice, book, [remote_id for remote_id, one in found.items() if one is None])


def read_patiently(connector: Connector, book: Book, remote_ids: Sequence[str]) -> dict[str, Observed | None]:
    """The records as they are now by the id that was asked for, None for one that is proven gone. One that cannot be
    read is left out, and keeps no other from being read."""
    try:
        if len(remote_ids) > 1:
            found = connector.read_many(book.remote_id, remote_ids, book.fields)
            return {asked: answered(asked, one) for asked, one in zip(remote_ids, found, strict=True)}
        return {remote_ids[0]: answered(remote_ids[0], connector.read(book.remote_id, remote_ids[0], book.fields))}
    except RecordGone:
        return {remote_ids[0]: None}
    except (Transient, Rejected):
        if len(remote_ids) == 1:
            return {}
    return {key: one for part in remote_ids for key, one in read_patiently(connector, book, [part]).items()}


def answered(asked: str, one: Observed | None) -> Observed | None:
    """An answer under another id than we asked for: the contact has moved."""
    if one is None or one.remote_id == asked or asked in one.previous_ids:
        return one
    return replace(one, previous_ids=(*one.previous_ids, asked))
