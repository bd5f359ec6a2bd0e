"""How much a plan may do without a person: every limit just at its edge and just over it."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncer.engine.guard import DEFAULT_LIMITS, WORDS, Breach, Tally, breaches, limit_of

quick = settings(deadline=None, max_examples=150)
FIRST_MAY = ("creates", "changed_share", "same_value")


def found(
    planned: Mapping[str, int],
    size: int = 0,
    recent: Mapping[str, int] | None = None,
    limits: Mapping[str, object] | None = None,
    first_plan: bool = False,
) -> list[Breach]:
    tally = Tally(planned, recent or {}, size)
    return breaches({"right": tally}, limits or {}, first_plan)


EDGES = [
    ("clears", 0, 10),
    ("clears", 500, 10),
    ("clears", 549, 10),
    ("clears", 550, 11),
    ("clears", 10_000, 200),
    ("overwrites", 0, 100),
    ("overwrites", 333, 100),
    ("overwrites", 337, 101),
    ("overwrites", 10_000, 3_000),
    ("trash_tags", 0, 5),
    ("trash_tags", 299, 5),
    ("trash_tags", 300, 6),
    ("trash_tags", 10_000, 200),
    ("creates", 0, 200),
    ("creates", 1_004, 200),
    ("creates", 1_005, 201),
    ("creates", 10_000, 2_000),
    ("same_value", 0, 50),
    ("same_value", 10_000, 50),
    ("changed_share", 0, 50),
    ("changed_share", 101, 50),
    ("changed_share", 102, 51),
    ("changed_share", 10_000, 5_000),
]


@pytest.mark.proves("I25", "E5 limits")
@pytest.mark.parametrize(("what", "size", "limit"), EDGES)
def test_a_plan_may_reach_a_limit_and_not_pass_it(what: str, size: int, limit: int) -> None:
    assert limit_of(what, size, {}) == limit
    assert found({what: limit}, size) == []
    assert found({what: limit + 1}, size) == [Breach("right", what, limit + 1, limit)]


def test_every_limit_has_an_edge_here_and_words() -> None:
    assert {what for what, _, _ in EDGES} == DEFAULT_LIMITS.keys() == WORDS.keys()


@pytest.mark.proves("E5 limits")
@pytest.mark.parametrize("what", DEFAULT_LIMITS)
@pytest.mark.parametrize("chosen", [0, 3, 100_000])
def test_a_number_that_staff_chose_stands_instead_of_count_and_share(what: str, chosen: int) -> None:
    limits = {what: chosen}
    assert limit_of(what, 1_000_000, limits) == chosen
    assert found({what: chosen}, 1_000_000, limits=limits) == []
    assert found({what: chosen + 1}, 1_000_000, limits=limits) == [Breach("right", what, chosen + 1, chosen)]


def test_a_number_that_staff_chose_changes_no_other_limit() -> None:
    assert found({"overwrites": 100}, limits={"clears": 0}) == []
    assert found({"overwrites": 101}, limits={"clears": 1_000}) == [Breach("right", "overwrites", 101, 100)]


@pytest.mark.parametrize("chosen", [None, True, False, "7", 7.0, [7]], ids=repr)
def test_anything_but_a_whole_number_leaves_the_default(chosen: object) -> None:
    assert limit_of("clears", 0, {"clears": chosen}) == 10


@pytest.mark.proves("I25", "E5 last day")
@pytest.mark.parametrize("what", DEFAULT_LIMITS)
def test_what_was_done_lately_counts_too(what: str) -> None:
    limit = limit_of(what, 0, {})
    assert found({what: 1}, recent={what: limit - 1}) == []
    assert found({what: 1}, recent={what: limit}) == [Breach("right", what, limit + 1, limit)]


@pytest.mark.parametrize("what", DEFAULT_LIMITS)
def test_what_was_done_lately_stops_no_plan_that_does_nothing_of_the_kind(what: str) -> None:
    assert found({}, recent={what: 100_000}) == []
    assert found({what: 0}, recent={what: 100_000}) == []


@pytest.mark.proves("E5 first plan")
@pytest.mark.parametrize("what", FIRST_MAY)
def test_the_first_plan_may_create_and_change_without_end(what: str) -> None:
    assert found({what: 100_000}, first_plan=True) == []
    assert len(found({what: 100_000})) == 1


@pytest.mark.proves("I25", "E5 first plan")
@pytest.mark.parametrize("what", [what for what in DEFAULT_LIMITS if what not in FIRST_MAY])
def test_the_first_plan_may_not_empty_replace_or_tag_without_end(what: str) -> None:
    limit = limit_of(what, 0, {})
    assert found({what: limit}, first_plan=True) == []
    assert found({what: limit + 1}, first_plan=True) == [Breach("right", what, limit + 1, limit)]


def test_each_side_has_its_own_count_and_its_own_size() -> None:
    small, large = Tally({"clears": 11}, {}, 100), Tally({"clears": 11}, {}, 1_000)
    assert breaches({"left": small, "right": large}, {}, False) == [Breach("left", "clears", 11, 10)]
    assert breaches({"left": large, "right": small}, {}, False) == [Breach("right", "clears", 11, 10)]
    half = Tally({"clears": 6}, {}, 100)
    assert breaches({"left": half, "right": half}, {}, False) == []


def test_every_limit_that_is_passed_is_named() -> None:
    planned = dict.fromkeys(DEFAULT_LIMITS, 100000)
    assert [breach.what for breach in found(planned)] == list(DEFAULT_LIMITS)


def test_a_breach_says_what_where_and_how_much() -> None:
    assert str(Breach("left", "clears", 12, 10)) == "12 values emptied on the left; the limit is 10"


COUNTS = st.dictionaries(st.sampled_from(sorted(DEFAULT_LIMITS)), st.integers(0, 400))
SIZES = st.integers(0, 2_000)


@pytest.mark.proves("I25", "E5 limits")
@quick
@given(planned=COUNTS, recent=COUNTS, size=SIZES, chosen=COUNTS, first_plan=st.booleans())
def test_what_passes_is_within_every_limit(
    planned: dict[str, int], recent: dict[str, int], size: int, chosen: dict[str, int], first_plan: bool
) -> None:
    named = {breach.what for breach in found(planned, size, recent, chosen, first_plan)}
    for what, count in planned.items():
        if what not in named and count and not (first_plan and what in FIRST_MAY):
            assert count + recent.get(what, 0) <= limit_of(what, size, chosen)


@pytest.mark.proves("I25")
@quick
@given(planned=COUNTS, size=SIZES, first_plan=st.booleans(), what=st.sampled_from(sorted(DEFAULT_LIMITS)))
def test_to_do_more_never_lifts_a_breach(planned: dict[str, int], size: int, first_plan: bool, what: str) -> None:
    more = {**planned, what: planned.get(what, 0) + 1}
    before, after = found(planned, size, first_plan=first_plan), found(more, size, first_plan=first_plan)
    assert {breach.what for breach in before} <= {breach.what for breach in after}
