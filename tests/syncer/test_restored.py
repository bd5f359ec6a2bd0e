"""A database that was restored from a backup writes nothing until a person has said so, and then doubles nobody."""

import base64
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from connections.models import Connection
from connections.services import Refused
from syncer import restored
from syncer.audit import checkpoint, triggers
from syncer.audit.chain import Entry, of_connection
from syncer.connectors import registry
from syncer.connectors.base import LISTING_TRIES
from syncer.models import AccountLease, Book, Change, LogChain, LogCheckpoint, Side, SyncLog, SyncRun
from tests.connections.office import at_desk, said, staff
from tests.engine.memory import MemoryApp
from tests.engine.world import ANNA, World, make_world
from tests.syncer.test_tasks import at_once
from tests.syncer.trail import CHAIN, NOON, intent, write

HOUR = timedelta(hours=1)
WHY = "the disk died; back to the copy of Monday"


@pytest.fixture(autouse=True)
def keeper(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that another machine keeps, a key to sign with, and apps in memory."""
    monkeypatch.setitem(registry.CONNECTORS, "memory", "tests.engine.memory.MemoryConnector")
    folder = tmp_path / "keeper"
    folder.mkdir()
    settings.CHECKPOINT_KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
    settings.CHECKPOINT_DIR = folder
    yield folder


@dataclass
class Backups:
    """Copies of the whole database, as an operator makes and restores them."""

    folder: Path

    def take(self, name: str = "monday") -> None:
        if database.vendor == "sqlite":
            with closing(sqlite3.connect(self.folder / name)) as copy:
                database.ensure_connection()
                database.connection.backup(copy)
            return
        database.close()
        ours = database.settings_dict["NAME"]
        self.as_owner(f'CREATE DATABASE "{self.copy_of(name)}" TEMPLATE "{ours}"')

    def restore(self, name: str = "monday") -> None:
        database.close()
        ours = database.settings_dict["NAME"]
        if database.vendor == "sqlite":
            for rest in ("", "-wal", "-shm"):
                Path(f"{ours}{rest}").unlink(missing_ok=True)
            Path(ours).write_bytes((self.folder / name).read_bytes())
            return
        self.as_owner(f'DROP DATABASE "{ours}" WITH (FORCE)')
        self.as_owner(f'CREATE DATABASE "{ours}" TEMPLATE "{self.copy_of(name)}"')

    def forget(self, *names: str) -> None:
        if database.vendor != "sqlite":
            for name in names:
                self.as_owner(f'DROP DATABASE IF EXISTS "{self.copy_of(name)}"')

    def copy_of(self, name: str) -> str:
        return f"{database.settings_dict['NAME']}_{name}"

    def as_owner(self, command: str) -> None:
        with database._nodb_cursor() as cursor:
            cursor.execute(command)


@pytest.fixture
def backups(tmp_path: Path, transactional_db: None) -> Iterator[Backups]:
    made = Backups(tmp_path)
    yield made
    made.forget("monday", "tuesday")


def office(**options: Any) -> World:
    """Ada in both books, Bob and (without an e-mail address) Dan on the left."""
    world = make_world(MemoryApp("left"), MemoryApp("right"), **{"avoid_duplicates": False, **options})
    world.left.person_creates("ada-1", given="Ada", family="Lovelace", email="ada@example.com")
    world.right.person_creates("ada-2", given="Ada", family="Lovelace", email="ada@example.com")
    world.left.person_creates("bob", given="Bob", family="Young", email="bob@example.com")
    world.left.person_creates("dan", given="Dan", family="Oneword")
    return world


def next_hour(world: World) -> None:
    world.clock.forward(3600)
    checkpoint.hourly(world.clock.now())


def monday_and_tuesday(backups: Backups, **options: Any) -> World:
    """In sync on Monday, when the backup was taken; on Tuesday people and we went on; now Monday's copy is back."""
    world = office(**options)
    world.settle()
    next_hour(world)
    backups.take()
    on_tuesday(world)
    backups.restore()
    world.connection.refresh_from_db()
    return world


def on_tuesday(world: World) -> None:
    world.clock.forward(300)
    world.left.person_creates("eve", given="Eve", family="Adams", email="eve@example.com")
    world.right.person_creates("fay", given="Fay", family="Bell", email="fay@example.com")
    world.left.person_creates("gus", given="Gus", family="Noaddress")
    world.left.person_edits("bob", title="Baker")
    world.settle()
    next_hour(world)


def names(app: MemoryApp) -> list[str]:
    return sorted(str(values["given"]) for values in app.contacts.values())


def written(world: World) -> int:
    return len(world.left.mutations) + len(world.right.mutations)


def acknowledge(world: World) -> LogCheckpoint:
    return restored.acknowledge(ANNA, WHY, world.clock)


def sync_with_approval(world: World) -> None:
    """Until nothing is left to do, approving each plan that is shown."""
    for _ in range(8):
        if world.sync().status in ("waiting", "held"):
            world.approve()
            world.sync()
        world.clock.forward(300)


# The story


@pytest.mark.proves("E10 older database")
@pytest.mark.django_db(transaction=True)
def test_a_restored_database_is_noticed_by_what_was_delivered(backups: Backups) -> None:
    world = monday_and_tuesday(backups)
    reason = checkpoint.behind()
    assert "This database is older than checkpoint 2 of 2026-11-24" in reason
    assert world.connection.chain in reason
    assert "superuser acknowledges" in reason
    assert "another key" not in reason


@pytest.mark.proves("E10 older database")
@pytest.mark.django_db(transaction=True)
def test_until_a_person_acknowledges_nothing_is_read_and_nothing_is_written(backups: Backups) -> None:
    world = monday_and_tuesday(backups)
    world.left.person_edits("bob", title="Miller")
    calls, entries = len(world.left.calls) + len(world.right.calls), SyncLog.objects.count()
    for _ in range(3):
        outcome = world.slice()
        assert (outcome.status, outcome.again_at) == ("attention", None)
        assert "older than checkpoint 2" in outcome.reason
        next_hour(world)
    assert len(world.left.calls) + len(world.right.calls) == calls
    assert SyncLog.objects.count() == entries
    assert LogCheckpoint.objects.count() == 1


@pytest.mark.proves("I11", "E10 older database")
@pytest.mark.django_db(transaction=True)
def test_after_it_is_acknowledged_all_is_read_anew_and_nobody_is_doubled(backups: Backups) -> None:
    world = monday_and_tuesday(backups)
    before = (names(world.left), names(world.right))
    passes = dict(Book.objects.values_list("pk", "pass_number"))
    acknowledge(world)
    assert checkpoint.behind() == ""
    sync_with_approval(world)
    assert (names(world.left), names(world.right)) == before
    assert {values["title"] for values in world.right.by_email("bob@example.com")} == {"Baker"}
    for book in Book.objects.all():
        assert book.complete_pass > passes[book.pk]
        assert book.restored_until is not None
    assert list(checkpoint.problems()) == []


@pytest.mark.proves("E10 older database")
@pytest.mark.django_db(transaction=True)
def test_the_first_plan_after_it_is_shown_even_where_none_ever_is(backups: Backups) -> None:
    world = monday_and_tuesday(backups)
    acknowledge(world)
    written_before = written(world)
    world.left.person_creates("hal", given="Hal", family="New", email="hal@example.com")
    assert world.sync().status == "waiting"
    assert written(world) == written_before
    world.approve()
    world.sync()
    assert "Hal" in names(world.right)
    world.connection.refresh_from_db()
    assert not world.connection.review_once


@pytest.mark.proves("E10 older database")
@pytest.mark.django_db(transaction=True)
def test_a_contact_without_an_address_that_came_since_waits_for_a_person(backups: Backups) -> None:
    world = monday_and_tuesday(backups)
    acknowledge(world)
    sync_with_approval(world)
    assert names(world.right).count("Gus") == 1
    assert names(world.left).count("Gus") == 1
    held = world.connection.links.filter(state="held")
    assert {str(link.reason).partition(":")[0] for link in held} == {"our database was set back"}


@pytest.mark.django_db(transaction=True)
def test_an_unproven_listing_after_it_creates_nobody(backups: Backups) -> None:
    """A pass that was complete before the backup says nothing of what came since."""
    world = monday_and_tuesday(backups)
    acknowledge(world)
    world.left.unproven = LISTING_TRIES * 2
    before = written(world)
    for _ in range(2):
        assert world.sync().status == "quiet"
        world.clock.forward(300)
    assert not SyncRun.objects.filter(status__in=["waiting", "held"]).exists()
    assert written(world) == before
    sync_with_approval(world)
    assert names(world.right).count("Eve") == 1


# What an acknowledgement does


@pytest.mark.django_db(transaction=True)
def test_one_step_resets_all_and_stands_in_the_history(backups: Backups, keeper: Path) -> None:
    world = monday_and_tuesday(backups)
    lost = max(keeper.iterdir())
    # As after an earlier restore, with a pass half done.
    Book.objects.update(pass_kind="full", page_cursor="full:3,ada-1", restored_until=NOON)
    made = acknowledge(world)
    assert set(Side.objects.values_list("planned", flat=True)) == {0}
    assert set(Connection.objects.values_list("review_once", flat=True)) == {True}
    assert set(Book.objects.values_list("full_wanted", "restored_at", "complete_pass")) == {
        (True, world.clock.now(), 0)
    }
    assert set(Book.objects.values_list("pass_kind", "page_cursor", "restored_until")) == {("", "", None)}
    entry = SyncLog.objects.get(kind="checkpoint")
    assert (entry.chain.name, entry.actor) == ("portal", ANNA)
    assert WHY in (entry.payload or "")
    assert f'"number":{made.number}' in entry.header
    assert world.connection.chain in entry.header
    assert made.number == 3
    assert made.previous_hash[:16] in lost.name
    assert LogCheckpoint.objects.get(number=3).delivered_at == world.clock.now()
    assert list(checkpoint.problems()) == []
    call_command("verify_log", stdout=StringIO())


@pytest.mark.django_db(transaction=True)
def test_what_was_planned_before_the_restore_is_not_carried_out(backups: Backups) -> None:
    world = office(review="changes")
    assert world.sync().status == "waiting"
    next_hour(world)
    backups.take()
    world.approve()
    world.sync()
    next_hour(world)
    backups.restore()
    before = (names(world.left), names(world.right))
    world.approve()
    assert world.slice().status == "attention"
    acknowledge(world)
    plan = SyncRun.objects.get()
    assert (plan.status, plan.finished) == ("superseded", world.clock.now())
    assert not Change.objects.filter(state="planned").exists()
    sync_with_approval(world)
    assert (names(world.left), names(world.right)) == before


@pytest.mark.django_db(transaction=True)
def test_a_write_that_was_under_way_at_the_backup_is_settled_by_looking(backups: Backups) -> None:
    world = office()
    world.right.on_write = lambda operation, remote_id, values: backups.take() if not world.right.mutations else None
    world.settle()
    world.right.on_write = lambda operation, remote_id, values: None
    next_hour(world)
    before = (names(world.left), names(world.right))
    backups.restore()
    sending = Change.objects.filter(state="sending").count()
    assert sending > 0
    acknowledge(world)
    assert Change.objects.filter(state="sending").count() == sending
    assert SyncRun.objects.get().status == "superseded"
    # A lease ends by the database's clock, which no test moves.
    AccountLease.objects.update(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    sync_with_approval(world)
    assert not Change.objects.filter(state="sending").exists()
    assert (names(world.left), names(world.right)) == before


@pytest.mark.proves("E10 older database")
@pytest.mark.django_db(transaction=True)
def test_the_same_restore_is_asked_about_once_and_another_one_again(backups: Backups) -> None:
    world = monday_and_tuesday(backups)
    acknowledge(world)
    with pytest.raises(Refused, match="nothing to acknowledge"):
        acknowledge(world)
    next_hour(world)
    assert checkpoint.behind() == ""
    backups.restore()
    assert "older than checkpoint 4" in checkpoint.behind()
    made = acknowledge(world)
    assert (made.number, checkpoint.behind()) == (5, "")
    assert list(checkpoint.problems()) == []


@pytest.mark.django_db(transaction=True)
def test_it_is_not_asked_again_while_its_own_checkpoint_waits_for_delivery(
    backups: Backups, settings: Settings, keeper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = monday_and_tuesday(backups)

    def broken(folder: Path, signed: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("syncer.audit.files.write", broken)
        made = acknowledge(world)
    assert LogCheckpoint.objects.get(pk=made.pk).delivered_at is None
    assert checkpoint.behind() == ""
    checkpoint.hourly(world.clock.now())
    assert LogCheckpoint.objects.get(pk=made.pk).delivered_at is not None
    assert checkpoint.behind() == ""


@pytest.mark.django_db
def test_what_was_signed_while_the_folder_was_away_is_delivered_only_afterwards(
    settings: Settings, keeper: Path
) -> None:
    write([intent()])
    checkpoint.hourly(NOON)
    kept = LogChain.objects.get(name=CHAIN)
    write([intent()] * 5)
    checkpoint.hourly(NOON + HOUR)
    with triggers.suspended():
        SyncLog.objects.filter(chain=kept, seq__gt=kept.head_seq)._raw_delete("default")
        LogCheckpoint.objects.filter(number=2)._raw_delete("default")
        LogChain.objects.filter(pk=kept.pk).update(head_seq=kept.head_seq, head_hash=kept.head_hash)
    settings.CHECKPOINT_DIR = keeper / "not mounted"
    checkpoint.hourly(NOON + 2 * HOUR)
    settings.CHECKPOINT_DIR = keeper
    checkpoint.hourly(NOON + 3 * HOUR)
    assert list(LogCheckpoint.objects.filter(delivered_at=None).values_list("number", flat=True)) == [2]
    assert "older than checkpoint 2" in checkpoint.behind()
    assert len(list(keeper.iterdir())) == 2
    made = restored.acknowledge(ANNA, WHY)
    assert (made.number, checkpoint.behind(), list(checkpoint.problems())) == (3, "", [])
    assert len(list(keeper.iterdir())) == 4


@pytest.mark.django_db(transaction=True)
def test_two_people_at_once_acknowledge_it_once(backups: Backups) -> None:
    world = monday_and_tuesday(backups)
    answers = at_once(lambda: acknowledge(world), 3)
    assert sum(isinstance(answer, LogCheckpoint) for answer in answers) == 1
    assert {type(answer) for answer in answers} == {LogCheckpoint, Refused}
    assert SyncLog.objects.filter(kind="checkpoint").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_newer_backup_may_be_put_back_instead(backups: Backups) -> None:
    world = office()
    world.settle()
    next_hour(world)
    backups.take()
    on_tuesday(world)
    backups.take("tuesday")
    backups.restore()
    assert checkpoint.behind() != ""
    backups.restore("tuesday")
    assert checkpoint.behind() == ""
    assert world.sync().status == "quiet"


@pytest.mark.django_db(transaction=True)
def test_a_hundred_entries_since_the_checkpoint_are_no_restore(backups: Backups) -> None:
    """A copy taken after the newest checkpoint lost less than an hour: that alone shows nothing."""
    write([intent()])
    checkpoint.hourly(NOON)
    backups.take()
    for _ in range(100):
        write([intent()])
    assert checkpoint.behind() == ""
    backups.restore()
    assert checkpoint.behind() == ""


# How it is noticed


def history() -> None:
    write([intent(version=1), intent(version=2)])
    checkpoint.hourly(NOON)


@pytest.mark.django_db
def test_a_chain_that_is_missing_is_named() -> None:
    history()
    with triggers.suspended():
        SyncLog.objects.filter(chain__name=CHAIN)._raw_delete("default")
        LogChain.objects.filter(name=CHAIN)._raw_delete("default")
    assert f"the log {CHAIN} is missing" in checkpoint.behind()
    assert "is older than its newest checkpoint" in checkpoint.trouble(NOON)


@pytest.mark.django_db
def test_a_chain_that_went_another_way_is_named_even_where_it_is_longer_now() -> None:
    history()
    with triggers.suspended():
        SyncLog.objects.filter(chain__name=CHAIN)._raw_delete("default")
        LogChain.objects.filter(name=CHAIN)._raw_delete("default")
    write([intent(version=3)] * 9)
    assert f"entry 2 of the log {CHAIN} is another" in checkpoint.behind()


@pytest.mark.django_db
def test_an_empty_database_beside_a_full_folder_is_older() -> None:
    history()
    with triggers.suspended():
        for model in (LogCheckpoint, SyncLog, LogChain):
            model.objects.all()._raw_delete("default")
    assert "is missing" in checkpoint.behind()
    made = restored.acknowledge(ANNA, WHY)
    assert (made.number, checkpoint.behind(), list(checkpoint.problems())) == (2, "", [])


@pytest.mark.django_db
def test_a_history_that_another_key_signed_is_believed_and_said(settings: Settings) -> None:
    history()
    settings.CHECKPOINT_KEY = base64.urlsafe_b64encode(bytes(range(7, 39))).decode()
    assert checkpoint.behind() == ""
    with triggers.suspended():
        SyncLog.objects.filter(chain__name=CHAIN)._raw_delete("default")
        LogChain.objects.filter(name=CHAIN)._raw_delete("default")
    assert "signed by another key than CHECKPOINT_KEY" in checkpoint.behind()


@pytest.mark.django_db
def test_an_empty_or_missing_folder_stops_nobody(settings: Settings, keeper: Path) -> None:
    history()
    settings.CHECKPOINT_DIR = keeper / "not mounted"
    assert checkpoint.behind() == ""
    (keeper / "not mounted").mkdir()
    assert checkpoint.behind() == ""


@pytest.mark.django_db
def test_each_slice_pays_one_query_however_many_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        write([Entry("config.changed", "anna")], chain=of_connection(UUID(int=number)))
    checkpoint.hourly(NOON)
    checkpoint.behind()
    monkeypatch.setattr("syncer.audit.files.read", lambda name, text: pytest.fail("read again"))
    with CaptureQueriesContext(database) as asked:
        assert checkpoint.behind() == ""
    assert len(asked) == 1


# By whom


@pytest.mark.django_db
def test_a_superuser_is_shown_what_it_does_and_acknowledges_it_in_the_admin() -> None:
    browser = at_desk(User.objects.create_superuser("anna"))
    page = browser.get("/admin/syncer/logcheckpoint/").content.decode()
    history()
    page = browser.get("/admin/syncer/logcheckpoint/").content.decode()
    assert checkpoint.public_key() in page
    assert "Acknowledge the restore" not in page
    lose()
    page = browser.get("/admin/syncer/logcheckpoint/").content.decode()
    assert "Acknowledge the restore" in page
    assert restored.WHAT_IT_DOES in page
    url = "/admin/syncer/logcheckpoint/acknowledge/"
    assert browser.get(url).status_code == 405
    assert said(browser.post(url, {"reason": " "}, follow=True))[0].startswith("Say why")
    assert said(browser.post(url, {"reason": WHY}, follow=True)) == [
        "Acknowledged by checkpoint 2. Every book is read anew."
    ]
    assert SyncLog.objects.get(kind="checkpoint").actor == "anna"
    assert said(browser.post(url, {"reason": WHY}, follow=True))[0].startswith("There is nothing to acknowledge")


@pytest.mark.django_db
def test_nobody_else_may() -> None:
    history()
    lose()
    bob = at_desk(staff("bob"))
    assert bob.post("/admin/syncer/logcheckpoint/acknowledge/", {"reason": WHY}).status_code == 403
    assert checkpoint.behind() != ""


def lose() -> None:
    with triggers.suspended():
        SyncLog.objects.filter(chain__name=CHAIN)._raw_delete("default")
        LogChain.objects.filter(name=CHAIN)._raw_delete("default")


@pytest.mark.django_db
def test_the_command_shows_first_and_acknowledges_only_with_a_reason() -> None:
    history()
    assert "nothing to acknowledge" in told()
    lose()
    shown = told()
    assert "is missing" in shown
    assert restored.WHAT_IT_DOES in shown
    assert checkpoint.behind() != ""
    with pytest.raises(CommandError, match="is missing"):
        call_command("checkpoint")
    assert told("--reason", WHY).startswith("Acknowledged by checkpoint 2.")
    assert checkpoint.behind() == ""
    with pytest.raises(CommandError, match="nothing to acknowledge"):
        told("--reason", WHY)


def told(*arguments: str) -> str:
    out = StringIO()
    call_command("acknowledge_restore", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_without_a_key_it_is_refused_whole(settings: Settings) -> None:
    history()
    lose()
    settings.CHECKPOINT_KEY = ""
    with pytest.raises(Refused, match="CHECKPOINT_KEY is not set"):
        restored.acknowledge(ANNA, WHY)
    assert not SyncLog.objects.filter(kind="checkpoint").exists()
