"""The configuration as the API speaks of it (API.md)."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from connections.api.fields import Body, ByCode, Choice, Moment, Number, Text, Texts, YesNo
from connections.models import Account, Client, Connection, FieldMapping
from connections.models.connection import Direction, Travel


class ClientBody(Body):
    code = serializers.UUIDField(read_only=True)
    name = Text(max_length=200, trim_whitespace=True)
    slug = serializers.SlugField(
        max_length=80, help_text="Small letters, digits and hyphens; it names the client in commands."
    )
    four_eyes = YesNo(
        required=False, help_text="Who changed the configuration, or asked for the plan, does not approve it."
    )


class MeBody(Body):
    """The key that asks."""

    name = serializers.CharField(read_only=True)
    client = serializers.SerializerMethodField()
    scopes = serializers.ListField(child=serializers.CharField(), read_only=True)
    expires_at = Moment(read_only=True, allow_null=True)

    @extend_schema_field(ClientBody(allow_null=True))
    def get_client(self, key: Any) -> Any:
        return ClientBody(key.client).data if key.client is not None else None


# Apps


class InputBody(Body):
    name = serializers.CharField(read_only=True)
    label = serializers.CharField(read_only=True)  # type: ignore[assignment]
    help = serializers.CharField(read_only=True)
    secret = serializers.BooleanField(read_only=True)
    required = serializers.BooleanField(read_only=True)  # type: ignore[assignment]


class CapabilitiesBody(Body):
    """What an app can do; an option that needs something else is refused."""

    owners = serializers.BooleanField(read_only=True)
    tags = serializers.BooleanField(read_only=True)
    tombstones = serializers.BooleanField(read_only=True, help_text="It reports deletions itself.")
    delta = serializers.BooleanField(read_only=True, help_text="It reports what changed since.")
    one_way = serializers.BooleanField(
        read_only=True, source="read_only", help_text="It can only be read: connections go from it one way."
    )


class AppBody(Body):
    slug = serializers.CharField(read_only=True)
    label = serializers.CharField(read_only=True)  # type: ignore[assignment]
    settings = InputBody(many=True, read_only=True)
    credentials = InputBody(many=True, read_only=True)
    capabilities = CapabilitiesBody(read_only=True)


# Accounts


class AccountBody(Body):
    code = serializers.UUIDField(read_only=True)
    client = ByCode(queryset=Client.objects.all(), required=False)
    app = Text(max_length=40)
    label = Text(max_length=200, trim_whitespace=True)  # type: ignore[assignment]
    settings = Texts()
    credentials = Texts(
        child=Text(allow_blank=True, max_length=900_000),
        write_only=True,
        help_text="Go in, and never come out. One that is left out, or empty, stays.",
    )
    api_share = Number(
        min_value=1, max_value=100, required=False, help_text="Percent of the app's hourly calls that we may use."
    )
    status = serializers.ChoiceField(Account.Status.choices, read_only=True)
    status_text = serializers.CharField(read_only=True)
    identity = serializers.CharField(read_only=True, help_text="The login in the app; empty before the first check.")
    checked_at = Moment(read_only=True, allow_null=True)
    blocked_until = Moment(read_only=True, allow_null=True, help_text="The app takes no calls until then.")
    updated = Moment(read_only=True, source="updated_at")
    calls_used = serializers.SerializerMethodField(help_text="Calls of all who use this login in the last hour.")

    def get_calls_used(self, account: Account) -> int:
        found: int = self.context["used"].get(account.lease_key, 0)
        return found


class CheckBody(Body):
    status = serializers.ChoiceField(Account.Status.choices, read_only=True)
    identity = serializers.CharField(read_only=True)


class BegunBody(Body):
    url = serializers.URLField(read_only=True, help_text="For a person to open, in a browser of theirs.")
    expires_at = Moment(read_only=True)


class BookBody(Body):
    id = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True)
    count = serializers.IntegerField(read_only=True, allow_null=True)


class FieldBody(Body):
    name = serializers.CharField(read_only=True)
    label = serializers.CharField(read_only=True)  # type: ignore[assignment]
    type = serializers.CharField(read_only=True)
    role = serializers.CharField(read_only=True)
    writable = serializers.BooleanField(read_only=True)
    required = serializers.BooleanField(read_only=True)  # type: ignore[assignment]
    max_length = serializers.IntegerField(read_only=True, allow_null=True)
    choices = serializers.ListField(child=serializers.ListField(child=serializers.CharField()), read_only=True)
    custom = serializers.BooleanField(read_only=True)


class OwnerBody(Body):
    id = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True)
    email = serializers.CharField(read_only=True)
    active = serializers.BooleanField(read_only=True)


# Connections


class DefaultsBody(Body):
    owner = Text(required=False, allow_null=True, max_length=200)
    consent = Text(required=False, allow_null=True, max_length=40)
    create_companies = YesNo(required=False)


class BothDefaultsBody(Body):
    """What new contacts get, by side."""

    left = DefaultsBody(required=False)
    right = DefaultsBody(required=False)


class ConnectionBody(Body):
    code = serializers.UUIDField(read_only=True)
    client = ByCode(queryset=Client.objects.all(), required=False)
    name = Text(max_length=200, trim_whitespace=True)
    left_account = ByCode(queryset=Account.objects.all())
    left_book = Text()
    right_account = ByCode(queryset=Account.objects.all())
    right_book = Text()
    direction = Choice(Direction.choices, required=False)
    winner = Choice(Connection.Winner.choices, required=False)
    avoid_duplicates = YesNo(required=False)
    sync_deletions = Choice(Travel.choices, required=False)
    sync_unsubscribes = Choice([(t.value, t.label) for t in Travel if t != Travel.BOTH], required=False)
    trash_tag = Text(max_length=100, trim_whitespace=True, required=False)
    unsubscribe_tag = Text(max_length=100, trim_whitespace=True, required=False)
    interval = Number(min_value=60, max_value=31_536_000, required=False, help_text="Seconds between two runs.")
    review = Choice(Connection.Review.choices, required=False)
    limits = serializers.DictField(child=Number(min_value=0, max_value=2_147_483_647), required=False)
    create_defaults = BothDefaultsBody(required=False)
    state = serializers.ChoiceField(Connection.State.choices, read_only=True)
    version = serializers.IntegerField(read_only=True)
    last_run_at = Moment(read_only=True, allow_null=True)
    last_success_at = Moment(read_only=True, allow_null=True)
    next_run_at = Moment(read_only=True, allow_null=True)
    quiet_runs = serializers.IntegerField(read_only=True)
    updated = Moment(read_only=True, source="updated_at")


# Mappings


class MappingBody(Body):
    code = serializers.UUIDField(
        read_only=True, help_text="New whenever a field, the direction or the value map changes."
    )
    left_field = Text(max_length=200)
    right_field = Text(max_length=200)
    direction = Choice(Direction.choices, required=False)
    enabled = YesNo(required=False)
    on_conflict = Choice(FieldMapping.OnConflict.choices, required=False)
    write_mode = Choice(FieldMapping.WriteMode.choices, required=False)
    clears = Choice(FieldMapping.Clears.choices, required=False)
    accept_lossy = YesNo(required=False)
    value_map = Texts(required=False, allow_null=True)
    fallback = Texts(required=False, allow_null=True, help_text='{"constant": "..."} or {"field": "name of a field"}.')
    is_default = serializers.BooleanField(read_only=True)


class OptionBody(Body):
    """What a left field can be mapped to."""

    right_field = serializers.CharField(read_only=True)
    label = serializers.CharField(read_only=True)  # type: ignore[assignment]
    directions = serializers.ListField(child=serializers.CharField(), read_only=True)
    reasons = serializers.DictField(child=serializers.CharField(), read_only=True, help_text="By direction, why not.")
