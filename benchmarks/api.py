"""The ten most used calls of the API beside much data: `python -m benchmarks.api [--links N] [--entries N]`.

One connection with so many links and log entries, served by the portal's own web server. Each call alone, one after the
other; then 8 clients at once, each of which makes a call every 100 ms, all ten in turn. The goal is a ratio within the
run: p95 with 8 clients at most 5 times the median alone. BENCH_DATABASE_URL names a database other than a new SQLite.
"""

import argparse
import http.client
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

from tqdm import tqdm

CLIENTS = 8
ALONE = 60
LOADED = 400
PACE = 0.1
"""Seconds from call to call of one client: 80 calls a second in all."""
MOST = 5.0
AT_ONCE = 2_000
PATIENCE = 60.0


def prepare(folder: str) -> None:
    from benchmarks.worker import prepare as start

    os.environ.update({"DATABASE_URL": url} if (url := os.environ.get("BENCH_DATABASE_URL")) else {})
    os.environ.update(API_RATE="1000/minute", WEB_PROCESSES="2", ALLOWED_HOSTS="127.0.0.1")
    start(folder)


def build(links: int, entries: int) -> dict[str, Any]:
    """The data; what the addresses need of it, and a key for each client."""
    from connections.keys import create_key
    from connections.models import Account, Client, Connection, FieldMapping
    from portal.clock import SYSTEM
    from syncer.models import Book, Hold, Side, SyncRun

    client, now = Client.objects.create(name="Acme", slug="acme"), SYSTEM.now()
    keys = [create_key(client, "benchmark", name=f"tool {n}", scopes=["read", "audit"])[1] for n in range(CLIENTS)]
    connections = []
    for number in range(20):
        pair = [
            Account.objects.create(
                client=client, app="carddav", label=f"{side} {number}", identity=f"{side}{number}", status="connected"
            )
            for side in ("left", "right")
        ]
        connection = Connection.objects.create(
            client=client,
            name=f"Connection {number}",
            left_account=pair[0],
            left_book="a",
            right_account=pair[1],
            right_book="b",
            state="active",
        )
        for field in range(15):
            FieldMapping.objects.create(connection=connection, left_field=f"f{field}", right_field=f"f{field}")
        for side, account in zip(("left", "right"), pair, strict=True):
            book = Book.objects.create(account=account, remote_id="a" if side == "left" else "b")
            Side.objects.create(connection=connection, side=side, book=book)
        connections.append(connection)
    connection = connections[0]
    runs = SyncRun.objects.bulk_create(
        SyncRun(connection=connection, version=1, trigger="schedule", actor="schedule", status="done", queued_at=now)
        for _ in range(500)
    )
    code = make_links(connection, links, now)
    Hold.objects.bulk_create(
        Hold(connection=connection, kind="conflict", subject=f"x{number}", opened=now) for number in range(500)
    )
    make_entries(connection, runs[-1], entries)
    return {"keys": keys, "connection": str(connection.code), "run": str(runs[-1].code), "link": code}


def make_links(connection: Any, count: int, now: Any) -> str:
    from syncer.models import Link, Record

    books = [side.book for side in connection.sides.order_by("side")]
    last = None
    for start in tqdm(range(0, count, AT_ONCE), unit=f" x {AT_ONCE} links", leave=False):
        numbers = range(start, min(start + AT_ONCE, count))
        sides = [
            Record.objects.bulk_create(
                Record(
                    book=book,
                    remote_id=f"id{number}",
                    values={"email": f"p{number}@example.com", "f1": "A name"},
                    match_key=f"p{number}@example.com",
                    sequence=number,
                    first_seen_at=now,
                    observed_at=now,
                )
                for number in numbers
            )
            for book in books
        ]
        states = ("in_sync",) * 17 + ("excluded", "failing", "held")
        [*_, last] = Link.objects.bulk_create(
            Link(
                connection=connection,
                left=left,
                right=right,
                state=states[number % 20],
                reason="" if number % 20 < 17 else "for a reason",
                updated_at=now,
            )
            for number, left, right in zip(numbers, *sides, strict=True)
        )
    return str(last.code) if last is not None else ""


def make_entries(connection: Any, run: Any, count: int) -> None:
    from django.db import transaction

    from portal.clock import SYSTEM
    from syncer.audit.chain import Entry, append

    payload: dict[str, Any] = {"before": {"f1": "A name"}, "after": {"f1": "Another name"}, "remote_id": "id1"}
    entry = Entry("write.intent", "schedule", {"version": 1}, payload, connection=connection.code, run=run.code)
    for start in tqdm(range(0, count, AT_ONCE), unit=f" x {AT_ONCE} entries", leave=False):
        with transaction.atomic():
            append(connection.chain, [entry] * min(AT_ONCE, count - start), SYSTEM.now())


def calls(of: dict[str, str]) -> dict[str, str]:
    """What is asked, by its name."""
    connection = of["connection"]
    return {
        "me": "me/",
        "connections": "connections/",
        "a connection": f"connections/{connection}/",
        "its health": f"connections/{connection}/health/",
        "its mapping": f"connections/{connection}/field-mappings/",
        "its runs": f"runs/?connection={connection}",
        "a run": f"runs/{of['run']}/",
        "a contact by address": f"links/?connection={connection}&email=p777@example.com",
        "what failed": f"links/?connection={connection}&state=failing",
        "its history": f"sync-log/?connection={connection}&page_size=50",
    }


@contextmanager
def served() -> Iterator[int]:
    """The portal's web server; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "manage.py", "run", "web"], env=os.environ | {"PORT": str(port)})
    try:
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            try:
                ask(port, "/healthz", "")
                break
            except OSError:
                time.sleep(0.2)
        yield port
    finally:
        server.terminate()
        server.wait()


def ask(port: int, address: str, key: str) -> float:
    """Seconds that it took. Raises AssertionError where it was refused."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", address, headers={"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, (address, answer.status, body[:300])
    return time.perf_counter() - began


def loaded(port: int, keys: list[str], addresses: dict[str, str]) -> dict[str, list[float]]:
    """Eight clients at once, each with its own order."""
    spent: dict[str, list[float]] = {name: [] for name in addresses}

    def client(number: int) -> None:
        names = [name for name in addresses for _ in range(LOADED // CLIENTS)]
        random.Random(number).shuffle(names)
        due = time.monotonic() + number * PACE / CLIENTS
        for name in names:
            time.sleep(max(0.0, due - time.monotonic()))
            spent[name].append(ask(port, f"/api/v1/{addresses[name]}", keys[number]))
            due += PACE

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return spent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--links", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder)
        of = build(chosen.links, chosen.entries)
        addresses = calls(of)
        with served() as port:
            for address in addresses.values():
                ask(port, f"/api/v1/{address}", of["keys"][0])
            alone = {
                name: [ask(port, f"/api/v1/{address}", of["keys"][turn % CLIENTS]) for turn in range(ALONE)]
                for name, address in addresses.items()
            }
            together = loaded(port, of["keys"], addresses)
    print(f"{chosen.links} links, {chosen.entries} log entries, {os.cpu_count()} processors, two web processes")
    missed = [name for name in addresses if not told(name, alone[name], together[name])]
    return int(missed != [])


def told(name: str, alone: list[float], together: list[float]) -> bool:
    """Say it; whether the goal was met."""
    p50, p95 = median(alone), quantiles(together, n=20)[-1]
    met = p95 / p50 <= MOST
    times = f"alone {p50 * 1000:7.1f} ms   p95 of {CLIENTS} clients {p95 * 1000:7.1f} ms   {p95 / p50:5.2f} x"
    print(f"{name:22} {times}   {'met' if met else 'missed'}")
    return met


if __name__ == "__main__":
    sys.exit(main())
