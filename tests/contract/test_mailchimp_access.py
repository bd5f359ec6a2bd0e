"""Access to Mailchimp: by key or by a token, where they lead us, and what its refusals mean."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from syncer.connectors.base import AuthFailed, ConnectorError, Misconfigured, RateLimited, Rejected, Transient
from syncer.connectors.http import Reply
from syncer.connectors.mailchimp import client, errors, wire
from syncer.connectors.mailchimp.errors import Exists, Request, Soft
from syncer.connectors.mailchimp.fields import schema
from tests.contract.google import FixedTokens
from tests.contract.mailchimp import LIST, Bench, bench, connector_to
from tests.contract.mailchimp_spec import exchanges
from tests.contract.suite import said
from tests.needs import needs


@pytest.fixture
def found() -> Iterator[Bench]:
    client._places.clear()
    with bench() as made:
        yield made


def test_by_key_we_are_the_account_and_its_audiences_are_books(found: Bench) -> None:
    found.members(3)
    mailchimp = found.connector()
    assert mailchimp.check().label == "Harbour Tea (anna@example.com)"
    assert [(book.id, book.name, book.count) for book in mailchimp.books()] == [(LIST, "Newsletter", 3)]
    assert mailchimp.tags(LIST) == []
    names = [one.name for one in mailchimp.fields(LIST)]
    assert names[:6] == ["email_address", "status", "tags", "language", "vip", "FNAME"]


def test_by_token_we_are_led_to_the_data_centre_once(found: Bench) -> None:
    token = found.app.allow()
    for _ in range(2):
        mailchimp = connector_to(found.url, key="", tokens=FixedTokens([token]))
        assert mailchimp.check().key == found.connector().check().key
    assert found.calls().count("GET oauth2/metadata") <= 1
    found.app.oauth.person_withdraws("anna@example.com")
    with pytest.raises(AuthFailed, match="Mailchimp refused our access"):
        connector_to(found.url, key="", tokens=FixedTokens([token])).check()


def test_without_key_or_token_it_says_what_to_do(found: Bench) -> None:
    with pytest.raises(AuthFailed, match="neither an API key nor been authorised"):
        connector_to(found.url, key="").check()


@pytest.mark.parametrize(
    "key",
    [
        "abc",
        "abc-",
        "-us6",
        "abc-us6.evil.example",
        "abc-us6/x",
        "abc-6",
        "abc-toolong1",
        "abc-us6\r\nX: y",
        "abc-us6@h",
    ],
)
def test_a_key_leads_to_mailchimp_and_nowhere_else(found: Bench, key: str) -> None:
    with pytest.raises(Misconfigured, match="not a whole Mailchimp API key"):
        connector_to(found.url, key=key)


@pytest.mark.parametrize("book", ["../root", "a/b", "", "a" * 41, "a?b", "ä"])
def test_a_book_is_the_id_of_an_audience(found: Bench, book: str) -> None:
    with pytest.raises(Misconfigured, match="not the id of a Mailchimp audience"):
        found.connector().fields(book)
    assert found.calls() == []


@pytest.mark.parametrize("remote_id", ["", "../x", "a b", "x@y.example", "ä"])
def test_what_is_no_id_is_not_asked_for(found: Bench, remote_id: str) -> None:
    with pytest.raises(Rejected):
        found.connector().read(LIST, remote_id, ["FNAME"])
    assert found.calls() == []


def reply(status: int, body: Any = None) -> Reply:
    return Reply(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode(), "https://x.example/")


def problem(title: str, detail: str = "", **more: Any) -> dict[str, Any]:
    return {"title": title, "detail": detail, **more}


BLANK = [{"field": "SHELF", "message": "This value should not be blank."}]
ODD = [{"field": "SHELF", "message": "It rains."}]


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, problem("API Key Invalid"), AuthFailed, "refused our access"),
        (401, b"", AuthFailed, "refused our access"),
        (403, problem("User Disabled"), AuthFailed, "has disabled this user"),
        (403, problem("Wrong Datacenter"), AuthFailed, "refused our access"),
        (403, problem("Forbidden"), AuthFailed, "may not do this"),
        (403, b"<html>", RateLimited, "slow down"),
        (403, b"", RateLimited, "slow down"),
        (429, problem("Too Many Requests"), RateLimited, "slow down"),
        (404, problem("Resource Not Found"), Transient, "does not show this audience"),
        (404, b"<html>", Transient, "trouble of its own"),
        (400, problem("Member Exists"), Exists, "already"),
        (400, problem("Forgotten Email Not Subscribed", "x was permanently deleted"), Rejected, "forget this address"),
        (400, problem("Member In Compliance State", "x is in a compliance state due"), Rejected, "Only its owner"),
        (400, problem("Invalid Resource", "x looks fake or invalid, please"), Rejected, "a fake one"),
        (
            400,
            problem("Invalid Resource", "Please provide a valid email address."),
            Rejected,
            "does not take this e-mail",
        ),
        (400, problem("Invalid Resource", "x has signed up to a lot of lists very"), Soft, "many lists lately"),
        (400, problem("Invalid Resource", "Your merge fields were invalid.", errors=BLANK), Rejected, "required there"),
        (400, problem("Invalid Resource", "Your merge fields were invalid.", errors=ODD), Rejected, "not known here"),
        (400, problem("It rains"), Rejected, "not known here"),
        (400, b"rain", Transient, "trouble of its own"),
        (500, problem("Internal"), Transient, "trouble of its own"),
        (503, problem("Compliance Related"), AuthFailed, "compliance review"),
        (503, b"", Transient, "trouble of its own"),
        (302, b"", Transient, "trouble of its own"),
    ],
)
def test_what_a_refusal_means(status: int, body: Any, kind: type[ConnectorError], words: str) -> None:
    with pytest.raises(kind, match=words) as error:
        errors.answer(reply(status, body), Request(changes_data=True))
    assert type(error.value) is kind
    if isinstance(error.value, Transient) and status >= 500:
        assert error.value.maybe_applied


@pytest.mark.parametrize(
    ("error", "kind", "field"),
    [
        ({"error_code": "ERROR_CONTACT_EXISTS", "error": "x"}, Exists, ""),
        ({"error": "x was permanently deleted and cannot"}, Rejected, ""),
        ({"error": "x is in a compliance state due to"}, Rejected, "status"),
        ({"error": "x", "field": "LTV", "field_message": "Please enter a number"}, Rejected, "LTV"),
        ({"error": "x signed up to a lot of lists"}, Soft, ""),
        ({}, Rejected, ""),
        ({"error": 7, "field": None, "error_code": []}, Rejected, ""),
    ],
)
def test_what_a_batch_says_of_one(error: Mapping[str, Any], kind: type[ConnectorError], field: str) -> None:
    meant = errors.in_batch(error)
    assert type(meant) is kind
    assert getattr(meant, "field", "") == field


def test_no_word_of_an_answer_is_repeated() -> None:
    secret = "s3cret-canary"
    for status in (400, 401, 403, 404, 422, 429, 500, 503):
        body = problem(secret, secret, errors=[{"field": "A", "message": secret}])
        with pytest.raises(ConnectorError) as error:
            errors.answer(reply(status, body), Request())
        assert secret not in said(error.value)


@needs("specs")
def test_the_recorded_answers_are_understood() -> None:
    understood = 0
    for one in exchanges():
        body = one["body"] if one["body"] != "" else b""
        if "/lists" not in one["path"]:
            continue
        about = Request(about_member="/members/" in one["path"])
        if one["status"] < 300:
            errors.answer(reply(one["status"], body), about)
        else:
            meant = errors.meaning(reply(one["status"], body), about)
            assert "not known here" not in str(meant) or one["status"] == 405, one
        understood += 1
    fields = next(one["body"]["merge_fields"] for one in exchanges() if one["path"].endswith("/merge-fields"))
    assert {field.name for field in schema(fields)} >= {"FNAME", "LNAME", "LTV", "JOINED_AT", "ADDRESS:city"}
    assert understood == 226


def test_a_data_centre_is_of_a_known_form() -> None:
    assert wire.data_centre(" 0123-us19 ") == "us19"
