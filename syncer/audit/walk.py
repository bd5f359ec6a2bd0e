"""What makes an entry of the audit trail good: judged one after another, wherever they are read from.

Only the standard library of Python 3.8: it goes into the evidence's verify.py as it is. `syncer/audit/verify.py` walks
over the database, the evidence's verifier over an exported file; the rules stand here once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from syncer.audit.format import (
    NO_PAYLOAD,
    SALT_BYTES,
    VERSION,
    entry_hash,
    moment,
    parse,
    payload_commit,
)

REDACTS = "redact"
COLUMNS = ("id", "seq", "header", "payload", "salt", "payload_commit", "previous_hash", "entry_hash", "redacted_by")
MIRRORS = ("at", "kind", "connection", "run", "link", "record", "actor", "side", "operation")


class Row(NamedTuple):
    """An entry as it was found, so that what cannot be read is found too. `mirrors` are its columns for searching, in
    the order of MIRRORS and spelled as in a header."""

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


class Judge:
    """One walk over one chain, from its beginning or from after entry `seq`: what the next entry has to go on from.

    Without `values` a payload is only True where there is one, and a salt None. What lies elsewhere in the chain is
    asked of `named_by` and `keeps`.
    """

    def __init__(self, name: str, seq: int, last_hash: str, last_at: str = "", values: bool = True) -> None:
        self.name = name
        self.values = values
        self.seq = seq
        self.entries = 0
        self.last_id = 0
        self.last_hash = last_hash
        self.last_at = last_at
        self._named: tuple[int, frozenset[int] | None] = (0, None)

    def named_by(self, by: int) -> frozenset[int] | None:
        """The entries that redact entry `by` names. None where it is missing or is not as it was written: the walk
        stops there, and that is the break to report; where the walk does not get there, none is named."""
        raise NotImplementedError

    def keeps(self, seqs: Sequence[int]) -> bool:
        """Whether one of these earlier entries still has a payload."""
        raise NotImplementedError

    def step(self, row: Row) -> None:
        """Judge the next entry. Raises Break."""
        due = self.seq + 1
        if not is_number(row.seq, due):
            raise Break(due, f"entry {due} is missing")
        reason = self._links(row) or self._payload(row) or self._header(row) or self._erasures(row)
        if reason:
            raise Break(due, reason)
        self.entries, self.seq, self.last_id = self.entries + 1, due, row.id
        self.last_hash, self.last_at = row.entry_hash, row.mirrors[0]

    def _links(self, row: Row) -> str:
        if type(row.id) is not int or row.id <= self.last_id:
            return "its id is out of order"
        if row.previous_hash != self.last_hash:
            return "it does not follow from the entry before it"
        made = hash_of(row.previous_hash, row.header, row.payload_commit)
        if made is None:
            return "it cannot be read"
        return "" if row.entry_hash == made else "its header or its hashes were changed"

    def _payload(self, row: Row) -> str:
        if row.redacted_by is not None:
            return self._redacted(row)
        if not self.values and row.payload is not None:
            known = row.payload is True and row.payload_commit != NO_PAYLOAD
            return "" if known else "its payload or salt was changed"
        if row.payload is None and row.salt is None:
            return "" if row.payload_commit == NO_PAYLOAD else "its payload is gone and no redact entry says why"
        try:
            salt = bytes.fromhex(row.salt)
            parse(row.payload)
            made = payload_commit(salt, row.payload)
        except (ValueError, TypeError, AttributeError):
            return "its payload or salt was changed"
        whole = len(salt) == SALT_BYTES and salt.hex() == row.salt and made == row.payload_commit
        return "" if whole else "its payload or salt was changed"

    def _redacted(self, row: Row) -> str:
        if row.payload is not None or row.salt is not None:
            return "it is marked as erased and still has a payload"
        if row.payload_commit == NO_PAYLOAD:
            return "it is marked as erased and never had a payload"
        by = row.redacted_by
        if type(by) is not int or by <= row.seq:
            return "it was erased and no redact entry says why"
        if self._named[0] != by:
            self._named = (by, self.named_by(by))
        named = self._named[1]
        return "" if named is None or row.seq in named else "it was erased and the redact entry does not name it"

    def _header(self, row: Row) -> str:
        try:
            header = parse(row.header)
            if header["v"] != VERSION or header["chain"] != self.name or not is_number(header["seq"], row.seq):
                return "its header is another entry's"
            mirrors = tuple(header[name] for name in MIRRORS)
            moment(header["at"])
            if header["at"] < self.last_at:
                return "its time is before the entry before it"
        except (ValueError, TypeError, KeyError, AttributeError):
            return "its header cannot be read"
        return "" if mirrors == row.mirrors else "its columns do not say what its header says"

    def _erasures(self, row: Row) -> str:
        """What a redact entry names must be erased, or the promise was not kept."""
        if row.mirrors[MIRRORS.index("kind")] != REDACTS:
            return ""
        seqs = sorted(redacts(row.header, self.name, row.seq) or ())
        if not seqs:
            return "it names no entry"
        if self.keeps(seqs):
            return "it names an entry whose payload is still there"
        return "" if seqs[-1] < row.seq else "it names an entry that came later"


def is_number(value: Any, due: int) -> bool:
    """`True == 1`, and is another byte in a file."""
    return type(value) is int and value == due


def hash_of(previous: Any, header: Any, commit: Any) -> str | None:
    """None where one of them is no text."""
    try:
        return entry_hash(previous, header, commit)
    except (ValueError, AttributeError):
        return None


def redacts(text: str, chain: str, seq: int) -> frozenset[int] | None:
    """What the header of this entry says that it erased, nothing if it is of another kind. None: no such header."""
    try:
        header = parse(text)
        if header["chain"] != chain or not is_number(header["seq"], seq):
            return None
        named = header["redacts"] if header["kind"] == REDACTS else []
        return frozenset(named) if all(type(item) is int for item in named) else frozenset()
    except (ValueError, TypeError, KeyError):
        return None
