"""How the stand-in behaves where Mailchimp is said to do it both ways, and what can be made to go wrong for long."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sandbox import exchange
from sandbox.exchange import BROKEN, Answer, Dropped, Silent, raiser
from sandbox.mailchimp.answers import (
    BAD_KEY,
    BARE_403,
    BUSY,
    COMPLIANCE,
    DISABLED,
    GATEWAY,
    INTERNAL,
    NOT_FOUND,
    Failure,
)


@dataclass
class Levers:
    """`connections`: so many requests at once, and no more. `archived_listed`: are archived members in a listing that
    asks for no status? `since_inclusive`: does since_last_changed show what changed in that very second? `contact_ids`:
    does a member answer to its contact_id? `batch_unarchives`: does a batch that does not update bring an archived
    member back? `batch_needs_status`: does it refuse an update without a status? `fake`: addresses that look so.
    `busy_lists`: addresses that signed up to too many lists. `signed`: are the deliveries of new webhooks?"""

    connections: int = 10
    archived_listed: bool = False
    since_inclusive: bool = True
    contact_ids: bool = True
    batch_unarchives: bool = True
    batch_needs_status: bool = False
    fake: set[str] = field(default_factory=lambda: {"foo@example.com"})
    signed: bool = True
    busy_lists: set[str] = field(default_factory=set)


def failing(failure: Failure) -> Callable[[Answer], Answer]:
    return lambda answer: failure.answer()


# Nothing was done.
BEFORE: Final[Mapping[str, Callable[[Answer], Answer]]] = {
    "drop_before": raiser(Dropped),
    "silent_before": raiser(Silent),
    "html_502": lambda answer: GATEWAY,
    "internal_500": failing(INTERNAL),
    "compliance_503": failing(COMPLIANCE),
    "bad_key": failing(BAD_KEY),
    "disabled": failing(DISABLED),
    "bare_403": lambda answer: BARE_403,
    "busy_429": failing(BUSY),
    "not_found": failing(NOT_FOUND),
}
# It was done, whatever the client sees.
AFTER: Final[Mapping[str, Callable[[Answer], Answer]]] = {**BROKEN, "internal_500_after": failing(INTERNAL)}
# `ignored`: the answer of a write is as always, and nothing was kept.
FAULTS: Final = frozenset({*BEFORE, *AFTER, "ignored"})


class Fault(exchange.Fault):
    """`path` is looked for in the path and the query."""

    kinds = FAULTS
