"""What to write where: the whole decision table, and what holds for every plan whatever the two sides show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connections.fieldtypes import clean, fold, inverted, same
from syncer.connectors.base import Field, FieldType, Role, Value
from syncer.engine.planner import (
    WORDS,
    CreatePlan,
    Decision,
    Held,
    Line,
    Maybe,
    PairPlan,
    Policy,
    SideName,
    Stored,
    Write,
    as_sent,
    decide_line,
    equal,
    other,
    plan_create,
    plan_pair,
)
from syncer.engine.values import ABSENT, tag_keys

T = FieldType
BOTH, TO_RIGHT, TO_LEFT = frozenset({"left", "right"}), frozenset({"right"}), frozenset({"left"})
WAYS = {"both": BOTH, "to right": TO_RIGHT, "to left": TO_LEFT}
WINNERS = ("left", "right", "hold")
PLAIN = Policy()
RESERVED = Policy(reserved=frozenset({"trash"}))
quick = settings(deadline=None, max_examples=150)


def make_line(
    type: FieldType = T.TEXT,
    to: frozenset[str] = BOTH,
    winner: str = "left",
    *,
    code: str = "line",
    role: str = "",
    right_type: FieldType | None = None,
    right_max: int | None = None,
    required: bool = False,
    write_mode: str = "always",
    clears: str = "propagate",
    fallback: Mapping[str, str] | None = None,
) -> Line:
    left = Field(f"l_{code}", "Left name", type, role)
    right = Field(f"r_{code}", "Right name", right_type or type, role, required=required, max_length=right_max)
    return Line(code, left, right, to, winner, write_mode, clears, fallback=fallback)


def outcome(decision: Decision) -> str:
    """A decision in a few words: `right=Anna changed`, `leave`, `agree`, `hold conflict`, `unread`, or nothing."""
    if decision.writes:
        assert not decision.agree and decision.held is None
        return "; ".join(told(side, write) for side, write in decision.writes)
    if decision.held is not None:
        assert not decision.agree
        return f"hold {decision.held.kind}"
    if decision.agree:
        return "leave" if decision.note else "agree"
    return "unread" if decision.note == "not read yet" else ""


def told(side: SideName, write: Write) -> str:
    value = "+".join(write.value) if isinstance(write.value, list) else write.value
    return f"{side}={value} {write.why}{' lost' if write.lost else ''}"


# The table


@dataclass(frozen=True)
class Row:
    """A row of the table: what is expected two-way by winner (left, right, hold), and one-way."""

    name: str
    shadow: tuple[Value, Value] | None
    left: Value
    right: Value
    two_way: tuple[str, str, str]
    to_right: str
    to_left: str

    def expected(self, way: str, winner: str) -> str:
        if way == "both":
            return self.two_way[WINNERS.index(winner)]
        return self.to_right if way == "to right" else self.to_left


def thrice(word: str) -> tuple[str, str, str]:
    return word, word, word


OLD = ("Old", "Old")
CONFLICT = ("right=Anna conflict.left lost", "left=Bob conflict.right lost", "hold conflict")
NEVER_EMPTY_LEFT, NEVER_EMPTY_RIGHT = "left=Bob empty_never_wins", "right=Anna empty_never_wins"
ONE_WAY = ("right=Anna only_direction lost", "left=Bob only_direction lost")
FILL_LEFT, FILL_RIGHT = "left=Bob fill_empty", "right=Anna fill_empty"
ROWS = [
    Row("no shadow, the same", None, "Anna", "Anna", thrice("agree"), "agree", "agree"),
    Row("no shadow, both empty", None, None, None, thrice("agree"), "agree", "agree"),
    Row("no shadow, left empty", None, None, "Bob", thrice(FILL_LEFT), "leave", FILL_LEFT),
    Row("no shadow, right empty", None, "Anna", None, thrice(FILL_RIGHT), FILL_RIGHT, "leave"),
    Row("no shadow, two values", None, "Anna", "Bob", CONFLICT, *ONE_WAY),
    Row("unchanged", OLD, "Old", "Old", thrice(""), "", ""),
    Row("unchanged, empty", (None, None), None, None, thrice(""), "", ""),
    Row("unchanged, agreed to differ", ("Old", "Other"), "Old", "Other", thrice(""), "", ""),
    Row("unchanged, agreed to be empty on one side", ("Old", None), "Old", None, thrice(""), "", ""),
    Row("left changed", OLD, "Anna", "Old", thrice("right=Anna changed"), "right=Anna changed", "leave"),
    Row("right changed", OLD, "Old", "Bob", thrice("left=Bob changed"), "leave", "left=Bob changed"),
    Row("left emptied", OLD, None, "Old", thrice("right=None changed"), "right=None changed", "leave"),
    Row("right emptied", OLD, "Old", None, thrice("left=None changed"), "leave", "left=None changed"),
    Row("left filled", (None, None), "Anna", None, thrice("right=Anna changed"), "right=Anna changed", "leave"),
    Row("right filled", (None, None), None, "Bob", thrice("left=Bob changed"), "leave", "left=Bob changed"),
    Row("left changed to what the right shows", ("Old", "Anna"), "Anna", "Anna", thrice("agree"), "agree", "leave"),
    Row("right changed to what the left shows", ("Bob", "Old"), "Bob", "Bob", thrice("agree"), "leave", "agree"),
    Row("both changed, the same", OLD, "Anna", "Anna", thrice("agree"), "agree", "agree"),
    Row("both emptied", OLD, None, None, thrice("agree"), "agree", "agree"),
    Row("both changed, different", OLD, "Anna", "Bob", CONFLICT, *ONE_WAY),
    Row("both filled, different", (None, None), "Anna", "Bob", CONFLICT, *ONE_WAY),
    Row("left emptied, right changed", OLD, None, "Bob", thrice(NEVER_EMPTY_LEFT), "leave", "left=Bob only_direction"),
    Row(
        "left changed, right emptied",
        OLD,
        "Anna",
        None,
        thrice(NEVER_EMPTY_RIGHT),
        "right=Anna only_direction",
        "leave",
    ),
]
CASES = [
    pytest.param(row, way, winner, id=f"{row.name}; {way}; winner {winner}")
    for row, way, winner in product(ROWS, WAYS, WINNERS)
]


@pytest.mark.proves("I4", "I5")
@pytest.mark.parametrize(("row", "way", "winner"), CASES)
def test_the_table_decides_what_becomes_of_a_line(row: Row, way: str, winner: str) -> None:
    line = make_line(to=WAYS[way], winner=winner)
    decision = decide_line(line, row.shadow, row.left, row.right, PLAIN)
    assert outcome(decision) == row.expected(way, winner)


@pytest.mark.proves("I1")
@pytest.mark.parametrize(("row", "way", "winner"), CASES)
def test_a_write_names_what_it_replaces_and_where_its_value_comes_from(row: Row, way: str, winner: str) -> None:
    decision = decide_line(make_line(to=WAYS[way], winner=winner), row.shadow, row.left, row.right, PLAIN)
    for side, write in decision.writes:
        mine, theirs = (row.left, row.right) if side == "left" else (row.right, row.left)
        assert (write.base, write.source) == (mine, theirs)
        assert write.field == ("l_line" if side == "left" else "r_line")


@pytest.mark.parametrize(("row", "way", "winner"), CASES)
def test_a_line_for_new_contacts_alone_never_writes_to_an_old_one(row: Row, way: str, winner: str) -> None:
    line = make_line(to=WAYS[way], winner=winner, write_mode="on_create")
    assert decide_line(line, row.shadow, row.left, row.right, PLAIN).writes == ()


@pytest.mark.parametrize(("row", "way", "winner"), CASES)
def test_a_line_for_empty_fields_alone_replaces_nothing(row: Row, way: str, winner: str) -> None:
    line = make_line(to=WAYS[way], winner=winner)
    always = decide_line(line, row.shadow, row.left, row.right, PLAIN)
    decision = decide_line(replace(line, write_mode="if_empty"), row.shadow, row.left, row.right, PLAIN)
    if any(write.base is not None for _, write in always.writes):
        assert outcome(decision) == "leave"
    elif always.held is None:
        assert (decision.writes, decision.agree) == (always.writes, always.agree)
    else:
        assert decision.writes == ()


@pytest.mark.parametrize(("row", "way", "winner"), CASES)
def test_where_clears_are_ignored_everything_else_stays_as_it_is(row: Row, way: str, winner: str) -> None:
    line = make_line(to=WAYS[way], winner=winner)
    plain = decide_line(line, row.shadow, row.left, row.right, PLAIN)
    decision = decide_line(replace(line, clears="ignore"), row.shadow, row.left, row.right, PLAIN)
    if any(write.value is None for _, write in plain.writes):
        assert outcome(decision) == "leave"
    else:
        assert decision == plain


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_a_line_that_may_write_to_neither_side_writes_nothing(row: Row) -> None:
    assert decide_line(make_line(to=frozenset()), row.shadow, row.left, row.right, PLAIN).writes == ()


@pytest.mark.proves("E9 held line")
def test_a_conflict_that_is_held_shows_both_values() -> None:
    decision = decide_line(make_line(winner="hold"), OLD, "Anna", "Bob", PLAIN)
    assert decision.held is not None
    assert (decision.held.line, decision.held.left, decision.held.right) == ("line", "Anna", "Bob")


# What the app did not say


@pytest.mark.proves("I5", "E3 absent")
@pytest.mark.parametrize(
    ("shadow", "left", "right", "expected"),
    [
        pytest.param(None, ABSENT, "Bob", "unread", id="no shadow, left not read"),
        pytest.param(None, "Anna", ABSENT, "unread", id="no shadow, right not read"),
        pytest.param(None, ABSENT, ABSENT, "unread", id="no shadow, neither read"),
        pytest.param(None, ABSENT, None, "unread", id="no shadow, left not read, right empty"),
        pytest.param(OLD, ABSENT, "Old", "", id="left not read counts as unchanged"),
        pytest.param(OLD, ABSENT, ABSENT, "", id="neither read counts as unchanged"),
        pytest.param(OLD, ABSENT, "Bob", "unread", id="a change never goes to a side that was not read: left"),
        pytest.param(OLD, "Anna", ABSENT, "unread", id="a change never goes to a side that was not read: right"),
        pytest.param(OLD, None, ABSENT, "unread", id="an emptied value never goes to a side that was not read"),
    ],
)
@pytest.mark.parametrize("winner", WINNERS)
def test_what_was_not_read_is_no_news(
    shadow: Sequence[Value] | None, left: Maybe, right: Maybe, expected: str, winner: str
) -> None:
    assert outcome(decide_line(make_line(winner=winner), shadow, left, right, PLAIN)) == expected


@pytest.mark.proves("E3 absent")
def test_a_side_that_was_not_read_leaves_the_shadow_as_it_is() -> None:
    line = make_line(to=TO_RIGHT)
    plan = plan_pair([line], {"line": OLD}, {}, {"r_line": "Bob"}, PLAIN)
    assert plan == PairPlan(notes=[("line", "left as it is: the line goes the other way")])


@pytest.mark.proves("E3 absent")
def test_tags_that_were_not_read_are_neither_added_to_nor_taken_from() -> None:
    line = make_line(T.TAGS)
    decision = decide_line(line, (["vip"], ["vip"]), ABSENT, ["news", "vip"], PLAIN)
    assert outcome(decision) == "unread"
    assert outcome(decide_line(line, None, ABSENT, ["news"], PLAIN)) == "unread"


# Values that do not fit


@pytest.mark.proves("I8")
def test_a_value_that_is_too_long_is_held_and_never_cut() -> None:
    decision = decide_line(make_line(right_max=4), OLD, "Annabelle", "Old", PLAIN)
    assert decision.writes == () and not decision.agree
    assert decision.held == Held(
        "value",
        "line",
        "Left name is longer than the 4 characters that Right name takes",
        "Annabelle",
        "Old",
    )


def test_a_value_of_just_the_length_that_fits_is_written() -> None:
    assert outcome(decide_line(make_line(right_max=4), OLD, "Anna", "Old", PLAIN)) == "right=Anna changed"


def test_a_value_without_a_counterpart_is_held() -> None:
    assert outcome(decide_line(choice_line(), ("m", "male"), "x", "male", PLAIN)) == "hold value"


def test_a_value_map_goes_both_ways() -> None:
    assert outcome(decide_line(choice_line(), ("m", "male"), "f", "male", PLAIN)) == "right=female changed"
    assert outcome(decide_line(choice_line(), ("m", "male"), "m", "female", PLAIN)) == "left=f changed"
    assert outcome(decide_line(choice_line(), None, "m", "male", PLAIN)) == "agree"


@pytest.mark.proves("I7", "E6 required empty")
def test_a_required_field_is_not_emptied_but_held() -> None:
    decision = decide_line(make_line(required=True), OLD, None, "Old", PLAIN)
    assert decision.held == Held("required_empty", "line", "Right name must not be empty", None, "Old")
    assert decision.writes == () and not decision.agree


@pytest.mark.proves("E6 fallback")
def test_a_required_field_is_filled_from_its_fallback() -> None:
    line = make_line(required=True, fallback={"constant": "Unknown"})
    decision = decide_line(line, OLD, None, "Old", PLAIN)
    assert decision.writes == (("right", Write("line", "r_line", "Unknown", "Old", None, "changed")),)


def test_a_required_field_that_shows_its_fallback_already_is_left_alone() -> None:
    line = make_line(required=True, fallback={"constant": "Unknown"})
    assert outcome(decide_line(line, ("Old", "Unknown"), None, "Unknown", PLAIN)) == "agree"


def test_a_field_that_is_required_on_the_other_side_alone_can_be_emptied() -> None:
    assert outcome(decide_line(make_line(required=True), OLD, "Old", None, PLAIN)) == "left=None changed"


# When two values are the same

ONE_NUMBER = ("+1 415-555-2671", "+14155552671", "(+1) 415 555 2671", "tel:+1-415-555-2671")


@pytest.mark.parametrize("shown", ONE_NUMBER)
def test_another_way_to_write_a_phone_number_is_no_change(shown: str) -> None:
    shadow = (ONE_NUMBER[0], ONE_NUMBER[0])
    assert outcome(decide_line(make_line(T.PHONE), shadow, ONE_NUMBER[0], shown, PLAIN)) == ""
    assert outcome(decide_line(make_line(T.PHONE), shadow, shown, ONE_NUMBER[0], PLAIN)) == ""
    assert outcome(decide_line(make_line(T.PHONE), None, ONE_NUMBER[0], shown, PLAIN)) == "agree"


def test_a_phone_number_without_its_country_is_the_same_only_where_the_country_is_known() -> None:
    known, line = Policy(region="US"), make_line(T.PHONE, winner="hold")
    assert outcome(decide_line(line, None, "(415) 555-2671", "+14155552671", known)) == "agree"
    assert outcome(decide_line(line, None, "(415) 555-2671", "+14155552671", PLAIN)) == "hold conflict"


def test_another_extension_is_another_number() -> None:
    shadow = ("+14155552671", "+14155552671")
    decision = decide_line(make_line(T.PHONE), shadow, "+14155552671 x5", "+14155552671", PLAIN)
    assert outcome(decision) == "right=+14155552671 x5 changed"


def test_the_case_of_a_name_is_a_change() -> None:
    assert outcome(decide_line(make_line(), ("anna", "anna"), "Anna", "anna", PLAIN)) == "right=Anna changed"


def test_the_case_of_an_email_is_no_change() -> None:
    shadow = ("anna@a.example", "anna@a.example")
    assert outcome(decide_line(make_line(T.EMAIL), shadow, "Anna@A.example", "anna@a.example", PLAIN)) == ""


def cut(field: Field, value: Value) -> Value:
    return value[:4] if isinstance(value, str) else value


@pytest.mark.proves("E7 stored")
def test_what_an_app_makes_of_a_value_counts_as_that_value() -> None:
    cutting = Policy(stored={"left": as_sent, "right": cut})
    assert outcome(decide_line(make_line(), None, "Annabelle", "Anna", cutting)) == "agree"
    assert outcome(decide_line(make_line(winner="hold"), None, "Annabelle", "Anna", PLAIN)) == "hold conflict"
    assert outcome(decide_line(make_line(winner="hold"), None, "Anna", "Annabelle", cutting)) == "hold conflict"


def test_the_same_value_on_both_sides_agrees_whatever_the_apps_make_of_new_ones() -> None:
    cutting = Policy(stored={"left": cut, "right": cut})
    assert outcome(decide_line(make_line(winner="hold"), None, "Annabelle", "Annabelle", cutting)) == "agree"


@pytest.mark.proves("I14", "E7 stored")
def test_an_app_that_reformats_never_looks_edited() -> None:
    assert outcome(decide_line(make_line(), ("Annabelle", "ANNA"), "Annabelle", "ANNA", PLAIN)) == ""


# The match key


def email_plan(shadow: tuple[Value, Value] | None, left: Maybe, right: Maybe, winner: str = "left") -> PairPlan:
    lines = [make_line(T.EMAIL, winner=winner, code="email", role=Role.EMAIL), make_line(winner=winner, code="name")]
    shadows = {"name": OLD} | ({} if shadow is None else {"email": shadow})
    return plan_pair(lines, shadows, shown("l", left), shown("r", right, "Old"), PLAIN)


def shown(side: str, email: Maybe, name: str = "Anna") -> dict[str, Value]:
    return {f"{side}_name": name} | ({} if email is ABSENT else {f"{side}_email": email})


MAIL = "anna@a.example"
KEPT = (MAIL, MAIL)


@pytest.mark.proves("E3 match key removed")
@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param(None, MAIL, id="left"),
        pytest.param(MAIL, None, id="right"),
        pytest.param(None, "bob@b.example", id="left, and the right one changed"),
        pytest.param("bob@b.example", None, id="right, and the left one changed"),
        pytest.param(None, ABSENT, id="left, and the right was not read"),
    ],
)
@pytest.mark.parametrize("winner", WINNERS)
def test_an_email_removed_on_one_side_stops_the_whole_pair(left: Maybe, right: Maybe, winner: str) -> None:
    plan = email_plan(KEPT, left, right, winner)
    assert plan.stop == Held("match_key_removed", "", "the e-mail address was removed on one side")
    assert plan == PairPlan(stop=plan.stop)


@pytest.mark.proves("E3 match key removed", "I22")
def test_an_email_that_is_back_lets_the_pair_go_on() -> None:
    plan = email_plan(KEPT, MAIL, MAIL)
    assert plan.stop is None and [write.field for write in plan.writes["right"]] == ["r_name"]


def test_an_email_that_comes_back_as_another_one_travels() -> None:
    plan = email_plan(KEPT, "bob@b.example", MAIL)
    assert [(write.field, write.value) for write in plan.writes["right"]] == [
        ("r_email", "bob@b.example"),
        ("r_name", "Anna"),
    ]


def test_an_email_removed_on_both_sides_is_agreed_and_the_pair_goes_on() -> None:
    plan = email_plan(KEPT, None, None)
    assert plan.stop is None and plan.agreed == {"email": [None, None]}
    assert [write.field for write in plan.writes["right"]] == ["r_name"]


def test_an_email_after_none_on_either_side_travels() -> None:
    plan = email_plan((None, None), MAIL, None)
    assert plan.stop is None and [write.value for write in plan.writes["right"]] == [MAIL, "Anna"]


def test_an_email_that_was_never_there_on_the_one_side_stops_nothing() -> None:
    assert email_plan((MAIL, None), MAIL, None).stop is None


def test_an_email_that_was_not_read_was_not_removed() -> None:
    assert email_plan(KEPT, ABSENT, MAIL).stop is None
    assert email_plan(KEPT, ABSENT, ABSENT).stop is None


def test_another_email_field_may_be_emptied() -> None:
    line = make_line(T.EMAIL, code="email")
    plan = plan_pair([line], {"email": KEPT}, {"l_email": None}, {"r_email": MAIL}, PLAIN)
    assert plan.stop is None and [write.value for write in plan.writes["right"]] == [None]


# Tags


@dataclass(frozen=True)
class Merge:
    name: str
    before: str | None
    left: str
    right: str
    both: str
    to_right: str
    to_left: str


MERGES = [
    Merge("first link, the same", None, "vip", "vip", "agree", "agree", "agree"),
    Merge("first link, none", None, "", "", "agree", "agree", "agree"),
    Merge("first link, another spelling", None, "VIP", "vip", "agree", "agree", "agree"),
    Merge("first link, one each", None, "a", "b", "right=a+b tags; left=a+b tags", "right=a+b tags", "left=a+b tags"),
    Merge("first link, right empty", None, "a", "", "right=a tags", "right=a tags", "agree"),
    Merge("unchanged", "a b", "a b", "a b", "agree", "agree", "agree"),
    Merge("both add", "a", "a b", "a c", "right=a+b+c tags; left=a+b+c tags", "right=a+b+c tags", "left=a+b+c tags"),
    Merge("both add the same", "a", "a b", "a B", "agree", "agree", "agree"),
    Merge("both remove", "a b c", "a c", "b c", "right=c tags; left=c tags", "right=c tags", "left=c tags"),
    Merge("both remove the same", "a b", "a", "a", "agree", "agree", "agree"),
    Merge("left removes, right adds", "a", "", "a b", "right=b tags; left=b tags", "right=b tags", "left=b tags"),
    Merge("left removes the last", "a", "", "a", "right=None tags", "right=None tags", "agree"),
    Merge("right removes", "a b", "a b", "a", "left=a tags", "agree", "left=a tags"),
    Merge("left respells", "vip", "VIP", "vip", "agree", "agree", "agree"),
    Merge("left adds a reserved one", "a", "a trash", "a", "agree", "agree", "agree"),
    Merge("right adds a reserved one in capitals", "a", "a", "a TRASH", "agree", "agree", "agree"),
    Merge("left removes a reserved one", "a trash", "a", "a trash", "agree", "agree", "agree"),
    Merge("a reserved one stays where it is", "a", "a b trash", "a", "right=a+b tags", "right=a+b tags", "agree"),
    Merge("a reserved one is not removed either", "a", "b", "a trash", "right=b+trash tags", "right=b+trash tags", ""),
]


def tags(words: str) -> Value:
    return clean(T.TAGS, words.split())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("winner", WINNERS)
@pytest.mark.parametrize("merge", [pytest.param(merge, id=merge.name) for merge in MERGES])
def test_tags_merge_one_by_one_and_never_conflict(merge: Merge, way: str, winner: str) -> None:
    line = make_line(T.TAGS, WAYS[way], winner)
    shadow = None if merge.before is None else (tags(merge.before), tags(merge.before))
    decision = decide_line(line, shadow, tags(merge.left), tags(merge.right), RESERVED)
    expected = {"both": merge.both, "to right": merge.to_right, "to left": merge.to_left}[way]
    assert outcome(decision) == (expected or "agree")


@pytest.mark.proves("E8 reserved tags")
def test_a_reserved_tag_on_either_side_keeps_nothing_from_agreeing() -> None:
    line = make_line(T.TAGS)
    assert equal(line, ["a", "trash"], ["a"], RESERVED)
    assert not equal(line, ["a", "trash"], ["a"], PLAIN)
    assert plan_pair([line], {}, {"l_line": ["Trash"]}, {"r_line": None}, RESERVED).agreed == {
        "line": [["Trash"], None]
    }


@pytest.mark.parametrize(
    ("write_mode", "clears", "left", "right", "expected"),
    [
        pytest.param("on_create", "propagate", "a b", "", "agree", id="new contacts alone"),
        pytest.param("if_empty", "propagate", "a b", "a", "agree", id="empty fields alone, there are some"),
        pytest.param("if_empty", "propagate", "a b", "", "right=b tags", id="empty fields alone, there are none"),
        pytest.param("always", "ignore", "", "a", "agree", id="a removed one does not travel"),
        pytest.param("always", "ignore", "b", "a", "right=a+b tags", id="an added one does"),
    ],
)
def test_tags_keep_to_the_write_mode(write_mode: str, clears: str, left: str, right: str, expected: str) -> None:
    line = make_line(T.TAGS, TO_RIGHT, write_mode=write_mode, clears=clears)
    assert outcome(decide_line(line, (["a"], ["a"]), tags(left), tags(right), PLAIN)) == expected


def test_the_spelling_of_a_tag_that_is_there_stays() -> None:
    line = make_line(T.TAGS, TO_RIGHT)
    decision = decide_line(line, None, ["News", "vip"], ["VIP"], PLAIN)
    assert outcome(decision) == "right=News+VIP tags"


# A whole contact


@pytest.mark.proves("E9 held line")
def test_every_line_of_a_contact_is_decided_for_itself() -> None:
    lines = [make_line(code=code, winner="hold") for code in ("same", "mine", "clash", "unread", "quiet")]
    left: dict[str, Value] = {"l_same": "A", "l_mine": "New", "l_clash": "A", "l_quiet": "Old"}
    right: dict[str, Value] = {"r_same": "A", "r_mine": "Old", "r_clash": "B", "r_unread": "B", "r_quiet": "Old"}
    plan = plan_pair(lines, {"mine": OLD, "quiet": OLD}, left, right, PLAIN)
    assert plan == PairPlan(
        writes={"left": [], "right": [Write("mine", "r_mine", "New", "Old", "New", "changed")]},
        agreed={"same": ["A", "A"]},
        held=[Held("conflict", "clash", "both sides changed it", "A", "B")],
        notes=[("unread", "not read yet")],
    )


@pytest.mark.proves("E3 agreed shadow")
def test_a_difference_that_is_left_becomes_the_shadow_as_it_was_seen() -> None:
    plan = plan_pair([make_line(to=TO_RIGHT)], {"line": OLD}, {"l_line": "Old"}, {"r_line": "Bob"}, PLAIN)
    assert plan.agreed == {"line": ["Old", "Bob"]}


# A new contact


def created(
    line: Line, value: Maybe, policy: Policy = PLAIN, more: Mapping[str, Value] | None = None, **defaults: Value
) -> CreatePlan:
    values: dict[str, Value] = {} if value is ABSENT else {"l_line": value}
    return plan_create([line], "right", {**values, **(more or {})}, [line.right], policy, defaults)


def test_a_new_contact_gets_what_the_other_side_shows() -> None:
    assert created(make_line(), "Anna") == CreatePlan(values={"r_line": "Anna"}, source={"line": "Anna"})


@pytest.mark.parametrize("value", [None, ABSENT], ids=["empty", "not read"])
def test_a_new_contact_gets_nothing_that_is_not_there(value: Maybe) -> None:
    assert created(make_line(), value) == CreatePlan()


def test_a_new_contact_gets_nothing_by_a_line_that_goes_the_other_way() -> None:
    assert created(make_line(to=TO_LEFT), "Anna") == CreatePlan()


@pytest.mark.parametrize("write_mode", ["on_create", "if_empty"])
def test_a_new_contact_is_filled_whatever_the_write_mode(write_mode: str) -> None:
    assert created(make_line(write_mode=write_mode), "Anna").values == {"r_line": "Anna"}


def test_a_value_that_does_not_fit_is_left_out_of_a_new_contact() -> None:
    assert created(make_line(right_max=4), "Annabelle") == CreatePlan()


@pytest.mark.proves("I7", "E6 required empty")
def test_a_new_contact_with_nothing_in_a_required_field_is_not_created() -> None:
    expected = [Held("required_empty", "", "Right name must not be empty")]
    assert created(make_line(required=True), None).missing == expected
    assert created(make_line(required=True), ABSENT).missing == expected
    assert created(make_line(required=True, right_max=4), "Annabelle").missing == expected


@pytest.mark.proves("E6 fallback")
def test_a_required_field_of_a_new_contact_is_filled_from_a_chosen_constant() -> None:
    plan = created(make_line(required=True, fallback={"constant": "Unknown"}), None)
    assert (plan.values, plan.filled, plan.missing) == ({"r_line": "Unknown"}, {"r_line": "fallback"}, [])
    assert plan.source == {"line": None}


@pytest.mark.proves("E6 fallback")
def test_a_required_field_of_a_new_contact_is_filled_from_a_chosen_field() -> None:
    line = make_line(required=True, fallback={"field": "company"})
    assert created(line, None, more={"company": "Acme"}).values == {"r_line": "Acme"}
    assert created(line, None).missing != []


def test_a_chosen_default_fills_a_new_contact_and_replaces_nothing() -> None:
    plan = created(make_line(required=True), None, r_line="Unknown")
    assert (plan.values, plan.filled, plan.missing) == ({"r_line": "Unknown"}, {"r_line": "default"}, [])
    assert created(make_line(required=True), "Anna", r_line="Unknown").values == {"r_line": "Anna"}
    assert created(make_line(), None, r_line=None) == CreatePlan()


@pytest.mark.proves("E8 reserved tags")
def test_reserved_tags_do_not_go_into_a_new_contact() -> None:
    assert created(make_line(T.TAGS), ["News", "Trash"], RESERVED).values == {"r_line": ["News"]}
    assert created(make_line(T.TAGS), ["Trash"], RESERVED) == CreatePlan()


# Whatever the two sides show


def choice_line(to: frozenset[str] = BOTH, winner: str = "left", code: str = "line") -> Line:
    left = Field(f"l_{code}", "Left sex", T.CHOICE, choices=(("m", "M"), ("f", "F"), ("x", "X")))
    right = Field(f"r_{code}", "Right sex", T.CHOICE, choices=(("male", "Male"), ("female", "Female")))
    return Line(code, left, right, to, winner, value_map={"m": "male", "f": "female"})


NAMES: list[Value] = [None, "Anna", "anna", "ANNA", "Bob", "Annabelle"]
MAILS: list[Value] = [None, "anna@a.example", "Anna@A.example", "bob@b.example"]
NUMBERS: list[Value] = [None, "+1 415-555-2671", "+14155552671", "+14155552672"]
TAGGED: list[Value] = [tags(words) for words in ("", "a", "a b", "A c", "b trash", "a b c TRASH", "trash")]
SHOWN: Mapping[str, tuple[list[Value], list[Value]]] = {
    "name": (NAMES, NAMES),
    "email": (MAILS, MAILS),
    "phone": (NUMBERS, NUMBERS),
    "sex": ([None, "m", "f", "x"], [None, "male", "female"]),
    "size": ([None, 1, 2, 30], [None, "1", "2", "3"]),
    "tags": (TAGGED, TAGGED),
}


@dataclass(frozen=True)
class Case:
    """A contact on both sides, with what they agreed on; a field that is missing was not read."""

    lines: tuple[Line, ...]
    shadow: Mapping[str, Sequence[Value]]
    left: Mapping[str, Value]
    right: Mapping[str, Value]
    policy: Policy

    def plan(self) -> PairPlan:
        return plan_pair(self.lines, self.shadow, self.left, self.right, self.policy)

    def shows(self, side: SideName) -> Mapping[str, Value]:
        return self.left if side == "left" else self.right

    def line(self, code: str) -> Line:
        return next(line for line in self.lines if line.code == code)


def capitals(field: Field, value: Value) -> Value:
    return value.upper() if field.type is T.TEXT and isinstance(value, str) else value


@st.composite
def a_line(draw: st.DrawFn, code: str) -> Line:
    role = Role.EMAIL if code == "email" and draw(st.booleans()) else ""
    types = {"name": T.TEXT, "email": T.EMAIL, "phone": T.PHONE, "size": T.INTEGER, "tags": T.TAGS}
    line = (
        choice_line(code=code)
        if code == "sex"
        else make_line(
            types[code],
            code=code,
            role=role,
            right_type=T.TEXT if code == "size" else None,
            right_max=draw(st.sampled_from([None, 4])) if code == "name" else None,
            required=draw(st.booleans()) if code == "name" else False,
            fallback=draw(st.sampled_from([None, {"constant": "Unnamed"}])) if code == "name" else None,
        )
    )
    return replace(
        line,
        to=draw(st.sampled_from([BOTH, BOTH, TO_RIGHT, TO_LEFT] if code != "size" else [TO_RIGHT])),
        winner=draw(st.sampled_from(WINNERS)),
        write_mode=draw(st.sampled_from(["always", "always", "on_create", "if_empty"])),
        clears=draw(st.sampled_from(["propagate", "propagate", "ignore"])),
    )


@st.composite
def cases(draw: st.DrawFn, first: bool = False) -> Case:
    codes = draw(st.lists(st.sampled_from(sorted(SHOWN)), min_size=1, max_size=4, unique=True))
    shadow: dict[str, Sequence[Value]] = {}
    left: dict[str, Value] = {}
    right: dict[str, Value] = {}
    for code in codes:
        lefts, rights = SHOWN[code]
        if draw(st.integers(0, 9)) > 0:
            left[f"l_{code}"] = draw(st.sampled_from(lefts))
        if draw(st.integers(0, 9)) > 0:
            right[f"r_{code}"] = draw(st.sampled_from(rights))
        if not first and draw(st.integers(0, 3)) > 0:
            agreed = draw(st.sampled_from(lefts))
            shadow[code] = (agreed, agreed if code == "tags" else draw(st.sampled_from(rights)))
    words: Mapping[str, Stored] = {side: draw(st.sampled_from([as_sent, capitals])) for side in ("left", "right")}
    region = draw(st.sampled_from([None, "US"]))
    policy = Policy(reserved=frozenset({"trash"}), region=region, stored=words)
    return Case(tuple(draw(a_line(code)) for code in codes), shadow, left, right, policy)


def every_write(plan: PairPlan) -> list[tuple[SideName, Write]]:
    return [(side, write) for side, writes in plan.writes.items() for write in writes]


@pytest.mark.proves("I4")
@quick
@given(cases(first=True))
def test_a_first_link_never_erases(case: Case) -> None:
    for side, write in every_write(case.plan()):
        assert write.value is not None
        if case.line(write.line).is_tags:
            assert tag_keys(case.shows(side)[write.field]).keys() <= tag_keys(write.value).keys()


@pytest.mark.proves("I15")
@quick
@given(cases(first=True))
def test_after_a_first_link_both_sides_show_the_same_but_for_what_is_held_or_left(case: Case) -> None:
    plan = case.plan()
    after = applied(case, plan)
    excused = {held.line for held in plan.held} | {code for code, _ in plan.notes}
    for line in case.lines:
        if line.code in excused or (line.is_tags and (line.to != BOTH or line.write_mode != "always")):
            continue
        assert equal(line, after.left[line.left.name], after.right[line.right.name], case.policy)


@pytest.mark.proves("I5")
@quick
@given(cases())
def test_an_empty_value_never_wins_over_a_change(case: Case) -> None:
    for _, write in every_write(case.plan()):
        line = case.line(write.line)
        if line.is_tags or write.value is not None:
            continue
        sides: tuple[SideName, SideName] = ("left", "right")
        now = [case.shows(side)[line.field(side).name] for side in sides]
        agreed = case.shadow[write.line]
        kinds = [line.field(side).type for side in sides]
        unchanged = [same(kinds[i], now[i], agreed[i], case.policy.region) for i in (0, 1)]
        assert unchanged.count(True) == 1 and now[unchanged.index(True)] == write.base


@pytest.mark.proves("I5", "E3 absent")
@quick
@given(cases())
def test_what_was_not_read_is_neither_replaced_nor_carried(case: Case) -> None:
    for side, write in every_write(case.plan()):
        line = case.line(write.line)
        mine, theirs = case.shows(side), case.shows(other(side))
        assert write.field in mine and mine[write.field] == write.base
        assert line.field(other(side)).name in theirs and theirs[line.field(other(side)).name] == write.source


@pytest.mark.proves("I7")
@quick
@given(cases())
def test_nothing_is_written_that_nobody_wrote_or_chose(case: Case) -> None:
    for side, write in every_write(case.plan()):
        line = case.line(write.line)
        assert write.why in WORDS and side in line.to and not same(line.field(side).type, write.value, write.base)
        if line.is_tags:
            assert tag_keys(write.value).keys() <= tag_keys(write.base).keys() | tag_keys(write.source).keys()
        elif write.source is None and write.value is not None:
            assert line.field(side).required and line.fallback == {"constant": write.value}
        else:
            assert write.value == line.converted(write.source, side, case.policy.region)


@pytest.mark.proves("I8")
@quick
@given(cases())
def test_nothing_is_cut(case: Case) -> None:
    for side, write in every_write(case.plan()):
        field = case.line(write.line).field(side)
        if field.max_length is None or not isinstance(write.value, str) or write.source is None:
            continue
        assert write.value == write.source and len(write.value) <= field.max_length


@pytest.mark.proves("E8 reserved tags")
@quick
@given(cases())
def test_reserved_tags_stay_where_they_are(case: Case) -> None:
    for _, write in every_write(case.plan()):
        if case.line(write.line).is_tags:
            kept = [{key for key in tag_keys(value) if key == "trash"} for value in (write.base, write.value)]
            assert kept[0] == kept[1]


@pytest.mark.proves("I16", "E3 agreed shadow")
@quick
@given(cases())
def test_only_what_was_seen_is_agreed(case: Case) -> None:
    plan = case.plan()
    written = {write.line for _, write in every_write(plan)} | {held.line for held in plan.held}
    assert not written & plan.agreed.keys()
    for code, pair in plan.agreed.items():
        line = case.line(code)
        assert pair == [case.left[line.left.name], case.right[line.right.name]]


MIRROR = {"left": "right", "right": "left"}


def mirrored_line(line: Line) -> Line:
    return replace(
        line,
        left=line.right,
        right=line.left,
        to=frozenset(MIRROR[side] for side in line.to),
        winner=MIRROR.get(line.winner, line.winner),
        value_map=None if line.value_map is None else inverted(line.value_map),
    )


def mirrored_case(case: Case) -> Case:
    stored = {MIRROR[side]: word for side, word in case.policy.stored.items()}
    return Case(
        tuple(mirrored_line(line) for line in case.lines),
        {code: (pair[1], pair[0]) for code, pair in case.shadow.items()},
        case.right,
        case.left,
        replace(case.policy, stored=stored),
    )


def mirrored_plan(plan: PairPlan) -> PairPlan:
    whys = {"conflict.left": "conflict.right", "conflict.right": "conflict.left"}
    turned: dict[SideName, list[Write]] = {
        other(side): [replace(write, why=whys.get(write.why, write.why)) for write in writes]
        for side, writes in plan.writes.items()
    }
    agreed = {code: pair[::-1] for code, pair in plan.agreed.items()}
    held = [replace(one, left=one.right, right=one.left) for one in plan.held]
    return PairPlan(turned, agreed, held, plan.notes, plan.stop)


@pytest.mark.proves("I19")
@quick
@given(cases())
def test_swapping_the_sides_and_the_winner_mirrors_the_plan(case: Case) -> None:
    assert mirrored_case(case).plan() == mirrored_plan(case.plan())


def advanced_tags(shadow: Sequence[Value], side: SideName, write: Write) -> list[Value]:
    """What both sides agree on once the tags that a write carried have arrived."""
    base, sent = tag_keys(write.base), tag_keys(write.value)
    gained = {key: tag for key, tag in sent.items() if key not in base}
    pair = [
        {**gained, **{key: tag for key, tag in tag_keys(one).items() if key not in base or key in sent}}
        for one in shadow
    ]
    return [clean(T.TAGS, list(one.values())) for one in pair]


def applied(case: Case, plan: PairPlan) -> Case:
    """The contact after its plan was carried out: what was written is read back, and the shadow goes on."""
    shows: dict[SideName, dict[str, Value]] = {"left": dict(case.left), "right": dict(case.right)}
    shadow: dict[str, Sequence[Value]] = {**case.shadow, **plan.agreed}
    for side, write in every_write(plan):
        line = case.line(write.line)
        read = case.policy.stored[side](line.field(side), write.value)
        shows[side][write.field] = read
        if line.is_tags:
            shadow[write.line] = advanced_tags(shadow.get(write.line, (None, None)), side, write)
        else:
            shadow[write.line] = (write.source, read) if side == "right" else (read, write.source)
    return replace(case, shadow=shadow, left=shows["left"], right=shows["right"])


@pytest.mark.proves("I14", "I17")
@quick
@given(cases())
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(case: Case) -> None:
    first = case.plan()
    second = applied(case, first).plan()
    assert every_write(second) == []
    assert (second.held, second.stop) == (first.held, first.stop)


@pytest.mark.proves("I17", "E3 agreed shadow")
@quick
@given(cases())
def test_what_was_agreed_is_agreed_for_good(case: Case) -> None:
    first = case.plan()
    after = replace(case, shadow={**case.shadow, **first.agreed}).plan()
    assert after.writes == first.writes
    assert after.held == first.held


@pytest.mark.proves("I7")
@quick
@given(cases(first=True), st.sampled_from(("left", "right")))
def test_a_new_contact_holds_only_what_the_other_side_shows(case: Case, target: SideName) -> None:
    source, fields = case.shows(other(target)), [line.field(target) for line in case.lines]
    plan = plan_create(case.lines, target, source, fields, case.policy, {})
    for line in case.lines:
        name = line.field(target).name
        if name not in plan.values:
            continue
        value, shown_there = plan.values[name], source[line.field(other(target)).name]
        assert target in line.to and value is not None and plan.source[line.code] == shown_there
        if line.is_tags:
            assert {*map(fold, tag_keys(value))} == tag_keys(shown_there).keys() - {"trash"}
        elif plan.filled.get(name) == "fallback":
            assert line.fallback == {"constant": value}
        else:
            assert value == line.converted(shown_there, target, case.policy.region)
    assert len(plan.missing) == sum(one.required and one.name not in plan.values for one in fields)


@pytest.mark.proves("E6 fallback", "I8")
@pytest.mark.parametrize("fallback", [{"field": "note"}, {"constant": "Unknown"}], ids=["a field", "a constant"])
def test_a_fallback_that_does_not_fit_fills_nothing(fallback: Mapping[str, str]) -> None:
    line = make_line(required=True, right_max=4, fallback=fallback)
    plan = created(line, None, more={"note": "A long note"})
    assert plan.values == {} and plan.missing != []


def test_a_constant_that_does_not_fit_is_held() -> None:
    line = make_line(required=True, right_max=4, fallback={"constant": "Unknown"})
    assert outcome(decide_line(line, OLD, None, "Old", PLAIN)) == "hold required_empty"


def test_a_required_value_that_does_not_fit_is_not_replaced_by_the_fallback() -> None:
    line = make_line(required=True, right_max=7, fallback={"constant": "Unknown"})
    plan = created(line, "Annabelle")
    assert plan.values == {} and plan.missing == [Held("required_empty", "", "Right name must not be empty")]


@pytest.mark.parametrize("write_mode", ["on_create", "if_empty"])
def test_a_conflict_is_not_held_where_neither_value_could_be_written(write_mode: str) -> None:
    line = make_line(winner="hold", write_mode=write_mode)
    assert outcome(decide_line(line, None, "Anna", "Bob", PLAIN)) == "leave"
