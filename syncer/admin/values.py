"""Contacts' values for people: in full, or masked to the first letter and the length."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from syncer.connectors.base import Field, Role
from syncer.engine.planner import WORDS
from syncer.engine.setup import fields_from
from syncer.models import Book, Link, Record

EMPTY, NOT_SAID = "(empty)", "(not reported)"
PERSONAL = re.compile(r"[^\s@<>()\"',;:]+@[^\s@<>()\"',;:]+|\+?[0-9][0-9 ()./-]{5,}[0-9]")
"""What is an e-mail address or a telephone number in a sentence."""
SHORTEST = 3


@dataclass(frozen=True)
class Eyes:
    """How values are shown to somebody: `full` or masked."""

    full: bool

    def see(self, value: Any) -> str:
        if value is None:
            return EMPTY
        if isinstance(value, list):
            return ", ".join(self.see(item) for item in value) if value else EMPTY
        if isinstance(value, bool):
            return ("yes" if value else "no") if self.full else "..."
        return str(value) if self.full else masked(str(value))

    def tell(self, text: str, *values: Mapping[str, Any] | None) -> str:
        """A sentence, which may quote one of these values: a reason of an app, or of ours."""
        if self.full or text == "":
            return text
        quoted = {one for found in values if found is not None for one in texts_in(list(found.values()))}
        for one in sorted(quoted, key=len, reverse=True):
            text = text.replace(one, masked(one)) if len(one) >= SHORTEST else text
        return PERSONAL.sub(lambda found: masked(found[0]), text)

    def see_json(self, found: Any) -> str:
        """A payload, spread out for reading."""
        return json.dumps(found if self.full else masked_all(found), indent=2, ensure_ascii=False)


def masked(text: str) -> str:
    count = f"{len(text)} character{'' if len(text) == 1 else 's'}"
    return f"{text[:1]}... ({count})" if text != "" else ""


def texts_in(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in texts_in(item)]
    return [value] if isinstance(value, str) else []


def masked_all(value: Any) -> Any:
    """Every text and number in it."""
    if isinstance(value, Mapping):
        return {key: masked_all(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked_all(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    return masked(str(value))


class Books:
    """The fields of books, each read once a page."""

    def __init__(self) -> None:
        self._fields: dict[int, dict[str, Field]] = {}

    def fields(self, book_id: int) -> dict[str, Field]:
        if book_id not in self._fields:
            schema = Book.objects.values_list("schema", flat=True).get(pk=book_id)
            self._fields[book_id] = fields_from(schema)
        return self._fields[book_id]

    def label(self, book_id: int, name: str) -> str:
        known = self.fields(book_id).get(name)
        return known.label if known is not None else name

    def value(self, record: Record, role: str) -> Any:
        found = next((one.name for one in self.fields(record.book_id).values() if one.role == role), None)
        return record.values.get(found) if found is not None else None

    def person(self, record: Record | None, eyes: Eyes) -> str:
        """Who it is: name and e-mail address, or else the app's id."""
        if record is None:
            return ""
        parts = [self.value(record, role) for role in (Role.GIVEN, Role.FAMILY)]
        names = [eyes.see(part) for part in parts if part is not None]
        name = " ".join(names) if names else self.seen(record, Role.FULL, eyes)
        email = self.seen(record, Role.EMAIL, eyes)
        found = f"{name} <{email}>" if name and email else name or email
        return found or f"contact {eyes.see(record.remote_id)}"

    def seen(self, record: Record, role: str, eyes: Eyes) -> str:
        value = self.value(record, role)
        return eyes.see(value) if value is not None else ""

    def of_link(self, link: Link | None, eyes: Eyes) -> str:
        return "" if link is None else self.person(link.left if link.left_id is not None else link.right, eyes)


def why(reason: Mapping[str, Any]) -> str:
    """A reason of a change, in words."""
    code = str(reason.get("why", ""))
    kept = "; what was there before stays in the history" if reason.get("lost") else ""
    return WORDS.get(code, code) + kept


def as_code(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
