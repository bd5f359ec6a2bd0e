"""What lists can be narrowed by. A value that cannot be is refused, and so is a name that is not known."""

from datetime import UTC
from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from django_filters.fields import IsoDateTimeField
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from connections.models import Connection


class MomentField(IsoDateTimeField):
    def clean(self, value: Any) -> Any:
        found = super().clean(value)
        try:
            return found.astimezone(UTC) if found is not None else None
        except OverflowError:
            raise ValidationError("There is no such time in UTC.") from None


class Moment(django_filters.IsoDateTimeFilter):
    """A time of day and date, ISO 8601."""

    field_class = MomentField


class ByClient(django_filters.FilterSet):
    """Of one client, by its code."""

    client = django_filters.UUIDFilter(field_name="client__code", help_text="The code of a client (agency keys)")


class ConnectionFilter(ByClient):
    state = django_filters.ChoiceFilter(choices=Connection.State.choices)
    updated_since = Moment(
        field_name="updated_at",
        lookup_expr="gte",
        help_text="Its configuration or its state changed since; runs do not count",
    )
    account = django_filters.UUIDFilter(method="uses", help_text="The code of an account on either side")

    @extend_schema_field(OpenApiTypes.UUID)
    def uses(self, rows: Any, name: str, value: Any) -> Any:
        return rows.filter(left_account__code=value) | rows.filter(right_account__code=value)
