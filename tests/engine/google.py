"""A connection between apps on this machine: the stand-in for Google (left) and the one for Salesmate (right)."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from django.test import override_settings

from connections import services
from connections.models import Account, Client, Connection
from sandbox.google import GoogleApp
from sandbox.google import serve as serve_google
from sandbox.salesmate import SalesmateApp
from sandbox.salesmate import serve as serve_salesmate
from syncer.connectors.base import Connector, Meter
from syncer.engine.run import Worker
from tests.contract.google import FixedTokens, as_described, connector_to
from tests.contract.salesmate import KEYS, FakeClock
from tests.engine.memory import TestClock
from tests.engine.real import ANNA, START, Syncing


@dataclass
class GoogleAndSalesmate(Syncing):
    google: GoogleApp
    salesmate: SalesmateApp
    connection: Connection
    clock: TestClock
    worker: Worker

    def of_google(self) -> dict[str, Mapping[str, Any]]:
        """The fields of Google's contacts by e-mail address."""
        people = [contact.fields for contact in self.google.account().contacts.values()]
        return {fields["emailAddresses"][0]["value"]: fields for fields in people if fields.get("emailAddresses")}

    def name_of(self, email: str) -> str:
        """Of the contact in Google."""
        people = self.google.account().contacts.values()
        return next(one.resource for one in people if one.fields["emailAddresses"][0]["value"] == email)

    def labels_of(self, email: str) -> set[str]:
        account = self.google.account()
        inside = account.find(self.name_of(email)).groups
        return {group.name for group in account.living_groups() if group.id in inside}

    def of_salesmate(self) -> dict[str, dict[str, Any]]:
        rows = self.salesmate.account.contacts.values()
        return {row["email"]: row for row in rows if not row["isDeleted"]}

    def google_creates(self, number: int, **fields: Any) -> str:
        names = [{"givenName": f"Given{number}", "familyName": f"Family{number}"}]
        whole = {"names": names, "emailAddresses": [{"value": f"p{number}@example.com"}], **fields}
        return self.google.account().person_create(**whole)

    def google_edits(self, email: str, **fields: Any) -> None:
        self.google.account().person_edit(self.name_of(email), **fields)

    def salesmate_creates(self, number: int, **fields: Any) -> int:
        names = {"firstName": f"Given{number}", "lastName": f"Family{number}", "email": f"p{number}@example.com"}
        return self.salesmate.person_create(**{**names, "owner": 1, **fields})

    def salesmate_edits(self, email: str, **fields: Any) -> None:
        self.salesmate.person_edit(int(self.of_salesmate()[email]["id"]), **fields)

    def google_calls(self) -> list[str]:
        """What was asked of Google since the last look."""
        seen = [f"{one.method} {one.path.rpartition('/')[2]}" for one in self.google.log]
        self.google.log.clear()
        return seen


def timed(clock: TestClock) -> FakeClock:
    """The same clock, as the connector takes it."""
    found = FakeClock()
    found.monotonic = clock.monotonic  # type: ignore[method-assign]
    return found


@contextmanager
def google_and_salesmate(options: Mapping[str, Any] | None = None, **levers: Any) -> Iterator[GoogleAndSalesmate]:
    clock = TestClock(START)
    google = GoogleApp(clock, **{"feed_delay": 0, "reads": None, "writes": None, **levers})
    salesmate = SalesmateApp("acme", KEYS["session_key"], clock, calls_per_hour=1_000_000)
    with ExitStack() as stack:
        google_url = stack.enter_context(serve_google(stack.enter_context(as_described(google))))
        salesmate_url = stack.enter_context(serve_salesmate(salesmate))

        def connect(account: Account, meter: Meter | None = None) -> Connector:
            if account.app != "google_contacts":
                return services.connector_of(account, meter)
            tokens = FixedTokens([google.allow()["access_token"]])
            return connector_to(google_url, tokens, meter, clock=timed(clock))

        with override_settings(SALESMATE_URL=salesmate_url, ALLOW_PRIVATE_HOSTS=True):
            client = Client.objects.create(name="Acme", slug="acme")
            sides: dict[str, Any] = {}
            logins = {"left": ("google_contacts", {}, {}), "right": ("salesmate", {"subdomain": "acme"}, KEYS)}
            for side, (app, settings, keys) in logins.items():
                made = services.create_account(
                    client, ANNA, app=app, label=app, settings=settings, credentials=keys, clock=clock
                )
                services.check_account(made, ANNA, connect, clock)
                sides |= {f"{side}_account": made, f"{side}_book": "contacts"}
            chosen = {"review": "never", "create_defaults": {"right": {"owner": "1"}}, "sync_deletions": "both"}
            connection = services.create_connection(
                client,
                ANNA,
                name="Google and Salesmate",
                connect_to=connect,
                clock=clock,
                **{**sides, **chosen, **(options or {})},
            )
            services.activate(connection, ANNA, clock, connect)
            worker = Worker("tests", clock, connect, 1e9, 3600, lambda app: None)
            yield GoogleAndSalesmate(google, salesmate, connection, clock, worker)
