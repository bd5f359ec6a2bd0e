"""Several connections that share books: a chain of three, a circle, two connections over the same two."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connections import services
from connections.models import Account, Client, Connection
from syncer.audit.verify import verify
from syncer.engine.run import Outcome, Worker, run_slice
from syncer.models import LogChain, SyncLog
from tests.engine.memory import MemoryApp, TestClock, slug_of
from tests.engine.world import ANNA, START, connect_to


@dataclass
class Net:
    """Apps with one book each, and connections between them that run in turn."""

    apps: Sequence[MemoryApp]
    connections: Sequence[Connection]
    clock: TestClock
    worker: Worker

    def slice(self, connection: Connection) -> Outcome:
        return run_slice(connection.pk, self.worker)

    def sync(self, connection: Connection) -> Outcome:
        """One run to its end."""
        for _ in range(50):
            outcome = self.slice(connection)
            if outcome.again_at is None or outcome.status != "running":
                return outcome
            self.clock.forward(max(0.0, (outcome.again_at - self.clock.now()).total_seconds()))
        raise AssertionError(f"the run does not end: {outcome}")

    def round(self) -> int:
        """Every connection runs once; how many writes that made."""
        before = self.writes()
        for connection in self.connections:
            self.sync(connection)
        self.clock.forward(300)
        return self.writes() - before

    def writes(self) -> int:
        return sum(len(app.mutations) for app in self.apps)

    def settle(self, rounds: int = 3) -> None:
        """At most so many rounds, and no write after."""
        made = [self.round() for _ in range(rounds + 2)]
        assert made[rounds:] == [0, 0], f"still writing: {made}"

    def assert_log_is_whole(self) -> None:
        for chain in LogChain.objects.all():
            report = verify(chain.name)
            assert report.ok, report
        intents = SyncLog.objects.filter(kind="write.intent").count()
        assert intents == SyncLog.objects.filter(kind="write.result").count() >= self.writes()


def net(apps: Sequence[MemoryApp], pairs: Sequence[tuple[int, int]], **options: Any) -> Net:
    """A connection for each pair of indexes into `apps`, all active."""
    clock = TestClock(START)
    client = Client.objects.create(name="Acme", slug="acme")
    accounts = [
        Account.objects.create(client=client, app=slug_of(app), label=app.name, identity=app.name, status="connected")
        for app in apps
    ]
    connect = connect_to({account.pk: app for account, app in zip(accounts, apps, strict=True)}, clock)
    connections = []
    for number, (left, right) in enumerate(pairs):
        connection = services.create_connection(
            client,
            ANNA,
            name=f"{apps[left].name} and {apps[right].name}, {number}",
            left_account=accounts[left],
            left_book="contacts",
            right_account=accounts[right],
            right_book="contacts",
            connect_to=connect,
            clock=clock,
            **{"review": "never", **options},
        )
        services.activate(connection, ANNA, clock, connect)
        connections.append(connection)
    worker = Worker("tests", clock, connect, slice_seconds=240, lease_seconds=3600, limits=lambda app: None)
    return Net(apps, connections, clock, worker)
