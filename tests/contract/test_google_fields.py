"""Google Contacts: what a person says in our fields, and what of it a change leaves alone."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.connectors.base import FieldType, Rejected, Role, Value
from syncer.connectors.google_contacts import fields
from syncer.connectors.google_contacts.fields import CUSTOM, KNOWN, STANDARD, apply, read
from syncer.connectors.google_contacts.values import OUTPUT_ONLY, Spot, Unreadable, items_of, sendable
from syncer.connectors.google_contacts.wire import MASKS, PERSON_FIELDS

SOURCE = {"type": "CONTACT", "id": "5a"}
ADA: dict[str, Any] = {
    "names": [
        {
            "displayName": "Dr. Ada Lovelace",
            "unstructuredName": "Dr. Ada Lovelace",
            "givenName": "Ada",
            "familyName": "Lovelace",
            "honorificPrefix": "Dr.",
            "phoneticGivenName": "Eyda",
        }
    ],
    "emailAddresses": [
        {"value": "ada@home.example", "type": "home", "formattedType": "Home"},
        {"value": "ada@work.example", "type": "work", "metadata": {"primary": True, "source": SOURCE}},
        {"value": "ada@else.example", "type": "Poetry club", "displayName": "Ada"},
    ],
    "phoneNumbers": [
        {"value": "06 12345678", "canonicalForm": "+31612345678", "type": "mobile", "metadata": {"primary": True}},
        {"value": "020 1", "type": "workFax"},
        {"value": "020 2", "type": "work"},
        {"value": "020 3", "type": "work"},
        {"value": "020 4"},
    ],
    "addresses": [
        {
            "type": "home",
            "streetAddress": "Canal 1",
            "city": "Delft",
            "poBox": "7",
            "country": "Netherlands",
            "countryCode": "NL",
            "formattedValue": "Canal 1\nDelft",
        },
        {"type": "work", "formattedValue": "somewhere behind the station"},
    ],
    "organizations": [{"name": "Engines", "title": "Analyst", "department": "Research", "symbol": "ENG"}],
    "urls": [{"value": "https://ada.example/", "type": "blog"}, {"value": "https://two.example/"}],
    "biographies": [{"value": "First programmer", "contentType": "TEXT_HTML"}],
    "birthdays": [{"date": {"year": 1815, "month": 12, "day": 10}, "text": "10 December 1815"}],
    "nicknames": [{"value": "Enchantress", "type": "DEFAULT"}],
    "userDefined": [
        {"key": "Tier", "value": "Gold"},
        {"key": "Tier", "value": "Silver"},
        {"key": "Room", "value": "1"},
    ],
}


def after(values: Mapping[str, Value], person: Mapping[str, Any] = ADA) -> dict[str, Any]:
    """The person once these values were written."""
    changed = apply(person, values)
    return {**person, **{mask: sendable(mask, items) for mask, items in changed.items()}}


def test_each_field_reads_its_own_place() -> None:
    assert read(ADA, KNOWN) == {
        "names.givenName": "Ada",
        "names.familyName": "Lovelace",
        "names.middleName": None,
        "names.honorificPrefix": "Dr.",
        "names.honorificSuffix": None,
        "nicknames": "Enchantress",
        "emailAddresses": "ada@work.example",
        "emailAddresses.work": None,
        "emailAddresses.home": "ada@home.example",
        "emailAddresses.other": None,
        "phoneNumbers.mobile": "06 12345678",
        "phoneNumbers.work": "020 2",
        "phoneNumbers.home": None,
        "phoneNumbers.other": "020 4",
        "organizations.name": "Engines",
        "organizations.title": "Analyst",
        "organizations.department": "Research",
        "urls": "https://ada.example/",
        "biographies": "First programmer",
        "birthdays": "1815-12-10",
        "addresses.home.streetAddress": "Canal 1",
        "addresses.home.extendedAddress": None,
        "addresses.home.city": "Delft",
        "addresses.home.region": None,
        "addresses.home.postalCode": None,
        "addresses.home.country": "Netherlands",
        **{field: None for field in KNOWN if field.startswith(("addresses.work", "addresses.other"))},
    }
    assert read(ADA, ["userDefined.Tier", "userDefined.Hat", "no such field"]) == {
        "userDefined.Tier": "Gold",
        "userDefined.Hat": None,
    }


def test_the_roles_are_each_there_once() -> None:
    roles = [field.role for field in STANDARD]
    assert len(set(roles)) == len(roles)
    assert set(roles) >= {
        Role.GIVEN,
        Role.FAMILY,
        Role.EMAIL,
        Role.PHONE_MOBILE,
        Role.PHONE_WORK,
        Role.PHONE_HOME,
        Role.PHONE_OTHER,
        Role.ORGANIZATION,
        Role.TITLE,
        Role.URL,
        Role.NOTE,
        Role.BIRTHDAY,
        Role.TAGS,
    }
    kinds = ("street", "street2", "city", "region", "postcode", "country")
    assert set(roles) >= {f"address.{where}.{part}" for where in ("home", "work", "other") for part in kinds}


def test_all_that_we_write_is_asked_for() -> None:
    assert {known.bound.mask for known in KNOWN.values()} | {"userDefined"} == set(MASKS)
    assert set(MASKS) < set(PERSON_FIELDS.split(","))


def test_a_number_is_replaced_in_its_place_and_the_others_stay_as_they_were() -> None:
    assert after({"phoneNumbers.work": "020 9"})["phoneNumbers"] == [
        {"value": "06 12345678", "type": "mobile"},
        {"value": "020 1", "type": "workFax"},
        {"value": "020 9", "type": "work"},
        {"value": "020 3", "type": "work"},
        {"value": "020 4"},
    ]


def test_a_number_of_a_kind_that_is_not_there_is_added_with_its_label() -> None:
    assert after({"phoneNumbers.home": "020 9"})["phoneNumbers"][-1] == {"value": "020 9", "type": "home"}
    assert read(after({"phoneNumbers.home": "020 9"}), ["phoneNumbers.home"]) == {"phoneNumbers.home": "020 9"}


def test_an_emptied_number_goes_and_another_of_its_kind_is_seen() -> None:
    changed = after({"phoneNumbers.work": None})
    assert read(changed, ["phoneNumbers.work"]) == {"phoneNumbers.work": "020 3"}
    assert len(changed["phoneNumbers"]) == 4


def test_the_primary_address_stays_the_primary_one() -> None:
    changed = after({"emailAddresses": "countess@work.example"})["emailAddresses"]
    assert changed[0] == {"value": "countess@work.example", "type": "work", "metadata": {"source": SOURCE}}
    assert changed[1:] == [
        {"value": "ada@home.example", "type": "home"},
        {"value": "ada@else.example", "type": "Poetry club", "displayName": "Ada"},
    ]


def test_the_only_address_of_a_contact_is_its_primary_one() -> None:
    with pytest.raises(Rejected) as refused:
        apply({}, {"emailAddresses.work": "ada@work.example"})
    assert refused.value.field == "emailAddresses.work"
    both = {"emailAddresses.work": "ada@work.example", "emailAddresses": "ada@example.com"}
    assert read(after(both, {}), both) == both


def test_a_name_takes_its_free_form_along_only_while_it_is_the_same() -> None:
    changed = after({"names.familyName": "King"})["names"]
    assert changed == [
        {"givenName": "Ada", "familyName": "King", "honorificPrefix": "Dr.", "phoneticGivenName": "Eyda"}
    ]


def test_a_name_in_free_form_alone_is_not_lost() -> None:
    madonna = {"names": [{"unstructuredName": "Madonna", "displayName": "Madonna"}]}
    assert read(madonna, ["names.givenName"]) == {"names.givenName": "Madonna"}
    assert after({"names.familyName": "Ciccone"}, madonna)["names"] == [
        {"givenName": "Madonna", "familyName": "Ciccone"}
    ]


def test_a_part_of_an_address_is_changed_and_what_was_made_of_the_old_one_goes() -> None:
    home, work = after({"addresses.home.city": "Leiden"})["addresses"]
    assert home == {
        "type": "home",
        "streetAddress": "Canal 1",
        "city": "Leiden",
        "poBox": "7",
        "country": "Netherlands",
        "countryCode": "NL",
    }
    assert work == {"type": "work", "formattedValue": "somewhere behind the station"}
    assert "countryCode" not in after({"addresses.home.country": "Belgium"})["addresses"][0]


def test_an_address_in_free_form_stays_beside_the_one_that_we_write() -> None:
    changed = after({"addresses.work.city": "Leiden"})["addresses"]
    assert changed[1:] == [
        {"type": "work", "formattedValue": "somewhere behind the station"},
        {"type": "work", "city": "Leiden"},
    ]
    assert read({"addresses": changed}, ["addresses.work.city"]) == {"addresses.work.city": "Leiden"}


def test_an_address_without_parts_is_taken_away() -> None:
    home = [field for field in KNOWN if field.startswith("addresses.home")]
    kept = after(dict.fromkeys(home))["addresses"]
    assert kept[0] == {"type": "home", "poBox": "7"}
    plain = {"addresses": [{"type": "home", "city": "Delft", "formattedValue": "Delft", "metadata": {"primary": True}}]}
    assert after(dict.fromkeys(home), plain)["addresses"] == []


def test_one_value_of_a_company_leaves_the_others() -> None:
    assert after({"organizations.title": None})["organizations"] == [
        {"name": "Engines", "department": "Research", "symbol": "ENG"}
    ]


ELM = {"type": "work", "streetAddress": "Elm 5", "city": "Rome", "postalCode": "00100"}
CLUB = {"name": "Club", "title": "Chair", "department": "Board"}


def test_a_move_to_another_street_without_a_city_leaves_the_second_address() -> None:
    person = {"addresses": [{"type": "work", "city": "Berlin", "formattedValue": "Berlin"}, ELM]}
    moved = {"addresses.work.city": None, "addresses.work.streetAddress": "Main 1"}
    assert after(moved, person)["addresses"] == [{"type": "work", "streetAddress": "Main 1"}, ELM]


def test_an_address_that_is_emptied_part_by_part_takes_no_part_of_the_second() -> None:
    person = {"addresses": [{"type": "work", "city": "Berlin"}, ELM]}
    work = [field for field in KNOWN if field.startswith("addresses.work")]
    assert after(dict.fromkeys(work), person)["addresses"] == [ELM]


def test_a_new_title_instead_of_a_company_leaves_the_second_company() -> None:
    instead = {"organizations.name": None, "organizations.title": "CEO"}
    assert after(instead, {"organizations": [{"name": "Acme"}, CLUB]})["organizations"] == [{"title": "CEO"}, CLUB]


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({"emailAddresses": None, "emailAddresses.work": None}, ["c"]),
        ({"emailAddresses": None, "emailAddresses.work": "new"}, ["new", "c"]),
        ({"emailAddresses": "new", "emailAddresses.work": None}, ["new", "c"]),
    ],
)
def test_a_work_address_is_the_one_that_was_shown_when_the_primary_goes_too(
    changes: dict[str, Any], held: list[str]
) -> None:
    person = {"emailAddresses": [{"value": "a"}, {"value": "b", "type": "work"}, {"value": "c", "type": "work"}]}
    assert read(person, ["emailAddresses.work"]) == {"emailAddresses.work": "b"}
    assert [one["value"] for one in after(changes, person)["emailAddresses"]] == held


def test_no_address_with_a_label_is_left_alone_when_the_primary_goes() -> None:
    with pytest.raises(Rejected):
        apply({"emailAddresses": [{"value": "a"}]}, {"emailAddresses": None, "emailAddresses.work": "new"})


def test_an_item_whose_only_part_is_replaced_by_another_stays_the_same_item() -> None:
    acme = {"name": "Acme", "type": "school", "metadata": {"source": SOURCE, "sourcePrimary": True}}
    instead = {"organizations.name": None, "organizations.title": "CEO"}
    (held,) = apply({"organizations": [acme]}, instead)["organizations"]
    assert held == {"title": "CEO", "type": "school", "metadata": {"source": SOURCE, "sourcePrimary": True}}


def test_a_note_is_plain_text_once_it_is_ours() -> None:
    assert after({"biographies": "Second"})["biographies"] == [{"value": "Second", "contentType": "TEXT_PLAIN"}]
    assert "biographies" not in apply(ADA, {"biographies": "First programmer"})


def test_custom_fields_are_told_by_their_keys() -> None:
    changed = after({"userDefined.Tier": "Bronze", "userDefined.Hat": "Top", "userDefined.Room": None})
    assert changed["userDefined"] == [
        {"key": "Tier", "value": "Bronze"},
        {"key": "Tier", "value": "Silver"},
        {"key": "Hat", "value": "Top"},
    ]
    found = fields.custom([ADA, {"userDefined": [{"key": ""}, {"value": "no key"}, {"key": "k" * 300}]}, {}])
    assert [(field.name, field.label, field.type, field.custom) for field in found] == [
        ("userDefined.Room", "Room", FieldType.TEXT, True),
        ("userDefined.Tier", "Tier", FieldType.TEXT, True),
    ]


@pytest.mark.parametrize(
    ("birthday", "shown"),
    [
        ({"date": {"year": 1815, "month": 12, "day": 10}}, ["1815-12-10"]),
        ({"date": {"month": 2, "day": 29}}, ["--02-29"]),
        ({"date": {"year": 0, "month": 12, "day": 10}}, ["--12-10"]),
        ({"date": {"year": 1815}}, []),
        ({"date": {"year": 1815, "month": 12}}, []),
        ({"date": {"year": 1815, "month": 13, "day": 10}}, []),
        ({"date": "1815"}, []),
        ({"text": "in winter"}, []),
        ({}, [None]),
    ],
)
def test_a_birthday_is_a_date_or_not_known(birthday: dict[str, Any], shown: list[Value]) -> None:
    assert list(read({"birthdays": [birthday]}, ["birthdays"]).values()) == shown


@pytest.mark.parametrize("value", ["1815-02-30", "tomorrow", "--13-01", 7, ["a"]])
def test_what_is_no_date_is_refused(value: Value) -> None:
    with pytest.raises(Rejected) as refused:
        apply(ADA, {"birthdays": value})
    assert refused.value.field == "birthdays"


def test_a_birthday_takes_the_words_for_the_old_one_away() -> None:
    assert after({"birthdays": "--12-11"})["birthdays"] == [{"date": {"month": 12, "day": 11}}]
    assert after({"birthdays": None})["birthdays"] == []


@pytest.mark.parametrize(
    "person", [{"names": {}}, {"names": ["Ada"]}, {"names": [{"givenName": 7}]}, {"names": "Ada"}, {"names": None}]
)
def test_a_shape_that_nobody_knows_is_said(person: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        read(person, ["names.givenName"])


def test_what_comes_from_a_profile_is_neither_read_nor_written() -> None:
    profile = {"value": "ada@profile.example", "metadata": {"primary": True, "source": {"type": "PROFILE"}}}
    person = {"emailAddresses": [profile, {"value": "ada@example.com"}]}
    assert read(person, ["emailAddresses"]) == {"emailAddresses": "ada@example.com"}
    assert after({"emailAddresses": "a@example.com"}, person)["emailAddresses"] == [{"value": "a@example.com"}]


def test_an_unknown_field_is_refused_and_unchanged_ones_are_not_sent() -> None:
    with pytest.raises(Rejected) as refused:
        apply(ADA, {"shoeSize": "39"})
    assert refused.value.field == "shoeSize"
    assert apply(ADA, read(ADA, KNOWN)) == {}


# Any person, any change

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).filter(
    lambda text: text.strip() != ""
)
LABELS = st.sampled_from(["", "home", "work", "other", "mobile", "workFax", "Poetry club"])
KEYS = st.sampled_from(["Tier", "Room", "Hat"])


def item(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    made = st.fixed_dictionaries({}, optional={"type": LABELS, "formattedType": TEXTS, **keys})
    metadata = st.sampled_from([{}, {"source": SOURCE}, {"sourcePrimary": True}, {"primary": True, "source": SOURCE}])
    return st.builds(lambda item, metadata: {**item, "metadata": metadata} if metadata else item, made, metadata)


def texts(*keys: str) -> dict[str, st.SearchStrategy[Any]]:
    return dict.fromkeys(keys, TEXTS)


PEOPLE = st.fixed_dictionaries(
    {},
    optional={
        "names": st.lists(item(**texts("givenName", "familyName", "middleName", "phoneticGivenName")), max_size=1),
        "emailAddresses": st.lists(item(**texts("value", "displayName")), max_size=4),
        "phoneNumbers": st.lists(item(**texts("value", "canonicalForm")), max_size=4),
        "addresses": st.lists(item(**texts("streetAddress", "city", "country", "poBox", "formattedValue")), max_size=3),
        "organizations": st.lists(item(**texts("name", "title", "symbol")), max_size=2),
        "urls": st.lists(item(value=TEXTS), max_size=2),
        "biographies": st.lists(item(value=TEXTS), max_size=1),
        "userDefined": st.lists(item(key=KEYS, value=TEXTS), max_size=3),
    },
)
CHANGES = st.dictionaries(
    st.sampled_from([*(name for name in KNOWN if name != "birthdays"), f"{CUSTOM}Tier", f"{CUSTOM}Hat"]),
    st.one_of(st.none(), TEXTS),
    min_size=1,
    max_size=3,
)
CONTENT = {"metadata", "type", *OUTPUT_ONLY}


def contents(person: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Every text that a person holds, with its place."""
    return sorted(
        (mask, key, str(value))
        for mask, items in person.items()
        for item in items
        for key, value in item.items()
        if key not in CONTENT
    )


@given(PEOPLE, CHANGES)
def test_a_change_touches_nothing_else(person: dict[str, Any], changes: dict[str, Value]) -> None:
    """The places that it names read as it says, or, emptied, as another item of their kind; all other texts of the
    person are there as before, and so are those of other kinds."""
    try:
        changed = after(changes, person)
    except Rejected as refused:
        assert refused.field.startswith("emailAddresses.")
        return
    for field, value in changes.items():
        (shown,) = read(changed, [field]).values()
        if value is not None:
            assert shown == value
    bounds = [known.bound for field in changes if (known := fields.known(field)) is not None]
    written = {(bound.mask, bound.key) for bound in bounds if isinstance(bound, Spot)}
    made_of_old = {"names": fields.NAME_FORMS, "addresses": {"formattedValue", "countryCode"}}
    gone_with = {(mask, key) for mask, _ in written for key in made_of_old.get(mask, ())}
    gone_with |= {("emailAddresses", "displayName"), ("names", "displayName")}
    before, now = contents(person), contents(changed)
    for place in set(before) | set(now):
        if place[:2] not in written | gone_with and place[1] != "key" and place[:2] != ("biographies", "contentType"):
            assert before.count(place) == now.count(place), place


PARTED = st.fixed_dictionaries(
    {
        "addresses": st.lists(
            st.fixed_dictionaries({"type": st.just("home")}, optional=texts("streetAddress", "city", "formattedValue")),
            max_size=3,
        ),
        "organizations": st.lists(st.fixed_dictionaries({}, optional=texts("name", "title")), max_size=3),
    }
)
PARTS = ("addresses.home.streetAddress", "addresses.home.city", "organizations.name", "organizations.title")


@given(PARTED, st.dictionaries(st.sampled_from(PARTS), st.one_of(st.none(), TEXTS), min_size=2))
def test_items_that_no_part_of_a_change_shows_stay_as_they_are(
    person: dict[str, Any], changes: dict[str, Value]
) -> None:
    bounds = [KNOWN[field].bound for field in changes]
    for mask, now in apply(person, changes).items():
        picked = {bound.pick(person[mask]) for bound in bounds if isinstance(bound, Spot) and bound.mask == mask}
        others = [item for index, item in enumerate(person[mask]) if index not in picked]
        assert [item for item in now if any(item is other for other in others)] == others


@given(PEOPLE, CHANGES)
def test_a_change_made_twice_is_made_once(person: dict[str, Any], changes: dict[str, Value]) -> None:
    filled = {field: value for field, value in changes.items() if value is not None}
    try:
        changed = after(filled, person)
    except Rejected:
        return
    assert apply(changed, filled) == {}


@given(PEOPLE)
def test_what_goes_back_unchanged_reads_the_same(person: dict[str, Any]) -> None:
    sent = {mask: sendable(mask, items_of(person, mask)) for mask in person}
    assert read(sent, KNOWN) == read(person, KNOWN)
