"""A contact that gets another id stays the contact that it was (ENGINE.md 2)."""

import pytest

from syncer.models import Link, Record
from tests.engine.memory import MemoryApp
from tests.engine.world import World, make_world

pytestmark = [pytest.mark.django_db, pytest.mark.proves("E2 renames")]


def pair(**options: object) -> World:
    world = make_world(MemoryApp("left"), MemoryApp("right", **options), sync_deletions="both")  # type: ignore[arg-type]
    world.right.person_creates("r1", given="Ada", email="ada@example.com")
    world.settle()
    return world


def the_pair(world: World) -> Link:
    return Link.objects.get(state="in_sync")


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh feed", "late feed"])
def test_a_new_id_keeps_the_link_and_the_old_ones_tombstone_is_dropped(fresh: bool) -> None:
    world = pair(fresh_feed=fresh)
    record, link = Record.objects.get(remote_id="r1"), the_pair(world)
    world.right.person_renames("r1", "r2")
    world.settle()
    record.refresh_from_db()
    assert (record.remote_id, record.state) == ("r2", "live")
    assert the_pair(world) == link
    assert world.left.by_email("ada@example.com")[0]["tags"] is None, "nobody was deleted"
    world.right.person_edits("r2", title="Countess")
    world.settle()
    assert world.left.by_email("ada@example.com")[0]["title"] == "Countess"
    assert len(world.left.contacts) == len(world.right.contacts) == 1


def test_a_tombstone_that_comes_before_the_new_id_is_taken_back() -> None:
    world = pair()
    kept = dict(world.right.contacts["r1"])
    world.right.person_deletes("r1")
    world.settle()
    assert Link.objects.get().state == "opposite_deleted"
    world.right.person_creates("r2", **kept)
    world.right.previous_ids["r2"] = ("r1",)
    world.settle()
    assert the_pair(world).right == Record.objects.get(remote_id="r2")
    assert len(world.left.contacts) == 1
    assert world.left.by_email("ada@example.com")[0]["tags"] is None, "the tag that we set came off again"


@pytest.mark.proves("I11")
def test_our_own_write_can_move_the_id() -> None:
    world = pair()
    world.right.renames_on_write = lambda old, values: f"id of {values['email']}" if "email" in values else old
    here = next(iter(world.left.contacts))
    world.left.person_edits(here, email="countess@example.com", title="Countess")
    world.settle()
    assert list(world.right.contacts) == ["id of countess@example.com"]
    assert the_pair(world).right == Record.objects.get(remote_id="id of countess@example.com")
    assert Record.objects.filter(book__account__label="right").count() == 1
    world.left.person_edits(here, title="Queen")
    world.settle()
    assert world.right.contacts["id of countess@example.com"]["title"] == "Queen"


def test_two_contacts_merged_in_the_app_stay_one_link_and_one_deletion() -> None:
    world = pair()
    world.right.person_creates("r9", given="Augusta", email="augusta@example.com")
    world.settle()
    world.right.person_merges("r9", "r1")
    world.settle()
    states = dict(Link.objects.values_list("right__remote_id", "state"))
    assert states == {"r1": "in_sync", "r9": "opposite_deleted"}
    assert world.left.by_email("augusta@example.com")[0]["tags"] == ["PieSync Trash"]
    assert world.left.by_email("ada@example.com")[0]["tags"] is None


def test_a_read_that_answers_under_another_id_moves_the_record() -> None:
    world = pair()
    record = Record.objects.get(remote_id="r1")
    world.right.old_ids_answer = True
    world.right.person_renames("r1", "r2")
    world.right.log, world.right.history = world.right.log[:-2], world.right.history[:-2]
    Record.objects.filter(pk=record.pk).update(needs_read=True)
    world.sync()
    record.refresh_from_db()
    assert (record.remote_id, record.needs_read) == ("r2", False)
