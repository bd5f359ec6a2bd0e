"""What a run did, counted once at its end: for its row, for the history, and for /metrics."""

from collections import Counter
from collections.abc import Sequence

from django.db.models import Count

from connections.models import Account
from syncer import counters
from syncer.connectors.base import ConnectorError
from syncer.models import Hold, SyncRun

Outcomes = Sequence[tuple[str, str, str, int]]
"""Changes: side, operation, state, and how many."""


def outcomes(run: SyncRun) -> Outcomes:
    return list(run.changes.order_by().values_list("side", "operation", "state").annotate(number=Count("pk")))


def counted(run: SyncRun, found: Outcomes) -> dict[str, object]:
    """What a run did, by side, in the words of the API."""
    words = {"create": "created", "update": "updated", "tag": "tagged", "untag": "untagged", "link": "linked"}
    sides: dict[str, Counter[str]] = {side: Counter(dict.fromkeys(words.values(), 0)) for side in ("left", "right")}
    rest: Counter[str] = Counter({"skipped": 0, "failed": 0, "held": 0})
    for side, operation, state, number in found:
        if state in ("done", "recovered"):
            sides[side][words[operation]] += number
        elif state == "refused":
            rest["failed"] += number
        else:
            rest["skipped"] += number
    if run.started is not None:
        rest["held"] = Hold.objects.filter(connection=run.connection_id, opened__gte=run.started).count()
    return {**{side: dict(counts) for side, counts in sides.items()}, **rest}


def count_end(status: str, found: Outcomes = ()) -> None:
    """For /metrics: a run ended so, and left its changes in these states."""
    amounts: dict[counters.Key, int] = {
        (counters.CHANGES, side, operation, state): number for side, operation, state, number in found
    }
    counters.add({(counters.RUNS, str(status)): 1, **amounts})


def count_error(account: Account | None, error: ConnectorError) -> None:
    """For /metrics: an error stopped a slice."""
    counters.add({(counters.ERRORS, account.app if account is not None else "none", type(error).__name__): 1})
