"""Who looked at whose history: reading contacts' values leaves a trace, and a thin one."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest

from connections.admin.base import actor
from portal.addresses import client_address
from portal.clock import SYSTEM, Clock
from syncer.audit.chain import PORTAL, Entry, append
from syncer.audit.format import parse
from syncer.models import SyncLog
from syncer.models.log import Kind

QUARTER = 15
"""Minutes; they begin at :00, :15, :30 and :45."""


def viewed(request: HttpRequest, connections: Iterable[UUID | None], clock: Clock = SYSTEM) -> None:
    """One entry for each connection that this person has not looked at in this quarter of an hour. Raises LogBusy,
    LogBroken: what cannot be put on record is not shown."""
    codes = {str(code) for code in connections if code is not None}
    now, user = clock.now(), request.user.pk
    if not codes or codes <= known(user, quarter_of(now)):
        return  # most views; they take no lock
    with transaction.atomic():
        new = sorted(codes - known(user, quarter_of(now)))
        payload = {"user": actor(request), "address": client_address(request)}
        entries = [Entry(Kind.ACCESS_VIEWED, actor(request), {"user": user, "viewed": code}, payload) for code in new]
        append(PORTAL, entries, now)


def known(user: int | None, since: datetime) -> set[str]:
    """The connections whose viewing by this person is on record since then."""
    rows = SyncLog.objects.filter(kind=Kind.ACCESS_VIEWED, at__gte=since).values_list("header", flat=True)
    headers = [parse(text) for text in rows]
    return {header["viewed"] for header in headers if header.get("user") == user}


def quarter_of(now: datetime) -> datetime:
    return now.replace(minute=now.minute // QUARTER * QUARTER, second=0, microsecond=0)
