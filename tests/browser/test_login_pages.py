"""Logging in, in a real browser, wide and narrow: the first link, the second factor, and the lock."""

import time
from base64 import b32decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from connections import people
from connections.models import Client
from syncer.audit.chain import LogBusy
from tests.browser.test_admin_pages import QUIET, SIZES, WIDER, Seen, opened, picture, press
from tests.needs import browser as chromium
from tests.needs import needs
from tests.portal.desk import PASSWORD, administrator, code_of

pytestmark = [needs("chromium"), pytest.mark.django_db(transaction=True), pytest.mark.one_database]
sizes = pytest.mark.parametrize(("width", "height"), SIZES)


@contextmanager
def visitor(server: LiveServer, width: int, height: int, refused: tuple[int, ...] = ()) -> Iterator[Page]:
    """Somebody with a new browser; what went wrong on their pages fails the test. `refused` are answers they expect."""
    seen = Seen(server.url)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=[*QUIET, "--disable-sync"])
        page = opened(found, server.url, width, height, session="")
        seen.watch(page)
        yield page
        found.close()
    problems = [text for text in seen.problems if not any(str(status) in text for status in refused)]
    assert problems == [], "\n".join(problems)


def look(page: Page, name: str, width: int) -> None:
    assert page.evaluate(WIDER) <= 0, f"{name} is wider than {width}"
    assert page.title().endswith(" | Counterpart"), page.title()
    picture(page, f"login-{width}-{name}")


def enter(page: Page, site: str, name: str, password: str = PASSWORD, code: str = "") -> None:
    page.goto(site + "/admin/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_label("Code").fill(code)
    press(page.get_by_role("button", name="Log in"))


@sizes
def test_somebody_is_added_chooses_a_password_and_turns_on_the_second_factor(
    live_server: LiveServer, width: int, height: int
) -> None:
    administrator()
    Client.objects.create(name="Acme", slug="acme")
    with visitor(live_server, width, height) as page:
        enter(page, live_server.url, "anna")
        page.goto(live_server.url + "/admin/portal/person/add/")
        page.get_by_label("Username").fill("bob")
        page.get_by_label("E-mail address").fill("bob@example.com")
        page.get_by_text("Add another Role").click()
        page.locator("#id_memberships-0-client").select_option("Acme")
        page.locator("#id_memberships-0-role").select_option("Auditor")
        look(page, "1-add", width)
        press(page.get_by_role("button", name="Save", exact=True))
        look(page, "2-link", width)
        link = page.locator(".cp-link").inner_text()
        press(page.get_by_role("button", name="Log out"))
        look(page, "3-logged-out", width)
        page.goto(link)
        look(page, "4-invited", width)
        page.locator("#id_new_password1").fill(PASSWORD)
        page.locator("#id_new_password2").fill(PASSWORD)
        press(page.get_by_role("button", name="Set the password"))
        look(page, "5-login", width)
        page.goto(link)
        look(page, "6-used-up", width)
        enter(page, live_server.url, "bob")
        look(page, "7-index", width)
        press(page.get_by_role("link", name="Two-factor log-in"))
        look(page, "8-off", width)
        press(page.get_by_role("button", name="Set it up"))
        assert page.locator("svg path").count() > 0
        look(page, "9-picture", width)
        key = b32decode(page.locator(".cp-key").inner_text().replace(" ", ""))
        page.get_by_role("textbox", name="Code").fill(code_of(key, time.time()))
        press(page.get_by_role("button", name="Turn it on"))
        code = page.locator(".cp-codes li").first.inner_text()
        look(page, "10-codes", width)
        press(page.get_by_role("button", name="Log out"))
        enter(page, live_server.url, "bob")
        look(page, "11-code-missing", width)
        enter(page, live_server.url, "bob", code=code)
        page.goto(live_server.url + "/admin/two-factor/")
        assert "9 recovery codes are left" in page.content()
        look(page, "12-on", width)


@sizes
def test_who_tries_too_often_and_who_has_no_role_are_told_so(
    live_server: LiveServer, settings: Any, width: int, height: int
) -> None:
    User.objects.create_user("bob", password=PASSWORD, is_staff=True)
    with visitor(live_server, width, height, refused=(429,)) as page:
        enter(page, live_server.url, "bob")
        assert "You have no role yet" in page.content()
        look(page, "20-no-role", width)
        settings.TWO_FACTOR = "required"
        page.goto(live_server.url + "/admin/")
        look(page, "21-required", width)
        press(page.get_by_role("button", name="Log out"))
        for _ in range(5):
            enter(page, live_server.url, "bob", "wrong")
        assert "Too many tries" in page.content()
        look(page, "22-locked", width)


@sizes
def test_what_cannot_be_done_now_is_a_page_that_says_so(
    live_server: LiveServer, monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> None:
    def full(*args: object) -> None:
        raise LogBusy("The log portal is busy.")

    administrator()
    with visitor(live_server, width, height, refused=(503,)) as page:
        enter(page, live_server.url, "anna")
        page.goto(live_server.url + "/admin/password_change/")
        page.get_by_label("Old password").fill(PASSWORD)
        page.locator("#id_new_password1").fill("another-pass-phrase")
        page.locator("#id_new_password2").fill("another-pass-phrase")
        monkeypatch.setattr(people, "append", full)
        press(page.get_by_role("button", name="Change my password"))
        assert "Nothing was changed" in page.content()
        look(page, "23-busy", width)
