"""The history as a table for spreadsheets: one row for each changed field.

Spreadsheets run text that begins like a formula; such cells get an apostrophe in front (OWASP, CSV injection). So the
sheet is for reading; what is exact stands in the JSON lines.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from typing import IO

from syncer.audit.changes import Told

COLUMNS = (
    "number",
    "when",
    "who",
    "what",
    "side",
    "operation",
    "field",
    "before",
    "after",
    "why",
    "contact",
    "run",
    "more",
    "note",
)
MARK = "\ufeff"
"""Says to spreadsheets that it is UTF-8."""
# After leading blanks too, and as full-width characters, which some spreadsheets take for the narrow ones.
_SIGN = "[=+\\-@\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(rf"[\s\0-\x20]*{_SIGN}|[\t\r\n]")
# Where a spreadsheet does not take the comma for what separates cells, another one begins within the text.
_INSIDE = re.compile(rf"([;\t\r\n][\s\0-\x20]*)(?={_SIGN})")


def cell(text: str) -> str:
    safe = _INSIDE.sub(r"\1'", text)
    return f"'{safe}" if _FORMULA.match(text) else safe


def begin(out: IO[str]) -> None:
    out.write(MARK)
    csv.writer(out, quoting=csv.QUOTE_ALL).writerow(COLUMNS)


def write(out: IO[str], entry: Told, words: Mapping[str, str]) -> None:
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows(entry, words))


def rows(entry: Told, words: Mapping[str, str]) -> Iterator[list[str]]:
    """`words`: reasons in words, by their code."""
    mirrors = entry.mirrors
    first = [str(entry.seq), *(mirrors[name] for name in ("at", "actor", "kind", "side", "operation"))]
    last = [mirrors["link"], mirrors["run"], entry.more, entry.state]
    fields = [(one.field, one.before, one.after, one.why) for one in entry.fields] or [("", "", "", entry.why)]
    for field, before, after, why in fields:
        reason = in_words(why or entry.why, words)
        yield [cell(text) for text in (*first, field, before, after, reason, *last)]


def in_words(why: str, words: Mapping[str, str]) -> str:
    return "; ".join(words.get(code, code) for code in why.split(", "))
