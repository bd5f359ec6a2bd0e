"""The contract of connectors, for a file that is only read; and what a file may look like."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from syncer.connectors.base import Account, Connector, Meter, Misconfigured, Outcome, RecordGone, Value
from syncer.connectors.csv_file.connector import CsvFile
from syncer.connectors.csv_file.table import MOST_CHARACTERS, MOST_ROWS, parse
from syncer.connectors.registry import Options
from tests.contract.suite import KEPT, Harness, ReadingSuite, read_pass, results

HEADERS = {"given": "First Name", "family": "Last Name", "email": "E-mail Address", "mobile": "Mobile Phone"}
HEADERS |= {"title": "Job Title", "note": "Notes", "tags": "Labels"}
BROKEN = {"no header": "", "ragged": "id,Email\n1\n", "not closed": 'id,Email\n1,"a@b.example\n', "NUL": "id\n\0\n"}


class File(Harness):
    book = "contacts"
    names = {word: word for word in HEADERS}
    page = 500
    troubles = tuple(BROKEN)

    def __init__(self, full: str = "yes") -> None:
        self.full, self.rows, self.made = full, dict[str, dict[str, str]](), 0
        self.broken: str | None = None

    def connector(self, meter: Meter | None = None) -> Connector:
        text = self.text() if self.broken is None else self.broken
        settings = {"name": "Press list", "full": self.full}
        return CsvFile(Account("csv_file", settings, {"contents": text}, "Press list"), Options(False, {}), meter)

    def text(self) -> str:
        out = io.StringIO()
        writer = csv.DictWriter(out, ["id", "Shoe size", *HEADERS.values()])
        writer.writeheader()
        writer.writerows(self.rows.values())
        return out.getvalue()

    def nobody(self) -> Connector:
        raise NotImplementedError("there is no address where a file could be missing")

    def person_creates(self, **values: Value) -> str:
        self.made += 1
        self.rows[f"id:{self.made}"] = {"id": str(self.made), "Shoe size": KEPT}
        self.person_edits(f"id:{self.made}", **values)
        return f"id:{self.made}"

    def person_edits(self, remote_id: str, **values: Value) -> None:
        for word, value in values.items():
            self.rows[remote_id][HEADERS[word]] = ", ".join(value) if isinstance(value, list) else str(value)

    def person_deletes(self, remote_id: str) -> None:
        del self.rows[remote_id]

    def holds(self, remote_id: str) -> str:
        return json.dumps(self.rows[remote_id])

    def ids(self) -> set[str]:
        return set(self.rows)

    def requests(self) -> tuple[int, int]:
        return 0, 0

    def lose_answer(self, number: int) -> None:
        raise NotImplementedError("nothing is written")

    @contextmanager
    def trouble(self, kind: str) -> Iterator[None]:
        self.broken = BROKEN[kind]
        yield
        self.broken = None

    def expired_cursor(self) -> str:
        return "full another-file 500"


class Late:
    """A connector made anew for each call, as each slice does: the suite's people replace the file under it."""

    def __init__(self, bench: File) -> None:
        self.bench = bench

    def __getattr__(self, name: str) -> object:
        return getattr(self.bench.connector(), name)


class TestCsvFile(ReadingSuite):
    @pytest.fixture
    def bench(self) -> File:
        return File()

    @pytest.fixture
    def connector(self, bench: File) -> Connector:
        return Late(bench)  # type: ignore[return-value]

    def test_a_delta_shows_who_came_changed_and_went(self, bench: Harness, connector: Connector) -> None:
        """A file tells of no deletion; of another file all rows are shown, and of the same one none."""
        people = bench.people(3)
        full = read_pass(connector, bench)
        assert not read_pass(connector, bench, full.cursor, full.records).records
        new = bench.person_creates(given="New", family="Person")
        bench.person_deletes(people[1])
        delta = read_pass(connector, bench, full.cursor, full.records)
        assert set(delta.records) == {people[0], people[2], new}
        assert not delta.gone and not delta.pages[-1].complete

    def test_no_trouble_proves_anybody_deleted(self, bench: Harness) -> None:
        one, _ = bench.people(2)
        for kind in bench.troubles:
            with bench.trouble(kind), pytest.raises(Misconfigured):
                bench.connector().read(bench.book, one, bench.fields())

    def test_every_write_is_refused_in_words(self, bench: Harness, connector: Connector) -> None:
        (one,) = bench.people(1)
        before = bench.holds(one)
        seen = connector.read(bench.book, one, bench.fields())
        done = results(connector, bench.book, [bench.create(1), bench.update(seen, title="Countess")])
        assert [result.outcome for result in done] == [Outcome.REFUSED] * 2
        assert "only read" in done[0].detail
        assert bench.holds(one) == before
        assert not any(field.writable for field in connector.fields(bench.book))


def test_a_missing_row_proves_a_deletion_only_where_the_file_holds_everybody() -> None:
    full, part = File("yes"), File("")
    for bench in (full, part):
        bench.people(1)
    with pytest.raises(RecordGone):
        full.connector().read("contacts", "id:9", ["email"])
    assert full.connector().read_many("contacts", ["id:9"], ["email"]) == [None]
    (seen,) = part.connector().read_many("contacts", ["id:9"], ["email"])
    assert seen is not None and seen.problem != "" and not seen.values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("Email,First Name\na@x.example,Ada,more\n", "Line 2 has 3 cells"),
        ("Email,First Name\n\na@x.example\n", "Line 3 has 1 cells"),
        ("Email,email\na,b\n", "Two columns are named email"),
        ("Email,\na,b\n", "Column 2 has no name"),
        ("ada@x.example,Ada\n", "holds an e-mail address"),
        ("Email\na\0b\n", "Line 2 holds a NUL"),
        ('Email,Notes\na@x.example,"not closed\n', "at line 2"),
        ("id,Email\n7,a@x.example\n7,b@x.example\n", "Line 3 has the same id"),
        ("Notes\n" + "x" * MOST_CHARACTERS, "too large"),
        ("id\n" + "\n".join(map(str, range(MOST_ROWS + 1))), "more than 50,000 rows"),
        (",".join(f"c{n}" for n in range(201)) + "\n", "more than 200 columns"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_its_line(text: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        parse(text)


@pytest.mark.parametrize("delimiter", list(",;\t|"))
def test_delimiters_marks_quotes_and_line_ends(delimiter: str) -> None:
    cells = [["Given Name", "Email", "Notes"], ["Ada", "Ada@X.example", f'"two{delimiter}\nlines"']]
    table = parse("\ufeff" + "\r\n".join(delimiter.join(row) for row in cells) + "\r\n")
    (row,) = table.rows
    assert (row.id, row.values) == (
        "email:ada@x.example",
        {"given": "Ada", "email": "Ada@X.example", "note": f"two{delimiter}\nlines"},
    )


def test_excel_names_the_delimiter_itself() -> None:
    assert parse("sep=;\nEmail;A,B,C\na@x.example;1\n").rows[0].values == {"email": "a@x.example", "column:a,b,c": "1"}


def test_rows_without_id_and_address_are_told_apart_by_what_they_hold() -> None:
    table = parse("First Name,Email\nAda,\nAda,\nEve,\nBen,b@x.example\nBea,B@x.example\n")
    ids = [row.id for row in table.rows]
    assert ids[1] == f"{ids[0]}#2" and len(set(ids)) == 5
    assert ids[3:] == ["email:b@x.example", "email:b@x.example#2"]


def test_a_cell_like_a_formula_is_taken_as_it_is() -> None:
    assert parse("First Name,Mobile\n=1+1,+31612345678\n").rows[0].values == {"given": "=1+1", "mobile": "+31612345678"}
