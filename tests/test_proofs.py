"""docs/proofs.md says what must hold and which test shows it; here it is held to what the tests say themselves."""

import ast
from pathlib import Path

import pytest

from scripts.mutations import PATCHES, DoesNotApply, Hunk, Mutation, applied, mutations, read
from tests.proofs import ROOT, TABLE, Row, filled, markers, rows

# What an issue's reader may rely on today; the other invariants belong to parts that are built later.
PROMISED = [1, 2, 3, 4, 5, 6, 7, 8, *range(10, 25), 26, 27, 28, 30, 35, 37, 38]


@pytest.fixture(scope="module")
def table() -> list[Row]:
    return rows(TABLE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def found() -> dict[str, list[str]]:
    return markers()


def test_the_table_is_what_the_markers_say(found: dict[str, list[str]]) -> None:
    text = TABLE.read_text(encoding="utf-8")
    assert filled(text, found) == text, "python -m tests.proofs --write"


def test_every_marker_has_its_row_and_no_row_stands_twice(table: list[Row], found: dict[str, list[str]]) -> None:
    named = [row.id for row in table]
    assert {one: tests for one, tests in found.items() if one not in named} == {}
    assert len(named) == len(set(named)) > 100


def test_every_named_test_is_there(table: list[Row]) -> None:
    assert [test for test in {test for row in table for test in row.tests} if not is_there(test)] == []


def is_there(test: str) -> bool:
    """Whether a file has this test, by its node id."""
    path, *parts = test.partition("[")[0].split("::")
    body: list[ast.stmt] = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    for part in parts:
        nodes = [node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == part]
        if not nodes:
            return False
        body = nodes[0].body
    return True


def test_what_is_promised_today_is_shown(table: list[Row]) -> None:
    shown = {row.id for row in table if row.tests}
    assert [number for number in PROMISED if f"I{number}" not in shown] == []


def test_only_what_is_built_later_has_no_test(table: list[Row]) -> None:
    assert [row.id for row in table if not row.tests and "later" not in row.words] == []


def test_all_invariants_and_all_parts_of_the_engine_are_there(table: list[Row]) -> None:
    assert [row.id for row in table if row.id.startswith("I")] == [f"I{number}" for number in range(1, 40)]
    parts = [int(row.id.split()[0][1:]) for row in table if row.id.startswith("E")]
    assert parts == sorted(parts) and set(parts) == set(range(1, 11))


def test_a_changed_table_is_noticed(found: dict[str, list[str]]) -> None:
    text = "| I4 | No value is erased. | – |\n| I99 | Nothing. | `tests/test_x.py::test_y` |\n"
    lines = filled(text, found).splitlines()
    assert rows(lines[0]) == [Row("I4", "No value is erased.", tuple(found["I4"]))]
    assert lines[1] == "| I99 | Nothing. | – |"


# The deliberate bugs; scripts/mutations.py runs them, which takes minutes


@pytest.mark.parametrize("mutation", [pytest.param(one, id=one.name) for one in mutations()])
def test_a_deliberate_bug_still_applies_and_its_test_is_there(mutation: Mutation) -> None:
    for path, text in applied(mutation, ROOT).items():
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse((ROOT / path).read_text(encoding="utf-8")))
    assert is_there(mutation.test)


def test_there_are_enough_of_them_in_all_parts_of_the_engine() -> None:
    found = mutations()
    assert len(found) >= 35 and len({(one.bug, one.harm) for one in found}) == len(found)
    touched = {hunk.path.rsplit("/", 1)[1] for one in found for hunk in one.hunks}
    assert touched >= {f"{name}.py" for name in ("pull", "replica", "planner", "matching", "plan", "apply", "settle")}
    assert touched >= {"recover.py", "creates.py", "slice.py", "leases.py", "chain.py", "services.py", "tasks.py"}


def test_a_patch_finds_its_place_by_its_text_and_says_so_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("# more\na = 1\nb = 2\nc = 3\n")
    patch = tmp_path / "two.patch"
    patch.write_text(
        "Bug: b.\nHarm: h.\nTest: tests/test_x.py::test_y\n"
        "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n+b = 5\n@@ -3 +3 @@\n-c = 3\n+c = 4\n"
    )
    mutation = read(patch)
    assert mutation.hunks == (Hunk("a.py", "a = 1\nb = 2\n", "a = 1\nb = 5\n"), Hunk("a.py", "c = 3\n", "c = 4\n"))
    assert applied(mutation, tmp_path) == {"a.py": "# more\na = 1\nb = 5\nc = 4\n"}
    for text, why in (("a = 1\nc = 3\n", "not found"), ("a = 1\nb = 2\n" * 2, "found twice")):
        (tmp_path / "a.py").write_text(text)
        with pytest.raises(DoesNotApply, match=why):
            applied(mutation, tmp_path)


def test_a_patch_that_does_not_say_what_it_is_is_refused(tmp_path: Path) -> None:
    patch = tmp_path / "silent.patch"
    patch.write_text(next(PATCHES.glob("*.patch")).read_text(encoding="utf-8").replace("Harm: ", "Haarm: "))
    with pytest.raises(ValueError, match="needs Bug:, Harm: and Test:"):
        read(patch)
