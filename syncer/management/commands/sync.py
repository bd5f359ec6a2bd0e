"""Run a connection in this terminal, to the end of its run."""

import time
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connections.models import Connection
from syncer.engine.run import Outcome, Worker, run_slice
from syncer.management.terminal import Bar, count_words, find_connection
from syncer.tasks import this_worker

LONGEST_WAIT = 60


class Command(BaseCommand):
    help = "Syncs a connection here and now, without the queue."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("connection", help="its code or its name")
        parser.add_argument("--actor", default="command line", help="who asks, as it stands in the history")

    def handle(self, *args: Any, connection: str, actor: str, **options: Any) -> None:
        found = find_connection(connection)
        if found.state != Connection.State.ACTIVE:
            raise CommandError(f"{found} is {found.get_state_display().lower()}. Activate it first.")
        bar = Bar()
        worker = replace(this_worker(), progress=bar)
        try:
            outcome = self.to_the_end(found, worker, actor)
        finally:
            bar.close()
        self.report(outcome)

    def to_the_end(self, connection: Connection, worker: Worker, actor: str) -> Outcome:
        while True:
            outcome = run_slice(connection.pk, worker, "person", actor)
            wait = (outcome.again_at - worker.clock.now()).total_seconds() if outcome.again_at is not None else None
            if wait is None or wait > LONGEST_WAIT:
                return outcome
            if wait > 0:
                self.stderr.write(f"{outcome.reason}; going on in {wait:.0f} s")
                time.sleep(wait)

    def report(self, outcome: Outcome) -> None:
        if outcome.status == "quiet":
            self.stdout.write(f"Nothing to do. {outcome.reason}".strip())
        elif outcome.run is not None:
            self.stdout.write(f"Run {outcome.run.code}: {outcome.run.get_status_display()}. {outcome.reason}".strip())
            self.stdout.write("\n".join(count_words(outcome.run.counts)))
        if outcome.status in ("failed", "attention", "lost"):
            raise CommandError(outcome.reason)
        if outcome.again_at is not None:
            self.stdout.write(f"It waits: {outcome.reason}. A worker goes on at {outcome.again_at:%Y-%m-%d %H:%M} UTC.")
