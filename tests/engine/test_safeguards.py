"""What stands between a change that nobody else saw, or a login that is another, and people's contacts."""

from collections.abc import Iterator
from typing import Any

import pytest

from connections import services
from connections.models import Client, Connection
from syncer import services as runs
from syncer.connectors import registry
from syncer.models import Hold, SyncRun
from tests.engine.memory import MemoryApp
from tests.engine.test_review import pair_of
from tests.engine.world import ANNA

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def memory_apps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(registry.CONNECTORS, "memory", "tests.engine.memory.MemoryConnector")
    yield


def emails(app: MemoryApp) -> set[Any]:
    return {contact["email"] for contact in app.contacts.values()}


def test_a_cursor_that_another_login_cannot_use_is_asked_about() -> None:
    world = pair_of()
    world.left.identity = "somebody else"
    world.left.contacts.clear()
    world.left.person_creates("x1", given="Ben", email="ben@example.com")
    world.left.expired = True
    world.clock.forward(300)
    world.sync()
    assert emails(world.right) == {"ada@example.com"}
    assert Hold.objects.get(resolved=None).kind == Hold.Kind.IDENTITY


@pytest.mark.parametrize(
    ("changes", "shown"),
    [({"winner": "right", "review": "never"}, True), ({"limits": {"overwrites": 5}}, True), ({"name": "Other"}, False)],
)
def test_with_four_eyes_nobody_switches_off_who_looks_at_their_change(changes: dict[str, Any], shown: bool) -> None:
    world = pair_of(review="changes")
    for run in SyncRun.objects.filter(status="waiting"):
        runs.approve(run, "bert", clock=world.clock)
        world.settle()
    Client.objects.update(four_eyes=True)
    services.update_connection(Connection.objects.get(), ANNA, changes, clock=world.clock)
    world.left.person_edits("l1", title="Mathematician")
    world.clock.forward(300)
    assert (world.sync().status == "waiting") is shown
    assert world.right.contacts["r1"]["title"] == ("Countess" if shown else "Mathematician")
    if shown:
        runs.approve(SyncRun.objects.get(status="waiting"), "bert", clock=world.clock)
        world.settle()
        assert world.right.contacts["r1"]["title"] == "Mathematician"


def test_a_cancelled_plan_does_not_put_off_the_sync() -> None:
    world = pair_of()
    Connection.objects.update(interval=86_400)
    world.connection.refresh_from_db()
    world.clock.forward(86_400 - 60)
    run = runs.request_plan(world.connection, ANNA, world.clock, enqueue=False)
    runs.cancel(run, ANNA, world.clock)
    world.left.person_edits("l1", title="Mathematician")
    world.clock.forward(120)
    assert world.slice().status == "done"
