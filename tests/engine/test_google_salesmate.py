"""Google Contacts and Salesmate, synced through the engine: to quiet, counted by the servers' own logs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from syncer.models import Link, Record, SyncLog
from tests.engine.google import GoogleAndSalesmate, google_and_salesmate

pytestmark = pytest.mark.django_db

QUIET = ["GET contactGroups", "GET connections"]


@pytest.fixture
def world() -> Iterator[GoogleAndSalesmate]:
    with google_and_salesmate() as made:
        yield made


def paired(world: GoogleAndSalesmate) -> GoogleAndSalesmate:
    world.google_creates(1, organizations=[{"title": "Analyst"}], phoneNumbers=[{"value": "+31612345678"}])
    world.salesmate_creates(2, designation="Captain", tags="VIP,Press")
    world.settle()
    world.google_calls()
    return world


@pytest.mark.proves("I14")
def test_both_apps_come_to_hold_everybody_and_then_nothing_happens(world: GoogleAndSalesmate) -> None:
    paired(world)
    everybody = {"p1@example.com", "p2@example.com"}
    assert set(world.of_google()) == set(world.of_salesmate()) == everybody
    assert world.of_salesmate()["p1@example.com"]["otherPhone"] == "+31612345678"
    assert world.of_google()["p2@example.com"]["organizations"][0]["title"] == "Captain"
    assert world.labels_of("p2@example.com") == {"VIP", "Press"}
    assert set(Link.objects.values_list("state", flat=True)) == {"in_sync"}
    for _ in range(3):
        world.clock.forward(300)
        assert world.sync().status == "quiet"
        assert world.google_calls() == QUIET


def test_edits_travel_both_ways_and_what_is_not_mapped_stays(world: GoogleAndSalesmate) -> None:
    paired(world)
    fax = {"value": "020 1", "type": "workFax"}
    world.google_edits("p2@example.com", phoneNumbers=[fax, {"value": "+31201111111", "type": "work"}])
    world.salesmate_edits("p1@example.com", designation="Queen", mobile="+31698765432")
    world.settle()
    assert world.of_salesmate()["p2@example.com"]["phone"] == "+31201111111"
    ada = world.of_google()["p1@example.com"]
    assert ada["organizations"][0]["title"] == "Queen"
    assert [one["value"] for one in ada["phoneNumbers"]] == ["+31612345678", "+31698765432"]
    world.salesmate_edits("p2@example.com", phone="+31202222222")
    world.settle()
    assert [one["value"] for one in world.of_google()["p2@example.com"]["phoneNumbers"]] == ["020 1", "+31202222222"]


@pytest.mark.proves("E2 late feeds", "I2")
def test_old_news_of_google_does_not_undo_what_was_written_since() -> None:
    with google_and_salesmate(feed_delay=400) as world:
        world.google_creates(1, organizations=[{"title": "Analyst"}])
        world.clock.forward(600)
        world.settle()
        world.google_edits("p1@example.com", biographies=[{"value": "note"}])
        world.salesmate_edits("p1@example.com", designation="Countess")
        world.sync()
        world.salesmate_edits("p1@example.com", designation="Queen")
        world.sync()
        for _ in range(4):
            world.clock.forward(200)
            world.sync()
        assert world.of_google()["p1@example.com"]["organizations"][0]["title"] == "Queen"
        assert world.of_salesmate()["p1@example.com"]["designation"] == "Queen"
        assert world.of_salesmate()["p1@example.com"]["description"] == "note"


@pytest.mark.proves("I11", "E7 creates")
@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "unavailable_503_after"])
def test_creates_whose_answer_was_lost_are_found_by_their_marks(kind: str) -> None:
    with google_and_salesmate(feed_delay=120) as world:
        for number in range(5):
            world.salesmate_creates(number)
        world.google.fault(kind, path="batchCreate")
        world.sync()
        for _ in range(4):
            world.clock.forward(400)
            world.sync()
        assert len(world.google.account().contacts) == 5
        assert set(Link.objects.values_list("state", flat=True)) == {"in_sync"}


@pytest.mark.proves("I27", "E8 trash tag")
def test_a_deletion_is_a_label_in_google_and_a_tag_in_salesmate(world: GoogleAndSalesmate) -> None:
    paired(world)
    world.salesmate.person_delete(int(world.of_salesmate()["p1@example.com"]["id"]))
    world.google.account().person_delete(world.name_of("p2@example.com"))
    world.settle()
    assert world.labels_of("p1@example.com") == {"PieSync Trash"}
    assert "PieSync Trash" in world.of_salesmate()["p2@example.com"]["tags"]
    assert len(world.of_google()) == len(world.of_salesmate()) == 1


@pytest.mark.proves("E2 expired cursor", "I27")
def test_an_expired_place_is_a_full_pass_and_nobody_is_missed_or_deleted(world: GoogleAndSalesmate) -> None:
    paired(world)
    world.google_creates(3)
    world.clock.forward(8 * 86400)
    world.settle()
    assert set(world.of_salesmate()) == {f"p{number}@example.com" for number in (1, 2, 3)}
    assert not Record.objects.exclude(state="live").exists()
    assert world.google_calls().count("GET connections") >= 2


def test_a_label_that_people_rename_is_renamed_on_the_other_side(world: GoogleAndSalesmate) -> None:
    paired(world)
    account = world.google.account()
    vip = next(group for group in account.living_groups() if group.name == "VIP")
    account.keep_group(replace(vip, name="Old friends"))
    world.settle()
    assert world.of_salesmate()["p2@example.com"]["tags"].split(",") == ["Old friends", "Press"]
    assert world.labels_of("p2@example.com") == {"Old friends", "Press"}


@pytest.mark.proves("E2 renames")
def test_a_contact_with_another_name_stays_the_same_one(world: GoogleAndSalesmate) -> None:
    paired(world)
    links = set(Link.objects.values_list("pk", flat=True))
    world.google.account().person_rename(world.name_of("p1@example.com"))
    world.settle()
    world.google_edits("p1@example.com", biographies=[{"value": "after"}])
    world.settle()
    assert world.of_salesmate()["p1@example.com"]["description"] == "after"
    assert set(Link.objects.values_list("pk", flat=True)) == links


@pytest.mark.parametrize("step", ["batchGet", "batchUpdate", "members:modify", "contactGroups"])
@pytest.mark.proves("I1", "I2")
def test_what_somebody_writes_at_any_step_reaches_the_other_side(world: GoogleAndSalesmate, step: str) -> None:
    """Two contacts are written with labels; meanwhile one of them is edited in Google."""
    paired(world)
    left = [1]

    def meddle(seen: Any) -> None:
        if step in seen.path and left[0]:
            left[0] -= 1
            world.google_edits("p1@example.com", biographies=[{"value": "hers"}], urls=[{"value": "https://h.example"}])

    for number in (1, 2):
        world.salesmate_edits(f"p{number}@example.com", description="ours", designation="T", tags="New")
    world.google.people_act = meddle
    world.settle()
    assert left == [0]
    google, salesmate = world.of_google()["p1@example.com"], world.of_salesmate()["p1@example.com"]
    assert salesmate["website"] == google["urls"][0]["value"] == "https://h.example"
    assert salesmate["designation"] == google["organizations"][0]["title"] == "T"
    assert salesmate["description"] == google["biographies"][0]["value"]
    assert world.labels_of("p1@example.com") == {"New"}


STEPS = ["connections", "contactGroups", "batchGet", "batchUpdate", "members:modify", "batchCreate"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.proves("I2")
def test_what_somebody_typed_at_any_step_stands_there_or_in_the_log(
    world: GoogleAndSalesmate, step: str, skip: int
) -> None:
    """Updates with labels, a create and a deletion's label are on their way; at the step somebody edits all of them.
    `typed` holds what people wrote last, by place: what they replaced themselves is no loss."""
    world.salesmate_creates(3)
    paired(world)
    typed: dict[tuple[str, str], str] = {}
    left = [skip + 1]

    def type_into(email: str, text: str) -> None:
        typed["Google's note", email], typed["Google's title", email] = text, text.upper()
        world.google_edits(email, biographies=[{"value": text}], organizations=[{"title": text.upper()}])

    def meddle(seen: Any) -> None:
        if step in seen.path and left[0] > 0:
            left[0] -= 1
            for number in (1, 2, 3):
                type_into(f"p{number}@example.com", f"hers {number} at {seen.path} {left[0]}")

    for number in (1, 2):
        type_into(f"p{number}@example.com", f"before {number}")
        world.salesmate_edits(
            f"p{number}@example.com", description=f"ours {number}", mobile=f"+3161234567{number}", tags="New"
        )
        typed["Salesmate", f"p{number}@example.com"] = f"ours {number}"
    world.salesmate_creates(4, description="ours 4", tags="New")
    world.salesmate.person_delete(int(world.of_salesmate()["p3@example.com"]["id"]))
    world.google.people_act = meddle
    world.settle()
    world.google.people_act = lambda seen: None
    assert left[0] <= skip, "somebody came in between"
    stands = f"{world.of_google()} {world.of_salesmate()}"
    log = " ".join(payload or "" for payload in SyncLog.objects.values_list("payload", flat=True))
    assert [text for text in typed.values() if text not in stands and text not in log] == []
    assert world.labels_of("p3@example.com") >= {"PieSync Trash"}
    assert set(world.of_google()) == {f"p{number}@example.com" for number in (1, 2, 3, 4)}
    for email, there in world.of_salesmate().items():
        assert there["description"] == world.of_google()[email]["biographies"][0]["value"]


@pytest.mark.proves("I14")
def test_what_a_thousand_new_contacts_and_two_hundred_edits_cost(world: GoogleAndSalesmate) -> None:
    cost_of_new_contacts_and_edits(world, 1000)


@pytest.mark.deep
@pytest.mark.proves("I14")
def test_what_five_thousand_new_contacts_and_two_hundred_edits_cost(world: GoogleAndSalesmate) -> None:
    cost_of_new_contacts_and_edits(world, 5000)


def cost_of_new_contacts_and_edits(world: GoogleAndSalesmate, count: int) -> None:
    """Out to Google: pages, batches of 200 and a dozen calls; edits of mapped fields eight; nothing new, two."""
    for number in range(count):
        world.salesmate_creates(number, tags="VIP")
    world.sync()
    world.sync()
    calls = world.google_calls()
    assert len(world.google.account().contacts) == count
    assert calls.count("POST people:batchCreateContacts") == count // 200
    assert len(calls) <= count // 1000 + count // 200 + 12, calls
    world.settle()
    world.google_calls()
    for number in range(200):
        world.salesmate_edits(f"p{number}@example.com", designation=f"T{number}", mobile=f"+3161234{number:04}")
    world.sync()
    calls = world.google_calls()
    people = world.of_google()
    titles = [people[f"p{number}@example.com"]["organizations"][0]["title"] for number in range(200)]
    assert titles == [f"T{number}" for number in range(200)]
    assert len(calls) <= 8, calls
    world.settle()
    world.google_calls()
    assert world.sync().status == "quiet"
    assert world.google_calls() == QUIET
