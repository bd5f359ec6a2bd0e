"""Somebody connects Mailchimp with its key, sets up a connection whose new members get the status that they choose, and
is told what is missing, in a real browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as configuration
from django.contrib.auth.models import User
from django.test import override_settings
from playwright.sync_api import Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from connections import services
from connections.models import Account, Client, Connection
from portal.clock import SYSTEM
from sandbox.mailchimp import KEY, MailchimpApp, serve
from tests.browser.test_admin_pages import QUIET, SIZES, WIDER, Seen, opened, picture, press
from tests.browser.test_google_pages import apart
from tests.connections.office import ANNA, at_desk
from tests.contract.salesmate import KEYS, bench
from tests.needs import browser as chromium
from tests.needs import needs

pytestmark = [needs("chromium"), pytest.mark.django_db(transaction=True), pytest.mark.one_database]
NOT_CHOSEN = "Choose the status that new contacts get in Mailchimp (on the right)"


@pytest.fixture
def mailchimp(live_server: LiveServer) -> Iterator[MailchimpApp]:
    app = MailchimpApp(SYSTEM)
    with serve(app) as url, override_settings(MAILCHIMP_URL=url, ALLOW_PRIVATE_HOSTS=True):
        yield app


def look(page: Page, seen: Seen, name: str, width: int) -> None:
    picture(page, f"{width}-mailchimp-{name}")
    wider = page.evaluate(WIDER)
    if wider > 0:
        seen.note(page, f"{wider} pixels too wide")


def salesmate_account(client: Client) -> None:
    made = services.create_account(
        client, ANNA, app="salesmate", label="CRM", settings={"subdomain": "acme"}, credentials=KEYS
    )
    services.check_account(made, ANNA)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_somebody_connects_mailchimp_and_chooses_the_status_of_new_members(
    mailchimp: MailchimpApp, live_server: LiveServer, settings: Any, width: int, height: int
) -> None:
    acme, _ = Client.objects.get_or_create(slug="acme", defaults={"name": "Acme"})
    session = at_desk(User.objects.create_superuser(ANNA)).cookies[configuration.SESSION_COOKIE_NAME].value
    seen = Seen(live_server.url)
    with bench() as salesmate, sync_playwright() as playwright:
        settings.SALESMATE_URL = salesmate.url
        apart(lambda: salesmate_account(acme))
        found = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, "--disable-sync"])
        page = opened(found, live_server.url, width, height, session)
        seen.watch(page)
        page.goto(f"{live_server.url}/admin/connections/account/add/?app=mailchimp&client={acme.pk}")
        page.get_by_label("Name").fill("The newsletter")
        page.get_by_label("API key").fill("0123456789abcdef")
        press(page.get_by_role("button", name="Save", exact=True))
        wrong = page.locator("#content").inner_text()
        look(page, seen, "wrong-key", width)
        page.get_by_label("API key").fill(KEY)
        press(page.get_by_role("button", name="Save", exact=True))
        said = page.locator(".messagelist").inner_text()
        look(page, seen, "account", width)
        crm, news = apart(lambda: [Account.objects.get(app=app).pk for app in ("salesmate", "mailchimp")])
        add = f"{live_server.url}/admin/connections/connection/add/"
        page.goto(f"{add}?left_account={crm}&right_account={news}")
        page.get_by_label("Name").fill("CRM and newsletter")
        page.get_by_label("Unsubscribes travel").select_option("to_right")
        look(page, seen, "connection", width)
        press(page.get_by_role("button", name="Save", exact=True))
        refused = page.locator("#content").inner_text()
        look(page, seen, "refused", width)
        page.get_by_label("Unsubscribes travel").select_option("to_left")
        page.get_by_label("Owner of new contacts on the left").select_option(index=1)
        press(page.get_by_role("button", name="Save", exact=True))
        press(page.get_by_role("button", name="Activate"))
        missing = page.locator(".messagelist").inner_text()
        look(page, seen, "missing", width)
        page.get_by_label("Status of new contacts on the right").select_option("pending")
        press(page.get_by_role("button", name="Save", exact=True))
        look(page, seen, "saved", width)
        found.close()
    assert "not a whole Mailchimp API key" in wrong
    assert "Connected as Harbour Tea (anna@example.com)" in said
    assert "Salesmate does not tell who has unsubscribed" in refused
    assert NOT_CHOSEN in missing
    connection = Connection.objects.get()
    assert connection.create_defaults["right"] == {"consent": "pending"}
    assert connection.sync_unsubscribes == "to_left"
    assert seen.problems == []
