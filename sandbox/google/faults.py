"""What goes wrong with one request: before it is carried out, or on the way back, when it is."""

from collections.abc import Callable, Mapping
from typing import Final

from sandbox import exchange
from sandbox.exchange import BROKEN, Answer, Dropped, Silent, raiser
from sandbox.google.answers import (
    BARE_403,
    EXHAUSTED,
    EXPIRED_FORMS,
    FEW_SCOPES,
    GATEWAY,
    INTERNAL,
    NOT_FOUND,
    RATE_403,
    STALE,
    UNAUTHENTICATED,
    UNAVAILABLE,
    Failure,
    invalid,
    over_limit,
)


def failing(failure: Failure) -> Callable[[Answer], Answer]:
    return lambda answer: failure.answer()


# Nothing was done.
BEFORE: Final[Mapping[str, Callable[[Answer], Answer]]] = {
    "drop_before": raiser(Dropped),
    "silent_before": raiser(Silent),
    "html_502": lambda answer: GATEWAY,
    "internal_500": failing(INTERNAL),
    "unavailable_503": failing(UNAVAILABLE),
    "unauthenticated": failing(UNAUTHENTICATED),
    "few_scopes": failing(FEW_SCOPES),
    "bare_403": lambda answer: BARE_403,
    "rate_403": failing(RATE_403),
    "quota_429": failing(over_limit("quota", "reads")),
    "exhausted_429": failing(EXHAUSTED),
    "not_found": failing(NOT_FOUND),
    "stale_etag": failing(STALE),
    "malformed_token": failing(invalid()),
    **{f"expired_{form}": failing(failure) for form, failure in EXPIRED_FORMS.items()},
}
# It was done, whatever the client sees.
AFTER: Final[Mapping[str, Callable[[Answer], Answer]]] = {
    **BROKEN,
    "internal_500_after": failing(INTERNAL),
    "unavailable_503_after": failing(UNAVAILABLE),
}
# `batch_refused`: every second item of a batch is refused, and so the batch is. `ignored`: the answer of a write is as
# always, and nothing was kept.
OTHER: Final = frozenset({"batch_refused", "ignored"})
FAULTS: Final = frozenset({*BEFORE, *AFTER, *OTHER})
# These strike only where they can happen: one of these is in the path or the query.
WHERE: Final = {
    "stale_etag": (":updateContact",),
    "malformed_token": ("syncToken=",),
    "batch_refused": (":batchCreateContacts", ":batchUpdateContacts"),
    **{f"expired_{form}": ("syncToken=",) for form in EXPIRED_FORMS},
}


class Fault(exchange.Fault):
    """`path` is looked for in the path and the query: `/v1/people/me/connections?syncToken=...`."""

    kinds = FAULTS

    def strikes(self, method: str, path: str) -> bool:
        places = WHERE.get(self.kind, ("",))
        return any(place in path for place in places) and super().strikes(method, path)
