"""Salesmate: what each failure means, row by row."""

import json
from typing import Any

import pytest

from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    Misconfigured,
    RateLimited,
    RecordGone,
    Rejected,
    Transient,
)
from syncer.connectors.http import Reply
from syncer.connectors.salesmate import errors, fields, reader
from syncer.connectors.salesmate.errors import Kind


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


@pytest.mark.proves("I27")
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


def test_what_the_user_may_not_do_is_refused_and_what_he_may_not_see_needs_another_key() -> None:
    assert type(raised(403, {"Name": "ForbiddenError"})) is Rejected
    assert type(raised(403, {"Name": "ForbiddenError"}, writes=False)) is AuthFailed


def test_a_refused_reading_is_about_its_fields() -> None:
    assert str(raised(400, {"Name": "ValidationError"}, writes=False)) == errors.READ_REFUSED_TEXT


@pytest.mark.parametrize("message", ["", None, 7, ["x"]])
def test_a_refusal_without_words(message: Any) -> None:
    error = raised(400, {"Name": "ValidationError", "Message": message})
    assert isinstance(error, Rejected)
    assert error.field == ""


def test_a_success_with_the_status_of_a_failure_is_none() -> None:
    body = b'{"Status": "success", "Data": {"id": 1}}'
    with pytest.raises(Transient):
        errors.answer(Reply(500, {}, body, ""), errors.Request("acme", changes_data=True))


SHELL = b"<!DOCTYPE html><html><body>Object not found</body></html>"
NOT_GONE: list[dict[str, Any]] = [
    {},
    {"Name": "", "Message": "Object not found"},
    {"Name": "ObjectNotFoundInIndex"},
    {"Name": "NotFound", "Message": "Object not found"},
    {"Name": "RecordDeleted", "Message": "This contact was deleted"},
    {"Name": "NoSuchLinkExist", "Code": "4005"},
    {"Name": "AuthorizationFailed", "Code": "4005"},
    {"Name": "ValidationError", "Code": "4005", "Message": "Object not found"},
    {"Name": "ForbiddenError", "Message": "deleted"},
    {"Name": "TooManyRequests", "Code": "4005"},
    {"Code": "40050"},
    {"Code": "4004"},
    {"Code": 404},
    {"Code": None, "Name": None, "Message": None},
    {"Name": {"ObjectNotFound": 1}},
    {"Name": ["ObjectNotFound"]},
]
BODIES: list[bytes] = [
    b"",
    b"null",
    b"{}",
    b"[]",
    b'"ObjectNotFound"',
    b'{"Status": "failure"}',
    b'{"Status": "failure", "Error": "ObjectNotFound"}',
    b'{"Status": "failure", "Error": ["ObjectNotFound"]}',
    b'{"Status": "failure", "Name": "ObjectNotFound", "Code": "4005"}',
    b'{"Status": "deleted", "Data": {"id": 1, "isDeleted": true}}',
    b'{"Status": "failure", "Error": {"Name": "ObjectNotFound"',
    SHELL,
    *(json.dumps({"Status": "failure", "Error": error}).encode() for error in NOT_GONE),
]


@pytest.mark.proves("I27")
@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize("body", BODIES)
def test_nothing_off_the_closed_list_is_gone_whatever_the_status(body: bytes, writes: bool) -> None:
    request = errors.Request("acme", about_record=True, changes_data=writes)
    for status in range(200, 600):
        with pytest.raises(ConnectorError) as caught:
            errors.answer(Reply(status, {}, body, ""), request)
        assert not isinstance(caught.value, RecordGone), (status, body)


@pytest.mark.proves("I27")
@pytest.mark.parametrize("error", [{"Name": "ObjectNotFound"}, {"name": " objectnotfound "}, {"Code": 4005}])
def test_the_closed_list_of_what_is_gone(error: dict[str, Any]) -> None:
    for status in (200, 400, 404, 410):
        assert type(raised(status, error)) is RecordGone
        assert type(raised(status, error, about_record=False)) is Transient
    assert type(raised(429, error)) is RateLimited


@pytest.mark.proves("I27")
@pytest.mark.parametrize("row", [{"isDeleted": True}, {"isDeleted": 1}, {"IsDeleted": "1"}, {"isDeleted": "Yes"}])
def test_a_row_that_says_itself_that_it_is_deleted(row: dict[str, Any]) -> None:
    assert reader.deleted(row)


@pytest.mark.proves("I27")
@pytest.mark.parametrize("said", [False, None, "", 0, "0", "no", "maybe", 2, "deleted", [], {}, [True], {"id": 1}])
def test_a_row_that_says_anything_else_is_not(said: Any) -> None:
    assert not reader.deleted({"isDeleted": said})
    assert not reader.deleted({"deletedAt": 1795521600, "deletedBy": {"id": 1}})
