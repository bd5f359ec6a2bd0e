"""A CardDAV server of our own for the tests that ask for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.radicale import Radicale


@pytest.fixture
def radicale(tmp_path: Path) -> Iterator[Radicale]:
    """With an empty address book for alice and one for bob, both at `/<user>/book/`."""
    with Radicale(tmp_path) as server:
        server.book("alice")
        server.book("bob", label="Bob's contacts")
        yield server
