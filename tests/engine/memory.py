"""An app in memory, with people who edit in it, to run the engine without a network.

It counts every call, can fail or crash at any of them, and lets a test look at each write as it lands. The app and its
levers are in app.py; here is its connector.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar

from syncer.connectors.base import (
    App,
    BookInfo,
    Capabilities,
    CursorExpired,
    Field,
    Identity,
    Meter,
    Observed,
    Operation,
    Outcome,
    Owner,
    Page,
    RateLimited,
    RecordGone,
    Rejected,
    Transient,
    Value,
    Values,
    Write,
    WriteResult,
)
from tests.engine.app import FIELDS, PAGE, STATUS, STATUSES, Contact, Crash, MemoryApp, die, raising

__all__ = ["FIELDS", "PAGE", "Crash", "MemoryApp", "MemoryConnector", "TestClock", "die", "raising", "slug_of"]

Sent = tuple[str, int]
"""The contact that a write left, and its etag then."""


class MemoryConnector:
    """The connector for a MemoryApp."""

    app: ClassVar[App] = App(
        "memory", "Memory", (), (), Capabilities(tags=True, read_batch=50, write_batch=10, tombstones=True)
    )

    def __init__(self, world: MemoryApp, meter: Meter | None = None) -> None:
        self.world, self.meter = world, meter
        capabilities = Capabilities(
            delta=world.delta,
            tombstones=world.delta and world.tombstones,
            fresh_feed=world.fresh_feed,
            conditional_update=world.conditional,
            create=world.create,
            marker_found_by=world.marker_found_by,
            visibility_delay=world.visibility,
            tags=True,
            unsubscribes=type(self).app.capabilities.unsubscribes,
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
        who = self.world.identity or self.world.name
        return Identity(who, who)

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

    def observed(self, remote_id: str, call: str = "read") -> Observed:
        contact = self.world.contacts[remote_id]
        return self.shown(remote_id, contact, self.world.etags[remote_id], call)

    def shown(self, remote_id: str, contact: Contact, etag: int, call: str) -> Observed:
        values = self.world.shows({one.name: contact.get(one.name) for one in self.world.fields})
        return Observed(
            remote_id,
            {name: value for name, value in values.items() if not self.world.omits(call, name)},
            str(etag),
            marker=self.world.markers.get(remote_id, ""),
            previous_ids=self.world.previous_ids.get(remote_id, ()),
        )

    # Passes

    def changes(self, book: str, cursor: str, fields: Sequence[str]) -> Page:
        self.call("changes")
        kind, _, rest = cursor.partition(":")
        trouble = self.world.cursor if kind in ("delta", "since") else ""
        if self.world.expired or trouble in ("expired", "malformed"):
            self.world.expired, self.world.cursor = False, ""
            raise CursorExpired("expired")
        if trouble == "reset":
            self.world.cursor, rest = "", "0" if kind == "delta" else str(datetime.min)
        if kind == "since":
            rest = str(bisect_left(self.world.stamps, datetime.fromisoformat(rest)))
        page = self.full_page(rest) if kind not in ("delta", "since") else self.delta_page(int(rest))
        return replace(page, records=self.world.delivers(list(page.records)))

    def newest(self) -> int:
        """How many changes the feed shows so far."""
        return max(0, len(self.world.log) - self.world.lag)

    def now(self) -> dict[str, Contact]:
        """The contacts as the feed shows them."""
        return self.world.contacts if self.world.lag == 0 else self.world.state_at(self.newest())

    def of_feed(self, remote_id: str, contact: Contact) -> Observed:
        if self.world.lag == 0:
            return self.observed(remote_id, "changes")
        position = self.newest()
        etag = max(at for at, one in enumerate(self.world.log[:position], 1) if one == remote_id)
        return self.shown(remote_id, contact, etag, "changes")

    def finish(self, position: int) -> str:
        """The cursor of the delta that begins at this change. Asked by time, it goes back twice the granularity from
        the newest stamp, so that a change with the same stamp is seen again rather than missed."""
        if self.world.time_feed is None:
            return f"delta:{position}"
        stamps = self.world.stamps[:position]
        return f"since:{stamps[-1] - 2 * self.world.granularity if stamps else datetime.min}"

    def full_page(self, rest: str) -> Page:
        start, number, last = rest.split(",", 2) if rest else (str(self.newest()), "0", "")
        self.fail_page(int(number) + 1)
        shown = {} if self.world.lists_nothing else self.now()
        if self.world.total:
            return self.offset_page(shown, int(start), int(number))
        ids = [one for one in sorted(shown) if one > last and one not in self.world.hidden]
        page = ids[: self.world.page_size]
        done = len(ids) <= self.world.page_size
        unproven = done and self.world.unproven > 0
        self.world.unproven -= unproven
        return Page(
            records=[self.of_feed(one, shown[one]) for one in page],
            cursor="" if done else f"full:{start},{int(number) + 1},{page[-1]}",
            done=done,
            complete=done and not unproven,
            finish=self.finish(int(start)),
        )

    def offset_page(self, shown: dict[str, Contact], start: int, number: int) -> Page:
        """Rows move to the top when they change, between two pages too: some are then shown twice and others not."""
        rows = sorted(shown, key=lambda one: (-self.world.etags[one], one))
        rows = [one for one in rows if one not in self.world.hidden]
        end = (number + 1) * self.world.page_size
        return Page(
            records=[self.of_feed(one, shown[one]) for one in rows[number * self.world.page_size : end]],
            cursor="" if end >= len(rows) else f"full:{start},{number + 1},",
            done=end >= len(rows),
            total=len(rows),
            finish=self.finish(start),
        )

    def fail_page(self, number: int) -> None:
        if self.world.page_error == number:
            self.world.page_error = None
            raise Transient("the app failed at this page")

    def delta_page(self, position: int) -> Page:
        newest, size = self.newest(), self.world.page_size
        changed = list(dict.fromkeys(self.world.log[position : min(position + size, newest)]))
        end = min(position + size, newest)
        shown = self.now()
        gone = [one for one in changed if one not in shown] if self.world.tombstones else []
        return Page(
            records=[self.of_feed(one, shown[one]) for one in changed if one in shown],
            gone=gone,
            cursor=f"delta:{end}",
            finish=self.finish(max(newest, position)) if end == newest else "",
            done=end == newest,
            total=len(shown) if self.world.total else None,
        )

    # Reads

    def read(self, book: str, remote_id: str, fields: Sequence[str]) -> Observed:
        self.call("read")
        self.refuse_to_read([remote_id])
        found = self.by_id(remote_id)
        if found is None:
            raise RecordGone(remote_id)
        return found

    def read_many(self, book: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Sequence[Observed | None]:
        self.call("read_many")
        self.refuse_to_read(remote_ids)
        return [self.by_id(one) for one in remote_ids]

    def by_id(self, remote_id: str) -> Observed | None:
        if remote_id in self.world.contacts:
            return self.observed(remote_id)
        moved = [one for one, ids in self.world.previous_ids.items() if remote_id in ids and one in self.world.contacts]
        return self.observed(moved[0]) if moved and self.world.old_ids_answer else None

    def refuse_to_read(self, remote_ids: Sequence[str]) -> None:
        if self.world.unreadable & set(remote_ids):
            raise Transient("the app fails at this contact")

    def find(self, book: str, match_key: str = "", marker: str = "", fields: Sequence[str] = ()) -> Sequence[Observed]:
        self.call("find")
        seen = [one for one in self.world.contacts if self.searchable(one)]
        if marker:
            return [self.observed(one, "find") for one in seen if self.world.markers.get(one) == marker]
        return [
            self.observed(one, "find")
            for one in seen
            if isinstance(email := self.world.contacts[one]["email"], str) and email.casefold() == match_key
        ]

    def searchable(self, remote_id: str) -> bool:
        return self.world.made.get(remote_id, 0) <= len(self.world.log) - self.world.search_lag

    def created_id(self, book: str, write: Write) -> str:
        return f"id-{write.key}" if self.world.create == "client_id" else ""

    def stored(self, field: Field, value: Value) -> Value:
        return self.world.stored(field, value)

    # Writes

    def write(self, book: str, writes: Sequence[Write]) -> Iterator[WriteResult]:
        refused = [self.problem_with(write) is not None for write in writes]
        if self.world.all_or_nothing and any(refused):
            yield from (self.refused(write) if no else NOT_TAKEN for write, no in zip(writes, refused, strict=True))
            return
        breaks_at, self.world.breaks_at = self.world.breaks_at, None
        late: list[WriteResult | Sent] = []
        for number, write in enumerate(writes):
            if number == breaks_at:
                if self.world.breaks_unreported:
                    self.result_of(write)
                break
            result = self.result_of(write)
            if isinstance(result, WriteResult) or self.world.reads_back_late:
                late.append(result)
            else:
                late.append(self.read_back(result))
            if not self.world.reads_back_late:
                yield from self.read_backs(late)
                late = []
            if self.world.answers_failures and isinstance(result, WriteResult) and result.outcome in HALTING:
                late += [WriteResult(Outcome.NOT_SENT, detail="the app fails")] * (len(writes) - number - 1)
                break
        yield from self.read_backs(late)

    def read_backs(self, results: Sequence[WriteResult | Sent]) -> Iterator[WriteResult]:
        return (one if isinstance(one, WriteResult) else self.read_back(one) for one in results)

    def read_back(self, sent: Sent) -> WriteResult:
        """A conditional app shows by the etag whether somebody edited the contact since our write."""
        remote_id, etag = sent
        if remote_id not in self.world.contacts:
            return WriteResult(Outcome.GONE)
        edited = self.world.conditional and self.world.etags[remote_id] != etag
        return WriteResult(Outcome.DONE, self.observed(remote_id, "write"), edited=edited)

    def result_of(self, write: Write) -> WriteResult | Sent:
        """Apply one write. What is raised in it becomes its result where the app `answers_failures`; a refusal always
        does."""
        if self.world.unsent(write.values):
            return WriteResult(Outcome.NOT_SENT, detail="the app did not take it")
        try:
            return self.created(write) if write.operation == Operation.CREATE else self.updated(write)
        except Rejected as error:
            return WriteResult(Outcome.REFUSED, field=error.field, detail=str(error))
        except (Transient, RateLimited) as error:
            if not self.world.answers_failures:
                raise
            applied = isinstance(error, Transient) and error.maybe_applied
            return WriteResult(Outcome.UNKNOWN if applied else Outcome.NOT_SENT, detail=str(error))

    def problem_with(self, write: Write) -> tuple[str, str] | None:
        """(field, reason) where the app refuses this write."""
        for one in self.world.fields:
            value = write.values.get(one.name)
            if (
                one == STATUS
                and one.name in write.values
                and write.operation == Operation.UPDATE
                and value != "unsubscribed"
            ):
                return one.name, f"an update does not make anybody {value}"
            if one.name in write.values and not one.writable:
                return one.name, f"{one.label} cannot be written"
            if one.choices and value is not None and value not in [choice for choice, _ in one.choices]:
                return one.name, f"{one.label}: not a choice"
            if one.name in write.values and (reason := self.world.refuses(one.name, value)):
                return one.name, reason
        reason = self.world.refuse(write.values)
        return ("", reason) if reason else None

    def refused(self, write: Write) -> WriteResult:
        field, reason = self.problem_with(write) or ("", "")
        return WriteResult(Outcome.REFUSED, field=field, detail=reason)

    def kept(self, values: Values) -> Contact:
        return {name: value for name, value in values.items() if not self.world.ignores(name, value)}

    def created(self, write: Write) -> WriteResult | Sent:
        if self.problem_with(write) is not None:
            return self.refused(write)
        self.call("create")
        remote_id = self.created_id("", write) or f"{self.world.name}-{self.world.next_id}"
        if remote_id in self.world.contacts:
            return WriteResult(Outcome.UNKNOWN, detail="a contact of this id is there already")
        self.world.next_id += 1
        self.world.on_write("create", remote_id, write.values)
        kept = self.kept(write.values)
        self.world.contacts[remote_id] = {one.name: kept.get(one.name) for one in self.world.fields}
        if self.world.create == "marker":
            self.world.markers[remote_id] = write.key
        self.world.touch(remote_id)
        self.world.mutations.append(("create", remote_id, dict(write.values)))
        etag = self.world.etags[remote_id]
        self.call("created")
        return remote_id, etag

    def updated(self, write: Write) -> WriteResult | Sent:
        remote_id = write.remote_id
        if remote_id not in self.world.contacts:
            return WriteResult(Outcome.GONE)
        if not self.world.etag:
            self.call("reread")
            if (now := self.by_id(remote_id)) is None:
                return WriteResult(Outcome.GONE)
            if not write.still_holds(now):
                return WriteResult(Outcome.STALE, now)
        if self.problem_with(write) is not None:
            return self.refused(write)
        self.call("update")
        if remote_id not in self.world.contacts:
            return WriteResult(Outcome.GONE)
        if self.world.etag == "refused" or (self.world.etag == "checked" and self.moved(write)):
            return WriteResult(Outcome.STALE, self.observed(remote_id, "write"))
        self.world.on_write("update", remote_id, write.values)
        new_id = self.world.renames_on_write(remote_id, write.values)
        self.world.contacts[remote_id] |= self.kept(write.values)
        if new_id == remote_id:
            self.world.touch(remote_id)
        else:
            self.world.person_renames(remote_id, new_id)
        self.world.mutations.append(("update", remote_id, dict(write.values)))
        etag = self.world.etags[new_id]
        self.call("updated")
        return new_id, etag

    def moved(self, write: Write) -> bool:
        return write.etag != str(self.world.etags[write.remote_id])


class MarketingConnector(MemoryConnector):
    """The connector for a MemoryApp that keeps consent."""

    app: ClassVar[App] = replace(
        MemoryConnector.app,
        slug="marketing",
        label="Marketing",
        capabilities=replace(MemoryConnector.app.capabilities, unsubscribes=True),
        statuses=STATUSES,
    )


def slug_of(app: MemoryApp) -> str:
    """By which the registry knows its connector."""
    return "marketing" if STATUS in app.fields else "memory"


HALTING = (Outcome.UNKNOWN, Outcome.NOT_SENT)
NOT_TAKEN = WriteResult(Outcome.NOT_SENT, detail="the app takes all of a batch or nothing")


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
