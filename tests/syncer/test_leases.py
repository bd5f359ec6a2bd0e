"""The lease: all accounts or none, one holder at a time, by the database's clock alone."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from portal.clock import SYSTEM, Clock
from syncer.leases import Lease, LeaseLost, acquire
from syncer.models import AccountLease
from tests.engine.memory import TestClock

pytestmark = pytest.mark.django_db
TTL = timedelta(seconds=90)


def take(*keys: str, holder: str = "worker 1", clock: Clock = SYSTEM) -> Lease | None:
    return acquire(keys, holder, TTL, clock)


def taken(*keys: str, holder: str = "worker 1") -> Lease:
    lease = take(*keys, holder=holder)
    assert lease is not None
    return lease


def expire(key: str) -> None:
    """What time does to a lease whose holder is silent."""
    AccountLease.objects.filter(key=key).update(expires_at=Now() - timedelta(seconds=1))


@pytest.mark.proves("I23")
def test_a_lease_is_held_by_one() -> None:
    taken("a", "b")
    assert take("a", holder="worker 2") is None
    assert take("b", holder="worker 1") is None, "not even by another task of the same process"


@pytest.mark.proves("I23")
def test_both_or_none() -> None:
    taken("b")
    assert take("a", "b", holder="worker 2") is None
    assert take("c", "b", holder="worker 2") is None
    assert taken("a", "c", holder="worker 3").tokens.keys() == {"a", "c"}


@pytest.mark.proves("E1 one login")
def test_one_login_on_both_sides_is_one_lease() -> None:
    assert taken("a", "a").tokens.keys() == {"a"}


def test_a_released_lease_is_free_at_once() -> None:
    taken("a", "b").release()
    assert taken("b", "a", holder="worker 2")


@pytest.mark.proves("I23")
def test_who_was_silent_for_too_long_can_do_nothing_more() -> None:
    late = taken("a", "b")
    expire("b")
    with pytest.raises(LeaseLost), transaction.atomic():
        late.fence()
    other = taken("b", holder="worker 2")
    with pytest.raises(LeaseLost), transaction.atomic():
        late.fence()
    late.release()
    with transaction.atomic():
        other.fence()
    assert take("b", holder="worker 3") is None, "the late one gave back what is not theirs"


def test_a_failed_fence_renews_nothing() -> None:
    late = taken("a", "b")
    expire("b")
    before = AccountLease.objects.get(key="a").expires_at
    with pytest.raises(LeaseLost), transaction.atomic():
        late.fence()
    assert AccountLease.objects.get(key="a").expires_at == before


def test_the_fence_renews() -> None:
    lease = taken("a")
    AccountLease.objects.update(expires_at=Now() + timedelta(seconds=1))
    with transaction.atomic():
        lease.fence()
    assert AccountLease.objects.filter(expires_at__gt=Now() + TTL - timedelta(seconds=20)).exists()


@pytest.mark.django_db(transaction=True)
def test_the_fence_stands_in_the_transaction_that_it_protects() -> None:
    with pytest.raises(RuntimeError):
        taken("a").fence()


@pytest.mark.parametrize("year", [1999, 2099])
def test_a_wrong_clock_of_ours_takes_no_lease_from_anybody(year: int) -> None:
    taken("a")
    assert take("a", holder="worker 2", clock=TestClock(datetime(year, 1, 1, tzinfo=UTC))) is None


def test_what_is_left_counts_from_before_the_lease_was_asked_for() -> None:
    clock = TestClock(datetime(2026, 11, 24, tzinfo=UTC))
    lease = take("a", clock=clock)
    assert lease is not None
    clock.forward(80)
    assert lease.seconds_left() == pytest.approx(10)


@pytest.mark.proves("I23")
@pytest.mark.django_db(transaction=True)
def test_many_who_want_overlapping_pairs_never_hold_one_account_together() -> None:
    holders: Counter[str] = Counter()
    together: list[str] = []
    taken_by: Counter[int] = Counter()
    lock, start = threading.Lock(), threading.Barrier(6)

    def work(number: int) -> None:
        keys = [("a", "b"), ("b", "c"), ("c", "a")][number % 3]
        start.wait(20)
        try:
            for _ in range(25):
                lease = acquire(keys, "one name for all", TTL, SYSTEM)
                if lease is None:
                    continue
                with lock:
                    holders.update(keys)
                    together.extend(key for key in keys if holders[key] > 1)
                    taken_by[number] += 1
                with transaction.atomic():
                    lease.fence()
                with lock:
                    holders.subtract(keys)
                lease.release()
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert together == []
    assert sum(taken_by.values()) > 0
    assert +holders == Counter()
    assert taken("a", "b", "c"), "nothing is left behind"
