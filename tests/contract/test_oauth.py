"""The log-in of an app, asked over HTTP: the stand-in answers as Google does, a crude server as nobody should."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from sandbox.oauth import OAuthApp, OAuthServer
from sandbox.oauth.server import challenge_of
from sandbox.salesmate import serve
from syncer.connectors.base import App, AuthFailed, ConnectorError, Misconfigured, RateLimited, Transient
from syncer.connectors.oauth import Authorizer, Grant, NotAllAllowed, OAuthClient
from syncer.connectors.registry import Options, apps
from tests.connections.rolodex import BACK, READ, SCOPES, WRITE, FakeClock, Rolodex

VERIFIER = "v3rifier-canary-" + "x" * 40
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECRETS = ("s3cret-canary", VERIFIER, "c0de-canary", "r3fresh-canary", "acc3ss-canary")


def asked_at(url: str, client: OAuthClient, app: App = Rolodex.app, private: bool = True) -> Authorizer:
    urls = {"google_auth": f"{url}/o/oauth2/v2/auth", "google_token": f"{url}/token"}
    return Authorizer(app, client, Options(private, urls))


@pytest.fixture
def server() -> OAuthServer:
    return OAuthServer(FakeClock(NOW), redirect_uris=[BACK], scopes=SCOPES)


@pytest.fixture
def rolodex(server: OAuthServer) -> Iterator[Authorizer]:
    with serve(cast(Any, OAuthApp(server))) as url:
        yield asked_at(url, OAuthClient(server.client_id, server.client_secret))


def query(url: str) -> dict[str, str]:
    return {name: " ".join(values) for name, values in parse_qs(urlsplit(url).query).items()}


def code(server: OAuthServer, rolodex: Authorizer, **more: Any) -> str:
    return query(server.person_allows(rolodex.page(BACK, "state", VERIFIER), **more))["code"]


def first(server: OAuthServer, rolodex: Authorizer) -> Grant:
    return rolodex.exchange(code(server, rolodex), BACK, VERIFIER, NOW)


def test_the_address_of_the_page_asks_for_all(rolodex: Authorizer) -> None:
    url = rolodex.page(BACK, "the state", VERIFIER)
    assert url.startswith("http://127.0.0.1:")
    assert query(url) == {
        "client_id": "sandbox-client",
        "redirect_uri": BACK,
        "response_type": "code",
        "scope": f"{READ} {WRITE}",
        "state": "the state",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
        "access_type": "offline",
        "prompt": "consent",
    }


@pytest.mark.parametrize("app", [app for app in apps() if app.oauth is not None], ids=lambda app: app.slug)
def test_who_left_out_what_an_app_needs_is_told_in_words(app: App) -> None:
    assert app.oauth is not None
    assert set(app.oauth.needed) <= dict(app.oauth.words).keys()
    assert all("://" not in words for words in dict(app.oauth.words).values())


def test_a_page_without_tls_is_for_the_sandbox_only(server: OAuthServer) -> None:
    client = OAuthClient("id", "secret")
    with pytest.raises(Misconfigured, match="https://"):
        asked_at("http://rolodex.example", client, private=False).page(BACK, "state", VERIFIER)
    with pytest.raises(Misconfigured, match="https://"):
        asked_at("ftp://rolodex.example", client).page(BACK, "state", VERIFIER)
    page = asked_at("https://rolodex.example", client, private=False).page(BACK, "state", VERIFIER)
    assert page.startswith("https://rolodex.example/o/oauth2/v2/auth?")


def test_a_code_gives_a_grant(server: OAuthServer, rolodex: Authorizer) -> None:
    grant = first(server, rolodex)
    assert server.user_of(grant.access_token) == "anna@example.com"
    assert grant.refresh_token.startswith("1//")
    assert grant.expires_at == NOW + timedelta(seconds=3599)
    assert grant.scopes == (READ, WRITE)


def test_a_renewal_gives_another_access_and_no_refresh_token(server: OAuthServer, rolodex: Authorizer) -> None:
    grant = first(server, rolodex)
    again = rolodex.renew(grant.refresh_token, NOW)
    assert again.access_token != grant.access_token
    assert server.user_of(again.access_token) == "anna@example.com"
    assert (again.refresh_token, again.expires_at) == ("", NOW + timedelta(seconds=3599))


def test_a_new_refresh_token_comes_along_where_there_is_one(server: OAuthServer, rolodex: Authorizer) -> None:
    grant = first(server, rolodex)
    server.levers.rotate = True
    again = rolodex.renew(grant.refresh_token, NOW)
    assert again.refresh_token not in ("", grant.refresh_token)


def test_what_ended_needs_a_person(server: OAuthServer, rolodex: Authorizer) -> None:
    grant = first(server, rolodex)
    server.person_withdraws("anna@example.com")
    with pytest.raises(AuthFailed, match="Rolodex ended our access, or somebody withdrew it there"):
        rolodex.renew(grant.refresh_token, NOW)


def test_a_code_works_once(server: OAuthServer, rolodex: Authorizer) -> None:
    text = code(server, rolodex)
    rolodex.exchange(text, BACK, VERIFIER, NOW)
    with pytest.raises(AuthFailed, match="used before, or is too old"):
        rolodex.exchange(text, BACK, VERIFIER, NOW)


def test_a_code_needs_its_verifier_and_its_address(server: OAuthServer, rolodex: Authorizer) -> None:
    text = code(server, rolodex)
    with pytest.raises(AuthFailed):
        rolodex.exchange(text, BACK, "w" * 64, NOW)
    with pytest.raises(Misconfigured, match="redirect address"):
        rolodex.exchange(text, f"{BACK}other/", VERIFIER, NOW)


def test_what_was_left_out_is_said_in_words(server: OAuthServer, rolodex: Authorizer) -> None:
    with pytest.raises(NotAllAllowed, match=r"Left out: Change contacts\. Authorise again, and leave every box"):
        rolodex.exchange(code(server, rolodex, scopes=[READ]), BACK, VERIFIER, NOW)
    assert rolodex.exchange(code(server, rolodex, scopes=[WRITE]), BACK, VERIFIER, NOW).scopes == (WRITE,)


def test_a_client_that_is_not_known_is_a_setting(server: OAuthServer, rolodex: Authorizer) -> None:
    text = code(server, rolodex)
    server.client_secret = "another"
    with pytest.raises(Misconfigured, match="GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET"):
        rolodex.exchange(text, BACK, VERIFIER, NOW)


def test_troubles_of_the_app_pass(server: OAuthServer, rolodex: Authorizer) -> None:
    grant = first(server, rolodex)
    server.levers.refused = [500, 429, 503]
    with pytest.raises(Transient):
        rolodex.renew(grant.refresh_token, NOW)
    with pytest.raises(RateLimited) as slow:
        rolodex.renew(grant.refresh_token, NOW)
    assert slow.value.retry_after == 30
    with pytest.raises(Transient):
        rolodex.renew(grant.refresh_token, NOW)
    assert [status for _, status in server.log[1:]] == [500, 429, 503], "each asked once, none repeated"
    assert rolodex.renew(grant.refresh_token, NOW).access_token


def test_access_without_an_end_needs_no_refresh_token() -> None:
    """An app that knows neither scopes nor PKCE nor refresh."""
    assert Rolodex.app.oauth is not None
    plain = replace(Rolodex.app, oauth=replace(Rolodex.app.oauth, scopes=(), needed=(), extra=(), words=()))
    server = OAuthServer(FakeClock(NOW), redirect_uris=[BACK], lifetime=None)
    with serve(cast(Any, OAuthApp(server))) as url:
        other = asked_at(url, OAuthClient(server.client_id, server.client_secret), plain)
        grant = other.exchange(code(server, other), BACK, VERIFIER, NOW)
    assert (grant.refresh_token, grant.expires_at, grant.scopes) == ("", None, ())
    assert server.user_of(grant.access_token) == "anna@example.com"


def test_access_that_ends_and_cannot_be_renewed_is_refused(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/token").respond_with_json({"access_token": "acc3ss-canary", "expires_in": 3599})
    with pytest.raises(AuthFailed, match="short while only"):
        crude(httpserver).exchange("c0de-canary", BACK, VERIFIER, NOW)


# A server that says anything


def crude(httpserver: HTTPServer) -> Authorizer:
    return asked_at(httpserver.url_for("").rstrip("/"), OAuthClient("id", "s3cret-canary"))


ACCESS = {"access_token": "acc3ss-canary", "token_type": "Bearer"}
ECHO = "s3cret-canary r3fresh-canary acc3ss-canary \x00 \u2028"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, [1, 2], Transient),
        (200, "text", Transient),
        (200, {}, Transient),
        (200, {"access_token": ""}, Transient),
        (200, {"access_token": 7}, Transient),
        (200, {"access_token": "acc3ss-canary\r\nX: y"}, Transient),
        (200, {"access_token": "acc3ss-canary\u00e9"}, Transient),
        (200, {**ACCESS, "expires_in": "soon"}, Transient),
        (200, {**ACCESS, "scope": {"a": 1}}, Transient),
        (200, {**ACCESS, "scope": 7}, Transient),
        (200, {**ACCESS, "scope": READ}, NotAllAllowed),
        (200, {"error": "invalid_grant", "error_description": ECHO}, AuthFailed),
        (400, {"error": "invalid_grant", "error_description": ECHO}, AuthFailed),
        (400, {"error": {"message": ECHO}}, Transient),
        (400, {"error": ECHO}, Transient),
        (400, ACCESS, Transient),
        (401, {"error": "invalid_client", "error_description": ECHO}, Misconfigured),
        (400, {"error": "unauthorized_client"}, Misconfigured),
        (400, {"error": "invalid_request"}, Misconfigured),
        (400, {"error": "slow_down"}, RateLimited),
        (403, {"error": "access_denied"}, AuthFailed),
        (418, {}, Transient),
        (500, {"error": "invalid_grant"}, Transient),
        (429, ECHO, RateLimited),
    ],
)
def test_every_answer_has_its_error_and_none_its_words(
    httpserver: HTTPServer, status: int, body: Any, kind: type[ConnectorError]
) -> None:
    httpserver.expect_request("/token").respond_with_json(body, status=status)
    with pytest.raises(ConnectorError) as caught:
        crude(httpserver).renew("r3fresh-canary", NOW)
    assert type(caught.value) is kind
    assert [secret for secret in SECRETS if secret in repr(caught.value) + str(caught.value.__cause__)] == []
    assert caught.value.__context__ is None
    assert len(httpserver.log) == 1


@pytest.mark.parametrize(
    "body", [b"<html>r3fresh-canary</html>", b"", b"access_token=acc3ss-canary", b"\xff\xfe", b"NaN"]
)
def test_what_is_no_json_passes(httpserver: HTTPServer, body: bytes) -> None:
    httpserver.expect_request("/token").respond_with_data(body, content_type="text/html")
    with pytest.raises(Transient) as caught:
        crude(httpserver).renew("r3fresh-canary", NOW)
    assert "canary" not in str(caught.value)


def test_nothing_is_sent_on_to_another_address(httpserver: HTTPServer) -> None:
    moved = Response(status=307, headers={"Location": httpserver.url_for("/elsewhere")})
    httpserver.expect_request("/token").respond_with_response(moved)
    with pytest.raises(Transient):
        crude(httpserver).renew("r3fresh-canary", NOW)
    assert [request.path for request, _ in httpserver.log] == ["/token"]


@pytest.mark.parametrize(
    ("seconds", "ends"),
    [(None, None), (0, None), (-5, None), (1, NOW + timedelta(seconds=1)), (3599.7, NOW + timedelta(seconds=3599))],
)
def test_when_access_ends(httpserver: HTTPServer, seconds: Any, ends: datetime | None) -> None:
    httpserver.expect_request("/token").respond_with_json({**ACCESS, "expires_in": seconds})
    assert crude(httpserver).renew("r3fresh-canary", NOW).expires_at == ends


def test_a_lifetime_beyond_all_calendars_is_cut(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/token").respond_with_json({**ACCESS, "expires_in": 10**30})
    ends = crude(httpserver).renew("r3fresh-canary", NOW).expires_at
    assert ends is not None
    assert ends.year == 2036


def test_without_a_word_of_scopes_all_were_granted(httpserver: HTTPServer) -> None:
    """RFC 6749 5.1."""
    httpserver.expect_request("/token").respond_with_json({**ACCESS, "scope": None})
    assert crude(httpserver).renew("r3fresh-canary", NOW).scopes == (READ, WRITE)


def test_a_closed_port_is_transient() -> None:
    with pytest.raises(Transient):
        asked_at("http://127.0.0.1:9", OAuthClient("id", "s3cret-canary")).renew("r3fresh-canary", NOW)


def test_texts_of_what_holds_secrets_do_not_show_them(server: OAuthServer, rolodex: Authorizer) -> None:
    grant = first(server, rolodex)
    shown = json.dumps([repr(grant), repr(OAuthClient("id", "s3cret-canary")), str(grant)])
    assert grant.access_token not in shown
    assert grant.refresh_token not in shown
    assert "s3cret" not in shown
