"""The fields of an audience: those that every member has, and one or more for each merge field.

A merge field is named by its tag ("FNAME"); the parts of an address and a birthday carry what they are behind a colon
("ADDRESS:city", "BIRTHDAY:day"), so that a member can be read without asking for the audience's fields first.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from syncer.connectors.base import Field, FieldType, Rejected, Role, Value, Values
from syncer.connectors.mailchimp.wire import Member, dicts, text
from syncer.connectors.tags import once

EMAIL: Final = "email_address"
STATUS: Final = "status"
TAGS: Final = "tags"
STATUSES: Final = (
    ("subscribed", "Subscribed"),
    ("pending", "Pending: Mailchimp asks them by mail to confirm"),
    ("unsubscribed", "Unsubscribed"),
    ("transactional", "Transactional: never subscribed"),
)
FIXED: Final = (
    Field(EMAIL, "Email Address", FieldType.EMAIL, Role.EMAIL, required=True),
    Field(STATUS, "Email marketing status", FieldType.CONSENT, "consent", choices=STATUSES),
    Field(TAGS, "Tags", FieldType.TAGS, Role.TAGS),
    Field("language", "Language", FieldType.TEXT),
    Field("vip", "VIP", FieldType.BOOLEAN),
)
KNOWN: Final = {field.name: field for field in FIXED}
LONGEST: Final = 255
PARTS: Final = (
    ("addr1", "Street"),
    ("addr2", "Street, second line"),
    ("city", "City"),
    ("state", "State"),
    ("zip", "Postcode"),
    ("country", "Country"),
)
NEEDED: Final = ("addr1", "city", "state", "zip")
BIRTHDAY: Final = "day"
# What Mailchimp's own standard fields are, by tag and type. An address is left out: Mailchimp takes one only with a
# state, which most apps do not have, so it is mapped by whoever wants it.
ROLES: Final[Mapping[tuple[str, str], str]] = {
    ("FNAME", "text"): Role.GIVEN,
    ("LNAME", "text"): Role.FAMILY,
    ("PHONE", "phone"): Role.PHONE_MOBILE,
    ("BIRTHDAY", "birthday"): Role.BIRTHDAY,
    ("COMPANY", "text"): Role.ORGANIZATION,
    ("JOBTITLE", "text"): Role.TITLE,
    ("WEBSITE", "url"): Role.URL,
}
TYPES: Final[Mapping[str, FieldType]] = {
    "text": FieldType.TEXT,
    "number": FieldType.DECIMAL,
    "phone": FieldType.PHONE,
    "date": FieldType.DATE,
    "url": FieldType.URL,
    "imageurl": FieldType.URL,
    "radio": FieldType.CHOICE,
    "dropdown": FieldType.CHOICE,
    "birthday": FieldType.DATE,
    "zip": FieldType.TEXT,
}
TAG: Final = re.compile(r"[A-Z0-9_]{1,50}")
MONTH_AND_DAY: Final = re.compile(r"(\d{1,2})/(\d{1,2})")
INCOMPLETE: Final = "Mailchimp takes an address only with street, city, state and postcode. Fill in what is missing."


def schema(merge_fields: Sequence[Mapping[str, Any]]) -> list[Field]:
    """All fields of an audience, in Mailchimp's order; merge fields of a type that is not known are left out."""
    ordered = sorted(merge_fields, key=lambda one: (one.get("display_order") or 0, one.get("merge_id") or 0))
    return [*FIXED, *(field for one in ordered for field in of_merge_field(one))]


def of_merge_field(one: Mapping[str, Any]) -> list[Field]:
    tag, label, kind = text(one.get("tag")), text(one.get("name")), text(one.get("type"))
    if TAG.fullmatch(tag) is None:
        return []
    required = one.get("required") is True
    if kind == "address":
        return [
            Field(f"{tag}:{part}", f"{label}: {words}", FieldType.TEXT, max_length=LONGEST, custom=tag != "ADDRESS")
            for part, words in PARTS
        ]
    if kind not in TYPES:
        return []
    role = ROLES.get((tag, kind), "")
    found = TYPES[kind]
    choices = [choice for choice in (one.get("options") or {}).get("choices") or [] if isinstance(choice, str)]
    return [
        Field(
            f"{tag}:{BIRTHDAY}" if kind == "birthday" else tag,
            label or tag,
            found,
            role,
            required=required,
            max_length=LONGEST if found is FieldType.TEXT else None,
            choices=tuple((choice, choice) for choice in choices) if found is FieldType.CHOICE else (),
            custom=not role,
        )
    ]


NEW_AUDIENCE: Final = (
    {"tag": "FNAME", "name": "First Name", "type": "text"},
    {"tag": "LNAME", "name": "Last Name", "type": "text"},
    {"tag": "ADDRESS", "name": "Address", "type": "address"},
    {"tag": "PHONE", "name": "Phone Number", "type": "phone"},
    {"tag": "BIRTHDAY", "name": "Birthday", "type": "birthday"},
)
"""The merge fields that Mailchimp gives a new audience; people add others, and take these away."""
STANDARD: Final = tuple(schema(NEW_AUDIENCE))

# Reading


def observed(member: Member, asked: Sequence[str]) -> dict[str, Value]:
    """The values of the fields asked for; what the answer does not hold is left out."""
    found: dict[str, Value] = {}
    merge = member.get("merge_fields")
    for name in asked:
        tag, _, part = name.partition(":")
        if name == TAGS:
            found |= {TAGS: tags_of(member)} if isinstance(member.get(TAGS), list) else {}
        elif name == "vip":
            found |= {name: member["vip"] is True} if "vip" in member else {}
        elif name in KNOWN:
            found |= {name: text(member[name]) or None} if name in member else {}
        elif isinstance(merge, Mapping) and tag in merge:
            found[name] = merge_value(merge[tag], part)
    return found


def tags_of(member: Member) -> Value:
    return once(text(tag.get("name")) for tag in dicts(member.get(TAGS))) or None


def merge_value(value: Any, part: str) -> Value:
    if part == BIRTHDAY:
        day = MONTH_AND_DAY.fullmatch(text(value))
        return f"--{int(day[1]):02}-{int(day[2]):02}" if day is not None else None
    if part:
        return (text(value.get(part)).strip() or None) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return plain(value) if not isinstance(value, str) else value.strip() or None


def plain(value: int | float) -> str:
    return format(Decimal(repr(value)), "f")


# Writing


def body(values: Values, types: Mapping[str, str], now: Member) -> dict[str, Any]:
    """What a write sends of these values, but for tags and status. `types` are those of the merge fields by tag; `now`
    is the member as it is (its addresses are sent whole), empty for a new one. Raises Rejected."""
    sent: dict[str, Any] = {}
    merge: dict[str, Any] = {}
    for name, value in values.items():
        tag, _, part = name.partition(":")
        if name in (TAGS, STATUS):
            continue
        if name == EMAIL and not value:
            raise Rejected("A Mailchimp contact needs an e-mail address.", EMAIL)
        if name in KNOWN:
            sent[name] = value if name == "vip" else value or ""
        elif tag not in types:
            raise Rejected("Mailchimp has no such field any more. Refresh the fields of this account.", name)
        elif part and part != BIRTHDAY:
            merge[tag] = {**address_of(now, tag), **merge.get(tag, {}), part: value or ""}
        else:
            merge[tag] = encoded(types[tag], value, name)
    for tag in [tag for tag, value in merge.items() if isinstance(value, dict)]:
        merge[tag] = whole(merge[tag], tag)
    return {**sent, **({"merge_fields": merge} if merge else {})}


def address_of(now: Member, tag: str) -> dict[str, str]:
    merge = now.get("merge_fields")
    value = merge.get(tag) if isinstance(merge, Mapping) else None
    return {part: text(value.get(part)) for part, _ in PARTS} if isinstance(value, Mapping) else {}


def whole(address: dict[str, str], tag: str) -> Any:
    """An address as Mailchimp takes it: with all that it needs, or empty."""
    if not any(address.get(part) for part, _ in PARTS if part != "country"):
        return ""
    missing = next((part for part in NEEDED if not address.get(part)), "")
    if missing:
        raise Rejected(INCOMPLETE, f"{tag}:{missing}")
    return {part: value for part, value in address.items() if value}


def encoded(kind: str, value: Value, name: str) -> Any:
    if value is None:
        return ""
    if kind == "birthday":
        return f"{str(value)[-5:-3]}/{str(value)[-2:]}"
    if kind == "number":
        try:
            found = Decimal(str(value))
        except InvalidOperation:
            raise Rejected("This has to be a number.", name) from None
        return int(found) if found == found.to_integral_value() else float(found)
    return value


def stored(field: Field, value: Value) -> Value:
    """How Mailchimp will show a value: a birthday without its year, a number as a machine keeps it."""
    if isinstance(value, list):
        return once(value) or None
    if field.name.endswith(f":{BIRTHDAY}") and isinstance(value, str):
        return f"--{value[-5:]}"
    if field.type is FieldType.DECIMAL and isinstance(value, str):
        try:
            return plain(float(value))
        except ValueError:
            return value
    return value
