"""Address books on servers of different kinds, synced through the engine: to quiet, with the UID kept, and with
nothing suspected where a server could not be read to its end."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from connections import services
from connections.models import Client, Connection
from syncer.engine.run import Worker, run_slice
from syncer.models import Record
from tests.contract.carddav import Server, meddler, refusing, servers, started
from tests.contract.radicale import USERS
from tests.engine.memory import TestClock
from tests.engine.real import ANNA, START, WRITES, Syncing, account, card
from tests.needs import needs

pytestmark = [pytest.mark.django_db, needs("radicale")]


def person(n: int, *lines: str) -> str:
    """All properties of it are mapped, so that books of any servers can agree."""
    name = (f"FN:Given{n} Fämily{n}", f"N:Fämily{n};Given{n};;;")
    return card(f"uid-{n}", *name, f"EMAIL;TYPE=INTERNET:p{n}@example.com", *lines)


@dataclass
class Books(Syncing):
    """Alice's books on two servers, and a connection between them."""

    left: Any
    right: Any
    connection: Connection
    clock: TestClock
    worker: Worker

    def settle(self) -> None:
        """Syncs to quiet, and once more, in which the servers must see no write."""
        super().settle()
        for server in (self.left, self.right):
            server.calls()
        self.clock.forward(300)
        assert self.sync().status == "quiet"
        assert not WRITES & {*self.left.calls(), *self.right.calls()}

    def titles(self) -> list[dict[str, str]]:
        return [
            {uid: _line(server.read("alice", uid), "TITLE") for uid in server.stored("alice")}
            for server in (self.left, self.right)
        ]

    def gone(self) -> list[str]:
        return sorted(Record.objects.filter(state="gone").values_list("remote_id", flat=True))


def _line(text: str, name: str) -> str:
    return next((line.partition(":")[2] for line in text.splitlines() if line.startswith(f"{name}:")), "")


@contextmanager
def books(left: Server, right: Server, right_url: str = "") -> Iterator[Books]:
    """`right_url`: where to talk to the right one, if that is not its own address."""
    clock = TestClock(START)
    client = Client.objects.create(name="Acme", slug="acme")
    with override_settings(ALLOW_PRIVATE_HOSTS=True):
        sides: dict[str, Any] = {}
        for side, server, url in (("left", left, left.url), ("right", right, right_url or right.url)):
            settings = {"url": url, "username": "alice"}
            made = account(client, "carddav", settings, {"password": USERS["alice"]}, clock, label=side)
            sides |= {f"{side}_account": made, f"{side}_book": server.path("alice")}
        connection = services.create_connection(client, ANNA, name="Books", clock=clock, review="never", **sides)
        services.activate(connection, ANNA, clock)
        worker = Worker("tests", clock, services.connector_of, 1e9, 3600, lambda app: None)
        yield Books(left, right, connection, clock, worker)


@pytest.fixture(params=servers("xandikos", "radicale-403", "sabredav"))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Radicale, and a server of another kind."""
    folders = [tmp_path / "left", tmp_path / "right"]
    for folder in folders:
        folder.mkdir()
    with ExitStack() as stack:
        kinds = zip(("radicale", request.param), folders, strict=True)
        left, right = (stack.enter_context(started(kind, folder)) for kind, folder in kinds)
        yield left, right


@pytest.mark.proves("I14", "I15")
def test_two_books_come_to_agree_and_to_rest_and_keep_their_uids(pair: tuple[Server, Server]) -> None:
    left, right = pair
    left.fill("alice", [person(n) for n in range(6)])
    right.fill("alice", [person(n) for n in range(4, 10)])
    with books(left, right) as world:
        world.settle()
        assert left.stored("alice") == right.stored("alice") == {f"uid-{n}" for n in range(10)}
        for n in (0, 9):
            assert {_line(server.read("alice", f"uid-{n}"), "UID") for server in pair} == {f"uid-{n}"}
        left.place("alice", "uid-1", person(1, "TITLE:Countess"))
        right.place("alice", "uid-8", person(8, "TITLE:Rear admiral"))
        left.remove("alice", "uid-2")
        right.remove("alice", "uid-7")
        world.settle()
        expected = {**{f"uid-{n}": "" for n in range(10)}, "uid-1": "Countess", "uid-8": "Rear admiral"}
        # What a person deleted is proven gone there, stays where it is, and does not come back.
        assert world.gone() == sorted([left.path("alice") + "uid-2.vcf", right.path("alice") + "uid-7.vcf"])
        assert world.titles() == [
            {uid: title for uid, title in expected.items() if uid != gone} for gone in ("uid-2", "uid-7")
        ]


@needs("sabredav")
@pytest.mark.proves("I26")
def test_a_page_that_fails_makes_nobody_suspect(tmp_path: Path) -> None:
    """On a server that lists etags alone, where only a full pass shows a deletion."""
    with ExitStack() as stack:
        for name in ("left", "right"):
            (tmp_path / name).mkdir()
        left = stack.enter_context(started("radicale", tmp_path / "left"))
        right = stack.enter_context(started("sabredav", tmp_path / "right"))
        broken: list[bytes] = []
        refused = refusing(503, "")
        between = stack.enter_context(
            meddler(right, lambda request, reply: refused if any(part in request for part in broken) else reply)
        )
        for server in (left, right):
            server.fill("alice", [person(n) for n in range(205)])
        world = stack.enter_context(books(left, right, f"{between.url}/"))
        world.settle()
        right.remove("alice", "uid-50")
        # In the order of addresses, "uid-99" is the last, on the second page.
        broken.append(b"uid-99.vcf")
        reasons = set()
        for _ in range(4):
            world.clock.forward(3600)
            reasons.add(run_slice(world.connection.pk, world.worker).reason)
        assert any("slow down" in reason for reason in reasons)
        assert not Record.objects.exclude(state="live").exists() and "uid-50" in left.stored("alice")
        broken.clear()
        world.clock.forward(3600)
        world.settle()
        assert world.gone() == [right.path("alice") + "uid-50.vcf"] and len(right.stored("alice")) == 204
