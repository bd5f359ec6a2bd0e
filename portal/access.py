"""The first middleware: every request has an id, which its log lines and its answer name, and one line in the log."""

import logging
import re
from collections.abc import Callable
from uuid import uuid4

from django.http import HttpRequest, HttpResponseBase
from structlog.contextvars import bound_contextvars

from portal.clock import SYSTEM, Clock
from portal.redact import path, redacted

log = logging.getLogger(__name__)
HEADER = "X-Request-Id"
SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines: their lines, at DEBUG, would bury the rest."""


def random_id() -> str:
    return uuid4().hex


class Access:
    def __init__(
        self,
        get_response: Callable[[HttpRequest], HttpResponseBase],
        clock: Clock = SYSTEM,
        make_id: Callable[[], str] = random_id,
    ) -> None:
        self.get_response, self.clock, self.make_id = get_response, clock, make_id

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = self.clock.monotonic()
        name = given_id(request) or self.make_id()
        with bound_contextvars(request=name):
            response = self.get_response(request)
            response.headers[HEADER] = name
            self.tell(request, response.status_code, round((self.clock.monotonic() - began) * 1000))
        return response

    def tell(self, request: HttpRequest, status: int, milliseconds: int) -> None:
        """Without the query, which may hold what somebody looked for, and without secrets in the path."""
        asked = path(request.path)
        level = logging.DEBUG if asked in PROBES else logging.INFO
        words = (request.method or "", asked, status, milliseconds)
        extra = dict(zip(("method", "path", "status", "milliseconds"), words, strict=True))
        log.log(level, "%s %s %s %s ms", *words, extra=extra)


def given_id(request: HttpRequest) -> str:
    """The id that whoever asks has given it; nothing where it is not a plain token, or looks like a secret."""
    given = request.headers.get(HEADER, "")
    return given if SANE.fullmatch(given) and redacted(given) == given else ""
