"""The contract of connectors, for CardDAV on every server that we have."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.carddav import WITH_SYNC, servers, started
from tests.contract.suite import ConnectorSuite, Harness
from tests.contract.suite_carddav import carddav_harness


class TestCardDav(ConnectorSuite):
    @pytest.fixture(params=servers(*WITH_SYNC))
    def bench(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
        with started(request.param, tmp_path) as server, carddav_harness(server) as made:
            yield made
