"""Show what a sync would do, and write nothing."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connections.models import Connection
from connections.services import Refused
from syncer.engine.cancelling import UNDER_WAY
from syncer.engine.planner import WORDS
from syncer.engine.run import OPEN_PLAN
from syncer.management.terminal import find_connection, plan_words, printable, sentence, shown, work
from syncer.models import Change, SyncRun
from syncer.services import approve, request_plan


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
                self.approve(found, actor, options["approve"])
                return
            if not found.runs.filter(status__in=UNDER_WAY, dry_run=True).exists():
                request_plan(found, actor, enqueue=False)
        except Refused as refused:
            raise CommandError(str(refused)) from refused
        outcome = work(found, actor, self.stderr.write)[-1]
        if outcome.again_at is not None:
            again = f"{outcome.again_at:%Y-%m-%d %H:%M} UTC"
            raise CommandError(f"There is no plan yet. {sentence(outcome.reason)} A worker goes on at {again}.")
        if outcome.run is None or outcome.run.status not in OPEN_PLAN:
            self.stdout.write(sentence(outcome.reason) or "Nothing to do.")
            return
        self.show(found, outcome.run, limit)

    def approve(self, connection: Connection, actor: str, digest: str) -> None:
        run = SyncRun.objects.filter(connection=connection, status__in=OPEN_PLAN).first()
        if run is None:
            raise CommandError("There is no open plan.")
        approve(run, actor, digest)
        self.stdout.write("Approved. A worker carries it out.")

    def show(self, connection: Connection, run: SyncRun, limit: int) -> None:
        changes = run.changes.filter(state__in=["planned", "held"]).select_related(
            "link__left", "link__right", "record"
        )
        total = changes.count()
        lines = [line for change in changes.order_by("pk")[:limit] for line in lines_of(change)]
        lines += [f"... and {total - limit} more (--limit {total} shows all)"] if total > limit else []
        lines += [*plan_words(run), f"Plan {run.code}. Nothing is written yet. To let exactly this plan through:"]
        for line in [*lines, f"  manage.py plan '{connection}' --approve {run.plan_digest}"]:
            self.stdout.write(printable(line))


def lines_of(change: Change) -> list[str]:
    why = {WORDS.get(str(reason["why"]), str(reason["why"])) for reason in change.reasons}
    fields = [f"    {name}: {shown(change.base.get(name))} -> {shown(value)}" for name, value in change.values.items()]
    return [f"{change.operation:<7}{change.side:<6}{name_of(change)}  [{'; '.join(sorted(why))}]", *fields]


def name_of(change: Change) -> str:
    record = change.record or change.link.left or change.link.right
    return record.match_key or record.remote_id if record is not None else ""
