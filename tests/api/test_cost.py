"""What a call costs the database does not grow with what there is, and no call counts the history."""

import re
from uuid import UUID

import pytest
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext

from connections.models import Account, Connection, FieldMapping
from portal.clock import SYSTEM
from syncer.audit.chain import Entry, append
from syncer.models import Hold, Link, SyncLog, SyncRun
from tests.api.desk import InMemory, Tool, tool
from tests.api.test_matrix import EXPECTED
from tests.engine.memory import MemoryApp
from tests.engine.world import World, make_world

pytestmark = pytest.mark.django_db
LISTS = [call.split(" ")[1] for call in EXPECTED if call.startswith("GET") and "code}" not in call]
MOST = 8


@pytest.fixture
def world() -> World:
    found = make_world(MemoryApp("a"), MemoryApp("b"), now=SYSTEM.now())
    InMemory.worlds.update(a=found.left, b=found.right)
    grow(found, 1)
    return found


def grow(world: World, number: int) -> None:
    """More of everything."""
    client, now = world.connection.client, world.clock.now()
    for one in range(number):
        name = f"{number}-{one}"
        world.left.person_creates(given=name, email=f"{name}@example.com", note="\x1b")
        left, right = (
            Account.objects.create(client=client, app="memory", label=f"{name}{side}", identity=f"{name}{side}")
            for side in "lr"
        )
        pair = {"left_account": left, "left_book": "a", "right_account": right, "right_book": "b"}
        other = Connection.objects.create(client=client, name=name, **pair)
        FieldMapping.objects.create(connection=world.connection, left_field=name, right_field=name, enabled=False)
        SyncRun.objects.create(
            connection=other, version=1, trigger="x", actor="x", status="done", queued_at=now, finished=now
        )
        Hold.objects.create(connection=other, kind="conflict", subject=name, opened=now)
    world.settle()


def asked(agency: Tool, address: str) -> list[str]:
    agency.get(address)  # the first call of a minute notes that the key is in use, and reads what apps say
    with CaptureQueriesContext(database) as found:
        answer = agency.get(address)
    assert answer.status_code == 200, answer.content
    if hasattr(answer, "streaming_content"):
        b"".join(answer.streaming_content)
    return [query["sql"] for query in found.captured_queries]


@pytest.mark.parametrize("address", LISTS)
def test_a_list_costs_the_same_whatever_there_is(world: World, address: str) -> None:
    agency, place = tool(None), address.replace("{connection}", str(world.connection.code))
    few = asked(agency, place)
    grow(world, 12)
    many = asked(agency, place)
    if address not in ("sync-log/verify/", "sync-log/export/"):
        assert len(many) == len(few) <= MOST, "\n".join(many)


def test_no_call_counts_the_history(world: World) -> None:
    agency, connection = tool(None), str(world.connection.code)
    codes = {
        "connections": connection,
        "runs": str(SyncRun.objects.all()[0].code),
        "links": str(Link.objects.all()[0].code),
    }
    for call in EXPECTED:
        method, address = call.split(" ")
        filled = address.replace("{connection}", connection).replace(
            "{code}", codes.get(address.split("/")[0], "{code}")
        )
        if method == "GET" and "{" not in filled and "mapping" not in filled:
            said = "\n".join(asked(agency, filled))
            assert not re.search(r"COUNT\([^;]*syncer_synclog", said, re.IGNORECASE), filled


def test_a_client_s_history_takes_each_connection_s_newest_alone(world: World) -> None:
    """Together they give what one question for all of them would, page by page, there and back."""
    grow(world, 2)
    for connection in Connection.objects.all():
        with transaction.atomic():
            entries = [Entry("key.rotated", "anna", connection=connection.code) for _ in range(7)]
            append(connection.chain, entries, world.clock.now())
    codes = list(Connection.objects.values_list("code", flat=True))
    wanted = [f"{one.chain.name} {one.seq}" for one in entries_of(codes)]
    mine = tool(world.connection.client)
    seen: list[str] = []
    back: list[str] = []
    address = "sync-log/?page_size=6"
    while address:
        page = mine.get(address).json()
        seen += [f"{row['chain']} {row['seq']}" for row in page["results"]]
        last, address = page, page["next"]
    assert seen == wanted
    while last:
        back = [f"{row['chain']} {row['seq']}" for row in last["results"]] + back
        last = mine.get(last["previous"]).json() if last["previous"] else None
    assert back == wanted
    of_the_log = [sql for sql in asked(mine, "sync-log/") if 'FROM "syncer_synclog"' in sql]
    assert len(of_the_log) == len(codes) + 1
    assert all('"connection" = ' in sql for sql in of_the_log[:-1])
    assert '"id" IN (' in of_the_log[-1]


def entries_of(codes: list[UUID]) -> list[SyncLog]:
    return list(SyncLog.objects.filter(connection__in=codes).select_related("chain").order_by("-pk"))
