"""A CSV file that somebody uploaded: contacts are read from it, and nothing is ever written to it."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import ClassVar

from syncer.connectors.base import (
    Account,
    App,
    BookInfo,
    Capabilities,
    CursorExpired,
    Field,
    Identity,
    Input,
    Meter,
    Misconfigured,
    Observed,
    Outcome,
    Owner,
    Page,
    RecordGone,
    Value,
    Write,
    WriteResult,
)
from syncer.connectors.csv_file.table import Row, Table, digest, parse
from syncer.connectors.registry import Options

BOOK = "contacts"
PAGE = 500
NOT_THERE = "The row is not in the file any more, and the file is not said to hold everybody: this proves no deletion."
APP = App(
    slug="csv_file",
    label="CSV file",
    settings=(
        Input("name", "Name of the list", "What the list is called. It stays when you upload a newer file."),
        Input(
            "full",
            "Holds everybody",
            "Enter yes if each file holds all contacts of the list, so that a row that is missing from a newer one was "
            "deleted. Else leave it empty.",
            required=False,
        ),
    ),
    credentials=(
        Input(
            "contents",
            "File",
            "A CSV file in UTF-8 or UTF-16, of at most 5 million characters, whose first line names the columns. It "
            "is only read: contacts go from it to the other app, never back.",
            secret=True,
            upload=True,
        ),
    ),
    capabilities=Capabilities(delta=True, tags=True, read_only=True, read_batch=PAGE),
)


class CsvFile:
    app: ClassVar[App] = APP

    def __init__(self, account: Account, options: Options, meter: Meter | None = None) -> None:
        """Raises Misconfigured: for an account that was not checked yet the whole file is looked at."""
        self._name = account.settings.get("name", "").strip()
        self._text = account.credentials.get("contents", "")
        full = account.settings.get("full", "").strip().casefold()
        if full not in ("", "yes", "no"):
            raise Misconfigured("Holds everybody: enter yes, or leave it empty.")
        self._full = full == "yes"
        if account.identity == "" and self._text != "":
            _ = self._table

    @cached_property
    def _table(self) -> Table:
        return parse(self._text)

    @cached_property
    def _by_id(self) -> dict[str, Row]:
        return {row.id: row for row in self._table.rows}

    @cached_property
    def _digest(self) -> str:
        return digest(self._text)

    def close(self) -> None:
        pass

    def check(self) -> Identity:
        rows = len(self._table.rows)
        return Identity(self._name, f"{self._name}, {rows} contact{'' if rows == 1 else 's'}")

    def books(self) -> Sequence[BookInfo]:
        return [BookInfo(BOOK, self._name, len(self._table.rows))]

    def fields(self, book: str) -> Sequence[Field]:
        return self._table.fields

    def owners(self) -> Sequence[Owner]:
        return []

    def tags(self, book: str) -> Sequence[str]:
        lists = [row.values.get("tags") for row in self._table.rows]
        return sorted({tag for tags in lists if isinstance(tags, list) for tag in tags})

    def changes(self, book: str, cursor: str, fields: Sequence[str]) -> Page:
        """A cursor is "kind digest offset". A file that is as it was is not read again; of another one, a delta shows
        every row."""
        kind, seen, start = self._place(cursor)
        if kind == "after" and seen == self._digest:
            return Page([], cursor, done=True, finish=cursor)
        if kind == "after":
            kind, start = "delta", 0
        elif seen != self._digest:
            raise CursorExpired("The file was replaced while it was read.")
        rows, end = self._table.rows, start + PAGE
        records = [observed(row, fields) for row in rows[start:end]]
        if end < len(rows):
            return Page(records, f"{kind} {self._digest} {end}", done=False)
        after = f"after {self._digest} 0"
        return Page(records, after, done=True, complete=kind == "full", finish=after)

    def _place(self, cursor: str) -> tuple[str, str, int]:
        if cursor == "":
            return "full", self._digest, 0
        match cursor.split(" "):
            case ["full" | "delta" | "after" as kind, seen, start] if start.isascii() and start.isdigit():
                return kind, seen, int(start)
        raise CursorExpired("This place in the file is not known.")

    def read(self, book: str, remote_id: str, fields: Sequence[str]) -> Observed:
        row = self._by_id.get(remote_id)
        if row is not None:
            return observed(row, fields)
        if self._full:
            raise RecordGone("The row is not in the file any more.")
        return Observed(remote_id, {}, problem=NOT_THERE)

    def read_many(self, book: str, remote_ids: Sequence[str], fields: Sequence[str]) -> Sequence[Observed | None]:
        gone = {one for one in remote_ids if self._full and one not in self._by_id}
        return [None if one in gone else self.read(book, one, fields) for one in remote_ids]

    def find(self, book: str, match_key: str = "", marker: str = "", fields: Sequence[str] = ()) -> Sequence[Observed]:
        wanted = match_key.casefold()
        emails = [(row, row.values.get("email")) for row in self._table.rows if wanted != ""]
        return [observed(row, fields) for row, email in emails if isinstance(email, str) and email.casefold() == wanted]

    def created_id(self, book: str, write: Write) -> str:
        return ""

    def stored(self, field: Field, value: Value) -> Value:
        return value

    def write(self, book: str, writes: Sequence[Write]) -> Iterator[WriteResult]:
        for _ in writes:
            yield WriteResult(Outcome.REFUSED, detail="A CSV file is only read. Let the connection go from it one way.")


def observed(row: Row, fields: Sequence[str]) -> Observed:
    return Observed(row.id, {name: row.values[name] for name in fields if name in row.values})
