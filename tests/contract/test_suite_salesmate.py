"""The contract of connectors, for Salesmate and its stand-in."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from syncer.connectors.base import Connector, Meter, Value
from syncer.connectors.salesmate.connector import BOOK
from tests.contract.salesmate import KEYS, Bench, OfWrites, bench, connector_to
from tests.contract.servers import closed_port
from tests.contract.suite import KEPT, ConnectorSuite, Harness, Refusal


@dataclass
class SalesmateHarness(Harness):
    acme: Bench
    book = BOOK
    names = {
        "given": "firstName",
        "family": "lastName",
        "email": "email",
        "mobile": "mobile",
        "title": "designation",
        "note": "description",
        "tags": "tags",
    }
    defaults = {"owner": "1"}
    secrets = tuple(KEYS.values())
    troubles = (
        "auth",
        "auth_401",
        "cut_body",
        "cut_json",
        "drop_before",
        "empty_body",
        "error_200",
        "forbidden",
        "html_200",
        "html_403",
        "html_404",
        "html_500_before",
        "html_502",
        "limit",
        "reset_after",
    )
    refusals = (
        Refusal({"lastName": None}, "lastName"),
        Refusal({"owner": None}, "owner"),
        Refusal({"owner": "99"}, "owner"),
        Refusal({"email": "no address"}, "email"),
        Refusal({"designation": "x" * 256}, "designation"),
        Refusal({"billingZipCode": "x" * 21}, "billingZipCode"),
        Refusal({"currency": "XXX"}, "currency"),
        Refusal({"company.name": "Engines"}, "company.name"),
        Refusal({"dateCustomField1": "--12-10"}, "dateCustomField1"),
        Refusal({"intCustomField1": 2**31}, "intCustomField1"),
    )
    samples = {
        "textCustomField1": "Countess",
        "textAreaCustomField1": "one\ntwo",
        "textCustomField2": "second@example.com",
        "mobile": "+12125550001",
        "website": "https://example.com/",
        "intCustomField1": -5,
        "decimalCustomField1": "12.5",
        "checkboxCustomField1": False,
        "dateCustomField1": "1815-12-10",
        "dateTimeCustomField1": "2026-11-24T05:30:00Z",
        "type": "Lead",
        "multiSelectCustomField1": ["bags", "shoes"],
        "tags": ["a,b", " VIP ", "vip"],
        "owner": "2",
    }

    def __post_init__(self) -> None:
        self.acme.app.levers.most_rows = self.page

    def connector(self, meter: Meter | None = None) -> Connector:
        return self.acme.connector(meter)

    def nobody(self) -> Connector:
        return connector_to(f"http://127.0.0.1:{closed_port()}")

    def person_creates(self, **values: Value) -> str:
        number = self.acme.app.person_create(**{"owner": 1, "skypeId": KEPT, **self.on_the_wire(values)})
        self.acme.clock.advance(200)
        return str(number)

    def person_edits(self, remote_id: str, **values: Value) -> None:
        self.acme.app.person_edit(int(remote_id), **self.on_the_wire(values))

    def person_deletes(self, remote_id: str) -> None:
        self.acme.app.person_delete(int(remote_id))

    def on_the_wire(self, values: Mapping[str, Value]) -> dict[str, Any]:
        return {
            name: ",".join(value) if isinstance(value, list) else value for name, value in self.by_name(values).items()
        }

    def holds(self, remote_id: str) -> str:
        return json.dumps(self.acme.app.account.contacts[int(remote_id)])

    def ids(self) -> set[str]:
        return {str(number) for number, row in self.acme.app.account.contacts.items() if not row["isDeleted"]}

    def requests(self) -> tuple[int, int]:
        seen = list(self.acme.app.log)
        self.acme.app.log.clear()
        return len(seen), sum(one.method in ("PUT", "POST") and not one.path.endswith("/search") for one in seen)

    def lose_answer(self, number: int) -> None:
        for method, path in (("PUT", "/apis/contact/v4/"), ("POST", "/apis/contact/v4")):
            self.acme.app.faults.append(OfWrites("drop_after", method, path, skip=number))

    @contextmanager
    def trouble(self, kind: str) -> Iterator[None]:
        self.acme.app.fault(kind, times=10**6)
        try:
            yield
        finally:
            self.acme.app.faults.clear()

    def expired_cursor(self) -> str:
        return '{"version":0}'


class TestSalesmate(ConnectorSuite):
    @pytest.fixture
    def bench(self) -> Iterator[Harness]:
        with bench() as acme:
            yield SalesmateHarness(acme)
