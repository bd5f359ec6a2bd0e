"""The end of a run that a person wanted. It comes between two batches of writes, after what was sent was settled as far
as it can be; what is not known yet is left to the next run, as after a crash."""

from datetime import datetime, timedelta

from connections.models import Connection
from syncer.audit.chain import JSON, Entry, append
from syncer.engine.counting import count_end, counted, outcomes
from syncer.engine.unsent import leave_unsent
from syncer.models import Cancellation, Change, SyncRun

UNDER_WAY = (SyncRun.Status.QUEUED, SyncRun.Status.RUNNING)


class Cancelled(Exception):
    """A person wants this run to end: nothing further is sent."""


def asked_to_end(run: SyncRun) -> bool:
    return Cancellation.objects.filter(run=run).exists()


def stop_if_cancelled(run: SyncRun) -> None:
    """Raises Cancelled. For certain only in a transaction that has the connection's row: whoever cancels takes that."""
    if asked_to_end(run):
        raise Cancelled


def is_sending(run: SyncRun) -> bool:
    """Whether it sent something whose outcome is not known."""
    return run.changes.filter(state=Change.State.SENDING).exists()


def newest(connection: Connection) -> Cancellation | None:
    return connection.cancellations.select_related("run").order_by("-pk").first()


def rests_until(last: Cancellation, connection: Connection, now: datetime) -> datetime | None:
    """A cancelled run is followed by the next scheduled one, an interval later, and by none that a task left in the
    queue, or another book's news, would begin at once. None where it does not rest: a plan was no sync."""
    if last.run.status != SyncRun.Status.CANCELLED or last.run.finished is None or last.run.dry_run:
        return None
    until = last.run.finished + timedelta(seconds=connection.interval)
    if until <= now or connection.runs.filter(status__in=UNDER_WAY).exists():
        return None
    return until


def end_run(connection: Connection, run: SyncRun, by: str, now: datetime) -> None:
    """End it in the caller's transaction, which has the connection's row. What it did so far stays done."""
    leave_unsent(run, now)
    found = outcomes(run)
    run.status, run.phase, run.counts = SyncRun.Status.CANCELLED, SyncRun.Phase.END, counted(run, found)
    run.finished, run.error = now, f"cancelled by {by}"
    count_end(run.status, found)
    entries = [] if run.recorded or run.started is None else [started_entry(connection, run)]
    run.recorded = True
    run.save()
    header: dict[str, JSON] = {"status": str(run.status), "counts": run.counts, "api_calls": run.api_calls, "error": ""}
    payload = {"reason": run.error}
    entries.append(Entry("run.finished", by, header, payload, connection=connection.code, run=run.code))
    append(connection.chain, entries, now)


def started_entry(connection: Connection, run: SyncRun) -> Entry:
    header: dict[str, JSON] = {"version": run.version, "trigger": run.trigger, "dry_run": run.dry_run}
    return Entry("run.started", run.actor, header, connection=connection.code, run=run.code)
