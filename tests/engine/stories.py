"""A stage on which a story of people and runs can be told again and again, each time with another fault at another
tick, and what has to be true after every telling.

A *tick* is what leaves the process or outlives it: a call to an app, or a commit (of a transaction that wrote, or of a
statement that stands alone). A dead process does nothing more: no clean-up reaches the database, its open transaction
is rolled back, and its lease runs out.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from django.core.cache import cache
from django.db import connection as database
from django.db import transaction
from django.db.models.functions import Now

from connections.fieldtypes import same
from connections.models import Connection, FieldMapping
from syncer import services as sync_services
from syncer.audit.verify import verify
from syncer.connectors.base import Transient, Value, Values
from syncer.engine.run import Outcome, Worker, run_slice
from syncer.models import Book, Change, Link, LogChain, Record, Side, SyncLog, SyncRun
from syncer.models.lease import AccountLease
from syncer.models.link import ENDED
from tests.engine.memory import FIELDS, Crash, MemoryApp, TestClock, die
from tests.engine.three import Net
from tests.engine.world import World


class Kind(StrEnum):
    BEFORE = "crash before"
    AFTER = "crash after"
    FAIL = "fail"
    TIMEOUT = "time-out after apply"


CRASHES = (Kind.BEFORE, Kind.AFTER)
LANDS = {"create": "created", "update": "updated"}
"""The calls that change an app, and what follows each once it has landed."""


@dataclass(frozen=True)
class Tick:
    """`survives`: what the process did up to here outlives it, so that a death after it is another than one before."""

    what: str
    kinds: tuple[Kind, ...]
    survives: bool

    def __str__(self) -> str:
        return self.what


@dataclass
class Ticks:
    """Counts the ticks of a run, and lets one of them go wrong: `number` (from 1), in the way of `kind`."""

    number: int = 0
    kind: Kind | None = None
    seen: list[Tick] = field(default_factory=list)
    dead: bool = False
    resting: bool = True
    landing: tuple[str, Kind] | None = None
    floor: int = 0
    wrote: str = ""

    def start(self, number: int, kind: Kind | None) -> None:
        self.number, self.kind, self.seen, self.landing = number, kind, [], None
        self.dead, self.resting, self.floor, self.wrote = False, False, depth(), ""

    @contextmanager
    def rest(self) -> Iterator[None]:
        """What somebody else does meanwhile is no tick of this process, nor does it die with it."""
        was, self.resting = self.resting, True
        try:
            yield
        finally:
            self.resting = was

    def tick(self, what: str, kinds: tuple[Kind, ...], survives: bool) -> Kind | None:
        """Count one; how it goes wrong, if it does."""
        self.seen.append(Tick(what, kinds, survives))
        return self.kind if len(self.seen) == self.number else None

    def call(self, app: str, what: str) -> None:
        """Stands at the start of each call to an app, and once more where a write has landed."""
        if self.resting:
            return
        if self.dead:
            raise Crash
        if what in LANDS.values():
            landing, self.landing = self.landing, None
            if landing == (app, Kind.TIMEOUT):
                raise Transient("no answer", maybe_applied=True)
            if landing == (app, Kind.AFTER):
                self.die()
            return
        writes = what in LANDS
        kind = self.tick(f"{what} at the {app}", tuple(Kind) if writes else (*CRASHES, Kind.FAIL), writes)
        if kind == Kind.FAIL:
            raise Transient("no connection")
        if kind == Kind.BEFORE:
            self.die()
        if writes and kind is not None:
            self.landing = (app, kind)
        elif kind == Kind.AFTER:
            self.dead = True

    def statement(self, run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        verb = sql.split(None, 1)[0].upper()
        if self.resting or (self.dead and verb in ("ROLLBACK", "RELEASE")):
            return run(sql, params, many, context)
        if self.dead:
            die(context)
        if verb in ("INSERT", "UPDATE", "DELETE"):
            self.wrote = " ".join(sql.split()[: 4 if verb == "INSERT" else 3])[:50]
        if not self.wrote or verb not in ("INSERT", "UPDATE", "DELETE", "RELEASE") or depth() > self.floor:
            return run(sql, params, many, context)
        kind, self.wrote = self.tick(f"commit of {self.wrote}", CRASHES, True), ""
        if kind == Kind.BEFORE and verb == "RELEASE":
            self.dead = True
            run(sql.replace("RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT"), params, many, context)
        if kind == Kind.BEFORE:
            self.die()
        result = run(sql, params, many, context)
        if kind == Kind.AFTER:
            self.die()
        return result

    def die(self) -> None:
        self.dead = True
        raise Crash


def depth() -> int:
    """How many savepoints are open; each stands for a transaction, as all of a test is in one."""
    return sum(sid is not None for sid in database.savepoint_ids)


class Undone(Exception):
    """Ends a telling without a trace."""


@contextmanager
def undone() -> Iterator[None]:
    with suppress(Undone), transaction.atomic():
        yield
        raise Undone


@dataclass(frozen=True)
class Entered:
    """What a person did to one contact, after the entry `after` of the trail: values written, None for a deletion.
    `moved_to` is its id from then on, if that is another."""

    after: int
    app: str
    remote_id: str
    values: dict[str, Value] | None
    moved_to: str = ""


@dataclass
class Memory:
    """What a telling changes outside the database."""

    apps: list[dict[str, Any]]
    clock: dict[str, Any]
    stage: dict[str, Any]


@dataclass
class Stage:
    """Apps, the connections between them, and what people did. `approves`: a person lets every plan through that waits,
    and `let_through` are the changes in these. `meanwhile` happens in the next call of that name, once."""

    apps: Sequence[MemoryApp]
    connections: Sequence[int]
    clock: TestClock
    worker: Worker
    approves: bool = False
    ticks: Ticks = field(default_factory=Ticks)
    meanwhile: tuple[str, Callable[["Stage"], None]] | None = None
    journal: list[Entered] = field(default_factory=list)
    shown: dict[tuple[str, str, str], list[Value]] = field(default_factory=dict)
    archive: dict[int, str] = field(default_factory=dict)
    let_through: set[str] = field(default_factory=set)
    steps: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for app in self.apps:
            app.on_call = partial(self.called, app)
            app.on_write = partial(check_write, self, app)

    def connection(self, number: int = 0) -> Connection:
        return Connection.objects.get(pk=self.connections[number])

    # People

    def enters(self, app: MemoryApp, remote_id: str, **values: Value) -> None:
        app.person_creates(remote_id, **values)
        self.note(app, remote_id, dict(app.contacts[remote_id]))

    def edits(self, app: MemoryApp, remote_id: str, **values: Value) -> None:
        app.person_edits(remote_id, **values)
        self.note(app, remote_id, values)

    def deletes(self, app: MemoryApp, remote_id: str) -> None:
        app.person_deletes(remote_id)
        self.note(app, remote_id, None)

    def renames(self, app: MemoryApp, remote_id: str, to: str) -> None:
        """The contact gets another id."""
        app.person_renames(remote_id, to)
        self.note(app, remote_id, {}, to)

    def note(self, app: MemoryApp, remote_id: str, values: dict[str, Value] | None, moved_to: str = "") -> None:
        with self.ticks.rest():
            last = SyncLog.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        self.journal.append(Entered(last, app.name, remote_id, values, moved_to))
        self.look(app)

    def look(self, app: MemoryApp) -> None:
        """Remember all that an app shows just now."""
        for remote_id, values in app.contacts.items():
            for name, value in values.items():
                known = self.shown.setdefault((app.name, remote_id, name), [])
                if value not in known:
                    known.append(value)

    # Runs

    def called(self, app: MemoryApp) -> None:
        what = app.calls[-1]
        self.look(app)
        if self.meanwhile is not None and self.meanwhile[0] == what and not self.ticks.resting:
            (_, act), self.meanwhile = self.meanwhile, None
            with self.ticks.rest():
                act(self)
        self.ticks.call(app.name, what)

    def run(self, number: int = 0, kind: Kind | None = None) -> list[Outcome]:
        """Every connection runs once, slice by slice, up to the death of the process."""
        self.ticks.start(number, kind)
        outcomes = []
        try:
            with database.execute_wrapper(self.ticks.statement):
                for pk in self.connections:
                    outcomes.append(self.one_run(pk))
                    self.steps.append(f"run: {outcomes[-1].status} {outcomes[-1].reason}")
        except Crash:
            self.steps.append("the process dies")
            database.set_rollback(False)
            self.ticks.resting = True
            AccountLease.objects.update(expires_at=Now())
        self.ticks.resting = True
        for app in self.apps:
            self.look(app)
        check_shadows(self)
        self.clock.forward(300)
        return outcomes

    def one_run(self, pk: int) -> Outcome:
        for _ in range(20):
            outcome = run_slice(pk, self.worker)
            if self.ticks.dead:
                raise Crash
            if outcome.again_at is None or outcome.status in ("busy", "wait", "superseded"):
                return outcome
            self.clock.forward(max(0.0, (outcome.again_at - self.clock.now()).total_seconds()))
        raise AssertionError(f"the run does not end: {outcome.status} {outcome.reason}")

    def settle(self, patient: bool = False) -> None:
        """Within three runs one finds nothing to do, and the next writes nothing; nor, for the `patient`, does one an
        hour later."""
        for _ in range(4):
            before = self.writes()
            statuses = {outcome.status for outcome in self.run()}
            quiet = statuses == {"quiet"} and self.writes() == before
            if not self.approve() and quiet and not Change.objects.filter(state="sending").exists():
                break
        else:
            sending = Change.objects.filter(state="sending").count()
            raise AssertionError(f"I14: not quiet after three runs: {statuses}, {sending} writes still open")
        if patient:
            self.clock.forward(3600)
            assert {outcome.status for outcome in self.run()} == {"quiet"}, "I14: not quiet an hour later"
            assert self.writes() == before, "I14: still writing an hour later"

    def approve(self) -> bool:
        """A person lets the plans through that wait; whether there was one."""
        waiting = list(SyncRun.objects.filter(status__in=["waiting", "held"])) if self.approves else []
        for run in waiting:
            self.let_through |= set(run.changes.values_list("digest", flat=True))
            sync_services.approve(run, "anna (staff)", run.plan_digest, self.clock)
            self.steps.append(f"the plan is let through: {run.error}")
        return bool(waiting)

    def writes(self) -> int:
        return sum(len(app.mutations) for app in self.apps)

    # Once more

    def remember(self) -> Memory:
        return Memory(
            [deepcopy({k: v for k, v in vars(app).items() if not callable(v)}) for app in self.apps],
            dict(vars(self.clock)),
            {name: deepcopy(getattr(self, name)) for name in KEPT} | {"meanwhile": self.meanwhile},
        )

    def recall(self, memory: Memory) -> None:
        for app, kept in zip(self.apps, memory.apps, strict=True):
            vars(app).update(deepcopy(kept))
        vars(self.clock).update(memory.clock)
        for name in KEPT:
            setattr(self, name, deepcopy(memory.stage[name]))
        self.meanwhile = memory.stage["meanwhile"]
        cache.clear()


KEPT = ("journal", "shown", "archive", "let_through", "steps", "broken")


# Building


def stage_of(world: World | Net) -> Stage:
    connections = [world.connection] if isinstance(world, World) else world.connections
    apps = [world.left, world.right] if isinstance(world, World) else list(world.apps)
    return Stage(apps, [one.pk for one in connections], world.clock, world.worker)


# What has to be true of each write, looked at before it lands


MEANS = {"create": ("create",), "update": ("update", "tag", "untag")}


def check_write(stage: Stage, app: MemoryApp, operation: str, remote_id: str, values: Values) -> None:
    """An assertion in here would look like a failing app to the engine: what is wrong is kept for the end."""
    with stage.ticks.rest():
        stage.broken += [
            f"{operation} {remote_id} {dict(values)}: {one}" for one in wrongs(stage, app, operation, remote_id, values)
        ]
    stage.steps.append(f"{app.name}: {operation} {remote_id} {dict(values)}")


def wrongs(stage: Stage, app: MemoryApp, operation: str, remote_id: str, values: Values) -> Iterator[str]:
    if depth() > stage.ticks.floor:
        yield "I3: sent inside a transaction"
    sending = Change.objects.filter(state="sending", operation__in=MEANS[operation], book__account__identity=app.name)
    mine = [
        change
        for change in sending.select_related("link", "record", "run__connection")
        if change.values == dict(values)
        and (change.record is None or current(app, change.record.remote_id) == remote_id)
    ]
    if len(mine) != 1:
        yield f"I3: {len(mine)} open intents for it"
        return
    change, stands = mine[0], app.contacts.get(remote_id, {})
    entry = SyncLog.objects.filter(kind="write.intent", header__contains=str(change.key)).last()
    told = json.loads(entry.payload or stage.archive[entry.pk]) if entry is not None else {}
    if (told.get("after"), told.get("before")) != (dict(values), change.base):
        yield f"I3: the trail says {told}"
    if stage.approves and change.digest not in stage.let_through:
        yield "I29: nobody let this change through"
    if operation == "create":
        unread = Book.objects.filter(sides__connection=change.run.connection, complete_pass=0).exists()
        yield from ["I12: created before both books were read"] if unread else []
        return
    for name, value in values.items():
        if stands.get(name) != change.base.get(name):
            yield f"I1: {name} was {stands.get(name)} and not {change.base.get(name)}"
        agreed = change.operation != "update" or set(change.source) <= set(change.link.shadow)
        if value is None and stands.get(name) is not None and not agreed:
            yield f"I4: {name} is erased at a first meeting"


def current(app: MemoryApp, remote_id: str) -> str:
    """The id that a contact has by now."""
    return next((new for new, old in app.previous_ids.items() if remote_id in old), remote_id)


# What has to be true at every moment


def check_moment(stage: Stage) -> None:
    """The trail is whole, what a cursor has passed is stored, and what a position has passed is judged."""
    for chain in LogChain.objects.all():
        report = verify(chain.name)
        assert report.ok, f"I30: {report}"
    for book in Book.objects.select_related("account"):
        app = next(one for one in stage.apps if one.name == book.account.identity)
        for cursor in {book.cursor, book.page_cursor}:
            kind, _, position = cursor.partition(":")
            if kind == "delta":
                check_stored(book, app, int(position))
    for side in Side.objects.all():
        judged = Record.objects.filter(book=side.book, sequence__lte=side.planned, state="live")
        links = Link.objects.filter(connection=side.connection).exclude(state__in=ENDED)
        left_out = judged.exclude(pk__in=links.exclude(**{side.side: None}).values(side.side))
        assert not left_out.exists(), f"I20: passed without a verdict: {list(left_out.values_list('remote_id'))}"
    check_shadows(stage)


def check_stored(book: Book, app: MemoryApp, position: int) -> None:
    records = {record.remote_id: record for record in book.records.all()}
    for remote_id in set(app.log[:position]) - set(app.log[position:]):
        record, contact = records.get(remote_id), app.contacts.get(remote_id)
        if contact is None:
            assert record is None or record.state != "live", f"I20: the cursor passed the deletion of {remote_id}"
            continue
        assert record is not None, f"I20: the cursor passed {remote_id}, which is not stored"
        old = {name: value for name, value in record.values.items() if value != contact[name]}
        assert not old, f"I20: the cursor passed {remote_id}, and we hold {old}"


def check_shadows(stage: Stage) -> None:
    """A shadow holds only what its side really showed; of tags, some of those."""
    lines = {str(one.code): one for one in FieldMapping.objects.all()}
    for link in Link.objects.exclude(state__in=ENDED).select_related("left__book__account", "right__book__account"):
        for code, pair in link.shadow.items():
            for record, name, value in zip(
                (link.left, link.right), (lines[code].left_field, lines[code].right_field), pair, strict=True
            ):
                if record is not None:
                    shown = shown_of(stage, record, name)
                    seen = value in shown or (
                        isinstance(value, list) and any(set(value) <= set(one or ()) for one in shown)
                    )
                    assert seen, f"I16: {record.remote_id} never showed {name}={value}, only {shown}"


def shown_of(stage: Stage, record: Record, name: str) -> list[Any]:
    """All that a field of this contact showed so far, under whatever id."""
    app = next(one for one in stage.apps if one.name == record.book.account.identity)
    ids = {record.remote_id, *app.previous_ids.get(current(app, record.remote_id), ())}
    return [value for one in ids for value in stage.shown.get((app.name, one, name), [])]


# What has to be true in the end


def check_end(stage: Stage) -> None:
    assert not stage.broken, "\n".join(stage.broken)
    check_moment(stage)
    sending = list(Change.objects.filter(state__in=["planned", "sending"]).values_list("operation", "state"))
    assert not sending, f"still open: {sending}"
    check_links(stage)
    check_deleted(stage)
    trail = trail_of(stage)
    check_replay(stage, trail)
    check_values(stage, trail)
    for app in stage.apps:
        made = Counter(
            str(values["email"]).casefold() for operation, _, values in app.mutations if operation == "create"
        )
        assert max(made.values(), default=1) == 1, f"I11: created more than once in {app.name}: {made}"
        emails = Counter(str(values["email"]).casefold() for values in app.contacts.values())
        assert max(emails.values(), default=1) == 1, f"I11: doubled in {app.name}: {emails}"


def check_deleted(stage: Stage) -> None:
    """Whom a person deleted is there only if a person entered it again."""
    apps = {app.name: app for app in stage.apps}
    for number, one in enumerate(stage.journal):
        if one.values is None:
            emails = [str(value) for value in stage.shown[(one.app, one.remote_id, "email")]]
            again = any(then.values and then.values.get("email") in emails for then in stage.journal[number + 1 :])
            there = [email for email in emails if apps[one.app].by_email(email)]
            assert again or not there, f"I6: {there} came back in {one.app}"


def check_links(stage: Stage) -> None:
    """Each contact has one link in each connection, and one that is not in sync says why; pairs agree but where a
    person is asked."""
    for pk in stage.connections:
        links = list(Link.objects.filter(connection=pk).exclude(state__in=ENDED).select_related("left", "right"))
        for side in Side.objects.filter(connection=pk):
            ids = Counter(getattr(link, f"{side.side}_id") for link in links)
            for record in Record.objects.filter(book=side.book, state="live"):
                assert ids[record.pk] == 1, f"I10: {record.remote_id} has {ids[record.pk]} links in one connection"
        for link in links:
            told = link.state == "in_sync" or link.reason
            assert told, f"I22: {link.state} without a reason"
            ends = link.next_attempt_at or link.refused or link.state not in ("new", "creating", "failing")
            assert ends, f"I22: {link.state} ({link.reason}) without a time"
            if link.state == "in_sync":
                check_agreement(stage, link)


def check_agreement(stage: Stage, link: Link) -> None:
    apps = {app.name: app for app in stage.apps}
    connection = Connection.objects.select_related("left_account", "right_account").get(pk=link.connection_id)
    assert link.left is not None and link.right is not None, "in sync with nobody"
    left = apps[connection.left_account.identity].contacts[link.left.remote_id]
    right = apps[connection.right_account.identity].contacts[link.right.remote_id]
    types = {one.name: one.type for one in FIELDS}
    asked = {code for code in link.holds.filter(resolved=None).values_list("mapping", flat=True) if code is not None}
    for line in connection.mappings.filter(enabled=True, direction="both").exclude(code__in=asked):
        mine, theirs = left[line.left_field], right[line.right_field]
        assert same(types[line.left_field], mine, theirs), (
            f"I15: {line.left_field} is {mine} on the left and {theirs} on the right"
        )


@dataclass(frozen=True)
class Told:
    """One write as the trail tells it."""

    pk: int
    app: str
    operation: str
    remote_id: str
    before: dict[str, Value]
    after: dict[str, Value]
    applied: bool
    stored: dict[str, Value]
    found_at: str


def trail_of(stage: Stage) -> list[Told]:
    """The writes that the trail tells of, each with its one result. Payloads that were erased come from the copy that
    the story kept."""
    rows = list(SyncLog.objects.filter(kind__in=["write.intent", "write.result"]).order_by("pk"))
    payloads = {row.pk: json.loads(row.payload or stage.archive[row.pk]) for row in rows}
    results = {json.loads(row.header)["change"]: row for row in rows if row.kind == "write.result"}
    intents = [row for row in rows if row.kind == "write.intent"]
    assert len(intents) == len(results) == len(rows) / 2, "an intent without its one result"
    return [told_by(row, results[json.loads(row.header)["change"]], payloads) for row in intents]


def told_by(intent: SyncLog, result: SyncLog, payloads: Mapping[int, Any]) -> Told:
    assert intent.connection is not None
    connection = Connection.objects.select_related("left_account", "right_account").get(code=intent.connection)
    said, became = payloads[intent.pk], payloads[result.pk]
    return Told(
        intent.pk,
        connection.account("left" if intent.side == "left" else "right").identity,
        intent.operation,
        said["remote_id"],
        said["before"],
        said["after"],
        json.loads(result.header)["state"] in ("done", "recovered"),
        became.get("stored") or {},
        became.get("remote_id") or said["remote_id"],
    )


def check_replay(stage: Stage, trail: Sequence[Told]) -> None:
    """What people did, and what the trail says that we did, in order, gives the books as they are: nothing else was
    written, and nothing was deleted by us."""
    replayed: dict[str, dict[str, dict[str, Value]]] = {app.name: {} for app in stage.apps}
    empty = {app.name: dict.fromkeys(one.name for one in app.fields) for app in stage.apps}
    events: list[tuple[int, int, Entered | Told]] = [(one.after, 1, one) for one in stage.journal]
    events += [(one.pk, 0, one) for one in trail if one.applied]
    for _, _, event in sorted(events, key=lambda event: event[:2]):
        book = replayed[event.app]
        if isinstance(event, Entered):
            if event.values is None:
                del book[event.remote_id]
                continue
            book[event.moved_to or event.remote_id] = {**book.pop(event.remote_id, {}), **event.values}
        elif event.operation == "create":
            book[event.found_at] = {**empty[event.app], **event.after, **event.stored}
        else:
            book[event.found_at] = {**book.pop(event.remote_id), **event.after, **event.stored}
    for app in stage.apps:
        assert replayed[app.name] == app.contacts, f"I35: {app.name} is {app.contacts}, told as {replayed[app.name]}"


def check_values(stage: Stage, trail: Sequence[Told]) -> None:
    """What a person wrote last in a field stands there still, or in the trail as what a write replaced."""
    apps = {app.name: app for app in stage.apps}
    last: dict[tuple[str, str, str], Value] = {}
    for one in stage.journal:
        for name, value in (one.values or {}).items():
            last[(one.app, current(apps[one.app], one.remote_id), name)] = value
    for (name, remote_id, where), value in last.items():
        stands = apps[name].contacts.get(remote_id)
        deleted = stands is None and any(
            one.values is None and (one.app, one.remote_id) == (name, remote_id) for one in stage.journal
        )
        replaced = any(
            one.applied
            and one.app == name
            and current(apps[name], one.remote_id) == remote_id
            and one.before.get(where) == value
            for one in trail
        )
        assert deleted or replaced or (stands is not None and (value is None or stands[where] == value)), (
            f"I2: {where}={value}, written in {remote_id} of {name}, is lost"
        )


def picture(stage: Stage) -> dict[str, list[str]]:
    """What people see in the end, whatever the ids."""
    return {
        app.name: sorted(json.dumps(values, sort_keys=True) for values in app.contacts.values()) for app in stage.apps
    }
