"""Access to the apps that take OAuth: kept with the account's credentials, and renewed before it ends."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings

from connections.models import Account, Credential
from portal.clock import SYSTEM, Clock
from syncer.connectors.base import App, AuthFailed, Misconfigured, Transient
from syncer.connectors.oauth import Authorizer, Grant, OAuthClient
from syncer.connectors.registry import connector_class, options
from syncer.leases import acquire

CLIENT: Final = ("client_id", "client_secret")
REFRESH: Final = "refresh_token"
ACCESS, ENDS = "access_token", "access_expires"
OURS: Final = frozenset({ACCESS, ENDS})
"""What a credential holds that nobody enters."""
EARLY: Final = timedelta(seconds=60)
HOLD: Final = timedelta(seconds=45)
"""Of a renewal: longer than its call may take."""


class StoredTokens:
    """The access of one account (`base.Tokens`). Not to be asked inside a transaction: it may call the app. Nor by the
    threads of `together`, each of which would keep a database connection of its own."""

    def __init__(self, account: Account, clock: Clock = SYSTEM) -> None:
        self.account, self.clock = account, clock

    def access(self, refused: str = "") -> str:
        """Raises what `base.Tokens` says, and SecretUnreadable."""
        found = self.valid(Credential.row_of(self.account), refused)
        return found if found is not None else self.renewed_by_one(refused)

    def valid(self, row: Credential | None, refused: str) -> str | None:
        stored = row.plain if row is not None else {}
        token, ends = stored.get(ACCESS, ""), stored.get(ENDS, "")
        over = ends != "" and datetime.fromisoformat(ends) - EARLY <= self.clock.now()
        return None if over or token in ("", refused) else token

    def renewed_by_one(self, refused: str) -> str:
        """By one of all who need it: an app may take a refresh token once only."""
        lease = acquire([f"oauth:{self.account.code}"], "renewal of access", HOLD, self.clock)
        if lease is None:
            raise Transient(f"The access of {self.account} is being renewed. It is tried again in a moment.")
        try:
            row = Credential.row_of(self.account)
            found = self.valid(row, refused)
            return found if found is not None else self.renewed(row, refused)
        finally:
            lease.release()

    def renewed(self, row: Credential | None, refused: str) -> str:
        if row is None or row.plain.get(REFRESH, "") == "":
            raise AuthFailed(not_authorised(connector_class(self.account.app).app))
        stored = row.plain
        grant = authorizer(self.account, stored).renew(stored[REFRESH], self.clock.now())
        if grant.access_token == refused:
            raise AuthFailed(f"The access of {self.account} is refused. Authorise the account again.")
        if row.renew(granted(stored, grant)):
            return grant.access_token
        theirs = self.valid(Credential.row_of(self.account), refused)
        if theirs is None:
            raise Transient(f"The credentials of {self.account} were changed just now. It is tried again in a moment.")
        return theirs


class FreshTokens:
    """What was just granted and is not stored yet (`base.Tokens`)."""

    def __init__(self, grant: Grant) -> None:
        self.grant = grant

    def access(self, refused: str = "") -> str:
        if refused == self.grant.access_token:
            raise AuthFailed("The app refuses the access that it has just given. Authorise the account again.")
        return self.grant.access_token


def not_authorised(app: App) -> str:
    return f"{app.label} has not given access yet, or it ended. Authorise the account on {app.label}'s own page."


def authorizer(account: Account, secrets: Mapping[str, str]) -> Authorizer:
    """The app's log-in with the client of the account, else with the portal's. Raises Misconfigured where there is
    neither, ValueError for an app without OAuth."""
    app = connector_class(account.app).app
    client = client_of(app, secrets)
    if client is None:
        prefix = app.oauth.client if app.oauth is not None else ""
        raise Misconfigured(
            f"The portal has no OAuth client at {app.label}. Enter client ID and client secret in the account, or set "
            f"{prefix}_CLIENT_ID and {prefix}_CLIENT_SECRET (docs/operations.md, OAuth clients)."
        )
    return Authorizer(app, client, options())


def client_of(app: App, secrets: Mapping[str, str]) -> OAuthClient | None:
    own = [secrets.get(name, "").strip() for name in CLIENT]
    if all(own):
        return OAuthClient(*own)
    prefix = app.oauth.client if app.oauth is not None else ""
    ours = [str(getattr(settings, f"{prefix}_{name}", "")) for name in ("CLIENT_ID", "CLIENT_SECRET")]
    return OAuthClient(*ours) if all(ours) else None


def granted(secrets: Mapping[str, str], grant: Grant) -> dict[str, str]:
    """The secrets with what was given; an app that gives no new refresh token lets the old one live."""
    ends = grant.expires_at.isoformat() if grant.expires_at is not None else ""
    given = {ACCESS: grant.access_token, ENDS: ends}
    return {**of_oauth(secrets), **given, **({REFRESH: grant.refresh_token} if grant.refresh_token else {})}


def of_oauth(secrets: Mapping[str, str]) -> dict[str, str]:
    """Access that a person gives takes the place of a key that was entered before."""
    return {name: value for name, value in secrets.items() if name in (*CLIENT, REFRESH)}


def entered(secrets: Mapping[str, str]) -> dict[str, str]:
    """Without what nobody entered."""
    return {name: value for name, value in secrets.items() if name not in OURS}


def waits_for_a_person(app: App, credentials: Mapping[str, str]) -> bool:
    """Has nobody given access yet? An OAuth client alone opens nothing."""
    return app.oauth is not None and not any(value for name, value in credentials.items() if name not in CLIENT)


def pair_problems(app: App, credentials: Mapping[str, str]) -> dict[str, str]:
    """By input: half an OAuth client is none."""
    labels = {one.name: one.label for one in app.credentials if one.name in CLIENT}
    missing = [name for name in labels if credentials.get(name, "").strip() == ""]
    if app.oauth is None or len(labels) != len(CLIENT) or len(missing) != 1:
        return {}
    text = f"{' and '.join(labels.values())} belong together. Enter both, or neither to use the portal's own."
    return {missing[0]: text}
