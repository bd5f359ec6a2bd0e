"""The memory apps stand in the registry while an engine test runs."""

from collections.abc import Iterator

import pytest

from syncer.connectors import registry


@pytest.fixture(autouse=True)
def memory_apps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(registry.CONNECTORS, "memory", "tests.engine.memory.MemoryConnector")
    monkeypatch.setitem(registry.CONNECTORS, "marketing", "tests.engine.memory.MarketingConnector")
    yield
