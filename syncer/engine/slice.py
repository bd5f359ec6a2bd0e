"""What one slice of work carries with it: the lease, the time, the connectors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from connections.models import Account
from portal.clock import Clock
from syncer.connectors.base import Connector, ConnectorError, Meter
from syncer.leases import Lease
from syncer.rates import Budget

Connect = Callable[[Account, Meter], Connector]
# A single write to an app takes at most this long (the HTTP deadline); none starts with less lease left.
WRITE_SECONDS = 30.0


class OutOfTime(Exception):
    """The slice is over; the next one goes on here."""


class NotReady(Exception):
    """Work has to wait; the text says for what."""


@dataclass
class Slice:
    """`progress` is told (what, done, total) as work goes on; total 0 means unknown."""

    clock: Clock
    lease: Lease
    ends: float
    connectors: dict[int, Connector] = field(default_factory=dict)
    budgets: dict[int, Budget] = field(default_factory=dict)
    progress: Callable[[str, int, int], None] = lambda what, done, total: None
    write_seconds: float = WRITE_SECONDS
    pulse: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return self.clock.now()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A database transaction that commits only while the lease is ours. No call to an app is made in one."""
        with transaction.atomic():
            self.lease.fence()
            yield

    def renew(self) -> None:
        with self.transaction():
            pass

    def check_time(self) -> None:
        """Raises OutOfTime when the slice is over; renews a lease that runs low."""
        if self.clock.monotonic() >= self.ends:
            raise OutOfTime
        self.pulse()
        if self.lease.seconds_left() < self.write_seconds * 2:
            self.renew()

    @contextmanager
    def at(self, account_id: int) -> Iterator[None]:
        """Calls to one account: what goes wrong there is known to be its."""
        try:
            yield
        except ConnectorError as error:
            error.account = account_id
            raise

    def calls(self) -> int:
        return sum(budget.calls for budget in self.budgets.values())


@dataclass
class Watch:
    """The meter that a connector gets in a slice: no request starts without budget, nor with less of the lease left
    than a request can take. Raises BudgetSpent, LeaseLost."""

    slice: Slice
    budget: Budget

    def take(self) -> None:
        # The budget first: to count a call can mean to wait for the database, and the lease runs on meanwhile.
        self.budget.take()
        if self.slice.lease.seconds_left() < self.slice.write_seconds:
            self.slice.renew()
