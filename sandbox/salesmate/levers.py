"""What can be made to go wrong, and how the stand-in behaves where the real Salesmate is said to do it both ways."""

from dataclasses import dataclass
from typing import Final

FAULTS: Final = frozenset(
    {
        "drop_before",  # the connection ends without an answer, nothing was done
        "drop_after",  # the same, but it was done: what a client sees as a time-out
        "html_500_before",
        "html_500_after",
        "html_200",
        "cut_body",  # the answer ends in the middle
        "limit",
    }
)
STAMPS: Final = frozenset({"seconds", "milliseconds", "iso", "text"})


@dataclass
class Levers:
    """`failures_with_200`: failures come with HTTP 200. `capital_objects`: search rows say Owner and Company. `stamps`:
    how times are written. `unstable_paging`: listings of several pages repeat some rows and miss others.
    `cut_listing_at`: no page shows a row beyond this offset, though the count says that there are more.
    `empty_listing`: searches find nothing. `ignore_filters`: searches find everything. `active_as_number`: users say
    isActive 1 instead of true. `tag_separator`: between tags in answers. `tags_listed`: is the old list of tags open?
    """

    failures_with_200: bool = False
    capital_objects: bool = False
    stamps: str = "seconds"
    unstable_paging: bool = False
    cut_listing_at: int | None = None
    empty_listing: bool = False
    ignore_filters: bool = False
    active_as_number: bool = False
    tag_separator: str = ","
    tags_listed: bool = True
    calls_per_hour: int = 1500

    def __setattr__(self, name: str, value: object) -> None:
        if name == "stamps" and value not in STAMPS:
            raise ValueError(f"stamps is one of {', '.join(sorted(STAMPS))}")
        super().__setattr__(name, value)


@dataclass
class Fault:
    """The next `times` requests with this method and this text in their path go wrong, after `skip` have gone well."""

    kind: str
    method: str = ""
    path: str = ""
    times: int = 1
    skip: int = 0

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"kind is one of {', '.join(sorted(FAULTS))}")

    def strikes(self, method: str, path: str) -> bool:
        """Is it this request's turn? Counts it."""
        if self.times <= 0 or self.method not in ("", method) or self.path not in path:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True
