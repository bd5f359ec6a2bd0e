"""Deliberate bugs, to see that the tests would notice them: `python scripts/mutations.py [name...]`.

Each file of tests/mutations is one bug: a patch, and above it what it is (`Bug:`), what it would do to a user (`Harm:`)
and the one test that catches it (`Test:`). Each is put into a copy of the code, and only that test is run there. First
all these tests run on the code as it is, so that a failure later is the bug's. Ends with 1 where a bug is not caught.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATCHES = ROOT / "tests" / "mutations"
LEFT_OUT = (".git", ".venv", ".*_cache", ".hypothesis", "docs", "node_modules")
AT_ONCE = 2
LONGEST = 1800  # seconds, for all of the tests together on a busy machine
FAILED = 1  # pytest's own code for "tests failed"; any other is no answer


class DoesNotApply(Exception):
    """The code is not any more what the patch was made for."""


@dataclass(frozen=True)
class Hunk:
    """`old` lines of a file that become `new` ones. Where they stand is found by their text: the numbers of a patch
    move with every edit above it."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutation:
    name: str
    bug: str
    harm: str
    test: str
    hunks: tuple[Hunk, ...]


def read(path: Path) -> Mutation:
    """Raises ValueError where a part is missing."""
    text = path.read_text(encoding="utf-8")
    head, _, patch = text.partition("\n--- ")
    said = dict(re.findall(r"^(Bug|Harm|Test): (.+)$", head, re.MULTILINE))
    if said.keys() != {"Bug", "Harm", "Test"} or not patch:
        raise ValueError(f"{path.name} needs Bug:, Harm: and Test:, and a patch")
    return Mutation(path.stem, said["Bug"], said["Harm"], said["Test"], tuple(hunks_of("--- " + patch)))


def hunks_of(patch: str) -> Iterator[Hunk]:
    target, old, new = "", "", ""
    for line in [*patch.splitlines(keepends=True), "@@ end"]:
        if line.startswith(("--- ", "+++ ", "@@ ")):
            if old or new:
                yield Hunk(target, old, new)
            old, new = "", ""
            target = line[6:].strip() if line.startswith("+++ b/") else target
        else:
            old += line[1:] if line[0] in " -" else ""
            new += line[1:] if line[0] in " +" else ""


def mutations(names: Sequence[str] = ()) -> list[Mutation]:
    found = [read(path) for path in sorted(PATCHES.glob("*.patch"))]
    unknown = set(names) - {one.name for one in found}
    if unknown:
        raise SystemExit(f"There is no deliberate bug called {', '.join(sorted(unknown))}.")
    return [one for one in found if not names or one.name in names]


def applied(mutation: Mutation, root: Path) -> dict[str, str]:
    """The files that it changes, by their path, as they are then. Raises DoesNotApply."""
    changed: dict[str, str] = {}
    for hunk in mutation.hunks:
        path = root / hunk.path
        text = changed.get(hunk.path) or (path.read_text(encoding="utf-8") if path.is_file() else "")
        if text.count(hunk.old) != 1:
            raise DoesNotApply(f"{hunk.path}: {'found twice' if hunk.old in text else 'not found'}: {hunk.old.strip()}")
        changed[hunk.path] = text.replace(hunk.old, hunk.new)
    return changed


@contextmanager
def copy_of_the_code() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="counterpart-mutation-") as folder:
        root = Path(folder) / "code"
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*LEFT_OUT))
        yield root


def run_tests(root: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-rfE", "--hypothesis-seed=0", *tests]
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=LONGEST)


def verdict(mutation: Mutation) -> tuple[str, str]:
    """caught, survived, does not apply, or no answer; and what there is to say about it."""
    try:
        with copy_of_the_code() as root:
            for path, text in applied(mutation, root).items():
                (root / path).write_text(text, encoding="utf-8")
            done = run_tests(root, [mutation.test])
    except DoesNotApply as error:
        return "does not apply", str(error)
    except subprocess.TimeoutExpired:
        return "no answer", f"not after {LONGEST} seconds"
    if done.returncode == FAILED and re.search(r"^FAILED ", done.stdout, re.MULTILINE):
        return "caught", ""
    return ("survived" if done.returncode == 0 else "no answer"), done.stdout[-2000:] + done.stderr[-500:]


def failing_without(found: Sequence[Mutation]) -> set[str]:
    """The tests that fail on the code as it is: they prove nothing about a bug."""
    tests = sorted({one.test for one in found})
    with copy_of_the_code() as root:
        done = run_tests(root, tests)
    if done.returncode == 0:
        return set()
    failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    sys.stdout.write(done.stdout[-4000:] + done.stderr[-500:])
    return {test for test in tests if not failed or any(one == test or one.startswith(f"{test}[") for one in failed)}


def main(names: Sequence[str]) -> int:
    began, found, caught = time.monotonic(), mutations(names), 0
    failing = failing_without(found)
    tried = [one for one in found if one.test not in failing]
    for one in found:
        if one not in tried:
            sys.stdout.write(f"{'not tried':15} {one.name}: {one.test} fails without it\n")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for one, (outcome, about) in zip(tried, pool.map(verdict, tried), strict=True):
            caught += outcome == "caught"
            sys.stdout.write(f"{outcome:15} {one.name}: {one.bug}\n")
            if about:
                sys.stdout.write(f"{one.test}\n{about}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{caught} of {len(found)} caught in {time.monotonic() - began:.0f} s\n")
    return int(caught < len(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
