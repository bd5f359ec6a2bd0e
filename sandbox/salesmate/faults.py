"""What goes wrong with one request: before it is carried out, or on the way back, when it is."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Final

from sandbox.salesmate.answers import AUTH, AUTH_DOCUMENTED, FORBIDDEN, UNKNOWN, Answer, page

HUGE: Final = 65 * 2**20  # bytes of an answer once unpacked


class Dropped(Exception):
    """The server closes the connection without an answer."""


class Silent(Exception):
    """The server keeps the connection and says nothing, until the client gives up."""


class Reset(Exception):
    """The connection breaks off in the middle of the answer, with a reset."""


def raiser(error: type[Exception]) -> Callable[[Answer], Answer]:
    def strike(answer: Answer) -> Answer:
        raise error

    return strike


@cache
def bomb() -> bytes:
    return gzip.compress(b" " * HUGE, compresslevel=1)


def halved(answer: Answer) -> Answer:
    """JSON that ends in the middle, although the length is right."""
    return replace(answer, body=answer.body[: len(answer.body) // 2])


NOTHING: Final = Answer(200, b"")
# Nothing was done.
BEFORE: Final[Mapping[str, Callable[[Answer], Answer]]] = {
    "drop_before": raiser(Dropped),
    "silent_before": raiser(Silent),
    "html_500_before": lambda answer: page(500),
    "html_502": lambda answer: page(502),
    "html_200": lambda answer: page(200),
    "html_403": lambda answer: page(403),
    "html_404": lambda answer: page(404),
    "error_200": lambda answer: UNKNOWN.answer(),
    "auth": lambda answer: AUTH.answer(),
    "auth_401": lambda answer: AUTH_DOCUMENTED.answer(),
    "forbidden": lambda answer: FORBIDDEN.answer(),
}
# It was done, whatever the client sees.
AFTER: Final[Mapping[str, Callable[[Answer], Answer]]] = {
    "drop_after": raiser(Dropped),
    "silent_after": raiser(Silent),
    "reset_after": raiser(Reset),
    "html_500_after": lambda answer: page(500),
    "error_200_after": lambda answer: UNKNOWN.answer(),
    "cut_body": lambda answer: replace(answer, cut=True),
    "cut_json": halved,
    "empty_body": lambda answer: NOTHING,
    "huge": lambda answer: replace(answer, body=bomb(), more=(("Content-Encoding", "gzip"),)),
    "wrong_type": lambda answer: replace(answer, content_type="text/html"),
}
# `limit` answers in the form of the lever `over_limit`; `ignored` says yes to a write and does nothing.
OTHER: Final = frozenset({"limit", "ignored"})
FAULTS: Final = frozenset({*BEFORE, *AFTER, *OTHER})
