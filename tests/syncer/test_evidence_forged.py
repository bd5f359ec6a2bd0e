"""What somebody with the portal's own key could do to a pack, and what an auditor's machine must not fall for."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.db.models import QuerySet

from syncer.audit import checkpoint, statement, triggers
from syncer.audit import files as delivered
from syncer.audit import format as form
from syncer.audit.pack import ENTRIES, ERASURES, FOLLOWING, LINES, MANIFEST, manifest_text, sealed_bytes
from syncer.audit.verifier import main
from syncer.models import LogCheckpoint
from tests.syncer.evidence import exported, verdict
from tests.syncer.test_audit_verify import rewrite
from tests.syncer.test_checkpoint import HOUR, KEY
from tests.syncer.trail import NOON, diary, intent, write

pytestmark = [pytest.mark.django_db, pytest.mark.proves("I31")]


@pytest.fixture
def keeper(tmp_path: Path, settings: Any) -> Path:
    folder = tmp_path / "keeper"
    folder.mkdir()
    settings.CHECKPOINT_KEY, settings.CHECKPOINT_DIR = KEY, folder
    return folder


def resealed(files: Mapping[str, bytes], changed: Mapping[str, bytes], **manifest: Any) -> dict[str, bytes]:
    """With these files in place of the true ones, signed anew with the portal's key."""
    found = {**files, **changed}
    said = {**json.loads(found[MANIFEST])["manifest"], **manifest}
    for name in said["files"]:
        said["files"][name] = {"sha256": sha256(found[name]).hexdigest(), "size": len(found[name])}
        if name in LINES:
            said["counts"][LINES[name]] = found[name].count(b"\n")
    key = statement.private_key(KEY)
    text = manifest_text(said, statement.public_of(key), key.sign(sealed_bytes(said)).hex())
    return {**found, MANIFEST: text.encode()}


def packed(path: Path, files: Mapping[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path)


def judged(pack: str, kept: Path) -> tuple[int, list[str]]:
    out: list[str] = []
    return main([pack, "--key", checkpoint.public_key(), "--kept", str(kept)], ".", out.append), out


def keep(keeper: Path, kept: Path) -> None:
    kept.mkdir(exist_ok=True)
    for path in keeper.glob("checkpoint-*.json"):
        (kept / path.name).write_bytes(path.read_bytes())


def test_a_kept_checkpoint_that_was_not_compared_is_not_said_to_agree(keeper: Path, tmp_path: Path) -> None:
    """The history is rewritten with all its hashes, and only the part after what was kept is handed out."""
    write([intent() for _ in range(10)])
    checkpoint.hourly(NOON + HOUR)
    keep(keeper, tmp_path / "kept")
    write([intent() for _ in range(10)], now=NOON + 2 * HOUR)
    with triggers.suspended():
        rewrite(5, {"actor": "user:mallory"}, {"actor": "user:mallory"})
        QuerySet(LogCheckpoint).delete()
        for path in keeper.glob("checkpoint-*.json"):
            path.unlink()
        delivered._seen.clear()
        checkpoint.hourly(NOON + 3 * HOUR)
        files = exported(since=NOON + 2 * HOUR + timedelta(seconds=5))
    code, said = judged(packed(tmp_path / "e.zip", files), tmp_path / "kept")
    assert not any("kept by you" in line for line in said)
    assert code == 1 or any("were not compared" in line for line in said)


def test_an_old_pack_says_that_a_kept_checkpoint_knows_more(keeper: Path, tmp_path: Path) -> None:
    write([intent() for _ in range(10)])
    checkpoint.hourly(NOON + HOUR)
    files = exported()
    write([intent() for _ in range(10)], now=NOON + 2 * HOUR)
    checkpoint.hourly(NOON + 3 * HOUR)
    keep(keeper, tmp_path / "kept")
    made = {"at": "2026-11-24T13:30:00.000000Z", "by": "anna"}
    _, said = judged(packed(tmp_path / "e.zip", resealed(files, {}, made=made)), tmp_path / "kept")
    assert "It was made at 2026-11-24T13:30:00.000000Z." in said
    assert "A newer checkpoint knows 20 entries: this evidence shows no more than 10 of them." in said


def test_a_payload_taken_away_is_no_erasure_because_a_forged_entry_says_so(keeper: Path) -> None:
    """The forged redact entry bears the number of one that follows the part, and that one is something else."""
    diary()
    checkpoint.hourly(NOON + HOUR)
    files = exported(since=NOON, until=NOON.replace(second=1))
    first = json.loads(files[FOLLOWING].splitlines()[5])
    by = json.loads(first["header"])["seq"]
    lines = files[ENTRIES].decode().splitlines()
    row = json.loads(lines[8])
    assert row["payload"] is not None
    lines[8] = form.canonical({**row, "payload": None, "salt": None, "redacted_by": by})
    header = form.canonical({**json.loads(first["header"]), "kind": "redact", "redacts": [9]})
    forged = {"seq": by, "header": header, "payload_commit": form.NO_PAYLOAD, "previous_hash": "00"}
    forged["entry_hash"] = form.entry_hash("00", header, form.NO_PAYLOAD)
    changed = {
        ENTRIES: ("\n".join(lines) + "\n").encode(),
        ERASURES: files[ERASURES] + (form.canonical(forged) + "\n").encode(),
    }
    assert "another entry" in str(verdict(resealed(files, changed), key=checkpoint.public_key()))


def test_a_signature_has_one_spelling(keeper: Path) -> None:
    diary()
    parts = json.loads(exported()[MANIFEST])
    spaced = " ".join(parts["signature"][start : start + 2] for start in range(0, 128, 2))
    text = manifest_text(parts["manifest"], parts["public_key"], spaced).encode()
    assert verdict({**exported(), MANIFEST: text}, key=parts["public_key"]) is not None


@pytest.mark.parametrize("option", ["--key", "--kept"])
def test_an_option_that_is_empty_is_a_mistake(keeper: Path, tmp_path: Path, option: str) -> None:
    diary()
    with pytest.raises(SystemExit) as refused:
        main([packed(tmp_path / "e.zip", exported()), option, ""], ".", print)
    assert refused.value.code == 2


@pytest.mark.parametrize("isolated", [True, False])
def test_nothing_that_lies_beside_the_verifier_runs_instead_of_it(keeper: Path, tmp_path: Path, isolated: bool) -> None:
    diary()
    files = exported()
    shadow = b"print('OK')\nraise SystemExit(0)\n"
    forged = {
        **files,
        ENTRIES: files[ENTRIES].replace("Böb".encode(), b"Bob"),
        "argparse.py": shadow,
        "json.py": shadow,
    }
    for name, content in forged.items():
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, *(["-I"] if isolated else []), "verify.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "BROKEN" in done.stdout) == (1, True), done.stdout + done.stderr
