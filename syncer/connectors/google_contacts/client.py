"""The calls of the People API that we make, each returning what is in its answer."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from syncer.connectors.base import (
    Account,
    CursorExpired,
    Meter,
    Misconfigured,
    RecordGone,
    Rejected,
    Tokens,
    Transient,
)
from syncer.connectors.google_contacts import errors, wire
from syncer.connectors.google_contacts.errors import Request
from syncer.connectors.google_contacts.wire import Assumed, Person, dicts, inner, text
from syncer.connectors.http import Http, Reply
from syncer.connectors.registry import Options
from syncer.connectors.wire import World

Params: TypeAlias = Mapping[str, str | Sequence[str]]
NOT_AUTHORISED: Final = "This account has not been authorised yet. Authorise it with the button on its page."
NOT_A_RECORD: Final = "This is not the name of a Google contact. Start a full pass of this account."
NO_END: Final = "Google does not come to the end of its list. It is tried again later."
EXPIRED: Final = "Google does not know our bookmark any more. All contacts are read again; nothing is changed by that."
READ: Final = Request()


@dataclass(frozen=True)
class Listed:
    """One page of contacts. `page` leads to the next one ("" at the end), `sync` to what changes after this listing;
    `total` is Google's own count, `date` the server's time in Unix seconds."""

    people: Sequence[Person]
    page: str
    sync: str
    total: int | None
    date: int | None


@dataclass(frozen=True)
class Place:
    """Where in a listing to go on. `sync` "" means all contacts; `began` is the server's time at the first page."""

    sync: str = ""
    page: str = ""
    began: int | None = None


class Client:
    """Every call raises Misconfigured for an account without access: one that has not been authorised yet."""

    def __init__(self, account: Account, options: Options, meter: Meter | None, assumed: Assumed, world: World) -> None:
        self.assumed, self.clock = assumed, world.clock
        self._tokens: Tokens | None = account.tokens
        self._base = options.urls["google_people"].rstrip("/")
        self._http = Http(
            headers={"Accept": "application/json"},
            meter=meter,
            allow_private=options.allow_private_hosts,
            world=world,
        )

    def close(self) -> None:
        self._http.close()

    # People

    def me(self) -> Person:
        return self._get(wire.ME, {"personFields": "emailAddresses,metadata"})

    def person(self, name: str) -> Person:
        """One contact as it is now. Raises RecordGone, Rejected for what is no name of a contact."""
        params = {"personFields": wire.PERSON_FIELDS, "sources": wire.SOURCE}
        return self._get(f"/v1/{checked(name)}", params, Request(about_person=True))

    def people(self, names: Sequence[str]) -> dict[str, Person | None]:
        """These contacts as they are now, by the name asked for; None for one that is proven gone. Those that the
        answer for all leaves open are asked for one by one."""
        found: dict[str, Person | None] = {}
        for part in wire.chunks(list(dict.fromkeys(map(checked, names))), self.assumed.batch):
            if len(part) > 1:
                found |= self._several(part)
        return {name: found[name] if name in found else self._person_or_none(name) for name in names}

    def _several(self, names: Sequence[str]) -> dict[str, Person | None]:
        params: Params = {"resourceNames": names, "personFields": wire.PERSON_FIELDS, "sources": wire.SOURCE}
        try:
            body = self._get(wire.BATCH_GET, params, Request(about_person=True))
        except RecordGone:
            return {}
        found: dict[str, Person | None] = {}
        for answered in dicts(body.get("responses")):
            person = answered.get("person")
            name = text(answered.get("requestedResourceName")) or text(inner(answered, "person", "resourceName"))
            if inner(answered, "status", "code") == errors.NOT_FOUND:
                found[name] = None
            elif isinstance(person, dict) and person and not inner(answered, "status", "code"):
                found[name] = person
        return found

    def _person_or_none(self, name: str) -> Person | None:
        try:
            return self.person(name)
        except RecordGone:
            return None

    def connections(self, place: Place, for_sync: bool = True) -> Listed:
        """A page of all contacts, or of those that changed since. Raises CursorExpired where Google does not let us go
        on from there. All that can be said of a listing is the same on all of its pages, as Google demands. The first
        page of one `for_sync` counts against a limit of its own."""
        params = {
            "personFields": wire.PERSON_FIELDS,
            "sources": wire.SOURCE,
            "pageSize": str(self.assumed.page),
        }
        params |= {"requestSyncToken": "true"} if for_sync else {}
        params |= {"syncToken": place.sync} if place.sync else {}
        params |= {"pageToken": place.page} if place.page else {}
        reply = self._send("GET", wire.CONNECTIONS, params)
        date = wire.http_date(reply.headers.get("date", ""))
        try:
            body = errors.answer(reply, Request(token=bool(place.sync or place.page)))
        except errors.Expired:
            failure = Transient(errors.READ_REFUSED_TEXT) if self._worth_another_try(place, date) else None
            raise (failure or CursorExpired(EXPIRED)) from None
        return listed(body, date)

    def _worth_another_try(self, place: Place, date: int | None) -> bool:
        """Of a page in the middle of all contacts: to begin anew at once could go on without end."""
        if place.sync:
            return False
        return place.began is None or date is None or date - place.began < self.assumed.page_life

    def latest(self, fields: str, count: int) -> Listed:
        """The contacts that changed last, with these fields."""
        params = {
            "personFields": fields,
            "sources": wire.SOURCE,
            "pageSize": str(count),
            "sortOrder": "LAST_MODIFIED_DESCENDING",
        }
        return listed(self._get(wire.CONNECTIONS, params), None)

    def batch_create(self, people: Sequence[Person]) -> list[Person]:
        """The new contacts, in Google's order. A write: never repeated."""
        body = {
            "contacts": [{"contactPerson": person} for person in people],
            "readMask": wire.PERSON_FIELDS,
            "sources": [wire.SOURCE],
        }
        made = [inner(item, "person") for item in dicts(self._post(wire.BATCH_CREATE, body).get("createdPeople"))]
        return [person for person in made if isinstance(person, dict) and wire.named(person)]

    def batch_update(self, people: Mapping[str, Person], mask: Sequence[str]) -> dict[str, Person]:
        """Replaces the fields of the mask; the contacts afterwards, by the name given. A write: never repeated."""
        body = {
            "contacts": people,
            "updateMask": ",".join(mask),
            "readMask": wire.PERSON_FIELDS,
            "sources": [wire.SOURCE],
        }
        result = self._post(wire.BATCH_UPDATE, body).get("updateResult")
        shown: dict[str, Person] = {}
        for name, item in result.items() if isinstance(result, dict) else ():
            person = inner(item, "person") if isinstance(item, dict) else None
            if isinstance(person, dict) and wire.named(person):
                shown[name] = person
        return shown

    # Groups

    def groups(self) -> list[dict[str, Any]]:
        """All groups of contacts, Google's own too."""
        found: list[dict[str, Any]] = []
        page = ""
        for _ in range(wire.MOST_PAGES):
            params = {"pageSize": str(wire.GROUP_PAGE), "groupFields": "groupType,name"}
            params |= {"pageToken": page} if page else {}
            body = self._get(wire.GROUPS, params)
            found += dicts(body.get("contactGroups"))
            page = text(body.get("nextPageToken"))
            if not page:
                return found
        raise Transient(NO_END)

    def create_group(self, name: str) -> dict[str, Any]:
        """Raises Taken where a group has the name already. A write: never repeated."""
        body = {"contactGroup": {"name": name}, "readGroupFields": "groupType,name"}
        return self._post(wire.GROUPS, body, names_group=True)

    def modify_members(self, group: str, add: Sequence[str], remove: Sequence[str]) -> tuple[set[str], set[str]]:
        """Who was not found, and who is in no other group and so stays in this one. Raises Missing where there is no
        such group. A write: never repeated."""
        if wire.GROUP.fullmatch(group) is None:
            raise errors.Missing(errors.REFUSED_TEXT)
        body = {"resourceNamesToAdd": list(add), "resourceNamesToRemove": list(remove)}
        found = self._post(f"/v1/{group}/members:modify", body)
        return names_in(found, "notFoundResourceNames"), names_in(found, "canNotRemoveLastContactGroupResourceNames")

    # Requests

    def _get(self, path: str, params: Params, request: Request = READ) -> dict[str, Any]:
        return errors.answer(self._send("GET", path, params), request)

    def _post(self, path: str, body: Mapping[str, Any], names_group: bool = False) -> dict[str, Any]:
        applied = self.assumed.backend_limit_applied
        request = Request(changes_data=True, backend_limit_applied=applied, names_group=names_group)
        return errors.answer(self._send("POST", path, {}, body), request)

    def _send(self, method: str, path: str, params: Params, body: Mapping[str, Any] | None = None) -> Reply:
        """The answer. What is refused for its access token did nothing, and is sent once more with a new one."""
        token = self._access()
        reply = self._once(method, path, params, body, token)
        if reply.status != 401:
            return reply
        return self._once(method, path, params, body, self._access(refused=token))

    def _access(self, refused: str = "") -> str:
        if self._tokens is None:
            raise Misconfigured(NOT_AUTHORISED)
        try:
            return self._tokens.access(refused)
        except Transient as error:
            failure = str(error)
        # Whatever may have been done there, nothing was done to a contact.
        raise Transient(failure)

    def _once(self, method: str, path: str, params: Params, body: Mapping[str, Any] | None, token: str) -> Reply:
        url = f"{self._base}{path}" + (f"?{urlencode(params, doseq=True)}" if params else "")
        headers = {"Authorization": f"Bearer {token}"}
        if body is None:
            return self._http.read(method, url, headers=headers)
        return self._http.write(method, url, headers=headers, json=body)


def checked(name: str) -> str:
    if wire.RESOURCE.fullmatch(name) is None or name == "people/me":
        raise Rejected(NOT_A_RECORD)
    return name


def listed(body: Mapping[str, Any], date: int | None) -> Listed:
    total = None
    with suppress(TypeError, ValueError):
        total = int(body["totalItems"]) if "totalItems" in body else None
    tokens = text(body.get("nextPageToken")), text(body.get("nextSyncToken"))
    return Listed(dicts(body.get("connections")), *tokens, total, date)


def names_in(body: Mapping[str, Any], key: str) -> set[str]:
    found = body.get(key)
    return {name for name in found if isinstance(name, str)} if isinstance(found, list) else set()
