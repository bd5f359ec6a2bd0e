"""Merge fields and their values: what Mailchimp takes for each type, and how it shows it again."""

import re
from collections.abc import Mapping
from typing import Any, Final

from sandbox.mailchimp.answers import BAD_MERGE, NO_JSON, Failure, invalid

TYPES: Final = frozenset(
    ["text", "number", "address", "phone", "date", "url", "imageurl", "radio", "dropdown", "birthday", "zip"]
)
LONGEST: Final = 255
ADDRESS: Final = ("addr1", "addr2", "city", "state", "zip", "country")
NEEDED: Final = ("addr1", "city", "state", "zip")
TAG: Final = re.compile(r"[A-Z0-9_]{1,10}")
DATE: Final = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")
BIRTHDAY: Final = re.compile(r"(?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12]\d|3[01])")
LINK: Final = re.compile(r"(?:https?://)?[\w.-]+\.[a-z]{2,}(?:[/?#]\S*)?", re.IGNORECASE)
BLANK: Final = "This value should not be blank."


def default_fields() -> dict[str, dict[str, Any]]:
    """What a new audience has."""
    made = [
        field(1, "FNAME", "First Name", "text", {"size": 25}),
        field(2, "LNAME", "Last Name", "text", {"size": 25}),
        field(3, "ADDRESS", "Address", "address", {"default_country": 164}),
        field(4, "PHONE", "Phone Number", "phone", {"phone_format": "none"}),
        field(5, "BIRTHDAY", "Birthday", "birthday", {"date_format": "MM/DD"}),
    ]
    return {one["tag"]: one for one in made}


def field(
    number: int, tag: str, name: str, kind: str, options: Mapping[str, Any] | None = None, required: bool = False
) -> dict[str, Any]:
    return {
        "merge_id": number,
        "tag": tag,
        "name": name,
        "type": kind,
        "required": required,
        "default_value": "",
        "public": True,
        "display_order": number + 1,
        "options": dict(options or {}),
        "help_text": "",
    }


def kept(fields: Mapping[str, Mapping[str, Any]], given: Any) -> dict[str, Any]:
    """The values of the known fields, as they are kept; unknown tags are silently ignored. Raises Failure."""
    if not isinstance(given, dict):
        raise NO_JSON
    values: dict[str, Any] = {}
    errors: list[tuple[str, str]] = []
    for tag, value in given.items():
        if tag not in fields:
            continue
        try:
            values[tag] = value_of(fields[tag], value)
        except ValueError as error:
            errors.append((tag, str(error)))
    if errors:
        raise invalid(BAD_MERGE, errors)
    return values


def value_of(field: Mapping[str, Any], value: Any) -> Any:
    """Raises ValueError with the words of the error."""
    if value in ("", None):
        return ""
    if field["type"] == "address":
        return address(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("This value should be of type string.")
    text = str(value).strip()
    if field["type"] == "number":
        return number(text)
    return text_value(field, text)


def text_value(field: Mapping[str, Any], text: str) -> str:
    if len(text) > LONGEST:
        raise ValueError(f"This value is too long. It should have {LONGEST} characters or less.")
    match field["type"]:
        case "date" if not DATE.fullmatch(text):
            raise ValueError("Please enter the date")
        case "birthday":
            if not BIRTHDAY.fullmatch(text):
                raise ValueError("Please enter your birthday in the format MM/DD")
            month, day = text.split("/")
            return f"{int(month):02}/{int(day):02}"
        case "url" | "imageurl" if not LINK.fullmatch(text):
            raise ValueError("Please enter a valid URL")
        case "zip" if not re.fullmatch(r"[\w -]{3,10}", text):
            raise ValueError("Please enter a zip code")
        case "radio" | "dropdown" if text not in field["options"].get("choices", []):
            raise ValueError("Value must be one of the choices")
    return text


def number(text: str) -> int | float:
    try:
        found = float(text)
    except ValueError:
        raise ValueError("Please enter a number") from None
    return int(found) if found == int(found) else found


def address(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("Please enter a complete address")
    parts = {name: str(value.get(name) or "").strip() for name in ADDRESS}
    if not any(parts.values()):
        return {}
    if any(not parts[name] for name in NEEDED):
        raise ValueError("Please enter a complete address")
    return {**parts, "country": parts["country"] or "US"}


def missing(fields: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]) -> Failure | None:
    """Whether a required field is empty."""
    empty = [tag for tag, one in fields.items() if one["required"] and values.get(tag, "") in ("", {})]
    return invalid(BAD_MERGE, [(tag, BLANK) for tag in empty]) if empty else None


def shown(fields: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of the audience, empty ones as ""."""
    return {tag: values.get(tag) or ("" if values.get(tag) != 0 else 0) for tag in fields}
