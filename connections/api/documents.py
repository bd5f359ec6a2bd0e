"""A whole configuration as one document, and the versions of it."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from connections.api.fields import Body, ByCode, Choice, Moment, Number, Text, Texts, YesNo
from connections.api.serializers import BothDefaultsBody
from connections.models import Account, Action, Condition, Connection, FieldMapping, Rule
from connections.models.connection import Direction, Travel

MOST = 1_000
A_VALUE = {
    "nullable": True,
    "oneOf": [
        {"type": "string"},
        {"type": "integer"},
        {"type": "boolean"},
        {"type": "array", "items": {"type": "string"}},
    ],
}


@extend_schema_field(A_VALUE)
class PlainValue(serializers.JSONField):
    """A text, a whole number, yes or no, a list of texts, or null."""

    default_error_messages = {"invalid": "A text, a whole number, yes or no, a list of texts, or null."}

    def to_internal_value(self, data: Any) -> Any:
        texts = isinstance(data, list) and len(data) <= MOST and all(isinstance(one, str) for one in data)
        if not (texts or data is None or isinstance(data, str | bool | int)):
            self.fail("invalid")
        return data


class ConditionDocument(Body):
    kind = Choice(Condition.Kind.choices)
    field = Text(max_length=200, allow_blank=True)
    operator = Text(max_length=20, allow_blank=True)
    value = PlainValue(allow_null=True)


class ActionDocument(Body):
    kind = Choice(Action.Kind.choices)
    field = Text(max_length=200, allow_blank=True)
    value = PlainValue(allow_null=True)
    mode = Choice(Action.Mode.choices)


class RuleDocument(Body):
    code = Text(max_length=40, required=False, help_text="Which rule it is; a new one without.")
    source = Choice(Rule.Source.choices)  # type: ignore[assignment]
    name = Text(max_length=200)
    position = Number(min_value=0, max_value=10_000)
    enabled = YesNo()
    match = Choice(Rule.Match.choices)
    on_leave = Choice(Rule.OnLeave.choices)
    conditions = ConditionDocument(many=True)
    actions = ActionDocument(many=True)


class LineDocument(Body):
    code = Text(max_length=40, required=False, help_text="Which line it is; a new one without.")
    left_field = Text(max_length=200)
    right_field = Text(max_length=200)
    direction = Choice(Direction.choices)
    enabled = YesNo()
    on_conflict = Choice(FieldMapping.OnConflict.choices)
    write_mode = Choice(FieldMapping.WriteMode.choices)
    clears = Choice(FieldMapping.Clears.choices)
    accept_lossy = YesNo()
    value_map = Texts(allow_null=True)
    fallback = Texts(allow_null=True)


class ConfigurationBody(Body):
    """All of it, as GET gives it. The accounts and books say what it was made of, and move nothing: where they are
    others of the same two apps it is a template, and its name is left out."""

    name = Text(max_length=200, trim_whitespace=True)
    left_account = ByCode(queryset=Account.objects.all(), required=False)
    left_book = Text(required=False)
    right_account = ByCode(queryset=Account.objects.all(), required=False)
    right_book = Text(required=False)
    direction = Choice(Direction.choices)
    winner = Choice(Connection.Winner.choices)
    avoid_duplicates = YesNo()
    sync_deletions = Choice(Travel.choices)
    sync_unsubscribes = Choice([(t.value, t.label) for t in Travel if t != Travel.BOTH])
    trash_tag = Text(max_length=100, trim_whitespace=True)
    unsubscribe_tag = Text(max_length=100, trim_whitespace=True)
    interval = Number(min_value=60, max_value=31_536_000)
    review = Choice(Connection.Review.choices)
    limits = serializers.DictField(child=Number(min_value=0, max_value=2_147_483_647))
    create_defaults = BothDefaultsBody()
    mappings = LineDocument(many=True)
    rules = RuleDocument(many=True)

    def validate(self, attrs: Any) -> Any:
        """The two apps are those of the connection; then accounts are codes again, as in a document."""
        connection: Connection = self.context["connection"]
        wrong = {}
        for name in ("left_account", "right_account"):
            account, own = attrs.get(name), getattr(connection, name)
            if account is not None and account.app != own.app:
                wrong[name] = [f"This document is of {account.app}; here is {own.app}."]
        if wrong:
            raise serializers.ValidationError(wrong)
        return {name: str(value.code) if isinstance(value, Account) else value for name, value in attrs.items()}


class DifferenceBody(Body):
    """`path` names lines by their fields and rules by their name; null: it was not there, or is not any more."""

    path = serializers.CharField(read_only=True)
    before = serializers.JSONField(read_only=True, allow_null=True)
    after = serializers.JSONField(read_only=True, allow_null=True)


class VersionBody(Body):
    number = serializers.IntegerField(read_only=True)
    at = Moment(read_only=True)
    author = serializers.CharField(read_only=True)
    reason = serializers.CharField(read_only=True)
    digest = serializers.CharField(read_only=True)
    changes = serializers.SerializerMethodField(help_text="Against the version before; none in the first.")

    @extend_schema_field(DifferenceBody(many=True))
    def get_changes(self, version: Any) -> Any:
        return self.context["changes"][version.number]


class WholeVersionBody(VersionBody):
    configuration = serializers.SerializerMethodField()

    @extend_schema_field(ConfigurationBody)
    def get_configuration(self, version: Any) -> Any:
        return version.document
