"""Two memory apps, a connection between them, and a worker: what most engine tests start from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connections import services
from connections.models import Account, Client, Connection
from portal.clock import Clock
from syncer import services as sync_services
from syncer.audit.verify import verify
from syncer.connectors.base import Connector, Meter
from syncer.engine.run import Outcome, Worker, run_slice
from syncer.models import Link, LogChain, SyncLog, SyncRun
from tests.engine.memory import MarketingConnector, MemoryApp, MemoryConnector, TestClock, slug_of

ANNA = "anna (staff)"
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
Limits = Callable[[str], int | None]


def unlimited(app: str) -> int | None:
    return None


@dataclass
class World:
    """`left` and `right` are the apps of `connection`; `apps` holds all by account."""

    apps: dict[int, MemoryApp]
    left: MemoryApp
    right: MemoryApp
    connection: Connection
    clock: TestClock
    worker: Worker
    outcomes: list[Outcome] = field(default_factory=list)

    def slice(self) -> Outcome:
        outcome = run_slice(self.connection.pk, self.worker)
        self.outcomes.append(outcome)
        return outcome

    def sync(self) -> Outcome:
        """Run to the end of a run, slice by slice."""
        for _ in range(100):
            outcome = self.slice()
            if outcome.again_at is None or outcome.status in ("busy", "wait", "superseded"):
                return outcome
            if outcome.again_at > self.clock.now():
                self.clock.forward((outcome.again_at - self.clock.now()).total_seconds())
        raise AssertionError("the run does not end")

    def settle(self) -> None:
        """Sync until a run does nothing."""
        for _ in range(6):
            if self.sync().status == "quiet":
                return
            self.clock.forward(300)
        raise AssertionError(f"still not quiet: {[outcome.status for outcome in self.outcomes[-6:]]}")

    def approve(self) -> None:
        run = SyncRun.objects.get(connection=self.connection, status__in=["waiting", "held"])
        sync_services.approve(run, ANNA, run.plan_digest, self.clock)

    def states(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for state in Link.objects.filter(connection=self.connection).values_list("state", flat=True):
            counts[state] = counts.get(state, 0) + 1
        return counts

    def edit(self, **changes: Any) -> None:
        self.connection.refresh_from_db()
        services.update_connection(self.connection, ANNA, changes, clock=self.clock)
        self.connection.refresh_from_db()

    def entries(self, kind: str = "") -> list[SyncLog]:
        found = SyncLog.objects.filter(chain__name=self.connection.chain).order_by("seq")
        return list(found.filter(kind=kind) if kind else found)

    def assert_log_is_whole(self) -> None:
        for chain in LogChain.objects.all():
            report = verify(chain.name)
            assert report.ok, report
        assert len(self.entries("write.intent")) == len(self.entries("write.result"))
        mutations = sum(len(app.mutations) for app in (self.left, self.right))
        assert len(self.entries("write.intent")) >= mutations


def connect_to(apps: dict[int, MemoryApp], clock: Clock) -> Any:
    def connect(account: Account, meter: Meter) -> Connector:
        app = apps[account.pk]
        return (MarketingConnector if slug_of(app) == "marketing" else MemoryConnector)(app, meter)

    return connect


def make_world(
    left: MemoryApp,
    right: MemoryApp,
    activate: bool = True,
    slug: str = "acme",
    limits: Limits = unlimited,
    now: datetime = START,
    **options: Any,
) -> World:
    """A connection between two memory apps; two-way, never reviewed unless said otherwise. `now` is where its clock
    begins: today, where it meets pages and calls that go by the real one."""
    clock = TestClock(now)
    client = Client.objects.create(name="Acme", slug=slug)
    apps: dict[int, MemoryApp] = {}
    accounts = []
    for app in (left, right):
        account = Account.objects.create(
            client=client, app=slug_of(app), label=app.name, identity=app.name, status=Account.Status.CONNECTED
        )
        apps[account.pk] = app
        accounts.append(account)
    connect = connect_to(apps, clock)
    connection = services.create_connection(
        client,
        ANNA,
        name="Left and right",
        left_account=accounts[0],
        left_book="contacts",
        right_account=accounts[1],
        right_book="contacts",
        connect_to=connect,
        clock=clock,
        **{"review": "never", **options},
    )
    if activate:
        services.activate(connection, ANNA, clock, connect)
    worker = Worker("tests", clock, connect, slice_seconds=240, lease_seconds=3600, limits=limits)
    return World(apps, left, right, connection, clock, worker)
