"""Builders for the audit trail's tests: Anna's connection, and a diary of fifty entries about Bob."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import transaction

from syncer.audit.chain import JSON, Entry, append, of_connection, redact
from syncer.models.log import Kind

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CONNECTION = UUID("a0000000-0000-4000-8000-000000000001")
LINK = UUID("b0000000-0000-4000-8000-000000000002")
RUN = UUID("c0000000-0000-4000-8000-000000000003")
RECORD = UUID("d0000000-0000-4000-8000-000000000004")
CHAIN = of_connection(CONNECTION)
LAST = 50
REDACTED = (3, 7)
REDACT = 40


def intent(payload: dict[str, JSON] | None = None, **header: JSON) -> Entry:
    """We are about to write to Bob's record on the right."""
    return Entry(
        kind=Kind.WRITE_INTENT,
        actor="schedule",
        header=header,
        payload=payload,
        connection=CONNECTION,
        run=RUN,
        link=LINK,
        record=RECORD,
        side="right",
        operation="update",
    )


def write(entries: Sequence[Entry], chain: str = CHAIN, now: datetime = NOON) -> None:
    with transaction.atomic():
        append(chain, entries, now)


def erase(*seqs: int, now: datetime = NOON) -> int:
    return redact(CHAIN, seqs, Entry(Kind.REDACT, "user:anna"), now)


def diary() -> None:
    """Fifty entries, each fifth without a payload; two of them erased by the fortieth."""
    write(list(_pages(1, REDACT - 1)))
    erase(*REDACTED, now=NOON + timedelta(minutes=1))
    for seq in range(REDACT + 1, LAST + 1):
        write(list(_pages(seq, seq)), now=NOON + timedelta(minutes=seq))


def _pages(first: int, last: int) -> Iterator[Entry]:
    for seq in range(first, last + 1):
        payload: dict[str, JSON] = {"before": {"name": "Bob"}, "after": {"name": f"Böb {seq}"}}
        yield intent(None if seq % 5 == 0 else payload, version=seq)
