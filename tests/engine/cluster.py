"""Real workers in processes of their own, on the database of the test, to be killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.db import connection as database

ROOT = Path(__file__).resolve().parent.parent.parent
LEASE_SECONDS = 2


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
