"""A question about a create whose outcome is not known: who could be it, and the answer, by the API."""

import pytest

from portal.clock import SYSTEM
from syncer.connectors.base import Transient
from syncer.models import Hold, Link
from tests.api.desk import InMemory, rows, tool
from tests.api.test_bad_input import problem
from tests.engine.memory import MemoryApp, raising
from tests.engine.world import make_world

pytestmark = pytest.mark.django_db


def test_the_contacts_that_could_be_it_are_named_and_one_is_chosen() -> None:
    world = make_world(MemoryApp("a"), MemoryApp("b", create="search"), now=SYSTEM.now())
    InMemory.worlds.update(a=world.left, b=world.right)
    world.right.person_creates("r0", given="Old", email="old@example.com")
    world.settle()
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    world.right.fault_in("create", raising(Transient("no answer", maybe_applied=True)))
    world.slice()
    for name in ("r1", "r2"):
        world.right.person_creates(name, given="Ada", email="ada@example.com")
    world.clock.forward(3600)
    world.sync()
    acme = tool(world.connection.client)
    hold = rows(acme.get("holds/?open=true&kind=create_unknown"))[0]
    assert "candidates" not in hold
    shown = acme.get(f"holds/{hold['code']}/").json()
    assert {one["record"] for one in shown["candidates"]} == {"r1", "r2"}
    assert shown["candidates"][0]["values"]["email"] == "ada@example.com"
    assert shown["choices"] == ["this", "again", "leave"]
    path = f"holds/{hold['code']}/resolve/"
    problem(acme.post(path, {"resolution": "this", "record": "r0"}), 409)
    answer = acme.post(path, {"resolution": "this", "record": "r1"})
    assert (answer.status_code, answer.json()["candidates"]) == (200, [])
    assert Hold.objects.get(code=hold["code"]).resolution == "this"
    assert Link.objects.get(left__remote_id="l1").right.remote_id == "r1"  # type: ignore[union-attr]
