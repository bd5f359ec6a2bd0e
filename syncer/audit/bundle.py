"""Making verify.py: one file out of the modules that hold the rules, so that they exist once.

Each goes in as it stands, but for its imports: those of the standard library move to the top, ours fall away because
all names then share one file. So these modules import ours only name by name, and none may use a name twice.
"""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ALONE = """import sys

if __name__ == "__main__" and not sys.flags.isolated:
    del sys.path[0]  # nothing that lies beside this file is a module"""
_HERE = Path(__file__).parent
PARTS = ("format", "walk", "ed25519", "pack", "verifier")
_OURS = "syncer.audit."


@cache
def verify_py() -> str:
    """The text of verify.py. It begins with how it is used; the rules follow, and what runs stands last."""
    found = [_split((_HERE / f"{name}.py").read_text(encoding="utf-8")) for name in PARTS]
    *rules, (usage, _, main) = found
    imports = _merged(line for _, lines, _ in found for line in lines)
    bodies = [f"{_comment(words)}\n\n{body.strip()}" for words, _, body in rules]
    whole = "\n\n\n".join([*bodies, main.strip()])
    return f'"""{usage}"""\n\nfrom __future__ import annotations\n\n{ALONE}\n\n{imports}\n\n{whole}\n'


def _split(source: str) -> tuple[str, list[ast.Import | ast.ImportFrom], str]:
    """The docstring, the imports from the standard library, and the rest as it is."""
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in (tree.body[0], *imports):
        lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return ast.get_docstring(tree, clean=False) or "", [node for node in imports if not _is_ours(node)], "".join(lines)


def _is_ours(node: ast.Import | ast.ImportFrom) -> bool:
    module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
    return module == "__future__" or module.startswith(_OURS)


def _merged(nodes: Iterable[ast.Import | ast.ImportFrom]) -> str:
    """Each module once, sorted."""
    whole: set[str] = set()
    named: dict[str, set[str]] = {}
    for node in nodes:
        names = {ast.unparse(name) for name in node.names}
        if isinstance(node, ast.ImportFrom):
            named.setdefault(node.module or "", set()).update(names)
        else:
            whole |= names
    lines = [f"import {name}" for name in sorted(whole)]
    return "\n".join(
        [*lines, *(f"from {module} import {', '.join(sorted(named[module]))}" for module in sorted(named))]
    )


def _comment(words: str) -> str:
    return "\n".join(f"# {line}".rstrip() for line in words.strip().splitlines())
