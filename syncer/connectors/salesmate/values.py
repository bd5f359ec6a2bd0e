"""Values of a Salesmate contact on the wire and back (README.md, 6 and 7)."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from syncer.connectors.base import Field, FieldType, Rejected, Value
from syncer.connectors.salesmate.fields import LOOKUP
from syncer.connectors.salesmate.wire import Assumed, flag, member, number, stamp
from syncer.connectors.tags import once

DIGITS: Final = 40  # a number with more is not written out


class Unreadable(Exception):
    """A value has a shape that no field can have; the text is for people and holds no value."""


def decode_row(row: Mapping[str, Any], fields: Iterable[Field]) -> dict[str, Value]:
    """The values of a row for these fields; what the row does not have is left out. Raises Unreadable."""
    values: dict[str, Value] = {}
    for field in fields:
        found, raw = part(row, field)
        if found:
            values[field.name] = decode(field, raw)
    return values


def part(row: Mapping[str, Any], field: Field) -> tuple[bool, Any]:
    """Is the field in the row, and its raw value, taken out of the object around it where it has one."""
    outer, _, inner = field.name.partition(".")
    inner = inner or inner_name(field)
    found, raw = member(row, outer)
    if not inner or not found:
        return found, raw
    if isinstance(raw, dict):
        return member(raw, inner) if raw else (True, None)
    named_alone = "." not in field.name or raw in (None, "")
    return named_alone, raw if named_alone else None


def inner_name(field: Field) -> str:
    if field.name == "currency":
        return "code"
    return "id" if field.type is FieldType.OWNER or LOOKUP.fullmatch(field.name) else ""


def decode(field: Field, raw: Any) -> Value:
    """A wire value as our own; a scalar that is not of the field's type is passed on as text. Raises Unreadable."""
    if raw is None or raw == "":
        return None
    if field.type in (FieldType.TAGS, FieldType.MULTI_CHOICE):
        return split(field, raw)
    if isinstance(raw, list | dict):
        raise Unreadable(f"Salesmate shows {field.label} in a form that is not known here.")
    if field.type is FieldType.INTEGER:
        return whole(raw)
    if field.type is FieldType.DECIMAL:
        return plain_decimal(raw if isinstance(raw, str) else repr(raw))
    if field.type is FieldType.BOOLEAN:
        known = flag(raw)
        return plain(raw) if known is None else known
    if field.type is FieldType.DATE:
        return date_text(raw)
    if field.type is FieldType.DATETIME:
        seconds = stamp(raw)
        return str(raw) if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return plain(raw)


def split(field: Field, raw: Any) -> list[str] | None:
    """Members of a comma-separated text (or of a list), trimmed, each once whatever its case."""
    parts = raw if isinstance(raw, list) else str(raw).split(",")
    if isinstance(raw, dict) or any(isinstance(item, list | dict) for item in parts):
        raise Unreadable(f"Salesmate shows {field.label} in a form that is not known here.")
    return once(str(item) for item in parts) or None


def stored_tags(tags: Iterable[str]) -> list[str]:
    """Tags as Salesmate can hold them: a comma would part one tag in two, so it is left out."""
    return once(tag.replace(",", "") for tag in tags)


def plain(raw: Any) -> str:
    """A scalar as text; numbers without exponent or trailing zeros."""
    return raw if isinstance(raw, str) else plain_decimal(repr(raw))


def plain_decimal(text: str) -> str:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text
    if not value.is_finite() or abs(value.adjusted()) > DIGITS:
        return text
    shown = format(value, "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def whole(raw: Any) -> Value:
    found = number(raw)
    if found is not None:
        return found
    return int(raw) if isinstance(raw, float) and raw.is_integer() else plain(raw)


def date_text(raw: Any) -> str:
    """A date from ISO, `Feb 03, 2021`, or the Unix seconds of a midnight in UTC; anything else as it is."""
    seconds = number(raw)
    if seconds is not None:
        placed = stamp(seconds)
        midnight = placed is not None and placed % 86400 == 0
        return datetime.fromtimestamp(placed or 0, UTC).strftime("%Y-%m-%d") if midnight else str(raw)
    text = str(raw).strip()
    found = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|\+00:00)?)?", text)
    if found:
        return found[1]
    try:
        return datetime.strptime(text, "%b %d, %Y").strftime("%Y-%m-%d")
    except ValueError:
        return text


def encode(field: Field, value: Value, assumed: Assumed) -> Any:
    """Our value as Salesmate takes it; raises Rejected for one that it has no way to hold."""
    if not field.writable:
        raise Rejected(
            f"{field.label} cannot be written through Salesmate's API. Take it out of the mapping.", field.name
        )
    if value is None:
        return assumed.clear
    try:
        return encode_present(field, value, assumed)
    except ValueError:
        raise Rejected(
            f"Salesmate has no way to hold this value of {field.label}. Correct it in the other app.", field.name
        ) from None


def encode_present(field: Field, value: Value, assumed: Assumed) -> Any:
    if isinstance(value, list):
        return ",".join(stored_tags(value))
    if field.type is FieldType.OWNER:
        return int(str(value))
    if field.type is FieldType.DECIMAL:
        return decimal_number(str(value))
    if field.type is FieldType.DATE:
        return datetime.strptime(str(value), "%Y-%m-%d").strftime(assumed.date_format)
    if field.type is FieldType.DATETIME:
        moment = datetime.fromisoformat(str(value))
        if moment.tzinfo is None:
            raise ValueError("no zone")
        return moment.astimezone(UTC).strftime(assumed.datetime_format)
    return value


def decimal_number(text: str) -> int | float | str:
    """A JSON number where that is exact, else the text."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError("not a number") from None
    if not value.is_finite() or abs(value.adjusted()) > DIGITS:
        raise ValueError("not a number")
    if value == value.to_integral_value():
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else text
