"""One audience: its members, their tags, its merge fields, and what happens to them."""

import hashlib
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Final

from portal.clock import Clock
from sandbox.mailchimp import merging
from sandbox.mailchimp.answers import (
    BAD_ADDRESS,
    CANNOT_ARCHIVE,
    NOT_FOUND,
    exists,
    fake,
    forgotten,
    in_compliance_state,
    invalid,
    many_lists,
)
from sandbox.mailchimp.calling import Caller
from sandbox.mailchimp.levers import Levers

ADDRESS: Final = re.compile(r"[^@\s,;:<>()\[\]\"]+@(?:[a-z0-9-]+\.)+[a-z]{2,}", re.IGNORECASE)
WRITABLE: Final = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional")
PATCHABLE: Final = ("subscribed", "unsubscribed", "cleaned", "pending")


@dataclass
class Member:
    """`compliance`: the person unsubscribed, or the address bounced; only the person can come back."""

    email: str
    status: str
    contact_id: str
    web_id: int
    merge: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    compliance: bool = False
    source: str = "API - Generic"
    opted: str = ""
    changed: str = ""

    @property
    def id(self) -> str:
        return id_of(self.email)


def id_of(email: str) -> str:
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()


class Audience:
    """The `person_*` methods are what people do on Mailchimp's own pages, or by the links in its mails. `heard` is told
    of each change that webhooks can tell of: (event, who did it, what it says)."""

    def __init__(self, id: str, name: str, clock: Clock, levers: Levers, seed: int = 1) -> None:
        self.id, self.name, self.clock, self.levers = id, name, clock, levers
        self.fields = merging.default_fields()
        self.members: dict[str, Member] = {}
        self.forgotten: set[str] = set()
        self.hooks: dict[str, dict[str, Any]] = {}
        self.heard: Callable[[str, str, Mapping[str, Any]], None] = lambda event, source, told: None
        self.calls = Caller()
        self._tags: dict[str, int] = {}
        self._chance = random.Random(f"{seed}:{id}")
        self._web = 400_000_000 + self._chance.randrange(10**6)

    def now(self) -> str:
        return self.clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")

    def new_id(self, digits: int = 32) -> str:
        return f"{self._chance.getrandbits(digits * 4):0{digits}x}"

    def clear(self) -> None:
        self.members.clear()
        self.forgotten.clear()
        self._tags.clear()

    # Finding

    def find(self, key: str) -> Member:
        """By the hash of the address, the address, or the contact_id. Raises Failure."""
        member = self.members.get(id_of(key) if "@" in key else key)
        if member is None and self.levers.contact_ids:
            member = next((one for one in self.members.values() if one.contact_id == key), None)
        if member is None:
            raise NOT_FOUND
        return member

    def by_address(self, email: str) -> Member | None:
        return self.members.get(id_of(email))

    # Changing

    def check_address(self, email: Any) -> str:
        if not isinstance(email, str) or ADDRESS.fullmatch(email.strip()) is None:
            raise BAD_ADDRESS
        stripped: str = email.strip()
        if stripped.lower() in self.levers.fake:
            raise fake(stripped)
        return stripped

    def add(self, body: Mapping[str, Any], status: Any, skip_required: bool = False, source: str = "api") -> Member:
        """A new member, or an archived one that comes back. Raises Failure."""
        email = self.check_address(body.get("email_address"))
        if status not in WRITABLE:
            raise invalid("The resource submitted could not be validated. For field-specific details, see 'errors'.")
        there = self.by_address(email)
        if there is not None and there.status != "archived":
            raise exists(email)
        if email.lower() in self.forgotten:
            raise forgotten(email)
        if email.lower() in self.levers.busy_lists:
            raise many_lists(email)
        if there is not None:
            return self.change(there, body, status, skip_required, source)
        values = merging.kept(self.fields, body.get("merge_fields") or {})
        problem = merging.missing(self.fields, values)
        if problem is not None and not skip_required:
            raise problem
        self._web += 1
        member = Member(email, status, self.new_id(), self._web, values, opted=self.now())
        self.set_more(member, body)
        self.put(member)
        self.heard("subscribe", source, self.told(member))
        return member

    def change(
        self,
        member: Member,
        body: Mapping[str, Any],
        status: Any = None,
        skip_required: bool = False,
        source: str = "api",
    ) -> Member:
        """What is absent is kept. Raises Failure, and then nothing has changed."""
        if status is not None and status not in WRITABLE:
            raise invalid("The resource submitted could not be validated. For field-specific details, see 'errors'.")
        if status in ("subscribed", "transactional") and member.compliance and source == "api":
            raise in_compliance_state(member.email)
        email = self.check_address(body["email_address"]) if "email_address" in body else member.email
        other = self.by_address(email)
        if other is not None and other is not member:
            raise exists(email)
        values = {**member.merge, **merging.kept(self.fields, body.get("merge_fields") or {})}
        problem = merging.missing(self.fields, values)
        if problem is not None and not skip_required and body.get("merge_fields"):
            raise problem
        before, was = member.status, member.email
        member.merge = values
        self.set_more(member, body)
        self.move(member, email)
        if status is not None and status != member.status:
            member.status, member.opted = status, self.now()
        self.put(member)
        self.tell_of_change(member, before, was, source)
        return member

    def tell_of_change(self, member: Member, before: str, was: str, source: str) -> None:
        if member.email.lower() != was.lower():
            told = {"new_id": member.id, "new_email": member.email, "old_email": was}
            self.heard("upemail", source, told)
        events = {"subscribed": "subscribe", "unsubscribed": "unsubscribe", "cleaned": "cleaned"}
        event = events.get(member.status, "profile") if member.status != before else "profile"
        self.heard(event, source, self.told(member))

    def set_more(self, member: Member, body: Mapping[str, Any]) -> None:
        known = ("language", "vip", "email_type", "timestamp_signup", "ip_signup", "ip_opt", "timestamp_opt")
        member.more |= {name: body[name] for name in known if name in body}
        for name in body.get("tags") or []:
            self.tag(member, name if isinstance(name, str) else str(name.get("name", "")), True)

    def move(self, member: Member, email: str) -> None:
        self.members.pop(member.id, None)
        member.email = email

    def put(self, member: Member) -> None:
        member.changed = self.now()
        self.members[member.id] = member

    def tag(self, member: Member, name: str, active: bool) -> None:
        known = next((one for one in self._tags if one.lower() == name.strip().lower()), name.strip())
        if active and known:
            member.tags[known] = self._tags.setdefault(known, 10_000 + len(self._tags))
        elif not active:
            member.tags.pop(known, None)

    def all_tags(self) -> dict[str, int]:
        return self._tags

    def archive(self, member: Member) -> None:
        if member.status in ("cleaned", "pending", "archived"):
            raise CANNOT_ARCHIVE
        member.status = "archived"
        self.put(member)
        self.heard("unsubscribe", "api", {**self.told(member), "action": "archive"})

    def delete_permanently(self, member: Member) -> None:
        del self.members[member.id]
        self.forgotten.add(member.email.lower())

    def told(self, member: Member) -> dict[str, Any]:
        """What a webhook says of a member."""
        merges = {"EMAIL": member.email, **merging.shown(self.fields, member.merge)}
        return {"id": member.id, "email": member.email, "email_type": "html", "merges": merges, "web_id": member.web_id}

    # What people do

    def person_adds(self, email: str, status: str = "subscribed", tags: Any = (), **merge: Any) -> str:
        """By the pages or a form; the new id. Raises Failure."""
        self.forgotten.discard(email.lower())
        body = {"email_address": email, "merge_fields": merge, "tags": list(tags)}
        member = self.add(body, status, skip_required=True, source="admin")
        member.source = "Admin Add"
        return member.id

    def person_edits(self, key: str, email: str = "", tags: Any = None, **merge: Any) -> str:
        """The id, which moves with the address."""
        member = self.find(key)
        if tags is not None:
            member.tags = {}
            for name in tags:
                self.tag(member, name, True)
        body: dict[str, Any] = {"merge_fields": merge} | ({"email_address": email} if email else {})
        return self.change(member, body, skip_required=True, source="admin").id

    def person_unsubscribes(self, key: str) -> None:
        """By the link in a mail."""
        member = self.find(key)
        member.compliance = True
        self.change(member, {}, "unsubscribed", source="user")

    def person_comes_back(self, key: str) -> None:
        """By a form: only the person itself can."""
        member = self.find(key)
        member.compliance = False
        self.change(member, {}, "subscribed", source="user")

    def mail_bounces(self, key: str) -> None:
        member = self.find(key)
        member.compliance = True
        self.change(member, {}, "cleaned", source="user")

    def person_archives(self, key: str) -> None:
        self.archive(self.find(key))

    def person_deletes(self, key: str) -> None:
        """For good."""
        self.delete_permanently(self.find(key))
