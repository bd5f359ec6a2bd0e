"""The contacts and groups of one Google user, and what people do to them."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from portal.clock import Clock
from sandbox.google import contact as contacts
from sandbox.google import schema
from sandbox.google.answers import NOT_FOUND, SAME_NAME, invalid, over_limit
from sandbox.google.contact import JOINABLE, MY_CONTACTS, Contact
from sandbox.google.feed import Feed
from sandbox.google.group import SYSTEM, Group
from sandbox.google.levers import Levers
from sandbox.google.tokens import Listing


class Account:
    """`region` is where its phone numbers without a country are from. The `person_*` methods are what people do on
    Google's own pages; what they pass is checked as the API would check it, and raises Failure."""

    def __init__(self, email: str, clock: Clock, levers: Levers, seed: int = 1, region: str = "US") -> None:
        self.email, self.clock, self.levers, self.region = email, clock, levers, region
        self.contacts: dict[str, Contact] = {}
        self.groups: dict[str, Group] = {}
        self.feed = Feed()
        self.version = 0
        self.passes: dict[str, Listing] = {}
        self._spent: dict[str, tuple[int, int]] = {}
        self._random = random.Random(f"{seed}:{email}")
        self.born = self.new_id()

    def new_id(self) -> str:
        """Sixteen hexadecimal digits, as the ids of sources and groups have."""
        return f"{self._random.getrandbits(63) | 1 << 62:016x}"

    def next_version(self) -> int:
        self.version += 1
        return self.version

    # Contacts

    def find(self, resource: str) -> Contact:
        """By its name, or by one that it had. Raises Failure."""
        for contact in self.contacts.values():
            if resource == contact.resource or (self.levers.old_names_work and resource in contact.previous):
                return contact
        raise NOT_FOUND

    def draft(self, person: Mapping[str, Any]) -> Contact:
        """A new contact of a person read by schema.PERSON; put() keeps it. Raises Failure."""
        made = contacts.created(person, self.new_id(), 0, self.clock.now(), self.joinable())
        return self.draft(person) if made.id in self.contacts else made

    def joinable(self) -> set[str]:
        return {*JOINABLE, *(group.id for group in self.living_groups())}

    def put(self, changed: Iterable[Contact]) -> list[Contact]:
        """Keeps them as changed now."""
        now = self.clock.now()
        kept = [replace(contact, version=self.next_version(), updated=now) for contact in changed]
        for contact in kept:
            self.contacts[contact.id] = contact
            self._tell(contact)
        return kept

    def remove(self, gone: Iterable[Contact]) -> None:
        for contact in gone:
            del self.contacts[contact.id]
            self._tell(replace(contact, deleted=True, version=self.next_version(), updated=self.clock.now()))

    def _tell(self, contact: Contact) -> None:
        self.feed.put(contact, self.clock.now() + timedelta(seconds=self.levers.feed_delay))

    def catch_up(self) -> None:
        """Sync requests see everything that was done so far."""
        self.feed.catch_up()

    def person_create(self, **fields: Any) -> str:
        """The resource name of a new contact."""
        return self.put([self.draft(schema.PERSON(fields, "person"))])[0].resource

    def person_edit(self, resource: str, **fields: Any) -> None:
        """Each field is replaced as a whole; an empty list clears it."""
        person, names = schema.PERSON(fields, "person"), editable(fields)
        self.put([contacts.updated(self.find(resource), person, names, self.joinable())])

    def person_delete(self, resource: str) -> None:
        self.remove([self.find(resource)])

    def person_rename(self, resource: str) -> str:
        """As when a profile comes to be linked, or no longer is: the contact has another resource name."""
        contact = self.find(resource)
        new = contacts.resource_of(self.new_id())
        self.put([replace(contact, resource=new, previous=(*contact.previous, contact.resource))])
        return new

    def person_link(self, resource: str, **fields: Any) -> None:
        """A Google profile with these fields comes to be part of the contact."""
        profile = contacts.content(schema.PERSON(fields, "person"), editable(fields))
        self.put([replace(self.find(resource), profile=profile)])

    # Groups

    def group(self, resource: str) -> Group:
        """One that a person made. Raises Failure."""
        found = self.groups.get(resource.removeprefix("contactGroups/"))
        if found is None or found.deleted:
            raise NOT_FOUND
        return found

    def living_groups(self) -> list[Group]:
        return [group for group in self.groups.values() if not group.deleted]

    def members(self, group_id: str) -> list[Contact]:
        return [contact for contact in self.contacts.values() if group_id == "all" or group_id in contact.groups]

    def check_name(self, name: str, but: str = "") -> None:
        if not name.strip():
            raise invalid()
        taken = {*SYSTEM, *(group.name for group in self.living_groups() if group.id != but)}
        if name in taken:
            raise SAME_NAME

    def keep_group(self, group: Group) -> Group:
        kept = replace(group, position=self.next_version(), updated=self.clock.now())
        self.groups[kept.id] = kept
        return kept

    def make_group(self, name: str, client_data: Sequence[dict[str, Any]] = ()) -> Group:
        self.check_name(name)
        return self.keep_group(Group(self.new_id(), name, self.clock.now(), 0, tuple(client_data)))

    def drop_group(self, group: Group, with_contacts: bool = False) -> None:
        """Its members leave it; whom that leaves without any group comes to be in myContacts."""
        members = self.members(group.id)
        self.keep_group(replace(group, deleted=True))
        if with_contacts:
            self.remove(members)
            return
        left = [(member, tuple(one for one in member.groups if one != group.id)) for member in members]
        self.put(replace(member, groups=others or (MY_CONTACTS,)) for member, others in left)

    def person_make_group(self, name: str) -> str:
        return self.make_group(name).resource

    def person_regroup(self, resource: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Labels put on a contact and taken from it, by the groups' resource names."""
        contact = self.find(resource)
        ids = [name.removeprefix("contactGroups/") for name in add]
        gone = {name.removeprefix("contactGroups/") for name in remove}
        if not set(ids) <= self.joinable():
            raise NOT_FOUND
        kept = tuple(one for one in dict.fromkeys((*contact.groups, *ids)) if one not in gone)
        if not kept:
            raise invalid()
        self.put([replace(contact, groups=kept)])

    def clear(self) -> None:
        """Empty, and no token of before is any good."""
        self.contacts.clear()
        self.groups.clear()
        self.passes.clear()
        self._spent.clear()
        self.feed = Feed()
        self.born = self.new_id()

    def spend(self, cost: str) -> None:
        """One of this minute's reads, writes or full_syncs. Raises Failure when there are none left."""
        limit: int | None = getattr(self.levers, cost)
        minute, count = int(self.clock.now().timestamp()) // 60, 0
        if self._spent.get(cost, (minute, 0))[0] == minute:
            count = self._spent.get(cost, (minute, 0))[1]
        if limit is not None and count >= limit:
            raise over_limit(self.levers.limit_form, cost)
        self._spent[cost] = (minute, count + 1)

    def state(self) -> tuple[Any, ...]:
        """All that a write can change, for put_back(); but no version and so no etag comes twice."""
        feed = replace(self.feed, shown=dict(self.feed.shown), waiting=list(self.feed.waiting))
        return dict(self.contacts), dict(self.groups), feed

    def put_back(self, state: tuple[Any, ...]) -> None:
        self.contacts, self.groups, self.feed = state


def editable(fields: Iterable[str]) -> list[str]:
    """Raises ValueError for what is no field of a person, or none that people fill in."""
    wrong = sorted(set(fields) - schema.WRITABLE)
    if wrong:
        raise ValueError(f"no such field: {', '.join(wrong)}")
    return sorted(fields)
