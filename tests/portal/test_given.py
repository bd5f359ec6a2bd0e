"""What this project was given: six packages, and the names at the top of the tree."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = {
    "django": "django",
    "djangorestframework": "rest_framework",
    "django-q2": "django_q",
    "requests": "requests",
    "django-environ": "environ",
    "django-cryptography-5": "django_cryptography",
}


def imported() -> set[str]:
    """The packages that our own code, without tests, imports by name."""
    found = set()
    for path in (file for package in ("portal", "connections", "syncer") for file in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(str(node.module).partition(".")[0])
    return found


def pinned(name: str) -> dict[str, str]:
    lines = re.findall(r"(?m)^([\w-]+)(?:\[[\w,-]+\])?==([\w.]+)$", (ROOT / name).read_text())
    return {package.lower(): version for package, version in lines}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_given_packages_are_required(package: str) -> None:
    assert package in pinned("requirements.txt")


@pytest.mark.parametrize("module", PACKAGES.values())
def test_the_given_packages_are_used(module: str) -> None:
    assert module in imported()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-demo.txt"])
def test_everything_is_pinned(name: str) -> None:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith(("#", "-r "))]
    assert len(lines) == len(pinned(name))


def test_the_drop_in_is_said_where_people_look() -> None:
    for page in ("requirements.txt", "README.md"):
        text = (ROOT / page).read_text()
        assert "django-cryptography" in text and "drop-in" in text, page


def test_the_top_of_the_tree_is_as_given() -> None:
    for name in ("portal", "connections", "syncer", "sandbox", "tests", "benchmarks", "templates", "docs/adr"):
        assert (ROOT / name).is_dir(), name
    files = (
        "manage.py Makefile requirements.txt requirements-dev.txt pyproject.toml README.md CHANGELOG.md CONTRIBUTING.md"
    )
    for name in (*files.split(), "compose.yaml", "Dockerfile", ".env.example", ".ci/run"):
        assert (ROOT / name).is_file(), name


def test_vobject_is_a_witness_in_tests_and_nothing_more() -> None:
    assert "vobject" not in imported()
    assert "vobject" in pinned("requirements-dev.txt")
    assert "vobject" not in pinned("requirements.txt")
