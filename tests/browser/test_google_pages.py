"""Somebody connects Google Contacts on Google's own page, in a real browser, and later authorises again: the account
keeps its connection and its links."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from django.conf import settings as configuration
from django.contrib.auth.models import User
from django.db import connections as databases
from playwright.sync_api import Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from connections import services
from connections.models import Account, Client, Connection
from portal.clock import SYSTEM
from sandbox.google import GoogleApp, serve
from syncer.engine.run import Worker, run_slice
from syncer.models import Link
from tests.browser.test_admin_pages import QUIET, SIZES, WIDER, Seen, opened, picture, press
from tests.connections.office import ANNA, at_desk
from tests.contract.salesmate import KEYS, bench
from tests.engine.google import USERS, portal_at
from tests.needs import browser as chromium
from tests.needs import needs

pytestmark = [needs("chromium"), pytest.mark.django_db(transaction=True), pytest.mark.one_database]
T = TypeVar("T")
DENIED = "Google Contacts gave no access: it was not allowed on its page. Begin again in the portal."
LEFT_OUT = (
    "Google Contacts was not allowed to give all that is needed. Left out: See and change contacts. Authorise again, "
    "and leave every box ticked."
)
ANOTHER = (
    "This is another login (ben@example.com) than the one this account was connected with. Add it as an account of its "
    "own."
)


@dataclass
class Visit:
    """Anna of the agency in front of the portal; `said` is what its pages told her, message by message."""

    page: Page
    width: int
    seen: Seen
    said: list[str] = field(default_factory=list)

    def look(self, name: str) -> None:
        picture(self.page, f"{self.width}-google-{name}")
        wider = self.page.evaluate(WIDER)
        if wider > 0:
            self.seen.note(self.page, f"{wider} pixels too wide")

    def decide(self, button: str, decision: str = "Allow", user: str = "", without: str = "") -> str:
        """Press the account's button and decide on Google's page. Returns where the person then is."""
        press(self.page.get_by_role("button", name=button))
        self.look("page")
        if user:
            self.page.get_by_label(user).check()
        if without:
            self.page.get_by_label(without).uncheck()
        press(self.page.get_by_role("button", name=decision))
        self.said.append(self.page.locator(".messagelist").inner_text())
        self.look(f"said-{len(self.said)}")
        return self.page.url


@pytest.fixture
def google(live_server: LiveServer) -> Iterator[GoogleApp]:
    app = GoogleApp(SYSTEM, USERS, feed_delay=0, reads=None, writes=None)
    with serve(app) as url, portal_at(app, url, f"{live_server.url}/oauth/callback/"):
        yield app


def apart(act: Callable[[], T]) -> T:
    """In a thread of its own: Playwright's takes no database."""

    def act_and_close() -> T:
        try:
            return act()
        finally:
            databases.close_all()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(act_and_close).result(60)


def state() -> tuple[str, str, str]:
    account = Account.objects.get(app="google_contacts")
    return account.status, account.status_text, account.identity


def links() -> set[tuple[int, str]]:
    return set(Link.objects.values_list("pk", "state"))


def with_salesmate() -> Connection:
    """A connection of the account to Salesmate."""
    account = Account.objects.get(app="google_contacts")
    other = services.create_account(
        account.client, ANNA, app="salesmate", label="CRM", settings={"subdomain": "acme"}, credentials=KEYS
    )
    services.check_account(other, ANNA)
    made = services.create_connection(
        account.client,
        ANNA,
        name="Google and Salesmate",
        left_account=account,
        left_book="contacts",
        right_account=other,
        right_book="contacts",
        review="never",
        create_defaults={"right": {"owner": "1"}},
    )
    services.activate(made, ANNA)
    return made


def sync() -> str:
    worker = Worker("tests", SYSTEM, services.connector_of, 240, 3600, lambda app: None)
    return run_slice(Connection.objects.get().pk, worker).status


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_somebody_connects_google_and_authorises_again(
    google: GoogleApp, live_server: LiveServer, settings: Any, width: int, height: int
) -> None:
    acme, _ = Client.objects.get_or_create(slug="acme", defaults={"name": "Acme"})
    session = at_desk(User.objects.create_superuser(ANNA)).cookies[configuration.SESSION_COOKIE_NAME].value
    seen = Seen(live_server.url)
    with bench() as salesmate, sync_playwright() as playwright:
        settings.SALESMATE_URL = salesmate.url
        found = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, "--disable-sync"])
        visit = Visit(opened(found, live_server.url, width, height, session), width, seen)
        seen.watch(visit.page)
        visit.page.goto(f"{live_server.url}/admin/connections/account/add/?app=google_contacts&client={acme.pk}")
        visit.page.get_by_label("Name").fill("Anna's contacts")
        visit.look("add")
        press(visit.page.get_by_role("button", name="Save", exact=True))
        visit.look("new")
        places = [visit.decide("Authorise with Google Contacts", "Deny")]
        places.append(visit.decide("Authorise with Google Contacts", without="See, edit, download and delete"))
        waits = apart(state)
        places.append(visit.decide("Authorise with Google Contacts"))
        apart(with_salesmate)
        salesmate.person(1)
        first, paired = [apart(sync), apart(sync)], apart(links)
        google.oauth.person_withdraws(USERS[0])
        closed = [apart(sync), apart(sync)]
        visit.page.reload()
        told = visit.page.locator("#content").inner_text()
        visit.look("withdrawn")
        places.append(visit.decide("Authorise", user=USERS[1]))
        refused = apart(sync)
        places.append(visit.decide("Authorise"))
        again = [apart(sync), apart(sync)]
        found.close()
    account = Account.objects.get(app="google_contacts")
    assert visit.said == [DENIED, LEFT_OUT, "Connected as anna@example.com.", ANOTHER, "Connected as anna@example.com."]
    assert set(places) == {f"{live_server.url}/admin/connections/account/{account.pk}/change/"}
    assert waits == ("needs_authorization", LEFT_OUT, "")
    assert (first, closed, refused) == (["done", "quiet"], ["failed", "attention"], "attention")
    assert again[-1] == "quiet"
    assert "Google Contacts ended our access, or somebody withdrew it there. Authorise the account again." in told
    assert links() == paired == {(Link.objects.get().pk, "in_sync")}
    assert (len(google.account().contacts), len(google.account(USERS[1]).contacts)) == (1, 0)
    assert state() == ("connected", "", account.identity)
    assert [one for one in seen.problems if "/o/oauth2/" not in one or "is elsewhere" not in one] == []
