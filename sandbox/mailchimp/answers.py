"""What the stand-in answers with: problem documents, and the errors whose words are known from recordings."""

import json
import uuid
from collections.abc import Sequence
from typing import Any, Final

from sandbox.exchange import Answer

TYPE: Final = "https://mailchimp.com/developer/marketing/docs/errors/"
PROBLEM: Final = "application/problem+json; charset=utf-8"
DESCRIBED: Final = '<https://us6.api.mailchimp.com/schema/3.0/ProblemDetailDocument.json>; rel="describedBy"'


class Failure(Exception):
    """`errors` are (field, message). `typed` is false for the titles that come without a type."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        typed: bool = True,
        more: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail
        self.errors, self.typed, self.more = errors, typed, more

    def answer(self) -> Answer:
        instance = str(uuid.uuid4())
        told: dict[str, Any] = {"type": TYPE} if self.typed else {}
        told |= {"title": self.title, "status": self.status, "detail": self.detail, "instance": instance}
        if self.errors:
            told["errors"] = [{"field": field, "message": message} for field, message in self.errors]
        more = (("X-Request-Id", instance), ("Link", DESCRIBED), *self.more)
        return Answer(self.status, json.dumps(told).encode(), PROBLEM, more=more)


def invalid(detail: str, errors: Sequence[tuple[str, str]] = ()) -> Failure:
    return Failure(400, "Invalid Resource", detail, errors)


def exists(email: str) -> Failure:
    words = "is already a list member. Use PUT to insert or update list members."
    return Failure(400, "Member Exists", f"{email} {words}", typed=False)


def forgotten(email: str) -> Failure:
    words = "was permanently deleted and cannot be re-imported. The contact must re-subscribe to get back on the list."
    return Failure(400, "Forgotten Email Not Subscribed", f"{email} {words}", typed=False)


def in_compliance_state(email: str) -> Failure:
    words = "is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed."
    return Failure(400, "Member In Compliance State", f"{email} {words}", typed=False)


NOT_FOUND: Final = Failure(404, "Resource Not Found", "The requested resource could not be found.")
BAD_ADDRESS: Final = invalid("Please provide a valid email address.")
BAD_MERGE: Final = "Your merge fields were invalid."
NO_KEY: Final = Failure(401, "API Key Missing", "Your request did not include an API key.")
BAD_KEY: Final = Failure(
    401,
    "API Key Invalid",
    "Your API key may be invalid, or you've attempted to access the wrong datacenter.",
)
DISABLED: Final = Failure(403, "User Disabled", "This account has been disabled.")
BUSY: Final = Failure(429, "Too Many Requests", "You have exceeded the limit of 10 simultaneous connections.")
NO_JSON: Final = Failure(400, "JSON Parse Error", "We encountered an unspecified JSON parsing error.")
INTERNAL: Final = Failure(500, "Internal Server Error", "An unexpected internal error has occurred.")
COMPLIANCE: Final = Failure(503, "Compliance Related", "This method has been disabled.")
CANNOT_ARCHIVE: Final = Failure(
    405,
    "Method Not Allowed",
    "This list member cannot be removed. Can not archive a contact that is bounced, pending or archived",
    more=(("Allow", "GET, PUT"),),
)
BARE_403: Final = Answer(403, b"<html><body><h1>Forbidden</h1></body></html>", "text/html")
GATEWAY: Final = Answer(502, b"<html><head><title>502 Bad Gateway</title></head></html>", "text/html")


def fake(email: str) -> Failure:
    return invalid(f"{email} looks fake or invalid, please enter a real email address.")


def many_lists(email: str) -> Failure:
    words = "has signed up to a lot of lists very recently; we're not allowing more signups for now"
    return invalid(f"{email} {words}")
