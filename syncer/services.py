"""The acts of people on runs, plans and holds; the same rules as in connections/services.py."""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Max

from connections.models import Client, ConfigVersion, Connection
from connections.models.connection import SideName
from connections.services import Refused
from portal.clock import SYSTEM, Clock
from syncer.audit.chain import JSON, PORTAL, Entry, append
from syncer.engine.cancelling import UNDER_WAY, asked_to_end, end_run, is_sending
from syncer.engine.holds import close, resolved_entry
from syncer.engine.replica import unite
from syncer.engine.run import OPEN_PLAN, close_plan, has_row
from syncer.leases import acquire
from syncer.models import Book, Cancellation, Change, Hold, Link, Record, SyncRun
from syncer.models.link import ENDED

ELSE = "This client wants four eyes: somebody else approves it."


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
    seen(run, digest)
    four_eyes(run, actor)
    try:
        release(run, connection, actor, clock)
    except IntegrityError as error:
        raise Refused("A run of this connection is under way. Wait until it has ended, then approve.") from error
    run.refresh_from_db()
    return run


def four_eyes(run: SyncRun, actor: str) -> None:
    """Where the client wants it, who changed the configuration since a plan was last let through, or asked for this
    one, does not let it through. An API key is somebody of its own. Raises Refused."""
    if not Client.objects.filter(connections=run.connection_id, four_eyes=True).exists():
        return
    before = SyncRun.objects.filter(connection=run.connection_id, released=True).exclude(pk=run.pk)
    since = before.aggregate(version=Max("version"))["version"] or 0
    versions = ConfigVersion.objects.filter(connection=run.connection_id, number__gt=since, number__lte=run.version)
    own = versions.filter(author=actor).first()
    if own is not None:
        raise Refused(f"You made version {own.number} of the configuration, which this plan carries out. {ELSE}")
    if run.trigger == "person" and run.actor == actor:
        raise Refused(f"You asked for this plan. {ELSE}")


def release(run: SyncRun, connection: Connection, actor: str, clock: Clock) -> None:
    with transaction.atomic():
        taken = SyncRun.objects.filter(pk=run.pk, status__in=OPEN_PLAN, plan_digest=run.plan_digest).update(
            status=SyncRun.Status.QUEUED, released=True, dry_run=False, phase=SyncRun.Phase.APPLY, error="", attempts=0
        )
        if taken != 1:
            raise Refused("This plan is not open any more.")
        Connection.objects.filter(pk=connection.pk).update(reviewed_version=run.version, review_once=False)
        holds = list(Hold.objects.filter(connection=connection, kind=Hold.Kind.GUARD, resolved__isnull=True))
        close(holds, "approved", actor, clock.now())
        queue(connection)
        header: dict[str, JSON] = {"digest": run.plan_digest, "version": run.version}
        entries = [Entry("plan.approved", actor, header, connection=connection.code, run=run.code)]
        entries += [resolved_entry(hold, connection.code) for hold in holds]
        append(connection.chain, entries, clock.now())


def seen(run: SyncRun, digest: str) -> None:
    """Raises Refused where the plan is another than the caller looked at; without a digest any will do."""
    if digest not in ("", run.plan_digest):
        raise Refused("This is not the plan that you looked at. Load it again.")


def reject(run: SyncRun, actor: str, clock: Clock = SYSTEM, digest: str = "") -> SyncRun:
    """Do not carry the plan out; the connection pauses, so that the same plan does not come back at once. Raises
    Refused."""
    seen(run, digest)
    connection = run.connection
    with transaction.atomic():
        open_still = SyncRun.objects.filter(pk=run.pk, status__in=OPEN_PLAN, plan_digest=run.plan_digest)
        if not open_still.update(status=SyncRun.Status.REJECTED):
            raise Refused("This plan is not open any more.")
        Connection.objects.filter(pk=connection.pk).update(state=Connection.State.PAUSED, updated_at=clock.now())
        header: dict[str, JSON] = {"digest": run.plan_digest}
        rejected = Entry("plan.rejected", actor, header, connection=connection.code, run=run.code)
        close_plan(connection, run, SyncRun.Status.REJECTED, "rejected", actor, clock.now(), [rejected])
    return run


def cancel(run: SyncRun, actor: str, clock: Clock = SYSTEM) -> SyncRun:
    """End a run that is under way: at once where no worker is at it, else between two batches of writes, after what was
    sent is settled (engine/cancelling.py). Raises Refused."""
    connection = run.connection
    keys = [connection.left_account.lease_key, connection.right_account.lease_key]
    lease = acquire(keys, actor, timedelta(seconds=60), clock)
    try:
        with transaction.atomic():
            if lease is not None:
                lease.fence()
            has_row(connection)
            found = SyncRun.objects.filter(pk=run.pk).first()
            if (problem := not_to_cancel(found)) != "" or found is None:
                raise Refused(problem)
            Cancellation.objects.create(connection=connection, run=found, actor=actor, at=clock.now())
            if found.status == SyncRun.Status.QUEUED or (lease is not None and not is_sending(found)):
                end_run(connection, found, actor, clock.now())
            else:
                queue(connection)
    finally:
        if lease is not None:
            lease.release()
    return found


def not_to_cancel(run: SyncRun | None) -> str:
    """Why a run cannot be cancelled; in a transaction that has the connection's row."""
    if run is not None and run.status in OPEN_PLAN:
        return "This plan waits for an answer, and nothing is being written. Reject it instead."
    if run is None or run.status not in UNDER_WAY:
        return "This run has ended already."
    return "This run was cancelled already; it ends after what was sent is settled." if asked_to_end(run) else ""


def resolve_book_hold(hold: Hold, actor: str, clock: Clock = SYSTEM) -> None:
    """A person says that what a book shows is right (it is empty, the contacts are gone): reading goes on."""
    if hold.book is None or hold.resolved is not None:
        raise Refused("This is not an open question about a book.")
    if hold.kind == Hold.Kind.IDENTITY:
        raise Refused("Another login shows other contacts. Enter the credentials of the login that was connected.")
    with transaction.atomic():
        claim(hold, clock.now())
        close([hold], "it is right", actor, clock.now())
        if hold.kind == Hold.Kind.EMPTIED:
            Book.objects.filter(pk=hold.book.pk).update(full_wanted=True, empty_accepted=True, problem="")
        append(PORTAL, [resolved_entry(hold)], clock.now())


def claim(hold: Hold, now: datetime) -> None:
    """Of two who answer a question at once only the first does. Raises Refused."""
    if Hold.objects.filter(pk=hold.pk, resolved__isnull=True).update(resolved=now, updated_at=now) != 1:
        raise Refused("This question was answered already.")


CHOICES = ("this", "again", "leave")
ACCEPTED = (Hold.Kind.EMPTIED, Hold.Kind.SUSPECTS)


def choices_of(hold: Hold) -> list[str]:
    """How a person can answer this question here; none where it ends when its cause does."""
    if hold.resolved is not None:
        return []
    if hold.kind == Hold.Kind.CREATE_UNKNOWN:
        return list(CHOICES)
    if hold.kind == Hold.Kind.GUARD:
        return ["approve", "reject"]
    return ["accept"] if hold.kind in ACCEPTED else []


def resolve(hold: Hold, choice: str, actor: str, record_id: str = "", clock: Clock = SYSTEM, digest: str = "") -> None:
    """Answer a hold with one of its choices; `record_id` is the app's id of the contact for "this", `digest` the plan
    that the caller looked at. Raises Refused."""
    possible = choices_of(hold)
    if choice not in possible:
        ends = "It ends when its cause does: see `data` for the reason." if not possible else ""
        raise Refused(ends or f"Choose one of: {', '.join(possible)}.")
    if choice == "accept":
        resolve_book_hold(hold, actor, clock)
    elif hold.kind == Hold.Kind.CREATE_UNKNOWN:
        record = next((one for one in could_be_it(hold) if record_id and one.remote_id == record_id), None)
        resolve_create(hold, choice, actor, record, clock)
    else:
        plan = SyncRun.objects.filter(connection=hold.connection, status__in=OPEN_PLAN).first()
        if plan is None:
            raise Refused("The plan is not open any more.")
        if choice == "approve":
            approve(plan, actor, digest, clock)
        else:
            reject(plan, actor, clock, digest)


def resolve_create(hold: Hold, choice: str, actor: str, record: Record | None = None, clock: Clock = SYSTEM) -> None:
    """A person says what became of a create that nobody can tell: `this` record is it, create it `again`, or `leave`
    the contact alone from now on. Raises Refused; also while a worker is at one of the accounts."""
    connection, link = hold.connection, hold.link
    if hold.kind != Hold.Kind.CREATE_UNKNOWN or hold.resolved is not None or connection is None or link is None:
        raise Refused("This is not an open question about a contact that may have been created.")
    if choice not in CHOICES:
        raise Refused(f"Choose one of: {', '.join(CHOICES)}.")
    side: SideName = "right" if link.right_id is None else "left"
    if choice == "this" and (record is None or record not in could_be_it(hold)):
        raise Refused("Choose one of the contacts that came since and are not linked.")
    keys = [connection.left_account.lease_key, connection.right_account.lease_key]
    lease = acquire(keys, actor, timedelta(seconds=60), clock)
    if lease is None:
        raise Refused("A worker is at one of the accounts just now. Try again in a moment.")
    try:
        with transaction.atomic():
            lease.fence()
            decide_create(hold, link, side, choice, record, actor, clock.now())
    finally:
        lease.release()


def could_be_it(hold: Hold) -> list[Record]:
    """The contacts of the other book that are in no pair, newest first: those that came since the create was sent."""
    connection, link = hold.connection, hold.link
    if connection is None or link is None:
        return []
    side = "right" if link.right_id is None else "left"
    book = connection.sides.get(side=side).book
    found = Record.objects.filter(book=book, state=Record.State.LIVE)
    sent = link.changes.filter(state=Change.State.SENDING).first()
    if sent is not None:
        found = found.filter(first_seen_at__gte=sent.sent_at)
    pairs = Link.objects.filter(connection=connection, left__isnull=False, right__isnull=False).exclude(state__in=ENDED)
    return list(found.exclude(pk__in=pairs.values(side)).order_by("-first_seen_at", "-pk")[:100])


def decide_create(
    hold: Hold, link: Link, side: SideName, choice: str, record: Record | None, actor: str, now: datetime
) -> None:
    connection = link.connection
    claim(hold, now)
    link.refresh_from_db()
    sent = link.changes.filter(state=Change.State.SENDING).first()
    states = {"this": Change.State.RECOVERED, "again": Change.State.LOST, "leave": Change.State.SKIPPED}
    entries = []
    if sent is not None:
        sent.state, sent.settled_at, sent.detail, sent.record = states[choice], now, "as a person decided", record
        sent.save(update_fields=["state", "settled_at", "detail", "record"])
        outcome: dict[str, JSON] = {"change": str(sent.key), "outcome": choice, "state": sent.state}
        payload: dict[str, JSON] = {"remote_id": record.remote_id if record is not None else ""}
        entries.append(entry_of(link, sent, "write.result", actor, outcome, payload))
    link.attempts, link.next_attempt_at, link.updated_at = 0, now, now
    if record is not None:
        mine = Link.objects.filter(connection=connection, **{side: record}).exclude(pk=link.pk)
        mine.exclude(state__in=ENDED).update(
            state=Link.State.SUPERSEDED, reason="linked by a person", next_attempt_at=None
        )
        setattr(link, side, record)
        link.state, link.reason, link.shadow = Link.State.IN_SYNC, "", {}
        unite([link], now)
        entries.append(entry_of(link, sent, "link.made", actor, {"reasons": [{"why": "person"}]}, {}))
    else:
        link.state, link.reason = Link.State.NEW, ""
        link.applied_actions = {**link.applied_actions, "create": "create" if choice == "again" else "leave"}
    link.save()
    close([hold], choice, actor, now)
    append(connection.chain, [*entries, resolved_entry(hold, connection.code)], now)


def entry_of(
    link: Link, change: Change | None, kind: str, actor: str, header: dict[str, JSON], payload: dict[str, JSON]
) -> Entry:
    run = change.run.code if change is not None else None
    return Entry(kind, actor, header, payload, connection=link.connection.code, run=run, link=link.code)
