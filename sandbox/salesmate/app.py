"""A stand-in for Salesmate's v4 API, written from what is known of it and not from our connector."""

import json
import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from portal.clock import Clock
from sandbox.exchange import Answer, Seen, Start
from sandbox.salesmate import schema, search, side_door
from sandbox.salesmate.account import Account, NotFound
from sandbox.salesmate.answers import AUTH, LINK, MISSING, OVER_LIMIT, Failure, page, success
from sandbox.salesmate.faults import AFTER, BEFORE
from sandbox.salesmate.levers import Fault, Levers

CONTACT = re.compile(r"/apis/contact/v4/([0-9]{1,18})")
STATUS_WORDS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests"}
TIMES = ("createdAt", "lastModifiedAt", "deletedAt")


class SalesmateApp:
    """WSGI. State is in memory, and in `state_file` where given; `log_file` gets a JSON line per request, without
    headers, query and body. The `person_*` methods are what users of Salesmate do; `people_act` is called when a
    request has been carried out and its answer is not on its way yet."""

    def __init__(
        self,
        subdomain: str,
        session_key: str,
        clock: Clock,
        *,
        calls_per_hour: int = 1500,
        state_file: Path | None = None,
        log_file: Path | None = None,
        seed: int = 1,
    ) -> None:
        self.link, self.session_key = f"{subdomain}.salesmate.io", session_key
        self.account = Account(clock, state_file)
        self.levers = Levers(calls_per_hour=calls_per_hour)
        self.faults: list[Fault] = []
        self.log: list[Seen] = []
        self.people_act: Callable[[Seen], None] = lambda seen: None
        self._log_file = log_file
        self._random = random.Random(seed)
        self._hour, self._calls, self._listings = -1, 0, 0
        self._frozen: list[dict[str, Any]] | None = None

    def person_create(self, **values: Any) -> int:
        return self.account.create(values)

    def person_edit(self, number: int, **values: Any) -> None:
        self.account.edit(number, values)

    def person_delete(self, number: int) -> None:
        self.account.delete(number)

    def person_restore(self, number: int) -> None:
        self.account.restore(number)

    def person_purge(self, number: int) -> None:
        self.account.purge(number)

    def fault(self, kind: str, method: str = "", path: str = "", times: int = 1, skip: int = 0) -> None:
        self.faults.append(Fault(kind, method, path, times, skip))

    def freeze_search(self) -> None:
        """From now on searches show what is there now (an index that lags behind)."""
        self._frozen = self._rows()

    def thaw_search(self) -> None:
        self._frozen = None

    def reset(self) -> None:
        """No contacts, no faults, no log, levers as at the start but for the limit of calls."""
        self.account.clear()
        self.levers = Levers(calls_per_hour=self.levers.calls_per_hour)
        self.faults.clear()
        self.log.clear()
        self._frozen, self._hour = None, -1

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with self.account.lock:
            if path.startswith("/_sandbox/"):
                answer = Answer(*side_door.answer(self, method, path, body))
            else:
                answer = self._logged(environ, method, path, body)
        shown = answer.body[: len(answer.body) // 2] if answer.cut else answer.body
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Date", self._date().strftime("%a, %d %b %Y %H:%M:%S GMT")),
            ("Server", "istio-envoy"),
            *answer.more,
        ]
        start_response(f"{answer.status} {STATUS_WORDS.get(answer.status, 'Error')}", headers)
        return [shown]

    def _logged(self, environ: Mapping[str, Any], method: str, path: str, body: bytes) -> Answer:
        query = environ.get("QUERY_STRING", "")
        headers = {name[5:].replace("_", "-").lower(): text for name, text in environ.items() if name[:5] == "HTTP_"}
        status = 0
        try:
            answer = self._faulty(headers, method, path, query, body)
            status = answer.status
            return answer
        finally:
            seen = Seen(method, path, query, headers, body, status)
            self.log.append(seen)
            self.people_act(seen)
            if self._log_file is not None:
                with self._log_file.open("a") as log:
                    log.write(json.dumps({"method": method, "path": path, "status": status}) + "\n")

    def _faulty(self, headers: Mapping[str, str], method: str, path: str, query: str, body: bytes) -> Answer:
        kind = next((fault.kind for fault in self.faults if fault.strikes(method, path)), "")
        if kind in BEFORE:
            return BEFORE[kind](page(500))
        if kind == "limit":
            return self._over_limit()
        if kind == "ignored":
            return success({"id": self._ignored(path)})
        answer = self._answer(headers, method, path, query, body)
        return AFTER[kind](answer) if kind in AFTER else answer

    def _ignored(self, path: str) -> int:
        """The id that a write would have been about; a create takes one, and nothing is kept under it."""
        one = CONTACT.fullmatch(path)
        return int(one[1]) if one is not None else self.account.take_id()

    def _over_limit(self) -> Answer:
        answer = OVER_LIMIT[self.levers.over_limit]
        return replace(answer, status=200) if self.levers.failures_with_200 and answer.body[:1] == b"{" else answer

    def _date(self) -> datetime:
        return self.account.clock.now() + timedelta(seconds=self.levers.date_ahead)

    def _answer(self, headers: Mapping[str, str], method: str, path: str, query: str, body: bytes) -> Answer:
        try:
            if self._is_over_limit():
                return self._over_limit()
            if headers.get("x-linkname") != self.link:
                raise LINK
            if headers.get("accesstoken") != self.session_key:
                raise AUTH
            if not path.startswith("/apis/"):
                return page(404)
            data = self._route(method, path, parse_qs(query), body)
        except Failure as failure:
            return failure.answer(self.levers.failures_with_200)
        except NotFound:
            return MISSING.answer(self.levers.failures_with_200)
        except (search.Refused, ValueError) as error:
            text = str(error) if isinstance(error, search.Refused) else "Invalid JSON"
            refused = Failure(400, {"Code": "4001", "Name": "ValidationError", "Message": text})
            return refused.answer(self.levers.failures_with_200)
        return success(data)

    def _is_over_limit(self) -> bool:
        hour = self.account.now() // 3600
        self._calls = self._calls + 1 if hour == self._hour else 1
        self._hour = hour
        return self._calls > self.levers.calls_per_hour

    def _route(self, method: str, path: str, query: Mapping[str, list[str]], body: bytes) -> Any:
        one = CONTACT.fullmatch(path)
        if one is not None:
            return self._one(method, int(one[1]), body)
        match method, path:
            case "GET", "/apis/core/v4/users":
                return self._users(query.get("status") == ["active"])
            case "GET", "/apis/module/v4/1/fields":
                return schema.metadata()
            case "GET", "/apis/v1/tags" if self.levers.tags_listed:
                return [{"tag": tag} for tag in self.account.tags()]
            case "POST", "/apis/contact/v4":
                return {"id": self.account.create(self.account.checked(json.loads(body)))}
            case "POST", "/apis/contact/v4/search":
                return self._search(query, json.loads(body))
        raise MISSING

    def _one(self, method: str, number: int, body: bytes) -> Any:
        match method:
            case "GET":
                shown = self.account.any if self.levers.deleted_shown else self.account.live
                return self._spelled(self.account.full(shown(number)))
            case "PUT":
                self.account.live(number)
                self.account.edit(number, self.account.checked(json.loads(body)))
                return {"id": number}
            case "DELETE":
                self.account.delete(number)
                return {"id": number}
        raise MISSING

    def _users(self, active: bool) -> list[dict[str, Any]]:
        shown = [user for user in self.account.users if user["isActive"] or not active]
        numbers = self.levers.active_as_number
        return [{**user, "isActive": int(user["isActive"]) if numbers else user["isActive"]} for user in shown]

    def _rows(self) -> list[dict[str, Any]]:
        return [self.account.full(contact) for contact in self.account.contacts.values()]

    def _search(self, query: Mapping[str, list[str]], body: Any) -> Any:
        asked = search.parse(body, schema.KNOWN, self.account.users[0]["timezone"])
        rows = self._rows() if self._frozen is None else self._frozen
        if self.levers.shuffle_ties:
            rows = self._random.sample(rows, len(rows))
        found = search.find(asked, rows, schema.KNOWN, ties_by_id=not self.levers.shuffle_ties)
        if self.levers.ignore_filters:
            found = sorted(rows, key=lambda row: -row["lastModifiedAt"])
        if self.levers.empty_listing:
            found = []
        most = min(int(query.get("rows", [str(search.DEFAULT_ROWS)])[0]), self.levers.most_rows)
        start = int(query.get("from", ["0"])[0])
        self._listings += start == 0 and len(found) > most
        page = self._page(found, start, most)
        total = len(found)
        data = [self._spelled(search.shown(row, asked.fields), listed=True) for row in page]
        return {"data": data, "selectedView": 25, "totalRows": total, "totalPages": -(-total // most)}

    def _page(self, found: list[Mapping[str, Any]], start: int, most: int) -> list[Mapping[str, Any]]:
        """Unstable paging: every other page begins a few rows too early, and so misses its own last ones; the next
        listing does it with the pages between. So each falls short, and two together do not."""
        size = max(0, min(most, len(found) - start))
        if self.levers.cut_listing_at is not None:
            size = max(0, min(size, self.levers.cut_listing_at - start))
        turn = self.levers.unstable_paging and start > 0 and (start // most + self._listings) % 2 == 0
        early = self._random.randint(1, 5) if turn else 0
        return found[start - early : start - early + size]

    def _spelled(self, row: Mapping[str, Any], listed: bool = False) -> dict[str, Any]:
        spelled = {**row, **{name: self._time(row[name]) for name in TIMES if row.get(name) is not None}}
        if spelled.get("tags"):
            spelled["tags"] = self.levers.tag_separator.join(spelled["tags"].split(","))
        if listed and self.levers.capital_objects:
            for name in ("owner", "company"):
                if name in spelled:
                    spelled[name.capitalize()] = spelled.pop(name)
        return spelled

    def _time(self, seconds: int) -> int | str:
        moment = datetime.fromtimestamp(seconds, UTC)
        match self.levers.stamps:
            case "milliseconds":
                return seconds * 1000
            case "iso":
                return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
            case "text":
                return moment.strftime(search.LITERAL)
        return seconds
