"""OAuth 2 with an app: the address of its page, a code for tokens, tokens anew (RFC 6749 4.1 and 6, RFC 7636).

The protocol is oauthlib's; the calls go through `Http`, and are never repeated. No error holds a token, a secret, a
code or a word of the app's answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from oauthlib.oauth2 import OAuth2Error, WebApplicationClient

from syncer.connectors.base import App, AuthFailed, ConnectorError, Misconfigured, OAuth, RateLimited, Transient
from syncer.connectors.http import Http, Reply, retry_after
from syncer.connectors.registry import Options

DEADLINE: Final = 20.0
LONGEST: Final = 10 * 365 * 86400
"""Seconds: more than any app's access lasts, and a date that can be written."""
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
# What the errors of a token endpoint mean: a closed list (RFC 6749 5.2, and Google's own).
ENDED: Final = frozenset({"invalid_grant", "access_denied", "invalid_scope"})
WRONG_CLIENT: Final = frozenset({"invalid_client", "unauthorized_client", "deleted_client", "disabled_client"})
WRONG_REQUEST: Final = frozenset({"invalid_request", "unsupported_grant_type", "unsupported_response_type"})
TOO_FAST: Final = frozenset({"rate_limit_exceeded", "slow_down"})


@dataclass(frozen=True)
class OAuthClient:
    """What the agency is to the app: its own client there."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Grant:
    """What a person allowed. `refresh_token` is empty where the app gives none (its access never ends, or it keeps the
    one that we have); `expires_at` is None where the access never ends."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime | None
    scopes: tuple[str, ...]


class NotAllAllowed(AuthFailed):
    """The person left out something that the account does not work without."""


class Authorizer:
    """One app, asked as one client. Raises ValueError for an app without OAuth."""

    def __init__(self, app: App, client: OAuthClient, options: Options) -> None:
        if app.oauth is None:
            raise ValueError(f"{app.slug} has no OAuth")
        self.app, self.client, self.options = app, client, options
        self.oauth: OAuth = app.oauth
        self._protocol = WebApplicationClient(client.id)

    def page(self, redirect_uri: str, state: str, verifier: str) -> str:
        """The address where a person allows or denies. `verifier`: 43 to 128 of RFC 7636's characters. Raises
        Misconfigured."""
        parts = urlsplit(self.options.urls[self.oauth.authorize])
        if parts.scheme != "https" and not (parts.scheme == "http" and self.options.allow_private_hosts):
            raise Misconfigured(f"The address of {self.app.label}'s log-in page must begin with https://.")
        challenge = self._protocol.create_code_challenge(verifier, "S256")
        # oauthlib takes https alone; which other addresses may be used is the rule above, as in `Http`.
        address: str = self._protocol.prepare_request_uri(
            urlunsplit(parts._replace(scheme="https")),
            redirect_uri=redirect_uri,
            scope=list(self.oauth.scopes),
            state=state,
            code_challenge=challenge,
            code_challenge_method="S256",
            **dict(self.oauth.extra),
        )
        return parts.scheme + address.removeprefix("https")

    def exchange(self, code: str, redirect_uri: str, verifier: str, now: datetime) -> Grant:
        """What the code from the app's page stands for; it works once. Raises NotAllAllowed, AuthFailed, Misconfigured,
        RateLimited, Transient."""
        body = self._protocol.prepare_request_body(
            code=code, redirect_uri=redirect_uri, code_verifier=verifier, client_secret=self.client.secret
        )
        grant = self._granted(body, now, "did not accept what its own page answered: it was used before, or is too old")
        if grant.refresh_token == "" and grant.expires_at is not None:
            raise AuthFailed(
                f"{self.app.label} gave access for a short while only. Remove the portal among the apps of your "
                f"account there, then authorise again."
            )
        return grant

    def renew(self, refresh_token: str, now: datetime) -> Grant:
        """A new access token. Raises NotAllAllowed, AuthFailed, Misconfigured, RateLimited, Transient."""
        body = self._protocol.prepare_refresh_body(
            refresh_token=refresh_token, client_id=self.client.id, client_secret=self.client.secret
        )
        return self._granted(body, now, "ended our access, or somebody withdrew it there")

    def _granted(self, body: str, now: datetime, ended: str) -> Grant:
        reply = self._ask(body)
        token = self._token(self._answer(reply, ended), reply)
        grant = Grant(
            access_token=text_of(token, "access_token"),
            refresh_token=text_of(token, "refresh_token"),
            expires_at=end_of(token.get("expires_in"), now),
            scopes=tuple(token.get("scope") or self.oauth.scopes),
        )
        if not usable(grant.access_token):
            raise self._not_understood()
        self._check_scopes(grant.scopes)
        return grant

    def _ask(self, body: str) -> Reply:
        http = Http(allow_private=self.options.allow_private_hosts, deadline=DEADLINE)
        try:
            return http.write("POST", self.options.urls[self.oauth.token], headers=FORM, data=body.encode())
        finally:
            http.close()

    def _answer(self, reply: Reply, ended: str) -> Mapping[str, Any]:
        """The answer's JSON where it is no refusal; raises by the closed list."""
        label = self.app.label
        if reply.status == 429:
            raise RateLimited(f"{label} asks us to slow down with its log-in.", retry_after(reply))
        if reply.status >= 500:
            raise Transient(f"The log-in of {label} has a trouble of its own. It is tried again later.")
        data = reply.json()
        if not isinstance(data, Mapping):
            raise self._not_understood()
        error = data.get("error")
        if error is not None or reply.status != 200:
            raise self._refused(error if isinstance(error, str) else "", reply, ended)
        return data

    def _refused(self, error: str, reply: Reply, ended: str) -> ConnectorError:
        label = self.app.label
        if error in ENDED:
            return AuthFailed(f"{label} {ended}. Authorise the account again.")
        if error in WRONG_CLIENT:
            return Misconfigured(
                f"{label} does not know the portal's OAuth client, or not with this secret. Enter client ID and client "
                f"secret of the account again, or correct {self.oauth.client}_CLIENT_ID and "
                f"{self.oauth.client}_CLIENT_SECRET in the portal's settings."
            )
        if error == "redirect_uri_mismatch":
            return Misconfigured(
                f"{label} does not know the redirect address of this portal. Enter it at the OAuth client there, as "
                "the account's page shows it."
            )
        if error in WRONG_REQUEST:
            return Misconfigured(f"{label} does not take such a log-in. Its OAuth client must be a web application.")
        if error in TOO_FAST:
            return RateLimited(f"{label} asks us to slow down with its log-in.", retry_after(reply))
        return self._not_understood()

    def _token(self, data: Mapping[str, Any], reply: Reply) -> Mapping[str, Any]:
        """As oauthlib reads it. It knows no scopes here: that it was given fewer is not an error of the protocol, and
        is judged by `_check_scopes`."""
        try:
            found: Mapping[str, Any] = self._protocol.parse_request_body_response(reply.body.decode())
        except (OAuth2Error, ValueError, TypeError, AttributeError, ArithmeticError):
            failure = self._not_understood()
        else:
            return found
        raise failure

    def _not_understood(self) -> Transient:
        return Transient(f"The log-in of {self.app.label} answered something unexpected. It is tried again later.")

    def _check_scopes(self, given: Sequence[str]) -> None:
        known = dict(self.oauth.words)
        missing = [known.get(scope, scope) for scope in self.oauth.needed if scope not in given]
        if missing:
            raise NotAllAllowed(
                f"{self.app.label} was not allowed to give all that is needed. Left out: {', '.join(missing)}. "
                "Authorise again, and leave every box ticked."
            )


def text_of(token: Mapping[str, Any], name: str) -> str:
    value = token.get(name)
    return value if isinstance(value, str) else ""


def usable(access_token: str) -> bool:
    """Can it stand in a header?"""
    return access_token != "" and access_token.isascii() and access_token.isprintable() and " " not in access_token


def end_of(seconds: object, now: datetime) -> datetime | None:
    """None for an access that never ends, which apps say by 0 or by nothing."""
    return now + timedelta(seconds=min(seconds, LONGEST)) if isinstance(seconds, int) and seconds > 0 else None
