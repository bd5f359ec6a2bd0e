"""The tests, on SQLite and then, those that touch the database, again on PostgreSQL.

PostgreSQL is the server at TEST_POSTGRES_URL (its user must be allowed to create databases), or a throw-away one where
its programs are installed. What is lacking is named in the last line; with CI=true that is a failure.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import postgres  # noqa: E402

NO_TESTS = 5  # pytest's own code for "nothing was collected"
NO_POSTGRES = "Skipped: PostgreSQL (no TEST_POSTGRES_URL and no initdb found)"


def main(arguments: Sequence[str]) -> int:
    first = pytest(arguments, os.environ.get("TEST_DATABASE_URL", ""))
    with postgres_url() as url:
        if url is None:
            sys.stdout.write(NO_POSTGRES + "\n")
            return first or int(os.environ.get("CI") == "true")
        second = pytest(["--database-only", *arguments], url)
    # A choice of tests may hold none that touches the database, or (rarely) nothing else.
    codes = {first, second}
    return max(codes - {NO_TESTS}, default=NO_TESTS)


def pytest(arguments: Sequence[str], database_url: str) -> int:
    environment = os.environ | {"TEST_DATABASE_URL": database_url}
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


@contextmanager
def postgres_url() -> Iterator[str | None]:
    given = os.environ.get("TEST_POSTGRES_URL")
    folder = postgres.binaries()
    if given:
        yield given
    elif folder is None:
        yield None
    else:
        with postgres.throw_away(folder) as url:
            yield url


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
