"""The calls that Salesmate's v4 API offers us, each returning what its envelope holds.

Only the session key goes over the wire: v4 asks for no more, and the access and secret keys are the more powerful.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from syncer.connectors.base import Account, AuthFailed, ConnectorError, Meter, Rejected
from syncer.connectors.http import Http, Reply
from syncer.connectors.registry import Options
from syncer.connectors.salesmate import errors, wire
from syncer.connectors.salesmate.wire import Assumed, Rows
from syncer.connectors.wire import World

KEY = re.compile(r"[A-Za-z0-9-]+")
NOT_A_RECORD = "This is not the number of a Salesmate contact. Start a full pass of this account to renew its contacts."


class Client:
    """`labels` (name -> label) serve to name the field that a refusal speaks of; more may be added. `learn` adds those
    of the account's own fields, once; it is called where a refusal speaks of none of the known ones."""

    def __init__(self, account: Account, options: Options, meter: Meter | None, assumed: Assumed, world: World) -> None:
        self.subdomain = wire.normalise_subdomain(account.settings.get("subdomain", ""))
        session_key = account.credentials.get("session_key", "").strip()
        if not KEY.fullmatch(session_key):
            raise AuthFailed(errors.AUTH_TEXT)
        self.assumed = assumed
        self.labels: dict[str, str] = {}
        self.learn: Callable[[], None] = lambda: None
        self._base = options.urls["salesmate"].replace("{subdomain}", self.subdomain).rstrip("/")
        self._http = Http(
            headers={
                "accessToken": session_key,
                "x-linkname": f"{self.subdomain}.salesmate.io",
                "Accept": "application/json",
            },
            meter=meter,
            allow_private=options.allow_private_hosts,
            world=world,
        )

    def close(self) -> None:
        self._http.close()

    def users(self, active_only: bool) -> Sequence[Mapping[str, Any]]:
        return self._list(wire.USERS, {"status": "active"} if active_only else None)

    def metadata(self) -> Sequence[Mapping[str, Any]]:
        return self._list(wire.FIELDS)

    def tags(self) -> Sequence[Mapping[str, Any]]:
        return self._list(self.assumed.tags_path)

    def contact(self, remote_id: str) -> Mapping[str, Any]:
        """The whole contact, deleted ones too. Raises RecordGone where Salesmate knows it no more."""
        reply = self._http.read("GET", self._record(remote_id))
        data = self._answer(reply, about_record=True)
        if not isinstance(data, dict):
            raise errors.strange(self._request())
        return data

    def search(
        self,
        fields: Sequence[str],
        rules: Sequence[Mapping[str, Any]],
        sort: str = "lastModifiedAt",
        order: str = "desc",
        start: int = 0,
        rows: int = wire.PAGE,
    ) -> Rows:
        body = wire.search_body(fields, rules, sort, order)
        params = {"rows": str(rows), "from": str(start)}
        reply = self._http.read("POST", self._base + wire.SEARCH, params=params, json=body)
        data = self._answer(reply)
        found = wire.member(data, "data")[1] if isinstance(data, dict) else None
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise errors.strange(self._request())
        total = wire.number(wire.member(data, "totalRows")[1])
        return Rows(found, total, wire.http_date(reply.headers.get("date", "")))

    def live(self) -> dict[str, Any]:
        """The rule for contacts that are not in the bin: a search shows deleted ones too."""
        return wire.rule("isDeleted", "EQUALS", self.assumed.live_value, "Boolean")

    def binned(self) -> dict[str, Any]:
        return wire.rule("isDeleted", "EQUALS", self.assumed.deleted_value, "Boolean")

    def create(self, body: Mapping[str, Any]) -> str:
        """The id of the new contact. A write: never repeated."""
        reply = self._http.write("POST", self._base + wire.CONTACT, json=body)
        data = self._answer(reply, changes_data=True)
        found = wire.number(wire.member(data, "id")[1]) if isinstance(data, dict) else None
        if found is None:
            raise errors.strange(self._request(changes_data=True))
        return str(found)

    def update(self, remote_id: str, body: Mapping[str, Any]) -> None:
        """A write: never repeated."""
        reply = self._http.write("PUT", self._record(remote_id), json=body)
        self._answer(reply, about_record=True, changes_data=True)

    def _record(self, remote_id: str) -> str:
        if not (remote_id.isascii() and remote_id.isdigit()):
            raise Rejected(NOT_A_RECORD)
        return f"{self._base}{wire.CONTACT}/{quote(remote_id, safe='')}"

    def _list(self, path: str, params: Mapping[str, str] | None = None) -> Sequence[Mapping[str, Any]]:
        data = self._answer(self._http.read("GET", self._base + path, params=params))
        if not isinstance(data, list):
            raise errors.strange(self._request())
        return [item for item in data if isinstance(item, dict)]

    def _answer(self, reply: Reply, about_record: bool = False, changes_data: bool = False) -> Any:
        request = self._request(about_record, changes_data)
        try:
            return errors.answer(reply, request)
        except Rejected as refused:
            if refused.field or not changes_data:
                raise
        with suppress(ConnectorError):
            self.learn()
        return errors.answer(reply, request)

    def _request(self, about_record: bool = False, changes_data: bool = False) -> errors.Request:
        return errors.Request(self.subdomain, about_record, changes_data, self.labels)
