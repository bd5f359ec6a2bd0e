"""`make bench`: every benchmark there is, each in a process of its own so that memory is its own."""

import subprocess
import sys

BENCHMARKS = (
    ("benchmarks.engine", "1000"),
    ("benchmarks.engine", "10000"),
    ("benchmarks.vdirsyncer",),
    ("benchmarks.api",),
)


def main() -> int:
    codes = [subprocess.run([sys.executable, "-m", *command], check=False).returncode for command in BENCHMARKS]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
