"""What Mailchimp's answers mean, by closed lists: the HTTP status and the title of its problem documents.

Titles and details are SEEN in recordings or in Mailchimp's own glossary unless README.md says otherwise. Nothing of an
answer's text is repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    RateLimited,
    RecordGone,
    Rejected,
    Stale,
    Transient,
)
from syncer.connectors.http import Reply, retry_after
from syncer.connectors.mailchimp.wire import dicts, text

AUTH_TEXT: Final = (
    "Mailchimp refused our access. An API key is made under Account > Extras > API keys and can be withdrawn there; "
    "enter a new one, or authorise the account again."
)
DISABLED_TEXT: Final = "Mailchimp has disabled this user or account. Log in to Mailchimp and see what it asks for."
FORBIDDEN_TEXT: Final = "The Mailchimp user of this access may not do this. Use one with the role Manager or higher."
COMPLIANCE_TEXT: Final = "Mailchimp has put this account on hold for a compliance review. Log in there and see why."
LIMIT_TEXT: Final = "Mailchimp asks us to slow down. The sync goes on by itself in a while."
GONE_TEXT: Final = "This contact was deleted in Mailchimp for good."
NO_LIST: Final = "Mailchimp does not show this audience any more. Was it deleted, or may this user not see it?"
TAKEN_TEXT: Final = "Mailchimp has a contact with this address already."
SOFT_TEXT: Final = "Mailchimp takes no sign-ups of this address for now: it signed up to many lists lately."
# By words in the detail (of a single write) or the error (in a batch), folded: what a person can do, and the field.
REFUSALS: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "permanently deleted",
        "Mailchimp was told to forget this address for good. Only its owner can bring it back, by a sign-up form.",
        "",
    ),
    (
        "compliance state",
        "Mailchimp does not let this address be subscribed: its owner unsubscribed, or mails to it bounced. Only its "
        "owner can change that, by a sign-up form.",
        "status",
    ),
    (
        "looks fake or invalid",
        "Mailchimp takes this e-mail address for a fake one. Correct it, or leave the contact out by a rule.",
        "email_address",
    ),
    (
        "valid email address",
        "Mailchimp does not take this e-mail address. Correct it in the other app.",
        "email_address",
    ),
    (
        "has been banned",
        "Mailchimp has banned this e-mail address. Correct it, or leave the contact out by a rule.",
        "email_address",
    ),
)
FIELD_TEXT: Final = "Mailchimp does not take the value of this field: {reason}."
REASONS: Final[tuple[tuple[str, str], ...]] = (
    ("blank", "it is required there and must not be empty"),
    ("enter a number", "it has to be a number"),
    ("enter the date", "it has to be a date"),
    ("birthday", "it has to be a month and a day"),
    ("complete address", "an address needs street, city, state and postcode"),
    ("zip", "it has to be a postcode of the United States"),
    ("url", "it has to be a web address"),
    ("phone", "it has to be a telephone number in the form that this audience asks for"),
    ("too long", "it is too long"),
    ("one of the choices", "it is not one of the choices there"),
)
UNKNOWN_REASON: Final = (
    "Mailchimp refused this contact for a reason that is not known here. Open it there, save it once by hand and see "
    "what it complains about."
)


class Exists(Stale):
    """The address is in the audience already."""


class Soft(Stale):
    """Refused for now; the same may be taken days later."""


@dataclass(frozen=True)
class Request:
    """`about_member`: "not found" can only mean this one. `changes_data`: a failure may have been applied."""

    about_member: bool = False
    changes_data: bool = False


def answer(reply: Reply, request: Request) -> Any:
    """The JSON of a successful answer (None for one without a body); raises what a failure means."""
    if reply.status == 204 or (reply.status < 300 and not reply.body):
        return None
    if reply.status < 300:
        return reply.json()
    raise meaning(reply, request)


def problem(reply: Reply) -> Mapping[str, Any] | None:
    """The problem document, None where the answer holds none."""
    try:
        body = reply.json()
    except Transient:
        return None
    return body if isinstance(body, dict) and "title" in body else None


def meaning(reply: Reply, request: Request) -> ConnectorError:
    told = problem(reply)
    title, detail = (text((told or {}).get(name)).casefold() for name in ("title", "detail"))
    match reply.status:
        case 401:
            return AuthFailed(AUTH_TEXT)
        case 429:
            return RateLimited(LIMIT_TEXT, retry_after(reply))
        case 403:
            # At very high volume Mailchimp answers so without a document (its own documentation of limits).
            return RateLimited(LIMIT_TEXT, retry_after(reply)) if told is None else of_403(title)
        case 503 if title == "compliance related":
            return AuthFailed(COMPLIANCE_TEXT)
        case 404 if told is not None:
            return RecordGone(GONE_TEXT) if request.about_member else Transient(NO_LIST)
        case 400 | 405 | 414 | 422 if told is not None:
            return refusal(title, detail, dicts(told.get("errors")))
    return strange(request)


def of_403(title: str) -> AuthFailed:
    if "disabled" in title:
        return AuthFailed(DISABLED_TEXT)
    return AuthFailed(AUTH_TEXT if "datacenter" in title else FORBIDDEN_TEXT)


def refusal(title: str, detail: str, errors: list[dict[str, Any]]) -> Stale | Rejected:
    """Of one member. `title` and `detail` are folded."""
    if title == "member exists" or "already a list member" in detail:
        return Exists(TAKEN_TEXT)
    if "signed up to a lot of lists" in detail:
        return Soft(SOFT_TEXT)
    for words, told, field in REFUSALS:
        if words in detail:
            return Rejected(told, field)
    if errors:
        return of_field(text(errors[0].get("field")), text(errors[0].get("message")))
    return Rejected(UNKNOWN_REASON)


def of_field(field: str, message: str) -> Rejected:
    """`field` is a merge tag."""
    folded = message.casefold()
    reason = next((told for words, told in REASONS if words in folded), "")
    return Rejected(FIELD_TEXT.format(reason=reason) if reason else UNKNOWN_REASON, field)


def in_batch(error: Mapping[str, Any]) -> Stale | Rejected:
    """What a batch says of one of its members."""
    if error.get("error_code") == "ERROR_CONTACT_EXISTS":
        return Exists(TAKEN_TEXT)
    field, message = text(error.get("field")), text(error.get("field_message"))
    found = refusal("", text(error.get("error")).casefold(), [{"field": field, "message": message}] if field else [])
    return found


def strange(request: Request) -> Transient:
    return Transient(
        "Mailchimp has a trouble of its own, or gave an answer that is not in its documented form. It is tried again.",
        maybe_applied=request.changes_data,
    )
