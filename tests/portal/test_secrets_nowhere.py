"""A secret that somebody types is in the encrypted column and nowhere else: no page, no log, no table, no dump."""

import base64
import json
import logging
import queue
import sys
from collections.abc import Iterator
from io import StringIO
from multiprocessing import Value
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.apps import apps
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection as database
from django.test import Client as Browser
from django.views.debug import ExceptionReporter
from django_q.models import OrmQ, Task
from django_q.monitor import monitor
from django_q.worker import worker

from connections import services
from connections.models import Account, Connection, Credential
from connections.secrets import SecretUnreadable
from portal.clock import SYSTEM
from syncer.models import SyncLog
from syncer.tasks import enqueue, run_connection, tick
from tests.connections.office import ANNA, Office, filled, office, problems, url
from tests.contract.carddav import vcard
from tests.contract.radicale import USERS
from tests.contract.salesmate import KEYS

pytestmark = pytest.mark.django_db
WRONG = "wr0ng-k3y-canary"
CANARIES = (*KEYS.values(), USERS["alice"], WRONG)
LOGINS = tuple(base64.b64encode(f"alice:{secret}".encode()).decode().rstrip("=") for secret in (USERS["alice"], WRONG))
SPELLINGS = {*CANARIES, *map(quote, CANARIES), *LOGINS}
CLOSED = "http://127.0.0.1:9"
SALESMATE = {"app": "salesmate", "label": "Acme Salesmate", "subdomain": "acme", **KEYS, "api_share": "80"}


@pytest.fixture
def acme(db: None, tmp_path: Path, settings: Any) -> Iterator[Office]:
    with office(tmp_path, settings) as found:
        yield found


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The most that LOG_LEVEL can ask for."""
    caplog.set_level(logging.DEBUG)


def held_by(text: str) -> list[str]:
    return sorted(secret for secret in SPELLINGS if secret in text)


def assert_nothing_was_logged(caplog: pytest.LogCaptureFixture) -> None:
    formatter = logging.Formatter("%(levelname)s %(name)s: %(message)s")
    assert held_by("\n".join(formatter.format(record) for record in caplog.records)) == []


def tables() -> dict[str, str]:
    """All there is in the database, as text by table."""
    found = {}
    with database.cursor() as cursor:
        for name in database.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {database.ops.quote_name(name)}")
            found[name] = "\n".join(plain(cell) for row in cursor.fetchall() for cell in row)
    found["sessions, decoded"] = repr([session.get_decoded() for session in Session.objects.all()])
    found["queue, decoded"] = repr([row.task for row in OrmQ.objects.all()])
    found["tasks, decoded"] = repr(list(Task.objects.values()))
    return found


def plain(cell: object) -> str:
    return bytes(cell).decode("latin-1") if isinstance(cell, bytes | memoryview) else str(cell)


def assert_no_table_holds_a_secret() -> None:
    assert {name: held_by(text) for name, text in tables().items() if held_by(text)} == {}


def addresses() -> list[str]:
    """The pages of all that is there."""
    found = ["/admin/", "/readyz", "/healthz"]
    for model in apps.get_models():
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        found += [base, f"{base}add/"]
        for pk in model._default_manager.values_list("pk", flat=True)[:2]:
            found += [f"{base}{quote(str(pk), safe='')}/{what}/" for what in ("change", "history", "delete")]
    return found


def assert_no_page_holds_a_secret(browser: Browser) -> None:
    seen = 0
    for address in addresses():
        page = browser.get(address, follow=True)
        seen += page.status_code == 200
        assert held_by(page.content.decode()) == [], address
    assert seen > 20


def synced(acme: Office) -> Connection:
    connection = acme.connection(review="never")
    services.activate(connection, ANNA)
    acme.radicale.place("alice", "ada", vcard("ada", "EMAIL:ada@example.com"))
    run_connection(connection.pk)
    return connection


def test_the_whole_way_of_a_connection_leaves_no_secret_behind(acme: Office, caplog: pytest.LogCaptureFixture) -> None:
    """Forms, checks, a sync, edits of the account, its deletion."""
    page = acme.browser.post(url("account"), {**SALESMATE, "client": acme.acme.pk}, follow=True)
    assert held_by(page.content.decode()) == []
    page = acme.browser.post(url("account", Account.objects.get(), "delete"), {"post": "yes"}, follow=True)
    assert not Account.objects.exists()
    connection = synced(acme)
    assert SyncLog.objects.filter(kind="write.result").exists()
    account = connection.right_account
    page = acme.browser.get(url("account", account))
    page = acme.browser.post(url("account", account), {**filled(page), **KEYS}, follow=True)
    assert held_by(page.content.decode()) == []
    assert_no_page_holds_a_secret(acme.browser)
    assert_no_table_holds_a_secret()
    assert_nothing_was_logged(caplog)


@pytest.mark.parametrize("name", ["access_key", "secret_key", "session_key"])
def test_a_form_that_is_refused_gives_no_secret_back(acme: Office, name: str) -> None:
    for wrong in ({"label": ""}, {"subdomain": "acme.example.com/evil"}, {"client": "99999"}, {"api_share": "0"}):
        sent = {**SALESMATE, "client": acme.acme.pk, name: WRONG, **wrong}
        page = acme.browser.post(url("account"), sent)
        assert page.status_code == 200
        assert held_by(page.content.decode()) == [], wrong


@pytest.mark.parametrize("trouble", ["wrong key", "closed port", "web page", "limit", "drop"])
def test_a_check_that_fails_says_why_without_a_secret(
    acme: Office, settings: Any, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    key = WRONG if trouble == "wrong key" else KEYS["session_key"]
    kinds = {"web page": "html_200", "limit": "limit", "drop": "drop_before"}
    if trouble == "closed port":
        settings.SALESMATE_URL = CLOSED
    elif trouble in kinds:
        acme.salesmate.app.fault(kinds[trouble], times=9)
    sent = {**SALESMATE, "client": acme.acme.pk, "session_key": key}
    page = acme.browser.post(url("account"), sent, follow=True)
    account = Account.objects.get()
    assert account.status_text != ""
    assert held_by(page.content.decode() + account.status_text) == []
    assert_no_table_holds_a_secret()
    assert_nothing_was_logged(caplog)


@pytest.mark.parametrize("url_of_server", ["http://alice:{}@127.0.0.1:9/", "http://127.0.0.1:9/?password={}"])
def test_a_secret_typed_into_an_address_is_refused_and_not_kept(acme: Office, url_of_server: str) -> None:
    sent = {
        "app": "carddav",
        "label": "Cards",
        "client": acme.acme.pk,
        "url": url_of_server.format(WRONG),
        "username": "alice",
        "password": WRONG,
        "api_share": "80",
    }
    page = acme.browser.post(url("account"), sent, follow=True)
    assert problems(page) == ["Leave the user name and the password out of the address: they have their own fields."]
    assert not Account.objects.exists()
    assert_no_table_holds_a_secret()


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_sync_that_fails_says_why_without_a_secret(acme: Office, caplog: pytest.LogCaptureFixture, side: str) -> None:
    connection = synced(acme)
    account = connection.left_account if side == "left" else connection.right_account
    name = "password" if side == "left" else "session_key"
    services.update_account(account, ANNA, credentials={name: WRONG})
    Account.objects.update(status="connected")
    assert run_connection(connection.pk) in ("failed", "attention")
    account.refresh_from_db()
    assert account.status == "needs_authorization"
    assert_no_page_holds_a_secret(acme.browser)
    assert_no_table_holds_a_secret()
    assert_nothing_was_logged(caplog)


def work_the_queue() -> None:
    """What a cluster does with the tasks that wait, in this process; the tasks stay in the queue's table too."""
    for row in OrmQ.objects.all():
        tasks: Any = queue.Queue()
        results: Any = queue.Queue()
        tasks.put(row.task)
        tasks.put("STOP")
        worker(tasks, results, Value("f", -1))
        results.put("STOP")
        monitor(results)


@pytest.mark.django_db(transaction=True)
def test_the_queue_s_tables_hold_ids_and_no_secret(acme: Office, caplog: pytest.LogCaptureFixture) -> None:
    connection = synced(acme)
    Connection.objects.update(next_run_at=SYSTEM.now())
    assert tick() == 1
    work_the_queue()
    Account.objects.filter(pk=connection.right_account_id).update(app="fax")
    enqueue(connection.pk)
    work_the_queue()
    failed = Task.objects.filter(success=False).first()
    assert failed is not None
    assert "KeyError" in failed.result, "a crash leaves its traceback"
    assert OrmQ.objects.exists()
    assert_no_table_holds_a_secret()
    assert_no_page_holds_a_secret(acme.browser)
    assert_nothing_was_logged(caplog)


def test_an_error_500_shows_and_logs_no_secret(acme: Office, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.FIELD_ENCRYPTION_KEYS = []
    browser = Browser(raise_request_exception=False)
    browser.cookies = acme.browser.cookies
    answer = browser.post(url("account"), {**SALESMATE, "client": acme.acme.pk})
    assert answer.status_code == 500
    assert held_by(answer.content.decode()) == []
    assert any(record.exc_info for record in caplog.records), "the traceback is in the log"
    assert_nothing_was_logged(caplog)


def test_no_dump_holds_a_secret(acme: Office) -> None:
    synced(acme)
    out = StringIO()
    call_command("dumpdata", exclude=["connections.Credential"], stdout=out)
    assert held_by(out.getvalue()) == []
    assert held_by(json.dumps([repr(one) for one in Credential.objects.all()])) == []


# A credential is bound to its account


def copied(acme: Office) -> tuple[Account, Account]:
    """Alice's encrypted password, copied in the database into the row of Bob's account."""
    alice, bob = acme.carddav_account(), acme.carddav_account(user="bob", label="Bob")
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE connections_credential SET secrets = "
            "(SELECT secrets FROM connections_credential WHERE account_id = %s) WHERE account_id = %s",
            [alice.pk, bob.pk],
        )
    return alice, bob


def test_a_ciphertext_copied_to_another_account_opens_nothing(acme: Office) -> None:
    alice, bob = copied(acme)
    acme.radicale.requests.clear()
    with pytest.raises(SecretUnreadable, match="Bob were written for another account") as caught:
        services.connector_of(bob)
    assert held_by(str(caught.value)) == []
    page = acme.browser.post(url("account", bob, "act/check"), follow=True)
    assert "written for another account" in page.content.decode()
    assert acme.radicale.requests == [], "the password was not sent anywhere"
    assert services.connector_of(alice).check().key


def test_a_row_moved_to_another_account_opens_nothing(acme: Office) -> None:
    alice, bob = acme.carddav_account(), acme.carddav_account(user="bob", label="Bob")
    Credential.objects.filter(account=bob).delete()
    Credential.objects.filter(account=alice).update(account=bob)
    with pytest.raises(SecretUnreadable):
        services.connector_of(bob)


def test_the_way_out_is_to_enter_the_credentials_again(acme: Office) -> None:
    _, bob = copied(acme)
    services.update_account(bob, ANNA, credentials={"password": USERS["bob"]})
    assert services.check_account(bob, ANNA).key
    assert services.connector_of(bob)


def test_a_new_key_leaves_the_binding_as_it_is(acme: Office, settings: Any) -> None:
    """As docs/operations.md says: written again, one by one."""
    account = acme.carddav_account()
    settings.FIELD_ENCRYPTION_KEYS = [base64.urlsafe_b64encode(b"7" * 32).decode(), *settings.FIELD_ENCRYPTION_KEYS]
    for credential in Credential.objects.all():
        credential.save()
    settings.FIELD_ENCRYPTION_KEYS = settings.FIELD_ENCRYPTION_KEYS[:1]
    assert Credential.of(account) == {"password": USERS["alice"]}


def test_stored_secrets_do_not_go_along_to_another_address(acme: Office) -> None:
    """Else whoever may edit an account could have its password sent to a server of their own."""
    account = acme.carddav_account()
    acme.radicale.requests.clear()
    sent = filled(acme.browser.get(url("account", account)))
    for change in ({"url": "http://127.0.0.1:9/evil/"}, {"username": "mallory"}):
        page = acme.browser.post(url("account", account), {**sent, **change})
        assert problems(page) == ["Enter it again: it was meant for what this account pointed at before."]
    account.refresh_from_db()
    assert (account.settings["username"], account.status) == ("alice", "connected")
    assert acme.radicale.requests == []
    moved = {**sent, "url": acme.radicale.url + "alice/", "password": USERS["alice"]}
    assert acme.browser.post(url("account", account), moved).status_code == 302
    account.refresh_from_db()
    assert account.status == "connected"


@pytest.mark.parametrize("debug", [True, False])
def test_a_report_of_a_crash_shows_nothing_that_was_typed(rf: Any, settings: Any, debug: bool) -> None:
    settings.DEBUG = debug
    request = rf.post("/admin/connections/account/add/", SALESMATE)
    try:
        typed = dict(SALESMATE)
        raise RuntimeError(f"{len(typed)} inputs")
    except RuntimeError:
        reporter = ExceptionReporter(request, *sys.exc_info())
    assert held_by(reporter.get_traceback_html() + reporter.get_traceback_text()) == []
