"""Rolodex, an app that people give access to on its own page: a log-in and a page that says whose the access is."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, cast

from connections import services
from connections.models import Account, Client
from sandbox.oauth import OAuthApp, OAuthServer
from sandbox.salesmate import serve
from syncer.connectors.base import Account as Login
from syncer.connectors.base import App, AuthFailed, Capabilities, Identity, Input, Meter, OAuth, Transient
from syncer.connectors.http import Http
from syncer.connectors.registry import CONNECTORS, Options

ANNA = "anna"
BACK = "http://testserver/oauth/callback/"
READ, WRITE = "https://rolodex.example/read", "https://rolodex.example/write"
SCOPES = {READ: "See contacts", WRITE: "Change contacts"}
OWN = {"client_id": "own-client-canary", "client_secret": "own-client-s3cret-canary"}


@dataclass
class FakeClock:
    at: datetime = field(default_factory=lambda: datetime(2026, 11, 24, 12, 0, tzinfo=UTC))

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


class Rolodex:
    """The connector, as much of it as a check needs."""

    app: ClassVar[App] = App(
        "rolodex",
        "Rolodex",
        (),
        (
            Input("client_id", "Client ID", required=False),
            Input("client_secret", "Client secret", secret=True, required=False),
            Input("refresh_token", "Refresh token", secret=True, required=False),
        ),
        Capabilities(),
        OAuth(
            authorize="google_auth",
            token="google_token",
            client="GOOGLE",
            scopes=(READ, WRITE),
            needed=(WRITE,),
            extra=(("access_type", "offline"), ("prompt", "consent")),
            words=tuple(SCOPES.items()),
        ),
    )

    def __init__(self, account: Login, options: Options, meter: Meter | None = None) -> None:
        self.account, self.url = account, options.urls["google_people"]
        self.http = Http(allow_private=options.allow_private_hosts, meter=meter)

    def check(self) -> Identity:
        assert self.account.tokens is not None
        token = self.account.tokens.access()
        user = self.user(token) or self.user(self.account.tokens.access(refused=token))
        if user is None:
            raise AuthFailed("Rolodex does not accept our access.")
        return Identity(user, user)

    def user(self, token: str) -> str | None:
        reply = self.http.read("GET", f"{self.url}/me", headers={"Authorization": f"Bearer {token}"})
        if reply.status == 500:
            raise Transient("Rolodex has a trouble of its own.")
        return None if reply.status == 401 else str(reply.json()["user"])


class RolodexApp(OAuthApp):
    """WSGI: the log-in, and `/me`. `down` makes `/me` answer 500."""

    down = False

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/me":
            return super().__call__(environ, start_response)
        user = self.server.user_of(environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer "))
        status = "500 Down" if self.down else "401 Unauthorized" if user is None else "200 OK"
        body = json.dumps({"user": user}).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]


@dataclass
class Desk:
    """Acme, and Rolodex with its people Anna and Ben; `clock` is Rolodex's alone."""

    acme: Client
    app: RolodexApp
    clock: FakeClock
    url: str

    @property
    def server(self) -> OAuthServer:
        return self.app.server

    def account(
        self, credentials: Mapping[str, str] | None = None, label: str = "Anna's", client: Client | None = None
    ) -> Account:
        return services.create_account(
            client or self.acme, ANNA, app="rolodex", label=label, settings={}, credentials=credentials or {}
        )

    def refreshes(self) -> list[int]:
        """The status of each renewal that Rolodex was asked for."""
        return [status for grant, status in self.server.log if grant == "refresh_token"]


@contextmanager
def desk(settings: Any, monkeypatch: Any) -> Iterator[Desk]:
    clock = FakeClock(datetime.now(UTC))
    server = OAuthServer(clock, redirect_uris=[BACK], scopes=SCOPES, users=["anna", "ben"])
    app = RolodexApp(server)
    with serve(cast(Any, app)) as url:
        monkeypatch.setitem(CONNECTORS, "rolodex", "tests.connections.rolodex.Rolodex")
        settings.GOOGLE_AUTH_URL, settings.GOOGLE_TOKEN_URL = f"{url}/o/oauth2/v2/auth", f"{url}/token"
        settings.GOOGLE_PEOPLE_URL, settings.ALLOW_PRIVATE_HOSTS = url, True
        settings.GOOGLE_CLIENT_ID, settings.GOOGLE_CLIENT_SECRET = server.client_id, server.client_secret
        acme, _ = Client.objects.get_or_create(slug="acme", defaults={"name": "Acme"})
        yield Desk(acme, app, clock, url)
