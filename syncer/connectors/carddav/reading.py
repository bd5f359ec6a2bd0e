"""Cards of one address book: listed, fetched, understood."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syncer.connectors.base import Misconfigured, Observed, Transient
from syncer.connectors.carddav import dav as wire
from syncer.connectors.carddav import fields
from syncer.connectors.carddav.card import Card, Unreadable, parse
from syncer.connectors.carddav.dav import Dav, Member, Multistatus, quoted
from syncer.connectors.carddav.errors import Act, Meaning, NoSync, error, meaning
from syncer.connectors.http import retry_after

BATCH = 100
MAX_ROUNDS = 1000
ADDRESS_BOOK = "{urn:ietf:params:xml:ns:carddav}addressbook"
ADDRESS_DATA = "{urn:ietf:params:xml:ns:carddav}address-data"
ETAGS = "etags:"
"""Begins the token that we make ourselves where the server has no sync-collection: a digest of all etags. Alone it is
that of a book where they do not show an edit; the next delta then finds it expired."""
GROUP = "This card is a group of contacts, not a contact."


@dataclass(frozen=True)
class Fetched:
    """What the server says about one card: its text, or that it is gone, or why it cannot be had."""

    octets: bytes = b""
    etag: str = ""
    gone: bool = False
    problem: str = ""

    def card(self) -> Card:
        """Raises Unreadable."""
        if self.problem != "":
            raise Unreadable(self.problem)
        return parse(self.octets)


@dataclass(frozen=True)
class Listing:
    """Addresses of cards, true where the card is there and false where it was removed; `token` is where the next
    listing starts; `truncated`: the server had more to say."""

    members: Mapping[str, bool]
    token: str
    truncated: bool


def is_group(card: Card) -> bool:
    kinds = (card.first("KIND"), card.first("X-ADDRESSBOOKSERVER-KIND"))
    return any(line is not None and line.value.strip().lower() == "group" for line in kinds)


def observe(href: str, fetched: Fetched, names: Sequence[str] = ()) -> Observed:
    try:
        card = fetched.card()
        problem = GROUP if is_group(card) else ""
    except Unreadable as trouble:
        problem = str(trouble)
    if problem != "":
        return Observed(href, {}, fetched.etag, problem=problem)
    return Observed(href, fields.read(card, names), fetched.etag)


class Reader:
    def __init__(self, dav: Dav, book: str) -> None:
        self.dav, self.book = dav, book

    def listing(self, token: str) -> Listing:
        """One answer of sync-collection. Raises CursorExpired, NoSync."""
        reply = self.dav.ask("REPORT", self.dav.origin + self.book, wire.sync_collection(token), "0")
        found = meaning(Act.SYNC, reply.status, wire.conditions(reply))
        if found is Meaning.EXPIRED and token == "":
            found = Meaning.UNCLEAR
        if found is not Meaning.OK:
            raise error(found, self.dav.host, reply.status, retry_after(reply))
        return self._listed(wire.parse(reply))

    def _listed(self, answer: Multistatus) -> Listing:
        if answer.token == "":
            raise Transient(f"{self.dav.host} gave a list of changes without saying where it ends. We try again later.")
        truncated = any(member.status == 507 for member in answer.members)
        members: dict[str, bool] = {}
        for member in answer.members:
            if member.status == 507 or self._is_at_book(member):
                continue
            gone = meaning(Act.TOMBSTONE, member.status) is Meaning.GONE
            if gone or member.may_be_card:
                # What one answer calls both removed and there is looked at.
                members[self._own(member)] = members.get(member.href, False) or not gone
        return Listing(members, answer.token, truncated)

    def _is_at_book(self, member: Member) -> bool:
        return member.href.rstrip("/") == self.book.rstrip("/")

    def _is_book(self, member: Member) -> bool:
        return self._is_at_book(member) and member.is_a(ADDRESS_BOOK)

    def _own(self, member: Member) -> str:
        if not member.href.startswith(self.book) or member.href == self.book:
            raise Transient(f"{self.dav.host} listed a card outside the address book, so the list is not believed.")
        return member.href

    def whole_listing(self, token: str) -> Listing:
        """All that a truncating server has to say, round by round. Raises CursorExpired, NoSync."""
        found = self.listing(token)
        for _ in range(MAX_ROUNDS):
            if not found.truncated:
                return found
            more = self.listing(found.token)
            if more.token == found.token:
                break
            found = Listing({**found.members, **more.members}, more.token, more.truncated)
        raise Transient(f"{self.dav.host} does not come to the end of its list. We try again later.")

    def etag_listing(self) -> Listing:
        """For servers without sync-collection: what is there now, and a digest of it as token. Raises Transient where
        the answer does not list the whole book."""
        body = wire.propfind("d:getetag", "d:getcontenttype", "d:resourcetype")
        answer = self.dav.multistatus(Act.BOOK, "PROPFIND", self.book, body, "1")
        itself = [member for member in answer.members if self._is_at_book(member)]
        if any(member.status == 507 for member in answer.members):
            raise Transient(f"{self.dav.host} has more cards than it can list. We try again later.")
        if any(member.withheld.get("{DAV:}resourcetype") == 403 for member in itself):
            raise error(Meaning.FORBIDDEN, self.dav.host, 403)
        if not any(self._is_book(member) for member in itself):
            raise Transient(f"{self.dav.host} did not list the address book. We try again later.")
        cards = {
            self._own(member): member.etag for member in answer.members if member not in itself and member.may_be_card
        }
        return Listing(dict.fromkeys(cards, True), _digest(cards), False)

    def full_listing(self) -> Listing:
        try:
            return self.whole_listing("")
        except NoSync:
            return self.etag_listing()

    def fetch(self, hrefs: Sequence[str], batch: int = BATCH) -> dict[str, Fetched]:
        """Each of these cards as it is now. One is gone only if the book answers and a GET of the card says so."""
        found: dict[str, Fetched] = {}
        for start in range(0, len(hrefs), batch):
            asked = hrefs[start : start + batch]
            answered = self._multiget(asked)
            found |= {href: answered[href] if href in answered else self._get(href) for href in asked}
        return found

    def _multiget(self, hrefs: Sequence[str]) -> dict[str, Fetched]:
        """Without those that must be asked for one by one."""
        reply = self.dav.ask("REPORT", self.dav.origin + self.book, wire.multiget(hrefs), "1")
        if meaning(Act.BOOK, reply.status) is Meaning.MISSING:
            # sabre/dav 1.8 says 404 for the whole if one card is missing, and any server does if the book is.
            self._book_is_there()
            return {}
        self.dav.check(Act.BOOK, reply)
        found = {}
        for member in wire.parse(reply).members:
            data = member.text(ADDRESS_DATA)
            if data != "":
                found[member.href] = Fetched(data.encode(), member.etag)
            elif member.status not in (0, 200, 404, 410):
                found[member.href] = Fetched(problem=_withheld(member.status))
        return found

    def _book_is_there(self) -> None:
        answer = self.dav.multistatus(Act.BOOK, "PROPFIND", self.book, wire.propfind("d:resourcetype"), "0")
        if not any(self._is_book(member) for member in answer.members):
            raise Misconfigured(f"{self.dav.host} has no address book at this address: choose the address book again.")

    def _get(self, href: str) -> Fetched:
        reply = self.dav.get(href)
        found = meaning(Act.CARD, reply.status)
        if found is Meaning.GONE and not self.dav.came_from(reply, href):
            # A redirect led elsewhere, and that is what is not there.
            found = Meaning.UNCLEAR
        if found is Meaning.OK:
            return Fetched(reply.body, quoted(reply.headers.get("etag", "").strip()))
        if found is Meaning.GONE:
            return Fetched(gone=True)
        if found in (Meaning.AUTH, Meaning.SLOW_DOWN) or reply.status in (502, 504):
            raise error(found, self.dav.host, reply.status, retry_after(reply))
        return Fetched(problem=_withheld(reply.status))

    def search(self, prop: str, equals: str | None, data: Sequence[str] = ()) -> list[tuple[str, Fetched]]:
        """Cards that have this property, or this text in it. Raises Transient where the answer is cut short."""
        body = wire.query(prop, equals, data)
        answer = self.dav.multistatus(Act.BOOK, "REPORT", self.book, body, "1")
        if any(member.status == 507 for member in answer.members):
            raise Transient(f"{self.dav.host} found more than it can list. We try again later.")
        return [
            (self._own(member), Fetched(member.text(ADDRESS_DATA).encode(), member.etag))
            for member in answer.members
            if member.text(ADDRESS_DATA) != ""
        ]


def _digest(etags: Mapping[str, str]) -> str:
    if "" in etags.values():
        return ETAGS
    text = "\n".join(f"{href} {etag}" for href, etag in sorted(etags.items()))
    return ETAGS + hashlib.sha256(text.encode()).hexdigest()


def _withheld(status: int) -> str:
    return f"The server would not give this card (status {status})."
