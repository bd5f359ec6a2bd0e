"""A person ends a run: between two batches, with everything sent settled and told, and the next run goes on."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from django.db.models.functions import Now

from connections import services
from connections.models import Account
from connections.services import Refused
from syncer import services as runs
from syncer.connectors.base import Transient
from syncer.leases import acquire
from syncer.models import AccountLease, Cancellation, Change, Counter, Hold, SyncRun
from tests.engine.acts import crash
from tests.engine.memory import Crash, MemoryApp
from tests.engine.world import ANNA, World, make_world

pytestmark = pytest.mark.django_db
BERT = "bert"


def crowd(count: int = 25, **options: object) -> World:
    """`count` people on the left who are to be created on the right, ten at a time."""
    world = make_world(MemoryApp("left"), MemoryApp("right"), **options)  # type: ignore[arg-type]
    for number in range(count):
        world.left.person_creates(f"l{number}", given="Ada", email=f"p{number}@example.com")
    return world


def only_run(world: World) -> SyncRun:
    return SyncRun.objects.get(connection=world.connection)


def cancelling(world: World) -> Callable[[], None]:
    return lambda: cancelled(world)


def cancelled(world: World) -> None:
    runs.cancel(only_run(world), BERT, world.clock)


def it_goes_on(world: World, count: int = 25) -> None:
    """Not before the interval is over; then all that was left comes, each once."""
    made = len(world.right.contacts)
    assert world.slice().status == "wait"
    assert len(world.right.contacts) == made
    world.clock.forward(300)
    world.settle()
    assert len(world.right.contacts) == count
    assert len([one for one in world.right.mutations if one[0] == "create"]) == count
    assert world.states() == {"in_sync": count}
    world.assert_log_is_whole()


def test_a_run_stops_between_two_batches(django_capture_on_commit_callbacks: Any) -> None:
    world = crowd()
    world.right.fault_in("create", cancelling(world))
    with django_capture_on_commit_callbacks(execute=True):
        outcome = world.slice()
    assert (outcome.status, outcome.again_at) == ("cancelled", None)
    assert len(world.right.contacts) == 10, "the batch that was on its way"
    run = only_run(world)
    assert (run.status, run.phase, run.error) == ("cancelled", "end", "cancelled by bert")
    assert (run.counts["right"]["created"], run.counts["skipped"]) == (10, 15)
    assert run.finished is not None
    ends = world.entries("run.finished")
    assert [(end.actor, end.run) for end in ends] == [(BERT, run.code)]
    assert not Change.objects.filter(state__in=["planned", "sending"]).exists()
    assert Counter.objects.get(name="runs", labels="cancelled").total == 1
    it_goes_on(world)


def test_a_queued_run_ends_at_once_and_no_task_left_in_the_queue_begins_another() -> None:
    world = crowd()
    runs.request_sync(world.connection, ANNA, world.clock)
    cancelled(world)
    run = only_run(world)
    assert (run.status, run.started, run.counts["skipped"]) == ("cancelled", None, 0)
    assert [entry.kind for entry in world.entries()][-1] == "run.finished"
    assert world.right.calls == []
    it_goes_on(world)


def test_after_a_cancel_a_person_can_start_again_at_once() -> None:
    world = crowd()
    runs.request_sync(world.connection, ANNA, world.clock)
    cancelled(world)
    runs.request_sync(world.connection, ANNA, world.clock)
    assert world.sync().status == "done"
    assert len(world.right.contacts) == 25


def test_an_approved_plan_that_waits_for_a_worker_can_be_cancelled() -> None:
    world = crowd(review="changes")
    assert world.sync().status == "waiting"
    world.approve()
    cancelled(world)
    assert only_run(world).status == "cancelled"
    assert world.right.contacts == {}
    it_goes_on(world)


def test_a_plan_that_waits_is_rejected_and_not_cancelled() -> None:
    world = crowd(review="changes")
    assert world.sync().status == "waiting"
    with pytest.raises(Refused, match="Reject"):
        cancelled(world)
    assert not Cancellation.objects.exists()
    assert only_run(world).status == "waiting"


def test_an_open_plan_and_its_hold_survive_the_cancel_of_another_run() -> None:
    world = crowd()
    services.update_connection(world.connection, ANNA, {"limits": {"clears": 0}}, clock=world.clock)
    world.settle()
    for number in range(2):
        world.left.person_edits(f"l{number}", given=None)
    assert world.sync().status == "held"
    runs.cancel(runs.request_sync(world.connection, ANNA, world.clock), BERT, world.clock)
    assert SyncRun.objects.filter(status="held").exists()
    assert Hold.objects.filter(kind="guard", resolved=None).exists()


@pytest.mark.parametrize("end", ["done", "cancelled"])
def test_what_has_ended_cannot_be_cancelled(end: str) -> None:
    world = crowd()
    if end == "done":
        world.sync()
    else:
        runs.request_sync(world.connection, ANNA, world.clock)
        cancelled(world)
    before = len(world.entries())
    with pytest.raises(Refused, match="ended"):
        cancelled(world)
    assert len(world.entries()) == before


def test_a_second_cancel_while_the_first_is_under_way_is_refused() -> None:
    world = crowd()
    refusals: list[str] = []

    def twice() -> None:
        cancelled(world)
        with pytest.raises(Refused) as told:
            cancelled(world)
        refusals.append(str(told.value))

    world.right.fault_in("create", twice)
    assert world.slice().status == "cancelled"
    assert "already" in refusals[0]
    it_goes_on(world)


def test_a_run_that_turned_out_quiet_has_ended() -> None:
    world = crowd(0)
    run = runs.request_sync(world.connection, ANNA, world.clock)
    assert world.sync().status == "quiet"
    with pytest.raises(Refused, match="ended"):
        runs.cancel(run, BERT, world.clock)


def lost() -> NoReturn:
    raise Transient("no answer", maybe_applied=True)


def test_what_was_sent_and_not_answered_is_settled_first() -> None:
    world = crowd()

    def after_it_arrived() -> NoReturn:
        cancelled(world)
        lost()

    world.right.fault_in("created", after_it_arrived)
    outcome = world.sync()
    assert outcome.status == "cancelled"
    assert not Change.objects.filter(state="sending").exists()
    assert only_run(world).counts["right"]["created"] == len(world.right.contacts)
    it_goes_on(world)


def test_between_two_slices_it_ends_at_once_where_nothing_is_open() -> None:
    world = crowd(limits=lambda app: 30)
    assert world.slice().status == "running"
    cancelled(world)
    assert only_run(world).status == "cancelled"
    assert world.entries("run.finished")[-1].actor == BERT


def test_a_dry_run_is_cancelled_and_leaves_no_plan() -> None:
    world = crowd()
    runs.request_plan(world.connection, ANNA, world.clock, enqueue=False)
    world.left.fault_in("changes", cancelling(world))
    assert world.slice().status == "cancelled"
    run = only_run(world)
    assert (run.status, run.dry_run) == ("cancelled", True)
    assert not Change.objects.filter(state="planned").exists()


def test_one_whose_connection_was_edited_too_is_cancelled_and_not_superseded() -> None:
    world = crowd()

    def both() -> None:
        cancelled(world)
        world.edit(winner="right")

    world.right.fault_in("create", both)
    outcome = world.slice()
    assert (outcome.status, outcome.again_at) == ("cancelled", None)


def test_an_app_that_is_down_does_not_keep_it_from_ending() -> None:
    """What is not known stays open, and the next run that can look settles it."""
    world = crowd()

    def down() -> NoReturn:
        cancelled(world)
        world.right.fault_in("changes", unreachable)
        lost()

    def unreachable() -> NoReturn:
        raise Transient("no connection")

    world.right.fault_in("created", down)
    assert world.sync().status == "cancelled"
    assert Change.objects.filter(state="sending").exists()
    world.clock.forward(300)
    world.settle()
    assert len(world.right.contacts) == 25
    world.assert_log_is_whole()


def test_an_account_that_needs_authorisation_does_not_either() -> None:
    world = crowd()
    world.right.fault_in("created", lost)
    world.slice()
    assert Change.objects.filter(state="sending").exists()
    Account.objects.filter(label="right").update(status="needs_authorization")
    cancelled(world)
    assert only_run(world).status == "running", "something is open: a worker looks once more"
    assert world.slice().status == "cancelled"
    Account.objects.update(status="connected")
    world.clock.forward(300)
    world.settle()
    assert len(world.right.contacts) == 25
    world.assert_log_is_whole()


def test_while_another_worker_has_the_accounts_the_wish_waits_for_its_turn() -> None:
    world = crowd(limits=lambda app: 30)
    world.slice()
    connection = world.connection
    keys = [connection.left_account.lease_key, connection.right_account.lease_key]
    lease = acquire(keys, "another", timedelta(seconds=60), world.clock)
    assert lease is not None
    cancelled(world)
    assert only_run(world).status == "running"
    lease.release()
    calls = len(world.right.calls)
    assert world.slice().status == "cancelled"
    assert len(world.right.calls) == calls, "nothing was open, so nothing was asked"


@pytest.mark.parametrize("at", ["before the write", "after the write"])
def test_a_worker_that_dies_of_it_leaves_a_run_that_another_ends(at: str) -> None:
    world = crowd()

    def dies() -> None:
        cancelled(world)
        crash()

    world.right.fault_in("create" if at == "before the write" else "created", dies)
    with pytest.raises(Crash):
        world.slice()
    assert only_run(world).status == "running"
    world.clock.forward(3600)
    AccountLease.objects.update(expires_at=Now())
    assert world.sync().status == "cancelled"
    assert not Change.objects.filter(state="sending").exists()
    it_goes_on(world)
