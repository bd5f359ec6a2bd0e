"""A worker that is killed loses nothing and makes nothing twice, while people go on editing on both sides."""

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Max
from django_q.models import OrmQ

from connections.models import Connection
from sandbox.salesmate import Seen
from syncer.audit.verify import verify
from syncer.models import Change, Link, LogChain, Record
from syncer.tasks import enqueue
from tests.engine.cluster import Fleet, Task, cluster, cut_short, fleet, kill, wait_until
from tests.engine.real import Real, person, real

SEED = 20261124
LEASE = "60"
ABUNDANT = {"overwrites": 100_000, "creates": 100_000, "same_value": 100_000, "changed_share": 100_000}
"""Limits that no edit here reaches: a held plan would wait for a person."""


@pytest.mark.proves("I2", "I11", "I15", "I20", "I30", "E7 recover")
@pytest.mark.django_db(transaction=True)
def test_ten_kills_in_a_sync_of_two_hundred_contacts_that_people_edit(tmp_path: Path) -> None:
    killed_again_and_again(tmp_path, contacts=200, kills=10, queues=3)


@pytest.mark.deep
@pytest.mark.proves("I2", "I11", "I15", "I20", "I30", "E7 recover")
@pytest.mark.django_db(transaction=True)
def test_fifty_kills_in_a_sync_of_five_hundred_contacts_that_people_edit(tmp_path: Path) -> None:
    killed_again_and_again(tmp_path, contacts=500, kills=50, queues=5)


def killed_again_and_again(folder: Path, contacts: int, kills: int, queues: int) -> None:
    """Each worker is killed after some more requests than the one before it: the first few with the whole queue
    around them, the others alone. Then people rest, and workers go on in peace."""
    chance = random.Random(SEED)
    with real(folder) as world:
        seed(world, contacts)
        with fleet(folder, LEASE_SECONDS=LEASE) as workers, editing(world, random.Random(chance.random())) as people:
            for number in range(kills):
                moment = Moment(world, chance.randint(3, 60))
                if number < queues:
                    kill_the_queue(world, moment, folder)
                else:
                    kill_a_worker(world, moment, workers)
                people.worker_is_dead()
                cut_short()
            people.rest()
            workers.settle(world.connection.pk)
        assert len(people.edits) > kills
        everybody_is_there_once(world, contacts, people)
        both_sides_agree(world)
        every_edit_is_there_or_in_the_log(world, people)
        the_log_is_whole(world)


def seed(world: Real, contacts: int) -> None:
    """Half of them only in the book, three in ten only in Salesmate, the others in both with another job title."""
    Connection.objects.filter(pk=world.connection.pk).update(limits=ABUNDANT)
    world.connection.refresh_from_db()
    mine, theirs = contacts * 7 // 10, contacts // 2
    world.radicale.fill("alice", [person(n, TITLE=f"Card {n}") for n in range(mine)])
    for n in range(theirs, contacts):
        world.salesmate.person_create(
            firstName=f"Given{n}", lastName=f"Fämily{n}", email=f"p{n}@example.com", owner=1, designation=f"Crm {n}"
        )


# Kills


@dataclass
class Moment:
    """So many requests from now, at both servers together."""

    world: Real
    requests: int
    start: int = 0

    def __post_init__(self) -> None:
        self.start = self.so_far()

    def so_far(self) -> int:
        return len(self.world.radicale.requests) + len(self.world.salesmate.log)

    def has_come(self) -> bool:
        return self.so_far() >= self.start + self.requests


def kill_the_queue(world: Real, moment: Moment, folder: Path) -> None:
    newest = OrmQ.objects.aggregate(pk=Max("pk"))["pk"] or 0  # what was killed with its worker lies there for long

    def has_come() -> bool:
        """A run that had to wait, for example since people added contacts while we listed them, is asked for again."""
        if not OrmQ.objects.filter(pk__gt=newest).exists():
            enqueue(world.connection.pk)
        return moment.has_come()

    with cluster(folder / "queue.log", LEASE_SECONDS=LEASE) as queue:
        wait_until(has_come, 120, "a moment to kill the queue")
        kill(queue)


def kill_a_worker(world: Real, moment: Moment, workers: Fleet) -> None:
    """Where one is done before the moment has come, the next goes on."""
    while True:
        task = workers.start(world.connection.pk)
        if killed_in_time(task, moment):
            return


def killed_in_time(task: Task, moment: Moment) -> bool:
    wait_until(lambda: moment.has_come() or task.is_dead(), 120, "a moment to kill a worker")
    if task.status == "":
        task.kill()
    return task.status == ""


# People


@dataclass(frozen=True)
class Edit:
    side: str
    email: str
    title: str


@dataclass
class People:
    """Change job titles on both sides and add contacts, in a thread of their own.

    A contact is left alone from the moment an app is asked to write it until we have read back what it holds: what is
    typed in between is taken for the app's own spelling of what we sent (DESIGN.md 1, promise 6). In Salesmate that
    begins with the re-read before an update.
    """

    world: Real
    chance: random.Random
    edits: list[Edit] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    in_hand: set[str] = field(default_factory=set)
    book: threading.RLock = field(default_factory=threading.RLock)
    done: threading.Event = field(default_factory=threading.Event)
    problem: BaseException | None = None

    def go_on(self) -> None:
        try:
            while not self.done.wait(self.chance.uniform(0.02, 0.2)):
                self.chance.choices([self.edit_a_card, self.edit_a_contact, self.add], [2, 2, 1])[0]()
        except BaseException as problem:
            self.problem = problem

    def rest(self) -> None:
        self.done.set()

    def worker_is_dead(self) -> None:
        """Nobody will read back what it wrote."""
        with self.book, self.world.salesmate.account.lock:
            self.in_hand.clear()

    def title(self) -> str:
        return f"Edit {len(self.edits)}"

    def edit_a_card(self) -> None:
        with self.book:
            path = self.chance.choice(sorted(self.world.radicale.book_folder("alice").glob("*.vcf")))
            card, title = path.read_text(), self.title()
            if path.stem in self.in_hand:
                return
            lines = [line for line in card.splitlines() if not line.startswith("TITLE")]
            self.world.radicale.place("alice", path.stem, "\r\n".join([*lines[:-1], f"TITLE:{title}", lines[-1], ""]))
            self.edits.append(Edit("left", email_of(card), title))

    def edit_a_contact(self) -> None:
        app = self.world.salesmate
        with app.account.lock:
            number = self.chance.choice(sorted(app.account.contacts))
            if str(number) not in self.in_hand:
                title = self.title()
                app.person_edit(number, designation=title)
                self.edits.append(Edit("right", app.account.contacts[number]["email"], title))

    def add(self) -> None:
        n = 5000 + len(self.added)
        self.added.append(f"p{n}@example.com")
        if self.chance.random() < 0.5:
            with self.book:
                self.world.radicale.place("alice", f"uid-{n}", person(n))
        else:
            self.world.salesmate.person_create(
                firstName=f"Given{n}", lastName=f"Fämily{n}", email=f"p{n}@example.com", owner=1
            )

    def at_salesmate(self, seen: Seen) -> None:
        """Under the lock of the account, as every edit there is."""
        number = seen.path.rpartition("/")[2]
        if number == "search":
            self.in_hand -= {one for one in self.in_hand if one.isdigit()}
        elif seen.method in ("GET", "PUT") and number.isdigit():
            self.in_hand.add(number)
        elif seen.method == "POST":
            self.in_hand.add(str(max(self.world.salesmate.account.contacts)))

    def between_requests(self, application: Callable[..., Any]) -> Callable[..., Any]:
        """Radicale, with each request apart from every edit of a card."""

        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            with self.book:
                method, name = environ["REQUEST_METHOD"], Path(environ.get("PATH_INFO", "")).stem
                if method == "PUT":
                    self.in_hand.add(name)
                reply = list(application(environ, start_response))
                if method == "REPORT":
                    self.in_hand -= {one for one in self.in_hand if not one.isdigit()}
                return reply

        return answer


@contextmanager
def editing(world: Real, chance: random.Random) -> Iterator[People]:
    people = People(world, chance)
    world.salesmate.people_act = people.at_salesmate
    world.radicale._application = people.between_requests(world.radicale._application)
    thread = threading.Thread(target=people.go_on, daemon=True)
    thread.start()
    try:
        yield people
    finally:
        people.rest()
        thread.join()
    assert people.problem is None, people.problem


# What has to hold


def cards(world: Real) -> list[str]:
    return [path.read_text() for path in world.radicale.book_folder("alice").glob("*.vcf")]


def titles(world: Real) -> dict[str, dict[str, str]]:
    """The job title of each contact by e-mail, on either side."""
    left = {email_of(card): title_of(card) for card in cards(world)}
    return {"left": left, "right": {email: row.get("designation") or "" for email, row in world.people().items()}}


def everybody_is_there_once(world: Real, contacts: int, people: People) -> None:
    wanted = Counter([*(f"p{n}@example.com" for n in range(contacts)), *people.added])
    live = [row["email"] for row in world.salesmate.account.contacts.values() if not row["isDeleted"]]
    assert Counter(live) == wanted
    assert Counter(map(email_of, cards(world))) == wanted
    assert Link.objects.filter(state="in_sync").count() == len(wanted)
    assert Record.objects.filter(state="live").count() == 2 * len(wanted)


def both_sides_agree(world: Real) -> None:
    found = titles(world)
    assert found["left"] == found["right"]


def every_edit_is_there_or_in_the_log(world: Real, people: People) -> None:
    """What a person wrote last on a side stands there, or was replaced by us and stands as `before` in the log."""
    last = {(edit.side, edit.email): edit.title for edit in people.edits}
    found = titles(world)
    before = {
        (entry.side, value)
        for entry in world.entries("write.intent")
        for value in json.loads(entry.payload or "{}")["before"].values()
        if isinstance(value, str)
    }
    missing = [
        (side, email, title)
        for (side, email), title in last.items()
        if found[side][email] != title and (side, title) not in before
    ]
    assert missing == []


def the_log_is_whole(world: Real) -> None:
    for chain in LogChain.objects.all():
        report = verify(chain.name)
        assert report.ok, report
    assert not Change.objects.filter(state="sending").exists()
    assert len(world.entries("write.intent")) == len(world.entries("write.result"))


def email_of(card: str) -> str:
    found = re.search(r"^EMAIL[^:]*:(.*)$", card, re.MULTILINE)
    assert found is not None
    return found[1].strip()


def title_of(card: str) -> str:
    found = re.search(r"^TITLE[^:]*:(.*)$", card, re.MULTILINE)
    return found[1].strip() if found else ""


@pytest.mark.proves("I2", "I15")
@pytest.mark.django_db(transaction=True)
def test_what_is_typed_into_a_card_between_our_write_and_our_reading_back_travels_too(tmp_path: Path) -> None:
    """The version that the server gave our write is not the one that we read back."""
    with real(tmp_path) as world:
        world.radicale.fill("alice", [person(1, TITLE="Engineer")])
        world.settle()
        application, typed = world.radicale._application, "Typed right after"

        def people_act(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            reply = application(environ, start_response)
            if environ["REQUEST_METHOD"] == "PUT":
                world.radicale.place("alice", "uid-1", person(1, TITLE=typed))
            return reply

        world.radicale._application = people_act
        world.salesmate.person_edit(world.number("p1@example.com"), designation="Director")
        world.settle()
        world.settle()
        assert titles(world) == {"left": {"p1@example.com": typed}, "right": {"p1@example.com": typed}}
