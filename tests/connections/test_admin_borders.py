"""Each sees and changes what belongs to their client and their role, and no page holds a secret."""

import json
from typing import Any

import pytest
from django.test import Client as Browser

from connections.models import Account, Client, Connection, Membership
from syncer.models import SyncLog
from tests.connections.office import SECRETS, Office, at_desk, connection_sent, kinds, members, staff, url
from tests.contract.salesmate import KEYS

pytestmark = pytest.mark.django_db
SALESMATE = {"app": "salesmate", "label": "Acme Salesmate", "subdomain": "acme", **KEYS, "api_share": "80"}


OWN = ("client", "account", "connection", "fieldmapping", "rule")


def things(connection: Connection) -> dict[str, Any]:
    return {
        "client": connection.client,
        "account": connection.left_account,
        "connection": connection,
        "fieldmapping": connection.mappings.first(),
        "rule": connection.rules.first(),
    }


def test_staff_of_another_client_see_and_change_nothing(acme: Office) -> None:
    connection = acme.connection()
    globex = Client.objects.create(name="Globex", slug="globex")
    bob = at_desk(staff("bob", (globex, "manager")))
    before = SyncLog.objects.count()
    for model, thing in things(connection).items():
        for what in ("change", "delete", "history"):
            assert bob.get(url(model, thing, what)).status_code in (302, 403, 404), (model, what)
        for what in ("change", "delete", "act/check", "act/activate"):
            assert bob.post(url(model, thing, what), {"post": "yes", "name": "x"}).status_code in (302, 403, 404)
        listed = bob.get(f"/admin/connections/{model}/").content.decode()
        assert "Acme" not in listed
        assert "Alice" not in listed
    for address in (
        f"fieldmapping/add/?connection={connection.pk}",
        f"rule/add/?connection={connection.pk}&source=left",
    ):
        assert bob.get(f"/admin/connections/{address}").status_code == 404
        assert bob.post(f"/admin/connections/{address}", {}).status_code == 404
    assert SyncLog.objects.count() == before


def test_nobody_can_post_another_client_s_account_into_their_own_connection(acme: Office) -> None:
    foreign = acme.salesmate_account()
    globex = Client.objects.create(name="Globex", slug="globex")
    own = acme.carddav_account(client=globex, user="bob", label="Bob")
    bob = at_desk(staff("bob", (globex, "manager")))
    page = bob.get(url("connection"))
    assert "Bob" in page.content.decode()
    assert "Acme" not in page.content.decode()
    for client in (globex, acme.acme):
        sent = {**connection_sent(acme, own, foreign), "client": client.pk, "left_book": "/bob/book/"}
        page = bob.post(url("connection"), sent)
        assert page.status_code == 200
        assert "Acme" not in page.content.decode()
    sent = {**SALESMATE, "client": acme.acme.pk}
    assert bob.post(url("account"), sent).status_code == 200
    assert not Connection.objects.exists()
    assert Account.objects.count() == 2


def test_an_auditor_looks_and_does_not_touch(acme: Office) -> None:
    connection = acme.connection()
    carol = at_desk(staff("carol", (acme.acme, "auditor")))
    for model, thing in things(connection).items():
        assert carol.get(url(model, thing)).status_code == 200, model
        assert carol.post(url(model, thing), {"name": "x"}).status_code == 403
        assert carol.post(url(model, thing, "delete"), {"post": "yes"}).status_code == 403
    assert carol.post(url("connection", connection, "act/activate")).status_code == 403
    assert carol.get(url("account")).status_code == 403


def test_a_manager_works_for_their_client_and_gives_no_roles(acme: Office) -> None:
    dan = staff("dan", (acme.acme, "manager"))
    desk = at_desk(dan)
    answer = desk.post(url("account"), {**SALESMATE, "client": acme.acme.pk})
    assert answer.status_code == 302
    assert kinds("dan") == ["config.changed", "account.authorised"]
    row = {"user": dan.pk, "role": "approver", "values": "full"}
    desk.post(url("client", acme.acme), {"name": "Acme", "slug": "acme", **members(row)})
    assert list(Membership.objects.values_list("role", flat=True)) == ["manager"]
    assert desk.post(url("client"), {"name": "x", "slug": "x", **members()}).status_code == 403
    assert desk.post(url("client", acme.acme, "delete"), {"post": "yes"}).status_code == 403


@pytest.mark.proves("I34")
def test_no_page_holds_a_secret(acme: Office) -> None:
    connection = acme.connection()
    pages = [f"/admin/connections/{model}/" for model in OWN] + ["/admin/", "/admin/syncer/synclog/"]
    for model, thing in things(connection).items():
        pages += [url(model, thing, what) for what in ("change", "delete", "history")]
    pages += [url("account", connection.right_account)]
    for address in pages:
        html = acme.browser.get(address, follow=True).content.decode()
        assert not any(secret in html for secret in SECRETS), address
    assert not any(secret in json.dumps(list(SyncLog.objects.values_list("header", "payload"))) for secret in SECRETS)


def test_an_app_s_inputs_do_not_hide_our_own() -> None:
    from connections.forms.account import AccountForm
    from syncer.connectors.registry import apps

    for app in apps():
        names = {one.name for one in (*app.settings, *app.credentials)}
        assert names.isdisjoint(AccountForm.base_fields)


def test_nothing_can_be_deleted_by_the_handful(acme: Office) -> None:
    account = acme.salesmate_account()
    for model in OWN:
        page = acme.browser.get(f"/admin/connections/{model}/")
        assert b'name="action"' not in page.content
    sent = {"action": "delete_selected", "_selected_action": account.pk, "post": "yes"}
    acme.browser.post("/admin/connections/account/", sent)
    assert Account.objects.filter(pk=account.pk).exists()


def test_a_post_from_elsewhere_is_refused(acme: Office) -> None:
    connection = acme.connection()
    browser = Browser(enforce_csrf_checks=True)
    browser.cookies = acme.browser.cookies
    assert browser.get(url("connection", connection)).status_code == 200
    for what in ("change", "delete", "act/activate"):
        assert browser.post(url("connection", connection, what), {"post": "yes"}).status_code == 403
    connection.refresh_from_db()
    assert connection.state == "draft"


def test_an_account_of_an_app_that_is_no_more_can_be_looked_at_and_deleted(acme: Office) -> None:
    connection = acme.connection()
    Account.objects.filter(pk=connection.right_account_id).update(app="fax")
    page = acme.browser.get(url("account", connection.right_account))
    assert "This version of Counterpart has no app called fax." in page.context["panel"].problems
    for model, thing in things(connection).items():
        assert acme.browser.get(url(model, thing)).status_code == 200
        assert acme.browser.get(f"/admin/connections/{model}/").status_code == 200
    assert acme.browser.post(url("connection", connection, "delete"), {"post": "yes"}).status_code == 302
    assert acme.browser.post(url("account", connection.right_account, "delete"), {"post": "yes"}).status_code == 302
    assert Account.objects.count() == 1
