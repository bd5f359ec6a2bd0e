"""Which contacts a rule matches, and why. Anna is a customer in Vienna; Bob owns her."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connections.conditions import (
    ALL,
    ANY,
    OPERATORS,
    Condition,
    Facts,
    Kind,
    Operator,
    Rule,
    Step,
    describe,
    evaluate,
    offered,
    problems,
)
from connections.fieldtypes import InvalidValue, clean
from syncer.connectors.base import Capabilities, Field, FieldType, Value, Values

T = FieldType
NOW = datetime(2026, 11, 24, 12, 0, 0, 500_000, tzinfo=UTC)
EVERYTHING = Capabilities(tags=True, owners=True)
COUNTRIES = (("AT", "Austria"), ("CH", "Switzerland"), ("DE", "Germany"))
FIELDS = {
    field.name: field
    for field in (
        Field("city", "City", T.TEXT),
        Field("notes", "Notes", T.LONG_TEXT),
        Field("email", "E-mail", T.EMAIL),
        Field("phone", "Phone", T.PHONE),
        Field("site", "Site", T.URL),
        Field("visits", "Visits", T.INTEGER),
        Field("revenue", "Revenue", T.DECIMAL),
        Field("vip", "VIP", T.BOOLEAN),
        Field("birthday", "Birthday", T.DATE),
        Field("seen", "Last seen", T.DATETIME),
        Field("country", "Country", T.CHOICE, choices=COUNTRIES),
        Field("markets", "Markets", T.MULTI_CHOICE, choices=COUNTRIES),
        Field("status", "Status", T.CONSENT),
        Field("tags", "Tags", T.TAGS),
        Field("owner", "Owner", T.OWNER),
    )
}
ANNA: dict[str, Value] = {
    "city": "Wien",
    "notes": "Likes opera",
    "email": "Anna@Example.com",
    "phone": "+43 1 234 5678",
    "site": "https://anna.example/",
    "visits": 0,
    "revenue": "12.5",
    "vip": False,
    "birthday": "1990-11-24",
    "seen": "2026-11-20T12:00:00Z",
    "country": "AT",
    "markets": ["AT", "CH"],
    "status": "subscribed",
    "tags": ["Customer", "News"],
    "owner": "38",
}


def anna(values: Values | None = None, without: str = "") -> Facts:
    known = {name: value for name, value in {**ANNA, **(values or {})}.items() if name != without}
    return Facts(known, FIELDS, "owner", "tags", None, False, NOW)


def field(name: str, operator: str, value: Value = None) -> Condition:
    return Condition(Kind.FIELD, name, operator, value)


def rule(*conditions: Condition, match: str = ALL) -> Rule:
    return Rule("Customers", "left", match, conditions)


def answer(condition: Condition, facts: Facts) -> bool | None:
    return evaluate(rule(condition), facts).matched


VIENNA = field("city", Operator.IS, "wien")
BERN = field("city", Operator.IS, "Bern")
NOT_READ = field("fax", Operator.IS, "1")
DELETED = Condition(Kind.IS_DELETED)


# One condition


@pytest.mark.parametrize(
    ("name", "operator", "value", "expected"),
    [
        ("city", "is", "WIEN", True),
        ("city", "is", "Wie", False),
        ("city", "is_not", "Bern", True),
        ("city", "contains", "IE", True),
        ("city", "not_contains", "ie", False),
        ("city", "starts_with", "wi", True),
        ("city", "starts_with", "ien", False),
        ("city", "ends_with", "EN", True),
        ("city", "ends_with", "wi", False),
        ("city", "one_of", ["Bern", "wien"], True),
        ("city", "one_of", ["Bern"], False),
        ("city", "empty", None, False),
        ("city", "not_empty", None, True),
        ("notes", "contains", "OPERA", True),
        ("email", "is", "anna@example.COM", True),
        ("phone", "is", "+4312345678", True),
        ("phone", "is_not", "+4312345678", False),
        ("phone", "starts_with", "+43", True),
        ("site", "is", "HTTPS://ANNA.example", True),
        ("visits", "=", "0", True),
        ("visits", "<", 1, True),
        ("visits", ">", "-0.5", True),
        ("visits", "between", ["0", "2"], True),
        ("visits", "between", ["1", "2"], False),
        ("revenue", "=", "12.50", True),
        ("revenue", "<", "12.5", False),
        ("revenue", "<=", "12.5", True),
        ("revenue", ">=", "12.51", False),
        ("vip", "is", False, True),
        ("vip", "is", "yes", False),
        ("birthday", "=", "1990-11-24", True),
        ("birthday", "=", "--11-24", False),
        ("birthday", "<", "1990-11-25", True),
        ("birthday", "between", ["1990-11-24", "1990-11-24"], True),
        ("birthday", "in_last_days", 7, False),
        ("seen", ">=", "2026-11-20T13:00:00+01:00", True),
        ("seen", "in_last_days", 4, True),
        ("seen", "in_last_days", "3", False),
        ("country", "one_of", ["AT", "DE"], True),
        ("country", "one_of", ["at"], False),
        ("country", "none_of", ["CH"], True),
        ("markets", "one_of", ["CH", "DE"], True),
        ("markets", "none_of", ["CH", "DE"], False),
        ("status", "one_of", ["subscribed"], True),
    ],
)
def test_a_field_is_asked(name: str, operator: str, value: Value, expected: bool) -> None:
    assert answer(field(name, operator, value), anna()) is expected


@pytest.mark.parametrize(
    ("name", "operator", "value", "expected"),
    [
        ("city", "is", "Wien", False),
        ("city", "is_not", "Wien", True),
        ("city", "contains", "i", False),
        ("city", "not_contains", "i", True),
        ("city", "starts_with", "W", False),
        ("city", "ends_with", "n", False),
        ("city", "one_of", ["Wien"], False),
        ("city", "empty", None, True),
        ("city", "not_empty", None, False),
        ("visits", "=", 0, False),
        ("visits", "<", 1, False),
        ("vip", "is", False, False),
        ("birthday", "in_last_days", 7, False),
        ("country", "one_of", ["AT"], False),
        ("country", "none_of", ["AT"], True),
        ("markets", "one_of", ["AT"], False),
        ("markets", "none_of", ["AT"], True),
    ],
)
def test_an_empty_field_is_an_answer(name: str, operator: str, value: Value, expected: bool) -> None:
    assert answer(field(name, operator, value), anna({name: None})) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Condition(Kind.HAS_TAG, value="customer"), True),
        (Condition(Kind.HAS_TAG, value="Trash"), False),
        (Condition(Kind.LACKS_TAG, value="CUSTOMER"), False),
        (Condition(Kind.LACKS_TAG, value="Trash"), True),
        (Condition(Kind.OWNED_BY, value="38"), True),
        (Condition(Kind.OWNED_BY, value=38), True),
        (Condition(Kind.OWNED_BY, value="39"), False),
        (Condition(Kind.NOT_OWNED_BY, value="39"), True),
    ],
)
def test_tags_and_owner_are_asked(condition: Condition, expected: bool) -> None:
    assert answer(condition, anna()) is expected


def test_a_contact_without_tags_or_owner_lacks_each_of_them() -> None:
    bare = anna({"tags": None, "owner": None})
    assert answer(Condition(Kind.HAS_TAG, value="News"), bare) is False
    assert answer(Condition(Kind.LACKS_TAG, value="News"), bare) is True
    assert answer(Condition(Kind.NOT_OWNED_BY, value="38"), bare) is True


def test_a_national_phone_number_is_read_with_the_region() -> None:
    asked = field("phone", Operator.IS, "(01) 234 5678")
    assert answer(asked, anna()) is False
    assert answer(asked, replace(anna(), region="AT")) is True


@pytest.mark.proves("E4 exists in other")
@pytest.mark.parametrize(("in_other", "expected"), [(True, True), (False, False), (None, None)])
def test_existing_in_the_other_app_is_unknown_until_both_are_read(in_other: bool | None, expected: bool | None) -> None:
    assert answer(Condition(Kind.EXISTS_IN_OTHER), replace(anna(), in_other=in_other)) is expected


# What is not known


@pytest.mark.parametrize(
    ("condition", "missing"),
    [
        (field("city", Operator.IS, "Wien"), "city"),
        (field("city", Operator.IS_NOT, "Wien"), "city"),
        (field("city", Operator.EMPTY), "city"),
        (Condition(Kind.LACKS_TAG, value="Trash"), "tags"),
        (Condition(Kind.NOT_OWNED_BY, value="38"), "owner"),
    ],
)
def test_a_field_that_was_not_reported_makes_it_unknown_and_is_named(condition: Condition, missing: str) -> None:
    verdict = evaluate(rule(condition), anna(without=missing))
    assert verdict.matched is None
    assert verdict.trace[0].missing == missing
    assert str(verdict.trace[0]).endswith(f"unknown, {FIELDS[missing].label} was not reported")


@pytest.mark.parametrize(
    ("condition", "facts", "why"),
    [
        (NOT_READ, anna(), "the app does not have this field any more"),
        (Condition("is_tall"), anna(), "there is no such condition"),
        (field("vip", Operator.CONTAINS, "x"), anna(), "this cannot be asked about such a field"),
        (field("visits", Operator.LESS, "many"), anna(), "the condition's value is not a number like 1234.5"),
        (
            field("birthday", Operator.LESS, "2000-01-01"),
            anna({"birthday": "--11-24"}),
            "the contact's date has no year",
        ),
        (field("visits", Operator.LESS, "5"), anna({"visits": "many"}), "Visits holds what cannot be understood"),
        (Condition(Kind.HAS_TAG, value="x"), replace(anna(), tags_field=""), "this app has no tags"),
        (Condition(Kind.HAS_TAG), anna(), "the condition's value is missing"),
    ],
)
def test_what_cannot_be_judged_is_unknown_and_says_why(condition: Condition, facts: Facts, why: str) -> None:
    verdict = evaluate(rule(condition), facts)
    assert verdict.matched is None
    assert str(verdict.trace[0]).endswith(f"unknown, {why}")


# Rules


def test_a_rule_without_conditions_matches_everyone() -> None:
    assert evaluate(rule(), anna()).matched is True
    assert evaluate(rule(match=ANY), anna()).matched is True


@pytest.mark.parametrize(
    ("match", "conditions", "expected"),
    [
        (ALL, (VIENNA, VIENNA), True),
        (ALL, (VIENNA, BERN), False),
        (ALL, (VIENNA, NOT_READ), None),
        (ALL, (BERN, NOT_READ), False),
        (ANY, (BERN, VIENNA), True),
        (ANY, (BERN, BERN), False),
        (ANY, (NOT_READ, VIENNA), True),
        (ANY, (NOT_READ, BERN), None),
    ],
)
def test_conditions_are_joined_by_all_or_any(
    match: str, conditions: tuple[Condition, ...], expected: bool | None
) -> None:
    assert evaluate(rule(*conditions, match=match), anna()).matched is expected


@pytest.mark.proves("E8 deletion rules")
@pytest.mark.parametrize("match", [ALL, ANY])
def test_a_deleted_contact_matches_only_a_rule_for_deletions(match: str) -> None:
    gone = replace(anna(), deleted=True)
    assert evaluate(rule(match=match), gone).matched is False
    assert evaluate(rule(VIENNA, match=match), gone).matched is False
    assert evaluate(rule(DELETED, match=match), gone).matched is True
    assert evaluate(rule(DELETED, VIENNA, match=match), gone).matched is True
    assert evaluate(rule(DELETED, match=match), anna()).matched is False
    assert evaluate(rule(DELETED, VIENNA, match=match), anna()).matched is False


def test_a_deletion_with_another_condition_is_judged_on_the_last_known_values() -> None:
    assert evaluate(rule(DELETED, BERN), replace(anna(), deleted=True)).matched is False


def test_the_trace_tells_how_each_condition_came_out_and_no_value_of_the_contact() -> None:
    verdict = evaluate(rule(VIENNA, field("country", Operator.ONE_OF, ["CH", "DE"]), NOT_READ), anna())
    assert [str(step) for step in verdict.trace] == [
        "City is wien: yes",
        "Country one of CH, DE: no",
        "fax is 1: unknown, the app does not have this field any more",
    ]
    gone = evaluate(rule(VIENNA), replace(anna(), deleted=True))
    assert gone.trace[-1] == Step(None, False, "this rule is for contacts that exist: no")


def test_a_condition_is_described_in_words() -> None:
    assert describe(Condition(Kind.NOT_OWNED_BY, value="38"), FIELDS) == "not owned by 38"
    assert describe(field("vip", Operator.IS, True), FIELDS) == "VIP is true"
    assert describe(field("first_name", Operator.NOT_EMPTY), FIELDS) == "first_name not empty"


# Time


@pytest.mark.parametrize(
    ("name", "value", "days", "matches", "recheck_at"),
    [
        ("birthday", "2026-11-24", 1, True, datetime(2026, 11, 26, tzinfo=UTC)),
        ("birthday", "2026-11-17", 7, True, datetime(2026, 11, 25, tzinfo=UTC)),
        ("birthday", "2026-11-16", 7, False, None),
        ("birthday", "2026-11-25", 7, False, datetime(2026, 11, 25, tzinfo=UTC)),
        ("birthday", "9999-12-31", 7, False, datetime(9999, 12, 31, tzinfo=UTC)),
        ("seen", "2026-11-23T12:00:00Z", 1, True, datetime(2026, 11, 24, 12, 0, 1, tzinfo=UTC)),
        ("seen", "2026-11-23T11:59:59Z", 1, False, None),
        ("seen", "2026-11-24T12:00:01Z", 1, False, datetime(2026, 11, 24, 12, 0, 1, tzinfo=UTC)),
    ],
)
def test_time_alone_changes_the_answer_at_a_known_moment(
    name: str, value: str, days: int, matches: bool, recheck_at: datetime | None
) -> None:
    verdict = evaluate(rule(field(name, Operator.IN_LAST_DAYS, days)), anna({name: value}))
    assert (verdict.matched, verdict.recheck_at) == (matches, recheck_at)


def test_the_end_of_the_calendar_asks_for_no_other_look() -> None:
    last = replace(anna({"birthday": "9999-12-31"}), now=datetime(9999, 12, 31, 12, tzinfo=UTC))
    assert evaluate(rule(field("birthday", Operator.IN_LAST_DAYS, 5)), last).recheck_at is None


def test_the_earliest_moment_counts_and_a_deletion_is_judged_once() -> None:
    soon = field("seen", Operator.IN_LAST_DAYS, 5)
    later = field("seen", Operator.IN_LAST_DAYS, 9)
    assert evaluate(rule(later, soon), anna()).recheck_at == datetime(2026, 11, 25, 12, 0, 1, tzinfo=UTC)
    assert evaluate(rule(soon, DELETED), replace(anna(), deleted=True)).recheck_at is None


@pytest.mark.proves("E3 recheck time")
@settings(deadline=None)
@given(
    st.sampled_from(["birthday", "seen"]),
    st.datetimes(NOW.replace(tzinfo=None) - timedelta(days=9), NOW.replace(tzinfo=None) + timedelta(days=9)),
    st.integers(1, 8),
    st.floats(0, 1, exclude_max=True),
)
def test_nothing_changes_before_the_moment_and_it_changes_there(
    name: str, moment: datetime, days: int, share: float
) -> None:
    day = moment.date() if name == "birthday" else moment.replace(tzinfo=UTC)
    facts = anna({name: clean(FIELDS[name].type, day)})
    asked = rule(field(name, Operator.IN_LAST_DAYS, days))
    first = evaluate(asked, facts)
    if first.recheck_at is None:
        assert evaluate(asked, replace(facts, now=NOW + timedelta(days=400 * share))).matched is first.matched is False
        return
    assert first.recheck_at > NOW
    between = NOW + (first.recheck_at - NOW) * share
    if between < first.recheck_at:
        assert evaluate(asked, replace(facts, now=between)).matched is first.matched
    assert evaluate(asked, replace(facts, now=first.recheck_at)).matched is not first.matched


# Hostile and random rules

WORDS = st.one_of(st.none(), st.sampled_from(["", "wien", "AT", "38", "0", "2026-11-20", "--11-24", "x"]), st.text())
ITEMS: st.SearchStrategy[Value] = st.one_of(
    WORDS,
    st.booleans(),
    st.integers(),
    st.lists(st.sampled_from(["AT", "CH", "1", "5", "2026-01-01", "x"]), max_size=3),
)
NAMES = st.one_of(st.sampled_from([*FIELDS, ""]), st.text(max_size=3))
CONDITIONS = st.builds(
    Condition,
    st.one_of(st.sampled_from([Kind.FIELD, *Kind]), st.text(max_size=3)),
    NAMES,
    st.one_of(st.sampled_from(Operator), st.text(max_size=3)),
    ITEMS,
)


@st.composite
def sound_conditions(draw: st.DrawFn) -> Condition:
    """Conditions that fit their field."""
    asked = draw(st.sampled_from([found for found in FIELDS.values() if OPERATORS[found.type] != ()]))
    operator = draw(st.sampled_from(OPERATORS[asked.type]))
    word = {
        T.INTEGER: "3",
        T.DECIMAL: "4.5",
        T.BOOLEAN: "true",
        T.DATE: "2026-11-20",
        T.DATETIME: "2026-11-20T00:00:00Z",
    }
    value: Value = draw(st.sampled_from(["AT", "CH"])) if asked.type not in word else word[asked.type]
    if operator in (Operator.ONE_OF, Operator.NONE_OF, Operator.BETWEEN):
        value = [str(value), str(value)]
    return field(asked.name, operator, 7 if operator is Operator.IN_LAST_DAYS else value)


RULES = st.builds(
    lambda conditions, match: rule(*conditions, match=match),
    st.lists(st.one_of(CONDITIONS, sound_conditions()), max_size=4),
    st.sampled_from([ALL, ANY]),
)


@st.composite
def contacts(draw: st.DrawFn) -> Facts:
    known: dict[str, Value] = {}
    for name in draw(st.lists(st.sampled_from(list(FIELDS)), unique=True)):
        try:
            known[name] = clean(FIELDS[name].type, draw(st.one_of(st.just(ANNA[name]), ITEMS)))
        except InvalidValue:
            known[name] = ANNA[name]
    in_other = draw(st.sampled_from([None, True, False]))
    return replace(anna(), values=known, in_other=in_other, deleted=draw(st.booleans()))


@pytest.mark.proves("I39")
@settings(deadline=None, max_examples=300)
@given(RULES, contacts())
def test_judging_is_total_and_deterministic(asked: Rule, facts: Facts) -> None:
    verdict = evaluate(asked, facts)
    assert verdict == evaluate(asked, facts)
    assert [step.condition for step in verdict.trace if step.condition is not None] == list(asked.conditions)
    for step in verdict.trace:
        ending = {True: ": yes", False: ": no", None: ""}[step.matched]
        assert step.text.endswith(ending)
        assert step.matched is not None or ": unknown, " in step.text
        assert step.missing == "" or step.matched is None


@pytest.mark.proves("I39")
@settings(deadline=None, max_examples=300)
@given(RULES, contacts(), st.data())
def test_more_knowledge_never_turns_an_answer_round(asked: Rule, facts: Facts, data: st.DataObject) -> None:
    names = st.lists(st.sampled_from(sorted(facts.values)), unique=True) if facts.values else st.just([])
    kept = data.draw(names)
    less = replace(
        facts,
        values={name: facts.values[name] for name in kept},
        in_other=data.draw(st.sampled_from([None, facts.in_other])),
        fields={name: FIELDS[name] for name in FIELDS if name in kept or data.draw(st.booleans())},
    )
    before = evaluate(asked, less).matched
    assert before is None or evaluate(asked, facts).matched is before


@settings(deadline=None, max_examples=300)
@given(st.one_of(CONDITIONS, sound_conditions()))
def test_a_condition_without_problems_can_be_judged(condition: Condition) -> None:
    found = problems(condition, FIELDS, EVERYTHING)
    judged = answer(condition, replace(anna(), in_other=True))
    assert (judged is not None) is (found == []) or any("choices" in problem for problem in found)


# What a form offers


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Condition("is_tall"), "There is no condition is_tall."),
        (Condition(Kind.HAS_TAG), "Say which tag the condition asks for."),
        (Condition(Kind.OWNED_BY, value=""), "Say which owner the condition asks for."),
        (NOT_READ, "This app has no field fax. Choose another field."),
        (field("vip", "contains", "x"), "VIP cannot be asked with contains. Use is."),
        (field("city", ""), "City cannot be asked with nothing."),
        (field("tags", "contains", "x"), "Tags cannot be asked with contains. Use has_tag or lacks_tag."),
        (field("owner", "is", "x"), "Owner cannot be asked with is. Use owned_by or not_owned_by."),
        (field("visits", "<", "many"), "The value for Visits is not a number like 1234.5."),
        (field("visits", "<", ["1"]), "The value for Visits must be one value."),
        (field("visits", "between", ["2", "1"]), "The value for Visits must be two values, the lower one first."),
        (field("visits", "between", ["2"]), "The value for Visits must be two values, the lower one first."),
        (field("birthday", "<", "--11-24"), "The value for Birthday is a date without a year"),
        (field("birthday", "in_last_days", 0), "must be a number of days from 1 to 36500."),
        (field("seen", ">", "2026-11-24"), "The value for Last seen has no time zone"),
        (field("city", "contains", " "), "The value for City is missing."),
        (field("country", "one_of", []), "The value for Country is missing."),
        (field("country", "one_of", "AT"), "The value for Country must be a list of values."),
        (field("country", "one_of", ["AT", "XX"]), "XX is not one of the choices of Country."),
    ],
)
def test_a_condition_that_cannot_be_saved_says_why(condition: Condition, expected: str) -> None:
    (found,) = problems(condition, FIELDS, EVERYTHING)
    assert expected in found


def test_an_app_without_tags_or_owners_is_not_asked_for_them() -> None:
    fields: Mapping[str, Field] = {"city": FIELDS["city"], "tags": FIELDS["tags"]}
    offer = offered(fields, Capabilities())
    assert offer.kinds == (Kind.FIELD, Kind.EXISTS_IN_OTHER, Kind.IS_DELETED)
    assert offer.operators == {"city": OPERATORS[T.TEXT]}
    assert problems(Condition(Kind.HAS_TAG, value="x"), fields, Capabilities()) == [
        "This app has no tags, so a condition cannot ask for them."
    ]


def test_an_app_with_everything_offers_every_kind() -> None:
    assert offered(FIELDS, EVERYTHING).kinds == tuple(Kind)
    assert Kind.FIELD not in offered({}, EVERYTHING).kinds
