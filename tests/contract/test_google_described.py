"""Google Contacts: our requests, held against Google's own description of its API."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.contract.google import ALL, Bench, bench, create, results, update, whole_pass
from tests.contract.google_spec import faults, spec
from tests.needs import needs

pytestmark = needs("specs")


@pytest.fixture
def google() -> Iterator[Bench]:
    with bench() as made:
        yield made


def read_only(schema: Mapping[str, Any], value: Any, at: str = "$") -> list[str]:
    """What of a value is Google's alone to say."""
    if "$ref" in schema:
        return read_only(spec()["components"]["schemas"][schema["$ref"].rpartition("/")[2]], value, at)
    if isinstance(value, list):
        return [found for item in value for found in read_only(schema.get("items", {}), item, at)]
    if not isinstance(value, dict):
        return []
    known, rest = schema.get("properties", {}), schema.get("additionalProperties") or {}
    found = [f"{at}.{name}" for name in value if known.get(name, {}).get("readOnly")]
    for name, inner in value.items():
        found += read_only(known.get(name, rest), inner, f"{at}.{name}")
    return found


RICH: dict[str, Any] = {
    "addresses": [{"type": "home", "city": "Delft"}, {"type": "work", "formattedValue": "behind the station"}],
    "phoneNumbers": [{"type": "mobile", "value": "+31612345678"}, {"type": "Poetry club", "value": "1"}],
    "birthdays": [{"date": {"year": 1815, "month": 12, "day": 10}}],
    "urls": [{"type": "blog", "value": "https://ada.example/"}],
    "userDefined": [{"key": "Tier", "value": "Gold"}],
}


def test_what_we_send_is_as_described_and_holds_nothing_that_only_google_says(google: Bench) -> None:
    one, two = google.person(1, **RICH), google.person(2, **RICH)
    whole_pass(google.connector())
    fields: dict[str, Any] = {"mobile": "2", "addresses.home.city": "Leiden", "urls": None, "birthdays": "--12-10"}
    more: dict[str, Any] = {
        "names.familyName": "King",
        "userDefined.Tier": "Silver",
        "email": "e@example.com",
        "note": "n",
    }
    results(
        google.connector(),
        update(one, tags=["VIP"], **fields, **more),
        update(two, title=None),
        create(3, tags=["VIP"], **fields, **more),
    )
    kinds = {
        "batchUpdateContacts": "BatchUpdateContactsRequest",
        "batchCreateContacts": "BatchCreateContactsRequest",
        "members:modify": "ModifyContactGroupMembersRequest",
        "contactGroups": "CreateContactGroupRequest",
    }
    for path, schema in kinds.items():
        sent = [seen for seen in google.app.log if seen.method == "POST" and seen.path.endswith(path)]
        assert sent, path
        for seen in sent:
            assert faults(schema, seen.json()) == []
            assert read_only({"$ref": schema}, seen.json()) == []


def test_the_judge_of_what_is_google_s_alone_sees_it() -> None:
    body = {"contacts": {"people/c1": {"names": [{"displayName": "x", "metadata": {"primary": True}}]}}}
    found = read_only({"$ref": "BatchUpdateContactsRequest"}, body)
    assert found == [
        "$.contacts.people/c1.names.displayName",
        "$.contacts.people/c1.names.metadata.primary",
    ]


def test_each_call_of_ours_is_one_that_google_describes(google: Bench) -> None:
    one = google.person()
    connector = google.connector()
    connector.check()
    connector.books()
    connector.fields("contacts")
    connector.tags("contacts")
    connector.read("contacts", one, ALL)
    connector.find("contacts", "p0@x.example", fields=ALL)
    assert len(google.app.log) >= 6
