"""An app in memory, with people who edit in it, to run the engine without a network.

It counts every call, can fail or crash at any of them, and lets a test look at each write as it lands.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import ClassVar

from syncer.connectors.base import (
    App,
    BookInfo,
    Capabilities,
    CursorExpired,
    Field,
    FieldType,
    Identity,
    Meter,
    Observed,
    Operation,
    Outcome,
    Owner,
    Page,
    RecordGone,
    Role,
    Transient,
    Value,
    Values,
    Write,
    WriteResult,
)

FIELDS = (
    Field("given", "First name", FieldType.TEXT, Role.GIVEN),
    Field("family", "Last name", FieldType.TEXT, Role.FAMILY),
    Field("email", "E-mail", FieldType.EMAIL, Role.EMAIL),
    Field("mobile", "Mobile", FieldType.PHONE, Role.PHONE_MOBILE),
    Field("title", "Job title", FieldType.TEXT, Role.TITLE),
    Field("note", "Note", FieldType.LONG_TEXT, Role.NOTE),
    Field("tags", "Tags", FieldType.TAGS, Role.TAGS),
)
PAGE = 50


class Crash(BaseException):
    """The process dies here."""


@dataclass
class MemoryApp:
    """One account with one book, `contacts`. `faults` maps the number of a call, counted from now, to what happens in
    it; `mutations` holds every write as (operation, id, values). `unproven` listings end without a proof that they were
    complete; `unsent` says which writes never leave; reading an `unreadable` contact by id fails; `shows` is how the
    app shows what it holds."""

    name: str
    fields: tuple[Field, ...] = FIELDS
    create: str = "client_id"
    conditional: bool = False
    delta: bool = True
    contacts: dict[str, dict[str, Value]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    etags: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    mutations: list[tuple[str, str, dict[str, Value]]] = field(default_factory=list)
    faults: dict[int, Callable[[], None]] = field(default_factory=dict)
    on_write: Callable[[str, str, Values], None] = lambda operation, remote_id, values: None
    refuse: Callable[[Values], str] = lambda values: ""
    owners: tuple[Owner, ...] = ()
    expired: bool = False
    hidden: set[str] = field(default_factory=set)
    next_id: int = 1
    on_call: Callable[[], None] = lambda: None
    unproven: int = 0
    unsent: Callable[[Values], bool] = lambda values: False
    unreadable: set[str] = field(default_factory=set)
    shows: Callable[[Values], Values] = lambda values: values

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

    def by_email(self, email: str) -> list[dict[str, Value]]:
        return [values for values in self.contacts.values() if values.get("email") == email]

    def touch(self, remote_id: str) -> None:
        self.log.append(remote_id)
        self.etags[remote_id] = len(self.log)

    def call(self, what: str) -> None:
        self.calls.append(what)
        self.on_call()
        fault = self.faults.pop(len(self.calls), None)
        if fault is not None:
            fault()

    def fault_at(self, call: int, fault: Callable[[], None]) -> None:
        self.faults[len(self.calls) + call] = fault


class MemoryConnector:
    """The connector for a MemoryApp."""

    app: ClassVar[App] = App(
        "memory", "Memory", (), (), Capabilities(tags=True, read_batch=50, write_batch=10, tombstones=True)
    )

    def __init__(self, world: MemoryApp, meter: Meter | None = None) -> None:
        self.world, self.meter = world, meter
        capabilities = Capabilities(
            delta=world.delta,
            tombstones=world.delta,
            conditional_update=world.conditional,
            create=world.create,
            tags=True,
            read_batch=50,
            write_batch=10,
        )
        self.app = replace(type(self).app, slug=world.name, label=world.name.title(), capabilities=capabilities)  # type: ignore[misc]

    def call(self, what: str) -> None:
        if self.meter is not None:
            self.meter.take()
        self.world.call(what)

    def check(self) -> Identity:
        self.call("check")
        return Identity(self.world.name, self.world.name)

    def books(self) -> Sequence[BookInfo]:
        return [BookInfo("contacts", "Contacts")]

    def fields_of(self) -> Sequence[Field]:
        return self.world.fields

    def fields(self, book: str) -> Sequence[Field]:
        return self.world.fields

    def owners(self) -> Sequence[Owner]:
        return self.world.owners

    def tags(self, book: str) -> Sequence[str]:
        return []

    def observed(self, remote_id: str) -> Observed:
        contact = self.world.contacts[remote_id]
        values = self.world.shows({one.name: contact.get(one.name) for one in self.world.fields})
        return Observed(remote_id, values, str(self.world.etags[remote_id]))

    def changes(self, book: str, cursor: str, fields: Sequence[str]) -> Page:
        self.call("changes")
        if self.world.expired:
            self.world.expired = False
            raise CursorExpired("expired")
        kind, _, rest = cursor.partition(":")
        return self.full_page(rest) if kind != "delta" else self.delta_page(int(rest))

    def full_page(self, rest: str) -> Page:
        start, after = rest.split(",") if rest else (str(len(self.world.log)), "")
        ids = [one for one in sorted(self.world.contacts) if one > after and one not in self.world.hidden]
        page = ids[:PAGE]
        done = len(ids) <= PAGE
        unproven = done and self.world.unproven > 0
        self.world.unproven -= unproven
        return Page(
            records=[self.observed(one) for one in page],
            cursor="" if done else f"full:{start},{page[-1]}",
            done=done,
            complete=done and not unproven,
            finish=f"delta:{start}",
        )

    def delta_page(self, position: int) -> Page:
        changed = list(dict.fromkeys(self.world.log[position : position + PAGE]))
        end = min(position + PAGE, len(self.world.log))
        live = [one for one in changed if one in self.world.contacts]
        return Page(
            records=[self.observed(one) for one in live],
            gone=[one for one in changed if one not in self.world.contacts],
            cursor=f"delta:{end}",
            finish=f"delta:{len(self.world.log)}" if end == len(self.world.log) else "",
            done=end == len(self.world.log),
        )

    def read(self, book: str, remote_id: str, fields: Sequence[str]) -> Observed:
        self.call("read")
        self.refuse_to_read([remote_id])
        if remote_id not in self.world.contacts:
            raise RecordGone(remote_id)
        return self.observed(remote_id)

    def read_many(self, book: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Sequence[Observed | None]:
        self.call("read_many")
        self.refuse_to_read(remote_ids)
        return [self.observed(one) if one in self.world.contacts else None for one in remote_ids]

    def refuse_to_read(self, remote_ids: Sequence[str]) -> None:
        if self.world.unreadable & set(remote_ids):
            raise Transient("the app fails at this contact")

    def find(self, book: str, match_key: str = "", marker: str = "", fields: Sequence[str] = ()) -> Sequence[Observed]:
        self.call("find")
        return [
            self.observed(one)
            for one, values in self.world.contacts.items()
            if isinstance(email := values["email"], str) and email.casefold() == match_key
        ]

    def created_id(self, book: str, write: Write) -> str:
        return f"id-{write.key}" if self.world.create == "client_id" else ""

    def stored(self, field: Field, value: Value) -> Value:
        return value

    def write(self, book: str, writes: Sequence[Write]) -> Iterator[WriteResult]:
        for write in writes:
            if self.world.unsent(write.values):
                yield WriteResult(Outcome.NOT_SENT, detail="the app did not take it")
                continue
            yield self.created(write) if write.operation == Operation.CREATE else self.updated(write)

    def created(self, write: Write) -> WriteResult:
        problem = self.world.refuse(write.values)
        if problem:
            return WriteResult(Outcome.REFUSED, detail=problem)
        self.call("create")
        remote_id = self.created_id("", write) or f"{self.world.name}-{self.world.next_id}"
        self.world.next_id += 1
        self.world.on_write("create", remote_id, write.values)
        self.world.contacts[remote_id] = {one.name: write.values.get(one.name) for one in self.world.fields}
        self.world.touch(remote_id)
        self.world.mutations.append(("create", remote_id, dict(write.values)))
        self.call("created")
        return WriteResult(Outcome.DONE, self.observed(remote_id))

    def updated(self, write: Write) -> WriteResult:
        if write.remote_id not in self.world.contacts:
            return WriteResult(Outcome.GONE)
        self.call("reread")
        now = self.observed(write.remote_id)
        if not write.still_holds(now):
            return WriteResult(Outcome.STALE, now)
        problem = self.world.refuse(write.values)
        if problem:
            return WriteResult(Outcome.REFUSED, detail=problem)
        self.call("update")
        self.world.on_write("update", write.remote_id, write.values)
        self.world.contacts[write.remote_id] |= dict(write.values)
        self.world.touch(write.remote_id)
        self.world.mutations.append(("update", write.remote_id, dict(write.values)))
        self.call("updated")
        return WriteResult(Outcome.DONE, self.observed(write.remote_id))


@dataclass
class TestClock:
    """A clock that stands until it is moved."""

    __test__: ClassVar[bool] = False
    time: datetime
    ticks: float = 0.0

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.ticks

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        self.ticks += seconds
