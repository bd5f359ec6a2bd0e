"""The table of docs/proofs.md: what must hold, and the tests that show it. `python -m tests.proofs --write` fills it.

A test says what it proves by `@pytest.mark.proves("I14", "E7 updates")`. The words of the table are ours, and its
last column comes from these markers, read from the source without importing it.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "proofs.md"
ROW = re.compile(r"\| (?P<id>[IE]\d+[^|]*?) \| (?P<words>[^|]+?) \| (?P<tests>[^|]*?) ?\|")
NAME = re.compile(r"`(tests/[^`]+)`")
NOBODY = "–"


@dataclass(frozen=True)
class Row:
    id: str
    words: str
    tests: tuple[str, ...]


def rows(text: str) -> list[Row]:
    """What the table holds, in its order."""
    found = [match for line in text.splitlines() if (match := ROW.fullmatch(line)) is not None]
    return [Row(one["id"], one["words"], tuple(NAME.findall(one["tests"]))) for one in found]


def markers(root: Path = ROOT) -> dict[str, list[str]]:
    """By invariant or rule, the tests that carry its marker."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((root / "tests").rglob("*.py")):
        for name, ids in marked(ast.parse(path.read_text(encoding="utf-8"))):
            for one in ids:
                found[one].append(f"{path.relative_to(root).as_posix()}::{name}")
    return dict(found)


def marked(module: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """The tests of a module with what they prove: by their own decorators, their class's, and the module's."""
    own = [node.value for node in module.body if isinstance(node, ast.Assign) and is_pytestmark(node)]
    yield from marked_in(module.body, "", proven(own))


def marked_in(body: Sequence[ast.stmt], prefix: str, outer: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from marked_in(node.body, f"{prefix}{node.name}::", [*outer, *proven(node.decorator_list)])
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield f"{prefix}{node.name}", list(dict.fromkeys([*outer, *proven(node.decorator_list)]))


def is_pytestmark(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets)


def proven(decorators: Sequence[ast.expr]) -> list[str]:
    return [
        argument.value
        for decorator in decorators
        for call in ast.walk(decorator)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "proves"
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]


def filled(text: str, found: Mapping[str, Sequence[str]]) -> str:
    """The table with its last column as the markers say."""
    return "".join(filled_line(line, found) for line in text.splitlines(keepends=True))


def filled_line(line: str, found: Mapping[str, Sequence[str]]) -> str:
    match = ROW.fullmatch(line.rstrip("\n"))
    if match is None:
        return line
    tests = "<br>".join(f"`{test}`" for test in found.get(match["id"], ())) or NOBODY
    return f"| {match['id']} | {match['words']} | {tests} |\n"


if __name__ == "__main__":
    table = filled(TABLE.read_text(encoding="utf-8"), markers())
    if "--write" in sys.argv:
        TABLE.write_text(table, encoding="utf-8")
    else:
        print(table)
