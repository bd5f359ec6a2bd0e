"""Passes over an audience: nobody is missed, whatever happens while it is listed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from syncer.connectors.base import CursorExpired, RecordGone, Transient
from syncer.connectors.mailchimp.wire import ASSUMED
from tests.contract.mailchimp import ALL, LIST, Bench, bench, ids, whole_pass

SMALL = replace(ASSUMED, page=5)


@pytest.fixture
def found() -> Iterator[Bench]:
    with bench() as made:
        yield made


@pytest.mark.proves("E2 complete")
def test_a_full_pass_shows_the_archived_too_and_its_count_proves_it(found: Bench) -> None:
    people = found.members(7)
    found.audience.person_archives(people[3])
    pages = whole_pass(found.connector(assumed=SMALL))
    assert sorted(ids(pages)) == sorted(people)
    assert [page.total for page in pages] == [None] * (len(pages) - 1) + [7]
    assert found.calls() == ["GET members"] * 3


@pytest.mark.proves("E2 complete")
@pytest.mark.parametrize("full", [True, False])
def test_where_archived_ones_are_among_everybody_a_pass_is_proven_too(found: Bench, full: bool) -> None:
    """No source says whether they are."""
    found.app.levers.archived_listed = True
    cursor = "" if full else whole_pass(found.connector(assumed=SMALL))[-1].finish
    people = found.members(7)
    found.audience.person_archives(people[0])
    pages = whole_pass(found.connector(assumed=SMALL), cursor)
    assert set(ids(pages)) == set(people)
    assert pages[-1].total == (7 if full else None)


@pytest.mark.proves("E2 complete", "I26")
@pytest.mark.parametrize("what", ["archives", "deletes", "adds"])
def test_a_pass_during_which_the_audience_moves_proves_nothing(found: Bench, what: str) -> None:
    people = found.members(12)
    acts: dict[str, Any] = {
        "archives": lambda: found.audience.person_archives(people[0]),
        "deletes": lambda: found.audience.person_deletes(people[0]),
        "adds": lambda: found.member(99),
    }
    found.once("/members", acts[what])
    last = whole_pass(found.connector(assumed=SMALL))[-1]
    assert (last.complete, last.total) == (False, None)
    assert whole_pass(found.connector(assumed=SMALL))[-1].total == {"archives": 12, "deletes": 11, "adds": 13}[what]


@pytest.mark.proves("I20", "E2 pull")
def test_a_delta_misses_nobody_who_changes_while_it_is_listed(found: Bench) -> None:
    """Whoever changes moves to the end, and shifts all others by a row."""
    people = found.members(3)
    cursor = whole_pass(found.connector(assumed=SMALL))[-1].finish
    found.quiet()
    for number in range(20):
        people.append(found.member(10 + number))
        found.clock.advance(1)

    def meddle(seen: Any) -> None:
        if "since_last_changed" in seen.query and len(changed) < 3:
            found.clock.advance(1)
            found.audience.person_edits(people[3 + len(changed)], JOBTITLE="Countess")
            changed.append(people[3 + len(changed)])

    changed: list[str] = []
    found.app.people_act = meddle
    pages = whole_pass(found.connector(assumed=SMALL), cursor)
    assert set(people[3:]) <= set(ids(pages))
    titles = {one.remote_id: one.values["JOBTITLE"] for page in pages for one in page.records}
    assert [titles[one] for one in changed] == ["Countess"] * 3


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.proves("I20", "E2 pull")
def test_many_of_one_second_are_all_shown(found: Bench, inclusive: bool) -> None:
    found.app.levers.since_inclusive = inclusive
    cursor = whole_pass(found.connector(assumed=SMALL))[-1].finish
    found.quiet()
    people = found.members(23)
    found.clock.advance(1)
    people.append(found.member(50))
    pages = whole_pass(found.connector(assumed=SMALL), cursor)
    assert set(ids(pages)) == set(people)
    assert len(pages) < 12


@pytest.mark.proves("I20", "E2 pull")
@pytest.mark.parametrize("behind", [0, 250])
def test_what_happens_at_the_edge_of_a_pass_is_in_this_or_the_next(found: Bench, behind: float) -> None:
    """Also where the stamps lag behind the clock that the server shows."""
    one, _ = found.members(2)
    mailchimp = found.connector()
    found.clock.advance(behind)
    cursor = whole_pass(mailchimp)[-1].finish
    found.clock.advance(-behind)
    found.audience.person_edits(one, JOBTITLE="Countess")
    found.clock.advance(behind)
    seen = whole_pass(mailchimp, cursor)
    titles = {record.remote_id: record.values["JOBTITLE"] for page in seen for record in page.records}
    assert titles[one] == "Countess"


@pytest.mark.proves("I14")
def test_what_was_seen_long_ago_is_not_listed_again(found: Bench) -> None:
    found.members(30)
    cursor = whole_pass(found.connector())[-1].finish
    found.quiet()
    page = whole_pass(found.connector(), cursor)
    cursor = page[-1].finish
    found.quiet()
    assert ids(whole_pass(found.connector(), cursor)) == []
    assert found.calls() == ["GET members", "GET members"]


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "[]",
        "{}",
        '{"v":2}',
        '{"v":1,"full":false,"since":"yesterday"}',
        '{"v":1,"full":false}',
        '{"v":1,"full":true,"part":"others"}',
        '{"v":1,"full":true,"offset":-1}',
        '{"v":1,"full":true,"nobody":1}',
        "[" * 5000,
    ],
)
@pytest.mark.proves("E2 expired cursor")
def test_a_cursor_that_is_none_has_expired(found: Bench, cursor: str) -> None:
    with pytest.raises(CursorExpired):
        found.connector().changes(LIST, cursor, ALL)
    assert found.calls() == []


@pytest.mark.proves("I27")
def test_nobody_counts_as_deleted_where_ids_are_not_answered(found: Bench) -> None:
    one, two = found.members(2)
    found.audience.person_deletes(one)
    with pytest.raises(RecordGone):
        found.connector().read(LIST, one, ALL)
    found.app.levers.contact_ids = False
    for remote_id in (one, two):
        with pytest.raises(Transient, match="does not answer to the id of a contact"):
            found.connector().read(LIST, remote_id, ALL)
    with pytest.raises(Transient, match="does not answer to the id"):
        found.connector().read_many(LIST, [one, two], ALL)


def test_many_are_read_by_listing_them(found: Bench) -> None:
    people = found.members(40)
    found.audience.person_archives(people[0])
    found.audience.person_deletes(people[1])
    found.app.log.clear()
    shown = found.connector().read_many(LIST, people, ALL)
    assert [one is None for one in shown] == [number == 1 for number in range(40)]
    assert len(found.calls()) <= 5


def test_more_tags_than_a_member_shows_are_asked_for(found: Bench) -> None:
    tags = [f"Tag {number}" for number in range(60)]
    one = found.member(0, tags=tags)
    seen = found.connector().read(LIST, one, ALL)
    assert sorted(str(seen.values["tags"]).count(f"'{tag}'") for tag in tags) == [1] * 60
    assert found.calls() == ["GET members/*", "GET members/*/tags"]
    assert "tags" not in found.connector().read(LIST, one, ["FNAME"]).values


def test_an_answer_of_another_form_is_tried_again_later(found: Bench) -> None:
    found.members(2)
    found.app.fault("cut_json", path="/members")
    with pytest.raises(Transient):
        whole_pass(found.connector())
    assert json.loads(found.connector().changes(LIST, "", ALL).cursor)["part"] == "archived"
