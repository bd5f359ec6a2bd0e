"""A throw-away PostgreSQL for the tests: made in a temporary directory, gone afterwards."""

import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
USER = "counterpart"
START_SECONDS = 30
# Nobody keeps these data: a crash of the machine may lose them.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60")


class RunAs(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def binaries() -> Path | None:
    """Where initdb, postgres and pg_isready are, the newest first; None where there is no PostgreSQL."""
    on_path = shutil.which("initdb")
    candidates = [] if on_path is None else [Path(on_path).resolve().parent]
    for place in PLACES:
        candidates += sorted(Path("/").glob(place.lstrip("/")), key=_version, reverse=True)
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


def _version(folder: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", str(folder))]


@contextmanager
def throw_away(folder: Path) -> Iterator[str]:
    """A running server's URL; `folder` is what binaries() gave. Raises RuntimeError where it does not start."""
    with tempfile.TemporaryDirectory(prefix="counterpart-pg-") as temporary:
        run_as = _owner(Path(temporary))
        data, password, port = Path(temporary) / "data", secrets.token_urlsafe(24), _free_port()
        _initialise(folder, data, password, run_as)
        log = (Path(temporary) / "log").open("wb")
        server = subprocess.Popen(_server(folder, data, port), stdout=log, stderr=log, start_new_session=True, **run_as)
        try:
            _wait(folder, port, server, Path(log.name))
            yield f"postgres://{USER}:{password}@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()  # a "smart" stop would wait for clients; there are none left
            _end(server)
            log.close()


def _owner(temporary: Path) -> RunAs:
    """PostgreSQL refuses to run as root: then it runs as `postgres`, or as `nobody`."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    os.chown(temporary, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _initialise(folder: Path, data: Path, password: str, run_as: RunAs) -> None:
    # A file, because the server's user may not open a pipe of ours; nobody else can enter this directory.
    given = data.parent / "password"
    given.write_text(password)
    if "user" in run_as:
        os.chown(given, run_as["user"], run_as["group"])
    command: list[str | Path] = [folder / "initdb", "-D", data, "-U", USER, "-E", "UTF8", "--locale=C", "--no-sync"]
    command += ["-A", "scram-sha-256", f"--pwfile={given}"]
    done = subprocess.run(command, text=True, capture_output=True, cwd="/", **run_as)
    if done.returncode != 0:
        raise RuntimeError(f"initdb failed: {done.stderr.strip()}")


def _server(folder: Path, data: Path, port: int) -> list[str | Path]:
    command: list[str | Path] = [folder / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", str(data)]
    for option in FAST:
        command += ["-c", option]
    return command


def _wait(folder: Path, port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    pause = threading.Event()
    for _ in range(START_SECONDS * 10):
        if server.poll() is not None:
            break
        asked: list[str | Path] = [folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        if subprocess.run(asked).returncode == 0:
            return
        pause.wait(0.1)
    raise RuntimeError(f"The throw-away PostgreSQL did not start: {log.read_text()[-2000:]}")


def _end(server: "subprocess.Popen[bytes]") -> None:
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
