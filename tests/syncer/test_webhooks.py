"""Apps call us: a webhook is made where it is wanted, removed where it is not, and a call only asks for a reading."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from django.contrib.auth.models import User
from django.forms.models import model_to_dict
from django.test import Client as Browser
from django_q.models import OrmQ

from connections import services
from connections.admin.base import page_of
from connections.models import Account, Connection, Membership
from portal.clock import SYSTEM
from sandbox.mailchimp.calling import AtOnce
from sandbox.mailchimp.hooks import signature
from syncer import webhooks
from syncer.connectors.base import Connector, Hook, Meter
from syncer.engine.run import Outcome
from syncer.models import Book, Delivery, Link, Record, SyncLog, SyncRun, Webhook
from syncer.models.webhook import QUIET
from syncer.tasks import RUN, TEND, schedule_next, tick
from syncer.webhooks import State, survey, tend
from tests.engine.floor import Floor, floor, person
from tests.engine.real import ANNA

pytestmark = pytest.mark.django_db
PORTAL = "https://sync.agency.example"
FORM = "application/x-www-form-urlencoded"
LIST = "a36b032126"


def to_portal(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The app asks the portal. (A question from the app's own thread sees none of a test's transaction.)"""
    if method == "GET":
        return 200
    named = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items() if name != "Content-Type"}
    return Browser().post(urlsplit(url).path, body, content_type=FORM, **named).status_code  # type: ignore[arg-type]


@pytest.fixture
def found(tmp_path: Path, settings: Any) -> Iterator[Floor]:
    """Mailchimp and Salesmate, today: the page that is called goes by the real clock."""
    settings.PORTAL_URL = PORTAL
    with floor(tmp_path, "mailchimp", "salesmate") as made:
        made.clock.time = SYSTEM.now()
        made.sides["mailchimp"].audience.calls = AtOnce(to_portal)
        yield made


@pytest.fixture
def synced(found: Floor) -> Connection:
    """In sync, and next due in an hour."""
    connection = found.connection("mailchimp", "salesmate", sync_unsubscribes="to_right", interval=3600)
    found.sides["mailchimp"].creates(person(1))
    found.settle(connection)
    found.clock.time = SYSTEM.now()
    rest(connection)
    return connection


def rest(connection: Connection) -> None:
    Connection.objects.filter(pk=connection.pk).update(next_run_at=SYSTEM.now() + timedelta(hours=1))
    Book.objects.update(pull_wanted=False)
    OrmQ.objects.all().delete()


def listening(found: Floor) -> Webhook:
    tend_all(found)
    return Webhook.objects.select_related("book").get(state=State.LISTENING)


def tend_all(found: Floor) -> list[str]:
    found.clock.time = max(found.clock.now(), SYSTEM.now())
    return [tend(pk, found.clock, found.connect_to) for pk in survey(found.clock.now())]


def hooks(found: Floor) -> list[dict[str, Any]]:
    return list(found.sides["mailchimp"].audience.hooks.values())


def address(found: Floor) -> str:
    return urlsplit(str(hooks(found)[0]["url"])).path


def call(found: Floor, told: Mapping[str, str] | None = None, sign: bool = True) -> int:
    """A delivery, as Mailchimp sends it; `told` in place of what it says."""
    what = {
        "type": "profile",
        "fired_at": "2026-12-01 10:00:00",
        "data[id]": "1",
        "data[list_id]": LIST,
        **(told or {}),
    }
    body = urlencode(what).encode()
    return raw(found, body, sign)


def raw(found: Floor, body: bytes, sign: bool = True) -> int:
    stamp = int(SYSTEM.now().timestamp())
    signed = signature(hooks(found)[0]["secret"], stamp, body).get("X-Mailchimp-Signature", "") if sign else ""
    headers = {"HTTP_X_MAILCHIMP_SIGNATURE": signed} if signed else {}
    browser = Browser(enforce_csrf_checks=True)
    return browser.post(address(found), body, content_type=FORM, **headers).status_code  # type: ignore[arg-type]


def queued(func: str = RUN) -> int:
    return sum(row.task["func"] == func for row in OrmQ.objects.all())


def woken() -> bool:
    return Book.objects.filter(pull_wanted=True, remote_id=LIST).exists()


# Made and removed


def test_a_webhook_is_made_for_the_book_of_an_active_connection_and_only_once(found: Floor, synced: Connection) -> None:
    tick()
    assert queued(TEND) == 1
    assert tend_all(found) == ["made"]
    (hook,) = hooks(found)
    assert hook["url"].startswith(f"{PORTAL}/hooks/mailchimp/")
    assert hook["sources"] == {"user": True, "admin": True, "api": False}
    assert [name for name, on in hook["events"].items() if on] == list(hook["events"])[:5]
    assert (tend_all(found), len(hooks(found))) == ([], 1)
    assert SyncLog.objects.get(kind="book.webhook_made").chain.name == "portal"


def test_no_secret_of_a_webhook_stands_in_the_database_or_in_the_history(found: Floor, synced: Connection) -> None:
    webhook = listening(found)
    (hook,) = hooks(found)
    secrets = (hook["secret"], hook["url"].rstrip("/").rpartition("/")[2])
    kept = webhooks.secret_of(webhook)
    assert (kept["signing"], kept["url"]) == secrets
    text = str(model_to_dict(webhook)) + str(list(SyncLog.objects.values_list("header", "payload")))
    assert not [secret for secret in secrets if secret in text]


def test_the_address_answers_before_the_app_is_told_of_it(found: Floor, synced: Connection) -> None:
    asked = []

    def connect(account: Account, meter: Meter | None = None) -> Connector:
        connector: Any = found.connect_to(account, meter)
        listen = connector.listen

        def first_asked(book: str, url: str) -> Hook:
            asked.append(Browser().get(urlsplit(url).path).status_code)
            made: Hook = listen(book, url)
            return made

        connector.listen = first_asked
        return connector  # type: ignore[no-any-return]

    assert [tend(pk, found.clock, connect) for pk in survey(found.clock.now())] == ["made"]
    assert asked == [200]


def test_a_draft_a_portal_without_an_address_and_a_private_one_have_no_webhook(found: Floor, settings: Any) -> None:
    connection = found.connection("mailchimp", "salesmate")
    found.settle(connection)
    Connection.objects.update(state=Connection.State.DRAFT)
    assert survey(found.clock.now()) == []
    Connection.objects.update(state=Connection.State.PAUSED)
    settings.ALLOW_PRIVATE_HOSTS = False
    for url in (
        "",
        "http://sync.agency.example",
        "https://localhost",
        "https://10.0.0.7",
        "https://[::1]:8000",
        "ftp:",
    ):
        settings.PORTAL_URL = url
        assert survey(found.clock.now()) == [], url
        (said,) = webhooks.words(Book.objects.get(remote_id=LIST))
        assert "PORTAL_URL" in str(said[1]) and "next interval" in str(said[1])
    settings.PORTAL_URL = PORTAL
    assert len(survey(found.clock.now())) == 1


@pytest.mark.parametrize("end", ["deleted", "draft", "disabled", "moved"])
def test_a_webhook_is_removed_where_nobody_needs_it_any_more(
    found: Floor, synced: Connection, settings: Any, end: str
) -> None:
    listening(found)
    first = address(found)
    match end:
        case "deleted":
            services.delete_connection(synced, ANNA, found.clock)
        case "draft":
            Connection.objects.update(state=Connection.State.DRAFT)
        case "disabled":
            Account.objects.filter(app="mailchimp").update(status=Account.Status.DISABLED)
        case "moved":
            settings.PORTAL_URL = "https://elsewhere.agency.example"
    assert tend_all(found) == ["removed"]
    assert (hooks(found), Webhook.objects.count()) == ([], 0)
    assert Browser().get(first).status_code == 404
    assert SyncLog.objects.filter(kind="book.webhook_removed").count() == 1
    assert tend_all(found) == (["made"] if end == "moved" else [])


def test_a_webhook_that_the_app_has_removed_itself_is_removed_all_the_same(found: Floor, synced: Connection) -> None:
    listening(found)
    found.sides["mailchimp"].audience.hooks.clear()
    services.delete_connection(synced, ANNA, found.clock)
    assert (tend_all(found), Webhook.objects.count()) == (["removed"], 0)


def test_a_failure_is_told_in_words_and_tried_again_and_the_sync_goes_on(found: Floor, synced: Connection) -> None:
    found.sides["mailchimp"].app.fault("busy_429", "POST", "/webhooks")
    assert tend_all(found) == ["failed"]
    (problem,) = webhooks.problems(Book.objects.filter(remote_id=LIST))
    assert "cannot be made" in problem and "at the interval" in problem
    assert tend_all(found) == []
    assert found.sync(synced).status == "quiet"
    found.clock.forward(300)
    assert tend_all(found) == ["made"]
    assert webhooks.problems(Book.objects.all()) == []


def test_an_answer_that_was_lost_leaves_one_webhook(found: Floor, synced: Connection) -> None:
    found.sides["mailchimp"].app.fault("drop_after", "POST", "/webhooks")
    assert tend_all(found) == ["failed"]
    assert len(hooks(found)) == 1
    found.clock.forward(300)
    assert tend_all(found) == ["made"]
    assert len(hooks(found)) == 1
    assert call(found) == 200


def test_wanted_again_while_its_removal_broke_off_it_is_made_anew(found: Floor, synced: Connection) -> None:
    listening(found)
    mailchimp = Account.objects.filter(app="mailchimp")
    mailchimp.update(status=Account.Status.DISABLED)
    found.sides["mailchimp"].app.fault("drop_after", "DELETE", "/webhooks")
    assert (tend_all(found), hooks(found)) == (["failed"], [])
    (problem,) = webhooks.problems(Book.objects.all())
    assert "cannot be removed" in problem
    mailchimp.update(status=Account.Status.CONNECTED)
    assert (tend_all(found), len(hooks(found))) == (["made"], 1)
    assert (call(found), woken()) == (200, True)


def test_the_pages_say_how_it_stands_and_show_no_secret(found: Floor, synced: Connection, settings: Any) -> None:
    administrator = Browser()
    administrator.force_login(User.objects.create_superuser("anna"))
    book = Book.objects.get(remote_id=LIST)
    pages = [page_of(book), page_of(book.account)]
    assert all("no app can call" not in text for text in shown(administrator, pages))
    webhook = listening(found)
    assert call(found) == 200
    for text in shown(administrator, pages):
        assert "listening" in text.lower()
        assert not [secret for secret in webhooks.secret_of(webhook).values() if secret in text]
    assert "Calls of the app that counted" in shown(administrator, pages)[0]
    Webhook.objects.update(problem="The app is busy.")
    texts = shown(administrator, [*pages, page_of(synced)])
    assert ["The app is busy." in text for text in texts] == [True] * 3
    settings.PORTAL_URL = ""
    assert "PORTAL_URL is not set" in shown(administrator, pages)[1]
    assert "Webhook" not in shown(administrator, [page_of(synced.right_account)])[0]


def shown(browser: Browser, pages: list[str]) -> list[str]:
    return [browser.get(page).content.decode() for page in pages]


# Calls


def test_what_people_do_in_the_app_wakes_the_connection_and_our_own_writes_do_not(
    found: Floor, synced: Connection
) -> None:
    listening(found)
    rest(synced)
    found.sides["salesmate"].edits("p1@x.example", given="Grace")
    found.sync(synced)
    assert (woken(), queued()) == (False, 0)
    found.sides["mailchimp"].audience.person_unsubscribes("p1@x.example")
    assert (woken(), queued()) == (True, 1)
    found.sync(synced)
    assert not woken()
    assert [row["tags"] for row in found.sides["salesmate"].rows()] == ["PieSync Unsubscribes"]


def test_a_delivery_that_comes_again_counts_once(found: Floor, synced: Connection) -> None:
    webhook = listening(found)
    assert (call(found), woken()) == (200, True)
    rest(synced)
    assert [call(found) for _ in range(3)] == [200] * 3
    assert (woken(), queued()) == (False, 0)
    webhook.refresh_from_db()
    assert (webhook.heard_count, Delivery.objects.count()) == (1, 1)
    webhooks.forget_deliveries(SYSTEM.now() + webhooks.KEPT + timedelta(seconds=1))
    assert Delivery.objects.count() == 0


def test_a_flood_wakes_once_and_fills_no_table(found: Floor, synced: Connection, monkeypatch: Any) -> None:
    monkeypatch.setattr("syncer.hearing.MOST_REMEMBERED", 5)
    listening(found)
    for number in range(20):
        assert call(found, {"data[id]": str(number)}) == 200
    assert (queued(), Delivery.objects.count()) == (1, 5)


def test_a_call_after_a_run_has_read_is_not_lost(found: Floor, synced: Connection) -> None:
    listening(found)
    assert call(found) == 200
    schedule_next(synced.pk, Outcome("quiet"), SYSTEM.now(), found.worker)
    synced.refresh_from_db()
    assert synced.next_run_at is not None and synced.next_run_at <= SYSTEM.now() + QUIET
    found.sync(synced)
    schedule_next(synced.pk, Outcome("quiet"), SYSTEM.now(), found.worker)
    synced.refresh_from_db()
    assert synced.next_run_at > SYSTEM.now() + timedelta(minutes=50)


@pytest.mark.parametrize("method", ["get", "post", "put"])
def test_a_wrong_secret_is_not_found(found: Floor, synced: Connection, method: str) -> None:
    listening(found)
    right = address(found)
    assert Browser().get(right).status_code == 200
    ask = getattr(Browser(), method)
    for path in (right[:-2] + "x/", "/hooks/mailchimp/x/", right.replace("mailchimp", "salesmate")):
        assert ask(path).status_code == 404, path
    assert not woken()


def test_who_guesses_secrets_is_stopped_and_the_app_is_not(found: Floor, synced: Connection) -> None:
    listening(found)
    answers = [Browser().get("/hooks/mailchimp/guess/").status_code for _ in range(40)]
    assert set(answers) == {404, 429}
    assert call(found) == 200


def test_a_signature_that_does_not_fit_is_refused_and_wakes_nobody(found: Floor, synced: Connection) -> None:
    listening(found)
    assert call(found, sign=False) == 403
    body = urlencode({"type": "profile", "data[list_id]": LIST}).encode()
    stamp = int(SYSTEM.now().timestamp())
    secret = hooks(found)[0]["secret"]
    old, other = signature(secret, stamp - 301, body), signature("another", stamp, body)
    changed = signature(secret, stamp, body + b"&a=b")
    for header in [*(one["X-Mailchimp-Signature"] for one in (old, other, changed)), "", "t=,v1=", "t=9,v1=é", "v1"]:
        answer = Browser().post(address(found), body, content_type=FORM, HTTP_X_MAILCHIMP_SIGNATURE=header)
        assert answer.status_code == 403, header
    assert (woken(), Delivery.objects.count()) == (False, 0)
    right = signature(secret, stamp, body)["X-Mailchimp-Signature"].partition(",")[2]
    rotated = f"t={stamp},v1=00,{right}"
    answer = Browser().post(address(found), body, content_type=FORM, HTTP_X_MAILCHIMP_SIGNATURE=rotated)
    assert (answer.status_code, woken()) == (200, True)


def test_an_app_that_signs_nothing_is_heard_by_its_secret_address(found: Floor, synced: Connection) -> None:
    found.sides["mailchimp"].app.levers.signed = False
    listening(found)
    assert (call(found, sign=False), woken()) == (200, True)


HOSTILE = (
    b"",
    b"\xff\xfe\x00",
    b"type=profile",
    b"type=profile&data[list_id]=another",
    b"type=nonsense&data[list_id]=a36b032126",
    b"type=profile&data[list_id]=" + b"a" * 5000,
    b"&".join(b"a%d=1" % n for n in range(2000)),
    b"type=profile&data[list_id]=a36b032126'%20OR%201=1",
    b'{"type": "profile"}',
)


@pytest.mark.proves("E2 webhooks")
@pytest.mark.parametrize("body", HOSTILE)
def test_a_hostile_call_changes_nothing(found: Floor, synced: Connection, body: bytes) -> None:
    listening(found)
    before = everything()
    assert raw(found, body) == 400
    assert (woken(), everything()) == (False, before)


def test_a_fit_call_with_hostile_words_only_asks_for_a_reading(found: Floor, synced: Connection, caplog: Any) -> None:
    listening(found)
    before = everything()
    told = {
        "type": "unsubscribe",
        "data[email]": "p1@x.example",
        "data[merges][FNAME]": "Mallory\n",
        "data[id]": "Mal'",
    }
    assert call(found, told) == 200
    assert woken()
    Book.objects.update(pull_wanted=False)
    assert everything() == before
    assert "Mal" not in caplog.text + str(list(Delivery.objects.values()))


def test_too_long_a_call_is_not_read(found: Floor, synced: Connection) -> None:
    listening(found)
    assert raw(found, b"a" * (256 * 1024 + 1)) == 413


def everything() -> list[Any]:
    """What a call must not change."""
    tables = (Book, Record, Link, SyncRun, SyncLog, Account, Membership)
    return [list(table._default_manager.order_by("pk").values()) for table in tables]
