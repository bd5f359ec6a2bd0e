"""Two address books on a Radicale of their own: a separate process with its usual settings, which tells us in its log
what it was asked for."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import requests

from sandbox.cards import card, uid
from sandbox.people import Person, books

USERS = {"alice": "s3cret", "bob": "hunter2"}
PROPS = '{"tag": "VADDRESSBOOK", "D:displayname": "Contacts"}'
CONFIG = """
[server]
hosts = 127.0.0.1:{port}
[auth]
type = htpasswd
htpasswd_filename = {folder}/users
htpasswd_encryption = plain
[storage]
filesystem_folder = {folder}
[logging]
level = info
"""
ANSWER = re.compile(r"\] \[INFO\] (\w+) response status for '[^']*'.* in ([0-9.]+) seconds")
NUMBER_OF_ANOTHER_LEFT = 100_000
"""People above it are entered twice, for the demo: no tool could tell what to do with them."""


@dataclass(frozen=True)
class Asked:
    """What the server's log says of a time, by method: requests, and the seconds that it needed to answer them."""

    methods: Counter[str]
    seconds: dict[str, float]


@dataclass
class Books:
    """Alice's book and bob's, at a server that runs."""

    folder: Path
    url: str
    log: Path
    process: int
    read: int = 0

    def path(self, user: str, name: str = "") -> str:
        return f"{self.url}{user}/book/{name}"

    def stored(self, user: str) -> dict[str, bytes]:
        """The cards that a user's book holds, by file name."""
        return {file.name: file.read_bytes() for file in book_folder(self.folder, user).glob("*.vcf")}

    def put(self, session: requests.Session, user: str, name: str, octets: bytes, **conditions: str) -> None:
        headers = {"Content-Type": "text/vcard; charset=utf-8", **conditions}
        reply = session.put(self.path(user, name), octets, headers=headers, auth=(user, USERS[user]), timeout=60)
        reply.raise_for_status()

    def cpu(self) -> float:
        """The processor time that the server has used, in seconds, where the system says it (Linux); else 0."""
        stat = Path(f"/proc/{self.process}/stat")
        if not stat.exists():
            return 0.0
        user, system = stat.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def asked(self) -> Asked:
        """Since the last look."""
        with self.log.open("rb") as file:
            file.seek(self.read)
            text = file.read()
        self.read += len(text)
        found = ANSWER.findall(text.decode("utf-8", "replace"))
        spent: dict[str, float] = defaultdict(float)
        for method, seconds in found:
            spent[method] += float(seconds)
        return Asked(Counter(method for method, _ in found), dict(spent))


def book_folder(folder: Path, user: str) -> Path:
    return folder / "collection-root" / user / "book"


def people(count: int) -> list[Person]:
    """Lifelike contacts that every tool copies whole: without pictures, with a name and an address."""
    lefts = (person for person in books(count * 2).left if person.number < NUMBER_OF_ANOTHER_LEFT)
    named = [replace(one, photo="") for one in lefts if one.given and one.family and one.email]
    return named[:count]


def octets(person: Person) -> bytes:
    """The card, without what only some tools carry over."""
    return re.sub(r"(?m)^X-[^\r]*\r\n", "", card(person)).encode()


def template(folder: Path, persons: Sequence[Person]) -> None:
    """Alice has all the cards and bob none; the server has read them once already."""
    folder.mkdir()
    (folder / "users").write_text("".join(f"{name}:{password}\n" for name, password in USERS.items()))
    for user in USERS:
        home = book_folder(folder, user)
        home.mkdir(parents=True)
        (home / ".Radicale.props").write_text(PROPS)
    for person in persons:
        (book_folder(folder, "alice") / f"{uid(person)}.vcf").write_bytes(octets(person))
    with serving(folder) as server:
        reply = requests.get(server.path("alice"), auth=("alice", USERS["alice"]), timeout=600)
        reply.raise_for_status()


@contextmanager
def fresh(template: Path, folder: Path) -> Iterator[Books]:
    """A copy of the template, served."""
    shutil.copytree(template, folder)
    with serving(folder) as server:
        yield server
    shutil.rmtree(folder)


@contextmanager
def serving(folder: Path) -> Iterator[Books]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config, log = folder / "config", folder / "log"
    config.write_text(CONFIG.format(port=port, folder=folder))
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "radicale", "--config", str(config)], stderr=out)
    try:
        server = Books(folder, f"http://127.0.0.1:{port}/", log, process.pid)
        wait_for(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def wait_for(server: Books, process: "subprocess.Popen[bytes]") -> None:
    """Until it answers, for each user (what it does at the first request is not to be measured)."""
    ends = time.monotonic() + 30
    while True:
        try:
            for user, password in USERS.items():
                login, whole_book = (user, password), {"Depth": "1"}
                reply = requests.request("PROPFIND", server.path(user), headers=whole_book, auth=login, timeout=600)
                reply.raise_for_status()
        except requests.ConnectionError:
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"Radicale does not run: {server.log.read_text()[-2000:]}") from None
            time.sleep(0.05)
        else:
            server.asked()
            return
