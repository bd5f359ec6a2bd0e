"""The throw-away server of the tests' second half."""

from pathlib import Path

import psycopg
import pytest

from scripts import postgres
from tests.needs import needs


@needs("postgresql")
def test_it_answers_and_leaves_nothing() -> None:
    folder = postgres.binaries()
    assert folder is not None
    with postgres.throw_away(folder) as url, psycopg.connect(url) as connection:
        assert connection.execute("SHOW password_encryption").fetchone() == ("scram-sha-256",)
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    assert not Path(row[0]).exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
