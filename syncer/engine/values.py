"""Values as the engine keeps and compares them: canonical JSON, digests, absence, tags. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from connections.fieldtypes import InvalidValue, clean, fold
from syncer.connectors.base import Field, Value, Values


class Absent(Enum):
    """The app did not say: no news, and never the same as an explicit empty (None)."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


def canonical(data: Any) -> str:
    """The one spelling of a JSON document: sorted keys, no blanks, no floats (TypeError)."""
    refuse_floats(data)
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def refuse_floats(data: Any) -> None:
    if isinstance(data, float):
        raise TypeError("a float has no exact spelling: use an integer or a decimal text")
    if isinstance(data, Mapping):
        for value in data.values():
            refuse_floats(value)
    elif isinstance(data, list | tuple):
        for value in data:
            refuse_floats(value)


def digest(data: Any) -> str:
    return hashlib.sha256(canonical(data).encode()).hexdigest()


def cleaned(fields: Mapping[str, Field], raw: Values) -> tuple[dict[str, Value], dict[str, str]]:
    """The clean values of the known fields, and per field why a value could not be understood (it is then ABSENT)."""
    values: dict[str, Value] = {}
    problems: dict[str, str] = {}
    for name, value in raw.items():
        if name not in fields:
            continue
        try:
            values[name] = clean(fields[name].type, value)
        except InvalidValue as error:
            problems[name] = str(error)
    return values, problems


def tag_keys(tags: Value | Absent) -> dict[str, str]:
    """Tags by what is compared, in the app's spelling."""
    return {fold(tag): tag for tag in tags} if isinstance(tags, list) else {}


OPTED_OUT: Final = frozenset({"unsubscribed", "cleaned"})
UNSUBSCRIBED: Final = "unsubscribed"
"""The one status that is ever written to a contact that is there."""
ARCHIVED: Final = "archived"
"""Kept by the app, and no member any more: to write a status would bring it back."""


def opted_out(consent: Value | Absent) -> bool:
    """Whether this person must not be written to: they said so, or their address is dead."""
    return isinstance(consent, str) and fold(consent) in OPTED_OUT


def with_tag(tags: Value, tag: str) -> Value:
    return merged_tags(tags, add=[tag], remove=())


def without_tag(tags: Value, tag: str) -> Value:
    return merged_tags(tags, add=(), remove=[tag])


def merged_tags(tags: Value, add: Iterable[str], remove: Sequence[str]) -> Value:
    """The tags with some added and some removed; the spelling that is there stays."""
    kept = tag_keys(tags)
    for tag in remove:
        kept.pop(fold(tag), None)
    for tag in add:
        kept.setdefault(fold(tag), tag)
    return sorted(kept.values(), key=lambda tag: (fold(tag), tag)) if kept else None
