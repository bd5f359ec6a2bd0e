"""What the queue runs. Tasks carry ids only, may be delivered twice, and may be lost: what is due is derived anew from
our own tables each minute (docs/adr/0003-the-queue.md)."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, transaction
from django.db.models import F, Q
from django_q.exceptions import TimeoutException
from django_q.models import OrmQ, Schedule
from django_q.tasks import async_task

from connections.keys import forget_answers
from connections.models import Account, Connection
from connections.oauth import forget_authorizations
from connections.secrets import SecretUnreadable
from connections.services import Refused, checked, connector_of
from portal.clock import SYSTEM, Clock
from syncer import context, counters, webhooks
from syncer.audit import checkpoint
from syncer.connectors.registry import calls_per_hour
from syncer.engine.run import Outcome, Worker, run_slice
from syncer.engine.tidy import tidy
from syncer.models import Book, Heartbeat, SyncRun
from syncer.models.webhook import QUIET
from syncer.rates import forget_old

log = logging.getLogger(__name__)
TEND = "syncer.tasks.tend_webhook"
RUN = "syncer.tasks.run_connection"
SOON = timedelta(seconds=15)
"""What falls due before the next tick is nearer than this one is taken now: an interval of a minute stays one."""
SAFETY = timedelta(seconds=60)
"""How long past the end of a slice and its lease a run may stay silent before `tick` takes it for lost."""
BEAT_SECONDS = 30
"""How often a slice that gets on says so."""


def this_worker() -> Worker:
    name = f"{socket.gethostname()}:{os.getpid()}"
    return Worker(
        name=name,
        clock=SYSTEM,
        connect=connector_of,
        slice_seconds=settings.SLICE_SECONDS,
        lease_seconds=settings.LEASE_SECONDS,
        limits=calls_per_hour,
        pulse=Pulse(name, SYSTEM),
    )


def enqueue(connection_id: int) -> None:
    """Queue a slice, in the caller's transaction. It is due all the same until it has begun: a task may be lost."""
    async_task(RUN, connection_id, group="sync")
    Connection.objects.filter(pk=connection_id).update(next_run_at=SYSTEM.now() + SAFETY)


def run_connection(connection_id: int) -> str:
    """One slice of a connection; queues the next where it is to go on at once."""
    worker = this_worker()
    with at_work(worker):
        status = work_on(connection_id, worker)
    return status


def work_on(connection_id: int, worker: Worker) -> str:
    began = worker.clock.now()
    silent_until = timedelta(seconds=settings.SLICE_SECONDS + settings.LEASE_SECONDS) + SAFETY
    if not Connection.objects.filter(pk=connection_id).update(next_run_at=began + silent_until):
        return "deleted"
    try:
        outcome = run_slice(connection_id, worker)
    except SecretUnreadable as error:
        outcome = Outcome("attention", str(error))
        ask_for_credentials(connection_id, worker)
    except (DatabaseError, ObjectDoesNotExist):
        if Connection.objects.filter(pk=connection_id).exists():
            raise
        return "deleted"  # under our hands
    schedule_next(connection_id, outcome, began, worker)
    if outcome.status != "busy":
        hand_over(connection_id, worker.clock.now())
    return outcome.status


def ask_for_credentials(connection_id: int, worker: Worker) -> None:
    """The accounts whose credentials cannot be read say so, and are left alone until somebody has entered them."""
    connection = Connection.objects.select_related("left_account", "right_account").get(pk=connection_id)
    for account in (connection.left_account, connection.right_account):
        try:
            connector_of(account)
        except SecretUnreadable as error:
            status = Account.Status.NEEDS_AUTHORIZATION
            with suppress(Refused):
                checked(account, "system", "account.failed", status, str(error), account.identity, worker.clock)


def schedule_next(connection_id: int, outcome: Outcome, began: datetime, worker: Worker) -> None:
    """When the connection is next due: an interval after this slice began, soon where a person asked meanwhile."""
    now = worker.clock.now()
    with transaction.atomic():
        connection = Connection.objects.filter(pk=connection_id).first()
        if connection is None:
            return
        again = outcome.again_at or max(now, began + timedelta(seconds=connection.interval))
        if connection.runs.filter(status=SyncRun.Status.QUEUED).exists():
            again = min(again, now + SAFETY)
        if outcome.status in ("done", "partial", "quiet") and called_meanwhile(connection):
            again = min(again, now + QUIET)
        Connection.objects.filter(pk=connection_id).update(next_run_at=again)
        if outcome.again_at is not None and again <= now:
            enqueue(connection_id)


def called_meanwhile(connection: Connection) -> bool:
    """Whether an app said that a book changed after this run had read it."""
    return Book.objects.filter(sides__connection=connection, pull_wanted=True).exists()


def tick() -> int:
    """Each minute: claim what is due by compare-and-set, and queue it. How many were queued."""
    worker = this_worker()
    with at_work(worker):
        queued = queue_what_is_due(worker.clock.now())
    return queued


def queue_what_is_due(now: datetime) -> int:
    queued = 0
    due = Connection.objects.filter(next_run_at__lte=now + SOON).exclude(state=Connection.State.DRAFT)
    waiting = waiting_in_queue()
    for pk, was, state in list(due.order_by("next_run_at").values_list("pk", "next_run_at", "state")):
        if pk in waiting or (state == Connection.State.PAUSED and not in_flight(pk)):
            continue
        queued += claim(pk, was, now)
    queue_webhooks(now)
    forget_old(now)
    if cache.add("syncer.tidied", True, 3600):
        tidy(now)
        forget_answers(now)
        forget_authorizations(now)
        webhooks.forget_deliveries(now)
    checkpoint.hourly(now)
    return queued


def queue_webhooks(now: datetime) -> None:
    for webhook_id in webhooks.survey(now):
        async_task(TEND, webhook_id, group="webhooks")


def tend_webhook(webhook_id: int) -> str:
    """Make or remove a webhook; twice does it once."""
    worker = this_worker()
    with at_work(worker):
        status = webhooks.tend(webhook_id, worker.clock)
    return status


def claim(connection_id: int, was: datetime | None, now: datetime) -> bool:
    """Queue a connection, unless somebody else did it since we saw that it was due."""
    with transaction.atomic():
        mine = Connection.objects.filter(pk=connection_id, next_run_at=was)
        if not mine.update(next_run_at=now + SAFETY):
            return False
        enqueue(connection_id)
        return True


def hand_over(connection_id: int, now: datetime) -> None:
    """The two accounts are free again: of the connections that wait for one of them, the one that has waited longest
    goes on now, and not with the next tick."""
    accounts = Connection.objects.filter(pk=connection_id).values_list("left_account", "right_account").first()
    shares = Q(left_account__in=accounts or ()) | Q(right_account__in=accounts or ())
    due = Connection.objects.filter(shares, state=Connection.State.ACTIVE, next_run_at__lte=now + SOON)
    due = due.exclude(pk=connection_id).order_by(F("last_run_at").asc(nulls_first=True))
    waiting = waiting_in_queue()
    for pk, was in due.values_list("pk", "next_run_at"):
        if pk not in waiting and claim(pk, was, now):
            return


def waiting_in_queue() -> set[int]:
    """The connections with a task that no worker has fetched yet: where all workers are busy for long, a second one
    each minute would only make the queue longer. What another SECRET_KEY signed is not counted: it will be dropped."""
    tasks = [row.task for row in OrmQ.objects.filter(lock__lte=SYSTEM.now())]
    return {task["args"][0] for task in tasks if task.get("func") == RUN}


def in_flight(connection_id: int) -> bool:
    """Whether a paused connection has something to go on with: a write to settle, or a plan that was asked for."""
    unsettled = Q(runs__changes__state="sending") | Q(runs__status__in=["queued", "running"])
    return Connection.objects.filter(unsettled, pk=connection_id).exists()


@contextmanager
def at_work(worker: Worker) -> Iterator[None]:
    """Around a task. Its log lines name the worker, what breaks it is told and counted, and only a task that came to
    its end is a sign of life: one that hangs or crashes each time would look like work from its beginning."""
    with context.working(worker.name):
        try:
            yield
        except (Exception, TimeoutException) as error:
            kind = "Timeout" if isinstance(error, TimeoutException) else "Crash"
            counters.add({(counters.ERRORS, "none", kind): 1})
            log.exception("The task broke off; what is due is found again")
            raise
        beat(worker.name, worker.clock.now())


def beat(name: str, now: datetime) -> None:
    Heartbeat.objects.update_or_create(name=name, defaults={"at": now})
    Heartbeat.objects.filter(at__lt=now - timedelta(days=1)).delete()


@dataclass
class Pulse:
    """A sign of life each half minute of a slice that gets on: all workers may be busy for longer than one may be
    silent."""

    name: str
    clock: Clock
    beaten: float = field(init=False)

    def __post_init__(self) -> None:
        self.beaten = self.clock.monotonic()

    def __call__(self) -> None:
        if self.clock.monotonic() - self.beaten >= BEAT_SECONDS:
            self.beaten = self.clock.monotonic()
            beat(self.name, self.clock.now())


def ensure_schedule(sender: object = None, **kwargs: object) -> None:
    """The one schedule there is; made after each migration."""
    Schedule.objects.update_or_create(
        name="tick",
        defaults={"func": "syncer.tasks.tick", "schedule_type": Schedule.MINUTES, "minutes": 1, "repeats": -1},
    )
