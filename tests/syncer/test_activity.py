"""The picture of what a connection did, day by day."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from connections.admin.chart import Bar, Chart
from syncer.activity import DAYS, KINDS, days
from syncer.models import SyncRun
from tests.engine.memory import MemoryApp
from tests.engine.world import World, make_world

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 1, 30, tzinfo=UTC)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    from syncer.connectors import registry

    monkeypatch.setitem(registry.CONNECTORS, "memory", "tests.engine.memory.MemoryConnector")
    return make_world(MemoryApp("left"), MemoryApp("right"), now=NOW)


def run(world: World, ago: timedelta, dry: bool = False, **counts: object) -> None:
    SyncRun.objects.create(
        connection=world.connection,
        version=1,
        status="done",
        queued_at=NOW - ago,
        finished=NOW - ago,
        dry_run=dry,
        counts=counts,
    )


def test_the_counts_of_both_sides_go_into_the_day_on_which_a_run_ended(world: World) -> None:
    run(world, timedelta(hours=1), left={"created": 1, "updated": 2}, right={"created": 3, "tagged": 1, "untagged": 1})
    run(world, timedelta(hours=1), left={"linked": 7}, failed=9)
    run(world, timedelta(hours=2), right={"updated": 5})
    run(world, timedelta(hours=1))
    run(world, timedelta(hours=1), dry=True, left={"created": 100})
    run(world, timedelta(days=13), left={"created": 1})
    run(world, timedelta(days=14), left={"created": 100})
    found = days(world.connection, NOW)
    assert [day.date for day in found] == [date(2026, 11, 24) - timedelta(days=n) for n in range(DAYS - 1, -1, -1)]
    assert found[-1].counts == {"created": 4, "updated": 2, "tagged": 2, "linked": 7}
    assert found[-2].counts["updated"] == 5
    assert found[0].total == 1
    assert sum(day.total for day in found) == 21


def test_it_costs_one_query_however_many_runs_there_are(world: World) -> None:
    for number in range(200):
        run(world, timedelta(hours=number), left={"created": 1})
    with CaptureQueriesContext(
        database,
    ) as asked:
        assert sum(day.total for day in days(world.connection, NOW)) == 200
    assert len(asked) == 1


def test_a_connection_shows_what_a_real_run_did(world: World) -> None:
    world.left.person_creates(given="Ada", email="ada@example.com")
    world.settle()
    today = days(world.connection, world.clock.now())[-1]
    assert today.counts == {"created": 1, "updated": 0, "tagged": 0, "linked": 0}


def test_bars_fill_the_picture_and_say_what_they_are() -> None:
    chart = Chart("Changes", list(KINDS), [Bar("1 Nov", [2, 2, 0, 0]), Bar("2 Nov", [0, 0, 0, 1])], "Nothing.")
    assert chart.words == "5 in all; the most on 1 Nov: 4."
    assert [box.words for box in chart.boxes] == ["1 Nov: 2 created", "1 Nov: 2 updated", "2 Nov: 1 linked"]
    first, second, third = chart.boxes
    assert (first.y + first.height, second.y + second.height, second.y) == (chart.base, first.y, 0)
    assert third.height == chart.base / 4
    assert all(box.x >= 0 and box.x + box.width <= chart.width for box in chart.boxes)
    assert chart.labels[-1][1] == "2 Nov"


def test_a_picture_of_nothing_has_no_bars() -> None:
    chart = Chart("Changes", list(KINDS), [Bar("1 Nov", [0, 0, 0, 0])], "Nothing.")
    assert (chart.most, chart.boxes) == (0, [])
