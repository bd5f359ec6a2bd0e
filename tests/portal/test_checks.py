"""What is refused at start, and in which words."""

from typing import Any

import pytest
from django.conf import settings as project
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django import Settings

from connections.models import Account, Client, Credential
from portal.checks import log_triggers, queue_problems, sqlite_problems, stored_secrets
from syncer.audit import triggers

OTHER_KEY = "b3RoZXIta2V5LW90aGVyLWtleS1vdGhlci1rZXktb3RoZXI="
SQLITE: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode = WAL;"},
}


def ids(messages: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def without(option: str) -> dict[str, Any]:
    options = {name: value for name, value in SQLITE["OPTIONS"].items() if name != option}
    return SQLITE | {"OPTIONS": options}


def test_our_own_settings_pass() -> None:
    assert ids(run_checks()) == []


def test_sqlite_as_we_set_it_passes_and_postgresql_is_not_asked() -> None:
    assert sqlite_problems(SQLITE) == []
    assert sqlite_problems({"ENGINE": "django.db.backends.postgresql"}) == []


@pytest.mark.parametrize("option", ["timeout", "transaction_mode", "init_command"])
def test_sqlite_without_one_of_its_options_is_refused(option: str) -> None:
    (problem,) = sqlite_problems(without(option))
    assert problem.id == "portal.E005"
    assert option in problem.msg


def test_sqlite_with_django_s_defaults_is_refused() -> None:
    assert ids(sqlite_problems({"ENGINE": "django.db.backends.sqlite3"})) == ["portal.E005"]


@pytest.mark.parametrize(("queue_limit", "retry", "twice"), [(2, 901, False), (2, 900, True), (4, 960, True)])
def test_a_retry_that_lets_tasks_run_twice_is_refused(queue_limit: int, retry: int, twice: bool) -> None:
    problems = queue_problems({"workers": 2, "queue_limit": queue_limit, "timeout": 300, "retry": retry})
    assert ids(problems) == (["portal.E004"] if twice else [])


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_our_queue_is_right_for_any_number_of_workers(workers: int) -> None:
    assert queue_problems(project.Q_CLUSTER | {"workers": workers, "queue_limit": workers}) == []


@pytest.mark.parametrize("keys", [[], ["short"]])
def test_missing_and_malformed_keys_are_refused(settings: Settings, keys: list[str]) -> None:
    settings.FIELD_ENCRYPTION_KEYS = keys
    assert ids(run_checks()) == ["portal.E002"]


@pytest.mark.django_db
def test_a_credential_that_no_key_opens_stops_the_start(settings: Settings) -> None:
    client = Client.objects.create(name="Acme", slug="acme")
    account = Account.objects.create(client=client, app="salesmate", label="Salesmate")
    Credential.objects.create(account=account, secrets={"session_key": "s3cret"})
    assert stored_secrets(None, databases=["default"]) == []
    settings.FIELD_ENCRYPTION_KEYS = [OTHER_KEY]
    assert ids(stored_secrets(None, databases=["default"])) == ["portal.E003"]
    with pytest.raises(SystemCheckError, match=r"1 stored credential"):
        call_command("check", databases=["default"])


@pytest.mark.django_db
def test_a_history_without_its_triggers_is_named() -> None:
    triggers.install()
    assert log_triggers(None, databases=["default"]) == []
    triggers.remove()
    (problem,) = log_triggers(None, databases=["default"])
    assert problem.id == "portal.W001"
    triggers.install()


def test_no_check_asks_the_database_unless_told_to() -> None:
    assert stored_secrets(None, databases=None) == []
    assert log_triggers(None, databases=None) == []
