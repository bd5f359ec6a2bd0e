"""Programs that run beside us: started by name, watched, started again where wanted, and stopped in order.

Each child leads a session of its own, so that Ctrl-C reaches us alone and we stop the children: SIGTERM to the main
process only (a django-q2 cluster hangs for ever when its whole group gets the signal), then, after its grace, SIGKILL
to whatever is left of the session.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from portal.clock import Clock

PAUSE = 0.2
READY_PAUSE = 0.5
QUICK = timedelta(seconds=10)
QUICK_EXITS = 7
LOG_LIMIT = 10_000_000


class ProgramEnded(Exception):
    """A program that has to run ended by itself. The text says which, how, and where its output is."""


@dataclass(frozen=True)
class Program:
    """One thing to run. `restart`: start it again when it ends; `grace`: seconds from SIGTERM to SIGKILL."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    restart: bool = False
    grace: float = 30


@dataclass
class _Running:
    program: Program
    process: "subprocess.Popen[bytes]"
    started: datetime
    quick_exits: int = 0
    again_at: datetime | None = None


class Crew:
    """The programs that run now. `say` tells a person; with `logs`, each writes to `logs/<name>.log`, else to our own
    output. Used as a context manager it stops all of them at the end, the last started first."""

    def __init__(self, clock: Clock, say: Callable[[str], None], logs: Path | None = None) -> None:
        self._clock = clock
        self._say = say
        self._logs = logs
        self._running: list[_Running] = []
        self._hurry = threading.Event()

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self, program: Program) -> None:
        self._running.append(_Running(program, self._spawn(program), self._clock.now()))

    def process_id(self, name: str) -> int:
        """Of the program's main process. Raises KeyError where none of that name runs."""
        return {running.program.name: running.process.pid for running in self._running}[name]

    def watch(self) -> None:
        """Starts again what ended and should run; to be called every second or so. Raises ProgramEnded."""
        for running in self._running:
            code = running.process.poll()
            if running.again_at is not None:
                self._start_again(running, running.again_at)
            elif code is not None:
                self._ended(running, code)

    def hurry(self) -> None:
        """No more grace: what is being stopped is killed. Safe to call from a signal handler."""
        self._hurry.set()

    def stop(self) -> None:
        while self._running:
            self._stop_one(self._running.pop())

    def _spawn(self, program: Program) -> "subprocess.Popen[bytes]":
        with ExitStack() as stack:
            log = None
            if self._logs is not None:
                log = stack.enter_context(_log_file(self._logs, program.name).open("ab"))
            return subprocess.Popen(  # noqa: S603  our own commands
                program.command,
                env=os.environ | program.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _ended(self, running: _Running, code: int) -> None:
        program = running.program
        _kill_session(running.process)
        quick = self._clock.now() - running.started < QUICK
        running.quick_exits = running.quick_exits + 1 if quick else 0
        if not program.restart or running.quick_exits >= QUICK_EXITS:
            raise ProgramEnded(f"{program.name} ended with code {code}.{self._where(program)}")
        # Twice as long after each quick end: a database that is being restarted gets about a minute.
        wait = timedelta(seconds=2 ** (running.quick_exits - 1) if quick else 0)
        self._say(f"{program.name} ended with code {code}; starting it again.")
        running.again_at = self._clock.now() + wait
        self._start_again(running, running.again_at)

    def _start_again(self, running: _Running, moment: datetime) -> None:
        if self._clock.now() < moment:
            return
        running.again_at = None
        running.started = self._clock.now()
        running.process = self._spawn(running.program)

    def _where(self, program: Program) -> str:
        return "" if self._logs is None else f" Its output is in {self._logs / program.name}.log."

    def _stop_one(self, running: _Running) -> None:
        process = running.process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            deadline = self._clock.monotonic() + running.program.grace
            while process.poll() is None and self._clock.monotonic() < deadline and not self._hurry.is_set():
                self._hurry.wait(PAUSE)
        _kill_session(process)
        process.wait()


def wait_until_ready(url: str, crew: Crew, clock: Clock, seconds: float, halt: threading.Event, host: str = "") -> str:
    """Waits for 200 from `url`; "" when it came, else the last answer (or why there was none). `host` is the Host
    header where it differs. Raises ProgramEnded when a program that is needed ends meanwhile."""
    deadline = clock.monotonic() + seconds
    answer = "no answer"
    while clock.monotonic() < deadline and not halt.is_set():
        crew.watch()
        answer = _ask(url, host)
        if answer == "":
            return ""
        halt.wait(READY_PAUSE)
    return answer


@contextmanager
def stop_signals(crew: Crew) -> Iterator[threading.Event]:
    """An event that is set by Ctrl-C, SIGTERM or a closed terminal; the second one ends the grace."""
    halt = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if halt.is_set():
            crew.hurry()
        halt.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield halt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ask(url: str, host: str) -> str:
    request = Request(url, headers={"Host": host} if host else {})  # noqa: S310  our own address
    try:
        with urlopen(request, timeout=10):  # noqa: S310
            return ""
    except HTTPError as error:
        with error:
            return error.read(2000).decode(errors="replace")
    except (URLError, OSError):
        return "no answer"


def _log_file(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.log"
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    return path


def _kill_session(process: "subprocess.Popen[bytes]") -> None:
    # The child led its session, so its process group has its number, also after it ended.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
