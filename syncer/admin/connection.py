"""The page of a connection: what is set up (connections/admin/connection.py), how it runs, and the buttons for that."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, StreamingHttpResponse

from connections import scope
from connections.admin.base import actor, list_of, page_of
from connections.admin.chart import Bar, Chart
from connections.admin.connection import ConnectionAdmin
from connections.admin.panel import Button, Go, Panel
from connections.models import Connection
from connections.roles import Right
from portal.clock import SYSTEM
from syncer import evidence, services
from syncer.activity import KINDS, days
from syncer.attention import attention, by_state, open_holds, open_plan
from syncer.models import Book, Hold, Link, SyncLog, SyncRun
from syncer.webhooks import problems


@admin.register(Connection)
class RunningConnectionAdmin(ConnectionAdmin):
    def buttons(self, request: HttpRequest, obj: Any) -> Sequence[Button]:
        by = actor(request)
        found = list(super().buttons(request, obj))
        if obj.state == Connection.State.ACTIVE:
            found.insert(0, Button("sync", "Sync now", lambda: self.synced(obj, by), strong=True))
        if obj.state != Connection.State.DRAFT:
            found.append(Button("plan", "Plan", lambda: self.planned(obj, by)))
        return found

    def readers_buttons(self, request: HttpRequest, obj: Any) -> Sequence[Button]:
        """The evidence, for those who may read its history; with values only for those who see them in full."""
        if not scope.may(request, SyncLog._meta.label_lower, Right.LOOK, obj.client_id):
            return []
        by = actor(request)
        if not scope.sees_values(request, obj.client_id):
            return [Button("evidence", "Download the evidence", lambda: self.evidence(obj, by, values=False))]
        return [
            Button("evidence", "Download the evidence", lambda: self.evidence(obj, by, values=True)),
            Button("bare-evidence", "Evidence without values", lambda: self.evidence(obj, by, values=False)),
        ]

    def evidence(self, obj: Connection, by: str, values: bool) -> StreamingHttpResponse:
        found = evidence.prepare(obj.chain, by, values=values)
        return StreamingHttpResponse(
            found.chunks(),
            content_type="application/zip",
            headers={"Content-Disposition": f'attachment; filename="{found.file_name}"', "Cache-Control": "no-store"},
        )

    def synced(self, obj: Connection, by: str) -> str:
        services.request_sync(obj, by)
        return "A run is queued. Load this page again to see how far it is."

    def planned(self, obj: Connection, by: str) -> str:
        services.request_plan(obj, by)
        return "A plan is being made, and nothing is written. It appears among the runs when it is ready."

    def panel(self, request: HttpRequest, obj: Any) -> Panel:
        facts = [
            ("State", obj.get_state_display()),
            ("Last run", obj.last_run_at or "never"),
            ("Last success", obj.last_success_at or "never"),
            ("Next run", self.next_run(obj)),
            ("Quiet runs since", obj.quiet_runs),
            ("Contacts", self.health(obj)),
        ]
        run = SyncRun.objects.filter(connection=obj, status__in=["queued", "running"]).first()
        facts += [("Now", run_words(run))] if run is not None else []
        said = [*attention(obj), *problems(Book.objects.filter(sides__connection=obj))]
        return Panel(facts, said, [*self.links(obj), *self.more(obj)], chart=chart_of(obj, SYSTEM.now()))

    def next_run(self, obj: Connection) -> Any:
        if obj.state != Connection.State.ACTIVE:
            return "none: it is not active"
        return obj.next_run_at or "as soon as a worker is free"

    def health(self, obj: Connection) -> str:
        """How many contacts are in which state."""
        counts = by_state(obj)
        parts = [f"{counts[state]} {str(label).lower()}" for state, label in Link.State.choices if state in counts]
        return ", ".join(parts) if parts else "none yet: no run has looked at any"

    def more(self, obj: Connection) -> list[Go]:
        mine = {"connection__id__exact": obj.pk}
        found = [
            Go("Runs", list_of(SyncRun, **mine)),
            Go(f"Holds ({open_holds(obj).count()} open)", list_of(Hold, of=obj.pk)),
            Go("Contacts", list_of(Link, **mine)),
            Go("History", list_of(SyncLog, q=obj.code)),
        ]
        plan = open_plan(obj)
        return ([Go("The plan that waits", page_of(plan))] if plan is not None else []) + found


def chart_of(connection: Connection, now: datetime) -> Chart | None:
    """What was done day by day; none of a draft, which does nothing."""
    if connection.state == Connection.State.DRAFT:
        return None
    bars = [Bar(f"{day.date:%-d %b}", [day.counts[kind] for kind in KINDS]) for day in days(connection, now)]
    return Chart("Changes of the last 14 days (UTC)", list(KINDS), bars, "Nothing was changed in the last 14 days.")


def run_words(run: SyncRun) -> str:
    if run.status == SyncRun.Status.QUEUED:
        return "A run is queued."
    return f"{run.get_phase_display()}: {run.progress_done} of {run.progress_total}"
