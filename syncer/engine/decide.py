"""The verdict on each contact that a connection has not judged yet: planner and matching, fed from the replicas.

Nothing here writes or calls an app: `judge_records` and `judge_links` read and return verdicts; plan.py stores them,
apply.py asks again right before it sends, explain.py shows them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Q

from connections.conditions import Facts, evaluate
from connections.fieldtypes import fold
from connections.models.connection import SideName, other
from syncer.connectors.base import FieldType, Value
from syncer.engine import matching
from syncer.engine.planner import Held, PairPlan, Write, plan_create, plan_pair
from syncer.engine.setup import Setup
from syncer.engine.values import digest, tag_keys, with_tag, without_tag
from syncer.models import Change, Link, Record
from syncer.models.link import ENDED

WAIT_AGAIN = timedelta(minutes=1)


@dataclass
class Verdict:
    """What one link becomes. `link` may be unsaved. `shadow` are the lines that agree; `changes` are unsaved rows
    without a run; `trace` tells why, for people."""

    link: Link
    state: str
    reason: str = ""
    shadow: dict[str, list[Value]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    trace: list[dict[str, str]] = field(default_factory=list)
    again_at: datetime | None = None
    deletion: bool = False
    actions: dict[str, object] | None = None


@dataclass
class Scope:
    """Whether a rule takes a contact, why, and when time alone could change that."""

    matched: bool = False
    trace: list[dict[str, str]] = field(default_factory=list)
    again_at: datetime | None = None


def side_record(link: Link, side: SideName) -> Record | None:
    return link.left if side == "left" else link.right


def live_links(setup: Setup, **filters: object) -> list[Link]:
    links = Link.objects.filter(connection=setup.connection, **filters).exclude(state__in=ENDED)
    return list(links.select_related("left", "right"))


def judge_records(
    setup: Setup, side: SideName, records: Sequence[Record], now: datetime, claimed: set[int]
) -> list[Verdict]:
    """Verdicts on records of one side, in their order. `claimed` are records that this plan deals with already; it
    grows."""
    by_record = {getattr(link, f"{side}_id"): link for link in live_links(setup, **{f"{side}__in": records})}
    links = []
    for record in records:
        link = by_record.get(record.pk)
        if link is None:
            if record.state in (Record.State.GONE, Record.State.ERASED):
                continue
            link = Link(connection=setup.connection, state=Link.State.NEW, updated_at=now, **{side: record})
        links.append(link)
    return judge_links(setup, links, now, claimed)


def judge_links(setup: Setup, links: Sequence[Link], now: datetime, claimed: set[int]) -> list[Verdict]:
    surroundings = look_around(setup, links)
    verdicts = []
    for link in links:
        ids = {pk for pk in (link.left_id, link.right_id) if pk is not None}
        if ids & claimed:
            continue
        verdict = judge_pair(setup, link, now) if link.is_pair else judge_single(setup, link, surroundings, now)
        if verdict is None:
            continue
        if verdict.changes:
            claimed |= ids | {change.record_id for change in verdict.changes if change.record_id is not None}
            if verdict.link is not link:
                claimed |= {pk for pk in (verdict.link.left_id, verdict.link.right_id) if pk is not None}
        verdicts.append(verdict)
    return verdicts


# Pairs


def judge_pair(setup: Setup, link: Link, now: datetime) -> Verdict | None:
    records: dict[SideName, Record] = {"left": link.left, "right": link.right}  # type: ignore[dict-item]
    gone: list[SideName] = [side for side, record in records.items() if record.state == Record.State.GONE]
    if any(record.state == Record.State.ERASED for record in records.values()):
        return Verdict(link, Link.State.ERASED, "erased on request")
    if len(gone) == 2:
        return Verdict(link, Link.State.SUPERSEDED, "deleted on both sides")
    if gone:
        return judge_deletion(setup, link, gone[0], records[other(gone[0])], now)
    problem = next((record.problem for record in records.values() if record.problem), "")
    if problem:
        return Verdict(link, Link.State.FAILING, problem)
    if not all(record.usable for record in records.values()):
        return Verdict(link, link.state, link.reason, again_at=now + WAIT_AGAIN)
    restored = judge_restored(setup, link, records, now)
    return restored if restored is not None else judge_values(setup, link, records, now)


def judge_values(setup: Setup, link: Link, records: Mapping[SideName, Record], now: datetime) -> Verdict:
    scope = in_scope(setup, records, now)
    if not scope.matched:
        return excluded(link, scope)
    plan = plan_pair(setup.lines, link.shadow, records["left"].values, records["right"].values, setup.policy)
    verdict = Verdict(
        link, Link.State.IN_SYNC, shadow=plan.agreed, held=plan.held, trace=scope.trace, again_at=scope.again_at
    )
    if plan.stop is not None:
        verdict.state, verdict.reason, verdict.held = Link.State.HELD, plan.stop.reason, [plan.stop]
        return verdict
    verdict.trace += [{"line": line, "why": note} for line, note in plan.notes]
    verdict.changes = updates(setup, link, records, plan)
    refused = [change for change in verdict.changes if change.digest == link.refused]
    if refused:
        verdict.changes = [change for change in verdict.changes if change not in refused]
        verdict.state, verdict.reason = Link.State.FAILING, link.reason
    return verdict


def excluded(link: Link, scope: Scope) -> Verdict:
    reason = "no rule matches this contact"
    return Verdict(link, Link.State.EXCLUDED, reason, trace=scope.trace, again_at=scope.again_at)


def updates(setup: Setup, link: Link, records: Mapping[SideName, Record], plan: PairPlan) -> list[Change]:
    return [update(setup, link, side, records[side], writes) for side, writes in plan.writes.items() if writes]


def update(setup: Setup, link: Link, side: SideName, record: Record, writes: Sequence[Write]) -> Change:
    return change(
        setup,
        link,
        side,
        "update",
        record=record,
        values={write.field: write.value for write in writes},
        base={write.field: write.base for write in writes},
        source={write.line: write.source for write in writes},
        reasons=[{"line": w.line, "field": w.field, "why": w.why, "lost": w.lost} for w in writes],
    )


def change(
    setup: Setup,
    link: Link,
    side: SideName,
    operation: str,
    *,
    record: Record | None = None,
    values: dict[str, Value],
    base: dict[str, Value],
    source: dict[str, Value] | None = None,
    reasons: list[dict[str, object]],
    match_key: str = "",
) -> Change:
    row = Change(
        link=link,
        side=side,
        operation=operation,
        book=setup.sides[side].book,
        record=record,
        match_key=match_key,
        values=values,
        base=base,
        source=source or {},
        reasons=reasons,
    )
    target = str(record.code) if record is not None else ""
    row.digest = digest([str(link.code), side, operation, target, values, base])
    return row


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


# Deletions


def judge_deletion(setup: Setup, link: Link, gone: SideName, survivor: Record, now: datetime) -> Verdict:
    """One side was deleted: the survivor keeps all it has, and gets the trash tag if that is wanted."""
    app, side = setup.sides[gone].app_label, other(gone)
    verdict = Verdict(link, Link.State.OPPOSITE_DELETED, f"deleted in {app}")
    verdict.deletion = link.state != Link.State.OPPOSITE_DELETED
    wanted = setup.connection.sync_deletions in ("both", f"to_{side}")
    if verdict.deletion:
        verdict.actions = {**link.applied_actions, "trash": {"wanted": wanted}}
    state = (verdict.actions or link.applied_actions).get("trash", {})
    if isinstance(state, dict) and state.get("wanted") and not state.get("set") and survivor.usable:
        verdict.changes = tag_change(setup, link, side, survivor, add=True)
    if edited_since(setup, link, side, survivor):
        reason = f"deleted in {app} and edited in {setup.sides[side].app_label} since they last agreed"
        verdict.held = [Held("deleted_edited", "", reason)]
    return verdict


def tag_change(setup: Setup, link: Link, side: SideName, record: Record, add: bool) -> list[Change]:
    """The trash tag set, or taken away again; nothing where it is as wanted, or where the app knows no tags."""
    name, tag = setup.sides[side].tags_field, setup.connection.trash_tag
    if not name or name not in record.values:
        return []
    have = record.values[name]
    if (fold(tag) in tag_keys(have)) == add:
        return []
    wanted = with_tag(have, tag) if add else without_tag(have, tag)
    why = "deleted" if add else "restored"
    return [
        change(
            setup,
            link,
            side,
            "tag" if add else "untag",
            record=record,
            values={name: wanted},
            base={name: have},
            reasons=[{"field": name, "why": why}],
        )
    ]


def edited_since(setup: Setup, link: Link, side: SideName, survivor: Record) -> bool:
    """Whether a person wrote in the survivor what the other side never saw."""
    index = 0 if side == "left" else 1
    for line in setup.lines:
        if line.code not in link.shadow or line.is_tags or not line.to - {side}:
            continue
        name = line.field(side).name
        if name in survivor.values and survivor.values[name] != link.shadow[line.code][index]:
            return True
    return False


def judge_restored(setup: Setup, link: Link, records: Mapping[SideName, Record], now: datetime) -> Verdict | None:
    """Both are there again: the tag that we set comes off first, then the pair goes on."""
    trash = link.applied_actions.get("trash")
    if not isinstance(trash, dict):
        return None
    side: SideName = "left" if trash.get("side") == "left" else "right"
    changes = tag_change(setup, link, side, records[side], add=False) if trash.get("set") else []
    if changes:
        return Verdict(link, Link.State.IN_SYNC, "back again", changes=changes)
    verdict = judge_values(setup, link, records, now)
    verdict.actions = {key: value for key, value in link.applied_actions.items() if key != "trash"}
    return verdict


# Contacts without a counterpart


@dataclass
class Surroundings:
    """What the replicas hold around unpaired contacts: by side and match key, the live records with that key, and which
    of them are in a pair."""

    by_key: dict[SideName, dict[str, list[Record]]]
    links: dict[int, Link]
    creating: dict[SideName, list[Change]]


def look_around(setup: Setup, links: Iterable[Link]) -> Surroundings:
    singles = [link for link in links if not link.is_pair]
    keys = {
        record.match_key
        for link in singles
        for record in (link.left, link.right)
        if record is not None and record.match_key
    }
    found: dict[SideName, dict[str, list[Record]]] = {"left": defaultdict(list), "right": defaultdict(list)}
    creating: dict[SideName, list[Change]] = {"left": [], "right": []}
    if not singles:
        return Surroundings(found, {}, creating)
    ids = []
    for side, ours in setup.sides.items():
        records = Record.objects.filter(book=ours.book, match_key__in=keys, state__in=["live", "suspect"])
        for record in records.order_by("pk"):
            found[side][record.match_key].append(record)
            ids.append(record.pk)
        creating[side] = list(Change.objects.filter(book=ours.book, state="sending", operation="create"))
    paired = Link.objects.filter(Q(left__in=ids) | Q(right__in=ids), connection=setup.connection).exclude(
        state__in=ENDED
    )
    by_record: dict[int, Link] = {}
    for link in paired.select_related("left", "right"):
        by_record |= {pk: link for pk in (link.left_id, link.right_id) if pk is not None}
    return Surroundings(found, by_record, creating)


def judge_single(setup: Setup, link: Link, around: Surroundings, now: datetime) -> Verdict | None:
    side: SideName = "left" if link.left_id is not None else "right"
    record = side_record(link, side)
    assert record is not None
    if link.state == Link.State.CREATING:
        return None
    if record.state == Record.State.ERASED:
        return Verdict(link, Link.State.ERASED, "erased on request")
    if record.state == Record.State.GONE:
        return Verdict(link, Link.State.SUPERSEDED, f"deleted in {setup.sides[side].app_label}")
    if record.problem:
        return Verdict(link, Link.State.FAILING, record.problem)
    if not record.usable:
        return Verdict(link, link.state, link.reason, again_at=now + WAIT_AGAIN)
    known = bool(around.by_key[other(side)].get(record.match_key))
    scope = try_rules(setup, side, record, known, now, Scope())
    question = question_of(setup, side, record, around, scope.matched)
    answer = matching.judge(question)
    if answer.kind == matching.Kind.PAIR:
        return judge_match(setup, link, answer, around, now)
    if answer.kind == matching.Kind.CREATE:
        return judge_create(setup, link, side, record, scope)
    states = {
        matching.Kind.WAIT: Link.State.NEW,
        matching.Kind.EXCLUDED: Link.State.EXCLUDED,
        matching.Kind.DUPLICATE: Link.State.DUPLICATE,
    }
    verdict = Verdict(link, states[answer.kind], answer.reason, trace=scope.trace, again_at=scope.again_at)
    if answer.kind == matching.Kind.WAIT:
        verdict.again_at = now + WAIT_AGAIN
    if answer.kind == matching.Kind.DUPLICATE:
        verdict.held = [Held("ambiguous", "", answer.reason)]
    return verdict


def question_of(setup: Setup, side: SideName, record: Record, around: Surroundings, scope: bool) -> matching.Question:
    target = other(side)
    key = record.match_key
    twins = [one for one in around.by_key[side].get(key, []) if one.pk != record.pk] if key else []
    theirs = around.by_key[target].get(key, []) if key else []
    blocked = setup.sides[target].book.problem
    return matching.Question(
        record=record.pk,
        match_key=key,
        candidates=[candidate(setup, one, around) for one in theirs],
        twins=[candidate(setup, one, around) for one in twins],
        ready=not blocked or bool(theirs),
        creating=any(
            (change.match_key == key or not key) and change.sent_at and record.first_seen_at >= change.sent_at
            for change in around.creating[side]
        ),
        avoid_duplicates=setup.connection.avoid_duplicates,
        creates=scope and setup.connection.writes_to(target),
        why_not=why_not_created(setup, target, scope),
    )


def why_not_created(setup: Setup, target: SideName, scope: bool) -> str:
    if not setup.connection.writes_to(target):
        return f"this connection creates no contacts in {setup.sides[target].app_label}"
    return "" if scope else "no rule matches this contact"


def candidate(setup: Setup, record: Record, around: Surroundings) -> matching.Candidate:
    link = around.links.get(record.pk)
    free = link is None or not link.is_pair or link.state == Link.State.OPPOSITE_DELETED
    return matching.Candidate(record.pk, free, record.usable)


def judge_match(setup: Setup, link: Link, answer: matching.Verdict, around: Surroundings, now: datetime) -> Verdict:
    """Two contacts belong together. The left one's link becomes the pair, whichever side was judged."""
    side: SideName = "left" if link.left_id is not None else "right"
    mine = side_record(link, side)
    assert mine is not None
    theirs = next(one for one in around.by_key[other(side)][mine.match_key] if one.pk == answer.candidate)
    records: dict[SideName, Record] = {side: mine, other(side): theirs}
    scope = in_scope(setup, records, now)
    if not scope.matched:
        return excluded(link, scope)
    keeper = keeper_of(setup, side, link, records["left"], around)
    plan = plan_pair(setup.lines, {}, records["left"].values, records["right"].values, setup.policy)
    linking = change(
        setup,
        keeper,
        "right",
        "link",
        record=records["right"],
        values={},
        base={},
        reasons=[{"why": "same_email"}],
    )
    verdict = Verdict(keeper, Link.State.NEW, "to be linked", trace=scope.trace)
    verdict.changes = [linking, *updates(setup, keeper, records, plan)]
    return verdict


def keeper_of(setup: Setup, side: SideName, link: Link, left: Record, around: Surroundings) -> Link:
    if side == "left":
        return link
    known = around.links.get(left.pk)
    if known is not None and not known.is_pair:
        return known
    return Link(connection=setup.connection, left=left, state=Link.State.NEW, updated_at=link.updated_at)


def judge_create(setup: Setup, link: Link, side: SideName, record: Record, scope: Scope) -> Verdict:
    target = other(side)
    theirs = setup.sides[target]
    plan = plan_create(
        setup.lines, target, record.values, list(theirs.fields.values()), setup.policy, setup.defaults(target)
    )
    keep_uid(setup, side, record, plan.values)
    if plan.missing:
        reason = f"{theirs.app_label}: " + "; ".join(held.reason for held in plan.missing)
        held = Held("required_empty", "", reason)
        return Verdict(link, Link.State.HELD, reason, held=[held], trace=scope.trace)
    reasons: list[dict[str, object]] = [{"why": "not_there"}]
    reasons += [{"field": name, "why": f"filled.{how}"} for name, how in plan.filled.items()]
    row = change(
        setup,
        link,
        target,
        "create",
        values=plan.values,
        base={},
        source=plan.source,
        reasons=reasons,
        match_key=record.match_key,
    )
    if row.digest == link.refused:
        return Verdict(link, Link.State.FAILING, link.reason, trace=scope.trace)
    return Verdict(link, Link.State.NEW, "to be created", changes=[row], trace=scope.trace)


def keep_uid(setup: Setup, side: SideName, record: Record, values: dict[str, Value]) -> None:
    """Between two apps whose contacts carry a UID, a copy keeps it."""
    mine, theirs = setup.sides[side].by_role("uid"), setup.sides[other(side)].by_role("uid")
    if mine is not None and theirs is not None and record.values.get(mine.name) is not None:
        values[theirs.name] = record.values[mine.name]
