"""A person gives access on an app's own page, in a real browser: from the admin, and by a link of a tool."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as configuration
from django.contrib.auth.models import User
from playwright.sync_api import Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from connections.models import Account, Client
from connections.oauth import begin_authorization
from tests.browser.test_admin_pages import LONG, QUIET, SIZES, WIDER, Seen, opened, picture, press
from tests.connections.office import ANNA, at_desk
from tests.connections.rolodex import Desk, desk
from tests.needs import browser as chromium
from tests.needs import needs

pytestmark = [needs("chromium"), pytest.mark.django_db(transaction=True), pytest.mark.one_database]


@pytest.fixture
def rolodex(live_server: LiveServer, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with desk(settings, monkeypatch) as found:
        found.server.redirect_uris.add(f"{live_server.url}/oauth/callback/")
        yield found


def narrow(page: Page, seen: Seen) -> None:
    wider = page.evaluate(WIDER)
    if wider > 0:
        seen.note(page, f"{wider} pixels too wide")


def trouble(seen: Seen, rolodex: Desk) -> list[str]:
    """Without that the browser was at Rolodex, which it should be."""
    return [one for one in seen.problems if f"{rolodex.url}/o/" not in one or "is elsewhere" not in one]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_somebody_authorises_an_account(rolodex: Desk, live_server: LiveServer, width: int, height: int) -> None:
    Client.objects.filter(pk=rolodex.acme.pk).update(name=LONG)
    session = at_desk(User.objects.create_superuser(ANNA)).cookies[configuration.SESSION_COOKIE_NAME].value
    seen = Seen(live_server.url)
    said = []
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, "--disable-sync"])
        page = opened(found, live_server.url, width, height, session)
        seen.watch(page)
        page.goto(f"{live_server.url}/admin/connections/account/add/?app=rolodex&client={rolodex.acme.pk}")
        page.get_by_label("Name").fill("Anna's cards")
        picture(page, f"{width}-oauth-add")
        narrow(page, seen)
        press(page.get_by_role("button", name="Save", exact=True))
        picture(page, f"{width}-oauth-new")
        narrow(page, seen)
        for decision in ("Deny", "Allow"):
            press(page.get_by_role("button", name="Authorise with Rolodex"))
            picture(page, f"{width}-oauth-app")
            press(page.get_by_role("button", name=decision))
            said.append(page.locator(".messagelist").inner_text())
            picture(page, f"{width}-oauth-{decision.lower()}")
            narrow(page, seen)
        again = page.get_by_role("button", name="Authorise again").count()
        found.close()
    assert said == [
        "Rolodex gave no access: it was not allowed on its page. Begin again in the portal.",
        "Connected as anna.",
    ]
    assert again == 1
    assert Account.objects.get().status == "connected"
    assert trouble(seen, rolodex) == []


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_customer_follows_a_tool_s_link(rolodex: Desk, live_server: LiveServer, width: int, height: int) -> None:
    Client.objects.filter(pk=rolodex.acme.pk).update(name=LONG)
    account = rolodex.account(label=LONG)
    ways = [begin_authorization(account, "a tool", f"{live_server.url}/oauth/callback/").url for _ in range(2)]
    seen, refused = Seen(live_server.url), Seen(live_server.url)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, "--disable-sync"])
        page = opened(found, live_server.url, width, height, session="")
        seen.watch(page)
        page.goto(ways[0])
        page.get_by_label("ben").check()
        press(page.get_by_role("button", name="Allow"))
        connected = page.get_by_role("main").inner_text()
        picture(page, f"{width}-oauth-connected")
        narrow(page, seen)
        page = opened(found, live_server.url, width, height, session="")
        page.goto(ways[1])
        page.get_by_label("Change contacts").uncheck()
        press(page.get_by_role("button", name="Allow"))
        left_out = page.get_by_role("main").inner_text()
        picture(page, f"{width}-oauth-left-out")
        narrow(page, refused)
        page.reload()
        again = page.get_by_role("main").inner_text()
        narrow(page, refused)
        found.close()
    assert f"“{LONG}” of {LONG} is connected as ben." in connected
    assert "Left out: Change contacts." in left_out
    assert "was finished already" in again
    assert (trouble(seen, rolodex), refused.problems) == ([], [])
