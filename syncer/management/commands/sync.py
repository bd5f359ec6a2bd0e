"""Run a connection in this terminal, to the end of its run."""

from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connections.models import Connection
from syncer.engine.run import OPEN_PLAN, Outcome
from syncer.management.terminal import count_words, find_connection, plan_words, printable, sentence, work
from syncer.models import Book, SyncRun

NOT_ACTIVE = {
    Connection.State.DRAFT: "is a draft. Activate it in the admin first.",
    Connection.State.PAUSED: "is paused. Resume it in the admin first.",
}


class Command(BaseCommand):
    help = "Syncs a connection here and now, without the queue."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("connection", help="its code or its name")
        parser.add_argument(
            "--full", action="store_true", help="read both books whole: finds deletions that an app does not report"
        )
        parser.add_argument("--actor", default="command line", help="who asks, as it stands in the history")

    def handle(self, *args: Any, connection: str, full: bool, actor: str, **options: Any) -> None:
        found = find_connection(connection)
        if found.state != Connection.State.ACTIVE:
            raise CommandError(f"{found} {NOT_ACTIVE[Connection.State(found.state)]}")
        if full:
            Book.objects.filter(sides__connection=found).update(full_wanted=True)
        for line in words(found, work(found, actor, self.stderr.write)):
            self.stdout.write(printable(line))


def words(connection: Connection, outcomes: Sequence[Outcome]) -> list[str]:
    """What each run did, then why it does not go on."""
    lines: list[str] = []
    for outcome in outcomes:
        if outcome.run is not None and outcome.run.phase == SyncRun.Phase.END:
            status = f"Run {outcome.run.code}: {outcome.run.get_status_display()}. {sentence(outcome.reason)}"
            lines += [status.strip(), *count_words(outcome.run.counts)]
    last = outcomes[-1]
    plan = SyncRun.objects.filter(connection=connection, status__in=OPEN_PLAN).first()
    if plan is not None:
        lines += ["A plan waits for a person; nothing is written until then.", *plan_words(plan)]
        return [*lines, f"Look at it: manage.py plan '{connection}'"]
    if last.again_at is not None:
        again = f"{last.again_at:%Y-%m-%d %H:%M} UTC"
        return [*lines, f"It waits. {sentence(last.reason)} A worker goes on at {again}."]
    return lines or [sentence(last.reason) or "Nothing to do."]
