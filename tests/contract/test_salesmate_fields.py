"""Salesmate: fields, and values to and from the wire."""

from collections.abc import Iterator
from typing import Any

import pytest

from syncer.connectors.base import (
    Field,
    FieldType,
    Rejected,
)
from syncer.connectors.salesmate import fields, values, wire
from syncer.connectors.salesmate.connector import BOOK
from syncer.connectors.salesmate.wire import Assumed
from tests.contract.salesmate import Bench, bench


@pytest.fixture
def acme() -> Iterator[Bench]:
    with bench() as made:
        yield made


def test_the_fields_are_the_standard_ones_and_the_account_s_own(acme: Bench) -> None:
    found = {field.name: field for field in acme.connector().fields(BOOK)}
    assert found["lastName"] == Field(
        "lastName", "Last Name", FieldType.TEXT, "name.family", required=True, max_length=255
    )
    assert found["owner"].required
    assert not found["company.name"].writable
    assert found["type"].choices == (("Lead", "Lead"), ("Customer", "Customer"), ("Vendor", "Vendor"))
    assert found["smsOptOut"].type is FieldType.BOOLEAN
    assert not {"createdAt", "salesmateScore", "company"} & set(found)
    assert len({field.role for field in found.values() if field.role}) == sum(
        1 for field in found.values() if field.role
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("textCustomField1", FieldType.TEXT),
        ("textCustomField2", FieldType.EMAIL),
        ("textCustomField3", FieldType.PHONE),
        ("textCustomField4", FieldType.URL),
        ("textCustomField5", FieldType.CHOICE),
        ("textAreaCustomField1", FieldType.LONG_TEXT),
        ("intCustomField1", FieldType.INTEGER),
        ("bigIntCustomField1", FieldType.INTEGER),
        ("decimalCustomField2", FieldType.DECIMAL),
        ("checkboxCustomField1", FieldType.BOOLEAN),
        ("dateCustomField1", FieldType.DATE),
        ("dateTimeCustomField1", FieldType.DATETIME),
        ("multiSelectCustomField1", FieldType.MULTI_CHOICE),
    ],
)
def test_custom_fields_have_their_types(acme: Bench, name: str, kind: FieldType) -> None:
    found = {field.name: field for field in acme.connector().fields(BOOK)}[name]
    assert found.type is kind
    assert found.custom
    assert found.writable


def test_choices_and_labels_of_custom_fields(acme: Bench) -> None:
    found = {field.name: field for field in acme.connector().fields(BOOK)}
    assert found["multiSelectCustomField1"].choices == (("bags", "Bags"), ("shoes", "Shoes"))
    assert found["dateCustomField1"].label == "Birthday"
    assert not found["companySingleLookupCustomField1"].writable


@pytest.mark.parametrize(
    "item",
    [
        None,
        {},
        {"fieldName": 7},
        {"fieldName": "a.b"},
        {"fieldName": "x" * 101},
        {"fieldName": "secret", "isInternal": True},
        {"fieldName": "secret", "groupName": "Internal"},
        {"fieldName": "createdAt"},
    ],
)
def test_what_is_no_field_of_a_person_is_left_out(item: Any) -> None:
    assert fields.all_fields([item]) == list(fields.STANDARD)


def test_a_field_with_a_name_of_its_own_takes_its_type_from_the_metadata() -> None:
    known, unknown = fields.all_fields(
        [{"fieldName": "shoeSize", "type": "Integer", "isRequired": 1}, {"fieldName": "odd", "type": "Hologram"}]
    )[-2:]
    assert known == Field("shoeSize", "shoeSize", FieldType.INTEGER, required=True, custom=True)
    assert unknown == Field("odd", "odd", FieldType.TEXT, writable=False, custom=True)


@pytest.mark.parametrize("options", ["", None, "not json", "[]", "7", '{"values": 7}', '{"valuesMeta": [7]}'])
def test_strange_options_are_no_choices(options: Any) -> None:
    assert fields.choices(options) == ()


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (FieldType.TEXT, "", None),
        (FieldType.TEXT, None, None),
        (FieldType.TEXT, "0", "0"),
        (FieldType.TEXT, 0, "0"),
        (FieldType.INTEGER, "7", 7),
        (FieldType.INTEGER, 0, 0),
        (FieldType.INTEGER, 7.0, 7),
        (FieldType.INTEGER, "many", "many"),
        (FieldType.DECIMAL, 12.5, "12.5"),
        (FieldType.DECIMAL, "12.50", "12.5"),
        (FieldType.DECIMAL, 0, "0"),
        (FieldType.DECIMAL, 1e21, "1000000000000000000000"),
        (FieldType.DECIMAL, "1e999999999", "1e999999999"),
        (FieldType.BOOLEAN, False, False),
        (FieldType.BOOLEAN, "Yes", True),
        (FieldType.BOOLEAN, 0, False),
        (FieldType.BOOLEAN, "perhaps", "perhaps"),
        (FieldType.INTEGER, 7.5, "7.5"),
        (FieldType.DECIMAL, "many", "many"),
        (FieldType.DATE, "03/02/2021", "03/02/2021"),
        (FieldType.DATE, "2021-02-03", "2021-02-03"),
        (FieldType.DATE, "2021-02-03T00:00:00Z", "2021-02-03"),
        (FieldType.DATE, "Feb 03, 2021", "2021-02-03"),
        (FieldType.DATE, 1612310400, "2021-02-03"),
        (FieldType.DATE, 1612310401, "1612310401"),
        (FieldType.DATETIME, "2024-11-29T09:34:00Z", "2024-11-29T09:34:00Z"),
        (FieldType.DATETIME, 1732872840, "2024-11-29T09:34:00Z"),
        (FieldType.DATETIME, 1732872840000, "2024-11-29T09:34:00Z"),
        (FieldType.DATETIME, "Jan 07, 2021 07:17 AM", "Jan 07, 2021 07:17 AM"),
        (FieldType.TAGS, "VIP, Bags,,vip", ["VIP", "Bags"]),
        (FieldType.TAGS, "", None),
        (FieldType.TAGS, " , ", None),
        (FieldType.MULTI_CHOICE, ["bags", "shoes"], ["bags", "shoes"]),
    ],
)
def test_values_as_they_are_read(kind: FieldType, raw: Any, value: Any) -> None:
    assert values.decode(Field("x", "X", kind), raw) == value
    assert type(values.decode(Field("x", "X", kind), raw)) is type(value)


@pytest.mark.parametrize(
    ("kind", "value", "raw"),
    [
        (FieldType.TEXT, None, ""),
        (FieldType.BOOLEAN, False, False),
        (FieldType.INTEGER, 0, 0),
        (FieldType.DECIMAL, "12.5", 12.5),
        (FieldType.DECIMAL, "7", 7),
        (FieldType.DECIMAL, "0.12345678901234567891", "0.12345678901234567891"),
        (FieldType.DATE, "2021-02-03", "2021-02-03"),
        (FieldType.DATETIME, "2024-11-29T09:34:00Z", "2024-11-29T09:34:00Z"),
        (FieldType.OWNER, "2", 2),
        (FieldType.TAGS, ["VIP", "a,b", "vip "], "VIP,ab"),
    ],
)
def test_values_as_they_are_written(kind: FieldType, value: Any, raw: Any) -> None:
    assert values.encode(Field("x", "X", kind), value, wire.ASSUMED) == raw


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (FieldType.DATE, "--11-24"),
        (FieldType.DATETIME, "2024-11-29T09:34:00"),
        (FieldType.OWNER, "Sara"),
        (FieldType.DECIMAL, "many"),
        (FieldType.DECIMAL, "1e999999999"),
    ],
)
def test_what_salesmate_cannot_hold_is_refused(kind: FieldType, value: str) -> None:
    with pytest.raises(Rejected) as caught:
        values.encode(Field("x", "X", kind), value, wire.ASSUMED)
    assert caught.value.field == "x"
    assert value not in str(caught.value)


@pytest.mark.parametrize("raw", [{"a": 1}, [["VIP"]], [{"tag": "VIP"}]])
def test_tags_of_a_strange_shape_are_told(raw: Any) -> None:
    with pytest.raises(values.Unreadable, match="Tags"):
        values.decode(fields.KNOWN["tags"], raw)


def test_what_is_assumed_can_be_switched() -> None:
    other = Assumed(clear=None, date_format="%b %d, %Y")
    assert values.encode(Field("x", "X", FieldType.TEXT), None, other) is None
    assert values.encode(Field("x", "X", FieldType.DATE), "2021-02-03", other) == "Feb 03, 2021"


def test_what_the_app_does_not_say_is_left_out(acme: Bench) -> None:
    row = {"id": 1, "company": {"id": 38}, "owner": {}}
    named = [fields.KNOWN[name] for name in ("firstName", "company.name", "owner", "currency")]
    assert values.decode_row(row, named) == {"owner": None}
    assert values.decode_row({"Company": None, "currency": "EUR"}, named) == {"company.name": None, "currency": "EUR"}


def test_stored_tags_have_no_comma(acme: Bench) -> None:
    tags, text = fields.KNOWN["tags"], fields.KNOWN["firstName"]
    salesmate = acme.connector()
    assert salesmate.stored(tags, ["a,b", " VIP ", "vip"]) == ["ab", "VIP"]
    assert salesmate.stored(tags, [","]) is None
    assert salesmate.stored(text, "a,b") == "a,b"
    assert salesmate.stored(text, None) is None
