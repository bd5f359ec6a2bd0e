"""Salesmate: every way a write can end."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from syncer.connectors.base import AuthFailed, Misconfigured, Observed, Outcome, Values, Write
from syncer.connectors.salesmate import batch
from syncer.connectors.salesmate.connector import BOOK
from tests.contract.salesmate import ADA, NAMES, Bench, Purse, bench, create, results, seen_in, update


@pytest.fixture
def acme() -> Iterator[Bench]:
    with bench() as made:
        yield made


def outcomes(bench: Bench, *writes: Write) -> list[Outcome]:
    return [result.outcome for result in results(bench.connector(), *writes)]


def test_ten_creates_are_eleven_calls(acme: Bench) -> None:
    writes = [create(lastName=f"Person {number}", tags=["VIP", "Bags"]) for number in range(10)]
    done = results(acme.connector(), *writes)
    assert [result.outcome for result in done] == [Outcome.DONE] * 10
    assert [seen_in(result).values["lastName"] for result in done] == [f"Person {number}" for number in range(10)]
    assert seen_in(done[0]).values["tags"] == ["VIP", "Bags"]
    assert len(acme.app.log) == 11


def test_ten_updates_are_twenty_one_calls(acme: Bench) -> None:
    people = acme.people(10)
    done = results(acme.connector(), *(update(number, firstName="New") for number in people))
    assert [result.outcome for result in done] == [Outcome.DONE] * 10
    assert [seen_in(result).remote_id for result in done] == [str(number) for number in people]
    assert {seen_in(result).values["firstName"] for result in done} == {"New"}
    assert len(acme.app.log) == 21


def test_an_update_sends_what_changed_and_what_salesmate_insists_on(acme: Bench) -> None:
    ada = acme.app.person_create(**{**ADA, "owner": 2}, tags="VIP", designation="Analyst")
    results(acme.connector(), update(ada, tags=["VIP", "a,b"], mobile=None))
    assert acme.sent("PUT")[0].json() == {"lastName": "Lovelace", "owner": 2, "tags": "VIP,ab", "mobile": ""}
    assert acme.app.account.contacts[ada]["designation"] == "Analyst"


def test_a_create_does_not_send_what_is_empty(acme: Bench) -> None:
    (result,) = results(acme.connector(), create(mobile=None, emailOptOut=False))
    assert result.outcome is Outcome.DONE
    assert acme.sent("POST")[0].json() == {"lastName": "Lovelace", "owner": 1, "emailOptOut": False}


def test_clearing_and_falsy_values_arrive(acme: Bench) -> None:
    ada = acme.app.person_create(**ADA, emailOptOut=True, intCustomField1=7, tags="VIP")
    values: dict[str, Any] = {"email": None, "emailOptOut": False, "intCustomField1": 0, "tags": None}
    (result,) = results(acme.connector(), update(ada, **values))
    assert result.outcome is Outcome.DONE
    assert {name: seen_in(result).values[name] for name in values} == values


def test_every_type_comes_back_as_it_was_sent(acme: Bench) -> None:
    values: Values = {
        "textCustomField1": "Countess",
        "textAreaCustomField1": "one\ntwo",
        "intCustomField1": -5,
        "bigIntCustomField1": 123456789012345,
        "decimalCustomField1": "12.5",
        "checkboxCustomField1": False,
        "dateCustomField1": "1815-12-10",
        "dateTimeCustomField1": "2026-11-24T05:30:00Z",
        "multiSelectCustomField1": ["bags", "shoes"],
        "owner": "2",
        "type": "Lead",
        "currency": "EUR",
    }
    (result,) = results(acme.connector(), create(**values))
    assert {name: seen_in(result).values[name] for name in values} == values
    assert len(acme.app.log) == 2


def test_the_read_back_has_the_fields_last_asked_for(acme: Bench) -> None:
    ada = acme.app.person_create(**ADA, mobile="+15550100")
    salesmate = acme.connector()
    salesmate.read(BOOK, str(ada), ["mobile"])
    (result,) = results(salesmate, update(ada, firstName="Augusta"))
    assert seen_in(result).values == {"mobile": "+15550100", "firstName": "Augusta"}


@pytest.mark.parametrize("purged", [False, True])
def test_an_update_of_a_deleted_contact(acme: Bench, purged: bool) -> None:
    ada = acme.app.person_create(**ADA)
    acme.app.person_delete(ada)
    if purged:
        acme.app.person_purge(ada)
    (result,) = results(acme.connector(), update(ada, firstName="Augusta"))
    assert result.outcome is Outcome.GONE
    assert acme.sent("PUT") == []


@pytest.mark.proves("I1", "E6 re-read")
def test_a_contact_that_somebody_changed_is_not_written(acme: Bench) -> None:
    ada = acme.app.person_create(**ADA)
    judged: list[Observed] = []

    def somebody_was_here(observed: Observed) -> bool:
        judged.append(observed)
        return False

    write = replace(update(ada, firstName="Augusta"), still_holds=somebody_was_here)
    (result,) = results(acme.connector(), write)
    assert result.outcome is Outcome.STALE
    assert seen_in(result).values["firstName"] == "Ada"
    assert judged == [result.observed]
    assert acme.sent("PUT") == []


def test_a_contact_that_cannot_be_understood_is_not_written(acme: Bench) -> None:
    ada = acme.app.person_create(**ADA, textCustomField1=["strange"])
    salesmate = acme.connector()
    salesmate.read(BOOK, str(ada), ["textCustomField1"])
    (result,) = results(salesmate, update(ada, firstName="Augusta"))
    assert result.outcome is Outcome.STALE
    assert seen_in(result).problem
    assert acme.sent("PUT") == []


@pytest.mark.parametrize("name", ["lastName", "owner"])
@pytest.mark.parametrize("value", ["leave out", None, " "])
def test_a_create_without_what_salesmate_insists_on_is_not_sent(acme: Bench, name: str, value: str | None) -> None:
    (result,) = results(acme.connector(), create(**{name: value}))
    assert (result.outcome, result.field) == (Outcome.REFUSED, name)
    assert result.detail == batch.INSISTED_ON[name]
    assert acme.app.log == []


@pytest.mark.parametrize(("name", "empty"), [("lastName", ""), ("owner", None)])
def test_an_update_where_the_app_itself_lacks_it_is_not_sent(acme: Bench, name: str, empty: str | None) -> None:
    ada = acme.app.person_create(**{**ADA, name: empty})
    (result,) = results(acme.connector(), update(ada, firstName="Augusta"))
    assert (result.outcome, result.field) == (Outcome.REFUSED, name)
    assert acme.sent("PUT") == []


def test_an_update_may_give_what_the_app_lacks_but_not_take_it(acme: Bench) -> None:
    ada = acme.app.person_create(**{**ADA, "lastName": ""})
    assert outcomes(acme, update(ada, lastName="Lovelace"), update(ada, lastName=None)) == [
        Outcome.DONE,
        Outcome.REFUSED,
    ]
    assert acme.app.account.contacts[ada]["lastName"] == "Lovelace"


@pytest.mark.parametrize("with_200", [False, True])
def test_a_refused_value_names_its_field_and_the_others_go_on(acme: Bench, with_200: bool) -> None:
    acme.app.levers.failures_with_200 = with_200
    refused, done = results(acme.connector(), create(email="canary at example"), create(email="ada@example.com"))
    assert (refused.outcome, refused.field) == (Outcome.REFUSED, "email")
    assert "canary" not in refused.detail
    assert done.outcome is Outcome.DONE


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"company.name": "Engines"}, "company.name"),
        ({"noSuchField": "x"}, "noSuchField"),
        ({"dateCustomField1": "--12-10"}, "dateCustomField1"),
        ({"designation": "x" * 256}, "designation"),
        ({"currency": "XXX"}, "currency"),
        ({"owner": "3"}, "owner"),
    ],
)
def test_what_cannot_be_written_is_refused(acme: Bench, values: Values, field: str) -> None:
    (result,) = results(acme.connector(), create(**values))
    assert result.outcome is Outcome.REFUSED
    assert result.field in (field, "")
    assert acme.app.account.contacts == {}


@pytest.mark.proves("I11", "E6 batches")
@pytest.mark.parametrize(
    "fault", ["drop_after", "html_500_after", "cut_body", "drop_before", "html_500_before", "html_200"]
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_write_without_a_clear_answer_is_unknown_and_never_repeated(acme: Bench, fault: str, method: str) -> None:
    ada, ben = acme.people(2)
    acme.app.fault(fault, method, "/apis/contact/v4" if method == "POST" else f"/{ada}")
    writes = [create(), create()] if method == "POST" else [update(ada, mobile="1"), update(ben, mobile="1")]
    assert outcomes(acme, *writes) == [Outcome.UNKNOWN, Outcome.DONE]
    assert len(acme.sent(method)) == 2


def test_three_failures_in_a_row_end_the_batch(acme: Bench) -> None:
    acme.app.fault("drop_before", "POST", times=9)
    assert outcomes(acme, *[create()] * 5) == [Outcome.UNKNOWN] * 3 + [Outcome.NOT_SENT] * 2
    assert len(acme.sent("POST")) == 3


def test_failures_with_a_success_between_do_not_end_the_batch(acme: Bench) -> None:
    acme.app.fault("html_500_before", "POST", times=2)
    acme.app.fault("html_500_before", "POST", times=2, skip=1)
    expected = [Outcome.UNKNOWN] * 2 + [Outcome.DONE] + [Outcome.UNKNOWN] * 2 + [Outcome.DONE]
    assert outcomes(acme, *[create()] * 6) == expected


def test_a_contact_that_cannot_be_reread_is_not_written_and_the_others_are(acme: Bench) -> None:
    ada, ben = acme.people(2)
    acme.app.fault("html_500_before", "GET", f"/{ada}")
    assert outcomes(acme, update(ada, mobile="1"), update(ben, mobile="1")) == [Outcome.NOT_SENT, Outcome.DONE]
    assert len(acme.sent("PUT")) == 1


def test_nothing_is_sent_where_nobody_listens() -> None:
    with bench() as made:
        salesmate = made.connector()
    done = results(salesmate, create(), create())
    assert [result.outcome for result in done] == [Outcome.NOT_SENT, Outcome.NOT_SENT]
    assert done[1].detail == batch.WAITING


@pytest.mark.parametrize(("calls", "expected"), [(1, "done not_sent"), (0, "not_sent not_sent")])
def test_a_spent_budget_leaves_the_rest_unsent(acme: Bench, calls: int, expected: str) -> None:
    done = results(acme.connector(meter=Purse(calls)), create(), create())
    assert " ".join(result.outcome for result in done) == expected
    assert len(acme.sent("POST")) == calls


def test_a_budget_spent_between_reread_and_write_sends_nothing(acme: Bench) -> None:
    (ada,) = acme.people(1)
    (result,) = results(acme.connector(meter=Purse(1)), update(ada, mobile="1"))
    assert result.outcome is Outcome.NOT_SENT
    assert acme.sent("PUT") == []


def test_over_salesmate_s_limit_the_rest_is_not_sent(acme: Bench) -> None:
    acme.app.fault("limit", "POST", skip=1)
    assert outcomes(acme, create(), create(), create()) == [Outcome.DONE, Outcome.NOT_SENT, Outcome.NOT_SENT]
    assert len(acme.sent("POST")) == 2


def test_a_create_that_cannot_be_read_back_keeps_its_id(acme: Bench) -> None:
    """It must never be made again."""
    (result,) = results(acme.connector(meter=Purse(1)), create())
    assert result.outcome is Outcome.DONE
    assert seen_in(result) == Observed("1", {}, problem=batch.NOT_READ_YET)


def test_an_update_that_cannot_be_read_back_is_unknown(acme: Bench) -> None:
    (ada,) = acme.people(1)
    (result,) = results(acme.connector(meter=Purse(2)), update(ada, mobile="1"))
    assert result.outcome is Outcome.UNKNOWN
    assert len(acme.sent("PUT")) == 1


def test_a_listing_that_lags_is_not_taken_for_the_truth(acme: Bench) -> None:
    """An old row read back as the outcome would make the old value the agreed one, and the write be lost."""
    ada, ben = acme.people(2)
    acme.app.freeze_search()
    done = results(acme.connector(), update(ada, mobile="1"), update(ben, mobile="2"), create(mobile="3"))
    assert [seen_in(result).values["mobile"] for result in done] == ["1", "2", "3"]
    assert [result.outcome for result in done] == [Outcome.DONE] * 3


def test_a_read_back_that_others_crowded_out_goes_by_id(acme: Bench) -> None:
    (ada,) = acme.people(1)
    acme.app.levers.cut_listing_at = 0
    (result,) = results(acme.connector(), update(ada, mobile="1"))
    assert seen_in(result).values["mobile"] == "1"
    assert acme.calls() == [
        f"GET contact/v4/{ada}",
        f"PUT contact/v4/{ada}",
        "POST contact/v4/search",
        f"GET contact/v4/{ada}",
    ]


def test_a_refused_key_is_raised_after_the_results(acme: Bench) -> None:
    people = acme.people(3)

    def new_key(observed: Observed) -> bool:
        acme.app.session_key = "another"
        return True

    first, second, third = (update(number, mobile="1") for number in people)
    second = replace(second, still_holds=new_key)
    given = []
    with pytest.raises(AuthFailed):
        for result in acme.connector().write(BOOK, [first, second, third]):
            given.append(result.outcome)
    assert given == [Outcome.UNKNOWN, Outcome.NOT_SENT, Outcome.NOT_SENT]
    assert [acme.app.account.contacts[number]["mobile"] for number in people] == ["1", "", ""]


def test_an_account_that_is_gone_is_raised_after_the_results(acme: Bench) -> None:
    given = []
    acme.app.link = "moved.salesmate.io"
    with pytest.raises(Misconfigured):
        for result in acme.connector().write(BOOK, [create(), create()]):
            given.append(result.outcome)
    assert given == [Outcome.NOT_SENT, Outcome.NOT_SENT]


def test_nothing_to_write_asks_nothing(acme: Bench) -> None:
    assert results(acme.connector()) == []
    assert acme.app.log == []


def test_a_create_makes_no_promise_of_an_id(acme: Bench) -> None:
    assert acme.connector().created_id(BOOK, create()) == ""


def test_unchanged_fields_are_never_sent(acme: Bench) -> None:
    ada = acme.app.person_create(**ADA, mobile="old")
    salesmate = acme.connector()
    salesmate.changes(BOOK, "", [*NAMES, "mobile"])
    results(salesmate, update(ada, firstName="Augusta"))
    assert set(acme.sent("PUT")[0].json()) == {"firstName", "lastName", "owner"}


def test_what_is_deleted_right_after_it_was_written(acme: Bench) -> None:
    """The update is gone; the create keeps its id, so that its deletion is one, and it is not made again."""
    ada, ben = acme.people(2)

    def somebody_deletes_both(observed: Observed) -> bool:
        acme.app.person_delete(ada)
        acme.app.person_delete(3)
        return True

    writes = [update(ada, mobile="1"), create(), replace(update(ben, mobile="1"), still_holds=somebody_deletes_both)]
    updated, created, other = results(acme.connector(), *writes)
    assert updated.outcome is Outcome.GONE
    assert created.outcome is Outcome.DONE
    assert seen_in(created) == Observed("3", {}, problem=batch.GONE_AT_ONCE)
    assert other.outcome is Outcome.DONE


def test_a_read_back_by_id_that_fails_is_not_tried_for_the_others(acme: Bench) -> None:
    ada, ben = acme.people(2)
    acme.app.levers.cut_listing_at = 0
    acme.app.fault("limit", "GET", f"/{ada}", skip=1)
    assert outcomes(acme, update(ada, mobile="1"), update(ben, mobile="1")) == [Outcome.UNKNOWN, Outcome.UNKNOWN]
    assert len(acme.app.log) == 6
