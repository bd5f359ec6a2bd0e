"""Salesmate: deltas over a list that moves while it is read, and clocks that cannot be trusted."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from syncer.connectors.base import CursorExpired
from syncer.connectors.salesmate import passes, wire
from syncer.connectors.salesmate.connector import BOOK
from syncer.connectors.salesmate.passes import Bin, Cursor
from tests.contract.salesmate import NAMES, Bench, bench, ids, whole_pass

DAY = 86_400


@pytest.fixture
def acme() -> Iterator[Bench]:
    with bench() as made:
        yield made


def rows(*pairs: tuple[int, int | None]) -> list[dict[str, Any]]:
    """(id, stamp) each."""
    return [{"id": number, "lastModifiedAt": stamp} for number, stamp in pairs]


@pytest.mark.proves("I20", "E2 pull")
def test_a_page_of_a_delta_repeats_the_end_of_the_one_before_and_shows_it_once(acme: Bench) -> None:
    acme.people(100)
    acme.quiet()
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.quiet()
    new = acme.people(400)
    first = salesmate.changes(BOOK, cursor, NAMES)
    second = salesmate.changes(BOOK, first.cursor, NAMES)
    assert [seen.query for seen in acme.app.log[-2:]] == ["rows=250&from=0", "rows=250&from=200"]
    assert set(ids([first, second])) >= {str(number) for number in new}
    assert len(ids([first, second])) == len(set(ids([first, second])))


@pytest.mark.proves("I20", "E2 pull")
def test_a_contact_deleted_between_two_pages_hides_none(acme: Bench) -> None:
    acme.people(100)
    acme.quiet()
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    new = []
    for number in range(300):
        acme.clock.advance(1)
        new.append(acme.person(number))
    first = salesmate.changes(BOOK, cursor, NAMES)
    for number in new[-20:]:
        acme.app.person_delete(number)
    second = salesmate.changes(BOOK, first.cursor, NAMES)
    assert second.stop_if_known
    assert set(ids([first, second])) >= {str(number) for number in new}


@pytest.mark.proves("I20", "E2 pull")
def test_one_second_over_two_pages_in_another_order_each_time_ends_the_delta(acme: Bench) -> None:
    """250 rows of the second on one page, and the others somewhere among all of it: only a full pass tells."""
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.app.levers.shuffle_ties = True
    new = acme.people(330)
    first = salesmate.changes(BOOK, cursor, NAMES)
    with pytest.raises(CursorExpired):
        salesmate.changes(BOOK, first.cursor, NAMES)
    assert set(ids(whole_pass(salesmate))) == {str(number) for number in new}


@pytest.mark.proves("I14", "E2 pull")
def test_a_second_that_begins_within_the_repeated_rows_may_come_in_any_order(acme: Bench) -> None:
    """As our own writes do, some each second."""
    acme.people(100)
    acme.quiet()
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.app.levers.shuffle_ties = True
    new = []
    for _ in range(30):
        acme.clock.advance(1)
        new += acme.people(10)
    first = salesmate.changes(BOOK, cursor, NAMES)
    second = salesmate.changes(BOOK, first.cursor, NAMES)
    assert second.stop_if_known
    assert set(ids([first, second])) >= {str(number) for number in new}


def test_what_joins_two_pages(acme: Bench) -> None:
    at = Cursor(full=False, start=3, tail=("1", "2", "3"), tail_stamp=50)
    joins = passes.joins
    reader = acme.reader()
    assert joins(reader, at, rows((1, 50), (2, 50), (3, 50), (4, 50)))
    assert joins(reader, at, rows((7, 50), (1, 50), (3, 50), (4, 50)))  # edited or deleted meanwhile
    assert joins(reader, at, rows((9, 51), (3, 50), (1, 50), (8, 50)))  # all of the second
    assert not joins(reader, at, rows((3, 50), (1, 50), (8, 50)))
    assert not joins(reader, at, rows((8, 50), (9, 49)))
    assert joins(reader, at, rows((2, None), (3, None)))
    assert not joins(reader, replace(at, tail_stamp=None), rows((9, 51), (8, 50)))


def test_the_last_page_has_to_begin_where_it_was_asked_to(acme: Bench) -> None:
    """One that began too early ended too early, and left out the end of the list."""
    at = Cursor(full=False, start=3, tail=("2", "3"), tail_stamp=48)
    early = wire.Rows(rows((1, 50), (2, 49), (3, 48), (4, 47)), 5, None)
    with pytest.raises(CursorExpired):
        passes.page(acme.reader(), at, early, [], [])
    good = wire.Rows(rows((2, 49), (3, 48), (4, 47), (5, 46)), 5, None)
    assert passes.page(acme.reader(), at, good, [], []).done


@pytest.mark.proves("E2 pull")
@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_a_server_with_smaller_pages(acme: Bench, most: int) -> None:
    acme.app.levers.most_rows = most
    acme.people(3)
    acme.quiet()
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    new = acme.people(11)
    pages = whole_pass(salesmate, cursor)
    assert set(ids(pages)) >= {str(number) for number in new}


def begun(cursor: Cursor, newest: int | None, date: int | None) -> Cursor:
    return passes.begun(cursor, Bin((), 0, date), wire.Rows(rows((1, newest)), 1, date))


def test_where_a_delta_may_end() -> None:
    """The bookmark counts while nothing is newer than at the pass before; then the newest of then does."""
    before = Cursor(full=False, since=1000, newest=400, clock=1000)
    assert begun(before, newest=400, date=1300).since == 1000
    assert begun(before, newest=None, date=1300).since == 1000
    moved = begun(before, newest=500, date=1300).since
    assert passes.covered(rows((1, 500), (2, 400)), moved)
    assert not passes.covered(rows((1, 500), (2, 401)), moved)
    assert begun(replace(before, since=None), newest=500, date=1300).since is None


@pytest.mark.parametrize(
    ("since", "newest", "date", "expected"),
    [
        (1000, 900, 1300, 1300),
        (1000, 1250, 1300, 1300),
        (1000 + DAY, 1000 + DAY, 1300, 1300 + DAY),  # the stamps are a day ahead, and time goes by there too
        (1000, 900, None, 900),
        (None, 900, 1300, 1300),
    ],
)
def test_the_next_bookmark(since: int | None, newest: int, date: int | None, expected: int) -> None:
    assert begun(Cursor(full=False, since=since, clock=1000), newest, date).following == expected


def test_a_clock_that_went_back(acme: Bench) -> None:
    at = Cursor(full=False, since=1000, clock=1000)
    assert passes.went_back(at, 879)
    assert not passes.went_back(at, 880)
    assert not passes.went_back(at, None)
    assert not passes.went_back(replace(at, clock=None), 5)
    acme.people(2)
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.clock.advance(-3600)
    with pytest.raises(CursorExpired):
        salesmate.changes(BOOK, cursor, NAMES)
    assert whole_pass(salesmate)[-1].cursor


@pytest.mark.parametrize("ahead", [DAY, -DAY])
@pytest.mark.proves("I14", "E2 pull")
def test_a_quiet_delta_is_two_calls_whatever_the_date_header_says(acme: Bench, ahead: int) -> None:
    acme.people(300)
    acme.app.levers.date_ahead = ahead
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.quiet()
    cursor = whole_pass(salesmate, cursor)[-1].finish  # what an hour of import costs is read once more
    for _ in range(2):
        acme.quiet()
        page = salesmate.changes(BOOK, cursor, NAMES)
        assert page.stop_if_known
        assert len(acme.app.log) == 2
        cursor = page.finish


@pytest.mark.parametrize("change", [{"tail": None}, {"tail": "x", "start": 7}, {"tail": [7]}, {"clock": "x"}])
def test_a_cursor_that_is_not_whole_has_expired(change: dict[str, Any]) -> None:
    text = Cursor(full=False, since=1, clock=2, tail=("1",), tail_stamp=3).text()
    assert passes.parse(text) == Cursor(full=False, since=1, clock=2, tail=("1",), tail_stamp=3)
    with pytest.raises(CursorExpired):
        passes.parse(json.dumps({**json.loads(text), **change}))
