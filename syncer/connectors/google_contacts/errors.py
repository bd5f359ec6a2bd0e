"""What Google's failures mean: closed lists, judged by the reason, then by HTTP status and message (README.md, 4).

No text here repeats what the app wrote, which can hold a contact's data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    Misconfigured,
    RateLimited,
    RecordGone,
    Rejected,
    Stale,
    Transient,
)
from syncer.connectors.google_contacts.wire import dicts, inner, text
from syncer.connectors.http import Reply, retry_after


class Kind(Enum):
    AUTH = "auth"
    SCOPE = "scope"
    FORBIDDEN = "forbidden"
    SWITCHED_OFF = "switched_off"
    LIMIT = "limit"
    BACKEND_LIMIT = "backend_limit"
    MISSING = "missing"
    EXPIRED = "expired"
    MOVED = "moved"
    TAKEN = "taken"
    REJECTED = "rejected"
    TRANSIENT = "transient"


# `reason` of an ErrorInfo, or of the older list of errors; casefolded.
REASONS: Final[Mapping[str, Kind]] = {
    "expired_sync_token": Kind.EXPIRED,
    "rate_limit_exceeded": Kind.LIMIT,
    "ratelimitexceeded": Kind.LIMIT,
    "userratelimitexceeded": Kind.LIMIT,
    "quotaexceeded": Kind.LIMIT,
    "dailylimitexceeded": Kind.LIMIT,
    "access_token_scope_insufficient": Kind.SCOPE,
    "insufficientpermissions": Kind.SCOPE,
    "service_disabled": Kind.SWITCHED_OFF,
    "accessnotconfigured": Kind.SWITCHED_OFF,
}
EXPIRED_WORDS: Final = "sync token is expired"
SCOPE_WORDS: Final = "insufficient authentication scopes"
LIMIT_WORDS: Final = ("rate limit", "quota exceeded")
# google.rpc.Code of one contact in a batch.
CODES: Final[Mapping[int, Kind]] = {5: Kind.MISSING, 9: Kind.MOVED, 10: Kind.MOVED}
NOT_FOUND: Final = 5
# `status` of an error with HTTP 409.
CONFLICTS: Final[Mapping[str, Kind]] = {"ALREADY_EXISTS": Kind.TAKEN, "ABORTED": Kind.MOVED}

AUTH_TEXT: Final = "Google does not accept our access any more. Authorise this account again."
SCOPE_TEXT: Final = (
    "Google says that access to contacts was not given. Authorise this account again and leave the tick for contacts."
)
FORBIDDEN_TEXT: Final = (
    "Google does not allow this account to be read or changed. Ask the administrator of its Google Workspace whether "
    "this app may be used, then authorise it again."
)
SWITCHED_OFF_TEXT: Final = (
    "The People API is not switched on in the Google Cloud project of the OAuth client. Switch it on there, wait some "
    "minutes and check the account again."
)
LIMIT_TEXT: Final = "Google takes no more calls for now. The sync goes on by itself when it does."
GONE_TEXT: Final = "This contact was deleted in Google."
MOVED_TEXT: Final = "Somebody changed this contact in Google while we wrote. It is read and judged again."
REFUSED_TEXT: Final = (
    "Google refused this contact without a reason that is known here. Open it in Google Contacts, enter the value "
    "there by hand and see what it complains about."
)
READ_REFUSED_TEXT: Final = "Google refused to show contacts in the way that we ask. It is tried again later."


class Missing(Rejected):
    """Something that a write names is not there; which, only a look can tell."""


class Taken(Rejected):
    """The name is taken."""


class Expired(Rejected):
    """The place in a listing is not known, or not any more."""


class PartsRefused(Rejected):
    """Some contacts of a batch were refused, by the key that the batch gave them; nothing was done for the others."""

    def __init__(self, parts: Mapping[str, Kind]) -> None:
        super().__init__(REFUSED_TEXT)
        self.parts = parts


@dataclass(frozen=True)
class Request:
    """What was asked, as far as it decides what a failure means.

    `about_person`: "not found" can only mean this one contact. `changes_data`: a failure in between may have been
    applied; so may the limit of the backend, where `backend_limit_applied`. `token`: a place in a listing was sent.
    `names_group`: a group was to get a name."""

    about_person: bool = False
    changes_data: bool = False
    backend_limit_applied: bool = True
    token: bool = False
    names_group: bool = False


def answer(reply: Reply, request: Request) -> dict[str, Any]:
    """The object of a successful reply; raises what the failure means."""
    if reply.status < 300:
        body = reply.json()
        if not isinstance(body, dict):
            raise strange(request)
        return body
    raise meaning(reply, request)


def strange(request: Request) -> Transient:
    return Transient(
        "Google gave an answer that is not in its documented form. It is tried again later.",
        maybe_applied=request.changes_data,
    )


def envelope(reply: Reply) -> Mapping[str, Any]:
    """The error that the body describes; empty where it is none of Google's."""
    try:
        body = reply.json()
    except Transient:
        return {}
    found = inner(body, "error") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def reasons(error: Mapping[str, Any]) -> list[str]:
    said = [*dicts(error.get("details")), *dicts(error.get("errors"))]
    return [text(item.get("reason")).casefold() for item in said]


def classify(status: int, error: Mapping[str, Any]) -> Kind:
    """The kind of a failure from its HTTP status and its error object ({} where there is none)."""
    if status == 401:
        return Kind.AUTH
    message = text(error.get("message")).casefold()
    known = [REASONS[reason] for reason in reasons(error) if reason in REASONS]
    if status in (400, 403, 410, 429) and known:
        return known[0]
    if status == 429:
        return Kind.LIMIT if "quota metric" in message else Kind.BACKEND_LIMIT
    if status == 403:
        return forbidden(error, message)
    if status == 404 and error.get("status") == "NOT_FOUND":
        return Kind.MISSING
    if status == 410:
        return Kind.EXPIRED
    if status == 409:
        return CONFLICTS.get(text(error.get("status")), Kind.TRANSIENT)
    if status == 400:
        return bad_request(error, message)
    return Kind.TRANSIENT


def forbidden(error: Mapping[str, Any], message: str) -> Kind:
    """A 403 that Google does not describe comes from something in between."""
    if any(words in message for words in LIMIT_WORDS):
        return Kind.LIMIT
    if SCOPE_WORDS in message:
        return Kind.SCOPE
    return Kind.FORBIDDEN if error.get("status") == "PERMISSION_DENIED" else Kind.TRANSIENT


def bad_request(error: Mapping[str, Any], message: str) -> Kind:
    if EXPIRED_WORDS in message:
        return Kind.EXPIRED
    if error.get("status") == "FAILED_PRECONDITION":
        return Kind.MOVED
    return Kind.REJECTED if error else Kind.TRANSIENT


def meaning(reply: Reply, request: Request) -> ConnectorError:
    error = envelope(reply)
    kind = Kind.TAKEN if reply.status == 409 and request.names_group else classify(reply.status, error)
    parts = refused_parts(error)
    if request.changes_data and parts and kind in (Kind.REJECTED, Kind.MOVED, Kind.MISSING, Kind.TAKEN):
        return PartsRefused(parts)
    if request.token and (kind is Kind.EXPIRED or (reply.status == 400 and kind in (Kind.REJECTED, Kind.MOVED))):
        return Expired(READ_REFUSED_TEXT)
    if kind in FATAL:
        return error_of(FATAL[kind])
    if kind is Kind.LIMIT or (kind is Kind.BACKEND_LIMIT and not may_be_applied(request)):
        return RateLimited(LIMIT_TEXT, retry_after(reply))
    if kind is Kind.BACKEND_LIMIT:
        return Transient(LIMIT_TEXT, maybe_applied=True)
    if kind is Kind.MISSING and request.about_person:
        return RecordGone(GONE_TEXT)
    if request.changes_data and kind in REFUSALS:
        return error_of(REFUSALS[kind])
    return strange(request)


def error_of(said: tuple[type[ConnectorError], str]) -> ConnectorError:
    return said[0](said[1])


def may_be_applied(request: Request) -> bool:
    return request.changes_data and request.backend_limit_applied


FATAL: Final[Mapping[Kind, tuple[type[ConnectorError], str]]] = {
    Kind.AUTH: (AuthFailed, AUTH_TEXT),
    Kind.SCOPE: (AuthFailed, SCOPE_TEXT),
    Kind.FORBIDDEN: (AuthFailed, FORBIDDEN_TEXT),
    Kind.SWITCHED_OFF: (Misconfigured, SWITCHED_OFF_TEXT),
}
REFUSALS: Final[Mapping[Kind, tuple[type[ConnectorError], str]]] = {
    Kind.MISSING: (Missing, GONE_TEXT),
    Kind.MOVED: (Stale, MOVED_TEXT),
    Kind.TAKEN: (Taken, REFUSED_TEXT),
    Kind.REJECTED: (Rejected, REFUSED_TEXT),
}


def refused_parts(error: Mapping[str, Any]) -> dict[str, Kind]:
    """What became of the contacts of a batch that Google names, by the key that the batch gave them."""
    parts: dict[str, Kind] = {}
    for detail in dicts(error.get("details")):
        found = detail.get("contactErrors")
        for key, status in found.items() if isinstance(found, dict) else ():
            parts[str(key)] = part_kind(status)
    return parts


def part_kind(status: Any) -> Kind:
    """Of one contact: refused for good where its status says nothing that we know."""
    code = inner(status, "code") if isinstance(status, dict) else None
    return CODES.get(code, Kind.REJECTED) if isinstance(code, int) else Kind.REJECTED
