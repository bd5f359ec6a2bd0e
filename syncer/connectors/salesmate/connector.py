"""Salesmate: contacts through its v4 API. README.md says what the API is known to do, and what is assumed of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from syncer.connectors.base import (
    Account,
    App,
    AuthFailed,
    BookInfo,
    Capabilities,
    ConnectorError,
    Field,
    FieldType,
    Identity,
    Input,
    Meter,
    Misconfigured,
    Observed,
    Owner,
    Page,
    RateLimited,
    RecordGone,
    Transient,
    Value,
    Write,
    WriteResult,
)
from syncer.connectors.http import REAL_WORLD
from syncer.connectors.registry import Options
from syncer.connectors.salesmate import fields as known
from syncer.connectors.salesmate import passes, values, wire
from syncer.connectors.salesmate.batch import Batch
from syncer.connectors.salesmate.client import Client
from syncer.connectors.salesmate.reader import Reader, deleted, displaying
from syncer.connectors.salesmate.wire import ASSUMED, Assumed, normalise_subdomain
from syncer.connectors.tags import once
from syncer.connectors.wire import World

__all__ = ["BOOK", "Salesmate", "normalise_subdomain"]

BOOK = "contacts"
LISTED_SHORT = "Salesmate found more contacts with this e-mail than it showed. The search is made again later."
WHERE = "In Salesmate: your picture > My Account > Access / API Key"


class Salesmate:
    """One Salesmate account, with one book: all contacts that the user of the session key may see.

    Raises Misconfigured or AuthFailed at once where the subdomain or the session key cannot be right.
    """

    app: ClassVar[App] = App(
        slug="salesmate",
        label="Salesmate",
        settings=(
            Input(
                "subdomain",
                "Subdomain",
                "The part before .salesmate.io in the address of your Salesmate. Monthly and yearly plans both work.",
            ),
        ),
        credentials=(
            Input("access_key", "Access key", f"{WHERE}, the first value.", secret=True),
            Input("secret_key", "Secret key", f"{WHERE}, the second value.", secret=True),
            Input(
                "session_key",
                "Session key",
                f"{WHERE}, the third value. It is the only one of the three that is sent to Salesmate.",
                secret=True,
            ),
        ),
        capabilities=Capabilities(
            delta=True,
            tags=True,
            owners=True,
            write_batch=10,
            calls_per_hour=wire.CALLS_PER_HOUR,
        ),
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
        """Salesmate does not tell whose key it is, so the account is who we are."""
        self._client.users(active_only=True)
        subdomain = self._client.subdomain
        return Identity(subdomain, f"{subdomain}.salesmate.io")

    def books(self) -> Sequence[BookInfo]:
        return [BookInfo(BOOK, "Contacts", self._client.search((), [self._client.live()], rows=1).total)]

    def fields(self, book: str) -> Sequence[Field]:
        return self._reader.schema()

    def owners(self) -> Sequence[Owner]:
        """All users, those who left too: contacts may still be theirs."""
        found = []
        for user in self._client.users(active_only=False):
            parts = [str(user.get(name) or "") for name in ("firstName", "lastName")]
            name = str(user.get("name") or "") or " ".join(part for part in parts if part)
            active = wire.flag(user.get("isActive")) is not False
            found.append(Owner(self._reader.remote_id(user), name, str(user.get("email") or ""), active))
        return found

    def tags(self, book: str) -> Sequence[str]:
        """From the list of tags, whose address belongs to an older version of the API; where it is closed, the tags of
        the contacts that were changed last."""
        try:
            return once(str(item.get("tag") or "") for item in self._client.tags())
        except (AuthFailed, RateLimited, Misconfigured):
            raise
        except ConnectorError:
            return self._recent_tags()

    def changes(self, book: str, cursor: str, fields: Sequence[str]) -> Page:
        return passes.next_page(self._reader, passes.parse(cursor), self._reader.ask(fields))

    def read(self, book: str, remote_id: str, fields: Sequence[str]) -> Observed:
        return self._reader.observe(self._reader.read(remote_id), self._reader.ask(fields))

    def read_many(self, book: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Sequence[Observed | None]:
        asked = self._reader.ask(fields)
        found = self._by_search(remote_ids, asked) if self._client.assumed.read_many_by_search else {}
        return [found.get(remote_id) or self._read_or_none(remote_id, asked) for remote_id in remote_ids]

    def find(self, book: str, match_key: str = "", marker: str = "", fields: Sequence[str] = ()) -> Sequence[Observed]:
        """By e-mail; Salesmate has no place for a marker that its users would not see."""
        if not match_key:
            return []
        asked = self._reader.ask(fields)
        email = known.KNOWN["email"]
        same_email = wire.rule("email", self._client.assumed.email_condition, match_key, "Email")
        rules = [same_email, self._client.live()]
        rows = self._client.search(displaying([*asked, email]), rules, "id", "asc")
        if rows.total is not None and rows.total > len({self._reader.remote_id(row) for row in rows.rows}):
            raise Transient(LISTED_SHORT)
        wanted = match_key.strip().casefold()
        same = [row for row in rows.rows if not deleted(row) and email_of(row, email).casefold() == wanted]
        return [self._reader.observe(row, asked) for row in same]

    def created_id(self, book: str, write: Write) -> str:
        return ""

    def stored(self, field: Field, value: Value) -> Value:
        if isinstance(value, list) and field.type is FieldType.TAGS:
            return values.stored_tags(value) or None
        return value

    def write(self, book: str, writes: Sequence[Write]) -> Iterator[WriteResult]:
        return Batch(self._reader, self._reader.asked, writes).run()

    def _read_or_none(self, remote_id: str, asked: Sequence[Field]) -> Observed | None:
        try:
            return self._reader.observe(self._reader.read(remote_id), asked)
        except RecordGone:
            return None

    def _by_search(self, remote_ids: Sequence[str], asked: Sequence[Field]) -> dict[str, Observed]:
        """The live ones among these that a search shows; the others are then read one by one."""
        found: dict[str, Observed] = {}
        for start in range(0, len(remote_ids), wire.PAGE):
            rules = [wire.rule("id", "EQUALS", each, "Integer") for each in remote_ids[start : start + wire.PAGE]]
            rows = self._client.search(displaying(asked), [wire.any_of(rules)], "id", "asc").rows
            seen = [self._reader.observe(row, asked) for row in rows if not deleted(row)]
            found.update((observed.remote_id, observed) for observed in seen if observed.remote_id in remote_ids)
        return found

    def _recent_tags(self) -> Sequence[str]:
        tags = known.KNOWN["tags"]
        rows = self._client.search(displaying([tags]), [self._client.live()]).rows
        held = [values.decode_row(row, [tags]).get("tags") for row in rows]
        return once(tag for listed in held if isinstance(listed, list) for tag in listed)


def email_of(row: Mapping[str, Any], email: Field) -> str:
    held = values.decode_row(row, [email]).get("email")
    return held.strip() if isinstance(held, str) else ""
