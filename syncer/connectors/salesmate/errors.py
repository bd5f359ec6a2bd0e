"""What Salesmate's failures mean: closed lists, tried by name, then by code, then by HTTP status (README.md, 4).

Names decide before the status does: Salesmate answers 403 for a wrong key and may answer 200 for any failure. No text
here repeats what the app wrote, which can hold a contact's data.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    Misconfigured,
    RateLimited,
    RecordGone,
    Rejected,
    Transient,
)
from syncer.connectors.http import Reply
from syncer.connectors.salesmate.wire import member


class Kind(Enum):
    AUTH = "auth"
    FORBIDDEN = "forbidden"
    SUBDOMAIN = "subdomain"
    GONE = "gone"
    REJECTED = "rejected"
    LIMIT = "limit"
    TRANSIENT = "transient"


# Beginnings of Error.Name, casefolded; of what proves a deletion (GONE) the whole name.
NAMES: Final[tuple[tuple[str, Kind], ...]] = (
    ("authorizationfailed", Kind.AUTH),
    ("authenticationfailed", Kind.AUTH),
    ("nosuchlinkexist", Kind.SUBDOMAIN),
    ("objectnotfound", Kind.GONE),
    ("validationerror", Kind.REJECTED),
    ("alreadyexists", Kind.REJECTED),
    ("forbidden", Kind.FORBIDDEN),
    ("toomanyrequests", Kind.LIMIT),
    ("ratelimit", Kind.LIMIT),
)
CODES: Final[Mapping[str, Kind]] = {"4001": Kind.REJECTED, "4002": Kind.AUTH, "4005": Kind.GONE}
# In Error.Message, casefolded, where name and code say nothing.
LIMIT_WORDS: Final = (
    "rate limit",
    "too many requests",
    "api limit",
    "limit exceeded",
    "limit reached",
    "calls per hour",
)
STATUSES: Final[Mapping[int, Kind]] = {
    400: Kind.REJECTED,
    401: Kind.AUTH,
    403: Kind.AUTH,
    409: Kind.REJECTED,
    422: Kind.REJECTED,
}

# What a refusal is about, by words in its message; the first that fits.
REASONS: Final[tuple[tuple[str, str], ...]] = (
    ("is required", "Salesmate says that {field} is required. Fill it in, in either app"),
    ("should be valid", "Salesmate does not accept the value of {field}. Correct it in the other app"),
    ("invalid", "Salesmate does not accept the value of {field}. Correct it in the other app"),
    ("no such currency", "Salesmate does not know this currency. Use one that is active in its settings"),
    ("maximum", "The value of {field} is too long for Salesmate. Shorten it in the other app"),
    ("already exist", "A duplicate rule in Salesmate stops this contact: one like it exists. Merge them there"),
    ("duplicate", "A duplicate rule in Salesmate stops this contact: one like it exists. Merge them there"),
    ("no such user", "Salesmate does not know this owner. Choose an active user"),
)
# The field where the message names none.
FIELDS: Final[Mapping[str, str]] = {"no such user": "owner", "no such currency": "currency"}
UNKNOWN_REASON: Final = (
    "Salesmate refused this contact for a reason that is not known here. Open the contact there, save it once by hand "
    "and see which field it complains about"
)

AUTH_TEXT: Final = (
    "Salesmate refused the session key. It is the third value under My Account > Access / API Key; the access key in "
    "its place is the usual mistake."
)
FORBIDDEN_TEXT: Final = (
    "The Salesmate user of this session key may not do this. Ask a Salesmate administrator for the permission, or use "
    "the session key of another user."
)
LIMIT_TEXT: Final = (
    "Salesmate's limit of calls per hour is used up. The sync goes on by itself when Salesmate allows it again."
)
READ_REFUSED_TEXT: Final = (
    "Salesmate refused to show contacts with these fields. A custom field that no longer exists there is the likely "
    "cause: refresh the fields of this account."
)
GONE_TEXT: Final = "This contact was deleted in Salesmate."


@dataclass(frozen=True)
class Request:
    """What was asked, as far as it decides what a failure means.

    `about_record`: "not found" can only mean this one contact. `changes_data`: a failure in between may have been
    applied. `labels` names the fields for refusals: name -> label.
    """

    subdomain: str
    about_record: bool = False
    changes_data: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


def answer(reply: Reply, request: Request) -> Any:
    """`Data` of a successful reply; raises what the failure means."""
    if reply.status == 429:
        raise RateLimited(LIMIT_TEXT, retry_after(reply))
    body = reply.json()
    if not isinstance(body, dict):
        raise strange(request)
    if reply.status < 400 and str(member(body, "Status")[1]).casefold() == "success":
        return member(body, "Data")[1]
    found = member(body, "Error")[1]
    raise meaning(reply, found if isinstance(found, dict) else {}, request)


def strange(request: Request) -> Transient:
    return Transient(
        "Salesmate gave an answer that is not in its documented form. It is tried again; if it stays so, check the "
        "address of Salesmate in the settings.",
        maybe_applied=request.changes_data,
    )


def classify(status: int, error: Mapping[str, Any]) -> Kind:
    """The kind of a failure from its HTTP status and its Error object, whose keys come in either case."""
    name = str(member(error, "Name")[1] or "").strip().casefold()
    for beginning, kind in NAMES:
        if name == beginning or (kind is not Kind.GONE and name.startswith(beginning)):
            return kind
    code = str(member(error, "Code")[1] or "").strip()
    if code in CODES:
        return CODES[code]
    message = str(member(error, "Message")[1] or "").casefold()
    if any(words in message for words in LIMIT_WORDS):
        return Kind.LIMIT
    return STATUSES.get(status, Kind.TRANSIENT)


def meaning(reply: Reply, error: Mapping[str, Any], request: Request) -> ConnectorError:
    kind = classify(reply.status, error)
    if kind is Kind.AUTH:
        return AuthFailed(AUTH_TEXT)
    if kind is Kind.FORBIDDEN:
        return Rejected(FORBIDDEN_TEXT) if request.changes_data else AuthFailed(FORBIDDEN_TEXT)
    if kind is Kind.SUBDOMAIN:
        return Misconfigured(
            f"Salesmate knows no account {request.subdomain}.salesmate.io. Correct the subdomain: the part before "
            ".salesmate.io in your Salesmate address."
        )
    if kind is Kind.GONE and request.about_record:
        return RecordGone(GONE_TEXT)
    if kind is Kind.LIMIT:
        return RateLimited(LIMIT_TEXT, retry_after(reply))
    if kind is Kind.REJECTED and not request.changes_data:
        return Rejected(READ_REFUSED_TEXT)
    if kind is Kind.REJECTED:
        return refusal(str(member(error, "Message")[1] or ""), request.labels)
    return strange(request)


def refusal(message: str, labels: Mapping[str, str]) -> Rejected:
    """Our words for a refusal, and the field that its message names, if it names one."""
    folded = message.casefold()
    name = named_field(folded, labels)
    for words, text in REASONS:
        if words in folded:
            return Rejected(text.format(field=labels[name] if name else "a field") + ".", name or FIELDS.get(words, ""))
    return Rejected(UNKNOWN_REASON + ".", name)


def named_field(folded: str, labels: Mapping[str, str]) -> str:
    """The field whose label stands in the message as words of its own; the longest label wins; else ""."""
    fits = [
        (len(label), name)
        for name, label in labels.items()
        if label and re.search(rf"(?<!\w){re.escape(label.casefold())}(?!\w)", folded)
    ]
    return max(fits)[1] if fits else ""


def retry_after(reply: Reply) -> float | None:
    """Seconds to wait, where the app says so; it is not known to."""
    text = reply.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() else None
