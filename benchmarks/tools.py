"""The three ways to bring alice's cards into bob's book that are compared, each started anew for a pair of books."""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import requests

from benchmarks.books import USERS, Books


@dataclass(frozen=True)
class Spent:
    """`seconds` by the clock, `cpu` on the processor, both on our side of the wire."""

    seconds: float
    cpu: float
    more: dict[str, Any]


class Tool(Protocol):
    name: str

    def sync(self) -> Spent:
        """One pass, until there is nothing more to do."""

    def stop(self) -> None:
        """Raises where it did not end well."""


class Counterpart:
    """Our engine in a worker that is up, as the queue keeps them."""

    name = "counterpart"

    def __init__(self, server: Books, folder: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.worker", server.url, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def sync(self) -> Spent:
        assert self.process.stdin is not None
        self.process.stdin.write("sync\n")
        self.process.stdin.flush()
        told = self._answer()
        if told["status"] not in ("done", "quiet"):
            raise RuntimeError(f"our run ended as {told['status']}: {told['reason']}")
        return Spent(told["seconds"], told["cpu"], {"statements": told["statements"]})

    def stop(self) -> None:
        self.process.communicate()
        if self.process.returncode != 0:
            raise RuntimeError("our worker did not end well")

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("our worker gave no answer")
        told: dict[str, Any] = json.loads(line)
        return told


CONFIG = """
[general]
status_path = "{folder}/status"
[pair contacts]
a = "alice"
b = "bob"
collections = [["book", "book", "book"]]
"""
STORAGE = """
[storage {user}]
type = "carddav"
url = "{url}"
username = "{user}"
password = "{password}"
"""


class Vdirsyncer:
    """The program, started for each pass as a person or cron does."""

    name = "vdirsyncer"

    def __init__(self, server: Books, folder: Path) -> None:
        storages = (STORAGE.format(user=user, url=server.url, password=password) for user, password in USERS.items())
        (folder / "config").write_text(CONFIG.format(folder=folder) + "".join(storages))
        self.folder = folder
        self._run("-c", str(folder / "config"), "discover")

    def sync(self) -> Spent:
        return self._run("-c", str(self.folder / "config"), "sync")

    def start_up(self) -> Spent:
        return self._run("--version")

    def stop(self) -> None:
        pass

    def _run(self, *arguments: str) -> Spent:
        program = str(Path(sys.executable).with_name("vdirsyncer"))
        cpu, start = cpu_of_children(), time.perf_counter()
        done = subprocess.run(
            [program, *arguments],
            input=b"y\n" * 9,
            env={**os.environ, "HOME": str(self.folder)},
            capture_output=True,
            check=False,
        )
        spent = Spent(time.perf_counter() - start, cpu_of_children() - cpu, {})
        if done.returncode != 0:
            raise RuntimeError(f"vdirsyncer {arguments[-1]} failed: {done.stderr.decode()[-2000:]}")
        return spent


def cpu_of_children() -> float:
    """Processor seconds of all programs that ended so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class BarePuts:
    """What no tool can do without: each card sent once, one after the other, and nothing else."""

    name = "bare PUTs"

    def __init__(self, server: Books, folder: Path) -> None:
        self.server, self.cards, self.session = server, sorted(server.stored("alice").items()), requests.Session()

    def sync(self) -> Spent:
        cpu, start = time.process_time(), time.perf_counter()
        for name, octets in self.cards:
            self.server.put(self.session, "bob", name, octets, **{"If-None-Match": "*"})
        return Spent(time.perf_counter() - start, time.process_time() - cpu, {})

    def stop(self) -> None:
        self.session.close()
