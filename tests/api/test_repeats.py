"""`Idempotency-Key`: what was asked for once is done once, however often it is sent."""

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from connections.models import ApiAnswer, Client
from portal.clock import SYSTEM
from syncer.models import SyncLog
from tests.api.desk import Tool, tool

pytestmark = pytest.mark.django_db
GLOBEX = {"name": "Globex", "slug": "globex"}


def sent(agency: Tool, body: Any = None, key: str = "one") -> Any:
    return agency.post("clients/", GLOBEX if body is None else body, **{"Idempotency-Key": key})


def test_the_same_again_is_answered_the_same_and_done_once() -> None:
    agency = tool(None)
    first, second = sent(agency), sent(agency)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert first["Location"] == second["Location"]
    assert second["Idempotent-Replay"] == "true"
    assert Client.objects.count() == 1
    assert SyncLog.objects.filter(kind="config.changed").count() == 1


def test_a_refusal_too() -> None:
    agency = tool(None)
    first = sent(agency, {"name": "Globex"})
    assert first.status_code == 400
    again = sent(agency, {"name": "Globex"})
    assert (again.status_code, again.content) == (400, first.content)
    assert again["Content-Type"] == "application/problem+json"


def test_another_body_under_the_same_key_is_a_conflict() -> None:
    agency = tool(None)
    sent(agency)
    other = sent(agency, {**GLOBEX, "name": "Another"})
    assert other.status_code == 409
    assert Client.objects.get().name == "Globex"


def test_another_call_under_the_same_key_is_a_conflict() -> None:
    agency = tool(None)
    sent(agency)
    assert agency.post("accounts/", GLOBEX, **{"Idempotency-Key": "one"}).status_code == 409


def test_keys_of_different_tools_do_not_meet() -> None:
    assert sent(tool(None)).status_code == 201
    assert sent(tool(None), {"name": "Two", "slug": "two"}).status_code == 201


def test_after_a_day_a_key_is_new() -> None:
    agency = tool(None)
    sent(agency)
    with time_machine.travel(SYSTEM.now() + timedelta(hours=25)):
        assert sent(agency, {"name": "Two", "slug": "two"}).status_code == 201


def test_what_was_never_answered_is_not_done_again() -> None:
    """The process died in the first try: nobody here knows what it did."""
    agency = tool(None)
    sent(agency)
    ApiAnswer.objects.update(status=None)
    Client.objects.all().delete()
    answer = sent(agency)
    assert answer.status_code == 409
    assert "has not been answered" in answer.json()["detail"]
    assert not Client.objects.exists()


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    assert sent(tool(None), key=key).status_code == 400


def test_who_may_not_do_it_leaves_nothing_behind() -> None:
    assert sent(tool(None, "read")).status_code == 403
    assert not ApiAnswer.objects.exists()


def test_what_is_kept_holds_no_secret(acme: Any) -> None:
    agency = tool(acme.acme)
    body = {"app": "salesmate", "label": "x", "settings": {"subdomain": "acme"}}
    secrets = {"access_key": "canary-1", "secret_key": "canary-2", "session_key": "canary-3"}
    answer = agency.post("accounts/", {**body, "credentials": secrets}, **{"Idempotency-Key": "k"})
    assert answer.status_code == 201
    assert "canary" not in json.dumps(list(ApiAnswer.objects.values_list("body", "request", "location")))
