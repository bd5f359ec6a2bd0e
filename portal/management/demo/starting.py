"""Starting the stand-ins and waiting for them, for `demo` and `sandbox`."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from django.core.management.base import CommandError

from portal.clock import SYSTEM
from portal.management.demo.place import short
from portal.processes import Crew, Program

START_SECONDS = 60
PAUSE = 0.25


class Halted(Exception):
    """A person said stop."""


def pause(crew: Crew, halt: threading.Event, seconds: float = PAUSE) -> None:
    """Looks after the programs meanwhile. Raises Halted, ProgramEnded."""
    if halt.wait(seconds):
        raise Halted
    crew.watch()


def start_all(
    crew: Crew,
    halt: threading.Event,
    logs: Path,
    programs: Mapping[str, tuple[Sequence[str], Callable[[], bool]]],
) -> None:
    """Each by its command and the question whether it answers. Raises Halted, ProgramEnded, CommandError."""
    for name, (command, _) in programs.items():
        crew.start(Program(name, command, grace=5))
    deadline = SYSTEM.monotonic() + START_SECONDS
    for name, (_, answers) in programs.items():
        while not answers():
            if SYSTEM.monotonic() > deadline:
                raise CommandError(f"{name} does not answer. Its output is in {short(logs / name)}.log.")
            pause(crew, halt)
