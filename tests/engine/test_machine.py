"""Histories of three books and two connections, found by Hypothesis: whatever happens, the promises of oracles.py hold.

Two ways to look: *sparse* histories are many acts with a fault here and there; *dense* ones are one edit, one fault at
the k-th call or statement, and then the reckoning, again and again. Each history is rolled back. What failed once stays
as a fixed example in EXAMPLES.
"""

import os
import sys
import time
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.db import connection as database
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.engine.acts import CREATES, FAULTS, LIKE_GOOGLE, LISTINGS, Opening, Options, Profile
from tests.engine.machine import Story, act, replay, told

pytestmark = pytest.mark.django_db
HISTORIES = {"sqlite": 150, "postgresql": 60}
"""What `make test` tells, by database."""
AT_ONCE = 5
PROVEN = (
    *("I1", "I2", "I3", "I4", "I6", "I7", "I9", "I10", "I11", "I12", "I13", "I14", "I15", "I16", "I17", "I20", "I22"),
    *("I23", "I26", "I27", "I28", "I29", "I30", "I33", "I35"),
)

BOOK, CONNECTION, SIDE = st.integers(0, 2), st.integers(0, 1), st.integers(0, 1)
WHICH, SOME, CALL = st.integers(0, 11), st.integers(0, 34), st.integers(0, 20)
ANY_PROFILE = st.builds(
    Profile,
    create=st.sampled_from(CREATES),
    checked=st.booleans(),
    late=st.sampled_from([False, False, True]),
    loud=st.booleans(),
    tombstones=st.sampled_from([True, True, False]),
    total=st.booleans(),
    answers=st.booleans(),
    names=st.booleans(),
    together=st.booleans(),
    marketing=st.booleans(),
)
PROFILES = st.one_of(ANY_PROFILE, ANY_PROFILE, st.just(LIKE_GOOGLE))
OPTIONS = st.builds(
    Options,
    winner=st.sampled_from(["left", "right"]),
    direction=st.sampled_from(["both", "both", "both", "to_right"]),
    sync_deletions=st.sampled_from(["off", "both"]),
    review=st.sampled_from(["never", "never", "changes"]),
)
OPENINGS = st.builds(
    Opening,
    apps=st.tuples(PROFILES, PROFILES, PROFILES),
    options=st.tuples(OPTIONS, OPTIONS),
    slice_seconds=st.sampled_from([8, 240, 240]),
)


class Telling(RuleBasedStateMachine):
    """A story that is told act by act."""

    def __init__(self) -> None:
        super().__init__()
        self.telling: AbstractContextManager[Story] | None = None
        self.story: Story | None = None

    def begin(self, opening: Opening) -> None:
        self.telling = told(opening)
        self.story = self.telling.__enter__()

    def do(self, name: str, *arguments: Any) -> None:
        if self.story is None:
            return
        try:
            act(self.story, name, *arguments)
        except BaseException as error:
            self.end(error)
            raise

    def end(self, error: BaseException | None) -> None:
        """Leave the story; where something went wrong in it, it says how it came to that."""
        telling, self.telling, self.story = self.telling, None, None
        if telling is not None:
            telling.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)

    def teardown(self) -> None:
        self.do("settles")
        self.end(None)


class Sparse(Telling):
    """Anything, in any order."""

    @initialize(opening=OPENINGS)
    def begins(self, opening: Opening) -> None:
        self.begin(opening)

    # People

    @rule(book=BOOK, which=WHICH, fields=st.integers(0, 31))
    def enters(self, book: int, which: int, fields: int) -> None:
        self.do("enters", book, which, fields)

    @rule(book=BOOK, which=WHICH, what=SOME)
    def edits(self, book: int, which: int, what: int) -> None:
        self.do("edits", book, which, what)

    @rule(book=BOOK, which=WHICH, tag=SOME)
    def tags(self, book: int, which: int, tag: int) -> None:
        self.do("tags", book, which, tag)

    @rule(book=BOOK, which=WHICH, status=SOME)
    def opts(self, book: int, which: int, status: int) -> None:
        self.do("opts", book, which, status)

    @rule(act=st.sampled_from(["moves", "deletes", "renames", "poisons"]), book=BOOK, which=WHICH)
    def changes(self, act: str, book: int, which: int) -> None:
        self.do(act, book, which)

    # Staff

    @rule(number=CONNECTION, which=SOME)
    def switches(self, number: int, which: int) -> None:
        self.do("switches", number, which)

    @rule(number=CONNECTION, side=SIDE, tag=SOME)
    def asks(self, number: int, side: int, tag: int) -> None:
        self.do("asks", number, side, tag)

    @rule(act=st.sampled_from(["pauses", "resumes", "plans", "cancels"]), number=CONNECTION)
    def orders(self, act: str, number: int) -> None:
        self.do(act, number)

    @rule(number=CONNECTION, option=st.integers(0, 4))
    def sets(self, number: int, option: int) -> None:
        self.do("sets", number, option)

    @rule(book=BOOK, number=CONNECTION, call=CALL)
    def cancels_meanwhile(self, book: int, number: int, call: int) -> None:
        self.do("cancels_meanwhile", book, number, call)

    @rule(number=CONNECTION, yes=st.booleans())
    def decides(self, number: int, yes: bool) -> None:
        self.do("decides", number, yes)

    # What goes wrong

    @rule(book=BOOK, fault=st.integers(0, len(FAULTS) - 1), call=CALL)
    def breaks(self, book: int, fault: int, call: int) -> None:
        self.do("breaks", book, fault, call)

    @rule(statement=st.integers(1, 400), after=st.booleans())
    def crashes(self, statement: int, after: bool) -> None:
        self.do("crashes", statement, after)

    @rule(book=BOOK, at=st.integers(0, 2), unreported=st.booleans())
    def breaks_off(self, book: int, at: int, unreported: bool) -> None:
        self.do("breaks_off", book, at, unreported)

    @rule(book=BOOK, trouble=st.integers(0, len(LISTINGS) - 1))
    def lists_badly(self, book: int, trouble: int) -> None:
        self.do("lists_badly", book, trouble)

    @rule(book=BOOK, call=CALL, which=WHICH, what=SOME)
    def meddles(self, book: int, call: int, which: int, what: int) -> None:
        self.do("meddles", book, call, which, what)

    @rule(book=BOOK, number=CONNECTION, call=CALL)
    def delivers_twice(self, book: int, number: int, call: int) -> None:
        self.do("delivers_twice", book, number, call)

    # Work

    @rule(number=CONNECTION)
    def runs(self, number: int) -> None:
        self.do("runs", number)

    @rule(number=CONNECTION)
    def runs_again(self, number: int) -> None:
        self.do("runs", number)

    @rule(minutes=st.sampled_from([5, 11, 1500]))
    def waits(self, minutes: int) -> None:
        self.do("waits", minutes)


EDITS = st.one_of(
    st.tuples(st.just("edits"), BOOK, WHICH, SOME),
    st.tuples(st.just("enters"), BOOK, WHICH, st.integers(0, 31)),
    st.tuples(st.just("tags"), BOOK, WHICH, SOME),
    st.tuples(st.just("opts"), BOOK, WHICH, SOME),
    st.tuples(st.sampled_from(["moves", "deletes", "renames"]), BOOK, WHICH),
)
TROUBLES = st.one_of(
    st.tuples(st.just("breaks"), BOOK, st.integers(0, len(FAULTS) - 1), CALL),
    st.tuples(st.just("crashes"), st.integers(1, 400), st.booleans()),
    st.tuples(st.just("meddles"), BOOK, CALL, WHICH, SOME),
)


class Dense(Telling):
    """One edit, one fault at step k, a sync, and the reckoning; then the next."""

    @initialize(opening=OPENINGS, fields=st.integers(0, 31))
    def begins(self, opening: Opening, fields: int) -> None:
        self.begin(opening)
        for book in range(3):
            self.do("enters", book, 1, fields)
        self.work(0)

    @rule(edit=EDITS, trouble=TROUBLES, first=CONNECTION)
    def one(self, edit: tuple[Any, ...], trouble: tuple[Any, ...], first: int) -> None:
        self.do(*edit)
        self.do(*trouble)
        self.work(first)
        self.do("settles")

    def work(self, first: int) -> None:
        for number in (first, 1 - first) * 2:
            self.do("runs", number)


MACHINES: tuple[tuple[type[Telling], int], ...] = ((Sparse, 24), (Dense, 2))
"""With the number of acts in a history."""


def tell(number: int) -> None:
    """AT_ONCE histories, sparse or dense in turn: the same ones whenever this seed is tried."""
    machine, steps = MACHINES[number % len(MACHINES)]
    found = seed(number)(type(machine.__name__, (machine,), {}))
    run_state_machine_as_test(found, settings=how_to_search(steps))


def how_to_search(steps: int) -> settings:
    return settings(
        max_examples=AT_ONCE,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


CHECKED = Opening(apps=(Profile(), Profile(checked=True), Profile()))
PAIRED: list[tuple[Any, ...]] = [("enters", 0, 1, 31), ("runs", 0), ("runs", 0)]
EXAMPLES: dict[str, tuple[Opening, list[tuple[Any, ...]]]] = {
    "a title shown in capitals, in a contact that is renamed": (
        Opening(apps=(Profile(), Profile(loud=True), Profile(loud=True))),
        [("enters", 1, 10, 12), ("enters", 0, 0, 29), ("renames", 1, 4)],
    ),
    "deleted before a connection saw it, which has the address from another book too": (
        Opening(),
        [("enters", 0, 0, 0), ("enters", 2, 0, 0), ("runs", 0), ("deletes", 1, 0)],
    ),
    "created, and moved to another address before the answer came": (
        Opening(),
        [("enters", 0, 1, 31), ("breaks", 1, 0, 0), ("runs", 0), ("moves", 1, 0), ("runs", 0), ("runs", 1)],
    ),
    "the only contact of a book without tombstones is deleted": (
        Opening(apps=(Profile(), Profile(), Profile(tombstones=False))),
        [("enters", 0, 10, 17), ("runs", 0), ("runs", 1), ("deletes", 2, 9)],
    ),
    "edited between the reading and the write": (
        Opening(),
        [*PAIRED, ("edits", 0, 0, 2), ("meddles", 1, 2, 0, 2), ("runs", 0)],
    ),
    "edited between an update and its read-back": (
        CHECKED,
        [*PAIRED, ("edits", 0, 0, 2), ("meddles", 1, 1, 0, 2), ("runs", 0)],
    ),
    "edited between a create and its read-back": (
        CHECKED,
        [("enters", 0, 1, 31), ("runs", 1), ("meddles", 1, 0, 0, 2), ("runs", 0), ("runs", 0)],
    ),
}
"""Every history that ever failed, and those that deliberate bugs failed in."""


@pytest.mark.proves(*PROVEN)
@pytest.mark.parametrize("history", EXAMPLES)
def test_what_failed_once_holds(history: str) -> None:
    replay(*EXAMPLES[history])


@pytest.mark.proves(*PROVEN)
def test_whatever_happens_to_three_books_every_promise_holds() -> None:
    for number in range(HISTORIES[database.vendor] // AT_ONCE):
        tell(number)


@pytest.mark.deep
def test_more_and_more_histories() -> None:
    """`make test-deep MINUTES=n SEED=s`: goes on from seed s, and says how far it came."""
    number = first = int(os.environ.get("SEED", "0"))
    ends = time.monotonic() + 60 * float(os.environ.get("MINUTES", "10"))
    while time.monotonic() < ends:
        tell(number)
        number += 1
        sys.stderr.write(f"\r{(number - first) * AT_ONCE} histories, next SEED={number} ")
