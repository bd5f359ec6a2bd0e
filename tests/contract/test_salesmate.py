"""Salesmate: connecting, its failures, its fields and values, and reading."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    Field,
    FieldType,
    Misconfigured,
    RateLimited,
    RecordGone,
    Rejected,
    Transient,
)
from syncer.connectors.http import Reply
from syncer.connectors.registry import CONNECTORS, connector_class
from syncer.connectors.salesmate import errors, fields, values, wire
from syncer.connectors.salesmate.connector import BOOK, normalise_subdomain
from syncer.connectors.salesmate.errors import Kind
from syncer.connectors.salesmate.wire import Assumed
from tests.contract.salesmate import ADA, KEYS, NAMES, Bench, Purse, bench


@pytest.fixture
def acme() -> Iterator[Bench]:
    with bench() as made:
        yield made


def test_the_registry_knows_it() -> None:
    assert connector_class("salesmate").app.slug == "salesmate"
    assert "salesmate" in CONNECTORS


def test_it_asks_for_what_piesync_asked_in_that_order() -> None:
    app = connector_class("salesmate").app
    assert [given.name for given in app.settings] == ["subdomain"]
    assert [given.name for given in app.credentials] == ["access_key", "secret_key", "session_key"]
    assert all(given.secret for given in app.credentials)


@pytest.mark.parametrize(
    "typed",
    [
        "acme",
        " ACME ",
        "acme.salesmate.io",
        "https://acme.salesmate.io",
        "https://acme.salesmate.io/#/app/contacts?x=1",
    ],
)
def test_a_subdomain_is_understood(typed: str) -> None:
    assert normalise_subdomain(typed) == "acme"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "acme.example.com",
        "https://acme.salesmate.io.evil.example/",
        "https://acme.salesmate.io@evil.example/",
        "http://acme.salesmate.io",
        "acme/../x",
        "a.b",
        "acmé",
        "-acme",
        "a" * 64,
        "acme\nx-evil: 1",
    ],
)
def test_anything_else_is_no_subdomain(typed: str) -> None:
    with pytest.raises(Misconfigured):
        normalise_subdomain(typed)


def test_check_says_which_account(acme: Bench) -> None:
    identity = acme.connector(subdomain="https://acme.salesmate.io/").check()
    assert (identity.key, identity.label) == ("acme", "acme.salesmate.io")
    assert acme.calls() == ["GET core/v4/users"]
    assert acme.app.log[0].query == "status=active"


def test_only_the_session_key_goes_over_the_wire(acme: Bench) -> None:
    salesmate = acme.connector()
    salesmate.check()
    salesmate.changes(BOOK, "", NAMES)
    for seen in acme.app.log:
        assert seen.headers["accesstoken"] == KEYS["session_key"]
        assert seen.headers["x-linkname"] == "acme.salesmate.io"
        whole = repr((seen.headers, seen.query, seen.path, seen.body))
        assert KEYS["access_key"] not in whole
        assert KEYS["secret_key"] not in whole


@pytest.mark.parametrize("with_200", [False, True])
def test_the_access_key_in_place_of_the_session_key_is_named(acme: Bench, with_200: bool) -> None:
    acme.app.levers.failures_with_200 = with_200
    with pytest.raises(AuthFailed, match="the access key in its place is the usual mistake"):
        acme.connector(session_key=KEYS["access_key"]).check()


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ключ"])
def test_what_cannot_be_a_session_key_is_not_sent(acme: Bench, key: str) -> None:
    with pytest.raises(AuthFailed):
        acme.connector(session_key=key)
    assert acme.app.log == []


@pytest.mark.parametrize("with_200", [False, True])
def test_a_subdomain_that_salesmate_does_not_know_is_named(acme: Bench, with_200: bool) -> None:
    acme.app.levers.failures_with_200 = with_200
    with pytest.raises(Misconfigured, match=r"other\.salesmate\.io"):
        acme.connector(subdomain="other").check()


@pytest.mark.parametrize("kind", ["html_500_before", "html_200", "cut_body"])
def test_a_page_or_a_cut_answer_may_work_later(acme: Bench, kind: str) -> None:
    acme.app.fault(kind, times=3)
    with pytest.raises(Transient):
        acme.connector().check()


def test_a_dropped_read_is_repeated(acme: Bench) -> None:
    acme.app.fault("drop_before")
    acme.connector().check()
    assert len(acme.app.log) == 2


def test_over_the_limit_of_the_hour(acme: Bench) -> None:
    acme.app.levers.calls_per_hour = 0
    with pytest.raises(RateLimited):
        acme.connector().check()


def test_our_own_budget_comes_first(acme: Bench) -> None:
    with pytest.raises(RateLimited):
        acme.connector(meter=Purse(0)).check()
    assert acme.app.log == []


@pytest.mark.parametrize("fault", ["html_500_before", "html_200", "limit", ""])
def test_no_error_holds_a_key(acme: Bench, fault: str) -> None:
    if fault:
        acme.app.fault(fault, times=3)
    with pytest.raises(ConnectorError) as caught:
        acme.connector(session_key=KEYS["session_key"] if fault else "wrong-canary").check()
    texts = repr((caught.value, caught.value.__cause__, caught.value.__context__, caught.value.args))
    assert "canary" not in texts


def reply(status: int, error: dict[str, Any]) -> Reply:
    return Reply(status, {}, json.dumps({"Status": "failure", "Error": error}).encode(), "https://acme.salesmate.io/")


def raised(status: int, error: dict[str, Any], about_record: bool = True, writes: bool = True) -> ConnectorError:
    labels = {name: field.label for name, field in fields.KNOWN.items()}
    request = errors.Request("acme", about_record, writes, labels)
    with pytest.raises(ConnectorError) as caught:
        errors.answer(reply(status, error), request)
    return caught.value


MEANINGS = {
    Kind.AUTH: AuthFailed,
    Kind.FORBIDDEN: Rejected,
    Kind.SUBDOMAIN: Misconfigured,
    Kind.GONE: RecordGone,
    Kind.REJECTED: Rejected,
    Kind.LIMIT: RateLimited,
    Kind.TRANSIENT: Transient,
}


@pytest.mark.parametrize(("name", "kind"), errors.NAMES)
@pytest.mark.parametrize("status", [200, 400, 403, 500])
def test_the_name_of_a_failure_decides(name: str, kind: Kind, status: int) -> None:
    assert type(raised(status, {"Name": name.title(), "Message": ""})) is MEANINGS[kind]
    assert type(raised(status, {"name": name, "message": ""})) is MEANINGS[kind]


@pytest.mark.parametrize(("code", "kind"), errors.CODES.items())
def test_the_code_decides_where_there_is_no_name(code: str, kind: Kind) -> None:
    assert type(raised(200, {"Code": code})) is MEANINGS[kind]
    assert type(raised(200, {"code": int(code)})) is MEANINGS[kind]


@pytest.mark.parametrize("words", errors.LIMIT_WORDS)
def test_words_of_a_limit(words: str) -> None:
    assert type(raised(403, {"Name": "Unknown", "Message": f"Your {words}!"})) is RateLimited


@pytest.mark.parametrize(("status", "kind"), errors.STATUSES.items())
def test_the_status_decides_last(status: int, kind: Kind) -> None:
    assert type(raised(status, {})) is MEANINGS[kind]


@pytest.mark.parametrize(("words", "text"), errors.REASONS)
def test_a_refusal_is_told_in_our_own_words(words: str, text: str) -> None:
    error = raised(400, {"Code": "4001", "Name": "ValidationError", "Message": f"Job Title {words} canary"})
    assert isinstance(error, Rejected)
    assert error.field == "designation"
    assert str(error) == text.format(field="Job Title") + "."


def test_an_unknown_refusal_does_not_repeat_what_the_app_wrote() -> None:
    error = raised(400, {"Code": "4001", "Message": "canary"})
    assert "canary" not in str(error)


def test_the_longest_label_is_the_field() -> None:
    error = raised(400, {"Code": 4001, "Message": "Email Opt Out Reason is required"})
    assert isinstance(error, Rejected)
    assert error.field == "emailOptOutReason"
    assert errors.named_field("typewriter", {"a": "Type"}) == ""


def test_not_found_is_gone_only_for_a_record() -> None:
    """Salesmate gives the same answer for a wrong path."""
    assert type(raised(404, {"Name": "ObjectNotFound"}, about_record=False)) is Transient


def test_a_failure_in_the_middle_of_a_write_may_have_been_applied() -> None:
    error = raised(500, {"Name": "UnknownError"})
    assert isinstance(error, Transient)
    assert error.maybe_applied
    error = raised(500, {"Name": "UnknownError"}, writes=False)
    assert isinstance(error, Transient)
    assert not error.maybe_applied


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"null", b"{}", b'{"Status": null}', b'{"Status": "success"}'])
def test_strange_answers_may_work_later(body: bytes) -> None:
    assert errors.answer(Reply(200, {}, b'{"status": "Success", "data": 7}', ""), errors.Request("acme")) == 7
    if b"success" in body:
        assert errors.answer(Reply(200, {}, body, ""), errors.Request("acme")) is None
        return
    with pytest.raises(Transient):
        errors.answer(Reply(200, {}, body, ""), errors.Request("acme"))


def test_retry_after_is_obeyed_where_it_comes() -> None:
    with pytest.raises(RateLimited) as caught:
        errors.answer(Reply(429, {"retry-after": "30"}, b"", ""), errors.Request("acme"))
    assert caught.value.retry_after == 30


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


def test_what_is_assumed_can_be_switched() -> None:
    other = Assumed(clear=None, date_format="%b %d, %Y")
    assert values.encode(Field("x", "X", FieldType.TEXT), None, other) is None
    assert values.encode(Field("x", "X", FieldType.DATE), "2021-02-03", other) == "Feb 03, 2021"


def test_a_contact_is_read_with_what_was_asked(acme: Bench) -> None:
    ada = acme.app.person_create(**ADA, tags="VIP,Bags", company=38, intCustomField1=0, checkboxCustomField1=False)
    names = [*NAMES, "company.name", "currency", "mobile", "intCustomField1", "checkboxCustomField1", "gone field"]
    expected = {
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": "ada@example.com",
        "tags": ["VIP", "Bags"],
        "owner": "1",
        "company.name": "Analytical Engines",
        "currency": "USD",
        "mobile": None,
        "intCustomField1": 0,
        "checkboxCustomField1": False,
    }
    assert acme.connector().read(BOOK, str(ada), names).values == expected
    for capital in (False, True):
        acme.app.levers.capital_objects = capital
        assert acme.connector().changes(BOOK, "", names).records[0].values == expected


def test_what_the_app_does_not_say_is_left_out(acme: Bench) -> None:
    row = {"id": 1, "company": {"id": 38}, "owner": {}}
    named = [fields.KNOWN[name] for name in ("firstName", "company.name", "owner", "currency")]
    assert values.decode_row(row, named) == {"owner": None}
    assert values.decode_row({"Company": None, "currency": "EUR"}, named) == {"company.name": None, "currency": "EUR"}


def test_a_contact_of_a_strange_shape_is_left_alone(acme: Bench) -> None:
    acme.app.person_create(**ADA, textCustomField1={"secret": "canary"})
    observed = acme.connector().read(BOOK, "1", ["textCustomField1"])
    assert observed.values == {}
    assert "canary" not in observed.problem
    assert observed.problem


@pytest.mark.parametrize("purged", [False, True])
@pytest.mark.parametrize("with_200", [False, True])
def test_a_deleted_contact_is_gone(acme: Bench, purged: bool, with_200: bool) -> None:
    acme.app.levers.failures_with_200 = with_200
    ada = acme.app.person_create(**ADA)
    acme.app.person_delete(ada)
    if purged:
        acme.app.person_purge(ada)
    with pytest.raises(RecordGone):
        acme.connector().read(BOOK, str(ada), NAMES)


@pytest.mark.parametrize("remote_id", ["", "x", "1/../2", "\uff11"])
def test_what_is_no_id_is_not_sent(acme: Bench, remote_id: str) -> None:
    with pytest.raises(Rejected):
        acme.connector().read(BOOK, remote_id, NAMES)
    assert acme.app.log == []


@pytest.mark.parametrize(("by_search", "calls"), [(False, 3), (True, 2)])
def test_several_are_read_in_the_order_asked(acme: Bench, by_search: bool, calls: int) -> None:
    first, second, third = acme.people(3)
    acme.app.person_delete(second)
    salesmate = acme.connector(assumed=Assumed(read_many_by_search=by_search))
    found = salesmate.read_many(BOOK, [str(third), str(second), str(first)], NAMES)
    assert [observed and observed.remote_id for observed in found] == [str(third), None, str(first)]
    assert len(acme.app.log) == calls


def test_find_is_by_email_whatever_its_case_and_never_in_the_bin(acme: Bench) -> None:
    one, two, three = (
        acme.app.person_create(**{**ADA, "email": text}) for text in ("Ada@X.example", "ada@x.example", "")
    )
    acme.person(4, email="ada@x.example.com")
    acme.app.person_delete(two)
    salesmate = acme.connector()
    assert [found.remote_id for found in salesmate.find(BOOK, "ada@x.example", fields=["lastName"])] == [str(one)]
    assert salesmate.find(BOOK, "nobody@x.example") == []
    assert three
    acme.app.log.clear()
    assert salesmate.find(BOOK, marker="0b8e6f3e") == []
    assert acme.app.log == []


def test_a_search_that_shows_less_than_it_counts_finds_nothing_out(acme: Bench) -> None:
    acme.app.person_create(**ADA)
    acme.app.levers.cut_listing_at = 0
    with pytest.raises(Transient):
        acme.connector().find(BOOK, "ada@example.com")


def test_a_server_that_does_not_filter_finds_no_one_else(acme: Bench) -> None:
    acme.people(3)
    acme.app.levers.ignore_filters = True
    assert [found.remote_id for found in acme.connector().find(BOOK, "p1@x.example")] == ["2"]


def test_owners_tell_who_left(acme: Bench) -> None:
    for acme.app.levers.active_as_number in (False, True):
        owners = acme.connector().owners()
        assert [(owner.id, owner.name, owner.active) for owner in owners] == [
            ("1", "Sara Khan", True),
            ("2", "Ben Jobs", True),
            ("3", "Old Colleague", False),
        ]


@pytest.mark.parametrize("listed", [True, False])
def test_tags_come_from_their_list_or_from_the_newest_contacts(acme: Bench, listed: bool) -> None:
    acme.app.levers.tags_listed = listed
    acme.person(1, tags="VIP,Bags")
    acme.person(2, tags="vip,New")
    assert sorted(acme.connector().tags(BOOK)) == ["Bags", "New", "VIP"]


def test_the_one_book_with_its_count(acme: Bench) -> None:
    first, *_ = acme.people(3)
    acme.app.person_delete(first)
    (book,) = acme.connector().books()
    assert (book.id, book.count) == (BOOK, 2)


def test_stored_tags_have_no_comma(acme: Bench) -> None:
    tags, text = fields.KNOWN["tags"], fields.KNOWN["firstName"]
    salesmate = acme.connector()
    assert salesmate.stored(tags, ["a,b", " VIP ", "vip"]) == ["ab", "VIP"]
    assert salesmate.stored(tags, [","]) is None
    assert salesmate.stored(text, "a,b") == "a,b"
    assert salesmate.stored(text, None) is None
