"""Several requests at once, and what stays with the thread that asked for them."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from syncer.connectors.base import BudgetSpent
from syncer.connectors.together import HomeMeter, together
from tests.contract.servers import answering, quick, raw_server

PATIENCE = 20
"""Seconds after which a test that waits for another thread gives up."""


@dataclass
class Counter:
    """How many are inside at a time, at the most; each waits there until `fill` of them have come."""

    fill: int
    inside: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.full = threading.Barrier(self.fill)

    def visit(self) -> None:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.full.wait(PATIENCE)
        with self.lock:
            self.inside -= 1


@dataclass
class Purse:
    calls: int
    threads: set[int] = field(default_factory=set)

    def take(self) -> None:
        self.threads.add(threading.get_ident())
        if self.calls == 0:
            raise BudgetSpent("The budget is spent.", datetime(2026, 11, 24, tzinfo=UTC))
        self.calls -= 1


def test_results_come_in_order_and_no_more_are_under_way_than_asked_for() -> None:
    counter = Counter(3)

    def task(number: int) -> Callable[[], int]:
        def do() -> int:
            counter.visit()
            return number

        return do

    assert together([task(number) for number in range(9)], 3) == list(range(9))
    assert counter.most == 3


def test_no_tasks_have_no_results() -> None:
    assert together(iter(()), 4) == []


def test_tasks_are_made_in_this_thread_and_only_when_there_is_room() -> None:
    made: list[int] = []
    ended: list[int] = []

    def tasks() -> Iterator[Callable[[], int]]:
        for number in range(6):
            assert number - len(ended) < 2
            made.append(threading.get_ident())
            yield lambda number=number: ended.append(number) or number  # type: ignore[misc, func-returns-value]

    assert together(tasks(), 2) == list(range(6))
    assert set(made) == {threading.get_ident()}


def test_after_a_result_that_says_no_none_begins_and_those_under_way_are_waited_for() -> None:
    both, begun = threading.Barrier(2), list[int]()

    def task(number: int) -> Callable[[], int]:
        def do() -> int:
            begun.append(number)
            both.wait(PATIENCE)
            return number

        return do

    assert together((task(number) for number in range(9)), 2, lambda number: number > 1) == [0, 1]
    assert sorted(begun) == [0, 1]


def fails() -> str:
    raise RuntimeError("that was not foreseen")


def test_after_a_task_that_raises_none_begins() -> None:
    begun: list[str] = []

    def too_late() -> str:
        begun.append("too late")
        return "well"

    with pytest.raises(RuntimeError, match="not foreseen"):
        together([fails, too_late], 1)
    assert begun == []


def test_what_a_task_raises_is_raised_when_all_have_ended() -> None:
    failing, ended = threading.Event(), list[str]()

    def fails_at_once() -> None:
        failing.set()
        fails()

    def goes_well() -> None:
        assert failing.wait(PATIENCE)
        ended.append("well")

    with pytest.raises(RuntimeError, match="not foreseen"):
        together([fails_at_once, goes_well], 2)
    assert ended == ["well"]


def test_the_meter_is_taken_in_the_thread_that_asked() -> None:
    purse, workers = Purse(9), set[int]()
    meter = HomeMeter(purse)

    def task() -> None:
        workers.add(threading.get_ident())
        meter.take()

    meter.take()
    together([task] * 8, 4)
    assert purse.calls == 0 and purse.threads == {threading.get_ident()}
    assert threading.get_ident() not in workers


def test_what_the_meter_raises_reaches_the_request_it_was_for() -> None:
    meter = HomeMeter(Purse(2))

    def task() -> str:
        try:
            meter.take()
        except BudgetSpent:
            return "spent"
        return "paid"

    assert sorted(together([task] * 4, 4)) == ["paid", "paid", "spent", "spent"]


class Interrupted(BaseException):
    pass


class Alarm:
    def take(self) -> None:
        raise Interrupted


def test_an_interruption_leaves_no_thread_waiting() -> None:
    """As when the process is told to end while it takes the meter."""
    meter, both = HomeMeter(Alarm()), threading.Barrier(2)

    def task() -> None:
        both.wait(PATIENCE)
        meter.take()

    with pytest.raises(Interrupted):
        together([task] * 2, 2)


def test_requests_at_once_keep_their_connections() -> None:
    with raw_server(answering(b"here", status="201 Created")) as server:
        http = quick(deadline=PATIENCE)
        tasks = [lambda: http.write("PUT", f"{server.url}/card", data=b"card").status] * 40
        assert together(tasks, 4) == [201] * 40
        assert len(server.requests) == 40 and server.connections <= 4
