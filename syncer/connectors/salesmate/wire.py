"""How Salesmate's v4 API is spelled: addresses, search bodies, stamps, and every switch for what nobody could check.

Section numbers in comments are those of README.md beside this file, which gives the source of each fact.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from syncer.connectors.base import Misconfigured

USERS: Final = "/apis/core/v4/users"
CONTACT: Final = "/apis/contact/v4"
SEARCH: Final = "/apis/contact/v4/search"
FIELDS: Final = "/apis/module/v4/1/fields"
TAGS: Final = "/apis/v1/tags"

PAGE: Final = 250  # more is silently cut to this
OVERLAP: Final = 120  # seconds of the server's own stamps
REACH_BACK: Final = 50  # rows of the page before that a page of a delta repeats
MODULE_ID: Final = 1
CALLS_PER_HOUR: Final = 1500
MILLISECONDS_FROM: Final = 10**11
LAST_SECOND: Final = 253402300799  # of the year 9999

SYSTEM_FIELDS: Final = ("contact.id", "contact.lastModifiedAt", "contact.isDeleted")


@dataclass(frozen=True)
class Assumed:
    """Switches for what the sources leave open; README.md lists them under "Assumed" with the reasoning.

    `clear`: what empties a field. `date_format`, `datetime_format`: strftime of what is written. `email_condition`: the
    search condition on the e-mail. `deleted_value`, `live_value`: the data of a filter on isDeleted. `deletion_stamp`:
    the extra field asked for deleted rows ("" for none). `read_many_by_search`: read several contacts by one search.
    `tags_path`: where the tags of the account are listed.
    """

    clear: str | None = ""
    date_format: str = "%Y-%m-%d"
    datetime_format: str = "%Y-%m-%dT%H:%M:%SZ"
    email_condition: str = "EQUALS"
    live_value: str = "0"
    deleted_value: str = "1"
    deletion_stamp: str = "contact.deletedAt"
    read_many_by_search: bool = False
    tags_path: str = TAGS


ASSUMED: Final = Assumed()

SUBDOMAIN = re.compile(r"([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)")
HOST = re.compile(SUBDOMAIN.pattern + r"\.salesmate\.io")
ADDRESS = re.compile("https://" + HOST.pattern + r"(?:[/?#].*)?")


def normalise_subdomain(text: str) -> str:
    """`acme`, `acme.salesmate.io` and a pasted `https://acme.salesmate.io/...` give `acme`; else Misconfigured."""
    typed = text.strip().lower()
    for pattern in (SUBDOMAIN, HOST, ADDRESS):
        found = pattern.fullmatch(typed)
        if found:
            return found[1]
    raise Misconfigured(
        "This is not a Salesmate subdomain. Enter the part before .salesmate.io in your Salesmate address: letters, "
        "digits and hyphens only."
    )


def rule(field: str, condition: str, data: str, kind: str) -> dict[str, Any]:
    return {
        "condition": condition,
        "moduleName": "Contact",
        "field": {"fieldName": f"contact.{field}", "displayName": field, "type": kind},
        "data": data,
        "eventType": kind,
    }


def any_of(rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"group": {"operator": "OR", "rules": list(rules)}}


def search_body(fields: Sequence[str], rules: Sequence[Mapping[str, Any]], sort: str, order: str) -> dict[str, Any]:
    """The body of a search: `fields` are displayingFields, `sort` a field name without prefix."""
    return {
        "displayingFields": list(dict.fromkeys((*SYSTEM_FIELDS, *fields))),
        "filterQuery": {"group": {"operator": "AND", "rules": list(rules)}},
        "sort": {"fieldName": f"contact.{sort}", "order": order},
        "moduleId": MODULE_ID,
        "reportType": "get_data",
        "getRecordsCount": True,
    }


def member(row: Mapping[str, Any], name: str) -> tuple[bool, Any]:
    """Is `name` in the row, in whatever case, and what is it? (Search rows spell Owner and Company both ways.)"""
    if name in row:
        return True, row[name]
    folded = name.casefold()
    for key, value in row.items():
        if key.casefold() == folded:
            return True, value
    return False, None


def flag(raw: Any) -> bool | None:
    """A yes or no in any of Salesmate's spellings; None if it is neither."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return known.get(str(raw).strip().casefold())


def number(raw: Any) -> int | None:
    """A whole number, also where it comes as digits in a text."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, int):
        return raw
    if isinstance(raw, str) and re.fullmatch(r"-?[0-9]{1,18}", raw.strip()):
        return int(raw)
    return None


def stamp(raw: Any) -> int | None:
    """Unix seconds of a time on the wire: seconds, milliseconds, or ISO 8601 with its zone.

    None for anything else: a time written in a user's own zone ("Jan 07, 2021 07:17 AM") cannot be placed.
    """
    whole = number(raw)
    if whole is not None:
        seconds = whole // 1000 if whole > MILLISECONDS_FROM else whole
        return seconds if 0 <= seconds <= LAST_SECOND else None
    if not isinstance(raw, str):
        return None
    try:
        moment = datetime.fromisoformat(raw.strip())
    except ValueError:
        return None
    return int(moment.timestamp()) if moment.tzinfo else None


def http_date(text: str) -> int | None:
    """Unix seconds of a Date header (RFC 9110 5.6.7)."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


@dataclass(frozen=True)
class Rows:
    """One page of a search. `server_time` is the Date header in Unix seconds."""

    rows: Sequence[Mapping[str, Any]]
    total: int | None
    server_time: int | None
