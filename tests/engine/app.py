"""The app in memory itself: its contacts, the people who edit in it, and the levers by which it can go wrong.

A lever is a plain attribute, set when the app is made or at any time later; each is proven in test_memory.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NoReturn

from syncer.connectors.base import ConnectorError, Field, FieldType, Observed, Owner, Role, Value, Values

FIELDS = (
    Field("given", "First name", FieldType.TEXT, Role.GIVEN),
    Field("family", "Last name", FieldType.TEXT, Role.FAMILY),
    Field("email", "E-mail", FieldType.EMAIL, Role.EMAIL),
    Field("mobile", "Mobile", FieldType.PHONE, Role.PHONE_MOBILE),
    Field("title", "Job title", FieldType.TEXT, Role.TITLE),
    Field("note", "Note", FieldType.LONG_TEXT, Role.NOTE),
    Field("tags", "Tags", FieldType.TAGS, Role.TAGS),
)
STATUSES = (("subscribed", "Subscribed"), ("pending", "Has to confirm"), ("unsubscribed", "Unsubscribed"))
STATUS = Field("status", "Status", FieldType.CONSENT, "consent", choices=STATUSES)
"""Of a marketing app: MemoryApp(fields=MARKETING)."""
MARKETING = (*FIELDS, STATUS)
PAGE = 50
Contact = dict[str, Value]


class Crash(BaseException):
    """The process dies here."""


def die(context: Mapping[str, Any]) -> NoReturn:
    """Die in an SQL statement. A dead process has no open cursors; here it is done by hand, for Django closes
    one only after an ordinary error. `context` is what Django tells an execute_wrapper."""
    context["cursor"].close()
    raise Crash


@dataclass
class MemoryApp:
    """One account with one book, `contacts`. `faults` maps the number of a call, counted from now, to what happens in
    it; `mutations` holds every write as (operation, id, values). `unproven` listings end without a proof that they were
    complete; `unsent` says which writes never leave; `refuse` says why it takes a write not at all, `refuses` which
    field of it, and why; reading an `unreadable` contact by id fails; `shows` is how the
    app shows what it holds, and `stored` how the connector says that it will. `log` names a contact at each change,
    `history` how it was from then on (None: deleted)."""

    name: str
    fields: tuple[Field, ...] = FIELDS
    create: str = "client_id"
    conditional: bool = False
    delta: bool = True
    contacts: dict[str, Contact] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    etags: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    mutations: list[tuple[str, str, Contact]] = field(default_factory=list)
    faults: dict[int, Callable[[], None]] = field(default_factory=dict)
    on_write: Callable[[str, str, Values], None] = lambda operation, remote_id, values: None
    refuse: Callable[[Values], str] = lambda values: ""
    refuses: Callable[[str, Value], str] = lambda name, value: ""
    owners: tuple[Owner, ...] = ()
    expired: bool = False
    hidden: set[str] = field(default_factory=set)
    next_id: int = 1
    on_call: Callable[[], None] = lambda: None
    unproven: int = 0
    unsent: Callable[[Values], bool] = lambda values: False
    unreadable: set[str] = field(default_factory=set)
    shows: Callable[[Values], Values] = lambda values: values
    stored: Callable[[Field, Value], Value] = lambda field, value: value

    # The feed

    fresh_feed: bool = True
    """False: the app says of itself that its feed can show older states than we hold."""
    lag: int = 0
    """The feed, delta and full, shows every contact as it was this many changes ago."""
    search_lag: int = 0
    """find() does not see contacts first made within the last n changes."""
    visibility: timedelta = timedelta(0)
    """How long the app says that a new contact may take to show."""
    delivers: Callable[[list[Observed]], list[Observed]] = lambda records: records
    """What becomes of the records of a page on their way: twice, in another order, with holes."""
    tombstones: bool = True
    """False: a delta shows no deletions."""
    cursor: str = ""
    """What becomes of the next delta cursor: "expired" and "malformed" are refused once, "reset" starts over unsaid."""
    time_feed: Callable[[], datetime] | None = None
    """The app's clock: the delta is then asked by time, and goes back by an overlap of the app's own stamps."""
    skew: timedelta = timedelta(0)
    """How far the app's stamps are from its clock."""
    granularity: timedelta = timedelta(microseconds=1)
    """The app's stamps are cut to this: timedelta(minutes=1) tells no two changes of a minute apart."""
    page_size: int = PAGE
    total: bool = False
    """Listings page by offset over rows that move (last changed first), and prove nothing but their count."""
    page_error: int | None = None
    """The page of a listing, counted from 1, that fails once."""
    lists_nothing: bool = False
    """A full listing is empty, and calls itself complete."""
    omits: Callable[[str, str], bool] = lambda call, name: False
    """Whether an answer to `call` (changes, read, find, write) leaves this field out."""
    identity: str = ""
    """What check() answers; the app's name where empty. Another one: the token is for another account."""
    old_ids_answer: bool = False
    """A read by the id that a contact had before answers with the contact; else that id is gone."""

    # Writes

    marker_found_by: str = "search"
    renames_on_write: Callable[[str, Values], str] = lambda remote_id, values: remote_id
    """The id that a contact has after this update."""
    all_or_nothing: bool = False
    """A batch with a refused item: that one is refused, and nothing of the others is done."""
    breaks_at: int | None = None
    """The next batch stops yielding after so many results; what it did until then is done."""
    breaks_unreported: bool = False
    """The item after the last result of a batch that breaks is done all the same."""
    answers_failures: bool = False
    """A failed write is a result (unknown or not sent), and the rest of its batch is not sent; else it is raised."""
    reads_back_late: bool = False
    """The contacts of a batch are read back after its last write, not each at once."""
    etag: str = ""
    """What a conditional app makes of the etag. "checked": compares it in the moment of writing. "ignored": writes
    whatever stands there. "refused": never takes it. Empty: the connector reads again right before it writes."""
    ignores: Callable[[str, Value], bool] = lambda name, value: False
    """Values that the app accepts, and does not keep."""

    archived: dict[str, Contact] = field(default_factory=dict)
    markers: dict[str, str] = field(default_factory=dict)
    previous_ids: dict[str, tuple[str, ...]] = field(default_factory=dict)
    history: list[Contact | None] = field(default_factory=list)
    stamps: list[datetime] = field(default_factory=list)
    made: dict[str, int] = field(default_factory=dict)
    named_faults: dict[str, list[Callable[[], None]]] = field(default_factory=dict)

    # People

    def person_creates(self, remote_id: str = "", **values: Value) -> str:
        remote_id = remote_id or f"{self.name}-{self.next_id}"
        self.next_id += 1
        self.contacts[remote_id] = {one.name: values.get(one.name) for one in self.fields}
        self.touch(remote_id)
        return remote_id

    def person_edits(self, remote_id: str, **values: Value) -> None:
        self.contacts[remote_id] = {**self.contacts[remote_id], **values}
        self.touch(remote_id)

    def person_deletes(self, remote_id: str) -> None:
        del self.contacts[remote_id]
        self.touch(remote_id)

    def person_archives(self, remote_id: str) -> None:
        """A soft delete: no listing and no read shows the contact, but it can come back as it was."""
        self.archived[remote_id] = self.contacts[remote_id]
        self.person_deletes(remote_id)

    def person_unarchives(self, remote_id: str) -> None:
        self.contacts[remote_id] = self.archived.pop(remote_id)
        self.touch(remote_id)

    def person_renames(self, old: str, new: str) -> None:
        """The contact gets another id: the feed shows it there, with its old ids, and a tombstone of the old one."""
        self.contacts[new] = self.contacts.pop(old)
        self.previous_ids[new] = (*self.previous_ids.pop(old, ()), old)
        self.made[new] = self.made.get(old, len(self.log) + 1)
        if old in self.markers:
            self.markers[new] = self.markers.pop(old)
        self.touch(old)
        self.touch(new)

    def person_merges(self, loser: str, winner: str) -> None:
        """Two contacts become one in the app: the winner keeps its values, and takes the loser's where it has none."""
        lost = self.contacts.pop(loser)
        kept = self.contacts[winner]
        self.contacts[winner] = {name: lost.get(name) if value is None else value for name, value in kept.items()}
        older = (*self.previous_ids.get(winner, ()), *self.previous_ids.pop(loser, ()))
        self.previous_ids[winner] = (*older, loser)
        self.touch(loser)
        self.touch(winner)

    def field_becomes(self, name: str, **changes: object) -> None:
        """An administrator changes a field: `writable=False`, other `choices`, a shorter `max_length`."""
        self.fields = tuple(
            replace(one, **changes) if one.name == name else one  # type: ignore[arg-type]
            for one in self.fields
        )

    def normalises(self, name: str, how: Callable[[str], str]) -> None:
        """The app shows this field's texts in its own way, and its connector knows it."""
        shows, stored = self.shows, self.stored

        def shown(values: Values) -> Values:
            before = shows(values)
            value = before.get(name)
            return {**before, name: how(value)} if isinstance(value, str) else before

        def kept(field: Field, value: Value) -> Value:
            value = stored(field, value)
            return how(value) if field.name == name and isinstance(value, str) else value

        self.shows, self.stored = shown, kept

    def restore(self, position: int) -> None:
        """The app's own database is set back: it is as it was after so many changes, and knows nothing of the rest."""
        self.contacts = self.state_at(position)
        del self.log[position:], self.history[position:], self.stamps[position:]
        known = {remote_id: index for index, remote_id in enumerate(self.log, 1)}
        self.etags = known
        self.made = {remote_id: at for remote_id, at in self.made.items() if at <= position}
        self.markers = {one: mark for one, mark in self.markers.items() if one in self.contacts}
        self.previous_ids = {one: ids for one, ids in self.previous_ids.items() if one in self.contacts}

    def by_email(self, email: str) -> list[Contact]:
        return [values for values in self.contacts.values() if values.get("email") == email]

    def touch(self, remote_id: str) -> None:
        contact = self.contacts.get(remote_id)
        self.log.append(remote_id)
        self.history.append(None if contact is None else dict(contact))
        self.stamps.append(self.stamp())
        self.etags[remote_id] = len(self.log)
        if contact is None:
            self.made.pop(remote_id, None)
        else:
            self.made.setdefault(remote_id, len(self.log))

    def stamp(self) -> datetime:
        time = datetime(2026, 1, 1) if self.time_feed is None else self.time_feed() + self.skew
        since = time - datetime.min.replace(tzinfo=time.tzinfo)
        return time - since % self.granularity

    def state_at(self, position: int) -> dict[str, Contact]:
        """The contacts as they were after so many changes."""
        last = {remote_id: self.history[index] for index, remote_id in enumerate(self.log[:position])}
        return {remote_id: dict(contact) for remote_id, contact in last.items() if contact is not None}

    # Calls

    def call(self, what: str) -> None:
        self.calls.append(what)
        self.on_call()
        fault = self.faults.pop(len(self.calls), None)
        if fault is not None:
            fault()
        named = self.named_faults.get(what)
        if named:
            named.pop(0)()

    def fault_at(self, call: int, fault: Callable[[], None]) -> None:
        self.faults[len(self.calls) + call] = fault

    def fault_in(self, what: str, fault: Callable[[], None]) -> None:
        """In the next call of this name: check, changes, read, read_many, find, reread; create and update right before
        the app applies them, created and updated right after."""
        self.named_faults.setdefault(what, []).append(fault)


def raising(error: ConnectorError) -> Callable[[], None]:
    """A fault that is this error."""

    def fault() -> None:
        raise error

    return fault
