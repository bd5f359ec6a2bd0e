"""Tell how one contact stands, and why."""

import json
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q

from connections.models import Connection
from portal.clock import SYSTEM
from syncer.engine.explain import Explanation, LineView, explain, find_links, rules_trace
from syncer.management.terminal import find_connection, printable, sentence, shown
from syncer.models import Hold, Link, SyncLog

EMPTY: tuple[object, ...] = (None, [])


class Command(BaseCommand):
    help = "Explains a contact of a connection: state, rules, each field, holds, history."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("connection", help="its code or its name")
        parser.add_argument("contact", help="an e-mail address, a contact's id in its app, or the code of a link")

    def handle(self, *args: Any, connection: str, contact: str, **options: Any) -> None:
        found = find_connection(connection)
        links = find_links(found, contact) or by_remote_id(found, contact)
        if not links:
            raise CommandError(
                f"{found} knows no contact {contact}. Name it by its e-mail address or its id in the app; "
                "one that is new is known after the next sync."
            )
        for link in links:
            for line in lines_of(explain(link, SYSTEM.now())):
                self.stdout.write(printable(line))


def by_remote_id(connection: Connection, text: str) -> list[Link]:
    same = Q(left__remote_id=text) | Q(right__remote_id=text)
    links = Link.objects.filter(same, connection=connection).select_related("left", "right")
    return list(links.exclude(state__in=["superseded", "erased"]).order_by("pk")[:20])


def lines_of(found: Explanation) -> list[str]:
    link = found.link
    lines = [f"Link {link.code}: {link.get_state_display()}. {sentence(link.reason)}".strip()]
    for side, record in (("left", link.left), ("right", link.right)):
        if record is not None:
            lines.append(f"  {side:<6}{record.remote_id} ({record.get_state_display()})")
    lines += [f"  rule  {text}" for text in rules_trace(found.verdict)]
    told = [line for line in found.lines if not says_nothing(line)]
    for line in told:
        lines += field_lines(line)
    silent = len(found.lines) - len(told)
    lines += [f"  {silent} more field{'s are' if silent > 1 else ' is'} empty on both sides"] if silent else []
    lines += [f"  waits for a person: {hold_words(hold)}" for hold in found.holds]
    lines += [f"  {entry_line(entry)}" for entry in found.entries]
    if link.next_attempt_at is not None:
        lines.append(f"  looked at again from {link.next_attempt_at:%Y-%m-%d %H:%M} UTC")
    return lines


def says_nothing(line: LineView) -> bool:
    values = [line.left, line.right, *(line.shadow if line.shadow is not None else ())]
    return line.decision == "" and all(value in EMPTY for value in values)


def field_lines(line: LineView) -> list[str]:
    now = f"  {line.left_field} | {line.right_field}: {shown(line.left)} | {shown(line.right)}"
    if line.shadow is None:
        agreed = " (never agreed)"
    elif list(line.shadow) == [line.left, line.right]:
        agreed = " (agreed)"
    else:
        agreed = f" (agreed on {shown(line.shadow[0])} | {shown(line.shadow[1])})"
    return [now + agreed, *([f"      {line.decision}"] if line.decision else [])]


def hold_words(hold: Hold) -> str:
    return sentence(f"{sentence(hold.get_kind_display())} {hold.data.get('reason', '')}".strip())


def entry_line(entry: SyncLog) -> str:
    about = " ".join(word for word in (entry.kind, entry.side, entry.operation, payload_words(entry)) if word)
    return f"{entry.at:%Y-%m-%d %H:%M:%S} {about}"


def payload_words(entry: SyncLog) -> str:
    """What was overwritten with what; of other entries, what they say beside that."""
    found: Mapping[str, Any] = json.loads(entry.payload) if entry.payload else {}
    if "after" in found:
        before = found.get("before") or {}
        return "; ".join(f"{name}: {shown(before.get(name))} -> {shown(new)}" for name, new in found["after"].items())
    return "; ".join(f"{name}: {shown(value)}" for name, value in found.items() if value not in (None, "", {}, []))
