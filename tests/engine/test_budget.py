"""The call budget: never more calls in any hour than the app allows one login."""

from datetime import datetime, timedelta

import pytest

from syncer.connectors.registry import calls_per_hour
from syncer.models import ApiUsage
from syncer.rates import Budget
from tests.engine.memory import MemoryApp, TestClock
from tests.engine.real import START
from tests.engine.world import make_world

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def most_in_an_hour(times: list[datetime]) -> int:
    most, start = 0, 0
    for end, moment in enumerate(times):
        while moment - times[start] >= HOUR:
            start += 1
        most = max(most, end - start + 1)
    return most


# In one transaction around all PostgreSQL could never tidy up after the rows that are updated again and again.
@pytest.mark.proves("E10 budgets")
@pytest.mark.django_db(transaction=True)
def test_three_hours_of_syncing_stay_within_the_budget_of_salesmate() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"), limits=lambda app: calls_per_hour("salesmate"))
    times: list[datetime] = []

    def on_call() -> None:
        times.append(world.clock.now())
        world.clock.forward(0.3)

    world.right.on_call = on_call
    for n in range(2500):
        world.left.person_creates(given=f"P{n}", email=f"p{n}@example.com")
    ends = world.clock.now() + 3 * HOUR
    while world.clock.now() < ends:
        outcome = world.slice()
        again = outcome.again_at or world.clock.now() + timedelta(minutes=5)
        world.clock.forward(max(0.0, (again - world.clock.now()).total_seconds()))
    assert most_in_an_hour(times) <= 1500
    assert len(times) > 3000, "the budget is used, not only obeyed"
    assert len(world.right.contacts) > 1000
    world.assert_log_is_whole()


def test_calls_are_free_again_an_hour_after_they_were_made() -> None:
    clock = TestClock(START)
    budget = Budget("app:login", "connection", 10, clock)
    for _ in range(10):
        budget.take()
        clock.forward(60)
    assert budget.available() == 0
    free = budget.free_at(3)
    assert START + HOUR + timedelta(minutes=2) <= free <= START + HOUR + timedelta(minutes=2, seconds=10)
    clock.forward((free - clock.now()).total_seconds())
    assert budget.available() == 3


@pytest.mark.proves("E10 budgets")
def test_everybody_who_uses_a_login_draws_on_one_budget() -> None:
    clock = TestClock(START)
    first, second = (Budget("app:login", caller, 10, clock) for caller in ("a", "b"))
    for _ in range(5):
        first.take()
        second.take()
    assert first.available() == second.available() == 0
    assert {row.caller: row.calls for row in ApiUsage.objects.all()} == {"a": 5, "b": 5}
