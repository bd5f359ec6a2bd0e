"""Google's labels, as our tags: groups of contacts that people made themselves (README.md, 6)."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from syncer.connectors.base import Rejected, Stale
from syncer.connectors.google_contacts import wire
from syncer.connectors.google_contacts.client import Client
from syncer.connectors.google_contacts.errors import Missing, Taken
from syncer.connectors.google_contacts.fields import TAGS
from syncer.connectors.google_contacts.wire import Person, dicts, inner, text
from syncer.connectors.tags import once

NAME_TAKEN: Final = "Google keeps this name for a group of its own. Give the tag another name."
NAME_REFUSED: Final = "Google does not take this name for a label. Change the tag in the other app."


class Labels:
    """The groups of one account by their ids, read when they are first needed and then as often as they must be."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names: dict[str, str] | None = None
        self._system: dict[str, str] = {}
        self._read_at = 0.0

    def refresh(self) -> None:
        """Read all groups anew (one call)."""
        self._read_at = self._client.clock()
        groups = self._client.groups()
        own = [group for group in groups if group.get("groupType") == "USER_CONTACT_GROUP"]
        self._names = {text(group.get("resourceName")): text(group.get("name")).strip() for group in own}
        self._system = {
            text(group.get("resourceName")): text(group.get("name"))
            for group in groups
            if text(group.get("resourceName")) not in self._names
        }

    def renew(self) -> None:
        """Read them where they were not read just now: a label may have another name since."""
        if self._names is None or self._client.clock() - self._read_at >= self._client.assumed.labels_good_for:
            self.refresh()

    def forget(self) -> None:
        """They are others than we believed."""
        self._names = None

    @property
    def names(self) -> Mapping[str, str]:
        """The names of the labels by their ids."""
        if self._names is None:
            self.refresh()
        return self._names or {}

    def digests(self) -> dict[str, str]:
        """A short hash of each name, by which another one is told."""
        return {group: hashlib.sha256(name.encode()).hexdigest()[:12] for group, name in self.names.items()}

    def learn(self, people: Iterable[Person]) -> None:
        """Read the groups anew where one of these contacts is in one that we do not know."""
        used = {group for person in people for group in groups_of(person)}
        if not used <= {*self.names, *self._system}:
            self.refresh()

    def of(self, person: Person) -> list[str] | None:
        """The labels of a contact. Raises KeyError where it is in a group that is not known."""
        own = [self.names.get(group) or self._system[group] for group in groups_of(person)]
        found = [name for group, name in zip(groups_of(person), own, strict=True) if group in self.names and name]
        return once(found) or None

    def ids_of(self, tag: str) -> list[str]:
        """The labels of this name, whatever its case; the one spelled the same first."""
        same = [group for group, name in self.names.items() if name.casefold() == tag.strip().casefold()]
        return sorted(same, key=lambda group: self.names[group] != tag.strip())

    def made(self, tag: str) -> str:
        """The label of this name, made where there is none. Raises Rejected."""
        found = self.ids_of(tag)
        if found:
            return found[0]
        try:
            group = text(self._client.create_group(tag.strip()).get("resourceName"))
        except Taken:
            self.refresh()
            found = self.ids_of(tag)
            if not found:
                raise Rejected(NAME_TAKEN, TAGS) from None
            return found[0]
        except (Rejected, Stale):
            raise Rejected(NAME_REFUSED, TAGS) from None
        if self._names is not None and group:
            self._names[group] = tag.strip()
        return group or self.found_again(tag)

    def found_again(self, tag: str) -> str:
        self.refresh()
        found = self.ids_of(tag)
        if not found:
            raise Missing(NAME_REFUSED, TAGS)
        return found[0]

    def my_contacts(self) -> str:
        """The group of all that people see as their contacts."""
        own = [group for group, name in self._system.items() if name == wire.MY_CONTACTS]
        return own[0] if own else f"contactGroups/{wire.MY_CONTACTS}"


def groups_of(person: Person) -> list[str]:
    found = [inner(item, "contactGroupMembership", "contactGroupResourceName") for item in memberships(person)]
    return [group for group in found if isinstance(group, str)]


def memberships(person: Person) -> list[dict[str, Any]]:
    return dicts(person.get("memberships"))
