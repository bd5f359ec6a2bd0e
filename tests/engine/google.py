"""A connection between apps on this machine: the stand-in for Google (left) and the one for Salesmate (right)."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.test import override_settings

from connections import services
from connections.models import Account, Client, Connection
from connections.oauth import begin_authorization, finish_authorization, take_authorization
from connections.tokens import StoredTokens
from portal.clock import Clock
from sandbox.google import GoogleApp
from sandbox.google import serve as serve_google
from sandbox.salesmate import SalesmateApp
from sandbox.salesmate import serve as serve_salesmate
from syncer.connectors.base import Connector, Identity, Meter
from syncer.engine.run import Worker
from tests.connections.rolodex import BACK
from tests.contract.google import as_described, connector_to
from tests.contract.salesmate import KEYS, FakeClock
from tests.engine.memory import TestClock
from tests.engine.real import ANNA, START, Syncing

USERS = ("anna@example.com", "ben@example.com")
"""Of Google. The account is Anna's."""


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

    @property
    def account(self) -> Account:
        """The one at Google, as it is stored."""
        return Account.objects.get(app="google_contacts")

    def authorise(self, **more: Any) -> Identity:
        return authorise(self.google, self.account, self.clock, **more)

    def refreshes(self) -> list[int]:
        """The status of each renewal that Google was asked for."""
        return [status for grant, status in self.google.oauth.log if grant == "refresh_token"]

    def refused(self) -> int:
        """How often Google did not take our access."""
        return sum(one.status == 401 for one in self.google.log)

    def google_calls(self) -> list[str]:
        """What was asked of Google's contacts since the last look."""
        seen = [f"{one.method} {one.path.rpartition('/')[2]}" for one in self.google.log if one.path.startswith("/v1/")]
        self.google.log.clear()
        return seen


def timed(clock: TestClock) -> FakeClock:
    """The same clock, as the connector takes it."""
    found = FakeClock()
    found.monotonic = clock.monotonic  # type: ignore[method-assign]
    return found


def authorise(google: GoogleApp, account: Account, clock: Clock, **more: Any) -> Identity:
    """The way to Google's page and back; `more`: the user, and the scopes that they leave ticked."""
    sent_to = google.oauth.person_allows(begin_authorization(account, ANNA, BACK, clock=clock).url, **more)
    answer = {name: values[0] for name, values in parse_qs(urlsplit(sent_to).query).items()}
    taken = take_authorization(answer["state"], clock=clock)
    return finish_authorization(taken, answer.get("code", ""), answer.get("error", ""), clock)


@contextmanager
def portal_at(google: GoogleApp, url: str, back: str = BACK) -> Iterator[None]:
    """The portal has its OAuth client there."""
    google.oauth.redirect_uris.add(back)
    addresses = {"PEOPLE": url, "AUTH": f"{url}/o/oauth2/v2/auth", "TOKEN": f"{url}/token"}
    client = {"GOOGLE_CLIENT_ID": google.oauth.client_id, "GOOGLE_CLIENT_SECRET": google.oauth.client_secret}
    with override_settings(
        ALLOW_PRIVATE_HOSTS=True, **client, **{f"GOOGLE_{name}_URL": address for name, address in addresses.items()}
    ):
        yield


@contextmanager
def google_and_salesmate(options: Mapping[str, Any] | None = None, **levers: Any) -> Iterator[GoogleAndSalesmate]:
    """Anna has authorised the account at Google; its tokens are stored, and renewed, as in the portal."""
    clock = TestClock(START)
    google = GoogleApp(clock, USERS, **{"feed_delay": 0, "reads": None, "writes": None, **levers})
    salesmate = SalesmateApp("acme", KEYS["session_key"], clock, calls_per_hour=1_000_000)
    with ExitStack() as stack:
        google_url = stack.enter_context(serve_google(stack.enter_context(as_described(google))))
        salesmate_url = stack.enter_context(serve_salesmate(salesmate))
        stack.enter_context(portal_at(google, google_url))
        stack.enter_context(override_settings(SALESMATE_URL=salesmate_url))

        def connect(account: Account, meter: Meter | None = None) -> Connector:
            if account.app != "google_contacts":
                return services.connector_of(account, meter)
            return connector_to(google_url, StoredTokens(account, clock), meter, clock=timed(clock))

        client = Client.objects.create(name="Acme", slug="acme")
        left, right = (
            services.create_account(client, ANNA, app=app, label=app, settings=settings, credentials=keys, clock=clock)
            for app, settings, keys in (("google_contacts", {}, {}), ("salesmate", {"subdomain": "acme"}, KEYS))
        )
        authorise(google, left, clock)
        left.refresh_from_db()
        services.check_account(right, ANNA, connect, clock)
        chosen = {"review": "never", "create_defaults": {"right": {"owner": "1"}}, "sync_deletions": "both"}
        connection = services.create_connection(
            client,
            ANNA,
            name="Google and Salesmate",
            connect_to=connect,
            clock=clock,
            left_account=left,
            left_book="contacts",
            right_account=right,
            right_book="contacts",
            **{**chosen, **(options or {})},
        )
        services.activate(connection, ANNA, clock, connect)
        worker = Worker("tests", clock, connect, 1e9, 3600, lambda app: None)
        yield GoogleAndSalesmate(google, salesmate, connection, clock, worker)
