"""Whole numbers in what others send, and the rows that they name."""

import re
from typing import TypeVar

from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)

DIGITS = re.compile("[0-9]{1,18}")


def whole_number(text: object) -> int | None:
    """The number, as an address or a form names a row; None for anything else. What the database could not hold is
    none either: Python itself refuses to read one of some thousand digits."""
    given = str(text)
    return int(given) if DIGITS.fullmatch(given) else None


def row(rows: QuerySet[Row], text: object) -> Row | None:
    """The one of these that the text names."""
    number = whole_number(text)
    return rows.filter(pk=number).first() if number is not None else None
