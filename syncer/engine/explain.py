"""Why a contact is as it is: the planner's own answer, asked again, beside what was stored (DESIGN.md 11)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from connections.models import Connection
from syncer.connectors.base import Value
from syncer.engine.decide import Verdict, judge_links
from syncer.engine.planner import WORDS, Line
from syncer.engine.setup import load
from syncer.models import Hold, Link, SyncLog
from syncer.models.link import ENDED


@dataclass(frozen=True)
class LineView:
    """One mapping of one contact: the shadow, what either side shows, and what would be done now."""

    left_field: str
    right_field: str
    shadow: Sequence[Value] | None
    left: Value
    right: Value
    decision: str


@dataclass
class Explanation:
    link: Link
    lines: list[LineView] = field(default_factory=list)
    verdict: Verdict | None = None
    holds: list[Hold] = field(default_factory=list)
    entries: list[SyncLog] = field(default_factory=list)


def find_links(connection: Connection, text: str) -> list[Link]:
    """The live links of the contacts with this e-mail address, or the one link with this code; at most 20."""
    key = text.strip().casefold()
    links = Link.objects.filter(connection=connection).select_related("left", "right")
    if "@" not in key:
        try:
            return list(links.filter(code=UUID(key)))
        except ValueError:
            return []
    found = links.filter(Q(left__match_key=key) | Q(right__match_key=key))
    return list(found.exclude(state__in=ENDED).order_by("pk")[:20])


def explain(link: Link, now: datetime) -> Explanation:
    setup = load(link.connection)
    verdicts = judge_links(setup, [link], now, set()) if link.is_live else []
    verdict = verdicts[0] if verdicts else None
    return Explanation(
        link=link,
        lines=[line_view(line, link, verdict) for line in setup.lines],
        verdict=verdict,
        holds=list(Hold.objects.filter(link=link, resolved__isnull=True)),
        entries=list(SyncLog.objects.filter(link=link.code).order_by("-id")[:10]),
    )


def line_view(line: Line, link: Link, verdict: Verdict | None) -> LineView:
    left = link.left.values.get(line.left.name) if link.left is not None else None
    right = link.right.values.get(line.right.name) if link.right is not None else None
    return LineView(line.left.label, line.right.label, link.shadow.get(line.code), left, right, decision(line, verdict))


def decision(line: Line, verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    for held in verdict.held:
        if held.line == line.code:
            return f"waits for a person: {held.reason}"
    for change in verdict.changes:
        for reason in change.reasons:
            if reason.get("line") == line.code:
                return f"write {change.side}: {WORDS.get(str(reason['why']), reason['why'])}"
        if change.operation == "create" and line.code in change.source:
            return f"create {change.side}"
    notes = [step["why"] for step in verdict.trace if step.get("line") == line.code]
    return notes[0] if notes else ""


def rules_trace(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return []
    return [f"{step['rule']}: {step['why']}" for step in verdict.trace if "rule" in step]
