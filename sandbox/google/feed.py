"""What sync requests see: every change reaches them some time after it was made, in the order in which it was made."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sandbox.google.contact import Contact


@dataclass
class Feed:
    """`shown` holds the newest visible state of each contact by its id, deleted ones too, with the position at which
    it came to be seen; `waiting` are states on their way, with the moment at which they arrive."""

    position: int = 0
    shown: dict[str, tuple[int, Contact]] = field(default_factory=dict)
    waiting: list[tuple[datetime, Contact]] = field(default_factory=list)

    def put(self, contact: Contact, due: datetime) -> None:
        """Nothing overtakes what was put before."""
        last = self.waiting[-1][0] if self.waiting else due
        self.waiting.append((max(due, last), contact))

    def catch_up(self, now: datetime | None = None) -> None:
        """To this moment; without one, everything arrives."""
        while self.waiting and (now is None or self.waiting[0][0] <= now):
            _, contact = self.waiting.pop(0)
            self.position += 1
            self.shown[contact.id] = (self.position, contact)

    def living(self) -> list[Contact]:
        return [contact for _, contact in self._in_order() if not contact.deleted]

    def since(self, position: int) -> list[Contact]:
        """Changed or deleted after it, oldest first."""
        return [contact for at, contact in self._in_order() if at > position]

    def _in_order(self) -> Iterable[tuple[int, Contact]]:
        return sorted(self.shown.values(), key=lambda entry: entry[0])
