"""Parts of bodies that take exactly their type: no number for a text, no "true" for true, no name that is not known."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from connections.models import Client


class Text(serializers.CharField):
    """As it is, with its blanks."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 500, "trim_whitespace": False, **kwargs})

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        found: str = super().to_internal_value(data)
        if found.strip() == "" and not self.allow_blank:
            self.fail("blank")
        return found


class Number(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class YesNo(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if type(data) is not bool:
            self.fail("invalid", input=data)
        return data


class Choice(serializers.ChoiceField):
    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)


class Moment(serializers.DateTimeField):
    """ISO 8601, UTC."""

    def to_internal_value(self, value: Any) -> Any:
        if not isinstance(value, str):
            self.fail("invalid", format="2026-11-24T09:00:00Z")
        return super().to_internal_value(value)


class Texts(serializers.DictField):
    """Names and texts: settings, credentials, a map of values."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"child": Text(allow_blank=True, max_length=10_000), **kwargs})


class ByCode(serializers.SlugRelatedField[Any]):
    """Another object, by its code. What belongs to others is not there."""

    default_error_messages = {"does_not_exist": "There is nothing of this code.", "invalid": "This is not a code."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(slug_field="code", **kwargs)

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        key = self.context["request"].auth if "request" in self.context else None
        if rows is None or key is None or key.client_id is None:
            return rows
        return rows.filter(**{"pk" if rows.model is Client else "client": key.client_id})

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)

    def to_representation(self, obj: Any) -> str:
        return str(obj.code)


class Body(serializers.Serializer[Any]):
    """A body that refuses what it does not know, and what can only be read."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            writable = {field.field_name for field in self._writable_fields}
            strangers = {
                str(name): ["This can only be read." if name in self.fields else "There is no such field here."]
                for name in data
                if name not in writable
            }
            if strangers:
                raise ValidationError(strangers)
        return super().to_internal_value(data)


class Nothing(Body):
    """A call that takes no input."""
