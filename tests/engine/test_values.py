"""One spelling for a document, one digest for a spelling, and tags that are added and taken away one by one."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connections.fieldtypes import clean, fold
from syncer.connectors.base import Field, FieldType, Value
from syncer.engine.values import (
    ABSENT,
    canonical,
    cleaned,
    digest,
    merged_tags,
    refuse_floats,
    tag_keys,
    with_tag,
    without_tag,
)

quick = settings(deadline=None, max_examples=150)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
WORDS = st.lists(st.sampled_from(["vip", "VIP", "News", "news", "straße", "STRASSE", "é", "e\u0301"]), max_size=5)


def tags(words: list[str]) -> Value:
    return clean(FieldType.TAGS, words)


# Documents


def test_a_document_has_one_spelling() -> None:
    assert canonical({"b": [1, None, True], "a": "Bücher"}) == '{"a":"Bücher","b":[1,null,true]}'
    assert canonical({"b": 1, "a": 2}) == canonical({"a": 2, "b": 1})


@pytest.mark.parametrize(
    "data",
    [1.0, float("nan"), float("inf"), [1.5], (1.5,), {"a": 1.5}, {"a": [{"b": (0.0,)}]}],
    ids=repr,
)
def test_a_float_has_no_exact_spelling(data: object) -> None:
    with pytest.raises(TypeError, match="no exact spelling"):
        canonical(data)
    with pytest.raises(TypeError):
        digest(data)


def test_whole_numbers_and_truth_are_no_floats() -> None:
    refuse_floats({"a": [1, True, None, "1.5", (2,)]})


@pytest.mark.parametrize(
    ("one", "another"),
    [(None, ""), (None, []), (1, "1"), (1, True), (0, False), (["a", "b"], ["b", "a"]), ({"a": None}, {})],
    ids=repr,
)
def test_documents_that_differ_have_different_digests(one: object, another: object) -> None:
    assert digest(one) != digest(another)


def test_a_digest_stays_what_it_is() -> None:
    assert digest([]) == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"


@quick
@given(DOCUMENTS)
def test_a_spelling_reads_as_the_document_and_is_spelled_the_same_again(data: object) -> None:
    read = json.loads(canonical(data))
    assert read == data
    assert canonical(read) == canonical(data)


@quick
@given(DOCUMENTS, DOCUMENTS)
def test_equal_spellings_are_equal_digests_and_no_others(one: object, another: object) -> None:
    assert (digest(one) == digest(another)) == (canonical(one) == canonical(another))


# Values of a record

FIELDS = {
    "name": Field("name", "Name", FieldType.TEXT),
    "size": Field("size", "Size", FieldType.INTEGER),
    "tags": Field("tags", "Tags", FieldType.TAGS),
}


def test_values_are_cleaned_by_the_type_of_their_field() -> None:
    raw: dict[str, Value] = {"name": " Anna ", "size": "42", "tags": ["vip", "VIP", "news"]}
    assert cleaned(FIELDS, raw) == ({"name": "Anna", "size": 42, "tags": ["news", "vip"]}, {})


def test_a_field_that_the_app_did_not_give_is_not_there() -> None:
    assert cleaned(FIELDS, {"name": "Anna"}) == ({"name": "Anna"}, {})


@pytest.mark.parametrize(("name", "raw"), [("name", None), ("name", "  "), ("size", ""), ("tags", [])])
def test_an_empty_field_is_there_and_empty(name: str, raw: Value) -> None:
    assert cleaned(FIELDS, {name: raw}) == ({name: None}, {})


def test_a_field_that_nobody_knows_is_left_out() -> None:
    assert cleaned(FIELDS, {"color": "red"}) == ({}, {})


def test_a_value_that_cannot_be_understood_is_absent_and_told_without_the_value() -> None:
    values, problems = cleaned(FIELDS, {"name": "Anna", "size": "forty-two"})
    assert values == {"name": "Anna"}
    assert problems.keys() == {"size"} and "forty-two" not in problems["size"]


# Tags


def test_tags_are_compared_without_their_case_and_shown_in_the_spelling_of_the_app() -> None:
    assert tag_keys(["News", "VIP"]) == {"news": "News", "vip": "VIP"}


@pytest.mark.parametrize("nothing", [None, ABSENT, "vip", 1, []], ids=repr)
def test_what_is_no_list_of_tags_has_none(nothing: Value) -> None:
    assert tag_keys(nothing) == {}


def test_a_tag_is_added_once_and_keeps_its_spelling() -> None:
    assert with_tag(None, "vip") == ["vip"]
    assert with_tag(["News"], "vip") == ["News", "vip"]
    assert with_tag(["VIP"], "vip") == ["VIP"]


def test_a_tag_is_taken_away_in_any_spelling() -> None:
    assert without_tag(["News", "VIP"], "vip") == ["News"]
    assert without_tag(["News"], "vip") == ["News"]


def test_without_the_last_tag_nothing_is_left() -> None:
    assert without_tag(["VIP"], "vip") is None
    assert without_tag(None, "vip") is None
    assert merged_tags(None, add=(), remove=()) is None


@quick
@given(have=WORDS, add=WORDS, remove=WORDS)
def test_merged_tags_are_those_kept_and_those_added_and_no_others(
    have: list[str], add: list[str], remove: list[str]
) -> None:
    merged = tag_keys(merged_tags(tags(have), add, remove))
    kept = {fold(tag) for tag in have} - {fold(tag) for tag in remove}
    assert merged.keys() == kept | {fold(tag) for tag in add}
    assert all(merged[key] == tag for key, tag in tag_keys(tags(have)).items() if key in kept)


@quick
@given(have=WORDS, add=WORDS, remove=WORDS)
def test_merged_tags_are_clean(have: list[str], add: list[str], remove: list[str]) -> None:
    merged = merged_tags(tags(have), tag_keys(tags(add)).values(), remove)
    assert merged == clean(FieldType.TAGS, merged)


@quick
@given(have=WORDS, tag=st.sampled_from(["trash", "vip", "Straße"]))
def test_a_tag_that_was_not_there_comes_off_without_a_trace(have: list[str], tag: str) -> None:
    before = tags(have)
    if fold(tag) not in tag_keys(before):
        assert without_tag(with_tag(before, tag), tag) == before
