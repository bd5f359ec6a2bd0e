"""From an address that a person typed to address books (RFC 6764 6, RFC 5397, RFC 6352 7.1.1).

The address may be the server's root, a principal, a home of address books, or one book.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from syncer.connectors.base import AuthFailed, BookInfo, Misconfigured
from syncer.connectors.carddav.dav import Dav, Member, Multistatus, normal, parse, path_of, propfind
from syncer.connectors.carddav.errors import Act, Elsewhere, Meaning, NotDav, error, meaning
from syncer.connectors.carddav.login import Login
from syncer.connectors.http import Http, Reply

PRINCIPAL, HOME = "{DAV:}current-user-principal", "{urn:ietf:params:xml:ns:carddav}addressbook-home-set"
BOOK, COLLECTION = "{urn:ietf:params:xml:ns:carddav}addressbook", "{DAV:}collection"
ASKED = ("d:current-user-principal", "c:addressbook-home-set", "d:resourcetype", "d:displayname")
WELL_KNOWN = "/.well-known/carddav"


@dataclass(frozen=True)
class Found:
    """`principal` is a path: who we are, as far as the server says (else the home or the book); `origin` is where the
    server really is."""

    origin: str
    principal: str
    books: Sequence[BookInfo]


@dataclass(frozen=True)
class Spot:
    """What one address says of itself."""

    origin: str
    member: Member
    principal: str
    homes: Sequence[str]


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def typed_address(text: str, allow_http: bool) -> str:
    """The address as a person typed it, made whole. Raises Misconfigured."""
    address = text.strip() if "://" in text else f"https://{text.strip()}"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or host == "" or any(char.isspace() for char in address):
        raise Misconfigured("The server address is not a web address: write it like https://dav.example.com/.")
    if parts.username is not None or parts.password is not None:
        raise Misconfigured(
            "Leave the user name and the password out of the server address: they have their own fields."
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and allow_http):
        raise Misconfigured("The server address must begin with https://, so that the password travels encrypted.")
    name = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{name}{'' if port in (None, default) else f':{port}'}{_path(parts.path)}"


def _path(path: str) -> str:
    try:
        return normal(path if path != "" else "/")
    except NotDav:
        raise Misconfigured("The server address must not hold dots as a folder.") from None


def discover(http: Http, address: str, login: Login | None = None) -> Found:
    """`login` is the one that `http` uses. Raises AuthFailed, Misconfigured, Transient."""
    spot = _first_spot(http, address, login)
    dav = Dav(http, spot.origin)
    homes = spot.homes
    if spot.principal != "" and len(homes) == 0:
        homes = _spot(dav, spot.principal).homes
    if spot.member.is_a(BOOK):
        books: list[BookInfo] = [_book(spot.member)]
    else:
        books = [book for home in (homes if len(homes) > 0 else [spot.member.href]) for book in _books_in(dav, home)]
    principal = spot.principal if spot.principal != "" else spot.member.href
    return Found(spot.origin, principal, tuple({book.id: book for book in books}.values()))


def _first_spot(http: Http, address: str, login: Login | None) -> Spot:
    """The typed address if it knows a principal, a home or a book, else the well-known one of its host."""
    for url in (address, origin_of(address) + WELL_KNOWN):
        try:
            reply = _ask(http, url, login)
            dav = Dav(http, origin_of(reply.url))
            if meaning(Act.BOOK, reply.status) in (Meaning.AUTH, Meaning.SLOW_DOWN):
                dav.check(Act.BOOK, reply)
            if reply.status != 207:
                continue
            spot = _spot_in(dav, parse(reply))
        except Elsewhere as problem:
            raise Misconfigured(str(problem)) from problem
        except NotDav:
            continue
        if spot.principal != "" or len(spot.homes) > 0 or spot.member.is_a(BOOK) or spot.member.is_a(COLLECTION):
            return spot
    host = urlsplit(address).netloc
    raise Misconfigured(f"No CardDAV server was found at {host}: check the server address.")


def _ask(http: Http, url: str, login: Login | None) -> Reply:
    """PROPFIND, and once more where a redirect leads: the first try may have lost its password on the way. And once
    more with a login where the server answered without asking for one."""
    reply = Dav(http, "").ask("PROPFIND", url, propfind(*ASKED), "0")
    new = urlsplit(reply.url)
    if new.scheme != urlsplit(url).scheme:
        raise Misconfigured(f"The server moved to {new.scheme}://{new.netloc}: give the account that address.")
    origin = origin_of(reply.url)
    unasked = login is not None and login.undecided(origin) and reply.status == 207
    if unasked and login is not None:
        login.unasked(origin)
    if not unasked and (reply.url == url or reply.status == 207):
        return reply
    return Dav(http, "").ask("PROPFIND", reply.url, propfind(*ASKED), "0")


def _spot(dav: Dav, path: str) -> Spot:
    try:
        return _spot_in(dav, dav.multistatus(Act.BOOK, "PROPFIND", path, propfind(*ASKED), "0"))
    except NotDav as problem:
        raise Misconfigured(str(problem)) from problem


def _spot_in(dav: Dav, found: Multistatus) -> Spot:
    if len(found.members) == 0:
        raise NotDav(f"{dav.host} says nothing about this address.")
    member = found.members[0]
    principal = member.props.get(PRINCIPAL)
    if principal is not None and principal.find("{DAV:}unauthenticated") is not None:
        raise AuthFailed(f"{dav.host} does not know who we are: check the user name and the password.")
    hrefs = {
        prop: [path_of(found.url, (href.text or "").strip()) for href in node.findall("{DAV:}href")]
        for prop, node in member.props.items()
        if prop in (PRINCIPAL, HOME)
    }
    return Spot(dav.origin, member, "".join(hrefs.get(PRINCIPAL, [])[:1]), hrefs.get(HOME, []))


def _books_in(dav: Dav, home: str) -> list[BookInfo]:
    try:
        found = dav.multistatus(Act.BOOK, "PROPFIND", home, propfind(*ASKED), "1")
    except NotDav as problem:
        raise error(Meaning.UNCLEAR, dav.host, 207) from problem
    return [_book(member) for member in found.members if member.is_a(BOOK)]


def _book(member: Member) -> BookInfo:
    path = member.href if member.href.endswith("/") else f"{member.href}/"
    name = member.text("{DAV:}displayname").strip()
    return BookInfo(path, name if name != "" else path.rstrip("/").rpartition("/")[2])
