"""Runs by the API: cancelled by the same rules as in the admin (the engine's part: tests/engine/test_cancel.py)."""

import pytest

from portal.clock import SYSTEM
from syncer.models import SyncRun
from tests.api.desk import InMemory, Tool, rows, tool
from tests.api.test_bad_input import problem
from tests.engine.memory import MemoryApp
from tests.engine.world import World, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    found = make_world(MemoryApp("a"), MemoryApp("b"), now=SYSTEM.now())
    InMemory.worlds.update(a=found.left, b=found.right)
    return found


@pytest.fixture
def acme(world: World) -> Tool:
    return tool(world.connection.client)


def test_a_queued_run_is_cancelled_once(acme: Tool, world: World) -> None:
    code = acme.post(f"connections/{world.connection.code}/sync/").json()["run"]
    answer = acme.post(f"runs/{code}/cancel/")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert answer.json()["finished"] is not None
    assert answer.json()["error"].startswith("cancelled by ")
    assert "ended" in problem(acme.post(f"runs/{code}/cancel/"), 409)["detail"]
    assert [row["code"] for row in rows(acme.get("runs/?status=cancelled"))] == [code]


def test_a_plan_that_waits_is_not_cancelled(acme: Tool, world: World) -> None:
    world.edit(review="changes")
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    assert world.sync().status == "waiting"
    code = SyncRun.objects.get().code
    assert "Reject" in problem(acme.post(f"runs/{code}/cancel/"), 409)["detail"]
    problem(acme.post(f"runs/{code}/cancel/", {"why": "x"}))
