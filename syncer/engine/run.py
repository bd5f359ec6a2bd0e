"""One run of a connection, slice by slice: pull -> recover -> plan -> guard -> apply (ENGINE.md 5).

`run_slice` is called by the queue's task and by the terminal alike. It never sleeps: where it has to wait it says until
when, and gives its worker back.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Count, F, QuerySet

from connections.models import Account, Connection
from portal.clock import Clock
from syncer import context, counters
from syncer.audit.chain import JSON, Entry, append, count_quiet_run
from syncer.audit.checkpoint import behind
from syncer.audit.format import clean_text
from syncer.connectors.base import AuthFailed, BudgetSpent, ConnectorError, Misconfigured, RateLimited
from syncer.engine.apply import Paused, Stopped, apply_all
from syncer.engine.cancelling import (
    UNDER_WAY,
    Cancelled,
    asked_to_end,
    end_run,
    is_sending,
    newest,
    rests_until,
    stop_if_cancelled,
)
from syncer.engine.counting import count_end, count_error, counted, outcomes
from syncer.engine.holds import close, open_connection_hold, resolved_entry
from syncer.engine.plan import begin, check_ready, needs_review, over_limits, plan_all, record, seal
from syncer.engine.pull import Reader, confirm, pull
from syncer.engine.recover import connectors_by_side, recover
from syncer.engine.setup import Setup, ensure_sides, load
from syncer.engine.slice import Connect, NotReady, OutOfTime, Slice, Watch
from syncer.engine.unsent import leave_unsent
from syncer.leases import LeaseLost, acquire
from syncer.models import Book, Change, Hold, Link, Side, SyncRun
from syncer.models.link import ENDED
from syncer.rates import Budget

log = logging.getLogger(__name__)
MOST_ATTEMPTS = 5
"""Slices that may be begun without a step forward: a run that kills its worker stops."""
RETRY = timedelta(minutes=5)
EVER = datetime.min.replace(tzinfo=UTC)
OPEN_PLAN = (SyncRun.Status.WAITING, SyncRun.Status.HELD)
SCHEDULE = "schedule"
NOTHING_NEW = ("quiet", "busy", "wait")


@dataclass(frozen=True)
class Worker:
    """Who works, with what: all that comes from outside. `limits` gives an app's calls per hour; `pulse` is called as
    long as a slice gets on."""

    name: str
    clock: Clock
    connect: Connect
    slice_seconds: float
    lease_seconds: float
    limits: Callable[[str], int | None]
    write_seconds: float = 30.0
    progress: Callable[[str, int, int], None] = field(default=lambda what, done, total: None)
    pulse: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True)
class Outcome:
    """`again_at` is when to go on with this run, None when it is over. `reason` is for people."""

    status: str
    reason: str = ""
    again_at: datetime | None = None
    run: SyncRun | None = None


def run_slice(connection_id: int, worker: Worker, trigger: str = SCHEDULE, actor: str = SCHEDULE) -> Outcome:
    """Do one slice of work for a connection: of the run that is under way, or of a new one."""
    connection = Connection.objects.select_related("left_account", "right_account").get(pk=connection_id)
    context.on(connection=connection.code, run="")
    outcome = one_slice(connection, worker, trigger, actor)
    log.log(logging.DEBUG if outcome.status in NOTHING_NEW else logging.INFO, "The slice ended: %s", outcome.status)
    return outcome


def one_slice(connection: Connection, worker: Worker, trigger: str, actor: str) -> Outcome:
    if connection.state == Connection.State.DRAFT:
        return Outcome("draft", "the connection is a draft: activate it first")
    if restored := behind():
        return Outcome("attention", restored)
    now, cancelled = worker.clock.now(), newest(connection)
    if cancelled is not None and trigger == SCHEDULE and (until := rests_until(cancelled, connection, now)) is not None:
        return Outcome("wait", "its run was cancelled; the next begins then", until)
    shut = closed(connection, now)
    if shut is not None and (cancelled is None or cancelled.run.status not in UNDER_WAY):
        return shut
    keys = [connection.left_account.lease_key, connection.right_account.lease_key]
    lease = acquire(keys, worker.name, timedelta(seconds=worker.lease_seconds), worker.clock)
    if lease is None:
        counters.add({(counters.LEASE_WAITS,): 1})
        return Outcome("busy", "another connection works on one of the accounts", now + timedelta(seconds=15))
    slice = Slice(worker.clock, lease, worker.clock.monotonic() + worker.slice_seconds, progress=worker.progress)
    slice.write_seconds, slice.pulse = worker.write_seconds, worker.pulse
    was = sequences(connection)
    try:
        if shut is not None and cancelled is not None:
            return end_cancelled(slice, connection, cancelled.run)
        open_connectors(slice, connection, worker)
        outcome = guarded(slice, connection, trigger, actor)
    except LeaseLost:
        counters.add({(counters.LEASES_LOST,): 1})
        return Outcome("lost", "another worker took over", worker.clock.now() + timedelta(seconds=15))
    finally:
        for budget in slice.budgets.values():
            budget.flush()
        lease.release()
    wake_neighbours(connection, was, worker.clock.now())
    return outcome


def closed(connection: Connection, now: datetime) -> Outcome | None:
    """Why one of the accounts cannot be called now."""
    for account in (connection.left_account, connection.right_account):
        if account.status != Account.Status.CONNECTED:
            return Outcome("attention", f"{account}: {account.status_text or 'needs authorisation'}")
        if account.blocked_until is not None and account.blocked_until > now:
            return Outcome("wait", f"{account} takes no calls until then", account.blocked_until)
    return None


def sequences(connection: Connection) -> dict[int, int]:
    """How far the books of a connection have come."""
    return dict(Book.objects.filter(sides__connection=connection).values_list("pk", "sequence"))


def wake_neighbours(connection: Connection, was: Mapping[int, int], now: datetime) -> None:
    """What this slice brought into a book is news for every other connection of that book: they are due."""
    moved = [pk for pk, sequence in sequences(connection).items() if sequence != was.get(pk)]
    behind = Side.objects.filter(book__in=moved, planned__lt=F("book__sequence")).values("connection")
    others = Connection.objects.filter(pk__in=behind, state=Connection.State.ACTIVE).exclude(pk=connection.pk)
    others.filter(next_run_at__gt=now).update(next_run_at=now)


def open_connectors(slice: Slice, connection: Connection, worker: Worker) -> None:
    for account in {a.pk: a for a in (connection.left_account, connection.right_account)}.values():
        calls = worker.limits(account.app)
        share = None if calls is None else calls * account.api_share // 100
        budget = Budget(account.lease_key, f"connection {connection.code}", share, slice.clock)
        slice.budgets[account.pk] = budget
        slice.connectors[account.pk] = worker.connect(account, Watch(slice, budget))


def guarded(slice: Slice, connection: Connection, trigger: str, actor: str) -> Outcome:
    """One slice, and the end of a run that a person cancelled: at once where everything sent is settled, else with the
    next slice, which settles what it can."""
    run = open_run(slice, connection, trigger, actor)
    context.on(run=run.code)
    last = asked_to_end(run)
    try:
        outcome = attempted(slice, connection, run)
    except Cancelled:
        if not last and is_sending(run):
            return pause(slice, run, "cancelled: what was sent is settled first", slice.now())
        return end_cancelled(slice, connection, run)
    goes_on = outcome.run is run and outcome.status == SyncRun.Status.RUNNING
    return end_cancelled(slice, connection, run) if last and goes_on else outcome


def attempted(slice: Slice, connection: Connection, run: SyncRun) -> Outcome:
    """One slice, with everything that can go wrong turned into an outcome and a status that people see. Raises
    Cancelled."""
    if run.attempts > MOST_ATTEMPTS:
        return fail(slice, connection, run, "stopped", f"stopped after {MOST_ATTEMPTS} attempts without a step forward")
    try:
        outcome = work(slice, connection, run)
    except OutOfTime:
        outcome = pause(slice, run, "", slice.now())
    except Paused as paused:
        outcome = pause(slice, run, str(paused), paused.until or slice.now() + RETRY)
    except Stopped as stopped:
        outcome = supersede(slice, connection, run, str(stopped))
    except NotReady as waiting:
        begun = run.phase != SyncRun.Phase.PULL
        later = slice.now() + RETRY
        outcome = pause(slice, run, str(waiting), later) if begun else finish(slice, connection, run, str(waiting))
    except BudgetSpent as spent:
        count_error(account_of(connection, spent), spent)
        outcome = pause(slice, run, str(spent), spent.until)
    except RateLimited as limited:
        outcome = pause(slice, run, str(limited), block(slice, connection, limited))
    except ConnectorError as error:
        if isinstance(error, AuthFailed | Misconfigured):
            needs_authorization(slice, connection, error)
        outcome = stumble(slice, connection, run, error)
    return outcome


def open_run(slice: Slice, connection: Connection, trigger: str, actor: str) -> SyncRun:
    """The run under way, or a new one. The attempt is counted, and committed, before any work."""
    now = slice.now()
    with slice.transaction():
        # The connection before its run: the order in which everybody takes them, and who cancels a queued run waits.
        Connection.objects.filter(pk=connection.pk).update(last_run_at=now)
        run = SyncRun.objects.filter(connection=connection, status__in=UNDER_WAY).first()
        if run is None:
            run = SyncRun(
                connection=connection, version=connection.version, trigger=trigger, actor=actor, queued_at=now
            )
        run.status, run.started = SyncRun.Status.RUNNING, run.started or now
        run.attempts, run.slices = run.attempts + 1, run.slices + 1
        run.save()
    return run


def work(slice: Slice, connection: Connection, run: SyncRun) -> Outcome:
    if not is_sending(run):
        stop_if_cancelled(run)
    sides = ensure_sides(connection, slice.now())
    try_refused_again(slice, connection)
    for book in {side.book_id: side.book for side in sides.values()}.values():
        with slice.at(book.account_id):
            pull(Reader(slice, slice.connectors[book.account_id]), book)
    recover(slice)
    for book in {side.book_id: side.book for side in sides.values()}.values():
        with slice.at(book.account_id):
            confirm(Reader(slice, slice.connectors[book.account_id]), book)
    stop_if_cancelled(run)
    if connection.state != Connection.State.ACTIVE and not run.dry_run:
        if run.changes.filter(state=Change.State.PLANNED).exists():
            raise Stopped("the connection was paused")
        return finish(slice, connection, run, "paused: only what was under way was settled")
    if run.version != connection.version:
        raise Stopped("the connection was edited")
    setup = load(connection, connectors_by_side(slice, connection))
    if run.phase == SyncRun.Phase.PULL and open_plan_stands(slice, connection, run):
        return finish(slice, connection, run, "a plan waits for a person")
    if run.phase in (SyncRun.Phase.PULL, SyncRun.Phase.PLAN):
        check_ready(setup)
    if run.phase == SyncRun.Phase.PULL:
        begin(slice, setup, run)
    if run.phase == SyncRun.Phase.PLAN:
        plan_all(slice, setup, run)
        if (verdict := after_planning(slice, setup, run)) is not None:
            return verdict
    apply_all(slice, setup, run)
    return finish(slice, connection, run)


def try_refused_again(slice: Slice, connection: Connection) -> None:
    """What an app refused is worth another try once one of the accounts was authorised anew: rights may have come."""
    checked = [account.checked_at for account in (connection.left_account, connection.right_account)]
    since = max((moment for moment in checked if moment is not None), default=EVER)
    states, now = [Link.State.FAILING, Link.State.OPPOSITE_DELETED], slice.now()
    refused = Link.objects.filter(connection=connection, state__in=states, updated_at__lt=since).exclude(refused={})
    if refused.exists():
        with slice.transaction():
            refused.update(refused={}, next_attempt_at=now, updated_at=now)


def open_plan_stands(slice: Slice, connection: Connection, run: SyncRun) -> bool:
    """One open plan per connection: while it stands nothing new is planned; one of an older version, or one that a new
    dry run replaces, is superseded."""
    plan = SyncRun.objects.filter(connection=connection, status__in=OPEN_PLAN).first()
    if plan is None:
        return False
    if plan.version == connection.version and not run.dry_run:
        return True
    end_plan(slice, connection, plan, SyncRun.Status.SUPERSEDED, "a newer plan took its place")
    return False


def end_plan(slice: Slice, connection: Connection, plan: SyncRun, status: SyncRun.Status, reason: str) -> None:
    with slice.transaction():
        close_plan(connection, plan, status, reason, plan.actor, slice.now())


def close_plan(
    connection: Connection,
    plan: SyncRun,
    status: SyncRun.Status,
    reason: str,
    actor: str,
    now: datetime,
    first: Sequence[Entry] = (),
) -> None:
    """End an open plan without carrying it out, in the caller's transaction: its links are judged again."""
    leave_unsent(plan, now)
    holds = list(Hold.objects.filter(connection=connection, kind=Hold.Kind.GUARD, resolved__isnull=True))
    close(holds, status.value, actor, now)
    plan.status, plan.phase, plan.error, plan.finished = status, SyncRun.Phase.END, reason, now
    plan.save()
    count_end(plan.status, outcomes(plan))
    header, payload = {"status": status.value}, {"reason": reason}
    entry = Entry("run.finished", actor, header, payload, connection=connection.code, run=plan.code)
    append(connection.chain, [*first, *(resolved_entry(hold, connection.code) for hold in holds), entry], now)


def after_planning(slice: Slice, setup: Setup, run: SyncRun) -> Outcome | None:
    """The plan stands: name it, count it against the limits, and either carry it out or show it to a person."""
    with slice.transaction():
        has_row(connection := setup.connection)
        stop_if_cancelled(run)
        count = seal(run)
        run.attempts = 0
        held = [str(breach) for breach in over_limits(setup, run, slice)] if count and not run.released else []
        review = run.dry_run or needs_review(connection)
        if count and (held or review) and not run.released:
            return show(slice, connection, run, held)
        run.phase = SyncRun.Phase.END if run.dry_run else SyncRun.Phase.APPLY
        run.save()
    return finish(slice, connection, run) if run.dry_run else None


def show(slice: Slice, connection: Connection, run: SyncRun, breaches: list[str]) -> Outcome:
    run.status = SyncRun.Status.HELD if breaches else SyncRun.Status.WAITING
    run.phase, run.error = SyncRun.Phase.APPLY, "; ".join(breaches)
    run.counts = {"planned": planned_counts(run)}
    run.api_calls += slice.calls()
    run.save()
    entries = (
        open_connection_hold(connection, run, Hold.Kind.GUARD, {"limits": breaches}, slice.now()) if breaches else []
    )
    header: dict[str, JSON] = {"digest": run.plan_digest, "changes": run.progress_total}
    payload: dict[str, JSON] = {"limits": breaches}
    entries.append(Entry("plan.made", run.actor, header, payload, connection=connection.code, run=run.code))
    Connection.objects.filter(pk=connection.pk).update(last_success_at=slice.now())
    record(connection, run, entries, slice)
    return Outcome(run.status, run.error or "the plan waits for review", run=run)


def planned_counts(run: SyncRun) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {"left": {}, "right": {}}
    rows = run.changes.filter(state__in=["planned", "held"]).order_by()
    for side, operation, number in rows.values_list("side", "operation").annotate(number=Count("pk")):
        counts[side][operation] = number
    return counts


# Ends


def pause(slice: Slice, run: SyncRun, reason: str, until: datetime) -> Outcome:
    """The run goes on later; what was done so far counts as a step forward."""
    with slice.transaction():
        run.attempts = 0
        run.api_calls += slice.calls()
        run.error = reason
        run.save()
    return Outcome("running", reason, until, run)


def finish(slice: Slice, connection: Connection, run: SyncRun, reason: str = "") -> Outcome:
    """A run that changed, held and failed nothing leaves no row and no entry, only the count of quiet runs. Raises
    Cancelled."""
    now = slice.now()
    with slice.transaction():
        current = has_row(connection)
        stop_if_cancelled(run)
        success = {} if reason else {"last_success_at": now}
        if not run.recorded and not run.dry_run and not run.changes.exists():
            current.update(quiet_runs=connection.quiet_runs + 1, **success)
            run.delete()
            count_end("quiet")
            count_quiet_run(connection.chain)
            return Outcome("quiet", reason)
        current.update(quiet_runs=0, **success)
        found = outcomes(run)
        run.counts = counted(run, found)
        run.status = SyncRun.Status.PARTIAL if run.counts["failed"] else SyncRun.Status.DONE
        count_end(run.status, found)
        close_run(slice, connection, run, reason)
    return Outcome(run.status, reason, now if got_on(run) and due(connection, now) else None, run)


def has_row(connection: Connection) -> QuerySet[Connection]:
    """Takes the connection's row for the transaction: who pauses, edits or cancels waits, or did it before."""
    row = Connection.objects.filter(pk=connection.pk)
    row.update(last_run_at=F("last_run_at"))
    return row


def end_cancelled(slice: Slice, connection: Connection, run: SyncRun) -> Outcome:
    by = run.cancellation.actor
    with slice.transaction():
        has_row(connection)
        if not SyncRun.objects.filter(pk=run.pk, status__in=UNDER_WAY).exists():
            return Outcome("quiet", "somebody else ended it")
        run.api_calls += slice.calls()
        end_run(connection, run, by, slice.now())
    return Outcome(run.status, run.error, run=run)


def got_on(run: SyncRun) -> bool:
    return run.changes.filter(state__in=["done", "recovered"]).exists()


def due(connection: Connection, now: datetime) -> bool:
    """Whether contacts wait to be judged again: what was overtaken or lost goes on at once, in a run of its own."""
    return Link.objects.filter(connection=connection, next_attempt_at__lte=now).exclude(state__in=ENDED).exists()


def close_run(slice: Slice, connection: Connection, run: SyncRun, reason: str) -> None:
    run.phase, run.finished, run.error = SyncRun.Phase.END, slice.now(), reason
    run.api_calls += slice.calls()
    run.save()
    header = {"status": run.status, "counts": run.counts, "api_calls": run.api_calls, "error": run.error_kind}
    entry = Entry("run.finished", run.actor, header, {"reason": reason}, connection=connection.code, run=run.code)
    record(connection, run, [entry], slice)


def supersede(slice: Slice, connection: Connection, run: SyncRun, reason: str) -> Outcome:
    """Raises Cancelled."""
    with slice.transaction():
        is_active = has_row(connection).filter(state=Connection.State.ACTIVE).exists()
        stop_if_cancelled(run)
        again_at = slice.now() if is_active else None
        if not run.recorded and not run.changes.exists():
            run.delete()
            count_end("quiet")
            return Outcome("quiet", reason, again_at)
        close_plan(connection, run, SyncRun.Status.SUPERSEDED, reason, run.actor, slice.now())
    return Outcome("superseded", reason, again_at, run)


def fail(slice: Slice, connection: Connection, run: SyncRun, kind: str, reason: str) -> Outcome:
    """The run ends here; what it had planned is judged again by the next. Raises Cancelled."""
    now = slice.now()
    with slice.transaction():
        has_row(connection)
        stop_if_cancelled(run)
        leave_unsent(run, now)
        found = outcomes(run)
        run.status, run.error_kind, run.counts = SyncRun.Status.FAILED, kind, counted(run, found)
        count_end(run.status, found)
        close_run(slice, connection, run, reason)
    log.warning("Run %s of connection %s failed: %s", run.code, connection.code, kind)
    return Outcome("failed", reason, run=run)


def stumble(slice: Slice, connection: Connection, run: SyncRun, error: ConnectorError) -> Outcome:
    """An app failed. A plan that is being carried out stays as it was approved and goes on later; else the run ends."""
    count_error(account_of(connection, error), error)
    reason = clean_text(str(error))
    if run.phase == SyncRun.Phase.APPLY:
        return pause(slice, run, reason, slice.now() + RETRY)
    return fail(slice, connection, run, type(error).__name__, reason)


def block(slice: Slice, connection: Connection, limited: RateLimited) -> datetime:
    """The app throttles: leave the accounts alone for as long as it says, or for five minutes."""
    count_error(account_of(connection, limited), limited)
    seconds = limited.retry_after if limited.retry_after is not None else RETRY.total_seconds()
    until = slice.now() + timedelta(seconds=min(max(seconds, 1), 24 * 3600))
    account = account_of(connection, limited)
    if account is not None:
        Account.objects.filter(pk=account.pk).update(blocked_until=until, updated_at=slice.now())
    return until


def account_of(connection: Connection, error: ConnectorError) -> Account | None:
    """Whose error it was: the connector says so by the app's slug."""
    for account in (connection.left_account, connection.right_account):
        if error.account == account.pk:
            return account
    return None


def needs_authorization(slice: Slice, connection: Connection, error: ConnectorError) -> None:
    account = account_of(connection, error)
    if account is None:
        return
    now = slice.now()
    told = {"status": Account.Status.NEEDS_AUTHORIZATION, "status_text": clean_text(str(error)), "checked_at": now}
    with transaction.atomic():
        # Not of an account that somebody gave new credentials meanwhile: the error was about the old ones.
        same = Account.objects.filter(pk=account.pk, edition=account.edition)
        if same.update(**told, updated_at=now) != 1:
            return
        header = {"account": str(account.code), "app": account.app, "error": type(error).__name__}
        append("portal", [Entry("account.failed", "system", header)], now)
