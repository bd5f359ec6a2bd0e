"""`manage.py run` as a person starts it: a real web server and a real worker, and nothing left after Ctrl-C."""

import base64
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from portal.clock import SYSTEM

ROOT = Path(__file__).resolve().parent.parent.parent
RUN = [sys.executable, str(ROOT / "manage.py"), "run"]
PATIENCE = 90


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")}
    return kept | {"DATA_DIR": str(tmp_path / "data"), "STATIC_ROOT": str(tmp_path / "static"), "PORT": str(port)}


@pytest.fixture
def running(environment: dict[str, str], tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(RUN, env=environment, stdout=out, stderr=out, start_new_session=True)
    with ended(process):
        yield process


@contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Whatever happens meanwhile."""
    try:
        yield
    finally:
        process.kill()
        process.wait()
        for child in descendants(process.pid):
            os.kill(child, signal.SIGKILL)


def descendants(process_id: int) -> list[int]:
    parents = {int(path.parent.name): _parent(path) for path in Path("/proc").glob("[0-9]*/stat")}
    found = [process_id]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def wait_for_page(environment: Mapping[str, str], process: "subprocess.Popen[bytes]") -> None:
    deadline = SYSTEM.monotonic() + PATIENCE
    while SYSTEM.monotonic() < deadline:
        assert process.poll() is None, "it ended by itself"
        try:
            with urlopen(f"http://127.0.0.1:{environment['PORT']}/healthz", timeout=5):
                return
        except (URLError, OSError):
            threading.Event().wait(0.2)
    raise AssertionError("no page came")


def gone(process_id: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{process_id}/stat").read_text()
    except OSError:
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_works_and_leaves_nothing_behind(
    running: "subprocess.Popen[bytes]", environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    wait_for_page(environment, running)
    children = descendants(running.pid)
    commands = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    assert any(b"gunicorn" in command for command in commands)
    assert any(b"qcluster" in command for command in commands)
    running.send_signal(number)
    assert running.wait(PATIENCE) == 0, (tmp_path / "out").read_text()
    assert [child for child in children if not gone(child)] == []
    assert os.stat(tmp_path / "data" / "counterpart.sqlite3").st_size > 0


@pytest.mark.parametrize("form", ["plain", "json"])
def test_every_line_of_every_process_has_the_form_that_was_asked_for(
    environment: dict[str, str], tmp_path: Path, form: str
) -> None:
    key = base64.urlsafe_b64encode(bytes(32)).decode()
    with (tmp_path / "out").open("wb") as out:
        wanted = environment | {"LOG_FORMAT": form, "CHECKPOINT_KEY": key}
        process = subprocess.Popen(RUN, env=wanted, stdout=out, stderr=out, start_new_session=True)
    with ended(process):
        wait_for_page(environment, process)
        asked = Request(f"http://127.0.0.1:{environment['PORT']}/nowhere/", headers={"X-Request-Id": "mine"})
        with pytest.raises(HTTPError) as answer:
            urlopen(asked, timeout=30)
        assert answer.value.headers["X-Request-Id"] == "mine"
        answer.value.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    lines = (tmp_path / "out").read_text().splitlines()
    assert any("Starting gunicorn" in line for line in lines)
    if form == "json":
        found = [json.loads(line) for line in lines]
        assert any(line["event"].startswith("Counterpart is starting") for line in found)
        assert [line["path"] for line in found if line.get("request") == "mine"] == ["/nowhere/"]
    else:
        assert any(line.startswith("Counterpart is starting") for line in lines)
        assert any(" INFO portal.access: GET /nowhere/ 404 " in line and "[request=mine]" in line for line in lines)


def test_a_taken_port_is_said_before_anything_starts(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(environment["PORT"])))
        other.listen()
        done = subprocess.run(RUN, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert "Try another: make run PORT=" in done.stderr
    assert not (tmp_path / "data" / "counterpart.sqlite3").exists()


def test_keys_that_do_not_fit_stop_it_in_plain_words(environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        RUN, env=environment | {"FIELD_ENCRYPTION_KEYS": "short"}, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 1
    assert "portal.E002" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_down_is_said_without_its_password(environment: dict[str, str]) -> None:
    nobody = {"DATABASE_URL": "postgres://counterpart:s3cret-canary@127.0.0.1:1/counterpart"}
    done = subprocess.run(RUN, env=environment | nobody, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert "Check DATABASE_URL" in done.stderr
    assert "canary" not in done.stdout + done.stderr


def test_an_unknown_part_is_refused(environment: dict[str, str]) -> None:
    done = subprocess.run([*RUN, "wrong"], env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, "web and worker" in done.stderr) == (1, True)


def test_sqlite_is_in_wal_mode_after_a_run(environment: dict[str, str], tmp_path: Path) -> None:
    migrate = [sys.executable, str(ROOT / "manage.py"), "migrate", "-v0"]
    subprocess.run(migrate, env=environment, check=True, timeout=PATIENCE)
    with sqlite3.connect(tmp_path / "data" / "counterpart.sqlite3") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()
