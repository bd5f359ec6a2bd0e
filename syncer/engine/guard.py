"""Limits on what a plan may do without a person (ENGINE.md 5): pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from syncer.engine.planner import SideName

# Per side: (count, percent of the book); a plan may reach the larger of the two.
DEFAULT_LIMITS: dict[str, tuple[int, int]] = {
    "clears": (10, 2),
    "overwrites": (100, 30),
    "trash_tags": (5, 2),
    "creates": (200, 20),
    "same_value": (50, 0),
    "changed_share": (50, 50),
}
WORDS = {
    "clears": "values emptied",
    "overwrites": "values replaced",
    "trash_tags": "contacts tagged as deleted",
    "creates": "contacts created",
    "same_value": "contacts that get one and the same new value in a field",
    "changed_share": "contacts changed at once",
}


@dataclass(frozen=True)
class Tally:
    """What a plan does to one side, what the connection did there in the last 24 hours without a person's release, and
    the size of the book."""

    planned: Mapping[str, int]
    recent: Mapping[str, int]
    size: int


@dataclass(frozen=True)
class Breach:
    side: str
    what: str
    count: int
    limit: int

    def __str__(self) -> str:
        return f"{self.count} {WORDS[self.what]} on the {self.side}; the limit is {self.limit}"


def limit_of(what: str, size: int, limits: Mapping[str, object]) -> int:
    """The limit in force: a number that staff set, or the larger of the default count and share."""
    chosen = limits.get(what)
    if isinstance(chosen, int) and not isinstance(chosen, bool):
        return chosen
    count, percent = DEFAULT_LIMITS[what]
    return max(count, size * percent // 100)


def breaches(tallies: Mapping[SideName, Tally], limits: Mapping[str, object], first_plan: bool) -> list[Breach]:
    """Where the plan is over a limit. The first plan of a connection may create and link without end: it is there to
    do just that, and is reviewed."""
    found = []
    for side, tally in tallies.items():
        for what in DEFAULT_LIMITS:
            if first_plan and what in ("creates", "changed_share", "same_value"):
                continue
            planned = tally.planned.get(what, 0)
            total = planned + tally.recent.get(what, 0)
            limit = limit_of(what, tally.size, limits)
            if planned and total > limit:
                found.append(Breach(side, what, total, limit))
    return found
