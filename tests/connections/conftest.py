"""The agency's office, for the tests that ask for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.connections.office import Office, office


@pytest.fixture
def acme(db: None, tmp_path: Path, settings: Any) -> Iterator[Office]:
    with office(tmp_path, settings) as found:
        yield found
