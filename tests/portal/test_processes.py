"""Real child processes: started, watched, started again, stopped, and none left behind."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from portal.clock import SYSTEM
from portal.processes import Crew, Program, ProgramEnded, wait_until_ready

WAIT = "import sys, threading\nprint('up', flush=True)\nthreading.Event().wait(60)\n"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAIT
WITH_CHILD = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {child!r}])\n" + WAIT
GENTLE = """
import signal, sys
def end(number, frame):
    print("bye", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
"""


class HandClock:
    """Moves when told to."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return SYSTEM.monotonic()

    def later(self, seconds: int) -> None:
        self._now += timedelta(seconds=seconds)


def python(name: str, text: str, restart: bool = False, grace: float = 10) -> Program:
    return Program(name, [sys.executable, "-c", text], {"PYTHONUNBUFFERED": "1"}, restart, grace)


def until(true: Callable[[], bool]) -> None:
    deadline = SYSTEM.monotonic() + 15
    while not true():
        assert SYSTEM.monotonic() < deadline, "it never came true"
        threading.Event().wait(0.05)


def watch_for_ever(crew: Crew) -> None:
    deadline = SYSTEM.monotonic() + 15
    while SYSTEM.monotonic() < deadline:
        crew.watch()
        threading.Event().wait(0.05)


def alive(process_id: int) -> bool:
    """A zombie counts as gone: whoever adopted it has only to collect it."""
    try:
        return ") Z " not in Path(f"/proc/{process_id}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def crew(tmp_path: Path, said: list[str]) -> Iterator[Crew]:
    with Crew(SYSTEM, said.append, tmp_path) as crew:
        yield crew


def test_output_goes_into_a_file_of_the_program_s_name(crew: Crew, tmp_path: Path) -> None:
    crew.start(python("web", WAIT))
    until(lambda: "up" in (tmp_path / "web.log").read_text())


def test_stop_asks_first_and_the_program_may_finish(crew: Crew, tmp_path: Path) -> None:
    crew.start(python("worker", GENTLE + WAIT))
    until(lambda: "up" in (tmp_path / "worker.log").read_text())
    crew.stop()
    assert (tmp_path / "worker.log").read_text().splitlines() == ["up", "bye"]


def test_a_deaf_program_is_killed_after_its_grace(crew: Crew, tmp_path: Path) -> None:
    crew.start(python("deaf", DEAF, grace=0.3))
    process_id = crew.process_id("deaf")
    until(lambda: "up" in (tmp_path / "deaf.log").read_text())
    crew.stop()
    assert not alive(process_id)


def test_hurry_ends_the_grace(crew: Crew, tmp_path: Path) -> None:
    crew.start(python("deaf", DEAF, grace=600))
    until(lambda: "up" in (tmp_path / "deaf.log").read_text())
    crew.hurry()
    before = SYSTEM.monotonic()
    crew.stop()
    assert SYSTEM.monotonic() - before < 60


def test_children_of_a_child_do_not_stay(crew: Crew, tmp_path: Path) -> None:
    crew.start(python("worker", WITH_CHILD.format(child="import os\nprint(os.getpid(), flush=True)\n" + DEAF)))
    log = tmp_path / "worker.log"
    until(lambda: log.read_text().count("up") == 2)
    grandchild = next(int(line) for line in log.read_text().splitlines() if line.isdigit())
    crew.stop()
    until(lambda: not alive(grandchild))


def test_ctrl_c_does_not_reach_the_children_by_itself(crew: Crew) -> None:
    crew.start(python("web", WAIT))
    assert os.getsid(crew.process_id("web")) == crew.process_id("web")


def test_a_worker_that_dies_is_started_again(tmp_path: Path, said: list[str]) -> None:
    clock = HandClock()
    with Crew(clock, said.append, tmp_path) as crew:
        crew.start(python("worker", WAIT, restart=True))
        first = crew.process_id("worker")
        os.kill(first, signal.SIGKILL)
        until(lambda: not alive(first))
        clock.later(3600)
        crew.watch()
        assert crew.process_id("worker") != first
    assert said == ["worker ended with code -9; starting it again."]


def test_a_program_that_ends_at_once_is_tried_at_longer_intervals_and_given_up(tmp_path: Path, said: list[str]) -> None:
    clock = HandClock()
    waits = []
    with Crew(clock, said.append, tmp_path) as crew:
        crew.start(python("worker", "raise SystemExit(3)", restart=True))
        with pytest.raises(ProgramEnded, match=rf"worker ended with code 3\. Its output is in {tmp_path}/worker\.log"):
            while True:
                waits.append(wait_for_next_start(crew, clock))
    assert waits == [1, 2, 4, 8, 16, 32]
    assert len(said) == 6


def wait_for_next_start(crew: Crew, clock: HandClock) -> int:
    """The seconds until the program, once it has ended, is started again."""
    process_id = crew.process_id("worker")
    until(lambda: not alive(process_id))
    crew.watch()
    for seconds in range(100):
        if crew.process_id("worker") != process_id:
            return seconds
        clock.later(1)
        crew.watch()
    raise AssertionError("it was never started again")


def test_a_program_that_has_to_run_and_ends_is_said(crew: Crew) -> None:
    crew.start(python("stand-in", "raise SystemExit(1)"))
    with pytest.raises(ProgramEnded, match="stand-in ended with code 1"):
        watch_for_ever(crew)


def test_secrets_in_the_environment_are_not_in_its_text() -> None:
    assert "s3cret" not in repr(Program("web", ["true"], {"SECRET_KEY": "s3cret"}))


def test_ready_is_200_and_nothing_else(crew: Crew, httpserver: HTTPServer) -> None:
    httpserver.expect_ordered_request("/readyz").respond_with_data("worker missing", status=503)
    httpserver.expect_ordered_request("/readyz", headers={"Host": "portal.example"}).respond_with_data("ok")
    halt = threading.Event()
    assert wait_until_ready(httpserver.url_for("/readyz"), crew, SYSTEM, 15, halt, "portal.example") == ""
    httpserver.check()


def test_what_is_not_ready_in_time_says_why(crew: Crew, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/readyz").respond_with_data("worker missing", status=503)
    assert wait_until_ready(httpserver.url_for("/readyz"), crew, SYSTEM, 0.3, threading.Event()) == "worker missing"


def test_nobody_there_is_said_too(crew: Crew) -> None:
    assert wait_until_ready("http://127.0.0.1:1/readyz", crew, SYSTEM, 0.3, threading.Event()) == "no answer"


def test_a_stop_ends_the_wait(crew: Crew) -> None:
    halt = threading.Event()
    halt.set()
    assert wait_until_ready("http://127.0.0.1:1/readyz", crew, SYSTEM, 600, halt) == "no answer"
