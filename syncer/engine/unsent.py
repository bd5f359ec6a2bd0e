"""What was planned and is not to be sent: its links are judged again."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q

from syncer.engine.replica import chunks
from syncer.models import Change, Link, SyncRun
from syncer.models.link import ENDED


def drop(changes: Sequence[Change], state: Change.State, now: datetime) -> None:
    """Changes that are not to be sent: their links are judged again."""
    Change.objects.filter(pk__in=[change.pk for change in changes]).update(state=state, settled_at=now)
    matched = [change.record_id for change in changes if change.operation == Change.Operation.LINK]
    both = Q(pk__in=[change.link_id for change in changes]) | Q(left__in=matched) | Q(right__in=matched)
    Link.objects.filter(both).exclude(state__in=ENDED).update(next_attempt_at=now)


def leave_unsent(run: SyncRun, now: datetime) -> None:
    """What was planned and not sent is judged again."""
    unsent = list(run.changes.filter(state__in=["planned", "held"]).only("pk", "link_id", "operation", "record_id"))
    for part in chunks(unsent, 400):
        drop(part, Change.State.SUPERSEDED, now)
