"""The engine's rules one by one: what is known and read (ENGINE.md 1, 2). Rules that a whole story shows are in
test_story.py; plans are in test_rules_plans.py, writes in test_rules_writes.py."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from connections import services
from connections.models import Connection
from connections.services import Refused
from syncer import services as runs
from syncer.connectors.base import Transient, Value
from syncer.engine.pull import Reader, pull
from syncer.engine.slice import Slice
from syncer.leases import acquire
from syncer.models import Book, Change, Hold, Link, Record, Side, SyncLog
from syncer.models.lease import AccountLease
from tests.engine.memory import Crash, MemoryApp, MemoryConnector, raising
from tests.engine.test_random import dying_at
from tests.engine.world import ANNA, World, make_world

pytestmark = pytest.mark.django_db


def pair_of(**options: object) -> World:
    """Ada in both books, in sync."""
    world = make_world(MemoryApp("left"), MemoryApp("right"), **options)  # type: ignore[arg-type]
    world.left.person_creates("l1", given="Ada", family="Lovelace", email="ada@example.com", title="Countess")
    world.right.person_creates("r1", given="Ada", family="Lovelace", email="ada@example.com", title="Countess")
    world.settle()
    return world


def people(app: MemoryApp, number: int) -> list[str]:
    return [app.person_creates(given=f"P{n}", email=f"p{n}@example.com") for n in range(number)]


def title(world: World) -> tuple[Value, Value]:
    return world.left.contacts["l1"]["title"], world.right.contacts["r1"]["title"]


def read_all(*labels: str) -> None:
    Book.objects.filter(account__label__in=labels).update(full_wanted=True)


# 1 State


@pytest.mark.proves("E1 position", "E3 new version")
def test_an_edited_configuration_has_everybody_judged_anew() -> None:
    world = pair_of()
    side = Side.objects.get(connection=world.connection, side="left")
    assert (side.planned, side.version) == (side.book.sequence, world.connection.version)
    world.edit(winner="right")
    assert side.version != world.connection.version
    Link.objects.update(version=0)
    world.sync()
    side.refresh_from_db()
    assert (side.planned, side.version) == (side.book.sequence, world.connection.version)
    assert Link.objects.get(state="in_sync").version == world.connection.version


@pytest.mark.proves("E1 position")
def test_a_side_that_reads_another_book_begins_anew() -> None:
    world = pair_of()
    side = Side.objects.get(connection=world.connection, side="left")
    Connection.objects.update(left_book="others")
    world.connection.refresh_from_db()
    world.slice()
    side.refresh_from_db()
    assert side.book.remote_id == "others" and side.book.complete_pass == 1


@pytest.mark.proves("E1 sequence numbers", "I14", "I17")
def test_only_other_values_or_another_state_take_a_number() -> None:
    world = pair_of()
    before = list(Book.objects.order_by("pk").values_list("sequence", flat=True))
    world.left.person_edits("l1")
    world.left.etags["l1"] += 7
    read_all("left", "right")
    world.sync()
    assert list(Book.objects.order_by("pk").values_list("sequence", flat=True)) == before
    assert Record.objects.get(remote_id="l1").etag == str(world.left.etags["l1"])
    world.left.person_edits("l1", title="Mathematician")
    world.settle()
    after = list(Book.objects.order_by("pk").values_list("sequence", flat=True))
    assert [new - old for old, new in zip(before, after, strict=True)] == [1, 1], "the edit, and our write of it"


@pytest.mark.proves("E1 identity doubt", "I26")
def test_another_login_is_asked_about_and_not_believed() -> None:
    world = pair_of(sync_deletions="both")
    mine, world.left.contacts = dict(world.left.contacts), {}
    world.left.identity = "somebody else"
    read_all("left")
    assert "another login" in world.sync().reason
    assert Hold.objects.get(resolved=None).kind == "identity"
    assert not Record.objects.exclude(state="live").exists()
    assert world.right.contacts["r1"]["tags"] is None
    with pytest.raises(Refused, match="Another login"):
        runs.resolve_book_hold(Hold.objects.get(resolved=None), ANNA, world.clock)
    world.left.identity, world.left.contacts = "", mine
    world.settle()
    assert not Hold.objects.filter(resolved=None).exists()


@pytest.mark.proves("E1 changed mapping", "I4")
def test_a_line_with_another_field_begins_like_a_first_meeting() -> None:
    """By the old agreement the right would seem to have emptied its title, and the left would be emptied too."""
    world = pair_of()
    world.left.person_edits("l1", family=None)
    world.settle()
    world.connection.mappings.get(left_field="family").delete()
    line = world.connection.mappings.get(left_field="title")
    was, line.right_field = line.code, "family"
    services.save_mapping(line, ANNA, world.worker.connect, world.clock)
    assert line.code != was
    world.connection.refresh_from_db()
    world.settle()
    assert (world.left.contacts["l1"]["title"], world.right.contacts["r1"]["family"]) == ("Countess", "Countess")


@pytest.mark.proves("I10", "E1 link shape")
def test_the_database_holds_a_record_in_one_live_link_and_no_link_without_a_side() -> None:
    world = pair_of()
    link = Link.objects.get(state="in_sync")
    same: dict[str, Any] = {"connection": world.connection, "updated_at": world.clock.now()}
    for wrong in ({"left": link.left}, {"right": link.right}, {}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Link.objects.create(**same, **wrong)
    Link.objects.create(**same, left=link.left, state=Link.State.SUPERSEDED)


@pytest.mark.proves("I10", "E1 one write in flight")
@pytest.mark.parametrize("twice", ["the same contact", "the same address"])
def test_the_database_holds_one_write_to_a_contact_and_one_create_of_an_address(twice: str) -> None:
    world = pair_of()
    world.left.person_edits("l1", title="Mathematician")
    world.sync()
    done = Change.objects.filter(operation="update").latest("pk")
    assert done.record is not None
    values = {"run": done.run, "link": done.link, "side": "right", "book": done.book, "digest": "x", "state": "sending"}
    if twice == "the same contact":
        values |= {"operation": "update", "record": done.record}
    else:
        values |= {"operation": "create", "match_key": "new@example.com"}
    Change.objects.create(**values)
    with pytest.raises(IntegrityError), transaction.atomic():
        Change.objects.create(**values)


# 2 Pull


@pytest.mark.proves("I20", "E2 page and cursor")
def test_whenever_a_reading_dies_what_its_cursors_passed_is_stored() -> None:
    """Dying before each SQL statement in turn of a reading of three pages."""
    world = pair_of(direction="to_right")
    world.left.page_size = 3
    people(world.left, 7)
    read_all("left")
    for statement in range(1, 1_000):
        point = transaction.savepoint()
        try:
            with dying_at(statement):
                pull_left(world)
            break
        except Crash:
            check_cursor(world)
            pull_left(world)
            check_cursor(world)
        finally:
            transaction.savepoint_rollback(point)
    assert statement > 50


def pull_left(world: World) -> None:
    """What a worker does of a run until the left book is read."""
    AccountLease.objects.update(expires_at=Now())
    book = Book.objects.get(account__label="left")
    lease = acquire([book.account.lease_key], "tests", timedelta(hours=1), world.clock)
    assert lease is not None
    slice = Slice(world.clock, lease, world.clock.monotonic() + 240)
    pull(Reader(slice, MemoryConnector(world.left)), book)


def check_cursor(world: World) -> None:
    book = Book.objects.get(account__label="left")
    stored = set(Record.objects.filter(book=book).values_list("remote_id", flat=True))
    passed = set(world.left.contacts) if book.cursor and not book.full_wanted else set()
    if book.page_cursor:
        passed = {one for one in world.left.contacts if one <= book.page_cursor.rsplit(",", 1)[1]}
    assert passed <= stored


@pytest.mark.proves("I20", "E2 page and cursor", "E2 complete")
def test_a_page_that_fails_leaves_the_pages_before_it_and_the_old_cursor() -> None:
    world = pair_of()
    people(world.left, 8)
    world.left.page_size, world.left.page_error = 3, 2
    read_all("left")
    before = Book.objects.get(account__label="left")
    assert world.slice().status == "failed"
    book = Book.objects.get(account__label="left")
    assert (book.pass_kind, book.cursor, book.complete_pass) == ("full", "", before.complete_pass)
    assert Record.objects.filter(book=book, seen_pass=book.pass_number).count() == 3
    world.settle()
    assert len(world.right.contacts) == 9


@pytest.mark.proves("I26", "E2 many suspects")
@pytest.mark.parametrize(("missing", "held"), [(5, False), (6, True)])
def test_many_who_are_missing_at_once_wait_for_a_person_before_they_are_read(missing: int, held: bool) -> None:
    world = pair_of(sync_deletions="both")
    ids = people(world.left, 40)
    world.settle()
    world.left.hidden = set(ids[:missing])
    read_all("left")
    calls = len(world.left.calls)
    world.sync()
    assert Hold.objects.filter(resolved=None, kind="suspects").exists() is held
    reads = [call for call in world.left.calls[calls:] if call in ("read", "read_many")]
    assert (reads == []) is held
    assert not Record.objects.filter(state="gone").exists()
    if held:
        runs.resolve_book_hold(Hold.objects.get(resolved=None), ANNA, world.clock)
    world.settle()
    assert world.states()["in_sync"] == 41


@pytest.mark.proves("E2 own writes seen", "I26")
def test_what_we_wrote_during_a_reading_counts_as_seen_in_it() -> None:
    world = pair_of()
    Book.objects.filter(account__label="right").update(pass_number=9)
    world.left.person_edits("l1", title="Mathematician")
    world.left.person_creates(given="Bob", email="bob@example.com")
    world.settle()
    written = Record.objects.filter(book__account__label="right")
    assert set(written.values_list("seen_pass", flat=True)) == {9}
    assert not written.filter(written_at=None).exists()


@pytest.mark.proves("I26", "E2 expired cursor")
@pytest.mark.parametrize("how", ["expired", "malformed", "reset"])
def test_a_cursor_that_the_app_forgot_means_to_read_all_and_deletes_nobody(how: str) -> None:
    world = pair_of(sync_deletions="both")
    people(world.left, 3)
    world.settle()
    world.left.person_edits("l1", title="Mathematician")
    world.left.cursor = how
    world.settle()
    assert title(world) == ("Mathematician", "Mathematician")
    assert not Record.objects.exclude(state="live").exists()


@pytest.mark.proves("I2", "I14", "E2 late feeds")
def test_a_page_that_is_older_than_our_own_write_undoes_nothing() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right", fresh_feed=False, lag=1), winner="right")
    world.left.person_creates("l1", given="Ada", email="ada@example.com", title="Countess")
    world.right.person_creates("r1", given="Ada", email="ada@example.com", title="Countess")
    world.right.person_creates("r2", given="Bob", email="bob@example.com")
    world.settle()
    world.right.person_edits("r1", note="Of the right")
    world.left.person_edits("l1", title="Duchess")
    world.sync()
    assert world.right.history[-2:] == [{**world.right.contacts["r1"], "title": "Countess"}, world.right.contacts["r1"]]
    world.settle()
    assert title(world) == ("Duchess", "Duchess")
    assert [one for _, one, _ in world.right.mutations] == ["r1"]


@pytest.mark.proves("E2 full pass")
@pytest.mark.parametrize(
    ("tombstones", "hours", "again"), [(True, 719, 1), (True, 720, 2), (False, 23, 1), (False, 24, 2)]
)
def test_an_app_without_tombstones_is_read_whole_each_day_and_others_each_month(
    tombstones: bool, hours: int, again: int
) -> None:
    world = make_world(MemoryApp("left", tombstones=tombstones), MemoryApp("right"))
    world.settle()
    book = Book.objects.get(account__label="left")
    assert book.pass_number == 1 and book.complete_started is not None
    world.clock.forward((book.complete_started + timedelta(hours=hours) - world.clock.now()).total_seconds())
    world.sync()
    book.refresh_from_db()
    assert book.pass_number == again


@pytest.mark.proves("I12", "E4 both read")
@pytest.mark.parametrize("first", ["left", "right"])
def test_nobody_is_created_while_a_book_was_not_read_to_its_end(first: str) -> None:
    world = make_world(MemoryApp("left", page_size=3), MemoryApp("right", page_size=3))
    people(world.left, 4)
    people(world.right, 8)
    slow = world.left if first == "left" else world.right
    slow.fault_in("changes", lambda: None)
    slow.fault_in("changes", raising(Transient("no answer")))
    assert world.slice().status == "failed"
    assert world.left.mutations == world.right.mutations == []
    assert not Change.objects.exists()
    world.settle()
    passes = SyncLog.objects.filter(kind="pass.completed").values_list("at", flat=True)
    intents = SyncLog.objects.filter(kind="write.intent").values_list("at", flat=True)
    assert len(passes) == 2 and all(max(passes) <= at for at in intents)
    assert len(world.left.contacts) == len(world.right.contacts) == 8


@pytest.mark.proves("E10 redaction")
def test_who_was_erased_is_not_read_in_again() -> None:
    world = pair_of()
    erased = Record.objects.filter(remote_id="l1")
    erased.update(
        state="erased", values={}, digest="", match_key="", sequence=Book.objects.get(account__label="left").sequence
    )
    world.left.person_edits("l1", title="Mathematician")
    read_all("left")
    world.settle()
    assert erased.get().values == {} and erased.get().state == "erased"
    assert title(world) == ("Mathematician", "Countess")
    assert len(world.right.contacts) == 1
