"""Passes over all contacts: full ones by id, delta ones by time of change, newest first (README.md, 3).

No time is ever written into a search, so no time zone has to be guessed: a delta reads from the newest change down to
ground that the last pass covered. "Covered" is judged by the server's own stamps, less an overlap. Where the list moved
in a way that can hide a change (`joins`, `went_back`) the cursor has expired, and a full pass tells.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from syncer.connectors.base import CursorExpired, Field, Page, Transient
from syncer.connectors.salesmate import wire
from syncer.connectors.salesmate.reader import Reader, deleted, displaying
from syncer.connectors.salesmate.wire import OVERLAP, REACH_BACK, Rows

VERSION = 2
BIN_PAGES = 40  # of one delta; what lies deeper is found by the full passes
EXPIRED = "The bookmark of the last sync cannot be used. All contacts are read again; nothing is changed by that."
CUT_SHORT = "Salesmate's list of changed contacts ended too early. It is read again later."
MOVED = "Salesmate's list of changed contacts moved while it was read. All contacts are read again; nothing is changed."
WENT_BACK = "Salesmate's clock went back, so its times of change tell nothing. All contacts are read again."


@dataclass(frozen=True)
class Cursor:
    """Where a pass is; times are Unix seconds, the server's. `start`: rows before the next page. `since`: up to when
    the last pass saw everything, None if that is unknown. `following`: the same for the pass after this one.
    `deleted`: how many contacts were in the bin. `newest`: the newest stamp when a pass was last begun, `clock`: the
    Date header then. `tail`: the ids at the end of the last page, `tail_stamp`: the stamp of its last row."""

    full: bool
    start: int = 0
    since: int | None = None
    following: int | None = None
    deleted: int | None = None
    newest: int | None = None
    clock: int | None = None
    tail: tuple[str, ...] = ()
    tail_stamp: int | None = None

    def text(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True, separators=(",", ":"))

    def finish(self) -> str:
        """The cursor of the delta pass after this one."""
        mark = Cursor(False, since=self.following, deleted=self.deleted, newest=self.newest, clock=self.clock)
        return mark.text()


NUMBERS = ("start", "since", "following", "deleted", "newest", "clock", "tail_stamp")


def parse(text: str) -> Cursor:
    """An empty cursor starts a full pass. Raises CursorExpired for one that is not ours."""
    if not text:
        return Cursor(full=True)
    try:
        data = json.loads(text)
        if data.pop("version") != VERSION or not isinstance(data["full"], bool):
            raise ValueError
        numbers = [data[name] for name in NUMBERS]
        if not all(number is None or type(number) is int for number in numbers) or data["start"] is None:
            raise ValueError
        if not isinstance(data["tail"], list) or not all(isinstance(remote_id, str) for remote_id in data["tail"]):
            raise ValueError
        return Cursor(**{**data, "tail": tuple(data["tail"])})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CursorExpired(EXPIRED) from None


@dataclass(frozen=True)
class Bin:
    """What the list of deleted contacts says: their ids, how many there are, and the server's time before."""

    ids: Sequence[str]
    total: int | None
    server_time: int | None


def next_page(reader: Reader, cursor: Cursor, asked: Sequence[Field]) -> Page:
    """Raises CursorExpired where a delta could miss what only a full pass would show."""
    if cursor.start > 0:
        return page(reader, cursor, live_rows(reader, cursor, asked), (), asked)
    found = read_bin(reader, cursor)
    if not cursor.full and went_back(cursor, found.server_time):
        raise CursorExpired(WENT_BACK)
    rows = live_rows(reader, cursor, asked)
    return page(reader, begun(cursor, found, rows), rows, found.ids, asked)


def went_back(cursor: Cursor, server_time: int | None) -> bool:
    """Changes made since the last pass may then have stamps from before it."""
    return cursor.clock is not None and server_time is not None and server_time < cursor.clock - OVERLAP


def begun(cursor: Cursor, found: Bin, rows: Rows) -> Cursor:
    """The cursor once the first page is here: down to where this pass has to read, and where the next one will.

    The time of the pass before comes from the Date header, whose clock may be ahead of that of the stamps. So as soon
    as a stamp is newer than any then, no page ends the pass that does not reach the newest one of then.
    """
    newest = latest(*map(changed_at, rows.rows))
    since = cursor.since
    if since is not None and newest is not None and cursor.newest is not None and newest > cursor.newest:
        since = min(since, cursor.newest + OVERLAP + 1)
    following = latest(found.server_time, newest, later(cursor, found.server_time))
    clock = latest(found.server_time, cursor.clock)
    return replace(cursor, since=since, following=following, deleted=found.total, newest=newest, clock=clock)


def later(cursor: Cursor, server_time: int | None) -> int | None:
    """`since`, and the time that went by: on it goes also where the stamps are ahead of the Date header."""
    if cursor.since is None or cursor.clock is None or server_time is None:
        return None
    return cursor.since + server_time - cursor.clock


def live_rows(reader: Reader, cursor: Cursor, asked: Sequence[Field]) -> Rows:
    sort, order = ("id", "asc") if cursor.full else ("lastModifiedAt", "desc")
    return reader.client.search(displaying(asked), [reader.client.live()], sort, order, from_row(cursor))


def from_row(cursor: Cursor) -> int:
    """A delta page begins with the end of the one before."""
    return cursor.start - len(cursor.tail)


def page(reader: Reader, cursor: Cursor, rows: Rows, gone: Sequence[str], asked: Sequence[Field]) -> Page:
    if rows.rows and cursor.tail and not joins(reader, cursor, rows.rows):
        raise CursorExpired(MOVED)
    fresh = [row for row in rows.rows if reader.remote_id(row) not in cursor.tail]
    records = [reader.observe(row, asked) for row in fresh if not deleted(row)]
    ids = {record.remote_id for record in records}
    binned = [reader.remote_id(row) for row in fresh if deleted(row)]
    reached = from_row(cursor) + len(rows.rows)
    ahead = moved_on(reader, cursor, rows.rows, reached)
    done = at_end(rows, reached) or not fresh
    if done and not cursor.full and rows.total is not None and reached < rows.total:
        raise Transient(CUT_SHORT)
    known_ground = not cursor.full and covered(rows.rows, cursor.since)
    if done and not known_ground and not begins_with(reader, rows.rows, cursor.tail):
        raise CursorExpired(MOVED)
    return Page(
        records,
        cursor=ahead.finish() if done else ahead.text(),
        done=done,
        gone=[remote_id for remote_id in dict.fromkeys((*gone, *binned)) if remote_id not in ids],
        total=rows.total,
        stop_if_known=known_ground,
        finish=ahead.finish(),
    )


def moved_on(reader: Reader, cursor: Cursor, rows: Sequence[Mapping[str, Any]], reached: int) -> Cursor:
    if cursor.full or not rows:
        return replace(cursor, start=reached)
    repeated = min(REACH_BACK, len(rows) // 2)
    tail = tuple(reader.remote_id(row) for row in rows[len(rows) - repeated :])
    return replace(cursor, start=reached, tail=tail, tail_stamp=changed_at(rows[-1]))


def begins_with(reader: Reader, rows: Sequence[Mapping[str, Any]], tail: Sequence[str]) -> bool:
    """A last page that began too early ended too early as well, and no further one tells."""
    return [reader.remote_id(row) for row in rows[: len(tail)]] == list(tail)


def joins(reader: Reader, cursor: Cursor, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Does this page go on where the last one ended, with no row between the two?

    Rows of one second come in any order, and in another one each time. So either the page begins above the second with
    which the last one ended, and shows all of it, or it repeats the end of the last one in the same order. (Rows may
    have left there meanwhile: edited ones are at the top now, deleted ones in the bin.)
    """
    first = changed_at(rows[0])
    if first is not None and cursor.tail_stamp is not None and first > cursor.tail_stamp:
        return True
    shown = [remote_id for remote_id in map(reader.remote_id, rows) if remote_id in cursor.tail]
    return bool(shown) and shown == [remote_id for remote_id in cursor.tail if remote_id in shown]


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
