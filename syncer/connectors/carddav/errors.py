"""The closed list of answers and what each means; what is not on it means nothing but "try later".

A row is (act, status, precondition element, meaning); "" stands for any or no precondition. Sources: RFC 4918 (WebDAV
statuses), RFC 6578 3.2 and 3.8 (valid-sync-token), RFC 6352 6.3.2.1 (preconditions of PUT) and RFC 6585 (429); a server
is named where it was measured to differ. Nothing makes a contact gone but a tombstone of the feed, and 404 or 410 to a
GET of that one card while its address book answers.
"""

from enum import StrEnum

from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    CursorExpired,
    Misconfigured,
    RateLimited,
    Transient,
)


class Act(StrEnum):
    CARD = "card"  # GET of one card
    BOOK = "book"  # PROPFIND or REPORT on a book or above it
    SYNC = "sync"  # REPORT sync-collection
    TOMBSTONE = "tombstone"  # a response of its own status in a sync-collection answer
    CREATE = "create"  # PUT with If-None-Match: *
    UPDATE = "update"  # PUT with If-Match


class Meaning(StrEnum):
    OK = "ok"
    GONE = "gone"
    MISSING = "missing"
    EXPIRED = "expired"
    NO_SYNC = "no_sync"
    AUTH = "auth"
    FORBIDDEN = "forbidden"
    STALE = "stale"
    REFUSED = "refused"
    SLOW_DOWN = "slow_down"
    NOT_NOW = "not_now"
    UNCLEAR = "unclear"


Row = tuple[Act, int, str, Meaning]
READS = (Act.CARD, Act.BOOK, Act.SYNC)
WRITES = (Act.CREATE, Act.UPDATE)
REFUSALS = (
    "valid-address-data",
    "supported-address-data",
    "supported-address-data-conversion",
    "max-resource-size",
    "no-uid-conflict",
    "quota-not-exceeded",
    "sufficient-disk-space",
)
CLOSED_LIST: tuple[Row, ...] = (
    (Act.CARD, 200, "", Meaning.OK),
    (Act.CARD, 404, "", Meaning.GONE),
    (Act.CARD, 410, "", Meaning.GONE),
    (Act.TOMBSTONE, 404, "", Meaning.GONE),  # RFC 6578 3.5.2
    (Act.BOOK, 207, "", Meaning.OK),
    (Act.SYNC, 207, "", Meaning.OK),
    (Act.BOOK, 404, "", Meaning.MISSING),
    (Act.BOOK, 410, "", Meaning.MISSING),
    (Act.SYNC, 404, "", Meaning.MISSING),
    (Act.SYNC, 403, "valid-sync-token", Meaning.EXPIRED),  # Radicale, newer sabre/dav
    (Act.SYNC, 412, "valid-sync-token", Meaning.EXPIRED),  # Xandikos
    (Act.SYNC, 409, "", Meaning.EXPIRED),
    (Act.SYNC, 410, "", Meaning.EXPIRED),
    (Act.SYNC, 403, "supported-report", Meaning.NO_SYNC),  # sabre/dav 1.8
    (Act.SYNC, 405, "", Meaning.NO_SYNC),
    (Act.SYNC, 501, "", Meaning.NO_SYNC),
    *(
        (act, status, "", meaning)
        for act in READS
        for status, meaning in ((401, Meaning.AUTH), (403, Meaning.FORBIDDEN))
    ),
    *((act, status, "", Meaning.OK) for act in WRITES for status in (200, 201, 204)),
    *((act, 401, "", Meaning.AUTH) for act in WRITES),
    *((act, status, "", Meaning.REFUSED) for act in WRITES for status in (400, 403, 405, 409, 413, 415, 507)),
    *((act, status, name, Meaning.REFUSED) for act in WRITES for status in (403, 409, 412) for name in REFUSALS),
    *((act, 412, "", Meaning.STALE) for act in WRITES),
    (Act.CREATE, 404, "", Meaning.REFUSED),
    (Act.UPDATE, 404, "", Meaning.STALE),
    (Act.UPDATE, 410, "", Meaning.STALE),
    *((act, status, "", Meaning.NOT_NOW) for act in WRITES for status in (423, 503)),
    *((act, 429, "", Meaning.SLOW_DOWN) for act in (*READS, *WRITES)),
    *((act, 503, "", Meaning.SLOW_DOWN) for act in READS),
)


def meaning(act: Act, status: int, conditions: frozenset[str] = frozenset()) -> Meaning:
    """A row with a precondition goes before one without."""
    rows = [row for row in CLOSED_LIST if row[0] == act and row[1] == status and (row[2] in conditions or row[2] == "")]
    rows.sort(key=lambda row: row[2] == "")
    return rows[0][3] if len(rows) > 0 else Meaning.UNCLEAR


class NotDav(Transient):
    """The answer is no WebDAV: HTML, a body cut short, XML with a document type."""


class Elsewhere(NotDav):
    """The answer points to another host."""


class NoSync(ConnectorError):
    """The server has no sync-collection report."""


def error(found: Meaning, host: str, status: int, retry_after: float | None = None) -> ConnectorError:
    """The error for a reading that did not go well; the text is for people."""
    match found:
        case Meaning.MISSING:
            return Misconfigured(
                f"{host} has nothing at this address: check the address and choose the address book again."
            )
        case Meaning.EXPIRED:
            return CursorExpired(f"{host} does not remember our last sync; the address book is read anew.")
        case Meaning.NO_SYNC:
            return NoSync(f"{host} cannot report changes.")
        case Meaning.AUTH:
            return AuthFailed(f"{host} does not accept the user name and password: enter them again.")
        case Meaning.FORBIDDEN:
            return Misconfigured(f"{host} does not let this user read the address book: ask its owner to share it.")
        case Meaning.SLOW_DOWN:
            return RateLimited(f"{host} asks us to slow down.", retry_after)
        case _:
            return Transient(f"{host} answered with status {status}. We try again later.")
