"""docs/connectors.md says what the code says."""

from syncer.connectors.registry import CONNECTORS
from tests.connectors_page import PAGE, filled, partners


def test_the_tables_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert filled(text) == text, "python -m tests.connectors_page --write"


def test_salesmate_can_be_paired_with_every_app() -> None:
    assert len(partners().splitlines()) == len(CONNECTORS)
