"""What the stand-in answers with: the error envelope of Google's APIs, and the errors whose words are known."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sandbox.exchange import Answer

TYPE: Final = "type.googleapis.com/google."
# Names and numbers of google.rpc.Code.
CODES: Final = {
    "INVALID_ARGUMENT": 3,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "UNAUTHENTICATED": 16,
}
Details = Sequence[Mapping[str, Any]]


class Failure(Exception):
    """`legacy`: domain, reason and message of the old `errors`, which only some front ends send. `more`: headers."""

    def __init__(
        self,
        code: int,
        status: str,
        message: str,
        details: Details = (),
        legacy: tuple[str, str, str] | None = None,
        more: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.code, self.status, self.message, self.details = code, status, message, details
        self.legacy, self.more = legacy, more

    def answer(self) -> Answer:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.legacy is not None:
            domain, reason, message = self.legacy
            where = {"location": "Authorization", "locationType": "header"} if self.code == 401 else {}
            error["errors"] = [{"message": message, "domain": domain, "reason": reason, **where}]
        error["status"] = self.status
        if self.details:
            error["details"] = list(self.details)
        return Answer(self.code, json.dumps({"error": error}).encode(), more=self.more)

    def as_status(self) -> dict[str, Any]:
        """As a google.rpc.Status within an answer."""
        return {"code": CODES[self.status], "message": self.message}


def invalid(message: str = "Request contains an invalid argument.", details: Details = ()) -> Failure:
    return Failure(400, "INVALID_ARGUMENT", message, details)


def bad_request(field: str, message: str) -> Failure:
    """A body or query that cannot be read; `field` is its place."""
    violation = {"description": message} | ({"field": field} if field else {})
    return invalid(message, [{"@type": f"{TYPE}rpc.BadRequest", "fieldViolations": [violation]}])


def info(reason: str, domain: str, **metadata: str) -> dict[str, Any]:
    return {"@type": f"{TYPE}rpc.ErrorInfo", "reason": reason, "domain": domain} | (
        {"metadata": metadata} if metadata else {}
    )


NOT_FOUND: Final = Failure(404, "NOT_FOUND", "Requested entity was not found.")
STALE: Final = Failure(
    400,
    "FAILED_PRECONDITION",
    "Request person.etag is different than the current person.etag. Clear local cache and get the latest person.",
)
# The words are known at second hand only.
NO_ETAG: Final = invalid(
    "Request must set person.etag or person.metadata.sources.etag for the source that is being updated."
)
# Of these two only the status is known.
NO_GROUP: Final = invalid("Contact must have at least one contact group membership.")
SAME_NAME: Final = Failure(409, "ALREADY_EXISTS", "Contact group name already exists.")
UNAUTHENTICATED: Final = Failure(
    401,
    "UNAUTHENTICATED",
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential.",
    legacy=("global", "authError", "Invalid Credentials"),
    more=(("WWW-Authenticate", 'Bearer realm="https://accounts.google.com/", error="invalid_token"'),),
)
FEW_SCOPES: Final = Failure(
    403,
    "PERMISSION_DENIED",
    "Request had insufficient authentication scopes.",
    legacy=("global", "insufficientPermissions", "Insufficient Permission"),
)
RATE_403: Final = Failure(
    403,
    "PERMISSION_DENIED",
    "User-rate limit exceeded.",
    legacy=("usageLimits", "rateLimitExceeded", "User-rate limit exceeded."),
)
BARE_403: Final = Answer(403, b"", "text/html; charset=UTF-8")
INTERNAL: Final = Failure(500, "INTERNAL", "Internal error encountered.")
UNAVAILABLE: Final = Failure(503, "UNAVAILABLE", "The service is currently unavailable.")
GATEWAY: Final = Answer(502, b"<!DOCTYPE html><title>Error 502 (Server Error)!!1</title>", "text/html; charset=UTF-8")

EXPIRED: Final = "Sync token is expired. Clear local cache and retry call without the sync token."
_EXPIRED_INFO: Final = [info("EXPIRED_SYNC_TOKEN", "people.googleapis.com")]
# What is said of an expired token differs in the status, in the code and in the details.
EXPIRED_FORMS: Final[Mapping[str, Failure]] = {
    "error_info": Failure(400, "FAILED_PRECONDITION", EXPIRED, _EXPIRED_INFO),
    "invalid_argument": Failure(400, "INVALID_ARGUMENT", EXPIRED, _EXPIRED_INFO),
    "message": Failure(400, "FAILED_PRECONDITION", EXPIRED),
    "gone": Failure(
        410,
        "ABORTED",
        "Sync token is no longer valid, a full sync is required.",
        legacy=("global", "fullSyncRequired", "Sync token is no longer valid, a full sync is required."),
    ),
}

# Of a call's cost: the name of the metric, its words, the name of its limit.
METRICS: Final = {
    "reads": ("critical_read_requests", "Critical read requests (Contact and Profile Reads)", "CriticalReads"),
    "writes": ("critical_write_requests", "Critical write requests (Contact and Profile Writes)", "CriticalWrites"),
    "full_syncs": ("full_sync_requests", "Full sync requests", "FullSyncs"),
}
EXHAUSTED: Final = Failure(
    429,
    "RESOURCE_EXHAUSTED",
    "Resource has been exhausted (e.g. check quota).",
    [
        {
            "@type": f"{TYPE}rpc.QuotaFailure",
            "violations": [{"subject": "QUOTA_EXCEEDED", "description": "FBS quota limit exceeded"}],
        }
    ],
)


def over_limit(form: str, cost: str) -> Failure:
    """`form` is one of LIMIT_FORMS, `cost` one of METRICS."""
    if form == "exhausted":
        return EXHAUSTED
    if form == "forbidden":
        return RATE_403
    metric, words, limit = METRICS[cost]
    service, consumer = "people.googleapis.com", "projects/1"
    metadata = {
        "quota_limit": f"{limit}PerMinutePerProjectPerUser",
        "quota_metric": f"{service}/{metric}",
        "service": service,
        "consumer": consumer,
    }
    message = (
        f"Quota exceeded for quota metric '{words}' and limit '{words} per minute per user' of service '{service}' "
        "for consumer 'project_number:1'."
    )
    return Failure(429, "RESOURCE_EXHAUSTED", message, [info("RATE_LIMIT_EXCEEDED", "googleapis.com", **metadata)])


LIMIT_FORMS: Final = frozenset({"quota", "exhausted", "forbidden"})
