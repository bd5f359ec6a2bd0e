"""Mailchimp with other apps, through the engine: to quiet, counted by the servers' own logs."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connections.models import Connection
from syncer.models import Hold, Link, OptOut, Record
from tests.engine.floor import Floor, floor, person

pytestmark = pytest.mark.django_db
TAG = "PieSync Unsubscribes"
LIST = "/lists/a36b032126"
UNSUBSCRIBES = {"sync_unsubscribes": "to_right", "sync_deletions": "both"}


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Floor]:
    """Mailchimp and Salesmate."""
    with floor(tmp_path, "mailchimp", "salesmate") as made:
        yield made


def paired(found: Floor, count: int = 3, **options: Any) -> Connection:
    connection = found.connection("mailchimp", "salesmate", **{**UNSUBSCRIBES, **options})
    for number in range(count):
        found.sides["mailchimp"].creates(person(number, tags=[]))
    found.settle(connection)
    found.sides["mailchimp"].calls()
    return connection


def rows(found: Floor) -> dict[str, dict[str, Any]]:
    return {row["email"]: row for row in found.sides["salesmate"].rows()}


def links() -> set[int]:
    return set(Link.objects.exclude(state="superseded").values_list("pk", flat=True))


@pytest.mark.proves("I14")
def test_a_quiet_pass_is_two_calls(found: Floor) -> None:
    connection = paired(found)
    for _ in range(3):
        found.clock.forward(900)
        assert found.sync(connection).status == "quiet"
        assert found.sides["mailchimp"].calls() == [f"GET {LIST}/members"] * 2


@pytest.mark.proves("I9", "E8 unsubscribes")
def test_who_unsubscribes_in_mailchimp_gets_the_tag_in_salesmate(found: Floor) -> None:
    connection = paired(found)
    audience = found.sides["mailchimp"].audience
    audience.person_unsubscribes("p0@x.example")
    audience.mail_bounces("p1@x.example")
    found.settle(connection)
    assert [rows(found)[f"p{n}@x.example"]["tags"] for n in range(3)] == [TAG, TAG, ""]
    found.sides["salesmate"].edits("p0@x.example", tags=[])
    found.settle(connection)
    assert rows(found)["p0@x.example"]["tags"] == ""
    assert found.sides["mailchimp"].statuses() == {
        "p0@x.example": "unsubscribed",
        "p1@x.example": "cleaned",
        "p2@x.example": "subscribed",
    }
    assert not [call for call in found.sides["mailchimp"].calls() if not call.startswith("GET")]


@pytest.mark.proves("I9")
def test_edits_of_who_has_opted_out_travel_and_their_status_stays(found: Floor) -> None:
    connection = paired(found)
    audience = found.sides["mailchimp"].audience
    audience.person_unsubscribes("p0@x.example")
    audience.mail_bounces("p1@x.example")
    audience.person_archives("p2@x.example")
    before = found.sides["mailchimp"].statuses()
    for number in range(3):
        found.sides["salesmate"].edits(f"p{number}@x.example", given=f"New{number}")
    found.settle(connection)
    assert {one["given"] for one in found.sides["mailchimp"].people()} == {"New0", "New1", "New2"}
    assert found.sides["mailchimp"].statuses() == before


@pytest.mark.proves("I9", "I11")
def test_who_is_in_the_audience_in_whatever_state_is_linked_and_not_created(found: Floor) -> None:
    audience = found.sides["mailchimp"].audience
    for number in range(3):
        found.sides["mailchimp"].creates(person(number, tags=[]))
        found.sides["salesmate"].creates(person(number, tags=[]))
    audience.person_archives("p0@x.example")
    audience.person_unsubscribes("p1@x.example")
    audience.mail_bounces("p2@x.example")
    connection = found.connection("mailchimp", "salesmate", **UNSUBSCRIBES)
    found.settle(connection)
    assert found.sides["mailchimp"].statuses() == {
        "p0@x.example": "archived",
        "p1@x.example": "unsubscribed",
        "p2@x.example": "cleaned",
    }
    assert len(rows(found)) == 3
    assert not [call for call in found.sides["mailchimp"].calls() if not call.startswith("GET")]


@pytest.mark.proves("I9")
def test_an_address_that_mailchimp_has_forgotten_is_refused_once_and_says_why(found: Floor) -> None:
    connection = paired(found, 1)
    audience = found.sides["mailchimp"].audience
    audience.person_adds("gone@x.example", "subscribed")
    audience.person_deletes("gone@x.example")
    found.sides["salesmate"].creates(person(7, email="gone@x.example", tags=[]))
    found.settle(connection)
    link = Link.objects.get(right__match_key="gone@x.example")
    assert (link.state, "Mailchimp was told to forget this address" in link.reason) == ("failing", True)
    found.sides["mailchimp"].calls()
    found.clock.forward(7 * 86400)
    found.settle(connection)
    assert f"POST {LIST}" not in found.sides["mailchimp"].calls(), "not asked again for what cannot change"


@pytest.mark.proves("E2 renames")
@pytest.mark.parametrize("where", ["mailchimp", "salesmate"])
def test_a_new_address_keeps_the_link(found: Floor, where: str) -> None:
    connection = paired(found)
    known = links()
    found.sides[where].edits("p0@x.example", email="countess@x.example")
    found.settle(connection)
    assert "countess@x.example" in rows(found)
    assert "countess@x.example" in found.sides["mailchimp"].statuses()
    assert len(found.sides["mailchimp"].statuses()) == len(rows(found)) == 3
    assert links() == known


@pytest.mark.proves("I9")
def test_nobody_moves_to_an_address_that_opted_out(found: Floor) -> None:
    connection = paired(found)
    audience = found.sides["mailchimp"].audience
    audience.person_unsubscribes("p0@x.example")
    found.settle(connection)
    audience.person_edits("p0@x.example", email="elsewhere@x.example")
    found.settle(connection)
    found.sides["salesmate"].edits("p1@x.example", email="p0@x.example")
    found.settle(connection)
    assert found.sides["mailchimp"].statuses()["p1@x.example"] == "subscribed"
    assert Hold.objects.get(resolved=None).kind == "consent"


@pytest.mark.proves("I27", "E8 trash tag")
def test_deletions_are_tags_and_an_archived_member_is_not_deleted(found: Floor) -> None:
    connection = paired(found)
    audience = found.sides["mailchimp"].audience
    audience.person_archives("p0@x.example")
    audience.person_deletes("p1@x.example")
    found.sides["salesmate"].deletes("p2@x.example")
    found.settle(connection)
    assert "PieSync Trash" not in (rows(found)["p1@x.example"]["tags"] or ""), "nothing tells of it before a full pass"
    found.clock.forward(86400)
    found.settle(connection)
    assert rows(found)["p0@x.example"]["tags"] == ""
    assert rows(found)["p1@x.example"]["tags"] == "PieSync Trash"
    members = {one["email"]: one["tags"] for one in found.sides["mailchimp"].people()}
    assert members == {"p0@x.example": [], "p2@x.example": ["PieSync Trash"]}


@pytest.mark.proves("I11", "E7 creates")
@pytest.mark.parametrize(
    "kind", ["drop_after", "drop_before", "internal_500_after", "cut_json", "busy_429", "bare_403"]
)
def test_creates_whose_answer_was_lost_are_found_by_their_address(found: Floor, kind: str) -> None:
    connection = paired(found, 0)
    for number in range(5):
        found.sides["salesmate"].creates(person(number))
    found.sides["mailchimp"].app.fault(kind, "POST", LIST)
    found.sync(connection)
    for _ in range(6):
        found.clock.forward(700)
        found.sync(connection)
    assert sorted(found.sides["mailchimp"].statuses()) == [f"p{n}@x.example" for n in range(5)]
    assert set(Link.objects.exclude(state="superseded").values_list("state", flat=True)) == {"in_sync"}


@pytest.mark.proves("I1", "I2")
@pytest.mark.parametrize("step", ["members", "a36b032126", "tags"])
def test_what_somebody_writes_at_any_step_is_never_lost_unlogged(found: Floor, step: str) -> None:
    """But in the round trip of the write itself, which is said aloud."""
    connection = paired(found)
    left = [1]
    found.sides["salesmate"].edits("p0@x.example", given="Countess", tags=["VIP"])
    found.sides["salesmate"].edits("p1@x.example", given="Duke")

    def meddle(seen: Any) -> None:
        if step in seen.path and left[0]:
            left[0] -= 1
            found.sides["mailchimp"].edits("p1@x.example", family="Hers")

    found.sides["mailchimp"].app.people_act = meddle
    found.settle(connection)
    assert rows(found)["p1@x.example"]["lastName"] == "Hers"
    names = {one["email"]: (one["given"], one["family"]) for one in found.sides["mailchimp"].people()}
    assert (names["p0@x.example"], names["p1@x.example"]) == (("Countess", "Family0"), ("Duke", "Hers"))


# What it costs


def test_what_thousands_of_new_members_and_edits_cost(tmp_path: Path) -> None:
    """1,200 from Google: pages, batches and at most 12; 200 edits at most 8, one more for each changed list of tags or
    address."""
    with floor(tmp_path, "google_contacts", "mailchimp") as found:
        connection = found.connection("google_contacts", "mailchimp", direction="to_right")
        google, mailchimp = found.sides["google_contacts"], found.sides["mailchimp"]
        for number in range(1200):
            google.creates(person(number, tags=[]))
        mailchimp.calls()
        assert found.sync(connection).status == "done"
        calls = mailchimp.calls()
        assert Counter(calls)[f"POST {LIST}"] == 3
        assert len(calls) <= 3 + 12
        assert Counter(calls)[f"GET {LIST}/members"] == 2, "one look at the empty audience, and at who is archived"
        assert len(mailchimp.statuses()) == 1200
        found.clock.forward(900)
        assert found.sync(connection).status == "quiet"
        mailchimp.calls()
        for number in range(200):
            google.edits(f"p{number}@x.example", given=f"Given{number}", family=f"New{number}")
        found.clock.forward(900)
        assert found.sync(connection).status == "done"
        assert len(mailchimp.calls()) <= 8
        for number in range(10):
            google.edits(f"p{number}@x.example", tags=["VIP"])
        for number in range(10, 15):
            google.edits(f"p{number}@x.example", email=f"q{number}@x.example")
        found.clock.forward(900)
        assert found.sync(connection).status == "done"
        assert len(mailchimp.calls()) <= 8 + 15
        assert sum(one["tags"] == ["VIP"] for one in mailchimp.people()) == 10
        assert Record.objects.filter(book__account__app="mailchimp", match_key__startswith="q").count() == 5
        assert not OptOut.objects.exists()
        found.clock.forward(900)
        assert found.sync(connection).status == "quiet"
        assert len(mailchimp.calls()) <= 2
