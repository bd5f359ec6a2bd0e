"""The contract of connectors, for Google Contacts and its stand-in."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from syncer.connectors.base import Connector, Meter, Outcome, Value
from syncer.connectors.google_contacts.client import Place
from syncer.connectors.google_contacts.connector import BOOK
from syncer.connectors.google_contacts.passes import Cursor, form_of
from syncer.connectors.google_contacts.wire import ASSUMED, Assumed
from tests.contract.google import WORDS, Bench, FixedTokens, bench, connector_to
from tests.contract.servers import closed_port
from tests.contract.suite import KEPT, ConnectorSuite, Harness, Refusal, results


@dataclass
class GoogleHarness(Harness):
    google: Bench
    assumed: Assumed
    book = BOOK
    names = WORDS
    troubles = (
        "bare_403",
        "cut_body",
        "cut_json",
        "drop_before",
        "empty_body",
        "exhausted_429",
        "few_scopes",
        "html_502",
        "internal_500",
        "quota_429",
        "rate_403",
        "reset_after",
        "unauthenticated",
        "unavailable_503",
    )
    refusals = (
        Refusal({"birthdays": "1815-02-30"}, "birthdays"),
        Refusal({"shoeSize": "39"}, "shoeSize"),
        Refusal({"labels": ["myContacts"]}, "labels"),
        Refusal({"emailAddresses": None, "emailAddresses.work": "ada@example.com"}, "emailAddresses.work"),
    )
    samples = {
        "names.middleName": "Byron",
        "nicknames": "Enchantress",
        "biographies": "one\ntwo",
        "emailAddresses.home": "second@example.com",
        "phoneNumbers.mobile": "06 12345678",
        "urls": "https://example.com/",
        "birthdays": "--12-10",
        "labels": ["VIP ", "vip", "bags"],
    }

    def __post_init__(self) -> None:
        self.secrets = (self.google.token,)
        self.named: dict[str, str] = {}

    def connector(self, meter: Meter | None = None) -> Connector:
        return self.google.connector(meter, self.assumed)

    def nobody(self) -> Connector:
        return connector_to(f"http://127.0.0.1:{closed_port()}", FixedTokens([self.google.token]))

    def person_creates(self, **values: Value) -> str:
        work = {"symbol": KEPT}
        made = self.google.anna.person_create(organizations=[work], phoneNumbers=[{"type": "workFax", "value": KEPT}])
        self.person_edits(made, **values)
        return made

    def person_edits(self, remote_id: str, **values: Value) -> None:
        held = {mask: [dict(item) for item in items] for mask, items in self.google.held(remote_id).items()}
        self.google.anna.person_edit(remote_id, **edited(held, values))
        if "tags" in values:
            tags = values["tags"]
            groups = [self.label(tag) for tag in (tags if isinstance(tags, list) else [])]
            self.google.anna.person_regroup(remote_id, add=groups)

    def label(self, name: str) -> str:
        if name not in self.named:
            self.named[name] = self.google.label(name)
        return self.named[name]

    def person_deletes(self, remote_id: str) -> None:
        self.google.anna.person_delete(remote_id)

    def holds(self, remote_id: str) -> str:
        return json.dumps([self.google.held(remote_id), sorted(self.google.tags_of(remote_id))])

    def ids(self) -> set[str]:
        return {contact.resource for contact in self.google.anna.contacts.values()}

    def requests(self) -> tuple[int, int]:
        seen = list(self.google.app.log)
        self.google.app.log.clear()
        return len(seen), sum(one.method == "POST" for one in seen)

    def lose_answer(self, number: int) -> None:
        self.google.app.fault("drop_after", "POST", "/v1/people:batch", skip=number)

    @contextmanager
    def trouble(self, kind: str) -> Iterator[None]:
        self.google.app.fault(kind, times=10**6)
        try:
            yield
        finally:
            self.google.app.faults.clear()

    def expired_cursor(self) -> str:
        return Cursor(Place(sync="nobody knows this"), form_of(self.assumed), {}).text()


def edited(held: dict[str, list[dict[str, Any]]], values: Mapping[str, Value]) -> dict[str, list[dict[str, Any]]]:
    """The fields that somebody changed, as Google keeps them."""
    changed: dict[str, list[dict[str, Any]]] = {}
    places = {
        "given": ("names", "givenName"),
        "family": ("names", "familyName"),
        "email": ("emailAddresses", "value"),
        "title": ("organizations", "title"),
        "note": ("biographies", "value"),
    }
    for word, value in values.items():
        if word in places:
            mask, key = places[word]
            first = (changed.get(mask) or held.get(mask) or [{}])[0]
            changed[mask] = [{**first, key: value}]
    if "mobile" in values:
        others = [item for item in held.get("phoneNumbers", []) if item.get("type") != "mobile"]
        changed["phoneNumbers"] = [*others, {"type": "mobile", "value": values["mobile"]}]
    return changed


ONE_BY_ONE = replace(ASSUMED, page=20, batch=1)


class TestGoogle(ConnectorSuite):
    """Every write in a call of its own, as the suite speaks of them."""

    @pytest.fixture
    def bench(self) -> Iterator[Harness]:
        with bench() as google:
            yield GoogleHarness(google, ONE_BY_ONE)


class TestGoogleInBatches(ConnectorSuite):
    @pytest.fixture
    def bench(self) -> Iterator[Harness]:
        with bench() as google:
            yield GoogleHarness(google, replace(ASSUMED, page=20))

    @pytest.mark.proves("E6 batches")
    def test_one_result_for_each_write_in_their_order(self, bench: Harness, connector: Connector) -> None:
        """Two of them share a call."""
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
