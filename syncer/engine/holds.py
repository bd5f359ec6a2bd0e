"""Opening and closing what waits for a person; each in the transaction of what caused it, with its log entry."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from connections.models import Connection
from syncer.audit.chain import Entry, append
from syncer.engine.planner import Held
from syncer.models import Book, Hold, Link, SyncRun

OF_A_LINE = ("conflict", "value", "required_empty")


def open_book_hold(book: Book, kind: Hold.Kind, data: Mapping[str, Any], now: datetime) -> None:
    subject = Hold.subject_of(kind, book_id=book.pk)
    if Hold.objects.filter(subject=subject, resolved__isnull=True).exists():
        return
    hold = Hold.objects.create(book=book, kind=kind, subject=subject, data=dict(data), opened=now, updated_at=now)
    header = {"hold": str(hold.code), "hold_kind": str(kind), "account": str(book.account.code), **data}
    append("portal", [Entry("hold.opened", "system", header, {"book": book.remote_id})], now)


def close_book_hold(book: Book, kind: Hold.Kind, now: datetime) -> None:
    """The cause is gone by itself."""
    for hold in Hold.objects.filter(book=book, kind=kind, resolved__isnull=True):
        close([hold], "the cause is gone", "system", now)
        append("portal", [resolved_entry(hold)], now)


def close(holds: Sequence[Hold], resolution: str, resolver: str, now: datetime) -> None:
    for hold in holds:
        hold.resolved, hold.resolution, hold.resolver, hold.updated_at = now, resolution, resolver, now
    Hold.objects.bulk_update(holds, ["resolved", "resolution", "resolver", "updated_at"])


def resolved_entry(hold: Hold, connection: UUID | None = None) -> Entry:
    header = {"hold": str(hold.code), "hold_kind": hold.kind}
    return Entry("hold.resolved", hold.resolver, header, {"resolution": hold.resolution}, connection=connection)


def open_connection_hold(
    connection: Connection, run: SyncRun, kind: Hold.Kind, data: Mapping[str, Any], now: datetime
) -> list[Entry]:
    subject = Hold.subject_of(kind, connection_id=connection.pk)
    if Hold.objects.filter(subject=subject, resolved__isnull=True).exists():
        return []
    hold = Hold.objects.create(
        connection=connection, kind=kind, subject=subject, data=dict(data), opened=now, updated_at=now
    )
    header = {"hold": str(hold.code), "hold_kind": str(kind)}
    return [Entry("hold.opened", "system", header, dict(data), connection=connection.code, run=run.code)]


def sync_link_holds(
    connection: Connection, found: Sequence[tuple[Link, Sequence[Held]]], run_code: UUID | None, now: datetime
) -> list[Entry]:
    """Make the open holds of the links be exactly what the planner found: new ones are opened, changed values refresh
    theirs, and what no longer holds is closed. Returns the log entries."""
    by_link = {link.pk: link for link, _ in found}
    open_holds = {
        hold.subject: hold for hold in Hold.objects.filter(link_id__in=by_link, resolved__isnull=True).order_by("pk")
    }
    wanted: dict[str, Hold] = {}
    for link, helds in found:
        for held in helds:
            subject = Hold.subject_of(held.kind, connection_id=connection.pk, link_id=link.pk, mapping=held.line)
            wanted[subject] = Hold(
                connection=connection,
                kind=held.kind,
                link=link,
                mapping=UUID(held.line) if held.line else None,
                subject=subject,
                data={"reason": held.reason, "left": held.left, "right": held.right},
                opened=now,
                updated_at=now,
            )
    new = [hold for subject, hold in wanted.items() if subject not in open_holds]
    ended = [hold for subject, hold in open_holds.items() if subject not in wanted and hold.kind != "create_unknown"]
    moved = [hold for subject, hold in open_holds.items() if subject in wanted and hold.data != wanted[subject].data]
    for hold in moved:
        hold.data, hold.updated_at = wanted[hold.subject].data, now
    Hold.objects.bulk_create(new)
    Hold.objects.bulk_update(moved, ["data", "updated_at"])
    close(ended, "the cause is gone", "system", now)
    entries = [opened_entry(hold, connection, by_link[hold.link_id or 0], run_code) for hold in new]
    return entries + [resolved_entry(hold, connection.code) for hold in ended]


def opened_entry(hold: Hold, connection: Connection, link: Link, run_code: UUID | None) -> Entry:
    header = {"hold": str(hold.code), "hold_kind": hold.kind, "mapping": str(hold.mapping or "")}
    return Entry("hold.opened", "system", header, hold.data, connection=connection.code, run=run_code, link=link.code)
