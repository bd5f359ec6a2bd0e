"""Apps in memory behind the calls, found by the account's identity; and the office with real servers."""

from collections.abc import Iterator

import pytest

from syncer.connectors import registry
from tests.api.desk import InMemory
from tests.connections.conftest import acme

__all__ = ["acme"]


@pytest.fixture(autouse=True)
def memory_apps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(registry.CONNECTORS, "memory", "tests.api.desk.InMemory")
    yield
    InMemory.worlds.clear()
