"""A stand-in for Mailchimp's Marketing API 3.0 and the log-in before it, written from what is known of them and not
from our connector."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from hmac import compare_digest
from http import HTTPStatus
from pathlib import Path
from threading import Lock, RLock
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode

from portal.clock import Clock
from sandbox.exchange import Answer, Seen, Start
from sandbox.mailchimp import calls, hooks, keeping, shown, side_door
from sandbox.mailchimp.answers import BAD_KEY, BUSY, NO_JSON, NO_KEY, NOT_FOUND, Failure
from sandbox.mailchimp.audience import Audience
from sandbox.mailchimp.levers import AFTER, BEFORE, Fault, Levers
from sandbox.oauth import OAuthServer

API: Final = "/3.0/"
DIRECT: Final = "http://127.0.0.1/direct"
OF_LIST: Final = re.compile(r"lists/(?P<list>[^/]+)(?:/(?P<rest>.+))?")
ACCOUNT: Final = "5f6e3ecf127508cdb5e31e90b"
KEY: Final = "0123456789abcdef0123456789abcdef-us6"


class MailchimpApp:
    """WSGI. One account with a few audiences, by API key or by OAuth tokens. State is in memory, and in `state_file`
    where given; `log_file` gets a JSON line per request, without headers, query and body. `people_act` is called when
    a request has been carried out and its answer is not on its way yet."""

    def __init__(
        self,
        clock: Clock,
        audiences: Mapping[str, str] | None = None,
        *,
        api_key: str = KEY,
        client_id: str = "sandbox-client",
        client_secret: str = "sandbox-client-secret",
        redirect_uris: Iterable[str] = (),
        state_file: Path | None = None,
        log_file: Path | None = None,
        seed: int = 1,
    ) -> None:
        """`audiences` are names by id."""
        self.clock, self.api_key, self.levers = clock, api_key, Levers()
        self.dc = api_key.rpartition("-")[2]
        named = audiences or {"a36b032126": "Newsletter"}
        self.audiences = {id: Audience(id, name, clock, self.levers, seed) for id, name in named.items()}
        for audience in self.audiences.values():
            audience.heard = hooks.teller(audience, clock)
        self.oauth = OAuthServer(
            clock,
            client_id=client_id,
            client_secret=client_secret,
            redirect_uris=(*redirect_uris, DIRECT),
            lifetime=None,
            authorize="/oauth2/authorize",
            token="/oauth2/token",
        )
        self.endpoint = f"https://{self.dc}.api.mailchimp.com"
        self.faults: list[Fault] = []
        self.log: list[Seen] = []
        self.people_act: Callable[[Seen], None] = lambda seen: None
        self.most_at_once = 0
        self._state_file, self._log_file = state_file, log_file
        self._lock, self._counting, self._now = RLock(), Lock(), 0
        keeping.load(state_file, self.audiences)

    def audience(self, id: str = "") -> Audience:
        """This one, or the first."""
        return self.audiences[id] if id else next(iter(self.audiences.values()))

    def allow(self) -> str:
        """The token that an app gets once the first user has said yes."""
        client = {"client_id": self.oauth.client_id, "redirect_uri": DIRECT}
        sent_to = self.oauth.person_allows(f"{DIRECT}?{urlencode({**client, 'response_type': 'code'})}")
        code = dict(parse_qsl(sent_to.partition("?")[2]))["code"]
        form = {**client, "client_secret": self.oauth.client_secret, "grant_type": "authorization_code", "code": code}
        answer = self.oauth.handle("POST", "/oauth2/token", "", urlencode(form).encode(), {})
        given: str = json.loads(answer[2])["access_token"] if answer is not None else ""
        return given

    def fault(self, kind: str, method: str = "", path: str = "", times: int = 1, skip: int = 0) -> None:
        self.faults.append(Fault(kind, method, path, times, skip))

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        busy = self._enter()
        try:
            with self._lock:
                if path.startswith("/_sandbox/"):
                    answer = Answer(*side_door.answer(self, method, path, body))
                else:
                    answer = self._logged(environ, method, path, body, busy)
                if method != "GET":
                    keeping.save(self._state_file, self.audiences)
        finally:
            with self._counting:
                self._now -= 1
        sent = answer.body[: len(answer.body) // 2] if answer.cut else answer.body
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Date", self.clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT")),
            ("Server", "openresty"),
            *answer.more,
        ]
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
        return [sent]

    def _enter(self) -> bool:
        """Whether too many are here already."""
        with self._counting:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            return self._now > self.levers.connections

    def _logged(self, environ: dict[str, Any], method: str, path: str, body: bytes, busy: bool) -> Answer:
        query = environ.get("QUERY_STRING", "")
        headers = {name[5:].replace("_", "-").lower(): text for name, text in environ.items() if name[:5] == "HTTP_"}
        status = 0
        try:
            answer = BUSY.answer() if busy else self._answer(environ, headers, method, path, query, body)
            status = answer.status
            return answer
        finally:
            seen = Seen(method, path, query, headers, body, status)
            self.log.append(seen)
            self.people_act(seen)
            if self._log_file is not None:
                with self._log_file.open("a") as log:
                    log.write(json.dumps({"method": method, "path": path, "status": status}) + "\n")

    def _answer(
        self, environ: dict[str, Any], headers: Mapping[str, str], method: str, path: str, query: str, body: bytes
    ) -> Answer:
        """`environ` is told of a fault, for those who look at answers from outside."""
        kind = next((fault.kind for fault in self.faults if fault.strikes(method, f"{path}?{query}")), "")
        environ["sandbox.fault"] = kind
        if kind in BEFORE:
            return BEFORE[kind](Answer(200, b""))
        try:
            answer = self._login(method, path, query, body, headers) or self._of_api(
                headers, method, path, query, body, kind
            )
        except Failure as failure:
            answer = failure.answer()
        return AFTER[kind](answer) if kind in AFTER else answer

    def _login(self, method: str, path: str, query: str, body: bytes, headers: Mapping[str, str]) -> Answer | None:
        if (method, path) == ("GET", "/oauth2/metadata"):
            return self._metadata(headers)
        found = self.oauth.handle(method, path, query, body, headers)
        if found is None:
            return None
        status, told, page = found
        kinds = [text for name, text in told if name == "Content-Type"]
        more = tuple(header for header in told if header[0] != "Content-Type")
        return Answer(status, page, (kinds or ["text/html; charset=utf-8"])[0], more=more)

    def _metadata(self, headers: Mapping[str, str]) -> Answer:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind not in ("OAuth", "Bearer") or self.oauth.user_of(token) is None:
            return Answer(200, json.dumps({"error": "invalid_token"}).encode())
        told = {
            "dc": self.dc,
            "role": "owner",
            "accountname": "Harbour Tea",
            "user_id": 1234567,
            "login": {"email": "anna@example.com", "login_id": 7654321, "login_name": "anna"},
            "login_url": "https://login.mailchimp.com",
            "api_endpoint": self.endpoint,
        }
        return Answer(200, json.dumps(told).encode())

    def _of_api(
        self, headers: Mapping[str, str], method: str, path: str, query: str, body: bytes, fault: str
    ) -> Answer:
        if not path.startswith(API):
            raise NOT_FOUND
        self._check_key(headers)
        asked = dict(parse_qsl(query, keep_blank_values=True))
        before = deepcopy([vars(one) for one in self.audiences.values()]) if fault == "ignored" else []
        data = self._act(method, path.removeprefix(API).strip("/"), asked, body)
        for audience, was in zip(self.audiences.values(), before, strict=False):
            vars(audience).update(was)
        if data is None:
            return Answer(204, b"", "application/json; charset=utf-8")
        kept = shown.chosen(data, asked.get("fields", ""), asked.get("exclude_fields", ""))
        return Answer(200, json.dumps(kept).encode())

    def _check_key(self, headers: Mapping[str, str]) -> None:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if not given:
            raise NO_KEY
        if kind.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                raise BAD_KEY from None
        elif self.oauth.user_of(given) is not None:
            return
        if not compare_digest(given.encode(), self.api_key.encode()):
            raise BAD_KEY

    def _act(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Any:
        data = parsed(body)
        if (method, path) == ("GET", ""):
            return self._root()
        if (method, path) == ("GET", "ping"):
            return {"health_status": "Everything's Chimpy!"}
        if (method, path) == ("GET", "lists"):
            every = [shown.audience(one) for one in self.audiences.values()]
            links = shown.links("self", "/lists", "Lists")
            constraints = {"may_create": False, "max_instances": 1, "current_total_instances": len(every)}
            page = calls.paged(query, every)
            return {"lists": page, "total_items": len(every), "constraints": constraints, "_links": links}
        match = OF_LIST.fullmatch(path)
        audience = self.audiences.get(match["list"]) if match is not None else None
        if match is None or audience is None:
            raise NOT_FOUND
        rest = match["rest"] or ""
        if (method, rest) == ("GET", ""):
            return shown.audience(audience)
        for verb, pattern, act in calls.ROUTES:
            found = re.fullmatch(pattern, rest)
            if found is not None and verb == method:
                return act(audience, query, data, **{name: unquote(text) for name, text in found.groupdict().items()})
        raise NOT_FOUND

    def _root(self) -> dict[str, Any]:
        return {
            "account_id": ACCOUNT,
            "login_id": "7654321",
            "account_name": "Harbour Tea",
            "email": "anna@example.com",
            "first_name": "Anna",
            "last_name": "Berg",
            "username": "anna",
            "role": "owner",
            "member_since": shown.BORN,
            "pricing_plan_type": "monthly",
            "account_timezone": "Europe/London",
            "account_industry": "",
            "total_subscribers": sum(len(one.members) for one in self.audiences.values()),
            "_links": shown.links("self", "/", "Root"),
        }


def parsed(body: bytes) -> dict[str, Any]:
    """Nothing may also be said as "" (Mailchimp's own client does). Raises Failure."""
    try:
        data = (json.loads(body) if body else {}) or {}
    except ValueError:
        raise NO_JSON from None
    if not isinstance(data, dict):
        raise NO_JSON
    return data
