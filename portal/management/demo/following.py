"""Watching what the worker does, by the rows it leaves: the demo itself syncs nothing."""

import math
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from tqdm import tqdm

from connections.models import Connection
from connections.services import Refused
from portal.clock import Clock
from portal.management.demo.place import alive
from syncer.engine.cancelling import UNDER_WAY
from syncer.engine.run import OPEN_PLAN
from syncer.models import AccountLease, Record, SyncRun
from syncer.services import request_sync
from syncer.tasks import enqueue

LINE_SECONDS = 4.0
ACCOUNTS = ("connection__left_account", "connection__right_account")
WORDS = {SyncRun.Phase.PULL: "Reading", SyncRun.Phase.PLAN: "Planning", SyncRun.Phase.APPLY: "Syncing"}


@dataclass(frozen=True)
class Step:
    """How far a run is; `total` 0 where nobody knows."""

    what: str
    done: int
    total: int
    unit: str


def step_of(run: SyncRun) -> Step:
    what = WORDS.get(SyncRun.Phase(run.phase), "Finishing")
    if run.status == SyncRun.Status.QUEUED:
        return Step("Waiting for the worker", 0, 0, "")
    if leased_to_the_dead(run.connection):
        return Step("Waiting for the lease of a worker that was killed to run out (a minute at most)", 0, 0, "")
    if run.phase == SyncRun.Phase.APPLY:
        return Step(what, run.progress_done, run.progress_total, "changes")
    if run.phase == SyncRun.Phase.PLAN:
        return Step(what, run.left_position + run.right_position, run.left_target + run.right_target, "contacts")
    accounts = (run.connection.left_account_id, run.connection.right_account_id)
    return Step(what, Record.objects.filter(book__account__in=accounts).count(), 0, "contacts")


def leased_to_the_dead(connection: Connection) -> bool:
    """Whether a worker of this machine holds the accounts and is there no more: nobody may touch them until then."""
    keys = (connection.left_account.lease_key, connection.right_account.lease_key)
    held = AccountLease.objects.filter(key__in=keys, expires_at__gt=Now()).exclude(holder="")
    for holder in held.values_list("holder", flat=True):
        host, _, number = holder.rpartition(":")
        if host == socket.gethostname() and number.isdigit() and not alive(int(number)):
            return True
    return False


class Progress:
    """A bar for each step in a terminal, else a line every few seconds."""

    def __init__(self, say: Callable[[str], None], clock: Clock) -> None:
        self._say, self._clock = say, clock
        self._terminal = sys.stderr.isatty()
        self._bar: Any = None
        self._what, self._began, self._first, self._next_line = "", 0.0, 0, 0.0

    def show(self, step: Step) -> None:
        now = self._clock.monotonic()
        if step.what != self._what:
            self.close()
            self._what, self._began, self._first, self._next_line = step.what, now, step.done, now + LINE_SECONDS
            if self._terminal:
                self._bar = tqdm(
                    desc=f"  {step.what:<22}",
                    total=step.total or None,
                    initial=step.done,
                    unit=f" {step.unit}",
                    bar_format=None if step.unit else "{desc}",
                    leave=False,
                    dynamic_ncols=True,
                )
        if self._bar is not None:
            self._bar.total = step.total or None
            self._bar.update(step.done - self._bar.n)
            self._bar.refresh()
        elif now >= self._next_line:
            self._next_line = now + LINE_SECONDS if step.unit else math.inf
            self._say(line_of(step, step.done - self._first, now - self._began))

    def close(self) -> None:
        self._what = ""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def line_of(step: Step, gained: int, seconds: float) -> str:
    rate = f" ({gained / seconds:.0f}/s)" if gained and seconds else ""
    amount = f"{step.done} of {step.total}" if step.total else f"{step.done}"
    return f"  {step.what}: {amount} {step.unit}{rate}" if step.unit else f"  {step.what}"


def follow(run: SyncRun, progress: Progress, wait: Callable[[], None]) -> SyncRun | None:
    """Until the run has ended or its plan waits for a person; None where it found nothing to do and left no row. `wait`
    pauses a little, and raises to leave it at that."""
    try:
        while True:
            now = SyncRun.objects.select_related(*ACCOUNTS).filter(pk=run.pk).first()
            if now is None or now.status not in UNDER_WAY:
                return now
            progress.show(step_of(now))
            wait()
    finally:
        progress.close()


def ask_for_run(connection: Connection) -> SyncRun:
    """The open plan, the run under way (its task is queued again: a worker that was stopped may have left it), or a
    new run."""
    plan = SyncRun.objects.filter(connection=connection, status__in=OPEN_PLAN).first()
    if plan is not None:
        return plan
    under_way = run_under_way(connection)
    if under_way is None:
        try:
            return request_sync(connection, "demo")
        except Refused:
            under_way = run_under_way(connection)
            if under_way is None:
                raise
    with transaction.atomic():
        enqueue(connection.pk)
    return under_way


def run_under_way(connection: Connection) -> SyncRun | None:
    return SyncRun.objects.filter(connection=connection, status__in=UNDER_WAY).first()
