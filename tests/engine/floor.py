"""The apps on this machine, whichever are wanted, with one portal: accounts at each, and connections between any two.

A side speaks of contacts in words that every app has: `given`, `family`, `email`, `mobile`, `tags`.
"""

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.test import override_settings

from connections import services
from connections.models import Account, Client, Connection
from connections.tokens import StoredTokens
from sandbox.exchange import Wsgi
from sandbox.google import GoogleApp
from sandbox.mailchimp import KEY, Audience, MailchimpApp, serve
from sandbox.salesmate import SalesmateApp
from syncer.connectors.base import Connector, Meter
from syncer.engine.run import Outcome, Worker, run_slice
from tests.contract.carddav import vcard
from tests.contract.google import as_described, connector_to
from tests.contract.mailchimp import as_described as mailchimp_as_described
from tests.contract.radicale import USERS as CARDDAV_USERS
from tests.contract.radicale import Radicale
from tests.contract.salesmate import KEYS
from tests.engine.faulty import forwarding
from tests.engine.google import USERS, authorise, portal_at, timed
from tests.engine.memory import TestClock
from tests.engine.real import ANNA, START

Person = dict[str, Any]
APPS = ("carddav", "google_contacts", "mailchimp", "salesmate")


def person(number: int, **more: Any) -> Person:
    """Number n: the same in every app."""
    found = {"given": f"Given{number}", "family": f"Family{number}", "email": f"p{number}@x.example"}
    return {**found, "mobile": f"+1212555{number:04}", "tags": ["Press"] if number % 5 == 0 else [], **more}


class Side(ABC):
    """One account of an app, and the people in front of it."""

    slug: str
    book: str = "contacts"
    defaults: Mapping[str, str] = {}
    """What a connection chooses for new contacts here."""
    settings: Mapping[str, str] = {}
    keys: Mapping[str, str] = {}

    @abstractmethod
    def creates(self, someone: Person) -> None: ...

    @abstractmethod
    def edits(self, who: str, /, **values: Any) -> None: ...

    @abstractmethod
    def people(self) -> list[Person]:
        """Everybody who is there, in the words of all."""

    @abstractmethod
    def calls(self) -> list[str]:
        """What was asked since the last look."""


@dataclass
class SalesmateSide(Side):
    app: SalesmateApp
    slug = "salesmate"
    defaults = {"owner": "1"}
    settings = {"subdomain": "acme"}
    keys = KEYS
    names = {"given": "firstName", "family": "lastName", "email": "email", "mobile": "mobile", "tags": "tags"}

    def creates(self, someone: Person) -> None:
        self.app.person_create(owner=1, **self.named(someone))

    def named(self, values: Person) -> Person:
        found = {self.names[word]: value for word, value in values.items()}
        return found | ({"tags": ",".join(found["tags"])} if "tags" in found else {})

    def edits(self, who: str, /, **values: Any) -> None:
        row = next(row for row in self.rows() if row["email"] == who)
        self.app.person_edit(int(row["id"]), **self.named(values))

    def deletes(self, email: str) -> None:
        self.app.person_delete(next(int(row["id"]) for row in self.rows() if row["email"] == email))

    def rows(self) -> list[dict[str, Any]]:
        return [row for row in self.app.account.contacts.values() if not row["isDeleted"]]

    def people(self) -> list[Person]:
        words = {word: name for word, name in self.names.items() if word != "tags"}
        return [
            {word: row.get(name) for word, name in words.items()} | {"tags": split(row.get("tags"))}
            for row in self.rows()
        ]

    def calls(self) -> list[str]:
        seen = [f"{one.method} {one.path}" for one in self.app.log]
        self.app.log.clear()
        return seen


def split(tags: str | None) -> list[str]:
    return sorted(tag for tag in (tags or "").split(",") if tag)


@dataclass
class GoogleSide(Side):
    app: GoogleApp
    slug = "google_contacts"

    def creates(self, someone: Person) -> None:
        made = self.app.account().person_create(**self.fields(someone))
        self.tag(made, someone["tags"])

    def fields(self, values: Person) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if "given" in values:
            found["names"] = [{"givenName": values["given"], "familyName": values["family"]}]
        if "email" in values:
            found["emailAddresses"] = [{"value": values["email"]}]
        if "mobile" in values:
            found["phoneNumbers"] = [{"value": values["mobile"], "type": "mobile"}]
        return found

    def tag(self, resource: str, tags: Sequence[str]) -> None:
        account = self.app.account()
        known = {group.name: group.resource for group in account.living_groups()}
        account.person_regroup(resource, add=[known.get(tag) or account.person_make_group(tag) for tag in tags])

    def edits(self, who: str, /, **values: Any) -> None:
        found = self.app.account().contacts.values()
        one = next(one for one in found if one.fields["emailAddresses"][0]["value"] == who)
        if set(values) - {"tags"}:
            self.app.account().person_edit(one.resource, **self.fields(values))
        if "tags" in values:
            self.tag(one.resource, values["tags"])

    def people(self) -> list[Person]:
        account = self.app.account()
        names = {group.id: group.name for group in account.living_groups()}
        return [
            {
                "given": one.fields["names"][0].get("givenName"),
                "family": one.fields["names"][0].get("familyName"),
                "email": one.fields["emailAddresses"][0]["value"],
                "mobile": next(
                    (each["value"] for each in one.fields.get("phoneNumbers", []) if each.get("type") == "mobile"), None
                ),
                "tags": sorted(names[group] for group in one.groups if group in names),
            }
            for one in account.contacts.values()
        ]

    def calls(self) -> list[str]:
        seen = [f"{one.method} {one.path.rpartition('/')[2]}" for one in self.app.log if one.path.startswith("/v1/")]
        self.app.log.clear()
        return seen


@dataclass
class MailchimpSide(Side):
    app: MailchimpApp
    slug = "mailchimp"
    book = "a36b032126"
    defaults = {"consent": "subscribed"}
    keys = {"api_key": KEY}

    @property
    def audience(self) -> Audience:
        return self.app.audience()

    def creates(self, someone: Person) -> None:
        merge = {"FNAME": someone["given"], "LNAME": someone["family"], "PHONE": someone["mobile"]}
        self.audience.person_adds(someone["email"], "subscribed", someone["tags"], **merge)

    def edits(self, who: str, /, **values: Any) -> None:
        names = {"given": "FNAME", "family": "LNAME", "mobile": "PHONE"}
        merge = {names[word]: value for word, value in values.items() if word in names}
        self.audience.person_edits(who, values.get("email", ""), values.get("tags"), **merge)

    def people(self) -> list[Person]:
        return [
            {
                "given": one.merge.get("FNAME"),
                "family": one.merge.get("LNAME"),
                "email": one.email,
                "mobile": one.merge.get("PHONE"),
                "tags": sorted(one.tags),
            }
            for one in self.audience.members.values()
        ]

    def statuses(self) -> dict[str, str]:
        return {one.email: one.status for one in self.audience.members.values()}

    def calls(self) -> list[str]:
        seen = [f"{one.method} {one.path.removeprefix('/3.0')}" for one in self.app.log]
        self.app.log.clear()
        return seen


@dataclass
class CardDavSide(Side):
    server: Radicale
    url: str
    settings: Mapping[str, str] = field(default_factory=dict)
    slug = "carddav"
    book = "/alice/book/"
    keys = {"password": CARDDAV_USERS["alice"]}

    def __post_init__(self) -> None:
        self.server.book("alice")
        self.settings = {"url": self.url, "username": "alice"}

    def creates(self, someone: Person) -> None:
        self.place(f"uid-{someone['email']}", someone)

    def place(self, uid: str, someone: Person) -> None:
        tags = [f"CATEGORIES:{','.join(someone['tags'])}"] if someone["tags"] else []
        mobile = [f"TEL;TYPE=CELL:{someone['mobile']}"] if someone["mobile"] else []
        name = f"{someone['given']} {someone['family']}"
        self.server.place("alice", uid, vcard(uid, f"EMAIL:{someone['email']}", *mobile, *tags, name=name))

    def edits(self, who: str, /, **values: Any) -> None:
        path = next(path for path in self.files() if f":{who}" in path.read_text())
        now = next(one for one in self.people() if one["email"] == who)
        self.place(path.stem, {**now, **values})

    def files(self) -> list[Path]:
        return sorted(self.server.book_folder("alice").glob("*.vcf"))

    def people(self) -> list[Person]:
        return [of_card(path.read_text()) for path in self.files()]

    def calls(self) -> list[str]:
        seen = [f"{one.method} {one.path}" for one in self.server.requests]
        self.server.requests.clear()
        return seen


def of_card(text: str) -> Person:
    lines = [line.partition(":") for line in text.replace("\r\n ", "").splitlines()]
    found = {name.partition(";")[0].upper(): value for name, _, value in lines}
    family, given, *_ = found.get("N", ";").split(";")
    tags = sorted(tag for tag in found.get("CATEGORIES", "").split(",") if tag)
    return {
        "given": given,
        "family": family,
        "email": found.get("EMAIL", "").removeprefix("mailto:"),
        "mobile": found.get("TEL", "").removeprefix("tel:") or None,
        "tags": tags,
    }


@dataclass
class CsvSide(Side):
    """A list of people; what they do is seen with the next upload."""

    rows: dict[str, Person] = field(default_factory=dict)
    slug = "csv_file"
    settings = {"name": "Press list", "full": "yes"}

    @property
    def keys(self) -> Mapping[str, str]:  # type: ignore[override]
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["id", "First Name", "Last Name", "E-mail Address", "Mobile Phone", "Labels"])
        for number, row in self.rows.items():
            writer.writerow(
                [number, *(row[word] for word in ("given", "family", "email", "mobile")), "; ".join(row["tags"])]
            )
        return {"contents": out.getvalue()}

    def creates(self, someone: Person) -> None:
        self.rows[str(len(self.rows) + 1)] = someone

    def edits(self, who: str, /, **values: Any) -> None:
        next(row for row in self.rows.values() if row["email"] == who).update(values)

    def people(self) -> list[Person]:
        return list(self.rows.values())

    def calls(self) -> list[str]:
        return []


@dataclass
class Floor:
    sides: Mapping[str, Any]
    accounts: Mapping[str, Account]
    client: Client
    clock: TestClock
    worker: Worker
    connect_to: Any

    def connection(self, left: str, right: str, **options: Any) -> Connection:
        """Active, and never reviewed."""
        defaults = {"left": dict(self.sides[left].defaults), "right": dict(self.sides[right].defaults)}
        chosen = {"review": "never", "create_defaults": {side: one for side, one in defaults.items() if one}}
        made = services.create_connection(
            self.client,
            ANNA,
            name=f"{left} and {right}",
            connect_to=self.connect_to,
            clock=self.clock,
            left_account=self.accounts[left],
            left_book=self.sides[left].book,
            right_account=self.accounts[right],
            right_book=self.sides[right].book,
            **{**chosen, **options},
        )
        services.activate(made, ANNA, self.clock, self.connect_to)
        return made

    def sync(self, connection: Connection) -> Outcome:
        """One run to its end."""
        for _ in range(60):
            outcome = run_slice(connection.pk, self.worker)
            if outcome.again_at is None:
                return outcome
            self.clock.forward(max(0.0, (outcome.again_at - self.clock.now()).total_seconds()))
        raise AssertionError(f"the run does not end: {outcome}")

    def settle(self, *connections: Connection, rounds: int = 8) -> int:
        """Until nobody has anything to do; how many rounds it took."""
        for number in range(rounds):
            self.clock.forward(400)
            if {self.sync(one).status for one in connections} == {"quiet"}:
                return number
        raise AssertionError("not quiet")


@contextmanager
def floor(folder: Path, *apps: str, line: Callable[[Wsgi], Wsgi] = lambda app: app) -> Iterator[Floor]:
    """A portal with an account at each of these apps. `line` is what lies between an app and us."""
    clock = TestClock(START)
    with ExitStack() as stack:
        urls: dict[str, str] = {}

        def served(app: Wsgi) -> str:
            return stack.enter_context(serve(line(app)))

        sides: dict[str, Side] = {}
        if "salesmate" in apps:
            salesmate = SalesmateApp("acme", KEYS["session_key"], clock, calls_per_hour=1_000_000)
            urls["SALESMATE_URL"] = served(salesmate)
            sides["salesmate"] = SalesmateSide(salesmate)
        if "mailchimp" in apps:
            mailchimp = MailchimpApp(clock)
            urls["MAILCHIMP_URL"] = served(stack.enter_context(mailchimp_as_described(mailchimp)))
            sides["mailchimp"] = MailchimpSide(mailchimp)
        if "csv_file" in apps:
            sides["csv_file"] = CsvSide()
        if "carddav" in apps:
            radicale = stack.enter_context(Radicale(folder))
            sides["carddav"] = CardDavSide(radicale, served(forwarding(radicale.url)))
        google_url = ""
        if "google_contacts" in apps:
            google = GoogleApp(clock, USERS, feed_delay=0, reads=None, writes=None)
            google_url = served(stack.enter_context(as_described(google)))
            stack.enter_context(portal_at(google, google_url))
            sides["google_contacts"] = GoogleSide(google)
        stack.enter_context(override_settings(ALLOW_PRIVATE_HOSTS=True, **urls))

        def connect(account: Account, meter: Meter | None = None) -> Connector:
            if account.app != "google_contacts":
                return services.connector_of(account, meter)
            return connector_to(google_url, StoredTokens(account, clock), meter, clock=timed(clock))

        client = Client.objects.create(name="Acme", slug="acme")
        accounts = {slug: account_of(client, side, clock, connect) for slug, side in sides.items()}
        worker = Worker("tests", clock, connect, 1e9, 3600, lambda app: None)
        yield Floor(sides, accounts, client, clock, worker, connect)


def account_of(client: Client, side: Side, clock: TestClock, connect: Any) -> Account:
    made = services.create_account(
        client,
        ANNA,
        app=side.slug,
        label=side.slug,
        settings=dict(side.settings),
        credentials=dict(side.keys),
        clock=clock,
    )
    if isinstance(side, GoogleSide):
        authorise(side.app, made, clock)
    else:
        services.check_account(made, ANNA, connect, clock)
    made.refresh_from_db()
    return made
