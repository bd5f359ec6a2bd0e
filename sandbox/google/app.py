"""A stand-in for Google: the People API v1 and the log-in before it, written from what is known of them and not from
our connector."""

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from threading import RLock
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from portal.clock import Clock
from sandbox.exchange import Answer, Seen, Start
from sandbox.google import keeping, routes, side_door
from sandbox.google.account import Account
from sandbox.google.answers import FEW_SCOPES, NOT_FOUND, UNAUTHENTICATED, Failure
from sandbox.google.call import Call
from sandbox.google.faults import AFTER, BEFORE, Fault
from sandbox.google.levers import Levers
from sandbox.oauth import OAuthServer

CONTACTS: Final = "https://www.googleapis.com/auth/contacts"
CONTACTS_READ: Final = "https://www.googleapis.com/auth/contacts.readonly"
EMAIL: Final = "https://www.googleapis.com/auth/userinfo.email"
SCOPES: Final = {
    CONTACTS: "See, edit, download and delete your contacts",
    CONTACTS_READ: "See your contacts",
    EMAIL: "See your e-mail address",
}
DIRECT: Final = "http://127.0.0.1/direct"


class GoogleApp:
    """WSGI. One process, several Google users by their addresses, each with contacts of their own. State is in memory,
    and in `state_file` where given; `log_file` gets a JSON line per request, without headers, query and body. A query
    that is too long for an address may come as the body of a POST (X-HTTP-Method-Override), as with Google.
    `people_act` is called when a request has been carried out and its answer is not on its way yet."""

    def __init__(
        self,
        clock: Clock,
        users: Sequence[str] = ("anna@example.com",),
        *,
        client_id: str = "sandbox-client",
        client_secret: str = "sandbox-client-secret",
        redirect_uris: Iterable[str] = (),
        state_file: Path | None = None,
        log_file: Path | None = None,
        seed: int = 1,
        **levers: Any,
    ) -> None:
        """Further arguments are levers and stay so over a reset."""
        self.clock, self._given = clock, levers
        self.levers = Levers(**levers)
        self.accounts = {email: Account(email, clock, self.levers, seed) for email in users}
        self.oauth = OAuthServer(
            clock,
            client_id=client_id,
            client_secret=client_secret,
            redirect_uris=(*redirect_uris, DIRECT),
            scopes=SCOPES,
            users=users,
        )
        self.faults: list[Fault] = []
        self.log: list[Seen] = []
        self.people_act: Callable[[Seen], None] = lambda seen: None
        self._state_file, self._log_file = state_file, log_file
        self._chance = random.Random(seed)
        self._lock = RLock()
        keeping.load(state_file, self.accounts, self.oauth)

    def account(self, email: str = "") -> Account:
        """Of this user, or of the first one."""
        return self.accounts[email] if email else next(iter(self.accounts.values()))

    def allow(self, email: str = "", scopes: Sequence[str] = (CONTACTS,)) -> dict[str, Any]:
        """What the token endpoint gives once this user has said yes: access_token, refresh_token and the rest."""
        client = {"client_id": self.oauth.client_id, "redirect_uri": DIRECT}
        asked = {**client, "response_type": "code", "access_type": "offline", "prompt": "consent"}
        page = f"{DIRECT}?{urlencode({**asked, 'scope': ' '.join(scopes)})}"
        sent_to = self.oauth.person_allows(page, email)
        code = parse_qs(sent_to.partition("?")[2])["code"][0]
        form = {**client, "client_secret": self.oauth.client_secret, "grant_type": "authorization_code", "code": code}
        answer = self.oauth.handle("POST", "/token", "", urlencode(form).encode(), {})
        given: dict[str, Any] = json.loads(answer[2]) if answer is not None else {}
        return given

    def fault(self, kind: str, method: str = "", path: str = "", times: int = 1, skip: int = 0) -> None:
        self.faults.append(Fault(kind, method, path, times, skip))

    def catch_up(self) -> None:
        """Sync requests see everything that was done so far."""
        for account in self.accounts.values():
            account.catch_up()

    def reset(self) -> None:
        """No contacts, groups, faults and log, levers as at the start. Who has given access has still given it."""
        for account in self.accounts.values():
            account.clear()
        for name, value in vars(Levers(**self._given)).items():
            setattr(self.levers, name, value)
        self.faults.clear()
        self.log.clear()

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with self._lock:
            if path.startswith("/_sandbox/"):
                answer = Answer(*side_door.answer(self, method, path, body))
            else:
                answer = self._logged(environ, method, path, body)
            if method != "GET":
                keeping.save(self._state_file, self.accounts, self.oauth)
        shown = answer.body[: len(answer.body) // 2] if answer.cut else answer.body
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Date", self.clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT")),
            ("Server", "ESF"),
            *answer.more,
        ]
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
        return [shown]

    def _logged(self, environ: dict[str, Any], method: str, path: str, body: bytes) -> Answer:
        query = environ.get("QUERY_STRING", "")
        if "HTTP_X_HTTP_METHOD_OVERRIDE" in environ:
            method, query, body = environ["HTTP_X_HTTP_METHOD_OVERRIDE"], body.decode("utf-8", "replace"), b""
        headers = {name[5:].replace("_", "-").lower(): text for name, text in environ.items() if name[:5] == "HTTP_"}
        status = 0
        try:
            answer = self._answer(environ, headers, method, path, query, body)
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
        logged_in = self.oauth.handle(method, path, query, body, headers)
        if logged_in is not None:
            return of_login(logged_in)
        try:
            answer = self._of_api(headers, method, path, query, body, kind)
        except Failure as failure:
            answer = failure.answer()
        return AFTER[kind](answer) if kind in AFTER else answer

    def _of_api(
        self, headers: Mapping[str, str], method: str, path: str, query: str, body: bytes, fault: str
    ) -> Answer:
        found = routes.find(method, path)
        if found is None:
            raise NOT_FOUND
        route, name = found
        account = self._allowed(headers, route.writes)
        asked = parse_qs(query, keep_blank_values=True)
        call = Call(account, name, route.method, asked, body, self._chance, fault == "batch_refused")
        call.check_parameters(route.parameters)
        before = account.state()
        answer = route.act(call)
        if fault == "ignored":
            account.put_back(before)
        return Answer(200, json.dumps(answer).encode(), "application/json; charset=UTF-8")

    def _allowed(self, headers: Mapping[str, str], writes: bool) -> Account:
        kind, _, token = headers.get("authorization", "").partition(" ")
        user = self.oauth.user_of(token) if kind.lower() == "bearer" else None
        if user is None:
            raise UNAUTHENTICATED
        granted = set(self.oauth.scopes_of(token))
        if not granted & ({CONTACTS} if writes else {CONTACTS, CONTACTS_READ}):
            raise FEW_SCOPES
        return self.accounts[user]


def of_login(answer: tuple[int, list[tuple[str, str]], bytes]) -> Answer:
    status, headers, body = answer
    kinds = [text for name, text in headers if name == "Content-Type"]
    more = tuple(header for header in headers if header[0] != "Content-Type")
    return Answer(status, body, (kinds or ["text/html; charset=utf-8"])[0], more=more)
