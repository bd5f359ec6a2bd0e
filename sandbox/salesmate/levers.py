"""What can be made to go wrong, and how the stand-in behaves where the real Salesmate is said to do it both ways."""

from dataclasses import dataclass
from typing import Final

from sandbox import exchange
from sandbox.salesmate.answers import OVER_LIMIT
from sandbox.salesmate.faults import FAULTS
from sandbox.salesmate.search import MOST_ROWS

STAMPS: Final = frozenset({"seconds", "milliseconds", "iso", "text"})
CHOICES: Final = {"stamps": STAMPS, "over_limit": frozenset(OVER_LIMIT)}


@dataclass
class Levers:
    """`failures_with_200`: failures come with HTTP 200. `capital_objects`: search rows say Owner and Company. `stamps`:
    how times are written. `unstable_paging`: listings of several pages repeat some rows and miss others.
    `shuffle_ties`: rows with equal stamps come in another order with each search. `most_rows`: that a page holds.
    `cut_listing_at`: no page shows a row beyond this offset, though the count says that there are more.
    `empty_listing`: searches find nothing. `ignore_filters`: searches find everything. `active_as_number`: users say
    isActive 1 instead of true. `tag_separator`: between tags in answers. `tags_listed`: is the old list of tags open?
    `deleted_shown`: does GET show a contact that is in the bin? `date_ahead`: by how many seconds the Date header is
    ahead of the stamps. `over_limit`: the form of that answer.
    """

    failures_with_200: bool = False
    capital_objects: bool = False
    stamps: str = "seconds"
    unstable_paging: bool = False
    shuffle_ties: bool = False
    most_rows: int = MOST_ROWS
    cut_listing_at: int | None = None
    empty_listing: bool = False
    ignore_filters: bool = False
    active_as_number: bool = False
    tag_separator: str = ","
    tags_listed: bool = True
    deleted_shown: bool = True
    date_ahead: int = 0
    calls_per_hour: int = 1500
    over_limit: str = "json"

    def __setattr__(self, name: str, value: object) -> None:
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"{name} is one of {', '.join(sorted(CHOICES[name]))}")
        super().__setattr__(name, value)


class Fault(exchange.Fault):
    kinds = FAULTS
