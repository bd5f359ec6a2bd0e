"""/metrics: the right numbers after real work, at a cost that does not grow, and only for whom it is meant."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection as database
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from connections import services
from connections.models import Connection
from portal.metrics import COUNTERS, GAUGES, PREFIX, registry
from syncer import services as sync_services
from syncer.connectors import registry as apps
from syncer.connectors.base import AuthFailed, ConnectorError, RateLimited
from syncer.leases import acquire
from syncer.models import ApiUsage, Book, Heartbeat, Hold, Link, LogCheckpoint, Record, SyncRun
from syncer.rates import Budget
from tests.engine.memory import MemoryApp, TestClock, raising
from tests.engine.world import ANNA, START, World, make_world

pytestmark = pytest.mark.django_db(transaction=True)
DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "operations.md"
TOKEN = "a-long-token-for-the-tests"
Numbers = dict[str, float]


@pytest.fixture(autouse=True)
def memory_apps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(apps.CONNECTORS, "memory", "tests.engine.memory.MemoryConnector")
    yield


@pytest.fixture
def clock() -> TestClock:
    return TestClock(START)


@pytest.fixture
def world() -> World:
    return make_world(MemoryApp("left"), MemoryApp("right"))


def parsed(text: str) -> Numbers:
    """By name and label values: `runs_total done`."""
    families = list(text_string_to_metric_families(text))
    samples = [sample for family in families for sample in family.samples]
    return {" ".join([s.name.removeprefix(PREFIX), *s.labels.values()]): s.value for s in samples}


def numbers(clock: TestClock) -> Numbers:
    return parsed(generate_latest(registry(clock)).decode())


def people(world: World, count: int) -> None:
    for n in range(count):
        world.left.person_creates(given=f"P{n}", email=f"p{n}@example.com")


# The numbers


def test_a_new_portal_shows_zeros_and_leaves_out_what_never_was(clock: TestClock) -> None:
    found = numbers(clock)
    assert found["runs_total done"] == found["lease_waits_total"] == found["holds_open conflict"] == 0
    assert found["accounts salesmate needs_authorization"] == found["errors_total none Crash"] == 0
    assert found["changes_total update left refused"] == found["api_calls_total carddav people"] == 0
    assert not {"worker_heartbeat_seconds", "checkpoint_seconds", "checkpoint_delivered_seconds"} & set(found)


def test_after_a_sync_runs_changes_and_calls_are_counted(world: World) -> None:
    people(world, 3)
    world.settle()
    found = numbers(world.clock)
    assert found["changes_total create right done"] == len(world.right.contacts) == 3
    assert found["runs_total done"] == SyncRun.objects.filter(status="done").count() == 1
    assert found["runs_total quiet"] >= 1
    made = world.left.calls + world.right.calls
    assert found["api_calls_total memory connection"] == len(made)
    assert found["connections active"] == 1
    assert found["accounts memory connected"] == 2


def test_counters_only_grow_also_when_what_they_counted_is_gone(world: World) -> None:
    people(world, 2)
    world.settle()
    before = numbers(world.clock)
    services.delete_connection(world.connection, ANNA)
    after = numbers(world.clock)
    assert {name: after[name] for name in before if "_total" in name} == {
        name: before[name] for name in before if "_total" in name
    }


def test_refused_changes_and_failing_contacts_are_seen(world: World) -> None:
    people(world, 2)
    world.right.refuse = lambda values: "no" if values.get("given") == "P1" else ""
    world.sync()
    found = numbers(world.clock)
    assert found["changes_total create right refused"] == 1
    assert found["runs_total partial"] == 1
    assert found["contacts_failing"] == Link.objects.filter(state="failing").count() == 1


def test_an_open_plan_is_a_run_that_waits_and_a_rejected_one_has_ended(world: World) -> None:
    world.edit(review="changes")
    people(world, 2)
    assert world.sync().status == "waiting"
    assert numbers(world.clock)["runs_open waiting"] == 1
    sync_services.reject(SyncRun.objects.get(), ANNA, world.clock)
    found = numbers(world.clock)
    assert (found["runs_open waiting"], found["runs_total rejected"]) == (0, 1)
    assert found["changes_total create right superseded"] == 2


@pytest.mark.parametrize(
    ("error", "kind"), [(RateLimited("slower", 60), "RateLimited"), (AuthFailed("who are you?"), "AuthFailed")]
)
def test_errors_are_counted_by_app_and_kind(world: World, error: ConnectorError, kind: str) -> None:
    people(world, 1)
    world.left.on_call = raising(error)
    world.slice()
    assert numbers(world.clock)[f"errors_total memory {kind}"] == 1


def test_a_slice_that_finds_a_lease_taken_is_a_wait(world: World) -> None:
    lease = acquire([world.connection.left_account.lease_key], "other", timedelta(seconds=60), world.clock)
    assert lease is not None
    assert world.slice().status == "busy"
    found = numbers(world.clock)
    assert (found["lease_waits_total"], found["leases_held"]) == (1, 1)
    lease.release()
    assert numbers(world.clock)["leases_held"] == 0


def test_a_person_s_calls_are_counted_apart(world: World) -> None:
    for _ in range(2):
        services.check_account(world.connection.left_account, ANNA, world.worker.connect, world.clock)
    found = numbers(world.clock)
    assert found["api_calls_total memory people"] == ApiUsage.objects.get().calls == 2
    assert "api_calls_total memory connection" not in found


def test_calls_that_are_flushed_twice_are_counted_once(clock: TestClock) -> None:
    for limit in (None, 100):
        budget = Budget("memory:login", "connection 1", limit, clock)
        budget.take()
        budget.flush()
        budget.flush()
    assert numbers(clock)["api_calls_total memory connection"] == 2


def test_open_holds_by_kind_and_not_what_was_resolved(world: World) -> None:
    for number, resolved in enumerate((None, None, START)):
        Hold.objects.create(
            connection=world.connection, kind="conflict", subject=str(number), opened=START, resolved=resolved
        )
    assert numbers(world.clock)["holds_open conflict"] == 2


def test_the_queue_its_age_and_what_a_worker_has_fetched(clock: TestClock) -> None:
    for seconds in (-90, -30, 600):
        OrmQ.objects.create(key="counterpart", payload="", lock=START + timedelta(seconds=seconds))
    found = numbers(clock)
    assert (found["queue_tasks waiting"], found["queue_tasks fetched"]) == (2, 1)
    assert found["queue_oldest_seconds"] == 90


def test_what_is_due_for_long_is_overdue_unless_it_is_paused(world: World) -> None:
    Connection.objects.update(next_run_at=START - timedelta(minutes=10))
    found = numbers(world.clock)
    assert (found["connections_overdue"], found["connections_latest_seconds"]) == (1, 600)
    Connection.objects.update(next_run_at=START - timedelta(minutes=1))
    assert numbers(world.clock)["connections_overdue"] == 0
    Connection.objects.update(next_run_at=START - timedelta(minutes=10), state="paused")
    found = numbers(world.clock)
    assert (found["connections_overdue"], found["connections_latest_seconds"], found["connections paused"]) == (0, 0, 1)


def test_the_ages_of_heartbeat_and_checkpoints(clock: TestClock) -> None:
    Heartbeat.objects.create(name="stopped", at=START - timedelta(hours=3))
    Heartbeat.objects.create(name="alive", at=START - timedelta(seconds=20))
    Heartbeat.objects.create(name="another year", at=START + timedelta(days=365))
    for number, (minutes, delivered) in enumerate(((90, START), (30, None)), 1):
        LogCheckpoint.objects.create(
            number=number, at=START - timedelta(minutes=minutes), heads="{}", delivered_at=delivered
        )
    found = numbers(clock)
    assert found["worker_heartbeat_seconds"] == 20
    assert (found["checkpoint_seconds"], found["checkpoint_delivered_seconds"]) == (1800, 5400)


def test_labels_are_words_of_ours(world: World) -> None:
    people(world, 2)
    world.left.refuse = lambda values: "Ada cannot be stored"
    world.settle()
    text = generate_latest(registry(world.clock)).decode()
    for private in ("Acme", "acme", "example.com", "P0", str(world.connection.code), "Left and right"):
        assert private not in text


# The cost


def grow(world: World, count: int) -> None:
    book = Book.objects.get(account=world.connection.left_account)
    rows = range(Record.objects.count(), Record.objects.count() + count)
    moments = {"first_seen_at": START, "observed_at": START}
    records = Record.objects.bulk_create(
        [Record(book=book, remote_id=f"x{n}", sequence=n, **moments) for n in rows], batch_size=500
    )
    Link.objects.bulk_create(
        [Link(connection=world.connection, left=one, state="in_sync", updated_at=START) for one in records],
        batch_size=500,
    )


def test_a_scrape_asks_as_often_at_ten_thousand_links_as_at_ten(world: World) -> None:
    world.settle()
    costs = []
    for more in (10, 9_990):
        grow(world, more)
        with CaptureQueriesContext(database) as asked:
            numbers(world.clock)
        costs.append(len(asked))
    assert Link.objects.count() == 10_000
    assert costs[0] == costs[1] <= 13


def test_a_scrape_reads_nothing_that_only_grows(world: World) -> None:
    with CaptureQueriesContext(database) as asked:
        numbers(world.clock)
    tables = {table for query in asked for table in re.findall(r'"(syncer_\w+|connections_\w+)"(?! *AS)', query["sql"])}
    assert not tables & {"syncer_change", "syncer_synclog", "syncer_record", "syncer_apiusage", "syncer_logchain"}


def scanned(sql: str) -> set[str]:
    """The tables that a statement reads from end to end although an index could spare it that."""
    with database.cursor() as cursor:
        if database.vendor == "sqlite":
            cursor.execute("EXPLAIN QUERY PLAN " + sql)
            steps = [row[3] for row in cursor.fetchall()]
            return {name for step in steps for name in re.findall(r"^SCAN (\w+)$", step)}
        cursor.execute("SET enable_seqscan = off")
        cursor.execute("EXPLAIN " + sql)
        steps = [row[0] for row in cursor.fetchall()]
        cursor.execute("RESET enable_seqscan")
        return {name for step in steps for name in re.findall(r"Seq Scan on (\w+)", step)}


def test_a_scrape_finds_links_runs_and_holds_by_an_index(world: World) -> None:
    with CaptureQueriesContext(database) as asked:
        numbers(world.clock)
    found = {table for query in list(asked) for table in scanned(query["sql"])}
    long = {"syncer_link", "U0", "syncer_syncrun", "syncer_hold", "syncer_logcheckpoint", "syncer_change"}
    assert not found & long


# Who may look


def test_it_is_not_there_unless_it_was_switched_on(client: Browser) -> None:
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xff"]
)
@pytest.mark.parametrize("open_too", [False, True])
def test_a_token_is_asked_for(client: Browser, settings: Settings, header: str, open_too: bool) -> None:
    settings.METRICS_TOKEN, settings.METRICS_OPEN = TOKEN, open_too
    answer = client.get("/metrics", headers={"Authorization": header})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert b"counterpart_" not in answer.content and TOKEN.encode() not in answer.content


def test_who_has_the_token_gets_what_prometheus_reads(client: Browser, settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert parsed(answer.content.decode())["runs_total done"] == 0


def test_in_a_closed_network_it_can_be_open(client: Browser, settings: Settings) -> None:
    settings.METRICS_OPEN = True
    assert client.get("/metrics").status_code == 200
    assert client.post("/metrics").status_code == 405


def test_it_answers_over_plain_http_like_the_probes(client: Browser, settings: Settings) -> None:
    settings.METRICS_OPEN, settings.SECURE_SSL_REDIRECT = True, True
    assert client.get("/metrics").status_code == 200
    assert client.get("/admin/").status_code == 301


# The documentation


def test_every_metric_is_documented_as_it_is() -> None:
    rows = re.findall(r"(?m)^\| `(counterpart_\w+)` \| (.*?) \| (.*?) \|$", DOCS.read_text())
    documented = {name: (labels.replace("`", ""), words) for name, labels, words in rows}
    described = [(one, "_total") for one in COUNTERS.values()] + [(one, "") for one in GAUGES]
    expected = {f"{PREFIX}{one.name}{end}": (", ".join(one.labels), one.help) for one, end in described}
    assert documented == expected
