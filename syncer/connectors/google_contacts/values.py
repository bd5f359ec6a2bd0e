"""What the items of a person's field say, and how a change of one is put into the list of them.

A field of a person is a list of items: phone numbers, addresses, names. A change replaces the whole list in Google, so
what it does not concern goes back as it was read: other labels, other items, what we do not map. Only what Google
alone writes is left out.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, TypeAlias

from syncer.connectors.base import Value
from syncer.connectors.google_contacts.wire import Person, inner

Item: TypeAlias = Mapping[str, Any]
Items: TypeAlias = Sequence[Item]
Pick: TypeAlias = Callable[[Items], int | None]
"""Which of the items; None where it is none of them."""

# "Output only" in Google's description.
OUTPUT_ONLY: Final = frozenset({"formattedType", "canonicalForm", "displayNameLastFirst"})
OF_NAMES: Final = frozenset({"displayName"})
NAME_PARTS: Final = ("givenName", "familyName", "middleName", "honorificPrefix", "honorificSuffix")
OF_METADATA: Final = frozenset({"primary", "verified"})
# What is no content of its own: an item of nothing else goes.
FRAME: Final = OUTPUT_ONLY | {"metadata", "type", "formattedValue", "countryCode", "contentType"}
FULL_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
YEARLESS: Final = re.compile(r"--([0-9]{2})-([0-9]{2})")


class Unreadable(Exception):
    """A value has a shape that no field can have; the text is for people and holds no value."""


class Unfit(ValueError):
    """A value that Google has no place for; the text is for people."""


def items_of(person: Person, mask: str) -> list[Item]:
    """The items of a contact's own, the primary one first. Raises Unreadable."""
    found = person.get(mask, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise Unreadable(f"Google shows {mask} in a form that is not known here.")
    own = [item for item in found if inner(item, "metadata", "source", "type") in (None, "CONTACT")]
    return sorted(own, key=rank)


def rank(item: Item) -> tuple[bool, bool]:
    """The primary item of the contact itself, which can be written, comes before the one that Google makes of all
    sources."""
    metadata = item.get("metadata")
    said = metadata if isinstance(metadata, dict) else {}
    return said.get("sourcePrimary") is not True, said.get("primary") is not True


def sendable(mask: str, items: Items) -> list[dict[str, Any]]:
    """The items without what Google alone writes."""
    drop = OUTPUT_ONLY | OF_NAMES if mask == "names" else OUTPUT_ONLY
    return [sendable_item({key: value for key, value in item.items() if key not in drop}) for item in items]


def sendable_item(item: dict[str, Any]) -> dict[str, Any]:
    metadata = item.pop("metadata", None)
    if isinstance(metadata, dict):
        kept = {key: value for key, value in metadata.items() if key not in OF_METADATA}
        if isinstance(kept.get("source"), dict):
            kept["source"] = sendable_source(kept["source"])
        return {**item, "metadata": kept} if kept else item
    return item


def sendable_source(source: Item) -> dict[str, Any]:
    return {key: value for key, value in source.items() if key not in ("updateTime", "profileMetadata")}


def shown(item: Item, key: str) -> str | None:
    """A text in an item; None for an empty one. Raises Unreadable."""
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise Unreadable(f"Google shows {key} in a form that is not known here.")
    return value if value is not None and value.strip() else None


def wanted_text(value: Value) -> str | None:
    """The text to write; None for nothing. Raises Unfit."""
    if value is not None and not isinstance(value, str):
        raise Unfit("Google holds a text here, and this value is none.")
    return value if value is not None and value.strip() else None


class Emptied(dict[str, Any]):
    """An item of which nothing is left. It keeps its place until all fields are written: without it, the next one would
    land in another item."""


def without_emptied(items: Items) -> list[Item]:
    return [item for item in items if not isinstance(item, Emptied)]


# Which item


def first(items: Items) -> int | None:
    return 0 if items else None


def of_type(*types: str) -> Pick:
    """The first one with one of these labels; "" stands for none."""

    def pick(items: Items) -> int | None:
        return next((index for index, item in enumerate(items) if label(item) in types), None)

    return pick


def besides_the_first(*types: str) -> Pick:
    def pick(items: Items) -> int | None:
        found = of_type(*types)(items[1:])
        return None if found is None else found + 1

    return pick


def structured(*types: str) -> Pick:
    """The first address with one of these labels that has parts, or is Emptied: one in free form cannot be changed part
    by part."""

    def fits(item: Item) -> bool:
        return label(item) in types and (isinstance(item, Emptied) or not bare(item))

    def pick(items: Items) -> int | None:
        return next((index for index, item in enumerate(items) if fits(item)), None)

    return pick


def with_key(key: str) -> Pick:
    def pick(items: Items) -> int | None:
        return next((index for index, item in enumerate(items) if item.get("key") == key), None)

    return pick


def label(item: Item) -> str:
    found = item.get("type")
    return found.casefold() if isinstance(found, str) else ""


def bare(item: Item) -> bool:
    return all(key in FRAME or value in (None, "") for key, value in item.items())


# Reading and writing


@dataclass(frozen=True)
class Spot:
    """A text within a person: the item of `mask` that `pick` chooses, and its `key`.

    `fresh` is an item made for it. `derived` goes when the text changes: it was made of the old one. `sets` comes with
    a new text. `whole`: without this text the item is nothing. `not_alone`: why this item cannot be the only one."""

    mask: str
    key: str
    pick: Pick
    fresh: Item = field(default_factory=dict)
    derived: frozenset[str] = frozenset()
    sets: Item = field(default_factory=dict)
    whole: bool = False
    not_alone: str = ""

    def read(self, items: Items) -> list[Value]:
        index = self.pick(items)
        return [None if index is None else shown(self.opened(items[index]), self.key)]

    def write(self, items: Items, value: Value) -> list[Item]:
        """With Emptied in the place of an item that has nothing left. Raises Unfit."""
        index, wanted = self.pick(items), wanted_text(value)
        if index is None:
            if wanted is None:
                return list(items)
            if self.not_alone and not without_emptied(items):
                raise Unfit(self.not_alone)
            return [*items, {**self.fresh, **self.sets, self.key: wanted}]
        before, behind = items[:index], items[index + 1 :]
        changed = {key: held for key, held in self.opened(items[index]).items() if key not in self.derived}
        changed.pop(self.key, None)
        if wanted is not None:
            changed |= {**self.sets, self.key: wanted}
        elif self.whole or bare(changed):
            changed = Emptied(changed)
        return [*before, changed, *behind]

    def opened(self, item: Item) -> Item:
        """A name in free form alone is one whose given name is all of it."""
        if self.mask != "names" or "unstructuredName" not in item:
            return item
        has_parts = any(item.get(part) for part in NAME_PARTS)
        return item if has_parts else {**item, "givenName": item["unstructuredName"]}


class Birthday:
    """A date, or one without a year; free text alone cannot be expressed and is left out (ABSENT)."""

    mask: Final = "birthdays"

    def read(self, items: Items) -> list[Value]:
        if not items:
            return [None]
        year, month, day = (number(inner(items[0], "date", part)) for part in ("year", "month", "day"))
        if not items[0].get("date") and not items[0].get("text"):
            return [None]
        try:
            date(year or 2000, month, day)
        except (ValueError, OverflowError):
            return []
        return [f"{year:04}-{month:02}-{day:02}" if year else f"--{month:02}-{day:02}"]

    def write(self, items: Items, value: Value) -> list[Item]:
        wanted = wanted_text(value)
        if wanted is None:
            return []
        frame = {key: held for key, held in items[0].items() if key not in ("date", "text")} if items else {}
        return [{**frame, "date": date_of(wanted)}]


def number(found: Any) -> int:
    return found if type(found) is int else 0


def date_of(wanted: str) -> dict[str, int]:
    """Raises Unfit."""
    full, yearless = FULL_DATE.fullmatch(wanted), YEARLESS.fullmatch(wanted)
    parts = full.groups() if full is not None else ("0", *yearless.groups()) if yearless is not None else None
    try:
        if parts is None:
            raise ValueError
        year, month, day = map(int, parts)
        date(year if full is not None else 2000, month, day)
    except ValueError:
        raise Unfit("A birthday must be a date like 1996-04-15, or --04-15 without a year.") from None
    return {"year": year, "month": month, "day": day} if year else {"month": month, "day": day}
