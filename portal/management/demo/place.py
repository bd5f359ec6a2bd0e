"""Where the demo lives: a folder with its own settings, keys and passwords, apart from those of `make run`.

Its settings are a file that settings.py can read, so that any command works on the demo's data too:
`ENV_FILE=var/demo/env python manage.py sync ...`.
"""

import base64
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import environ
from django.core.management.base import CommandError

from sandbox.contacts import GoogleServer
from sandbox.newsletter import MailchimpServer

ENV = "env"
CALLS_PER_HOUR = 100_000
# Made or taken once, then kept: the stored credentials, the CardDAV account and the printed passwords hang on them.
KEPT = (
    "SECRET_KEY",
    "FIELD_ENCRYPTION_KEYS",
    "CHECKPOINT_KEY",
    "DEMO_PASSWORD",
    "DEMO_CARDDAV_PASSWORD",
    "DEMO_CARDDAV_PORT",
)
# Taken from the environment of this start, else as at the last one.
CHOSEN = {
    "DATABASE_URL": "",
    "PORT": "8000",
    "BIND": "127.0.0.1",
    "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
    "STATIC_ROOT": "",
    "LOG_LEVEL": "INFO",
    "DEMO_SALESMATE_PORT": "8101",
    "DEMO_GOOGLE_PORT": "8102",
    "DEMO_MAILCHIMP_PORT": "8103",
    "DEMO_CONTACTS": "400",
}
HEAD = """\
# Written by make demo at each start. With it any command works on the demo's data:
# ENV_FILE={path} .venv/bin/python manage.py verify_log
"""


class _Apart(environ.Env):  # type: ignore[misc]
    """Reads a file of settings into a place of its own, not into the environment."""

    ENVIRON: dict[str, str] = {}


def read(path: Path) -> dict[str, str]:
    """The settings in a file; none where it is missing."""
    if not path.exists():
        return {}
    _Apart.ENVIRON = {}
    _Apart.read_env(str(path))
    return dict(_Apart.ENVIRON)


def environment(folder: Path, given: Mapping[str, str], env_file: Path) -> dict[str, str]:
    """The environment for the demo, and its file written anew. What `env_file` (the portal's own .env) put into the
    environment is left out: the demo must not touch the database of `make run`."""
    portal = read(env_file)
    own = {name: value for name, value in given.items() if portal.get(name) != value}
    before = read(folder / ENV)
    values = {**_kept(before, own), **_chosen(before, own)}
    values |= {
        "DATA_DIR": str(folder),
        "SALESMATE_URL": f"http://127.0.0.1:{values['DEMO_SALESMATE_PORT']}",
        "SALESMATE_CALLS_PER_HOUR": str(CALLS_PER_HOUR),
        **GoogleServer(folder, int(values["DEMO_GOOGLE_PORT"]), (), "").settings(),
        "GOOGLE_CONTACTS_CALLS_PER_HOUR": str(CALLS_PER_HOUR),
        **MailchimpServer(folder, int(values["DEMO_MAILCHIMP_PORT"])).settings(),
        "ALLOW_PRIVATE_HOSTS": "true",
        "PORTAL_URL": f"http://127.0.0.1:{values['PORT']}",
        "DEBUG": "false",
        "HTTPS": "false",
        # Short slices, so that Ctrl-C and a new start never wait long for one.
        "SLICE_SECONDS": "10",
        "LEASE_SECONDS": "60",
        "STOP_SECONDS": "20",
    }
    _write(folder / ENV, values)
    unset = {"CACHE_URL", *CHOSEN} - values.keys()
    rest = {name: value for name, value in own.items() if name not in unset}
    return {**rest, **values, "ENV_FILE": str(folder / ENV)}


def _kept(before: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    fresh = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "CHECKPOINT_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "DEMO_PASSWORD": f"demo-{secrets.token_hex(5)}",
        "DEMO_CARDDAV_PASSWORD": f"book-{secrets.token_hex(5)}",
        "DEMO_CARDDAV_PORT": own.get("DEMO_CARDDAV_PORT", "5232"),
    }
    return {name: before.get(name, fresh[name]) for name in KEPT}


def _chosen(before: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    found = {name: own.get(name) or before.get(name) or default for name, default in CHOSEN.items()}
    for name in ("PORT", "DEMO_SALESMATE_PORT", "DEMO_GOOGLE_PORT", "DEMO_MAILCHIMP_PORT", "DEMO_CONTACTS"):
        if not found[name].isascii() or not found[name].isdigit():
            raise CommandError(f"{name} must be a number.")
    return {name: value for name, value in found.items() if value != ""}


def _write(path: Path, values: Mapping[str, str]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = HEAD.format(path=short(path)) + "".join(f"{name}={value}\n" for name, value in values.items())
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def short(path: Path) -> str:
    """As a person in the present directory would type it."""
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """One demo at a time in this folder. The lock goes with the process, however it ends. Raises CommandError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            running = _running(folder)
            raise CommandError(
                f"The demo is running already (process {running.get('demo', 'unknown')}). "
                "Use that one, or stop it with Ctrl-C where it runs."
            ) from error
        yield


def note_programs(folder: Path, programs: Mapping[str, int]) -> None:
    """Who runs, by process id: for the message when a killed demo left somebody behind."""
    (folder / "processes.json").write_text(json.dumps({"demo": os.getpid(), **programs}))


def forget_programs(folder: Path) -> None:
    """Ours were stopped in order; those that a killed demo left stay noted."""
    if _running(folder).get("demo") == os.getpid():
        (folder / "processes.json").unlink(missing_ok=True)


def refuse_taken(folder: Path, ports: Mapping[int, str]) -> None:
    """`ports` say what to do where one is taken. Raises CommandError."""
    for port, advice in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                why = error.strerror.lower() if error.strerror else "it cannot be used"
                raise CommandError(f"Port {port}: {why}. {_left(folder)}{advice}") from error


def _left(folder: Path) -> str:
    left = [pid for name, pid in _running(folder).items() if name != "demo" and alive(pid)]
    if not left:
        return ""
    return f"A demo that was killed may have left its programs (kill {' '.join(map(str, left))}). "


def _running(folder: Path) -> dict[str, int]:
    try:
        found: Any = json.loads((folder / "processes.json").read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): pid for name, pid in found.items() if isinstance(pid, int)} if isinstance(found, dict) else {}


def alive(pid: int) -> bool:
    """Whether a process of ours has this number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
