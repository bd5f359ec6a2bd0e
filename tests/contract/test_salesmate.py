"""Salesmate: connecting, and reading contacts, people and tags."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    Misconfigured,
    Outcome,
    RateLimited,
    RecordGone,
    Rejected,
    Transient,
)
from syncer.connectors.registry import CONNECTORS, connector_class
from syncer.connectors.salesmate.connector import BOOK, normalise_subdomain
from syncer.connectors.salesmate.wire import Assumed
from tests.contract.salesmate import ADA, KEYS, NAMES, Bench, Purse, bench, connector_to, create, results


@pytest.fixture
def acme() -> Iterator[Bench]:
    with bench() as made:
        yield made


def test_the_registry_knows_it() -> None:
    assert connector_class("salesmate").app.slug == "salesmate"
    assert "salesmate" in CONNECTORS


def test_it_asks_for_what_piesync_asked_in_that_order() -> None:
    app = connector_class("salesmate").app
    assert [given.name for given in app.settings] == ["subdomain"]
    assert [given.name for given in app.credentials] == ["access_key", "secret_key", "session_key"]
    assert all(given.secret for given in app.credentials)


@pytest.mark.parametrize(
    "typed",
    [
        "acme",
        " ACME ",
        "acme.salesmate.io",
        "https://acme.salesmate.io",
        "https://acme.salesmate.io/#/app/contacts?x=1",
    ],
)
def test_a_subdomain_is_understood(typed: str) -> None:
    assert normalise_subdomain(typed) == "acme"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "acme.example.com",
        "https://acme.salesmate.io.evil.example/",
        "https://acme.salesmate.io@evil.example/",
        "http://acme.salesmate.io",
        "acme/../x",
        "a.b",
        "acmé",
        "-acme",
        "a" * 64,
        "acme\nx-evil: 1",
    ],
)
def test_anything_else_is_no_subdomain(typed: str) -> None:
    with pytest.raises(Misconfigured):
        normalise_subdomain(typed)


def test_check_says_which_account(acme: Bench) -> None:
    identity = acme.connector(subdomain="https://acme.salesmate.io/").check()
    assert (identity.key, identity.label) == ("acme", "acme.salesmate.io")
    assert acme.calls() == ["GET core/v4/users"]
    assert acme.app.log[0].query == "status=active"


def test_only_the_session_key_goes_over_the_wire(acme: Bench) -> None:
    salesmate = acme.connector()
    salesmate.check()
    salesmate.changes(BOOK, "", NAMES)
    for seen in acme.app.log:
        assert seen.headers["accesstoken"] == KEYS["session_key"]
        assert seen.headers["x-linkname"] == "acme.salesmate.io"
        whole = repr((seen.headers, seen.query, seen.path, seen.body))
        assert KEYS["access_key"] not in whole
        assert KEYS["secret_key"] not in whole


@pytest.mark.parametrize("with_200", [False, True])
def test_the_access_key_in_place_of_the_session_key_is_named(acme: Bench, with_200: bool) -> None:
    acme.app.levers.failures_with_200 = with_200
    with pytest.raises(AuthFailed, match="the access key in its place is the usual mistake"):
        acme.connector(session_key=KEYS["access_key"]).check()


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ключ"])
def test_what_cannot_be_a_session_key_is_not_sent(acme: Bench, key: str) -> None:
    with pytest.raises(AuthFailed):
        acme.connector(session_key=key)
    assert acme.app.log == []


@pytest.mark.parametrize("with_200", [False, True])
def test_a_subdomain_that_salesmate_does_not_know_is_named(acme: Bench, with_200: bool) -> None:
    acme.app.levers.failures_with_200 = with_200
    with pytest.raises(Misconfigured, match=r"other\.salesmate\.io"):
        acme.connector(subdomain="other").check()


@pytest.mark.parametrize("kind", ["html_500_before", "html_200", "cut_body"])
def test_a_page_or_a_cut_answer_may_work_later(acme: Bench, kind: str) -> None:
    acme.app.fault(kind, times=3)
    with pytest.raises(Transient):
        acme.connector().check()


def test_a_dropped_read_is_repeated(acme: Bench) -> None:
    acme.app.fault("drop_before")
    acme.connector().check()
    assert len(acme.app.log) == 2


def test_over_the_limit_of_the_hour(acme: Bench) -> None:
    acme.app.levers.calls_per_hour = 0
    with pytest.raises(RateLimited):
        acme.connector().check()


def test_our_own_budget_comes_first(acme: Bench) -> None:
    with pytest.raises(RateLimited):
        acme.connector(meter=Purse(0)).check()
    assert acme.app.log == []


@pytest.mark.parametrize("fault", ["html_500_before", "html_200", "limit", ""])
def test_no_error_holds_a_key(acme: Bench, fault: str) -> None:
    if fault:
        acme.app.fault(fault, times=3)
    with pytest.raises(ConnectorError) as caught:
        acme.connector(session_key=KEYS["session_key"] if fault else "wrong-canary").check()
    texts = repr((caught.value, caught.value.__cause__, caught.value.__context__, caught.value.args))
    assert "canary" not in texts


def test_a_contact_is_read_with_what_was_asked(acme: Bench) -> None:
    ada = acme.app.person_create(**ADA, tags="VIP,Bags", company=38, intCustomField1=0, checkboxCustomField1=False)
    names = [*NAMES, "company.name", "currency", "mobile", "intCustomField1", "checkboxCustomField1", "gone field"]
    expected = {
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": "ada@example.com",
        "tags": ["VIP", "Bags"],
        "owner": "1",
        "company.name": "Analytical Engines",
        "currency": "USD",
        "mobile": None,
        "intCustomField1": 0,
        "checkboxCustomField1": False,
    }
    assert acme.connector().read(BOOK, str(ada), names).values == expected
    for capital in (False, True):
        acme.app.levers.capital_objects = capital
        assert acme.connector().changes(BOOK, "", names).records[0].values == expected


def test_a_contact_of_a_strange_shape_is_left_alone(acme: Bench) -> None:
    acme.app.person_create(**ADA, textCustomField1={"secret": "canary"})
    observed = acme.connector().read(BOOK, "1", ["textCustomField1"])
    assert observed.values == {}
    assert "canary" not in observed.problem
    assert observed.problem


@pytest.mark.parametrize("purged", [False, True])
@pytest.mark.parametrize("with_200", [False, True])
def test_a_deleted_contact_is_gone(acme: Bench, purged: bool, with_200: bool) -> None:
    acme.app.levers.failures_with_200 = with_200
    ada = acme.app.person_create(**ADA)
    acme.app.person_delete(ada)
    if purged:
        acme.app.person_purge(ada)
    with pytest.raises(RecordGone):
        acme.connector().read(BOOK, str(ada), NAMES)


@pytest.mark.parametrize("remote_id", ["", "x", "1/../2", "\uff11"])
def test_what_is_no_id_is_not_sent(acme: Bench, remote_id: str) -> None:
    with pytest.raises(Rejected):
        acme.connector().read(BOOK, remote_id, NAMES)
    assert acme.app.log == []


@pytest.mark.parametrize(("by_search", "calls"), [(False, 3), (True, 2)])
def test_several_are_read_in_the_order_asked(acme: Bench, by_search: bool, calls: int) -> None:
    first, second, third = acme.people(3)
    acme.app.person_delete(second)
    salesmate = acme.connector(assumed=Assumed(read_many_by_search=by_search))
    found = salesmate.read_many(BOOK, [str(third), str(second), str(first)], NAMES)
    assert [observed and observed.remote_id for observed in found] == [str(third), None, str(first)]
    assert len(acme.app.log) == calls


def test_find_is_by_email_whatever_its_case_and_never_in_the_bin(acme: Bench) -> None:
    one, two, three = (
        acme.app.person_create(**{**ADA, "email": text}) for text in ("Ada@X.example", "ada@x.example", "")
    )
    acme.person(4, email="ada@x.example.com")
    acme.app.person_delete(two)
    salesmate = acme.connector()
    assert [found.remote_id for found in salesmate.find(BOOK, "ada@x.example", fields=["lastName"])] == [str(one)]
    assert salesmate.find(BOOK, "nobody@x.example") == []
    assert three
    acme.app.log.clear()
    assert salesmate.find(BOOK, marker="0b8e6f3e") == []
    assert acme.app.log == []


def test_a_search_that_shows_less_than_it_counts_finds_nothing_out(acme: Bench) -> None:
    acme.app.person_create(**ADA)
    acme.app.levers.cut_listing_at = 0
    with pytest.raises(Transient):
        acme.connector().find(BOOK, "ada@example.com")


def test_a_server_that_does_not_filter_finds_no_one_else(acme: Bench) -> None:
    acme.people(3)
    acme.app.person_delete(acme.person(1))
    acme.app.levers.ignore_filters = True
    assert [found.remote_id for found in acme.connector().find(BOOK, "p1@x.example")] == ["2"]


def test_owners_tell_who_left(acme: Bench) -> None:
    for acme.app.levers.active_as_number in (False, True):
        owners = acme.connector().owners()
        assert [(owner.id, owner.name, owner.active) for owner in owners] == [
            ("1", "Sara Khan", True),
            ("2", "Ben Jobs", True),
            ("3", "Old Colleague", False),
        ]


@pytest.mark.parametrize("listed", [True, False])
def test_tags_come_from_their_list_or_from_the_newest_contacts(acme: Bench, listed: bool) -> None:
    acme.app.levers.tags_listed = listed
    acme.person(1, tags="VIP,Bags")
    acme.person(2, tags="vip,New")
    assert sorted(acme.connector().tags(BOOK)) == ["Bags", "New", "VIP"]


def test_a_refused_key_is_no_empty_list_of_tags(acme: Bench) -> None:
    with pytest.raises(AuthFailed):
        acme.connector(session_key="wrong").tags(BOOK)


def test_the_one_book_with_its_count(acme: Bench) -> None:
    first, *_ = acme.people(3)
    acme.app.person_delete(first)
    (book,) = acme.connector().books()
    assert (book.id, book.count) == (BOOK, 2)


STRANGE: list[Any] = [None, 7, "x", [], {}, [7], {"data": 7}, {"data": [7]}, {"data": [{}]}, {"data": [{"id": "x"}]}]


@pytest.mark.parametrize("data", STRANGE)
def test_answers_that_are_not_in_the_documented_form_may_work_later(httpserver: HTTPServer, data: Any) -> None:
    httpserver.expect_request(re.compile("/apis/.*")).respond_with_json({"Status": "success", "Data": data})
    salesmate = connector_to(httpserver.url_for(""))
    with pytest.raises(Transient):
        salesmate.read(BOOK, "1", NAMES)
    with pytest.raises(Transient):
        salesmate.changes(BOOK, "", NAMES)
    if not isinstance(data, list):
        with pytest.raises(Transient):
            salesmate.check()
    (result,) = results(salesmate, create())
    assert result.outcome is Outcome.UNKNOWN


def test_another_contact_than_the_one_asked_for_is_not_taken_for_it(httpserver: HTTPServer) -> None:
    data = {"id": 2, "firstName": "Ben"}
    httpserver.expect_request("/apis/contact/v4/1").respond_with_json({"Status": "success", "Data": data})
    with pytest.raises(Transient):
        connector_to(httpserver.url_for("")).read(BOOK, "1", NAMES)


def test_a_field_of_any_name_is_looked_up_once(acme: Bench) -> None:
    salesmate = acme.connector()
    for _ in range(2):
        salesmate.changes(BOOK, "", ["firstName", "shoeSize"])
    assert acme.calls().count("GET module/v4/1/fields") == 1


def test_a_closed_connector_can_be_closed_again(acme: Bench) -> None:
    salesmate = acme.connector()
    salesmate.check()
    salesmate.close()
    salesmate.close()
