"""Salesmate: full and delta passes, deletions, and listings that cannot be trusted."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from syncer.connectors.base import CursorExpired, RateLimited, Transient
from syncer.connectors.salesmate import passes, wire
from syncer.connectors.salesmate.connector import BOOK
from tests.contract.salesmate import NAMES, Bench, bench, ids, whole_pass


@pytest.fixture
def acme() -> Iterator[Bench]:
    with bench() as made:
        yield made


def test_a_full_pass_shows_every_live_contact_and_their_count(acme: Bench) -> None:
    people = acme.people(260)
    acme.app.person_delete(people[3])
    pages = whole_pass(acme.connector())
    assert ids(pages) == [str(number) for number in people if number != people[3]]
    assert [page.total for page in pages] == [259, 259]
    assert [page.done for page in pages] == [False, True]
    assert pages[0].gone == [str(people[3])]
    assert len(acme.app.log) == 3  # the bin, and two pages


def test_a_search_asks_for_what_it_needs_and_never_for_a_time(acme: Bench) -> None:
    acme.connector().changes(BOOK, "", [*NAMES, "company.name", "currency"])
    body = acme.app.log[-1].json()
    for path in (
        "contact.id",
        "contact.lastModifiedAt",
        "contact.isDeleted",
        "contact.owner.id",
        "contact.company.name",
    ):
        assert path in body["displayingFields"]
    assert "contact.owner" not in body["displayingFields"]
    assert body["sort"] == {"fieldName": "contact.id", "order": "asc"}
    assert [rule["condition"] for rule in body["filterQuery"]["group"]["rules"]] == ["EQUALS"]


def test_an_empty_account(acme: Bench) -> None:
    (page,) = whole_pass(acme.connector())
    assert (page.records, page.total, page.done) == ([], 0, True)


def test_a_quiet_delta_is_two_calls(acme: Bench) -> None:
    acme.people(300)
    acme.quiet()
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    for _ in range(3):
        acme.quiet()
        page = salesmate.changes(BOOK, cursor, NAMES)
        assert page.stop_if_known
        assert page.total == 300
        assert len(acme.app.log) == 2
        cursor = page.finish


def test_a_quiet_delta_is_two_calls_for_a_new_process_with_custom_fields_too(acme: Bench) -> None:
    acme.people(2)
    names = [*NAMES, "textCustomField1", "dateCustomField1"]
    cursor = whole_pass(acme.connector(), names=names)[-1].cursor
    acme.quiet()
    acme.connector().changes(BOOK, cursor, names)
    assert len(acme.app.log) == 2


def test_the_first_page_may_be_the_end_of_a_pass(acme: Bench) -> None:
    """Each page says where the next delta starts if the pass ends there."""
    acme.people(300)
    salesmate = acme.connector()
    first = salesmate.changes(BOOK, "", NAMES)
    assert first.finish == salesmate.changes(BOOK, first.cursor, NAMES).cursor


@pytest.mark.proves("E2 pull")
def test_an_edit_in_the_second_of_the_listing_is_found(acme: Bench) -> None:
    people = acme.people(300)
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.app.person_edit(people[7], firstName="Augusta")
    acme.quiet()
    page = salesmate.changes(BOOK, cursor, NAMES)
    edited = {record.remote_id: record.values for record in page.records}[str(people[7])]
    assert edited["firstName"] == "Augusta"


@pytest.mark.proves("E2 pull")
def test_an_edit_during_a_full_pass_is_found_by_the_next_delta(acme: Bench) -> None:
    """The bookmark is from the start of the listing, however long that takes."""
    people = acme.people(300)
    salesmate = acme.connector()
    first = salesmate.changes(BOOK, "", NAMES)
    acme.clock.advance(200)
    acme.app.person_edit(people[0], firstName="Augusta")
    acme.clock.advance(3000)
    acme.people(260)
    last = salesmate.changes(BOOK, first.cursor, NAMES)
    while not last.done:
        last = salesmate.changes(BOOK, last.cursor, NAMES)
    acme.quiet()
    page = salesmate.changes(BOOK, last.cursor, NAMES)
    seen = list(page.records)
    while not page.stop_if_known:
        page = salesmate.changes(BOOK, page.cursor, NAMES)
        seen += page.records
    assert str(people[0]) in {record.remote_id for record in seen}


def test_a_delta_goes_on_while_pages_are_newer_than_the_last_pass(acme: Bench) -> None:
    acme.people(100)
    acme.quiet()
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.quiet()
    new = acme.people(600)
    pages = [salesmate.changes(BOOK, cursor, NAMES)]
    while not pages[-1].stop_if_known:
        pages.append(salesmate.changes(BOOK, pages[-1].cursor, NAMES))
    assert len(pages) == 3
    assert {str(number) for number in new} <= set(ids(pages))
    assert {page.finish for page in pages} == {pages[0].finish}


def test_an_import_of_many_is_read_once(acme: Bench) -> None:
    """A thousand contacts of one second do not make every delta read a thousand contacts."""
    acme.people(600)
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.quiet()
    settled = salesmate.changes(BOOK, cursor, NAMES).finish
    acme.quiet()
    assert salesmate.changes(BOOK, settled, NAMES).stop_if_known


@pytest.mark.parametrize("moves_time", [True, False])
def test_a_deletion_is_told_by_the_delta_whether_or_not_it_moves_the_time_of_change(
    acme: Bench, moves_time: bool
) -> None:
    acme.app.account.deletion_moves_time = moves_time
    people = acme.people(5)
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.quiet()
    acme.app.person_delete(people[2])
    page = salesmate.changes(BOOK, cursor, NAMES)
    assert page.gone == [str(people[2])]
    assert page.total == 4
    assert len(acme.app.log) == 2


def test_many_deletions_are_all_told(acme: Bench) -> None:
    people = acme.people(700)
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.quiet()
    for number in people[:600]:
        acme.app.person_delete(number)
    page = salesmate.changes(BOOK, cursor, NAMES)
    assert sorted(page.gone, key=int) == [str(number) for number in people[:600]]


def test_deletions_without_any_stamp_are_found_by_the_growth_of_the_bin(acme: Bench) -> None:
    """Deep in a bin of old deletions, with nothing that tells the new one."""
    people = acme.people(400)
    acme.app.account.deletion_moves_time = False
    for number in people[100:]:
        acme.app.person_delete(number)
    acme.clock.advance(10_000)
    salesmate = acme.connector(assumed=wire.Assumed(deletion_stamp=""))
    cursor = whole_pass(salesmate)[-1].cursor
    acme.quiet()
    acme.app.person_delete(people[50])
    acme.app.account.contacts[people[50]]["lastModifiedAt"] -= 100_000
    assert str(people[50]) in salesmate.changes(BOOK, cursor, NAMES).gone


def test_a_quiet_delta_with_a_full_bin_is_two_calls(acme: Bench) -> None:
    people = acme.people(400)
    for number in people[:300]:
        acme.app.person_delete(number)
    acme.quiet()
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.quiet()
    page = salesmate.changes(BOOK, cursor, NAMES)
    assert len(page.gone) == 250
    assert len(acme.app.log) == 2


def test_a_restored_contact_is_live_again(acme: Bench) -> None:
    people = acme.people(3)
    acme.app.person_delete(people[0])
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.quiet()
    acme.app.person_restore(people[0])
    page = salesmate.changes(BOOK, cursor, NAMES)
    assert str(people[0]) in {record.remote_id for record in page.records}
    assert page.gone == []


@pytest.mark.proves("I27")
def test_only_a_row_that_says_so_itself_is_gone(acme: Bench) -> None:
    """A server that filters nothing would otherwise have every contact deleted."""
    people = acme.people(4)
    acme.app.person_delete(people[0])
    acme.app.levers.ignore_filters = True
    (page,) = whole_pass(acme.connector())
    assert page.gone == [str(people[0])]
    assert ids([page]) == [str(number) for number in people[1:]]
    assert page.total == 4  # which the three distinct ones do not reach


def test_a_bin_that_is_not_filtered_holds_the_deleted_alone(acme: Bench) -> None:
    people = acme.people(4)
    acme.app.person_delete(people[0])
    acme.app.levers.ignore_filters = True
    assert passes.read_bin(acme.reader(), passes.Cursor(full=True)).ids == [str(people[0])]


def test_what_was_restored_between_the_two_searches_is_not_gone(acme: Bench) -> None:
    page = passes.page(acme.reader(), passes.Cursor(full=True), wire.Rows(rows(5, 6), 2, None), ["0", "7"], [])
    assert page.gone == ["7"]


def test_a_deletion_is_new_by_either_of_its_times() -> None:
    row = {"id": 1, "lastModifiedAt": 5, "deletedAt": 1000}
    assert passes.is_new(row, since=1000)
    assert passes.is_new({**row, "lastModifiedAt": 1000, "deletedAt": None}, since=1000)
    assert passes.is_new({"id": 1}, since=1000)
    assert not passes.is_new({**row, "deletedAt": 6}, since=1000)


@pytest.mark.proves("E2 complete")
def test_unstable_paging_comes_out_short_and_its_union_complete(acme: Bench) -> None:
    people = acme.people(800)
    acme.app.levers.unstable_paging = True
    salesmate = acme.connector()
    listings = [whole_pass(salesmate) for _ in range(2)]
    for pages in listings:
        assert len(set(ids(pages))) < 800
        assert {page.total for page in pages} == {800}
    assert {remote_id for pages in listings for remote_id in ids(pages)} == {str(number) for number in people}


@pytest.mark.proves("I26", "E2 complete")
@pytest.mark.parametrize("cut", [0, 100, 300])
def test_a_full_listing_that_is_cut_never_proves_itself_complete(acme: Bench, cut: int) -> None:
    acme.people(400)
    acme.app.levers.cut_listing_at = cut
    pages = whole_pass(acme.connector())
    assert len(set(ids(pages))) == cut
    assert pages[-1].total == 400
    assert not pages[-1].complete


def test_a_delta_listing_that_is_cut_is_no_end(acme: Bench) -> None:
    acme.people(400)
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.quiet()
    acme.people(300)
    acme.app.levers.cut_listing_at = 100
    page = salesmate.changes(BOOK, cursor, NAMES)
    assert not page.done
    assert not page.stop_if_known
    with pytest.raises(Transient):
        salesmate.changes(BOOK, page.cursor, NAMES)


def test_a_listing_that_is_suddenly_empty_says_so(acme: Bench) -> None:
    acme.people(3)
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.app.levers.empty_listing = True
    page = salesmate.changes(BOOK, cursor, NAMES)
    assert (page.total, page.records, page.gone) == (0, [], [])


@pytest.mark.parametrize("stamps", ["seconds", "milliseconds", "iso"])
def test_times_in_any_form_that_can_be_placed(acme: Bench, stamps: str) -> None:
    acme.app.levers.stamps = stamps
    acme.people(3)
    acme.quiet()
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.quiet()
    assert salesmate.changes(BOOK, cursor, NAMES).stop_if_known


def test_times_in_a_user_s_own_zone_never_stop_a_delta(acme: Bench) -> None:
    acme.app.levers.stamps = "text"
    acme.people(300)
    salesmate = acme.connector()
    cursor = whole_pass(salesmate)[-1].cursor
    acme.quiet()
    pages = whole_pass(salesmate, cursor)
    assert not any(page.stop_if_known for page in pages)
    assert len(ids(pages)) == 300


@pytest.mark.parametrize("tags", [",", ", "])
def test_tags_in_either_spacing(acme: Bench, tags: str) -> None:
    acme.app.levers.tag_separator = tags
    acme.person(1, tags="VIP,Bags")
    (page,) = whole_pass(acme.connector())
    assert page.records[0].values["tags"] == ["VIP", "Bags"]


@pytest.mark.proves("E2 expired cursor")
@pytest.mark.parametrize(
    "cursor",
    ["x", "[]", "7", "{}", "null", '{"version":9}', "[" * 10_000],
)
def test_a_cursor_that_is_not_ours_has_expired(acme: Bench, cursor: str) -> None:
    with pytest.raises(CursorExpired):
        acme.connector().changes(BOOK, cursor, NAMES)


@pytest.mark.parametrize("change", [{"start": None}, {"start": "1"}, {"since": 1.5}, {"full": 1}, {"more": 1}])
def test_a_cursor_with_another_content_has_expired(change: dict[str, Any]) -> None:
    good = json.loads(passes.Cursor(full=False, start=250, since=1, following=2, deleted=3).text())
    assert passes.parse(json.dumps(good)) == passes.Cursor(False, 250, 1, 2, 3)
    with pytest.raises(CursorExpired):
        passes.parse(json.dumps({**good, **change}))


def test_a_page_that_failed_can_be_asked_for_again(acme: Bench) -> None:
    acme.people(300)
    salesmate = acme.connector()
    first = salesmate.changes(BOOK, "", NAMES)
    acme.app.fault("limit")
    with pytest.raises(RateLimited):
        salesmate.changes(BOOK, first.cursor, NAMES)
    assert len(salesmate.changes(BOOK, first.cursor, NAMES).records) == 50


def rows(*stamps: int | None) -> list[dict[str, Any]]:
    return [{"id": number, "lastModifiedAt": stamp} for number, stamp in enumerate(stamps)]


def test_covered_ground() -> None:
    assert passes.covered(rows(1000, 879), since=1000)
    assert not passes.covered(rows(1000, 880), since=1000)
    assert not passes.covered(rows(1000, 5), since=None)
    assert not passes.covered(rows(1000, None, 5), since=1000)
    assert not passes.covered([], since=1000)


def test_the_end_of_a_listing() -> None:
    full = wire.Rows(rows(*range(wire.PAGE)), 500, None)
    assert not passes.at_end(full, 250)
    assert passes.at_end(full, 500)
    assert passes.at_end(replace(full, rows=[]), 250)
    assert not passes.at_end(replace(full, total=None), 250)
    assert passes.at_end(replace(full, rows=rows(1), total=None), 251)


@pytest.mark.parametrize("raw", [None, "", "x", True, -1, 10**30, 10**18, "2024-11-29T09:34:00", [], {}])
def test_what_is_no_time(raw: Any) -> None:
    assert wire.stamp(raw) is None


@pytest.mark.parametrize("text", ["", "x", "Tue"])
def test_what_is_no_date_header(text: str) -> None:
    assert wire.http_date(text) is None
