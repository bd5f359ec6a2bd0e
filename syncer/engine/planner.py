"""What to write where: the decision for one contact, as pure functions over data (DESIGN.md 8, ENGINE.md 3).

For each mapping line there is a shadow (the pair of values at the last agreement) or none, and what either side shows
now. `decide_line` is the whole table; `plan_pair` and `plan_create` apply it to a contact.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from connections.fieldtypes import Unconvertible, convert, inverted, same
from syncer.connectors.base import Field, FieldType, Role, Value, Values
from syncer.engine.values import ABSENT, ARCHIVED, UNSUBSCRIBED, Absent, merged_tags, opted_out, tag_keys

SideName = Literal["left", "right"]
Maybe = Value | Absent
Stored = Callable[[Field, Value], Value]
Shadow = Mapping[str, Sequence[Value]]


def other(side: SideName) -> SideName:
    return "right" if side == "left" else "left"


@dataclass(frozen=True)
class Line:
    """A mapping as the planner sees it. `to` names the sides that it may write to, the connection's direction already
    taken into account; `winner` is left, right or hold."""

    code: str
    left: Field
    right: Field
    to: frozenset[str]
    winner: str = "left"
    write_mode: str = "always"
    clears: str = "propagate"
    value_map: Mapping[str, str] | None = None
    fallback: Mapping[str, str] | None = None

    def field(self, side: SideName) -> Field:
        return self.left if side == "left" else self.right

    @property
    def is_match_key(self) -> bool:
        return self.left.role == Role.EMAIL and self.right.role == Role.EMAIL

    @property
    def is_tags(self) -> bool:
        return self.left.type == FieldType.TAGS and self.right.type == FieldType.TAGS

    @property
    def is_consent(self) -> bool:
        return self.left.type == FieldType.CONSENT and self.right.type == FieldType.CONSENT

    def converted(self, value: Value, to: SideName, region: str | None) -> Value:
        """The value as the field of side `to` takes it. Raises Unconvertible."""
        table = inverted(self.value_map) if self.value_map is not None and to == "left" else self.value_map
        return convert(self.field(other(to)), self.field(to), value, table, region)


FALLBACK = Field("fallback", "The fallback", FieldType.TEXT)


def as_sent(field: Field, value: Value) -> Value:
    return value


@dataclass(frozen=True)
class Policy:
    """What holds for every line of a connection. `reserved` tags (casefolded) never travel; `region` is the home
    country of phone numbers without one."""

    reserved: frozenset[str] = frozenset()
    region: str | None = None
    stored: Mapping[str, Stored] = field(default_factory=lambda: {"left": as_sent, "right": as_sent})


WORDS = {
    "changed": "changed on the other side",
    "fill_empty": "fills an empty field",
    "only_direction": "the two differ, and the line goes this way only",
    "empty_never_wins": "both changed, and an empty value never wins",
    "conflict.left": "both changed, and the left wins",
    "conflict.right": "both changed, and the right wins",
    "tags": "tags are merged",
    "same_email": "the same e-mail address",
    "same_origin": "the same contact by its origin",
    "not_there": "not in the other book",
    "filled.default": "required: filled from the default that was chosen",
    "filled.fallback": "required: filled from the fallback that was chosen",
    "filled.consent": "the status that the other side shows",
    "filled.opted_out": "has opted out, and stays so",
    "filled.unsubscribed": "unsubscribed on the other side",
    "opted_out": "opted out on the other side; no sync takes that back",
    "unsubscribed": "unsubscribed on the other side",
    "deleted": "deleted on the other side",
    "restored": "no longer deleted on the other side",
}
"""The reasons of a change, in words."""


@dataclass(frozen=True)
class Write:
    """One field of a planned change. `why` is one of WORDS. `lost`: `base` is a value that a person wrote and that this
    write replaces."""

    line: str
    field: str
    value: Value
    base: Value
    source: Value
    why: str
    lost: bool = False


@dataclass(frozen=True)
class Held:
    """A line, or a whole contact (line ""), that waits for a person."""

    kind: str
    line: str
    reason: str
    left: Value = None
    right: Value = None


@dataclass(frozen=True)
class Decision:
    """What becomes of one line: at most one write per side (tags can have two), or agreement, or a hold, or nothing."""

    writes: tuple[tuple[SideName, Write], ...] = ()
    agree: bool = False
    held: Held | None = None
    note: str = ""


@dataclass
class PairPlan:
    """The plan for a pair: writes per side, the lines that agree (their pair of values becomes the shadow), the holds,
    and `stop`, the reason why the whole pair waits."""

    writes: dict[SideName, list[Write]] = field(default_factory=lambda: {"left": [], "right": []})
    agreed: dict[str, list[Value]] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    stop: Held | None = None


def equal(line: Line, left: Value, right: Value, policy: Policy) -> bool:
    """Whether the two sides show the same, each in its own way of holding it."""
    if line.is_tags:
        return tag_set(left, policy) == tag_set(right, policy)
    for side, source, target in (("right", left, right), ("left", right, left)):
        try:
            wanted = line.converted(source, side, policy.region)  # type: ignore[arg-type]
        except Unconvertible:
            continue
        kind = line.field(side).type  # type: ignore[arg-type]
        shown = policy.stored[side](line.field(side), wanted)  # type: ignore[arg-type]
        if same(kind, wanted, target, policy.region) or same(kind, shown, target, policy.region):
            return True
    return False


def tag_set(tags: Value, policy: Policy) -> frozenset[str]:
    return frozenset(tag_keys(tags)) - policy.reserved


def decide_line(line: Line, shadow: Sequence[Value] | None, left: Maybe, right: Maybe, policy: Policy) -> Decision:
    """The table of DESIGN.md 8 for one line."""
    if shadow is None:
        if left is ABSENT or right is ABSENT:
            return Decision(note="not read yet")
        return latch(line, left, right) if line.is_consent else first_merge(line, left, right, policy)
    absent = {"left": left is ABSENT, "right": right is ABSENT}
    now: dict[SideName, Value] = {
        "left": shadow[0] if left is ABSENT else left,
        "right": shadow[1] if right is ABSENT else right,
    }
    changed = {
        side: not same(line.field(side).type, now[side], shadow[index], policy.region)
        for index, side in enumerate[SideName](("left", "right"))
    }
    if line.is_tags:
        decision = merge_tags(line, shadow, now["left"], now["right"], policy)
    elif line.is_consent:
        decision = latch(line, now["left"], now["right"])
    elif not changed["left"] and not changed["right"]:
        return Decision()
    elif changed["left"] and changed["right"]:
        decision = both_changed(line, now, policy)
    else:
        source: SideName = "left" if changed["left"] else "right"
        decision = carry(line, source, now, policy, "changed")
    if any(absent[side] for side, _ in decision.writes):
        return Decision(note="not read yet")
    return decision


def first_merge(line: Line, left: Value, right: Value, policy: Policy) -> Decision:
    """Two contacts meet for the first time: an empty side is filled, a value is never erased."""
    now: dict[SideName, Value] = {"left": left, "right": right}
    if line.is_tags:
        return merge_tags(line, (None, None), left, right, policy)
    if equal(line, left, right, policy):
        return Decision(agree=True)
    if left is None or right is None:
        return carry(line, "left" if right is None else "right", now, policy, "fill_empty")
    return settle(line, now, policy)


def latch(line: Line, left: Value, right: Value) -> Decision:
    """An opt-out of either side is one of both, whatever either showed before; nothing else of consent travels. Where
    the other side holds no member any more there is nobody to opt out."""
    now: dict[SideName, Value] = {"left": left, "right": right}
    out: list[SideName] = [side for side, value in now.items() if opted_out(value)]
    if len(out) != 1 or now[other(out[0])] == ARCHIVED:
        return Decision(agree=True)
    source, target = out[0], other(out[0])
    if target not in line.to:
        return Decision(agree=True, note="left as it is: the line goes the other way")
    if line.write_mode != "always":
        return Decision(agree=True, note="left as it is: the line writes only empty or new fields")
    write = Write(line.code, line.field(target).name, UNSUBSCRIBED, now[target], now[source], "opted_out", True)
    return Decision(writes=((target, write),))


def both_changed(line: Line, now: Mapping[SideName, Value], policy: Policy) -> Decision:
    if equal(line, now["left"], now["right"], policy):
        return Decision(agree=True)
    return settle(line, now, policy)


def settle(line: Line, now: Mapping[SideName, Value], policy: Policy) -> Decision:
    """Two different values: the winner's travels; an empty one never wins."""
    if len(line.to) == 1:
        source: SideName = "left" if "right" in line.to else "right"
        if now[source] is None:
            return Decision(agree=True, note="left as it is: an empty value never wins")
        return carry(line, source, now, policy, "only_direction", lost=True)
    if now["left"] is None or now["right"] is None:
        return carry(line, "left" if now["right"] is None else "right", now, policy, "empty_never_wins")
    if line.winner == "hold" and line.to and line.write_mode == "always":
        return Decision(held=Held("conflict", line.code, "both sides changed it", now["left"], now["right"]))
    winner: SideName = "left" if line.winner == "left" else "right"
    return carry(line, winner, now, policy, f"conflict.{winner}", lost=True)


def carry(
    line: Line, source: SideName, now: Mapping[SideName, Value], policy: Policy, why: str, lost: bool = False
) -> Decision:
    """Let one side's value travel, unless the line does not allow it: then the difference is agreed to."""
    target = other(source)
    if target not in line.to:
        return Decision(agree=True, note="left as it is: the line goes the other way")
    value, base = now[source], now[target]
    if line.write_mode == "on_create" or (line.write_mode == "if_empty" and base is not None):
        return Decision(agree=True, note="left as it is: the line writes only empty or new fields")
    if value is None and line.clears == "ignore":
        return Decision(agree=True, note="left as it is: an emptied field does not travel")
    if equal(line, now["left"], now["right"], policy):
        return Decision(agree=True)
    try:
        wanted = line.converted(value, target, policy.region)
    except Unconvertible as error:
        return Decision(held=Held("value", line.code, str(error), now["left"], now["right"]))
    if wanted is None and line.field(target).required:
        wanted = constant_fallback(line, target)
        if wanted is None:
            reason = f"{line.field(target).label} must not be empty"
            return Decision(held=Held("required_empty", line.code, reason, now["left"], now["right"]))
        if same(line.field(target).type, wanted, base, policy.region):
            return Decision(agree=True)
    write = Write(line.code, line.field(target).name, wanted, base, value, why, lost and base is not None)
    return Decision(writes=((target, write),))


def constant_fallback(line: Line, target: SideName) -> Value:
    return fitting(line, target, line.fallback.get("constant")) if line.fallback is not None else None


def fitting(line: Line, target: SideName, value: Value) -> Value:
    """A fallback as the field takes it; None where it does not fit, and then nothing is filled in."""
    try:
        return convert(FALLBACK, line.field(target), value) if isinstance(value, str) else None
    except Unconvertible:
        return None


def merge_tags(line: Line, shadow: Sequence[Value], left: Value, right: Value, policy: Policy) -> Decision:
    """Tags merge one by one and never conflict: what either side added or took away since the last agreement."""
    before = [tag_keys(value) for value in shadow]
    now = {"left": tag_keys(left), "right": tag_keys(right)}
    writes: list[tuple[SideName, Write]] = []
    for index, source in enumerate[SideName](("left", "right")):
        target = other(source)
        if target not in line.to:
            continue
        added = {
            key: tag for key, tag in now[source].items() if key not in before[index] and key not in policy.reserved
        }
        # What the target never agreed to have, it added itself since: not for the other side to take away.
        agreed = before[index].keys() & before[1 - index].keys() - policy.reserved
        removed = [before[index][key] for key in agreed if key not in now[source]]
        have: Value = right if target == "right" else left
        if line.write_mode == "on_create" or (line.write_mode == "if_empty" and have is not None):
            continue
        if line.clears == "ignore":
            removed = []
        wanted = merged_tags(have, added.values(), removed)
        if frozenset(tag_keys(wanted)) != frozenset(tag_keys(have)):
            name = line.field(target).name
            writes.append((target, Write(line.code, name, wanted, have, left if source == "left" else right, "tags")))
    return Decision(writes=tuple(writes), agree=not writes)


def plan_pair(lines: Sequence[Line], shadow: Shadow, left: Values, right: Values, policy: Policy) -> PairPlan:
    """The plan for two live contacts that belong together."""
    plan = PairPlan()
    for line in lines:
        mine, theirs = left.get(line.left.name, ABSENT), right.get(line.right.name, ABSENT)
        pair = shadow.get(line.code)
        if line.is_match_key and pair is not None and match_key_removed(pair, mine, theirs):
            plan.stop = Held("match_key_removed", "", "the e-mail address was removed on one side")
            continue
        decision = decide_line(line, pair, mine, theirs, policy)
        if decision.agree and mine is not ABSENT and theirs is not ABSENT:
            plan.agreed[line.code] = [mine, theirs]
        if decision.held is not None:
            plan.held.append(decision.held)
        if decision.note:
            plan.notes.append((line.code, decision.note))
        for side, write in decision.writes:
            plan.writes[side].append(write)
    if plan.stop is not None:
        return PairPlan(stop=plan.stop)
    return plan


def match_key_removed(shadow: Sequence[Value], left: Maybe, right: Maybe) -> bool:
    """An address that was there is gone from one side alone."""
    return any(
        mine is None and was is not None and theirs is not None
        for mine, theirs, was in ((left, right, shadow[0]), (right, left, shadow[1]))
    )


@dataclass
class CreatePlan:
    """The values of a new contact by field, the source value by line, and what stands in the way of creating it."""

    values: dict[str, Value] = field(default_factory=dict)
    source: dict[str, Value] = field(default_factory=dict)
    filled: dict[str, str] = field(default_factory=dict)
    missing: list[Held] = field(default_factory=list)


def plan_create(
    lines: Sequence[Line],
    target: SideName,
    values: Values,
    target_fields: Sequence[Field],
    policy: Policy,
    defaults: Mapping[str, Value],
) -> CreatePlan:
    """The new contact that side `target` gets. `defaults` are what a person chose for fields that the app requires, by
    field name. A value that does not fit is left out here and held once the contact exists."""
    plan = CreatePlan()
    for line in lines:
        if target not in line.to or line.is_consent:
            continue
        value = values.get(line.field(other(target)).name, ABSENT)
        if value is ABSENT:
            continue
        wanted = created_value(line, target, value, policy)
        if wanted is not None:
            plan.values[line.field(target).name] = wanted
            plan.source[line.code] = value
        elif value is None and line.field(target).required and (filled := fallback(line, target, values)) is not None:
            plan.values[line.field(target).name] = filled
            plan.source[line.code] = value
            plan.filled[line.field(target).name] = "fallback"
    for name, default in defaults.items():
        if name not in plan.values and default is not None:
            plan.values[name] = default
            plan.filled[name] = "default"
    for target_field in target_fields:
        if target_field.required and target_field.name not in plan.values:
            plan.missing.append(Held("required_empty", "", f"{target_field.label} must not be empty"))
    return plan


def created_value(line: Line, target: SideName, value: Value, policy: Policy) -> Value:
    try:
        wanted = line.converted(value, target, policy.region)
    except Unconvertible:
        return None
    return merged_tags(wanted, (), sorted(policy.reserved)) if line.is_tags else wanted


def fallback(line: Line, target: SideName, values: Values) -> Value:
    """What a person chose to fill a required field with: a constant, or another field of the contact."""
    if line.fallback is None:
        return None
    if "field" in line.fallback:
        return fitting(line, target, values.get(line.fallback["field"]))
    return constant_fallback(line, target)
