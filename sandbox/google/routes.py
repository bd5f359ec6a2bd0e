"""Which method answers which request, and which parameters it takes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sandbox.google import groups, people
from sandbox.google.call import Call
from sandbox.google.connections import connections

PERSON: Final = r"(?P<name>people/[^/:]+)"
GROUP: Final = r"(?P<name>contactGroups/[^/:]+)"
READ: Final = "personFields sources"


@dataclass(frozen=True)
class Route:
    """`method` is where the documentation tells of it."""

    verb: str
    path: re.Pattern[str]
    act: Callable[[Call], dict[str, Any]]
    method: str
    parameters: frozenset[str]

    @property
    def writes(self) -> bool:
        return self.verb != "GET"


def route(verb: str, path: str, act: Callable[[Call], dict[str, Any]], method: str, parameters: str = "") -> Route:
    return Route(verb, re.compile(f"/v1/{path}"), act, method, frozenset(parameters.split()))


LISTING: Final = f"{READ} requestMask.includeField pageSize pageToken sortOrder requestSyncToken syncToken"
ROUTES: Final = (
    route("GET", f"{PERSON}/connections", connections, "people.connections/list", LISTING),
    route(
        "GET",
        "people:batchGet",
        people.batch_get,
        "people/getBatchGet",
        f"{READ} requestMask.includeField resourceNames",
    ),
    route("POST", "people:createContact", people.create, "people/createContact", READ),
    route("POST", "people:batchCreateContacts", people.batch_create, "people/batchCreateContacts"),
    route("POST", "people:batchUpdateContacts", people.batch_update, "people/batchUpdateContacts"),
    route("POST", "people:batchDeleteContacts", people.batch_delete, "people/batchDeleteContacts"),
    route("PATCH", f"{PERSON}:updateContact", people.update, "people/updateContact", f"{READ} updatePersonFields"),
    route("DELETE", f"{PERSON}:deleteContact", people.delete, "people/deleteContact"),
    route("GET", PERSON, people.get, "people/get", f"{READ} requestMask.includeField"),
    route("GET", "contactGroups", groups.list_groups, "contactGroups/list", "groupFields pageSize pageToken syncToken"),
    route("POST", "contactGroups", groups.create, "contactGroups/create"),
    route(
        "GET",
        "contactGroups:batchGet",
        groups.batch_get,
        "contactGroups/batchGet",
        "groupFields maxMembers resourceNames",
    ),
    route("GET", GROUP, groups.get, "contactGroups/get", "groupFields maxMembers"),
    route("PUT", GROUP, groups.update, "contactGroups/update"),
    route("DELETE", GROUP, groups.delete, "contactGroups/delete", "deleteContacts"),
    route("POST", f"{GROUP}/members:modify", groups.modify, "contactGroups.members/modify"),
)


def find(verb: str, path: str) -> tuple[Route, str] | None:
    """The route and the resource that the path names; None where nothing is."""
    for one in ROUTES:
        match = one.path.fullmatch(path)
        if match is not None and one.verb == verb:
            return one, match.groupdict().get("name", "")
    return None
