"""The stand-in for an app's log-in: asked over plain HTTP and by Google's own library, without our client."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials

from sandbox.oauth import OAuthApp, OAuthServer
from sandbox.oauth.server import challenge_of
from sandbox.salesmate import serve

BACK = "http://127.0.0.1/back"
READ, WRITE = "https://example.com/read", "https://example.com/write"
# The example of RFC 7636, appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@dataclass
class FakeClock:
    at: datetime = field(default_factory=lambda: datetime(2026, 11, 24, 12, 0, tzinfo=UTC))

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@dataclass
class Caller:
    server: OAuthServer
    clock: FakeClock
    base: str

    def post(self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", urlsplit(self.base).port, timeout=5)
        sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        connection.request("POST", path, urlencode(form), sent)
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        kind = reply.headers.get("Content-Type", "")
        return reply.status, json.loads(body) if "json" in kind else reply.headers.get("Location") or body.decode()

    def get(self, url: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", urlsplit(self.base).port, timeout=5)
        connection.request("GET", url)
        reply = connection.getresponse()
        body = reply.read().decode()
        connection.close()
        return reply.status, reply.headers.get("Location") or body

    def token(self, **form: str) -> tuple[int, Any]:
        who = {"client_id": self.server.client_id, "client_secret": self.server.client_secret}
        return self.post("/token", {**who, **form})

    def exchange(self, code: str, **more: str) -> tuple[int, Any]:
        form = {"code": code, "redirect_uri": BACK, "code_verifier": VERIFIER, **more}
        return self.token(grant_type="authorization_code", **form)

    def refresh(self, token: str) -> tuple[int, Any]:
        return self.token(grant_type="refresh_token", refresh_token=token)

    def page(self, **more: str) -> str:
        asked = {
            "client_id": self.server.client_id,
            "redirect_uri": BACK,
            "response_type": "code",
            "scope": f"{READ} {WRITE}",
            "state": "s t&te",
            "access_type": "offline",
            "prompt": "consent",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        return f"/o/oauth2/v2/auth?{urlencode({**asked, **more})}"

    def code(self, **more: Any) -> str:
        return query(self.server.person_allows(self.page(), **more))["code"]

    def granted(self) -> dict[str, Any]:
        status, body = self.exchange(self.code())
        assert status == 200
        found: dict[str, Any] = body
        return found


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.fixture
def call() -> Iterator[Caller]:
    clock = FakeClock()
    server = OAuthServer(
        clock, redirect_uris=[BACK], scopes={READ: "See contacts", WRITE: "Change contacts"}, users=["anna", "ben"]
    )
    with serve(OAuthApp(server)) as base:
        yield Caller(server, clock, base)


def test_the_page_asks_who_and_what(call: Caller) -> None:
    status, body = call.get(call.page(state='"><b>'))
    assert status == 200
    assert all(word in body for word in ("anna", "ben", "See contacts", "Change contacts", "Allow", "Deny"))
    assert "<b>" not in body
    assert "&quot;&gt;&lt;b&gt;" in body


def test_what_the_form_of_the_page_sends_gives_a_code_and_the_state(call: Caller) -> None:
    form = {**query(call.page()), "decision": "allow", "user": "ben", "granted": READ}
    status, location = call.post("/o/oauth2/v2/auth", form)
    assert status == 302
    assert location.startswith(f"{BACK}?")
    assert (query(location)["state"], query(location)["scope"]) == ("s t&te", READ)
    body = call.exchange(query(location)["code"])[1]
    assert (call.server.user_of(body["access_token"]), call.server.scopes_of(body["access_token"])) == ("ben", (READ,))


def test_who_denies_is_sent_back_with_the_reason(call: Caller) -> None:
    assert query(call.server.person_denies(call.page())) == {"state": "s t&te", "error": "access_denied"}


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"client_id": "another"}, "invalid_client"),
        ({"redirect_uri": f"{BACK}/"}, "redirect_uri_mismatch"),
        ({"scope": "https://example.com/all"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
    ],
)
def test_a_page_asked_for_wrongly_sends_nobody_anywhere(call: Caller, wrong: dict[str, str], name: str) -> None:
    status, body = call.get(call.page(**wrong))
    assert status == 400
    assert name in body


@pytest.mark.parametrize("wrong", [{"response_type": "token"}, {"code_challenge_method": "plain"}])
def test_what_the_page_does_not_do_is_said_to_the_asker(call: Caller, wrong: dict[str, str]) -> None:
    status, location = call.get(call.page(**wrong))
    assert status == 302
    assert query(location)["error"] == "invalid_request"


def test_a_code_gives_tokens_once(call: Caller) -> None:
    code = call.code()
    status, body = call.exchange(code)
    assert status == 200
    assert set(body) == {"access_token", "refresh_token", "expires_in", "scope", "token_type"}
    assert (body["expires_in"], body["scope"], body["token_type"]) == (3599, f"{READ} {WRITE}", "Bearer")
    assert call.exchange(code) == (400, {"error": "invalid_grant", "error_description": "Bad Request"})


def test_a_code_is_over_after_ten_minutes(call: Caller) -> None:
    code = call.code()
    call.clock.at += timedelta(minutes=10)
    assert call.exchange(code)[1]["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"redirect_uri": "http://127.0.0.1/other"}, "redirect_uri_mismatch"),
        ({"code_verifier": VERIFIER[:-1] + "x"}, "invalid_grant"),
        ({"code": "4/guess"}, "invalid_grant"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "another"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_a_code_needs_all_that_it_was_made_with(call: Caller, wrong: dict[str, str], error: str) -> None:
    code = call.code()
    form = {"code": code, "redirect_uri": BACK, "code_verifier": VERIFIER, "grant_type": "authorization_code"}
    status, body = call.token(**{**form, **wrong})
    assert (status, body["error"]) == (401 if error == "invalid_client" else 400, error)
    assert call.exchange(code)[0] == 200


def test_a_challenge_needs_its_verifier(call: Caller) -> None:
    assert challenge_of(VERIFIER) == CHALLENGE
    status, body = call.token(grant_type="authorization_code", code=call.code(), redirect_uri=BACK)
    assert (status, body["error_description"]) == (400, "Missing code verifier.")


def test_a_client_may_say_who_it_is_in_the_header(call: Caller) -> None:
    basic = b64encode(f"{call.server.client_id}:{call.server.client_secret}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}"}
    form = {"grant_type": "refresh_token", "refresh_token": call.granted()["refresh_token"]}
    assert call.post("/token", form, headers)[0] == 200
    assert call.post("/token", form, {"Authorization": "Basic %%"})[0] == 401


def test_a_refresh_gives_a_new_access_token_alone(call: Caller) -> None:
    first = call.granted()
    status, body = call.refresh(first["refresh_token"])
    assert status == 200
    assert set(body) == {"access_token", "expires_in", "scope", "token_type"}
    assert body["access_token"] != first["access_token"]
    assert call.server.user_of(first["access_token"]) == call.server.user_of(body["access_token"]) == "anna"


def test_access_ends_with_its_time(call: Caller) -> None:
    token = call.granted()["access_token"]
    call.clock.at += timedelta(seconds=3598)
    assert call.server.user_of(token) == "anna"
    call.clock.at += timedelta(seconds=1)
    assert call.server.user_of(token) is None


def test_access_can_be_ended_while_the_grant_lives(call: Caller) -> None:
    given = call.granted()
    call.server.end_access()
    assert call.server.user_of(given["access_token"]) is None
    assert call.refresh(given["refresh_token"])[0] == 200


def test_a_grant_withdrawn_by_its_user_is_dead_and_no_other(call: Caller) -> None:
    given = call.granted()
    bens = call.exchange(call.code(user="ben"))[1]
    call.server.person_withdraws("anna")
    assert call.server.user_of(given["access_token"]) is None
    dead = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
    assert call.refresh(given["refresh_token"]) == (400, dead)
    assert call.refresh(bens["refresh_token"])[0] == 200


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_either_token_revokes_the_grant_once(call: Caller, which: str) -> None:
    given = call.granted()
    assert call.post("/revoke", {"token": given[which]}) == (200, {})
    assert call.server.user_of(given["access_token"]) is None
    assert call.post("/revoke", {"token": given[which]})[1]["error"] == "invalid_token"


def test_in_testing_refresh_tokens_last_seven_days(call: Caller) -> None:
    token = call.granted()["refresh_token"]
    call.clock.at += timedelta(days=7)
    assert call.refresh(token)[0] == 200
    call.server.levers.testing = True
    assert call.refresh(token)[1]["error"] == "invalid_grant"


def test_rotated_refresh_tokens_work_once(call: Caller) -> None:
    call.server.levers.rotate = True
    token = call.granted()["refresh_token"]
    following = call.refresh(token)[1]["refresh_token"]
    assert call.refresh(token)[1]["error"] == "invalid_grant"
    assert call.refresh(following)[0] == 200


def test_the_token_endpoint_can_fail_for_a_while(call: Caller) -> None:
    call.server.levers.refused = [500, 429]
    assert [call.refresh("any")[0] for _ in range(3)] == [500, 429, 400]
    assert call.server.log == [("refresh_token", 500), ("refresh_token", 429), ("refresh_token", 400)]


def test_a_second_consent_gives_a_refresh_token_only_where_it_was_asked_for(call: Caller) -> None:
    call.granted()
    again = query(call.server.person_allows(call.page(prompt="select_account")))["code"]
    assert "refresh_token" not in call.exchange(again)[1]
    assert "refresh_token" in call.granted()
    online = query(call.server.person_allows(call.page(access_type="online")))["code"]
    assert "refresh_token" not in call.exchange(online)[1]


def test_an_app_whose_tokens_never_end() -> None:
    clock = FakeClock()
    server = OAuthServer(clock, redirect_uris=[BACK], lifetime=None, authorize="/oauth2/authorize")
    asked = {"client_id": server.client_id, "redirect_uri": BACK, "response_type": "code", "state": "s"}
    code = query(server.person_allows(f"https://example.com/oauth2/authorize?{urlencode(asked)}"))["code"]
    form = {**asked, "client_secret": server.client_secret, "code": code, "grant_type": "authorization_code"}
    answer = server.handle("POST", "/token", "", urlencode(form).encode(), {})
    assert answer is not None
    body = json.loads(answer[2])
    assert (set(body), body["expires_in"]) == ({"access_token", "expires_in", "scope"}, 0)
    clock.at += timedelta(days=10_000)
    assert server.user_of(body["access_token"]) == "anna@example.com"


def test_other_paths_are_not_its_business(call: Caller) -> None:
    assert call.server.handle("GET", "/v1/people/me", "", b"", {}) is None
    assert call.server.handle("GET", "/token", "", b"", {}) is None


def test_a_parameter_sent_twice_is_refused(call: Caller) -> None:
    assert call.get(f"{call.page()}&state=another")[0] == 400


# Google's own library as the client


def credentials(call: Caller) -> Credentials:
    return Credentials(  # type: ignore[no-untyped-call]
        token=None,
        refresh_token=call.granted()["refresh_token"],
        token_uri=f"{call.base}/token",
        client_id=call.server.client_id,
        client_secret=call.server.client_secret,
        scopes=[READ, WRITE],
    )


def test_googles_library_refreshes(call: Caller) -> None:
    theirs = credentials(call)
    theirs.refresh(Request())  # type: ignore[no-untyped-call]
    assert call.server.user_of(str(theirs.token)) == "anna"
    assert theirs.granted_scopes == [READ, WRITE]


def test_googles_library_knows_a_dead_grant(call: Caller) -> None:
    theirs = credentials(call)
    call.server.person_withdraws("anna")
    with pytest.raises(RefreshError, match="invalid_grant") as caught:
        theirs.refresh(Request())  # type: ignore[no-untyped-call]
    assert caught.value.retryable is False
