"""A person gives access on an app's own page: begun here, finished when they are sent back (docs/operations.md, OAuth
clients)."""

import secrets as randomness
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from connections import services
from connections.models import Account, Authorization, Credential
from connections.secrets import SecretUnreadable
from connections.services import Refused
from connections.tokens import FreshTokens, authorizer, client_of, granted, of_oauth
from portal.clock import SYSTEM, Clock
from syncer.audit.chain import LogBusy
from syncer.connectors.base import Account as Login
from syncer.connectors.base import Connector, ConnectorError, Identity, Meter, Misconfigured
from syncer.connectors.oauth import Grant, NotAllAllowed
from syncer.connectors.registry import connect, connector_class

LIFE: Final = timedelta(minutes=10)
LONGEST: Final = 4000
TRIES: Final = 3
AGAIN: Final = "Begin again in the portal."
# What an app's page says instead of a code (RFC 6749 4.1.2.1, and Google's own); nothing else of it is repeated.
DENIED: Final[Mapping[str, str]] = {
    "access_denied": "{label} gave no access: it was not allowed on its page.",
    "admin_policy_enforced": "{label} gave no access: an administrator there does not permit this portal.",
    "org_internal": "{label} gave no access: the portal's OAuth client is for members of another organisation only.",
    "temporarily_unavailable": "{label} gave no access: its log-in has a trouble of its own. Try later.",
    "server_error": "{label} gave no access: its log-in has a trouble of its own. Try later.",
}
DENIED_SOMEHOW: Final = "{label} gave no access, for a reason that is not known here."


@dataclass(frozen=True)
class Begun:
    """Where to send the person, and until when they can come back."""

    url: str = field(repr=False)
    expires_at: datetime


def begin_authorization(
    account: Account, actor: str, redirect_uri: str, *, session: str = "", clock: Clock = SYSTEM
) -> Begun:
    """`session` is the key of the session that must come back; empty where whoever has the address may. Raises
    Refused."""
    app = connector_class(account.app).app
    if app.oauth is None:
        raise Refused(f"{app.label} has no page for this. Enter its credentials in the account.")
    state, verifier = randomness.token_urlsafe(32), randomness.token_urlsafe(64)
    try:
        url = authorizer(account, secrets_of(account)).page(redirect_uri, state, verifier)
    except Misconfigured as error:
        raise Refused(str(error)) from error
    begun = Begun(url, clock.now() + LIFE)
    Authorization.objects.create(
        account=account,
        digest=digest_of(state),
        secrets={"verifier": verifier},
        redirect_uri=redirect_uri,
        actor=actor,
        session=digest_of(session) if session else "",
        expires_at=begun.expires_at,
    )
    return begun


def take_authorization(state: str, session: str = "", clock: Clock = SYSTEM) -> Authorization:
    """The one that this state stands for, once. Raises Refused for a state that is not known or over, that was used
    before, or that another session began."""
    found = Authorization.objects.select_related("account__client").filter(digest=digest_of(state)).first()
    if found is None:
        raise Refused(f"This is the way back from no authorisation that was begun here. {AGAIN}")
    if found.session != "" and not compare_digest(found.session, digest_of(session)):
        raise Refused(
            f"This authorisation was begun by somebody who was logged in to the portal, and is theirs to finish, in "
            f"the same browser. {AGAIN}"
        )
    now = clock.now()
    if found.used_at is not None or found.expires_at <= now:
        why = "was finished already" if found.used_at is not None else "took longer than ten minutes"
        raise Refused(f"This authorisation {why}. {AGAIN}")
    if not Authorization.objects.filter(pk=found.pk, used_at=None).update(used_at=now):
        raise Refused(f"This authorisation was finished already. {AGAIN}")
    return found


def finish_authorization(taken: Authorization, code: str = "", error: str = "", clock: Clock = SYSTEM) -> Identity:
    """Store what the app's page allowed, and ask the app who that is. Another login than before is refused, and what
    was stored for the right one stays. Raises Refused, ConnectorError; the account then says why."""
    account = taken.account

    def failed(problem: Exception, status: str | None = None, store: Callable[[], None] | None = None) -> None:
        about = (account, taken.actor, "account.failed", status, str(problem), account.identity, clock, store)
        written(account, lambda: services.checked(*about))

    def connect_to(account: Account, meter: Meter) -> Connector:
        known = of_oauth(secrets_of(account))
        return connect(Login(account.app, account.settings, known, account.identity, FreshTokens(grant)), meter)

    def store() -> None:
        Credential.store(account, granted(secrets_of(account), grant))

    try:
        grant = exchanged(taken, code, error, clock)
    except NotAllAllowed as problem:
        failed(problem, Account.Status.NEEDS_AUTHORIZATION)
        raise
    except (ConnectorError, Refused) as problem:
        # An account that works goes on, here and below: nobody took its access away.
        failed(problem)
        raise
    try:
        identity = services.same_login(account, connect_to, clock)
    except (ConnectorError, Refused) as problem:
        # Whose it is, is not known: where we know whose it has to be, it may be another's.
        unknown = isinstance(problem, ConnectorError) and account.identity == ""
        failed(problem, store=store if unknown else None)
        raise
    written(account, lambda: services.connected(account, taken.actor, identity, clock, store))
    services.forget(account)
    return identity


def written(account: Account, write: Callable[[], None]) -> None:
    """Do `write` again where the history is busy: the app's page is not come back from twice. Raises Refused."""
    edition = account.edition
    for _ in range(TRIES):
        try:
            return write()
        except LogBusy as error:
            busy = error
            # What storing made of it was taken back.
            account.edition = edition
    raise Refused(f"The portal's history is busy, and nothing was stored. {AGAIN}") from busy


def exchanged(taken: Authorization, code: str, error: str, clock: Clock) -> Grant:
    label = connector_class(taken.account.app).app.label
    if error != "":
        raise Refused(f"{DENIED.get(error, DENIED_SOMEHOW).format(label=label)} {AGAIN}")
    if not 0 < len(code) <= LONGEST:
        raise Refused(f"{label} sent nobody back with an answer. {AGAIN}")
    asked = authorizer(taken.account, secrets_of(taken.account))
    return asked.exchange(code, taken.redirect_uri, taken.secrets["verifier"], clock.now())


def secrets_of(account: Account) -> Mapping[str, str]:
    """What was entered. Where it cannot be read any more, access given to the portal's own OAuth client takes its
    place. Raises Refused where the portal has none."""
    try:
        return services.kept_secrets(account, {})
    except SecretUnreadable as error:
        if client_of(connector_class(account.app).app, {}) is None:
            raise Refused(str(error)) from error
        return {}


def forget_authorizations(now: datetime) -> None:
    """Those that nobody can come back from any more."""
    Authorization.objects.filter(expires_at__lt=now).delete()


def digest_of(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
