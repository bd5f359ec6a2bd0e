"""The main job on real servers: contacts travel between a Radicale book and Salesmate's API."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.audit.verify import verify
from syncer.models import Book, Link, LogChain, SyncLog
from tests.engine.real import Real, card, person, real

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Real]:
    with real(tmp_path) as world:
        yield world


def assert_every_write_is_in_the_log(world: Real, before: tuple[int, int] = (0, 0)) -> None:
    """In the servers' own access logs every write has one intent and one result, and the reverse."""
    dav, crm = world.writes_seen()
    intents, results = world.entries("write.intent"), world.entries("write.result")
    assert Counter(change_of(entry) for entry in intents) == Counter(change_of(entry) for entry in results)
    assert max(Counter(change_of(entry) for entry in intents).values()) == 1
    assert sum(entry.side == "left" for entry in intents) == dav - before[0]
    assert sum(entry.side == "right" for entry in intents) == crm - before[1]
    for side, written in (("left", world.cards_put()), ("right", world.contacts_put())):
        named = Counter(json.loads(entry.payload or "{}")["remote_id"] for entry in results if entry.side == side)
        assert named == written, f"each write of the {side} is of the contact that the log names"
    for chain in LogChain.objects.all():
        assert verify(chain.name).ok


def change_of(entry: SyncLog) -> str:
    return str(json.loads(entry.header)["change"])


# In one transaction around all PostgreSQL could never tidy up after the rows that are updated again and again.
@pytest.mark.proves("I14", "I15")
@pytest.mark.django_db(transaction=True)
def test_a_thousand_contacts_travel_and_then_nothing_moves(world: Real) -> None:
    world.radicale.fill("alice", [person(n) for n in range(600)])
    for n in range(500, 1000):
        world.salesmate.person_create(firstName=f"Given{n}", lastName=f"Fämily{n}", email=f"p{n}@example.com", owner=1)
    seeding = world.writes_seen()
    outcome = world.sync()
    assert outcome.status == "done", outcome
    assert len(world.people()) == 1000
    assert Link.objects.filter(state="in_sync").count() == 1000
    assert_every_write_is_in_the_log(world, seeding)
    world.settle()
    world.clock.forward(300)
    world.radicale.requests.clear()
    world.salesmate.log.clear()
    assert world.sync().status == "quiet"
    assert len(world.radicale.requests) <= 2 and len(world.salesmate.log) <= 2
    assert world.writes_seen() == (0, 0)


@pytest.fixture
def ada(world: Real) -> Real:
    """Ada in both, in sync."""
    world.radicale.fill(
        "alice", [card("ada", "FN:Ada Lovelace", "N:Lovelace;Ada;;;", "EMAIL:ada@example.com", "X-MINE:1")]
    )
    world.settle()
    return world


def edit_card(world: Real, old: str, new: str) -> None:
    text = world.radicale.read("alice", "ada")
    assert old in text
    world.radicale.place("alice", "ada", text.replace(old, new))


def test_edits_on_each_side_do_what_the_rules_say(ada: Real) -> None:
    number = ada.number("ada@example.com")
    ada.salesmate.person_edit(number, designation="Countess")
    edit_card(ada, "FN:Ada Lovelace", "FN:Ada Lovelace\r\nNOTE:First programmer")
    ada.settle()
    assert "TITLE:Countess" in ada.radicale.read("alice", "ada")
    assert "X-MINE:1" in ada.radicale.read("alice", "ada")
    assert ada.people()["ada@example.com"]["description"] == "First programmer"
    edit_card(ada, "TITLE:Countess", "TITLE:From the card")
    ada.salesmate.person_edit(number, designation="From Salesmate")
    ada.settle()
    assert ada.people()["ada@example.com"]["designation"] == "From the card"
    assert '"From Salesmate"' in (ada.entries("write.intent")[-1].payload or "")


def test_a_new_address_travels_and_a_removed_one_stops_the_pair(ada: Real) -> None:
    number = ada.number("ada@example.com")
    ada.salesmate.person_edit(number, email="countess@example.com")
    ada.settle()
    assert "countess@example.com" in ada.radicale.read("alice", "ada")
    ada.salesmate.person_edit(number, email="", designation="Not carried")
    ada.settle()
    assert "countess@example.com" in ada.radicale.read("alice", "ada")
    assert "Not carried" not in ada.radicale.read("alice", "ada")
    assert Link.objects.get(state="held").reason == "the e-mail address was removed on one side"


def test_a_contact_deleted_in_salesmate_gets_the_tag_in_the_book(ada: Real) -> None:
    ada.salesmate.person_delete(ada.number("ada@example.com"))
    ada.settle()
    assert "PieSync Trash" in ada.radicale.read("alice", "ada")


def test_a_card_deleted_in_the_book_gets_the_tag_in_salesmate(ada: Real) -> None:
    ada.radicale._ask("DELETE", "alice/book/ada.vcf", "alice", None)
    ada.settle()
    assert ada.people()["ada@example.com"]["tags"] == "PieSync Trash"
    ada.settle()
    assert len(ada.people()) == 1


@pytest.mark.proves("I21")
def test_a_broken_card_stops_nobody_else(world: Real) -> None:
    world.radicale.fill("alice", [person(1), person(2)])
    world.radicale.place("alice", "broken", "BEGIN:VCARD\r\nthis is not a card\r\n")
    world.sync()
    assert set(world.people()) == {"p1@example.com", "p2@example.com"}


def test_salesmate_answering_with_a_web_page_loses_nothing(world: Real) -> None:
    world.radicale.fill("alice", [person(n) for n in range(3)])
    world.salesmate.fault("html_200", path="/search", times=5)
    outcome = world.sync()
    assert outcome.status == "failed" and "web page" in outcome.reason
    world.settle()
    assert len(world.people()) == 3


@pytest.mark.proves("I26", "E2 emptied book")
def test_an_empty_listing_where_contacts_were_stops_everything(ada: Real) -> None:
    before = ada.radicale.read("alice", "ada")
    ada.salesmate.levers.empty_listing = True
    Book.objects.update(full_wanted=True)
    ada.sync()
    ada.sync()
    assert ada.radicale.read("alice", "ada") == before
    ada.salesmate.levers.empty_listing = False
    ada.settle()
    assert Link.objects.get().state == "in_sync"
