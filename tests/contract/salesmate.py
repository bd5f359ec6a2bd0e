"""The stand-in for Salesmate on a real socket, a connector that talks to it, and people in front of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.salesmate import Fault, SalesmateApp, Seen, serve
from syncer.connectors.base import Account, BudgetSpent, Meter, Observed, Operation, Page, Write, WriteResult
from syncer.connectors.registry import Options
from syncer.connectors.salesmate.client import Client
from syncer.connectors.salesmate.connector import BOOK, Salesmate
from syncer.connectors.salesmate.reader import Reader
from syncer.connectors.salesmate.wire import ASSUMED, Assumed
from syncer.connectors.wire import World

KEYS = {"access_key": "acce55-canary", "secret_key": "5ecret-canary", "session_key": "5e5510n-canary"}
NAMES = ("firstName", "lastName", "email", "tags", "owner")
ADA: dict[str, Any] = {"firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.com", "owner": 1}


@dataclass
class FakeClock:
    at: datetime = field(default_factory=lambda: datetime(2026, 11, 24, 12, 0, tzinfo=UTC))

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Purse:
    """A meter with a few calls in it."""

    calls: int

    def take(self) -> None:
        if self.calls == 0:
            raise BudgetSpent("The budget is spent.", datetime(2026, 11, 24, tzinfo=UTC))
        self.calls -= 1


PATIENT = World(sleep=lambda seconds: None)  # pauses take no time


def account_of(subdomain: str = "acme", **keys: str) -> Account:
    return Account("salesmate", {"subdomain": subdomain}, {**KEYS, **keys})


def connector_to(
    url: str, meter: Meter | None = None, assumed: Assumed = ASSUMED, subdomain: str = "acme", **keys: str
) -> Salesmate:
    options = Options(True, {"salesmate": url})
    return Salesmate(account_of(subdomain, **keys), options, meter, assumed=assumed, world=PATIENT)


@dataclass
class Bench:
    app: SalesmateApp
    clock: FakeClock
    url: str

    def connector(
        self,
        meter: Meter | None = None,
        assumed: Assumed = ASSUMED,
        subdomain: str = "acme",
        **keys: str,
    ) -> Salesmate:
        return connector_to(self.url, meter, assumed, subdomain, **keys)

    def reader(self) -> Reader:
        return Reader(Client(account_of(), Options(True, {"salesmate": self.url}), None, ASSUMED, PATIENT))

    def person(self, number: int, **values: Any) -> int:
        """Somebody adds a contact by hand."""
        return self.app.person_create(
            **{**ADA, "lastName": f"Person {number}", "email": f"p{number}@x.example", **values}
        )

    def people(self, count: int) -> list[int]:
        return [self.person(number) for number in range(count)]

    def quiet(self) -> None:
        """Time goes by, and the log starts anew."""
        self.clock.advance(600)
        self.app.log.clear()

    def calls(self) -> list[str]:
        return [f"{seen.method} {seen.path.removeprefix('/apis/')}" for seen in self.app.log]

    def sent(self, method: str) -> list[Seen]:
        return [seen for seen in self.app.log if seen.method == method and not seen.path.endswith("/search")]


class OfWrites(Fault):
    """A search is a POST too, but no write."""

    def strikes(self, method: str, path: str) -> bool:
        return not path.endswith("/search") and super().strikes(method, path)


@contextmanager
def bench(clock: FakeClock | None = None) -> Iterator[Bench]:
    clock = clock or FakeClock()
    app = SalesmateApp("acme", KEYS["session_key"], clock)
    with serve(app) as url:
        yield Bench(app, clock, url)


def whole_pass(salesmate: Salesmate, cursor: str = "", names: Sequence[str] = NAMES) -> list[Page]:
    """Page by page to the end, as if nothing on them was known."""
    pages = [salesmate.changes(BOOK, cursor, names)]
    while not pages[-1].done:
        pages.append(salesmate.changes(BOOK, pages[-1].cursor, names))
    return pages


def ids(pages: Sequence[Page]) -> list[str]:
    return [record.remote_id for page in pages for record in page.records]


def create(**values: Any) -> Write:
    whole = {"lastName": "Lovelace", "owner": "1", **values}
    return Write(Operation.CREATE, "0b8e6f3e", {name: value for name, value in whole.items() if value != "leave out"})


def update(remote_id: int | str, still_holds: bool = True, **values: Any) -> Write:
    return Write(Operation.UPDATE, "0b8e6f3f", values, str(remote_id), still_holds=lambda observed: still_holds)


def results(salesmate: Salesmate, *writes: Write) -> list[WriteResult]:
    return list(salesmate.write(BOOK, writes))


def seen_in(result: WriteResult) -> Observed:
    assert result.observed is not None
    return result.observed
