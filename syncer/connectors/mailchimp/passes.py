"""Passes over the members of an audience (README.md, 3).

A full pass lists everybody twice over: those whom a listing shows, then those who are archived. A delta asks for what
changed since a time, oldest first, and goes on from the newest stamp that it has seen rather than by counting rows: who
changes meanwhile moves to the end and shifts all others.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from syncer.connectors.base import CursorExpired, Observed, Page
from syncer.connectors.mailchimp import wire
from syncer.connectors.mailchimp.client import Client, Listed
from syncer.connectors.mailchimp.reader import Reader
from syncer.connectors.mailchimp.wire import OVERLAP, moment, stamp

VERSION: Final = 1
EXPIRED: Final = (
    "The bookmark of the last sync cannot be used. All contacts are read again; nothing is changed by that."
)
STEP: Final = timedelta(seconds=1)
"""Asked for a second earlier than needed: whether `since` means "at or after" is not documented."""
EVERYBODY, APART = "", wire.ARCHIVED


@dataclass(frozen=True)
class Cursor:
    """Where a pass is. `part`: who is listed, the archived ones last. `began`: the server's time at the first page, ""
    where it did not say. `newest`: the newest stamp seen. `since` of a delta: what is asked for now; `from_`: what it
    began with. `total` and `moved`: Mailchimp's counts of a full pass, and whether one changed while it was listed.
    `mixed`: archived ones were among everybody, so that they are not listed apart."""

    full: bool
    part: str = EVERYBODY
    offset: int = 0
    began: str = ""
    newest: str = ""
    since: str = ""
    from_: str = ""
    total: int = 0
    first: int = -1
    moved: bool = False
    mixed: bool = False


START: Final = Cursor(full=True)


def parse(text: str) -> Cursor:
    """Raises CursorExpired for what is no cursor of this version."""
    if text == "":
        return START
    try:
        data = json.loads(text)
        if data.pop("v") != VERSION:
            raise CursorExpired(EXPIRED)
        cursor = Cursor(**data)
        if not (cursor.full or moment(cursor.since)) or cursor.part not in (EVERYBODY, APART) or cursor.offset < 0:
            raise CursorExpired(EXPIRED)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CursorExpired(EXPIRED) from None
    return cursor


def write(cursor: Cursor) -> str:
    return json.dumps({"v": VERSION, **asdict(cursor)}, separators=(",", ":"))


def next_page(reader: Reader, book: str, cursor: Cursor, asked: Sequence[str]) -> Page:
    listed = listing(reader.client, book, cursor)
    cursor = seen(cursor, listed)
    records = [reader.observe(book, member, asked) for member in listed.members]
    following = following_full if cursor.full else following_delta
    after = following(cursor, listed, reader.client.assumed.page)
    if after is not None:
        return Page(records, write(after), done=False)
    cursor = replace(cursor, total=cursor.total + (listed.total or 0))
    if cursor.part == EVERYBODY and not cursor.mixed:
        after = replace(cursor, part=APART, offset=0, since=cursor.from_, first=-1)
        return Page(records, write(after), done=False)
    return last_page(reader, book, cursor, records)


def listing(client: Client, book: str, cursor: Cursor) -> Listed:
    status = {"status": APART} if cursor.part == APART else {}
    if cursor.full:
        # By when they joined, which does not change while we read.
        return client.members(book, {"sort_field": "timestamp_opt", "sort_dir": "ASC", **status}, cursor.offset)
    sort = {"sort_field": "last_changed", "sort_dir": "ASC"}
    return client.members(book, {"since_last_changed": cursor.since, **sort, **status}, cursor.offset)


def seen(cursor: Cursor, listed: Listed) -> Cursor:
    newest = max([cursor.newest, *(wire.text(member.get("last_changed")) for member in listed.members)])
    began = cursor.began or (stamp(listed.at) if listed.at is not None else "")
    total = listed.total if listed.total is not None else -1
    first = cursor.first if cursor.first != -1 else total
    mixed = cursor.part == EVERYBODY and any(member.get("status") == APART for member in listed.members)
    return replace(
        cursor,
        newest=newest,
        began=began,
        first=first,
        moved=cursor.moved or first != total or total < 0,
        mixed=cursor.mixed or mixed,
    )


def following_full(cursor: Cursor, listed: Listed, page: int) -> Cursor | None:
    """None at the end of this part."""
    if len(listed.members) < page:
        return None
    return replace(cursor, offset=cursor.offset + len(listed.members))


def following_delta(cursor: Cursor, listed: Listed, page: int) -> Cursor | None:
    """From the last stamp on; where a whole page bears the same one, by counting rows after all."""
    if len(listed.members) < page:
        return None
    last, since = moment(listed.members[-1].get("last_changed")), moment(cursor.since)
    if last is None or since is None or last - STEP <= since:
        return replace(cursor, offset=cursor.offset + len(listed.members))
    return replace(cursor, since=stamp(last - STEP), offset=0)


def last_page(reader: Reader, book: str, cursor: Cursor, records: Sequence[Observed]) -> Page:
    """The whole count proves a full pass, where Mailchimp's counts stood still while it was listed."""
    reader.passed(book, moment(cursor.began))
    since = next_since(cursor)
    total = cursor.total if cursor.full and not cursor.moved else None
    return Page(records, "", done=True, total=total, finish=write(Cursor(full=False, since=since, from_=since)))


def next_since(cursor: Cursor) -> str:
    """From where the next delta asks: this pass's begin by the server's clock, or the newest stamp where that lags a
    little behind it, less the overlap."""
    began, newest = moment(cursor.began), moment(cursor.newest)
    if began is None and newest is None:
        return cursor.from_ or stamp(datetime.fromisoformat("2001-01-01T00:00:00+00:00"))
    at = began or newest
    assert at is not None
    if newest is not None and at - OVERLAP < newest < at:
        at = newest
    return stamp(at - OVERLAP)
