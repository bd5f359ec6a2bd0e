"""The levers of the app in memory: each does what it says, seen through its connector alone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    CursorExpired,
    Field,
    FieldType,
    Observed,
    Operation,
    Outcome,
    Page,
    RateLimited,
    RecordGone,
    Rejected,
    Transient,
    Value,
    Values,
    Write,
    WriteResult,
)
from tests.engine.memory import FIELDS, Crash, MemoryApp, MemoryConnector, TestClock, raising

TROUBLE = ("Zoe\u0301", "a\0b", "\u202eevil\u202c", "👩‍👩‍👧", "x" * 65536)
"""Texts that trip systems: decomposed letters, NUL, right to left, emoji, very long."""


def app(**levers: Any) -> tuple[MemoryApp, MemoryConnector]:
    world = MemoryApp("app", **levers)
    world.person_creates("ada", given="Ada", email="ada@example.com", title="Countess")
    world.person_creates("ben", given="Ben", email="ben@example.com")
    return world, MemoryConnector(world)


def listing(connector: MemoryConnector) -> tuple[list[Observed], Page]:
    """A full pass: all that it showed, and its last page."""
    return pages(connector, "")


def pages(connector: MemoryConnector, cursor: str) -> tuple[list[Observed], Page]:
    records: list[Observed] = []
    for _ in range(50):
        page = connector.changes("contacts", cursor, ())
        records += page.records
        if page.done:
            return records, page
        cursor = page.cursor
    raise AssertionError("the pass does not end")


def ids(records: Sequence[Observed]) -> list[str]:
    return [one.remote_id for one in records]


def update(remote_id: str = "ada", etag: str = "1", base: Values | None = None, **values: Value) -> Write:
    def still_holds(now: Observed) -> bool:
        return base is None or all(now.values[name] == value for name, value in base.items())

    return Write(Operation.UPDATE, "k", values or {"title": "Poet"}, remote_id, etag, still_holds)


def create(key: str = "k", **values: Value) -> Write:
    return Write(Operation.CREATE, key, values or {"given": "Cem", "email": "cem@example.com"})


def results(connector: MemoryConnector, *writes: Write) -> list[WriteResult]:
    return list(connector.write("contacts", writes))


def outcomes(connector: MemoryConnector, *writes: Write) -> list[str]:
    return [str(result.outcome) for result in results(connector, *writes)]


# The feed


def test_what_the_app_says_of_itself() -> None:
    _, connector = app(
        fresh_feed=False, visibility=timedelta(minutes=9), create="marker", marker_found_by="listing", tombstones=False
    )
    can = connector.app.capabilities
    assert (can.fresh_feed, can.visibility_delay, can.create) == (False, timedelta(minutes=9), "marker")
    assert (can.marker_found_by, can.tombstones, can.delta) == ("listing", False, True)


def test_a_lagging_feed_shows_old_states_and_hides_the_newest_changes() -> None:
    world, connector = app()
    _, last = listing(connector)
    world.person_edits("ada", title="Poet")
    world.person_edits("ada", title="Seer")
    world.lag = 1
    delta, page = pages(connector, last.finish)
    assert [one.values["title"] for one in delta] == ["Poet"]
    assert next(one.values["title"] for one in listing(connector)[0]) == "Poet"
    assert connector.read("contacts", "ada", ()).values["title"] == "Seer"
    world.lag = 0
    assert [one.values["title"] for one in pages(connector, page.finish)[0]] == ["Seer"]


def test_a_lagging_feed_lists_who_is_deleted_and_not_who_is_new() -> None:
    world, connector = app(lag=2)
    world.person_deletes("ben")
    world.person_creates("cem")
    assert ids(listing(connector)[0]) == ["ada", "ben"]
    world.lag = 3
    assert ids(listing(connector)[0]) == ["ada"]
    world.lag = 99
    assert listing(connector)[0] == []


def test_a_lagging_search_does_not_see_who_is_new_but_every_edit() -> None:
    world, connector = app(search_lag=1)
    world.person_edits("ada", email="new@example.com")
    assert ids(connector.find("contacts", "new@example.com")) == ["ada"]
    world.person_creates("cem", email="cem@example.com")
    assert connector.find("contacts", "cem@example.com") == []
    world.person_edits("ada", title="Poet")
    assert ids(connector.find("contacts", "cem@example.com")) == ["cem"]


@pytest.mark.parametrize(
    ("deliver", "shown"),
    [
        (lambda records: [*records, *records], ["ada", "ben", "ada", "ben"]),
        (lambda records: records[::-1], ["ben", "ada"]),
        (lambda records: records[1:], ["ben"]),
    ],
    ids=["twice", "in another order", "with holes"],
)
def test_a_page_can_suffer_on_its_way(deliver: Callable[[list[Observed]], list[Observed]], shown: list[str]) -> None:
    _, connector = app(delivers=deliver)
    assert ids(listing(connector)[0]) == shown


def test_a_delta_without_tombstones_hides_deletions_and_a_listing_shows_them() -> None:
    world, connector = app(tombstones=False)
    _, last = listing(connector)
    world.person_deletes("ben")
    assert pages(connector, last.finish)[1].gone == []
    assert ids(listing(connector)[0]) == ["ada"]
    world.tombstones = True
    assert pages(connector, last.finish)[1].gone == ["ben"]


@pytest.mark.parametrize("trouble", ["expired", "malformed"])
def test_a_cursor_is_refused_once_and_a_full_pass_is_not(trouble: str) -> None:
    _, connector = app(cursor=trouble)
    _, last = listing(connector)
    with pytest.raises(CursorExpired):
        pages(connector, last.finish)
    assert pages(connector, last.finish)[0] == []


@pytest.mark.parametrize("timed", [False, True])
def test_a_cursor_that_is_reset_unsaid_shows_everything_again(timed: bool) -> None:
    clock = TestClock(datetime(2026, 11, 24, 9, 0))
    world, connector = app(time_feed=clock.now if timed else None)
    _, last = listing(connector)
    clock.forward(3600)
    world.cursor = "reset"
    assert ids(pages(connector, last.finish)[0]) == ["ada", "ben"]
    assert world.cursor == ""


@pytest.mark.parametrize("skew", [timedelta(days=-1), timedelta(0), timedelta(days=1)])
def test_a_time_feed_misses_nothing_whatever_its_clock_and_however_coarse_its_stamps(skew: timedelta) -> None:
    clock = TestClock(datetime(2026, 11, 24, 9, 0, 50, tzinfo=UTC))
    world, connector = app(time_feed=clock.now, skew=skew, granularity=timedelta(minutes=1))
    world.stamps = [world.stamp() for _ in world.stamps]
    _, last = listing(connector)
    world.person_edits("ada", title="Poet")
    assert world.stamps[-1] == datetime(2026, 11, 24, 9, 0, tzinfo=UTC) + skew
    assert "ada" in ids(pages(connector, last.finish)[0])
    clock.forward(600)
    world.person_edits("ben", title="Smith")
    _, last = pages(connector, last.finish)
    assert ids(pages(connector, last.finish)[0]) == ["ben"]


def test_paging_by_offset_over_moving_rows_repeats_some_and_skips_others() -> None:
    world, connector = app(total=True, page_size=1)
    first = connector.changes("contacts", "", ())
    assert (ids(first.records), first.done, first.total, first.complete) == (["ben"], False, 2, False)
    world.person_edits("ada", title="Poet")
    again = connector.changes("contacts", first.cursor, ())
    assert (ids(again.records), again.done, again.total) == (["ben"], True, 2)
    assert ids(pages(connector, first.finish)[0]) == ["ada"]


def test_a_page_fails_once() -> None:
    _, connector = app(page_size=1, page_error=2)
    first = connector.changes("contacts", "", ())
    with pytest.raises(Transient):
        connector.changes("contacts", first.cursor, ())
    assert ids(connector.changes("contacts", first.cursor, ()).records) == ["ben"]


def test_a_full_listing_that_calls_nothing_complete() -> None:
    world, connector = app(lists_nothing=True)
    records, last = listing(connector)
    assert (records, last.complete) == ([], True)
    assert connector.read("contacts", "ada", ()).remote_id == "ada"
    world.total = True
    assert listing(connector)[1].total == 0


def test_an_answer_leaves_fields_out() -> None:
    _, connector = app(omits=lambda call, name: call == "changes" and name == "title")
    assert "title" not in listing(connector)[0][0].values
    assert connector.read("contacts", "ada", ()).values["title"] == "Countess"


def test_a_token_for_another_account_says_so() -> None:
    world, connector = app()
    assert connector.check().key == "app"
    world.identity = "somebody else"
    assert connector.check().key == "somebody else"


# Who a contact is


def test_a_renamed_contact_shows_its_old_id_and_a_tombstone_of_it() -> None:
    world, connector = app()
    _, last = listing(connector)
    world.person_renames("ada", "countess")
    world.person_renames("countess", "lovelace")
    records, page = pages(connector, last.finish)
    assert [(one.remote_id, one.previous_ids) for one in records] == [("lovelace", ("ada", "countess"))]
    assert list(page.gone) == ["ada", "countess"]
    with pytest.raises(RecordGone):
        connector.read("contacts", "ada", ())
    world.old_ids_answer = True
    assert connector.read("contacts", "ada", ()).remote_id == "lovelace"


def test_an_update_can_move_the_id() -> None:
    world, connector = app(renames_on_write=lambda remote_id, values: str(values.get("email", remote_id)))
    done = results(connector, update(email="countess@example.com"))[0]
    assert done.outcome == Outcome.DONE and done.observed is not None
    assert (done.observed.remote_id, done.observed.previous_ids) == ("countess@example.com", ("ada",))
    assert "ada" not in world.contacts
    assert outcomes(connector, update("ben")) == ["done"]


def test_two_contacts_merged_in_the_app_are_the_winner_with_the_losers_id() -> None:
    world, connector = app()
    world.person_merges("ada", "ben")
    assert ids(listing(connector)[0]) == ["ben"]
    found = connector.read("contacts", "ben", ())
    assert (found.previous_ids, found.values["given"], found.values["title"]) == (("ada",), "Ben", "Countess")


def test_an_archived_contact_is_gone_until_it_comes_back_as_it_was() -> None:
    world, connector = app()
    _, last = listing(connector)
    world.person_archives("ada")
    assert list(pages(connector, last.finish)[1].gone) == ["ada"]
    assert connector.read_many("contacts", ["ada"], ()) == [None]
    world.person_unarchives("ada")
    assert connector.read("contacts", "ada", ()).values["title"] == "Countess"


def test_an_app_that_is_set_back_knows_nothing_of_what_came_after() -> None:
    world, connector = app()
    world.person_edits("ada", title="Poet")
    world.person_deletes("ben")
    _, last = listing(connector)
    world.restore(2)
    records, _ = listing(connector)
    assert [(one.remote_id, one.values["title"], one.etag) for one in records] == [
        ("ada", "Countess", "1"),
        ("ben", None, "2"),
    ]
    assert pages(connector, last.finish)[0] == []
    world.person_edits("ben", title="Smith")
    assert ids(listing(connector)[0]) == ["ada", "ben"]


def test_markers_are_kept_shown_and_found() -> None:
    world, connector = app(create="marker")
    done = results(connector, create("mark-1"))[0].observed
    assert done is not None and done.marker == "mark-1"
    assert ids(connector.find("contacts", marker="mark-1")) == [done.remote_id]
    assert connector.find("contacts", marker="mark-2") == []
    world.person_renames(done.remote_id, "moved")
    assert connector.read("contacts", "moved", ()).marker == "mark-1"
    world.search_lag = 99
    assert connector.find("contacts", marker="mark-1") == []


def test_a_create_under_an_id_that_is_there_changes_nothing() -> None:
    world, connector = app()
    before = world.contacts.copy() | {"id-k": {"given": "Dee"}}
    world.contacts["id-k"] = {"given": "Dee"}
    assert outcomes(connector, create("k")) == ["unknown"]
    assert world.contacts == before


def test_an_address_can_stand_in_a_book_twice() -> None:
    world, connector = app()
    world.person_creates("twin", email="ADA@example.com")
    assert ids(connector.find("contacts", "ada@example.com")) == ["ada", "twin"]


# Fields and values


def test_a_field_can_become_read_only_or_lose_a_choice() -> None:
    size = Field("size", "Size", FieldType.CHOICE, choices=(("s", "Small"), ("l", "Large")))
    world, connector = app(fields=(*FIELDS, size))
    assert outcomes(connector, update(size="l"), update(size=None)) == ["done", "done"]
    world.field_becomes("size", choices=(("s", "Small"),))
    refused = results(connector, update(size="l"))[0]
    assert (refused.outcome, refused.field) == (Outcome.REFUSED, "size")
    assert outcomes(connector, update(size="s")) == ["done"]
    world.field_becomes("title", writable=False)
    assert outcomes(connector, update(title="Poet"), update(given="Augusta")) == ["refused", "done"]
    assert [one.writable for one in connector.fields("contacts") if one.name == "title"] == [False]


@pytest.mark.parametrize(
    ("how", "shown"),
    [(str.lower, " ada  b "), (str.strip, "Ada  B"), (lambda text: text[:3], " Ad"), (str.split, None)],
    ids=["case", "trim", "truncate", "not a text"],
)
def test_values_are_shown_in_the_apps_own_way_and_its_connector_knows(how: Any, shown: str | None) -> None:
    world, connector = app()
    world.normalises("given", (lambda text: "".join(how(text))) if shown is None else how)
    given = next(one for one in FIELDS if one.name == "given")
    expected = "AdaB" if shown is None else shown
    done = results(connector, update(given=" Ada  B "))[0].observed
    assert done is not None and done.values["given"] == expected == connector.stored(given, " Ada  B ")
    assert connector.stored(given, None) is None
    assert world.contacts["ada"]["given"] == " Ada  B "


@pytest.mark.parametrize("text", TROUBLE, ids=["decomposed", "NUL", "right to left", "emoji", "64 kB"])
def test_texts_that_trip_systems_stay_as_they_are(text: str) -> None:
    _, connector = app()
    done = results(connector, update(note=text))[0].observed
    assert done is not None and done.values["note"] == text


# Writes


def test_a_value_can_be_accepted_and_not_kept() -> None:
    world, connector = app(ignores=lambda name, value: name == "title")
    done = results(connector, update(title="Poet", given="Augusta"))[0]
    assert done.outcome == Outcome.DONE and done.observed is not None
    assert (done.observed.values["title"], done.observed.values["given"]) == ("Countess", "Augusta")
    assert world.mutations[-1][2] == {"title": "Poet", "given": "Augusta"}


def test_a_batch_with_a_refused_item_does_nothing_in_an_app_that_takes_all_or_nothing() -> None:
    world, connector = app(refuse=lambda values: "no" if values.get("title") == "bad" else "")
    writes = (update("ada", title="good"), update("ben", title="bad"))
    assert outcomes(connector, *writes) == ["done", "refused"]
    world.all_or_nothing, world.mutations = True, []
    assert outcomes(connector, *writes) == ["not_sent", "refused"]
    assert world.mutations == []
    assert outcomes(connector, writes[0]) == ["done"]


@pytest.mark.parametrize(("unreported", "applied"), [(False, 1), (True, 2)])
def test_a_batch_can_break_off(unreported: bool, applied: int) -> None:
    world, connector = app(breaks_at=1, breaks_unreported=unreported)
    writes = (update("ada"), update("ben"), create())
    assert outcomes(connector, *writes) == ["done"]
    assert len(world.mutations) == applied
    assert outcomes(connector, *writes) == ["done", "done", "done"]


def test_a_late_read_back_shows_what_people_did_since() -> None:
    world, connector = app(reads_back_late=True)
    world.fault_in("updated", lambda: world.person_edits("ada", title="Seer"))
    first, second = results(connector, update("ada"), update("ben"))
    assert first.observed is not None and first.observed.values["title"] == "Seer"
    assert second.outcome == Outcome.DONE
    world.fault_in("updated", lambda: world.person_deletes("ada"))
    assert outcomes(connector, update("ada")) == ["gone"]


@pytest.mark.parametrize(
    ("lever", "outcome", "title"),
    [("", "stale", "Seer"), ("checked", "stale", "Seer"), ("ignored", "done", "Poet"), ("refused", "stale", "Seer")],
)
def test_what_an_app_makes_of_an_etag(lever: str, outcome: str, title: str) -> None:
    world, connector = app(conditional=True, etag=lever)
    world.person_edits("ada", title="Seer")
    assert outcomes(connector, update("ada", base={"title": "Countess"})) == [outcome]
    assert world.contacts["ada"]["title"] == title
    fresh = update("ada", etag=str(world.etags["ada"]), title="Sage")
    assert outcomes(connector, fresh) == ["stale" if lever == "refused" else "done"]


def test_a_checked_etag_leaves_no_gap_and_a_second_reading_one_round_trip() -> None:
    for lever, outcome in (("checked", "stale"), ("", "done")):
        world, connector = app(conditional=bool(lever), etag=lever)
        world.fault_in("update", lambda world=world: world.person_edits("ada", title="Seer"))  # type: ignore[misc]
        assert outcomes(connector, update("ada", base={"title": "Countess"})) == [outcome]


@pytest.mark.parametrize("conditional", [False, True])
def test_a_conditional_app_shows_who_edited_between_the_write_and_its_reading_back(conditional: bool) -> None:
    world, connector = app(conditional=conditional)
    world.fault_in("updated", lambda: world.person_edits("ada", title="Seer"))
    world.fault_in("created", lambda: world.person_edits("id-k", title="Seer"))
    assert [one.edited for one in results(connector, update("ada"), update("ben"), create("k"), create("m"))] == [
        conditional,
        False,
        conditional,
        False,
    ]


# Failures

FAILURES: dict[str, tuple[ConnectorError, str]] = {
    "time-out before or after": (Transient("no answer", maybe_applied=True), "unknown"),
    "not sent": (Transient("no connection"), "not_sent"),
    "429": (RateLimited("slow down"), "not_sent"),
    "429 with a time": (RateLimited("slow down", 30), "not_sent"),
    "5xx with HTML": (Transient("answered 502", maybe_applied=True), "unknown"),
    "200 with a refusal inside": (Rejected("no such owner", "owner"), "refused"),
    "200 with a failure inside": (Transient("it says 200 and no", maybe_applied=True), "unknown"),
    "401": (AuthFailed("the key is not valid any more"), "raised"),
    "403": (AuthFailed("the key may not do that"), "raised"),
}


@pytest.mark.parametrize("applied", [False, True], ids=["before it is applied", "after"])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_write_can_fail_before_or_after_the_app_applied_it(failure: str, applied: bool) -> None:
    error, outcome = FAILURES[failure]
    for answers in (False, True):
        world, connector = app(answers_failures=answers)
        world.fault_in("updated" if applied else "update", raising(error))
        if outcome == "raised" or (not answers and outcome != "refused"):
            with pytest.raises(type(error)):
                results(connector, update("ada"), update("ben"))
        else:
            rest = "done" if outcome == "refused" else "not_sent"
            assert outcomes(connector, update("ada"), update("ben")) == [outcome, rest]
        assert (world.contacts["ada"]["title"] == "Poet") == applied


@pytest.mark.parametrize("call", ["check", "changes", "read", "read_many", "find", "reread", "create", "created"])
def test_any_call_can_fail_or_crash_by_its_name_or_its_number(call: str) -> None:
    def make(connector: MemoryConnector) -> None:
        connector.check()
        connector.changes("contacts", "", ())
        connector.read("contacts", "ada", ())
        connector.read_many("contacts", ["ada"], ())
        connector.find("contacts", "ada@example.com")
        results(connector, create(), update())

    world, connector = app()
    world.fault_in(call, raising(Transient("later")))
    with pytest.raises(Transient):
        make(connector)
    assert world.calls[-1] == call
    make(replaced := MemoryConnector(replace(world, name="other")))
    assert replaced.world.calls[-1] == "updated"

    def crash() -> None:
        raise Crash

    world, connector = app()
    world.fault_at(2, crash)
    with pytest.raises(Crash):
        make(connector)
    assert world.calls == ["check", "changes"]
