"""Show what a sync would do, and write nothing."""

from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connections.services import Refused
from syncer.engine.planner import WORDS
from syncer.engine.run import OPEN_PLAN, run_slice
from syncer.management.terminal import Bar, find_connection
from syncer.models import Change, SyncRun
from syncer.services import approve, request_plan
from syncer.tasks import this_worker


class Command(BaseCommand):
    help = "Plans a connection (a dry run) and shows the plan; --approve lets exactly that plan through."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("connection", help="its code or its name")
        parser.add_argument("--limit", type=int, default=40, help="how many changes to show")
        parser.add_argument("--actor", default="command line", help="who asks, as it stands in the history")
        parser.add_argument("--approve", metavar="DIGEST", help="let the open plan with this digest through")

    def handle(self, *args: Any, connection: str, limit: int, actor: str, **options: Any) -> None:
        found = find_connection(connection)
        try:
            if options["approve"]:
                self.approve(found.pk, actor, options["approve"])
                return
            request_plan(found, actor, enqueue=False)
        except Refused as refused:
            raise CommandError(str(refused)) from refused
        bar = Bar()
        try:
            outcome = run_slice(found.pk, replace(this_worker(), progress=bar), "person", actor)
            while outcome.again_at is not None and outcome.status == "running" and outcome.reason == "":
                outcome = run_slice(found.pk, replace(this_worker(), progress=bar), "person", actor)
        finally:
            bar.close()
        run = SyncRun.objects.filter(connection=found, status__in=OPEN_PLAN).first()
        if run is None:
            self.stdout.write(f"Nothing to do. {outcome.reason}".strip())
            return
        self.show(run, limit)

    def approve(self, connection_id: int, actor: str, digest: str) -> None:
        run = SyncRun.objects.filter(connection=connection_id, status__in=OPEN_PLAN).first()
        if run is None:
            raise CommandError("There is no open plan.")
        approve(run, actor, digest)
        self.stdout.write("Approved. A worker carries it out.")

    def show(self, run: SyncRun, limit: int) -> None:
        changes = run.changes.filter(state__in=["planned", "held"]).select_related(
            "link__left", "link__right", "record"
        )
        total = changes.count()
        for change in changes.order_by("pk")[:limit]:
            self.stdout.write(line_of(change))
        if total > limit:
            self.stdout.write(f"... and {total - limit} more")
        for side, counts in run.counts.get("planned", {}).items():
            words = ", ".join(f"{number} {operation}" for operation, number in counts.items())
            self.stdout.write(f"{side:<5} {words or 'nothing'}")
        if run.error:
            self.stdout.write(f"Over a limit: {run.error}")
        self.stdout.write(f"Plan {run.code}, digest {run.plan_digest}")


def line_of(change: Change) -> str:
    what = f"{change.operation:<7}{change.side:<6}{name_of(change)}"
    fields = [f"{name}: {change.base.get(name)!r} -> {value!r}" for name, value in change.values.items()]
    why = {WORDS.get(str(reason["why"]), str(reason["why"])) for reason in change.reasons}
    return f"{what}  [{'; '.join(sorted(why))}]" + "".join(f"\n    {field}" for field in fields)


def name_of(change: Change) -> str:
    record = change.record or change.link.left or change.link.right
    return record.match_key or record.remote_id if record is not None else ""
