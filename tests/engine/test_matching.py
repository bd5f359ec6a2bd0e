"""Which contact is the same person: every verdict, and that nobody is ever chosen among several."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncer.engine.matching import Candidate, Kind, Question, Verdict, judge

MAIL = "anna@a.example"
FREE, TAKEN = Candidate(11, free=True), Candidate(12, free=False)
UNSETTLED = Candidate(13, free=True, settled=False)
TWIN = Candidate(2, free=True)
UNSETTLED_TWIN = Candidate(3, free=True, settled=False)
quick = settings(deadline=None, max_examples=200)


def question(
    *candidates: Candidate,
    twins: Sequence[Candidate] = (),
    match_key: str = MAIL,
    ready: bool = True,
    creating: bool = False,
    avoid_duplicates: bool = True,
    creates: bool = True,
) -> Question:
    why_not = "" if creates else "no rule creates it"
    return Question(1, match_key, candidates, twins, ready, creating, avoid_duplicates, creates, why_not)


@pytest.mark.proves("E4 free")
def test_one_free_candidate_is_the_same_person() -> None:
    assert judge(question(FREE)) == Verdict(Kind.PAIR, "the same e-mail address", candidate=11)


def test_one_free_candidate_is_linked_even_where_nothing_is_created() -> None:
    assert judge(question(FREE, creates=False)).kind is Kind.PAIR
    assert judge(question(FREE, avoid_duplicates=False)).kind is Kind.PAIR


def test_without_a_candidate_the_contact_is_created() -> None:
    assert judge(question()) == Verdict(Kind.CREATE, "not in the other book")


def test_where_nothing_may_be_created_the_contact_is_left_out_with_the_reason() -> None:
    assert judge(question(creates=False)) == Verdict(Kind.EXCLUDED, "no rule creates it")


@pytest.mark.proves("E4 no address")
def test_without_an_email_the_contact_is_left_out_where_duplicates_are_to_be_avoided() -> None:
    expected = Verdict(Kind.EXCLUDED, "no e-mail address, and duplicates are to be avoided")
    assert judge(question(match_key="")) == expected
    assert judge(question(match_key="", creates=False)) == expected


@pytest.mark.proves("E4 no address")
def test_without_an_email_the_contact_is_created_where_duplicates_are_accepted() -> None:
    assert judge(question(match_key="", avoid_duplicates=False)).kind is Kind.CREATE
    left_out = judge(question(match_key="", avoid_duplicates=False, creates=False))
    assert left_out == Verdict(Kind.EXCLUDED, "no rule creates it")


@pytest.mark.proves("I13", "E4 no address")
def test_contacts_without_an_email_are_never_linked_to_each_other() -> None:
    for avoid_duplicates in (True, False):
        verdict = judge(question(FREE, match_key="", avoid_duplicates=avoid_duplicates))
        assert verdict.candidate is None and verdict.kind is not Kind.PAIR


@pytest.mark.proves("I13", "E4 never choose")
@pytest.mark.parametrize(
    ("candidates", "twins", "reason"),
    [
        pytest.param(
            [FREE, Candidate(14, free=True)],
            [],
            "several contacts of the other book have this e-mail address",
            id="two free candidates",
        ),
        pytest.param(
            [FREE, TAKEN],
            [],
            "several contacts of the other book have this e-mail address",
            id="a free one beside a taken one",
        ),
        pytest.param([TAKEN], [], "the contact with this e-mail address is linked to another", id="a taken one"),
        pytest.param([FREE], [TWIN], "several contacts of this book have the same e-mail address", id="a twin"),
        pytest.param(
            [], [TWIN], "several contacts of this book have the same e-mail address", id="a twin, nobody there"
        ),
        pytest.param(
            [FREE, TAKEN],
            [TWIN],
            "several contacts of this book have the same e-mail address",
            id="a twin and two candidates",
        ),
    ],
)
@pytest.mark.parametrize("avoid_duplicates", [True, False], ids=["avoiding duplicates", "accepting duplicates"])
def test_among_several_nobody_is_chosen(
    candidates: list[Candidate], twins: list[Candidate], reason: str, avoid_duplicates: bool
) -> None:
    verdict = judge(question(*candidates, twins=twins, avoid_duplicates=avoid_duplicates))
    assert verdict == Verdict(Kind.DUPLICATE, reason, candidates=tuple(one.record for one in candidates))


@pytest.mark.proves("I12", "E4 both read")
@pytest.mark.parametrize("match_key", [MAIL, ""], ids=["with an e-mail", "without"])
@pytest.mark.parametrize("candidates", [[], [FREE], [TAKEN, FREE]], ids=["nobody there", "one there", "two there"])
def test_until_both_books_were_read_everything_waits(match_key: str, candidates: list[Candidate]) -> None:
    verdict = judge(question(*candidates, match_key=match_key, ready=False))
    assert verdict == Verdict(Kind.WAIT, "waiting until both books were read completely")


@pytest.mark.proves("I11", "E4 unsettled creates")
@pytest.mark.parametrize("match_key", [MAIL, ""], ids=["with an e-mail", "without"])
@pytest.mark.parametrize("candidates", [[], [FREE], [TAKEN, FREE]], ids=["nobody there", "one there", "two there"])
def test_until_a_create_is_settled_what_could_be_it_waits(match_key: str, candidates: list[Candidate]) -> None:
    verdict = judge(question(*candidates, match_key=match_key, creating=True))
    assert verdict == Verdict(Kind.WAIT, "waiting for a create whose outcome is not known yet")


@pytest.mark.proves("E4 unsettled deciders")
@pytest.mark.parametrize(
    ("candidates", "twins"),
    [
        pytest.param([UNSETTLED], [], id="the only candidate"),
        pytest.param([FREE, UNSETTLED], [], id="one of two candidates"),
        pytest.param([FREE], [UNSETTLED_TWIN], id="a twin"),
        pytest.param([], [TWIN, UNSETTLED_TWIN], id="one of two twins"),
    ],
)
def test_until_every_contact_that_decides_is_known_the_verdict_waits(
    candidates: list[Candidate], twins: list[Candidate]
) -> None:
    verdict = judge(question(*candidates, twins=twins))
    assert verdict == Verdict(Kind.WAIT, "waiting for a contact that decides it")


SEVERAL = st.lists(
    st.builds(Candidate, st.integers(10, 19), st.booleans(), st.sampled_from([True, True, True, False])),
    max_size=3,
    unique_by=lambda one: one.record,
)
QUESTIONS = st.builds(
    question,
    twins=SEVERAL,
    match_key=st.sampled_from([MAIL, MAIL, MAIL, ""]),
    ready=st.sampled_from([True, True, True, False]),
    creating=st.sampled_from([True, False, False, False]),
    avoid_duplicates=st.booleans(),
    creates=st.booleans(),
)


def with_candidates(asked: Question, candidates: Sequence[Candidate]) -> Question:
    return replace(asked, candidates=candidates)


@pytest.mark.proves("I13", "E4 free")
@quick
@given(QUESTIONS, SEVERAL)
def test_a_link_needs_one_free_settled_candidate_and_no_twin(asked: Question, candidates: list[Candidate]) -> None:
    verdict = judge(with_candidates(asked, candidates))
    lone = len(candidates) == 1 and not asked.twins and candidates[0].free and candidates[0].settled
    possible = lone and asked.match_key != "" and asked.ready and not asked.creating
    assert (verdict.kind is Kind.PAIR) == possible
    assert verdict.candidate == (candidates[0].record if possible else None)


@pytest.mark.proves("I11", "I12")
@quick
@given(QUESTIONS, SEVERAL)
def test_a_create_needs_nobody_with_the_key_on_either_side(asked: Question, candidates: list[Candidate]) -> None:
    verdict = judge(with_candidates(asked, candidates))
    if verdict.kind is Kind.CREATE:
        assert asked.ready and asked.creates and not asked.creating
        assert not asked.avoid_duplicates if asked.match_key == "" else not candidates and not asked.twins


@pytest.mark.proves("I22")
@quick
@given(QUESTIONS, SEVERAL)
def test_every_verdict_has_its_reason(asked: Question, candidates: list[Candidate]) -> None:
    assert judge(with_candidates(asked, candidates)).reason != ""


@pytest.mark.proves("I13", "I18")
@quick
@given(QUESTIONS, SEVERAL)
def test_the_order_of_the_candidates_decides_nothing(asked: Question, candidates: list[Candidate]) -> None:
    one, another = judge(with_candidates(asked, candidates)), judge(with_candidates(asked, candidates[::-1]))
    assert (one.kind, one.reason, one.candidate) == (another.kind, another.reason, another.candidate)
    assert sorted(one.candidates) == sorted(another.candidates)
