"""/metrics for Prometheus: numbers of the whole portal, read from the database that all its processes share.

A scrape costs the same number of statements whatever there is, and looks at nothing that only ever grows: what has
happened so far is kept as sums (syncer/counters.py), the rest are short lists by their indexes.
"""

import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count, IntegerField, Max, Min, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce, Now
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from django_q.models import OrmQ
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from connections.models import Account, Connection
from connections.models.connection import SIDES
from portal.clock import SYSTEM, Clock
from portal.views import HEARTBEAT_LIMIT
from syncer import counters
from syncer.connectors.base import AuthFailed, BudgetSpent, Misconfigured, RateLimited, Transient
from syncer.connectors.registry import CONNECTORS
from syncer.models import AccountLease, Change, Counter, Heartbeat, Hold, Link, LogCheckpoint, SyncRun

PREFIX = "counterpart_"
OVERDUE = timedelta(minutes=2)
"""Due connections are queued each minute; what is later than this waits for workers, or there are none."""
ENDS = ("quiet", "done", "partial", "failed", "superseded", "rejected", "cancelled")
LEFT_SO = ("done", "recovered", "refused", "stale", "lost", "superseded", "skipped", "sending")
APPS = tuple(CONNECTORS)
OPEN = ("queued", "running", "waiting", "held")


@dataclass(frozen=True)
class Described:
    """One metric. A counter has `_total` after its name. `values` are the ones of each label that are always shown, in
    every combination: a counter that first appears as 1 has never risen, to Prometheus."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    values: tuple[Iterable[str], ...] = ()
    more: tuple[tuple[str, ...], ...] = ()

    def family(self, found: Mapping[tuple[str, ...], float]) -> Metric:
        kind = CounterMetricFamily if self in COUNTERS.values() else GaugeMetricFamily
        family = kind(PREFIX + self.name, self.help, labels=self.labels)
        always = (*(product(*self.values) if self.values else ()), *self.more)
        for labels, value in (dict.fromkeys(always, 0.0) | dict(found)).items():
            family.add_metric(labels, value)
        return family


COUNTERS = {
    counters.RUNS: Described("runs", "Runs that ended, by how; quiet ones found nothing to do.", ("status",), (ENDS,)),
    counters.CHANGES: Described(
        "changes",
        "Changes of runs that ended, by the state in which the run left them.",
        ("side", "operation", "state"),
        (SIDES, Change.Operation.values, LEFT_SO),
    ),
    counters.API_CALLS: Described(
        "api_calls",
        "Calls to apps: of a connection, or of people.",
        ("app", "caller"),
        (APPS, ("connection", "people")),
    ),
    counters.ERRORS: Described(
        "errors",
        "Errors that stopped a slice of work, by app (none: our own).",
        ("app", "kind"),
        (APPS, [error.__name__ for error in (AuthFailed, BudgetSpent, Misconfigured, RateLimited, Transient)]),
        (("none", "Crash"), ("none", "Timeout")),
    ),
    counters.LEASE_WAITS: Described("lease_waits", "Slices put off because another worked on one of their accounts."),
    counters.LEASES_LOST: Described("leases_lost", "Slices that another worker took over."),
}
RUNS_OPEN = Described(
    "runs_open", "Runs that have not ended; waiting and held ones need a person.", ("status",), (OPEN,)
)
CONNECTIONS = Described("connections", "Connections.", ("state",), (Connection.State.values,))
OVERDUE_NOW = Described("connections_overdue", "Active connections that have been due for more than two minutes.")
LATEST = Described("connections_latest_seconds", "How long the latest active connection has been due.")
ACCOUNTS = Described(
    "accounts",
    "Accounts; those that need authorization need a person.",
    ("app", "status"),
    (APPS, Account.Status.values),
)
HOLDS = Described("holds_open", "What waits for a person.", ("kind",), (Hold.Kind.values,))
FAILING = Described("contacts_failing", "Contacts whose last change failed; they are tried again.")
QUEUE = Described(
    "queue_tasks", "Tasks: waiting for a worker, or fetched by one.", ("state",), (("waiting", "fetched"),)
)
QUEUE_AGE = Described("queue_oldest_seconds", "How long the oldest waiting task waits.")
LEASES = Described("leases_held", "Accounts that a worker works on.")
HEARTBEAT = Described(
    "worker_heartbeat_seconds", "Since a worker last showed that it gets on; missing before the first."
)
CHECKPOINT = Described("checkpoint_seconds", "Since the newest checkpoint of the history; missing before the first.")
DELIVERED = Described("checkpoint_delivered_seconds", "Since the newest checkpoint that was delivered to its folder.")
GAUGES = (
    *(RUNS_OPEN, CONNECTIONS, OVERDUE_NOW, LATEST, ACCOUNTS, HOLDS, FAILING),
    *(QUEUE, QUEUE_AGE, LEASES, HEARTBEAT, CHECKPOINT, DELIVERED),
)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Not there unless METRICS_TOKEN or METRICS_OPEN is set; a token that is set is always asked for."""
    if settings.METRICS_TOKEN == "" and not settings.METRICS_OPEN:
        return HttpResponse("Not found.\n", status=404, content_type="text/plain")
    if settings.METRICS_TOKEN != "" and not is_allowed(request.headers.get("Authorization", "")):
        refusal = HttpResponse("Send METRICS_TOKEN as a bearer token.\n", status=401, content_type="text/plain")
        refusal.headers["WWW-Authenticate"] = "Bearer"
        return refusal
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    try:
        return HttpResponse(encode(registry()), content_type=content_type)
    except DatabaseError:
        return HttpResponse("The database cannot be asked; see /readyz.\n", status=503, content_type="text/plain")


def is_allowed(header: str) -> bool:
    scheme, _, token = header.partition(" ")
    same = hmac.compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode())
    return same and scheme.lower() == "bearer"


def registry(clock: Clock = SYSTEM) -> CollectorRegistry:
    """Of the portal alone: what belongs to the one process that happens to answer would only jump."""
    found = CollectorRegistry(auto_describe=False)
    found.register(Portal(clock))
    return found


class Portal(Collector):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def collect(self) -> Iterator[Metric]:
        now = self.clock.now()
        for parts in (counted(), runs(), due(now), people(), queue(now), signs_of_life(now)):
            yield from parts


Rows = Iterable[tuple[Any, ...]]


def by(rows: Rows) -> dict[tuple[str, ...], float]:
    """Rows of labels, and a number at their end."""
    return {tuple(map(str, labels)): float(number) for *labels, number in rows}


def one(value: float) -> dict[tuple[str, ...], float]:
    return {(): value}


def counted() -> Iterator[Metric]:
    found: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in COUNTERS}
    for name, labels, total in Counter.objects.values_list("name", "labels", "total"):
        if name in found:
            found[name][tuple(labels.split())] = total
    for name, described in COUNTERS.items():
        nothing_yet = {} if described.labels else one(0)
        yield described.family(nothing_yet | found[name])


def runs() -> Iterator[Metric]:
    open_runs = SyncRun.objects.filter(status__in=OPEN).order_by().values_list("status")
    yield RUNS_OPEN.family(by(open_runs.annotate(number=Count("pk"))))
    # A question for each connection, by the index that begins with it: links are many, connections are not.
    failing = Link.objects.filter(connection=OuterRef("pk"), state=Link.State.FAILING).order_by().values("connection")
    number = Subquery(failing.annotate(number=Count("pk")).values("number"), output_field=IntegerField())
    total = Connection.objects.aggregate(total=Sum(Coalesce(number, 0)))["total"]
    yield FAILING.family(one(total or 0))


def due(now: datetime) -> Iterator[Metric]:
    states = Connection.objects.order_by().values_list("state").annotate(number=Count("pk"))
    yield CONNECTIONS.family(by(states))
    active = Connection.objects.filter(state=Connection.State.ACTIVE, next_run_at__lte=now)
    found = active.aggregate(first=Min("next_run_at"), late=Count("pk", filter=Q(next_run_at__lt=now - OVERDUE)))
    yield OVERDUE_NOW.family(one(found["late"]))
    yield LATEST.family(one(since(found["first"], now)))


def people() -> Iterator[Metric]:
    """What needs a person."""
    accounts = Account.objects.order_by().values_list("app", "status").annotate(number=Count("pk"))
    yield ACCOUNTS.family(by(accounts))
    waiting = Hold.objects.filter(resolved__isnull=True).order_by().values_list("kind").annotate(number=Count("pk"))
    yield HOLDS.family(by(waiting))


def queue(now: datetime) -> Iterator[Metric]:
    """A task is locked until it was queued, and, once it is fetched, until it would be given to another."""
    waits = Q(lock__lte=now)
    tasks = OrmQ.objects.aggregate(all=Count("pk"), waiting=Count("pk", filter=waits), first=Min("lock", filter=waits))
    yield QUEUE.family({("waiting",): tasks["waiting"], ("fetched",): tasks["all"] - tasks["waiting"]})
    yield QUEUE_AGE.family(one(since(tasks["first"], now)))
    yield LEASES.family(one(AccountLease.objects.filter(expires_at__gt=Now()).count()))


def signs_of_life(now: datetime) -> Iterator[Metric]:
    beats = Heartbeat.objects.filter(at__lte=now + HEARTBEAT_LIMIT)
    yield age(HEARTBEAT, beats.aggregate(last=Max("at"))["last"], now)
    made = LogCheckpoint.objects.order_by("-number").values_list("at", flat=True)
    yield age(CHECKPOINT, made.first(), now)
    yield age(DELIVERED, made.filter(delivered_at__isnull=False).first(), now)


def age(described: Described, moment: datetime | None, now: datetime) -> Metric:
    """Nothing where there is none yet: 0 would look like just now."""
    return described.family({} if moment is None else one(since(moment, now)))


def since(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max(0.0, (now - moment).total_seconds())
