"""Reading a book into its replica (ENGINE.md 2): each page and its cursor in one transaction, and nothing is taken for
deleted before it is proven."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.db.models import F, Q, QuerySet

from syncer.audit.chain import JSON, Entry, append
from syncer.audit.format import clean_text
from syncer.connectors.base import (
    LISTING_TRIES,
    Connector,
    CursorExpired,
    Field,
    Observed,
    Page,
    RecordGone,
    Rejected,
    Role,
    Transient,
    Value,
)
from syncer.engine.holds import close_book_hold, open_book_hold
from syncer.engine.setup import fields_from, schema_of, schema_outdated, wanted_fields
from syncer.engine.slice import Slice
from syncer.engine.values import cleaned, digest
from syncer.models import Book, Change, Hold, Link, Record, Side
from syncer.models.link import ENDED

Item = TypeVar("Item")
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


def pull(reader: Reader, book: Book) -> Book:
    """Bring the replica up to date: goes on with the pass under way, or does a delta (or a full pass where one is
    due). Returns the book as it is then. Raises ConnectorError, OutOfTime, LeaseLost; each page stored stays."""
    if due_for_full(reader, book) or schema_outdated(book):
        refresh_schema(reader, book)
    prepare(reader, book)
    while book.pass_kind:
        reader.slice.check_time()
        try:
            page = reader.connector.changes(book.remote_id, book.page_cursor, book.fields)
        except CursorExpired as expired:
            if book.page_cursor == "":
                raise Transient("The app does not let us begin to read. It is tried again later.") from expired
            with reader.slice.transaction():
                start_pass(reader, book, full=True)
            continue
        store_page(reader, book, page)
        reader.slice.progress(
            f"Scanning {book}", live(book).count() if book.pass_kind == "full" else 0, page.total or 0
        )
    return book


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
        if book.schema and schema != book.schema:
            refused = Link.objects.filter(connection__sides__book=book, state=Link.State.FAILING).exclude(refused="")
            refused.update(refused="", next_attempt_at=now)
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
]
"""What a pass changes: a wish for another reading that somebody stores meanwhile is left alone."""


def live(book: Book) -> QuerySet[Record]:
    return Record.objects.filter(book=book, state=Record.State.LIVE)


def store_page(reader: Reader, book: Book, page: Page) -> None:
    """One page and the cursor behind it, in one transaction."""
    with reader.slice.transaction():
        book.refresh_from_db(fields=["sequence"])
        new = store(reader.slice, book, page.records) + mark_gone(reader.slice, book, page.gone)
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
    missing = live(book).exclude(seen_pass=book.pass_number)
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
    record_pass(book, remaining, count, now=now)


def record_pass(book: Book, contacts: int, missing: int, now: datetime) -> None:
    header: dict[str, JSON] = {
        "account": str(book.account.code),
        "pass": book.pass_number,
        "contacts": contacts,
        "missing": missing,
    }
    append("portal", [Entry("pass.completed", "system", header, {"book": book.remote_id})], now)


def take_sequences(book: Book, ids: Sequence[int], **changes: object) -> None:
    """Give each record the next number of its book, with what changed about it."""
    first = next_sequence(book, len(ids))
    rows = [Record(pk=pk, sequence=first + index, **changes) for index, pk in enumerate(ids)]
    Record.objects.bulk_update(rows, ["sequence", *changes], batch_size=400)


def next_sequence(book: Book, count: int) -> int:
    """Reserve `count` numbers: the first of them. In the same transaction as what takes them, so that a lower number
    never commits after a higher one was planned."""
    Book.objects.filter(pk=book.pk).update(sequence=F("sequence") + count)
    book.sequence = Book.objects.values_list("sequence", flat=True).get(pk=book.pk)
    return book.sequence - count + 1


def match_key(fields: Mapping[str, Field], values: Mapping[str, Value]) -> str:
    """What a contact is matched by: its first e-mail address, casefolded."""
    for field in fields.values():
        if field.role == Role.EMAIL and isinstance(value := values.get(field.name), str):
            return value.casefold()[:320]
    return ""


def store(slice: Slice, book: Book, observed: Sequence[Observed], written: bool = False) -> int:
    """Store what the app showed; how many records are new or changed. Unchanged ones cost at most one UPDATE."""
    now, fields = slice.now(), fields_from(book.schema)
    wanted = {name: fields[name] for name in book.fields if name in fields}
    by_id = {one.remote_id: one for one in observed}
    existing = {row.remote_id: row for row in Record.objects.filter(book=book, remote_id__in=by_id)}
    changed, keys, same = [], set(), []
    for remote_id, one in by_id.items():
        old = existing.get(remote_id)
        if old is not None and old.state == Record.State.ERASED:
            continue
        row = updated(book, old, one, wanted, now)
        if old is None or different(old, row):
            keys |= {key for key in (row.match_key, old.match_key if old is not None else "") if key}
            changed.append(row)
        else:
            same.append(row)
        if written:
            row.written_at = now
    first = next_sequence(book, len(changed)) if changed else 0
    for index, row in enumerate(changed):
        row.sequence, row.observed_at = first + index, now
    upsert(changed)
    touch(book, existing, same)
    wake(book, keys, now)
    return len(changed)


def updated(book: Book, old: Record | None, one: Observed, fields: Mapping[str, Field], now: datetime) -> Record:
    """The record as it is now. What the app did not say stays as it was; a value that cannot be understood is not
    known any more."""
    row = Record(book=book, remote_id=one.remote_id, first_seen_at=now, observed_at=now, sequence=0)
    if old is not None:
        row.values, row.code, row.lineage, row.sequence = dict(old.values), old.code, old.lineage, old.sequence
        row.first_seen_at, row.observed_at, row.written_at, row.marker = (
            old.first_seen_at,
            old.observed_at,
            old.written_at,
            old.marker,
        )
    row.etag, row.problem, row.seen_pass = one.etag[:300], clean_text(one.problem)[:500], book.pass_number
    row.marker = one.marker or row.marker
    if not one.problem:
        values, problems = cleaned(fields, one.values)
        row.values = {name: value for name, value in {**row.values, **values}.items() if name not in problems}
    row.digest, row.match_key = digest(row.values), match_key(fields, row.values)
    return row


def different(old: Record, new: Record) -> bool:
    return (old.digest, old.state, old.problem, old.needs_read) != (
        new.digest,
        Record.State.LIVE,
        new.problem,
        new.needs_read,
    )


UPDATED = [
    "values",
    "digest",
    "match_key",
    "sequence",
    "etag",
    "marker",
    "state",
    "needs_read",
    "problem",
    "seen_pass",
    "observed_at",
    "written_at",
]


def upsert(rows: Sequence[Record]) -> None:
    Record.objects.bulk_create(
        rows, batch_size=200, update_conflicts=True, unique_fields=["book", "remote_id"], update_fields=UPDATED
    )


def touch(book: Book, existing: Mapping[str, Record], rows: Sequence[Record]) -> None:
    """Unchanged records: only where they were seen, and an etag that moved."""
    unseen = [existing[row.remote_id].pk for row in rows if existing[row.remote_id].seen_pass != book.pass_number]
    if unseen:
        Record.objects.filter(pk__in=unseen).update(seen_pass=book.pass_number)
    moved = [
        Record(pk=existing[row.remote_id].pk, etag=row.etag) for row in rows if existing[row.remote_id].etag != row.etag
    ]
    if moved:
        Record.objects.bulk_update(moved, ["etag"], batch_size=400)


def mark_gone(slice: Slice, book: Book, remote_ids: Sequence[str]) -> int:
    """Records that the app itself calls deleted. One that we never saw is kept in mind while a create of ours is not
    settled: it may be what became of it."""
    bury_unseen(slice, book, remote_ids)
    rows = list(
        Record.objects.filter(book=book, remote_id__in=list(remote_ids), state__in=["live", "suspect"]).values_list(
            "pk", "match_key"
        )
    )
    if rows:
        take_sequences(book, [pk for pk, _ in rows], state=Record.State.GONE, needs_read=False)
        wake(book, {key for _, key in rows if key}, slice.now())
    return len(rows)


def bury_unseen(slice: Slice, book: Book, remote_ids: Sequence[str]) -> None:
    if not remote_ids or not Change.objects.filter(book=book, state="sending", operation="create").exists():
        return
    known = set(Record.objects.filter(book=book, remote_id__in=list(remote_ids)).values_list("remote_id", flat=True))
    unseen, now = [one for one in remote_ids if one not in known], slice.now()
    first = next_sequence(book, len(unseen)) if unseen else 0
    Record.objects.bulk_create(
        Record(
            book=book,
            remote_id=remote_id,
            state=Record.State.GONE,
            sequence=first + index,
            first_seen_at=now,
            observed_at=now,
            seen_pass=book.pass_number,
        )
        for index, remote_id in enumerate(unseen)
    )


def wake(book: Book, keys: set[str], now: datetime) -> None:
    """A new, gone or re-keyed record can change the verdict on every unpaired contact with its key, on either side."""
    if not keys:
        return
    connections = list(book.sides.values_list("connection", flat=True))
    books = list(Side.objects.filter(connection__in=connections).values_list("book", flat=True))
    asleep = Q(next_attempt_at__isnull=True) | Q(next_attempt_at__gt=now)
    for part in chunks(sorted(keys), 400):
        # By the records first: one condition on both sides' keys would walk all links of the connection.
        records = list(Record.objects.filter(book__in=books, match_key__in=part).values_list("pk", flat=True))
        for side, opposite in (("left", "right"), ("right", "left")):
            one_sided = {f"{side}__in": records, f"{opposite}__isnull": True}
            links = Link.objects.filter(asleep, connection__in=connections, **one_sided)
            links.exclude(state__in=ENDED).update(next_attempt_at=now)


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def confirm_suspects(reader: Reader, book: Book) -> None:
    """Read each suspect by id: only the app's own word makes it gone. A failed read leaves it suspect. Too many at
    once wait for a person first."""
    if Hold.objects.filter(book=book, resolved__isnull=True).exists():
        return
    suspects = list(
        Record.objects.filter(book=book, state=Record.State.SUSPECT).order_by("pk").values_list("remote_id", flat=True)
    )
    size = max(1, reader.connector.app.capabilities.read_batch)
    for part in chunks(suspects, min(size, READ_AT_ONCE)):
        reader.slice.check_time()
        found = read_patiently(reader.connector, book, part)
        with reader.slice.transaction():
            store(reader.slice, book, [one for one in found.values() if one is not None])
            mark_gone(reader.slice, book, [remote_id for remote_id, one in found.items() if one is None])


def read_patiently(connector: Connector, book: Book, remote_ids: Sequence[str]) -> dict[str, Observed | None]:
    """The records as they are now by id, None for one that is proven gone. One that cannot be read is left out, and
    keeps no other from being read."""
    try:
        if len(remote_ids) > 1:
            found = connector.read_many(book.remote_id, remote_ids, book.fields)
            return dict(zip(remote_ids, found, strict=True))
        return {remote_ids[0]: connector.read(book.remote_id, remote_ids[0], book.fields)}
    except RecordGone:
        return {remote_ids[0]: None}
    except (Transient, Rejected):
        if len(remote_ids) == 1:
            return {}
    return {key: one for part in remote_ids for key, one in read_patiently(connector, book, [part]).items()}
