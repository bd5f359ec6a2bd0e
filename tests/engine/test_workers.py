"""Several real workers at once: one at a time on an account, and whoever stood still for too long does nothing more.

The servers themselves say which moment it is: they look at each request as it arrives, before it is answered, and stop
or kill the worker that waits for the answer.

One window stays open, and is why `test_takeover.py` has no such moment: between the last look at the lease, right
before a request leaves, and its arrival. What freezes exactly there sends that one request after all, however late.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db.models import Max
from django.db.models.functions import Now
from django_q.models import OrmQ

from connections import services
from connections.models import Connection
from syncer.audit.verify import verify
from syncer.engine.slice import Slice, Watch
from syncer.leases import LeaseLost, acquire
from syncer.models import AccountLease, Change, Link, LogChain, SyncLog, SyncRun
from syncer.rates import Budget
from syncer.tasks import enqueue
from tests.contract.radicale import USERS
from tests.engine.cluster import (
    Fleet,
    Lookout,
    Task,
    cluster,
    fleet,
    is_write,
    nobody_holds_the_accounts,
    wait_until,
    watched,
)
from tests.engine.memory import TestClock
from tests.engine.real import ANNA, START, Real, account, person

PEOPLE = 14
"""More than Salesmate takes in one batch."""


def sending() -> bool:
    return Change.objects.filter(state="sending").exists()


# When to strike: asked at each request, with the number of writes up to and with this one.
Moment = Callable[[str, str, int], bool]
MOMENTS: dict[str, Moment] = {
    "before T1": lambda method, path, writes: not sending(),
    "between T1 and the send": lambda method, path, writes: sending() and writes == 0,
    "after a send to Salesmate, before T2": lambda method, path, writes: is_write(method, path) and "/apis/" in path,
    "after a send to Radicale, before T2": lambda method, path, writes: is_write(method, path) and ".vcf" in path,
    "after T2": lambda method, path, writes: writes > 0 and sent_and_settled(),
}


def sent_and_settled() -> bool:
    """A batch of the run that is under way was settled."""
    return SyncRun.objects.filter(status="running", progress_done__gt=0, phase="apply").exists()


def seed(world: Real) -> None:
    world.radicale.fill("alice", [person(n, TITLE="Engineer") for n in range(PEOPLE)])


def edits(world: Real, turn: int) -> None:
    """People go on on both sides: another job title for half of them on either side, and somebody new on each."""
    for n in range(0, PEOPLE, 2):
        world.radicale.place("alice", f"uid-{n}", person(n, TITLE=f"Card {turn}"))
    for n in range(1, PEOPLE, 2):
        world.salesmate.person_edit(world.number(f"p{n}@example.com"), designation=f"Crm {turn}")
    new = 100 + 2 * turn
    world.radicale.place("alice", f"uid-{new}", person(new))
    world.salesmate.person_create(firstName="New", lastName="One", email=f"p{new + 1}@example.com", owner=1)


def strike(lookout: Lookout, moment: Moment, task: Callable[[], Task], number: signal.Signals) -> Callable[[], bool]:
    """Signals the task's worker at the first request of that moment; tells whether it has."""
    lookout.seen.clear()
    struck = False

    def act(method: str, path: str) -> None:
        nonlocal struck
        if not struck and moment(method, path, lookout.writes()):
            struck = True
            os.kill(task().pid, number)

    lookout.act = act
    return lambda: struck


def everybody_once_and_as_written(world: Real, turn: int) -> None:
    numbers = [*range(PEOPLE), *range(100, 102 + 2 * turn)]
    wanted = Counter(f"p{n}@example.com" for n in numbers)
    live = [row["email"] for row in world.salesmate.account.contacts.values() if not row["isDeleted"]]
    assert Counter(live) == wanted
    cards = {path.stem: path.read_text() for path in world.radicale.book_folder("alice").glob("*.vcf")}
    assert Counter(mail for card in cards.values() for mail in mails(card)) == wanted
    for n in range(PEOPLE):
        title = f"Card {turn}" if n % 2 == 0 else f"Crm {turn}"
        assert world.people()[f"p{n}@example.com"]["designation"] == title
        assert f"TITLE:{title}" in cards[f"uid-{n}"]
    assert Link.objects.filter(state="in_sync").count() == len(numbers)


def mails(card: str) -> list[str]:
    return [line.rpartition(":")[2].strip() for line in card.splitlines() if line.startswith("EMAIL")]


def the_log_is_whole(world: Real) -> None:
    for chain in LogChain.objects.all():
        assert verify(chain.name).ok
    assert not sending()
    assert len(world.entries("write.intent")) == len(world.entries("write.result"))


def state_of_the_database() -> tuple[Any, ...]:
    changes = Change.objects.order_by("pk").values_list("pk", "state", "settled_at", "attempts")
    links = Link.objects.order_by("pk").values_list("pk", "state", "updated_at")
    return list(changes), list(links), SyncLog.objects.aggregate(last=Max("pk"))["last"]


@pytest.mark.proves("I23", "E7 recover")
@pytest.mark.django_db(transaction=True)
def test_a_worker_that_stood_still_past_its_lease_does_nothing_more(tmp_path: Path) -> None:
    with watched(tmp_path) as (world, lookout), fleet(tmp_path) as workers:
        seed(world)
        workers.settle(world.connection.pk)
        for turn, (name, moment) in enumerate(MOMENTS.items()):
            edits(world, turn)
            wait_until(nobody_holds_the_accounts, 10, "the leases")
            struck = strike(lookout, moment, lambda: workers.tasks[-1], signal.SIGSTOP)
            late = workers.start(world.connection.pk)
            wait_until(late.is_stopped, 60, name)
            assert struck(), name
            assert_it_is_this_moment(name, lookout)
            wait_until(nobody_holds_the_accounts, 10, "the end of its lease")
            workers.settle(world.connection.pk)
            before = state_of_the_database()
            lookout.seen.clear()
            late.signal(signal.SIGCONT)
            assert late.ended() == "lost", name
            assert lookout.seen == [], name
            assert state_of_the_database() == before, name
            everybody_once_and_as_written(world, turn)
            the_log_is_whole(world)


def assert_it_is_this_moment(name: str, lookout: Lookout) -> None:
    """What the database and the servers say of where the worker stands."""
    assert sending() == (name != "before T1") or name == "after T2"
    assert (lookout.writes() > 0) == ("after" in name)
    assert name != "after T2" or sent_and_settled()


@pytest.mark.proves("I11", "I23", "E7 recover")
@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_at_each_moment_leaves_nothing_that_another_cannot_finish(tmp_path: Path) -> None:
    with watched(tmp_path) as (world, lookout), fleet(tmp_path) as workers:
        seed(world)
        workers.settle(world.connection.pk)
        for turn, (name, moment) in enumerate(MOMENTS.items()):
            edits(world, turn)
            wait_until(nobody_holds_the_accounts, 10, "the leases")
            strike(lookout, moment, lambda: workers.tasks[-1], signal.SIGKILL)
            killed = workers.start(world.connection.pk)
            wait_until(killed.is_dead, 60, name)
            assert killed.status == ""
            assert_it_is_this_moment(name, lookout)
            wait_until(nobody_holds_the_accounts, 10, "the dead worker's lease")
            workers.settle(world.connection.pk)
            everybody_once_and_as_written(world, turn)
            the_log_is_whole(world)


# Many at once


@dataclass
class Register:
    """What stood in the lease table at each request: the name that Salesmate was called by, the holder, its token."""

    lookout: Lookout
    calls: list[tuple[str, str, int]] = field(default_factory=list)

    def note(self, method: str, path: str) -> None:
        key = "salesmate:" if "/apis/" in path else "carddav:"
        held = AccountLease.objects.filter(key__startswith=key, expires_at__gt=Now()).exclude(holder="")
        rows = list(held.values_list("holder", "token"))
        holder, token = rows[0] if rows else ("nobody", 0)
        self.calls.append((self.lookout.host, holder.rpartition(":")[2], token))

    def proves_turns(self, fleets: Mapping[str, Fleet]) -> None:
        """Whoever called held the lease, and once another had taken it never called again."""
        assert self.calls
        for host, holder, _ in self.calls:
            assert holder in fleets[host].pids() if host else any(holder in one.pids() for one in fleets.values())
        at_salesmate = [(token, holder) for host, holder, token in self.calls if host]
        assert at_salesmate == sorted(at_salesmate, key=lambda call: call[0])
        holders = dict(at_salesmate)
        assert all(holders[token] == holder for token, holder in at_salesmate)


@contextmanager
def two_fleets(folder: Path, world: Real) -> Iterator[dict[str, Fleet]]:
    """By the name that each calls Salesmate by."""
    address = settings.SALESMATE_URL
    assert "127.0.0.1" in address
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                fleet(folder, name, SALESMATE_URL=address.replace("127.0.0.1", name), LEASE_SECONDS="60")
            )
            for name in ("127.0.0.1", "localhost")
        }


def all_at_once(fleets: Mapping[str, Fleet], connections: Sequence[int], times: int = 1) -> list[str]:
    """The task of each connection begun by both fleets, so many times, together; what they gave."""
    begun = [one.start(pk) for _ in range(times) for pk in connections for one in fleets.values()]
    return [task.ended() for task in begun]


def until_quiet(fleets: Mapping[str, Fleet], connections: Sequence[int]) -> Counter[str]:
    """Together again and again, until each alone finds nothing to do."""
    statuses: Counter[str] = Counter()
    for _ in range(30):
        given = all_at_once(fleets, connections)
        statuses.update(given)
        if set(given) <= {"quiet", "busy"}:
            alone = [one.start(pk).ended() for pk, one in zip(connections, fleets.values(), strict=False)]
            if set(alone) == {"quiet"}:
                return statuses
    raise AssertionError(f"not quiet: {statuses}")


@pytest.mark.proves("I23", "E10 leases")
@pytest.mark.django_db(transaction=True)
def test_never_two_on_one_account(tmp_path: Path) -> None:
    """Two fleets, each calling Salesmate by a name of its own, so that its log says whose request it was."""
    with watched(tmp_path) as (world, lookout), two_fleets(tmp_path, world) as fleets:
        register = Register(lookout)
        lookout.act = register.note
        seed(world)
        statuses = until_quiet(fleets, [world.connection.pk])
        for turn in range(3):
            edits(world, turn)
            statuses += until_quiet(fleets, [world.connection.pk])
        assert statuses["busy"] > 0
        assert statuses["lost"] == 0
        register.proves_turns(fleets)
        everybody_once_and_as_written(world, 2)
        the_log_is_whole(world)


@pytest.mark.proves("I23", "E10 leases", "E10 rounds")
@pytest.mark.django_db(transaction=True)
def test_two_connections_of_one_account_take_turns(tmp_path: Path) -> None:
    """Alice's book and Bob's, both with the same Salesmate: everybody is everywhere once."""
    with watched(tmp_path) as (world, lookout):
        seed(world)
        second = connection_of_bob(world)
        world.radicale.fill("bob", [person(n) for n in range(50, 50 + PEOPLE)])
        with two_fleets(tmp_path, world) as fleets:
            register = Register(lookout)
            lookout.act = register.note
            statuses = until_quiet(fleets, [world.connection.pk, second.pk])
            assert statuses["busy"] > 0
            register.proves_turns(fleets)
        wanted = Counter(f"p{n}@example.com" for n in [*range(PEOPLE), *range(50, 50 + PEOPLE)])
        assert Counter(row["email"] for row in world.salesmate.account.contacts.values()) == wanted
        for user in ("alice", "bob"):
            cards = [path.read_text() for path in world.radicale.book_folder(user).glob("*.vcf")]
            assert Counter(mail for card in cards for mail in mails(card)) == wanted
        for connection in (world.connection, second):
            assert verify(connection.chain).ok
            assert SyncLog.objects.filter(chain__name=connection.chain, kind="write.intent").exists()
        assert not sending()


def connection_of_bob(world: Real) -> Connection:
    client, clock = world.connection.client, world.clock
    world.radicale.book("bob")
    bob = account(
        client, "carddav", {"url": world.radicale.url, "username": "bob"}, {"password": USERS["bob"]}, clock, "Bob"
    )
    connection = services.create_connection(
        client,
        ANNA,
        name="Bob and Salesmate",
        left_account=bob,
        left_book="/bob/book/",
        right_account=world.connection.right_account,
        right_book="contacts",
        clock=clock,
        review="never",
        create_defaults={"right": {"owner": "1"}},
    )
    services.activate(connection, ANNA, clock)
    return connection


@pytest.mark.proves("I24")
@pytest.mark.django_db(transaction=True)
def test_a_task_delivered_several_times_at_once_and_again_is_done_once(tmp_path: Path) -> None:
    with watched(tmp_path) as (world, lookout), fleet(tmp_path, LEASE_SECONDS="60") as workers:
        seed(world)
        before = [world.cards_put(), world.contacts_put()]
        begun = [workers.start(world.connection.pk) for _ in range(3)]
        statuses = Counter(task.ended() for task in begun)
        assert statuses["done"] == 1
        assert set(statuses) <= {"done", "busy", "quiet"}
        workers.settle(world.connection.pk)
        written(world, before, cards=0, contacts=PEOPLE)
        edits(world, 0)
        before = [world.cards_put(), world.contacts_put()]
        begun = [workers.start(world.connection.pk) for _ in range(3)]
        assert Counter(task.ended() for task in begun)["done"] == 1
        workers.settle(world.connection.pk)
        written(world, before, cards=PEOPLE // 2 + 1, contacts=PEOPLE // 2 + 1)
        lookout.seen.clear()
        assert {workers.start(world.connection.pk).ended() for _ in range(3)} == {"quiet"}
        assert lookout.writes() == 0
        everybody_once_and_as_written(world, 0)
        the_log_is_whole(world)


def written(world: Real, before: list[Counter[str]], cards: int, contacts: int) -> None:
    """So many cards and contacts since then, each once."""
    since = [world.cards_put() - before[0], world.contacts_put() - before[1]]
    assert [len(one) for one in since] == [cards, contacts]
    assert all(number == 1 for one in since for number in one.values())


@pytest.mark.proves("I24")
@pytest.mark.django_db(transaction=True)
def test_the_queue_that_delivers_a_task_three_times_has_it_done_once(tmp_path: Path) -> None:
    with watched(tmp_path) as (world, lookout):
        seed(world)
        before = [world.cards_put(), world.contacts_put()]
        for _ in range(3):
            enqueue(world.connection.pk)
        with cluster(tmp_path / "queue.log", WORKERS="3", LEASE_SECONDS="90"):
            wait_until(lambda: not OrmQ.objects.exists() and lookout.writes() >= PEOPLE, 120, "the queue's tasks")
            wait_until(lambda: nobody_holds_the_accounts() and not sending(), 60, "the end of the run")
        written(world, before, cards=0, contacts=PEOPLE)
        the_log_is_whole(world)


@pytest.mark.proves("I23")
@pytest.mark.django_db(transaction=True)
def test_a_request_that_waited_for_its_budget_does_not_leave_without_the_lease() -> None:
    """To count a call is to write to the database, which may take long: the lease is looked at after that, last of
    all."""
    clock = TestClock(START)

    @dataclass
    class Slow(Budget):
        def take(self) -> None:
            clock.forward(61)
            AccountLease.objects.update(expires_at=Now() - timedelta(seconds=1))
            assert acquire(["salesmate:acme"], "the other", timedelta(seconds=60), clock)

    lease = acquire(["salesmate:acme"], "first", timedelta(seconds=60), clock)
    assert lease is not None
    watch = Watch(Slice(clock, lease, 1e9), Slow("salesmate:acme", "tests", 100, clock))
    with pytest.raises(LeaseLost):
        watch.take()
