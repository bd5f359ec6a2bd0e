"""The stand-in for Google on a real socket, a connector that talks to it, and people in front of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sandbox.exchange import Wsgi
from sandbox.google import Account as GoogleAccount
from sandbox.google import GoogleApp, Seen, serve
from syncer.connectors.base import Account, Meter, Observed, Operation, Page, Tokens, Value, Write, WriteResult
from syncer.connectors.google_contacts.connector import BOOK, GoogleContacts
from syncer.connectors.google_contacts.fields import KNOWN, TAGS
from syncer.connectors.google_contacts.wire import ASSUMED, Assumed
from syncer.connectors.registry import Options
from syncer.connectors.wire import World
from tests.contract.google_spec import judged
from tests.contract.salesmate import FakeClock
from tests.needs import SPECS

ALL = (*KNOWN, TAGS)
ADA: dict[str, Any] = {
    "names": [{"givenName": "Ada", "familyName": "Lovelace"}],
    "emailAddresses": [{"value": "ada@example.com", "type": "work"}],
    "organizations": [{"name": "Engines", "title": "Analyst"}],
}
NO_LIMIT: dict[str, Any] = {"reads": None, "writes": None}


@dataclass
class FixedTokens:
    """Gives these tokens, one after the other, each once it was asked for anew; `asked` holds what was refused."""

    tokens: list[str]
    asked: list[str] = field(default_factory=list)

    def access(self, refused: str = "") -> str:
        self.asked.append(refused)
        if refused and len(self.tokens) > 1:
            self.tokens.pop(0)
        return self.tokens[0]


def connector_to(
    url: str, tokens: Tokens, meter: Meter | None = None, assumed: Assumed = ASSUMED, clock: FakeClock | None = None
) -> GoogleContacts:
    account = Account("google_contacts", {}, {}, tokens=tokens)
    world = World(sleep=lambda seconds: None, clock=(clock or FakeClock()).monotonic)
    return GoogleContacts(account, Options(True, {"google_people": url}), meter, assumed=assumed, world=world)


@dataclass
class Bench:
    app: GoogleApp
    clock: FakeClock
    url: str
    token: str

    @property
    def anna(self) -> GoogleAccount:
        return self.app.account()

    def connector(
        self, meter: Meter | None = None, assumed: Assumed = ASSUMED, tokens: Tokens | None = None
    ) -> GoogleContacts:
        return connector_to(self.url, tokens or FixedTokens([self.token]), meter, assumed, self.clock)

    def person(self, number: int = 0, **fields: Any) -> str:
        """Somebody adds a contact by hand."""
        named = {"names": [{"givenName": "Ada", "familyName": f"Person {number}"}]}
        address = {"emailAddresses": [{"value": f"p{number}@x.example"}]}
        return self.anna.person_create(**{**ADA, **named, **address, **fields})

    def people(self, count: int) -> list[str]:
        return [self.person(number) for number in range(count)]

    def label(self, name: str, *members: str) -> str:
        """Somebody makes a label, and puts it on these contacts."""
        group = self.anna.person_make_group(name)
        for member in members:
            self.anna.person_regroup(member, add=[group])
        return group

    def held(self, name: str) -> Mapping[str, Any]:
        """The fields of a contact, as Google keeps them."""
        return self.anna.find(name).fields

    def tags_of(self, name: str) -> set[str]:
        groups = self.anna.find(name).groups
        return {group.name for group in self.anna.living_groups() if group.id in groups}

    def quiet(self) -> None:
        """Time goes by, and the log starts anew."""
        self.clock.advance(600)
        self.app.catch_up()
        self.app.log.clear()

    def calls(self) -> list[str]:
        """What was asked since the last look, without the names of people and groups."""
        seen = [f"{one.method} {one.path.rpartition('/')[2]}" for one in self.app.log]
        self.app.log.clear()
        return seen

    def sent(self, path: str) -> list[Seen]:
        return [seen for seen in self.app.log if path in seen.path]

    def once(self, path: str, act: Callable[[], object], skip: int = 0) -> None:
        """Somebody does this when a request with this path has been carried out, before its answer is here."""
        left = [skip]

        def people_act(seen: Seen) -> None:
            if path in seen.path and left[0] >= 0:
                left[0] -= 1
                if left[0] == -1:
                    act()

        self.app.people_act = people_act


@contextmanager
def bench(clock: FakeClock | None = None, **levers: Any) -> Iterator[Bench]:
    """Sync requests see writes at once, and there are no limits, where no lever says otherwise."""
    clock = clock or FakeClock()
    app = GoogleApp(clock, **{"feed_delay": 0, **NO_LIMIT, **levers})
    token = app.allow()["access_token"]
    with as_described(app) as judge, serve(judge) as url:
        yield Bench(app, clock, url, token)


@contextmanager
def as_described(app: GoogleApp) -> Iterator[Wsgi]:
    """The stand-in behind a judge, who minds each request of ours that Google's description of its API does not know;
    without that description (tests that are about it say so), the stand-in alone."""
    if not SPECS.is_dir():
        yield app
        return
    judge = judged(app)
    yield judge
    assert judge.asked == []


def whole_pass(google: GoogleContacts, cursor: str = "", names: Sequence[str] = ALL) -> list[Page]:
    pages = [google.changes(BOOK, cursor, names)]
    while not pages[-1].done:
        pages.append(google.changes(BOOK, pages[-1].cursor, names))
    return pages


def ids(pages: Sequence[Page]) -> list[str]:
    return [record.remote_id for page in pages for record in page.records]


def create(number: int = 0, **values: Value) -> Write:
    whole: dict[str, Value] = {"names.givenName": "Ada", "emailAddresses": f"ada{number}@example.com"}
    return Write(Operation.CREATE, f"0b8e6f3e-{number}", {**whole, **by_word(values)})


def update(name: str, still_holds: Callable[[Observed], bool] = lambda observed: True, **values: Value) -> Write:
    return Write(Operation.UPDATE, "0b8e6f3f", by_word(values), name, still_holds=still_holds)


WORDS = {
    "given": "names.givenName",
    "family": "names.familyName",
    "email": "emailAddresses",
    "title": "organizations.title",
    "mobile": "phoneNumbers.mobile",
    "note": "biographies",
    "tags": TAGS,
}


def by_word(values: Mapping[str, Value]) -> dict[str, Value]:
    return {WORDS.get(word, word): value for word, value in values.items()}


def results(google: GoogleContacts, *writes: Write) -> list[WriteResult]:
    return list(google.write(BOOK, writes))


def seen_in(result: WriteResult) -> Observed:
    assert result.observed is not None
    return result.observed
