"""Names, limits and small readings of Mailchimp's Marketing API 3.0, and in one place what is only assumed of it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import md5
from typing import Any, Final, TypeAlias, TypeVar

from syncer.connectors.base import Misconfigured

Member: TypeAlias = Mapping[str, Any]
Item = TypeVar("Item")

DATA_CENTRE: Final = re.compile(r"[a-z]{2,4}[0-9]{1,3}")
LIST_ID: Final = re.compile(r"[0-9A-Za-z]{1,40}")
CONTACT_ID: Final = re.compile(r"[0-9A-Za-z]{1,64}")
HOOK_ID: Final = re.compile(r"[0-9A-Za-z]{1,40}")
BATCH: Final = 500
OVERLAP: Final = timedelta(minutes=5, seconds=2)
"""ENGINE.md 2: at least five minutes, and twice the granularity of Mailchimp's stamps, a second."""
ARCHIVED: Final = "archived"
MEMBER_FIELDS: Final = (
    "id",
    "contact_id",
    "email_address",
    "status",
    "merge_fields",
    "language",
    "vip",
    "tags",
    "tags_count",
    "last_changed",
)
NO_BOOK: Final = "This is not the id of a Mailchimp audience. Choose the audience again."


@dataclass(frozen=True)
class Assumed:
    """What no primary source says (README.md tells the sources of each). `update_in_batches`: a batch with
    update_existing takes members without a status, and leaves theirs alone. `batch_tags`: a batch takes the tags of new
    members. `tags_shown`: so many tags at most stand in a member; all of them are asked for apart. `page`: so many rows
    are asked for at once."""

    update_in_batches: bool = True
    batch_tags: bool = True
    tags_shown: int = 50
    page: int = 1000


ASSUMED: Final = Assumed()


def data_centre(api_key: str) -> str:
    """From the end of an API key. Raises Misconfigured; nothing else of a key can lead us to another host."""
    key, _, found = api_key.strip().rpartition("-")
    if not key or DATA_CENTRE.fullmatch(found) is None:
        raise Misconfigured(
            "This is not a whole Mailchimp API key: it ends with a hyphen and the data centre, as in ...-us6. Copy it "
            "again from Account > Extras > API keys."
        )
    return found


def hash_of(email: str) -> str:
    """Mailchimp's own name for an address in an audience: MD5 of it in small letters."""
    return md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()


def checked_list(book: str) -> str:
    if LIST_ID.fullmatch(book) is None:
        raise Misconfigured(NO_BOOK)
    return book


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def moment(value: Any) -> datetime | None:
    """One of Mailchimp's own stamps."""
    try:
        found = datetime.fromisoformat(text(value))
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else None


def stamp(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def http_date(value: str) -> datetime | None:
    """The server's own clock (RFC 9110 6.6.1)."""
    try:
        return parsedate_to_datetime(value).astimezone(UTC)
    except (ValueError, TypeError):
        return None


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
