"""The picture of what a connection did each day: the numbers of its runs, in bars and in words."""

from datetime import timedelta
from xml.etree import ElementTree

import pytest
from django.db import connection as database
from django.template.loader import render_to_string
from django.test.utils import CaptureQueriesContext

from connections.models import Account, Client, Connection
from portal.clock import SYSTEM
from syncer.admin.days import DAYS, chart_of
from syncer.models import SyncRun

pytestmark = pytest.mark.django_db
NOW = SYSTEM.now()


@pytest.fixture
def world() -> Connection:
    """A connection between CardDAV and Salesmate."""
    client = Client.objects.create(name="Acme", slug="acme")
    left, right = (Account.objects.create(client=client, app=app, label=app) for app in ("carddav", "salesmate"))
    return Connection.objects.create(
        client=client, name="Both", left_account=left, left_book="a", right_account=right, right_book="b"
    )


def ran(world: Connection, days_ago: int, left: int, right: int, number: int = 1) -> None:
    at = NOW - timedelta(days=days_ago)
    counts = {"left": {"created": left, "linked": 7}, "right": {"updated": right, "tagged": 1}, "failed": 3}
    SyncRun.objects.bulk_create(
        SyncRun(
            connection=world,
            version=1,
            trigger="t",
            actor="t",
            status="done",
            queued_at=at,
            finished=at,
            counts=counts,
        )
        for _ in range(number)
    )


def picture(world: Connection) -> str:
    return render_to_string("admin/counterpart/chart.html", {"chart": chart_of(world, NOW)})


def test_each_day_has_what_its_runs_wrote_on_either_side(world: Connection) -> None:
    ran(world, 0, 1, 2)
    ran(world, 0, 10, 20)
    ran(world, 3, 5, 0)
    ran(world, DAYS, 1000, 1000)
    chart = chart_of(world, NOW)
    assert len(chart.days) == DAYS
    assert [(first, second) for _, first, second in chart.days if first or second] == [(5, 1), (11, 24)]
    assert chart.days[-1][0] == NOW.date()
    assert chart.words.startswith("In 14 days 16 in CardDAV (left), 25 in Salesmate (right); most on ")
    assert len(chart.table.rows) == 2


def test_the_picture_is_whole_has_a_name_and_bars_within_it(world: Connection) -> None:
    ran(world, 0, 1, 100_000)
    ran(world, 13, 1, 0)
    text = picture(world)
    svg = ElementTree.fromstring(text[text.index('<svg class="cp-bars"') : text.rindex("</svg>") + 6])
    assert svg.attrib["role"] == "img"
    assert [svg[0].tag, svg[1].tag] == ["title", "desc"]
    bars = svg.findall("rect")
    assert len(bars) == 4
    for bar in bars:
        x, y, width, height = (int(bar.attrib[name]) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= 640 - width and 0 <= y <= 220 - height and height >= 3 and width > 0
    assert "100,001 in Salesmate (right)" in text


def test_where_nothing_happened_there_are_words_and_no_picture(world: Connection) -> None:
    assert "Nothing was changed in the last 14 days." in picture(world)
    assert "<svg" not in picture(world)


def test_it_is_one_query_whatever_the_number_of_runs(world: Connection) -> None:
    ran(world, 1, 1, 1, 500)
    with CaptureQueriesContext(
        database,
    ) as queries:
        chart_of(world, NOW)
    assert len(queries) == 1
    plan = SyncRun.objects.filter(connection=world, finished__gte=NOW).order_by("-finished").explain()
    assert database.vendor != "sqlite" or "run_finished" in plan
