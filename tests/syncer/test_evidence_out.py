"""How evidence gets out: the command, and the button on a connection's page for those who may."""

import json
import stat
import zipfile
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client as Browser

from connections.models import Client, Connection
from syncer.audit.bundle import verify_py
from syncer.audit.pack import ENTRIES, MANIFEST, RUNS, VERSIONS
from syncer.management.commands.export_log import moment
from syncer.models import SyncLog, SyncRun
from syncer.models.log import Kind
from tests.connections.office import ANNA, SECRETS, Office, at_desk, office, said, staff
from tests.syncer.evidence import files_of, verdict, words
from tests.syncer.trail import CHAIN, LAST, diary

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(db: None, tmp_path: Path, settings: Any) -> Iterator[Office]:
    with office(tmp_path, settings) as found:
        yield found


def told(*arguments: str) -> str:
    out = StringIO()
    call_command("export_log", *arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        told(*arguments)
    return str(caught.value)


def page(connection: Connection) -> str:
    return f"/admin/connections/connection/{connection.pk}/change/"


def press(desk: Browser, connection: Connection, name: str = "evidence") -> Any:
    return desk.post(f"/admin/connections/connection/{connection.pk}/act/{name}/")


def sent(answer: Any) -> dict[str, bytes]:
    return files_of(b"".join(answer.streaming_content))


# The command


def test_the_command_writes_a_file_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diary()
    monkeypatch.chdir(tmp_path)
    text = told("--chain", CHAIN)
    (path,) = tmp_path.iterdir()
    assert text.startswith(f"{path.name}: {LAST} entries of {CHAIN}.")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert verdict(files_of(path.read_bytes())) is None
    assert SyncLog.objects.get(kind=Kind.ACCESS_EXPORTED).actor == "command line"


def test_a_part_without_values_under_a_name_of_one_s_choice(tmp_path: Path) -> None:
    diary()
    path = tmp_path / "for the auditor.zip"
    told("--chain", CHAIN, "--since", "2026-11-24T12:41", "--without-values", "--output", str(path), "--actor", "anna")
    manifest = json.loads(files_of(path.read_bytes())[MANIFEST])["manifest"]
    assert (manifest["since"], manifest["values"]) == ("2026-11-24T12:41:00.000000Z", False)
    assert (manifest["made"]["by"], manifest["counts"]["entries"]) == ("anna", 10)
    assert "is there already" in refused("--chain", CHAIN, "--output", str(path))


def test_a_date_means_the_whole_day() -> None:
    assert str(moment("2026-11-24", end=False)) == "2026-11-24 00:00:00+00:00"
    assert str(moment("2026-11-24", end=True)) == "2026-11-25 00:00:00+00:00"
    assert str(moment("2026-11-24T12:00+02:00", end=True)) == "2026-11-24 10:00:00+00:00"
    assert "is no time" in refused("--chain", CHAIN, "--since", "yesterday")


def test_the_command_says_what_to_do(tmp_path: Path) -> None:
    assert "There is no log portal yet" in refused("--chain", "portal")
    assert "There is no connection Nobody" in refused("--connection", "Nobody")
    diary()
    assert "cannot be written" in refused("--chain", CHAIN, "--output", str(tmp_path / "no" / "e.zip"))
    assert list(tmp_path.iterdir()) == []
    assert told("--verifier") == verify_py()


# A connection


def test_a_connection_s_configurations_and_runs_go_along_and_no_secret(acme: Office) -> None:
    connection = acme.first_plan()
    files = sent(press(acme.browser, connection))
    assert verdict(files) is None
    assert "are not in it" not in words(files)
    versions = [json.loads(line) for line in files[VERSIONS].splitlines()]
    assert [one["number"] for one in versions] == list(range(1, connection.version + 1))
    (run,) = [json.loads(line) for line in files[RUNS].splitlines()]
    assert (run["code"], run["status"]) == (str(SyncRun.objects.get().code), "waiting")
    text = files["index.html"].decode()
    assert "Evidence: Alice and Salesmate" in text
    assert "<dt>Of</dt><dd>Acme</dd>" in text
    for name, data in files.items():
        assert not any(secret.encode() in data for secret in SECRETS), name
    files[VERSIONS] = files[VERSIONS].replace(b'"number":1', b'"number":2', 1)
    assert verdict(files) is not None


@pytest.mark.parametrize(("values", "seen"), [("full", True), ("masked", False)])
def test_an_auditor_downloads_it_with_values_only_who_sees_them(acme: Office, values: str, seen: bool) -> None:
    connection = acme.first_plan()
    desk = at_desk(staff("olivia", (acme.acme, "auditor"), values=values))
    html = desk.get(page(connection)).content.decode()
    assert "Download the evidence" in html
    assert "Pause" not in html
    assert press(desk, connection, "pause").status_code == 403
    files = sent(press(desk, connection))
    assert json.loads(files[MANIFEST])["manifest"]["values"] is seen
    assert verdict(files) is None
    entry = SyncLog.objects.filter(kind=Kind.ACCESS_EXPORTED).last()
    assert entry is not None
    assert (entry.actor, entry.connection, json.loads(entry.header)["values"]) == ("olivia", connection.code, seen)
    bare = press(desk, connection, "bare-evidence")
    assert bare.status_code == (200 if seen else 403)
    if seen:
        assert "The values were left out" in words(sent(bare))


def test_it_is_out_of_reach_for_everybody_else(acme: Office) -> None:
    connection = acme.first_plan()
    for desk in (at_desk(staff("eve")), Browser()):
        answer = press(desk, connection)
        assert answer.status_code in (302, 403)
        assert "application/zip" not in answer.headers["Content-Type"]
    assert acme.browser.get(f"/admin/connections/connection/{connection.pk}/act/evidence/").status_code == 405
    assert not SyncLog.objects.filter(kind=Kind.ACCESS_EXPORTED).exists()


def test_who_reads_another_clients_history_gets_no_evidence_of_this_one(acme: Office) -> None:
    connection = acme.first_plan()
    globex = Client.objects.create(name="Globex", slug="globex")
    answer = press(at_desk(staff("olivia", (globex, "auditor"), values="full")), connection)
    assert answer.status_code in (302, 403)
    assert not SyncLog.objects.filter(kind=Kind.ACCESS_EXPORTED).exists()


def test_it_comes_as_a_file_that_is_kept_nowhere(acme: Office) -> None:
    connection = acme.first_plan()
    answer = press(acme.browser, connection)
    assert answer.headers["Content-Type"] == "application/zip"
    assert "no-store" in answer.headers["Cache-Control"]
    assert f'filename="evidence-connection-{connection.code}-' in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(BytesIO(b"".join(answer.streaming_content))) as archive:
        assert ENTRIES in archive.namelist()


def test_a_malformed_key_is_said_and_nothing_is_noted(acme: Office, settings: Any) -> None:
    connection = acme.first_plan()
    settings.CHECKPOINT_KEY = "canary"
    answer = acme.browser.post(f"/admin/connections/connection/{connection.pk}/act/evidence/", follow=True)
    assert "CHECKPOINT_KEY is not 32 random bytes" in said(answer)[0]
    assert not SyncLog.objects.filter(kind=Kind.ACCESS_EXPORTED, actor=ANNA).exists()
