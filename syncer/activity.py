"""What a connection did day by day, from the counts that each of its runs left."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import add
from typing import Any

from django.db.models import IntegerField, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, TruncDate

from connections.models import Connection
from syncer.models import SyncRun

DAYS = 14
KINDS = {"created": ("created",), "updated": ("updated",), "tagged": ("tagged", "untagged"), "linked": ("linked",)}


@dataclass(frozen=True)
class Day:
    """`counts` of changes by the names of KINDS, both sides together."""

    date: date
    counts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def days(connection: Connection, now: datetime) -> Sequence[Day]:
    """The last fourteen days (UTC), today last; one query over the runs of these days."""
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=DAYS - 1)
    since = datetime(first.year, first.month, first.day, tzinfo=UTC)
    rows = SyncRun.objects.filter(connection=connection, finished__gte=since, dry_run=False).order_by()
    sums = {kind: Sum(sum_of(names), default=0) for kind, names in KINDS.items()}
    summed: Any = rows.values(day=TruncDate("finished", tzinfo=UTC)).annotate(**sums)
    found = {row["day"]: {kind: int(row[kind]) for kind in KINDS} for row in summed}
    return [
        Day(day, found.get(day, dict.fromkeys(KINDS, 0))) for day in (first + timedelta(days=n) for n in range(DAYS))
    ]


def sum_of(names: Sequence[str]) -> Any:
    """Of the counts of both sides; a run that failed early has none."""
    parts: list[Any] = [
        Coalesce(Cast(KT(f"counts__{side}__{name}"), IntegerField()), 0) for side in ("left", "right") for name in names
    ]
    return reduce(add, parts)
