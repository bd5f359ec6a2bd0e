"""Reading a chain of the audit trail from end to end, and naming the first thing that is not as it was written.

What it cannot see alone: a chain whose newest entries were taken away together with a head set back to match, or that
vanished as a whole. Signed checkpoints that another machine keeps show these.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from syncer.audit import format as form
from syncer.models.log import Kind, LogChain, SyncLog

_PAGE = 500
_MIRRORS = ("at", "kind", "connection", "run", "link", "record", "actor", "side", "operation")
_COLUMNS = ("id", "seq", "header", "payload", "salt", "payload_commit", "previous_hash", "entry_hash", "redacted_by")
_NUMBERS = ("id", "seq", "redacted_by")


@dataclass(frozen=True)
class Report:
    """What a walk over one chain found. `entries` were read and are as written; `seq` and `reason` name the first that
    is not. Where the head itself is wrong, `seq` is the number of the last entry."""

    chain: str
    ok: bool
    entries: int
    seq: int | None = None
    reason: str = ""


class Row(NamedTuple):
    """An entry as the database holds it, unconverted, so that what cannot be converted is found too."""

    id: Any
    seq: Any
    header: Any
    payload: Any
    salt: Any
    payload_commit: Any
    previous_hash: Any
    entry_hash: Any
    redacted_by: Any
    mirrors: tuple[Any, ...]


class Break(Exception):
    """The first break: its seq and its reason."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(reason)
        self.seq = seq
        self.reason = reason


def verify(name: str, progress: Callable[[int], object] = lambda read: None) -> Report:
    """Walk the chain of this name in bounded memory. `progress` is told how many more entries were read.

    Entries that are written meanwhile are left to the next walk. Raises LogChain.DoesNotExist.
    """
    pk, head_seq = LogChain.objects.values_list("pk", "head_seq").get(name=name)
    walk = Walk(pk, name, head_seq)
    try:
        for page in pages(pk, head_seq):
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


class Walk:
    """One walk over one chain: what the next entry has to go on from."""

    def __init__(self, pk: int, name: str, head_seq: int) -> None:
        self.pk = pk
        self.name = name
        self.head_seq = head_seq
        self.entries = 0
        self.last_id = 0
        self.last_hash = form.genesis(name)
        self.last_at = ""
        self._named: tuple[int, frozenset[int] | None] = (0, None)

    def step(self, row: Row) -> None:
        """Judge the next entry. Raises Break."""
        due = self.entries + 1
        if row.seq != due:
            raise Break(due, f"entry {due} is missing")
        reason = self._links(row) or self._payload(row) or self._header(row) or self._erasures(row)
        if reason:
            raise Break(due, reason)
        self.entries, self.last_id, self.last_hash = due, row.id, row.entry_hash

    def end(self) -> None:
        """Judge the head against the last entry. Raises Break."""
        if self.entries < self.head_seq:
            raise Break(self.entries + 1, f"entry {self.entries + 1} is missing")
        beyond = _beyond(self.pk)
        if beyond is not None:
            raise Break(beyond, "an entry stands beyond the head of the chain")
        head = _head(self.pk)
        if head.seq == self.entries:
            if head.hash != self.last_hash:
                raise Break(self.entries, "the head's hash is not the last entry's")
            if head.at != _mirror("at", self.last_at or None):
                raise Break(self.entries, "the head's time is not the last entry's")
        elif head.seq < self.entries:
            raise Break(self.entries, "the head went back")

    def _links(self, row: Row) -> str:
        if row.id <= self.last_id:
            return "its id is out of order"
        if row.previous_hash != self.last_hash:
            return "it does not follow from the entry before it"
        try:
            made = form.entry_hash(row.previous_hash, row.header, row.payload_commit)
        except (ValueError, AttributeError):
            return "it cannot be read"
        return "" if row.entry_hash == made else "its header or its hashes were changed"

    def _payload(self, row: Row) -> str:
        if row.redacted_by is not None:
            return self._redacted(row)
        if row.payload is None and row.salt is None:
            return "" if row.payload_commit == form.NO_PAYLOAD else "its payload is gone and no redact entry says why"
        try:
            salt = bytes.fromhex(row.salt)
            form.parse(row.payload)
            made = form.payload_commit(salt, row.payload)
        except (ValueError, TypeError, AttributeError):
            return "its payload or salt was changed"
        whole = len(salt) == form.SALT_BYTES and salt.hex() == row.salt and made == row.payload_commit
        return "" if whole else "its payload or salt was changed"

    def _redacted(self, row: Row) -> str:
        if row.payload is not None or row.salt is not None:
            return "it is marked as erased and still has a payload"
        if row.payload_commit == form.NO_PAYLOAD:
            return "it is marked as erased and never had a payload"
        by = row.redacted_by
        if type(by) is not int or by <= row.seq:
            return "it was erased and no redact entry says why"
        if self._named[0] != by:
            self._named = (by, self._named_by(by))
        named = self._named[1]
        return "" if named is None or row.seq in named else "it was erased and the redact entry does not name it"

    def _named_by(self, by: int) -> frozenset[int] | None:
        """The entries that a redact entry names. None where the entry is missing or is not as it was written: the walk
        stops there, and that is the break to report; where the walk does not get there, none is named."""
        found = SyncLog.objects.filter(chain_id=self.pk, seq=by).values_list(
            "header", "previous_hash", "payload_commit", "entry_hash"
        )
        for header, previous, commit, made in found:
            named = _redacts(header, self.name, by)
            if named is not None and form.entry_hash(previous, header, commit) == made:
                return named
        return None if by <= self.head_seq else frozenset()

    def _header(self, row: Row) -> str:
        try:
            header = form.parse(row.header)
            due = {"v": form.VERSION, "chain": self.name, "seq": row.seq}
            if any(header[key] != value for key, value in due.items()):
                return "its header is another entry's"
            at = header["at"]
            mirrors = tuple(_mirror(name, header[name]) for name in _MIRRORS)
            if form.spell_time(_moment(at)) != at or at < self.last_at:
                return "its time is before the entry before it"
        except (ValueError, TypeError, KeyError, AttributeError):
            return "its header cannot be read"
        self.last_at = at
        return "" if mirrors == row.mirrors else "its columns do not say what its header says"

    def _erasures(self, row: Row) -> str:
        """What a redact entry names must be erased, or the promise was not kept."""
        if row.mirrors[_MIRRORS.index("kind")] != Kind.REDACT:
            return ""
        seqs = sorted(_redacts(row.header, self.name, row.seq) or ())
        if not seqs:
            return "it names no entry"
        for start in range(0, len(seqs), _PAGE):
            rows = SyncLog.objects.filter(chain_id=self.pk, seq__in=seqs[start : start + _PAGE])
            if rows.filter(payload__isnull=False).exists():
                return "it names an entry whose payload is still there"
        return "" if seqs[-1] < row.seq else "it names an entry that came later"


class _Head(NamedTuple):
    seq: Any
    hash: Any
    at: Any


def _head(pk: int) -> _Head:
    chain = LogChain._meta.db_table
    query = f'SELECT head_seq, {_raw("head_hash")}, {_raw("last_at")} FROM "{chain}" WHERE id = %s'  # noqa: S608
    return _Head(*_fetch(query, [pk])[0])


def _beyond(pk: int) -> int | None:
    """The first entry after the head, both read at one moment."""
    log, chain = SyncLog._meta.db_table, LogChain._meta.db_table
    query = f"""SELECT min(l.seq) FROM "{log}" l JOIN "{chain}" c ON c.id = l.chain_id
        WHERE c.id = %s AND l.seq > c.head_seq"""  # noqa: S608
    found: int | None = _fetch(query, [pk])[0][0]
    return found


def _redacts(text: str, chain: str, seq: int) -> frozenset[int] | None:
    """What the header of this entry says that it erased, nothing if it is of another kind. None: no such header."""
    try:
        header = form.parse(text)
        if (header["chain"], header["seq"]) != (chain, seq):
            return None
        named = header["redacts"] if header["kind"] == Kind.REDACT else []
        return frozenset(named) if all(type(item) is int for item in named) else frozenset()
    except (ValueError, TypeError, KeyError):
        return None


def pages(pk: int, head_seq: int) -> Iterator[list[Row]]:
    """The entries up to the head, in order, a page at a time."""
    names = ", ".join([*(_raw(name) for name in _COLUMNS), *(_raw(name) for name in _MIRRORS)])
    table = SyncLog._meta.db_table
    after: list[int] = []
    while True:
        beyond = " AND seq > %s" if after else ""
        query = f'SELECT {names} FROM "{table}" WHERE chain_id = %s AND seq <= %s{beyond} ORDER BY seq LIMIT {_PAGE}'  # noqa: S608
        page = [_row(found) for found in _fetch(query, [pk, head_seq, *after])]
        if page:
            yield page
        if len(page) < _PAGE:
            return
        after = [page[-1].seq]


def _row(found: Sequence[Any]) -> Row:
    split = len(_COLUMNS)
    return Row._make([*found[:split], tuple(found[split:])])


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


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _mirror(name: str, item: Any) -> Any:
    """A header's item as this database holds it in its column."""
    if item is None or name not in _CONVERTED:
        return item
    value = _moment(item) if name == "at" else UUID(item)
    return _CONVERTED[name].get_db_prep_value(value, connection, prepared=False)


_CONVERTED = {
    field.name: field
    for field in SyncLog._meta.local_concrete_fields
    if field.name in ("at", "connection", "run", "link", "record")
}
