"""How the stand-in behaves where Google is said to do it both ways, and what can be made to go wrong for long."""

from dataclasses import dataclass
from typing import Final

from sandbox.google.answers import EXPIRED_FORMS, LIMIT_FORMS

CHOICES: Final = {"expired_form": frozenset(EXPIRED_FORMS), "limit_form": LIMIT_FORMS}


@dataclass
class Levers:
    """`feed_delay`: seconds until sync requests see a write ("several minutes", says Google). `token_days`: a sync
    token lives so long after its full sync. `tokens_renewed`: after a delta it lives as long anew. `expired_form`:
    how its end is told. `reads`, `writes`, `full_syncs`: so many a minute and user, None for any number; a write that
    answers with the person costs a read too. `limit_form`: how the end of that is told. `list_etags_refused`: an
    etag that a list showed is good for no update. `etag_settles`: for so many seconds after a change every etag of
    the contact is refused. `shuffled`: the items of a field come in another order each time. `old_names_work`: does
    a contact answer to the resource names that it had? `default_page`: of connections where no size is asked for.
    """

    feed_delay: float = 120
    token_days: float = 7
    tokens_renewed: bool = False
    expired_form: str = "error_info"
    reads: int | None = 90
    writes: int | None = 90
    full_syncs: int | None = None
    limit_form: str = "quota"
    list_etags_refused: bool = False
    etag_settles: float = 0
    shuffled: bool = False
    old_names_work: bool = True
    default_page: int = 100

    def __setattr__(self, name: str, value: object) -> None:
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"{name} is one of {', '.join(sorted(CHOICES[name]))}")
        super().__setattr__(name, value)
