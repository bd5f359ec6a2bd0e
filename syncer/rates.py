"""Call budgets: never more calls than allowed in any 3,600 seconds, counted per login (DESIGN.md 9).

A plain token bucket that holds a whole hour lets twice the budget through in one hour (the full bucket, then what flows
in). So what counts here is the sum over a sliding hour, in slots of ten seconds that are only dropped when all of a
slot is an hour old: bursts until the budget is spent, then a call is free when an old one leaves the hour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction
from django.db.models import F, QuerySet, Sum

from portal.clock import Clock
from syncer import counters
from syncer.connectors.base import BudgetSpent
from syncer.models.lease import ApiUsage

SLOT = 10
WINDOW = 3600


@dataclass
class Budget:
    """The meter of one login for one caller. `limit` is calls per hour, None where the app sets none; `at_once`
    flushes after each call, for a caller who has no end at which to do so."""

    key: str
    caller: str
    limit: int | None
    clock: Clock
    calls: int = 0
    unrecorded: int = 0
    counted: int = 0
    at_once: bool = False

    def take(self) -> None:
        """Count a call. Against a limit it is stored before it is made; without one, by `flush`. Raises BudgetSpent."""
        self.calls += 1
        if self.limit is None:
            self.unrecorded += 1
        else:
            self.take_of(self.limit)
        if self.at_once:
            self.flush()

    def take_of(self, limit: int) -> None:
        slot = slot_of(self.clock.now())
        record(self.key, self.caller, slot)
        if self.used() > limit:
            # Counted first and looked at afterwards: of two who meet at the last call, none takes it twice.
            record(self.key, self.caller, slot, -1)
            self.calls -= 1
            raise BudgetSpent(f"The budget of {limit} calls an hour is spent.", self.free_at(1))

    def flush(self) -> None:
        if self.unrecorded:
            record(self.key, self.caller, slot_of(self.clock.now()), self.unrecorded)
            self.unrecorded = 0
        if self.calls > self.counted:
            app, caller = self.key.partition(":")[0], self.caller.partition(" ")[0]
            counters.add({(counters.API_CALLS, app, caller): self.calls - self.counted})
            self.counted = self.calls

    def used(self) -> int:
        return int(self._window().aggregate(total=Sum("calls"))["total"] or 0)

    def available(self) -> int | None:
        """Calls that are free now; None without a limit."""
        return None if self.limit is None else max(0, self.limit - self.used())

    def free_at(self, calls: int) -> datetime:
        """When so many calls (at most the limit) will be free."""
        if self.limit is None:
            return self.clock.now()
        over = self.used() + min(calls, self.limit) - self.limit
        for slot, count in (
            self._window().values("slot").annotate(n=Sum("calls")).order_by("slot").values_list("slot", "n")
        ):
            if over <= 0:
                break
            over -= count
            if over <= 0:
                return datetime.fromtimestamp((slot + 1) * SLOT + WINDOW, UTC)
        return self.clock.now()

    def _window(self) -> QuerySet[ApiUsage]:
        return ApiUsage.objects.filter(key=self.key, slot__gte=slot_of(self.clock.now()) - WINDOW // SLOT)


def used(keys: Sequence[str], now: datetime) -> dict[str, int]:
    """The calls of these logins in the last hour, by whomever; one that made none is left out."""
    rows = ApiUsage.objects.filter(key__in=keys, slot__gte=slot_of(now) - WINDOW // SLOT)
    return dict(rows.order_by().values_list("key").annotate(Sum("calls")))


def slot_of(moment: datetime) -> int:
    return int(moment.timestamp()) // SLOT


def record(key: str, caller: str, slot: int, calls: int = 1) -> None:
    """One row a slot and caller, made where it is missing."""
    row = ApiUsage.objects.filter(key=key, slot=slot, caller=caller)
    if row.update(calls=F("calls") + calls):
        return
    with transaction.atomic():
        _, new = ApiUsage.objects.get_or_create(key=key, slot=slot, caller=caller, defaults={"calls": calls})
    if not new:
        row.update(calls=F("calls") + calls)


def forget_old(now: datetime) -> None:
    """Drop what left the hour long ago; a day is kept for the account page."""
    ApiUsage.objects.filter(slot__lt=slot_of(now) - 24 * 3600 // SLOT).delete()
