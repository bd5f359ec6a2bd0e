"""The three paths of the OAuth server, and what people do on its page."""

import base64
import binascii
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from http import HTTPStatus
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from portal.clock import Clock
from sandbox.oauth.grants import ASKED, CODE_LIFE, TESTING_LIFE, Access, BadRequest, Code, Grant, OAuthLevers, Refused
from sandbox.oauth.page import Answer, consent_page, error_page

Form = Mapping[str, str]


class OAuthServer:
    """`handle` answers the requests to its three paths and None for all others. `user_of` is for the app that is asked
    with a token. The `person_*` methods are what people do on its page, or in their account at the app; `log` keeps
    the grant type and the status of each call of the token endpoint, `given` each access token."""

    def __init__(
        self,
        clock: Clock,
        *,
        client_id: str = "sandbox-client",
        client_secret: str = "sandbox-client-secret",
        redirect_uris: Iterable[str] = (),
        scopes: Mapping[str, str] | None = None,
        users: Iterable[str] = ("anna@example.com",),
        lifetime: timedelta | None = timedelta(seconds=3599),
        authorize: str = "/o/oauth2/v2/auth",
        token: str = "/token",
        revoke: str = "/revoke",
    ) -> None:
        """`scopes` maps each scope that can be asked for to its words; `lifetime` is that of access tokens, None for
        ever."""
        self.clock, self.client_id, self.client_secret = clock, client_id, client_secret
        self.redirect_uris, self.users = set(redirect_uris), list(users)
        self.scopes, self.lifetime = dict(scopes or {}), lifetime
        self.paths: Mapping[tuple[str, str], Callable[[Form, Mapping[str, str]], Answer]] = {
            ("GET", authorize): self._ask,
            ("POST", authorize): self._decided,
            ("POST", token): self._token,
            ("POST", revoke): self._revoke,
        }
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        """No grants, no log, levers as at the start."""
        self.levers = OAuthLevers()
        self.log: list[tuple[str, int]] = []
        self.grants: list[Grant] = []
        self.given: list[str] = []
        self._codes: dict[str, Code] = {}
        self._access: dict[str, Access] = {}

    def handle(self, method: str, path: str, query: str, body: bytes, headers: Mapping[str, str]) -> Answer | None:
        """`headers` has lower-case names. None: the path is none of ours."""
        act = self.paths.get((method, path))
        if act is None:
            return None
        sent = query if method == "GET" else body.decode("utf-8", "replace")
        given = parse_qs(sent, keep_blank_values=True)
        if any(len(values) > 1 for name, values in given.items() if name != "granted"):
            return error_page(400, "invalid_request")
        form = {name: " ".join(values) for name, values in given.items()}
        with self._lock:
            return act(form, headers)

    def user_of(self, access_token: str) -> str | None:
        """Whose token it is; None where it is unknown, over or withdrawn."""
        found = self._alive(access_token)
        return found.user if found is not None else None

    def scopes_of(self, access_token: str) -> tuple[str, ...]:
        found = self._alive(access_token)
        return found.scopes if found is not None else ()

    def _alive(self, access_token: str) -> Grant | None:
        found = self._access.get(access_token)
        if found is None or found.grant.revoked or (found.ends is not None and found.ends <= self.clock.now()):
            return None
        return found.grant

    # What people do

    def person_allows(self, url: str, user: str = "", scopes: Iterable[str] | None = None) -> str:
        """The address to which the browser is sent after Allow on the page at `url`; `scopes` are those ticked."""
        asked = self._query(url)
        ticked = asked.get("scope", "").split() if scopes is None else scopes
        return self._decide(asked, {"decision": "allow", "user": user or self.users[0], "granted": " ".join(ticked)})

    def person_denies(self, url: str) -> str:
        return self._decide(self._query(url), {"decision": "deny"})

    def person_withdraws(self, user: str) -> None:
        """In the account at the app: all that was ever allowed is dead."""
        for grant in self.grants:
            grant.revoked = grant.revoked or grant.user == user

    def end_access(self) -> None:
        """All access tokens are over; what was allowed stays."""
        self._access.clear()

    def _query(self, url: str) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}

    def _decide(self, asked: Form, decision: Form) -> str:
        with self._lock:
            answer = self._decided({**asked, **decision}, {})
        location = dict(answer[1]).get("Location")
        if location is None:
            raise ValueError(f"the page cannot send anybody back: {answer[2].decode()}")
        return location

    # The page

    def _ask(self, form: Form, headers: Mapping[str, str]) -> Answer:
        return self._checked(form, self._asked)

    def _decided(self, form: Form, headers: Mapping[str, str]) -> Answer:
        return self._checked(form, self._answered)

    def _checked(self, form: Form, go_on: Callable[[Form, tuple[str, ...]], Answer]) -> Answer:
        """What `go_on` makes of a request that is right, and the scopes that it wants."""
        try:
            self._check_address(form)
            wanted = self._wanted(form)
        except BadRequest as error:
            return error_page(400, str(error))
        if not self._is_well_formed(form):
            return self._back(form, {"error": "invalid_request"})
        return go_on(form, wanted)

    def _asked(self, form: Form, wanted: tuple[str, ...]) -> Answer:
        carried = {name: form[name] for name in ASKED if name in form}
        return consent_page(carried, self.users, {scope: self.scopes[scope] for scope in wanted})

    def _answered(self, form: Form, wanted: tuple[str, ...]) -> Answer:
        if form.get("decision") != "allow" or form.get("user") not in self.users:
            return self._back(form, {"error": "access_denied"})
        granted = tuple(scope for scope in wanted if scope in form.get("granted", "").split())
        if wanted and not granted:
            return self._back(form, {"error": "access_denied"})
        code = f"4/0A{secrets.token_urlsafe(40)}"
        self._codes[code] = self._code(form, granted)
        return self._back(form, {"code": code} | ({"scope": " ".join(granted)} if granted else {}))

    def _code(self, form: Form, granted: tuple[str, ...]) -> Code:
        """A refresh token is given for access_type=offline, the first time or when the consent was asked for anew."""
        known = any(grant.user == form["user"] and not grant.revoked for grant in self.grants)
        offline = self.lifetime is not None and form.get("access_type") == "offline"
        return Code(
            user=form["user"],
            scopes=granted,
            redirect_uri=form["redirect_uri"],
            challenge=form.get("code_challenge", ""),
            offline=offline and (not known or "consent" in form.get("prompt", "").split()),
            ends=self.clock.now() + CODE_LIFE,
        )

    def _check_address(self, form: Form) -> None:
        if form.get("client_id") != self.client_id:
            raise BadRequest("invalid_client")
        if form.get("redirect_uri") not in self.redirect_uris:
            raise BadRequest("redirect_uri_mismatch")

    def _wanted(self, form: Form) -> tuple[str, ...]:
        wanted = tuple(form.get("scope", "").split())
        if (self.scopes and not wanted) or not set(wanted) <= self.scopes.keys():
            raise BadRequest("invalid_scope")
        return wanted

    def _is_well_formed(self, form: Form) -> bool:
        pkce = form.get("code_challenge_method", "") in ("", "S256")
        return form.get("response_type") == "code" and pkce

    def _back(self, form: Form, answer: Form) -> Answer:
        state = {"state": form["state"]} if "state" in form else {}
        location = f"{form['redirect_uri']}?{urlencode({**state, **answer})}"
        return 302, [("Location", location), ("Cache-Control", "no-store")], b""

    # Tokens

    def _token(self, form: Form, headers: Mapping[str, str]) -> Answer:
        answer = self._token_answer(form, headers)
        self.log.append((form.get("grant_type", ""), answer[0]))
        return answer

    def _token_answer(self, form: Form, headers: Mapping[str, str]) -> Answer:
        if self.levers.refused:
            return self._refused(self.levers.refused.pop(0))
        try:
            self._check_client(form, headers)
            match form.get("grant_type"):
                case "authorization_code":
                    return plain(self._exchanged(form))
                case "refresh_token" if self.lifetime is not None:
                    return plain(self._refreshed(form))
            raise Refused("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}")
        except Refused as refused:
            return plain(refused.body, refused.status)

    def _refused(self, status: int) -> Answer:
        if status == 429:
            told = {"error": "rate_limit_exceeded", "error_description": "Too many requests"}
            return 429, [("Content-Type", "application/json; charset=utf-8"), ("Retry-After", "30")], dumped(told)
        return error_page(status, "Server Error")

    def _check_client(self, form: Form, headers: Mapping[str, str]) -> None:
        """By the form, or by HTTP Basic (RFC 6749 2.3.1)."""
        name, secret = form.get("client_id", ""), form.get("client_secret", "")
        kind, _, encoded = headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                name = ""
            name, secret = unquote(name), unquote(secret)
        if name != self.client_id:
            raise Refused("invalid_client", "The OAuth client was not found.", 401)
        if not compare_digest(secret.encode(), self.client_secret.encode()):
            raise Refused("invalid_client", "Unauthorized", 401)

    def _exchanged(self, form: Form) -> dict[str, Any]:
        code = self._codes.get(form.get("code", ""))
        if code is None or code.used or code.ends <= self.clock.now():
            raise Refused("invalid_grant", "Malformed auth code." if code is None else "Bad Request")
        if form.get("redirect_uri") != code.redirect_uri:
            raise Refused("redirect_uri_mismatch", "Bad Request")
        if code.challenge and "code_verifier" not in form:
            raise Refused("invalid_grant", "Missing code verifier.")
        if code.challenge and challenge_of(form["code_verifier"]) != code.challenge:
            raise Refused("invalid_grant", "Invalid code verifier.")
        code.used = True
        refresh = f"1//0{secrets.token_urlsafe(48)}" if code.offline else ""
        grant = Grant(code.user, code.scopes, self.clock.now(), refresh)
        self.grants.append(grant)
        return self._given(grant) | ({"refresh_token": refresh} if refresh else {})

    def _refreshed(self, form: Form) -> dict[str, Any]:
        """Scopes can be asked for again, never more than were granted."""
        token = form.get("refresh_token", "")
        grant = next((grant for grant in self.grants if token and grant.refresh_token == token), None)
        if grant is None or grant.revoked or self._is_over(grant):
            raise Refused("invalid_grant", "Token has been expired or revoked.")
        if not set(form.get("scope", "").split()) <= set(grant.scopes):
            raise Refused("invalid_scope", "Some requested scopes were invalid.")
        if not self.levers.rotate:
            return self._given(grant)
        grant.refresh_token = f"1//0{secrets.token_urlsafe(48)}"
        return {**self._given(grant), "refresh_token": grant.refresh_token}

    def _is_over(self, grant: Grant) -> bool:
        return self.levers.testing and grant.at + TESTING_LIFE <= self.clock.now()

    def _given(self, grant: Grant) -> dict[str, Any]:
        token = f"ya29.{secrets.token_urlsafe(60)}"
        ends = None if self.lifetime is None else self.clock.now() + self.lifetime
        self._access[token] = Access(grant, ends)
        self.given.append(token)
        if self.lifetime is None:
            return {"access_token": token, "expires_in": 0, "scope": None}
        seconds = int(self.lifetime.total_seconds())
        return {"access_token": token, "expires_in": seconds, "scope": " ".join(grant.scopes), "token_type": "Bearer"}

    def _revoke(self, form: Form, headers: Mapping[str, str]) -> Answer:
        """Either token ends the whole grant."""
        token = form.get("token", "")
        access = self._access.get(token)
        grants = [access.grant] if access is not None else []
        grants += [grant for grant in self.grants if token and grant.refresh_token == token]
        if not grants or grants[0].revoked:
            return plain({"error": "invalid_token", "error_description": "Token expired or revoked"}, 400)
        grants[0].revoked = True
        return plain({})


def challenge_of(verifier: str) -> str:
    """S256 (RFC 7636 4.2)."""
    return base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def dumped(data: Any) -> bytes:
    return json.dumps(data).encode()


def plain(data: Any, status: int = 200) -> Answer:
    headers = [("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store")]
    return status, headers, dumped(data)


class OAuthApp:
    """WSGI: the server alone, where no app mounts it."""

    def __init__(self, server: OAuthServer) -> None:
        self.server = server

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = {name[5:].replace("_", "-").lower(): text for name, text in environ.items() if name[:5] == "HTTP_"}
        asked = (environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/"), environ.get("QUERY_STRING", ""))
        status, sent, answer = self.server.handle(*asked, body, headers) or error_page(404, "Not Found")
        start_response(f"{status} {HTTPStatus(status).phrase}", [*sent, ("Content-Length", str(len(answer)))])
        return [answer]
