"""What stands above a form: how the thing is, what needs a person, where to go, and the buttons."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.http.response import HttpResponseBase

from connections.admin.chart import Chart


@dataclass(frozen=True)
class Button:
    """Something to do by POST. `act` does it and says what was done, or gives what to answer; `carries` goes along as
    hidden inputs."""

    name: str
    label: str
    act: Callable[[], str | HttpResponseBase]
    carries: tuple[tuple[str, str], ...] = ()
    strong: bool = False


@dataclass(frozen=True)
class Go:
    label: str
    url: str


@dataclass(frozen=True)
class Table:
    """Rows of cells for people; `empty` is said where there are none."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]
    empty: str
    note: str = ""


def when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True)
class Panel:
    facts: Sequence[tuple[str, Any]] = ()
    problems: Sequence[str] = ()
    links: Sequence[Go] = ()
    tables: Sequence[Table] = field(default=())
    chart: Chart | None = None
    note: str = ""

    @property
    def said(self) -> list[tuple[str, Any]]:
        """The facts, times in words."""
        return [(name, when(value) if isinstance(value, datetime) else value) for name, value in self.facts]
