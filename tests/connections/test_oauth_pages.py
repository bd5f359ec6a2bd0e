"""Authorising in the admin and by a tool's link: who is sent where, who may come back; nothing secret shows."""

import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client as Browser

from connections import services
from connections.models import Account, Authorization, Client, Credential, Membership
from syncer.models import SyncLog
from tests.api.desk import Tool, tool
from tests.connections.office import at_desk, filled, problems, said, staff, url
from tests.connections.rolodex import BACK, OWN, READ, Desk, desk
from tests.portal.test_secrets_nowhere import addresses, tables

pytestmark = pytest.mark.django_db


@pytest.fixture
def rolodex(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with desk(settings, monkeypatch) as found:
        yield found


@pytest.fixture
def anna(rolodex: Desk) -> Browser:
    return at_desk(User.objects.create_superuser("anna"))


def press(browser: Browser, account: Account) -> str:
    """Where the button sends the browser."""
    answer: Any = browser.post(url("account", account, "act/authorize"))
    assert answer.status_code == 302
    found: str = answer.url
    return found


def link(account: Account) -> str:
    """The address that a tool is given for a person."""
    answer = tool(account.client, "manage").post(f"accounts/{account.code}/authorize/")
    assert answer.status_code == 200, answer.content
    found: str = answer.json()["url"]
    return found


def query(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def text_of(page: Any) -> str:
    found: str = page.content.decode()
    return found


# In the admin


def test_a_button_leads_to_the_app_and_back_to_the_account(rolodex: Desk, anna: Browser) -> None:
    sent = {"client": rolodex.acme.pk, "app": "rolodex", "label": "Anna's", "api_share": "80"}
    page: Any = anna.post(url("account"), sent, follow=True)
    account = Account.objects.get()
    assert "Rolodex has not given access yet" in text_of(page)
    assert SyncLog.objects.filter(kind="account.failed").count() == 0, "nobody was asked in vain"
    assert "Authorise with Rolodex" in text_of(page)
    away = press(anna, account)
    assert away.startswith(f"{rolodex.url}/o/oauth2/v2/auth?")
    assert query(away)["redirect_uri"] == BACK
    page = anna.get(rolodex.server.person_allows(away), follow=True)
    assert page.redirect_chain == [(url("account", account), 302)]
    assert said(page) == ["Connected as anna."]
    assert "Authorise again" in text_of(page)
    account.refresh_from_db()
    assert account.status == "connected"
    assert SyncLog.objects.get(kind="account.authorised").actor == "anna"


def test_the_form_says_which_address_the_app_has_to_know(rolodex: Desk, anna: Browser, settings: Any) -> None:
    add: Any = anna.get(f"{url('account')}?app=rolodex&client={rolodex.acme.pk}")
    change: Any = anna.get(url("account", rolodex.account()))
    for page in (add, change):
        assert f"Another has to know this redirect address: <code>{BACK}</code>" in text_of(page)
    settings.GOOGLE_CLIENT_ID = ""
    page = anna.get(f"{url('account')}?app=rolodex&client={rolodex.acme.pk}")
    assert f"enter one that knows this redirect address: <code>{BACK}</code>" in text_of(page)


def test_the_form_says_of_each_input_whether_it_is_set(rolodex: Desk, anna: Browser, settings: Any) -> None:
    account = rolodex.account(OWN)

    def kept() -> list[str]:
        page: Any = anna.get(url("account", account))
        fields = page.context["adminform"].form.fields
        return [name for name, field in fields.items() if field.help_text.startswith("Set. Leave empty")]

    assert kept() == ["client_id", "client_secret"]
    rolodex.server.client_id, rolodex.server.client_secret = OWN["client_id"], OWN["client_secret"]
    anna.get(rolodex.server.person_allows(press(anna, account)))
    assert kept() == ["client_id", "client_secret", "refresh_token"]
    settings.FIELD_ENCRYPTION_KEYS = ["A" * 43]
    assert kept() == ["client_id", "client_secret", "refresh_token"]


def test_half_a_client_is_said_at_its_field(rolodex: Desk, anna: Browser) -> None:
    sent = {"client": rolodex.acme.pk, "app": "rolodex", "label": "x", "api_share": "80", "client_id": "half"}
    page: Any = anna.post(url("account"), sent)
    expected = "Client ID and Client secret belong together. Enter both, or neither to use the portal's own."
    assert problems(page) == [expected]
    assert not Account.objects.exists()


def test_without_a_client_the_button_says_what_to_do(rolodex: Desk, anna: Browser, settings: Any) -> None:
    settings.GOOGLE_CLIENT_ID = ""
    page: Any = anna.post(url("account", rolodex.account(), "act/authorize"), follow=True)
    assert said(page) == [
        "The portal has no OAuth client at Rolodex. Enter client ID and client secret in the account, or set "
        "GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET (docs/operations.md, OAuth clients)."
    ]


def test_who_denies_is_told_on_the_account_s_page(rolodex: Desk, anna: Browser) -> None:
    account = rolodex.account()
    page: Any = anna.get(rolodex.server.person_denies(press(anna, account)), follow=True)
    assert said(page) == ["Rolodex gave no access: it was not allowed on its page. Begin again in the portal."]


def test_a_manager_of_another_client_cannot_begin(rolodex: Desk) -> None:
    account = rolodex.account()
    stranger = at_desk(staff("stranger", (Client.objects.create(name="Globex", slug="globex"), "manager")))
    auditor = at_desk(staff("auditor", (rolodex.acme, "auditor")))
    for browser in (stranger, auditor, Browser()):
        browser.post(url("account", account, "act/authorize"))
    assert not Authorization.objects.exists()
    assert "/o/oauth2/" in press(at_desk(staff("max", (rolodex.acme, "manager"))), account)


def test_a_click_is_needed_to_begin(rolodex: Desk, anna: Browser) -> None:
    assert anna.get(url("account", rolodex.account(), "act/authorize")).status_code == 405
    strict = Browser(enforce_csrf_checks=True)
    strict.cookies = anna.cookies
    assert strict.post(url("account", Account.objects.get(), "act/authorize")).status_code == 403
    assert not Authorization.objects.exists()


def test_what_was_begun_in_a_session_ends_in_no_other(rolodex: Desk, anna: Browser) -> None:
    account = rolodex.account()
    back = rolodex.server.person_allows(press(anna, account))
    for other in (Browser(), at_desk(User.objects.create_superuser("mallory"))):
        page: Any = other.get(back)
        assert page.status_code == 400
        assert "begun by somebody who was logged in" in text_of(page)
        assert "Anna&#x27;s" not in text_of(page)
    account.refresh_from_db()
    assert (account.status, rolodex.server.log) == ("needs_authorization", [])
    page = anna.get(back, follow=True)
    assert said(page) == ["Connected as anna."]


def test_the_session_must_still_be_logged_in(rolodex: Desk, anna: Browser) -> None:
    back = rolodex.server.person_allows(press(anna, rolodex.account()))
    ghost = Browser()
    ghost.cookies["sessionid"] = anna.cookies["sessionid"].value
    anna.logout()
    assert ghost.get(back).status_code == 400
    anna.force_login(User.objects.get(username="anna"))
    assert anna.get(back).status_code == 400, "another session of the same person"


def test_a_role_that_was_taken_meanwhile_is_asked_for(rolodex: Desk) -> None:
    account = rolodex.account()
    browser = at_desk(staff("max", (rolodex.acme, "manager")))
    back = rolodex.server.person_allows(press(browser, account))
    Membership.objects.all().delete()
    assert browser.get(back).status_code == 403
    account.refresh_from_db()
    assert (account.status, rolodex.server.log) == ("needs_authorization", [])


# By a tool


def test_a_tool_s_link_needs_no_log_in(rolodex: Desk) -> None:
    account = rolodex.account()
    page: Any = Browser().get(rolodex.server.person_allows(link(account)))
    assert page.status_code == 200
    assert "The Rolodex account “Anna&#x27;s” of Acme is connected as anna." in text_of(page)
    assert "You can close this window." in text_of(page)
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    account.refresh_from_db()
    assert account.status == "connected"
    assert SyncLog.objects.get(kind="account.authorised").actor.startswith("API key")


def test_a_tool_s_link_works_once_and_for_its_account(rolodex: Desk) -> None:
    back = rolodex.server.person_allows(link(rolodex.account()))
    Browser().get(back)
    page: Any = Browser().get(back)
    assert page.status_code == 400
    assert "was finished already" in text_of(page)
    assert [grant for grant, _ in rolodex.server.log] == ["authorization_code"]


@pytest.mark.parametrize("end", ["", "?state=", "?state=guess&code=4/0A", "?error=access_denied", "?state=%00%ff"])
def test_a_page_that_nobody_was_sent_to_says_so(rolodex: Desk, end: str) -> None:
    rolodex.account()
    page: Any = Browser().get(f"/oauth/callback/{end}")
    assert page.status_code == 400
    assert "no authorisation that was begun here" in text_of(page)
    assert page.headers["Cache-Control"] == "no-store"


def test_what_went_wrong_is_said_on_the_page(rolodex: Desk) -> None:
    account = rolodex.account()
    page: Any = Browser().get(rolodex.server.person_allows(link(account), scopes=[READ]))
    assert page.status_code == 400
    assert "of Acme is not authorised" in text_of(page)
    assert "Left out: Change contacts." in text_of(page)


def test_nothing_of_the_address_is_shown(rolodex: Desk) -> None:
    state = query(link(rolodex.account()))["state"]
    evil = quote("<script>alert('x')</script>")
    page: Any = Browser().get(f"/oauth/callback/?state={state}&error={evil}&error_description={evil}")
    assert "alert(" not in text_of(page)
    assert state not in text_of(page)


def test_a_way_that_cannot_be_read_any_more_is_refused(rolodex: Desk, settings: Any) -> None:
    back = rolodex.server.person_allows(link(rolodex.account()))
    settings.FIELD_ENCRYPTION_KEYS = ["A" * 43]
    page: Any = Browser().get(back)
    assert page.status_code == 400
    assert "cannot be read with any key" in text_of(page)


@pytest.mark.parametrize("method", ["post", "put", "delete", "head", "options"])
def test_only_a_browser_that_is_sent_back_has_an_effect(rolodex: Desk, method: str) -> None:
    back = rolodex.server.person_allows(link(rolodex.account()))
    assert getattr(Browser(), method)(back).status_code == 405
    assert Authorization.objects.get().used_at is None


# The call


def test_the_call_says_where_and_until_when(rolodex: Desk) -> None:
    answer = tool(rolodex.acme, "manage").post(f"accounts/{rolodex.account().code}/authorize/")
    assert set(answer.json()) == {"url", "expires_at"}
    assert answer.json()["expires_at"].endswith("Z")
    assert query(answer.json()["url"])["redirect_uri"] == BACK
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_call_takes_no_input(rolodex: Desk) -> None:
    answer = tool(rolodex.acme, "manage").post(
        f"accounts/{rolodex.account().code}/authorize/", {"redirect_uri": "https://evil.example/"}
    )
    assert answer.status_code == 400
    assert not Authorization.objects.exists()


def test_the_call_is_refused_where_there_is_no_way(rolodex: Desk, settings: Any) -> None:
    agency = tool(rolodex.acme, "manage")
    plain = Account.objects.create(client=rolodex.acme, app="salesmate", label="CRM")
    answer = agency.post(f"accounts/{plain.code}/authorize/")
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "Salesmate has no page for this. Enter its credentials in the account.",
    )
    settings.GOOGLE_CLIENT_SECRET = ""
    answer = agency.post(f"accounts/{rolodex.account().code}/authorize/")
    assert answer.status_code == 409
    assert "no OAuth client at Rolodex" in answer.json()["detail"]


def test_an_address_is_not_kept_for_a_repetition(rolodex: Desk) -> None:
    """It works for ten minutes, and whoever has it may come back."""
    agency, path = tool(rolodex.acme, "manage"), f"accounts/{rolodex.account().code}/authorize/"
    first, second = (agency.post(path, **{"Idempotency-Key": "once"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    state = query(first.json()["url"])["state"]
    assert state != query(second.json()["url"])["state"]
    assert [name for name, rows in tables().items() if state in rows] == []


def test_an_account_tells_that_it_waits(rolodex: Desk) -> None:
    body = {"app": "rolodex", "label": "Anna's", "settings": {}, "credentials": {}}
    answer = tool(rolodex.acme, "manage").post("accounts/", body)
    assert (answer.status_code, answer.json()["status"]) == (201, "needs_authorization")
    assert "Authorise the account on Rolodex's own page" in answer.json()["status_text"]
    half = {**body, "label": "x", "credentials": {"client_id": "half"}}
    assert list(tool(rolodex.acme, "manage").post("accounts/", half).json()["errors"]) == ["client_secret"]


def test_a_renewal_is_no_other_version_of_the_account(rolodex: Desk) -> None:
    account = rolodex.account()
    Browser().get(rolodex.server.person_allows(link(account)))
    reader = tool(rolodex.acme, "read")
    before = reader.get(f"accounts/{account.code}/").headers["ETag"]
    rolodex.server.end_access()
    account.refresh_from_db()
    services.check_account(account, "anna")
    assert rolodex.refreshes() == [200]
    assert reader.get(f"accounts/{account.code}/").headers["ETag"] == before


# Nothing secret anywhere


class Heard(Tool):
    """Remembers all that was answered."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.heard: list[str] = []

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = super().call(method, path, body, **headers)
        self.heard.append(f"{answer.headers}\n{answer.content.decode()}")
        return answer


def secrets_of(rolodex: Desk, ways: list[str], backs: list[str]) -> list[str]:
    """All that was ever secret on the ways there and back, whatever has become of it."""
    found = [OWN["client_secret"], rolodex.server.client_secret]
    found += [query(way)["state"] for way in ways] + [query(back)["code"] for back in backs]
    found += [row.secrets["verifier"] for row in Authorization.objects.all()]
    found += [grant.refresh_token for grant in rolodex.server.grants] + rolodex.server.given
    return [secret for secret in found if secret != ""]


def test_the_whole_way_leaves_no_secret_behind(
    rolodex: Desk, anna: Browser, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    account, other = rolodex.account(), rolodex.account(OWN, label="By a tool")
    rolodex.server.levers.rotate = True
    ways = [press(anna, account)]
    backs = [rolodex.server.person_allows(ways[0])]
    pages: list[Any] = [anna.get(backs[0], follow=True), anna.get(backs[0], follow=True)]
    rolodex.server.client_id, rolodex.server.client_secret = OWN["client_id"], OWN["client_secret"]
    agency = Heard(tool(None).key)
    ways.append(agency.post(f"accounts/{other.code}/authorize/").json()["url"])
    agency.heard.clear()
    backs.append(rolodex.server.person_allows(ways[1], user="ben"))
    pages += [Browser().get(backs[1]), Browser().get(backs[1])]
    rolodex.server.end_access()
    agency.post(f"accounts/{other.code}/check/")
    rolodex.server.person_withdraws("ben")
    agency.post(f"accounts/{other.code}/check/")
    rolodex.server.levers.refused = [500]
    ways.append(press(anna, other))
    backs.append(rolodex.server.person_allows(ways[2], user="ben"))
    pages += [anna.get(backs[2], follow=True)]
    page: Any = anna.get(url("account", other))
    pages += [page, anna.post(url("account", other), {**filled(page), **OWN}, follow=True)]
    agency.get(f"accounts/{other.code}/")
    agency.get("accounts/")
    pages += [anna.get(address, follow=True) for address in addresses()]
    out = StringIO()
    call_command("dumpdata", exclude=["connections.Credential", "connections.Authorization"], stdout=out)
    canaries = secrets_of(rolodex, ways, backs)
    assert len(canaries) > 12
    shown = {f"page {number}": text_of(page) for number, page in enumerate(pages)}
    shown |= {f"answer {number}": text for number, text in enumerate(agency.heard)}
    formatter = logging.Formatter("%(levelname)s %(name)s: %(message)s")
    shown |= {
        "log": "\n".join(formatter.format(record) for record in caplog.records),
        "dump": out.getvalue(),
        **tables(),
    }
    assert "account.failed" in shown["syncer_synclog"]
    held = {name: [secret for secret in canaries if secret in shown[name]] for name in shown}
    assert {name: secrets for name, secrets in held.items() if secrets} == {}
    assert all(secret not in repr(Credential.objects.all()[0].secrets) for secret in canaries)
