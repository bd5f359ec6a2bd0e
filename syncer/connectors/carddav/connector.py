"""CardDAV (RFC 6352): any address book server, by name and password. README.md lists what servers do differently."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import ClassVar
from urllib.parse import urlsplit

from syncer.connectors.base import (
    Account,
    App,
    AuthFailed,
    BookInfo,
    Capabilities,
    ConnectorError,
    Field,
    Identity,
    Input,
    Meter,
    Observed,
    Operation,
    Owner,
    Page,
    RateLimited,
    RecordGone,
    Value,
    Write,
    WriteResult,
)
from syncer.connectors.carddav import fields
from syncer.connectors.carddav.dav import Dav
from syncer.connectors.carddav.discovery import Found, discover, origin_of, typed_address
from syncer.connectors.carddav.login import Login
from syncer.connectors.carddav.passes import Passes
from syncer.connectors.carddav.reading import Fetched, Reader, observe
from syncer.connectors.carddav.writing import Batch, created_href
from syncer.connectors.http import Http
from syncer.connectors.registry import Options

APP = App(
    slug="carddav",
    label="CardDAV",
    settings=(
        Input(
            "url",
            "Server address",
            "Where your address books are, for example https://dav.example.com/. The address of one book works too.",
        ),
        Input("username", "User name", "As you type it in your mail or phone app."),
    ),
    credentials=(
        Input(
            "password",
            "Password",
            "If your provider offers app passwords, make one for this and use it here.",
            secret=True,
        ),
    ),
    capabilities=Capabilities(
        delta=True,
        tombstones=True,
        fresh_feed=True,
        conditional_update=True,
        create="client_id",
        tags=True,
        read_batch=100,
        write_batch=50,
    ),
)


def _value(href: str, card: Fetched, name: str) -> str:
    """Of a contact; "" for a group or a card that cannot be read."""
    value = observe(href, card, [name]).values.get(name)
    return value if isinstance(value, str) else ""


class CardDav:
    app: ClassVar[App] = APP

    def __init__(self, account: Account, options: Options, meter: Meter | None = None) -> None:
        self._account, self._options = account, options
        self._username = account.settings.get("username", "")
        self._login = Login(self._username, account.credentials.get("password", ""))
        self._http = Http(auth=self._login, meter=meter, allow_private=options.allow_private_hosts)
        self._passes = Passes()

    @cached_property
    def _address(self) -> str:
        return typed_address(self._account.settings.get("url", ""), self._options.allow_private_hosts)

    @cached_property
    def _found(self) -> Found:
        return discover(self._http, self._address, self._login)

    @cached_property
    def _dav(self) -> Dav:
        """The host where discovery ended when the account was authorised (it is in the identity), so that no pass needs
        to discover again."""
        origin, host = origin_of(self._address), self._account.identity.partition("/")[0]
        if host != "":
            origin = f"{urlsplit(origin).scheme}://{host}"
        elif "_found" in self.__dict__:
            origin = self._found.origin
        return Dav(self._http, origin, self._login)

    def _reader(self, book: str) -> Reader:
        return Reader(self._dav, book)

    def close(self) -> None:
        self._http.close()

    def check(self) -> Identity:
        """`key` is "host/path/of/principal/ user"."""
        host = urlsplit(self._found.origin).netloc
        return Identity(f"{host}{self._found.principal} {self._username}", f"{self._username} at {host}")

    def books(self) -> Sequence[BookInfo]:
        return self._found.books

    def fields(self, book: str) -> Sequence[Field]:
        return fields.STANDARD

    def owners(self) -> Sequence[Owner]:
        return []

    def tags(self, book: str) -> Sequence[str]:
        """The categories in use; empty where the server cannot search for them."""
        found: set[str] = set()
        try:
            cards = self._reader(book).search("CATEGORIES", None, ("VERSION", "CATEGORIES"))
        except (AuthFailed, RateLimited):
            raise
        except ConnectorError:
            return []
        for href, card in cards:
            tags = observe(href, card, ["tags"]).values.get("tags")
            found.update(tags if isinstance(tags, list) else [])
        return sorted(found)

    def changes(self, book: str, cursor: str, fields: Sequence[str]) -> Page:
        return self._passes.page(self._reader(book), cursor, fields)

    def read(self, book: str, remote_id: str, fields: Sequence[str]) -> Observed:
        found = self.read_many(book, [remote_id], fields)[0]
        if found is None:
            raise RecordGone("The contact is not in the address book any more.")
        return found

    def read_many(self, book: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Sequence[Observed | None]:
        found = self._reader(book).fetch(remote_ids)
        return [None if found[href].gone else observe(href, found[href], fields) for href in remote_ids]

    def find(self, book: str, match_key: str = "", marker: str = "", fields: Sequence[str] = ()) -> Sequence[Observed]:
        """By the primary e-mail, compared casefolded; a marker is the UID that we gave."""
        reader = self._reader(book)
        if match_key != "":
            cards, name = reader.search("EMAIL", match_key), "email"
        elif marker != "":
            cards, name = reader.search("UID", marker), "uid"
        else:
            return []
        wanted = (match_key if match_key != "" else marker).casefold()
        matching = [(href, card) for href, card in cards if _value(href, card, name).casefold() == wanted]
        return [observe(href, card, fields) for href, card in matching]

    def created_id(self, book: str, write: Write) -> str:
        return created_href(book, write) if write.operation is Operation.CREATE else ""

    def stored(self, field: Field, value: Value) -> Value:
        return value

    def write(self, book: str, writes: Sequence[Write]) -> Iterator[WriteResult]:
        """Raises AuthFailed, after the results of the writes that were done before."""
        return Batch(self._dav, self._reader(book)).run(writes)
