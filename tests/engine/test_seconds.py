"""Salesmate's times have seconds, and no more: what happens within one of them, and what its clock can do to us.

The real engine over HTTP, between a Radicale book (left) and the stand-in, whose clock stands still until it is moved.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sandbox.salesmate import Seen
from syncer.engine.replica import live
from syncer.models import Book
from tests.engine.memory import TestClock
from tests.engine.real import Real, card, real
from tests.needs import needs

pytestmark = [needs("radicale"), pytest.mark.django_db]
ROWS = 10  # of a page, so that a few dozen contacts fill some
DAY = 86_400


@dataclass
class Shifted:
    """The clock of a server that is not ours."""

    ours: TestClock
    seconds: int = 0

    def now(self) -> datetime:
        return self.ours.now() + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.ours.monotonic()


@dataclass
class Moments:
    """Does `act` at the first request that `when` is true of, before its answer is on its way; `seen` counts them."""

    when: Callable[[Seen], bool]
    act: Callable[[], None]
    seen: list[Seen] = field(default_factory=list)

    def __call__(self, seen: Seen) -> None:
        if not self.seen and self.when(seen):
            self.seen.append(seen)
            self.act()


def listing(seen: Seen) -> bool:
    """A delta's listing of live contacts (the first search of a pass is that of the bin)."""
    return seen.path.endswith("/search") and b'"data": "0"' in seen.body and b"lastModifiedAt" in seen.body


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Real]:
    with real(tmp_path) as world:
        world.connection.limits = dict.fromkeys(("overwrites", "creates", "same_value", "changed_share"), 10_000)
        world.connection.save(update_fields=["limits"])
        world.salesmate.levers.most_rows = ROWS
        yield world


@pytest.fixture
def ada(world: Real) -> Real:
    """Ada in both, in sync."""
    lines = ("FN:Ada Lovelace", "N:Lovelace;Ada;;;", "EMAIL:ada@example.com", "TITLE:Lady")
    world.radicale.fill("alice", [card("ada", *lines)])
    world.settle()
    world.clock.forward(300)
    return world


def book(world: Real) -> Book:
    return Book.objects.get(account=world.connection.right_account)


def people(world: Real, count: int) -> list[int]:
    """So many contacts of Salesmate, in sync; their numbers."""
    numbers = [
        world.salesmate.person_create(firstName="P", lastName=f"L{n}", email=f"p{n}@example.com", owner=1)
        for n in range(count)
    ]
    world.settle()
    world.clock.forward(300)
    return numbers


def titles(world: Real) -> list[str]:
    """The job titles that the left holds."""
    texts = [path.read_text() for path in world.radicale.book_folder("alice").glob("*.vcf")]
    return [line.removeprefix("TITLE:") for text in texts for line in text.splitlines() if line.startswith("TITLE:")]


def missing(world: Real, count: int) -> set[str]:
    """Which of the titles T0, T1, ... the left does not hold."""
    return {f"T{n}" for n in range(count)} - set(titles(world))


def edit_card(world: Real, old: str, new: str) -> None:
    text = world.radicale.read("alice", "ada")
    assert old in text
    world.radicale.place("alice", "ada", text.replace(old, new))


def next_run(world: Real) -> None:
    world.clock.forward(300)
    world.sync()


@pytest.mark.proves("I2", "I20", "E2 pull")
def test_two_edits_within_one_second_around_our_listing_both_arrive(ada: Real) -> None:
    number = ada.number("ada@example.com")
    ada.salesmate.person_edit(number, designation="Countess", mobile="+12125550001")
    again = Moments(listing, lambda: ada.salesmate.person_edit(number, designation="Analyst"))
    ada.salesmate.people_act = again
    stamp = ada.salesmate.account.contacts[number]["lastModifiedAt"]
    ada.sync()
    assert again.seen
    assert ada.salesmate.account.contacts[number]["lastModifiedAt"] == stamp
    next_run(ada)
    text = ada.radicale.read("alice", "ada")
    assert "TITLE:Analyst" in text
    assert "+12125550001" in text


@pytest.mark.proves("I2", "I20", "E2 pull")
def test_an_edit_in_the_second_of_the_listing_among_many_of_that_second(world: Real) -> None:
    """More contacts than a page holds have the stamp, and the one that is edited after our listing is none of the
    first."""
    numbers = people(world, 3 * ROWS)
    for n, number in enumerate(numbers):
        world.salesmate.person_edit(number, designation=f"T{n}")
    pages = Moments(listing, lambda: world.salesmate.person_edit(numbers[-1], designation="Later"))
    world.salesmate.people_act = pages
    world.sync()
    assert pages.seen
    next_run(world)
    assert "Later" in titles(world)
    assert missing(world, len(numbers) - 1) == set()


GET, PUT = "the re-read", "the write"


@pytest.mark.parametrize("moment", ["the pull", GET, PUT, "the read-back"])
@pytest.mark.proves("I2", "I15", "E6 re-read")
def test_our_write_and_an_edit_of_another_field_in_its_second_lose_neither(ada: Real, moment: str) -> None:
    """Somebody edits right after each step of our write, all in one second."""
    number = ada.number("ada@example.com")
    wanted = {"the pull": listing, GET: is_method("GET"), PUT: is_method("PUT"), "the read-back": after_write(ada)}
    somebody = Moments(wanted[moment], lambda: ada.salesmate.person_edit(number, designation="Countess"))
    edit_card(ada, "FN:Ada Lovelace", "FN:Ada Lovelace\r\nNOTE:First programmer")
    ada.salesmate.people_act = somebody
    ada.sync()
    assert somebody.seen
    next_run(ada)
    contact = ada.people()["ada@example.com"]
    assert (contact["designation"], contact["description"]) == ("Countess", "First programmer")
    text = ada.radicale.read("alice", "ada")
    assert "TITLE:Countess" in text
    assert "NOTE:First programmer" in text


def is_method(method: str) -> Callable[[Seen], bool]:
    return lambda seen: seen.method == method and seen.path.startswith("/apis/contact/v4/")


def after_write(world: Real) -> Callable[[Seen], bool]:
    """The listing with which a batch ends."""
    return lambda seen: listing(seen) and any(one.method == "PUT" for one in world.salesmate.log[:-1])


@pytest.mark.proves("I1", "I2", "E6 re-read")
def test_an_edit_of_the_same_field_right_before_our_re_read_is_a_conflict_and_not_overwritten_unseen(ada: Real) -> None:
    number = ada.number("ada@example.com")
    edit_card(ada, "TITLE:Lady", "TITLE:Countess")
    somebody = Moments(listing, lambda: ada.salesmate.person_edit(number, designation="Analyst"))
    ada.salesmate.people_act = somebody
    ada.sync()
    assert somebody.seen
    next_run(ada)
    assert ada.people()["ada@example.com"]["designation"] == "Countess"  # the left wins
    assert "TITLE:Countess" in ada.radicale.read("alice", "ada")
    assert '"Analyst"' in (ada.entries("write.intent")[-1].payload or "")


@pytest.mark.proves("I15", "I26", "E2 pull")
@pytest.mark.parametrize("count", [2 * ROWS + 1, 3 * ROWS])
def test_one_second_over_several_pages_in_another_order_with_each_search(world: Real, count: int) -> None:
    """A page that shows some of a second, and the next one others of it, can miss the rest."""
    numbers = people(world, count)
    world.salesmate.levers.shuffle_ties = True
    for n, number in enumerate(numbers):
        world.salesmate.person_edit(number, designation=f"T{n}")
    world.sync()
    next_run(world)
    assert missing(world, count) == set()


@pytest.mark.proves("I20", "E2 complete")
def test_pages_of_a_delta_that_repeat_and_miss_rows_hide_no_edit(world: Real) -> None:
    numbers = people(world, 4 * ROWS)
    world.salesmate.levers.unstable_paging = True
    for n, number in enumerate(numbers):
        world.clock.forward(1)
        world.salesmate.person_edit(number, designation=f"T{n}")
    world.sync()
    assert missing(world, len(numbers)) == set()


@pytest.mark.proves("I20", "E2 pull")
def test_a_contact_deleted_between_two_pages_hides_no_edit(world: Real) -> None:
    """What lay right below the page moves up onto it, and the next page begins below it."""
    numbers = people(world, 2 * ROWS)
    for n, number in enumerate(numbers):
        world.clock.forward(1)
        world.salesmate.person_edit(number, designation=f"T{n}")
    deletion = Moments(listing, lambda: world.salesmate.person_delete(numbers[-1]))
    world.salesmate.people_act = deletion
    world.sync()
    assert deletion.seen
    assert missing(world, len(numbers) - 1) == set()


@pytest.mark.parametrize(("ahead", "stamps"), [(DAY, 0), (-DAY, 0), (0, DAY), (0, -DAY)])
@pytest.mark.proves("I20", "I14", "E2 pull")
def test_clocks_that_differ_by_a_day_hide_no_edit(world: Real, ahead: int, stamps: int) -> None:
    """That of the Date header, and that of the stamps. The edit is older than a page of our own writes, which hold
    nothing new."""
    world.salesmate.account.clock = Shifted(world.clock, stamps)
    world.salesmate.levers.date_ahead = ahead
    count = ROWS + 5
    numbers = people(world, count)
    for path in world.radicale.book_folder("alice").glob("*.vcf"):
        if "p0@example.com" not in path.read_text():
            path.write_bytes(path.read_bytes().replace(b"END:VCARD", b"NOTE:Ours\r\nEND:VCARD"))
    somebody = Moments(listing, lambda: edit_and_wait(world, numbers[0]))
    world.salesmate.people_act = somebody
    world.sync()
    assert somebody.seen
    assert sum(row["description"] == "Ours" for row in world.people().values()) == count - 1
    next_run(world)
    assert "Countess" in titles(world)
    world.settle()
    world.clock.forward(300)
    world.salesmate.log.clear()
    assert world.sync().status == "quiet"
    assert len(world.salesmate.log) == 2


def edit_and_wait(world: Real, number: int) -> None:
    world.salesmate.person_edit(number, designation="Countess")
    world.clock.forward(5)


@pytest.mark.parametrize("seconds", [3600, DAY])
@pytest.mark.proves("I20", "E2 pull")
def test_a_server_clock_that_goes_back_hides_no_edit(world: Real, seconds: int) -> None:
    """Edits made from then on have stamps far below those of a page that holds nothing new."""
    server = Shifted(world.clock)
    world.salesmate.account.clock = server
    numbers = people(world, 2 * ROWS)
    for number in numbers[1:]:
        world.salesmate.person_edit(number, designation="Peer")
    world.settle()
    server.seconds = -seconds
    world.salesmate.person_edit(numbers[0], designation="Countess")
    next_run(world)
    assert "Countess" in titles(world)
    assert live(book(world)).count() == 2 * ROWS


@pytest.mark.proves("I20", "E2 pull")
def test_an_edit_with_an_old_stamp_is_found_by_the_pass_of_the_day_at_the_latest(world: Real) -> None:
    """Below a page of known contacts no delta looks."""
    numbers = people(world, 3 * ROWS)
    world.salesmate.person_edit(numbers[0], designation="Countess")
    world.salesmate.account.contacts[numbers[0]]["lastModifiedAt"] -= 30 * DAY
    next_run(world)
    assert "Countess" not in titles(world)
    world.clock.forward(DAY)
    world.sync()
    assert "Countess" in titles(world)


@pytest.mark.proves("I14", "I17", "E2 pull")
def test_a_quiet_run_after_all_that_is_two_calls(world: Real) -> None:
    """One for the newest changes, one for the bin, however many contacts share a second."""
    people(world, 4 * ROWS)
    world.salesmate.levers.shuffle_ties = True
    for _ in range(3):
        world.clock.forward(300)
        world.salesmate.log.clear()
        assert world.sync().status == "quiet"
        assert [seen.path for seen in world.salesmate.log] == ["/apis/contact/v4/search"] * 2
