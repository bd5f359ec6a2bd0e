"""Is it alive, and can it work? Open to anybody who asks, so they name the parts and never what is in them."""

from collections.abc import Callable
from datetime import timedelta

from django.apps import apps
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.views.defaults import server_error as django_server_error
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api.errors import json_problem
from connections.secrets import unreadable
from portal.checks import missing_triggers
from portal.clock import SYSTEM, Clock

HEARTBEAT_LIMIT = timedelta(minutes=3)
OK = "ok"


@extend_schema(exclude=True)
@api_view(["GET"])
@authentication_classes([])
@permission_classes([AllowAny])
def healthz(request: Request) -> Response:
    """This process answers; it says nothing of what it needs."""
    return Response({"status": OK})


@extend_schema(exclude=True)
@api_view(["GET"])
@authentication_classes([])
@permission_classes([AllowAny])
def readyz(request: Request) -> Response:
    """200 where every part works, 503 with the parts that do not: {"status": ..., "parts": {name: "ok" or why not}}."""
    parts = readiness(SYSTEM)
    ready = all(answer == OK for answer in parts.values())
    response = Response({"status": OK if ready else "not ready", "parts": parts}, status=200 if ready else 503)
    # Whoever asks is told; a line in the log for every question of a start-up would bury the rest.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """A defect of ours; the log says which, under the request's id. Tools get it in their own words."""
    if request.path.startswith("/api/"):
        return json_problem(request, 500, "Something went wrong here. The log of the portal says what.")
    return django_server_error(request)


def readiness(clock: Clock) -> dict[str, str]:
    """The parts in the order in which they need each other; after a dead database the rest is not asked."""
    database = _answer(_database)
    if database != OK:
        return {"database": database}
    parts: dict[str, Callable[[], str]] = {
        "migrations": _migrations,
        "history": _history,
        "secrets": _secrets,
        "worker": lambda: _worker(clock),
        "cache": _cache,
    }
    return {"database": database} | {name: _answer(part) for name, part in parts.items()}


def _answer(part: Callable[[], str]) -> str:
    try:
        return part()
    except Exception:  # whatever is broken, the probe names the part; the cause may hold an address or a password
        return "failed; the log of the process that starts it says more"


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "not reachable; check DATABASE_URL and that the server is up"
    return OK


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return OK if not waiting else f"{len(waiting)} migration(s) to apply; run `python manage.py migrate`"


def _history() -> str:
    absent = missing_triggers()
    return OK if not absent else f"{len(absent)} protection(s) missing; run `python manage.py migrate`"


def _secrets() -> str:
    try:
        count = unreadable()
    except ImproperlyConfigured:
        return "FIELD_ENCRYPTION_KEYS is missing or malformed; run `python manage.py check`"
    return OK if count == 0 else f"{count} credential(s) cannot be read; check FIELD_ENCRYPTION_KEYS"


def _worker(clock: Clock) -> str:
    last = apps.get_model("syncer", "Heartbeat")._default_manager.aggregate(last=Max("at"))["last"]
    if last is None:
        return "no worker has reported yet; start one with `python manage.py run worker`"
    silent = clock.now() - last
    if silent > HEARTBEAT_LIMIT:
        return f"no worker has reported for {int(silent.total_seconds() // 60)} minutes"
    return OK


def _cache() -> str:
    cache.set("readyz", OK, timeout=10)
    return OK if cache.get("readyz") == OK else "does not keep what it is given; check CACHE_URL"
