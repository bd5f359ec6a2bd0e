"""The engine's rules one by one: what is planned, matched and approved (ENGINE.md 3 to 5)."""

import random
from dataclasses import replace

import pytest

from connections import services
from connections.models import Connection
from connections.services import Refused
from syncer import services as runs
from syncer.connectors.base import Value
from syncer.engine.decide import change
from syncer.engine.setup import Setup, SideSetup
from syncer.models import Book, Change, Hold, Link, Record, Side, SyncRun
from tests.engine.memory import MemoryApp
from tests.engine.test_rules import pair_of, people, title
from tests.engine.world import ANNA, World, make_world

pytestmark = pytest.mark.django_db


# 3 Plan


@pytest.mark.proves("I20", "E3 work set", "E5 phases")
def test_planning_that_is_cut_off_goes_on_where_it_stopped_and_writes_nothing_before_its_end() -> None:
    world = make_world(MemoryApp("left", page_size=1000), MemoryApp("right"), direction="to_right")
    people(world.left, 700)

    def slow(what: str, done: int, total: int) -> None:
        world.clock.forward(300 if what == "Planning" else 0)

    world.worker = replace(world.worker, progress=slow)
    seen: list[int] = []
    while not seen or seen[-1] < 700:
        assert world.slice().again_at is not None and world.right.mutations == []
        seen.append(Side.objects.get(connection=world.connection, side="left").planned)
        assert SyncRun.objects.get().left_position == Link.objects.count() == Change.objects.count() == seen[-1]
    assert seen == [500, 700]


@pytest.mark.proves("E3 no calls", "E5 phases")
def test_planning_asks_no_app() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"), review="changes")
    people(world.left, 30)
    world.right.person_creates(given="Bob", email="bob@example.com")
    assert world.sync().status == "waiting"
    assert Change.objects.filter(operation="create").count() == 31
    assert set(world.left.calls + world.right.calls) == {"check", "changes"}


@pytest.mark.proves("I18")
@pytest.mark.parametrize("seed", range(6))
def test_the_order_in_which_contacts_come_does_not_change_the_end(seed: int) -> None:
    world = make_world(MemoryApp("left", create="search"), MemoryApp("right", create="search"), winner="right")
    world.settle()
    come = [
        (world.left, {"given": "Ada", "email": "ada@example.com", "title": "L"}),
        (world.right, {"given": "Ada", "email": "ada@example.com", "title": "R", "tags": ["vip"]}),
        (world.left, {"given": "Bob", "email": "bob@example.com"}),
        (world.right, {"given": "Cem", "email": "cem@example.com"}),
        (world.left, {"given": "Eva", "email": "eva@example.com"}),
        (world.left, {"given": "Eve", "email": "EVA@example.com"}),
        (world.right, {"given": "Eva", "email": "eva@example.com"}),
    ]
    random.Random(seed).shuffle(come)
    for app, values in come:
        app.person_creates(**values)  # type: ignore[arg-type]
    world.settle()
    both = [("Ada", "R", ["vip"]), ("Bob", None, None), ("Cem", None, None), ("Eva", None, None)]
    assert shown(world.right) == both
    assert shown(world.left) == [*both, ("Eve", None, None)]
    assert world.states()["duplicate"] == Hold.objects.filter(kind="ambiguous", resolved=None).count() == 3


def shown(app: MemoryApp) -> list[tuple[Value, Value, Value]]:
    return sorted(((v["given"], v["title"], v["tags"]) for v in app.contacts.values()), key=str)


# 4 Match


@pytest.mark.proves("E4 relinking", "E8 re-entered")
@pytest.mark.parametrize(("remote_id", "expected"), [("l1", (None, None)), ("l2", ("Countess", "Countess"))])
def test_the_old_agreement_counts_for_the_same_contact_alone(remote_id: str, expected: tuple[Value, Value]) -> None:
    """Back under its id without a title, that was emptied; entered anew, it never had one."""
    world = pair_of()
    world.left.person_deletes("l1")
    world.settle()
    world.left.person_creates(remote_id, given="Ada", family="Lovelace", email="ada@example.com")
    world.settle()
    assert (world.left.contacts[remote_id]["title"], world.right.contacts["r1"]["title"]) == expected
    live = Link.objects.exclude(state__in=["superseded", "erased"])
    assert [(link.left and link.left.remote_id, link.right and link.right.remote_id) for link in live] == [
        (remote_id, "r1")
    ]


# 5 Plans


@pytest.mark.proves("I25", "E5 last day")
def test_what_a_connection_did_in_the_last_day_counts_with_its_next_plan() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    ids = people(world.left, 14)
    for one in ids:
        world.left.person_edits(one, title="Boss")
    world.settle()
    for part, status in ((ids[:7], "done"), (ids[7:], "held")):
        for one in part:
            world.left.person_edits(one, title=None)
        assert world.sync().status == status
        world.clock.forward(300)
    assert sum(values["title"] is None for values in world.right.contacts.values()) == 7


@pytest.mark.proves("I22", "E9 hold ends")
def test_a_question_stays_open_while_one_of_its_contacts_is_in_doubt() -> None:
    world = pair_of(winner="hold")
    world.left.person_edits("l1", title="Left")
    world.right.person_edits("r1", title="Right")
    world.settle()
    asked = Hold.objects.get(resolved=None)
    Record.objects.filter(remote_id="l1").update(state="suspect")
    world.left.unreadable = {"l1"}
    world.edit(winner="hold", name="Judged anew")
    world.sync()
    assert list(Hold.objects.filter(resolved=None)) == [asked]


@pytest.mark.proves("E5 plan digest")
@pytest.mark.parametrize("name", ["link", "side", "operation", "record", "values", "base"])
def test_a_change_that_differs_in_anything_has_another_name(name: str) -> None:
    side = SideSetup(Side(), Book(), {}, None, "App")  # type: ignore[arg-type]
    setup = Setup(Connection(), {"left": side, "right": side}, [], {}, None)  # type: ignore[arg-type]
    asked: dict[str, object] = {
        "link": Link(),
        "side": "left",
        "operation": "update",
        "record": Record(),
        "values": {"a": "1"},
        "base": {"a": None},
    }
    others: dict[str, object] = {
        "link": Link(),
        "side": "right",
        "operation": "tag",
        "record": Record(),
        "values": {"a": 1},
        "base": {"a": ""},
    }
    one = change(setup, **asked, reasons=[])  # type: ignore[arg-type]
    assert change(setup, **asked, reasons=[{"why": "other words"}]).digest == one.digest  # type: ignore[arg-type]
    assert change(setup, **{**asked, name: others[name]}, reasons=[]).digest != one.digest  # type: ignore[arg-type]


def waiting_plan() -> tuple[World, SyncRun]:
    world = pair_of()
    world.edit(review="changes", trash_tag="Gone")
    world.left.person_edits("l1", title="Mathematician")
    assert world.sync().status == "waiting"
    return world, SyncRun.objects.get(status="waiting")


@pytest.mark.proves("I29", "E5 approving", "E5 plan digest")
@pytest.mark.parametrize("why", ["another plan", "another version", "too old", "not open"])
def test_only_the_open_plan_that_was_seen_is_approved(why: str) -> None:
    world, run = waiting_plan()
    seen = "0" * 64 if why == "another plan" else run.plan_digest
    if why == "another version":
        world.edit(winner="right")
    if why == "too old":
        world.clock.forward(7 * 86_400)
    if why == "not open":
        runs.reject(run, ANNA, world.clock)
        services.resume(world.connection, ANNA, world.clock, world.worker.connect)
    with pytest.raises(Refused):
        runs.approve(SyncRun.objects.select_related("connection").get(pk=run.pk), ANNA, seen, world.clock)
    assert title(world) == ("Mathematician", "Countess")


@pytest.mark.proves("I29", "E6 planned again")
def test_an_approved_change_that_was_overtaken_is_not_sent() -> None:
    world, run = waiting_plan()
    world.left.person_edits("l1", title="Queen")
    world.left.person_creates(given="Bob", email="bob@example.com")
    runs.approve(run, ANNA, run.plan_digest, world.clock)
    assert world.slice().status == "done"
    assert title(world) == ("Queen", "Countess") and len(world.right.contacts) == 1
    assert run.changes.get().state == "superseded"
    world.settle()
    assert title(world) == ("Queen", "Queen")
    assert [values.get("title") for _, one, values in world.right.mutations if one == "r1"] == ["Queen"]


@pytest.mark.proves("I28", "E5 dry run")
def test_a_dry_run_leaves_all_that_is_known_as_it_was() -> None:
    world = pair_of()
    world.left.person_edits("l1", title="Mathematician")
    world.right.person_edits("r1", note="Seen by nobody yet", family="King")
    world.left.person_edits("l1", family="King")
    world.left.person_creates(given="Bob", email="bob@example.com")
    before = known(world)
    runs.request_plan(world.connection, ANNA, world.clock)
    assert world.sync().status == "waiting"
    assert known(world) == before
    assert world.left.mutations == world.right.mutations == []
    new = Link.objects.filter(state="new")
    assert [(link.left and link.left.match_key, link.shadow) for link in new] == [("bob@example.com", {})]


def known(world: World) -> object:
    links = Link.objects.filter(left__isnull=False, right__isnull=False).order_by("pk")
    sides = Side.objects.order_by("pk").values_list("planned", "version")
    return list(links.values("state", "shadow", "next_attempt_at", "version")), list(sides), Hold.objects.count()
