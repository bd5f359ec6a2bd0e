"""How the People API is spelled: addresses, masks, and every switch for what nobody could check.

README.md beside this file gives the source of each fact.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeAlias

Person: TypeAlias = Mapping[str, Any]
"""A person as Google shows it; of its shape nothing is certain before it is looked at."""

PEOPLE: Final = "/v1/people"
ME: Final = "/v1/people/me"
CONNECTIONS: Final = "/v1/people/me/connections"
BATCH_GET: Final = "/v1/people:batchGet"
BATCH_CREATE: Final = "/v1/people:batchCreateContacts"
BATCH_UPDATE: Final = "/v1/people:batchUpdateContacts"
GROUPS: Final = "/v1/contactGroups"

SOURCE: Final = "READ_SOURCE_TYPE_CONTACT"
MASKS: Final = (
    "addresses",
    "biographies",
    "birthdays",
    "emailAddresses",
    "names",
    "nicknames",
    "organizations",
    "phoneNumbers",
    "urls",
    "userDefined",
)
"""The fields of a person that we write; clientData besides, at a create alone, and memberships by the groups."""
PERSON_FIELDS: Final = ",".join(sorted((*MASKS, "clientData", "memberships", "metadata")))
MARKER: Final = "counterpart"
MY_CONTACTS: Final = "myContacts"

GROUP_PAGE: Final = 1000
MOST_PAGES: Final = 1000  # of one listing; a server that never comes to an end is not followed
RESOURCE: Final = re.compile(r"people/[A-Za-z0-9_-]{1,200}")
GROUP: Final = re.compile(r"contactGroups/[A-Za-z0-9_-]{1,200}")


@dataclass(frozen=True)
class Assumed:
    """Switches for what the sources leave open; README.md lists them under "Assumed" with the reasoning.

    `page`: contacts on one page of a listing. `batch`: contacts in one call that writes or reads several. `rounds`: how
    often a batch is sent, each time without those that were refused. `sends`: how many calls one batch may take to
    find out whom Google refused, where it does not say. `all_or_nothing`: a batch of which one contact is refused does
    nothing. `page_life`: after so many seconds the place within a listing counts as expired where Google refuses it.
    `visibility_minutes`: how late listings may be. `backend_limit_applied`: the limit that names no metric may come
    after the write was done. `keys_listed`: how many contacts are asked for the names of their custom fields.
    `labels_good_for`: for how many seconds the names of labels are believed before something is written by them.
    """

    page: int = 1000
    batch: int = 200
    rounds: int = 4
    sends: int = 24
    all_or_nothing: bool = True
    page_life: int = 600
    visibility_minutes: int = 5
    backend_limit_applied: bool = True
    keys_listed: int = 1000
    labels_good_for: float = 60.0


ASSUMED: Final = Assumed()


def dicts(found: Any) -> list[dict[str, Any]]:
    """The objects in what should be a list of objects."""
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def inner(item: Mapping[str, Any], *path: str) -> Any:
    """What stands at this path of objects; None where it ends early."""
    found: Any = item
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def text(found: Any) -> str:
    return found if isinstance(found, str) else ""


def named(person: Person) -> bool:
    return RESOURCE.fullmatch(text(person.get("resourceName"))) is not None


def chunks(names: Sequence[str], size: int) -> list[Sequence[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]


def http_date(said: str) -> int | None:
    """The Unix seconds of a Date header."""
    try:
        return int(parsedate_to_datetime(said).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None
