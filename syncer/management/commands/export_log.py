"""Write the evidence of a log to a file."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from connections.services import Refused
from syncer import evidence
from syncer.audit.bundle import verify_py
from syncer.audit.chain import LogBroken, LogBusy
from syncer.evidence import Evidence
from syncer.management.terminal import find_connection


class Command(BaseCommand):
    help = "Writes the evidence of a log as a ZIP that others can check without the portal. Each export is noted."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--connection", metavar="CODE", help="the log of this connection, by its code or its name")
        which.add_argument("--chain", metavar="NAME", help='the log by its own name: "portal" or "connection:CODE"')
        which.add_argument("--verifier", action="store_true", help="only print verify.py, for whoever checks evidence")
        parser.add_argument(
            "--since", metavar="TIME", help="entries from here on: 2026-11-24 or 2026-11-24T12:00Z (UTC)"
        )
        parser.add_argument("--until", metavar="TIME", help="entries before this; a date means the whole of that day")
        parser.add_argument("--without-values", action="store_true", help="leave out all that may be a contact's")
        parser.add_argument(
            "--output", metavar="FILE", help="where to; else a file in this folder, named after the log"
        )
        parser.add_argument("--actor", default="command line", help="who asks, for the history")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verifier"]:
            self.stdout.write(verify_py())
            return
        name = find_connection(options["connection"]).chain if options["connection"] else options["chain"]
        since, until = moment(options["since"], end=False), moment(options["until"], end=True)
        if options["output"]:
            refuse_existing(Path(options["output"]))
        try:
            found = evidence.prepare(name, options["actor"], since, until, not options["without_values"])
        except (Refused, LogBusy, LogBroken) as error:
            raise CommandError(str(error)) from None
        path = Path(options["output"] or found.file_name)
        try:
            with whole_or_not(path) as out, bar(found) as progress:
                found.write_to(out, progress.update)
        except OSError as error:
            raise CommandError(f"{path} cannot be written ({error.strerror or type(error).__name__}).") from None
        self.stdout.write(f"{path}: {found.entries} entries of {name}. Check it with: python -I verify.py {path.name}")


def moment(text: str | None, end: bool) -> datetime | None:
    """A time of the command line, in UTC where it names no zone. A date is its beginning, or its `end`."""
    if not text:
        return None
    with suppress(ValueError):
        day = date.fromisoformat(text)
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1 if end else 0)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text} is no time. Write it like 2026-11-24 or 2026-11-24T12:00Z.") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def refuse_existing(path: Path) -> None:
    if path.exists():
        raise CommandError(f"{path} is there already. Name another file, or move it away.")


@contextmanager
def whole_or_not(path: Path) -> Iterator[BinaryIO]:
    """A new file for its owner's eyes, under its name only when it is whole."""
    refuse_existing(path)
    partial = path.with_name(f"{path.name}.part")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise


@contextmanager
def bar(found: Evidence) -> Iterator[Any]:
    quiet = not sys.stderr.isatty()
    with tqdm(total=found.entries, unit=" entries", disable=quiet, leave=False) as shown:
        yield shown
