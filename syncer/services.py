"""The acts of people on runs, plans and holds; the same rules as in connections/services.py."""

from django.db import IntegrityError, transaction

from connections.models import Connection
from connections.services import Refused
from portal.clock import SYSTEM, Clock
from syncer.audit.chain import JSON, PORTAL, Entry, append
from syncer.engine.holds import close, resolved_entry
from syncer.engine.run import OPEN_PLAN, close_plan
from syncer.models import Book, Hold, SyncRun


def queue(connection: Connection) -> None:
    """Ask a worker for the next slice, in the caller's transaction: the queue lives in the same database."""
    from syncer.tasks import enqueue

    enqueue(connection.pk)


def request_sync(connection: Connection, actor: str, clock: Clock = SYSTEM) -> SyncRun:
    """Run now. Raises Refused where one is under way."""
    if connection.state != Connection.State.ACTIVE:
        raise Refused("The connection is not active. Activate or resume it first.")
    return new_run(connection, actor, False, clock)


def request_plan(connection: Connection, actor: str, clock: Clock = SYSTEM, enqueue: bool = True) -> SyncRun:
    """A dry run: plans, and writes nothing outside. `enqueue` off: the caller does the work itself."""
    if connection.state == Connection.State.DRAFT:
        raise Refused("The connection is a draft. Activate it first: its first plan is shown for review.")
    return new_run(connection, actor, True, clock, enqueue)


def new_run(connection: Connection, actor: str, dry_run: bool, clock: Clock, enqueue: bool = True) -> SyncRun:
    try:
        with transaction.atomic():
            run = SyncRun.objects.create(
                connection=connection,
                version=connection.version,
                trigger="person",
                actor=actor,
                dry_run=dry_run,
                queued_at=clock.now(),
            )
            if enqueue:
                queue(connection)
    except IntegrityError as error:
        raise Refused("A run of this connection is under way already.") from error
    return run


def approve(run: SyncRun, actor: str, digest: str = "", clock: Clock = SYSTEM) -> SyncRun:
    """Let exactly this plan through, once. Raises Refused where it is not open any more, or another than was seen."""
    connection = run.connection
    if run.status not in OPEN_PLAN:
        raise Refused("This plan is not open any more.")
    if connection.state != Connection.State.ACTIVE:
        raise Refused("The connection is paused. Resume it first, then approve.")
    if run.version != connection.version:
        raise Refused("The connection was edited since this plan was made. Plan again.")
    if (clock.now() - run.queued_at).days >= 7:
        raise Refused("This plan is older than seven days. Plan again.")
    if digest and digest != run.plan_digest:
        raise Refused("This is not the plan that you looked at. Load it again.")
    try:
        release(run, connection, actor, clock)
    except IntegrityError as error:
        raise Refused("A run of this connection is under way. Wait until it has ended, then approve.") from error
    run.refresh_from_db()
    return run


def release(run: SyncRun, connection: Connection, actor: str, clock: Clock) -> None:
    with transaction.atomic():
        taken = SyncRun.objects.filter(pk=run.pk, status__in=OPEN_PLAN, plan_digest=run.plan_digest).update(
            status=SyncRun.Status.QUEUED, released=True, dry_run=False, phase=SyncRun.Phase.APPLY, error="", attempts=0
        )
        if taken != 1:
            raise Refused("This plan is not open any more.")
        Connection.objects.filter(pk=connection.pk).update(reviewed_version=run.version)
        holds = list(Hold.objects.filter(connection=connection, kind=Hold.Kind.GUARD, resolved__isnull=True))
        close(holds, "approved", actor, clock.now())
        queue(connection)
        header: dict[str, JSON] = {"digest": run.plan_digest, "version": run.version}
        entries = [Entry("plan.approved", actor, header, connection=connection.code, run=run.code)]
        entries += [resolved_entry(hold, connection.code) for hold in holds]
        append(connection.chain, entries, clock.now())


def reject(run: SyncRun, actor: str, clock: Clock = SYSTEM) -> SyncRun:
    """Do not carry the plan out; the connection pauses, so that the same plan does not come back at once."""
    connection = run.connection
    with transaction.atomic():
        if not SyncRun.objects.filter(pk=run.pk, status__in=OPEN_PLAN).update(status=SyncRun.Status.REJECTED):
            raise Refused("This plan is not open any more.")
        Connection.objects.filter(pk=connection.pk).update(state=Connection.State.PAUSED)
        header: dict[str, JSON] = {"digest": run.plan_digest}
        rejected = Entry("plan.rejected", actor, header, connection=connection.code, run=run.code)
        close_plan(connection, run, SyncRun.Status.REJECTED, "rejected", actor, clock.now(), [rejected])
    return run


def resolve_book_hold(hold: Hold, actor: str, clock: Clock = SYSTEM) -> None:
    """A person says that what a book shows is right (it is empty, the contacts are gone): reading goes on."""
    if hold.book is None or hold.resolved is not None:
        raise Refused("This is not an open question about a book.")
    with transaction.atomic():
        close([hold], "it is right", actor, clock.now())
        if hold.kind == Hold.Kind.EMPTIED:
            Book.objects.filter(pk=hold.book.pk).update(full_wanted=True, empty_accepted=True, problem="")
        append(PORTAL, [resolved_entry(hold)], clock.now())
