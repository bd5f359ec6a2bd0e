"""The single acts of a history of three books X, Y, Z and two connections X-Y and Y-Z: what people do, what staff do,
and what goes wrong. The story that they make is in machine.py.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NoReturn, TypeVar

from connections import services
from connections.models import Condition, Connection, FieldMapping
from connections.services import Refused
from syncer import services as runs
from syncer.connectors.base import AuthFailed, RateLimited, Transient
from syncer.engine.run import run_slice
from syncer.models import Change, Link, Record, Side, SyncRun
from tests.engine.app import FIELDS, MARKETING
from tests.engine.memory import Crash, MemoryApp
from tests.engine.oracles import POISON, Ghosts, Oracles
from tests.engine.three import net
from tests.engine.world import ANNA

T = TypeVar("T")
TEXTS = ("given", "family", "title", "note", "mobile")
TAGS = ("vip", "news", "old")
CONSENTS = ("unsubscribed", "subscribed", "cleaned", "unsubscribed", "archived")
UNMAPPED = ("note", "title")
"""By connection: the field that it does not map."""
DELAY = timedelta(minutes=5)
NOT_THIS = "not this one"
"""After this time a late app shows everything; it promises ten minutes."""
SAFE_CALLS = ("changes", "read", "read_many", "find", "reread", "create")
"""At these calls a person can edit without falling into the one round trip that is left open (DESIGN.md 1)."""
CHECKED_CALLS = ("update", "created", "updated")
"""And at these where the app compares etags."""
DONE_CALLS = ("created", "updated")
CALLS = ("created", "updated", "reread", "update", "create", "changes", "read_many", "read", "find")
"""Where something goes wrong: in the next call of such a name, or, by a higher number, in the n-th call from now."""
CREATES = ("client_id", "marker", "listing", "search")
FAULTS = ("crash", "lost", "unsent", "throttled", "unauthorised")
LISTINGS = ("unproven", "page error", "expired", "reset", "twice")


@dataclass(frozen=True)
class Profile:
    """What kind of app a book is in. `late`: its feed and search show a change five minutes after it, and it says so;
    `loud`: it shows job titles in capitals; `answers`: a failed write is a result; `checked`: it compares etags,
    and shows by them who edited between a write and its reading back; `names`: it says which field it refuses;
    `together`: it reads a batch back after its last write; `marketing`: it keeps consent, and who opts out there is
    tagged in the other book."""

    create: str = "client_id"
    checked: bool = False
    late: bool = False
    loud: bool = False
    tombstones: bool = True
    total: bool = False
    answers: bool = False
    names: bool = False
    together: bool = False
    marketing: bool = False


MEMBERS = {"consent": "subscribed"}
"""What new contacts are where it matters: the choice that can do the most harm."""
LIKE_GOOGLE = Profile(create="listing", checked=True, late=True, answers=True, together=True)
"""All that makes Google hard, at once."""


@dataclass(frozen=True)
class Options:
    winner: str = "left"
    direction: str = "both"
    sync_deletions: str = "both"
    review: str = "never"


@dataclass(frozen=True)
class Opening:
    """How a story begins."""

    apps: tuple[Profile, Profile, Profile] = (Profile(), Profile(), Profile())
    options: tuple[Options, Options] = (Options(), Options())
    slice_seconds: int = 240


def made(name: str, profile: Profile) -> MemoryApp:
    marked = profile.create in ("marker", "listing")
    app = MemoryApp(
        name,
        fields=MARKETING if profile.marketing else FIELDS,
        create="marker" if marked else profile.create,
        marker_found_by="listing" if profile.create == "listing" else "search",
        conditional=profile.checked,
        etag="checked" if profile.checked else "",
        fresh_feed=not profile.late,
        visibility=DELAY * 2 if profile.late else timedelta(0),
        tombstones=profile.tombstones,
        total=profile.total,
        page_size=3,
        answers_failures=profile.answers,
        reads_back_late=profile.together,
        refuse=lambda values: NOT_THIS if POISON in str(values) and not profile.names else "",
        refuses=lambda name, value: NOT_THIS if POISON in str(value) and profile.names else "",
    )
    if profile.loud:
        app.normalises("title", str.upper)
    return app


@dataclass
class Acts:
    """What people and staff do, and what goes wrong. Arguments are plain numbers: `which` of what there is."""

    opening: Opening
    steps: list[tuple[Any, ...]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    number: int = 0
    statement: tuple[int, bool] = (0, False)
    seen_at: list[list[datetime]] = field(default_factory=lambda: [[], [], []])

    def __post_init__(self) -> None:
        self.apps = [made(name, profile) for name, profile in zip("xyz", self.opening.apps, strict=True)]
        self.world = net(self.apps, [(0, 1), (1, 2)], create_defaults={"left": MEMBERS, "right": MEMBERS})
        self.world.worker = replace(self.world.worker, slice_seconds=self.opening.slice_seconds)
        self.ghosts = Ghosts()
        self.oracles = Oracles(self.world, self.ghosts)
        for number, connection in enumerate(self.world.connections):
            connection.mappings.filter(left_field=UNMAPPED[number]).update(enabled=False)
            services.update_connection(connection, ANNA, vars(self.opening.options[number]), clock=self.world.clock)
            self.set_up_consent(connection, number)
        for number, app in enumerate(self.apps):
            app.on_call = partial(self.on_call, number)
            app.on_write = partial(self.oracles.check_write, number)

    def set_up_consent(self, connection: Connection, number: int) -> None:
        """Who opts out in the left book, or else in the right, is tagged in the other; two lists tell each other."""
        left, right = (self.opening.apps[book].marketing for book in (number, number + 1))
        if left or right:
            changes = {"sync_unsubscribes": "to_right" if left else "to_left"}
            services.update_connection(connection, ANNA, changes, clock=self.world.clock)
        if left and right:
            line = FieldMapping(connection=connection, left_field="status", right_field="status", direction="both")
            services.save_mapping(line, ANNA, self.world.worker.connect, self.world.clock)

    def act(self, name: str, *arguments: Any) -> None:
        self.steps.append((name, *arguments))
        getattr(self, name)(*arguments)

    def tell(self, text: str) -> None:
        self.told.append(text)

    def on_call(self, number: int) -> None:
        """A call takes a second; a late app shows what is older than its delay."""
        self.world.clock.forward(1)
        app, times, now = self.apps[number], self.seen_at[number], self.world.clock.now()
        times.extend([now] * (len(app.log) - len(times)))
        if self.opening.apps[number].late:
            app.lag = app.search_lag = sum(time > now - DELAY for time in times)

    def connection(self, number: int) -> Connection:
        connection = self.world.connections[number]
        connection.refresh_from_db()
        return connection

    def token(self) -> str:
        self.number += 1
        self.ghosts.private.add(f"zq{self.number:05}")
        return f"zq{self.number:05}"

    def value_of(self, name: str) -> str:
        token = self.token()
        return f"+4420794{token[2:]}" if name == "mobile" else token

    def id_of(self, book: int, which: int) -> str | None:
        return picked(list(self.apps[book].contacts), which)

    # People

    def enters(self, book: int, which: int, fields: int) -> None:
        """A new person, or one who stands in another book and not in this one."""
        app = self.apps[book]
        new = f"{self.token()}@example.com"
        elsewhere = {str(values["email"]) for other in self.apps for values in other.contacts.values()}
        known = sorted(email for email in elsewhere if self.can_be_entered(book, email))
        email = picked(known, which) if which % 3 == 0 and known else new
        values: dict[str, Any] = {name: self.value_of(name) for n, name in enumerate(TEXTS) if fields >> n & 1}
        remote_id = app.person_creates(email=email, **values)
        self.ghosts.private |= {str(email), *map(str, values.values())}
        self.ghosts.forbidden = {one for one in self.ghosts.forbidden if one[1] != email}
        self.ghosts.written |= {(book, remote_id, name): value for name, value in values.items()}
        self.tell(f"a person enters {remote_id} {email} {values} in {app.name}")

    def can_be_entered(self, book: int, email: str) -> bool:
        """Not where the same contact is on its way or stands under another address: it would be two people in truth."""
        if self.apps[book].by_email(email) or Change.objects.filter(state="sending", operation="create").exists():
            return False
        rows = Record.objects.filter(match_key=email, state__in=["live", "suspect"])
        return not any(
            Link.objects.filter(state__in=["in_sync", "failing", "held", "creating", "excluded"])
            .filter(**{f"{side}__in": rows})
            .filter(left__isnull=False, right__isnull=False)
            .exists()
            for side in ("left", "right")
        )

    def edits(self, book: int, which: int, what: int) -> None:
        """Text fields get a new value; every seventh edit empties one."""
        remote_id = self.id_of(book, which)
        if remote_id is not None:
            name = TEXTS[what % len(TEXTS)]
            value = None if what % 7 == 6 else self.value_of(name)
            self.ghosts.private |= {value} if value else set()
            self.apps[book].person_edits(remote_id, **{name: value})
            self.ghosts.written[(book, remote_id, name)] = value
            self.tell(f"a person sets {name} of {remote_id} to {value}")

    def poisons(self, book: int, which: int) -> None:
        """A value that the other apps refuse; the next edit of the title heals it."""
        remote_id = self.id_of(book, which)
        if remote_id is not None:
            value = f"{POISON} {self.token()}"
            self.apps[book].person_edits(remote_id, given=value)
            self.ghosts.written[(book, remote_id, "given")] = value
            self.tell(f"a person poisons {remote_id}")

    def tags(self, book: int, which: int, tag: int) -> None:
        """Sets a tag, or takes it away where it is."""
        remote_id = self.id_of(book, which)
        if remote_id is not None:
            name, have = TAGS[tag % len(TAGS)], self.apps[book].contacts[remote_id]["tags"]
            old = list(have) if isinstance(have, list) else []
            new = [one for one in old if one != name] if name in old else sorted([*old, name])
            self.apps[book].person_edits(remote_id, tags=new or None)
            change = self.ghosts.tagged.discard if name in old else self.ghosts.tagged.add
            change((book, remote_id, name))
            self.tell(f"a person tags {remote_id} with {new}")

    def moves(self, book: int, which: int) -> None:
        """A new e-mail address."""
        deleted = {email for _, email in self.ghosts.forbidden}
        free = [one for one, values in self.apps[book].contacts.items() if values["email"] not in deleted]
        remote_id = picked(free, which)
        if remote_id is not None:
            email = f"{self.token()}@example.com"
            self.ghosts.private.add(email)
            self.apps[book].person_edits(remote_id, email=email)
            self.tell(f"a person moves {remote_id} to {email}")

    def deletes(self, book: int, which: int) -> None:
        """One that is in a pair; never so many that a book seems emptied."""
        if len(self.ghosts.forbidden) >= 3:
            return
        paired = Link.objects.filter(state="in_sync", left__isnull=False, right__isnull=False)
        sides = Side.objects.filter(book=self.oracles.book(book))
        ids = {one for s in sides for one in paired.filter(connection=s.connection_id).values_list(
            f"{s.side}__remote_id", flat=True)}  # fmt: skip
        remote_id = picked([one for one in self.apps[book].contacts if one in ids], which)
        if remote_id is not None:
            email = str(self.apps[book].contacts[remote_id]["email"])
            self.ghosts.forbidden.add((book, email))
            self.ghosts.strangers |= self.oracles.strangers(book, remote_id, email)
            self.ghosts.forget(book, remote_id)
            self.apps[book].person_deletes(remote_id)
            self.tell(f"a person deletes {remote_id}")

    def opts(self, book: int, which: int, status: int) -> None:
        """Out, or in again, in the app itself."""
        remote_id = self.id_of(book, which)
        if remote_id is not None and self.opening.apps[book].marketing:
            chosen = CONSENTS[status % len(CONSENTS)]
            self.apps[book].person_edits(remote_id, status=chosen)
            self.tell(f"{remote_id} is {chosen}")

    def renames(self, book: int, which: int) -> None:
        remote_id = self.id_of(book, which)
        if remote_id is not None:
            new = f"{self.apps[book].name}-renamed-{self.token()}"
            self.apps[book].person_renames(remote_id, new)
            self.ghosts.follow(book, remote_id, new)
            self.tell(f"{remote_id} is {new} from now on")

    # Staff

    def switches(self, number: int, which: int) -> None:
        """A mapping line on or off; never the e-mail's."""
        connection = self.connection(number)
        line = picked([one for one in connection.mappings.all() if one.left_field != "email"], which)
        if line is not None:
            line.enabled = not line.enabled
            services.save_mapping(line, ANNA, self.world.worker.connect, self.world.clock)
            self.tell(f"{line.left_field} of connection {number} is {'on' if line.enabled else 'off'}")

    def asks(self, number: int, side: int, tag: int) -> None:
        """The rule of one side takes only contacts with a tag, or everybody again."""
        connection = self.connection(number)
        rule = connection.rules.get(source=("left", "right")[side])
        asked = [] if rule.conditions.exists() else [Condition(kind="has_tag", value=TAGS[tag % len(TAGS)])]
        services.save_rule(rule, ANNA, asked, [], self.world.worker.connect, self.world.clock)
        self.tell(f"connection {number} takes {asked or 'everybody'} of the {rule.source}")

    def pauses(self, number: int) -> None:
        services.pause(self.connection(number), ANNA, self.world.clock)

    def resumes(self, number: int) -> None:
        services.resume(self.connection(number), ANNA, self.world.clock, self.world.worker.connect)

    def sets(self, number: int, option: int) -> None:
        changes = (
            {"sync_deletions": "off"},
            {"sync_deletions": "both"},
            {"review": "changes"},
            {"review": "never"},
            {"winner": "right"},
        )[option % 5]
        services.update_connection(self.connection(number), ANNA, changes, clock=self.world.clock)
        self.tell(f"connection {number}: {changes}")

    def plans(self, number: int) -> None:
        """A dry run."""
        with suppress(Refused):
            runs.request_plan(self.connection(number), ANNA, self.world.clock, enqueue=False)

    def decides(self, number: int, yes: bool) -> None:
        """A person lets the open plan through, or not."""
        run = SyncRun.objects.filter(connection=self.connection(number), status__in=["waiting", "held"]).first()
        if run is None:
            return
        digests = set(run.changes.filter(state__in=["planned", "held"]).values_list("digest", flat=True))
        with suppress(Refused):
            if yes:
                runs.approve(run, ANNA, run.plan_digest, self.world.clock)
                self.ghosts.approved[run.pk] = digests
            else:
                runs.reject(run, ANNA, self.world.clock)
            self.tell(f"the plan of connection {number} is {'approved' if yes else 'rejected'}")

    def cancels(self, number: int) -> None:
        """A person ends the run that is under way."""
        run = SyncRun.objects.filter(connection=self.connection(number), status__in=["queued", "running"]).first()
        if run is not None:
            with suppress(Refused):
                runs.cancel(run, ANNA, self.world.clock)
                self.tell(f"the run of connection {number} is cancelled")

    def cancels_meanwhile(self, book: int, number: int, call: int) -> None:
        """In the middle of a call."""
        self.arm(book, call, lambda: self.cancels(number))

    # What goes wrong

    def breaks(self, book: int, fault: int, call: int) -> None:
        self.arm(book, call, partial(self.fails, book, FAULTS[fault % len(FAULTS)]))

    def fails(self, book: int, fault: str) -> None:
        """A late app that has done it does not say that it has not: nobody could see in time that this is not so."""
        done = self.opening.apps[book].late and self.apps[book].calls[-1] in DONE_CALLS
        RAISE["lost" if done and fault in ("unsent", "throttled") else fault]()

    def arm(self, book: int, call: int, fault: Callable[[], None]) -> None:
        if call < len(CALLS):
            self.apps[book].fault_in(CALLS[call], fault)
        else:
            self.apps[book].fault_at(call - len(CALLS) + 1, fault)

    def crashes(self, statement: int, after: bool) -> None:
        """In the next slice the process dies at this SQL statement."""
        self.statement = statement, after

    def breaks_off(self, book: int, at: int, unreported: bool) -> None:
        self.apps[book].breaks_at, self.apps[book].breaks_unreported = at, unreported

    def lists_badly(self, book: int, trouble: int) -> None:
        app, name = self.apps[book], LISTINGS[trouble % len(LISTINGS)]
        if name == "unproven":
            app.unproven = 2
        elif name == "page error":
            app.page_error = 1
        elif name == "twice":
            app.delivers = lambda records: [*records, *records[::-1]]
        else:
            app.cursor = name

    def meddles(self, book: int, call: int, which: int, what: int) -> None:
        """A person edits in the middle of a call."""
        self.arm(book, call, lambda: self.edits_between(book, which, what))

    def edits_between(self, book: int, which: int, what: int) -> None:
        call = self.apps[book].calls[-1]
        if call in SAFE_CALLS or (self.opening.apps[book].checked and call in CHECKED_CALLS):
            self.edits(book, which, what)

    def delivers_twice(self, book: int, number: int, call: int) -> None:
        """The same task again while it is worked on, by another worker."""
        self.arm(book, call, lambda: self.second_worker(number))

    def second_worker(self, number: int) -> None:
        before = sum(len(app.calls) for app in self.apps)
        outcome = run_slice(self.connection(number).pk, replace(self.world.worker, name="another"))
        assert outcome.status in ("busy", "attention", "wait"), f"I23: two workers at once: {outcome}"
        assert before == sum(len(app.calls) for app in self.apps), "I23: a second worker called an app"


def picked(items: Sequence[T], which: int) -> T | None:
    return items[which % len(items)] if items else None


def crash() -> NoReturn:
    raise Crash


def lost() -> NoReturn:
    raise Transient("no answer", maybe_applied=True)


def unsent() -> NoReturn:
    raise Transient("no connection")


def throttled() -> NoReturn:
    raise RateLimited("slow down", 60)


def unauthorised() -> NoReturn:
    raise AuthFailed("the key is not valid any more")


RAISE: dict[str, Callable[[], NoReturn]] = {
    "crash": crash,
    "lost": lost,
    "unsent": unsent,
    "throttled": throttled,
    "unauthorised": unauthorised,
}
