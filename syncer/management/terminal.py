"""What the sync commands share: naming a connection, and a bar that moves."""

import sys
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from tqdm import tqdm

from connections.models import Connection


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
        codes = ", ".join(str(connection.code) for connection in found)
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


def count_words(counts: dict[str, Any]) -> list[str]:
    """The counts of a run as lines."""
    lines = []
    for side in ("left", "right"):
        done = ", ".join(f"{number} {word}" for word, number in counts.get(side, {}).items() if number)
        lines.append(f"  {side:<5} {done or 'nothing'}")
    rest = ", ".join(f"{counts[word]} {word}" for word in ("skipped", "failed", "held") if counts.get(word))
    return [*lines, f"  {rest}"] if rest else lines
