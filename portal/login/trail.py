"""What the portal's history says of logging in and out.

The one place where we listen to signals for our own work: those of django.contrib.auth are Django's contract, and every
way to log in or out sends them, also ways that are not ours. The header holds numbers and codes; names and addresses
are in the payload, where they can be erased.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.http import HttpRequest

from portal.addresses import client_address
from portal.clock import SYSTEM, Clock
from syncer.audit.chain import JSON, PORTAL, Entry, LogBroken, LogBusy, append

SOMEBODY = "somebody"
"""The actor of a try that failed: whoever that was, it need not be the person with that name."""
REASONS = {"wrong": "code", "missing": "no_code"}
"""What failed, by what stands for the code in the credentials of the signal."""
log = logging.getLogger(__name__)


def listen() -> None:
    user_logged_in.connect(logged_in, dispatch_uid="trail.logged_in")
    user_logged_out.connect(logged_out, dispatch_uid="trail.logged_out")
    user_login_failed.connect(failed, dispatch_uid="trail.failed")


def logged_in(sender: Any, request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    tell([about("auth.logged_in", request, user, user.get_username())])


def logged_out(sender: Any, request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    if user is not None:
        tell([about("auth.logged_out", request, user, user.get_username())])


def failed(sender: Any, credentials: Mapping[str, Any], request: HttpRequest | None = None, **kwargs: Any) -> None:
    """One entry a try, and one for the lock that it brings; none for those that were refused unseen: a lock must not
    let anybody fill the history. django-axes stands before us in INSTALLED_APPS and has counted this one already."""
    if locked_before(request):
        return
    user = known(credentials)
    reason = REASONS.get(str(credentials.get("code")), "password")
    entries = [about("auth.failed", request, user, SOMEBODY, {"reason": reason})]
    if getattr(request, "axes_locked_out", False):
        entries.append(about("auth.locked_out", request, user, SOMEBODY))
    tell(entries)


def locked_before(request: HttpRequest | None) -> bool:
    """Whether django-axes refused this try without looking at it: it then counts no failure."""
    locked: bool = getattr(request, "axes_locked_out", False)
    return locked and getattr(request, "axes_failures_since_start", None) is None


def known(credentials: Mapping[str, Any]) -> Any:
    return get_user_model().objects.filter(username=str(credentials.get("username") or "")).first()


def about(
    kind: str, request: HttpRequest | None, user: Any, actor: str, header: Mapping[str, JSON] | None = None
) -> Entry:
    """Of somebody unknown not even the name that was typed is kept: it may be a password."""
    who = {"user": user.pk} if user is not None else {}
    name = {"user": user.get_username()} if user is not None else {}
    return Entry(kind, actor, {**who, **(header or {})}, {**name, "address": client_address(request)})


def tell(entries: Sequence[Entry], clock: Clock = SYSTEM, write: Callable[..., None] = append) -> None:
    """Write them, at the second try where the chain is busy. A log that takes nothing keeps nobody out: who has to
    repair it must get in."""
    for last in (False, True):
        try:
            with transaction.atomic():
                write(PORTAL, entries, clock.now())
            return
        except (LogBusy, LogBroken) as error:
            if last:
                log.error("Not in the history: %s. %s", ", ".join(entry.kind for entry in entries), error)
