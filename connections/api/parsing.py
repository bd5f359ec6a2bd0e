"""JSON bodies, read strictly: one object, at most so large, and nothing in it that no database can store."""

import json
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from syncer.audit.format import clean_text

LARGEST = 1_000_000
DEEPEST = 20


class StrictJSON(BaseParser):
    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Raises ParseError, RequestDataTooBig."""
        raw = stream.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise RequestDataTooBig
        if raw.strip() == b"":
            return {}
        try:
            found = json.loads(raw.decode("utf-8"), parse_constant=refuse, object_pairs_hook=once)
        except UnicodeDecodeError:
            raise ParseError("The body is not UTF-8.") from None
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}.") from None
        if not isinstance(found, dict):
            raise ParseError("The body is a JSON object: {...}.")
        check(found, DEEPEST)
        return found


def refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def check(value: Any, depth: int) -> None:
    if depth == 0:
        raise ParseError("The body is nested too deeply.")
    if isinstance(value, str) and clean_text(value) != value:
        raise ParseError("The body holds a character that cannot be stored (NUL, or half of a pair).")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ParseError("The body holds a number that is too large.")
    if isinstance(value, dict):
        for name, item in value.items():
            check(name, depth)
            check(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            check(item, depth - 1)
