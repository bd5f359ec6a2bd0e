"""Google Contacts: passes, what expires them, labels on the way, and what they cost."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.google.answers import EXPIRED_FORMS
from syncer.connectors.base import CursorExpired, Observed, RateLimited, Rejected, Transient
from syncer.connectors.google_contacts import passes
from syncer.connectors.google_contacts.connector import BOOK
from syncer.connectors.google_contacts.fields import KNOWN, TAGS
from syncer.connectors.google_contacts.wire import ASSUMED
from tests.contract.google import ALL, Bench, bench, ids, whole_pass

PAGES_OF_3 = replace(ASSUMED, page=3)


@pytest.fixture
def google() -> Iterator[Bench]:
    with bench() as made:
        yield made


def begun(google: Bench) -> str:
    """The cursor after a full pass."""
    return whole_pass(google.connector())[-1].cursor


# What it costs


@pytest.mark.proves("I14")
def test_a_quiet_pass_is_two_calls(google: Bench) -> None:
    google.people(3)
    cursor = begun(google)
    google.calls()
    (page,) = whole_pass(google.connector(), cursor)
    assert (page.records, page.gone, page.done, page.complete) == ([], [], True, False)
    assert google.calls() == ["GET contactGroups", "GET connections"]


def test_without_labels_a_quiet_pass_is_one_call(google: Bench) -> None:
    google.people(1)
    cursor = whole_pass(google.connector(), names=tuple(KNOWN))[-1].cursor
    google.calls()
    whole_pass(google.connector(), cursor, tuple(KNOWN))
    assert google.calls() == ["GET connections"]
    with pytest.raises(CursorExpired):
        google.connector().changes(BOOK, cursor, ALL)


def test_a_full_pass_is_a_call_a_page_and_one_for_the_labels(google: Bench) -> None:
    people = google.people(8)
    google.label("VIP", *people)
    google.calls()
    pages = whole_pass(google.connector(assumed=PAGES_OF_3))
    assert sorted(ids(pages)) == sorted(people)
    assert [page.complete for page in pages] == [False, False, True]
    assert {page.total for page in pages} == {8}
    assert google.calls() == ["GET contactGroups"] + ["GET connections"] * 3


def test_no_contacts_at_all_is_proven_too(google: Bench) -> None:
    (page,) = whole_pass(google.connector())
    assert (page.records, page.done, page.complete) == ([], True, True)
    assert whole_pass(google.connector(), page.cursor)[-1].done


# What is seen


def test_a_pass_goes_on_in_another_process(google: Bench) -> None:
    people = google.people(7)
    google.label("VIP", *people)
    found: list[Observed] = []
    cursor = ""
    for _ in range(3):
        page = google.connector(assumed=PAGES_OF_3).changes(BOOK, cursor, ALL)
        found += page.records
        cursor = page.cursor
    assert page.done
    assert {record.remote_id for record in found} == set(people)
    assert [record.values[TAGS] for record in found] == [["VIP"]] * 7


def test_a_delta_of_several_pages_shows_all_and_ends_with_a_place(google: Bench) -> None:
    people = google.people(8)
    small = google.connector(assumed=PAGES_OF_3)
    cursor = whole_pass(small)[-1].cursor
    for name in people[:6]:
        google.anna.person_edit(name, biographies=[{"value": "new"}])
    google.anna.person_delete(people[7])
    pages = whole_pass(small, cursor)
    assert len(pages) == 3
    assert sorted(ids(pages)) == sorted(people[:6])
    assert [name for page in pages for name in page.gone] == [people[7]]
    assert whole_pass(small, pages[-1].cursor)[0].records == []


@pytest.mark.proves("E2 renames")
def test_a_contact_with_another_name_says_the_old_one(google: Bench) -> None:
    one = google.person()
    cursor = begun(google)
    new = google.anna.person_rename(one)
    (page,) = whole_pass(google.connector(), cursor)
    assert [(record.remote_id, record.previous_ids) for record in page.records] == [(new, (one,))]
    assert google.connector().read(BOOK, one, ALL).remote_id == new
    (read, two) = google.connector().read_many(BOOK, [one, google.person(2)], ALL)
    assert read is not None and two is not None
    assert read.remote_id == new


@pytest.mark.proves("E2 late feeds")
def test_a_late_feed_shows_old_news_and_a_read_the_newest() -> None:
    with bench(feed_delay=120) as google:
        one = google.person()
        google.quiet()
        cursor = begun(google)
        google.anna.person_edit(one, biographies=[{"value": "new"}])
        (page,) = whole_pass(google.connector(), cursor)
        assert page.records == []
        assert google.connector().read(BOOK, one, ALL).values["biographies"] == "new"
        google.clock.advance(200)
        (later,) = whole_pass(google.connector(), page.cursor)
        assert [record.values["biographies"] for record in later.records] == ["new"]


def test_items_in_another_order_are_the_same_contact() -> None:
    phones = [{"value": f"1{kind}", "type": kind} for kind in ("mobile", "work", "home", "other")]
    emails = [{"value": f"{kind}@x.example", "type": kind} for kind in ("work", "home", "other")]
    with bench(shuffled=True) as google:
        one = google.person(phoneNumbers=phones, emailAddresses=emails)
        shown = [google.connector().read(BOOK, one, ALL).values for _ in range(8)]
        assert all(values == shown[0] for values in shown)


def test_more_than_a_list_shows_are_there_for_a_read(google: Bench) -> None:
    phones = [{"value": f"20{number}", "type": "workFax"} for number in range(120)] + [{"value": "1", "type": "mobile"}]
    one = google.person(phoneNumbers=phones)
    (listed,) = whole_pass(google.connector())[0].records
    assert listed.values["phoneNumbers.mobile"] is None
    assert google.connector().read(BOOK, one, ALL).values["phoneNumbers.mobile"] == "1"


def test_what_a_profile_adds_is_not_the_contact_s(google: Bench) -> None:
    one = google.person()
    google.anna.person_link(one, biographies=[{"value": "of the profile"}], urls=[{"value": "https://p.example/"}])
    assert google.connector().read(BOOK, one, ALL).values["biographies"] is None


# What expires


@pytest.mark.parametrize("form", sorted(EXPIRED_FORMS))
@pytest.mark.proves("E2 expired cursor")
def test_a_place_that_google_forgot_has_expired(google: Bench, form: str) -> None:
    google.people(2)
    cursor = begun(google)
    google.app.levers.expired_form = form
    google.clock.advance(8 * 86400)
    google.token = google.app.allow()["access_token"]
    google.calls()
    with pytest.raises(CursorExpired):
        google.connector().changes(BOOK, cursor, ALL)
    assert google.calls() == ["GET contactGroups", "GET connections"]
    assert len(ids(whole_pass(google.connector()))) == 2


@pytest.mark.parametrize("kind", ["malformed_token", *(f"expired_{form}" for form in sorted(EXPIRED_FORMS))])
def test_each_refusal_of_a_place_means_a_full_pass_and_that_one_goes_through(google: Bench, kind: str) -> None:
    google.people(2)
    cursor = begun(google)
    google.app.fault(kind, times=100)
    with pytest.raises(CursorExpired):
        google.connector().changes(BOOK, cursor, ALL)
    assert len(ids(whole_pass(google.connector()))) == 2


def test_a_place_that_was_asked_for_otherwise_has_expired_without_a_call(google: Bench) -> None:
    google.people(2)
    cursor = begun(google)
    google.calls()
    with pytest.raises(CursorExpired):
        google.connector(assumed=PAGES_OF_3).changes(BOOK, cursor, ALL)
    assert google.calls() == []


def test_a_place_in_the_midst_of_a_full_pass_is_tried_again_and_expires_after_a_while(google: Bench) -> None:
    google.people(8)
    first = google.connector(assumed=PAGES_OF_3).changes(BOOK, "", ALL)
    google.anna.passes.clear()
    for _ in range(3):
        with pytest.raises(Transient):
            google.connector(assumed=PAGES_OF_3).changes(BOOK, first.cursor, ALL)
        google.clock.advance(180)
    google.clock.advance(180)
    with pytest.raises(CursorExpired):
        google.connector(assumed=PAGES_OF_3).changes(BOOK, first.cursor, ALL)
    assert len(ids(whole_pass(google.connector(assumed=PAGES_OF_3)))) == 8


def test_a_place_in_the_midst_of_a_delta_means_a_full_pass(google: Bench) -> None:
    people = google.people(8)
    small = google.connector(assumed=PAGES_OF_3)
    cursor = whole_pass(small)[-1].cursor
    for name in people:
        google.anna.person_edit(name, biographies=[{"value": "new"}])
    first = small.changes(BOOK, cursor, ALL)
    google.anna.passes.clear()
    with pytest.raises(CursorExpired):
        small.changes(BOOK, first.cursor, ALL)


@pytest.mark.parametrize(("kind", "error"), [("quota_429", RateLimited), ("exhausted_429", RateLimited)])
def test_a_limit_is_no_reason_to_begin_anew(google: Bench, kind: str, error: type[Exception]) -> None:
    cursor = begun(google)
    google.app.fault(kind, path="connections", times=100)
    with pytest.raises(error):
        google.connector().changes(BOOK, cursor, ALL)


def test_the_limit_of_full_syncs_is_waited_for() -> None:
    with bench(full_syncs=1) as google:
        google.people(2)
        cursor = begun(google)
        with pytest.raises(RateLimited):
            begun(google)
        assert whole_pass(google.connector(), cursor)[-1].done


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "{}",
        "[]",
        "null",
        '"text"',
        '{"version":1}',
        "[" * 100_000,
        '{"version":1,"sync":7,"page":"","began":null,"form":"","labels":null}',
        '{"version":1,"sync":"s","page":"","began":"x","form":"","labels":null}',
        '{"version":1,"sync":"s","page":"","began":true,"form":"","labels":[1]}',
    ],
)
def test_what_is_no_cursor_of_ours_has_expired(cursor: str) -> None:
    with pytest.raises(CursorExpired):
        passes.parse(cursor, ASSUMED)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda part: st.lists(part))
PARTS = st.fixed_dictionaries(
    {"version": st.just(1), "form": st.just(passes.form_of(ASSUMED))},
    optional={name: JSON | st.dictionaries(st.text(max_size=3), JSON) for name in ("sync", "page", "began", "labels")},
)


@given(PARTS)
def test_a_damaged_cursor_is_usable_or_has_expired(data: dict[str, Any]) -> None:
    try:
        cursor = passes.parse(json.dumps(data), ASSUMED)
    except CursorExpired:
        return
    assert passes.parse(cursor.text(), ASSUMED) == cursor


# Labels


def test_a_label_with_another_name_is_a_full_pass_and_nothing_is_lost(google: Bench) -> None:
    one, two = google.people(2)
    group = google.label("VIP", one)
    cursor = begun(google)
    google.anna.keep_group(replace(google.anna.group(group), name="Old friends"))
    google.calls()
    with pytest.raises(CursorExpired):
        google.connector().changes(BOOK, cursor, ALL)
    assert google.calls() == ["GET contactGroups"]
    records = {record.remote_id: record for record in whole_pass(google.connector())[-1].records}
    assert (records[one].values[TAGS], records[two].values[TAGS]) == (["Old friends"], None)


def test_a_label_that_was_deleted_is_a_full_pass(google: Bench) -> None:
    (one,) = google.people(1)
    group = google.label("VIP", one)
    cursor = begun(google)
    google.anna.drop_group(google.anna.group(group))
    with pytest.raises(CursorExpired):
        google.connector().changes(BOOK, cursor, ALL)
    assert whole_pass(google.connector())[-1].records[0].values[TAGS] is None


def test_a_new_label_is_no_reason_to_read_all(google: Bench) -> None:
    one, _ = google.people(2)
    cursor = begun(google)
    group = google.label("VIP", one)
    (page,) = whole_pass(google.connector(), cursor)
    assert [(record.remote_id, record.values[TAGS]) for record in page.records] == [(one, ["VIP"])]
    google.anna.keep_group(replace(google.anna.group(group), name="Other"))
    with pytest.raises(CursorExpired):
        google.connector().changes(BOOK, page.cursor, ALL)


def test_a_label_made_between_the_labels_and_the_contacts_is_looked_up(google: Bench) -> None:
    one, _ = google.people(2)
    cursor = begun(google)
    google.once("/v1/contactGroups", lambda: google.label("VIP", one))
    google.calls()
    (page,) = whole_pass(google.connector(), cursor)
    assert [record.values[TAGS] for record in page.records] == [["VIP"]]
    assert google.calls() == ["GET contactGroups", "GET connections", "GET contactGroups"]


def test_a_label_that_no_list_shows_leaves_the_labels_unknown(google: Bench) -> None:
    """As if it had been taken off, they would be taken off in the other app."""
    one = google.person()
    cursor = begun(google)
    group = google.label("VIP", one)
    hidden = google.anna.groups.pop(group.removeprefix("contactGroups/"))
    (page,) = whole_pass(google.connector(), cursor)
    (record,) = page.records
    assert TAGS not in record.values
    assert record.values["names.givenName"] == "Ada"
    google.anna.groups[hidden.id] = hidden
    assert google.connector().read(BOOK, one, ALL).values[TAGS] == ["VIP"]


def test_google_s_own_groups_are_no_labels(google: Bench) -> None:
    one = google.person()
    google.anna.person_regroup(one, add=["contactGroups/starred"])
    google.label("vip")
    assert google.connector().read(BOOK, one, ALL).values[TAGS] is None
    assert list(google.connector().tags(BOOK)) == ["vip"]


# One by one


def test_reading_is_one_call_for_two_hundred(google: Bench) -> None:
    people = google.people(201)
    google.anna.person_delete(people[5])
    google.connector().tags(BOOK)
    google.calls()
    connector = google.connector()
    found = connector.read_many(BOOK, people, tuple(KNOWN))
    assert [one is None for one in found] == [number == 5 for number in range(201)]
    assert google.calls() == ["GET people:batchGet", f"GET {people[200].removeprefix('people/')}"]


@pytest.mark.parametrize("name", ["", "c1", "people/me", "people/../x", "people/c1?x=1", "otherContacts/c1"])
def test_what_is_no_name_of_a_contact_is_never_asked_for(google: Bench, name: str) -> None:
    with pytest.raises(Rejected):
        google.connector().read(BOOK, name, ALL)
    with pytest.raises(Rejected):
        google.connector().read_many(BOOK, [name], ALL)
    assert google.calls() == []


def test_several_read_at_once_that_are_answered_as_missing_are_asked_one_by_one(google: Bench) -> None:
    one, two = google.people(2)
    google.anna.person_delete(two)
    google.app.fault("not_found", path="batchGet")
    found = google.connector().read_many(BOOK, [one, two], ALL)
    assert [seen and seen.remote_id for seen in found] == [one, None]


def test_find_is_a_list_and_a_reading_of_who_fits() -> None:
    with bench(feed_delay=120) as google:
        one = google.person(1)
        google.person(2)
        assert [seen.remote_id for seen in google.connector().find(BOOK, "P1@X.example", fields=ALL)] == [one]
        assert not [seen for seen in google.sent("connections") if "requestSyncToken" in seen.query]
        assert google.calls() == ["GET connections", f"GET {one.removeprefix('people/')}", "GET contactGroups"]
        assert google.connector().find(BOOK, "", "", ALL) == []
        assert google.connector().find(BOOK, marker="never left", fields=ALL) == []


def test_the_custom_fields_are_those_of_the_contacts_that_changed_last(google: Bench) -> None:
    google.person(1, userDefined=[{"key": "Old", "value": "x"}])
    google.person(2, userDefined=[{"key": "Tier", "value": "Gold"}, {"key": "Room", "value": "7"}])
    names = [field.name for field in google.connector().fields(BOOK) if field.custom]
    assert names == ["userDefined.Old", "userDefined.Room", "userDefined.Tier"]
    few = google.connector(assumed=replace(ASSUMED, keys_listed=1))
    assert [field.label for field in few.fields(BOOK) if field.custom] == ["Room", "Tier"]


def test_who_we_are(google: Bench) -> None:
    identity = google.connector().check()
    assert identity.label == "anna@example.com"
    assert identity.key.isdigit()
    assert google.connector().check() == identity
    assert [(book.id, book.count) for book in google.connector().books()] == [(BOOK, None)]
    google.people(3)
    assert [book.count for book in google.connector().books()] == [3]
    assert google.connector().owners() == []
