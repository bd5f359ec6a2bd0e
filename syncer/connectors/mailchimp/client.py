"""The calls of Mailchimp's Marketing API 3.0 that we make, each returning what is in its answer."""

import base64
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from syncer.connectors.base import Account, AuthFailed, Meter, Misconfigured, Rejected
from syncer.connectors.http import Http, Reply
from syncer.connectors.mailchimp import errors, wire
from syncer.connectors.mailchimp.errors import Request
from syncer.connectors.mailchimp.wire import Assumed, Member, checked_list, dicts, text
from syncer.connectors.registry import Options
from syncer.connectors.wire import World

NOT_AUTHORISED: Final = "This account has neither an API key nor been authorised. Enter a key, or press the button."
NOT_A_RECORD: Final = "This is not the id of a Mailchimp contact. Start a full pass of this account."
NOT_A_HOOK: Final = "This is not the id of a Mailchimp webhook. Remove it on Mailchimp's own pages."
MOST_PAGES: Final = 100
READ: Final = Request()
WRITE: Final = Request(changes_data=True)
OF_MEMBER: Final = Request(about_member=True)
WRITE_MEMBER: Final = Request(about_member=True, changes_data=True)
_places: "OrderedDict[str, str]" = OrderedDict()
"""Where the accounts of OAuth tokens live: what Mailchimp said once of a token stays true as long as it lives."""


@dataclass(frozen=True)
class Listed:
    """One page of members; `total` is Mailchimp's own count, `at` the server's time."""

    members: Sequence[Member]
    total: int | None
    at: datetime | None


class Client:
    """Every call raises AuthFailed, Misconfigured, RateLimited, Transient."""

    def __init__(self, account: Account, options: Options, meter: Meter | None, assumed: Assumed, world: World) -> None:
        self.assumed, self.clock = assumed, world.clock
        self._key = account.credentials.get("api_key", "").strip()
        self._tokens = account.tokens
        self._template, self._metadata = (options.urls[name] for name in ("mailchimp", "mailchimp_metadata"))
        self._place = self.at(wire.data_centre(self._key)) if self._key else ""
        self._http = Http(
            headers={"Accept": "application/json"},
            meter=meter,
            allow_private=options.allow_private_hosts,
            world=world,
        )

    def close(self) -> None:
        self._http.close()

    def at(self, data_centre: str) -> str:
        return self._template.replace("{dc}", data_centre).rstrip("/") + "/3.0"

    # Who we are

    def root(self) -> Mapping[str, Any]:
        return self._mapping("GET", "/", {"fields": "account_id,account_name,email,login_id"})

    def lists(self) -> Sequence[Mapping[str, Any]]:
        fields = "lists.id,lists.name,lists.stats.member_count,lists.stats.unsubscribe_count,lists.stats.cleaned_count"
        return self._every("/lists", "lists", {"fields": f"{fields},total_items"})

    def merge_fields(self, book: str) -> Sequence[Mapping[str, Any]]:
        asked = {"exclude_fields": "_links,merge_fields._links"}
        return self._every(f"/lists/{checked_list(book)}/merge-fields", "merge_fields", asked)

    def tags(self, book: str) -> Sequence[Mapping[str, Any]]:
        return dicts(self._mapping("GET", f"/lists/{checked_list(book)}/tag-search", {}).get("tags"))

    # Members

    def members(self, book: str, asked: Mapping[str, str], offset: int = 0, count: int = 0) -> Listed:
        fields = ",".join(f"members.{name}" for name in wire.MEMBER_FIELDS)
        params = {
            "fields": f"{fields},total_items",
            "count": str(count or self.assumed.page),
            "offset": str(offset),
            **asked,
        }
        reply = self._send("GET", f"/lists/{checked_list(book)}/members", params=params)
        body = errors.answer(reply, READ)
        if not isinstance(body, dict) or not isinstance(body.get("members"), list):
            raise errors.strange(READ)
        at = wire.http_date(reply.headers.get("date", ""))
        return Listed(dicts(body["members"]), wire.number(body.get("total_items")), at)

    def member(self, book: str, key: str) -> Member:
        """By contact_id, or by the hash of an address. Raises RecordGone."""
        return self._mapping("GET", self._member(book, key), self._fields(), request=OF_MEMBER)

    def member_tags(self, book: str, key: str) -> list[dict[str, Any]]:
        """All of them."""
        return list(self._every(f"{self._member(book, key)}/tags", "tags", {}, OF_MEMBER))

    def update(self, book: str, key: str, body: Mapping[str, Any]) -> Member:
        """A write: never repeated. Raises RecordGone, Exists, Rejected."""
        return self._mapping("PATCH", self._member(book, key), {}, body, WRITE_MEMBER)

    def set_tags(self, book: str, email: str, add: Sequence[str], remove: Sequence[str]) -> None:
        """By the hash of the address: this call documents no other name. A write: never repeated."""
        tags = [{"name": name, "status": "active"} for name in add]
        tags += [{"name": name, "status": "inactive"} for name in remove]
        path = f"{self._member(book, wire.hash_of(email))}/tags"
        body = {"tags": tags, "is_syncing": True}
        errors.answer(self._send("POST", path, body=body), WRITE_MEMBER)

    def batch(self, book: str, members: Sequence[Mapping[str, Any]], update: bool) -> Mapping[str, Any]:
        """Up to 500 at once: those that are there are changed, or all are new. A write: never repeated."""
        body = {"members": list(members), "update_existing": update, "sync_tags": False}
        return self._mapping("POST", f"/lists/{checked_list(book)}", {}, body, WRITE)

    # Webhooks

    def hooks(self, book: str) -> Sequence[Mapping[str, Any]]:
        return dicts(self._mapping("GET", f"/lists/{checked_list(book)}/webhooks", {}).get("webhooks"))

    def add_hook(self, book: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._mapping("POST", f"/lists/{checked_list(book)}/webhooks", {}, body, WRITE)

    def remove_hook(self, book: str, hook: str) -> None:
        """Raises RecordGone."""
        if wire.HOOK_ID.fullmatch(hook) is None:
            raise Rejected(NOT_A_HOOK)
        errors.answer(self._send("DELETE", f"/lists/{checked_list(book)}/webhooks/{hook}"), WRITE_MEMBER)

    # Sending

    def _member(self, book: str, key: str) -> str:
        if wire.CONTACT_ID.fullmatch(key) is None:
            raise Rejected(NOT_A_RECORD)
        return f"/lists/{checked_list(book)}/members/{quote(key, safe='')}"

    def _fields(self) -> dict[str, str]:
        return {"fields": ",".join(wire.MEMBER_FIELDS)}

    def _every(
        self, path: str, name: str, params: Mapping[str, str], request: Request = READ
    ) -> Sequence[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for _ in range(MOST_PAGES):
            page = {**params, "count": str(self.assumed.page), "offset": str(len(found))}
            body = self._mapping("GET", path, page, request=request)
            items = dicts(body.get(name))
            found += items
            if len(items) < self.assumed.page:
                return found
        raise errors.strange(READ)

    def _mapping(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: Any = None,
        request: Request = READ,
    ) -> Mapping[str, Any]:
        found = errors.answer(self._send(method, path, params=params, body=body), request)
        if not isinstance(found, dict):
            raise errors.strange(request)
        return found

    def _send(self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Any = None) -> Reply:
        token = self._access()
        reply = self._once(method, path, params, body, token)
        if reply.status == 401 and not self._key and self._tokens is not None:
            self._tokens.access(refused=token)
            raise AuthFailed(errors.AUTH_TEXT)
        return reply

    def _once(self, method: str, path: str, params: Mapping[str, str] | None, body: Any, token: str) -> Reply:
        place = self._place or self._of_token(token)
        headers = {"Authorization": self._authorization(token)}
        send = self._http.read if method == "GET" else self._http.write
        return send(method, place + path, params=params or None, json=body, headers=headers)

    def _access(self) -> str:
        if self._key:
            return ""
        if self._tokens is None:
            raise AuthFailed(NOT_AUTHORISED)
        return self._tokens.access()

    def _authorization(self, token: str) -> str:
        if not self._key:
            return f"Bearer {token}"
        return f"Basic {base64.b64encode(f'counterpart:{self._key}'.encode()).decode()}"

    def _of_token(self, token: str) -> str:
        """The address of the API for the account of an OAuth token: only the data centre of the answer is used."""
        name = sha256(token.encode()).hexdigest()
        if name not in _places:
            reply = self._http.read("GET", self._metadata, headers={"Authorization": f"OAuth {token}"})
            found = errors.answer(reply, READ)
            centre = text(found.get("dc")) if isinstance(found, dict) else ""
            if isinstance(found, dict) and "error" in found:
                raise AuthFailed(errors.AUTH_TEXT)
            if wire.DATA_CENTRE.fullmatch(centre) is None:
                raise Misconfigured("Mailchimp did not say in which data centre this account is. Authorise it again.")
            _places[name] = centre
            while len(_places) > 1000:
                _places.popitem(last=False)
        return self.at(_places[name])
