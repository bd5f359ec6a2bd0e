"""Three books X, Y, Z and two connections X-Y and Y-Z on the real engine, and all that can happen to them, as single
acts: what people do, what staff do, what goes wrong, and slices of work in between.

Every act is a method with plain numbers as arguments. A `Story` notes them, so that a history that failed can be
printed, and replayed as a fixed example.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any
from unittest import mock

from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import connection as database
from django.db import transaction
from django.db.models.functions import Now

from connections.models import Account, Connection
from connections.services import Refused
from syncer import services as runs
from syncer.engine.run import Outcome
from syncer.models import Change, Hold, SyncRun
from syncer.models.lease import AccountLease
from tests.engine.acts import Acts, Opening
from tests.engine.memory import Crash, die
from tests.engine.world import ANNA


@dataclass
class Story(Acts):
    """Acts on the real engine, with slices of work in between, and the reckoning at the end."""

    # Work

    def runs(self, number: int) -> None:
        """One slice of a connection."""
        connection = self.world.connections[number]
        dry = SyncRun.objects.filter(connection=connection, dry_run=True, status__in=["queued", "running"]).exists()
        before = self.mutations()
        (statement, after), self.statement = self.statement, (0, False)
        try:
            with dying_at(statement, after):
                outcome = self.world.slice(connection)
            self.tell(f"connection {number}: {outcome.status} {outcome.reason}")
        except Crash:
            self.tell(f"connection {number}: crashed")
            AccountLease.objects.update(expires_at=Now())
        assert not dry or before == self.mutations(), "I28: a dry run wrote"
        self.oracles.check_slice()
        self.world.clock.forward(60)

    def waits(self, minutes: int) -> None:
        self.world.clock.forward(60 * minutes)

    def mutations(self) -> int:
        return sum(len(app.mutations) for app in self.apps)

    # The end

    def settles(self) -> None:
        """Everything works again, and staff do what they are asked to: then it all comes to rest, and stays so."""
        self.heal()
        for attempt in range(16):
            self.answer_questions()
            outcomes = [self.run_to_the_end(connection) for connection in self.world.connections]
            self.tell(f"settling: {[f'{outcome.status} {outcome.reason}' for outcome in outcomes]}")
            self.oracles.check_slice()
            self.world.clock.forward(90000 if attempt in (0, 6, 9, 11, 13) else 400)
            if attempt > 0 and all(one.status == "quiet" for one in outcomes) and self.nothing_open():
                break
        else:
            raise AssertionError(f"I15: it does not come to rest: {outcomes}")
        self.stays_quiet()
        self.oracles.check_rest()

    def run_to_the_end(self, connection: Connection) -> Outcome:
        for _ in range(60):
            outcome = self.world.slice(connection)
            if outcome.again_at is None or outcome.status not in ("running", "wait"):
                return outcome
            self.world.clock.forward(max(0.0, (outcome.again_at - self.world.clock.now()).total_seconds()))
        raise AssertionError(f"I22: the run does not end: {outcome}")

    def nothing_open(self) -> bool:
        asked = Hold.objects.filter(resolved=None, kind="create_unknown").values("link")
        waiting = Change.objects.filter(state="sending").exclude(link__in=asked).exists()
        return not waiting and not Hold.objects.filter(resolved=None, book__isnull=False).exists()

    def heal(self) -> None:
        for app in self.apps:
            app.faults.clear()
            app.named_faults.clear()
            app.unproven, app.page_error, app.cursor, app.breaks_at = 0, None, "", None
            app.delivers = lambda records: records
        self.statement = 0, False
        Account.objects.update(status=Account.Status.CONNECTED, blocked_until=None)
        for number in range(2):
            self.resumes(number)

    def answer_questions(self) -> None:
        Account.objects.update(status=Account.Status.CONNECTED, blocked_until=None)
        for number in range(2):
            if self.connection(number).state == Connection.State.PAUSED:
                self.resumes(number)
            self.decides(number, True)
        for hold in Hold.objects.filter(resolved=None, kind__in=["emptied", "suspects"]):
            runs.resolve_book_hold(hold, ANNA, self.world.clock)
        for hold in Hold.objects.filter(resolved=None, kind="create_unknown").select_related("link", "connection"):
            self.answer_create(hold)

    def answer_create(self, hold: Hold) -> None:
        """A person knows what became of it: it is the contact that the app made, or there is none."""
        assert hold.link is not None
        sent = hold.link.changes.filter(state="sending").first()
        ids: set[str] = set()
        if sent is not None:
            app = self.apps[self.oracles.book_number(sent.book)]
            ids = {one for kind, one, values in app.mutations if kind == "create" and values == sent.values}
        mine = next((record for record in runs.could_be_it(hold) if record.remote_id in ids), None)
        with suppress(Refused):
            runs.resolve_create(hold, "this" if mine else "again", ANNA, mine, self.world.clock)

    def stays_quiet(self) -> None:
        """I14, I17: nothing more is written, not even when every feed starts over."""
        before = self.mutations()
        for app in self.apps:
            app.cursor = "reset"
        for connection in self.world.connections:
            self.run_to_the_end(connection)
        made = [app.mutations[-1] for app in self.apps if app.mutations]
        assert self.mutations() == before, f"I14: written when all was quiet: {made}"


@contextmanager
def dying_at(statement: int, after: bool) -> Iterator[None]:
    """The process dies right before, or right after, this SQL statement."""
    count = 0

    def execute(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal count
        if sql.startswith("ROLLBACK"):
            return run(sql, params, many, context)
        count += 1
        if count == statement and not after:
            die(context)
        result = run(sql, params, many, context)
        if count == statement:
            die(context)
        return result

    with database.execute_wrapper(execute):
        yield


@contextmanager
def told(opening: Opening) -> Iterator[Story]:
    """A story that leaves no trace in the database, with ids that are the same each time it is told."""
    source = Random(0)
    cache.clear()
    with mock.patch.object(os, "urandom", source.randbytes), suppress(Undone), transaction.atomic():
        story = Story(opening)
        try:
            yield story
        except Exception as error:
            raise AssertionError(printed(story, error)) from error
        raise Undone


class Undone(Exception):
    """Ends a story without a trace."""


def printed(story: Story, error: Exception) -> str:
    steps = "\n".join(f"    {step!r}," for step in story.steps)
    return "\n".join([f"{type(error).__name__}: {error}", *story.told, f"{story.opening!r},", "[", steps, "],"])


def replay(opening: Opening, steps: Sequence[tuple[Any, ...]]) -> None:
    """Tell a story again, to its end."""
    with told(opening) as story:
        for name, *arguments in steps:
            act(story, name, *arguments)
        story.settles()


def act(story: Story, name: str, *arguments: Any) -> None:
    """What staff may not do just now is refused, and that is that."""
    with suppress(Refused, ValidationError):
        story.act(name, *arguments)
