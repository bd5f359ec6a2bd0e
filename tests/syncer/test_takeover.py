"""A worker that was silent for too long, in the middle of its writes: another takes over, and nothing is done twice."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from syncer.models import AccountLease, Change, Link, SyncRun
from tests.engine.conftest import memory_apps  # noqa: F401  the apps of these tests
from tests.engine.memory import MemoryApp
from tests.engine.world import World, make_world

pytestmark = pytest.mark.django_db
PEOPLE = 25


def silent_at(world: World, what: str, number: int) -> None:
    """In this call the worker stands still until its lease is over by both clocks; another one does all there is.

    Between the last look at the lease and the moment a request leaves nobody can stop it: a machine that freezes
    exactly there is beyond us, and so not among these calls.
    """

    def on_call() -> None:
        if world.right.calls[-1] != what or world.right.calls.count(what) != number:
            return
        world.right.on_call = lambda: None
        AccountLease.objects.update(expires_at=Now() - timedelta(seconds=1))
        world.clock.forward(world.worker.lease_seconds + 1)
        other = replace(world, worker=replace(world.worker, name="the other"))
        other.settle()

    world.right.on_call = on_call


@pytest.mark.proves("I23")
@pytest.mark.parametrize("create", ["client_id", "marker", "search"])
@pytest.mark.parametrize(("what", "number"), [("changes", 1), ("created", 1), ("created", 3), ("created", 12)])
def test_a_late_worker_writes_nothing_more(create: str, what: str, number: int) -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right", create=create))
    for n in range(PEOPLE):
        world.left.person_creates(given=f"P{n}", email=f"p{n}@example.com")
    silent_at(world, what, number)
    assert world.slice().status == "lost"
    world.settle()
    assert Counter(values["email"] for values in world.right.contacts.values()) == Counter(
        f"p{n}@example.com" for n in range(PEOPLE)
    )
    assert Link.objects.filter(state="in_sync").count() == PEOPLE
    assert not Change.objects.filter(state="sending").exists()
    assert not SyncRun.objects.filter(status__in=["queued", "running"]).exists()
    assert not AccountLease.objects.filter(expires_at__gt=Now()).exists()
    world.assert_log_is_whole()


@pytest.mark.proves("I23")
def test_while_one_works_another_finds_it_busy() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    world.left.person_creates(given="Ada", email="ada@example.com")
    answers: list[str] = []

    def on_call() -> None:
        other = replace(world, worker=replace(world.worker, name="the other"), outcomes=[])
        answers.append(other.slice().status)

    world.right.on_call = on_call
    assert world.sync().status == "done"
    assert set(answers) == {"busy"}
    assert len(world.right.contacts) == 1
