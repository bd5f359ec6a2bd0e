"""Listing connections of the stand-in: pages, full syncs, deltas, late feeds, tokens and their end."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from sandbox.google.answers import EXPIRED_FORMS
from tests.needs import needs
from tests.sandbox.googling import Googling, googling, refused

pytestmark = needs("specs")
DAY = 86_400


@pytest.fixture
def google() -> Iterator[Googling]:
    """With three contacts, whom everybody can see."""
    with googling(reads=None, writes=None) as found:
        for name in ("Charles", "Ada", "Ben"):
            add(found, name)
        found.app.catch_up()
        yield found


def add(google: Googling, name: str, family: str = "") -> str:
    names = [{"givenName": name} | ({"familyName": family} if family else {})]
    return google.anna.person_create(names=names, emailAddresses=[{"value": f"{name.lower()}@x.example"}])


def shown(answer: Any) -> list[str]:
    return [person["names"][0]["displayName"] for person in answer.get("connections", ())]


def first(google: Googling) -> str:
    return next(iter(google.anna.contacts.values())).resource


def test_pages_go_on_and_only_the_last_has_the_sync_token(google: Googling) -> None:
    page = google.synced(pageSize=2)
    assert (shown(page), page["totalItems"], page["totalPeople"]) == (["Charles", "Ada"], 3, 3)
    assert "nextSyncToken" not in page
    last = google.synced(pageSize=2, pageToken=page["nextPageToken"])
    assert (shown(last), "nextPageToken" in last, "nextSyncToken" in last) == (["Ben"], False, True)


def test_there_is_a_sync_token_only_where_one_was_asked_for(google: Googling) -> None:
    assert "nextSyncToken" not in google.listed()
    token = google.synced()["nextSyncToken"]
    assert google.listed(syncToken=token) == {}


@pytest.mark.parametrize(("size", "fine"), [(0, True), (1000, True), (1001, False), (-1, False)])
def test_a_page_holds_one_to_a_thousand(google: Googling, size: int, fine: bool) -> None:
    if fine:
        assert len(google.listed(pageSize=size)["connections"]) == 3
    else:
        assert refused(lambda: google.listed(pageSize=size))[:2] == (400, "INVALID_ARGUMENT")


def test_a_page_has_a_hundred_where_no_size_is_asked_for(google: Googling) -> None:
    for number in range(100):
        add(google, f"N{number}")
    page = google.listed()
    assert (len(page["connections"]), page["totalItems"]) == (100, 103)


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("LAST_MODIFIED_ASCENDING", ["Charles", "Ben", "Ada", "Dora Abel"]),
        ("LAST_MODIFIED_DESCENDING", ["Dora Abel", "Ada", "Ben", "Charles"]),
        ("FIRST_NAME_ASCENDING", ["Ada", "Ben", "Charles", "Dora Abel"]),
        ("LAST_NAME_ASCENDING", ["Dora Abel", "Ada", "Ben", "Charles"]),
    ],
)
@pytest.mark.parametrize("sync", [True, False])
def test_the_order_can_be_chosen(google: Googling, order: str, names: list[str], sync: bool) -> None:
    ada = next(contact for contact in google.anna.contacts.values() if contact.fields["names"][0]["givenName"] == "Ada")
    google.anna.person_edit(ada.resource, nicknames=[{"value": "x"}])
    add(google, "Dora", "Abel")
    google.app.catch_up()
    assert shown(google.listed(sortOrder=order, requestSyncToken=sync)) == names


@pytest.mark.parametrize(
    "changed",
    [{"fields": "names"}, {"pageSize": 3}, {"sources": "READ_SOURCE_TYPE_CONTACT"}, {"requestSyncToken": False}],
)
def test_parameters_stay_the_same_along_a_pass(google: Googling, changed: dict[str, Any]) -> None:
    page = google.synced(pageSize=2)
    asked = {"requestSyncToken": True, "pageSize": 2, "pageToken": page["nextPageToken"]}
    assert refused(lambda: google.listed(**{**asked, **changed}))[:2] == (400, "INVALID_ARGUMENT")
    assert shown(google.listed(**asked)) == ["Ben"]


@pytest.mark.parametrize("changed", [{"fields": "names"}, {"pageSize": 3}, {"sources": "READ_SOURCE_TYPE_CONTACT"}])
def test_parameters_stay_the_same_from_sync_to_sync(google: Googling, changed: dict[str, Any]) -> None:
    token = google.synced(pageSize=2)
    last = google.synced(pageSize=2, pageToken=token["nextPageToken"])["nextSyncToken"]
    asked = {"requestSyncToken": True, "syncToken": last, "pageSize": 2}
    assert refused(lambda: google.listed(**{**asked, **changed}))[:2] == (400, "INVALID_ARGUMENT")
    assert google.listed(**asked).keys() == {"nextSyncToken"}


def test_a_page_token_that_is_none(google: Googling) -> None:
    assert refused(lambda: google.synced(pageToken="elsewhere"))[:2] == (400, "INVALID_ARGUMENT")


def test_without_news_a_delta_is_its_next_token_alone(google: Googling) -> None:
    delta = google.synced(google.synced()["nextSyncToken"])
    assert delta.keys() == {"nextSyncToken"}


def test_a_delta_tells_what_changed_and_who_was_deleted(google: Googling) -> None:
    token = google.synced()["nextSyncToken"]
    one, two, _ = (contact.resource for contact in google.anna.contacts.values())
    google.anna.person_edit(one, names=[{"givenName": "Carla"}])
    google.anna.person_edit(one, nicknames=[{"value": "once"}])
    google.anna.person_delete(two)
    add(google, "Dora")
    google.app.catch_up()
    delta = google.synced(token)
    gone = [person["resourceName"] for person in delta["connections"] if person["metadata"].get("deleted")]
    alive = [person["names"][0]["displayName"] for person in delta["connections"] if "names" in person]
    assert (gone, alive, delta["totalItems"], delta["totalPeople"]) == ([two], ["Carla", "Dora"], 3, 3)
    assert google.synced(delta["nextSyncToken"]).keys() == {"nextSyncToken"}
    assert sorted(shown(google.synced())) == ["Ben", "Carla", "Dora"]


def test_under_a_mask_without_metadata_nobody_is_seen_to_be_deleted(google: Googling) -> None:
    token = google.synced(fields="names")["nextSyncToken"]
    google.anna.person_delete(first(google))
    google.app.catch_up()
    assert [person.keys() for person in google.synced(token, fields="names")["connections"]] == [
        {"resourceName", "etag"}
    ]


def test_sync_requests_see_a_write_late_and_all_others_at_once(google: Googling) -> None:
    token = google.synced()["nextSyncToken"]
    made = google.create(names=[{"givenName": "Dora"}])
    assert google.get(made["resourceName"])["names"]
    assert shown(google.listed())[-1] == "Dora"
    assert "Dora" not in shown(google.synced())
    assert google.synced(token).keys() == {"nextSyncToken"}
    google.clock.advance(119)
    before = google.synced(token)
    assert before.keys() == {"nextSyncToken"}
    google.clock.advance(1)
    assert shown(google.synced(token)) == shown(google.synced(before["nextSyncToken"])) == ["Dora"]


def test_a_late_feed_shows_what_was_before(google: Googling) -> None:
    one = first(google)
    google.anna.person_edit(one, names=[{"givenName": "Carla"}])
    assert shown(google.synced())[0] == "Charles"
    google.anna.person_delete(one)
    assert shown(google.synced())[0] == "Charles"
    google.app.catch_up()
    assert shown(google.synced()) == ["Ada", "Ben"]


def test_what_happens_during_a_pass_comes_with_the_next_delta(google: Googling) -> None:
    page = google.synced(pageSize=2)
    google.anna.person_edit(first(google), names=[{"givenName": "Carla"}])
    google.app.catch_up()
    last = google.synced(pageSize=2, pageToken=page["nextPageToken"])
    assert shown(google.synced(last["nextSyncToken"], pageSize=2)) == ["Carla"]


@pytest.mark.parametrize("form", sorted(EXPIRED_FORMS))
def test_a_sync_token_lives_for_seven_days_after_the_full_sync(google: Googling, form: str) -> None:
    google.app.levers.expired_form = form
    token = google.synced()["nextSyncToken"]
    google.clock.advance(7 * DAY - 1)
    later = google.synced(token)["nextSyncToken"]
    google.clock.advance(1)
    for old in (token, later):
        code, _, message, details = refused(partial(google.synced, old))
        reasons = [detail.get("reason") for detail in details]
        assert (code, reasons) == {
            "gone": (410, []),
            "message": (400, []),
        }.get(form, (400, ["EXPIRED_SYNC_TOKEN"]))
        assert ("Sync token is expired" in message) is (form != "gone")
    assert shown(google.synced()) == ["Charles", "Ada", "Ben"]


def test_deltas_may_renew_a_token(google: Googling) -> None:
    google.app.levers.tokens_renewed = True
    token = google.synced()["nextSyncToken"]
    google.clock.advance(6 * DAY)
    token = google.synced(token)["nextSyncToken"]
    google.clock.advance(6 * DAY)
    assert google.synced(token).keys() == {"nextSyncToken"}


@pytest.mark.parametrize("token", ["nonsense", "AAAA", "a b", "é", "////"])
def test_a_token_that_is_none(google: Googling, token: str) -> None:
    assert refused(lambda: google.synced(token)) == (
        400,
        "INVALID_ARGUMENT",
        "Request contains an invalid argument.",
        [],
    )


def test_a_token_of_before_a_reset_is_none(google: Googling) -> None:
    token = google.synced()["nextSyncToken"]
    google.app.reset()
    assert refused(lambda: google.synced(token))[0] == 400


def test_only_ones_own_connections_are_listed(google: Googling) -> None:
    assert refused(lambda: google.listed(resourceName="people/c1"))[0] == 400


def test_a_rename_is_told_to_sync_requests_alone(google: Googling) -> None:
    token, old = google.synced()["nextSyncToken"], first(google)
    new = google.anna.person_rename(old)
    google.app.catch_up()
    person = google.synced(token)["connections"][0]
    assert (person["resourceName"], person["metadata"]["previousResourceNames"]) == (new, [old])
    assert all("previousResourceNames" not in person["metadata"] for person in google.synced()["connections"])
    assert google.get(old)["resourceName"] == new
    google.app.levers.old_names_work = False
    assert refused(lambda: google.get(old))[0] == 404


def test_a_list_shows_a_hundred_addresses_and_numbers_a_get_all(google: Googling) -> None:
    many = [{"value": f"{number}@x.example"} for number in range(120)]
    google.anna.person_edit(first(google), emailAddresses=many, phoneNumbers=[{"value": "1"}] * 101)
    google.app.catch_up()
    fields = "emailAddresses,phoneNumbers"
    person = next(each for each in google.listed(fields)["connections"] if each["resourceName"] == first(google))
    whole = google.get(first(google), fields)
    assert [len(each[name]) for each in (person, whole) for name in fields.split(",")] == [100, 100, 120, 101]


def test_who_has_no_contact_source_shows_no_contact_data(google: Googling) -> None:
    google.anna.person_link(first(google), names=[{"givenName": "Profile"}])
    person = google.get(first(google), "names,metadata", sources="READ_SOURCE_TYPE_PROFILE")
    assert [name["displayName"] for name in person["names"]] == ["Profile"]
    assert [source["type"] for source in person["metadata"]["sources"]] == ["PROFILE"]
