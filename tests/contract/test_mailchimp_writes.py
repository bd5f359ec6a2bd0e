"""Writes to Mailchimp: consent is never lowered, and what a batch says is taken by address."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from syncer.connectors.base import Outcome, Value
from syncer.connectors.mailchimp.wire import ASSUMED
from tests.contract.mailchimp import ALL, LIST, Bench, bench, create, results, seen_in, update, whole_pass

CONSENTS = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")


@pytest.fixture
def found() -> Iterator[Bench]:
    with bench() as made:
        yield made


def held(found: Bench, remote_id: str) -> dict[str, Value]:
    return dict(found.connector().read(LIST, remote_id, ALL).values)


@pytest.mark.proves("I9")
@pytest.mark.parametrize("was", CONSENTS)
def test_an_update_never_changes_a_status_but_to_unsubscribed(found: Bench, was: str) -> None:
    one = found.member(0)
    found.audience.find(one).status = was
    mailchimp = found.connector()
    whole_pass(mailchimp)
    for status in ("subscribed", "pending", "cleaned", "transactional", "archived", None):
        (done,) = results(mailchimp, update(one, {"status": status, "FNAME": "X"}, held(found, one)))
        assert (done.outcome, done.field) == (Outcome.REFUSED, "status")
    (done,) = results(mailchimp, update(one, {"FNAME": "New", "tags": ["VIP"]}, held(found, one)))
    assert (done.outcome, seen_in(done).values["status"]) == (Outcome.DONE, was)
    (done,) = results(mailchimp, update(one, {"email_address": "new@x.example"}, held(found, one)))
    assert (done.outcome, seen_in(done).values["status"]) == (Outcome.DONE, was)
    assert not [seen for seen in found.app.log if seen.method != "GET" and b"subscribed" in seen.body]


@pytest.mark.proves("I9", "E7 create never updates")
@pytest.mark.parametrize("was", CONSENTS)
@pytest.mark.parametrize("read", [True, False])
def test_a_create_never_touches_who_is_there(found: Bench, was: str, read: bool) -> None:
    """Whether the pass showed them, or they came since."""
    mailchimp = found.connector()
    if read:
        whole_pass(mailchimp)
        found.clock.advance(61)
    one = found.member(7, tags=["Old"])
    found.audience.find(one).status = was
    before = repr(found.audience.find(one))
    (done,) = results(mailchimp, create(0, email_address="P7@x.example", tags=["New"]))
    assert (done.outcome, done.observed) == (Outcome.STALE, None)
    assert repr(found.audience.find(one)) == before


@pytest.mark.parametrize("batch_tags", [True, False])
def test_new_contacts_come_with_their_tags(found: Bench, batch_tags: bool) -> None:
    mailchimp = found.connector(assumed=replace(ASSUMED, batch_tags=batch_tags))
    whole_pass(mailchimp)
    found.app.log.clear()
    done = results(mailchimp, create(0, tags=["VIP", "Press"]), create(1), create(2, tags=["VIP"]))
    assert [one.outcome for one in done] == [Outcome.DONE] * 3
    assert [seen_in(one).values["tags"] for one in done] == [["VIP", "Press"], None, ["VIP"]]
    assert found.calls().count("POST batch") == 1


@pytest.mark.proves("E6 batches")
def test_changes_go_in_one_batch_and_cost_no_reading_each(found: Bench) -> None:
    people = found.members(40)
    mailchimp = found.connector()
    known = {one.remote_id: one.values for page in whole_pass(mailchimp) for one in page.records}
    found.app.log.clear()
    done = results(mailchimp, *(update(one, {"FNAME": f"N{n}"}, dict(known[one])) for n, one in enumerate(people)))
    assert [seen_in(one).values["FNAME"] for one in done] == [f"N{n}" for n in range(40)]
    assert sorted(found.calls()) == ["GET members", "GET members", "GET merge-fields", "POST batch"]


@pytest.mark.proves("I1", "E6 re-read")
def test_who_changed_since_the_pass_is_looked_at_again(found: Bench) -> None:
    one, two, three = found.members(3)
    mailchimp = found.connector()
    known = {each.remote_id: dict(each.values) for page in whole_pass(mailchimp) for each in page.records}
    found.clock.advance(5)
    found.audience.person_edits(one, FNAME="Hers")
    found.audience.person_edits(two, email="moved@x.example")
    found.audience.person_deletes(three)
    done = results(
        mailchimp,
        update(one, {"FNAME": "Ours"}, known[one], lambda now: now.values["FNAME"] == "Ada"),
        update(two, {"FNAME": "Ours"}, known[two], lambda now: now.values["FNAME"] == "Ada"),
        update(three, {"FNAME": "Ours"}, known[three]),
    )
    assert done[0].outcome == Outcome.STALE
    assert (done[1].outcome, seen_in(done[1]).values["email_address"]) == (Outcome.DONE, "moved@x.example")
    assert done[2].outcome in (Outcome.UNKNOWN, Outcome.REFUSED, Outcome.GONE)
    assert found.audience.find(one).merge["FNAME"] == "Hers"
    assert len(found.audience.members) == 2, "nobody is made by a change"


def test_an_address_is_sent_whole_with_what_is_there(found: Bench) -> None:
    street = {"addr1": "1 Pier", "city": "Bristol", "state": "BS", "zip": "BS1", "country": "GB"}
    one = found.member(0, ADDRESS=street)
    mailchimp = found.connector()
    whole_pass(mailchimp)
    (done,) = results(mailchimp, update(one, {"ADDRESS:city": "Bath"}, held(found, one)))
    assert found.audience.find(one).merge["ADDRESS"] == {**street, "city": "Bath", "addr2": ""}
    assert seen_in(done).values["ADDRESS:city"] == "Bath"
    (done,) = results(mailchimp, update(one, {"ADDRESS:zip": None}, held(found, one)))
    assert (done.outcome, done.field) == (Outcome.REFUSED, "ADDRESS:zip")
    gone = {f"ADDRESS:{part}": None for part in ("addr1", "city", "state", "zip")}
    (done,) = results(mailchimp, update(one, dict[str, Value](gone), held(found, one)))
    assert done.outcome == Outcome.DONE
    assert seen_in(done).values["ADDRESS:city"] is None


def test_a_required_field_that_is_empty_is_refused_by_name(found: Bench) -> None:
    found.audience.fields["NOTE"]["required"] = True
    refused, done = results(found.connector(), create(0), create(1, NOTE="here"))
    assert (refused.outcome, refused.field) == (Outcome.REFUSED, "")
    assert "required there" in refused.detail
    assert done.outcome == Outcome.DONE
    assert any(one.name == "NOTE" and one.required for one in found.connector().fields(LIST))


@pytest.mark.proves("E6 one bad item", "I21")
def test_the_terminal_refusals_of_a_batch_are_told_apart(found: Bench) -> None:
    for email in ("forgotten@x.example", "busy@x.example"):
        found.audience.person_adds(email)
        found.audience.person_deletes(email)
    found.audience.forgotten.discard("busy@x.example")
    found.app.levers.busy_lists = {"busy@x.example"}
    emails = ("forgotten@x.example", "busy@x.example", "foo@example.com", "good@x.example")
    done = results(found.connector(), *(create(n, email_address=email) for n, email in enumerate(emails)))
    outcomes = [Outcome.REFUSED, Outcome.STALE, Outcome.REFUSED, Outcome.DONE]
    assert [one.outcome for one in done] == outcomes


@pytest.mark.proves("E6 broken batches")
def test_who_is_not_in_the_answer_of_a_batch_has_an_unknown_outcome(found: Bench, monkeypatch: Any) -> None:
    mailchimp = found.connector()
    whole_pass(mailchimp)
    monkeypatch.setattr(mailchimp._client, "batch", lambda *args, **named: {"new_members": [{"email_address": 7}]})
    assert [one.outcome for one in results(mailchimp, create(0), create(1))] == [Outcome.UNKNOWN] * 2


@pytest.mark.parametrize(
    ("fault", "outcome"), [("busy_429", Outcome.NOT_SENT), ("internal_500_after", Outcome.UNKNOWN)]
)
def test_a_batch_that_fails_is_not_sent_or_unknown_and_the_rest_waits(
    found: Bench, fault: str, outcome: Outcome
) -> None:
    one = found.member(50)
    mailchimp = found.connector()
    whole_pass(mailchimp)
    found.app.fault(fault, "POST")
    done = results(mailchimp, create(0), update(one, {"email_address": "q@x.example"}, held(found, one)))
    assert [each.outcome for each in done] == [outcome, Outcome.NOT_SENT]
