"""/healthz and /readyz: open, quick, and silent about everything but the names of the parts."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client as Browser
from pytest_django import Settings

from connections.models import Account, Client, Credential
from portal import views
from portal.clock import SYSTEM
from syncer.audit import triggers
from syncer.models import Heartbeat

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
OTHER_KEY = "b3RoZXIta2V5LW90aGVyLWtleS1vdGhlci1rZXktb3RoZXI="


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def everything(db: None) -> None:
    triggers.install()
    Heartbeat.objects.create(name="worker", at=NOW)
    client = Client.objects.create(name="Acme", slug="acme")
    account = Account.objects.create(client=client, app="salesmate", label="Salesmate")
    Credential.objects.create(account=account, secrets={"session_key": "s3cret-canary"})


def not_ok() -> dict[str, str]:
    return {name: answer for name, answer in views.readiness(Noon()).items() if answer != "ok"}


def test_alive_needs_no_database(client: Browser) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.usefixtures("everything")
def test_ready_names_every_part(client: Browser) -> None:
    assert not_ok() == {}
    assert list(views.readiness(Noon())) == ["database", "migrations", "history", "secrets", "worker", "cache"]


@pytest.mark.usefixtures("everything")
def test_ready_answers_200_without_a_login(client: Browser) -> None:
    Heartbeat.objects.update(at=SYSTEM.now())
    response = client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "ok")


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(("minutes", "silent"), [(2, False), (3, False), (4, True)])
def test_a_silent_worker_is_noticed(minutes: int, silent: bool) -> None:
    Heartbeat.objects.update(at=NOW - timedelta(minutes=minutes))
    assert ("worker" in not_ok()) == silent


@pytest.mark.usefixtures("everything")
def test_one_worker_that_reports_is_enough() -> None:
    Heartbeat.objects.create(name="old", at=NOW - timedelta(days=3))
    assert not_ok() == {}


@pytest.mark.usefixtures("everything")
def test_a_heartbeat_from_the_future_hides_no_silence() -> None:
    Heartbeat.objects.create(name="fast clock", at=NOW + timedelta(hours=1))
    assert not_ok() == {}
    Heartbeat.objects.filter(name="worker").update(at=NOW - timedelta(minutes=4))
    assert "for 4 minutes" in not_ok()["worker"]
    Heartbeat.objects.filter(name="worker").delete()
    assert "the clock of a worker is wrong" in not_ok()["worker"]


@pytest.mark.usefixtures("everything")
def test_no_worker_yet_is_503(client: Browser) -> None:
    Heartbeat.objects.all().delete()
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "no worker" in response.json()["parts"]["worker"]


@pytest.mark.usefixtures("everything")
def test_missing_triggers_are_noticed() -> None:
    triggers.remove()
    assert list(not_ok()) == ["history"]
    triggers.install()


@pytest.mark.usefixtures("everything")
def test_unreadable_secrets_are_counted_not_shown(client: Browser, settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [OTHER_KEY]
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["parts"]["secrets"].startswith("1 credential(s) cannot be read")
    assert OTHER_KEY not in response.text
    assert "canary" not in response.text


@pytest.mark.usefixtures("everything")
def test_malformed_keys_are_said(settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = ["short"]
    assert "FIELD_ENCRYPTION_KEYS" in not_ok()["secrets"]


@pytest.mark.usefixtures("everything")
def test_a_cache_that_is_down_is_named_without_its_address(settings: Settings) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://:s3cret-canary@127.0.0.1:1/0",
        }
    }
    assert list(not_ok()) == ["cache"]
    assert "canary" not in str(not_ok())
    del settings.CACHES


@pytest.mark.usefixtures("everything")
def test_ready_costs_few_queries(django_assert_max_num_queries: object) -> None:
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        views.readiness(Noon())
