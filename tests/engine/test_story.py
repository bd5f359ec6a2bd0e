"""One contact's ways through the engine, as sentences."""

from dataclasses import replace

import pytest

from syncer import services as sync_services
from syncer.models import Book, Hold, Link, SyncRun
from tests.engine.memory import FIELDS, MemoryApp
from tests.engine.world import ANNA, World, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    world.left.person_creates(given="Ada", family="Lovelace", email="ada@example.com", mobile="+44 20 7946 0001")
    world.right.person_creates(given="Bob", family="Byron", email="bob@example.com")
    world.left.person_creates(given="Cy", family="Both", email="cy@example.com", title="Left title")
    world.right.person_creates(given="Cy", family="Both", email="CY@example.com", note="Right note")
    return world


@pytest.mark.proves("I15")
def test_contacts_travel_both_ways_and_meet(world: World) -> None:
    outcome = world.sync()
    assert outcome.status == "done", outcome
    assert len(world.left.contacts) == len(world.right.contacts) == 3
    cy = world.right.by_email("CY@example.com")[0]
    assert (cy["title"], cy["note"]) == ("Left title", "Right note")
    assert world.left.by_email("cy@example.com")[0]["note"] == "Right note"
    world.assert_log_is_whole()


@pytest.mark.proves("I14", "I17")
def test_a_second_run_does_nothing(world: World) -> None:
    world.settle()
    writes = len(world.left.mutations) + len(world.right.mutations)
    world.left.calls.clear()
    world.right.calls.clear()
    assert world.sync().status == "quiet"
    assert len(world.left.mutations) + len(world.right.mutations) == writes
    assert world.left.calls == world.right.calls == ["changes"]


@pytest.fixture
def pair() -> World:
    """Ada in both books, in sync, and tags on both sides."""
    world = make_world(MemoryApp("left"), MemoryApp("right"), sync_deletions="both")
    world.left.person_creates(
        "l1", given="Ada", family="Lovelace", email="ada@example.com", tags=["vip"], title="Countess"
    )
    world.right.person_creates("r1", given="Ada", family="Lovelace", email="ada@example.com", tags=["math"])
    world.settle()
    return world


def both(world: World, name: str) -> tuple[object, object]:
    return world.left.contacts["l1"][name], world.right.contacts["r1"][name]


def test_tags_of_both_sides_are_merged(pair: World) -> None:
    assert both(pair, "tags") == (["math", "vip"], ["math", "vip"])


@pytest.mark.proves("I15")
def test_edits_of_different_fields_both_arrive(pair: World) -> None:
    pair.left.person_edits("l1", title="Mathematician")
    pair.right.person_edits("r1", note="Wrote the first program")
    pair.settle()
    assert both(pair, "title") == ("Mathematician", "Mathematician")
    assert both(pair, "note") == ("Wrote the first program",) * 2


@pytest.mark.proves("I2", "E10 intent and result")
def test_the_winner_wins_a_conflict_and_the_loser_stands_in_the_log(pair: World) -> None:
    pair.left.person_edits("l1", title="Left")
    pair.right.person_edits("r1", title="Right")
    pair.settle()
    assert both(pair, "title") == ("Left", "Left")
    assert '"title":"Right"' in (pair.entries("write.intent")[-1].payload or "")


@pytest.mark.proves("I5")
def test_an_empty_value_never_wins(pair: World) -> None:
    pair.left.person_edits("l1", title=None)
    pair.right.person_edits("r1", title="Right")
    pair.settle()
    assert both(pair, "title") == ("Right", "Right")


@pytest.mark.proves("I15")
def test_a_clear_travels(pair: World) -> None:
    pair.right.person_edits("r1", title=None)
    pair.settle()
    assert both(pair, "title") == (None, None)


@pytest.mark.proves("I22", "E9 held line", "E9 hold ends")
def test_a_conflict_can_wait_for_a_person(pair: World) -> None:
    pair.edit(winner="hold")
    pair.left.person_edits("l1", title="Left")
    pair.right.person_edits("r1", title="Right", note="carried on")
    pair.settle()
    assert both(pair, "title") == ("Left", "Right")
    assert both(pair, "note") == ("carried on", "carried on")
    assert [hold.kind for hold in Hold.objects.filter(resolved=None)] == ["conflict"]
    pair.right.person_edits("r1", title="Left")
    pair.settle()
    assert not Hold.objects.filter(resolved=None).exists()


@pytest.mark.proves("I10")
def test_a_changed_address_stays_the_same_contact(pair: World) -> None:
    pair.left.person_edits("l1", email="countess@example.com")
    pair.settle()
    assert both(pair, "email") == ("countess@example.com", "countess@example.com")
    assert len(pair.right.contacts) == 1


@pytest.mark.proves("I22", "E3 match key removed")
def test_a_removed_address_holds_the_pair_until_it_is_back(pair: World) -> None:
    pair.left.person_edits("l1", email=None, title="Not carried")
    pair.settle()
    assert both(pair, "email") == (None, "ada@example.com")
    assert both(pair, "title") == ("Not carried", "Countess")
    assert pair.states() == {"held": 1, "superseded": 1} or pair.states()["held"] == 1
    pair.left.person_edits("l1", email="ada@example.com")
    pair.settle()
    assert both(pair, "title") == ("Not carried", "Not carried")
    assert pair.states().get("held") is None


@pytest.mark.proves("I6", "E8 trash tag", "E8 survivor")
def test_a_deleted_contact_is_tagged_on_the_other_side_and_never_created_again(pair: World) -> None:
    pair.left.person_deletes("l1")
    pair.settle()
    assert pair.left.contacts == {}
    assert pair.right.contacts["r1"]["tags"] == ["math", "PieSync Trash", "vip"]
    assert pair.states()["opposite_deleted"] == 1
    pair.assert_log_is_whole()


@pytest.mark.proves("E8 re-entered")
def test_a_restored_contact_loses_the_tag_and_goes_on(pair: World) -> None:
    before = dict(pair.left.contacts["l1"])
    pair.left.person_deletes("l1")
    pair.settle()
    pair.left.person_creates("l1", **before)
    pair.left.person_edits("l1", title="Back")
    pair.settle()
    assert both(pair, "tags") == (["math", "vip"], ["math", "vip"])
    assert both(pair, "title") == ("Back", "Back")


@pytest.mark.proves("I6", "E8 re-entered", "E4 free")
def test_a_contact_entered_anew_is_linked_to_the_survivor(pair: World) -> None:
    pair.left.person_deletes("l1")
    pair.settle()
    pair.left.person_creates("l2", given="Ada", family="King", email="ada@example.com")
    pair.settle()
    assert pair.right.contacts["r1"]["family"] == "King"
    assert pair.right.contacts["r1"]["tags"] == pair.left.contacts["l2"]["tags"] == ["math", "vip"]
    assert len(pair.left.contacts) == len(pair.right.contacts) == 1


@pytest.mark.proves("I6", "E8 trash tag")
def test_deletion_with_the_option_off_leaves_the_survivor_alone() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    world.settle()
    world.left.person_deletes("l1")
    world.settle()
    assert [values["tags"] for values in world.right.contacts.values()] == [None]
    assert world.left.contacts == {}


@pytest.mark.proves("E4 no address", "E3 new version")
def test_contacts_without_an_address_are_left_alone_unless_asked() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    world.left.person_creates(given="Nameless")
    world.settle()
    assert world.right.contacts == {}
    assert world.states() == {"excluded": 1}
    world.edit(avoid_duplicates=False)
    world.settle()
    assert len(world.right.contacts) == 1


@pytest.mark.proves("I13", "I22", "E4 never choose", "E3 wake by key")
def test_twins_are_not_chosen_between() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    first = world.left.person_creates(given="Eva", email="eva@example.com")
    world.left.person_creates(given="Eva", email="EVA@example.com")
    world.right.person_creates(given="Eva", email="eva@example.com")
    world.settle()
    assert world.states()["duplicate"] >= 2
    assert not world.left.mutations and not world.right.mutations
    world.left.person_deletes(first)
    world.settle()
    assert world.states()["in_sync"] == 1


@pytest.mark.proves("I15")
def test_one_way_leaves_the_other_side_alone() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"), direction="to_right")
    world.left.person_creates("l1", given="Ada", email="ada@example.com", title="Left")
    world.right.person_creates("r1", given="Ada", email="ada@example.com", title="Right", note="mine")
    world.right.person_creates(given="Bob", email="bob@example.com")
    world.settle()
    assert world.right.contacts["r1"]["title"] == "Left"
    assert world.right.contacts["r1"]["note"] == "mine"
    assert world.left.mutations == []
    assert world.states()["excluded"] == 1


@pytest.mark.proves("I7", "E6 required empty")
def test_a_required_field_is_held_and_never_invented() -> None:
    strict = tuple(replace(f, required=True) if f.name == "family" else f for f in FIELDS)
    world = make_world(MemoryApp("left"), MemoryApp("right", fields=strict))
    world.left.person_creates(given="Cher", email="cher@example.com")
    world.left.person_creates(given="Ada", family="Lovelace", email="ada@example.com")
    world.settle()
    assert [values["given"] for values in world.right.contacts.values()] == ["Ada"]
    assert world.states()["held"] == 1


@pytest.mark.proves("I21", "E6 one bad item", "E6 refused value")
def test_a_refused_contact_fails_alone_and_is_not_sent_again(world: World) -> None:
    world.right.refuse = lambda values: "no Ada here" if values.get("given") == "Ada" else ""
    world.settle()
    assert world.states()["failing"] == 1
    assert len(world.right.contacts) == 2
    sent = len(world.entries("write.intent"))
    world.clock.forward(100_000)
    world.settle()
    assert len(world.entries("write.intent")) == sent
    world.right.refuse = lambda values: ""
    ada = next(key for key, values in world.left.contacts.items() if values["given"] == "Ada")
    world.left.person_edits(ada, title="Countess")
    world.settle()
    assert len(world.right.contacts) == 3


@pytest.mark.proves("E5 approving", "E5 one open plan")
def test_the_first_plan_is_reviewed_and_exactly_it_is_carried_out(world: World) -> None:
    world.edit(review="changes")
    assert world.sync().status == "waiting"
    assert not world.left.mutations and not world.right.mutations
    assert world.sync().status == "quiet"
    world.approve()
    assert world.sync().status == "done"
    assert len(world.left.contacts) == len(world.right.contacts) == 3
    world.settle()
    world.assert_log_is_whole()


@pytest.mark.proves("E5 rejecting")
def test_a_rejected_plan_writes_nothing(world: World) -> None:
    world.edit(review="changes")
    world.sync()
    sync_services.reject(SyncRun.objects.get(status="waiting"), ANNA, world.clock)
    assert world.sync().status == "quiet"
    assert not world.left.mutations and not world.right.mutations


@pytest.mark.proves("I28", "E5 dry run")
def test_a_dry_run_changes_nothing_and_can_be_approved(world: World) -> None:
    sync_services.request_plan(world.connection, ANNA, world.clock)
    assert world.sync().status == "waiting"
    assert not world.left.mutations and not world.right.mutations
    assert set(Link.objects.values_list("state", flat=True)) == {"new"}
    world.approve()
    world.settle()
    assert len(world.left.contacts) == len(world.right.contacts) == 3


@pytest.mark.proves("I25", "E5 limits", "E5 phases")
def test_too_many_clears_are_held_for_a_person() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"), review="first")
    ids = [world.left.person_creates(given=f"P{n}", email=f"p{n}@example.com", title="Boss") for n in range(30)]
    world.sync()
    world.approve()
    world.settle()
    for one in ids:
        world.left.person_edits(one, title=None)
    assert world.sync().status == "held"
    assert all(values["title"] == "Boss" for values in world.right.contacts.values())
    world.approve()
    world.settle()
    assert all(values["title"] is None for values in world.right.contacts.values())


@pytest.mark.proves("I26", "E2 emptied book", "E9 hold ends")
def test_a_book_that_lists_nobody_stops_everything(pair: World) -> None:
    pair.left.hidden = set(pair.left.contacts)
    Book.objects.update(full_wanted=True)
    pair.sync()
    assert pair.right.contacts["r1"]["tags"] == ["math", "vip"]
    assert Hold.objects.get(resolved=None).kind == "emptied"
    pair.left.hidden = set()
    pair.settle()
    assert not Hold.objects.filter(resolved=None).exists()


@pytest.mark.proves("I26", "E2 suspects")
def test_a_missing_contact_is_read_before_it_counts_as_deleted(pair: World) -> None:
    for n in range(20):
        pair.left.person_creates(given=f"P{n}", email=f"p{n}@example.com")
    pair.settle()
    pair.left.hidden = {"l1"}
    Book.objects.update(full_wanted=True)
    pair.settle()
    assert pair.states()["in_sync"] == 21
    assert pair.right.contacts["r1"]["tags"] == ["math", "vip"]
