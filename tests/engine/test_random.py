"""Random histories: people edit both books while calls fail, answers get lost and the process dies at any call and any
SQL statement. After some quiet runs nothing is doubled, nothing that a person wrote is lost, and both books agree."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any, NoReturn

import pytest
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.db.models.functions import Now

from connections.models.connection import SIDES, SideName, other
from syncer.connectors.base import Value, Values
from syncer.engine.values import digest
from syncer.models import Change, Hold, Link, SyncLog
from syncer.models.lease import AccountLease
from tests.engine.acts import crash, lost, throttled, unsent
from tests.engine.memory import Crash, MemoryApp, die
from tests.engine.world import World, make_world

pytestmark = pytest.mark.django_db

SEEDS = range(*(int(number) for number in os.environ.get("RANDOM_SEEDS", "0:10").split(":")))
ROUNDS = 6
EDITED = ("given", "family", "title", "note", "mobile")
QUIET_CALLS = ("changes", "read", "read_many", "find", "reread", "create")
"""At these calls a person can edit without falling into the one round trip that is left open (an app without
conditional updates)."""


@dataclass
class History:
    """A world, what happened in it, and what has to be true of it."""

    world: World
    random: Random
    steps: list[str] = field(default_factory=list)
    written: dict[tuple[SideName, str, str], Value] = field(default_factory=dict)
    deleted: set[tuple[SideName, str]] = field(default_factory=set)
    number: int = 0

    def app(self, side: SideName) -> MemoryApp:
        return self.world.left if side == "left" else self.world.right

    def token(self) -> str:
        self.number += 1
        return f"+4420794{self.number:05}"

    # People

    def person(self) -> None:
        side: SideName = self.random.choice(("left", "right"))
        act = self.random.choices((self.enters, self.edits, self.moves, self.deletes), (6, 12, 1, 2))[0]
        act(side)

    def enters(self, side: SideName) -> None:
        pairs = Link.objects.filter(left__isnull=False, right__isnull=False, state="in_sync")
        paired = set(pairs.values_list(f"{other(side)}__remote_id", flat=True))
        there = {one: str(values["email"]) for one, values in self.app(other(side)).contacts.items()}
        known = [email for one, email in there.items() if one not in paired or self.was_deleted(email)]
        if Change.objects.filter(state="sending", operation="create").exists():
            known = []  # what stands there may be our own, not bound yet: entered again it would be two people in truth
        new = f"p{self.number}@example.com"
        self.number += 1
        email = self.random.choice(known) if known and self.random.random() < 0.4 else new
        if self.app(side).by_email(email):
            return
        values: dict[str, Any] = {name: self.token() for name in EDITED if self.random.random() < 0.6}
        remote_id = self.app(side).person_creates(email=email, **values)
        self.deleted -= {("left", email), ("right", email)}
        self.wrote(side, remote_id, values)
        self.steps.append(f"{side} enters {remote_id} {email} {values}")

    def edits(self, side: SideName) -> None:
        if not self.app(side).contacts:
            return
        remote_id = self.random.choice(sorted(self.app(side).contacts))
        name = self.random.choice(EDITED)
        values: dict[str, Value] = {name: None if self.random.random() < 0.1 else self.token()}
        self.app(side).person_edits(remote_id, **values)
        self.wrote(side, remote_id, values)
        self.steps.append(f"{side} edits {remote_id} {values}")

    def moves(self, side: SideName) -> None:
        """A new e-mail address."""
        here = self.app(side).contacts
        free = sorted(one for one, values in here.items() if not self.was_deleted(str(values["email"])))
        if free:
            remote_id, email = self.random.choice(free), f"p{self.number}@example.com"
            self.number += 1
            self.app(side).person_edits(remote_id, email=email)
            self.steps.append(f"{side} moves {remote_id} to {email}")

    def was_deleted(self, email: str) -> bool:
        return ("left", email) in self.deleted or ("right", email) in self.deleted

    def deletes(self, side: SideName) -> None:
        pairs = Link.objects.filter(left__isnull=False, right__isnull=False, state="in_sync")
        ids = sorted(set(pairs.values_list(f"{side}__remote_id", flat=True)) & set(self.app(side).contacts))
        if not ids or len(self.deleted) >= 3:
            return
        remote_id = self.random.choice(ids)
        partner = pairs.filter(**{f"{side}__remote_id": remote_id}).values_list(f"{other(side)}__remote_id", flat=True)
        email = self.app(side).contacts[remote_id]["email"]
        if self.app(other(side)).contacts.get(partner[0], {}).get("email") == email:
            self.deleted.add((side, str(email)))
        self.app(side).person_deletes(remote_id)
        for key in [key for key in self.written if key[:2] == (side, remote_id)]:
            del self.written[key]
        self.steps.append(f"{side} deletes {remote_id}")

    def wrote(self, side: SideName, remote_id: str, values: Values) -> None:
        for name, value in values.items():
            self.written[(side, remote_id, name)] = value

    # Faults

    def arm(self) -> None:
        side: SideName = self.random.choice(("left", "right"))
        kinds: tuple[Callable[[], NoReturn], ...] = (crash, lost, unsent, throttled)
        kind = self.random.choice(kinds)
        call = self.random.randint(1, 12)
        self.app(side).fault_at(call, kind)
        self.steps.append(f"fault {kind.__name__} at call {call} of {side}")

    def watch(self) -> None:
        for side in SIDES:
            self.app(side).on_call = partial(self.meanwhile, side)
            self.app(side).on_write = partial(self.check_write, side)

    def meanwhile(self, side: SideName) -> None:
        self.world.clock.forward(1)
        if self.app(side).calls[-1] in QUIET_CALLS and self.random.random() < 0.08:
            self.steps.append(f"at {self.app(side).calls[-1]}:")
            self.edits(side)

    def check_write(self, side: SideName, operation: str, remote_id: str, values: Values) -> None:
        """Each write was announced, and replaces just what it said."""
        sending = Change.objects.filter(state="sending", side=side, operation__in=MEANS[operation])
        mine = [one for one in sending.select_related("record") if digest(one.values) == digest(dict(values))]
        if operation != "create":
            mine = [one for one in mine if one.record is not None and one.record.remote_id == remote_id]
        assert mine, f"nobody announced {operation} {remote_id} {values}"
        intents = SyncLog.objects.filter(kind="write.intent", header__contains=str(mine[0].key))
        assert intents.count() == 1
        for name, base in mine[0].base.items():
            assert self.app(side).contacts[remote_id][name] == base, f"{remote_id}.{name} was overwritten unseen"

    def run(self) -> None:
        statement = self.random.randint(1, 400) if self.random.random() < 0.3 else 0
        if statement:
            self.steps.append(f"crash at statement {statement}")
        try:
            with dying_at(statement):
                outcome = self.world.slice()
            self.steps.append(f"run: {outcome.status} {outcome.reason}")
        except Crash:
            self.steps.append("run: crashed")
            AccountLease.objects.update(expires_at=Now())
        self.world.clock.forward(300)

    # What has to be true

    def settle(self) -> None:
        for app in (self.world.left, self.world.right):
            app.faults.clear()
            app.on_call = lambda: None
        for _ in range(12):
            outcome = self.world.sync()
            self.steps.append(f"settling: {outcome.status} {outcome.reason}")
            if outcome.status == "quiet" and not Change.objects.filter(state="sending").exists():
                break
            self.world.clock.forward(300)
        assert outcome.status == "quiet"

    def check(self) -> None:
        before = [len(self.app(side).mutations) for side in ("left", "right")]
        assert self.world.sync().status == "quiet"
        assert before == [len(self.app(side).mutations) for side in ("left", "right")]
        assert not Hold.objects.filter(resolved=None).exclude(kind="deleted_edited").exists()
        assert not Change.objects.filter(state__in=["planned", "sending"]).exists()
        self.world.assert_log_is_whole()
        self.check_contacts()
        self.check_values()

    def check_contacts(self) -> None:
        emails = {str(v["email"]) for side in ("left", "right") for v in self.app(side).contacts.values()}
        for email in emails:
            left, right = self.world.left.by_email(email), self.world.right.by_email(email)
            assert len(left) <= 1 and len(right) <= 1, f"{email} is doubled"
            if self.survives(email, bool(left), bool(right)):
                continue
            assert left and right, f"{email} is on one side only"
            differing = [name for name in (*EDITED, "tags") if left[0][name] != right[0][name]]
            assert not differing, f"{email} differs in {differing}: {left[0]} {right[0]}"

    def survives(self, email: str, left: bool, right: bool) -> bool:
        """Its counterpart was deleted, and did not come back."""
        for side, there in (("left", left), ("right", right)):
            if (side, email) in self.deleted:
                assert not there, f"{email} came back on the {side}"
                return True
        side = "left" if left else "right"
        links = Link.objects.filter(state="opposite_deleted", **{f"{side}__match_key": email})
        return left != right and links.exists()

    def check_values(self) -> None:
        log = "".join(payload or "" for payload in SyncLog.objects.values_list("payload", flat=True))
        for (side, remote_id, name), value in self.written.items():
            here = self.app(side).contacts[remote_id][name]
            assert value is None or here == value or f'"{value}"' in log, f"{side} {remote_id}.{name}={value} is lost"


MEANS = {"create": ["create"], "update": ["update", "tag", "untag"]}


@contextmanager
def dying_at(statement: int) -> Iterator[None]:
    """The process dies right before this SQL statement."""
    count = 0

    def execute(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal count
        count += 1
        if count == statement:
            die(context)
        return run(sql, params, many, context)

    with database.execute_wrapper(execute):
        yield


class Undone(Exception):
    """Ends a history without a trace."""


@pytest.mark.proves("I1", "I2", "I3", "I6", "I11", "I14", "I15", "I20", "I22", "I30")
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_nothing_is_doubled_or_lost(seed: int) -> None:
    live_through(seed)


@pytest.mark.deep
def test_one_history_after_another_for_some_minutes() -> None:
    """`make test-deep MINUTES=n SEED=s`: goes on from seed s, and says how far it came."""
    seed = first = int(os.environ.get("SEED", "0"))
    ends = time.monotonic() + 60 * float(os.environ.get("MINUTES", "10"))
    while time.monotonic() < ends:
        sys.stderr.write(f"\rhistory {seed} ")
        with suppress(Undone), transaction.atomic():
            live_through(seed)
            raise Undone
        seed += 1
    sys.stderr.write(f"\n{seed - first} histories from seed {first}, none failed\n")
    assert seed > first


def live_through(seed: int) -> None:
    random = Random(seed)
    left = MemoryApp("left", create=random.choice(("client_id", "search")))
    right = MemoryApp("right", create=random.choice(("client_id", "search")))
    options: dict[str, Any] = {
        "winner": random.choice(("left", "right")),
        "sync_deletions": random.choice(("off", "both")),
    }
    world = make_world(left, right, **options)
    world.worker = replace(world.worker, slice_seconds=random.choice((8, 240)))
    history = History(world, random)
    history.watch()
    try:
        for _ in range(ROUNDS):
            for _ in range(random.randint(1, 4)):
                history.person()
            if random.random() < 0.6:
                history.arm()
            history.run()
        history.settle()
        history.check()
    except (AssertionError, IntegrityError) as error:
        about = f"seed {seed}: {left.create} {right.create} {options}"
        raise AssertionError("\n".join([about, *history.steps, str(error)])) from error
