"""Contact groups: Google's own, and those that people make."""

import base64
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sandbox.google.shown import stamp

# Google's own groups in the order in which they are listed, and what people read.
SYSTEM: Final = {
    "starred": "Starred",
    "friends": "Friends",
    "family": "Family",
    "coworkers": "Coworkers",
    "myContacts": "My Contacts",
    "chatBuddies": "Chat contacts",
    "all": "All Contacts",
    "blocked": "Blocked",
}
LISTED: Final = ("metadata", "groupType", "memberCount", "name")
ANSWERED: Final = ("metadata", "groupType", "name")


@dataclass(frozen=True)
class Group:
    """A group that a person made. `position` counts the changes of the groups of its account."""

    id: str
    name: str
    updated: datetime
    position: int
    client_data: tuple[dict[str, Any], ...] = ()
    deleted: bool = False

    @property
    def resource(self) -> str:
        return f"contactGroups/{self.id}"

    def etag(self) -> str:
        return base64.b64encode(sha256(f"{self.id}:{self.position}".encode()).digest()[:9]).decode()

    def shown(self, mask: Collection[str], count: int) -> dict[str, Any]:
        shown: dict[str, Any] = {"resourceName": self.resource, "etag": self.etag()}
        if "metadata" in mask:
            deleted = {"deleted": True} if self.deleted else {}
            shown["metadata"] = {"updateTime": stamp(self.updated), **deleted}
        if "groupType" in mask:
            shown["groupType"] = "USER_CONTACT_GROUP"
        if "name" in mask and not self.deleted:
            shown |= {"name": self.name, "formattedName": self.name}
        if "clientData" in mask and self.client_data:
            shown["clientData"] = list(self.client_data)
        return shown | counted(mask, count)


def system_shown(name: str, mask: Collection[str], count: int) -> dict[str, Any]:
    """These have no etag and no time."""
    shown: dict[str, Any] = {"resourceName": f"contactGroups/{name}"}
    if "groupType" in mask:
        shown["groupType"] = "SYSTEM_CONTACT_GROUP"
    if "name" in mask:
        shown |= {"name": name, "formattedName": SYSTEM[name]}
    return shown | counted(mask, count)


def counted(mask: Collection[str], count: int) -> dict[str, int]:
    """As with every number of this API, none is left out."""
    return {"memberCount": count} if "memberCount" in mask and count else {}
