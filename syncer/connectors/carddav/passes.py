"""A pass over an address book: where it stands, and its pages.

A cursor is small JSON. {"token"}: the next delta starts here. {"start", "token", "after"}: within a pass that started
at `start` ("": a full one); `token` is the one that its first listing ended with, `after` the last address done. A
pass that goes on in another process lists again from `start` and still ends with that first token, so whatever changed
between the listings is seen by the next delta.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from syncer.connectors.base import CursorExpired, Page
from syncer.connectors.carddav.errors import Meaning, NoSync, error
from syncer.connectors.carddav.reading import ETAGS, GROUP, Listing, Reader, observe

PAGE = 200


@dataclass(frozen=True)
class Position:
    start: str = ""
    token: str = ""
    after: str = ""

    def cursor(self) -> str:
        return json.dumps({"start": self.start, "token": self.token, "after": self.after})


def position(cursor: str) -> Position:
    """Raises CursorExpired for what is no cursor of ours."""
    if cursor == "":
        return Position()
    try:
        data = json.loads(cursor)
        texts = {name: data[name] for name in ("start", "token", "after") if name in data}
    except (ValueError, TypeError):
        raise CursorExpired("The place where the last sync ended is not readable: the book is read anew.") from None
    if "token" not in texts or not all(isinstance(text, str) for text in texts.values()):
        raise CursorExpired("The place where the last sync ended is not readable: the book is read anew.")
    return Position(**texts) if "after" in texts else Position(start=texts["token"])


def resting(token: str) -> str:
    return json.dumps({"token": token})


class Passes:
    """Keeps the listing of the pass under way, so that its pages need not list again."""

    def __init__(self) -> None:
        self._kept: tuple[tuple[str, str, str], Listing] | None = None

    def page(self, reader: Reader, cursor: str, names: Sequence[str]) -> Page:
        at = position(cursor)
        listing = self._listing(reader, at)
        token = at.token if at.token != "" else listing.token
        rest = sorted(href for href in listing.members if href > at.after)
        asked = rest[:PAGE]
        fetched = reader.fetch([href for href in asked if listing.members[href]])
        observed = [observe(href, found, names) for href, found in fetched.items() if not found.gone]
        records = [one for one in observed if one.problem != GROUP]
        full = at.start == ""
        gone = [href for href in asked if not (full or listing.members[href])]
        gone += [href for href, found in fetched.items() if found.gone]
        if len(rest) > PAGE:
            return Page(records, Position(at.start, token, asked[-1]).cursor(), False, gone)
        at_rest, whole = resting(token), not listing.truncated
        return Page(records, at_rest, whole, gone, complete=full and whole, finish=at_rest if whole else "")

    def _listing(self, reader: Reader, at: Position) -> Listing:
        if self._kept is not None and at.after != "" and self._kept[0] == (reader.book, at.start, at.token):
            return self._kept[1]
        listing = self._asked(reader, at)
        self._kept = ((reader.book, at.start, at.token if at.token != "" else listing.token), listing)
        return listing

    def _asked(self, reader: Reader, at: Position) -> Listing:
        if at.start == "":
            return reader.full_listing()
        if at.start.startswith(ETAGS):
            if at.start == ETAGS or reader.etag_listing().token != at.start:
                raise error(Meaning.EXPIRED, reader.dav.host, 207)
            return Listing({}, at.start, False)
        try:
            # A resumed pass must cover all that its first listing did, however the server cuts this one.
            return reader.whole_listing(at.start) if at.after != "" else reader.listing(at.start)
        except NoSync as lost:
            raise error(Meaning.EXPIRED, reader.dav.host, 207) from lost
