"""What holds for matching, the guard and rules, whatever they are asked. The planner has test_properties.py."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connections.conditions import ALL, ANY, Condition, Facts, Rule, evaluate
from syncer.connectors.base import Value
from syncer.engine.guard import DEFAULT_LIMITS, Tally, breaches, limit_of
from syncer.engine.matching import Candidate, Kind, Question, judge
from syncer.engine.values import digest
from tests.connections.test_conditions import RULES, contacts, sound_conditions
from tests.engine.test_matching import QUESTIONS, SEVERAL

quick = settings(deadline=None, max_examples=150)


# Who it is


@pytest.mark.proves("I13", "E4 never choose")
@quick
@given(QUESTIONS, SEVERAL, st.integers(20, 29), st.booleans())
def test_one_more_candidate_never_makes_a_choice(
    asked: Question, candidates: list[Candidate], more: int, free: bool
) -> None:
    asked = replace(asked, candidates=candidates)
    before = judge(asked)
    after = judge(replace(asked, candidates=[*candidates, Candidate(more, free)]))
    if candidates:
        assert after.kind is not Kind.PAIR
    if before.kind in (Kind.DUPLICATE, Kind.WAIT):
        assert after.kind is before.kind


@pytest.mark.proves("I6", "I13", "E4 lineage")
@quick
@given(QUESTIONS, SEVERAL, SEVERAL, st.booleans())
def test_a_copy_of_the_same_origin_is_taken_or_waited_for_and_never_made_anew(
    asked: Question, candidates: list[Candidate], kin: list[Candidate], kin_gone: bool
) -> None:
    verdict = judge(replace(asked, candidates=candidates, kin=kin, kin_gone=kin_gone))
    if kin or kin_gone:
        assert verdict.kind is not Kind.CREATE
    if kin and verdict.kind is Kind.PAIR:
        assert [verdict.candidate] == [one.record for one in kin] and kin[0].free and kin[0].settled


# How much at once

COUNTS = st.dictionaries(st.sampled_from(sorted(DEFAULT_LIMITS)), st.integers(0, 400))


def named(tally: Tally, limits: Mapping[str, object], first_plan: bool) -> set[str]:
    return {breach.what for breach in breaches({"left": tally}, limits, first_plan)}


@pytest.mark.proves("I25", "E5 limits")
@quick
@given(COUNTS, COUNTS, st.integers(0, 3_000), COUNTS, st.booleans(), st.integers(0, 3_000), COUNTS)
def test_a_wider_limit_or_a_larger_book_lets_no_less_through(
    planned: dict[str, int],
    recent: dict[str, int],
    size: int,
    chosen: dict[str, int],
    first: bool,
    more: int,
    wider: dict[str, int],
) -> None:
    before = named(Tally(planned, recent, size), chosen, first)
    limits = {what: number + wider.get(what, 0) for what, number in chosen.items()}
    assert named(Tally(planned, recent, size + more), limits, first) <= before


@pytest.mark.proves("I25", "E5 last day")
@quick
@given(st.sampled_from(sorted(DEFAULT_LIMITS)), st.integers(0, 3_000), st.lists(st.integers(1, 60), min_size=1))
def test_in_small_portions_no_more_gets_through_than_at_once(what: str, size: int, portions: list[int]) -> None:
    done = 0
    for portion in portions:
        if not named(Tally({what: portion}, {what: done}, size), {}, False):
            done += portion
    assert done <= limit_of(what, size, {})


# Rules


@pytest.mark.proves("I39")
@quick
@given(RULES, contacts(), st.data())
def test_the_order_of_conditions_decides_nothing(asked: Rule, facts: Facts, data: st.DataObject) -> None:
    turned = replace(asked, conditions=tuple(data.draw(st.permutations(asked.conditions))))
    one, two = evaluate(asked, facts), evaluate(turned, facts)
    assert (one.matched, one.recheck_at) == (two.matched, two.recheck_at)


@pytest.mark.proves("I39")
@quick
@given(RULES, contacts(), sound_conditions())
def test_one_more_condition_narrows_all_and_widens_any(asked: Rule, facts: Facts, more: Condition) -> None:
    longer = replace(asked, conditions=(*asked.conditions, more))
    before, after = evaluate(asked, facts).matched, evaluate(longer, facts).matched
    if asked.match == ALL and after is True:
        assert before is True
    if asked.match == ANY and asked.conditions and before is True:
        assert after is True


@pytest.mark.proves("I18")
@quick
@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=5), st.data())
def test_the_order_of_fields_changes_no_digest(values: dict[str, Value], data: st.DataObject) -> None:
    turned = dict(data.draw(st.permutations(list(values.items()))))
    assert digest(turned) == digest(values)
