"""What has to be true of three books and two connections, whatever happens to them: one method for each promise.

`Oracles` looks at each write in the moment it lands, at the database after each slice, and at everything once no more
happens. It keeps its own notes of what people did (the ghosts), and takes nothing of it from the engine.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from connections.fieldtypes import same
from connections.models import Connection, FieldMapping
from connections.models.connection import SIDES, SideName
from syncer.audit.verify import verify
from syncer.connectors.base import FieldType, Value, Values
from syncer.engine.values import digest, opted_out
from syncer.models import Book, Change, Hold, Link, LogChain, Record, SyncLog
from syncer.models.link import ENDED
from tests.engine.app import MARKETING, STATUS, Contact
from tests.engine.memory import MemoryApp, MemoryConnector
from tests.engine.three import Net

TYPES = {one.name: one.type for one in MARKETING}
MEANS = {"create": ["create"], "update": ["update", "tag", "untag"]}
POISON = "poison"
"""What no app but the one where a person typed it takes."""


@dataclass
class Ghosts:
    """What people did. `written` is what each cell (book, id, field) must hold or the log must know; `forbidden` names
    the deleted (book, address) that nobody entered again, `strangers` those elsewhere with such an address who were no
    copies of the deleted; `approved` are the changes that a person let through, `copies` the ids that we gave to what
    was made in a book from one record."""

    written: dict[tuple[int, str, str], Value] = field(default_factory=dict)
    tagged: set[tuple[int, str, str]] = field(default_factory=set)
    forbidden: set[tuple[int, str]] = field(default_factory=set)
    strangers: set[tuple[int, str]] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    approved: dict[int, set[str]] = field(default_factory=dict)
    copies: dict[tuple[int, int], list[str]] = field(default_factory=dict)

    def forget(self, book: int, remote_id: str) -> None:
        self.written = {key: value for key, value in self.written.items() if key[:2] != (book, remote_id)}
        self.tagged = {key for key in self.tagged if key[:2] != (book, remote_id)}

    def follow(self, book: int, old: str, new: str) -> None:
        """The contact has another id."""
        moved = {key: value for key, value in self.written.items() if key[:2] == (book, old)}
        tagged = {key for key in self.tagged if key[:2] == (book, old)}
        self.forget(book, old)
        self.written |= {(book, new, key[2]): value for key, value in moved.items()}
        self.tagged |= {(book, new, key[2]) for key in tagged}


@dataclass
class Oracles:
    world: Net
    ghosts: Ghosts

    def book_number(self, book: Book) -> int:
        return next(n for n, app in enumerate(self.world.apps) if app.name == book.account.label)

    def book(self, number: int) -> Book | None:
        return Book.objects.filter(account__label=self.world.apps[number].name).first()

    def books_of(self, connection: Connection) -> dict[str, Book]:
        """By side."""
        return {side.side: side.book for side in connection.sides.select_related("book__account")}

    def ids_of(self, app: MemoryApp, remote_id: str) -> set[str]:
        """Every id that this contact has had."""
        return {remote_id, *app.previous_ids.get(remote_id, ())}

    def ever(self, app: MemoryApp, remote_id: str) -> Iterator[Values]:
        """What the app ever showed of a contact."""
        ids = self.ids_of(app, remote_id)
        for one, contact in zip(app.log, app.history, strict=True):
            if one in ids and contact is not None:
                yield app.shows(contact)

    def showed(self, app: MemoryApp, remote_id: str, name: str, value: Value) -> bool:
        if TYPES[name] == FieldType.TAGS:
            seen = {tag for values in self.ever(app, remote_id) for tag in as_tags(values[name])}
            return set(as_tags(value)) <= seen
        return any(same(TYPES[name], values[name], value) for values in self.ever(app, remote_id))

    def strangers(self, book: int, remote_id: str, email: str) -> set[tuple[int, str]]:
        """The contacts of other books with this address that no chain of pairs joins to this contact: people entered
        them by themselves, and they are not the contact that is deleted now."""
        joined, new = set(), {(book, remote_id)}
        while new:
            joined |= new
            new = {far for near in new for far in self.partners(*near)} - joined
        everybody = {
            (number, one)
            for number, app in enumerate(self.world.apps)
            for one, values in app.contacts.items()
            if number != book and values["email"] == email
        }
        return everybody - joined

    def partners(self, number: int, remote_id: str) -> Iterator[tuple[int, str]]:
        for connection in self.world.connections:
            books = {side: self.book_number(book) for side, book in self.books_of(connection).items()}
            pairs = Link.objects.filter(connection=connection, left__isnull=False, right__isnull=False)
            for near, far in (("left", "right"), ("right", "left")):
                if books.get(near) == number:
                    found = pairs.filter(**{f"{near}__remote_id": remote_id}).exclude(state__in=ENDED)
                    yield from ((books[far], one) for one in found.values_list(f"{far}__remote_id", flat=True))

    # In the moment of a write

    def check_write(self, number: int, operation: str, remote_id: str, values: Values) -> None:
        change = self.check_announced(number, operation, remote_id, values)
        self.check_nothing_blind(number, remote_id, change)
        self.check_first_link_erases_nothing(change)
        self.check_approved(change)
        self.check_consent(number, operation, remote_id, values)
        self.check_nothing_invented(number, change)
        if operation == "create":
            self.check_create(number, remote_id, change)

    def check_announced(self, number: int, operation: str, remote_id: str, values: Values) -> Change:
        """I3: an open intent and its entry say exactly this write, before it happens."""
        app = self.world.apps[number]
        sending = Change.objects.filter(state="sending", book=self.book(number), operation__in=MEANS[operation])
        rows = sending.select_related("record", "link__left", "link__right", "run__connection")
        mine = [one for one in rows if digest(one.values) == digest(dict(values))]
        if operation != "create":
            ids = self.ids_of(app, remote_id)
            mine = [one for one in mine if one.record is not None and one.record.remote_id in ids]
        assert mine, f"I3: nobody announced {operation} {app.name} {remote_id} {values}"
        entries = SyncLog.objects.filter(kind="write.intent", header__contains=str(mine[0].key))
        payloads = [json.loads(payload or "{}") for payload in entries.values_list("payload", flat=True)]
        assert any(p["after"] == values and p["before"] == mine[0].base for p in payloads), "I3: the log tells another"
        return mine[0]

    def check_nothing_blind(self, number: int, remote_id: str, change: Change) -> None:
        """I1: what the write replaces is what the intent says that it replaces."""
        app = self.world.apps[number]
        now = app.shows(app.contacts.get(remote_id, {}))
        for name, base in change.base.items():
            shown = now.get(name)
            assert same(TYPES[name], shown, base), f"I1: {app.name} {remote_id}.{name}: {shown} overwritten as {base}"

    def check_first_link_erases_nothing(self, change: Change) -> None:
        """I4: without a shadow no value is emptied."""
        for line in change.run.connection.mappings.all():
            name = side_field(line, change.side)
            emptied = name in change.values and change.values[name] is None and change.base.get(name) is not None
            assert not (emptied and str(line.code) not in change.link.shadow), f"I4: {name} was erased at first sight"

    def check_approved(self, change: Change) -> None:
        """I29: of a plan that a person let through, only what stood in it is carried out."""
        if change.run.pk in self.ghosts.approved:
            assert change.digest in self.ghosts.approved[change.run.pk], "I29: this is not what was approved"

    def check_nothing_invented(self, number: int, change: Change) -> None:
        """I7: each value was shown by the other side, or is the tag that we set."""
        far = far_side(change)
        source = getattr(change.link, far)
        for name, value in change.values.items():
            if value is None or change.operation in ("tag", "untag") or name == STATUS.name:
                continue
            app = self.app_of(change.run.connection, far)
            if TYPES[name] == FieldType.TAGS:
                ours = {change.run.connection.unsubscribe_tag}
                value = sorted(set(as_tags(value)) - set(as_tags(change.base.get(name))) - ours)
            assert self.showed(app, source.remote_id, name, value), f"I7: {name}={value} was never seen in {app.name}"

    def check_consent(self, number: int, operation: str, remote_id: str, values: Values) -> None:
        """I9: no write makes anybody subscribed who is in the book, nor an address that opted out there and did not
        come back by itself."""
        app, book = self.world.apps[number], self.book(number)
        if STATUS not in app.fields:
            return
        if operation == "update":
            assert values.get("status", "unsubscribed") == "unsubscribed", f"I9: {remote_id} is made {values['status']}"
        status = values.get("status") if operation == "create" else app.contacts[remote_id]["status"]
        if "email" in values and not opted_out(status):
            assert not self.opted_out_as_read(app, book, values["email"]), f"I9: {values['email']} is in again"

    def opted_out_as_read(self, app: MemoryApp, book: Book | None, email: Value) -> bool:
        """Whether the last that the feed of this book showed of an address was an opt-out."""
        position = int(book.cursor.partition(":")[2]) if book is not None and book.cursor.startswith("delta:") else 0
        shown = [one for one in app.history[:position] if one is not None and one["email"] == email]
        said = [one["status"] for one in shown if opted_out(one["status"]) or one["status"] == "subscribed"]
        return bool(said) and opted_out(said[-1])

    def check_create(self, number: int, remote_id: str, change: Change) -> None:
        """I6, I11, I12, I13: nobody comes back by us, comes twice, or comes before both books were read."""
        app = self.world.apps[number]
        email = str(change.values.get("email"))
        far = self.app_of(change.run.connection, far_side(change))
        source = getattr(change.link, far_side(change))
        ids = {(self.world.apps.index(far), one) for one in self.ids_of(far, source.remote_id)}
        back = (number, email) in self.ghosts.forbidden and not ids & self.ghosts.strangers
        assert not back, f"I6: {email} came back in {app.name}"
        books = self.books_of(change.run.connection)
        assert all(book.complete_pass for book in books.values()), "I12: created before both books were read"
        known = Record.objects.filter(book=self.book(number), match_key=email, state="live")
        assert not known.exists(), f"I13: {email} stands in {app.name}, and is created all the same"
        earlier = self.ghosts.copies.setdefault((number, source.pk), [])
        there = [one for one in app.contacts if self.ids_of(app, one) & set(earlier)]
        assert not there, f"I11: {email} is made twice in {app.name}, {there} is it already"
        earlier.append(remote_id)

    # After each slice

    def check_slice(self) -> None:
        self.check_shadows()
        for number, app in enumerate(self.world.apps):
            book = self.book(number)
            if book is not None:
                self.check_nothing_passed(app, book)
                self.check_nobody_called_gone(app, book)

    def check_shadows(self) -> None:
        """I16: a shadow holds only what was really seen on its side, or what we sent there."""
        for connection in self.world.connections:
            lines = {str(line.code): line for line in connection.mappings.all()}
            books = {side: self.book_number(book) for side, book in self.books_of(connection).items()}
            links = Link.objects.filter(connection=connection).exclude(state__in=ENDED).exclude(shadow={})
            for link in links.select_related(*SIDES):
                for code, pair in link.shadow.items():
                    if code in lines:
                        self.check_shadow(lines[code], link, pair, books)

    def check_shadow(self, line: FieldMapping, link: Link, pair: Sequence[Value], books: dict[str, int]) -> None:
        for side, value in zip(SIDES, pair, strict=True):
            record, name = getattr(link, side), side_field(line, side)
            if record is None or value is None or TYPES[name] == FieldType.TAGS:
                continue
            app = self.world.apps[books[side]]
            sent = (v for _, one, v in app.mutations if one in self.ids_of(app, record.remote_id))
            said = any(name in values and same(TYPES[name], stored(app, name, values[name]), value) for values in sent)
            seen = said or self.showed(app, record.remote_id, name, value)
            assert seen, f"I16: {app.name} {record.remote_id} never showed {name}={value}"

    def check_nothing_passed(self, app: MemoryApp, book: Book) -> None:
        """I20: all before the durable cursor is stored, as it was then or later."""
        if not book.cursor.startswith("delta:"):
            return
        position = int(book.cursor.partition(":")[2])
        rows = {row.remote_id: row for row in Record.objects.filter(book=book)}
        last = {remote_id: index for index, remote_id in enumerate(app.log[:position])}
        for remote_id, index in last.items():
            if app.history[index] is None or remote_id in self.renamed(app):
                continue
            row = rows.get(remote_id)
            assert row is not None, f"I20: {app.name} {remote_id} was passed over"
            if row.state == Record.State.LIVE and not row.needs_read:
                later = [h for one, h in zip(app.log[index:], app.history[index:], strict=True) if one == remote_id]
                assert any(agrees(app, h, row.values) for h in later if h), f"I20: {app.name} {remote_id} is outdated"

    def renamed(self, app: MemoryApp) -> set[str]:
        return {old for ids in app.previous_ids.values() for old in ids}

    def check_nobody_called_gone(self, app: MemoryApp, book: Book) -> None:
        """I26, I27: nobody counts as deleted who was there all the time."""
        gone = Record.objects.filter(book=book, state="gone").values_list("remote_id", flat=True)
        for remote_id in set(gone) & set(app.contacts):
            ends = [h for one, h in zip(app.log, app.history, strict=True) if one == remote_id]
            assert None in ends, f"I27: {app.name} {remote_id} lives, and is called deleted"

    # When all is quiet

    def check_rest(self) -> None:
        self.check_chains()
        self.check_headers()
        self.check_log_tells_the_writes()
        self.check_nothing_open()
        self.check_every_contact_has_a_verdict()
        self.check_agreement()
        self.check_nothing_lost()

    def check_chains(self) -> None:
        """I30"""
        for chain in LogChain.objects.all():
            report = verify(chain.name)
            assert report.ok, f"I30: {report}"

    def check_headers(self) -> None:
        """I33: no header holds what a person typed, nor its usual hashes."""
        secrets = {hashed(text) for text in self.ghosts.private for hashed in HASHES}
        for header in SyncLog.objects.values_list("header", flat=True):
            found = [secret for secret in secrets if secret in header]
            assert not found, f"I33: {found} in {header}"

    def check_log_tells_the_writes(self) -> None:
        """I35: each change of an app was announced once, and each that the log calls done was one."""
        made = Counter(
            (app.name, operation, digest(values)) for app in self.world.apps for operation, _, values in app.mutations
        )
        announced: Counter[tuple[str, str, str]] = Counter()
        done: Counter[tuple[str, str, str]] = Counter()
        by_key = {str(one.key): one for one in Change.objects.select_related("book__account")}
        intents = SyncLog.objects.filter(kind="write.intent").values_list("header", "payload")
        for header, payload in intents:
            change = by_key[json.loads(header)["change"]]
            operation = "create" if change.operation == "create" else "update"
            announced[(change.book.account.label, operation, digest(json.loads(payload or "{}")["after"]))] += 1
        for change in by_key.values():
            if change.state == Change.State.DONE and change.operation != Change.Operation.LINK:
                operation = "create" if change.operation == "create" else "update"
                done[(change.book.account.label, operation, digest(change.values))] += 1
        assert not made - announced, f"I35: written without a word: {made - announced}"
        assert not done - made, f"I35: called done, and never happened: {done - made}"

    def check_nothing_open(self) -> None:
        """I22: what stays open has a question for a person or a reason."""
        open_changes = Change.objects.filter(state__in=["planned", "sending"])
        asked = Hold.objects.filter(resolved=None, kind="create_unknown").values("link")
        assert not open_changes.exclude(link__in=asked).exists(), "I22: a change is neither done nor asked about"
        for link in Link.objects.exclude(state__in=[*ENDED, "in_sync"]):
            held = Hold.objects.filter(link=link, resolved=None).exists()
            assert held or link.reason, f"I22: {link.state} without a reason"
            assert link.state not in ("new", "creating") or held, f"I22: still {link.state}: {link.reason}"

    def check_every_contact_has_a_verdict(self) -> None:
        """I10, I15: each contact that an app shows has one link in each connection of its book."""
        for connection in self.world.connections:
            for side, book in self.books_of(connection).items():
                app = self.world.apps[self.book_number(book)]
                links = Link.objects.filter(connection=connection, **{f"{side}__isnull": False})
                ids = Counter(links.exclude(state__in=ENDED).values_list(f"{side}__remote_id", flat=True))
                missing = set(app.contacts) - set(ids)
                assert not missing, f"I15: {connection} has no verdict on {missing} of {app.name}"
                assert max(ids.values(), default=1) == 1, f"I10: {ids}"

    def check_agreement(self) -> None:
        """I15: each pair in scope shows the same, but for what is asked about or refused."""
        for connection in self.world.connections:
            if connection.direction != "both":
                continue
            lines = connection.mappings.filter(enabled=True)
            left, right = (self.app_of(connection, side) for side in SIDES)
            links = Link.objects.filter(connection=connection, state__in=["in_sync", "failing"])
            for link in links.exclude(left=None).exclude(right=None).select_related("left", "right"):
                held = set(Hold.objects.filter(link=link, resolved=None).values_list("mapping", flat=True))
                if link.state == "failing" and (not link.refused or len(held) < len(link.refused)):
                    continue  # it cannot be written, or the app did not say which field it refused
                assert link.left is not None and link.right is not None
                ends = [(app, row.remote_id) for app, row in ((left, link.left), (right, link.right))]
                missing = [(app.name, one) for app, one in ends if one not in app.contacts]
                assert not missing, f"I15: {missing} is gone, and its pair is called in sync"
                here, there = (app.contacts[one] for app, one in ends)
                assert told(connection, link, here, there), f"I9: {ends} opted out, and nobody was told"
                for line in lines:
                    if line.code not in held:
                        pair = (left.shows(here)[line.left_field], right.shows(there)[line.right_field])
                        assert alike(connection, line, pair), f"I15: {connection} {link.left.remote_id} differs: {pair}"

    def app_of(self, connection: Connection, side: SideName) -> MemoryApp:
        return self.world.apps[self.book_number(self.books_of(connection)[side])]

    def check_nothing_lost(self) -> None:
        """I2: what a person wrote stands where they wrote it, or in the log."""
        log = "".join(payload or "" for payload in SyncLog.objects.values_list("payload", flat=True)).casefold()
        for (number, remote_id, name), value in self.ghosts.written.items():
            here = self.world.apps[number].contacts[remote_id][name]
            kept = value is None or here == value or f'"{value}"'.casefold() in log
            assert kept, f"I2: {self.world.apps[number].name} {remote_id}.{name}={value} is lost; there is {here}"
        for number, remote_id, tag in self.ghosts.tagged:
            here = self.world.apps[number].contacts[remote_id]["tags"]
            assert tag in as_tags(here) or f'"{tag}"' in log, f"I2: the tag {tag} of {remote_id} is lost"


HASHES = (
    lambda text: text,
    lambda text: hashlib.md5(text.encode()).hexdigest(),
    lambda text: hashlib.sha1(text.encode()).hexdigest(),
    lambda text: hashlib.sha256(text.encode()).hexdigest(),
)


def far_side(change: Change) -> SideName:
    return "right" if change.side == "left" else "left"


def side_field(line: FieldMapping, side: str) -> str:
    return line.left_field if side == "left" else line.right_field


def as_tags(value: Value) -> list[str]:
    return list(value) if isinstance(value, list) else []


def stored(app: MemoryApp, name: str, value: Value) -> Value:
    return MemoryConnector(app).stored(next(one for one in MARKETING if one.name == name), value)


def agrees(app: MemoryApp, contact: Contact, values: Values) -> bool:
    shown = app.shows(contact)
    return all(same(TYPES[name], shown[name], value) for name, value in values.items())


def told(connection: Connection, link: Link, left: Contact, right: Contact) -> bool:
    """Who has opted out carries the tag in the other book."""
    if connection.sync_unsubscribes == "off":
        return True
    source, target = (left, right) if connection.sync_unsubscribes == "to_right" else (right, left)
    return not opted_out(source["status"]) or connection.unsubscribe_tag in as_tags(target["tags"])


def alike(connection: Connection, line: FieldMapping, pair: Sequence[Any]) -> bool:
    left, right = pair
    if TYPES[line.left_field] == FieldType.TAGS:
        ours = {connection.trash_tag, connection.unsubscribe_tag}
        left, right = (sorted(set(as_tags(value)) - ours) for value in pair)
        return bool(left == right)
    if TYPES[line.left_field] == FieldType.CONSENT:
        return opted_out(left) == opted_out(right) or "archived" in pair
    return same(TYPES[line.left_field], left, right) or str(left).casefold() == str(right).casefold()
