"""The form of a rule, and the rows of its conditions and actions: only what the app can be asked is offered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms

from connections import services
from connections.conditions import Kind, Operator, offered
from connections.fieldtypes import fold, word
from connections.forms import reading
from connections.forms.base import PlainForm, ServiceForm
from connections.models import Action, Condition, Connection, Rule
from connections.models.connection import SideName, other
from syncer.connectors.base import Field, FieldType, Owner, Value

SEVERAL = (Operator.ONE_OF, Operator.NONE_OF, Operator.BETWEEN)
OPERATOR_WORDS = {
    Operator.IS: "is",
    Operator.IS_NOT: "is not",
    Operator.CONTAINS: "contains",
    Operator.NOT_CONTAINS: "does not contain",
    Operator.STARTS_WITH: "starts with",
    Operator.ENDS_WITH: "ends with",
    Operator.ONE_OF: "is one of",
    Operator.NONE_OF: "is none of",
    Operator.EMPTY: "is empty",
    Operator.NOT_EMPTY: "is not empty",
    Operator.EQUAL: "equals",
    Operator.LESS: "is less than",
    Operator.AT_MOST: "is at most",
    Operator.MORE: "is more than",
    Operator.AT_LEAST: "is at least",
    Operator.BETWEEN: "is between",
    Operator.IN_LAST_DAYS: "in the last days",
}
NO_VALUE = (Kind.EXISTS_IN_OTHER, Kind.IS_DELETED)


@dataclass(frozen=True)
class Asking:
    """What one side of a connection can be asked, and what the other can be told."""

    connection: Connection
    side: SideName
    fields: reading.Read[Field]
    targets: reading.Read[Field]
    owners: reading.Read[Owner]
    new_owners: reading.Read[Owner]

    @property
    def problem(self) -> str:
        return self.fields.problem or self.targets.problem or self.owners.problem or self.new_owners.problem


def asking(connection: Connection, side: SideName) -> Asking:
    here, there = connection.account(side), connection.account(other(side))
    return Asking(
        connection,
        side,
        reading.fields(here, connection.book_id(side)),
        reading.fields(there, connection.book_id(other(side))),
        reading.owners(here),
        reading.owners(there),
    )


class RuleForm(ServiceForm):
    """`about` is set by the admin."""

    about: ClassVar[Asking]
    connection = forms.ModelChoiceField(Connection.objects.none(), widget=forms.HiddenInput, disabled=True)
    source = forms.ChoiceField(label="Searches", disabled=True)
    position = forms.IntegerField(
        required=False, min_value=0, max_value=10_000, initial=0, help_text="Its place among the rules of its side."
    )

    class Meta:
        model = Rule
        fields: ClassVar = ["connection", "source", "name", "enabled", "match", "on_leave", "position"]
        labels: ClassVar = {"match": "Takes contacts that meet", "on_leave": "When a contact no longer matches"}

    def fill(self) -> None:
        connection, side = self.about.connection, self.about.side
        choice: Any = self.fields["connection"]
        choice.queryset = Connection.objects.filter(pk=connection.pk)
        choice.initial = connection
        source: Any = self.fields["source"]
        source.choices = [(side, f"{side.title()}: {connection.account(side)}")]
        source.initial = side
        if not connection.writes_to(other(side)):
            source.help_text = f"This connection goes to the {side} only, so a rule of the {side} does nothing."
        if self.about.problem:
            self.fields["name"].help_text = f"Not everything could be read from the apps: {self.about.problem}"

    def clean_position(self) -> int:
        position: int | None = self.cleaned_data["position"]
        return 0 if position is None else position

    def state(self) -> dict[str, Any]:
        return services.rule_body(self.instance)


class RowForm(PlainForm):
    """A condition or an action, with its value as text."""

    about: ClassVar[Asking]
    value = forms.CharField(required=False, max_length=2000, help_text="Several values: with commas between them.")

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        text = found.get("value", "").strip()
        found["value"] = self.parsed(text, str(found.get("kind", "")), str(found.get("field", ""))) if text else None
        self.instance.value = found["value"]
        return found

    def parsed(self, text: str, kind: str, field: str) -> Value:
        raise NotImplementedError


class ConditionForm(RowForm):
    field = forms.ChoiceField(required=False, help_text="Where a field's value is asked for.")
    operator = forms.ChoiceField(required=False, help_text="Where a field's value is asked for.")

    class Meta:
        model = Condition
        fields: ClassVar = ["kind", "field", "operator", "value"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        by_name = {field.name: field for field in self.about.fields.items}
        app = reading.app_of(self.about.connection.account(self.about.side))
        offer = offered(by_name, app.capabilities)
        stored = self.instance
        names = [(name, reading.field_words(by_name[name])) for name in offer.operators]
        usable = {operator for operators in offer.operators.values() for operator in operators}
        operators = [(str(one), OPERATOR_WORDS[one]) for one in Operator if one in usable]
        kinds = [(value, label) for value, label in Condition.Kind.choices if value in offer.kinds]
        choices: dict[str, list[tuple[str, str]]] = {
            "kind": reading.with_current(kinds, stored.kind, "{} (not possible with this app)"),
            "field": [("", "---------"), *reading.with_current(names, stored.field, "{} (no longer there)")],
            "operator": [("", "---------"), *reading.with_current(operators, stored.operator, "{}")],
        }
        for name, listed in choices.items():
            field: Any = self.fields[name]
            field.choices = listed if name != "kind" or stored.pk is not None else [("", "---------"), *listed]
        if stored.pk is not None:
            self.initial["value"] = shown(stored.value, stored.kind, self.about.owners.items)

    def clean(self) -> dict[str, Any]:
        found = super().clean()
        if found.get("kind") != Kind.FIELD:
            found["field"] = found["operator"] = self.instance.field = self.instance.operator = ""
        if found.get("kind") in NO_VALUE or found.get("operator") in (Operator.EMPTY, Operator.NOT_EMPTY):
            found["value"] = self.instance.value = None
        return found

    def parsed(self, text: str, kind: str, field: str) -> Value:
        if kind in (Kind.OWNED_BY, Kind.NOT_OWNED_BY):
            return owner_id(text, self.about.owners.items)
        if kind != Kind.FIELD:
            return text
        asked = next((one for one in self.about.fields.items if one.name == field), None)
        if self.cleaned_data.get("operator") in SEVERAL:
            return [chosen(part.strip(), asked) for part in text.split(",") if part.strip() != ""]
        return chosen(text, asked)


class ActionForm(RowForm):
    field = forms.ChoiceField(required=False)

    class Meta:
        model = Action
        fields: ClassVar = ["kind", "field", "value", "mode"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = self.instance
        special = (FieldType.TAGS, FieldType.OWNER)
        usable = [one for one in self.about.targets.items if one.writable and one.type not in special]
        names = [(one.name, reading.field_words(one)) for one in usable]
        field: Any = self.fields["field"]
        field.choices = [("", "---------"), *reading.with_current(names, stored.field, "{} (no longer there)")]
        if stored.pk is not None:
            self.initial["value"] = shown(stored.value, stored.kind, self.about.new_owners.items)

    def clean(self) -> dict[str, Any]:
        found = super().clean()
        if found.get("kind") != Action.Kind.SET_FIELD:
            found["field"] = self.instance.field = ""
        return found

    def parsed(self, text: str, kind: str, field: str) -> Value:
        if kind == Action.Kind.SET_OWNER:
            return owner_id(text, self.about.new_owners.items)
        target = next((one for one in self.about.targets.items if one.name == field), None)
        if kind == Action.Kind.SET_FIELD and target is not None and target.type is FieldType.MULTI_CHOICE:
            return [chosen(part.strip(), target) for part in text.split(",") if part.strip() != ""]
        return chosen(text, target) if kind == Action.Kind.SET_FIELD else text


def owner_id(text: str, owners: Sequence[Owner]) -> str:
    """The id of the owner that a person wrote: by id, e-mail or name. Raises ValidationError."""
    found = {one.id for one in owners if one.id == text or fold(text) in (fold(one.email), fold(one.name))}
    if len(found) == 1 or len(owners) == 0:
        return found.pop() if found else text
    names = ", ".join(owner_words(one) for one in owners[:20])
    problem = "There is no owner" if not found else "There are several owners"
    raise forms.ValidationError({"value": f"{problem} {text}. Write the e-mail address of one of: {names}."})


def owner_words(one: Owner) -> str:
    return one.email if one.email != "" else one.name


def chosen(text: str, field: Field | None) -> str:
    """A choice by its label or its value; anything else as it is."""
    if field is None or field.type not in (FieldType.CHOICE, FieldType.MULTI_CHOICE):
        return text
    values = [value for value, label in field.choices if value == text]
    values += [value for value, label in field.choices if fold(label) == fold(text)]
    return values[0] if values else text


def shown(value: Value, kind: str, owners: Sequence[Owner]) -> str:
    """A stored value as the form shows it, and takes it back."""
    if value is None:
        return ""
    if kind in (Kind.OWNED_BY, Kind.NOT_OWNED_BY, Action.Kind.SET_OWNER):
        return next((owner_words(one) for one in owners if one.id == value), word(value))
    return ", ".join(word(item) for item in value) if isinstance(value, list) else word(value)
