"""An app whose feed can be older than what we hold (ENGINE.md 2): its pages ask for a read and decide nothing."""

from datetime import timedelta

import pytest

from syncer.connectors.base import Observed, Transient
from syncer.engine.values import digest
from syncer.models import Book, Hold, Link, Record
from tests.engine.memory import MemoryApp
from tests.engine.world import World, make_world

pytestmark = [pytest.mark.django_db, pytest.mark.proves("E2 late feeds")]


def late_world(sync_deletions: str = "off", **options: object) -> World:
    right = MemoryApp("right", fresh_feed=False, conditional=True, **options)  # type: ignore[arg-type]
    world = make_world(MemoryApp("left"), right, sync_deletions=sync_deletions)
    world.left.person_creates("l1", given="Ada", email="ada@example.com", title="Countess")
    world.settle()
    return world


def copy_of(world: World) -> str:
    return next(iter(world.right.contacts))


@pytest.mark.proves("I2", "I14")
def test_an_old_snapshot_does_not_undo_what_a_person_wrote_since() -> None:
    world = late_world()
    world.left.person_edits("l1", title="Duchess")
    world.sync()
    world.right.lag = 1
    world.right.person_edits(copy_of(world), title="Queen")
    writes = len(world.left.mutations) + len(world.right.mutations)
    world.sync()
    assert world.right.contacts[copy_of(world)]["title"] == "Queen"
    world.right.lag = 0
    world.settle()
    assert world.left.contacts["l1"]["title"] == world.right.contacts[copy_of(world)]["title"] == "Queen"
    assert len(world.left.mutations) + len(world.right.mutations) == writes + 1


def test_a_page_that_differs_changes_neither_values_nor_sequence_before_the_read() -> None:
    world = late_world()
    record = Record.objects.get(book__account__label="right")
    before = (record.values, record.digest, record.sequence)
    world.right.person_edits(copy_of(world), title="Queen")
    world.right.unreadable = {copy_of(world)}
    world.sync()
    record.refresh_from_db()
    assert (record.values, record.digest, record.sequence) == before
    assert record.needs_read and not record.usable
    world.left.person_edits("l1", given="Augusta")
    world.sync()
    assert world.right.contacts[copy_of(world)]["given"] == "Ada", "a contact in doubt is no target"
    world.right.unreadable = set()
    world.clock.forward(120)
    world.settle()
    assert world.left.contacts["l1"] == world.right.contacts[copy_of(world)]
    assert world.left.contacts["l1"]["title"] == "Queen" and world.left.contacts["l1"]["given"] == "Augusta"


def test_an_equal_read_back_ends_the_doubt_and_takes_no_sequence() -> None:
    world = late_world()
    Record.objects.update(needs_read=True)
    before = list(Record.objects.values_list("sequence", flat=True))
    world.sync()
    assert list(Record.objects.values_list("sequence", "needs_read")) == [(sequence, False) for sequence in before]


@pytest.mark.proves("I6", "I27")
def test_a_tombstone_is_checked_by_a_read() -> None:
    world = late_world(sync_deletions="both")
    there = copy_of(world)
    world.right.person_deletes(there)
    world.sync()
    assert Link.objects.get(left__isnull=False).state == "opposite_deleted"
    assert Record.objects.get(remote_id=there).state == "gone"


def test_a_late_tombstone_of_a_contact_that_is_there_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from tests.engine.memory import MemoryConnector

    world = late_world()
    real = MemoryConnector.changes

    def lying(self: MemoryConnector, *args: object) -> object:
        page = real(self, *args)  # type: ignore[arg-type]
        return replace(page, gone=[copy_of(world)]) if self.world is world.right else page

    monkeypatch.setattr(MemoryConnector, "changes", lying)
    world.sync()
    assert Record.objects.get(remote_id=copy_of(world)).state == "live"
    assert Link.objects.get(left__isnull=False).state == "in_sync"


def test_a_contact_shown_alive_again_counts_only_after_a_read() -> None:
    world = late_world()
    there = copy_of(world)
    kept = dict(world.right.contacts[there])
    world.right.person_deletes(there)
    world.settle()
    world.right.contacts[there] = kept
    world.right.touch(there)
    world.right.unreadable = {there}
    world.sync()
    assert Record.objects.get(remote_id=there).state == "gone"
    world.right.unreadable = set()
    world.clock.forward(120)
    world.settle()
    assert Record.objects.get(remote_id=there).state == "live"
    assert Link.objects.get(state="in_sync").right == Record.objects.get(remote_id=there)


@pytest.mark.proves("E2 late feeds new field")
def test_a_field_that_was_not_held_before_is_stored_without_a_read() -> None:
    world = late_world()
    for record in Record.objects.filter(book__account__label="right"):
        del record.values["title"]
        record.digest = digest(record.values)
        record.save()
    Book.objects.filter(account__label="right").update(full_wanted=True)
    calls = len(world.right.calls)
    world.sync()
    assert "read" not in world.right.calls[calls:]
    assert Record.objects.get(book__account__label="right").values["title"] == "Countess"


@pytest.mark.proves("I11", "I26")
def test_what_we_made_and_a_lagging_listing_leaves_out_is_not_suspected() -> None:
    world = late_world(visibility=timedelta(minutes=5), create="marker", marker_found_by="listing")
    for n in range(20):
        world.left.person_creates(given=f"P{n}", email=f"p{n}@example.com")
    world.sync()
    assert len(world.right.contacts) == 21
    world.right.lag = len(world.right.log)
    Book.objects.filter(account__label="right").update(full_wanted=True)
    world.sync()
    assert not Record.objects.filter(state="suspect").exists()
    assert not Hold.objects.filter(resolved=None).exists()
    world.right.lag = 0
    world.clock.forward(3600)
    world.settle()
    assert len(world.right.contacts) == len(world.left.contacts) == 21


@pytest.mark.proves("E4 unsettled deciders")
def test_a_doubtful_namesake_decides_nothing() -> None:
    world = late_world()
    world.right.person_creates("twin", given="Ben", email="ben@example.com")
    world.settle()
    Record.objects.filter(remote_id="twin").update(needs_read=True)
    world.right.unreadable = {"twin"}
    world.right.person_edits("twin", email="cem@example.com")
    world.left.person_creates("l9", given="Cem", email="ben@example.com")
    world.sync()
    link = Link.objects.get(left__remote_id="l9")
    assert (link.state, link.reason) == ("new", "waiting for a contact that decides it")
    assert len(world.right.contacts) == 2


def test_a_failing_read_holds_up_nobody_else() -> None:
    world = late_world()
    world.right.person_creates("r2", given="Ben", email="ben@example.com")
    world.settle()
    world.right.unreadable = {copy_of(world)}
    world.right.person_edits(copy_of(world), title="Queen")
    world.right.person_edits("r2", title="Captain")
    world.sync()
    assert world.left.by_email("ben@example.com")[0]["title"] == "Captain"
    assert world.left.contacts["l1"]["title"] == "Countess"


def test_the_words_of_a_read_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several in doubt are read at once; if that fails, one by one."""
    from tests.engine.memory import MemoryConnector

    world = late_world()
    world.right.person_creates("r2", given="Ben", email="ben@example.com")
    world.settle()

    def failing(self: MemoryConnector, *args: object) -> list[Observed]:
        raise Transient("not now")

    monkeypatch.setattr(MemoryConnector, "read_many", failing)
    world.right.person_edits(copy_of(world), title="Queen")
    world.right.person_edits("r2", title="Captain")
    world.settle()
    assert {values["title"] for values in world.left.contacts.values()} == {"Queen", "Captain"}
