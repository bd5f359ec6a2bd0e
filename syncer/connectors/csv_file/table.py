"""A CSV file as rows. What cannot be understood is refused whole, in words that name the line."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from syncer.connectors.base import Field, FieldType, Misconfigured, Value
from syncer.connectors.csv_file.fields import fields_of, plain
from syncer.connectors.tags import once

MOST_CHARACTERS = 5_000_000
MOST_ROWS = 50_000
MOST_COLUMNS = 200
LONGEST_ID = 200
DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Row:
    id: str
    values: dict[str, Value]


@dataclass(frozen=True)
class Table:
    fields: Sequence[Field]
    rows: Sequence[Row]


def parse(text: str) -> Table:
    """Raises Misconfigured."""
    text = text.removeprefix("\ufeff")
    if len(text) > MOST_CHARACTERS:
        raise Misconfigured(f"The file is too large: at most {MOST_CHARACTERS:,} characters. Split it into several.")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise Misconfigured(f"Line {line} holds a NUL character: this is not a text file. Export it as CSV again.")
    lines = rows_of(text)
    _, headers = next(lines, (0, []))
    fields = fields_of(checked(headers))
    width, key = len(headers), id_column(headers)
    seen: Counter[str] = Counter()
    rows: list[Row] = []
    for line, cells in lines:
        if len(cells) != width:
            raise Misconfigured(
                f"Line {line} has {len(cells)} cells, and the first line names {width} columns. "
                "Correct the line, or put cells with delimiters in quotes."
            )
        if len(rows) == MOST_ROWS:
            raise Misconfigured(f"The file has more than {MOST_ROWS:,} rows. Split it into several.")
        values = {field.name: value_of(field, cell) for field, cell in zip(fields, cells, strict=True)}
        name = id_of(cells, values, key)
        seen[name] += 1
        if seen[name] > 1 and name.startswith("id:"):
            raise Misconfigured(f"Line {line} has the same {headers[key or 0].strip()} as a line before it.")
        rows.append(Row(name if seen[name] == 1 else f"{name}#{seen[name]}", values))
    return Table(fields, rows)


def rows_of(text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that hold something, with their numbers."""
    first, _, rest = text.partition("\n")
    skipped, delimiter = 0, delimiter_of(first)
    if (named := first.strip().casefold()).startswith("sep=") and len(named) == 5:
        # Excel's own way to say the delimiter.
        text, skipped, delimiter = rest, 1, named[4]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num + skipped, cells
    except csv.Error as error:
        raise Misconfigured(
            f"The file cannot be understood at line {reader.line_num + skipped}: a quote is not closed or out of "
            "place, or a cell is too long. Correct the line, or export the file again."
        ) from error


def delimiter_of(line: str) -> str:
    """The one that the header has most of, outside quotes."""
    outside = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def checked(headers: Sequence[str]) -> Sequence[str]:
    if not headers:
        raise Misconfigured("The file is empty. Its first line has to name the columns.")
    if len(headers) > MOST_COLUMNS:
        raise Misconfigured(f"The first line names more than {MOST_COLUMNS} columns.")
    for number, header in enumerate(headers, 1):
        if plain(header) == "":
            raise Misconfigured(f"Column {number} has no name in the first line. Name it, or remove the column.")
        if "@" in header:
            raise Misconfigured("The first line holds an e-mail address: it has to name the columns. Add such a line.")
    twice = [name for name, count in Counter(header.strip().casefold() for header in headers).items() if count > 1]
    if twice:
        raise Misconfigured(f"Two columns are named {twice[0][:100]}. Give each column a name of its own.")
    return headers


def id_column(headers: Sequence[str]) -> int | None:
    return next((number for number, header in enumerate(headers) if plain(header) in ("id", "uid")), None)


def id_of(cells: Sequence[str], values: dict[str, Value], key: int | None) -> str:
    """By the id, else the e-mail address, else all that the row holds: then an edited row is another contact."""
    email = values.get("email")
    if key is not None and cells[key].strip():
        name = f"id:{cells[key].strip()}"
    elif isinstance(email, str):
        name = f"email:{email.casefold()}"
    else:
        return f"row:{digest(chr(31).join(cells))}"
    return name if len(name) <= LONGEST_ID else f"{name.partition(':')[0]}:{digest(name)}"


def digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def value_of(field: Field, cell: str) -> Value:
    """Google puts " ::: " between labels, others a comma or a semicolon."""
    if field.type is FieldType.TAGS:
        tags = once(cell.replace(":::", ",").replace(";", ",").split(","))
        return tags or None
    return cell.strip() or None
