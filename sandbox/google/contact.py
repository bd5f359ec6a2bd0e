"""One contact as Google keeps it, and what may become of it. Pure: gives back a new one, or raises Failure."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sandbox.google import schema
from sandbox.google.answers import NO_ETAG, NO_GROUP, STALE, invalid

MY_CONTACTS: Final = "myContacts"
# System groups to which contacts can be added; the others are of old.
JOINABLE: Final = frozenset({MY_CONTACTS, "starred"})
Fields = Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Contact:
    """`fields` hold what was written, without what Google computes; `groups` are ids. `version` moves with every
    change, of memberships too. `profile` is what a linked Google profile adds; `previous` are resource names of old."""

    id: str
    resource: str
    fields: Fields
    groups: tuple[str, ...]
    version: int
    updated: datetime
    profile: Fields = field(default_factory=dict)
    previous: tuple[str, ...] = ()
    deleted: bool = False

    def etag(self) -> str:
        return "%" + self._mark("person")

    def source_etag(self) -> str:
        return "#" + self._mark("source")

    def _mark(self, what: str) -> str:
        digest = sha256(f"{what}:{self.id}:{self.version}:{self.resource}".encode()).digest()
        return base64.b64encode(digest[:10]).decode()


def resource_of(source_id: str) -> str:
    """The name of a person is made of the id of its contact: the same number, in decimal."""
    return f"people/c{int(source_id, 16)}"


def content(person: Mapping[str, Any], names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """What is kept of a person that was read by schema.PERSON, of these fields. Memberships are kept apart."""
    kept: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        items = [item for item in person.get(name, ()) if set(item) - {"metadata"}]
        if name in schema.SINGLE and len(items) > 1:
            raise invalid(f"Cannot have more than one person.{name} per source.")
        if sum("sourcePrimary" in item.get("metadata", {}) for item in items) > 1:
            raise invalid(f"Cannot have more than one primary person.{name} per source.")
        if items and name != "memberships":
            kept[name] = [one(name, item) for item in items]
    return kept


def one(name: str, item: dict[str, Any]) -> dict[str, Any]:
    for date in ("date", "startDate", "endDate"):
        if date in item:
            check_date(item[date])
    if name == "names":
        return {**named(item), **{part: item[part] for part in ("metadata",) if part in item}}
    if name == "biographies":
        kind = item.get("contentType", "")
        return {**item, "contentType": kind if kind.startswith("TEXT_") else "TEXT_PLAIN"}
    return item


def check_date(date: Mapping[str, int]) -> None:
    year, month, day = (date.get(part, 0) for part in ("year", "month", "day"))
    try:
        datetime(year or 2000, month or 1, day or 1)
    except ValueError:
        raise invalid() from None


def named(item: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a name. The whole is made of them; where only the whole was given, they are made of it."""
    parts = {part: text for part, text in item.items() if part not in ("metadata", "unstructuredName")}
    whole = item.get("unstructuredName", "").split()
    if not set(parts) & {"givenName", "middleName", "familyName", "honorificPrefix", "honorificSuffix"}:
        first, last = (whole[:-1], whole[-1:]) if len(whole) > 1 else (whole, [])
        parts |= {name: " ".join(words) for name, words in (("givenName", first), ("familyName", last)) if words}
    return parts


def memberships(person: Mapping[str, Any], known: Iterable[str], had: Iterable[str] = ()) -> tuple[str, ...]:
    """The ids of the groups that a person names, in their order. Raises Failure."""
    found = []
    for item in person.get("memberships", ()):
        name = item.get("contactGroupMembership", {}).get("contactGroupResourceName", "")
        if name:
            found.append(name.removeprefix("contactGroups/"))
    joinable = {*known, *had}
    if not set(found) <= joinable:
        raise invalid()
    return tuple(dict.fromkeys(found))


def created(person: Mapping[str, Any], source_id: str, version: int, at: datetime, groups: Iterable[str]) -> Contact:
    """`groups` are those that a contact can be added to; every new contact is in myContacts too."""
    inside = tuple(dict.fromkeys((*memberships(person, groups), MY_CONTACTS)))
    return Contact(source_id, resource_of(source_id), content(person, schema.WRITABLE), inside, version, at)


def check_etags(contact: Contact, person: Mapping[str, Any]) -> None:
    """Of an update. A source of the kind CONTACT must be there, and one etag at least; each that is given must fit."""
    sources = [source for source in person.get("metadata", {}).get("sources", ()) if source.get("type") == "CONTACT"]
    given = [sources[0].get("etag", ""), person.get("etag", "")] if sources else []
    if not any(given):
        raise NO_ETAG
    if given[0] not in ("", contact.source_etag()) or given[1] not in ("", contact.etag()):
        raise STALE


def updated(contact: Contact, person: Mapping[str, Any], names: Iterable[str], groups: Iterable[str]) -> Contact:
    """Each field of the mask is replaced as a whole. Version and time are for the account to move."""
    names = tuple(names)
    fields = {name: items for name, items in contact.fields.items() if name not in names} | content(person, names)
    if "memberships" not in names:
        return replace(contact, fields=fields)
    inside = memberships(person, groups, contact.groups)
    if not inside:
        raise NO_GROUP
    return replace(contact, fields=fields, groups=inside)
