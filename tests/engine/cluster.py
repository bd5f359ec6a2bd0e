"""Real workers in processes of their own, on the database of the test, to be stopped and killed.

`cluster` is the queue as it is in production. `fleet` makes workers at once: each is forked from one process that has
loaded everything, does what the queue's task does, for one task, and ends. `watched` lets a test act from within the
servers that the workers talk to, while a worker waits for the answer.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection as database
from django.db.models.functions import Now

from sandbox.salesmate import Seen
from syncer.models import AccountLease
from tests.contract.servers import Request
from tests.engine.real import Real, real

ROOT = Path(__file__).resolve().parent.parent.parent
LEASE_SECONDS = 4
"""Where a test waits for the end of a lease; else give a longer one: on a busy machine a transaction takes its time."""


def database_url() -> str:
    """The database that the test uses, for another process."""
    found = database.settings_dict
    if database.vendor == "sqlite":
        return f"sqlite:///{found['NAME']}"
    password = f":{found['PASSWORD']}" if found["PASSWORD"] else ""
    host, port = found["HOST"] or "", f":{found['PORT']}" if found["PORT"] else ""
    if host.startswith("/"):
        host = host.replace("/", "%2F")
    return f"postgres://{found['USER']}{password}@{host}{port}/{found['NAME']}"


def environment(**more: str) -> dict[str, str]:
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "ENV_FILE": os.devnull,
        "DATABASE_URL": database_url(),
        "SECRET_KEY": settings.SECRET_KEY,
        "FIELD_ENCRYPTION_KEYS": ",".join(settings.FIELD_ENCRYPTION_KEYS),
        "SALESMATE_URL": settings.SALESMATE_URL,
        "ALLOW_PRIVATE_HOSTS": "true",
        "SALESMATE_CALLS_PER_HOUR": "1000000",
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "WORKERS": "1",
        "LOG_LEVEL": "WARNING",
        **more,
    }


PROGRAM = """
import os, signal, sys
import django
django.setup()
from syncer.tasks import run_connection
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("up", flush=True)
for line in sys.stdin:
    number, connection = line.split()
    if os.fork() == 0:
        print(number, "pid", os.getpid(), flush=True)
        print(number, "status", run_connection(int(connection)), flush=True)
        os._exit(0)
"""


@dataclass
class Task:
    """One task, with a worker of its own."""

    connection: int
    number: int
    fleet: "Fleet"

    @property
    def pid(self) -> int:
        return int(self.fleet.said(self.number, "pid"))

    @property
    def status(self) -> str:
        """What the task gave; empty while it is under way, and for ever where its worker was killed."""
        return self.fleet.said(self.number, "status")

    def ended(self) -> str:
        wait_until(lambda: self.status != "" or self.is_dead(), 120, "the end of a task")
        assert self.status != "", self.fleet.log.read_text()
        return self.status

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        wait_until(self.is_dead, 10, "the end of a killed worker")

    def is_dead(self) -> bool:
        return not Path(f"/proc/{self.pid}").exists()

    def is_stopped(self) -> bool:
        try:
            return ") T " in Path(f"/proc/{self.pid}/stat").read_text()
        except FileNotFoundError:
            return False


@dataclass
class Fleet:
    process: "subprocess.Popen[bytes]"
    log: Path
    tasks: list[Task] = field(default_factory=list)

    def said(self, number: int, what: str) -> str:
        start = f"{number} {what} "
        lines = self.log.read_text().splitlines()
        return next((line.removeprefix(start) for line in lines if line.startswith(start)), "")

    def pids(self) -> set[str]:
        return {str(task.pid) for task in self.tasks}

    def start(self, connection: int) -> Task:
        """A worker begins a task of this connection."""
        task = Task(connection, len(self.tasks), self)
        self.tasks.append(task)
        assert self.process.stdin is not None
        self.process.stdin.write(f"{task.number} {connection}\n".encode())
        self.process.stdin.flush()
        wait_until(lambda: self.said(task.number, "pid") != "", 60, "a forked worker")
        return task

    def settle(self, connection: int) -> None:
        """One task after the other, until there is nothing more to do."""
        statuses: list[str] = []
        for _ in range(30):
            statuses.append(self.start(connection).ended())
            if statuses[-1] == "quiet":
                return
        raise AssertionError(f"not quiet: {statuses}")


@contextmanager
def fleet(folder: Path, name: str = "fleet", **more: str) -> Iterator[Fleet]:
    """Workers to be had at once; killed at the end, those that stand still too."""
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            env=environment(**more),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: "up" in log.read_text(), 120, "a fleet")
        yield Fleet(process, log)
    finally:
        kill(process)
        assert process.stdin is not None
        process.stdin.close()


@dataclass
class Lookout:
    """Sees each request of both servers as it is answered."""

    act: Callable[[str, str], None] = lambda method, path: None
    seen: list[tuple[str, str]] = field(default_factory=list)
    host: str = ""

    def at(self, method: str, path: str, host: str = "") -> None:
        """`host` is by which name Salesmate was called; each fleet has its own."""
        self.seen.append((method, path))
        self.host = host
        try:
            self.act(method, path)
        finally:
            database.close()  # of the server's own thread

    def writes(self) -> int:
        return sum(is_write(method, path) for method, path in self.seen)


def is_write(method: str, path: str) -> bool:
    return method in ("PUT", "POST", "DELETE") and not path.endswith("/search")


class Heard(list[Request]):
    """Radicale's log, which tells of each request as it comes in."""

    def __init__(self, lookout: Lookout) -> None:
        super().__init__()
        self.lookout = lookout

    def append(self, request: Request) -> None:
        super().append(request)
        self.lookout.at(request.method, request.path)


@contextmanager
def watched(folder: Path) -> Iterator[tuple[Real, Lookout]]:
    with real(folder) as world:
        lookout = Lookout()

        def at_salesmate(seen: Seen) -> None:
            lookout.at(seen.method, seen.path, seen.headers.get("host", "").partition(":")[0])

        world.salesmate.people_act = at_salesmate
        world.radicale.requests = Heard(lookout)
        world.connection.refresh_from_db()
        yield world, lookout


@contextmanager
def cluster(log: Path, **more: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`manage.py qcluster` in a session of its own; killed with all its processes at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "qcluster"],
            cwd=ROOT,
            env=environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        kill(process)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL for the worker and everything it started: no handler runs, nothing is tidied up."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Looks again and again; fails with `what` after so many seconds."""
    ends, pause = time.monotonic() + seconds, threading.Event()
    while not true():
        assert time.monotonic() < ends, f"{what}: not within {seconds} seconds"
        pause.wait(0.02)


def nobody_holds_the_accounts() -> bool:
    return not AccountLease.objects.filter(expires_at__gt=Now()).exists()


def cut_short() -> None:
    """The lease of a worker that is dead ends in a moment; what it had sent last has arrived by then."""
    ends = Now() + timedelta(seconds=1)
    AccountLease.objects.filter(expires_at__gt=ends).update(expires_at=ends)
    wait_until(nobody_holds_the_accounts, 20, "the dead worker's lease")
