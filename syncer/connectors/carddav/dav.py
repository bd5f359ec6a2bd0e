"""WebDAV on the wire: bodies, multistatus answers and addresses (RFC 4918, 3253, 6352, 6578). Knows no contacts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit
from xml.etree import ElementTree

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from syncer.connectors.carddav.errors import Act, Elsewhere, Meaning, NotDav, error, meaning
from syncer.connectors.carddav.login import Login
from syncer.connectors.http import Http, Reply, retry_after

DAV, CARDDAV = "DAV:", "urn:ietf:params:xml:ns:carddav"
ElementTree.register_namespace("d", DAV)
ElementTree.register_namespace("c", CARDDAV)
# Real servers put raw control characters of a card into XML, where they are not allowed (XML 1.0 2.2).
NOT_XML = bytes([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20)])
SEGMENT_SAFE = "@:!$&'()*+,;=~"
XML_TYPE = "application/xml; charset=utf-8"


@dataclass(frozen=True)
class Member:
    """One response of a multistatus. `href` is a normalised path; `status` is its own, 0 where it has none; `props` are
    those that the server gave (status 2xx), `withheld` the others with their statuses."""

    href: str
    status: int
    props: Mapping[str, ElementTree.Element]
    withheld: Mapping[str, int]

    def text(self, prop: str) -> str:
        found = self.props.get(prop)
        return "" if found is None or found.text is None else found.text

    @property
    def etag(self) -> str:
        return quoted(self.text("{DAV:}getetag").strip())

    def is_a(self, kind: str) -> bool:
        found = self.props.get("{DAV:}resourcetype")
        return found is not None and found.find(kind) is not None

    @property
    def may_be_card(self) -> bool:
        """Not a collection, and not said to be something else than a vCard."""
        media = self.text("{DAV:}getcontenttype").partition(";")[0].strip().lower()
        return not self.is_a("{DAV:}collection") and media in CARD_TYPES


CARD_TYPES = frozenset({"", "text/vcard", "text/x-vcard", "text/directory", "application/octet-stream", "text/plain"})


@dataclass(frozen=True)
class Multistatus:
    members: Sequence[Member]
    token: str
    url: str


UNASKED = (207, 403)
"""How a server answers that has CardDAV here and did not say how to log in."""


class Dav:
    """Requests to one host. `origin` is scheme and host ("https://dav.example.com"); paths begin with a slash. With
    `login`, no request goes out before it is decided how to log in."""

    def __init__(self, http: Http, origin: str, login: Login | None = None) -> None:
        self.http, self.origin, self._login = http, origin, login

    @property
    def host(self) -> str:
        return urlsplit(self.origin).netloc

    def ask(self, method: str, url: str, body: bytes, depth: str) -> Reply:
        self._settle(urlsplit(url).path)
        return self._asked(method, url, body, depth)

    def _asked(self, method: str, url: str, body: bytes, depth: str) -> Reply:
        headers = {"Content-Type": XML_TYPE, "Depth": depth, "Accept": "application/xml, text/xml"}
        return self.http.read(method, url, headers=headers, data=body)

    def multistatus(self, act: Act, method: str, path: str, body: bytes, depth: str) -> Multistatus:
        reply = self.ask(method, self.origin + path, body, depth)
        self.check(act, reply)
        return parse(reply)

    def _settle(self, path: str) -> None:
        """Has the server say how to log in, where it has not yet: what it shows to nobody in particular may be less
        than what it shows to us, and is never taken for it. Raises ConnectorError."""
        if self._login is None or not self._login.undecided(self.origin):
            return
        folder = self.origin + path[: path.rfind("/") + 1]
        reply = self._asked("PROPFIND", folder, propfind("d:resourcetype"), "0")
        if self._login.undecided(self.origin):
            if reply.status not in UNASKED:
                self.check(Act.BOOK, reply)
            self._login.unasked(self.origin)

    def get(self, path: str) -> Reply:
        self._settle(path)
        return self.http.read("GET", self.origin + path, headers={"Accept": "text/vcard"})

    def put(self, path: str, octets: bytes, condition: Mapping[str, str]) -> Reply:
        self._settle(path)
        headers = {"Content-Type": "text/vcard; charset=utf-8", **condition}
        return self.http.write("PUT", self.origin + path, headers=headers, data=octets)

    def came_from(self, reply: Reply, path: str) -> bool:
        """Whether it is the answer of this very address, not of one that a redirect led to."""
        return urlsplit(reply.url).netloc == self.host and path_of(reply.url, "") == path

    def check(self, act: Act, reply: Reply) -> None:
        found = meaning(act, reply.status, conditions(reply))
        if found is not Meaning.OK:
            raise error(found, self.host, reply.status, retry_after(reply))


def quoted(etag: str) -> str:
    """Some servers leave the quotes of an entity tag out of the property; If-Match needs them (RFC 9110 8.8.3)."""
    return etag if etag == "" or etag.startswith(('"', "W/")) else f'"{etag}"'


def root_of(octets: bytes) -> ElementTree.Element | None:
    """The XML of an answer; None if it is none, or is dangerous."""
    try:
        found: ElementTree.Element = fromstring(octets.translate(None, NOT_XML), forbid_dtd=True)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError):
        return None
    return found


def conditions(reply: Reply) -> frozenset[str]:
    """The precondition elements of an error body, by local name (RFC 4918 16)."""
    if 200 <= reply.status < 300:
        return frozenset()
    root = root_of(reply.body)
    return frozenset() if root is None or root.tag != "{DAV:}error" else frozenset(local(child.tag) for child in root)


def local(tag: str) -> str:
    return tag.rpartition("}")[2]


def words(reply: Reply) -> str:
    """What the server says of a refusal, in one short line."""
    root = root_of(reply.body)
    if root is not None and root.tag == "{DAV:}error":
        texts = [" ".join((child.text or "").split()) or local(child.tag) for child in root]
        said = "; ".join(texts)
    elif "html" in reply.headers.get("content-type", "") or root is not None:
        said = ""
    else:
        said = " ".join(reply.body[:1000].decode("utf-8", "replace").split())
    clean = re.sub(r"[^\x20-\x7e\u00a0-\uffff]", "", said)[:160]
    return f"status {reply.status}" + (f": {clean}" if clean != "" else "")


def parse(reply: Reply) -> Multistatus:
    """Raises NotDav."""
    root = root_of(reply.body)
    host = urlsplit(reply.url).netloc
    if root is None or root.tag != "{DAV:}multistatus":
        raise NotDav(f"{host} did not answer as a CardDAV server does: check that the address is right.")
    members = [_member(response, reply.url) for response in root.findall("{DAV:}response")]
    return Multistatus(members, (root.findtext("{DAV:}sync-token") or "").strip(), reply.url)


def _member(response: ElementTree.Element, url: str) -> Member:
    href = response.findtext("{DAV:}href")
    if href is None:
        raise NotDav(f"{urlsplit(url).netloc} listed something without an address.")
    stats = [(_status(stat.findtext("{DAV:}status")), stat) for stat in response.findall("{DAV:}propstat")]
    props = [(status, prop) for status, stat in stats for prop in stat.findall("{DAV:}prop/*")]
    given = {prop.tag: prop for status, prop in props if status // 100 == 2}
    withheld = {prop.tag: status for status, prop in props if status // 100 != 2}
    return Member(path_of(url, href.strip()), _status(response.findtext("{DAV:}status")), given, withheld)


def _status(line: str | None) -> int:
    """0 for a line that is none."""
    found = re.search(r"\b(\d{3})\b", line or "")
    return 0 if found is None else int(found[1])


def path_of(url: str, href: str) -> str:
    """The normalised path of a href in an answer from `url`. Raises NotDav where it leaves the host: our password
    stays where the person sent it."""
    try:
        target = urlsplit(urljoin(url, href))
        same = target.hostname == urlsplit(url).hostname
    except ValueError:
        raise NotDav("The server listed an address that is none.") from None
    if not same:
        raise Elsewhere(
            f"The server points to another host ({target.hostname}): if that is right, give the account that address."
        )
    return normal(target.path)


def normal(path: str) -> str:
    """The same path for every way of percent-encoding it; raises NotDav for one that climbs with dots."""
    octets = [unquote_to_bytes(segment) for segment in path.split("/")]
    if any(segment in (b".", b"..") for segment in octets):
        raise NotDav("The server listed an address that leads elsewhere.")
    return "/".join(quote(segment, safe=SEGMENT_SAFE) for segment in octets) or "/"


def element(
    tag: str, *children: ElementTree.Element, text: str | None = None, **attributes: str
) -> ElementTree.Element:
    """`tag` is written "d:prop" or "c:filter"."""
    prefix, _, name = tag.partition(":")
    made = ElementTree.Element(f"{{{DAV if prefix == 'd' else CARDDAV}}}{name}", attributes)
    made.text = text
    made.extend(children)
    return made


def octets(root: ElementTree.Element) -> bytes:
    made: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return made


def props(*names: str) -> ElementTree.Element:
    return element("d:prop", *(element(name) for name in names))


def propfind(*names: str) -> bytes:
    return octets(element("d:propfind", props(*names)))


def sync_collection(token: str) -> bytes:
    """Never with a limit: Xandikos 0.4.10 then returns fewer members with the final token, and the rest is lost."""
    wanted = props("d:getetag", "d:getcontenttype", "d:resourcetype")
    parts = (element("d:sync-token", text=token), element("d:sync-level", text="1"), wanted)
    return octets(element("d:sync-collection", *parts))


def multiget(hrefs: Sequence[str]) -> bytes:
    listed = (element("d:href", text=href) for href in hrefs)
    return octets(element("c:addressbook-multiget", props("d:getetag", "c:address-data"), *listed))


def query(prop: str, equals: str | None, data: Sequence[str] = ()) -> bytes:
    """An addressbook-query (RFC 6352 8.6) for cards with this property, or with exactly this text in it; `data` names
    the properties to return (none: whole cards)."""
    matches = []
    if equals is not None:
        match = element("c:text-match", text=equals, collation="i;unicode-casemap")
        match.set("match-type", "equals")
        matches.append(match)
    wanted = element("c:address-data", *(element("c:prop", name=name) for name in data))
    asked = element("d:prop", element("d:getetag"), wanted)
    filtered = element("c:filter", element("c:prop-filter", *matches, name=prop))
    return octets(element("c:addressbook-query", asked, filtered))
