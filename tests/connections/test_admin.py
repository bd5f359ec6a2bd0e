"""Staff set connections up by the admin's forms, and every act stands in the audit trail."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from connections import services
from connections.models import Account, Client, Connection, Credential, FieldMapping, Membership, Rule
from syncer.engine.guard import DEFAULT_LIMITS
from syncer.models import SyncLog
from tests.connections.office import ANNA, SECRETS, Office, at_desk, filled, office, problems, said, staff
from tests.contract.radicale import USERS
from tests.contract.salesmate import KEYS

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(tmp_path: Path, settings: Any) -> Iterator[Office]:
    with office(tmp_path, settings) as found:
        yield found


def kinds(actor: str = ANNA) -> list[str]:
    return list(SyncLog.objects.filter(actor=actor).order_by("pk").values_list("kind", flat=True))


def url(model: str, obj: Any = None, what: str = "change") -> str:
    return f"/admin/connections/{model}/" + (f"{obj.pk}/{what}/" if obj is not None else "add/")


SALESMATE = {"app": "salesmate", "label": "Acme Salesmate", "subdomain": "acme", **KEYS, "api_share": "80"}


# Clients


def members(*rows: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = {"memberships-TOTAL_FORMS": len(rows), "memberships-INITIAL_FORMS": 0}
    for number, row in enumerate(rows):
        sent |= {f"memberships-{number}-{name}": value for name, value in row.items()}
    return sent


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
    assert dict(Credential.objects.get().secrets) == KEYS
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
    assert dict(Credential.objects.get().secrets) == KEYS
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
    assert dict(Credential.objects.get().secrets) == KEYS
    assert said(page)[0].startswith("Connected as")


# Connections


def connection_sent(acme: Office, left: Account, right: Account, **changes: Any) -> dict[str, Any]:
    sent = {
        "client": acme.acme.pk,
        "name": "Cards and CRM",
        "left_account": left.pk,
        "left_book": "/alice/book/",
        "right_account": right.pk,
        "right_book": "contacts",
        "direction": "both",
        "winner": "left",
        "avoid_duplicates": "on",
        "sync_deletions": "off",
        "sync_unsubscribes": "off",
        "trash_tag": "PieSync Trash",
        "unsubscribe_tag": "PieSync Unsubscribes",
        "interval": "300",
        "review": "changes",
        "limits": "{}",
        "right_owner": "1",
    }
    return {**sent, **changes}


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


# Mappings


def test_a_mapping_is_added_from_fields_that_the_apps_have(acme: Office) -> None:
    connection = acme.connection()
    connection.mappings.all().delete()
    assert f"?connection={connection.pk}" in acme.browser.get(url("fieldmapping")).content.decode()
    page = acme.browser.get(url("fieldmapping") + f"?connection={connection.pk}")
    labels = dict(page.context["adminform"].form.fields["right_field"].choices)
    assert labels["email"].startswith("Email (e-mail")
    sent = {**filled(page), "left_field": "email", "right_field": "email"}
    address = url("fieldmapping") + f"?connection={connection.pk}"
    answer = acme.browser.post(address, sent)
    assert answer.status_code == 302, problems(answer)
    mapping = FieldMapping.objects.get()
    assert (str(mapping), mapping.connection) == ("email <-> email", connection)
    assert connection.versions.first().reason == "mapping"  # type: ignore[union-attr]
    page = acme.browser.post(address, sent)
    assert problems(page) == ["This field is mapped already. Switch the other line off first."] * 2


def test_a_mapping_is_changed_in_words_and_deleted(acme: Office) -> None:
    connection = acme.connection()
    mapping = connection.mappings.get(right_field="email")
    code = mapping.code
    page = acme.browser.get(url("fieldmapping", mapping))
    assert acme.browser.post(url("fieldmapping", mapping), {**filled(page), "direction": "to_right"}).status_code == 302
    mapping.refresh_from_db()
    assert mapping.direction == "to_right"
    assert mapping.code != code
    page = acme.browser.get(url("fieldmapping", mapping))
    page = acme.browser.post(url("fieldmapping", mapping), {**filled(page), "value_map": '{"a": 1}'})
    assert problems(page) == ['A value map looks like {"left value": "right value"}.']
    page = acme.browser.post(url("fieldmapping", mapping), {**filled(page), "value_map": "", "right_field": "nonsense"})
    assert problems(page) == ["Acme Salesmate has no such field. Choose one of its fields."]
    assert acme.browser.post(url("fieldmapping", mapping, "delete"), {"post": "yes"}).status_code == 302
    assert not FieldMapping.objects.filter(pk=mapping.pk).exists()
    assert connection.versions.first().reason == "mapping removed"  # type: ignore[union-attr]


def test_a_default_line_can_be_switched_off(acme: Office) -> None:
    connection = acme.connection()
    mapping = connection.mappings.get(right_field="email")
    page = acme.browser.get(url("fieldmapping", mapping))
    sent = filled(page)
    del sent["enabled"]
    acme.browser.post(url("fieldmapping", mapping), sent)
    mapping.refresh_from_db()
    assert not mapping.enabled


def test_a_mapping_that_cannot_be_says_what_can(acme: Office) -> None:
    connection = acme.connection()
    page = acme.browser.get(url("fieldmapping") + f"?connection={connection.pk}")
    sent = {**filled(page), "connection": connection.pk, "left_field": "note", "right_field": "owner"}
    page = acme.browser.post(url("fieldmapping"), sent)
    assert any("owners are set by a rule, not by a mapping" in text for text in problems(page)), problems(page)


# Rules


def rows(prefix: str, *found: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = {f"{prefix}-TOTAL_FORMS": len(found), f"{prefix}-INITIAL_FORMS": 0}
    for number, row in enumerate(found):
        sent |= {f"{prefix}-{number}-{name}": value for name, value in row.items()}
    return sent


RULE = {"name": "Customers", "enabled": "on", "match": "all", "on_leave": "keep", "position": "0"}


def test_a_rule_is_added_with_conditions_and_actions(acme: Office) -> None:
    connection = acme.connection()
    assert "source=right" in acme.browser.get(url("rule")).content.decode()
    sent = {
        "connection": connection.pk,
        "source": "right",
        **RULE,
        **rows(
            "conditions",
            {"kind": "has_tag", "value": "customer"},
            {"kind": "field", "field": "lastName", "operator": "one_of", "value": "King, Lovelace"},
        ),
        **rows("actions", {"kind": "add_tag", "value": "from CRM", "mode": "always"}),
    }
    answer = acme.browser.post(url("rule"), sent)
    assert answer.status_code == 302, problems(answer)
    rule = Rule.objects.get(name="Customers")
    found = [(row.kind, row.field, row.operator, row.value) for row in rule.conditions.all()]
    assert found == [("has_tag", "", "", "customer"), ("field", "lastName", "one_of", ["King", "Lovelace"])]
    assert [(row.kind, row.value) for row in rule.actions.all()] == [("add_tag", "from CRM")]
    assert (rule.source, rule.connection) == ("right", connection)
    page = acme.browser.get(url("rule", rule))
    assert 'value="King, Lovelace"' in page.content.decode()


def test_a_rule_is_changed_and_deleted(acme: Office) -> None:
    connection = acme.connection()
    rule = connection.rules.get(source="right")
    address = url("rule", rule)
    page = acme.browser.get(address)
    condition = {"conditions-0-kind": "owned_by", "conditions-0-value": "nobody"}
    page = acme.browser.post(address, {**filled(page), **condition})
    assert problems(page)[0].startswith("There is no owner nobody. Write the e-mail address of one of:")
    owner = services.owners_of(connection.right_account)[0]
    answer = acme.browser.post(address, {**filled(page), "conditions-0-value": owner.name})
    assert answer.status_code == 302, problems(answer)
    assert rule.conditions.get().value == owner.id
    versions = connection.versions.count()
    assert acme.browser.post(address, filled(acme.browser.get(address))).status_code == 302
    assert connection.versions.count() == versions
    sent = {**filled(acme.browser.get(address)), "conditions-0-DELETE": "on"}
    assert acme.browser.post(address, sent).status_code == 302
    assert not rule.conditions.exists()
    assert acme.browser.post(url("rule", rule, "delete"), {"post": "yes"}).status_code == 302
    assert not Rule.objects.filter(pk=rule.pk).exists()


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ({"kind": "has_tag", "value": ""}, "Say which tag the condition asks for."),
        ({"kind": "field", "field": "lastName", "operator": "<", "value": "5"}, "Last Name cannot be asked with <."),
        ({"kind": "field", "field": "lastName", "operator": "is", "value": ""}, "The value for Last Name is missing."),
        ({"kind": "field", "field": "nonsense", "operator": "is", "value": "x"}, "Select a valid choice."),
    ],
)
def test_a_condition_that_cannot_be_asked_says_why(acme: Office, condition: dict[str, str], answer: str) -> None:
    connection = acme.connection()
    sent = {"connection": connection.pk, "source": "right", **RULE, **rows("conditions", condition), **rows("actions")}
    page = acme.browser.post(url("rule"), sent)
    assert any(text.startswith(answer) for text in problems(page)), problems(page)
    assert not Rule.objects.filter(name="Customers").exists()


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        ({"kind": "set_owner", "value": "x"}, "CardDAV has no owners, so a rule cannot set one."),
        ({"kind": "set_field", "value": "x"}, "Setting a field needs the field."),
        ({"kind": "set_field", "field": "email", "value": "x"}, "is mapped already, and a mapping and a rule"),
        ({"kind": "add_tag", "value": " "}, "A tag action needs the name of a tag."),
    ],
)
def test_an_action_that_cannot_be_done_says_why(acme: Office, action: dict[str, str], answer: str) -> None:
    connection = acme.connection()
    row = {"mode": "always", **action}
    sent = {"connection": connection.pk, "source": "right", **RULE, **rows("conditions"), **rows("actions", row)}
    page = acme.browser.post(url("rule"), sent)
    assert any(answer in text for text in problems(page)), problems(page)
    assert not Rule.objects.filter(name="Customers").exists()


# Borders


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


def test_the_passwords_are_those_of_the_tests() -> None:
    assert set(USERS.values()) < set(SECRETS)
