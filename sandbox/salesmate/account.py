"""The contacts of one Salesmate account, what its users do to them, and what its API lets in."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from threading import RLock
from typing import Any

from portal.clock import Clock
from sandbox.salesmate import schema
from sandbox.salesmate.search import Refused


class NotFound(Exception):
    """No such contact, or it is in the bin where only live ones count."""


class Account:
    """Contacts are kept as they go over the wire, owner and company as ids; times are Unix seconds.

    `deletion_moves_time`: does deleting a contact change its lastModifiedAt? (Not known of the real one.)
    """

    def __init__(self, clock: Clock, state_file: Path | None = None) -> None:
        self.lock = RLock()
        self.clock = clock
        self.users = schema.users()
        self.companies = {38: "Analytical Engines"}
        self.deletion_moves_time = True
        self.contacts: dict[int, dict[str, Any]] = {}
        self.next_id = 1
        self._state_file = state_file
        self._load()

    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def take_id(self) -> int:
        with self.lock:
            number, self.next_id = self.next_id, self.next_id + 1
            return number

    def create(self, values: Mapping[str, Any], by: int = 1) -> int:
        """As a user or the API does after its checks; the new id."""
        with self.lock:
            number, now = self.take_id(), self.now()
            self.contacts[number] = {
                **dict.fromkeys(schema.TEXTS, ""),
                **dict.fromkeys(schema.CUSTOM_NAMES),
                **dict.fromkeys(schema.FLAGS, False),
                "tags": "",
                "owner": by,
                "company": None,
                "currency": "USD",
                **values,
                "id": number,
                "createdAt": now,
                "createdBy": by,
                "isDeleted": False,
                "lastModifiedAt": now,
                "lastModifiedBy": by,
                "deletedAt": None,
                "deletedBy": None,
            }
            self.save()
            return number

    def edit(self, number: int, values: Mapping[str, Any], by: int = 1) -> None:
        with self.lock:
            contact = self.live(number)
            contact.update(values)
            contact.update(lastModifiedAt=self.now(), lastModifiedBy=by)
            self.save()

    def delete(self, number: int, by: int = 1) -> None:
        with self.lock:
            contact = self.live(number)
            contact.update(isDeleted=True, deletedAt=self.now(), deletedBy=by)
            if self.deletion_moves_time:
                contact["lastModifiedAt"] = self.now()
            self.save()

    def restore(self, number: int) -> None:
        with self.lock:
            contact = self.any(number)
            contact.update(isDeleted=False, deletedAt=None, deletedBy=None, lastModifiedAt=self.now())
            self.save()

    def purge(self, number: int) -> None:
        """Out of the bin for good."""
        with self.lock:
            self.any(number)
            del self.contacts[number]
            self.save()

    def any(self, number: int) -> dict[str, Any]:
        if number not in self.contacts:
            raise NotFound
        return self.contacts[number]

    def live(self, number: int) -> dict[str, Any]:
        contact = self.any(number)
        if contact["isDeleted"]:
            raise NotFound
        return contact

    def checked(self, body: Any) -> dict[str, Any]:
        """What a create or an update may store. Raises Refused."""
        if not isinstance(body, dict):
            raise Refused("Invalid body")
        unknown = set(body) - schema.WRITABLE - schema.CUSTOM_NAMES
        if unknown or any("Lookup" in name for name in body):
            raise Refused("Invalid field")
        for name, text in (("lastName", "Last Name is required"), ("owner", "Owner is required")):
            if body.get(name) is None or str(body[name]).strip() == "":
                raise Refused(text)
        for name, value in body.items():
            complaint = "" if value is None or value == "" else self._complaint(name, value)
            if complaint:
                raise Refused(complaint)
        return {name: self._stored(name, value) for name, value in body.items()}

    def _complaint(self, name: str, value: Any) -> str:
        if name == "owner":
            active = {user["id"] for user in self.users if user["isActive"]}
            return "" if value in active else "No such user exists"
        if name == "company":
            return "" if value in self.companies else "No such company exists"
        return schema.complaint(name, value)

    def _stored(self, name: str, value: Any) -> Any:
        if value is None or value == "":
            return "" if name in schema.TEXTS or name == "tags" else None
        return ",".join(once(value)) if name == "tags" else value

    def tags(self) -> list[str]:
        return once(",".join(contact["tags"] for contact in self.contacts.values()))

    def full(self, contact: Mapping[str, Any]) -> dict[str, Any]:
        """The whole contact with its nested objects, as GET shows it; search picks from it."""
        company = contact["company"]
        name = " ".join(part for part in (contact["firstName"], contact["lastName"]) if part)
        return {
            **contact,
            "name": name,
            "owner": self.user(contact["owner"]),
            "company": {} if company is None else {"id": company, "name": self.companies[company]},
            "currency": {"code": contact["currency"], "rate": "1.00"} if contact["currency"] else {},
            **{key: self.user(contact[key]) for key in ("createdBy", "lastModifiedBy", "deletedBy")},
        }

    def user(self, number: int | None) -> dict[str, Any]:
        found = [user for user in self.users if user["id"] == number]
        return {name: found[0][name] for name in ("id", "name", "email", "firstName", "lastName")} if found else {}

    def clear(self) -> None:
        with self.lock:
            self.contacts.clear()
            self.next_id = 1
            self.save()

    def save(self) -> None:
        if self._state_file is None:
            return
        new = self._state_file.with_suffix(".new")
        new.write_text(json.dumps({"next_id": self.next_id, "contacts": list(self.contacts.values())}))
        os.replace(new, self._state_file)

    def _load(self) -> None:
        if self._state_file is None or not self._state_file.exists():
            return
        state = json.loads(self._state_file.read_text())
        self.next_id = state["next_id"]
        self.contacts = {contact["id"]: contact for contact in state["contacts"]}


def once(tags: str) -> list[str]:
    """The tags of a comma-separated text: trimmed, each once, the first spelling."""
    kept: dict[str, str] = {}
    for tag in tags.split(","):
        if tag.strip():
            kept.setdefault(tag.strip().casefold(), tag.strip())
    return list(kept.values())
