"""Walk the audit trail and name the first break."""

import sys
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from syncer.audit import checkpoint
from syncer.audit.chain import of_connection
from syncer.audit.verify import Report, orphans, verify
from syncer.models.log import LogChain


class Command(BaseCommand):
    help = "Checks every entry of the audit trail. The exit code is 1 if any was changed, lost or put in later."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--connection", type=UUID, metavar="CODE", help="only the log of this connection")
        which.add_argument("--chain", metavar="NAME", help='only this log: "portal" or "connection:CODE"')

    def handle(self, *args: Any, connection: UUID | None, chain: str | None, **options: Any) -> None:
        only = of_connection(connection) if connection is not None else chain
        heads = _heads(only)
        reports = self._walk(heads)
        for report in reports:
            self.stdout.write(_line(report))
        broken = sum(not report.ok for report in reports)
        lost = orphans() if only is None else 0
        if lost:
            self.stdout.write(f"BROKEN {lost} entries belong to no log")
        unproven = list(checkpoint.problems()) if only is None else []
        for problem in unproven:
            self.stdout.write(f"BROKEN {problem}")
        if unproven and not broken and not lost:
            raise CommandError("The logs are in order; the checkpoints say otherwise. Keep the database as it is.")
        if broken or lost:
            raise CommandError(
                f"{broken} of {len(reports)} logs are broken. Keep the database as it is and compare it with the last "
                "delivered checkpoint and with a backup from before it."
            )
        self.stdout.write(f"{sum(report.entries for report in reports)} entries of {len(reports)} logs are in order")

    def _walk(self, heads: dict[str, int]) -> list[Report]:
        quiet = not sys.stderr.isatty()
        with tqdm(total=sum(heads.values()), unit=" entries", disable=quiet, leave=False) as bar:
            return [verify(name, bar.update) for name in heads]


def _heads(only: str | None) -> dict[str, int]:
    """The logs to check, by name, with the number of their last entry."""
    chains = LogChain.objects.order_by("name")
    if only is not None:
        chains = chains.filter(name=only)
    heads = dict(chains.values_list("name", "head_seq"))
    if only is not None and not heads:
        raise CommandError(f"There is no log {only}. Without --connection and --chain, all logs are checked and named.")
    return heads


def _line(report: Report) -> str:
    if report.ok:
        return f"ok     {report.chain}: {report.entries} entries"
    return f"BROKEN {report.chain}: entry {report.seq}: {report.reason}"
