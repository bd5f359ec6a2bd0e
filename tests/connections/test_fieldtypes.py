"""What a value is, when two are the same, and what may become what. Anna and Bob lend their contact data."""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connections.fieldtypes import (
    BOTH,
    TO_LEFT,
    TO_RIGHT,
    DefaultLine,
    Grade,
    InvalidValue,
    Unconvertible,
    clean,
    compatibility,
    convert,
    default_lines,
    grade,
    inverted,
    key,
    same,
    value_map_problems,
)
from syncer.connectors.base import Field, FieldType, Role, Value

T = FieldType
quick = settings(deadline=None, max_examples=50)
thorough = settings(deadline=None, max_examples=250)

SPACES = st.sampled_from(["", " ", "\r\n", "\n", "\t", "\u2028", "\u00a0"])
LETTERS = st.text(st.sampled_from("aAbßéE\u0301İǰ,; \r\n\0#+@./:-0123456789"), max_size=12)
TEXTS = st.one_of(LETTERS, st.text(max_size=20))
PHONES = st.sampled_from(
    [
        "+1 415-555-2671",
        "+14155552671",
        "(+1) 415 555 2671",
        "tel:+1-415-555-2671",
        "+1 415 555 2671 x5",
        "415 555 2671",
    ]
)
EMAILS = st.sampled_from(["Anna@Bücher.example", "anna@xn--bcher-kva.EXAMPLE", "bob@b.example", "bob", "@", "a@b@c"])
URLS = st.sampled_from(
    ["HTTPS://A.example/P/", "https://a.example/P", "a.example/", "A.example", "http://", "/", "p?q=/"]
)
MOMENTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), None]))
RAW = st.one_of(
    st.none(),
    TEXTS,
    PHONES,
    EMAILS,
    URLS,
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.dates(),
    st.dates().map(lambda day: day.strftime("--%m-%d")),
    MOMENTS,
    MOMENTS.map(datetime.isoformat),
    st.lists(st.one_of(st.none(), TEXTS, st.integers()), max_size=5),
    st.dictionaries(st.text(max_size=2), st.none(), max_size=1),
    st.binary(max_size=3),
)


def a(type: FieldType, label: str = "Target", **more: object) -> Field:
    return replace(Field(label.lower(), label, type), **more)  # type: ignore[arg-type]


def choices(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple((value, value.title()) for value in values)


def cleaned_or_none(type: FieldType, raw: object) -> Value:
    try:
        return clean(type, raw)
    except InvalidValue:
        return None


def values_of(field: Field) -> st.SearchStrategy[Value]:
    """Clean values that a field can hold, its maximum length and its choices respected."""
    if field.type in (T.CHOICE, T.MULTI_CHOICE):
        one = st.sampled_from([value for value, _ in field.choices])
        return one if field.type is T.CHOICE else st.lists(one, min_size=1).map(lambda many: clean(field.type, many))
    raw: dict[FieldType, st.SearchStrategy[object]] = {
        T.INTEGER: st.integers(-(10**30), 10**30),
        T.DECIMAL: st.decimals(allow_nan=False, allow_infinity=False, places=4),
        T.BOOLEAN: st.booleans(),
        T.DATE: st.one_of(st.dates(), st.dates().map(lambda day: day.strftime("--%m-%d"))),
        T.DATETIME: st.datetimes(min_value=datetime(2, 1, 1), timezones=st.just(UTC)),
        T.TAGS: st.lists(TEXTS),
        T.PHONE: st.one_of(PHONES, TEXTS),
        T.EMAIL: st.one_of(EMAILS, TEXTS),
        T.URL: st.one_of(URLS, TEXTS),
    }
    found = raw.get(field.type, TEXTS).map(lambda value: cleaned_or_none(field.type, value))
    limit = field.max_length
    return found.filter(lambda value: not isinstance(value, str) or limit is None or len(value) <= limit)


# clean


@pytest.mark.parametrize(
    ("type", "raw", "expected"),
    [
        (T.TEXT, "  Anna \r\n Berg\0 ", "Anna   Berg"),
        (T.TEXT, "Ame\u0301lie", "Amélie"),
        (T.TEXT, " \t\n ", None),
        (T.TEXT, "", None),
        (T.TEXT, 0, "0"),
        (T.LONG_TEXT, "one\r\ntwo\rthree\n", "one\ntwo\nthree"),
        (T.EMAIL, " Anna@Example.com\n", "Anna@Example.com"),
        (T.EMAIL, "not given", "not given"),
        (T.OWNER, 38, "38"),
        (T.INTEGER, "007", 7),
        (T.INTEGER, "12.00", 12),
        (T.INTEGER, 0, 0),
        (T.INTEGER, 5.0, 5),
        (T.DECIMAL, "+12.500", "12.5"),
        (T.DECIMAL, "1e3", "1000"),
        (T.DECIMAL, "-0.00", "0"),
        (T.DECIMAL, ".5", "0.5"),
        (T.DECIMAL, 0.1, "0.1"),
        (T.DECIMAL, Decimal("1E-7"), "0.0000001"),
        (T.DECIMAL, "12345678901234567890123456789012345.10", "12345678901234567890123456789012345.1"),
        (T.BOOLEAN, False, False),
        (T.BOOLEAN, 0, False),
        (T.BOOLEAN, "Yes", True),
        (T.BOOLEAN, " no ", False),
        (T.BOOLEAN, "", None),
        (T.DATE, "2026-11-24", "2026-11-24"),
        (T.DATE, "20261124", "2026-11-24"),
        (T.DATE, "--0229", "--02-29"),
        (T.DATE, date(987, 1, 2), "0987-01-02"),
        (T.DATETIME, "2026-11-24T05:30:00.9+05:30", "2026-11-24T00:00:00Z"),
        (T.DATETIME, datetime(987, 1, 2, tzinfo=UTC), "0987-01-02T00:00:00Z"),
        (T.TAGS, ["news", " VIP", "vip", None, ""], ["news", "VIP"]),
        (T.TAGS, [], None),
        (T.TAGS, [" "], None),
        (T.MULTI_CHOICE, ["b", "B", "b"], ["B", "b"]),
    ],
)
def test_it_cleans(type: FieldType, raw: object, expected: Value) -> None:
    assert clean(type, raw) == expected
    assert clean(type, raw).__class__ is expected.__class__


@pytest.mark.parametrize(
    ("type", "raw"),
    [
        (T.TEXT, True),
        (T.TEXT, ["a"]),
        (T.TEXT, b"bytes"),
        (T.TEXT, "broken \ud83d"),
        pytest.param(T.TEXT, 10**5000, id="text-more digits than str() takes"),
        (T.INTEGER, True),
        (T.INTEGER, "1.5"),
        (T.INTEGER, "1,000"),
        (T.INTEGER, "1_000"),
        (T.INTEGER, "٣"),
        (T.INTEGER, "9" * 5000),
        (T.DECIMAL, "1e999"),
        (T.DECIMAL, "1e-999"),
        (T.DECIMAL, "NaN"),
        (T.DECIMAL, float("inf")),
        (T.BOOLEAN, 2),
        (T.BOOLEAN, "maybe"),
        (T.DATE, "2026-02-30"),
        (T.DATE, "2026-1124"),
        (T.DATE, "2026-W48-2"),
        (T.DATE, "--02-30"),
        (T.DATE, datetime(2026, 11, 24, tzinfo=UTC)),
        (T.DATETIME, "2026-11-24"),
        (T.DATETIME, "2026-11-24T05:30:00"),
        (T.DATETIME, datetime(2026, 11, 24)),
        (T.DATETIME, "0001-01-01T00:00:00+05:00"),
        (T.DATETIME, 1764000000),
        (T.TAGS, "news, vip"),
        (T.TAGS, [["nested"]]),
    ],
)
def test_it_refuses_what_is_not_of_the_type(type: FieldType, raw: object) -> None:
    with pytest.raises(InvalidValue):
        clean(type, raw)


@pytest.mark.parametrize("type", T)
@quick
@given(raw=RAW)
def test_cleaning_twice_changes_nothing_and_the_result_can_be_stored(type: FieldType, raw: object) -> None:
    try:
        once = clean(type, raw)
    except InvalidValue as error:
        assert str(error) != ""
        return
    assert clean(type, once) == once
    assert clean(type, once).__class__ is once.__class__
    assert once not in ("", [])
    stored = json.dumps(once, ensure_ascii=False)
    stored.encode()
    assert unicodedata.is_normalized("NFC", stored)
    assert "\\u0000" not in stored


@quick
@given(raw=st.text(), type=st.sampled_from(T))
def test_a_refusal_never_shows_the_value(raw: str, type: FieldType) -> None:
    secret = f"canary{raw}"
    with pytest.raises(InvalidValue) as caught:
        clean(T.INTEGER if type in (T.TEXT, T.LONG_TEXT) else T.DATE, secret)
    assert "canary" not in str(caught.value)


# key and same


@pytest.mark.parametrize("type", T)
@quick
@given(raw=RAW, region=st.sampled_from([None, "US", "DE", "nowhere"]))
def test_the_key_of_a_clean_value_is_stable(type: FieldType, raw: object, region: str | None) -> None:
    try:
        value = clean(type, raw)
    except InvalidValue:
        return
    found = key(type, value, region)
    assert found == key(type, clean(type, value), region)
    assert hash(found) == hash(key(type, value, region))
    assert (found is None) is (value is None)


@pytest.mark.parametrize("type", T)
@quick
@given(st.data())
def test_same_is_an_equivalence(type: FieldType, data: st.DataObject) -> None:
    drawn = data.draw(
        st.lists(st.one_of(PHONES, EMAILS, URLS, TEXTS, st.lists(TEXTS), st.none()), min_size=3, max_size=9)
    )
    assert all(same(type, value, value) for value in drawn)
    for one in drawn:
        for two in drawn:
            assert same(type, one, two) is same(type, two, one)
            if same(type, one, two):
                assert all(same(type, one, three) is same(type, two, three) for three in drawn)


@pytest.mark.parametrize(
    ("type", "one", "two"),
    [
        (T.EMAIL, "Anna@Example.com", "anna@example.COM"),
        (T.EMAIL, "anna@bücher.example", "anna@XN--BCHER-KVA.example"),
        (T.PHONE, "+1 415-555-2671", "tel:+1 (415) 555.2671"),
        (T.PHONE, "+44 (0)20 7946 0958", "+442079460958"),
        (T.PHONE, "030/123 45 67", "030 1234567"),
        (T.PHONE, "+1 415 555 2671 ext. 5", "+14155552671;ext=5"),
        (T.PHONE, "+1 415 555 2671", "+14155552671"),
        (T.URL, "HTTPS://Example.com/", "https://example.com"),
        (T.URL, "Example.com/team/", "example.com/team"),
        (T.TAGS, ["VIP", "News"], ["news", "vip"]),
        (T.TAGS, [], None),
        (T.DECIMAL, "1.50", "1.5"),
        (T.TEXT, "Ame\u0301lie", "Amélie"),
    ],
)
def test_two_spellings_are_the_same(type: FieldType, one: Value, two: Value) -> None:
    assert same(type, one, two)


@pytest.mark.parametrize(
    ("type", "one", "two"),
    [
        (T.TEXT, "anna", "Anna"),
        (T.TEXT, "0", None),
        (T.INTEGER, 0, None),
        (T.BOOLEAN, False, None),
        (T.INTEGER, True, 1),
        (T.PHONE, "call Anna +14155552671", "call Bob +14155552671"),
        (T.PHONE, "+14155552671 x5", "+14155552671 x6"),
        (T.PHONE, "+14155552671 / +14155552672", "+14155552671"),
        (T.PHONE, "ask Anna", "ask Bob"),
        (T.PHONE, "415 555 2671", "+1 415 555 2671"),
        (T.EMAIL, "anna@straße.example", "anna@strasse.example"),
        (T.EMAIL, "anna@xn--a-.example", "anna@a.example"),
        (T.EMAIL, "anna@xn--99999999999.example", "anna@a.example"),
        (T.URL, "https://example.com/Team", "https://example.com/team"),
        (T.URL, "http://example.com", "https://example.com"),
        (T.URL, "https://example.com/?next=/", "https://example.com/?next="),
        (T.DATE, "--11-24", "2026-11-24"),
        (T.MULTI_CHOICE, ["a"], ["A"]),
        (T.CHOICE, "a", "A"),
    ],
)
def test_two_values_stay_two(type: FieldType, one: Value, two: Value) -> None:
    assert not same(type, one, two)


def test_a_national_number_is_read_with_the_region() -> None:
    assert same(T.PHONE, "(415) 555-2671", "+14155552671", region="US")
    assert not same(T.PHONE, "(415) 555-2671", "+14155552671", region="DE")


# The table


TABLE = """
             text long_text email phone url integer decimal boolean date datetime choice multi_choice tags owner consent
text         E    E         C     C     C   -       -       -       -    -        M      -            -    -     -
long_text    L    E         -     -     -   -       -       -       -    -        -      -            -    -     -
email        E    E         E     -     -   -       -       -       -    -        -      -            -    -     -
phone        E    E         -     E     -   -       -       -       -    -        -      -            -    -     -
url          E    E         -     -     E   -       -       -       -    -        -      -            -    -     -
integer      E    E         -     -     -   E       E       -       -    -        M      -            -    -     -
decimal      E    E         -     -     -   -       E       -       -    -        -      -            -    -     -
boolean      E    E         -     -     -   -       -       E       -    -        M      -            -    -     -
date         E    E         -     -     -   -       -       -       E    -        -      -            -    -     -
datetime     E    E         -     -     -   -       -       -       L    E        -      -            -    -     -
choice       E    E         -     -     -   M       -       M       -    -        M      -            -    -     -
multi_choice L    L         -     -     -   -       -       -       -    -        -      E            -    -     -
tags         L    L         -     -     -   -       -       -       -    -        -      -            E    -     -
owner        E    -         E     -     -   -       -       -       -    -        -      -            -    -     -
consent      E    -         -     -     -   -       -       -       -    -        -      -            -    -     E
"""
LETTER = {"E": Grade.EXACT, "L": Grade.LOSSY, "C": Grade.CHECKED, "M": Grade.MAPPED, "-": Grade.NONE}


def test_the_grades_are_those_of_the_table() -> None:
    header, *rows = TABLE.strip().splitlines()
    targets = header.split()
    assert {row.split()[0] for row in rows} == set(targets) == set(T)
    for row in rows:
        source, *letters = row.split()
        assert {target: grade(T(source), T(target)) for target in targets} == {
            target: LETTER[letter] for target, letter in zip(targets, letters, strict=True)
        }


@pytest.mark.proves("I37")
def test_exact_is_reflexive_but_for_what_only_a_person_can_map() -> None:
    assert {type for type in T if grade(type, type) is not Grade.EXACT} == {T.CHOICE, T.OWNER}


@pytest.mark.proves("I37")
def test_exact_is_transitive() -> None:
    # Owner and consent go to text alone, on purpose, and not by way of it to long text.
    types = [type for type in T if type not in (T.OWNER, T.CONSENT)]
    for one in types:
        for two in types:
            for three in types:
                if grade(one, two) is grade(two, three) is Grade.EXACT:
                    assert grade(one, three) is Grade.EXACT, (one, two, three)


# convert

COLOURS = choices("red", "green", "0")
EXACT_PAIRS = [(s, t) for s in T for t in T if grade(s, t) is Grade.EXACT and (s, t) != (T.OWNER, T.EMAIL)]


@pytest.mark.proves("I37")
@pytest.mark.parametrize(("source_type", "target_type"), EXACT_PAIRS)
@quick
@given(st.data())
def test_an_exact_conversion_is_total_and_keeps_values_apart(
    source_type: FieldType, target_type: FieldType, data: st.DataObject
) -> None:
    source, target = a(source_type, "Source", choices=COLOURS), a(target_type, choices=COLOURS)
    one, two = data.draw(values_of(source)), data.draw(values_of(source))
    first, second = convert(source, target, one), convert(source, target, two)
    assert (first is None) is (one is None)
    if not same(source_type, one, two):
        assert not same(target_type, first, second)
    if grade(target_type, source_type) is Grade.EXACT:
        assert convert(target, source, first) == one


@pytest.mark.proves("I8")
@pytest.mark.parametrize("target_type", [T.EMAIL, T.PHONE, T.URL])
@thorough
@given(value=st.one_of(EMAILS, PHONES, URLS, TEXTS, st.emails()))
@example("anna@example.com")
@example("Anna <anna@example.com>")
@example("+1 415 555 2671")
@example("https://example.com/team")
@example("javascript:alert(1)")
def test_a_checked_conversion_passes_a_value_whole_or_not_at_all(target_type: FieldType, value: str) -> None:
    source, target = a(T.TEXT, "Source"), a(target_type)
    try:
        converted = convert(source, target, value)
    except Unconvertible as error:
        assert str(error).startswith("Source ")
        return
    assert converted == clean(T.TEXT, value)


@pytest.mark.parametrize(
    ("target_type", "value", "passes"),
    [
        (T.EMAIL, "anna@example.com", True),
        (T.EMAIL, "anna@bücher.example.com", True),
        (T.EMAIL, "Anna <anna@example.com>", False),
        (T.EMAIL, "anna@example.com, bob@example.com", False),
        (T.PHONE, "+1 (415) 555-2671 x5", True),
        (T.PHONE, "(415) 555-2671", False),
        (T.PHONE, "+999 1", False),
        (T.PHONE, "+1 415 555 2671 (Anna)", False),
        (T.URL, "https://example.com/team?x=1", True),
        (T.URL, "example.com", False),
        (T.URL, "javascript:alert(1)", False),
        (T.URL, "https://a b", False),
    ],
)
def test_text_is_checked_before_it_becomes_more_than_text(target_type: FieldType, value: str, passes: bool) -> None:
    if passes:
        assert convert(a(T.TEXT), a(target_type), value) == value
    else:
        with pytest.raises(Unconvertible):
            convert(a(T.TEXT), a(target_type), value)


def test_a_national_number_becomes_a_phone_where_the_region_is_known() -> None:
    assert convert(a(T.TEXT), a(T.PHONE), "(415) 555-2671", region="US") == "(415) 555-2671"


@pytest.mark.proves("I8")
@thorough
@given(st.data(), st.sampled_from(T), st.sampled_from(T), st.integers(0, 12))
def test_nothing_is_ever_cut(data: st.DataObject, source_type: FieldType, target_type: FieldType, limit: int) -> None:
    source, free = a(source_type, "Source", choices=COLOURS), a(target_type, choices=COLOURS)
    value = data.draw(values_of(source))
    try:
        whole = convert(source, free, value)
    except Unconvertible:
        return
    too_long = isinstance(whole, str) and len(whole) > limit
    try:
        assert convert(source, replace(free, max_length=limit), value) == whole
        assert not too_long
    except Unconvertible as error:
        assert too_long
        assert str(error) == f"Source is longer than the {limit} characters that Target takes"


@pytest.mark.parametrize(
    ("source", "target", "value", "expected"),
    [
        (T.LONG_TEXT, T.TEXT, "one\ntwo", "one two"),
        (T.INTEGER, T.TEXT, 0, "0"),
        (T.INTEGER, T.DECIMAL, -5, "-5"),
        (T.BOOLEAN, T.TEXT, False, "no"),
        (T.BOOLEAN, T.LONG_TEXT, True, "yes"),
        (T.DATE, T.TEXT, "--11-24", "--11-24"),
        (T.DATETIME, T.DATE, "2026-11-24T05:30:00Z", "2026-11-24"),
        (T.TAGS, T.TEXT, ["news", "VIP"], "news, VIP"),
        (T.MULTI_CHOICE, T.TEXT, ["green", "red"], "Green, Red"),
        (T.CHOICE, T.TEXT, "red", "Red"),
        (T.OWNER, T.TEXT, "38", "38"),
        (T.CONSENT, T.CONSENT, "subscribed", "subscribed"),
        (T.TEXT, T.TEXT, None, None),
    ],
)
def test_it_converts(source: FieldType, target: FieldType, value: Value, expected: Value) -> None:
    assert convert(a(source, choices=COLOURS), a(target, choices=COLOURS), value) == expected


def test_no_conversion_says_why() -> None:
    with pytest.raises(Unconvertible, match="text to whole number: not every text is a whole number"):
        convert(a(T.TEXT), a(T.INTEGER), "5")


def test_a_choice_becomes_its_value_where_labels_cannot_be_told_apart() -> None:
    twins = a(T.CHOICE, choices=(("1", "Gold"), ("2", "gold")))
    crossed = a(T.CHOICE, choices=(("a", "b"), ("b", "c")))
    assert convert(twins, a(T.TEXT), "2") == "2"
    assert convert(crossed, a(T.TEXT), "a") == "a"


def test_a_choice_that_was_removed_keeps_its_value_unless_it_reads_like_another() -> None:
    level = a(T.CHOICE, "Level", choices=(("1", "Gold"),))
    assert convert(level, a(T.TEXT), "Silver") == "Silver"
    with pytest.raises(Unconvertible, match="Level is not one of its choices any more"):
        convert(level, a(T.TEXT), "Gold")


def test_an_owner_becomes_a_name_or_an_email_by_the_people_given() -> None:
    owner = a(T.OWNER, "Owner")
    assert convert(owner, a(T.TEXT), "38", {"38": "Bob Berg"}) == "Bob Berg"
    assert convert(owner, a(T.EMAIL), "38", {"38": "bob@example.com"}) == "bob@example.com"
    with pytest.raises(Unconvertible, match="Owner is not an e-mail address"):
        convert(owner, a(T.EMAIL), "38")


# Value maps

LEVEL = a(T.CHOICE, "Level", choices=(("1", "Gold"), ("2", "Silver")))
RANK = a(T.CHOICE, "Rank", choices=(("g", "G"), ("s", "S"), ("b", "B")))
GIFT = a(T.BOOLEAN, "Gift")


@pytest.mark.parametrize(
    ("source", "target", "value_map", "problems"),
    [
        (LEVEL, RANK, {"1": "g", "2": "s"}, []),
        (LEVEL, GIFT, {"1": "true", "2": "false"}, []),
        (GIFT, LEVEL, {"true": "1", "false": "2"}, []),
        (LEVEL, a(T.INTEGER, "Points"), {"1": "10", "2": "-5"}, []),
        (a(T.TEXT, "Words"), LEVEL, {"gold": "1"}, []),
        (LEVEL, RANK, {"1": "g"}, ["Silver of Level has no counterpart"]),
        (LEVEL, RANK, {"1": "g", "2": "s", "3": "b"}, ["3 is not a value of Level"]),
        (LEVEL, RANK, {"1": "g", "2": "x"}, ["x is not a value of Rank"]),
        (LEVEL, RANK, {"1": "g", "2": "g"}, ["Gold and Silver of Level become the same: G"]),
        (LEVEL, a(T.INTEGER, "Points"), {"1": "05", "2": "6"}, ["05 is not a value of Points"]),
        (LEVEL, a(T.INTEGER, "Points"), {"1": "ten", "2": "6"}, ["ten is not a value of Points"]),
        (LEVEL, a(T.DATE), {"1": "2026-11-24"}, ["choice to date: these fields take no value map"]),
    ],
)
def test_a_value_map_is_total_and_one_to_one(
    source: Field, target: Field, value_map: Mapping[str, str], problems: list[str]
) -> None:
    assert value_map_problems(source, target, value_map) == problems


@pytest.mark.proves("I37")
def test_a_map_carries_there_and_back() -> None:
    there = {"1": "true", "2": "false"}
    assert convert(LEVEL, GIFT, "2", there) is False
    assert convert(GIFT, LEVEL, False, inverted(there)) == "2"
    assert convert(LEVEL, a(T.INTEGER), "1", {"1": "0"}) == 0


def test_a_map_carries_each_item_of_a_list() -> None:
    left = a(T.MULTI_CHOICE, "Colours", choices=choices("red", "green"))
    right = a(T.MULTI_CHOICE, "Farben", choices=choices("rot", "grün"))
    assert convert(left, right, ["green", "red"], {"red": "rot", "green": "grün"}) == ["grün", "rot"]
    assert BOTH in compatibility(left, right, {"red": "rot", "green": "grün"}).directions


def test_no_map_makes_a_value_empty() -> None:
    with pytest.raises(Unconvertible, match="Level would become empty in Points"):
        convert(LEVEL, a(T.INTEGER, "Points"), "1", {"1": ""})


def test_a_field_with_choices_takes_only_its_own() -> None:
    with pytest.raises(Unconvertible, match="Words has a value without a counterpart in Level"):
        convert(a(T.TEXT, "Words"), LEVEL, "bronze", {"gold": "1"})
    with pytest.raises(Unconvertible, match="Words has a value without a counterpart"):
        convert(a(T.TEXT, "Words"), LEVEL, "1")
    with pytest.raises(Unconvertible, match="Rank is not one of the choices of Level"):
        convert(RANK, LEVEL, "g", {"g": "9"})
    many = a(T.MULTI_CHOICE, "Colours", choices=choices("red"))
    with pytest.raises(Unconvertible, match="Colours is not one of the choices of Colours"):
        convert(many, many, ["red", "blue"])


# compatibility


def test_equal_types_go_both_ways_even_where_one_is_shorter() -> None:
    found = compatibility(a(T.TEXT), a(T.TEXT, max_length=10))
    assert found.directions == {BOTH, TO_RIGHT, TO_LEFT}
    assert found.reasons == {}
    assert found.lossy == frozenset()


def test_the_reasons_are_in_words() -> None:
    found = compatibility(a(T.TEXT), a(T.DECIMAL))
    assert found.directions == {TO_LEFT}
    assert found.reasons[TO_RIGHT] == "text to number: not every text is a number"
    assert found.reasons[BOTH] == "text to number: not every text is a number"


def test_a_read_only_field_is_never_a_target() -> None:
    found = compatibility(a(T.TEXT), a(T.TEXT, writable=False))
    assert found.directions == {TO_LEFT}
    assert found.reasons == {TO_RIGHT: "the right field is read-only", BOTH: "the right field is read-only"}


@pytest.mark.proves("I38")
@pytest.mark.parametrize(
    ("left", "right", "lossy"),
    [
        (a(T.LONG_TEXT), a(T.TEXT), {TO_RIGHT}),
        (a(T.TEXT), a(T.EMAIL), {TO_RIGHT}),
        (a(T.DATETIME), a(T.DATE), {TO_RIGHT}),
        (a(T.TEXT), a(T.TAGS), {TO_LEFT}),
        (a(T.TEXT), a(T.LONG_TEXT, max_length=255), {TO_RIGHT, TO_LEFT}),
        (a(T.DATE), a(T.TEXT, max_length=9), {TO_RIGHT}),
        (a(T.DATE), a(T.TEXT, max_length=10), set()),
        (a(T.MULTI_CHOICE, choices=COLOURS), a(T.MULTI_CHOICE, choices=choices("red")), {TO_RIGHT}),
    ],
)
def test_what_loses_or_refuses_values_needs_acceptance_and_is_one_way(
    left: Field, right: Field, lossy: set[str]
) -> None:
    found = compatibility(left, right)
    assert found.lossy == lossy
    assert BOTH not in found.directions


def test_choices_go_both_ways_by_a_one_to_one_map_alone() -> None:
    assert compatibility(LEVEL, GIFT).directions == frozenset()
    assert compatibility(LEVEL, GIFT, {"1": "true", "2": "false"}).directions == {BOTH, TO_RIGHT, TO_LEFT}
    many_to_one = compatibility(RANK, LEVEL, {"g": "1", "s": "2", "b": "2"})
    assert many_to_one.directions == {TO_RIGHT}
    assert many_to_one.reasons[TO_LEFT] == "S and B of Rank become the same: Silver"
    assert compatibility(LEVEL, RANK, {"1": "g", "2": "s"}).reasons[TO_LEFT] == (
        "choice to choice: B of Rank has no counterpart"
    )


@pytest.mark.proves("E8 owners")
def test_owners_are_not_mapped_to_owners() -> None:
    found = compatibility(a(T.OWNER), a(T.OWNER))
    assert found.directions == frozenset()
    assert "set by a rule" in found.reasons[BOTH]


FIELDS = st.builds(
    lambda type, writable, limit, values: a(type, writable=writable, max_length=limit, choices=choices(*values)),
    st.sampled_from(T),
    st.booleans(),
    st.sampled_from([None, 3, 20, 255]),
    st.lists(st.sampled_from(["red", "green", "blue", "12"]), min_size=1, max_size=3, unique=True),
)
MAPS = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["red", "green", "blue", "12", "true", "false"]),
        st.sampled_from(["red", "green", "blue", "12", "true", "false"]),
    ),
)


@pytest.mark.proves("I38")
@thorough
@given(FIELDS, FIELDS, MAPS)
def test_each_direction_is_offered_or_explained(left: Field, right: Field, value_map: dict[str, str] | None) -> None:
    found = compatibility(left, right, value_map)
    every = {BOTH, TO_RIGHT, TO_LEFT}
    assert found.directions | set(found.reasons) == every
    assert found.directions.isdisjoint(found.reasons)
    assert found.lossy <= found.directions - {BOTH}
    assert (BOTH in found.directions) is ({TO_RIGHT, TO_LEFT} <= found.directions - found.lossy)
    assert all(reason != "" for reason in found.reasons.values())


def test_a_text_that_names_choices_is_not_bound_to_them() -> None:
    left = Field("a", "A", T.TEXT, choices=(("x", "X"),))
    right = Field("b", "B", T.LONG_TEXT, max_length=3)
    assert TO_RIGHT in compatibility(left, right).lossy


@pytest.mark.proves("I38")
@thorough
@given(st.data(), FIELDS, FIELDS, MAPS)
def test_what_needs_no_acceptance_never_fails(
    data: st.DataObject, left: Field, right: Field, value_map: dict[str, str] | None
) -> None:
    found = compatibility(left, right, value_map)
    if TO_RIGHT not in found.directions - found.lossy:
        return
    # Over-long values between fields of one type are held, and that is said.
    limit = right.max_length if left.type is right.type else left.max_length
    source = replace(left, max_length=limit)
    value = data.draw(values_of(source))
    if (left.type, right.type) == (T.OWNER, T.EMAIL):
        value_map = {str(value): "bob@example.com"}
    assert (convert(source, right, value, value_map) is None) is (value is None)


@thorough
@given(FIELDS, FIELDS)
def test_swapping_the_sides_mirrors_the_answer(left: Field, right: Field) -> None:
    mirror = {BOTH: BOTH, TO_RIGHT: TO_LEFT, TO_LEFT: TO_RIGHT}
    here, there = compatibility(left, right), compatibility(right, left)
    assert {mirror[direction] for direction in here.directions} == there.directions
    assert {mirror[direction] for direction in here.lossy} == there.lossy


# default_lines


def standard(name: str, role: str, type: FieldType = T.TEXT, writable: bool = True) -> Field:
    return Field(name, name, type, role=role, writable=writable)


def test_equal_roles_make_the_default_mapping() -> None:
    google = [
        standard("givenName", Role.GIVEN),
        standard("familyName", Role.FAMILY),
        standard("displayName", Role.FULL),
        standard("email", Role.EMAIL, T.EMAIL),
        standard("notes", Role.NOTE, T.LONG_TEXT),
        standard("labels", Role.TAGS, T.TAGS),
        standard("birthday", Role.BIRTHDAY, T.DATE),
        standard("shoe size", "", T.INTEGER),
    ]
    salesmate = [
        standard("firstName", Role.GIVEN),
        standard("lastName", Role.FAMILY),
        standard("name", Role.FULL, writable=False),
        standard("email", Role.EMAIL, T.EMAIL),
        standard("otherEmail", Role.EMAIL, T.EMAIL),
        standard("description", Role.NOTE),
        standard("tags", Role.TAGS, T.TAGS),
        standard("owner", Role.OWNER, T.OWNER),
        standard("size", "", T.INTEGER),
    ]
    assert default_lines(google, salesmate) == [
        DefaultLine("givenName", "firstName", BOTH),
        DefaultLine("familyName", "lastName", BOTH),
        DefaultLine("email", "email", BOTH),
        DefaultLine("notes", "description", TO_LEFT),
        DefaultLine("labels", "tags", BOTH),
    ]


def test_the_full_name_stands_in_where_a_part_is_missing() -> None:
    whole = [standard("given", Role.GIVEN), standard("full", Role.FULL)]
    parts = [standard("first", Role.GIVEN), standard("last", Role.FAMILY), standard("name", Role.FULL)]
    assert default_lines(whole, parts) == [DefaultLine("full", "name", BOTH)]


@pytest.mark.parametrize("role", [Role.OWNER, "consent", "uid"])
def test_what_the_engine_handles_itself_is_never_a_default_line(role: str) -> None:
    type = {"uid": T.TEXT, "consent": T.CONSENT}.get(role, T.OWNER)
    assert default_lines([standard("a", role, type)], [standard("b", role, type)]) == []


def test_what_needs_a_person_is_left_out_of_the_defaults() -> None:
    level = standard("level", "level", T.CHOICE)
    assert default_lines([level], [level]) == []
    assert default_lines([standard("a", "x", T.TEXT)], [standard("b", "x", T.EMAIL, writable=True)]) == [
        DefaultLine("a", "b", TO_LEFT)
    ]
    assert default_lines([standard("a", "x", writable=False)], [standard("b", "x", T.EMAIL)]) == []
