"""The demo has settings of its own, and leaves those of `make run` alone."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management.base import CommandError

from portal.management.demo import place
from sandbox.contacts import GoogleServer

NOTHING = Path(os.devnull)


def test_the_portal_s_own_database_is_never_the_demo_s(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("DATABASE_URL=postgres://real@db/real\nHTTPS=true\nCACHE_URL=redis://real:6379/0\n")
    loaded = {"DATABASE_URL": "postgres://real@db/real", "HTTPS": "true", "CACHE_URL": "redis://real:6379/0"}
    made = place.environment(tmp_path / "demo", loaded, dotenv)
    assert "DATABASE_URL" not in made and "CACHE_URL" not in made
    assert (made["HTTPS"], made["DATA_DIR"]) == ("false", str(tmp_path / "demo"))


def test_a_database_that_was_asked_for_is_kept_over_a_restart(tmp_path: Path) -> None:
    url = "postgres://demo@db/demo"
    assert place.environment(tmp_path, {"DATABASE_URL": url}, NOTHING)["DATABASE_URL"] == url
    assert place.environment(tmp_path, {}, NOTHING)["DATABASE_URL"] == url


def test_keys_and_passwords_are_made_once(tmp_path: Path) -> None:
    first = place.environment(tmp_path, {"SECRET_KEY": "the portal's", "PORT": "8001"}, NOTHING)
    second = place.environment(tmp_path, {"DEMO_CARDDAV_PORT": "9999"}, NOTHING)
    assert first["SECRET_KEY"] != "the portal's"
    assert {name: first[name] for name in place.KEPT} == {name: second[name] for name in place.KEPT}
    assert second["PORT"] == "8001"


def test_its_settings_are_its_owner_s_alone_and_can_be_read_again(tmp_path: Path) -> None:
    made = place.environment(tmp_path / "demo", {}, NOTHING)
    path = tmp_path / "demo" / "env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made["ENV_FILE"] == str(path)
    assert place.read(path).items() <= made.items()
    assert place.read(tmp_path / "missing") == {}


def test_a_port_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="PORT must be a number"):
        place.environment(tmp_path, {"PORT": "eight"}, NOTHING)


def test_google_is_the_stand_in_wherever_it_runs(tmp_path: Path) -> None:
    given = {"DEMO_GOOGLE_PORT": "8209", "GOOGLE_CLIENT_ID": "the agency's own", "GOOGLE_TOKEN_URL": "https://google"}
    made = place.environment(tmp_path, given, NOTHING)
    google = {name: value for name, value in made.items() if name.startswith("GOOGLE_")}
    assert google.pop("GOOGLE_CONTACTS_CALLS_PER_HOUR") == str(place.CALLS_PER_HOUR)
    assert google == GoogleServer(tmp_path, 8209, (), "").settings()
    assert place.environment(tmp_path, {}, NOTHING)["GOOGLE_PEOPLE_URL"] == "http://127.0.0.1:8209"


def test_the_programs_of_a_killed_demo_are_named(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as left, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place.note_programs(tmp_path, {"web": left.pid})
        with pytest.raises(CommandError, match=rf"\(kill {left.pid}\)"):
            place.refuse_taken(tmp_path, {taken.getsockname()[1]: "Try another."})
        left.communicate(b"\n")
    place.forget_programs(tmp_path)
    assert not (tmp_path / "processes.json").exists()


def test_only_one_runs_in_a_folder(tmp_path: Path) -> None:
    with place.only_one(tmp_path), pytest.raises(CommandError, match="running already"), place.only_one(tmp_path):
        pass
    with place.only_one(tmp_path):
        pass
