"""Every page of the admin in a real browser, wide and narrow, with long names: nothing missing, nothing broken.

SCREENSHOTS=<directory> keeps a picture of each.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configuration
from django.contrib.auth.models import User
from django.db import transaction
from playwright.sync_api import Browser, Locator, Page, Request, Response, sync_playwright
from pytest_django.live_server_helper import LiveServer

from connections import clients, services
from connections.keys import create_key
from connections.models import Condition, Connection, Rule
from portal.clock import SYSTEM
from portal.models import Person
from syncer import services as acts
from syncer.engine.holds import open_book_hold, sync_link_holds
from syncer.engine.planner import Held
from syncer.models import AccountLease, Book, Hold, Link, Record, SyncLog, SyncRun
from tests.connections.office import ANNA, SECRETS, Office, office, staff
from tests.contract.carddav import vcard
from tests.contract.salesmate import KEYS
from tests.needs import browser as chromium
from tests.needs import needs

pytestmark = [needs("chromium"), needs("radicale"), pytest.mark.django_db(transaction=True), pytest.mark.one_database]
SIZES = ((1280, 900), (390, 844))
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
LABELS = ("Access key", "Secret key", "Session key")
WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Seen:
    """What went wrong on the pages of one visit."""

    site: str
    problems: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self.note(page, message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.note(page, str(error)))
        page.on("response", lambda response: self.answered(page, response))
        page.on("requestfailed", lambda request: self.failed(page, request))

    def answered(self, page: Page, response: Response) -> None:
        if response.status >= 400:
            self.note(page, f"{response.status} {response.url}")
        if not response.url.startswith((self.site, "data:")):
            self.note(page, f"{response.url} is elsewhere")

    def failed(self, page: Page, request: Request) -> None:
        # The browser drops what is still on its way when the test goes on to the next page.
        if request.failure != "net::ERR_ABORTED":
            self.note(page, f"{request.url} failed: {request.failure}")

    def note(self, page: Page, problem: str) -> None:
        self.problems.append(f"{page.url}: {problem}")


@pytest.fixture
def acme(live_server: LiveServer, tmp_path: Path, settings: Any) -> Iterator[Office]:
    with office(tmp_path, settings) as found:
        yield found


def page_of(model: str, obj: Any = None, what: str = "") -> str:
    return f"/admin/{model}/" + (f"{obj.pk}/{what or 'change'}/" if obj is not None else (f"{what}/" if what else ""))


def long_names(connection: Connection) -> None:
    client = connection.client
    client.name = LONG * 2
    clients.save_client(client, ANNA)
    services.update_account(connection.left_account, ANNA, label=LONG * 2)
    services.update_connection(connection, ANNA, {"name": f"{LONG} and {LONG}"})
    rule = connection.rules.get(source="right")
    rule.name = LONG * 2
    services.save_rule(rule, ANNA, [Condition(kind="has_tag", value=LONG)], [])


def sample(acme: Office) -> list[str]:
    """Addresses of all pages, over data that a first plan made."""
    connection = acme.first_plan()
    plan = SyncRun.objects.get(status="waiting")
    acts.approve(plan, ANNA, plan.plan_digest)
    acme.sync(connection)
    acme.radicale.place("alice", "ada", vcard("ada", "EMAIL:ada@example.com", f"TITLE:{LONG * 3}"))
    acme.radicale.place("alice", "alone", vcard("alone", name=f"Alone {LONG}"))
    acme.salesmate.person(2, email="", lastName=LONG)
    acme.sync(connection)
    acme.radicale.place("alice", "ada", vcard("ada", "EMAIL:ada@example.com", f"TITLE:{LONG * 2}"))
    acts.request_plan(Connection.objects.get(), ANNA)
    acme.sync(connection)
    book = Book.objects.get(account=connection.left_account)
    with transaction.atomic():
        open_book_hold(book, Hold.Kind.SUSPECTS, {"contacts": 7, "of": 100}, SYSTEM.now())
        alone = Link.objects.get(right__isnull=True, left__remote_id__contains="alone")
        asked = Held("create_unknown", "", "a contact without an e-mail address may have been created")
        sync_link_holds(connection, [(alone, [asked])], None, SYSTEM.now())
    long_names(Connection.objects.get())
    left, right = connection.left_account.pk, connection.right_account.pk
    configured = {
        "connections/client": connection.client,
        "connections/account": connection.right_account,
        "connections/connection": connection,
        "connections/fieldmapping": connection.mappings.first(),
        "connections/rule": Rule.objects.get(connection=connection, source="right"),
    }
    done = {
        "syncer/syncrun": SyncRun.objects.get(status="waiting"),
        "syncer/hold": Hold.objects.get(kind=Hold.Kind.SUSPECTS),
        "syncer/link": Link.objects.get(left__match_key="ada@example.com", right__isnull=False),
        "syncer/book": book,
        "syncer/record": Record.objects.filter(book=book).first(),
        "syncer/synclog": SyncLog.objects.filter(connection=connection.code, payload__isnull=False).first(),
        "syncer/accountlease": AccountLease.objects.first(),
    }
    found = ["/admin/", "/admin/connections/", "/admin/syncer/", "/admin/portal/", "/admin/password_change/"]
    person = Person.objects.get(pk=staff("bob." + LONG, (connection.client, "auditor")).pk)
    found += [page_of("portal/person"), page_of("portal/person", what="add"), page_of("portal/person", person)]
    found += [page_of("portal/person", person, "delete"), page_of("portal/person", person, "history")]
    found += ["/admin/two-factor/", "/admin/axes/accessattempt/"]
    key, _ = create_key(connection.client, ANNA, name=LONG, scopes=["read", "manage", "sync", "approve", "audit"])
    found += [
        page_of("connections/apikey"),
        page_of("connections/apikey", what="add"),
        page_of("connections/apikey", key),
    ]
    for model, thing in configured.items():
        found += [page_of(model), page_of(model, what="add"), page_of(model, thing)]
        found += [page_of(model, thing, "delete"), page_of(model, thing, "history")]
    for model, row in done.items():
        found += [page_of(model), page_of(model, row)]
    found += [page_of("syncer/hold", Hold.objects.get(kind=Hold.Kind.CREATE_UNKNOWN))]
    found += [f"/admin/connections/account/add/?app={app}" for app in ("salesmate", "carddav", "csv_file")]
    found += [page_of("connections/account", connection.left_account)]
    found += [f"/admin/connections/connection/add/?left_account={left}&right_account={right}"]
    found += [f"/admin/connections/fieldmapping/add/?connection={connection.pk}"]
    found += [f"/admin/connections/rule/add/?connection={connection.pk}&source={side}" for side in ("left", "right")]
    return [
        *found,
        "/admin/syncer/logchain/",
        "/admin/syncer/logcheckpoint/",
        "/admin/syncer/apiusage/",
        "/admin/syncer/heartbeat/",
        "/admin/django_q/schedule/",
    ]


def visit(page: Page, site: str, addresses: Sequence[str], width: int, seen: Seen) -> None:
    for number, address in enumerate(addresses):
        page.goto(site + address)
        if not page.title().endswith(" | Counterpart"):
            seen.note(page, f"the title is {page.title()!r}")
        wider = page.evaluate(WIDER)
        if wider > 0:
            seen.note(page, f"{wider} pixels wider than the window of {width}")
        picture(page, f"{width}-{number:02}{address.partition('?')[0].replace('/', '-').rstrip('-')}")


def press(button: Locator) -> None:
    """Click what leads to another page, and wait until that page is there: a click alone returns before it."""
    with button.page.expect_navigation():
        button.click()


def picture(page: Page, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def opened(browser: Browser, site: str, width: int, height: int, session: str) -> Page:
    context = browser.new_context(viewport={"width": width, "height": height})
    if session:
        context.add_cookies([{"name": configuration.SESSION_COOKIE_NAME, "value": session, "url": site}])
    return context.new_page()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_page_opens_whole(acme: Office, live_server: LiveServer, width: int, height: int) -> None:
    addresses = sample(acme)
    session = acme.browser.cookies[configuration.SESSION_COOKIE_NAME].value
    seen = Seen(live_server.url)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, "--disable-sync"])
        page = opened(found, live_server.url, width, height, session)
        seen.watch(page)
        visit(page, live_server.url, addresses, width, seen)
        found.close()
    assert seen.problems == [], "\n".join(seen.problems)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_key_is_made_shown_once_and_revoked(acme: Office, live_server: LiveServer, width: int, height: int) -> None:
    session = acme.browser.cookies[configuration.SESSION_COOKIE_NAME].value
    seen = Seen(live_server.url)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, "--disable-sync"])
        page = opened(found, live_server.url, width, height, session)
        seen.watch(page)
        page.goto(f"{live_server.url}/admin/connections/apikey/add/")
        press(page.get_by_role("button", name="Save", exact=True))
        page.locator(".errornote").wait_for()
        refused = page.locator(".errorlist").all_inner_texts()
        page.get_by_label("Name").fill("The warehouse")
        page.get_by_label("Read (the history without values)").check()
        press(page.get_by_role("button", name="Save", exact=True))
        picture(page, f"{width}-key-made")
        key = page.locator("pre.cp-key").inner_text()
        wide = page.evaluate(WIDER)
        press(page.get_by_role("link", name="I have copied it"))
        shown = page.content()
        picture(page, f"{width}-key")
        sent = {"Authorization": f"Bearer {key}"}
        before = page.request.get(f"{live_server.url}/api/v1/me/", headers=sent).status
        press(page.get_by_role("button", name="Revoke"))
        picture(page, f"{width}-key-revoked")
        after = page.request.get(f"{live_server.url}/api/v1/me/", headers=sent).status
        found.close()
    assert len(refused) == 2, refused
    assert key not in shown
    assert (before, after, wide) == (200, 401, 0)
    assert seen.problems == [], "\n".join(seen.problems)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_calls_are_shown_without_asking_elsewhere(live_server: LiveServer, width: int, height: int) -> None:
    seen = Seen(live_server.url)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, "--disable-sync"])
        page = opened(found, live_server.url, width, height, session="")
        seen.watch(page)
        page.goto(f"{live_server.url}/api/docs/")
        page.get_by_text("The key that asks: client, scopes, expiry").wait_for()
        picture(page, f"{width}-api-docs")
        found.close()
    assert seen.problems == [], "\n".join(seen.problems)


def test_somebody_signs_in_and_connects_an_account(acme: Office, live_server: LiveServer) -> None:
    anna = User.objects.get(username=ANNA)
    anna.set_password("a-long-password")
    anna.save()
    seen = Seen(live_server.url)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, "--disable-sync"])
        page = opened(found, live_server.url, *SIZES[0], session="")
        seen.watch(page)
        page.goto(live_server.url)
        picture(page, "login")
        page.get_by_label("Username").fill(ANNA)
        page.get_by_label("Password").fill("a-long-password")
        press(page.get_by_role("button", name="Log in"))
        press(page.get_by_role("link", name="Accounts", exact=True))
        press(page.get_by_role("link", name="Add account"))
        press(page.get_by_role("link", name="Salesmate"))
        page.get_by_label("Client").select_option("Acme")
        for label, value in (("Name", "CRM"), ("Subdomain", "acme"), *zip(LABELS, KEYS.values(), strict=True)):
            page.get_by_label(label).fill(value)
        press(page.get_by_role("button", name="Save", exact=True))
        messages = page.locator(".messagelist").inner_text()
        press(page.get_by_role("button", name="Check again"))
        again = page.locator(".messagelist").inner_text()
        shown = page.content()
        found.close()
    assert "Connected as" in messages
    assert again.startswith("Connected as")
    assert not any(secret in shown for secret in SECRETS)
    assert seen.problems == [], "\n".join(seen.problems)
