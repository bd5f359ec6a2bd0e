"""What somebody reads who works in a terminal: sync, plan, explain, verify_log."""

import base64
import os
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from connections import services
from connections.models import Account, Client, Connection
from syncer.management.terminal import printable, sentence, shown
from syncer.models import Book, Link, LogChain, SyncLog, SyncRun
from syncer.services import request_plan
from tests.connections.office import ANNA, Office, office
from tests.contract.carddav import vcard

pytestmark = pytest.mark.django_db
NAME = "Alice and Salesmate"


@pytest.fixture
def acme(db: None, tmp_path: Path, settings: Any) -> Iterator[Office]:
    with office(tmp_path, settings) as found:
        yield found


@pytest.fixture
def active(acme: Office) -> Connection:
    """Ada is on both sides with two job titles, Grace in CardDAV, Person 1 in Salesmate; Madonna has no last name."""
    connection = acme.connection(sync_deletions="both")
    acme.radicale.place("alice", "ada", vcard("ada", "EMAIL:ada@example.com", "TITLE:Countess"))
    acme.radicale.place("alice", "grace", vcard("grace", "EMAIL:grace@example.com", name="Grace Hopper"))
    acme.radicale.place("alice", "madonna", vcard("madonna", "EMAIL:madonna@example.com", name="Madonna"))
    acme.salesmate.person(0, lastName="Lovelace", email="ada@example.com", designation="Programmer")
    acme.salesmate.person(1)
    services.activate(connection, ANNA)
    return connection


def told(command: str, *arguments: str) -> str:
    out = StringIO()
    call_command(command, *arguments, stdout=out, stderr=out)
    return out.getvalue()


def refused(command: str, *arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        told(command, *arguments)
    return str(caught.value)


def digest() -> str:
    return SyncRun.objects.get(status__in=["waiting", "held"]).plan_digest


def approved() -> None:
    told("plan", NAME)
    told("plan", NAME, "--approve", digest())


# A full reading


def test_both_books_are_read_whole_when_asked_for(active: Connection) -> None:
    approved()
    told("sync", NAME)
    before = whole_passes(active)
    told("sync", NAME)
    assert whole_passes(active) == before
    told("sync", "--full", NAME)
    assert all(now > then for then, now in zip(before, whole_passes(active), strict=True))


def whole_passes(connection: Connection) -> list[int]:
    return list(
        Book.objects.filter(sides__connection=connection).order_by("pk").values_list("complete_pass", flat=True)
    )


# Naming a connection


def test_a_connection_is_named_by_its_name_or_code(active: Connection) -> None:
    assert refused("sync", "Nonsense") == f"There is no connection Nonsense. There are: {NAME} ({active.code})."
    assert "A plan waits" in told("sync", NAME.upper())
    assert "A plan waits" in told("sync", str(active.code))


def test_of_two_with_one_name_the_client_tells_which(acme: Office, active: Connection) -> None:
    globex = Client.objects.create(name="Globex", slug="globex")
    Connection.objects.create(
        client=globex,
        name=NAME,
        left_account=acme.carddav_account(globex, "bob", "Bob"),
        left_book="/bob/book/",
        right_account=acme.carddav_account(globex, "alice", "Alice too"),
        right_book="/alice/book/",
    )
    assert f"{active.code} (Acme)" in refused("sync", NAME)


def test_without_a_connection_there_is_none_to_name(db: None) -> None:
    assert refused("plan", "x") == "There is no connection x. There are: none yet."


# Plan and sync


def test_a_plan_is_shown_approved_and_carried_out(acme: Office, active: Connection) -> None:
    plan = told("plan", NAME)
    assert "update right ada@example.com  [both changed, and the left wins]\n" in plan
    assert "    designation: 'Programmer' -> 'Countess'\n" in plan
    assert "    email: empty -> 'grace@example.com'\n" in plan
    assert "right 1 create, 1 link, 1 update\n" in plan
    assert plan.endswith(f"  manage.py plan '{NAME}' --approve {digest()}\n")
    assert acme.salesmate.sent("POST") == acme.salesmate.sent("PUT") == []
    assert refused("plan", NAME, "--approve", "another").startswith("This is not the plan that you looked at.")
    assert told("plan", NAME, "--approve", digest()) == "Approved. A worker carries it out.\n"
    assert refused("plan", NAME, "--approve", "x") == "There is no open plan."
    first = told("sync", NAME)
    assert re.match(r"Run [0-9a-f-]{36}: Done\.\n  left  1 created\n  right 1 created, 1 updated, 1 linked\n", first)
    assert "1 held" in told("sync", NAME)
    assert told("sync", NAME) == "Nothing to do.\n"
    assert told("plan", NAME) == "Nothing to do.\n"


def test_a_long_plan_says_how_much_more_there_is(active: Connection) -> None:
    plan = told("plan", NAME, "--limit", "1")
    assert "... and 3 more (--limit 4 shows all)" in plan
    assert "grace@example.com" not in plan


def test_a_sync_that_stops_at_a_plan_says_what_waits_and_where_to_look(active: Connection) -> None:
    for _ in range(2):
        text = told("sync", NAME)
        assert text.startswith("A plan waits for a person; nothing is written until then.\nleft  1 create\n")
        assert text.endswith(f"Look at it: manage.py plan '{NAME}'\n")


def test_drafts_and_what_is_paused(active: Connection) -> None:
    services.pause(active, ANNA)
    assert refused("sync", NAME) == f"{NAME} is paused. Resume it in the admin first."
    assert "right 1 create, 1 link, 1 update" in told("plan", NAME), "looking is allowed"
    assert "is paused" in refused("plan", NAME, "--approve", digest())
    Connection.objects.update(state="draft")
    assert refused("sync", NAME) == f"{NAME} is a draft. Activate it in the admin first."
    assert "is a draft" in refused("plan", NAME)


def test_an_app_that_refuses_is_said_once_and_an_old_plan_is_not_shown_as_new(active: Connection) -> None:
    told("plan", NAME)
    services.update_account(active.right_account, ANNA, credentials={"session_key": "wr0ng-canary"})
    Account.objects.update(status="connected")
    reason = refused("sync", NAME)
    assert reason.startswith("Salesmate refused the session key.")
    assert "wr0ng-canary" not in reason
    for _ in range(2):
        assert "Salesmate refused the session key." in refused("plan", NAME)


def test_a_credential_that_cannot_be_read_is_no_traceback(active: Connection, settings: Any) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [base64.urlsafe_b64encode(os.urandom(32)).decode()]
    assert refused("sync", NAME).startswith("A stored credential cannot be read")
    assert refused("plan", NAME).startswith("A stored credential cannot be read")


def test_a_dry_run_that_was_cut_off_is_gone_on_with(active: Connection) -> None:
    request_plan(active, "somebody who was interrupted", enqueue=False)
    SyncRun.objects.update(status="running")
    assert "right 1 create, 1 link, 1 update" in told("plan", NAME)
    assert SyncRun.objects.count() == 1


# Explain


def test_a_pair_is_explained_by_address_id_and_code(active: Connection) -> None:
    approved()
    told("sync", NAME)
    text = told("explain", NAME, "ADA@example.com")
    assert re.match(r"Link [0-9a-f-]{36}: In sync\.\n  left  /alice/book/ada\.vcf \(Live\)\n  right 1 \(Live\)\n", text)
    assert "  Job title | Job Title: 'Countess' | 'Countess' (agreed)\n" in text
    assert "more fields are empty on both sides" in text
    assert "None" not in text
    assert "write.intent right update designation: 'Programmer' -> 'Countess'" in text
    link = Link.objects.get(left__remote_id="/alice/book/ada.vcf")
    assert told("explain", NAME, str(link.code)) == told("explain", NAME, "/alice/book/ada.vcf") == text


def test_who_waits_is_explained_with_the_reason(active: Connection) -> None:
    approved()
    told("sync", NAME)
    told("sync", NAME)
    text = told("explain", NAME, "madonna@example.com")
    assert "Waiting for a person. Salesmate: Last Name must not be empty." in text
    assert "  waits for a person: A required field is empty. Salesmate: Last Name must not be empty." in text


def test_nobody_knows_a_stranger(active: Connection) -> None:
    assert refused("explain", NAME, "who@example.com").startswith(f"{NAME} knows no contact who@example.com.")


def test_what_an_app_says_moves_no_cursor(acme: Office, active: Connection) -> None:
    evil = "ada@example.com\x1b[2J"
    assert printable(evil) == "ada@example.com\\x1b[2J"
    assert "\x1b" not in refused("explain", NAME, "x") + shown(evil) + shown([evil])


def test_words() -> None:
    assert [shown(value) for value in (None, "", True, 0, ["a", "b"])] == ["empty", "''", "yes", "0", "'a', 'b'"]
    assert [sentence(text) for text in ("", "why", "Why?")] == ["", "Why.", "Why?"]


# The history


@pytest.mark.proves("I30")
def test_the_history_of_a_sync_is_whole_and_a_break_is_named(active: Connection) -> None:
    approved()
    told("sync", NAME)
    text = told("verify_log")
    assert re.search(rf"ok     {active.chain}: \d+ entries\nok     portal: \d+ entries\n\d+ entries of 2 logs", text)
    assert told("verify_log", "--connection", str(active.code)).startswith(f"ok     {active.chain}")
    LogChain.objects.filter(name=active.chain).update(head_seq=SyncLog.objects.count() + 5)
    assert "1 of 2 logs are broken" in refused("verify_log")
    assert refused("verify_log", "--chain", "x").startswith("There is no log x.")
