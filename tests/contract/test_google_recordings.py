"""Google Contacts: the bodies that Google really sent, read by our code."""

import json
from typing import Any

import pytest

from syncer.connectors.base import CursorExpired, Transient
from syncer.connectors.google_contacts import fields, passes
from syncer.connectors.google_contacts.client import Client, Listed, Place, listed
from syncer.connectors.google_contacts.fields import KNOWN, TAGS
from syncer.connectors.google_contacts.passes import Cursor, form_of, next_page
from syncer.connectors.google_contacts.reader import Reader
from syncer.connectors.google_contacts.values import items_of, sendable
from syncer.connectors.google_contacts.wire import ASSUMED, MASKS
from tests.needs import SPECS, needs

pytestmark = needs("specs")
ASKED = (*KNOWN, TAGS)


def recorded(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((SPECS / "google-recordings" / f"contacts_{name}.json").read_bytes())
    return body


class Recording(Client):
    """Answers with a recording, and with the recorded groups."""

    def __init__(self, name: str) -> None:
        self.name, self.assumed, self.clock = name, ASSUMED, lambda: 0.0

    def connections(self, place: Place, for_sync: bool = True) -> Listed:
        return listed(recorded(self.name), None)

    def groups(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = recorded("contact_groups")["contactGroups"]
        return found


def delta(**changed: str) -> Cursor:
    reader = Reader(Recording("connections"))
    return Cursor(Place(sync="google-sync-token-2"), form_of(ASSUMED), {**reader.labels.digests(), **changed})


def test_a_listing() -> None:
    page = next_page(Reader(Recording("connections")), Cursor(form=form_of(ASSUMED)), ASKED)
    first, second = page.records[:2]
    assert (page.done, page.complete, page.gone) == (True, True, [])
    assert first.values["emailAddresses"] == "testuser@example.test"
    assert first.values["phoneNumbers.other"] == "06 12345678"
    assert first.values[TAGS] is None
    assert second.values["birthdays"] == "1815-12-10"
    assert second.values["addresses.work.city"] == "Amsterdam"
    assert passes.parse(page.finish, ASSUMED).place == Place(sync=recorded("connections")["nextSyncToken"])


def test_a_delta() -> None:
    page = next_page(Reader(Recording("connections_delta")), delta(), ASKED)
    (ada,) = page.records
    assert (page.done, page.complete, page.total, page.gone) == (True, False, None, [])
    assert ada.remote_id == "people/contact-2"
    assert {name: value for name, value in ada.values.items() if value is not None} == {
        "names.givenName": "Ada",
        "names.familyName": "Lovelace",
        "names.middleName": "Byron",
        "names.honorificPrefix": "Dr.",
        "nicknames": "Ada",
        "emailAddresses": "ada.lovelace@example.test",
        "emailAddresses.home": "ada@home.example.test",
        "phoneNumbers.work": "+31 20 123 4567",
        "phoneNumbers.mobile": "+31 6 1234 5678",
        "organizations.name": "Analytical Engines BV",
        "organizations.title": "Principal Engineer",
        "urls": "https://example.test/ada",
        "biographies": "Fixture contact for provider-google normalization.",
        "birthdays": "1815-12-10",
        "addresses.work.streetAddress": "Keizersgracht 1",
        "addresses.work.city": "Amsterdam",
        "addresses.work.postalCode": "1015 CJ",
        "addresses.work.country": "Netherlands",
        TAGS: ["Fixture Group"],
    }


def test_nothing_new() -> None:
    page = next_page(Reader(Recording("connections_delta_nochange")), delta(), ASKED)
    assert (page.records, page.gone, page.done) == ([], [], True)
    assert passes.parse(page.finish, ASSUMED).place.sync == "google-sync-token-3"


def test_a_deletion() -> None:
    page = next_page(Reader(Recording("connections_delta_removed")), delta(), ASKED)
    assert (page.records, page.gone) == ([], ["people/contact-2"])


def test_a_label_with_another_name_makes_the_place_expire() -> None:
    for labels in ({"contactGroups/group-2": "other"}, {"contactGroups/long-gone": "abc"}):
        with pytest.raises(CursorExpired):
            next_page(Reader(Recording("connections_delta")), delta(**labels), ASKED)


def test_a_delta_without_a_token_is_not_believed() -> None:
    with pytest.raises(Transient):
        next_page(Reader(Recording("group_created")), delta(), ASKED)


def test_a_person_goes_back_as_it_came() -> None:
    """But for what Google alone writes, and in what order it likes."""
    for name in ("person", "person_created", "person_updated"):
        person = recorded(name)
        sent: dict[str, Any] = {mask: sendable(mask, items_of(person, mask)) for mask in MASKS if mask in person}
        assert fields.read(sent, KNOWN) == fields.read(person, KNOWN)
        for mask, items in sent.items():
            assert len(items) == len(person[mask])
            for item in items:
                assert any(is_part(item, whole) for whole in person[mask])


def is_part(item: dict[str, Any], whole: dict[str, Any]) -> bool:
    return all(whole.get(key) == value for key, value in item.items() if key != "metadata")
