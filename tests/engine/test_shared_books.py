"""Connections that share books (ENGINE.md 2, 4, 10): one contact stays one, however many ways lead to a book."""

from collections import Counter
from datetime import timedelta

import pytest

from connections import services
from connections.models import Account, Connection, FieldMapping
from syncer import services as runs
from syncer.models import Book, Hold, Link, Record, Side, SyncLog
from tests.engine.memory import MemoryApp
from tests.engine.three import Net, net
from tests.engine.world import ANNA

pytestmark = pytest.mark.django_db
CHAIN, CIRCLE, TWICE = [(0, 1), (1, 2)], [(0, 1), (1, 2), (2, 0)], [(0, 1), (0, 1)]
NAMES = ("Ada", "Ben", "Cem", "Dee", "Eva", "Fay")


def three(**options: object) -> list[MemoryApp]:
    return [MemoryApp(name, **options) for name in ("one", "two", "three")]  # type: ignore[arg-type]


def id_of(app: MemoryApp, name: str) -> str:
    return next(one for one, values in app.contacts.items() if values["given"] == name)


def given_names(app: MemoryApp) -> Counter[object]:
    return Counter(values["given"] for values in app.contacts.values())


@pytest.mark.proves("I11", "I14", "I15", "E10 chains and circles")
@pytest.mark.parametrize("create", ["client_id", "search"])
@pytest.mark.parametrize("pairs", [CHAIN, CIRCLE], ids=["a chain", "a circle"])
def test_three_books_settle_in_three_rounds(pairs: list[tuple[int, int]], create: str) -> None:
    apps = three(create=create)
    for index, name in enumerate(NAMES):
        apps[index % 3].person_creates(given=name, email=f"{name.lower()}@example.com", title=f"Title {name}")
    world = net(apps, pairs)
    world.settle()
    for app in apps:
        assert given_names(app) == Counter(NAMES)
    apps[2].person_edits(id_of(apps[2], "Ada"), title="Countess")
    world.settle()
    assert [app.by_email("ada@example.com")[0]["title"] for app in apps] == ["Countess"] * 3
    world.assert_log_is_whole()


@pytest.mark.proves("I11", "I14", "E4 lineage")
@pytest.mark.parametrize("create", ["client_id", "marker"])
@pytest.mark.parametrize("pairs", [TWICE, CIRCLE], ids=["twice the same two books", "a circle"])
def test_contacts_without_an_address_do_not_multiply(pairs: list[tuple[int, int]], create: str) -> None:
    apps = three(create=create)[: 1 + max(max(pair) for pair in pairs)]
    for index, name in enumerate(NAMES):
        apps[index % len(apps)].person_creates(given=name)
    world = net(apps, pairs, avoid_duplicates=False)
    world.settle()
    for app in apps:
        assert given_names(app) == Counter(NAMES)
    assert len(set(Record.objects.values_list("lineage", flat=True))) == len(NAMES)
    world.assert_log_is_whole()


@pytest.mark.proves("E4 lineage")
def test_two_connections_that_planned_the_same_create_make_one_contact() -> None:
    apps = [MemoryApp("one"), MemoryApp("two")]
    apps[0].person_creates(given="Ada")
    world = net(apps, TWICE, avoid_duplicates=False, review="first")
    first, second = world.connections
    assert world.sync(first).status == world.sync(second).status == "waiting"
    for connection in (first, second):
        run = connection.runs.get(status="waiting")
        runs.approve(run, ANNA, run.plan_digest, world.clock)
        world.sync(connection)
    world.settle()
    assert len(apps[1].contacts) == 1
    assert Link.objects.filter(state="in_sync").count() == 2


@pytest.mark.proves("E4 lineage", "I6")
def test_a_copy_that_was_deleted_is_not_made_again_by_another_connection() -> None:
    apps = [MemoryApp("one"), MemoryApp("two")]
    apps[0].person_creates("ada", given="Ada", email="ada@example.com")
    world = net(apps, [(0, 1)])
    world.settle()
    apps[1].person_deletes(next(iter(apps[1].contacts)))
    world.settle()
    again = second_connection(world)
    world.settle()
    assert apps[1].contacts == {}
    link = Link.objects.get(connection=again)
    assert (link.state, link.reason) == ("excluded", "its copy in the other book was deleted, and is not made again")


@pytest.mark.proves("E4 lineage")
def test_contacts_that_were_linked_once_find_each_other_again_whatever_their_addresses() -> None:
    apps = [MemoryApp("one"), MemoryApp("two")]
    apps[0].person_creates("ada", given="Ada", email="ada@example.com")
    world = net(apps, [(0, 1)])
    world.settle()
    services.update_connection(world.connections[0], ANNA, {"direction": "to_right"}, clock=world.clock)
    apps[1].person_edits(next(iter(apps[1].contacts)), email="countess@example.com")
    world.settle()
    second_connection(world)
    world.settle()
    assert len(apps[0].contacts) == len(apps[1].contacts) == 1
    assert Link.objects.filter(state="in_sync").count() == 2


def second_connection(world: Net) -> Connection:
    """One more over the same two books, active."""
    first = world.connections[0]
    made = services.create_connection(
        first.client,
        ANNA,
        name="Once more",
        left_account=first.left_account,
        left_book="contacts",
        right_account=first.right_account,
        right_book="contacts",
        review="never",
        connect_to=world.worker.connect,
        clock=world.clock,
    )
    services.activate(made, ANNA, world.clock, world.worker.connect)
    world.connections = [*world.connections, made]
    return made


# What is read


def only(world: Net, connection: Connection, *fields: str) -> None:
    """Switch off all mapping lines but these."""
    for line in connection.mappings.all():
        if line.left_field not in fields:
            switch(world, line, False)


def switch(world: Net, line: FieldMapping, enabled: bool) -> None:
    line.enabled = enabled
    services.save_mapping(line, ANNA, world.worker.connect, world.clock)


@pytest.mark.proves("E1 field union", "I4")
def test_a_field_that_a_second_connection_adds_is_read_of_everybody_before_it_is_planned() -> None:
    apps = three()
    for name in NAMES:
        apps[1].person_creates(given=name, email=f"{name.lower()}@example.com", note=f"About {name}")
    world = net(apps, CHAIN)
    for connection in world.connections:
        only(world, connection, "given", "email")
    world.settle()
    shared = Book.objects.get(account__label="two")
    assert "note" not in shared.fields
    passes = shared.pass_number
    line = world.connections[1].mappings.get(left_field="note")
    switch(world, line, True)
    world.settle()
    shared.refresh_from_db()
    assert "note" in shared.complete_fields and shared.pass_number == passes + 1
    assert sorted(str(values["note"]) for values in apps[2].contacts.values()) == [f"About {name}" for name in NAMES]
    assert {values["note"] for values in apps[0].contacts.values()} == {None}


@pytest.mark.proves("E1 field union", "E3 absent")
def test_what_was_not_read_yet_is_never_overwritten() -> None:
    apps = three()
    for app in apps[1:]:
        app.person_creates(given="Ada", email="ada@example.com", note=f"Of {app.name}")
    world = net(apps, CHAIN)
    only(world, world.connections[0], "given", "email", "note")
    only(world, world.connections[1], "given", "email")
    world.settle()
    switch(world, world.connections[1].mappings.get(left_field="note"), True)
    world.slice(world.connections[1])
    assert apps[2].by_email("ada@example.com")[0]["note"] == "Of two"
    assert SyncLog.objects.filter(kind="write.intent", payload__contains="Of three").count() == 1


@pytest.mark.proves("E4 joining a book")
@pytest.mark.parametrize(("age", "passes"), [(23, 1), (25, 2)])
def test_a_connection_that_joins_uses_a_complete_pass_of_the_last_day(age: int, passes: int) -> None:
    apps = three()
    apps[0].person_creates(given="Ada", email="ada@example.com")
    world = net(apps, [(0, 1)])
    world.settle()
    joined = Book.objects.get(account__label="two")
    Book.objects.update(complete_started=world.clock.now() - timedelta(hours=age))
    second = services.create_connection(
        world.connections[0].client,
        ANNA,
        name="joins",
        left_account=world.connections[0].right_account,
        left_book="contacts",
        right_account=Account.objects.get(label="three"),
        right_book="contacts",
        review="never",
        connect_to=world.worker.connect,
        clock=world.clock,
    )
    services.activate(second, ANNA, world.clock, world.worker.connect)
    world.sync(second)
    joined.refresh_from_db()
    assert joined.pass_number == passes
    assert given_names(apps[2]) == Counter(["Ada"])


# Being due


@pytest.mark.proves("E10 due by sequence")
def test_what_one_connection_brings_into_a_shared_book_makes_the_others_due() -> None:
    apps = three()
    world = net(apps, CHAIN)
    world.settle()
    first, second = world.connections
    later = world.clock.now() + timedelta(hours=1)
    Connection.objects.update(next_run_at=later)
    apps[0].person_creates(given="Ada", email="ada@example.com")
    world.sync(first)
    second.refresh_from_db()
    first.refresh_from_db()
    assert second.next_run_at is not None and second.next_run_at <= world.clock.now()
    assert first.next_run_at == later
    world.sync(second)
    Connection.objects.update(next_run_at=later)
    world.sync(first)
    second.refresh_from_db()
    assert second.next_run_at == later, "nothing new came"


@pytest.mark.proves("E10 one pull serves all")
def test_a_book_is_read_once_for_all_its_connections() -> None:
    apps = three()
    for name in NAMES:
        apps[1].person_creates(given=name, email=f"{name.lower()}@example.com")
    world = net(apps, CHAIN)
    world.settle()
    assert Book.objects.get(account__label="two").pass_number == 1
    assert Side.objects.filter(book__account__label="two").count() == 2


# Holds of a book


@pytest.mark.proves("E1 book hold")
def test_a_hold_of_a_book_stops_all_its_connections_and_is_resolved_once() -> None:
    apps = three()
    for name in NAMES:
        apps[1].person_creates(given=name, email=f"{name.lower()}@example.com")
    world = net(apps, CHAIN)
    world.settle()
    kept, apps[1].hidden = dict(apps[1].contacts), set(apps[1].contacts)
    Book.objects.filter(account__label="two").update(full_wanted=True)
    apps[0].person_edits(id_of(apps[0], "Ada"), title="Countess")
    apps[2].person_edits(id_of(apps[2], "Ben"), title="Duke")
    before = world.writes()
    for connection in world.connections:
        assert "lists none" in world.sync(connection).reason
    assert world.writes() == before and apps[1].contacts == kept
    hold = Hold.objects.get(resolved=None)
    assert hold.book is not None and hold.kind == "emptied"
    apps[1].hidden = set()
    runs.resolve_book_hold(hold, ANNA, world.clock)
    world.settle()
    titles = {values["title"] for values in apps[1].contacts.values()}
    assert {"Countess", "Duke"} <= titles
