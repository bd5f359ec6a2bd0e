"""Which contacts a connection is about: its rules, asked of a contact (DESIGN.md 7)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connections.conditions import Facts, evaluate
from connections.models.connection import SideName, other
from syncer.connectors.base import FieldType
from syncer.engine.setup import Setup
from syncer.models import Record


@dataclass
class Scope:
    """Whether a rule takes a contact, why, and when time alone could change that."""

    matched: bool = False
    trace: list[dict[str, str]] = field(default_factory=list)
    again_at: datetime | None = None


def in_scope(setup: Setup, records: Mapping[SideName, Record], now: datetime) -> Scope:
    """A pair is in scope if either contact matches a rule of its side; in a one-way connection the other side's rules
    do nothing."""
    scope = Scope()
    for side, record in records.items():
        if setup.connection.writes_to(other(side)) and not scope.matched:
            try_rules(setup, side, record, len(records) == 2, now, scope)
    return scope


def try_rules(
    setup: Setup, side: SideName, record: Record, in_other: bool | None, now: datetime, scope: Scope
) -> Scope:
    facts = facts_of(setup, side, record, in_other, now)
    for rule in setup.rules[side]:
        verdict = evaluate(rule, facts)
        scope.trace += [{"rule": rule.name, "why": str(step)} for step in verdict.trace]
        if verdict.recheck_at is not None:
            scope.again_at = min(scope.again_at or verdict.recheck_at, verdict.recheck_at)
        if verdict.matched:
            scope.matched = True
            scope.trace.append({"rule": rule.name, "why": "matches"})
            break
    return scope


def facts_of(setup: Setup, side: SideName, record: Record, in_other: bool | None, now: datetime) -> Facts:
    ours = setup.sides[side]
    owner = next((f.name for f in ours.fields.values() if f.type == FieldType.OWNER), "")
    return Facts(
        values=record.values,
        fields=ours.fields,
        owner_field=owner,
        tags_field=ours.tags_field,
        in_other=in_other,
        deleted=record.state == Record.State.GONE,
        now=now,
        region=setup.policy.region,
    )
