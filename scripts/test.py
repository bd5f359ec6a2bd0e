"""The tests, on SQLite and, those that touch the database, beside that on PostgreSQL; its output comes after.

PostgreSQL is the server at TEST_POSTGRES_URL (its user must be allowed to create databases), or a throw-away one where
its programs are installed. What is lacking is named in the last line; with CI=true that is a failure.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import postgres  # noqa: E402

NO_TESTS = 5  # pytest's own code for "nothing was collected"
NO_POSTGRES = "Skipped: PostgreSQL (no TEST_POSTGRES_URL and no initdb found)"


def main(arguments: Sequence[str]) -> int:
    with postgres_url() as url, tempfile.TemporaryFile() as output:
        other = None if url is None else start(["--database-only", *arguments], url, output)
        try:
            first = start(arguments, os.environ.get("TEST_DATABASE_URL", "")).wait()
            if other is None:
                sys.stdout.write(NO_POSTGRES + "\n")
                return first or int(os.environ.get("CI") == "true")
            second = other.wait()
        finally:
            if other is not None:
                other.kill()
        output.seek(0)
        sys.stdout.write("\nOn PostgreSQL:\n" + output.read().decode(errors="replace"))
    # A choice of tests may hold none that touches the database, or (rarely) nothing else.
    codes = {first, second}
    return max(codes - {NO_TESTS}, default=NO_TESTS)


def start(arguments: Sequence[str], database_url: str, output: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"TEST_DATABASE_URL": database_url}
    command = [sys.executable, "-m", "pytest", *arguments]
    stderr = subprocess.STDOUT if output is not None else None
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=stderr)


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
