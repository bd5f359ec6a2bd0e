"""What an app refused: remembered on the link by digest, so that the same is not sent again (ENGINE.md 6)."""

from collections.abc import Mapping

from syncer.connectors.base import Value
from syncer.engine.values import digest


def refused_value(side: str, field: str, value: Value) -> str:
    """A refused value, whatever else travels with it."""
    return digest([side, field, value])


def why_refused(refused: Mapping[str, str]) -> str:
    """In the app's own words; empty where nothing was refused."""
    return "; ".join(dict.fromkeys(refused.values()))[:500]
