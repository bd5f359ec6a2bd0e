"""Writing the audit trail: one chain of hashes per connection and one for the portal.

An entry is written in the transaction of what it tells of, so that both stand or neither. The head is moved by
compare-and-set, before the entries go in: with the entries first, rivals on PostgreSQL met on the numbers, and the
same one could lose time after time.
"""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from syncer.audit import format as form
from syncer.audit.format import JSON
from syncer.models.log import FAMILIES, KINDS, Kind, LogChain, SyncLog

__all__ = ["JSON", "PORTAL", "Entry", "LogBroken", "LogBusy", "append", "count_quiet_run", "of_connection", "redact"]

PORTAL = "portal"
_NAME = re.compile(r"portal|connection:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KIND = re.compile(r"[a-z_]+(\.[a-z_]+)?")
_SOME = 500


class LogBusy(Exception):
    """Too many writers met on one chain: nothing was written, and the same may be tried again."""


class LogBroken(Exception):
    """The database refuses the entry after the head: the chain was tampered with."""


@dataclass(frozen=True)
class Entry:
    """One thing that happened.

    `header` takes codes and numbers only (version, mapping, rule, reasons, counts): it is kept for ever. `payload`
    takes everything personal (values before and after, remote ids, texts): it can be erased. `actor` is text: a
    user's name, "schedule", "undo"; never a contact. `side` is left, right or empty.
    """

    kind: str
    actor: str
    header: Mapping[str, JSON] = field(default_factory=dict)
    payload: Mapping[str, JSON] | None = field(default=None, repr=False)
    connection: UUID | None = None
    run: UUID | None = None
    link: UUID | None = None
    record: UUID | None = None
    side: str = ""
    operation: str = ""


def of_connection(code: UUID) -> str:
    """The name of a connection's chain."""
    return f"connection:{code}"


def _random_salt() -> bytes:
    return secrets.token_bytes(form.SALT_BYTES)


def append(
    chain_name: str,
    entries: Sequence[Entry],
    now: datetime,
    salt: Callable[[], bytes] = _random_salt,
) -> None:
    """Write the entries, in order, at the end of a chain; make it their transaction's last act on the database.

    Time never goes back within a chain: where `now` is earlier than the last entry, that entry's time is written. Who
    writes to two chains in one transaction takes connections before the portal, or two such may wait for each other.
    Raises LogBusy, LogBroken, RuntimeError outside a transaction, and TypeError or ValueError for unfit entries.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("The audit trail is written inside the transaction of what it tells of: use atomic().")
    if now.tzinfo is None:
        raise ValueError("The time of an entry needs its zone.")
    for entry in entries:
        _check(entry)
    if not entries:
        return
    for wait in (False, True):
        head = _head(chain_name, wait)
        rows = _rows(head, entries, now, salt)
        if _moved(head, rows):
            _insert(chain_name, rows)
            return
    raise LogBusy(f"The log {chain_name} is busy; nothing was written. Try again.")


def count_quiet_run(chain_name: str) -> None:
    """Count a run that changed nothing; the chain's next entry says how many there were."""
    if LogChain.objects.filter(name=chain_name).update(quiet_runs=F("quiet_runs") + 1) == 0:
        _head(chain_name, wait=False)
        LogChain.objects.filter(name=chain_name).update(quiet_runs=F("quiet_runs") + 1)


def redact(chain_name: str, seqs: Sequence[int], entry: Entry, now: datetime) -> int:
    """Erase the payloads of these entries and write `entry`, of kind redact, which names them. Returns how many.

    Entries without a payload are left out. What the entry says must not be personal: its payload is not erased.
    """
    if entry.kind != Kind.REDACT:
        raise ValueError("Only an entry of kind redact can erase.")
    with transaction.atomic():
        rows: QuerySet[SyncLog] = QuerySet(SyncLog).filter(chain__name=chain_name, payload__isnull=False)
        wanted = sorted(set(seqs))
        parts = [wanted[start : start + _SOME] for start in range(0, len(wanted), _SOME)]
        found = [
            seq for part in parts for seq in rows.filter(seq__in=part).order_by("seq").values_list("seq", flat=True)
        ]
        if not found:
            return 0
        append(chain_name, [replace(entry, header={**entry.header, "redacts": found})], now)
        by = LogChain.objects.values_list("head_seq", flat=True).get(name=chain_name)
        erased = sum(rows.filter(seq__in=part).update(payload=None, salt=None, redacted_by=by) for part in parts)
        if erased != len(found):
            raise LogBusy(f"Somebody else erased entries of the log {chain_name}; nothing was done. Try again.")
        return erased


def _head(chain_name: str, wait: bool) -> LogChain:
    """The head as it is, made where there is none. With `wait`, after rivals are done, and safe from them until commit:
    an UPDATE that changes nothing holds the row on PostgreSQL; on SQLite there is one writer anyway."""
    if not _NAME.fullmatch(chain_name):
        raise ValueError("A log is named portal or connection:<code>.")
    if wait:
        LogChain.objects.filter(name=chain_name).update(quiet_runs=F("quiet_runs"))
    return LogChain.objects.get_or_create(name=chain_name, defaults={"head_hash": form.genesis(chain_name)})[0]


def _rows(head: LogChain, entries: Sequence[Entry], now: datetime, salt: Callable[[], bytes]) -> list[SyncLog]:
    at = max(now, head.last_at) if head.last_at is not None else now
    rows: list[SyncLog] = []
    previous = head.head_hash
    for number, entry in enumerate(entries):
        quiet_runs = head.quiet_runs if number == 0 else 0
        rows.append(_row(head, head.head_seq + 1 + number, at, entry, quiet_runs, previous, salt))
        previous = rows[-1].entry_hash
    return rows


def _moved(head: LogChain, rows: Sequence[SyncLog]) -> bool:
    """Move the head to the last of the rows, if nobody moved it since it was read."""
    last = rows[-1]
    changed = LogChain.objects.filter(pk=head.pk, head_seq=head.head_seq, head_hash=head.head_hash).update(
        head_seq=last.seq,
        head_hash=last.entry_hash,
        last_at=last.at,
        quiet_runs=F("quiet_runs") - head.quiet_runs,
    )
    return changed == 1


def _insert(chain_name: str, rows: Sequence[SyncLog]) -> None:
    try:
        SyncLog.objects.bulk_create(rows)
    except IntegrityError as problem:
        raise LogBroken(f"The log {chain_name} takes no entry {rows[0].seq}: run verify_log.") from problem


def _row(
    chain: LogChain, seq: int, at: datetime, entry: Entry, quiet_runs: int, previous: str, salt: Callable[[], bytes]
) -> SyncLog:
    header = form.canonical(_header(chain.name, seq, at, entry, quiet_runs))
    payload, salted, commit = _payload(entry.payload, salt)
    return SyncLog(
        chain=chain,
        seq=seq,
        at=at,
        kind=str(entry.kind),
        header=header,
        payload=payload,
        salt=salted,
        payload_commit=commit,
        previous_hash=previous,
        entry_hash=form.entry_hash(previous, header, commit),
        connection=entry.connection,
        run=entry.run,
        link=entry.link,
        record=entry.record,
        actor=form.clean_text(entry.actor),
        side=entry.side,
        operation=entry.operation,
    )


def _header(chain: str, seq: int, at: datetime, entry: Entry, quiet_runs: int) -> dict[str, JSON]:
    """What is hashed. Every item that has a column of its own stands here too, null or empty where there is none."""
    header: dict[str, JSON] = {
        "v": form.VERSION,
        "chain": chain,
        "seq": seq,
        "at": form.spell_time(at),
        "kind": str(entry.kind),
        "actor": form.clean_text(entry.actor),
        "connection": _text(entry.connection),
        "run": _text(entry.run),
        "link": _text(entry.link),
        "record": _text(entry.record),
        "side": str(entry.side),
        "operation": str(entry.operation),
    }
    return {**header, **entry.header, **({"quiet_runs": quiet_runs} if quiet_runs > 0 else {})}


_OURS = frozenset(
    (
        "v",
        "chain",
        "seq",
        "at",
        "kind",
        "actor",
        "connection",
        "run",
        "link",
        "record",
        "side",
        "operation",
        "quiet_runs",
    )
)


def _check(entry: Entry) -> None:
    """Raises ValueError for what does not fit an entry. A header that could hold a contact's data is refused here."""
    if not _KIND.fullmatch(entry.kind) or not (entry.kind in KINDS or entry.kind.split(".")[0] in FAMILIES):
        raise ValueError(f"The audit trail knows no kind {entry.kind!r}.")
    if not 0 < len(entry.actor) <= 200:
        raise ValueError("An entry names its actor, in at most 200 characters.")
    if entry.side not in ("", "left", "right"):
        raise ValueError("The side of an entry is left, right or empty.")
    for name, value in entry.header.items():
        if name in _OURS or (name == "redacts" and entry.kind != Kind.REDACT):
            raise ValueError(f"Header item {name!r} is set by the audit trail itself.")
        form.check_code(name, name)
        form.check_code(name, value)
    form.check_code("operation", entry.operation)
    if len(entry.kind) > 40 or len(entry.operation) > 20:
        raise ValueError("A kind has at most 40 characters, an operation at most 20.")


def _payload(payload: Mapping[str, JSON] | None, salt: Callable[[], bytes]) -> tuple[str | None, str | None, str]:
    if payload is None:
        return None, None, form.NO_PAYLOAD
    grains = salt()
    if len(grains) != form.SALT_BYTES:
        raise ValueError(f"A salt has {form.SALT_BYTES} bytes.")
    text = form.canonical(form.storable(payload))
    return text, grains.hex(), form.payload_commit(grains, text)


def _text(code: UUID | None) -> str | None:
    return None if code is None else str(code)
