"""What a person does when our database was restored from a backup: say so, once; then everything is read anew."""

from collections.abc import Sequence

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import Q

from connections.models import Connection
from connections.services import Refused
from portal.clock import SYSTEM, Clock
from syncer.audit import checkpoint
from syncer.audit.chain import JSON, PORTAL, Entry, append
from syncer.audit.checkpoint import Behind
from syncer.engine.cancelling import UNDER_WAY
from syncer.engine.run import OPEN_PLAN, close_plan
from syncer.models import Book, LogCheckpoint, Side, SyncRun
from syncer.models.log import Kind

WHAT_IT_DOES = (
    "Acknowledge only when you know why this database is older than its newest delivered checkpoint: usually because a "
    "backup was restored. What was done after that backup is not known here; the apps and the delivered checkpoints "
    "keep it. Acknowledging ends all open plans, lets every book be read anew from end to end, and shows the next plan "
    "of every connection to a person before anything is written. Contacts without an e-mail address that may already "
    "have been copied wait for a person. A newer backup, if there is one, is better: restore that instead."
)
MOST_REASON = 500


def acknowledge(actor: str, reason: str, clock: Clock = SYSTEM) -> LogCheckpoint:
    """A person says why the database is older than its newest delivered checkpoint. Raises Refused, LogBusy.

    The new checkpoint follows the delivered one, so that whoever keeps the files sees one unbroken row, and this
    restore is not asked about again; a database that is set back once more lacks it, and is.
    """
    found, now = checkpoint.older(), clock.now()
    if found is None:
        raise Refused(
            "There is nothing to acknowledge: this database is not older than its newest delivered checkpoint."
        )
    if not 0 < len(reason.strip()) <= MOST_REASON:
        raise Refused(f"Say why, in at most {MOST_REASON} characters; it stays in the history.")
    try:
        with transaction.atomic():
            start_anew(actor, clock)
            append(PORTAL, [acknowledged(found, actor, reason.strip())], now)
            # Only now is a rival either done or waiting for us: for the head of the portal's chain.
            made = None if checkpoint.older() is None else checkpoint.make(now, follows=found.signed.statement)
            if made is None:
                raise Refused("Somebody else acknowledged it just now. Load this page again.")
    except ImproperlyConfigured as error:
        raise Refused(str(error)) from error
    checkpoint.deliver(now)
    return made


def start_anew(actor: str, clock: Clock) -> None:
    """Nothing that was planned or half read before the restore is gone on with. Writes that were being sent then are
    settled by looking, as ever."""
    now = clock.now()
    Connection.objects.update(review_once=True)
    Side.objects.update(planned=0)
    # No pass counts as complete: what came since the backup must be seen before anybody is created.
    Book.objects.update(
        full_wanted=True, complete_pass=0, pass_kind="", page_cursor="", restored_at=now, restored_until=None
    )
    for run in overtaken():
        close_plan(run.connection, run, SyncRun.Status.SUPERSEDED, "our database was restored", actor, now)


def overtaken() -> Sequence[SyncRun]:
    """Open plans, and runs that plan or carry out; by connection, the order in which everybody takes chains."""
    begun = Q(status__in=UNDER_WAY) & ~Q(phase=SyncRun.Phase.PULL)
    runs = SyncRun.objects.filter(Q(status__in=OPEN_PLAN) | begun).select_related("connection")
    return list(runs.order_by("connection__code", "pk"))


def acknowledged(found: Behind, actor: str, reason: str) -> Entry:
    """The entry by which a gap in the numbers of this database's checkpoints is understood."""
    statement = found.signed.statement
    last = LogCheckpoint.objects.order_by("-number").first()
    header: dict[str, JSON] = {
        "number": checkpoint.next_number(last, statement),
        "follows": statement.number,
        "follows_hash": statement.digest,
        "last": last.number if last is not None else 0,
        "heads": {one.chain: [one.said, one.found] for one in found.differing},
    }
    return Entry(Kind.CHECKPOINT, actor, header, {"reason": reason})
