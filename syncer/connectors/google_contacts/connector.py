"""Google Contacts through the People API. README.md says what the API is known to do, and what is assumed of it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import ClassVar, Final

from syncer.connectors.base import (
    Account,
    App,
    BookInfo,
    Capabilities,
    Field,
    FieldType,
    Identity,
    Input,
    Meter,
    OAuth,
    Observed,
    Owner,
    Page,
    RecordGone,
    Transient,
    Value,
    Write,
    WriteResult,
)
from syncer.connectors.google_contacts import errors, fields, passes, wire
from syncer.connectors.google_contacts.batch import Batch
from syncer.connectors.google_contacts.client import NO_END, Client, Place
from syncer.connectors.google_contacts.reader import Reader, deleted, marker_of, name_of
from syncer.connectors.google_contacts.wire import ASSUMED, Assumed, Person, dicts, inner, text
from syncer.connectors.http import REAL_WORLD
from syncer.connectors.registry import Options
from syncer.connectors.tags import once
from syncer.connectors.wire import World

__all__ = ["BOOK", "GoogleContacts"]

BOOK: Final = "contacts"
CONTACTS_SCOPE: Final = "https://www.googleapis.com/auth/contacts"
EMAIL_SCOPE: Final = "https://www.googleapis.com/auth/userinfo.email"
OWN_CLIENT: Final = (
    "Leave this empty to use the agency's OAuth client and the button Authorise. To use a client of your own, fill in "
    "all three."
)
WHO: Final = "Google did not say whose account this is. It is tried again later."


class GoogleContacts:
    """One Google account, with one book: all contacts that its user keeps."""

    app: ClassVar[App] = App(
        slug="google_contacts",
        label="Google Contacts",
        settings=(),
        credentials=(
            Input("client_id", "Client ID", OWN_CLIENT, required=False),
            Input("client_secret", "Client secret", OWN_CLIENT, secret=True, required=False),
            Input(
                "refresh_token",
                "Refresh token",
                "Leave this empty and press the button Authorise: it is filled in for you. Enter one only together "
                "with the client that it was given to.",
                secret=True,
                required=False,
            ),
        ),
        capabilities=Capabilities(
            delta=True,
            tombstones=True,
            fresh_feed=False,
            conditional_update=True,
            create="marker",
            marker_found_by="listing",
            visibility_delay=timedelta(minutes=ASSUMED.visibility_minutes),
            tags=True,
            read_batch=ASSUMED.batch,
            write_batch=ASSUMED.batch,
            calls_per_hour=3000,
        ),
        oauth=OAuth(
            authorize="google_auth",
            token="google_token",  # noqa: S106
            client="GOOGLE",
            scopes=(CONTACTS_SCOPE, EMAIL_SCOPE),
            needed=(CONTACTS_SCOPE,),
            extra=(("access_type", "offline"), ("prompt", "consent")),
            words=((CONTACTS_SCOPE, "See and change contacts"), (EMAIL_SCOPE, "See the e-mail address")),
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
        """The id of the Google account, which stays when its address changes."""
        me = self._client.me()
        name = text(me.get("resourceName"))
        if wire.RESOURCE.fullmatch(name) is None or name == "people/me":
            raise Transient(WHO)
        addresses = sorted(dicts(me.get("emailAddresses")), key=lambda item: not inner(item, "metadata", "primary"))
        shown = [text(item.get("value")) for item in addresses]
        return Identity(name.removeprefix("people/"), next((one for one in shown if one), "Google Contacts"))

    def books(self) -> Sequence[BookInfo]:
        return [BookInfo(BOOK, "Contacts", self._client.latest("metadata", 1).total)]

    def fields(self, book: str) -> Sequence[Field]:
        """The standard fields, and the custom ones of the contacts that changed last: Google has no list of them, and
        what only older contacts have is not shown."""
        people = self._client.latest("userDefined", self._client.assumed.keys_listed).people
        return [*fields.STANDARD, *fields.custom(people)]

    def owners(self) -> Sequence[Owner]:
        return []

    def tags(self, book: str) -> Sequence[str]:
        self._reader.labels.refresh()
        return once(self._reader.labels.names.values())

    def changes(self, book: str, cursor: str, fields: Sequence[str]) -> Page:
        return passes.next_page(self._reader, passes.parse(cursor, self._client.assumed), self._reader.ask(fields))

    def read(self, book: str, remote_id: str, fields: Sequence[str]) -> Observed:
        person = self._client.person(remote_id)
        if deleted(person):
            raise RecordGone(errors.GONE_TEXT)
        return self._reader.observe_all([person], self._reader.ask(fields))[0]

    def read_many(self, book: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Sequence[Observed | None]:
        asked = self._reader.ask(fields)
        people = self._client.people(remote_ids)
        found = {name: person for name, person in people.items() if person is not None and not deleted(person)}
        shown = dict(zip(found, self._reader.observe_all(list(found.values()), asked), strict=True))
        return [shown.get(remote_id) for remote_id in remote_ids]

    def find(self, book: str, match_key: str = "", marker: str = "", fields: Sequence[str] = ()) -> Sequence[Observed]:
        """By the primary e-mail address, or our mark. Google's search knows neither, so all contacts are listed, and
        read by id what the list shows: it can be late."""
        asked = self._reader.ask(fields)
        wanted = match_key.strip().casefold()
        if wanted:
            return self._listed(asked, lambda person: primary_email(person) == wanted)
        return self._listed(asked, lambda person: marker_of(person) == marker) if marker else []

    def created_id(self, book: str, write: Write) -> str:
        return ""

    def stored(self, field: Field, value: Value) -> Value:
        if isinstance(value, list) and field.type is FieldType.TAGS:
            return once(value) or None
        return value

    def write(self, book: str, writes: Sequence[Write]) -> Iterator[WriteResult]:
        return Batch(self._reader, self._reader.asked, writes).run()

    def _listed(self, asked: Sequence[str], fits: Callable[[Person], bool]) -> list[Observed]:
        """The live contacts of whom the list says so, and their own reading too."""
        place, hits = Place(), dict[str, None]()
        for _ in range(wire.MOST_PAGES):
            page = self._client.connections(place, for_sync=False)
            hits.update((name_of(person), None) for person in page.people if fits(person) and not deleted(person))
            if not page.page:
                break
            place = Place(page=page.page)
        else:
            raise Transient(NO_END)
        people = [person for person in self._client.people(list(hits)).values() if person is not None and fits(person)]
        return self._reader.observe_all(people, asked)


def primary_email(person: Person) -> str:
    found = fields.read(person, ["emailAddresses"])["emailAddresses"]
    return found.strip().casefold() if isinstance(found, str) else ""
