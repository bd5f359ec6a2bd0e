"""The lattice of field types, by what it does to values: what is called exact is exact, also over two steps and there
and back, and nothing that is offered without a person's acceptance can fail. The table itself is in test_fieldtypes.py.
"""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connections.fieldtypes import (
    BOTH,
    TO_LEFT,
    TO_RIGHT,
    Grade,
    Unconvertible,
    compatibility,
    convert,
    default_lines,
    grade,
    inverted,
    same,
    value_map_problems,
)
from syncer.connectors.base import Field, FieldType, Role, Value
from syncer.engine.planner import Line, Policy, equal
from tests.connections.test_fieldtypes import COLOURS, FIELDS, MAPS, a, choices, values_of

T = FieldType
quick = settings(deadline=None, max_examples=40)
thorough = settings(deadline=None, max_examples=200)
EXACT = [(s, t) for s in T for t in T if grade(s, t) is Grade.EXACT and s is not T.OWNER]
STEPS = [(s, t, u) for s, t in EXACT for v, u in EXACT if v is t and (s, u) in EXACT]
WORDS = ("red", "green", "blue", "0", "12", "true")


@pytest.mark.proves("I37")
@pytest.mark.parametrize(("first", "second", "third"), STEPS)
@quick
@given(st.data())
def test_two_exact_steps_are_one(first: FieldType, second: FieldType, third: FieldType, data: st.DataObject) -> None:
    one, two, three = (a(type, choices=COLOURS) for type in (first, second, third))
    value = data.draw(values_of(one))
    assert same(third, convert(two, three, convert(one, two, value)), convert(one, three, value))


@pytest.mark.proves("I37")
@pytest.mark.parametrize("type", [type for type in T if grade(type, type) is Grade.EXACT])
@quick
@given(st.data())
def test_an_exact_field_takes_its_own_values_as_they_are(type: FieldType, data: st.DataObject) -> None:
    field = a(type, choices=COLOURS)
    value = data.draw(values_of(field))
    assert convert(field, field, value) == value


@st.composite
def one_to_one_maps(draw: st.DrawFn) -> tuple[Field, Field, dict[str, str]]:
    """Two choice fields, or a choice and a boolean, and a map that the forms take."""
    left = a(T.CHOICE, "Left", choices=choices(*draw(st.lists(st.sampled_from(WORDS), min_size=1, unique=True))))
    words = [word for word, _ in left.choices]
    if len(words) == 2 and draw(st.booleans()):
        return left, a(T.BOOLEAN, "Right"), dict(zip(words, draw(st.permutations(["true", "false"])), strict=True))
    type = T.MULTI_CHOICE if draw(st.booleans()) else T.CHOICE
    renamed = [f"{word}!" for word in draw(st.permutations(words))]
    right = a(type, "Right", choices=choices(*renamed))
    return replace(left, type=type), right, dict(zip(words, renamed, strict=True))


@pytest.mark.proves("I37", "I38")
@thorough
@given(one_to_one_maps(), st.data())
def test_a_map_that_is_offered_both_ways_is_an_identity_there_and_back(
    mapped: tuple[Field, Field, dict[str, str]], data: st.DataObject
) -> None:
    left, right, table = mapped
    assert value_map_problems(left, right, table) == []
    assert BOTH in compatibility(left, right, table).directions
    one, two = data.draw(values_of(left)), data.draw(values_of(right))
    assert convert(right, left, convert(left, right, one, table), inverted(table)) == one
    assert convert(left, right, convert(right, left, two, inverted(table)), table) == two


@pytest.mark.proves("I37")
@thorough
@given(FIELDS, FIELDS, MAPS, st.data())
def test_whatever_is_offered_both_ways_comes_back_as_it_was(
    left: Field, right: Field, table: dict[str, str] | None, data: st.DataObject
) -> None:
    if BOTH not in compatibility(left, right, table).directions:
        return
    limits = [one.max_length for one in (left, right) if one.max_length is not None]
    value = data.draw(values_of(replace(left, max_length=min(limits, default=None))))
    there = convert(left, right, value, table)
    assert convert(right, left, there, None if table is None else inverted(table)) == value


@pytest.mark.proves("I38")
@thorough
@given(FIELDS, FIELDS, MAPS, st.data())
def test_to_the_left_too_nothing_fails_that_needs_no_acceptance(
    left: Field, right: Field, table: dict[str, str] | None, data: st.DataObject
) -> None:
    found = compatibility(left, right, table)
    if TO_LEFT not in found.directions - found.lossy or (right.type, left.type) == (T.OWNER, T.EMAIL):
        return
    # Over-long values between fields of one type are held, and that is said.
    value = data.draw(values_of(replace(right, max_length=left.max_length) if left.type is right.type else right))
    converted = convert(right, left, value, None if table is None else inverted(table))
    assert (converted is None) is (value is None)


@pytest.mark.proves("I38")
@thorough
@given(FIELDS, FIELDS, MAPS, st.data())
def test_what_is_not_offered_or_needs_acceptance_is_what_can_fail_or_lose(
    left: Field, right: Field, table: dict[str, str] | None, data: st.DataObject
) -> None:
    """Where a value fails, or two become one, the direction was not offered freely."""
    one, two = data.draw(values_of(left)), data.draw(values_of(left))
    found = compatibility(left, right, table)
    fits = left.type is right.type or (left.type, right.type) == (T.OWNER, T.EMAIL)
    try:
        first, second = convert(left, right, one, table), convert(left, right, two, table)
    except Unconvertible:
        assert fits or TO_RIGHT not in found.directions - found.lossy
        return
    if not same(left.type, one, two) and same(right.type, first, second):
        assert BOTH not in found.directions


@pytest.mark.proves("I38", "I8")
@pytest.mark.parametrize("source", [type for type in T if any(grade(type, t) is Grade.LOSSY for t in T)])
@quick
@given(st.data())
def test_what_loses_something_loses_it_and_never_fails(source: FieldType, data: st.DataObject) -> None:
    field = a(source, choices=COLOURS)
    value = data.draw(values_of(field))
    for target in (t for t in T if grade(source, t) is Grade.LOSSY):
        assert TO_RIGHT in compatibility(field, a(target)).lossy
        if target is T.DATE or value is not None:
            assert (convert(field, a(target), value) is None) is (value is None)


@pytest.mark.proves("I37", "I14")
@pytest.mark.parametrize(("source", "target"), EXACT)
@quick
@given(st.data())
def test_what_was_carried_over_counts_as_equal(source: FieldType, target: FieldType, data: st.DataObject) -> None:
    left, right = a(source, "Left", choices=COLOURS), a(target, "Right", choices=COLOURS)
    line = Line("line", left, right, frozenset({"right"}))
    one, two = data.draw(values_of(left)), data.draw(values_of(left))
    assert equal(line, one, convert(left, right, one), Policy())
    if not same(source, one, two):
        assert not equal(line, one, convert(left, right, two), Policy())


ROLES = [Role.GIVEN, Role.FAMILY, Role.FULL, Role.EMAIL, Role.NOTE, Role.TAGS, "x"]
BOOKS = st.lists(
    st.builds(
        lambda field, role, number: replace(field, name=f"f{number}", role=role),
        FIELDS,
        st.sampled_from(ROLES),
        st.integers(0, 99),
    ),
    max_size=6,
    unique_by=lambda field: field.name,
)


@pytest.mark.proves("I38")
@thorough
@given(BOOKS, BOOKS)
def test_no_default_line_needs_anybody_s_acceptance(left: list[Field], right: list[Field]) -> None:
    by_name: list[Mapping[str, Field]] = [{field.name: field for field in side} for side in (left, right)]
    for line in default_lines(left, right):
        found = compatibility(by_name[0][line.left_field], by_name[1][line.right_field])
        assert line.direction in found.directions - found.lossy


@pytest.mark.proves("I38")
def test_an_owner_goes_freely_only_to_what_takes_it_without_more() -> None:
    """An app's owner is an id there: what stands for it in an e-mail field has to be known, or accepted to fail."""
    owner: Value = "38"
    for target in (T.TEXT, T.EMAIL):
        found = compatibility(a(T.OWNER, "Owner"), a(target))
        if TO_RIGHT in found.directions - found.lossy:
            convert(a(T.OWNER, "Owner"), a(target), owner)
