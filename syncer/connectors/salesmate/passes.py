"""Passes over all contacts: full ones by id, delta ones by time of change, newest first (README.md, 3).

No time is ever written into a search, so no time zone has to be guessed: a delta reads from the newest change down to
ground that the last pass covered. "Covered" is judged by the server's own stamps, less an overlap.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from syncer.connectors.base import CursorExpired, Field, Page, Transient
from syncer.connectors.salesmate import wire
from syncer.connectors.salesmate.reader import Reader, deleted, displaying
from syncer.connectors.salesmate.wire import OVERLAP, Rows

VERSION = 1
BIN_PAGES = 40  # of one delta; what lies deeper is found by the full passes
EXPIRED = "The bookmark of the last sync cannot be used. All contacts are read again; nothing is changed by that."
CUT_SHORT = "Salesmate's list of changed contacts ended too early. It is read again later."


@dataclass(frozen=True)
class Cursor:
    """Where a pass is. `start`: rows before the next page. `since`: up to when (Unix seconds, the server's) the last
    pass saw everything, None if that is unknown. `following`: the same for the pass after this one. `deleted`: how
    many contacts were in the bin."""

    full: bool
    start: int = 0
    since: int | None = None
    following: int | None = None
    deleted: int | None = None

    def text(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True, separators=(",", ":"))

    def finish(self) -> str:
        """The cursor of the delta pass after this one."""
        return Cursor(full=False, since=self.following, deleted=self.deleted).text()


def parse(text: str) -> Cursor:
    """An empty cursor starts a full pass. Raises CursorExpired for one that is not ours."""
    if not text:
        return Cursor(full=True)
    try:
        data = json.loads(text)
        if data.pop("version") != VERSION or not isinstance(data["full"], bool):
            raise ValueError
        numbers = [data[name] for name in ("start", "since", "following", "deleted")]
        if not all(number is None or type(number) is int for number in numbers) or data["start"] is None:
            raise ValueError
        return Cursor(**data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CursorExpired(EXPIRED) from None


@dataclass(frozen=True)
class Bin:
    """What the list of deleted contacts says: their ids, how many there are, and the server's time before."""

    ids: Sequence[str]
    total: int | None
    server_time: int | None


def next_page(reader: Reader, cursor: Cursor, asked: Sequence[Field]) -> Page:
    gone: Sequence[str] = ()
    begun: int | None = None
    if cursor.start == 0:
        found = read_bin(reader, cursor)
        gone, begun = found.ids, found.server_time
        cursor = replace(cursor, deleted=found.total)
    rows = live_rows(reader, cursor, asked)
    if cursor.start == 0:
        cursor = replace(cursor, following=latest(begun, *map(changed_at, rows.rows)))
    return page(reader, cursor, rows, gone, asked)


def live_rows(reader: Reader, cursor: Cursor, asked: Sequence[Field]) -> Rows:
    sort, order = ("id", "asc") if cursor.full else ("lastModifiedAt", "desc")
    return reader.client.search(displaying(asked), [reader.client.live()], sort, order, cursor.start)


def page(reader: Reader, cursor: Cursor, rows: Rows, gone: Sequence[str], asked: Sequence[Field]) -> Page:
    records = [reader.observe(row, asked) for row in rows.rows if not deleted(row)]
    ids = {record.remote_id for record in records}
    binned = [reader.remote_id(row) for row in rows.rows if deleted(row)]
    ahead = replace(cursor, start=cursor.start + len(rows.rows))
    done = at_end(rows, ahead.start)
    if done and not cursor.full and rows.total is not None and ahead.start < rows.total:
        raise Transient(CUT_SHORT)
    return Page(
        records,
        cursor=ahead.finish() if done else ahead.text(),
        done=done,
        gone=[remote_id for remote_id in dict.fromkeys((*gone, *binned)) if remote_id not in ids],
        total=rows.total,
        stop_if_known=not cursor.full and covered(rows.rows, cursor.since),
        finish=ahead.finish(),
    )


def at_end(rows: Rows, reached: int) -> bool:
    """A page may be shorter than asked for; only the count, or an empty page, ends a listing."""
    if rows.total is None:
        return len(rows.rows) < wire.PAGE
    return not rows.rows or reached >= rows.total


def covered(rows: Sequence[Mapping[str, Any]], since: int | None) -> bool:
    """Does this page, sorted newest first, reach what the last pass saw? Not where a row has no usable stamp."""
    stamps = [changed_at(row) for row in rows]
    known = [stamp for stamp in stamps if stamp is not None]
    return since is not None and bool(known) and len(known) == len(stamps) and min(known) < since - OVERLAP


def read_bin(reader: Reader, cursor: Cursor) -> Bin:
    """The deleted contacts, newest first: one page for a full pass, and for a delta as deep as it takes.

    Deeper while pages hold nothing but new deletions, and while the bin grew by more than the new ones found: whether
    a deletion moves the time of change is not known, so the new ones may lie anywhere.
    """
    ids: list[str] = []
    fresh, start, pages = 0, 0, 0
    first: Rows | None = None
    while True:
        rows = bin_rows(reader, start)
        first, pages = first or rows, pages + 1
        binned = [row for row in rows.rows if deleted(row)]
        ids += [reader.remote_id(row) for row in binned]
        new = [row for row in binned if is_new(row, cursor.since)]
        fresh, start = fresh + len(new), start + len(rows.rows)
        grown = (first.total or 0) - cursor.deleted if cursor.deleted is not None else 0
        deeper = len(new) == len(rows.rows) or grown > fresh
        if cursor.full or not deeper or not binned or at_end(rows, start) or pages == BIN_PAGES:
            return Bin(ids, first.total, first.server_time)


def bin_rows(reader: Reader, start: int) -> Rows:
    extra = reader.client.assumed.deletion_stamp
    return reader.client.search([extra] if extra else [], [reader.client.binned()], start=start)


def is_new(row: Mapping[str, Any], since: int | None) -> bool:
    moment = latest(changed_at(row), wire.stamp(wire.member(row, "deletedAt")[1]))
    return since is None or moment is None or moment >= since - OVERLAP


def changed_at(row: Mapping[str, Any]) -> int | None:
    return wire.stamp(wire.member(row, "lastModifiedAt")[1])


def latest(*moments: int | None) -> int | None:
    return max((moment for moment in moments if moment is not None), default=None)
