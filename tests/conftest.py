"""Shared by all tests: which run on PostgreSQL too, what a skip means, and an empty cache for each."""

import os
import shutil
from collections.abc import Iterator

import pytest
from django.core.cache import caches
from django.test import TransactionTestCase

from tests.needs import NEEDS, skipped
from tests.settings import STATIC_ROOT, TEMPORARY

DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "live_server"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database-only", action="store_true", help="only the tests that touch the database")


def pytest_configure(config: pytest.Config) -> None:
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(TEMPORARY, ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--database-only"):
        return
    others = [item for item in items if not _touches_database(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if _touches_database(item)]


def _touches_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("one_database") is not None:
        return False
    fixtures = set(getattr(item, "fixturenames", ()))
    case = getattr(item, "cls", None)
    return (
        item.get_closest_marker("django_db") is not None
        or not DATABASE_FIXTURES.isdisjoint(fixtures)
        or (case is not None and issubclass(case, TransactionTestCase))
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for reason in sorted(_skips(terminalreporter)):
        terminalreporter.write_line(f"Skipped: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or reporter is None or session.exitstatus != pytest.ExitCode.OK:
        return
    forgiven = {skipped(name) for name, need in NEEDS.items() if not need.installable}
    if _skips(reporter) - forgiven:
        reporter.write_line("CI=true allows no skipped test.")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _skips(reporter: pytest.TerminalReporter) -> set[str]:
    reports = reporter.stats.get("skipped", [])
    return {str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports if report.longrepr}


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    for name in ("default", "shared"):
        caches[name].clear()
    yield
