"""Reading a chain of the audit trail from end to end, and naming the first thing that is not as it was written.

What it cannot see alone: a chain whose newest entries were taken away together with a head set back to match, or that
vanished as a whole. Signed checkpoints that another machine keeps show these.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from syncer.audit import format as form
from syncer.audit.walk import COLUMNS, MIRRORS, Break, Judge, Row, hash_of, redacts
from syncer.models.log import LogChain, SyncLog

__all__ = ["BEGINNING", "Break", "Head", "Report", "Row", "Walk", "beyond", "head_of", "orphans", "pages", "verify"]

BEGINNING = -(2**63)
_PAGE = 500
_NUMBERS = ("id", "seq", "redacted_by", "head_seq", "quiet_runs")


@dataclass(frozen=True)
class Report:
    """What a walk over one chain found. `entries` were read and are as written; `seq` and `reason` name the first that
    is not. Where the head itself is wrong, `seq` is the number of the last entry."""

    chain: str
    ok: bool
    entries: int
    seq: int | None = None
    reason: str = ""


def verify(name: str, progress: Callable[[int], object] = lambda read: None) -> Report:
    """Walk the chain of this name in bounded memory. `progress` is told how many more entries were read.

    Entries that are written meanwhile are left to the next walk. Raises LogChain.DoesNotExist.
    """
    pk, head_seq = LogChain.objects.values_list("pk", "head_seq").get(name=name)
    walk = Walk(pk, name, head_seq)
    try:
        for page in pages(pk, BEGINNING, head_seq):
            for row in page:
                walk.step(row)
            progress(len(page))
        walk.end()
    except Break as found:
        return Report(name, False, walk.entries, found.seq, found.reason)
    return Report(name, True, walk.entries)


def orphans() -> int:
    """How many entries belong to no chain (the database refuses them while its foreign keys are watched)."""
    return SyncLog.objects.exclude(chain_id__in=LogChain.objects.values("pk")).count()


class Walk(Judge):
    """One walk over one chain of this database."""

    def __init__(self, pk: int, name: str, head_seq: int) -> None:
        super().__init__(name, 0, form.genesis(name))
        self.pk = pk
        self.head_seq = head_seq

    def end(self) -> None:
        """Judge the head against the last entry. Raises Break."""
        if self.entries < self.head_seq:
            raise Break(self.entries + 1, f"entry {self.entries + 1} is missing")
        after = beyond(self.pk)
        if after is not None:
            raise Break(after, "an entry stands beyond the head of the chain")
        head = head_of(self.pk)
        if head.seq == self.entries:
            if head.hash != self.last_hash:
                raise Break(self.entries, "the head's hash is not the last entry's")
            if head.at != (self.last_at or None):
                raise Break(self.entries, "the head's time is not the last entry's")
        elif head.seq < self.entries:
            raise Break(self.entries, "the head went back")

    def named_by(self, by: int) -> frozenset[int] | None:
        found = SyncLog.objects.filter(chain_id=self.pk, seq=by).values_list(
            "header", "previous_hash", "payload_commit", "entry_hash"
        )
        for header, previous, commit, made in found:
            named = redacts(header, self.name, by)
            if named is not None and hash_of(previous, header, commit) == made:
                return named
        return None if by <= self.head_seq else frozenset()

    def keeps(self, seqs: Sequence[int]) -> bool:
        parts = [seqs[start : start + _PAGE] for start in range(0, len(seqs), _PAGE)]
        rows = SyncLog.objects.filter(chain_id=self.pk, payload__isnull=False)
        return any(rows.filter(seq__in=part).exists() for part in parts)


class Head(NamedTuple):
    """Where a chain says that it stands, as it was found; `at` is spelled as in a header."""

    seq: Any
    hash: Any
    at: Any
    quiet_runs: Any


def head_of(pk: int) -> Head:
    columns = ", ".join(_raw(name) for name in ("head_seq", "head_hash", "last_at", "quiet_runs"))
    query = f'SELECT {columns} FROM "{LogChain._meta.db_table}" WHERE id = %s'  # noqa: S608
    seq, made, at, quiet_runs = _fetch(query, [pk])[0]
    return Head(seq, made, _spelled("at", at), quiet_runs)


def beyond(pk: int) -> int | None:
    """The first entry after the head, both read at one moment."""
    log, chain = SyncLog._meta.db_table, LogChain._meta.db_table
    query = f"""SELECT min(l.seq) FROM "{log}" l JOIN "{chain}" c ON c.id = l.chain_id
        WHERE c.id = %s AND l.seq > c.head_seq"""  # noqa: S608
    found: int | None = _fetch(query, [pk])[0][0]
    return found


def pages(pk: int, first: int, last: int) -> Iterator[list[Row]]:
    """The entries from one number to another, in order, a page at a time."""
    names = ", ".join(_raw(name) for name in (*COLUMNS, *MIRRORS))
    query = f"""SELECT {names} FROM "{SyncLog._meta.db_table}"
        WHERE chain_id = %s AND seq >= %s AND seq <= %s ORDER BY seq LIMIT {_PAGE}"""  # noqa: S608
    while first <= last:
        page = [_row(found) for found in _fetch(query, [pk, first, last])]
        if page:
            yield page
        if len(page) < _PAGE:
            return
        first = page[-1].seq + 1


def _row(found: Sequence[Any]) -> Row:
    split = len(COLUMNS)
    mirrors = tuple(_spelled(name, value) for name, value in zip(MIRRORS, found[split:], strict=True))
    return Row._make([*found[:split], mirrors])


def _raw(name: str) -> str:
    """A column so that nothing converts it: SQLite's driver would parse times, and fail on text that is not UTF-8."""
    if connection.vendor == "sqlite" and name not in _NUMBERS:
        return f'CAST("{name}" AS BLOB)'
    return f'"{name}"'


def _fetch(query: str, params: Sequence[Any]) -> list[list[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return [[_decoded(value) for value in row] for row in cursor.fetchall()]


def _decoded(value: Any) -> Any:
    """Text where the bytes are text; other bytes stay bytes, and then equal nothing."""
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def _spelled(name: str, raw: Any) -> Any:
    """What a column holds as a header spells it. What this database would have written otherwise stays as it is, and
    then equals no header."""
    if raw is None or name not in _CONVERTED:
        return raw
    try:
        value = _as_time(raw) if name == "at" else raw if isinstance(raw, UUID) else UUID(raw)
        if _CONVERTED[name].get_db_prep_value(value, connection, prepared=False) != raw:
            return raw
    except (ValueError, TypeError, AttributeError):
        return raw
    return form.spell_time(value) if isinstance(value, datetime) else str(value)


def _as_time(raw: Any) -> datetime:
    return raw if isinstance(raw, datetime) else datetime.fromisoformat(raw).replace(tzinfo=UTC)


_CONVERTED = {
    field.name: field
    for field in SyncLog._meta.local_concrete_fields
    if field.name in ("at", "connection", "run", "link", "record")
}
