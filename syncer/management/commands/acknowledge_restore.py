"""Say that this database was restored from a backup, so that work goes on."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connections.services import Refused
from syncer.audit import checkpoint
from syncer.audit.chain import LogBroken, LogBusy
from syncer.restored import WHAT_IT_DOES, acknowledge


class Command(BaseCommand):
    help = "Shows whether this database is older than its newest delivered checkpoint; --reason acknowledges it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", default="", help="why, as it stands in the history: acknowledges it")
        parser.add_argument("--actor", default="command line", help="who says so, as it stands in the history")

    def handle(self, *args: Any, reason: str, actor: str, **options: Any) -> None:
        found = checkpoint.behind()
        if reason == "":
            self.stdout.write(f"{found}\n\n{WHAT_IT_DOES}\n\nTo acknowledge it: --reason '...'" if found else NOTHING)
            return
        try:
            made = acknowledge(actor, reason)
        except (Refused, LogBusy, LogBroken) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Acknowledged by checkpoint {made.number}. Every book is read anew, every plan is shown.")


NOTHING = "There is nothing to acknowledge: this database is not older than its newest delivered checkpoint."
