"""What a hostile reading of the engine found, as sentences: each failed when it was written."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from django.core.cache import cache
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from connections import services
from connections.models import Condition, Connection, FieldMapping
from syncer import rates, tasks
from syncer import services as sync_services
from syncer.connectors.base import Field, FieldType, RateLimited, Transient, Values
from syncer.models import Book, Change, Hold, SyncRun
from tests.engine.memory import FIELDS, MemoryApp
from tests.engine.world import ANNA, World, connect_to, make_world

pytestmark = pytest.mark.django_db


def pair_of(**options: Any) -> World:
    """Ada in both books, in sync."""
    world = make_world(MemoryApp("left"), MemoryApp("right"), **options)
    world.left.person_creates("l1", given="Ada", family="Lovelace", email="ada@example.com", title="Countess")
    world.right.person_creates("r1", given="Ada", family="Lovelace", email="ada@example.com", title="Countess")
    world.settle()
    return world


def people(app: MemoryApp, number: int, **values: str) -> list[str]:
    return [app.person_creates(given=f"P{n}", email=f"p{n}@example.com", **values) for n in range(number)]


def settle_quietly(world: World) -> None:
    """Some runs, however they end."""
    for _ in range(6):
        world.sync()
        world.clock.forward(300)


def throttled() -> NoReturn:
    raise RateLimited("slow down", 60)


def timed_out() -> NoReturn:
    raise Transient("no answer", maybe_applied=True)


def pause(world: World) -> None:
    world.connection.refresh_from_db()
    services.pause(world.connection, ANNA, world.clock)


def resume(world: World) -> None:
    services.resume(world.connection, ANNA, world.clock, connect_to(world.apps, world.clock))


# Runs and plans


@pytest.mark.proves("E6 stopped at once", "I22")
def test_what_was_planned_and_not_sent_when_somebody_paused_still_travels_after_the_pause() -> None:
    world = pair_of()
    world.left.person_edits("l1", title="Mathematician")
    world.right.unsent = lambda values: True
    assert world.slice().status == "running"
    assert Change.objects.filter(state="planned").exists()
    pause(world)
    world.right.unsent = lambda values: False
    world.clock.forward(3600)
    settle_quietly(world)
    resume(world)
    settle_quietly(world)
    assert world.right.contacts["r1"]["title"] == "Mathematician"


@pytest.mark.proves("E5 approving")
def test_a_plan_that_is_approved_while_the_connection_is_paused_is_not_called_done() -> None:
    world = pair_of()
    world.edit(review="changes", winner="right")
    world.left.person_edits("l1", title="Mathematician")
    assert world.sync().status == "waiting"
    pause(world)
    with suppress(services.Refused):
        world.approve()
    settle_quietly(world)
    resume(world)
    settle_quietly(world)
    if SyncRun.objects.filter(status="waiting").exists():
        world.approve()
        settle_quietly(world)
    assert world.right.contacts["r1"]["title"] == "Mathematician"


@pytest.mark.proves("E5 approving")
def test_approving_while_another_run_is_under_way_is_refused_or_done_and_never_an_error() -> None:
    world = pair_of()
    world.edit(review="changes", winner="right")
    world.left.person_edits("l1", title="Mathematician")
    assert world.sync().status == "waiting"
    sync_services.request_sync(world.connection, ANNA, world.clock)
    try:
        world.approve()
    except services.Refused:
        pass
    except IntegrityError:
        pytest.fail("a person who approves sees an error of the database")


@pytest.mark.proves("E5 rejecting")
def test_a_plan_that_another_person_just_approved_cannot_be_rejected() -> None:
    world = pair_of()
    world.edit(review="changes", winner="right")
    world.left.person_edits("l1", title="Mathematician")
    assert world.sync().status == "waiting"
    seen_before = SyncRun.objects.get(status="waiting")
    world.approve()
    with pytest.raises(services.Refused):
        sync_services.reject(seen_before, ANNA, world.clock)
    assert SyncRun.objects.get(pk=seen_before.pk).status == "queued"


@pytest.mark.proves("E9 hold ends")
def test_a_hold_that_ends_with_its_plan_is_said_in_the_log() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"), review="first")
    world.edit(limits={"clears": 1})
    ids = people(world.left, 5, title="Boss")
    world.sync()
    world.approve()
    world.settle()
    for one in ids:
        world.left.person_edits(one, title=None)
    assert world.sync().status == "held"
    sync_services.reject(SyncRun.objects.get(status="held"), ANNA, world.clock)
    assert not Hold.objects.filter(resolved=None).exists()
    assert len(world.entries("hold.resolved")) == len(world.entries("hold.opened"))


@pytest.mark.proves("I25", "E5 limits")
def test_the_limits_hold_for_a_connection_that_is_never_reviewed() -> None:
    world = pair_of()
    world.edit(limits={"creates": 5})
    people(world.left, 20)
    assert world.sync().status == "held"
    assert len(world.right.contacts) == 1


@pytest.mark.proves("E5 released")
def test_a_short_failure_does_not_ask_again_for_what_was_approved() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"), review="first")
    world.edit(limits={"creates": 5})
    people(world.left, 30)
    assert world.sync().status == "waiting"
    world.approve()
    world.right.fault_at(30, timed_out)
    settle_quietly(world)
    assert not SyncRun.objects.filter(status__in=["held", "waiting"]).exists()
    assert len(world.right.contacts) == 30


@pytest.mark.proves("I21", "E6 one bad item")
def test_a_contact_that_the_app_never_takes_stops_no_other() -> None:
    world = pair_of()
    world.right.unsent = lambda values: values.get("given") == "Poison"
    world.left.person_creates(given="Poison", email="poison@example.com")
    for _ in range(3):
        world.slice()
        world.clock.forward(400)
    world.left.person_edits("l1", title="Mathematician")
    for _ in range(20):
        world.slice()
        world.clock.forward(400)
    assert world.right.contacts["r1"]["title"] == "Mathematician"


@pytest.mark.proves("E5 dry run")
def test_a_dry_run_of_a_paused_connection_goes_on_after_it_had_to_wait() -> None:
    world = pair_of()
    pause(world)
    sync_services.request_plan(world.connection, ANNA, world.clock, enqueue=False)
    world.left.fault_at(1, throttled)
    outcome = world.slice()
    assert outcome.status == "running" and outcome.again_at is not None
    past = tasks.this_worker().clock.now() - timedelta(minutes=1)
    Connection.objects.update(next_run_at=past)
    assert tasks.tick() == 1


# Matching


@pytest.mark.proves("I22", "E3 outcomes")
def test_both_contacts_of_a_match_that_came_to_nothing_are_looked_at_again() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"), review="changes")
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    world.right.person_creates("r1", given="Ada", email="ada@example.com")
    assert world.sync().status == "waiting"
    world.left.person_edits("l1", email="countess@example.com")
    world.sync()
    world.approve()
    settle_quietly(world)
    assert len(world.right.by_email("countess@example.com")) == 1
    assert len(world.left.by_email("ada@example.com")) == 1


@pytest.mark.proves("E9 held line")
def test_a_conflict_between_two_contacts_that_meet_is_shown_to_a_person() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"), winner="hold")
    world.left.person_creates("l1", given="Ada", email="ada@example.com", title="Left")
    world.right.person_creates("r1", given="Ada", email="ada@example.com", title="Right")
    world.settle()
    world.settle()
    assert [hold.kind for hold in Hold.objects.filter(resolved=None)] == ["conflict"]


@pytest.mark.proves("E3 wake by key")
def test_a_contact_that_waits_for_a_date_is_looked_at_when_its_twin_goes() -> None:
    born = Field("since", "Customer since", FieldType.DATE)
    world = make_world(MemoryApp("left", fields=(*FIELDS, born)), MemoryApp("right"))
    rule = world.connection.rules.get(source="left")
    recent = Condition(kind="field", field="since", operator="in_last_days", value="30")
    services.save_rule(rule, ANNA, [recent], [], connect_to(world.apps, world.clock), world.clock)
    world.connection.refresh_from_db()
    world.left.person_creates("l1", given="Eva", email="eva@example.com", since="2026-11-20")
    world.left.person_creates("l2", given="Eva", email="eva@example.com", since="2026-11-20")
    settle_quietly(world)
    assert world.right.contacts == {}
    world.left.person_deletes("l2")
    settle_quietly(world)
    assert len(world.right.contacts) == 1


# Reading


@pytest.mark.proves("E2 complete")
def test_a_first_reading_that_was_not_proven_is_tried_again_on_the_next_run() -> None:
    world = make_world(MemoryApp("left", unproven=4), MemoryApp("right"))
    world.left.person_creates(given="Ada", email="ada@example.com")
    settle_quietly(world)
    assert world.left.unproven == 0
    assert len(world.right.contacts) == 1


@pytest.mark.proves("I22", "E2 emptied book")
def test_a_person_can_say_that_an_empty_book_is_right() -> None:
    world = pair_of()
    world.left.contacts.clear()
    Book.objects.update(full_wanted=True)
    world.sync()
    hold = Hold.objects.get(resolved=None, kind="emptied")
    sync_services.resolve_book_hold(hold, ANNA, world.clock)
    settle_quietly(world)
    assert not Hold.objects.filter(resolved=None, kind="emptied").exists()
    assert world.states().get("opposite_deleted") == 1


@pytest.mark.proves("I26", "E2 emptied book")
def test_an_empty_book_stays_held_while_it_lists_nobody() -> None:
    world = pair_of()
    world.left.hidden = {"l1"}
    world.left.expired = True
    world.sync()
    assert Hold.objects.filter(resolved=None, kind="emptied").exists()
    world.clock.forward(300)
    world.sync()
    assert Hold.objects.filter(resolved=None, kind="emptied").exists()


@pytest.mark.proves("E2 full pass")
@pytest.mark.parametrize("wish", ["full_wanted", "pull_wanted"])
def test_a_wish_for_a_reading_that_comes_during_a_reading_is_kept(wish: str) -> None:
    world = pair_of()

    def wished() -> None:
        Book.objects.update(**{wish: True})

    world.left.fault_at(1, wished)
    world.sync()
    assert Book.objects.filter(**{wish: True}).exists()


@pytest.mark.proves("E1 field union")
def test_a_field_that_was_added_to_the_app_can_be_mapped_at_once() -> None:
    world = pair_of()
    shoe = Field("shoe", "Shoe size", FieldType.TEXT, custom=True)
    for app in (world.left, world.right):
        app.fields = (*FIELDS, shoe)
    world.left.person_edits("l1", shoe="38")
    world.settle()
    cache.clear()
    mapping = FieldMapping(connection=world.connection, left_field="shoe", right_field="shoe", direction="both")
    services.save_mapping(mapping, ANNA, connect_to(world.apps, world.clock), world.clock)
    world.connection.refresh_from_db()
    settle_quietly(world)
    assert world.right.contacts["r1"].get("shoe") == "38"


@pytest.mark.proves("I21", "E2 suspects")
def test_one_missing_contact_that_cannot_be_read_stops_no_other() -> None:
    world = pair_of()
    people(world.left, 20)
    world.settle()
    world.left.hidden, world.left.unreadable = {"l1"}, {"l1"}
    Book.objects.update(full_wanted=True)
    settle_quietly(world)
    world.left.person_creates(given="New", email="new@example.com")
    settle_quietly(world)
    assert len(world.right.by_email("new@example.com")) == 1


def test_a_quiet_run_does_not_read_all_that_was_done_in_a_day() -> None:
    world = pair_of()
    people(world.left, 20)
    world.settle()
    with CaptureQueriesContext(connection) as queries:
        assert world.sync().status == "quiet"
    reading = [q["sql"] for q in queries if q["sql"].startswith("SELECT") and "'recovered'" in q["sql"]]
    assert reading == []


# Writing


@pytest.mark.proves("E3 fresh metadata", "E6 refused value")
def test_a_value_that_was_refused_is_sent_again_when_the_app_says_other_things_of_the_field() -> None:
    world = pair_of()
    world.right.refuse = lambda values: "too long" if values.get("note") else ""
    world.left.person_edits("l1", note="More than the app takes")
    world.settle()
    assert world.states() == {"failing": 1} or world.states()["failing"] == 1
    world.right.fields = tuple(replace(one, max_length=500) if one.name == "note" else one for one in FIELDS)
    world.right.refuse = lambda values: ""
    Book.objects.update(full_wanted=True)
    settle_quietly(world)
    assert world.right.contacts["r1"]["note"] == "More than the app takes"


@pytest.mark.proves("I6", "E7 created then deleted")
def test_what_a_person_deleted_before_we_knew_that_it_was_created_is_not_created_again() -> None:
    world = pair_of()
    world.left.person_creates("l2", given="Bob", email="bob@example.com")
    world.right.fault_at(3, timed_out)
    world.slice()
    created = next(one for one in world.right.contacts if one != "r1")
    world.right.person_deletes(created)
    settle_quietly(world)
    assert world.right.by_email("bob@example.com") == []


@pytest.mark.proves("I22", "E9 hold ends")
def test_a_create_that_turned_out_leaves_no_question_open() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right", create="search"))
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    world.right.fault_at(4, timed_out)
    world.slice()
    own = world.right.person_creates("stranger", given="Ada", email="ada@example.com")
    world.clock.forward(300)
    world.slice()
    assert Hold.objects.filter(resolved=None, kind="create_unknown").exists()
    world.right.person_deletes(own)
    settle_quietly(world)
    assert world.states()["in_sync"] == 1
    assert not Hold.objects.filter(resolved=None).exists()


@pytest.mark.proves("I21")
def test_an_odd_answer_of_the_app_stops_no_run() -> None:
    world = pair_of()
    world.right.refuse = lambda values: "half a \ud800 character" if values.get("given") == "Odd" else ""
    world.left.person_creates(given="Odd", email="odd@example.com")
    world.left.person_creates(given="Good", email="good@example.com")
    settle_quietly(world)
    assert len(world.right.by_email("good@example.com")) == 1
    world.assert_log_is_whole()


def with_float(values: Values) -> Values:
    size: Any = float(str(values["size"])) if values.get("size") else None
    return {**values, "size": size}


@pytest.mark.proves("I21")
def test_a_number_that_the_app_spells_as_a_float_stops_no_run() -> None:
    size = Field("size", "Size", FieldType.DECIMAL, "custom.size")
    world = make_world(
        MemoryApp("left", fields=(*FIELDS, size)), MemoryApp("right", fields=(*FIELDS, size), shows=with_float)
    )
    world.left.person_creates(given="Ada", email="ada@example.com", size="12.5")
    settle_quietly(world)
    assert len(world.right.contacts) == 1
    world.assert_log_is_whole()


@pytest.mark.proves("E7 updates", "E8 re-entered")
def test_the_trash_tag_that_arrived_comes_off_though_its_answer_was_lost() -> None:
    world = pair_of(sync_deletions="both")
    before = dict(world.left.contacts["l1"])
    world.left.person_deletes("l1")
    world.right.fault_at(4, timed_out)
    world.slice()
    assert world.right.contacts["r1"]["tags"] == ["PieSync Trash"]
    world.right.person_edits("r1", tags=["PieSync Trash", "mine"])
    settle_quietly(world)
    world.left.person_creates("l1", **before)
    settle_quietly(world)
    assert world.right.contacts["r1"]["tags"] == ["mine"]


# Budgets and settings


def test_two_callers_at_once_do_not_take_the_last_call_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    world = pair_of()
    one = rates.Budget("login", "run", 1, world.clock)
    two = rates.Budget("login", "people", 1, world.clock)
    stored = rates.record
    taken: list[str] = []

    def meanwhile(key: str, caller: str, slot: int, calls: int = 1) -> None:
        monkeypatch.setattr(rates, "record", stored)
        try:
            two.take()
            taken.append("two")
        except RateLimited:
            pass
        stored(key, caller, slot, calls)

    monkeypatch.setattr(rates, "record", meanwhile)
    try:
        one.take()
        taken.append("one")
    except RateLimited:
        pass
    assert len(taken) == 1


def test_saving_an_old_form_does_not_undo_a_pause() -> None:
    world = pair_of()
    form = Connection.objects.get(pk=world.connection.pk)
    pause(world)
    services.update_connection(form, ANNA, {"name": "Other"}, clock=world.clock)
    assert Connection.objects.get(pk=form.pk).state == "paused"


def test_saving_an_old_form_does_not_undo_an_approval() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"), review="changes")
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    world.sync()
    form = Connection.objects.get(pk=world.connection.pk)
    world.approve()
    services.update_connection(form, ANNA, {"interval": 600}, clock=world.clock)
    row = Connection.objects.get(pk=form.pk)
    assert row.reviewed_version == row.version


def test_two_old_forms_end_in_a_refusal_and_not_in_an_error() -> None:
    world = pair_of()
    first, second = (Connection.objects.get(pk=world.connection.pk) for _ in range(2))
    services.update_connection(first, ANNA, {"winner": "right"}, clock=world.clock)
    with suppress(services.Refused):
        services.update_connection(second, ANNA, {"interval": 600}, clock=world.clock)
    row = Connection.objects.get(pk=first.pk)
    assert row.winner == "right"
    assert row.version == first.version or row.version == first.version + 1


@pytest.mark.proves("I6", "E8 re-entered")
def test_a_contact_entered_anew_on_the_right_is_linked_to_the_survivor() -> None:
    world = pair_of()
    world.right.person_deletes("r1")
    world.settle()
    world.right.person_creates("r2", given="Ada", family="King", email="ada@example.com")
    world.settle()
    assert len(world.left.contacts) == len(world.right.contacts) == 1
    assert world.states()["in_sync"] == 1


def test_a_twin_that_takes_the_place_of_a_deleted_contact_gets_no_trash_tag_and_stops_no_run() -> None:
    world = pair_of(sync_deletions="both")
    world.left.person_creates("l2", given="Ada", family="Lovelace", email="ada@example.com", title="Countess")
    world.settle()
    world.left.person_deletes("l1")
    world.settle()
    assert world.right.contacts["r1"]["tags"] is None
    assert world.states()["in_sync"] == 1


@pytest.mark.proves("I6", "E8 re-entered")
def test_a_contact_that_is_deleted_and_entered_anew_between_two_runs_is_linked_to_the_survivor() -> None:
    world = pair_of()
    world.left.person_deletes("l1")
    world.left.person_creates("l2", given="Ada", family="King", email="ada@example.com")
    settle_quietly(world)
    assert world.right.contacts["r1"]["family"] == "King"


@pytest.mark.proves("I21")
def test_one_write_whose_outcome_cannot_be_read_stops_no_other() -> None:
    world = pair_of()
    world.left.person_edits("l1", title="Mathematician")
    world.right.fault_at(4, timed_out)
    world.slice()
    assert Change.objects.filter(state="sending").exists()
    world.right.unreadable = {"r1"}
    world.left.person_creates(given="New", email="new@example.com")
    settle_quietly(world)
    assert len(world.right.by_email("new@example.com")) == 1


def test_a_deletion_is_said_once_though_its_tag_was_refused() -> None:
    world = pair_of(sync_deletions="both")
    world.right.refuse = lambda values: "no tags today" if values.get("tags") else ""
    world.left.person_deletes("l1")
    world.settle()
    world.right.person_edits("r1", note="edited")
    world.settle()
    world.right.person_edits("r1", note="edited again")
    world.settle()
    assert len(world.entries("link.opposite_deleted")) == 1


@pytest.mark.parametrize("mode", ["on_create", "if_empty"])
def test_a_tags_line_that_writes_only_new_contacts_leaves_the_others_alone(mode: str) -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    world.connection.mappings.filter(left_field="tags").update(write_mode=mode)
    world.left.person_creates("l1", given="Ada", email="ada@example.com", tags=["vip"])
    world.right.person_creates("r1", given="Ada", email="ada@example.com", tags=["math"])
    world.settle()
    assert world.right.contacts["r1"]["tags"] == ["math"]
