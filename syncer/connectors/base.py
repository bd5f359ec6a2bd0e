"""The contract between the engine and an app.

The words, used the same way everywhere: an *account* is one login to one app; a *book* is one set of contacts in it; a
*record* is one contact of a book; a *pass* is one reading of a book, full or delta; *gone* is proven deleted, not
merely missing. Connectors know nothing of Django, of connections or of the database: they take and return data.

Values travel as plain JSON: `None` is an explicit empty; a field that is missing from a mapping of values is ABSENT
(the app did not say, which is no news). By type:

    text, long_text, email, phone, url   str
    integer                              int
    decimal                              str, plain notation ("12.5")
    boolean                              bool
    date                                 str, "2026-11-24" (or "--11-24" without a year, RFC 6350 4.3.1)
    datetime                             str, "2026-11-24T05:30:00Z"
    choice, owner, consent               str (the app's value or id)
    multi_choice, tags                   list of str
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Protocol, TypeAlias

Value: TypeAlias = str | int | bool | list[str] | None
Values: TypeAlias = Mapping[str, Value]


class FieldType(StrEnum):
    TEXT = "text"
    LONG_TEXT = "long_text"
    EMAIL = "email"
    PHONE = "phone"
    URL = "url"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    CHOICE = "choice"
    MULTI_CHOICE = "multi_choice"
    TAGS = "tags"
    OWNER = "owner"
    CONSENT = "consent"


class Role:
    """The roles that standard fields can have; equal roles make the default mapping of two apps (DESIGN.md 6).

    Address parts are `address.<home|work|other>.<street|street2|city|region|postcode|country>`.
    """

    GIVEN = "name.given"
    FAMILY = "name.family"
    FULL = "name.full"
    EMAIL = "email.primary"
    PHONE_MOBILE = "phone.mobile"
    PHONE_WORK = "phone.work"
    PHONE_HOME = "phone.home"
    PHONE_OTHER = "phone.other"
    ORGANIZATION = "organization.name"
    TITLE = "organization.title"
    URL = "url"
    NOTE = "note"
    BIRTHDAY = "birthday"
    TAGS = "tags"
    OWNER = "owner"


@dataclass(frozen=True)
class Field:
    """One field of a book. `name` is stable and the app's own; `max_length` counts characters.

    `choices` are (value, label) pairs of a choice or multi_choice field. `custom` fields belong to this account alone.
    """

    name: str
    label: str
    type: FieldType
    role: str = ""
    writable: bool = True
    required: bool = False
    max_length: int | None = None
    choices: tuple[tuple[str, str], ...] = ()
    custom: bool = False


@dataclass(frozen=True)
class Input:
    """One thing that a person types to connect an account, in the app's own words and order; `upload`: the text of a
    file that they choose."""

    name: str
    label: str
    help: str = ""
    secret: bool = False
    required: bool = True
    upload: bool = False


@dataclass(frozen=True)
class Capabilities:
    """What an app can do. `create`: how a create whose outcome is unknown is found again: by the id that we chose
    (client_id), by a mark that we left (marker), or only by looking (search)."""

    delta: bool = False
    tombstones: bool = False
    fresh_feed: bool = True
    conditional_update: bool = False
    create: str = "search"
    marker_found_by: str = "search"
    visibility_delay: timedelta = timedelta(0)
    tags: bool = False
    owners: bool = False
    unsubscribes: bool = False
    webhooks: bool = False
    read_batch: int = 1
    write_batch: int = 1
    calls_per_hour: int | None = None
    read_only: bool = False


@dataclass(frozen=True)
class OAuth:
    """How people give access on the app's own page (RFC 6749 4.1, with PKCE, RFC 7636).

    `authorize` and `token` name addresses in the registry's `Options.urls`; `client` is the prefix of the settings
    that hold the agency's own OAuth client (GOOGLE: GOOGLE_CLIENT_ID, GOOGLE_CLIENT_SECRET). All of `scopes` are
    asked for; without all of `needed` the account does not work. `extra` goes into the address of the app's page.
    `words` say what a scope allows, to a person who left it out; `instead`, which of the app's other credentials does
    without all this.
    """

    authorize: str
    token: str
    client: str
    scopes: tuple[str, ...]
    needed: tuple[str, ...]
    extra: tuple[tuple[str, str], ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    instead: str = ""


@dataclass(frozen=True)
class App:
    """`statuses` are what a new contact's consent can be, as (value, label), in an app that keeps consent."""

    slug: str
    label: str
    settings: tuple[Input, ...]
    credentials: tuple[Input, ...]
    capabilities: Capabilities
    oauth: OAuth | None = None
    statuses: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Identity:
    """Who we are in the app: `key` is stable and names the login (never a secret), `label` is for people."""

    key: str
    label: str


@dataclass(frozen=True)
class BookInfo:
    id: str
    name: str
    count: int | None = None


@dataclass(frozen=True)
class Owner:
    id: str
    name: str
    email: str
    active: bool = True


@dataclass(frozen=True)
class Observed:
    """One contact as the app showed it. `problem` says in plain words why it could not be understood; then `values`
    is empty and the contact is left alone, with that reason, until it can be read."""

    remote_id: str
    values: Values
    etag: str = ""
    marker: str = ""
    previous_ids: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Page:
    """One page of a pass.

    `cursor` is where to go on within the pass while `done` is false. A full
    pass that is done proves that nothing was left out either by `complete`, or by giving `total`, the app's own count
    of live records, which the engine compares with the distinct ids that it saw; a listing that falls short is
    repeated from the start, up to `LISTING_TRIES` times (the next delta then starts from the first `finish` of all). In
    a delta pass, `stop_if_known` says that the feed has
    reached ground which the last pass covered: the engine stops where nothing on the page was new to it, and goes on
    from `finish`, the cursor of the next delta if the pass ends with this page.
    """

    records: Sequence[Observed]
    cursor: str
    done: bool
    gone: Sequence[str] = ()
    complete: bool = False
    total: int | None = None
    stop_if_known: bool = False
    finish: str = ""


LISTING_TRIES = 4


class Operation(StrEnum):
    CREATE = "create"
    UPDATE = "update"


@dataclass(frozen=True)
class Write:
    """One write that the engine has already recorded as an intent.

    `values` holds the changed fields alone (for a create: all). `key` is the UUID of this write: the id or the marker
    of a create where the app takes one. `held` is what we hold of the contact that is written to, which can be older
    than what stands there. `still_holds` answers whether a re-read record is as the plan assumed: an app
    that checks no etag re-reads right before it writes and gives `stale` where it answers False.
    """

    operation: Operation
    key: str
    values: Values
    remote_id: str = ""
    etag: str = ""
    still_holds: Callable[[Observed], bool] = field(default=lambda observed: True, compare=False)
    held: Values = field(default_factory=dict)


class Outcome(StrEnum):
    DONE = "done"
    STALE = "stale"
    REFUSED = "refused"
    GONE = "gone"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class WriteResult:
    """What became of one write. `observed` is the read-back (done) or what stood there instead (stale). `detail` is
    for people; `field` names the refused field where the app said it. `unknown` means that the app may have applied
    it: only a look can tell. `edited`: somebody changed the contact between the write and the reading back, so what
    was read is not what became of the write."""

    outcome: Outcome
    observed: Observed | None = None
    field: str = ""
    detail: str = ""
    edited: bool = False


class ConnectorError(Exception):
    """Base of all that can go wrong with an app. The text is for people, says what to do next, and holds no secret.

    `account` is the key of the account it happened in, set by the engine."""

    account: int | None = None


class RecordGone(ConnectorError):
    """Proven deleted: raised only for the closed list of answers in the connector's errors.py."""


class Stale(ConnectorError):
    """The record is not as we believed (412, failed precondition)."""


class CursorExpired(ConnectorError):
    """The feed cannot go on from our cursor: a full pass is needed, and nothing is thereby deleted."""


class RateLimited(ConnectorError):
    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BudgetSpent(RateLimited):
    """Our own budget of calls is used up; `until` is when the next call is free."""

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class AuthFailed(ConnectorError):
    """The app does not accept our credentials: a person must authorise again."""


class Misconfigured(ConnectorError):
    """A setting is wrong (subdomain, address): a person must correct it."""


class Rejected(ConnectorError):
    """The app refused this one record or value; the same would be refused again."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Transient(ConnectorError):
    """It may work later. `maybe_applied`: the request may have reached the app before it failed."""

    def __init__(self, message: str, maybe_applied: bool = False) -> None:
        super().__init__(message)
        self.maybe_applied = maybe_applied


class Connector(Protocol):
    """One account in one app. Any method may raise the errors above, but `write` raises none for a single write: each
    has a result. Writes are never retried by a connector."""

    app: ClassVar[App]

    def check(self) -> Identity:
        """Who are we? Reads only. Raises AuthFailed, Misconfigured, Transient."""

    def books(self) -> Sequence[BookInfo]:
        """The books of this account."""

    def fields(self, book: str) -> Sequence[Field]:
        """The fields of a book, custom ones included, in the app's order."""

    def owners(self) -> Sequence[Owner]:
        """The people who can own a contact; empty where the app has none."""

    def tags(self, book: str) -> Sequence[str]:
        """The tags in use."""

    def changes(self, book: str, cursor: str, fields: Sequence[str]) -> Page:
        """The next page of a pass; an empty cursor starts a full pass. Raises CursorExpired."""

    def read(self, book: str, remote_id: str, fields: Sequence[str]) -> Observed:
        """One record as it is now. Raises RecordGone."""

    def read_many(self, book: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Sequence[Observed | None]:
        """The records as they are now, in the order asked; None for one that is proven gone."""

    def find(self, book: str, match_key: str = "", marker: str = "", fields: Sequence[str] = ()) -> Sequence[Observed]:
        """The live records with this match key (an e-mail, compared casefolded) or our marker."""

    def created_id(self, book: str, write: Write) -> str:
        """The id that this create will have where the app lets us choose it (capability client_id); else empty."""

    def stored(self, field: Field, value: Value) -> Value:
        """How this app will show a value that we send; most apps leave it unchanged."""

    def write(self, book: str, writes: Sequence[Write]) -> Iterator[WriteResult]:
        """Exactly one result per write, in order. A batch that stops early leaves the rest unknown."""


@dataclass(frozen=True)
class Hook:
    """A webhook as the app made it. `secret` signs its deliveries; empty where the app signs none."""

    id: str
    secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Heard:
    """What one delivery says: which book something happened in, and a text that is the same when the app delivers it
    again. Nothing else of a delivery is believed, and nothing is kept."""

    book: str
    key: str = field(repr=False)


class NotFromApp(Exception):
    """A delivery that this app did not send, or not in this form. The text holds nothing of it. `forged`: it reads as
    the app's own and its signature is missing, wrong or too old."""

    def __init__(self, message: str, forged: bool = False) -> None:
        super().__init__(message)
        self.forged = forged


class Listens(Protocol):
    """What the connector of an app with the capability `webhooks` can do besides."""

    def listen(self, book: str, url: str) -> Hook:
        """Let the app call this address when somebody changes the book; our own writes do not count. One that is left
        from an earlier try at the same address is replaced. The app may ask the address before it answers."""

    def stop_listening(self, book: str, hook_id: str) -> None:
        """Already gone is fine."""

    @staticmethod
    def heard(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> Heard:
        """Pure. `headers` by names in small letters, `body` as it came, `secret` of the Hook. Raises NotFromApp."""


class Meter(Protocol):
    """Counts calls against the account's budget; given to a connector's HTTP session."""

    def take(self) -> None:
        """Call right before each request. Raises BudgetSpent."""


class Tokens(Protocol):
    """Gives the access token of an account whose app takes OAuth, renewed where it has to be."""

    def access(self, refused: str = "") -> str:
        """A token to send. `refused` is one that the app has just answered with 401: never that one again. Raises
        AuthFailed where a person must authorise again, Misconfigured, Transient."""


@dataclass(frozen=True)
class Account:
    """What a connector is made from. `identity` is what check() said when the account was authorised; `tokens` is
    there for apps with OAuth alone."""

    app: str
    settings: Mapping[str, str]
    credentials: Mapping[str, str] = field(repr=False)
    identity: str = ""
    tokens: Tokens | None = field(default=None, repr=False)
