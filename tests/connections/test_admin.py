"""Staff set connections up by the admin's forms, and every act stands in the audit trail."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from connections import services
from connections.models import Account, Client, Connection, Credential
from syncer.engine.guard import DEFAULT_LIMITS
from syncer.models import SyncLog
from tests.connections.office import ANNA, Office, connection_sent, filled, kinds, members, problems, said, url
from tests.contract.salesmate import KEYS

pytestmark = pytest.mark.django_db


SALESMATE = {"app": "salesmate", "label": "Acme Salesmate", "subdomain": "acme", **KEYS, "api_share": "80"}


# Clients


def test_a_client_is_added_with_its_members_and_changed_and_deleted(acme: Office) -> None:
    bob = User.objects.create_user("bob", is_staff=True)
    row = {"user": bob.pk, "role": "manager", "values": "masked"}
    sent = {"name": "Globex", "slug": "globex", **members(row)}
    assert acme.browser.post(url("client"), sent).status_code == 302
    globex = Client.objects.get(slug="globex")
    assert globex.memberships.get().user == bob
    assert kinds() == ["config.changed", "access.granted"]
    page = acme.browser.get(url("client", globex))
    sent = {**filled(page), "name": "Globex AG", "memberships-0-role": "auditor"}
    assert acme.browser.post(url("client", globex), sent).status_code == 302
    globex.refresh_from_db()
    assert (globex.name, globex.memberships.get().role) == ("Globex AG", "auditor")
    assert kinds()[2:] == ["config.changed", "access.revoked", "access.granted"]
    assert acme.browser.post(url("client", globex, "delete"), {"post": "yes"}).status_code == 302
    assert not Client.objects.filter(slug="globex").exists()
    assert kinds()[5:] == ["access.revoked", "config.changed"]


def test_a_client_with_accounts_is_not_deleted(acme: Office) -> None:
    acme.salesmate_account()
    page = acme.browser.post(url("client", acme.acme, "delete"), {"post": "yes"}, follow=True)
    assert said(page) == ["Acme still has 1 account. Delete those first, connections before accounts."]
    assert Client.objects.filter(pk=acme.acme.pk).exists()


def test_the_same_role_twice_is_refused(acme: Office) -> None:
    row = {"user": User.objects.get().pk, "role": "manager", "values": "masked"}
    page = acme.browser.post(url("client"), {"name": "Globex", "slug": "globex", **members(row, row)})
    assert page.status_code == 200
    assert not Client.objects.filter(slug="globex").exists()
    page = acme.browser.post(url("client"), {"name": "Other", "slug": "acme", **members()})
    assert problems(page) == ["Client with this Slug already exists."]


# Accounts


def test_the_app_is_chosen_first_and_then_asks_for_exactly_its_own_inputs(acme: Office) -> None:
    assert b"?app=salesmate" in acme.browser.get(url("account")).content
    page = acme.browser.get(url("account") + "?app=salesmate")
    form = page.context["adminform"].form
    asked = [name for name in form.fields if name not in ("client", "label", "api_share", "seen", "app")]
    assert asked == ["subdomain", "access_key", "secret_key", "session_key"]
    assert "The part before .salesmate.io in the address" in page.content.decode()
    assert page.content.count(b'type="password"') == 3
    page = acme.browser.get(url("account") + "?app=nonsense")
    assert said(page) == ["There is no such app. Choose one of these."]


def test_an_account_is_added_and_the_app_says_who_we_are(acme: Office) -> None:
    page = acme.browser.post(url("account") + "?app=salesmate", {**SALESMATE, "client": acme.acme.pk}, follow=True)
    account = Account.objects.get()
    assert (account.status, account.settings) == ("connected", {"subdomain": "acme"})
    assert Credential.of(Account.objects.get()) == KEYS
    assert any(text.startswith("Connected as") for text in said(page)), said(page)
    assert kinds() == ["config.changed", "account.authorised"]
    assert page.redirect_chain[-1][0] == url("account", account)


def test_a_wrong_key_keeps_the_account_and_says_why(acme: Office) -> None:
    sent = {**SALESMATE, "client": acme.acme.pk, "session_key": "wrong-canary"}
    page = acme.browser.post(url("account"), sent, follow=True)
    account = Account.objects.get()
    assert account.status == "needs_authorization"
    assert any(text.startswith("Saved, but not connected:") for text in said(page))
    assert account.status_text in page.context["panel"].problems
    assert "wrong-canary" not in page.content.decode() + account.status_text
    page = acme.browser.post(url("account", account), {**filled(page), "session_key": KEYS["session_key"]}, follow=True)
    account.refresh_from_db()
    assert account.status == "connected", said(page)
    assert Credential.of(Account.objects.get()) == KEYS
    assert kinds() == ["config.changed", "account.failed", "config.changed", "account.authorised"]


def test_a_missing_input_is_asked_for_in_the_app_s_words(acme: Office) -> None:
    sent = {**SALESMATE, "client": acme.acme.pk, "session_key": "", "subdomain": "acme.example.com/evil"}
    page = acme.browser.post(url("account"), sent)
    assert any(text.startswith("Session key is missing.") for text in problems(page))
    page = acme.browser.post(url("account"), {**sent, "session_key": KEYS["session_key"]})
    assert page.context["adminform"].form.errors.keys() == {"subdomain"}
    assert not Account.objects.exists()
    assert not any(secret in page.content.decode() for secret in KEYS.values())


def test_an_account_is_checked_again_by_a_button(acme: Office) -> None:
    account = acme.salesmate_account()
    page = acme.browser.post(url("account", account, "act/check"), follow=True)
    assert said(page)[0].startswith("Connected as")
    assert acme.browser.get(url("account", account, "act/check")).status_code == 405


def test_a_new_name_needs_no_check_and_a_name_is_used_once(acme: Office) -> None:
    first, second = acme.salesmate_account(), acme.carddav_account()
    acme.salesmate.app.log.clear()
    page = acme.browser.get(url("account", first))
    assert acme.browser.post(url("account", first), {**filled(page), "label": "New name"}).status_code == 302
    first.refresh_from_db()
    assert (first.label, first.status) == ("New name", "connected")
    assert acme.salesmate.app.log == []
    page = acme.browser.get(url("account", second))
    page = acme.browser.post(url("account", second), {**filled(page), "label": "New name"})
    assert problems(page) == ["This client has an account of this name already. Choose another name."]


def test_an_account_in_use_is_not_deleted(acme: Office) -> None:
    connection = acme.connection()
    page = acme.browser.post(url("account", connection.left_account, "delete"), {"post": "yes"}, follow=True)
    assert said(page) == ["Alice is used by Alice and Salesmate. Remove or change that first."]
    spare = acme.carddav_account(user="bob", label="Bob")
    assert acme.browser.post(url("account", spare, "delete"), {"post": "yes"}).status_code == 302
    assert not Account.objects.filter(pk=spare.pk).exists()
    assert kinds()[-1] == "config.changed"


def test_credentials_that_cannot_be_read_any_more_are_entered_anew(acme: Office, settings: Any) -> None:
    account = acme.salesmate_account()
    settings.FIELD_ENCRYPTION_KEYS = ["B" * 43 + "="]
    page = acme.browser.get(url("account", account))
    page = acme.browser.post(url("account", account, "act/check"), follow=True)
    assert "enter the account's credentials again" in said(page)[0]
    sent = {**filled(page), "session_key": KEYS["session_key"]}
    assert "enter the account's credentials again" in " ".join(
        problems(acme.browser.post(url("account", account), sent))
    )
    page = acme.browser.post(url("account", account), {**sent, **KEYS}, follow=True)
    assert Credential.of(Account.objects.get()) == KEYS
    assert said(page)[0].startswith("Connected as")


# Connections


def test_a_connection_is_added_in_two_steps(acme: Office) -> None:
    assert b"Add an account" in acme.browser.get(url("connection")).content
    left, right = acme.carddav_account(), acme.salesmate_account()
    page = acme.browser.get(url("connection"))
    assert "Next: choose books" in page.content.decode()
    page = acme.browser.get(url("connection") + f"?left_account={left.pk}&right_account={right.pk}")
    form = page.context["adminform"].form
    assert [value for value, _ in form.fields["left_book"].choices] == ["/alice/book/"]
    assert "left_owner" not in form.fields
    assert [value for value, _ in form.fields["right_owner"].choices][:2] == ["", "1"]
    page = acme.browser.post(
        url("connection"), {**filled(page), "name": "Cards and CRM", "right_owner": "1"}, follow=True
    )
    assert problems(page) == []
    connection = Connection.objects.get()
    assert (connection.state, connection.create_defaults) == ("draft", {"right": {"owner": "1"}})
    assert connection.mappings.filter(is_default=True).count() > 5
    assert sorted(connection.rules.values_list("source", flat=True)) == ["left", "right"]
    assert page.redirect_chain[-1][0] == url("connection", connection)


def test_a_plain_post_adds_a_connection(acme: Office) -> None:
    left, right = acme.carddav_account(), acme.salesmate_account()
    book = services.books_of(right)[0].id
    sent = connection_sent(acme, left, right, right_book=book)
    assert acme.browser.post(url("connection"), sent).status_code == 302
    assert Connection.objects.get().right_book == book
    page = acme.browser.post(url("connection"), sent)
    assert problems(page) == ["This client has a connection of this name already. Choose another name."]
    page = acme.browser.post(url("connection"), {**sent, "name": "Same", "left_account": right.pk, "left_book": book})
    assert problems(page) == ["Left and right are the same book. Choose another."]


def test_a_connection_takes_no_account_of_another_client(acme: Office) -> None:
    globex = Client.objects.create(name="Globex", slug="globex")
    left, right = acme.carddav_account(client=globex, user="bob", label="Bob"), acme.salesmate_account()
    page = acme.browser.get(url("connection") + f"?left_account={left.pk}&right_account={right.pk}")
    assert problems(page) == ["These accounts belong to different clients. Choose two of one client."]
    page = acme.browser.post(url("connection"), connection_sent(acme, left, right))
    assert "This account is not one of this client. Choose another." in problems(page)
    assert not Connection.objects.exists()


def test_books_that_cannot_be_read_are_said_with_the_reason(acme: Office) -> None:
    left, right = acme.carddav_account(), acme.salesmate_account()
    services.update_account(right, ANNA, credentials={"session_key": "wrong-canary"})
    page = acme.browser.get(url("connection") + f"?left_account={left.pk}&right_account={right.pk}")
    assert page.status_code == 200
    assert "could not be read:" in page.context["adminform"].form.fields["right_owner"].help_text
    services.update_account(left, ANNA, credentials={"password": "wrong-canary"})
    page = acme.browser.post(url("connection"), connection_sent(acme, left, right))
    assert (
        any("The books of Alice could not be read:" in text for text in problems(page))
        or page.context["adminform"].form.errors["left_book"]
    )
    assert "wrong-canary" not in page.content.decode()


def test_settings_are_changed_and_limits_are_checked(acme: Office) -> None:
    connection = acme.connection()
    page = acme.browser.get(url("connection", connection))
    sent = {**filled(page), "name": "New", "winner": "hold", "limits": '{"clears": 3}'}
    assert acme.browser.post(url("connection", connection), sent).status_code == 302
    connection.refresh_from_db()
    assert (connection.name, connection.winner, connection.limits) == ("New", "hold", {"clears": 3})
    assert connection.versions.count() == 2
    page = acme.browser.get(url("connection", connection))
    page = acme.browser.post(url("connection", connection), {**filled(page), "limits": '{"clear": 3}'})
    assert problems(page)[0].startswith("There is no limit called clear. There are: clears,")
    page = acme.browser.post(url("connection", connection), {**filled(page), "limits": '{"clears": "3"}'})
    assert problems(page) == ["The limit clears must be a whole number, 0 or more."]
    page = acme.browser.post(url("connection", connection), {**filled(page), "interval": "5", "limits": "{"})
    assert problems(page) == ["Ensure this value is greater than or equal to 60.", "Enter a valid JSON."]


def test_the_limits_have_the_guard_s_names() -> None:
    from connections.validation import LIMITS

    assert set(LIMITS) == set(DEFAULT_LIMITS)


def test_saving_without_a_change_makes_no_version(acme: Office) -> None:
    connection = acme.connection()
    page = acme.browser.get(url("connection", connection))
    assert acme.browser.post(url("connection", connection), filled(page)).status_code == 302
    assert connection.versions.count() == 1


def test_who_opened_the_page_earlier_overwrites_nothing(acme: Office) -> None:
    connection = acme.connection()
    page = acme.browser.get(url("connection", connection))
    services.update_connection(connection, "bob", {"name": "Bob's name"})
    page = acme.browser.post(url("connection", connection), {**filled(page), "winner": "right"})
    assert problems(page) == [
        "Somebody else changed this since you opened the page. Load the page again; nothing was saved."
    ]
    connection.refresh_from_db()
    assert (connection.name, connection.winner) == ("Bob's name", "left")


def test_the_buttons_activate_pause_and_resume(acme: Office) -> None:
    connection = acme.connection(create_defaults={})
    page = acme.browser.post(url("connection", connection, "act/activate"), follow=True)
    assert said(page) == ["Salesmate requires an owner. Choose a default owner for new contacts on the right."]
    acme.browser.post(url("connection", connection), {**filled(page), "right_owner": "1"})
    for act, state in (("activate", "active"), ("pause", "paused"), ("resume", "active")):
        page = acme.browser.post(url("connection", connection, f"act/{act}"), follow=True)
        connection.refresh_from_db()
        assert connection.state == state, said(page)
    page = acme.browser.post(url("connection", connection, "act/activate"), follow=True)
    assert said(page) == ["That is not possible any more. Here is how it stands now."]


def test_sync_now_and_plan_queue_a_run(acme: Office) -> None:
    connection = acme.connection()
    services.activate(connection, ANNA)
    page = acme.browser.post(url("connection", connection, "act/sync"), follow=True)
    assert said(page) == ["A run is queued. Load this page again to see how far it is."]
    assert connection.runs.get().actor == ANNA
    page = acme.browser.post(url("connection", connection, "act/plan"), follow=True)
    assert said(page) == ["A run of this connection is under way already."]


def test_the_books_of_a_connection_that_has_run_are_fixed(acme: Office) -> None:
    connection = acme.connection()
    services.activate(connection, ANNA)
    acme.radicale.book("alice", "second", "Second")
    page = acme.browser.get(url("connection", connection))
    sent = {**filled(page), "left_book": "/alice/second/", "name": "Changed"}
    assert acme.browser.post(url("connection", connection), sent).status_code == 302
    connection.refresh_from_db()
    assert (connection.left_book, connection.name) == ("/alice/book/", "Changed")


def test_a_connection_is_deleted_and_its_history_stays(acme: Office) -> None:
    connection = acme.connection()
    page = acme.browser.get(url("connection", connection, "delete"))
    assert "Alice and Salesmate" in page.content.decode()
    assert acme.browser.post(url("connection", connection, "delete"), {"post": "yes"}).status_code == 302
    assert not Connection.objects.exists()
    assert SyncLog.objects.filter(connection=connection.code).count() == 2
