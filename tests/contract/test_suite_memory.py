"""The contract of connectors, for the app in memory: so that what the engine is tested with keeps to it too."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from syncer.connectors.base import Connector, Meter, Transient, Value
from tests.contract.suite import KEPT, WORDS, ConnectorSuite, Harness, Refusal
from tests.engine.memory import FIELDS, MemoryApp, MemoryConnector

WRITES = {"create", "update"}


class MemoryHarness(Harness):
    book = "contacts"
    names = {word: word for word in WORDS}
    troubles = ("failing",)
    refusals = (Refusal({"mobile": "none of these"}, ""),)
    samples = {
        "given": "Ada",
        "email": "ada@example.com",
        "mobile": "+12125550001",
        "note": "one\ntwo",
        "tags": ["VIP", "bags"],
    }

    def __init__(self, create: str) -> None:
        self.memory = MemoryApp(
            "memory",
            fields=FIELDS,
            create=create,
            page_size=self.page,
            answers_failures=True,
            refuse=lambda values: "no such number" if values.get("mobile") == "none of these" else "",
        )
        self.kept: dict[str, str] = {}

    def connector(self, meter: Meter | None = None) -> Connector:
        return MemoryConnector(self.memory, meter)

    def nobody(self) -> Connector:
        def off() -> None:
            raise Transient("nobody listens")

        here = self.memory
        away = MemoryApp("memory", contacts=here.contacts, etags=here.etags, on_call=off, answers_failures=True)
        return MemoryConnector(away)

    def person_creates(self, **values: Value) -> str:
        made = self.memory.person_creates("", **values)
        self.memory.contacts[made]["unmapped"] = KEPT
        return made

    def person_edits(self, remote_id: str, **values: Value) -> None:
        self.memory.person_edits(remote_id, **values)

    def person_deletes(self, remote_id: str) -> None:
        self.memory.person_deletes(remote_id)

    def holds(self, remote_id: str) -> str:
        return json.dumps(self.memory.contacts[remote_id])

    def ids(self) -> set[str]:
        return set(self.memory.contacts)

    def requests(self) -> tuple[int, int]:
        seen = list(self.memory.calls)
        self.memory.calls.clear()
        return len(seen), sum(call in WRITES for call in seen)

    def lose_answer(self, number: int) -> None:
        left = [number]

        def lost(done: str) -> None:
            if done in ("created", "updated"):
                left[0] -= 1
                if left[0] == -1:
                    raise Transient("no answer came", maybe_applied=True)

        self.memory.on_call = lambda: lost(self.memory.calls[-1])

    @contextmanager
    def trouble(self, kind: str) -> Iterator[None]:
        def failing() -> None:
            raise Transient("the app fails")

        self.memory.on_call = failing
        try:
            yield
        finally:
            self.memory.on_call = lambda: None

    def expired_cursor(self) -> str:
        self.memory.expired = True
        return "delta:0"


class TestMemory(ConnectorSuite):
    @pytest.fixture(params=["client_id", "search"])
    def bench(self, request: pytest.FixtureRequest) -> Harness:
        return MemoryHarness(request.param)
