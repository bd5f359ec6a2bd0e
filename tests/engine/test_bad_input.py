"""Whatever an app or a person gets wrong: a clear reason, nothing lost, the other contacts synced."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError

from connections import services
from connections.models import Account
from syncer.connectors.base import AuthFailed, ConnectorError, Misconfigured, Transient
from syncer.models import Link, Record, SyncRun
from tests.contract.salesmate import KEYS
from tests.engine.real import ANNA, Real, person, real

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Real]:
    with real(tmp_path) as world:
        world.radicale.fill("alice", [person(n) for n in range(5)])
        world.settle()
        yield world


def other_account(world: Real, app: str, settings: dict[str, str], credentials: dict[str, str]) -> Account:
    client = world.connection.client
    return services.create_account(
        client, ANNA, app=app, label="another", settings=settings, credentials=credentials, clock=world.clock
    )


def refused(world: Real, account: Account, error: type[ConnectorError]) -> str:
    with pytest.raises(error) as caught:
        services.check_account(account, ANNA, clock=world.clock)
    account.refresh_from_db()
    assert account.status == Account.Status.NEEDS_AUTHORIZATION
    assert account.status_text == str(caught.value) or error is Transient
    return str(caught.value)


def test_a_wrong_key_is_named(world: Real) -> None:
    wrong = {**KEYS, "session_key": KEYS["access_key"]}
    reason = refused(world, other_account(world, "salesmate", {"subdomain": "acme"}, wrong), AuthFailed)
    assert "session key" in reason and KEYS["access_key"] not in reason


def test_a_wrong_subdomain_is_named(world: Real) -> None:
    account = other_account(world, "salesmate", {"subdomain": "emca"}, KEYS)
    assert "emca" in refused(world, account, Misconfigured)


def test_something_else_than_a_subdomain_is_refused_at_once(world: Real) -> None:
    with pytest.raises(ValidationError, match="subdomain"):
        other_account(world, "salesmate", {"subdomain": "acme.example.com"}, KEYS)


def test_a_host_that_does_not_answer_is_said(world: Real) -> None:
    settings = {"url": "http://127.0.0.1:9/", "username": "alice"}
    assert "127.0.0.1" in refused(world, other_account(world, "carddav", settings, {"password": "x"}), Transient)


def test_a_private_address_is_refused_unless_allowed(world: Real, settings: object) -> None:
    settings.ALLOW_PRIVATE_HOSTS = False  # type: ignore[attr-defined]
    given = {"url": "https://127.0.0.1:9/", "username": "alice"}
    reason = refused(world, other_account(world, "carddav", given, {"password": "x"}), Misconfigured)
    assert "private" in reason or "ALLOW_PRIVATE_HOSTS" in reason


def test_a_key_that_stops_working_stops_the_connection_and_loses_nothing(world: Real) -> None:
    world.salesmate.session_key = "regenerated"
    world.radicale.place("alice", "uid-9", person(9))
    world.clock.forward(300)
    assert world.sync().status == "failed"
    account = world.connection.right_account
    account.refresh_from_db()
    assert account.status == Account.Status.NEEDS_AUTHORIZATION
    assert world.sync().status == "attention"
    services.update_account(account, ANNA, credentials={**KEYS, "session_key": "regenerated"}, clock=world.clock)
    services.check_account(account, ANNA, clock=world.clock)
    world.settle()
    assert "p9@example.com" in world.people()


def test_a_web_page_instead_of_data_fails_the_run_with_that_reason(world: Real) -> None:
    world.radicale.place("alice", "uid-9", person(9))
    world.salesmate.fault("html_200", path="/search", times=9)
    world.clock.forward(300)
    assert world.sync().status == "failed"
    assert "web page" in SyncRun.objects.latest("id").error
    world.salesmate.faults.clear()
    world.settle()
    assert "p9@example.com" in world.people()


@pytest.mark.proves("I21", "I22")
def test_a_card_that_cannot_be_read_is_named_and_the_others_travel(world: Real) -> None:
    world.radicale.place("alice", "uid-9", person(9))
    world.radicale.place(
        "alice",
        "odd",
        person(10).replace("uid-10", "odd").replace("EMAIL;TYPE=INTERNET:p10", "EMAIL;TYPE=INTERNET:p10\x01"),
    )
    world.settle()
    assert "p9@example.com" in world.people()


@pytest.mark.proves("I26")
def test_a_listing_that_is_cut_deletes_nobody(world: Real) -> None:
    world.salesmate.fault("cut_body", path="/search", times=9)
    world.clock.forward(300)
    assert world.sync().status == "failed"
    world.salesmate.faults.clear()
    world.settle()
    assert Record.objects.exclude(state="live").count() == 0
    assert Link.objects.filter(state="in_sync").count() == 5


# In one transaction around all PostgreSQL could never tidy up after the rows that are updated again and again.
@pytest.mark.proves("I12", "I26", "E2 complete")
@pytest.mark.django_db(transaction=True)
def test_a_listing_that_misses_rows_deletes_nobody_and_creates_nobody(tmp_path: Path) -> None:
    with real(tmp_path) as world:
        for n in range(300):
            world.salesmate.person_create(firstName="P", lastName=str(n), email=f"p{n}@example.com", owner=1)
        world.salesmate.levers.unstable_paging = True
        world.settle()
        assert len(list(world.radicale.book_folder("alice").glob("*.vcf"))) == 300
        assert Record.objects.exclude(state="live").count() == 0
