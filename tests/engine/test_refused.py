"""What an app refuses of a contact, by the field that it names: that value waits with the app's reason, and all else of
the contact travels."""

from dataclasses import replace

import pytest

from syncer.connectors.base import Value
from syncer.models import Book, Change, Hold, Link
from syncer.models.link import ENDED
from tests.engine.memory import FIELDS, MemoryApp
from tests.engine.test_review import pair_of
from tests.engine.world import World, make_world

pytestmark = [pytest.mark.django_db, pytest.mark.proves("E6 refused value", "I21")]
NUMBER, SHORT = "+442079460000", "the number is too short"


def no_number(name: str, value: Value) -> str:
    return SHORT if value == NUMBER else ""


def nothing(name: str, value: Value) -> str:
    return ""


def refused() -> World:
    """Ada got a number that the other app does not take, and a job title with it."""
    world = pair_of()
    world.right.refuses = no_number
    world.left.person_edits("l1", mobile=NUMBER, title="Mathematician")
    world.settle()
    return world


def the_link() -> Link:
    return Link.objects.exclude(state__in=ENDED).get()


def sent(world: World) -> int:
    return len(world.entries("write.intent"))


def test_the_other_fields_of_the_contact_travel() -> None:
    world = refused()
    assert (world.right.contacts["r1"]["title"], world.right.contacts["r1"]["mobile"]) == ("Mathematician", None)
    link = the_link()
    assert (link.state, link.reason, link.next_attempt_at) == ("failing", SHORT, None)


def test_a_person_reads_which_value_it_is_and_why() -> None:
    world = refused()
    hold = Hold.objects.get(resolved=None)
    line = world.connection.mappings.get(left_field="mobile")
    assert (hold.kind, hold.mapping) == ("value", line.code)
    assert hold.data == {"reason": SHORT, "left": NUMBER, "right": None}


def test_the_value_is_not_sent_again_whatever_else_is_edited() -> None:
    world = refused()
    for number in range(3):
        world.left.person_edits("l1", note=f"Call {number}")
        world.clock.forward(100_000)
        world.settle()
        assert world.right.contacts["r1"]["note"] == f"Call {number}"
    assert [change.values for change in Change.objects.filter(state="refused")] == [
        {"mobile": NUMBER, "title": "Mathematician"}
    ]
    assert the_link().reason == SHORT


def test_another_value_ends_it() -> None:
    world = refused()
    world.left.person_edits("l1", mobile="+442079461111")
    world.settle()
    assert world.right.contacts["r1"]["mobile"] == "+442079461111"
    link = the_link()
    assert (link.state, link.reason, link.refused) == ("in_sync", "", {})
    assert not Hold.objects.filter(resolved=None).exists()


def test_the_old_value_again_ends_it_without_a_write() -> None:
    world = refused()
    before = sent(world)
    world.left.person_edits("l1", mobile=None)
    world.settle()
    assert sent(world) == before
    assert the_link().state == "in_sync"


def test_it_is_tried_again_when_the_app_says_other_things_of_its_fields() -> None:
    world = refused()
    world.right.refuses = nothing
    Book.objects.update(full_wanted=True)
    world.settle()
    assert world.right.contacts["r1"]["mobile"] is None, "nothing was said anew"
    world.right.fields = tuple(replace(one, max_length=50) if one.name == "mobile" else one for one in FIELDS)
    Book.objects.update(full_wanted=True)
    world.settle()
    assert world.right.contacts["r1"]["mobile"] == NUMBER


def test_several_values_are_found_out_one_after_another() -> None:
    world = pair_of()
    world.right.refuses = lambda name, value: f"{name}: no" if name in ("mobile", "title") and value else ""
    world.left.person_edits("l1", mobile=NUMBER, title="Seer", note="Likes coffee")
    world.settle()
    assert world.right.contacts["r1"]["note"] == "Likes coffee"
    assert set(the_link().refused.values()) == {"mobile: no", "title: no"}
    assert Hold.objects.filter(resolved=None, kind="value").count() == 2
    assert Change.objects.filter(state="refused").count() == 2


def test_a_new_contact_comes_without_it() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    world.right.refuses = no_number
    world.left.person_creates("l1", given="Ada", email="ada@example.com", mobile=NUMBER, title="Countess")
    world.settle()
    [made] = world.right.contacts.values()
    assert (made["given"], made["title"], made["mobile"]) == ("Ada", "Countess", None)
    assert (the_link().state, the_link().reason) == ("failing", SHORT)
    assert Hold.objects.get(resolved=None).data["left"] == NUMBER
    world.left.person_edits("l1", mobile="+442079461111")
    world.settle()
    [made] = world.right.contacts.values()
    assert made["mobile"] == "+442079461111"


@pytest.mark.proves("I2")
def test_what_was_refused_stays_where_it_was_typed() -> None:
    """Also when the contact is created without it: the empty field of the copy is no edit."""
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    world.right.refuses = no_number
    world.left.person_creates("l1", given="Ada", email="ada@example.com", mobile=NUMBER)
    world.settle()
    [copy] = world.right.contacts
    world.right.person_edits(copy, note="Likes coffee")
    world.settle()
    assert world.left.contacts["l1"]["mobile"] == NUMBER
    assert world.left.contacts["l1"]["note"] == "Likes coffee"


def test_nobody_is_created_without_the_address() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    world.right.refuses = lambda name, value: "not a mailbox" if name == "email" else ""
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    world.settle()
    assert not world.right.contacts
    assert (the_link().state, the_link().reason) == ("failing", "not a mailbox")
    before = sent(world)
    world.left.person_edits("l1", note="Likes coffee")
    world.settle()
    assert sent(world) == before


def test_a_plan_shows_what_is_left_out_and_changes_nothing() -> None:
    """A preview of a connection whose value was refused: the rest is in it, the value is not."""
    world = refused()
    world.left.person_edits("l1", note="Likes coffee")
    world.edit(review="changes")
    assert world.sync().status == "waiting"
    [planned] = Change.objects.filter(state="planned")
    assert planned.values == {"note": "Likes coffee"}
