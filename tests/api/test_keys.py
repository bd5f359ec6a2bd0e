"""API keys: what is stored of them, what they open, and when they stop."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from connections.keys import create_key, find_key, revoke_key
from connections.models import ApiKey, Client
from connections.services import Refused
from portal.clock import SYSTEM
from syncer.models import SyncLog
from tests.api.desk import ALL, Tool, tool

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme_only() -> Client:
    return Client.objects.create(name="Acme", slug="acme")


def test_only_a_hash_of_it_is_stored(acme_only: Client) -> None:
    key, text = create_key(acme_only, "anna", name="The warehouse", scopes=["read"])
    stored = " ".join(str(value) for value in ApiKey.objects.values_list().get())
    assert text.partition(f"cpk_{key.prefix}_")[2] not in stored
    assert len(text) > 40


def test_it_says_who_it_is(acme_only: Client) -> None:
    _, text = create_key(acme_only, "anna", name="The warehouse", scopes=["sync", "read"])
    said = Tool(text).get("me/").json()
    assert said["name"] == "The warehouse"
    assert said["client"] == {"code": str(acme_only.code), "name": "Acme", "slug": "acme", "four_eyes": False}
    assert said["scopes"] == ["read", "sync"]
    assert said["expires_at"] is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer x",
        "Bearer x y",
        "Basic YTpi",
        "Bearer cpk_k00000000000_" + "a" * 43,
        "Bearer \xff",
        "cpk_a_b",
    ],
)
def test_without_a_valid_key_nothing_opens(header: str) -> None:
    answer = Tool().get("me/", **({"Authorization": header} if header else {}))
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:counterpart:problem:no-key"


def test_a_changed_secret_opens_nothing(acme_only: Client) -> None:
    _, text = create_key(acme_only, "anna", name="x", scopes=["read"])
    other = text[:-1] + ("a" if text[-1] != "a" else "b")
    assert Tool(other).get("me/").status_code == 401


def test_a_revoked_key_opens_nothing_and_its_end_is_on_record(acme_only: Client) -> None:
    key, text = create_key(acme_only, "anna", name="x", scopes=["read"])
    revoke_key(key, "bert")
    assert Tool(text).get("me/").status_code == 401
    entries = SyncLog.objects.filter(kind__startswith="key.").order_by("pk").values_list("kind", "actor")
    assert list(entries) == [("key.created", "anna"), ("key.revoked", "bert")]
    with pytest.raises(Refused, match="already"):
        revoke_key(key, "bert")


def test_an_expired_key_opens_nothing(acme_only: Client) -> None:
    now = SYSTEM.now()
    _, text = create_key(acme_only, "anna", name="x", scopes=["read"], expires_at=now + timedelta(days=1))
    assert Tool(text).get("me/").status_code == 200
    with time_machine.travel(now + timedelta(days=1, seconds=1)):
        assert Tool(text).get("me/").status_code == 401


def test_its_last_use_is_noted_once_a_minute(acme_only: Client, django_assert_num_queries: Any) -> None:
    key, text = create_key(acme_only, "anna", name="x", scopes=["read"])
    with time_machine.travel(SYSTEM.now(), tick=False):
        assert find_key(text) is not None
        with django_assert_num_queries(1):
            assert find_key(text) is not None
        key.refresh_from_db()
        assert key.last_used_at == SYSTEM.now()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": " "}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["read", "root"]}, "scopes"),
        ({"expires_at": SYSTEM.now() - timedelta(days=1)}, "expires_at"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        create_key(None, "anna", **{"name": "x", "scopes": ["read"], **given})
    assert field in refused.value.message_dict
    assert not ApiKey.objects.exists()


def test_the_command_makes_the_client_and_prints_the_key_alone() -> None:
    out = StringIO()
    call_command("create_api_key", client="globex", scopes="read,manage", stdout=out)
    text = out.getvalue()
    assert text.count("\n") == 1
    said = Tool(text.strip()).get("me/").json()
    assert (said["client"]["slug"], said["scopes"]) == ("globex", ["read", "manage"])
    call_command("create_api_key", client="globex", scopes="read", stdout=StringIO())
    assert Client.objects.count() == 1


def test_the_command_says_what_is_wrong() -> None:
    with pytest.raises(CommandError, match="no scope root"):
        call_command("create_api_key", client="globex", scopes="root")
    with pytest.raises(CommandError, match="slug"):
        call_command("create_api_key", client="Not a slug!", scopes="read")


def test_a_key_of_the_agency_sees_every_client(acme_only: Client) -> None:
    Client.objects.create(name="Globex", slug="globex")
    assert [one["slug"] for one in tool(None, *ALL).get("clients/").json()["results"]] == ["acme", "globex"]
    assert tool(acme_only, *ALL).get("clients/").status_code == 403


def test_too_many_calls_are_told_to_wait(acme_only: Client, settings: Any) -> None:
    settings.API_RATE = "3/minute"
    busy, other = tool(acme_only, "read"), tool(acme_only, "read")
    answers = [busy.get("me/") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60
    assert answers[-1].json()["type"] == "urn:counterpart:problem:throttled"
    assert other.get("me/").status_code == 200
