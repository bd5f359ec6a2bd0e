"""What the sync commands share: naming a connection, working to the end of a run, a bar that moves, and words."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from tqdm import tqdm

from connections.models import Connection
from connections.secrets import SecretUnreadable
from syncer.connectors.base import Value
from syncer.engine.run import Outcome, run_slice
from syncer.models import SyncRun
from syncer.tasks import this_worker

LONGEST_WAIT = 60
FAILED = ("failed", "attention", "draft")


def find_connection(text: str) -> Connection:
    """By its code, or by its name where only one has it."""
    connections = Connection.objects.select_related("left_account", "right_account", "client")
    try:
        found = list(connections.filter(code=UUID(text)))
    except ValueError:
        found = list(connections.filter(name__iexact=text))
    if not found:
        names = ", ".join(f"{c.name} ({c.code})" for c in connections[:20]) or "none yet"
        raise CommandError(f"There is no connection {text}. There are: {names}.")
    if len(found) > 1:
        codes = ", ".join(f"{connection.code} ({connection.client})" for connection in found)
        raise CommandError(f"Several connections are called {text}. Name one by its code: {codes}.")
    return found[0]


class Bar:
    """A progress bar for each thing that is being done; nothing where nobody looks."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self.what:
            self.close()
            self.what = what
            self.bar = tqdm(desc=what, total=total or None, disable=not sys.stderr.isatty(), leave=False, unit="")
        self.bar.total = total or None
        self.bar.n = done
        self.bar.refresh()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def work(connection: Connection, actor: str, say: Callable[[str], None]) -> list[Outcome]:
    """Slice by slice, here, until the run is over, waits for a person, or has to wait for longer than a minute. What
    became of each run (what was overtaken goes on in a run of its own), and last how it ended. Raises CommandError
    where it failed."""
    bar = Bar()
    worker = replace(this_worker(), progress=bar)
    ended: list[Outcome] = []
    try:
        outcome = run_slice(connection.pk, worker, "person", actor)
        while outcome.again_at is not None:
            if outcome.run is not None and outcome.status != SyncRun.Status.RUNNING:
                ended.append(outcome)
            wait = (outcome.again_at - worker.clock.now()).total_seconds()
            if wait > LONGEST_WAIT:
                break
            if wait > 0:
                say(f"{sentence(outcome.reason)} Going on in {wait:.0f} s.")
                time.sleep(wait)
            outcome = run_slice(connection.pk, worker, "person", actor)
    except SecretUnreadable as error:
        raise CommandError(str(error)) from None
    except KeyboardInterrupt:
        raise CommandError("Stopped. Nothing is lost: the next run goes on from here.", returncode=130) from None
    finally:
        bar.close()
    if outcome.status in FAILED:
        raise CommandError(sentence(outcome.reason))
    return [*ended, outcome]


# Words


def sentence(text: str) -> str:
    """With a capital letter and a full stop; nothing stays nothing."""
    return text if text == "" else text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def shown(value: Value) -> str:
    """A contact's value on one line, in quotes where it is text."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(repr, value)) if isinstance(value, list) else repr(value)


def printable(text: str) -> str:
    """What apps say (names, ids, reasons) can hold characters that move a terminal's cursor or colour it."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def plan_words(run: SyncRun) -> list[str]:
    """What a plan would do, by side, and which limits it is over."""
    lines = []
    for side, counts in run.counts.get("planned", {}).items():
        words = ", ".join(f"{number} {operation}" for operation, number in sorted(counts.items()))
        lines.append(f"{side:<5} {words or 'nothing'}")
    return [*lines, f"Over a limit: {run.error}"] if run.error else lines


DONE = ("created", "updated", "tagged", "untagged", "linked")


def count_words(counts: Mapping[str, Any]) -> list[str]:
    """The counts of a run as lines."""
    lines = []
    for side in ("left", "right"):
        done = ", ".join(f"{number} {word}" for word in DONE if (number := counts.get(side, {}).get(word)))
        lines.append(f"  {side:<5} {done or 'nothing'}")
    rest = ", ".join(f"{counts[word]} {word}" for word in ("skipped", "failed", "held") if counts.get(word))
    return [*lines, f"  {rest}"] if rest else lines
