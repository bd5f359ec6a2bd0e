"""What some tests need beyond Python: `@needs("chromium")` skips by name where it is lacking.

The names of what was lacking are the last thing a run says. With CI=true a skip is a failure, but for what no machine
can install (`specs`: the apps' API descriptions, which are not ours to ship).
"""

import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts import postgres

SPECS = Path(__file__).resolve().parent.parent.parent / "shared" / "specs"
SABREDAV = Path("/usr/share/php/Sabre/autoload.php")
PRISM = Path(os.environ.get("PRISM_HOME", "/opt/prism")) / "node_modules" / ".bin"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Need:
    present: Callable[[], bool]
    absent: str
    installable: bool = True


def browser() -> str | None:
    """The path of a Chromium to drive."""
    return next((path for path in map(shutil.which, BROWSERS) if path is not None), None)


def prism() -> str | None:
    """The path of a program that minds an API's description between a client and a server."""
    return shutil.which("prism") or shutil.which("prism", path=str(PRISM))


def _module(name: str) -> Callable[[], bool]:
    return lambda: importlib.util.find_spec(name) is not None


def _sabredav() -> bool:
    sqlite = any(Path("/usr/lib/php").glob("*/pdo_sqlite.so"))
    return shutil.which("php") is not None and SABREDAV.exists() and sqlite


NEEDS: dict[str, Need] = {
    "chromium": Need(lambda: browser() is not None, "no chromium found; apt-get install chromium"),
    "postgresql": Need(lambda: postgres.binaries() is not None, "no initdb found; apt-get install postgresql"),
    "radicale": Need(_module("radicale"), "not installed; pip install -r requirements-dev.txt"),
    "xandikos": Need(_module("xandikos"), "not installed; pip install -r requirements-dev.txt"),
    "sabredav": Need(_sabredav, "not found; apt-get install php-sabre-dav php-cli php-sqlite3"),
    "vdirsyncer": Need(_module("vdirsyncer"), "not installed; pip install -r requirements-dev.txt"),
    "prism": Need(
        lambda: prism() is not None,
        f"not found; npm install --prefix {PRISM.parent.parent} @stoplight/prism-cli@5.14.2",
    ),
    "specs": Need(SPECS.is_dir, "no API descriptions in ../shared/specs", installable=False),
}


def skipped(name: str) -> str:
    return f"{name} ({NEEDS[name].absent})"


def needs(name: str) -> pytest.MarkDecorator:
    """For a test, a class or a module's `pytestmark`. An unknown name is an error, not a skip."""
    return pytest.mark.skipif(not NEEDS[name].present(), reason=skipped(name))
