"""The verdict on each contact that a connection has not judged yet: planner and matching, fed from the replicas.

Nothing here writes or calls an app: `judge_records` and `judge_links` read and return verdicts; plan.py stores them,
apply.py asks again right before it sends, explain.py shows them.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from connections.fieldtypes import fold, same
from connections.models.connection import SideName, other
from syncer.connectors.base import Role, Value
from syncer.engine import matching
from syncer.engine.consent import CONSENT, fill_consent, plan_contact
from syncer.engine.planner import CreatePlan, Held, PairPlan, Write, plan_create
from syncer.engine.refused import refused_value, why_refused
from syncer.engine.scope import Scope, in_scope, try_rules
from syncer.engine.setup import Setup
from syncer.engine.surroundings import Surroundings, look_around, question_of
from syncer.engine.values import digest, tag_keys, with_tag, without_tag
from syncer.models import Change, Link, Record
from syncer.models.link import ENDED

WAIT_AGAIN = timedelta(minutes=1)


@dataclass
class Verdict:
    """What one link becomes. `link` may be unsaved; `also` is the unsaved link of a match's other contact. `shadow` are
    the lines that agree; `changes` are unsaved rows without a run; `trace` tells why; `judged` is false where it has to
    wait; `refused` is what the app refused before and is left out for that."""

    link: Link
    state: str
    reason: str = ""
    shadow: dict[str, list[Value]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    trace: list[dict[str, str]] = field(default_factory=list)
    again_at: datetime | None = None
    deletion: bool = False
    judged: bool = True
    also: Link | None = None
    actions: dict[str, object] | None = None
    refused: dict[str, str] = field(default_factory=dict)


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
        if ids & claimed or not link.is_live:
            continue
        judge = judge_pair if link.is_pair else judge_single
        in_flight = link.pk in surroundings.in_flight or ids & surroundings.in_flight_records
        verdict = waiting(link, now) if in_flight else judge(setup, link, surroundings, now)
        if verdict is None:
            continue
        if any(change.record_id in claimed for change in verdict.changes):
            verdict = replace(waiting(link, now), again_at=now)
        if verdict.changes:
            claimed |= ids | {change.record_id for change in verdict.changes if change.record_id is not None}
            if verdict.link is not link:
                claimed |= {pk for pk in (verdict.link.left_id, verdict.link.right_id) if pk is not None}
        verdicts.append(verdict)
    return verdicts


def waiting(link: Link, now: datetime) -> Verdict:
    """Nothing can be said yet; what stands stays."""
    verdict = Verdict(link, link.state, link.reason, trace=link.trace, again_at=now + WAIT_AGAIN)
    verdict.judged = False
    return verdict


# Pairs


def judge_pair(setup: Setup, link: Link, around: Surroundings, now: datetime) -> Verdict | None:
    records: dict[SideName, Record] = {"left": link.left, "right": link.right}  # type: ignore[dict-item]
    gone: list[SideName] = [side for side, record in records.items() if record.state == Record.State.GONE]
    if any(record.state == Record.State.ERASED for record in records.values()):
        return Verdict(link, Link.State.ERASED, "erased on request")
    if any(record.needs_read for record in records.values()):
        return waiting(link, now)
    if len(gone) == 2:
        return Verdict(link, Link.State.SUPERSEDED, "deleted on both sides")
    if gone:
        return judge_deletion(setup, link, gone[0], records[other(gone[0])], around, now)
    problem = next((record.problem for record in records.values() if record.problem), "")
    if problem:
        return Verdict(link, Link.State.FAILING, problem)
    if not all(record.usable for record in records.values()):
        return waiting(link, now)
    restored = judge_restored(setup, link, records, now)
    return restored if restored is not None else judge_values(setup, link, records, now)


def judge_values(setup: Setup, link: Link, records: Mapping[SideName, Record], now: datetime) -> Verdict:
    scope = in_scope(setup, records, now)
    if not scope.matched:
        return excluded(link, scope)
    plan = plan_contact(setup, link.shadow, records)
    refused = leave_out_refused(link, plan)
    verdict = Verdict(
        link, Link.State.IN_SYNC, shadow=plan.agreed, held=plan.held, trace=scope.trace, again_at=scope.again_at
    )
    if plan.stop is not None:
        verdict.state, verdict.reason, verdict.held = Link.State.HELD, plan.stop.reason, [plan.stop]
        return verdict
    verdict.trace += [{"line": line, "why": note} for line, note in plan.notes]
    changes = updates(setup, link, records, plan)
    verdict.changes = [change for change in changes if change.digest not in link.refused]
    refused |= {change.digest: link.refused[change.digest] for change in changes if change.digest in link.refused}
    if refused:
        verdict.state, verdict.reason, verdict.refused = Link.State.FAILING, why_refused(refused), refused
    return verdict


def leave_out_refused(link: Link, plan: PairPlan) -> dict[str, str]:
    """Take the values out of a plan that the app refused before: each waits for a person, and the others travel. What
    was left out, by digest."""
    left_out: dict[str, str] = {}
    for side, writes in plan.writes.items():
        for write in list(writes):
            name = refused_value(side, write.field, write.value)
            if name in link.refused:
                writes.remove(write)
                left_out[name] = link.refused[name]
                pair = (write.source, write.base) if side == "right" else (write.base, write.source)
                line = "" if write.line == CONSENT else write.line
                plan.held.append(Held("value", line, link.refused[name], *pair))
    return left_out


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


# Deletions


def judge_deletion(
    setup: Setup, link: Link, gone: SideName, survivor: Record, around: Surroundings, now: datetime
) -> Verdict:
    """One side was deleted: the survivor keeps all it has, and gets the trash tag if that is wanted."""
    app, side = setup.sides[gone].app_label, other(gone)
    verdict = Verdict(link, Link.State.OPPOSITE_DELETED, f"deleted in {app}")
    verdict.deletion = "trash" not in link.applied_actions
    wanted = setup.connection.sync_deletions in ("both", f"to_{side}")
    if verdict.deletion:
        verdict.actions = {**link.applied_actions, "trash": {"wanted": wanted}}
    state = (verdict.actions or link.applied_actions).get("trash", {})
    if around.by_key[gone].get(survivor.match_key):
        verdict.again_at = now + WAIT_AGAIN  # entered anew, it seems: then it is linked, and no tag is needed
    elif isinstance(state, dict) and state.get("wanted") and not state.get("set") and survivor.usable:
        verdict.changes = tag_change(setup, link, side, survivor, add=True)
        refused = {one.digest: link.refused[one.digest] for one in verdict.changes if one.digest in link.refused}
        if refused:
            verdict.reason = f"{verdict.reason}; the tag was refused: {why_refused(refused)}"
            verdict.changes, verdict.refused = [], refused
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
        agreed = link.shadow[line.code][index]
        if name in survivor.values and not same(line.field(side).type, survivor.values[name], agreed):
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


def judge_single(setup: Setup, link: Link, around: Surroundings, now: datetime) -> Verdict | None:
    side: SideName = "left" if link.left_id is not None else "right"
    record = side_record(link, side)
    assert record is not None
    if link.state == Link.State.CREATING:
        return None
    if record.state == Record.State.ERASED:
        return Verdict(link, Link.State.ERASED, "erased on request")
    if record.needs_read:
        return waiting(link, now)
    if record.state == Record.State.GONE:
        return Verdict(link, Link.State.SUPERSEDED, f"deleted in {setup.sides[side].app_label}")
    if record.problem:
        return Verdict(link, Link.State.FAILING, record.problem)
    if not record.usable:
        return waiting(link, now)
    known = bool(around.by_key[other(side)].get(record.match_key))
    scope = try_rules(setup, side, record, known, now, Scope())
    question = question_of(setup, side, record, around, scope.matched)
    answer = matching.judge(question)
    if answer.kind == matching.Kind.PAIR:
        return judge_match(setup, link, answer, around, now)
    if answer.kind == matching.Kind.CREATE:
        out = around.opted_out[other(side)]
        return in_doubt(setup, link, side, record, scope) or judge_create(setup, link, side, record, scope, out)
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


def judge_match(setup: Setup, link: Link, answer: matching.Verdict, around: Surroundings, now: datetime) -> Verdict:
    """Two contacts belong together. The left one's link becomes the pair, whichever side was judged."""
    side: SideName = "left" if link.left_id is not None else "right"
    mine = side_record(link, side)
    assert mine is not None and answer.candidate is not None
    theirs = around.record(other(side), answer.candidate)
    records: dict[SideName, Record] = {side: mine, other(side): theirs}
    scope = in_scope(setup, records, now)
    if not scope.matched:
        return excluded(link, scope)
    keeper, attached = keeper_of(setup, link, records, around, now)
    plan = plan_contact(setup, {}, records)
    linking = change(
        setup,
        keeper,
        attached,
        "link",
        record=records[attached],
        values={},
        base={},
        reasons=[{"why": "same_origin" if mine.lineage == theirs.lineage else "same_email"}],
    )
    verdict = Verdict(keeper, Link.State.NEW, "to be linked", trace=scope.trace)
    verdict.also = other_link(setup, link, keeper, records[attached], attached, around, now)
    verdict.changes = [linking, *updates(setup, keeper, records, plan)]
    return verdict


def keeper_of(
    setup: Setup, link: Link, records: Mapping[SideName, Record], around: Surroundings, now: datetime
) -> tuple[Link, SideName]:
    """The one-sided link that becomes the pair, and the side whose record it takes in: the left one's link where the
    left is in no pair any more, whichever side was judged."""
    known = around.links.get(records["left"].pk)
    if link.left_id is not None:
        return link, "right"
    if known is None:
        return Link(connection=setup.connection, left=records["left"], state=Link.State.NEW, updated_at=now), "right"
    return (link, "left") if known.is_pair else (known, "right")


def other_link(
    setup: Setup, link: Link, keeper: Link, record: Record, side: SideName, around: Surroundings, now: datetime
) -> Link | None:
    """A link for the contact that is taken in, where it has none yet: it is looked at again if the match comes to
    nothing."""
    if keeper is not link:
        return link if link.pk is None else None
    if record.pk in around.links:
        return None
    return Link(
        connection=setup.connection, state=Link.State.NEW, reason="to be linked", updated_at=now, **{side: record}
    )


def in_doubt(setup: Setup, link: Link, side: SideName, record: Record, scope: Scope) -> Verdict | None:
    """After our database was set back to an older state, what it does not know as linked may have been linked since.
    Without an e-mail address nothing shows whether the other side has it: a person says so."""
    book = setup.sides[side].book
    decided = link.applied_actions.get("create")
    if decided == "leave":
        return Verdict(link, Link.State.EXCLUDED, "left alone, as a person decided", trace=scope.trace)
    if record.match_key or book.restored_at is None or decided == "create":
        return None
    if book.restored_until is not None and record.first_seen_at > book.restored_until:
        return None
    reason = "our database was set back: without an e-mail address nobody can tell whether the other side has it"
    return Verdict(link, Link.State.HELD, reason, held=[Held("create_unknown", "", reason)], trace=scope.trace)


def judge_create(
    setup: Setup, link: Link, side: SideName, record: Record, scope: Scope, out: AbstractSet[str]
) -> Verdict:
    """`out` are addresses that have opted out in the book of the new contact."""
    target = other(side)
    theirs = setup.sides[target]
    plan = plan_create(
        setup.lines, target, record.values, list(theirs.fields.values()), setup.policy, setup.defaults(target)
    )
    fill_consent(setup, side, record, plan, out)
    keep_uid(setup, side, record, plan.values)
    refused, essential = leave_out_of_create(setup, link, target, plan)
    if essential:
        return Verdict(link, Link.State.FAILING, why_refused(refused), trace=scope.trace, refused=refused)
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
    if row.digest in link.refused:
        refused[row.digest] = link.refused[row.digest]
        return Verdict(link, Link.State.FAILING, why_refused(refused), trace=scope.trace, refused=refused)
    return Verdict(link, Link.State.NEW, "to be created", changes=[row], trace=scope.trace, refused=refused)


def leave_out_of_create(setup: Setup, link: Link, target: SideName, plan: CreatePlan) -> tuple[dict[str, str], bool]:
    """A new contact comes without the values that the app refused before: (what was left out, by digest; whether it
    cannot be made without one of them)."""
    names = {name: refused_value(target, name, value) for name, value in plan.values.items()}
    refused = {name: link.refused[one] for name, one in names.items() if one in link.refused}
    plan.values = {name: value for name, value in plan.values.items() if name not in refused}
    for line in setup.lines:
        if line.field(target).name in refused:
            plan.source.pop(line.code, None)
    fields = setup.sides[target].fields
    essential = any(fields[name].required or fields[name].role in (Role.EMAIL, "uid", CONSENT) for name in refused)
    return {names[name]: reason for name, reason in refused.items()}, essential


def keep_uid(setup: Setup, side: SideName, record: Record, values: dict[str, Value]) -> None:
    """Between two apps whose contacts carry a UID, a copy keeps it."""
    mine, theirs = setup.sides[side].by_role("uid"), setup.sides[other(side)].by_role("uid")
    if mine is not None and theirs is not None and record.values.get(mine.name) is not None:
        values[theirs.name] = record.values[mine.name]
