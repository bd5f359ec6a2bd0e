"""A real sabre/dav 1.8 (Debian's php-sabre-dav) on a free loopback port: Digest logins and no sync-collection, as
address book servers of its time have it.

    with SabreDav(folder) as server:
        server.book("alice")
"""

import hashlib
import sqlite3
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.contract.radicale import USERS
from tests.contract.servers import closed_port
from tests.needs import SABREDAV

REALM = "SabreDAV"
# The tables that its PDO backends use, as in its example files.
TABLES = """
CREATE TABLE addressbooks (id integer primary key, principaluri text, displayname text, uri text, description text,
    ctag integer);
CREATE TABLE cards (id integer primary key, addressbookid integer, carddata blob, uri text, lastmodified integer);
CREATE TABLE principals (id integer primary key, uri text unique, email text, displayname text, vcardurl text);
CREATE TABLE groupmembers (id integer primary key, principal_id integer, member_id integer);
CREATE TABLE users (id integer primary key, username text unique, digesta1 text);
"""
# It writes down each request before it looks at it. PHP 8 finds fault with code of 2015, which is no news here.
FRONT = """<?php
error_reporting(0);
date_default_timezone_set('UTC');
file_put_contents(__DIR__ . '/log', $_SERVER['REQUEST_METHOD'] . ' ' . $_SERVER['REQUEST_URI'] . ' '
    . strtok($_SERVER['HTTP_AUTHORIZATION'] ?? '-', ' ') . "\\n", FILE_APPEND);
require 'LIBRARY';
$pdo = new PDO('sqlite:' . __DIR__ . '/books.db');
$pdo->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
$people = new Sabre\\DAVACL\\PrincipalBackend\\PDO($pdo);
$server = new Sabre\\DAV\\Server(array(
    new Sabre\\DAVACL\\PrincipalCollection($people),
    new Sabre\\CardDAV\\AddressBookRoot($people, new Sabre\\CardDAV\\Backend\\PDO($pdo)),
));
$server->setBaseUri('/');
$server->addPlugin(new Sabre\\DAV\\Auth\\Plugin(new Sabre\\DAV\\Auth\\Backend\\PDO($pdo), 'REALM'));
$server->addPlugin(new Sabre\\CardDAV\\Plugin());
$server->addPlugin(new Sabre\\DAVACL\\Plugin());
$server->exec();
"""


IN_BOOK = "addressbookid = (SELECT id FROM addressbooks WHERE principaluri = ? AND uri = ?)"


class SabreDav:
    """A book of alice is at `/addressbooks/alice/<book>/`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, closed_port()
        self.log = folder / "log"
        self.log.touch()
        (folder / "front.php").write_text(FRONT.replace("LIBRARY", str(SABREDAV)).replace("REALM", REALM))
        with self._books() as books:
            books.executescript(TABLES)
            for user, password in USERS.items():
                secret = hashlib.md5(f"{user}:{REALM}:{password}".encode()).hexdigest()
                books.execute("INSERT INTO users (username, digesta1) VALUES (?, ?)", (user, secret))
                books.execute("INSERT INTO principals (uri, displayname) VALUES (?, ?)", (f"principals/{user}", user))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def path(self, user: str, name: str = "book") -> str:
        return f"/addressbooks/{user}/{name}/"

    def book(self, user: str, name: str = "book", label: str = "Contacts") -> str:
        with self._books() as books:
            books.execute(
                "INSERT INTO addressbooks (principaluri, displayname, uri, ctag) VALUES (?, ?, ?, 1)",
                (f"principals/{user}", label, name),
            )
        return self.path(user, name)

    def fill(self, user: str, cards: Iterable[str], name: str = "book") -> None:
        self._put(user, {card.partition("UID:")[2].partition("\r\n")[0]: card for card in cards}, name)

    def place(self, user: str, uid: str, card: str, name: str = "book") -> None:
        self._put(user, {uid: card}, name)

    def _put(self, user: str, cards: Mapping[str, str], name: str) -> None:
        book = (f"principals/{user}", name)
        with self._books() as books:
            books.executemany(
                f"DELETE FROM cards WHERE uri = ? AND {IN_BOOK}", [(f"{uid}.vcf", *book) for uid in cards]
            )
            books.executemany(
                "INSERT INTO cards (addressbookid, carddata, uri, lastmodified) SELECT id, ?, ?, 0 FROM addressbooks "
                "WHERE principaluri = ? AND uri = ?",
                [(card, f"{uid}.vcf", *book) for uid, card in cards.items()],
            )

    def remove(self, user: str, uid: str, name: str = "book") -> None:
        with self._books() as books:
            books.execute(f"DELETE FROM cards WHERE uri = ? AND {IN_BOOK}", (f"{uid}.vcf", f"principals/{user}", name))

    def read(self, user: str, uid: str, name: str = "book") -> str:
        with self._books() as books:
            found = books.execute(
                f"SELECT carddata FROM cards WHERE uri = ? AND {IN_BOOK}", (f"{uid}.vcf", f"principals/{user}", name)
            ).fetchone()
        return str(found[0])

    def stored(self, user: str, name: str = "book") -> set[str]:
        with self._books() as books:
            rows = books.execute(f"SELECT uri FROM cards WHERE {IN_BOOK}", (f"principals/{user}", name)).fetchall()
        return {str(uri).removesuffix(".vcf") for (uri,) in rows}

    def lines(self) -> list[str]:
        """ "METHOD /path Scheme-of-the-login" of each request since the last look, in order."""
        lines = self.log.read_text().splitlines()
        self.log.write_text("")
        return lines

    def calls(self) -> list[str]:
        """The methods of those since the last look."""
        return [line.partition(" ")[0] for line in self.lines()]

    def __enter__(self) -> Self:
        command = ["php", "-S", f"127.0.0.1:{self.port}", "-t", str(self.folder), str(self.folder / "front.php")]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert self._server.stderr is not None and "started" in self._server.stderr.readline()
        # It goes on to tell of each request, and would stop when nobody listens.
        self._listener = threading.Thread(target=self._server.stderr.read, daemon=True)
        self._listener.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.terminate()
        self._listener.join()
        self._server.communicate()

    @contextmanager
    def _books(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.folder / "books.db")) as books, books:
            yield books
