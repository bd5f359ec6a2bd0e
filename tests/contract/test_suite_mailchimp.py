"""The contract of connectors, for Mailchimp and its stand-in."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from sandbox.mailchimp import KEY
from syncer.connectors.base import Connector, Meter, Outcome, Value
from syncer.connectors.mailchimp.wire import ASSUMED, Assumed
from tests.contract.mailchimp import LIST, Bench, bench, connector_to
from tests.contract.servers import closed_port
from tests.contract.suite import KEPT, ConnectorSuite, Harness, Refusal, read_pass, results

WORDS = {
    "given": "FNAME",
    "family": "LNAME",
    "email": "email_address",
    "mobile": "PHONE",
    "title": "JOBTITLE",
    "note": "NOTE",
    "tags": "tags",
}


@dataclass
class MailchimpHarness(Harness):
    mailchimp: Bench
    assumed: Assumed
    book = LIST
    names = WORDS
    secrets = (KEY,)
    defaults = {"status": "subscribed"}
    troubles = (
        "bad_key",
        "bare_403",
        "busy_429",
        "compliance_503",
        "cut_body",
        "cut_json",
        "disabled",
        "drop_before",
        "empty_body",
        "html_502",
        "internal_500",
        "reset_after",
    )
    refusals = (
        Refusal({"LTV": "much"}, "LTV"),
        Refusal({"SHOP": "no link at all"}, "SHOP"),
        Refusal({"email_address": "foo@example.com"}, "email_address"),
        Refusal({"email_address": "nonsense"}, "email_address"),
        Refusal({"status": "cleaned"}, "status"),
        Refusal({"NOSUCH": "x"}, "NOSUCH"),
        Refusal({"ADDRESS:city": "Bristol"}, "ADDRESS:city"),
        Refusal({"BIRTHDAY:day": "1815-13-45"}, "BIRTHDAY:day"),
    )
    samples = {
        "email_address": "second@example.com",
        "status": "pending",
        "vip": True,
        "language": "de",
        "LTV": "12.50",
        "PHONE": "06 12345678",
        "JOINED": "2026-11-24",
        "BIRTHDAY:day": "1815-12-10",
        "SHOP": "https://example.com/",
        "SIZE": "M",
        "ZIPCODE": "BS1 4XE",
        "tags": ["VIP ", "vip", "bags"],
    }

    def connector(self, meter: Meter | None = None) -> Connector:
        return self.mailchimp.connector(meter, self.assumed)

    def nobody(self) -> Connector:
        return connector_to(f"http://127.0.0.1:{closed_port()}")

    def person_creates(self, **values: Value) -> str:
        count = len(self.mailchimp.audience.members)
        email = str(values.get("email") or f"somebody{count}@example.net")
        made = self.mailchimp.audience.person_adds(email, KEPT=KEPT)
        remote_id = self.mailchimp.audience.members[made].contact_id
        self.person_edits(remote_id, **values)
        return remote_id

    def person_edits(self, remote_id: str, **values: Value) -> None:
        merge = {WORDS[word]: value or "" for word, value in values.items() if word not in ("email", "tags")}
        email, tags = str(values.get("email") or ""), values.get("tags")
        self.mailchimp.audience.person_edits(remote_id, email, tags, **merge)

    def person_deletes(self, remote_id: str) -> None:
        email = self.mailchimp.audience.find(remote_id).email
        self.mailchimp.audience.person_deletes(remote_id)
        self.mailchimp.audience.forgotten.discard(email.lower())  # the tests use addresses again

    def holds(self, remote_id: str) -> str:
        member = self.mailchimp.audience.find(remote_id)
        return json.dumps([member.email, member.status, member.merge, sorted(member.tags)])

    def ids(self) -> set[str]:
        return {member.contact_id for member in self.mailchimp.audience.members.values()}

    def requests(self) -> tuple[int, int]:
        seen = list(self.mailchimp.app.log)
        self.mailchimp.app.log.clear()
        return len(seen), sum(one.method != "GET" for one in seen)

    def lose_answer(self, number: int) -> None:
        self.mailchimp.app.fault("drop_after", "POST", "", skip=number)

    @contextmanager
    def trouble(self, kind: str) -> Iterator[None]:
        self.mailchimp.app.fault(kind, times=10**6)
        try:
            yield
        finally:
            self.mailchimp.app.faults.clear()

    def expired_cursor(self) -> str:
        return "nobody knows this"


class TestMailchimp(ConnectorSuite):
    @pytest.fixture
    def bench(self) -> Iterator[Harness]:
        with bench() as mailchimp:
            yield MailchimpHarness(mailchimp, replace(ASSUMED, page=20))

    @pytest.mark.proves("I20", "E2 pull")
    def test_a_delta_shows_who_came_changed_and_went(self, bench: Harness, connector: Connector) -> None:
        """Who was deleted for good shows nowhere but in a full pass."""
        people = bench.people(4)
        full = read_pass(connector, bench)
        new = bench.person_creates(given="New", family="Person", email="new@example.com")
        bench.person_edits(people[0], title="Countess")
        bench.person_deletes(people[1])
        delta = read_pass(connector, bench, full.cursor, full.records)
        assert bench.value(delta.records[people[0]], "title") == "Countess"
        assert new in delta.records
        assert delta.gone == set()
        assert people[1] not in delta.records
        again = read_pass(bench.connector(), bench)
        assert (people[1] in again.records, again.pages[-1].total) == (False, 4)

    @pytest.mark.proves("E7 creates")
    def test_find_minds_no_case_and_finds_no_one_else(self, bench: Harness, connector: Connector) -> None:
        """An address is in an audience once."""
        one = bench.person_creates(given="Ada", family="Lovelace", email="Ada@Example.com")
        bench.person_creates(given="Ben", family="Other", email="ada@example.com.au")
        gone = bench.person_creates(given="Cem", family="Other", email="bada@example.com")
        bench.person_deletes(gone)
        found = connector.find(bench.book, "ada@example.com", fields=bench.fields())
        assert [seen.remote_id for seen in found] == [one]
        assert bench.value(found[0], "family") == "Lovelace"
        for nobody in ("nobody@example.com", "bada@example.com", ""):
            assert list(connector.find(bench.book, nobody, fields=bench.fields())) == []

    @pytest.mark.proves("E6 batches")
    def test_one_result_for_each_write_in_their_order(self, bench: Harness, connector: Connector) -> None:
        """The new ones share a request, and so do the others."""
        people = bench.people(3)
        seen = [connector.read(bench.book, one, bench.fields()) for one in people]
        writes = [
            bench.update(seen[0], title="T0"),
            bench.create(7),
            bench.update(seen[1], still_holds=False, title="T1"),
            bench.update(seen[2], title="T2"),
        ]
        bench.requests()
        done = results(connector, bench.book, writes)
        assert [result.outcome for result in done] == [Outcome.DONE, Outcome.DONE, Outcome.STALE, Outcome.DONE]
        ids = [result.observed.remote_id if result.observed is not None else "" for result in done]
        assert (ids[0], ids[2], ids[3]) == tuple(people)
        assert bench.requests()[1] == 2
        assert results(connector, bench.book, []) == []
        assert bench.requests() == (0, 0)

    @pytest.mark.parametrize("operation", ["create", "update"])
    @pytest.mark.parametrize("number", [0])
    @pytest.mark.proves("I11", "E6 broken batches")
    def test_a_lost_answer_is_unknown_and_nothing_is_sent_twice(
        self, bench: Harness, operation: str, number: int
    ) -> None:
        """It is that of all of the batch."""
        people = bench.people(4)
        connector = bench.connector()
        seen = [connector.read(bench.book, one, bench.fields()) for one in people]
        writes = [bench.create(n) if operation == "create" else bench.update(seen[n], title=f"T{n}") for n in range(4)]
        bench.requests()
        bench.lose_answer(number)
        done = [result.outcome for result in results(connector, bench.book, writes)]
        assert done == [Outcome.UNKNOWN] * 4
        assert bench.requests()[1] == 1
        assert len(bench.ids()) == (8 if operation == "create" else 4)


class TestMailchimpOneByOne(TestMailchimp):
    """Where a batch does not do for updates."""

    @pytest.fixture
    def bench(self) -> Iterator[Harness]:
        with bench() as mailchimp:
            yield MailchimpHarness(mailchimp, replace(ASSUMED, page=20, update_in_batches=False, batch_tags=False))

    @pytest.mark.proves("E6 batches")
    def test_one_result_for_each_write_in_their_order(self, bench: Harness, connector: Connector) -> None:
        people = bench.people(2)
        seen = [connector.read(bench.book, one, bench.fields()) for one in people]
        bench.requests()
        done = results(connector, bench.book, [bench.update(one, title="T") for one in seen])
        assert [result.outcome for result in done] == [Outcome.DONE] * 2
        assert bench.requests()[1] == 2

    @pytest.mark.parametrize("operation", ["update"])
    @pytest.mark.parametrize("number", [0, 2])
    @pytest.mark.proves("I11", "E6 broken batches")
    def test_a_lost_answer_is_unknown_and_nothing_is_sent_twice(
        self, bench: Harness, operation: str, number: int
    ) -> None:
        people = bench.people(4)
        connector = bench.connector()
        seen = [connector.read(bench.book, one, bench.fields()) for one in people]
        bench.requests()
        assert isinstance(bench, MailchimpHarness)
        bench.mailchimp.app.fault("drop_after", "PATCH", "", skip=number)
        writes = [bench.update(one, title=f"T{n}") for n, one in enumerate(seen)]
        done = [result.outcome for result in results(connector, bench.book, writes)]
        rest = [Outcome.NOT_SENT] * (3 - number)
        assert done == [Outcome.DONE] * number + [Outcome.UNKNOWN, *rest]
        assert bench.requests()[1] == number + 1
