"""What the queue runs. Tasks carry ids only, may be delivered twice, and may be lost: what is due is derived anew from
our own tables each minute (docs/adr/0003-the-queue.md)."""

import os
import socket
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django_q.models import Schedule
from django_q.tasks import async_task

from connections.models import Connection
from connections.services import connector_of
from portal.clock import SYSTEM
from syncer.connectors.registry import calls_per_hour
from syncer.engine.run import Outcome, Worker, run_slice
from syncer.models import Heartbeat
from syncer.rates import forget_old

SAFETY = timedelta(seconds=60)
"""How long past the end of a slice and its lease a run may stay silent before `tick` takes it for lost."""


def this_worker() -> Worker:
    return Worker(
        name=f"{socket.gethostname()}:{os.getpid()}",
        clock=SYSTEM,
        connect=connector_of,
        slice_seconds=settings.SLICE_SECONDS,
        lease_seconds=settings.LEASE_SECONDS,
        limits=calls_per_hour,
    )


def enqueue(connection_id: int) -> None:
    async_task("syncer.tasks.run_connection", connection_id, group="sync")


def run_connection(connection_id: int) -> str:
    """One slice of a connection; queues the next where it is to go on at once."""
    worker = this_worker()
    beat(worker)
    connection = Connection.objects.filter(pk=connection_id)
    silent_until = timedelta(seconds=settings.SLICE_SECONDS + settings.LEASE_SECONDS) + SAFETY
    connection.update(next_run_at=worker.clock.now() + silent_until)
    outcome = run_slice(connection_id, worker)
    schedule_next(connection_id, outcome, worker)
    return outcome.status


def schedule_next(connection_id: int, outcome: Outcome, worker: Worker) -> None:
    """When the connection is next due. Changes of its own that it should see are there a full interval later."""
    now = worker.clock.now()
    with transaction.atomic():
        connection = Connection.objects.get(pk=connection_id)
        again = outcome.again_at or now + timedelta(seconds=connection.interval)
        Connection.objects.filter(pk=connection_id).update(next_run_at=again)
        if again <= now:
            enqueue(connection_id)
            Connection.objects.filter(pk=connection_id).update(next_run_at=now + SAFETY)


def tick() -> int:
    """Each minute: claim what is due by compare-and-set, and queue it. How many were queued."""
    worker = this_worker()
    beat(worker)
    now, queued = worker.clock.now(), 0
    due = Connection.objects.filter(next_run_at__lte=now).exclude(state=Connection.State.DRAFT).order_by("next_run_at")
    for pk, was, state in list(due.values_list("pk", "next_run_at", "state")):
        if state == Connection.State.PAUSED and not in_flight(pk):
            continue
        with transaction.atomic():
            claimed = Connection.objects.filter(pk=pk, next_run_at=was).update(next_run_at=now + SAFETY)
            if claimed:
                enqueue(pk)
                queued += 1
    forget_old(now)
    return queued


def in_flight(connection_id: int) -> bool:
    """Whether a paused connection has something to go on with: a write to settle, or a plan that was asked for."""
    unsettled = Q(runs__changes__state="sending") | Q(runs__status__in=["queued", "running"])
    return Connection.objects.filter(unsettled, pk=connection_id).exists()


def beat(worker: Worker) -> None:
    Heartbeat.objects.update_or_create(name=worker.name, defaults={"at": worker.clock.now()})
    Heartbeat.objects.filter(at__lt=worker.clock.now() - timedelta(days=1)).delete()


def ensure_schedule(sender: object = None, **kwargs: object) -> None:
    """The one schedule there is; made after each migration."""
    Schedule.objects.update_or_create(
        name="tick",
        defaults={"func": "syncer.tasks.tick", "schedule_type": Schedule.MINUTES, "minutes": 1, "repeats": -1},
    )
