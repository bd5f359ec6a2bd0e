"""The queue may lose a task, deliver it twice, or have no worker for long: what is due is found again, once."""

import base64
import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection as database
from django_q.exceptions import TimeoutException
from django_q.models import OrmQ
from structlog.contextvars import get_contextvars

from connections import services
from connections.models import Account, Connection, Credential
from portal.clock import SYSTEM
from syncer import services as sync_services
from syncer.audit.verify import verify
from syncer.leases import acquire
from syncer.models import AccountLease, Counter, Heartbeat, LogChain, Record, SyncLog, SyncRun
from syncer.tasks import RUN, SAFETY, Pulse, at_work, run_connection, this_worker, tick
from tests.connections.office import ANNA, Office, office
from tests.contract.carddav import vcard
from tests.engine.memory import TestClock

pytestmark = pytest.mark.django_db
PAST, SOON = timedelta(minutes=-1), timedelta(minutes=1)


@pytest.fixture
def acme(db: None, tmp_path: Path, settings: Any) -> Iterator[Office]:
    with office(tmp_path, settings) as found:
        yield found


@pytest.fixture
def due(acme: Office) -> Connection:
    """An active connection that is due now."""
    connection = acme.connection(review="never")
    services.activate(connection, ANNA)
    move(connection, PAST)
    return connection


def move(connection: Connection, by: timedelta) -> None:
    Connection.objects.filter(pk=connection.pk).update(next_run_at=SYSTEM.now() + by)


def queued() -> list[int]:
    tasks = [row.task for row in OrmQ.objects.order_by("pk")]
    return [task["args"][0] for task in tasks if task["func"] == RUN]


def next_run(connection: Connection) -> timedelta:
    connection.refresh_from_db()
    assert connection.next_run_at is not None
    return connection.next_run_at - SYSTEM.now()


def at_once(act: Callable[[], object], times: int) -> list[object]:
    """The same act in several threads, begun together; what each gave or raised."""
    answers: list[object] = []
    start = threading.Barrier(times)

    def one() -> None:
        start.wait(20)
        try:
            answers.append(act())
        except Exception as error:
            answers.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=one) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


# What is due


def test_what_is_due_is_queued_once(due: Connection) -> None:
    assert tick() == 1
    assert queued() == [due.pk]
    assert timedelta(0) < next_run(due) <= SAFETY
    assert tick() == 0


def test_a_task_carries_an_id_and_nothing_else(due: Connection) -> None:
    tick()
    task = OrmQ.objects.get().task
    assert (task["args"], task["kwargs"]) == ((due.pk,), {})


@pytest.mark.proves("I24")
@pytest.mark.django_db(transaction=True)
def test_two_ticks_at_once_queue_it_once(due: Connection) -> None:
    assert sorted(map(str, at_once(tick, 4))) == ["0", "0", "0", "1"]
    assert queued() == [due.pk]


@pytest.mark.proves("I24")
def test_a_tick_that_another_overtakes_queues_nothing(due: Connection) -> None:
    """The other comes between its look at what is due and its claim."""
    overtaken: list[int] = []

    def meanwhile(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('UPDATE "connections_connection"') and not overtaken:
            overtaken.append(0)
            overtaken[0] = tick()
        return execute(sql, params, many, context)

    with database.execute_wrapper(meanwhile):
        assert tick() == 0
    assert overtaken == [1]
    assert queued() == [due.pk]


@pytest.mark.proves("I24")
def test_a_lost_task_is_found_again(due: Connection) -> None:
    tick()
    OrmQ.objects.all().delete()
    move(due, PAST)
    assert tick() == 1


def test_while_all_workers_are_busy_the_queue_does_not_grow(due: Connection) -> None:
    tick()
    for _ in range(3):
        move(due, PAST)
        assert tick() == 0
    assert queued() == [due.pk]


def test_a_task_that_was_fetched_and_did_not_begin_is_queued_again(due: Connection) -> None:
    tick()
    OrmQ.objects.update(lock=SYSTEM.now() + timedelta(minutes=10))
    move(due, PAST)
    assert tick() == 1


def test_a_task_signed_with_another_key_is_as_good_as_lost(due: Connection, settings: Any) -> None:
    tick()
    OrmQ.objects.update(payload="what another SECRET_KEY signed")
    move(due, PAST)
    assert tick() == 1


def test_neither_drafts_nor_what_is_paused_nor_what_is_due_later(due: Connection) -> None:
    services.pause(due, ANNA)
    move(due, PAST)
    assert tick() == 0
    Connection.objects.update(state="draft")
    assert tick() == 0
    Connection.objects.update(state="active")
    move(due, SOON)
    assert tick() == 0
    move(due, PAST)
    assert tick() == 1


def test_a_plan_that_was_asked_for_is_made_also_while_paused(due: Connection) -> None:
    services.pause(due, ANNA)
    sync_services.request_plan(due, ANNA)
    OrmQ.objects.all().delete()
    move(due, PAST)
    assert tick() == 1


def test_what_a_person_asked_for_is_not_lost_with_its_task(due: Connection) -> None:
    Connection.objects.update(interval=86_400)
    move(due, timedelta(days=1))
    sync_services.request_sync(due, ANNA)
    assert queued() == [due.pk]
    assert next_run(due) <= SAFETY


def test_without_a_worker_a_run_waits(acme: Office, due: Connection) -> None:
    acme.radicale.requests.clear()
    run = sync_services.request_sync(due, ANNA)
    tick()
    run.refresh_from_db()
    assert (run.status, run.started) == ("queued", None)
    assert acme.radicale.requests == []
    run_connection(due.pk)
    assert not SyncRun.objects.filter(status="queued").exists()
    assert acme.radicale.requests != []


# Running


def another(acme: Office, like: Connection, number: int) -> Connection:
    """An active connection of the same accounts, with another address book."""
    acme.radicale.book("alice", f"more{number}")
    made = services.create_connection(
        acme.acme,
        ANNA,
        name=f"No. {number}",
        left_account=like.left_account,
        left_book=f"/alice/more{number}/",
        right_account=like.right_account,
        right_book=like.right_book,
        create_defaults={"right": {"owner": "1"}},
    )
    services.activate(made, ANNA)
    return made


def test_who_waited_for_an_account_goes_on_as_soon_as_it_is_free(acme: Office, due: Connection) -> None:
    """The one that has waited longest, once, and neither one that is not due nor one that is paused."""
    others = [another(acme, due, number) for number in range(4)]
    for number, other in enumerate(others):
        Connection.objects.filter(pk=other.pk).update(last_run_at=SYSTEM.now() - timedelta(minutes=number))
        move(other, timedelta(seconds=10))
    move(others[3], SOON)
    services.pause(others[2], ANNA)
    run_connection(due.pk)
    assert queued() == [others[1].pk]
    run_connection(due.pk)
    assert queued() == [others[1].pk, others[0].pk]
    run_connection(due.pk)
    assert queued() == [others[1].pk, others[0].pk]


def test_who_finds_an_account_taken_queues_nobody(acme: Office, due: Connection) -> None:
    move(another(acme, due, 1), PAST)
    hour = timedelta(hours=1)
    assert acquire([due.right_account.lease_key], "somebody", hour, SYSTEM) is not None
    assert run_connection(due.pk) == "busy"
    assert queued() == []


def test_a_run_is_due_an_interval_later(acme: Office, due: Connection) -> None:
    acme.radicale.place("alice", "ada", vcard("ada", "EMAIL:ada@example.com"))
    assert run_connection(due.pk) == "done"
    assert timedelta(seconds=due.interval - 30) < next_run(due) <= timedelta(seconds=due.interval) or queued() == [
        due.pk
    ]
    assert Heartbeat.objects.exists()
    assert not AccountLease.objects.exclude(holder="").exists()


def test_an_account_that_needs_a_person_is_not_asked_each_minute(due: Connection) -> None:
    Account.objects.update(status="needs_authorization")
    assert run_connection(due.pk) == "attention"
    assert next_run(due) > timedelta(seconds=due.interval - 30)


def test_a_task_for_a_deleted_connection_does_nothing(due: Connection) -> None:
    gone = due.pk
    services.delete_connection(due, ANNA)
    assert run_connection(gone) == "deleted"


@pytest.mark.proves("I23", "I24")
@pytest.mark.django_db(transaction=True)
def test_a_task_delivered_twice_at_once_does_the_work_once(acme: Office, due: Connection) -> None:
    for n in range(12):
        acme.radicale.place("alice", f"p{n}", vcard(f"p{n}", f"EMAIL:p{n}@example.com", name=f"Given{n} Family{n}"))
    answers = at_once(lambda: run_connection(due.pk), 2)
    assert set(map(str, answers)) <= {"done", "busy", "quiet"}, answers
    for _ in range(3):
        run_connection(due.pk)
    rows = [row for row in acme.salesmate.app.account.contacts.values() if not row["isDeleted"]]
    assert sorted(row["email"] for row in rows) == sorted(f"p{n}@example.com" for n in range(12))
    assert Record.objects.count() == 24
    assert SyncLog.objects.filter(kind="write.intent").count() == 12
    assert SyncLog.objects.filter(kind="write.result").count() == 12
    assert all(verify(chain.name).ok for chain in LogChain.objects.all())


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_is_deleted_while_it_runs_leaves_a_whole_log(acme: Office, due: Connection) -> None:
    for n in range(12):
        acme.radicale.place("alice", f"p{n}", vcard(f"p{n}", f"EMAIL:p{n}@example.com", name=f"Given{n} Family{n}"))
    ran: list[object] = []
    acts: Iterator[Callable[[], None]] = iter(
        [lambda: ran.append(run_connection(due.pk)), lambda: services.delete_connection(due, ANNA)]
    )
    at_once(lambda: next(acts)(), 2)
    assert len(ran) == 1, "the task did not crash"
    for connection in Connection.objects.all():
        run_connection(connection.pk)
        services.delete_connection(connection, ANNA)
    assert not SyncRun.objects.exists()
    assert all(verify(chain.name).ok for chain in LogChain.objects.all())
    intents, results = (SyncLog.objects.filter(kind=kind).count() for kind in ("write.intent", "write.result"))
    assert intents == results


# Signs of life


def test_a_tick_that_came_to_its_end_is_a_sign_of_life(due: Connection) -> None:
    tick()
    assert SYSTEM.now() - Heartbeat.objects.get().at < timedelta(seconds=30)


@pytest.mark.django_db(transaction=True)
def test_a_task_that_crashes_each_time_is_none_and_is_counted(due: Connection, settings: Any) -> None:
    """A worker whose tasks begin and get nowhere does not look alive."""
    Account.objects.update(app="fax")
    for _ in range(2):
        with pytest.raises(KeyError):
            run_connection(due.pk)
    assert not Heartbeat.objects.exists()
    assert Counter.objects.get(name="errors", labels="none Crash").total == 2


@pytest.mark.django_db(transaction=True)
def test_a_task_that_hung_until_it_was_stopped_is_counted_and_no_sign_of_life(due: Connection) -> None:
    with pytest.raises(TimeoutException), at_work(this_worker()):
        raise TimeoutException
    assert not Heartbeat.objects.exists()
    assert Counter.objects.get(name="errors", labels="none Timeout").total == 1


def test_a_long_slice_reports_each_half_minute_while_it_gets_on(db: None) -> None:
    clock = TestClock(SYSTEM.now())
    pulse = Pulse("host:7", clock)
    beats = []
    for _ in range(7):
        clock.forward(10)
        pulse()
        beats.append(Heartbeat.objects.filter(at=clock.now()).exists())
    assert beats == [False, False, True, False, False, True, False]


def test_the_lines_of_a_task_name_its_worker_until_it_ends(due: Connection) -> None:
    with at_work(this_worker()):
        assert get_contextvars()["worker"].endswith(f":{os.getpid()}")
    assert "worker" not in get_contextvars()


# Credentials


def test_a_credential_that_cannot_be_read_is_said_at_the_account(due: Connection, settings: Any) -> None:
    stored = Credential.objects.get(account=due.right_account)
    settings.FIELD_ENCRYPTION_KEYS = [base64.urlsafe_b64encode(os.urandom(32)).decode()]
    assert run_connection(due.pk) == "attention"
    account = Account.objects.get(pk=stored.account_id)
    assert account.status == "needs_authorization"
    assert "cannot be read" in account.status_text
    assert SyncLog.objects.filter(kind="account.failed", actor="system").count() == 2
    assert not SyncRun.objects.exists()
