"""The history tells what happened: its writes, replayed over what people did, give what the apps show."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from syncer.connectors.base import Transient, Value
from syncer.models import Record, SyncLog
from tests.engine.app import Contact
from tests.engine.memory import MemoryApp, raising
from tests.engine.test_rules import people
from tests.engine.world import World, make_world

pytestmark = pytest.mark.django_db
NO_ANSWER = raising(Transient("no answer", maybe_applied=True))


def entries(world: World, kind: str) -> Iterator[tuple[SyncLog, dict[str, Any], dict[str, Any]]]:
    for entry in world.entries(kind):
        yield entry, json.loads(entry.header), json.loads(entry.payload or "{}")


@pytest.mark.proves("I35", "I3", "E10 intent and result")
@pytest.mark.parametrize("create", ["client_id", "search"])
def test_the_history_replayed_over_what_people_did_gives_what_the_apps_show(create: str) -> None:
    world = make_world(
        MemoryApp("left", create=create), MemoryApp("right", create=create), sync_deletions="both", winner="right"
    )
    ours: dict[str, set[int]] = {"left": set(), "right": set()}
    for side, app in (("left", world.left), ("right", world.right)):
        app.on_write = noting(ours[side], app)
    live_through(world)
    intents = {header["change"]: payload for _, header, payload in entries(world, "write.intent")}
    applied: dict[str, list[tuple[str, Contact]]] = {"left": [], "right": []}
    for entry, header, payload in entries(world, "write.result"):
        if header["state"] in ("done", "recovered"):
            applied[entry.side].append((payload["remote_id"], intents[header["change"]]["after"]))
    assert len(applied["left"]) > 3 and len(applied["right"]) > 3
    for side, app in (("left", world.left), ("right", world.right)):
        assert replayed(app, ours[side], applied[side]) == app.contacts


def noting(positions: set[int], app: MemoryApp) -> Callable[[str, str, Any], None]:
    return lambda operation, remote_id, values: positions.add(len(app.log))


def replayed(
    app: MemoryApp, ours: set[int], applied: list[tuple[str, dict[str, Value]]]
) -> dict[str, dict[str, Value]]:
    """What the app shows if people did what they did, and the history's writes came where ours came."""
    contacts: dict[str, Contact] = {}
    writes = iter(applied)
    for position, remote_id in enumerate(app.log):
        if position in ours:
            told, values = next(writes)
            assert told == remote_id
            empty = dict.fromkeys([one.name for one in app.fields])
            contacts[remote_id] = {**contacts.get(remote_id, empty), **values}
        elif (now := app.history[position]) is None:
            contacts.pop(remote_id, None)
        else:
            contacts[remote_id] = dict(now)
    assert next(writes, None) is None
    return contacts


def live_through(world: World) -> None:
    """Two weeks of a small office, with answers that get lost."""
    ids = people(world.left, 4)
    world.right.person_creates("r1", given="Ada", email="ada@example.com", tags=["vip"])
    world.right.fault_in("created", NO_ANSWER)
    world.right.fault_in("create", lambda: None)
    world.settle()
    for number, fault in enumerate(("updated", "update", "updated")):
        world.left.person_edits(ids[number], title=f"Title {number}", tags=[f"tag {number}"])
        world.right.person_edits("r1", note=f"Note {number}", title=None)
        world.right.fault_in(fault, NO_ANSWER)
        world.left.fault_in(fault, NO_ANSWER)
        world.slice()
        world.clock.forward(300)
        world.settle()
    world.left.person_edits(ids[0], title=None, family="Both")
    world.right.person_edits(next(one for one in world.right.contacts if one != "r1"), family="Theirs", tags=["new"])
    world.settle()
    world.left.person_deletes(ids[3])
    world.settle()
    assert not Record.objects.filter(state="suspect").exists()
