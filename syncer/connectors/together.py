"""Several requests at once. Only the network is left to other threads: whatever touches the database (a meter, and the
lease behind it) is done by the thread that asked for all of it."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

from syncer.connectors.base import Meter

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Wish:
    """What a thread wants done for it; it waits for `done`."""

    do: Callable[[], None]
    done: "Future[None]"


_Wishes = Callable[[_Wish], None]
# Set in the threads that work for another one.
_wishes: ContextVar[_Wishes] = ContextVar("_wishes")


class HomeMeter:
    """A meter that is always taken in the thread for which the others work, wherever `take` is called."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def take(self) -> None:
        wishes = _wishes.get(None)
        if wishes is None:
            self._meter.take()
            return
        done: Future[None] = Future()
        wishes(_Wish(self._meter.take, done))
        done.result()


def together(
    tasks: Iterable[Callable[[], Result]], at_once: int, go_on: Callable[[Result], bool] = lambda result: True
) -> list[Result]:
    """The results of all tasks, in their order, at most so many of them under way at a time.

    Tasks are taken from `tasks` one by one, in this thread, as there is room. No further one is taken after a result
    of which `go_on` says no; those under way are waited for, and the list is then so much shorter. What a task raises
    ends it as well, and is raised once nothing is under way any more.
    """
    with ThreadPoolExecutor(at_once) as pool:
        return _Crew(pool, iter(tasks), at_once, go_on).work()


class _Crew(Generic[Result]):
    def __init__(
        self,
        pool: ThreadPoolExecutor,
        tasks: Iterator[Callable[[], Result]],
        at_once: int,
        go_on: Callable[[Result], bool],
    ) -> None:
        self._pool, self._tasks, self._at_once, self._go_on = pool, tasks, at_once, go_on
        self._news: SimpleQueue[_Wish | Future[Result]] = SimpleQueue()
        self._begun: list[Future[Result]] = []
        self._under_way = 0

    def work(self) -> list[Result]:
        more = True
        try:
            while more or self._under_way:
                while more and self._under_way < self._at_once:
                    more = self._begin()
                if self._under_way:
                    more = self._hear() and more
        finally:
            self._wind_up()
        return [future.result() for future in self._begun]

    def _begin(self) -> bool:
        """Start the next task; False where there is none."""
        task = next(self._tasks, None)
        if task is None:
            return False
        future = self._pool.submit(self._done_here, task)
        self._begun.append(future)
        self._under_way += 1
        future.add_done_callback(self._news.put)
        return True

    def _done_here(self, task: Callable[[], Result]) -> Result:
        _wishes.set(self._news.put)
        return task()

    def _hear(self) -> bool:
        """Fulfil a wish, or take note of a task that ended; False where no further one is to begin."""
        news = self._news.get()
        if isinstance(news, Future):
            self._under_way -= 1
            return news.exception() is None and self._go_on(news.result())
        try:
            news.do()
        except Exception as error:
            news.done.set_exception(error)
        except BaseException:
            news.done.cancel()
            raise
        else:
            news.done.set_result(None)
        return True

    def _wind_up(self) -> None:
        """Nobody is left waiting for a wish, however this ends."""
        while self._under_way:
            news = self._news.get()
            if isinstance(news, Future):
                self._under_way -= 1
            else:
                news.done.cancel()
