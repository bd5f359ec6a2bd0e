"""Our copy of a book: what an app showed, brought into its records (ENGINE.md 2), in the caller's transaction."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.db.models import F, Q, QuerySet

from syncer.audit.format import clean_text
from syncer.connectors.base import Field, Observed, Role, Value
from syncer.engine.consent import remember_opt_outs
from syncer.engine.setup import fields_from
from syncer.engine.slice import Slice
from syncer.engine.values import cleaned, digest
from syncer.models import Book, Change, Link, Record, Side
from syncer.models.link import ENDED

Item = TypeVar("Item")


def live(book: Book) -> QuerySet[Record]:
    return Record.objects.filter(book=book, state=Record.State.LIVE)


@dataclass
class Sorted:
    """What the app showed, by what it means for the replica: new or changed rows, equal rows, and records that a late
    feed contradicts. `keys` are the match keys that came, went or stayed with a changed row."""

    changed: list[Record] = field(default_factory=list)
    same: list[Record] = field(default_factory=list)
    doubted: list[int] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


def store(
    slice: Slice,
    book: Book,
    observed: Sequence[Observed],
    *,
    written: bool = False,
    hint: bool = False,
    lineages: Mapping[str, UUID] | None = None,
) -> int:
    """Store what the app showed; how many records are new, changed or in doubt. Unchanged ones cost at most one UPDATE.

    `written`: it is the read-back of our own writes. `hint`: it comes from a late feed, whose pages can be older than
    what we hold: a difference only says that the contact has to be read. `lineages` are those of records that we made,
    by id."""
    now = slice.now()
    follow_renames(book, observed)
    by_id = {one.remote_id: one for one in observed}
    existing = {row.remote_id: row for row in Record.objects.filter(book=book, remote_id__in=by_id)}
    found = sort_out(book, by_id, existing, now, hint)
    for row in found.changed:
        if lineages is not None and row.remote_id in lineages and row.remote_id not in existing:
            row.lineage = lineages[row.remote_id]
    if written:
        for row in (*found.changed, *found.same):
            row.written_at = now
    first = next_sequence(book, len(found.changed)) if found.changed else 0
    for index, row in enumerate(found.changed):
        row.sequence, row.observed_at = first + index, now
    upsert(found.changed)
    touch(book, existing, found.same)
    doubt(book, found.doubted)
    wake(book, found.keys, now)
    remember_opt_outs(book, fields_from(book.schema), found.changed)
    return len(found.changed) + len(found.doubted)


def sort_out(
    book: Book, by_id: Mapping[str, Observed], existing: Mapping[str, Record], now: datetime, hint: bool
) -> Sorted:
    fields = fields_from(book.schema)
    wanted = {name: fields[name] for name in book.fields if name in fields}
    found = Sorted()
    for remote_id, one in by_id.items():
        old = existing.get(remote_id)
        if old is not None and old.state == Record.State.ERASED:
            continue
        row = updated(book, old, one, wanted, now)
        if hint and old is not None and contradicted(old, row):
            found.doubted.append(old.pk)
        elif old is None or different(old, row):
            found.keys |= {key for key in (row.match_key, old.match_key if old is not None else "") if key}
            row.needs_read = hint and old is not None and old.needs_read
            found.changed.append(row)
        else:
            row.needs_read = hint and old.needs_read
            found.same.append(row)
    return found


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
    return (old.digest, old.state, old.problem) != (new.digest, Record.State.LIVE, new.problem)


def contradicted(old: Record, new: Record) -> bool:
    """Whether a late feed says of a contact what we do not hold: then only a read tells which is newer. A field that
    was not held before contradicts nothing."""
    return (old.state, old.problem) != (Record.State.LIVE, new.problem) or any(
        name not in new.values or new.values[name] != value for name, value in old.values.items()
    )


def match_key(fields: Mapping[str, Field], values: Mapping[str, Value]) -> str:
    """What a contact is matched by: its first e-mail address, casefolded."""
    for one in fields.values():
        if one.role == Role.EMAIL and isinstance(value := values.get(one.name), str):
            return value.casefold()[:320]
    return ""


def follow_renames(book: Book, observed: Sequence[Observed]) -> None:
    """A contact that got another id stays the record that it was, with all its links. Where both ids are known, two
    contacts became one: the old one is left to be called deleted."""
    ids = {previous: one.remote_id for one in observed for previous in one.previous_ids if previous != one.remote_id}
    if not ids:
        return
    known = set(Record.objects.filter(book=book, remote_id__in=set(ids.values())).values_list("remote_id", flat=True))
    rows = Record.objects.filter(book=book, remote_id__in=ids).exclude(state=Record.State.ERASED)
    for row in sorted(rows, key=lambda row: (row.state != Record.State.LIVE, row.pk)):
        new = ids[row.remote_id]
        if new not in known:
            Record.objects.filter(pk=row.pk).update(remote_id=new)
            known.add(new)


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
    """Unchanged records: only where they were seen, that they were read, and an etag that moved."""
    unseen = [existing[row.remote_id].pk for row in rows if existing[row.remote_id].seen_pass != book.pass_number]
    if unseen:
        Record.objects.filter(pk__in=unseen).update(seen_pass=book.pass_number)
    moved = [
        Record(pk=existing[row.remote_id].pk, etag=row.etag, needs_read=row.needs_read)
        for row in rows
        if (existing[row.remote_id].etag, existing[row.remote_id].needs_read) != (row.etag, row.needs_read)
    ]
    if moved:
        Record.objects.bulk_update(moved, ["etag", "needs_read"], batch_size=400)


def doubt(book: Book, ids: Sequence[int]) -> None:
    """They are to be read before anything is decided about them; they were listed all the same."""
    if ids:
        Record.objects.filter(pk__in=ids).update(needs_read=True, seen_pass=book.pass_number)


def mark_gone(slice: Slice, book: Book, remote_ids: Sequence[str], *, hint: bool = False) -> int:
    """Records that the app itself calls deleted; a late feed's word is checked by a read first. One that we never saw
    is kept in mind while a create of ours is not settled: it may be what became of it."""
    bury_unseen(slice, book, remote_ids)
    known = Record.objects.filter(book=book, remote_id__in=list(remote_ids))
    rows = list(known.filter(state__in=["live", "suspect"]).values_list("pk", "match_key"))
    if hint:
        doubt(book, [pk for pk, _ in rows])
        return len(rows)
    known.filter(state=Record.State.GONE, needs_read=True).update(needs_read=False)
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
    for part in chunks(sorted(keys), 400):
        # By the records first: one condition on both sides' keys would walk all links of the connection.
        records = list(Record.objects.filter(book__in=books, match_key__in=part).values_list("pk", flat=True))
        wake_unpaired(records, now, connection__in=connections)


def wake_unpaired(records: Sequence[int], now: datetime, **links: object) -> None:
    """The links of these records without a counterpart are judged again."""
    asleep = Q(next_attempt_at__isnull=True) | Q(next_attempt_at__gt=now)
    for side, opposite in (("left", "right"), ("right", "left")):
        one_sided = {f"{side}__in": records, f"{opposite}__isnull": True}
        due = Link.objects.filter(asleep, **one_sided, **links).exclude(state__in=ENDED)
        due.update(next_attempt_at=now)


def unite(links: Sequence[Link], now: datetime) -> None:
    """Linked contacts are of one origin: whatever shared the right one's lineage, in any book, has the left one's from
    now on. That can change the verdict on each of them where it has no counterpart."""
    pairs = [(link.left, link.right) for link in links if link.left is not None and link.right is not None]
    new: dict[UUID, UUID] = {}
    for left, right in pairs:
        kept, given = newest(new, left.lineage), newest(new, right.lineage)
        if kept != given:
            new[given] = kept
    if not new:
        return
    rows = list(Record.objects.filter(lineage__in=new).only("pk", "lineage").order_by("pk"))
    for row in rows:
        row.lineage = newest(new, row.lineage)
    Record.objects.bulk_update(rows, ["lineage"], batch_size=400)
    for left, right in pairs:
        left.lineage = right.lineage = newest(new, left.lineage)
    for part in chunks([row.pk for row in rows], 400):
        wake_unpaired(part, now)


def newest(new: Mapping[UUID, UUID], lineage: UUID) -> UUID:
    while lineage in new:
        lineage = new[lineage]
    return lineage


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


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
