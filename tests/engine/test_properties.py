"""What holds for every decision, whatever two apps show: the invariants that the planner answers for.

test_planner.py holds the table and draws from a few lifelike values; here values of every type are drawn, and what was
planned is carried out by the engine's own words for it (`updates`, `advanced`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connections.fieldtypes import Grade, clean, convert, fold, grade, key, same
from connections.models import Connection
from syncer.connectors.base import Field, FieldType, Value
from syncer.engine.decide import update
from syncer.engine.planner import (
    Line,
    PairPlan,
    Policy,
    SideName,
    Stored,
    Write,
    as_sent,
    decide_line,
    other,
    plan_create,
    plan_pair,
)
from syncer.engine.settle import advanced
from syncer.engine.setup import Setup, SideSetup
from syncer.engine.values import ABSENT, Absent, digest, tag_keys
from syncer.models import Book, Link, Record, Side
from tests.connections.test_fieldtypes import choices, values_of

T = FieldType
quick = settings(deadline=None, max_examples=150)
thorough = settings(deadline=None, max_examples=150)
RESERVED = frozenset({"trash", "unsubscribed"})
PAIRS = [(s, t) for s in T for t in T if grade(s, t) is Grade.EXACT and s is not T.OWNER]
TWO_WAY = [(s, t) for s, t in PAIRS if grade(t, s) is Grade.EXACT]
WAYS = [frozenset({"left", "right"}), frozenset({"right"}), frozenset({"left"})]
SIDES: tuple[SideName, SideName] = ("left", "right")


def field_of(name: str, type: FieldType, **more: object) -> Field:
    return replace(Field(name, name, type, choices=choices("red", "green", "0")), **more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Contact:
    """A contact on both sides and what they agreed on. What a side does not name was not read."""

    lines: tuple[Line, ...]
    shadow: Mapping[str, Sequence[Value]]
    shows: Mapping[SideName, Mapping[str, Value]]
    policy: Policy

    def plan(self) -> PairPlan:
        return plan_pair(self.lines, self.shadow, self.shows["left"], self.shows["right"], self.policy)

    def now(self, line: Line, side: SideName) -> Value | Absent:
        return self.shows[side].get(line.field(side).name, ABSENT)

    def line(self, code: str) -> Line:
        return next(line for line in self.lines if line.code == code)

    def changed(self, line: Line, side: SideName) -> bool:
        """Whether this side was edited since the two agreed; without an agreement any value counts as an edit."""
        now, index = self.now(line, side), SIDES.index(side)
        agreed = self.shadow[line.code][index] if line.code in self.shadow else None
        return now is not ABSENT and not same(line.field(side).type, now, agreed)


def capitals(field: Field, value: Value) -> Value:
    return value.upper() if field.type is T.TEXT and isinstance(value, str) else value


@st.composite
def lines(draw: st.DrawFn, code: str, pairs: Sequence[tuple[FieldType, FieldType]] = PAIRS) -> Line:
    types = draw(st.sampled_from(pairs))
    left, right = (field_of(f"{side[0]}_{code}", type) for side, type in zip(SIDES, types, strict=True))
    return Line(
        code,
        left,
        replace(right, max_length=draw(st.sampled_from([None, None, 3]))),
        draw(st.sampled_from(WAYS)) if types in TWO_WAY else frozenset({"right"}),
        draw(st.sampled_from(["left", "right", "hold"])),
        draw(st.sampled_from(["always", "always", "on_create", "if_empty"])),
        draw(st.sampled_from(["propagate", "propagate", "ignore"])),
    )


@st.composite
def contacts_in_two_apps(
    draw: st.DrawFn, first: bool = False, pairs: Sequence[tuple[FieldType, FieldType]] = PAIRS
) -> Contact:
    drawn = tuple(draw(lines(f"line{number}", pairs)) for number in range(draw(st.integers(1, 3))))
    shows: dict[SideName, dict[str, Value]] = {"left": {}, "right": {}}
    shadow: dict[str, Sequence[Value]] = {}
    for line in drawn:
        left = draw(st.none() | values_of(line.left))
        fresh = draw(st.none() | values_of(replace(line.right, max_length=None)))
        carried = convert(line.left, replace(line.right, max_length=None), left)
        now: dict[SideName, Value] = {"left": left, "right": draw(st.sampled_from([carried, fresh]))}
        for side in SIDES:
            if draw(st.integers(0, 9)) > 0:
                shows[side][line.field(side).name] = now[side]
        if not first and draw(st.integers(0, 3)) > 0:
            agreed = draw(st.sampled_from([left, None]) | values_of(line.left))
            was = convert(line.left, replace(line.right, max_length=None), agreed)
            shadow[line.code] = (agreed, was if line.is_tags else draw(st.sampled_from([was, now["right"]])))
    words: Mapping[str, Stored] = {side: draw(st.sampled_from([as_sent, capitals])) for side in SIDES}
    return Contact(drawn, shadow, shows, Policy(reserved=RESERVED, stored=words))


def every_write(plan: PairPlan) -> list[tuple[SideName, Write]]:
    return [(side, write) for side in SIDES for write in plan.writes[side]]


def setup_of(contact: Contact) -> Setup:
    side = {name: SideSetup(Side(), Book(), {}, None, name) for name in SIDES}  # type: ignore[arg-type]
    return Setup(Connection(), side, contact.lines, {"left": [], "right": []}, contact.policy)


def carried_out(
    contact: Contact, plan: PairPlan, sides: Sequence[SideName] = SIDES, reads: Stored | None = None
) -> Contact:
    """The contact after what was planned for these sides was written, read back and stored. `reads`: what the apps make
    of a value, where that is not what their connectors say."""
    shows = {side: dict(contact.shows[side]) for side in SIDES}
    shadow: Mapping[str, Sequence[Value]] = {**contact.shadow, **plan.agreed}
    setup, link = setup_of(contact), Link(connection=Connection())
    for side in sides:
        if not plan.writes[side]:
            continue
        change = update(setup, link, side, Record(values=shows[side]), plan.writes[side])
        for name, value in change.values.items():
            field = next(line.field(side) for line in contact.lines if line.field(side).name == name)
            shows[side][name] = clean(field.type, (reads or contact.policy.stored[side])(field, value))
        link.shadow = dict(shadow)
        shadow = advanced(setup, change, shows[side], edited=False)
    return replace(contact, shows=shows, shadow=shadow)


# Nothing is emptied, invented or cut


@pytest.mark.proves("I4")
@thorough
@given(contacts_in_two_apps(first=True))
def test_between_strangers_nothing_is_emptied(contact: Contact) -> None:
    for _, write in every_write(contact.plan()):
        assert write.value is not None
        if contact.line(write.line).is_tags:
            assert tag_keys(write.base).keys() <= tag_keys(write.value).keys()


@pytest.mark.proves("I5", "E3 absent")
@thorough
@given(contacts_in_two_apps(), st.sampled_from(SIDES))
def test_what_was_not_read_is_judged_as_unchanged_and_never_as_empty(contact: Contact, side: SideName) -> None:
    for line in contact.lines:
        there = {**dict.fromkeys(SIDES, ABSENT), **{one: contact.now(line, one) for one in SIDES}, side: ABSENT}
        decision = decide_line(line, contact.shadow.get(line.code), there["left"], there["right"], contact.policy)
        if line.code not in contact.shadow:
            assert decision.writes == () and decision.note == "not read yet" and not decision.agree
            continue
        agreed = contact.shadow[line.code]
        filled = {one: agreed[SIDES.index(one)] if there[one] is ABSENT else there[one] for one in SIDES}
        unchanged = decide_line(line, agreed, filled["left"], filled["right"], contact.policy)
        touched = any(there[one] is ABSENT for one, _ in unchanged.writes)
        assert decision.writes == (() if touched else unchanged.writes)
        assert decision.note == "not read yet" if touched else decision == unchanged


@pytest.mark.proves("I5")
@thorough
@given(contacts_in_two_apps())
def test_only_a_clear_that_nobody_contradicted_is_written(contact: Contact) -> None:
    for side, write in every_write(contact.plan()):
        line = contact.line(write.line)
        if write.value is None and not line.is_tags:
            assert write.source is None and contact.changed(line, other(side))
            assert write.line in contact.shadow and not contact.changed(line, side)


@pytest.mark.proves("I5")
@quick
@given(
    st.sampled_from(WAYS),
    st.sampled_from(["left", "right", "hold"]),
    st.lists(st.sampled_from([None, ABSENT, 0, 1, 2]), min_size=2, max_size=2),
    st.none() | st.lists(st.sampled_from([None, 0, 1, 2]), min_size=2, max_size=2),
    st.permutations([0, 1, 2]),
)
def test_zero_is_a_value_like_any_other(
    to: frozenset[str], winner: str, now: list[Value], shadow: list[Value] | None, names: list[int]
) -> None:
    """Call the numbers by other names, and the decision is the same by those names."""
    line = Line("size", field_of("l", T.INTEGER), field_of("r", T.INTEGER), to, winner)

    def renamed(value: Value) -> Value:
        return names[value] if isinstance(value, int) else value

    def told(values: Sequence[Value], agreed: Sequence[Value] | None) -> tuple[object, ...]:
        decision = decide_line(line, agreed, values[0], values[1], Policy())
        writes = [(side, write.value, write.base, write.why, write.lost) for side, write in decision.writes]
        return writes, decision.agree, decision.note, decision.held is not None

    before = told(now, shadow)
    after = told([renamed(value) for value in now], None if shadow is None else [renamed(one) for one in shadow])
    writes = [(side, renamed(value), renamed(base), why, lost) for side, value, base, why, lost in before[0]]  # type: ignore[attr-defined]
    assert after == (writes, *before[1:])


@pytest.mark.proves("I7", "I8")
@thorough
@given(contacts_in_two_apps())
def test_what_is_written_is_what_the_other_side_shows_whole_in_its_form(contact: Contact) -> None:
    for side, write in every_write(contact.plan()):
        line = contact.line(write.line)
        target = line.field(side)
        if line.is_tags:
            continue
        whole = convert(line.field(other(side)), replace(target, max_length=None), write.source)
        assert write.source == contact.now(line, other(side)) and write.value == whole
        assert key(target.type, write.value) == key(target.type, whole)
        assert target.max_length is None or not isinstance(whole, str) or len(whole) <= target.max_length


@pytest.mark.proves("I7", "I8")
@thorough
@given(contacts_in_two_apps(first=True), st.booleans(), st.sampled_from([None, "Unnamed", "N"]), st.data())
def test_a_new_contact_holds_what_was_seen_or_chosen_and_nothing_else(
    contact: Contact, required: bool, constant: str | None, data: st.DataObject
) -> None:
    fallback = None if constant is None else {"constant": constant}
    drawn = [replace(line, right=replace(line.right, required=required), fallback=fallback) for line in contact.lines]
    fields = [line.right for line in drawn]
    defaults = data.draw(st.dictionaries(st.sampled_from([one.name for one in fields]), st.sampled_from(["D", None])))
    plan = plan_create(drawn, "right", contact.shows["left"], fields, contact.policy, defaults)
    for line in drawn:
        if line.right.name not in plan.values:
            assert any(line.right.label in held.reason for held in plan.missing) is required
            continue
        value, how = plan.values[line.right.name], plan.filled.get(line.right.name)
        shown = contact.shows["left"].get(line.left.name)
        assert value is not None
        if how == "default":
            assert value == defaults[line.right.name]
        elif how == "fallback":
            assert required and shown is None and value == constant
        elif line.is_tags:
            assert tag_keys(value).keys() == tag_keys(shown).keys() - RESERVED
        else:
            assert value == convert(line.left, line.right, shown)


@pytest.mark.proves("I2")
@thorough
@given(contacts_in_two_apps())
def test_whose_edit_is_replaced_is_told_so(contact: Contact) -> None:
    for side, write in every_write(contact.plan()):
        line = contact.line(write.line)
        if not line.is_tags:
            assert write.lost is (write.base is not None and contact.changed(line, side))


# Once, twice, in parts, in any order


@pytest.mark.proves("I14", "I17")
@thorough
@given(contacts_in_two_apps())
def test_what_was_carried_out_leaves_nothing_to_do(contact: Contact) -> None:
    first = contact.plan()
    second = carried_out(contact, first).plan()
    assert every_write(second) == []
    assert second.held == first.held


@pytest.mark.proves("I14", "E7 stored")
@thorough
@given(contacts_in_two_apps(pairs=[(T.TEXT, T.TEXT)]))
def test_what_an_app_makes_of_a_value_unforeseen_is_no_edit(contact: Contact) -> None:
    contact = replace(contact, policy=replace(contact.policy, stored={"left": as_sent, "right": as_sent}))
    assert every_write(carried_out(contact, contact.plan(), reads=capitals).plan()) == []


@pytest.mark.proves("I16", "I17")
@thorough
@given(contacts_in_two_apps())
def test_the_shadow_holds_what_was_seen_or_read_back(contact: Contact) -> None:
    after = carried_out(contact, contact.plan())
    for code, pair in after.shadow.items():
        line = contact.line(code)
        for index, side in enumerate(SIDES):
            seen = [contact.now(line, side), after.now(line, side), contact.shadow.get(code, (None, None))[index]]
            if line.is_tags:
                assert tag_keys(pair[index]).keys() <= set().union(*(tag_keys(value) for value in seen))
            else:
                assert pair[index] in seen


@pytest.mark.proves("I17", "I18")
@thorough
@given(contacts_in_two_apps(), st.permutations(SIDES))
def test_what_was_carried_out_in_parts_ends_as_what_was_carried_out_at_once(
    contact: Contact, order: list[SideName]
) -> None:
    whole = carried_out(contact, contact.plan())
    part = carried_out(contact, contact.plan(), order[:1])
    rest = carried_out(part, part.plan())
    assert {side: digest(rest.shows[side]) for side in SIDES} == {side: digest(whole.shows[side]) for side in SIDES}
    assert every_write(rest.plan()) == []


@pytest.mark.proves("I18")
@thorough
@given(contacts_in_two_apps(), st.data())
def test_the_order_of_the_lines_decides_nothing(contact: Contact, data: st.DataObject) -> None:
    plan = contact.plan()
    turned = replace(contact, lines=tuple(data.draw(st.permutations(contact.lines)))).plan()
    by_line = {side: sorted(plan.writes[side], key=lambda write: write.line) for side in SIDES}
    assert {side: sorted(turned.writes[side], key=lambda write: write.line) for side in SIDES} == by_line
    assert (turned.agreed, turned.stop) == (plan.agreed, plan.stop)
    assert {held.line: held for held in turned.held} == {held.line: held for held in plan.held}


# Tags

TAGS = st.lists(st.sampled_from(["vip", "News", "Berlin", "trash", "unsubscribed"]), max_size=5, unique=True)


@pytest.mark.proves("I15", "I19")
@thorough
@given(TAGS, TAGS, TAGS, st.sampled_from(["left", "right", "hold"]), st.permutations(SIDES))
def test_tags_are_joined_alike_from_either_side_and_never_conflict(
    agreed: list[str], left: list[str], right: list[str], winner: str, order: list[SideName]
) -> None:
    line = Line("tags", field_of("l", T.TAGS), field_of("r", T.TAGS), WAYS[0], winner)
    shows: dict[SideName, dict[str, Value]] = {"left": {"l": clean(T.TAGS, left)}, "right": {"r": clean(T.TAGS, right)}}
    before = clean(T.TAGS, agreed)
    contact = Contact((line,), {"tags": (before, before)}, shows, Policy(reserved=RESERVED))
    assert contact.plan().held == []
    part = carried_out(contact, contact.plan(), order[:1])
    after = carried_out(part, part.plan())
    was, mine, theirs = ({fold(tag) for tag in tags} for tags in (agreed, left, right))
    wanted = {tag for tag in mine | theirs if tag not in was or tag in mine & theirs} - RESERVED
    for side, own in (("left", mine), ("right", theirs)):
        shown = tag_keys(next(iter(after.shows[side].values()))).keys()  # type: ignore[index]
        assert shown == wanted | (own & RESERVED)


@pytest.mark.proves("I2")
@thorough
@given(TAGS, TAGS, TAGS, TAGS)
def test_a_tag_is_taken_away_only_where_both_had_agreed_to_it(
    was_left: list[str], was_right: list[str], left: list[str], right: list[str]
) -> None:
    line = Line("tags", field_of("l", T.TAGS), field_of("r", T.TAGS), WAYS[0])
    shadow = [clean(T.TAGS, was_left), clean(T.TAGS, was_right)]
    decision = decide_line(line, shadow, clean(T.TAGS, left), clean(T.TAGS, right), Policy(reserved=RESERVED))
    for side, write in decision.writes:
        taken = tag_keys(write.base).keys() - tag_keys(write.value).keys()
        assert taken <= tag_keys(shadow[0]).keys() & tag_keys(shadow[1]).keys()
        assert not taken & tag_keys(clean(T.TAGS, left if side == "right" else right)).keys()
