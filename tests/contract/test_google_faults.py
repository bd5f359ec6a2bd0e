"""Google Contacts: what goes wrong at each call of a batch, and what is then said of each write."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from syncer.connectors.base import (
    Account,
    AuthFailed,
    ConnectorError,
    Misconfigured,
    Outcome,
    RateLimited,
    Transient,
    Write,
    WriteResult,
)
from syncer.connectors.google_contacts.connector import BOOK, GoogleContacts
from syncer.connectors.google_contacts.fields import TAGS
from syncer.connectors.registry import Options
from tests.contract.google import ALL, Bench, FixedTokens, bench, by_word, create, results, update
from tests.contract.salesmate import Purse

# The calls of the batch of `mixed`, in order: what is in their path.
CALLS = (
    ("GET", "/v1/contactGroups"),
    ("GET", "batchGet"),
    ("POST", "/v1/contactGroups?"),
    ("POST", "batchUpdate"),
    ("POST", "members:modify"),
    ("GET", "batchGet"),
    ("POST", "batchCreate"),
)
NOT_DONE = (
    "bare_403",
    "drop_before",
    "exhausted_429",
    "few_scopes",
    "html_502",
    "internal_500",
    "quota_429",
    "rate_403",
    "unauthenticated",
    "unavailable_503",
)
DONE_ANYWAY = (
    "cut_body",
    "cut_json",
    "drop_after",
    "empty_body",
    "internal_500_after",
    "reset_after",
    "unavailable_503_after",
)


@pytest.fixture
def google() -> Iterator[Bench]:
    with bench() as made:
        yield made


def mixed(google: Bench) -> tuple[list[str], list[Write]]:
    people = google.people(3)
    writes = [
        update(people[0], title="T0", tags=["VIP"]),
        update(people[1], title="T1"),
        create(1, tags=["VIP"]),
        update(people[2], tags=["VIP"]),
        create(2),
    ]
    return people, writes


def taken(connector: GoogleContacts, writes: Sequence[Write]) -> tuple[list[WriteResult], ConnectorError | None]:
    """As the engine takes them, and what was raised behind them."""
    found: list[WriteResult] = []
    try:
        found.extend(connector.write(BOOK, writes))
    except ConnectorError as error:
        return found, error
    return found, None


def applied(google: Bench, people: Sequence[str], write: Write) -> list[bool]:
    """Of each part of a write, whether Google holds it."""
    if not write.remote_id:
        marks = [item["value"] for one in google.anna.contacts.values() for item in one.fields.get("clientData", ())]
        assert marks.count(write.key) <= 1, "nobody is made twice"
        return [write.key in marks]
    parts = []
    if "organizations.title" in write.values:
        parts.append(google.held(write.remote_id)["organizations"][0]["title"] == write.values["organizations.title"])
    if TAGS in write.values:
        parts.append(google.tags_of(write.remote_id) == {"VIP"})
    return parts


@pytest.mark.parametrize("number", range(len(CALLS)))
@pytest.mark.parametrize("kind", [*NOT_DONE, *DONE_ANYWAY])
@pytest.mark.proves("I11", "E6 broken batches", "E7 never left")
def test_what_is_said_of_each_write_is_so(google: Bench, kind: str, number: int) -> None:
    people, writes = mixed(google)
    method, path = CALLS[number]
    skip = 1 if number == 5 else 0
    google.app.fault(kind, method, path.rstrip("?"), times=100, skip=skip)
    found, error = taken(google.connector(), writes)
    assert len(found) == len(writes)
    for result, write in zip(found, writes, strict=True):
        parts = applied(google, people, write)
        if result.outcome is Outcome.DONE:
            assert all(parts)
            assert result.observed is not None
        elif result.outcome is Outcome.NOT_SENT:
            assert not any(parts)
        elif result.outcome is Outcome.UNKNOWN:
            assert method == "POST" or any(parts), "what was never sent is known"
        else:
            raise AssertionError(result)
        assert google.token not in repr(result)
    assert any(result.outcome is not Outcome.DONE for result in found)
    fatal = kind in ("few_scopes", "unauthenticated")
    assert isinstance(error, AuthFailed) if fatal else error is None
    for path in ("batchUpdate", "batchCreate", "members:modify"):
        assert len(google.sent(path)) <= (2 if kind == "unauthenticated" else 1), "nothing is sent twice"


@pytest.mark.parametrize("number", range(len(CALLS)))
@pytest.mark.parametrize("kind", ["quota_429", "few_scopes", "rate_403", "unauthenticated"])
@pytest.mark.proves("E7 never left")
def test_a_write_that_google_did_not_take_is_not_sent(google: Bench, kind: str, number: int) -> None:
    people, writes = mixed(google)
    method, path = CALLS[number]
    google.app.fault(kind, method, path.rstrip("?"), times=100, skip=1 if number == 5 else 0)
    found, _ = taken(google.connector(), writes)
    unknown = [write for result, write in zip(found, writes, strict=True) if result.outcome is Outcome.UNKNOWN]
    assert all(any(applied(google, people, write)) for write in unknown)


@pytest.mark.parametrize("number", range(1, len(CALLS)))
@pytest.mark.proves("E10 budgets")
def test_a_spent_budget_stops_a_batch_at_any_call(google: Bench, number: int) -> None:
    people, writes = mixed(google)
    google.app.log.clear()
    found, error = taken(google.connector(Purse(number)), writes)
    assert error is None
    assert len(google.app.log) == number
    for result, write in zip(found, writes, strict=True):
        parts = applied(google, people, write)
        expected = {False: {Outcome.NOT_SENT}, True: {Outcome.DONE, Outcome.UNKNOWN}}[any(parts)]
        assert result.outcome in expected


def test_an_access_token_that_ended_is_renewed_once_and_the_write_goes_through(google: Bench) -> None:
    one = google.person()
    for write in (update(one, title="T"), create(1)):
        tokens = FixedTokens(["ended", google.app.allow()["access_token"]])
        (result,) = results(google.connector(tokens=tokens), write)
        assert result.outcome is Outcome.DONE
        assert tokens.asked.count("ended") == 1
    assert len(google.anna.contacts) == 2
    assert len(google.sent("batchCreate")) == 1


def test_a_token_that_ends_between_two_calls_is_renewed(google: Bench) -> None:
    one, two = google.people(2)
    fresh = google.app.allow()["access_token"]
    google.app.fault("unauthenticated", path="batchUpdate")
    tokens = FixedTokens([google.token, fresh])
    done = results(google.connector(tokens=tokens), update(one, title="T"), update(two, title="T"))
    assert [result.outcome for result in done] == [Outcome.DONE, Outcome.DONE]
    assert [asked for asked in tokens.asked if asked] == [google.token]


@pytest.mark.parametrize("tokens", [["wrong"], ["wrong", "wrong too"]])
def test_two_tokens_that_are_not_accepted_are_enough(google: Bench, tokens: list[str]) -> None:
    google.app.log.clear()
    with pytest.raises(AuthFailed):
        google.connector(tokens=FixedTokens(tokens)).check()
    assert len(google.app.log) == 2
    found, error = taken(google.connector(tokens=FixedTokens(["wrong"])), [create(1), create(2)])
    assert [result.outcome for result in found] == [Outcome.NOT_SENT, Outcome.NOT_SENT]
    assert isinstance(error, AuthFailed)


class Failing:
    """Tokens that cannot be had."""

    def __init__(self, error: ConnectorError) -> None:
        self.error = error

    def access(self, refused: str = "") -> str:
        raise self.error


def test_a_token_that_cannot_be_had_is_said_and_nothing_was_written(google: Bench) -> None:
    lost = Transient("the answer was lost", maybe_applied=True)
    (result,) = results(google.connector(tokens=Failing(lost)), create(1))
    assert result.outcome is Outcome.NOT_SENT
    with pytest.raises(Transient) as raised:
        google.connector(tokens=Failing(lost)).check()
    assert not raised.value.maybe_applied
    found, error = taken(google.connector(tokens=Failing(AuthFailed("authorise again"))), [create(1)])
    assert found[0].outcome is Outcome.NOT_SENT
    assert isinstance(error, AuthFailed)


def test_an_account_without_tokens_is_misconfigured() -> None:
    made = GoogleContacts(Account("google_contacts", {}, {}), Options(True, {"google_people": "http://127.0.0.1"}))
    with pytest.raises(Misconfigured):
        made.check()


def test_the_limit_of_a_minute_is_a_limit(google: Bench) -> None:
    google.app.levers.reads = 3
    connector = google.connector()
    for _ in range(3):
        connector.check()
    for form in ("quota", "exhausted"):
        google.app.levers.limit_form = form
        with pytest.raises(RateLimited):
            connector.check()
    google.clock.advance(61)
    connector.check()


def test_a_write_that_costs_a_read_too_many_is_unknown_or_not_sent_and_never_made_twice(google: Bench) -> None:
    google.app.levers.reads = 1
    for form, outcome in (("quota", Outcome.NOT_SENT), ("exhausted", Outcome.UNKNOWN)):
        google.app.levers.limit_form = form
        found, error = taken(google.connector(), [create(1), create(2)])
        assert [result.outcome for result in found] == [outcome, outcome]
        assert error is None
        google.clock.advance(61)
    assert not google.anna.contacts


def test_a_scope_that_was_not_given_asks_to_authorise_again(google: Bench) -> None:
    read_only = google.app.allow(scopes=["https://www.googleapis.com/auth/contacts.readonly"])["access_token"]
    connector = google.connector(tokens=FixedTokens([read_only]))
    assert connector.changes(BOOK, "", ALL).complete
    found, error = taken(connector, [create(1)])
    assert found[0].outcome is Outcome.NOT_SENT
    assert isinstance(error, AuthFailed)
    assert "contacts" in str(error)


# Answers that are not as documented


def answering(google: Bench, path: str, answer: Any) -> None:
    """Every request with this path is carried out, and answered with this."""
    plain = google.app._of_api

    def of_api(headers: Any, method: str, at: str, query: str, body: bytes, fault: str) -> Any:
        real = plain(headers, method, at, query, body, fault)
        return replace(real, body=json.dumps(answer).encode()) if path in at else real

    google.app._of_api = of_api  # type: ignore[method-assign, assignment]


ODD: list[Any] = [{}, [], "x", 7, None]


@pytest.mark.parametrize("answer", [*ODD, {"updateResult": []}, {"updateResult": {"people/x": {"person": 7}}}])
def test_an_update_answered_oddly_is_read_back_or_unknown(google: Bench, answer: Any) -> None:
    one, two = google.people(2)
    answering(google, "batchUpdate", answer)
    done = results(google.connector(), update(one, title="T"), update(two, note="n"))
    expected = Outcome.DONE if isinstance(answer, dict) else Outcome.UNKNOWN
    assert [result.outcome for result in done] == [expected, expected]
    assert len(google.sent("batchUpdate")) == 1


@pytest.mark.parametrize("answer", [*ODD, {"createdPeople": 7}, {"createdPeople": [{"person": {"etag": "x"}}, {}]}])
@pytest.mark.proves("I11")
def test_a_create_answered_oddly_is_unknown_and_never_made_again(google: Bench, answer: Any) -> None:
    answering(google, "batchCreate", answer)
    done = results(google.connector(), create(1), create(2))
    assert [result.outcome for result in done] == [Outcome.UNKNOWN, Outcome.UNKNOWN]
    assert len(google.anna.contacts) == 2


def test_a_create_whose_mark_google_does_not_show_is_told_by_its_place(google: Bench) -> None:
    people = [{"person": {"resourceName": f"people/c{n}", "names": [{"givenName": f"P{n}"}]}} for n in (1, 2)]
    answering(google, "batchCreate", {"createdPeople": people})
    done = results(google.connector(), create(1), create(2))
    assert [result.observed and result.observed.remote_id for result in done] == ["people/c1", "people/c2"]


@pytest.mark.parametrize("answer", [*ODD, {"responses": 7}, {"responses": [{}, 7, {"person": {}}]}])
def test_an_odd_answer_for_several_proves_nobody_gone(google: Bench, answer: Any) -> None:
    one, two = google.people(2)
    answering(google, "batchGet", answer)
    try:
        found = google.connector().read_many(BOOK, [one, two], ALL)
    except Transient:
        return
    assert [seen and seen.remote_id for seen in found] == [one, two]


@pytest.mark.parametrize("answer", [*ODD, {"connections": 7}, {"connections": [7]}, {"nextPageToken": 7}])
def test_an_odd_listing_proves_nothing(google: Bench, answer: Any) -> None:
    google.people(2)
    cursor = google.connector().changes(BOOK, "", ALL).cursor
    answering(google, "connections", answer)
    for start in ("", cursor):
        try:
            page = google.connector().changes(BOOK, start, ALL)
        except Transient:
            continue
        assert not page.complete and not page.gone


@pytest.mark.parametrize("answer", [*ODD, {"contactGroups": 7}, {"contactGroups": [{"name": 7}, 8]}])
def test_odd_groups_leave_the_labels_unknown(google: Bench, answer: Any) -> None:
    one = google.person()
    google.label("VIP", one)
    answering(google, "/v1/contactGroups", answer)
    try:
        seen = google.connector().read(BOOK, one, ALL)
    except Transient:
        return
    assert TAGS not in seen.values


@pytest.mark.parametrize("answer", [*ODD, {"resourceName": 7}, {"resourceName": "people/me"}, {"resourceName": ""}])
def test_without_a_name_nobody_is_identified(google: Bench, answer: Any) -> None:
    answering(google, "/people/me", answer)
    with pytest.raises(Transient):
        google.connector().check()


def test_a_contact_in_a_form_that_nobody_knows_is_left_alone(google: Bench) -> None:
    one = google.person()
    answering(google, one, {"resourceName": one, "etag": "e", "names": {"givenName": "Ada"}})
    seen = google.connector().read(BOOK, one, ALL)
    assert (seen.values, seen.problem != "") == ({}, True)
    (result,) = results(google.connector(), update(one, title="T"))
    assert result.outcome is Outcome.STALE
    assert not google.sent("batchUpdate")


def test_no_word_of_a_contact_and_no_token_is_in_what_an_error_says(google: Bench) -> None:
    said: list[str] = []
    for kind in NOT_DONE:
        google.app.fault(kind, times=10)
        found, error = taken(google.connector(), [create(1, **by_word({"note": "canary note"}))])
        said += [repr(result) for result in found] + [repr(error)]
        google.app.faults.clear()
    assert not [text for text in said if "canary" in text or google.token in text or "ada1@" in text]
