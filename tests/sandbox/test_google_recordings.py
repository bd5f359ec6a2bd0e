"""What was recorded of the real People API and what the stand-in answers have the same keys of the same kinds."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.google.answers import EXPIRED_FORMS, FEW_SCOPES, NOT_FOUND, RATE_403, UNAUTHENTICATED
from tests.contract.google_spec import differences, recording
from tests.needs import needs
from tests.sandbox.googling import EVERYTHING, Googling, googling, refused

pytestmark = needs("specs")


@pytest.fixture
def google() -> Iterator[Googling]:
    with googling(feed_delay=0, reads=None, writes=None) as found:
        yield found


def apart(name: str, ours: Any) -> list[str]:
    return list(differences(recording(name), ours))


def as_written(name: str) -> dict[str, Any]:
    """The person of a recording as it can have been sent: without what Google adds."""
    person = dict(recording(name))
    added = {"resourceName", "etag", "metadata", "photos", "memberships"}
    return {field: items for field, items in person.items() if field not in added}


def made(google: Googling, name: str = "contacts_person_created") -> Any:
    return google.create(**as_written(name))


def test_a_created_person(google: Googling) -> None:
    assert apart("contacts_person_created", made(google)) == []


def test_what_google_computed_is_what_the_stand_in_computes(google: Googling) -> None:
    recorded, ours = recording("contacts_person_created"), made(google)
    for field in set(as_written("contacts_person_created")):
        for theirs, own in zip(recorded[field], ours[field], strict=True):
            assert {**own, "metadata": 0} == {**theirs, "metadata": 0}, field


def test_computed_without_being_sent(google: Googling) -> None:
    recorded = recording("contacts_person_created")
    name, address = dict(recorded["names"][0]), dict(recorded["addresses"][0])
    whole = {part: name.pop(part) for part in ("displayName", "displayNameLastFirst", "unstructuredName")}
    form = {part: address.pop(part) for part in ("formattedValue", "formattedType")}
    ours = google.create(names=[name], addresses=[address])
    assert whole.items() <= ours["names"][0].items()
    assert form.items() <= ours["addresses"][0].items()


def test_an_updated_person_in_a_group(google: Googling) -> None:
    person, group = made(google, "contacts_person_updated"), google.anna.person_make_group("Fixture Group")
    google.anna.person_regroup(person["resourceName"], add=[group])
    assert apart("contacts_person_updated", google.get(person["resourceName"])) == []
    delta = google.synced(fields=EVERYTHING)
    assert apart("contacts_connections_delta", delta) == []


def test_a_number_of_the_country_of_its_owner(google: Googling) -> None:
    google.anna.region = "NL"
    phone = recording("contacts_connections")["connections"][0]["phoneNumbers"][0]
    ours = google.create(phoneNumbers=[{"value": phone["value"]}])["phoneNumbers"][0]
    assert ours["canonicalForm"] == phone["canonicalForm"]


def test_a_delta_without_news_and_one_with_a_deletion(google: Googling) -> None:
    person = made(google)
    token = google.synced(fields=EVERYTHING)["nextSyncToken"]
    assert apart("contacts_connections_delta_nochange", google.synced(token, fields=EVERYTHING)) == []
    google.anna.person_delete(person["resourceName"])
    delta = google.synced(token, fields=EVERYTHING)
    assert apart("contacts_connections_delta_removed", delta) == []
    assert delta["connections"][0]["metadata"]["sources"][0]["updateTime"] == "1970-01-01T00:00:00Z"


def test_a_group_and_all_groups(google: Googling) -> None:
    group = google.api.contactGroups().create(body={"contactGroup": {"name": "Fixture Group"}}).execute()
    assert apart("contacts_group_created", group) == []
    one, _ = made(google), made(google)
    google.anna.person_regroup(one["resourceName"], add=[group["resourceName"]])
    ours, recorded = google.api.contactGroups().list().execute(), recording("contacts_contact_groups")
    assert list(differences(recorded, ours)) == []
    for part in ("name", "formattedName", "groupType", "memberCount"):
        assert [each.get(part) for each in ours["contactGroups"]] == [
            each.get(part) for each in recorded["contactGroups"]
        ]


def told(failure: tuple[int, str, str, Any]) -> Any:
    code, status, message, details = failure
    return {"error": {"code": code, "message": message, "status": status} | ({"details": details} if details else {})}


def test_a_stale_etag_and_a_malformed_token(google: Googling) -> None:
    person = made(google)
    google.put(person, urls=[])
    assert told(refused(lambda: google.put(person, urls=[]))) == recording("error_contacts_stale_etag")
    assert told(refused(lambda: google.synced("malformed"))) == recording("error_contacts_sync_token_invalid")


def test_errors_of_the_front_end() -> None:
    for name, failure in (
        ("error_forbidden", FEW_SCOPES),
        ("error_sync_token_gone", EXPIRED_FORMS["gone"]),
        ("error_unauthorized", UNAUTHENTICATED),
    ):
        assert json.loads(failure.answer().body) == recording(name)
    assert list(differences(recording("error_rate_limit"), json.loads(RATE_403.answer().body))) == []
    assert NOT_FOUND.message == recording("error_history_gone")["error"]["message"]
