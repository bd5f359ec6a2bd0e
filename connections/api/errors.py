"""Every refusal as problem details (RFC 9457): `type, title, status, detail`, and `errors` by field for bad input."""

import logging
from collections.abc import Mapping
from math import ceil
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, ValidationError
from django.db import IntegrityError, OperationalError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from connections.secrets import SecretUnreadable
from connections.services import Overtaken, Refused
from syncer.audit.chain import LogBroken, LogBusy
from syncer.connectors.base import ConnectorError, RateLimited, Transient

log = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"
TITLES = {
    400: ("bad-input", "The input is not right"),
    401: ("no-key", "No valid key"),
    403: ("scope", "The key may not do this"),
    404: ("not-found", "Not there, or not yours"),
    405: ("method", "No such method here"),
    409: ("conflict", "It does not fit the state"),
    412: ("changed", "It was changed meanwhile"),
    413: ("too-large", "The body is too large"),
    415: ("media-type", "Only JSON is taken here"),
    428: ("if-match", "Say which state you saw"),
    429: ("throttled", "Too many calls"),
    500: ("defect", "A defect of ours"),
    503: ("busy", "The database is busy"),
}
CONFLICTS = (Refused, ConnectorError, SecretUnreadable, LogBusy, LogBroken)
ELSEWHERE = "errors"
"""The name under which messages stand that belong to no one field."""


class Problem(exceptions.APIException):
    """A refusal of our own, with its status."""

    def __init__(self, status_code: int, detail: str, errors: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.status_code = status_code
        self.errors = errors


class Replay(Exception):
    """Not an error: this request was answered before, and is answered the same again."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def body(code: int, detail: str, errors: Mapping[str, Any] | None = None) -> dict[str, Any]:
    slug, title = TITLES.get(code, ("error", "It could not be done"))
    found: dict[str, Any] = {
        "type": f"urn:counterpart:problem:{slug}",
        "title": title,
        "status": code,
        "detail": detail,
    }
    return found | ({"errors": dict(errors)} if errors else {})


def problem(code: int, detail: str, errors: Mapping[str, Any] | None = None, headers: Any = None) -> Response:
    return Response(body(code, detail, errors), status=code, headers=headers, content_type=CONTENT_TYPE)


def handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler; None for what is a defect of ours."""
    set_rollback()
    if isinstance(error, Replay):
        return error.response
    if isinstance(error, Problem):
        return problem(error.status_code, str(error.detail), error.errors)
    if isinstance(error, exceptions.ValidationError):
        return bad_input(by_field(error.detail))
    if isinstance(error, ValidationError):
        return bad_input(messages_of(error))
    if isinstance(error, Overtaken):
        return problem(412, str(error))
    if isinstance(error, CONFLICTS):
        return problem(409, str(error), headers=when_again(error))
    if isinstance(error, IntegrityError):
        return problem(409, "Somebody else did something that collides with this at the same moment. Load it again.")
    if isinstance(error, ProtectedError | RestrictedError):
        return problem(409, "Something else still needs this. Remove that first.")
    if isinstance(error, RequestDataTooBig):
        return problem(413, "The body is larger than this call takes.")
    if isinstance(error, OperationalError):
        log.warning("The database did not answer in time", exc_info=error)
        return problem(503, "The database is busy. Try again in a moment.", headers={"Retry-After": "5"})
    return of_framework(error)


def when_again(error: Exception) -> dict[str, str]:
    """For what passes by itself."""
    if isinstance(error, RateLimited):
        return {"Retry-After": str(max(1, ceil(error.retry_after or 60)))}
    return {"Retry-After": "10"} if isinstance(error, Transient | LogBusy) else {}


def of_framework(error: Exception) -> Response | None:
    if isinstance(error, Http404):
        return problem(404, "There is nothing under this address that this key may see.")
    if isinstance(error, PermissionDenied):
        return problem(403, "This key may not do that.")
    if not isinstance(error, exceptions.APIException):
        return None
    headers = {}
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(max(1, ceil(wait)))
    if (asked := getattr(error, "auth_header", None)) is not None:
        headers["WWW-Authenticate"] = asked
    if isinstance(error, exceptions.ParseError):
        return problem(400, str(error.detail))
    if isinstance(error, exceptions.NotFound):
        return problem(404, "There is nothing under this address that this key may see.")
    return problem(error.status_code, str(error.detail), headers=headers)


def bad_input(errors: Mapping[str, Any]) -> Response:
    names = ", ".join(name for name in errors if name != ELSEWHERE)
    detail = f"Look at: {names}." if names else " ".join(errors.get(ELSEWHERE, ["The input is not right."]))
    return problem(status.HTTP_400_BAD_REQUEST, detail, errors)


def messages_of(error: ValidationError) -> dict[str, list[str]]:
    if not hasattr(error, "error_dict"):
        return {ELSEWHERE: error.messages}
    return {ELSEWHERE if name == "__all__" else name: list(found) for name, found in error.message_dict.items()}


def by_field(detail: Any, path: str = "") -> dict[str, list[str]]:
    """{"settings": {"url": ["..."]}} as {"settings.url": ["..."]}."""
    if isinstance(detail, Mapping):
        found: dict[str, list[str]] = {}
        for name, part in detail.items():
            found |= by_field(part, path if name == "non_field_errors" else f"{path}.{name}".lstrip("."))
        return found
    if isinstance(detail, list | tuple):
        nested = [part for part in detail if isinstance(part, Mapping | list)]
        if nested:
            return {key: value for n, part in enumerate(detail) for key, value in by_field(part, f"{path}.{n}").items()}
        return {path or ELSEWHERE: [str(one) for one in detail]}
    return {path or ELSEWHERE: [str(detail)]}


def json_problem(request: HttpRequest, code: int, detail: str) -> JsonResponse:
    """For what fails before a call is reached, or in spite of everything."""
    return JsonResponse(body(code, detail), status=code, content_type=CONTENT_TYPE)
