"""What is forgotten, and what never is as long as somebody could need it."""

from datetime import timedelta

import pytest

from connections import services
from syncer.engine.tidy import tidy
from syncer.models import Change, Link, Record, SyncLog
from tests.engine.memory import MemoryApp
from tests.engine.three import net
from tests.engine.world import ANNA, World, make_world

pytestmark = [pytest.mark.django_db, pytest.mark.proves("E1 forgetting")]
MONTH = timedelta(days=31)


def synced() -> World:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    world.settle()
    return world


def test_changes_are_kept_for_a_month_after_their_run_and_the_history_for_ever() -> None:
    world = synced()
    entries = SyncLog.objects.count()
    tidy(world.clock.now() + timedelta(days=29))
    assert Change.objects.exists()
    tidy(world.clock.now() + MONTH)
    assert not Change.objects.exists()
    assert SyncLog.objects.count() == entries
    assert world.sync().status == "quiet"


@pytest.mark.parametrize("state", ["sending", "asked about"])
def test_a_change_that_is_not_settled_stays(state: str) -> None:
    world = synced()
    if state == "sending":
        Change.objects.update(state="sending")
    else:
        link = Link.objects.get()
        link.holds.create(connection=world.connection, kind="conflict", subject="x", opened=world.clock.now())
    tidy(world.clock.now() + MONTH)
    assert Change.objects.exists()


def test_a_deleted_contact_is_forgotten_when_its_counterpart_is_gone_too() -> None:
    world = synced()
    world.left.person_deletes("l1")
    world.settle()
    tidy(world.clock.now() + MONTH)
    tidy(world.clock.now() + MONTH)
    assert Record.objects.filter(state="gone").exists(), "the survivor's link needs it"
    world.right.person_deletes(next(iter(world.right.contacts)))
    world.settle()
    for _ in range(2):
        tidy(world.clock.now() + MONTH)
    assert not Record.objects.exists() and not Link.objects.exists()


def test_as_long_as_one_of_its_origin_lives_a_deleted_contact_is_not_forgotten() -> None:
    apps = [MemoryApp("one"), MemoryApp("two")]
    apps[0].person_creates("ada", given="Ada", email="ada@example.com")
    world = net(apps, [(0, 1), (0, 1)])
    world.settle()
    apps[1].person_deletes(next(iter(apps[1].contacts)))
    world.settle()
    services.delete_connection(world.connections[0], ANNA, world.clock)
    world.connections = world.connections[1:]
    for _ in range(2):
        tidy(world.clock.now() + MONTH)
    apps[0].person_edits("ada", title="Countess")
    world.settle()
    assert apps[1].contacts == {}


def test_what_a_connection_has_not_judged_yet_stays() -> None:
    world = synced()
    world.left.person_deletes("l1")
    world.right.person_deletes(next(iter(world.right.contacts)))
    Link.objects.update(state="superseded")
    Change.objects.all().delete()
    Record.objects.update(state="gone", sequence=99)
    for _ in range(2):
        tidy(world.clock.now() + MONTH)
    assert Record.objects.count() == 2
