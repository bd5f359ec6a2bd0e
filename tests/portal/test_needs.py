"""A skip is said by name, and where CI=true it is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import needs

ROOT = Path(__file__).resolve().parent.parent.parent
LACKING = """
import pytest
from tests.needs import NEEDS, Need, needs

NEEDS["unicorn"] = Need(lambda: False, "none was found")


@needs("unicorn")
def test_ride():
    raise AssertionError


def test_walk():
    pass
"""
SPECS = LACKING.replace('"unicorn"', '"specs"').replace('"none was found"', '"none was found", installable=False')


def run(folder: Path, text: str, ci: str) -> "subprocess.CompletedProcess[str]":
    path = folder / "test_lacking.py"
    path.write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", str(ROOT / "pyproject.toml"), str(path)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"CI": ci}, capture_output=True, text=True, timeout=60)


def test_what_was_lacking_is_named_at_the_end(tmp_path: Path) -> None:
    done = run(tmp_path, LACKING, ci="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Skipped: unicorn (none was found)" in done.stdout.splitlines()[-2]
    assert done.stdout.splitlines()[-1].startswith("1 passed, 1 skipped")


def test_ci_allows_no_skip(tmp_path: Path) -> None:
    done = run(tmp_path, LACKING, ci="true")
    assert done.returncode == 1
    assert "CI=true allows no skipped test." in done.stdout


def test_ci_forgives_what_no_machine_can_install(tmp_path: Path) -> None:
    assert run(tmp_path, SPECS, ci="true").returncode == 0


def test_an_unknown_need_is_an_error() -> None:
    with pytest.raises(KeyError):
        needs("unicorn")
