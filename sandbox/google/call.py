"""One request to the API on its way through the stand-in: parameters, masks, and how a person is shown to it."""

import json
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.google import schema, shown
from sandbox.google.account import Account
from sandbox.google.answers import Failure, bad_request, invalid
from sandbox.google.contact import Contact
from sandbox.google.levers import Levers

# What every method takes.
GLOBAL: Final = frozenset(
    [
        "$.xgafv",
        "access_token",
        "alt",
        "callback",
        "fields",
        "key",
        "oauth_token",
        "prettyPrint",
        "quotaUser",
        "uploadType",
        "upload_protocol",
    ]
)
SOURCES: Final = tuple(
    f"READ_SOURCE_TYPE_{kind}" for kind in ("UNSPECIFIED", "PROFILE", "CONTACT", "DOMAIN_CONTACT", "OTHER_CONTACT")
)


@dataclass(frozen=True)
class Call:
    """`name` is the resource in the path ("people/c1"), `method` the documentation's name of what is asked
    ("people/get"); `refused` has every second item of a batch refused."""

    account: Account
    name: str
    method: str
    query: Mapping[str, list[str]]
    body: bytes
    chance: random.Random
    refused: bool = False

    @property
    def levers(self) -> Levers:
        return self.account.levers

    def one(self, name: str) -> str:
        return self.query.get(name, [""])[-1]

    def flag(self, name: str) -> bool:
        text = self.one(name)
        if text not in ("", "true", "false"):
            raise invalid_parameter(name, "TYPE_BOOL", text)
        return text == "true"

    def number(self, name: str, usual: int, most: int) -> int:
        """Between 1 and `most`; 0 and nothing mean the usual."""
        text = self.one(name)
        if not text.isdecimal() and text != "":
            raise invalid_parameter(name, "TYPE_INT32", text)
        if int(text or 0) > most:
            raise invalid()
        return int(text or 0) or usual

    def check_parameters(self, allowed: Collection[str]) -> None:
        for name in self.query:
            if name not in GLOBAL and name not in allowed:
                message = (
                    f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
                    f"Field '{name}' could not be found in request message."
                )
                raise bad_request("", message)

    def person_fields(self, required: bool = True) -> tuple[str, ...]:
        """What of a person is asked for; without a mask all, where none is required."""
        given, name = self.one("personFields"), "personFields"
        if not given:
            old = self.one("requestMask.includeField")
            given = ",".join(part.strip().removeprefix("person.") for part in old.split(","))
        fields = schema.mask(given, name, schema.READABLE, self.method)
        if required and not fields:
            raise schema.no_mask(name, self.method)
        return fields or tuple(sorted(schema.READABLE))

    def sources(self) -> tuple[str, ...]:
        return sources(self.query.get("sources", []))

    def json(self, kind: schema.Kind, at: str = "") -> Any:
        """The body, read. Raises Failure."""
        try:
            value = json.loads(self.body) if self.body else {}
        except ValueError:
            raise bad_request("", "Invalid JSON payload received. Unable to parse the request body.") from None
        return kind(value, at)

    def show(
        self,
        contact: Contact,
        mask: Collection[str],
        wanted: Collection[str],
        *,
        listed: bool = False,
        synced: bool = False,
    ) -> dict[str, Any]:
        told = shown.person(contact, mask, self.account.region, wanted, listed=listed, synced=synced)
        if self.levers.shuffled:
            for items in told.values():
                if isinstance(items, list):
                    self.chance.shuffle(items)
        if listed and self.levers.list_etags_refused:
            told["etag"] += "list"
            for source in told.get("metadata", {}).get("sources", ()):
                source["etag"] += "list"
        return told


def sources(given: Collection[str]) -> tuple[str, ...]:
    """Of a query or a body. Raises Failure."""
    for source in given:
        if source not in SOURCES:
            raise bad_request("sources", f"Invalid value at 'sources' (TYPE_ENUM), \"{source}\"")
    return tuple(given) or shown.BOTH


def invalid_parameter(name: str, kind: str, text: str) -> Failure:
    place = schema.snake(name)
    return bad_request(place, f"Invalid value at '{place}' ({kind}), \"{text}\"")
