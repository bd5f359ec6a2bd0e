"""What goes wrong with one request: before it is carried out, or on the way back, when it is."""

from collections.abc import Callable, Mapping
from typing import Final

from sandbox.exchange import BROKEN, Answer, Dropped, Silent, raiser
from sandbox.salesmate.answers import AUTH, AUTH_DOCUMENTED, FORBIDDEN, UNKNOWN, page

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
    **BROKEN,
    "html_500_after": lambda answer: page(500),
    "error_200_after": lambda answer: UNKNOWN.answer(),
}
# `limit` answers in the form of the lever `over_limit`; `ignored` says yes to a write and does nothing.
OTHER: Final = frozenset({"limit", "ignored"})
FAULTS: Final = frozenset({*BEFORE, *AFTER, *OTHER})
