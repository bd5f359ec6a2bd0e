"""Tell how one contact stands, and why."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.clock import SYSTEM
from syncer.engine.explain import Explanation, explain, find_links, rules_trace
from syncer.management.terminal import find_connection
from syncer.models import SyncLog


class Command(BaseCommand):
    help = "Explains a contact of a connection: state, rules, each field, holds, history."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("connection", help="its code or its name")
        parser.add_argument("contact", help="an e-mail address or the code of a link")

    def handle(self, *args: Any, connection: str, contact: str, **options: Any) -> None:
        found = find_connection(connection)
        links = find_links(found, contact)
        if not links:
            raise CommandError(f"{found} knows no contact {contact}.")
        for link in links:
            self.show(explain(link, SYSTEM.now()))

    def show(self, found: Explanation) -> None:
        link = found.link
        self.stdout.write(f"Link {link.code}: {link.get_state_display()}. {link.reason}".strip())
        for side, record in (("left", link.left), ("right", link.right)):
            if record is not None:
                self.stdout.write(f"  {side:<6}{record.remote_id} ({record.get_state_display()})")
        for text in rules_trace(found.verdict):
            self.stdout.write(f"  rule  {text}")
        for line in found.lines:
            shadow = "never agreed" if line.shadow is None else f"agreed on {line.shadow[0]!r} | {line.shadow[1]!r}"
            self.stdout.write(f"  {line.left_field} | {line.right_field}: {line.left!r} | {line.right!r} ({shadow})")
            if line.decision:
                self.stdout.write(f"      {line.decision}")
        for hold in found.holds:
            self.stdout.write(f"  waits for a person: {hold.get_kind_display()}. {hold.data.get('reason', '')}")
        for entry in found.entries:
            self.stdout.write(f"  {entry_line(entry)}")
        if link.next_attempt_at is not None:
            self.stdout.write(f"  looked at again from {link.next_attempt_at:%Y-%m-%d %H:%M} UTC")


def entry_line(entry: SyncLog) -> str:
    return f"{entry.at:%Y-%m-%d %H:%M:%S} {entry.kind} {entry.side} {entry.operation} {entry.payload or ''}".strip()
