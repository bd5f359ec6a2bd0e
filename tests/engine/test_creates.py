"""A create whose outcome is not known (ENGINE.md 7): found by mark, by search, by a person; never made twice."""

from collections.abc import Callable
from datetime import timedelta
from typing import NoReturn

import pytest

from connections.services import Refused
from syncer import services as runs
from syncer.connectors.base import Transient
from syncer.models import Change, Hold, Link, SyncLog
from tests.engine.memory import MemoryApp
from tests.engine.world import ANNA, World, make_world

pytestmark = [pytest.mark.django_db, pytest.mark.proves("I11")]
DELAY = timedelta(minutes=10)


def timed_out() -> NoReturn:
    raise Transient("no answer", maybe_applied=True)


def broken(at: str, **options: object) -> World:
    """A create into the right whose answer never came: `arrived` or `lost`."""
    settings = {name: options.pop(name) for name in ("avoid_duplicates",) if name in options}
    world = make_world(MemoryApp("left"), MemoryApp("right", **options), **settings)  # type: ignore[arg-type]
    world.settle()
    world.left.person_creates("l1", given="Ada", family="King", email="ada@example.com", mobile="+442079460001")
    fail_at(world, "created" if at == "arrived" else "create", timed_out)
    world.slice()
    assert Change.objects.get().state == "sending"
    return world


def fail_at(world: World, call: str, fault: Callable[[], NoReturn]) -> None:
    """The next call of this name fails, once."""

    def look() -> None:
        if world.right.calls[-1] == call:
            world.right.on_call = lambda: None
            fault()

    world.right.on_call = look


def outcome_of(world: World, rounds: int = 6, seconds: float = 300) -> str:
    for _ in range(rounds):
        world.clock.forward(seconds)
        world.sync()
    return Change.objects.order_by("pk").first().state  # type: ignore[union-attr]


@pytest.mark.proves("E7 marker")
@pytest.mark.parametrize("found_by", ["search", "listing"])
@pytest.mark.parametrize("at", ["arrived", "lost"])
def test_a_marked_create_is_found_or_made_again_once(at: str, found_by: str) -> None:
    world = broken(at, create="marker", marker_found_by=found_by, visibility=DELAY)
    state = outcome_of(world)
    assert state == ("recovered" if at == "arrived" else "lost")
    assert len(world.right.by_email("ada@example.com")) == 1
    world.assert_log_is_whole()


@pytest.mark.proves("E7 visibility delay")
@pytest.mark.parametrize("found_by", ["search", "listing"])
def test_before_the_visibility_delay_nothing_is_made_again(found_by: str) -> None:
    world = broken("lost", create="marker", marker_found_by=found_by, visibility=DELAY)
    for _ in range(3):
        world.clock.forward(120)
        world.sync()
        assert Change.objects.get().state == "sending"
        assert world.right.contacts == {}


@pytest.mark.proves("E7 marker")
@pytest.mark.parametrize("found_by", ["search", "listing"])
def test_the_mark_finds_it_under_another_address(found_by: str) -> None:
    world = broken("arrived", create="marker", marker_found_by=found_by)
    mine = next(iter(world.right.contacts))
    world.right.person_edits(mine, email="countess@example.com")
    world.settle()
    assert world.left.contacts["l1"]["email"] == "countess@example.com"
    assert len(world.right.contacts) == len(world.left.contacts) == 1


@pytest.mark.proves("E7 created then deleted", "I6")
@pytest.mark.parametrize("create", ["client_id", "marker"])
def test_created_and_deleted_again_before_we_looked_is_a_deletion(create: str) -> None:
    world = broken("arrived", create=create, marker_found_by="listing")
    mine = next(iter(world.right.contacts))
    fail_at(world, "read", timed_out)
    world.slice()
    world.right.person_deletes(mine)
    world.settle()
    assert world.right.contacts == {}
    assert Link.objects.get(left__isnull=False, right__isnull=False).state == "opposite_deleted"


@pytest.mark.proves("E7 several")
def test_two_contacts_with_the_same_mark_wait_for_a_person() -> None:
    world = broken("arrived", create="marker", marker_found_by="search")
    mine = next(iter(world.right.contacts))
    twin = world.right.person_creates(given="Ada", email="ada@example.com")
    world.right.markers[twin] = world.right.markers[mine]
    outcome_of(world)
    assert Hold.objects.get(resolved=None, kind="create_unknown").data["reason"].startswith("several")
    assert len(world.right.contacts) == 2


# Apps that only search


@pytest.mark.proves("E7 search-only")
@pytest.mark.parametrize("at", ["arrived", "lost"])
def test_a_create_of_a_search_only_app_is_found_or_made_again_once(at: str) -> None:
    world = broken(at, create="search")
    assert outcome_of(world) == ("recovered" if at == "arrived" else "lost")
    assert len(world.right.by_email("ada@example.com")) == 1


@pytest.mark.proves("E7 search-only")
@pytest.mark.parametrize(
    "edit",
    [{"email": "countess@example.com", "mobile": None}, {"email": "new@example.com", "given": "A.", "family": None}],
    ids=["the same name", "the same number"],
)
def test_one_who_came_since_with_the_same_name_or_number_keeps_it_open(edit: dict[str, str]) -> None:
    world = broken("arrived", create="search")
    mine = next(iter(world.right.contacts))
    world.right.person_edits(mine, **edit)
    assert outcome_of(world) == "sending"
    hold = Hold.objects.get(resolved=None, kind="create_unknown")
    assert "same name or phone" in hold.data["reason"]
    assert world.right.by_email("ada@example.com") == []


@pytest.mark.proves("E7 search-only")
def test_a_stranger_who_came_since_does_not_keep_it_open() -> None:
    world = broken("lost", create="search")
    world.right.person_creates(given="Ben", family="Cole", email="ben@example.com", mobile="+442079460009")
    assert outcome_of(world) == "lost"
    assert len(world.right.by_email("ada@example.com")) == 1


@pytest.mark.proves("E7 not before a complete pass")
def test_lost_is_said_only_after_a_complete_pass_that_began_after_the_sending() -> None:
    world = broken("lost", create="search")
    world.right.unproven = 40
    assert outcome_of(world) == "sending"
    world.right.unproven = 0
    assert outcome_of(world) == "lost"


@pytest.mark.proves("E7 without a match key")
def test_without_an_address_an_unknown_create_waits_for_a_person() -> None:
    world = broken_without_address()
    assert outcome_of(world) == "sending"
    assert Hold.objects.get(resolved=None).kind == "create_unknown"


def broken_without_address() -> World:
    world = make_world(MemoryApp("left"), MemoryApp("right", create="search"), avoid_duplicates=False)
    world.settle()
    world.left.person_creates("l1", given="Ada", family="King")
    fail_at(world, "created", timed_out)
    world.slice()
    world.clock.forward(300)
    world.sync()
    return world


# A person decides


@pytest.mark.proves("I22", "E7 a person decides")
@pytest.mark.parametrize("choice", ["this", "again", "leave"])
def test_a_person_can_end_every_question_about_a_create(choice: str) -> None:
    world = broken_without_address()
    hold = Hold.objects.get(resolved=None, kind="create_unknown")
    [made] = runs.could_be_it(hold)
    runs.resolve_create(hold, choice, ANNA, made if choice == "this" else None, world.clock)
    world.settle()
    assert not Hold.objects.filter(resolved=None, kind="create_unknown").exists()
    assert not Change.objects.filter(state="sending").exists()
    assert len(world.right.contacts) == (2 if choice == "again" else 1)
    if choice == "this":
        world.left.person_edits("l1", title="Countess")
        world.settle()
        assert world.right.contacts[made.remote_id]["title"] == "Countess"
    entry = SyncLog.objects.get(kind="hold.resolved")
    assert entry.actor == ANNA
    world.assert_log_is_whole()


@pytest.mark.proves("I22")
def test_a_decision_has_to_fit_the_question() -> None:
    world = broken_without_address()
    hold = Hold.objects.get(resolved=None, kind="create_unknown")
    left = Link.objects.get(left__isnull=False).left
    for choice, record in (("perhaps", None), ("this", None), ("this", left)):
        with pytest.raises(Refused):
            runs.resolve_create(hold, choice, ANNA, record, world.clock)
    runs.resolve_create(hold, "leave", ANNA, None, world.clock)
    with pytest.raises(Refused):
        runs.resolve_create(hold, "again", ANNA, None, world.clock)


# Right before a create


@pytest.mark.proves("E6 find before a create")
def test_an_app_that_shows_late_is_asked_once_more_before_a_create() -> None:
    right = MemoryApp("right", create="search", visibility=DELAY)
    world = make_world(MemoryApp("left"), right)
    world.settle()
    right.person_creates("hidden", given="Ada", email="ada@example.com")
    right.lag = 1
    world.left.person_creates("l1", given="Ada", email="ada@example.com", title="Countess")
    world.settle()
    assert list(right.contacts) == ["hidden"]
    assert right.contacts["hidden"]["title"] == "Countess"


@pytest.mark.proves("E6 find before a create")
def test_an_app_that_shows_everything_at_once_is_not_asked() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    world.settle()
    assert "find" not in world.right.calls


# Batches


@pytest.mark.proves("E6 all-or-nothing batches", "I21")
def test_one_bad_item_of_an_all_or_nothing_batch_delays_the_others_by_one_call() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right", all_or_nothing=True))
    world.right.refuse = lambda values: "not this one" if values.get("given") == "P3" else ""
    for n in range(8):
        world.left.person_creates(given=f"P{n}", email=f"p{n}@example.com")
    outcome = world.sync()
    assert outcome.status == "partial"
    assert len(world.right.contacts) == 7
    assert Link.objects.get(state="failing").reason == "not this one"


@pytest.mark.proves("E6 broken batches", "I11", "I20")
@pytest.mark.parametrize("k", range(6))
def test_a_batch_broken_at_any_item_leaves_the_rest_unknown_and_makes_nobody_twice(k: int) -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    for n in range(6):
        world.left.person_creates(given=f"P{n}", email=f"p{n}@example.com")
    world.right.breaks_at = k
    world.slice()
    assert Change.objects.filter(state="done").count() == k
    assert Change.objects.filter(state="sending").count() == 6 - k
    world.right.breaks_at = None
    world.clock.forward(300)
    world.settle()
    assert sorted(str(values["given"]) for values in world.right.contacts.values()) == [f"P{n}" for n in range(6)]
    world.assert_log_is_whole()


@pytest.mark.proves("I22")
def test_of_two_who_answer_a_question_at_once_only_the_first_does() -> None:
    """Ben's page was loaded before Anna answered: the contact is not made a second time."""
    world = broken_without_address()
    hold = Hold.objects.get(resolved=None, kind="create_unknown")
    stale = Hold.objects.get(pk=hold.pk)
    [made] = runs.could_be_it(hold)
    runs.resolve_create(hold, "this", ANNA, made, world.clock)
    with pytest.raises(Refused, match="already"):
        runs.resolve_create(stale, "again", "ben", None, world.clock)
    assert Link.objects.get(state="in_sync").is_pair
    assert SyncLog.objects.filter(kind="hold.resolved").count() == 1
