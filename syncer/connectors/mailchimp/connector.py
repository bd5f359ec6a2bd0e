"""Mailchimp: the members of audiences, through the Marketing API. README.md says what the API is known to do, and what
is assumed of it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Final

from syncer.connectors.base import (
    Account,
    App,
    BookInfo,
    Capabilities,
    Field,
    Heard,
    Hook,
    Identity,
    Input,
    Meter,
    OAuth,
    Observed,
    Owner,
    Page,
    Transient,
    Value,
    Write,
    WriteResult,
)
from syncer.connectors.http import REAL_WORLD
from syncer.connectors.mailchimp import fields, passes, webhooks, wire
from syncer.connectors.mailchimp.batch import Batch
from syncer.connectors.mailchimp.client import Client
from syncer.connectors.mailchimp.reader import Reader
from syncer.connectors.mailchimp.wire import ASSUMED, Assumed, number, text
from syncer.connectors.registry import Options
from syncer.connectors.tags import once
from syncer.connectors.wire import World

__all__ = ["Mailchimp"]

WHO: Final = "Mailchimp did not say whose account this is. It is tried again later."


class Mailchimp:
    """One Mailchimp account, with a book for each audience.

    Raises Misconfigured at once for what cannot be an API key.
    """

    app: ClassVar[App] = App(
        slug="mailchimp",
        label="Mailchimp",
        settings=(),
        credentials=(
            Input(
                "api_key",
                "API key",
                "In Mailchimp: your picture > Account & billing > Extras > API keys. It ends with the data centre, as "
                "in ...-us6. Leave it empty to press the button Authorise instead.",
                secret=True,
                required=False,
            ),
            Input(
                "client_id",
                "Client ID",
                "Only for the button Authorise, and only with an OAuth client of your own.",
                required=False,
            ),
            Input(
                "client_secret",
                "Client secret",
                "Only for the button Authorise, and only with an OAuth client of your own.",
                secret=True,
                required=False,
            ),
        ),
        capabilities=Capabilities(
            delta=True,
            tags=True,
            unsubscribes=True,
            webhooks=True,
            read_batch=wire.BATCH,
            write_batch=wire.BATCH,
        ),
        oauth=OAuth(
            authorize="mailchimp_auth",
            token="mailchimp_token",  # noqa: S106
            client="MAILCHIMP",
            scopes=(),
            needed=(),
            instead="An API key alone is enough.",
        ),
        statuses=fields.STATUSES,
    )

    def __init__(
        self,
        account: Account,
        options: Options,
        meter: Meter | None = None,
        *,
        assumed: Assumed = ASSUMED,
        world: World = REAL_WORLD,
    ) -> None:
        self._client = Client(account, options, meter, assumed, world)
        self._reader = Reader(self._client)

    def close(self) -> None:
        self._client.close()

    def check(self) -> Identity:
        """The account, not the person: whoever logs in to it changes the same audiences."""
        found = self._client.root()
        account = text(found.get("account_id"))
        if not account:
            raise Transient(WHO)
        name, email = text(found.get("account_name")), text(found.get("email"))
        return Identity(account, f"{name} ({email})" if email else name or account)

    def books(self) -> Sequence[BookInfo]:
        found = []
        for one in self._client.lists():
            stats = one.get("stats")
            counts = [number(value) or 0 for value in stats.values()] if isinstance(stats, dict) else []
            found.append(BookInfo(text(one.get("id")), text(one.get("name")), sum(counts) if counts else None))
        return [book for book in found if book.id]

    def fields(self, book: str) -> Sequence[Field]:
        return self._reader.schema(book)

    def owners(self) -> Sequence[Owner]:
        return []

    def tags(self, book: str) -> Sequence[str]:
        return once(text(tag.get("name")) for tag in self._client.tags(book))

    def changes(self, book: str, cursor: str, fields: Sequence[str]) -> Page:
        self._reader.asked = tuple(fields)
        return passes.next_page(self._reader, book, passes.parse(cursor), fields)

    def read(self, book: str, remote_id: str, fields: Sequence[str]) -> Observed:
        return self._reader.observe(book, self._reader.member(book, remote_id), fields)

    def read_many(self, book: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Sequence[Observed | None]:
        found = self._reader.members(book, remote_ids)
        return [
            self._reader.observe(book, member, fields) if (member := found[one]) is not None else None
            for one in remote_ids
        ]

    def find(self, book: str, match_key: str = "", marker: str = "", fields: Sequence[str] = ()) -> Sequence[Observed]:
        """By address; Mailchimp has no place for a mark that its users would not see."""
        member = self._reader.by_address(book, match_key) if match_key else None
        return [self._reader.observe(book, member, fields)] if member is not None else []

    def created_id(self, book: str, write: Write) -> str:
        return ""

    def stored(self, field: Field, value: Value) -> Value:
        return fields.stored(field, value)

    def write(self, book: str, writes: Sequence[Write]) -> Iterator[WriteResult]:
        return Batch(self._reader, book, writes).run()

    def listen(self, book: str, url: str) -> Hook:
        return webhooks.listen(self._client, book, url)

    def stop_listening(self, book: str, hook_id: str) -> None:
        webhooks.stop(self._client, book, hook_id)

    @staticmethod
    def heard(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> Heard:
        return webhooks.heard(headers, body, secret, now)
