"""What the CardDAV tests share: the servers, connectors for alice and bob, cards, and a meddler between us and a
server."""

import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

import pytest

from syncer.connectors.base import Account, Observed, Operation, Value, Write, WriteResult
from syncer.connectors.carddav.connector import CardDav
from syncer.connectors.carddav.discovery import origin_of
from syncer.connectors.carddav.login import MEMORY
from syncer.connectors.registry import Options
from tests.contract.radicale import USERS
from tests.contract.servers import RawServer, Serve, raw_server
from tests.needs import needs

BOOK = "/alice/book/"
OPEN = Options(allow_private_hosts=True, urls={})
Meddle = Callable[[bytes, bytes], bytes]
"""(request, the server's answer) -> the answer that we get."""


class Server(Protocol):
    """A real address book server for alice and bob. What is done through it is not seen in `calls`."""

    @property
    def url(self) -> str: ...

    def path(self, user: str, name: str = "book") -> str:
        """Where a book is."""

    def book(self, user: str, name: str = "book", label: str = "Contacts") -> str:
        """Makes a book; its path."""

    def fill(self, user: str, cards: Iterable[str]) -> None:
        """Cards into an empty book, at `<UID>.vcf`."""

    def place(self, user: str, uid: str, card: str) -> None:
        """A card at `<uid>.vcf`, as another program would put it there."""

    def remove(self, user: str, uid: str) -> None:
        """The card at `<uid>.vcf` deleted by another program."""

    def read(self, user: str, uid: str) -> str:
        """The card at `<uid>.vcf`."""

    def stored(self, user: str) -> set[str]:
        """The names of all cards, without ".vcf"."""

    def calls(self) -> list[str]:
        """The methods asked for since the last look."""


WITH_SYNC = ("radicale", "xandikos")
WITHOUT_SYNC = ("radicale-403", "xandikos-405", "sabredav")
KINDS = {"radicale": "Radicale", "xandikos": "Xandikos", "sabredav": "SabreDav"}


def servers(*kinds: str) -> list[Any]:
    """For `pytest.fixture(params=...)`: each skips by name where it is lacking."""
    return [pytest.param(kind, marks=needs(kind.partition("-")[0])) for kind in kinds]


@contextmanager
def started(kind: str, folder: Path) -> Iterator[Any]:
    """A server with an empty book for each of its people. "radicale-403" is a Radicale that says 403 to
    sync-collection, as if it had no such report."""
    name, _, status = kind.partition("-")
    with nothing_remembered(), getattr(import_module(f"tests.contract.{name}"), KINDS[name])(folder) as server:
        server.book("alice")
        server.book("bob", label="Bob's contacts")
        if status == "":
            yield server
            return
        refused = refusing(int(status), "supported-report" if status == "403" else "")
        with meddler(server, lambda request, reply: refused if b"sync-collection" in request else reply) as between:
            yield Behind(server, between)


@contextmanager
def nothing_remembered() -> Iterator[None]:
    """No connector has talked to any server yet (a port may have been another server's before)."""
    with patch.object(MEMORY, "_ways", {}):
        yield


@dataclass
class Behind:
    """A server that is talked to through a meddler."""

    server: Any
    between: RawServer

    @property
    def url(self) -> str:
        return f"{self.between.url}/"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.server, name)


def account(url: str, user: str = "alice", password: str | None = None, identity: str = "") -> Account:
    secret = USERS[user] if password is None else password
    return Account("carddav", {"url": url, "username": user}, {"password": secret}, identity)


def connect(url: str, user: str = "alice", password: str | None = None) -> CardDav:
    return CardDav(account(url, user, password), OPEN)


def known(url: str) -> CardDav:
    """Like connect, to a server that another connector of this process has talked to before."""
    MEMORY.keep(origin_of(url), "alice", None)
    return connect(url)


def authorised(url: str, user: str = "alice") -> CardDav:
    """As the portal makes one after the account was connected: it knows who it is."""
    first = account(url, user)
    return CardDav(replace(first, identity=CardDav(first, OPEN).check().key), OPEN)


def vcard(uid: str, *lines: str, name: str = "Ada Lovelace") -> str:
    given, _, family = name.partition(" ")
    parts = ("BEGIN:VCARD", "VERSION:3.0", f"UID:{uid}", f"FN:{name}", f"N:{family};{given};;;", *lines, "END:VCARD")
    return "".join(f"{line}\r\n" for line in parts)


def create(key: str, **values: Value) -> Write:
    return Write(Operation.CREATE, key, values)


def update(of: Observed, values: Mapping[str, Value], key: str = "update", etag: str | None = None) -> Write:
    return Write(Operation.UPDATE, key, values, of.remote_id, of.etag if etag is None else etag)


def written(connector: CardDav, *writes: Write, book: str = BOOK) -> list[WriteResult]:
    return list(connector.write(book, writes))


def everything(connector: CardDav, book: str = BOOK, cursor: str = "") -> tuple[list[Observed], list[str], str]:
    """All records and gone ids of a pass, and the cursor of the next delta."""
    records: list[Observed] = []
    gone: list[str] = []
    while True:
        page = connector.changes(book, cursor, [])
        records += page.records
        gone += page.gone
        cursor = page.cursor
        if page.done:
            return records, gone, cursor


def ids(records: Sequence[Observed]) -> list[str]:
    return [record.remote_id for record in records]


@contextmanager
def meddler(server: Server, meddle: Meddle) -> Iterator[RawServer]:
    """Stands between us and a server, and changes answers on their way."""
    port = int(server.url.rstrip("/").rpartition(":")[2])

    def serve(connection: socket.socket, request: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            upstream.sendall(re.sub(rb"(?i)\r\nAccept-Encoding:[^\r]*", b"", request, count=1))
            answer = b"".join(iter(lambda: upstream.recv(65536), b""))
        connection.sendall(meddle(request, answer))
        connection.shutdown(socket.SHUT_RDWR)

    with raw_server(serve) as between:
        yield between


def answer(body: str, status: str = "207 Multi-Status", kind: str = "application/xml; charset=utf-8") -> bytes:
    octets = body.encode()
    return f"HTTP/1.0 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(octets)}\r\n\r\n".encode() + octets


def body_of(message: bytes) -> str:
    return message.partition(b"\r\n\r\n")[2].decode()


Answers = Callable[[str, str], bytes]
"""(method, request) -> answer."""


def serving(answers: Answers) -> Serve:
    def serve(connection: socket.socket, request: bytes) -> None:
        text = request.decode()
        connection.sendall(answers(text.partition(" ")[0], text))
        connection.shutdown(socket.SHUT_RDWR)

    return serve


def multistatus(*responses: str, token: str = "") -> bytes:
    end = f"<d:sync-token>{token}</d:sync-token>" if token != "" else ""
    spaces = 'xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:carddav"'
    return answer(f"<d:multistatus {spaces}>{''.join(responses)}{end}</d:multistatus>")


def listed(href: str, *props: str) -> str:
    inner = "".join(("<d:getetag>1</d:getetag>", *props))
    stat = f"<d:propstat><d:prop>{inner}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
    return f"<d:response><d:href>{href}</d:href>{stat}</d:response>"


def data(href: str, card: str) -> str:
    return listed(href, f"<c:address-data>{card}</c:address-data>")


def marked(href: str, status: int) -> str:
    return f"<d:response><d:href>{href}</d:href><d:status>HTTP/1.1 {status} X</d:status></d:response>"


def refusing(status: int, condition: str) -> bytes:
    inner = f"<c:{condition}/>" if condition.endswith(("-data", "-conflict")) else f"<d:{condition}/>"
    spaces = 'xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:carddav"'
    body = f"<d:error {spaces}>{inner}</d:error>" if condition != "" else "Because"
    reply = answer(body, f"{status} X", "application/xml" if condition != "" else "text/plain")
    # So that a read is not repeated right away.
    return reply.replace(b"\r\n\r\n", b"\r\nRetry-After: 60\r\n\r\n", 1) if status > 500 else reply
