"""Google Contacts: what each failure means, for a read, for a write, for a place in a listing."""

import json
from typing import Any

import pytest

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
from syncer.connectors.google_contacts import errors
from syncer.connectors.google_contacts.errors import Expired, Kind, Missing, PartsRefused, Request, Taken
from syncer.connectors.http import Reply
from tests.needs import SPECS, needs

CANARY = "ada@canary.example"
READ, WRITE, PERSON, PLACE = Request(), Request(changes_data=True), Request(about_person=True), Request(token=True)
GROUP = Request(changes_data=True, names_group=True)


def reply(status: int, error: Any = None, body: bytes | None = None, **headers: str) -> Reply:
    said = json.dumps({"error": error}).encode() if body is None else body
    return Reply(status, {name.replace("_", "-"): text for name, text in headers.items()}, said, "https://x.example/")


def meant(found: Reply, request: Request) -> ConnectorError:
    with pytest.raises(ConnectorError) as raised:
        errors.answer(found, request)
    assert CANARY not in repr(raised.value)
    return raised.value


def envelope(code: int, status: str, message: str = CANARY, **more: Any) -> dict[str, Any]:
    return {"code": code, "status": status, "message": message, **more}


def info(reason: str) -> Any:
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"details": [{"@type": kind, "reason": reason, "domain": "googleapis.com", "metadata": {"x": CANARY}}]}


QUOTA = envelope(429, "RESOURCE_EXHAUSTED", f"Quota exceeded for quota metric 'x' of {CANARY}")
BACKEND = envelope(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).")
EXPIRED_TEXT = "Sync token is expired. Clear local cache and retry call without the sync token."
LEGACY: Any = {"errors": [{"domain": "usageLimits", "reason": "userRateLimitExceeded", "message": CANARY}]}


@pytest.mark.parametrize(
    ("found", "request_", "kind"),
    [
        (reply(401, envelope(401, "UNAUTHENTICATED")), READ, AuthFailed),
        (reply(401, body=b""), WRITE, AuthFailed),
        (reply(403, envelope(403, "PERMISSION_DENIED", **info("ACCESS_TOKEN_SCOPE_INSUFFICIENT"))), READ, AuthFailed),
        (reply(403, envelope(403, "PERMISSION_DENIED")), READ, AuthFailed),
        (reply(403, envelope(403, "PERMISSION_DENIED", **info("SERVICE_DISABLED"))), READ, Misconfigured),
        (reply(403, envelope(403, "PERMISSION_DENIED", **LEGACY)), READ, RateLimited),
        (reply(403, envelope(403, "PERMISSION_DENIED", "User-rate limit exceeded.")), WRITE, RateLimited),
        (reply(403, body=b""), READ, Transient),
        (reply(429, QUOTA), READ, RateLimited),
        (reply(429, QUOTA), WRITE, RateLimited),
        (reply(429, envelope(429, "RESOURCE_EXHAUSTED", **info("RATE_LIMIT_EXCEEDED"))), WRITE, RateLimited),
        (reply(429, BACKEND), READ, RateLimited),
        (reply(429, body=b"<html>"), READ, RateLimited),
        (reply(404, envelope(404, "NOT_FOUND")), PERSON, RecordGone),
        (reply(404, envelope(404, "NOT_FOUND")), READ, Transient),
        (reply(404, envelope(404, "NOT_FOUND")), WRITE, Missing),
        (reply(404, body=b"<html>not found</html>"), PERSON, Transient),
        (reply(404, envelope(404, "SOMETHING")), PERSON, Transient),
        (reply(410, envelope(410, "ABORTED")), PERSON, Transient),
        (reply(410, envelope(410, "ABORTED")), PLACE, Expired),
        (reply(400, envelope(400, "FAILED_PRECONDITION", EXPIRED_TEXT)), PLACE, Expired),
        (reply(400, envelope(400, "INVALID_ARGUMENT", EXPIRED_TEXT)), PLACE, Expired),
        (reply(400, envelope(400, "INVALID_ARGUMENT", **info("EXPIRED_SYNC_TOKEN"))), PLACE, Expired),
        (reply(400, envelope(400, "INVALID_ARGUMENT")), PLACE, Expired),
        (reply(400, envelope(400, "INVALID_ARGUMENT")), READ, Transient),
        (reply(400, body=b"<html>bad request</html>"), PLACE, Transient),
        (reply(400, envelope(400, "FAILED_PRECONDITION")), WRITE, Stale),
        (reply(400, envelope(400, "INVALID_ARGUMENT")), WRITE, Rejected),
        (reply(409, envelope(409, "ALREADY_EXISTS")), WRITE, Taken),
        (reply(409, envelope(409, "ALREADY_EXISTS")), READ, Transient),
        (reply(409, envelope(409, "ABORTED")), GROUP, Taken),
        (reply(409, body=b""), GROUP, Taken),
        (reply(409, envelope(409, "ABORTED")), WRITE, Stale),
        (reply(409, envelope(409, "ABORTED")), READ, Transient),
        (reply(409, envelope(409, "ABORTED")), PLACE, Transient),
        (reply(409, envelope(409, "SOMETHING")), WRITE, Transient),
        (reply(409, body=b""), WRITE, Transient),
        (reply(500, envelope(500, "INTERNAL")), READ, Transient),
        (reply(302, body=b""), WRITE, Transient),
        (reply(200, body=b"[]"), READ, Transient),
        (reply(200, body=b"<html>"), READ, Transient),
    ],
)
def test_each_failure_has_its_meaning(found: Reply, request_: Request, kind: type[ConnectorError]) -> None:
    assert type(meant(found, request_)) is kind


@pytest.mark.parametrize("status", [500, 502, 503, 418, 302, 400, 403])
def test_a_failure_between_may_have_been_applied_where_it_was_a_write(status: int) -> None:
    for request, applied in ((READ, False), (WRITE, True)):
        error = meant(reply(status, body=b"out of order"), request)
        assert isinstance(error, Transient)
        assert error.maybe_applied is applied


def test_the_limit_of_the_backend_may_come_after_a_write_was_done() -> None:
    error = meant(reply(429, BACKEND), WRITE)
    assert isinstance(error, Transient) and error.maybe_applied
    assert isinstance(meant(reply(429, BACKEND), Request(changes_data=True, backend_limit_applied=False)), RateLimited)


def test_how_long_to_wait_is_taken_where_it_is_said() -> None:
    told, untold = meant(reply(429, QUOTA, retry_after="17"), READ), meant(reply(429, QUOTA, retry_after="soon"), READ)
    assert isinstance(told, RateLimited) and told.retry_after == 17.0
    assert isinstance(untold, RateLimited) and untold.retry_after is None


def test_a_batch_names_those_that_it_refused() -> None:
    statuses = {
        "people/c1": {"code": 3, "message": CANARY},
        "people/c2": {"code": 5, "message": CANARY},
        "people/c3": {"code": 9},
        "people/c4": {},
        "people/c5": "damaged",
        "people/c6": {"code": "3"},
    }
    details = [{"@type": "type.googleapis.com/google.people.v1.BatchUpdateContactsErrorDetails"}]
    details[0] |= {"contactErrors": statuses}  # type: ignore[dict-item]
    error = meant(reply(400, envelope(400, "INVALID_ARGUMENT", details=details)), WRITE)
    assert isinstance(error, PartsRefused)
    assert error.parts == {
        "people/c1": Kind.REJECTED,
        "people/c2": Kind.MISSING,
        "people/c3": Kind.MOVED,
        "people/c4": Kind.REJECTED,
        "people/c5": Kind.REJECTED,
        "people/c6": Kind.REJECTED,
    }
    assert type(meant(reply(500, envelope(500, "INTERNAL", details=details)), WRITE)) is Transient


@pytest.mark.parametrize("error", [None, [], "x", {"details": 7, "errors": {"a": 1}}, {"details": [None, 7, {}]}])
def test_a_damaged_error_is_no_proof_of_anything(error: Any) -> None:
    for status in (400, 403, 404, 409, 410, 429, 500):
        assert not isinstance(meant(reply(status, error), PERSON), RecordGone | Misconfigured)


@needs("specs")
@pytest.mark.parametrize(
    ("name", "request_", "kind"),
    [
        ("error_contacts_stale_etag", WRITE, Stale),
        ("error_contacts_sync_token_invalid", PLACE, Expired),
        ("error_contacts_sync_token_invalid", WRITE, Rejected),
        ("error_forbidden", READ, AuthFailed),
        ("error_history_gone", PERSON, RecordGone),
        ("error_history_gone", READ, Transient),
        ("error_rate_limit", READ, RateLimited),
        ("error_sync_token_gone", PLACE, Expired),
        ("error_unauthorized", READ, AuthFailed),
    ],
)
def test_recorded_failures_are_understood(name: str, request_: Request, kind: type[ConnectorError]) -> None:
    body = (SPECS / "google-recordings" / f"{name}.json").read_bytes()
    assert type(meant(reply(json.loads(body)["error"]["code"], body=body), request_)) is kind
