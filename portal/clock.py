"""Time as an argument: everything that needs the time takes a `Clock`, so that tests are exact."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The time in UTC, with its zone."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back. For deadlines."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


SYSTEM = SystemClock()
