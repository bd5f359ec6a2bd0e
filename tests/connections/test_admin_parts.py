"""Staff set mappings and rules up by the admin's forms, in the words of the apps."""

from typing import Any

import pytest

from connections import services
from connections.models import Condition, FieldMapping, Rule
from tests.connections.office import Office, filled, problems, url

pytestmark = pytest.mark.django_db


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


def test_a_rule_that_somebody_else_saved_is_not_overwritten(acme: Office) -> None:
    connection = acme.connection()
    rule = connection.rules.get(source="right")
    services.save_rule(rule, "bob", [Condition(kind="has_tag", value="one")], [])
    sent = filled(acme.browser.get(url("rule", rule)))
    services.save_rule(rule, "bob", [Condition(kind="has_tag", value="two")], [])
    page = acme.browser.post(url("rule", rule), {**sent, "conditions-0-value": "three"})
    assert page.status_code == 200
    assert any("Somebody else changed this" in text for text in problems(page))
    assert [row.value for row in rule.conditions.all()] == ["two"]


def test_a_condition_that_the_page_did_not_show_stays(acme: Office) -> None:
    connection = acme.connection()
    rule = connection.rules.get(source="right")
    services.save_rule(rule, "bob", [Condition(kind="has_tag", value="one")], [])
    new = {"kind": "has_tag", "value": "two"}
    sent = {"connection": connection.pk, "source": "right", **RULE, **rows("conditions", new), **rows("actions")}
    assert acme.browser.post(url("rule", rule), sent).status_code == 302
    assert [row.value for row in rule.conditions.all()] == ["one", "two"]
