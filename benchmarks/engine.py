"""What the engine itself costs: two apps in memory, no network. `python -m benchmarks.engine [contacts ...]`.

For each size: an initial sync (all on the left, none on the right), a quiet run, and a run with 1 % changed; per
contact the time, the statements and the calls, and the memory at its peak.
"""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Measure:
    seconds: float
    statements: int
    calls: int
    writes: int


def prepare(directory: str) -> None:
    os.environ["TEST_DATABASE_URL"] = os.environ.get("BENCH_DATABASE_URL", f"sqlite:///{directory}/bench.sqlite3")
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from syncer.connectors import registry

    registry.CONNECTORS["memory"] = "tests.engine.memory.MemoryConnector"


@contextmanager
def counted(counter: list[int]) -> Any:
    from django.db import connection

    def count(execute: Callable[..., Any], *args: Any) -> Any:
        counter[0] += 1
        return execute(*args)

    with connection.execute_wrapper(count):
        yield


def measure(world: Any, work: Callable[[], Any]) -> Measure:
    statements, calls = [0], len(world.left.calls) + len(world.right.calls)
    writes = len(world.left.mutations) + len(world.right.mutations)
    start = time.perf_counter()
    with counted(statements):
        work()
    return Measure(
        time.perf_counter() - start,
        statements[0],
        len(world.left.calls) + len(world.right.calls) - calls,
        len(world.left.mutations) + len(world.right.mutations) - writes,
    )


def fill(app: Any, contacts: int) -> None:
    for n in range(contacts):
        app.person_creates(
            f"l{n:07}",
            given=f"Given{n}",
            family=f"Family{n}",
            email=f"p{n}@example.com",
            mobile=f"+1212555{n % 10000:04}",
            title="Engineer",
            note="A note of some length about this person. " * 3,
            tags=["a", "b"],
        )


def story(contacts: int) -> dict[str, Measure]:
    from tests.engine.memory import MemoryApp
    from tests.engine.world import make_world

    world = make_world(MemoryApp(f"left{contacts}"), MemoryApp(f"right{contacts}"), slug=f"bench-{contacts}")
    fill(world.left, contacts)
    results = {"initial": measure(world, world.sync)}
    assert len(world.right.contacts) == contacts
    world.clock.forward(300)
    results["seeing our own writes"] = measure(world, world.sync)
    world.clock.forward(300)
    results["quiet"] = measure(world, world.sync)
    for n in range(0, contacts, 100):
        world.left.person_edits(f"l{n:07}", title=f"Changed {n}")
    world.clock.forward(300)
    results["1 % changed"] = measure(world, world.sync)
    assert results["quiet"].writes == 0 and results["1 % changed"].writes == max(1, contacts // 100)
    return results


def show(contacts: int, results: dict[str, Measure]) -> None:
    for name, found in results.items():
        affected = found.writes or contacts
        print(
            f"{contacts:>7} {name:<22} {found.seconds:8.2f} s  {found.seconds * 1000 / affected:8.2f} ms each "
            f"{found.statements:>7} statements  {found.calls:>6} calls  {found.writes:>6} writes"
        )
    print(f"{contacts:>7} peak memory            {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:>6} MiB")


def main(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        prepare(directory)
        for contacts in sizes:
            show(contacts, story(contacts))


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [1000, 10000])
