"""An opt-out is read always, told once as a tag, and never undone by a sync, whichever way round it is tried."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db.models.functions import Now

from connections import services
from connections.models import FieldMapping
from connections.services import Refused
from syncer.engine.consent import remember_opt_outs
from syncer.engine.planner import Line, Policy, decide_line
from syncer.engine.values import ABSENT
from syncer.models import AccountLease, Book, Hold, Link, OptOut, SyncLog
from tests.engine.app import MARKETING, STATUS
from tests.engine.memory import Crash, MemoryApp
from tests.engine.world import ANNA, World, make_world

pytestmark = [pytest.mark.django_db, pytest.mark.proves("I9", "E8 consent", "E8 unsubscribes")]
TAG = "PieSync Unsubscribes"
SUBSCRIBED = {"left": {"consent": "subscribed"}}
BOTH = {"left": {"consent": "subscribed"}, "right": {"consent": "subscribed"}}


def marketing(**options: Any) -> World:
    """Marketing on the left, a CRM on the right; unsubscribes go to the CRM."""
    options = {"sync_unsubscribes": "to_right", "create_defaults": SUBSCRIBED} | options
    return make_world(MemoryApp("mail", fields=MARKETING), MemoryApp("crm"), **options)


def two_lists(**options: Any) -> World:
    """Two marketing apps, with a line for their statuses."""
    left, right = MemoryApp("mail", fields=MARKETING), MemoryApp("news", fields=MARKETING)
    world = make_world(left, right, activate=False, **{"create_defaults": BOTH, **options})
    FieldMapping.objects.create(
        connection=world.connection, left_field="status", right_field="status", direction="both"
    )
    services.activate(world.connection, ANNA, world.clock, world.worker.connect)
    return world


def only(app: MemoryApp) -> dict[str, Any]:
    (contact,) = app.contacts.values()
    return contact


def id_of(app: MemoryApp, email: str = "ada@example.com") -> str:
    return next(one for one, values in app.contacts.items() if values["email"] == email)


def member(world: World, status: str = "subscribed", email: str = "ada@example.com") -> str:
    return world.left.person_creates(given="Ada", family="Lovelace", email=email, status=status)


def statuses_written(app: MemoryApp) -> list[object]:
    return [values["status"] for _, _, values in app.mutations if "status" in values]


# The tag


def test_an_unsubscribe_becomes_a_tag_once(db: None) -> None:
    world = marketing()
    ada = member(world)
    world.settle()
    assert only(world.right)["tags"] is None
    world.left.person_edits(ada, status="unsubscribed")
    world.settle()
    assert only(world.right)["tags"] == [TAG]
    (entry,) = [one for one in world.entries("write.intent") if "unsubscribed" in one.header]
    assert '"after":{"tags":["PieSync Unsubscribes"]}' in str(entry.payload)
    world.right.person_edits(id_of(world.right), tags=None)
    world.settle()
    assert only(world.right)["tags"] is None, "a person took it away, and it stays away"
    assert statuses_written(world.left) == []


def test_each_new_unsubscribe_is_told(db: None) -> None:
    world = marketing()
    ada = member(world, "unsubscribed")
    world.settle()
    world.right.person_edits(id_of(world.right), tags=["vip"])
    world.left.person_edits(ada, status="subscribed")
    world.settle()
    assert only(world.right)["tags"] == ["vip"], "who comes back is not tagged, and no tag is taken away for that"
    world.left.person_edits(ada, status="cleaned")
    world.settle()
    assert only(world.right)["tags"] == [TAG, "vip"]


@pytest.mark.parametrize("status", ["unsubscribed", "cleaned"])
def test_who_had_opted_out_before_is_tagged_when_made_and_when_linked(db: None, status: str) -> None:
    world = marketing()
    member(world, status)
    member(world, status, "bob@example.com")
    member(world, "pending", "cid@example.com")
    world.right.person_creates(given="Bob", family="Bob", email="bob@example.com", tags=["vip"])
    world.settle()
    tags = {str(values["email"]): values["tags"] for values in world.right.contacts.values()}
    assert tags == {"ada@example.com": [TAG], "bob@example.com": [TAG, "vip"], "cid@example.com": None}


def test_it_goes_together_with_other_tags_and_never_travels_back(db: None) -> None:
    world = marketing()
    ada = member(world)
    world.settle()
    world.left.person_edits(ada, status="unsubscribed", tags=["news"])
    world.settle()
    assert only(world.right)["tags"] == ["news", TAG]
    assert only(world.left)["tags"] == ["news"]
    updates = [values for operation, _, values in world.right.mutations if operation == "update"]
    assert updates == [{"tags": ["news", TAG]}]


def test_removing_the_tag_changes_nothing_in_the_marketing_app(db: None) -> None:
    world = marketing()
    member(world, "unsubscribed")
    world.settle()
    before = len(world.left.mutations)
    world.right.person_edits(id_of(world.right), tags=None)
    world.settle()
    assert len(world.left.mutations) == before
    assert only(world.left)["status"] == "unsubscribed"


def test_it_travels_against_the_direction_and_writes_nothing_else(db: None) -> None:
    world = marketing(direction="to_left")
    world.right.person_creates(given="Ada", family="Lovelace", email="ada@example.com")
    world.settle()
    world.left.person_edits(id_of(world.left), status="unsubscribed", given="Augusta")
    world.settle()
    assert only(world.right) | {"tags": [TAG]} == only(world.right)
    assert only(world.right)["given"] == "Ada"


def test_switched_off_nothing_is_told_and_switched_on_everything_that_was_not(db: None) -> None:
    world = marketing(sync_unsubscribes="off")
    ada = member(world)
    world.settle()
    world.left.person_edits(ada, status="unsubscribed")
    world.settle()
    assert only(world.right)["tags"] is None
    world.edit(sync_unsubscribes="to_right")
    world.settle()
    assert only(world.right)["tags"] == [TAG]
    world.right.person_edits(id_of(world.right), tags=None)
    world.edit(sync_unsubscribes="off")
    world.settle()
    world.edit(sync_unsubscribes="to_right")
    world.settle()
    assert only(world.right)["tags"] is None


def test_a_tag_that_was_refused_is_told_again_when_it_can_be(db: None) -> None:
    world = marketing()
    ada = member(world)
    world.settle()
    world.right.refuses = lambda name, value: "no tags today" if name == "tags" else ""
    world.left.person_edits(ada, status="unsubscribed")
    world.settle()
    assert "no tags today" in Link.objects.get(connection=world.connection).reason
    world.right.refuses = lambda name, value: ""
    world.left.person_edits(ada, tags=["news"])
    world.settle()
    assert only(world.right)["tags"] == ["news", TAG]


@pytest.mark.parametrize("where", ["update", "updated", "reread"])
def test_a_crash_on_the_way_tells_it_once_all_the_same(db: None, where: str) -> None:
    world = marketing()
    ada = member(world)
    world.settle()
    world.left.person_edits(ada, status="unsubscribed")

    def crash() -> None:
        raise Crash

    world.right.fault_in(where, crash)
    with pytest.raises(Crash):
        world.sync()
    AccountLease.objects.update(expires_at=Now())
    world.settle()
    assert only(world.right)["tags"] == [TAG]
    world.right.person_edits(id_of(world.right), tags=None)
    world.settle()
    assert only(world.right)["tags"] is None
    world.assert_log_is_whole()


# New members


def test_the_status_of_new_members_is_a_choice_without_a_default(db: None) -> None:
    with pytest.raises(Refused, match="Choose the status that new contacts get in Marketing"):
        marketing(create_defaults={})
    world = make_world(
        MemoryApp("mail", fields=MARKETING), MemoryApp("crm"), slug="other", direction="to_right", create_defaults={}
    )
    world.connection.refresh_from_db()
    with pytest.raises(ValidationError, match="Choose the status"):
        world.edit(direction="both")
    with pytest.raises(ValidationError, match=r"no status sure for new contacts\. Choose one of: subscribed, pending"):
        world.edit(create_defaults={"left": {"consent": "sure"}}, direction="both")


@pytest.mark.parametrize("chosen", ["subscribed", "pending", "unsubscribed"])
def test_a_new_member_gets_the_status_that_was_chosen(db: None, chosen: str) -> None:
    world = marketing(create_defaults={"left": {"consent": chosen}})
    world.right.person_creates(given="Ada", family="Lovelace", email="ada@example.com")
    world.settle()
    assert only(world.left)["status"] == chosen


def test_who_carries_the_tag_is_created_as_unsubscribed(db: None) -> None:
    world = marketing()
    world.right.person_creates(given="Ada", family="Lovelace", email="ada@example.com", tags=[TAG.upper()])
    world.settle()
    assert only(world.left)["status"] == "unsubscribed"
    assert only(world.left)["tags"] is None


def test_an_address_that_opted_out_is_created_as_unsubscribed_even_after_its_member_is_gone(db: None) -> None:
    world = marketing(sync_unsubscribes="off")
    ada = member(world, "unsubscribed", "Ada@Example.com")
    world.settle()
    world.left.person_edits(ada, email="countess@example.com")
    world.settle()
    world.right.person_creates(given="Ada", family="Lovelace", email="ada@example.com")
    world.settle()
    status = {str(values["email"]): values["status"] for values in world.left.contacts.values()}
    assert status == {"countess@example.com": "unsubscribed", "ada@example.com": "unsubscribed"}


def test_no_member_moves_to_an_address_that_opted_out(db: None) -> None:
    world = marketing(sync_unsubscribes="off")
    ada = member(world, "unsubscribed")
    member(world, "subscribed", "bob@example.com")
    world.settle()
    world.left.person_edits(ada, email="countess@example.com")
    world.settle()
    bob = id_of(world.right, "bob@example.com")
    world.right.person_edits(bob, email="ada@example.com", title="Duke")
    world.settle()
    contact = world.left.contacts[id_of(world.left, "bob@example.com")]
    assert (contact["status"], contact["title"]) == ("subscribed", "Duke"), "all else goes on"
    hold = Hold.objects.get(resolved=None)
    assert (hold.kind, hold.data["left"], hold.data["right"]) == ("consent", "bob@example.com", "ada@example.com")
    world.right.person_edits(bob, email="robert@example.com")
    world.settle()
    assert not Hold.objects.filter(resolved=None).exists()
    assert id_of(world.left, "robert@example.com")


def test_only_the_app_itself_can_take_an_opt_out_back(db: None) -> None:
    world = marketing()
    ada = member(world, "unsubscribed")
    world.settle()
    assert OptOut.objects.count() == 1
    world.left.person_edits(ada, status="archived")
    world.settle()
    assert OptOut.objects.count() == 1
    world.left.person_edits(ada, status="subscribed")
    world.settle()
    assert OptOut.objects.count() == 0


def test_the_address_itself_is_not_kept_for_it(db: None) -> None:
    world = marketing()
    member(world, "unsubscribed")
    world.settle()
    row = OptOut.objects.get()
    assert len(row.key) == 64
    assert "ada" not in row.key


# Statuses that are mapped


def test_an_opt_out_of_one_list_is_one_of_both_and_nothing_else_travels(db: None) -> None:
    world = two_lists()
    for number, pair in enumerate(
        [
            ("subscribed", "unsubscribed"),
            ("cleaned", "subscribed"),
            ("pending", "subscribed"),
            ("subscribed", "archived"),
            ("unsubscribed", "archived"),
            ("unsubscribed", "cleaned"),
            ("unsubscribed", "transactional"),
        ]
    ):
        for app, status in zip((world.left, world.right), pair, strict=True):
            app.person_creates(given="P", family=str(number), email=f"p{number}@example.com", status=status)
    world.settle()
    shown = [
        tuple(app.contacts[id_of(app, f"p{number}@example.com")]["status"] for app in (world.left, world.right))
        for number in range(7)
    ]
    assert shown == [
        ("unsubscribed", "unsubscribed"),
        ("cleaned", "unsubscribed"),
        ("pending", "subscribed"),
        ("subscribed", "archived"),
        ("unsubscribed", "archived"),
        ("unsubscribed", "cleaned"),
        ("unsubscribed", "unsubscribed"),
    ]
    assert {*statuses_written(world.left), *statuses_written(world.right)} == {"unsubscribed"}
    log = [str(one.payload) for one in SyncLog.objects.filter(kind="write.intent")]
    assert any('"before":{"status":"subscribed"}' in text for text in log), "what was there stands in the log"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("subscribed", "subscribed"),
        ("pending", "pending"),
        ("unsubscribed", "unsubscribed"),
        ("cleaned", "unsubscribed"),
        ("archived", "subscribed"),
    ],
)
def test_a_new_member_takes_its_status_from_the_other_list(db: None, source: str, expected: str) -> None:
    world = two_lists()
    member(world, source)
    world.settle()
    assert only(world.right)["status"] == expected


def test_a_status_that_was_not_read_counts_as_it_was_and_is_not_written_over() -> None:
    line = Line("status", STATUS, STATUS, frozenset({"left", "right"}))
    seen = ["subscribed", "subscribed"]
    assert decide_line(line, None, ABSENT, "unsubscribed", Policy()).note == "not read yet"
    assert decide_line(line, seen, ABSENT, "subscribed", Policy()).writes == ()
    out = decide_line(line, seen, ABSENT, "unsubscribed", Policy())
    assert (out.writes, out.note) == ((), "not read yet"), "nobody writes over what nobody has seen"
    (way, write) = decide_line(line, ["unsubscribed", "subscribed"], ABSENT, "subscribed", Policy()).writes[0]
    assert (way, write.value) == ("right", "unsubscribed")


def test_who_comes_back_on_one_list_alone_is_out_again(db: None) -> None:
    world = two_lists()
    ada = member(world)
    world.settle()
    world.right.person_edits(id_of(world.right), status="unsubscribed")
    world.settle()
    assert only(world.left)["status"] == "unsubscribed"
    world.left.person_edits(ada, status="subscribed")
    world.settle()
    assert only(world.left)["status"] == "unsubscribed", "no sync takes the other list's opt-out back"
    world.left.person_edits(ada, status="subscribed")
    world.right.person_edits(id_of(world.right), status="subscribed")
    world.settle()
    assert (only(world.left)["status"], only(world.right)["status"]) == ("subscribed", "subscribed")


def test_a_line_that_goes_one_way_takes_opt_outs_that_way_only(db: None) -> None:
    world = two_lists()
    line = world.connection.mappings.get(left_field="status")
    line.direction = "to_right"
    services.save_mapping(line, ANNA, world.worker.connect, world.clock)
    member(world)
    world.settle()
    world.right.person_edits(id_of(world.right), status="unsubscribed")
    world.settle()
    assert only(world.left)["status"] == "subscribed"


# Setting it up


def test_unsubscribes_travel_only_from_an_app_that_tells_of_them(db: None) -> None:
    with pytest.raises(ValidationError, match=r"Memory does not tell who has unsubscribed\. Choose the other way"):
        marketing(sync_unsubscribes="to_left")
    world = marketing(slug="other")
    with pytest.raises(ValidationError, match="does not tell who has unsubscribed"):
        world.edit(sync_unsubscribes="to_left")


def test_a_book_without_consent_remembers_nobody(db: None) -> None:
    remember_opt_outs(Book(), {}, [])
    assert not OptOut.objects.exists()
