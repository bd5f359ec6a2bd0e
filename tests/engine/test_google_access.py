"""Access to Google that ends: in the middle of a run, for good, and for several who need it at once."""

from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest
from django.db import connections as databases

from connections import services
from connections.models import Connection, Credential
from connections.services import Refused
from sandbox.google import CONTACTS, EMAIL
from syncer.connectors.base import ConnectorError
from syncer.connectors.oauth import NotAllAllowed
from syncer.engine.run import run_slice
from syncer.models import Link
from tests.engine.google import USERS, GoogleAndSalesmate, google_and_salesmate
from tests.engine.real import ANNA

pytestmark = pytest.mark.django_db
ENDED = "Google Contacts ended our access, or somebody withdrew it there. Authorise the account again."
STEPS = ("connections", "contactGroups", "batchGet", "batchUpdate", "batchCreate")


@pytest.fixture
def world() -> Iterator[GoogleAndSalesmate]:
    with google_and_salesmate() as made:
        for number in range(2):
            made.salesmate_creates(number)
        made.settle()
        made.google_calls()
        yield made


def people_write(world: GoogleAndSalesmate) -> None:
    """Two contacts to change in Google, one to make."""
    for number in range(2):
        world.salesmate_edits(f"p{number}@example.com", designation="Countess", tags="VIP")
    world.salesmate_creates(2, designation="Captain")


def at(world: GoogleAndSalesmate, step: str, act: Callable[[], object]) -> list[str]:
    """Happens once, when a request with this path has been carried out; the list then holds the path."""
    happened: list[str] = []

    def people_act(seen: Any) -> None:
        if step in seen.path and not happened:
            happened.append(seen.path)
            act()

    world.google.people_act = people_act
    return happened


def arrived(world: GoogleAndSalesmate) -> bool:
    people = world.of_google()
    titles = {email: fields["organizations"][0]["title"] for email, fields in people.items()}
    expected = {"p0@example.com": "Countess", "p1@example.com": "Countess", "p2@example.com": "Captain"}
    return titles == expected and len(world.google.account().contacts) == 3


def links(world: GoogleAndSalesmate) -> set[int]:
    return set(Link.objects.filter(connection=world.connection).values_list("pk", flat=True))


@pytest.mark.parametrize("step", STEPS)
def test_access_that_google_ends_in_the_middle_of_a_run_is_renewed_once(world: GoogleAndSalesmate, step: str) -> None:
    before = world.refreshes()
    people_write(world)
    happened = at(world, step, world.google.oauth.end_access)
    assert world.sync().status == "done"
    assert happened
    assert arrived(world)
    assert world.sync().status == "quiet"
    assert world.refreshes()[len(before) :] == [200]
    assert world.account.status == "connected"


@pytest.mark.parametrize("step", STEPS)
def test_access_whose_time_is_over_in_the_middle_of_a_run_is_renewed_before_it_ends(
    world: GoogleAndSalesmate, step: str
) -> None:
    world.google.oauth.end_access()
    world.sync()
    world.clock.forward(3599 - 60 - 5)
    before, refused = len(world.refreshes()), world.refused()
    people_write(world)
    happened = at(world, step, lambda: world.clock.forward(6))
    assert world.sync().status == "done"
    assert happened
    assert arrived(world)
    assert world.sync().status == "quiet"
    assert world.refreshes()[before:] == [200]
    assert world.refused() == refused


@pytest.mark.parametrize("step", STEPS)
def test_access_that_is_withdrawn_ends_the_run_and_nothing_is_asked_until_somebody_authorises(
    world: GoogleAndSalesmate, step: str
) -> None:
    known, before = links(world), len(world.refreshes())
    people_write(world)
    happened = at(world, step, lambda: world.google.oauth.person_withdraws(USERS[0]))
    for _ in range(3):
        outcome = run_slice(world.connection.pk, world.worker)
        world.clock.forward(900)
    assert happened
    assert (world.account.status, world.account.status_text) == ("needs_authorization", ENDED)
    assert (outcome.status, outcome.reason) == ("attention", f"google_contacts: {ENDED}")
    assert set(world.refreshes()[before:]) == {400}
    assert len(world.refreshes()[before:]) == 1
    asked = (len(world.google.log), len(world.salesmate.log))
    for _ in range(5):
        world.clock.forward(3600)
        assert run_slice(world.connection.pk, world.worker).status == "attention"
    assert (len(world.google.log), len(world.salesmate.log)) == asked, "nobody knocks at a closed door"
    world.authorise()
    world.settle()
    assert arrived(world)
    assert known <= links(world)
    assert set(Link.objects.values_list("state", flat=True)) == {"in_sync"}
    assert len(links(world)) == 3


def test_another_login_is_refused_and_the_right_one_keeps_everything(world: GoogleAndSalesmate) -> None:
    known, identity = links(world), world.account.identity
    stored = Credential.of(world.account)
    with pytest.raises(Refused, match=r"This is another login \(ben@example.com\)"):
        world.authorise(user=USERS[1])
    assert (world.account.identity, Credential.of(world.account)) == (identity, stored)
    assert world.account.status_text.startswith("This is another login")
    people_write(world)
    assert run_slice(world.connection.pk, world.worker).status == "done", "the access that is left goes on"
    assert world.google.account(USERS[1]).contacts == {}
    assert world.authorise().label == USERS[0]
    world.settle()
    assert arrived(world)
    assert known <= links(world)
    assert world.google.account(USERS[1]).contacts == {}


def test_what_was_left_out_is_said_in_words(world: GoogleAndSalesmate) -> None:
    with pytest.raises(NotAllAllowed):
        world.authorise(scopes=[EMAIL])
    assert world.account.status == "needs_authorization"
    assert "Left out: See and change contacts. Authorise again" in world.account.status_text
    world.authorise(scopes=[CONTACTS])
    assert world.account.status == "connected"


@pytest.mark.django_db(transaction=True)
def test_two_runs_and_a_click_at_once_renew_once(world: GoogleAndSalesmate) -> None:
    """While the first run renews, the others come: none of them asks too. Google takes each refresh token once."""
    world.google.oauth.levers.rotate = True
    other = second_connection(world)
    people_write(world)
    world.google.oauth.end_access()
    world.clock.forward(3600)
    before, said = len(world.refreshes()), []

    def runs() -> None:
        said.append(run_slice(other.pk, world.worker).status)

    def clicks() -> None:
        try:
            services.check_account(world.account, ANNA, world.worker.connect, world.clock)
        except ConnectorError as error:
            said.append(str(error))

    happened = at(world, "/token", lambda: both(runs, clicks))
    world.sync()
    assert happened
    assert said == ["busy", "The access of google_contacts is being renewed. It is tried again in a moment."]
    assert world.refreshes()[before:] == [200]
    assert arrived(world)
    assert services.check_account(world.account, ANNA, world.worker.connect, world.clock).label == USERS[0]
    run_slice(other.pk, world.worker)
    assert world.refreshes()[before:] == [200]
    assert world.account.status == "connected"


def both(*acts: Callable[[], None]) -> None:
    """One after the other, each in a thread of its own as with another process."""

    def act_and_close(act: Callable[[], None]) -> None:
        try:
            act()
        finally:
            databases.close_all()

    for act in acts:
        thread = Thread(target=act_and_close, args=(act,))
        thread.start()
        thread.join(20)


def second_connection(world: GoogleAndSalesmate) -> Connection:
    made = services.create_connection(
        world.connection.client,
        ANNA,
        name="The same two again",
        connect_to=world.worker.connect,
        clock=world.clock,
        left_account=world.connection.left_account,
        left_book="contacts",
        right_account=world.connection.right_account,
        right_book="contacts",
        review="never",
        create_defaults={"right": {"owner": "1"}},
    )
    services.activate(made, ANNA, world.clock, world.worker.connect)
    return made
