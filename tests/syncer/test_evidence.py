"""The evidence of a log: what is in it, what it proves to who has nothing but Python, and what it never shows."""

import ast
import csv
import io
import json
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db.models import QuerySet
from pytest_django import Settings

from connections.services import Refused
from syncer import evidence
from syncer.audit import bundle, checkpoint, sheet, triggers
from syncer.audit.chain import JSON, PORTAL, Entry, count_quiet_run
from syncer.audit.ed25519 import signature_holds
from syncer.audit.pack import CHECKPOINTS, ENTRIES, ERASURES, FOLLOWING, MANIFEST, manifest_text
from syncer.audit.verifier import main
from syncer.models import LogChain, SyncLog
from syncer.models.log import Kind
from tests.syncer import ed25519
from tests.syncer.evidence import ANNA, Noon, exported, packed, verdict, words
from tests.syncer.test_audit_verify import rewrite
from tests.syncer.test_checkpoint import HOUR, KEY, OTHER_KEY
from tests.syncer.trail import CHAIN, LAST, NOON, REDACT, diary, erase, intent, write

pytestmark = pytest.mark.django_db
RULES = [Path(bundle.__file__).parent / f"{name}.py" for name in bundle.PARTS]


@pytest.fixture
def keeper(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """Checkpoints are signed, and kept elsewhere."""
    folder = tmp_path / "keeper"
    folder.mkdir()
    settings.CHECKPOINT_KEY, settings.CHECKPOINT_DIR = KEY, folder
    yield folder


def manifest(files: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files[MANIFEST])["manifest"]
    return found


def table(files: dict[str, bytes]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files["log.csv"].decode("utf-8-sig"))))


# What is in it


def test_all_of_a_log_is_in_it_and_proven() -> None:
    diary()
    files = exported()
    assert list(files)[-1] == MANIFEST
    assert set(manifest(files)["files"]) == set(files) - {MANIFEST}
    text = words(files)
    assert f"{LAST} entries are as they were written: entries 1 to {LAST} of {LAST} in {CHAIN}." in text
    assert "2 payloads were erased, each named by a redact entry." in text
    row = table(files)[0]
    assert (row["field"], row["before"], row["after"], row["who"]) == ("name", "Bob", "Böb 1", "schedule")
    assert "Böb 50" not in files["index.html"].decode()
    assert "Böb 49" in files["index.html"].decode()


def test_it_is_the_same_file_each_time_but_for_who_made_it_when() -> None:
    diary()
    assert packed() == packed()


def test_a_part_is_proven_alone() -> None:
    diary()
    files = exported(since=NOON + timedelta(minutes=1), until=NOON + timedelta(minutes=45))
    assert (files[ENTRIES].count(b"\n"), files[FOLLOWING].count(b"\n")) == (5, 1)
    assert "5 entries are as they were written: entries 40 to 44 of 50" in words(files)
    files = exported(until=NOON + timedelta(seconds=1))
    assert files[ERASURES].count(b"\n") == 1
    assert f"entries 1 to {REDACT - 1} of" in words(files)


def test_a_time_in_which_nothing_happened_is_proven_too() -> None:
    diary()
    for since, until in ((timedelta(seconds=90), timedelta(seconds=100)), (timedelta(days=1), timedelta(days=2))):
        files = exported(since=NOON + since, until=NOON + until)
        assert files[ENTRIES] == b""
        assert "0 entries are as they were written: no entry after number" in words(files)


def test_what_a_part_leaves_out_is_found() -> None:
    """The newest and the oldest entry of a part, taken away with everything made anew to match."""
    diary()
    files = exported(since=NOON + timedelta(minutes=41), until=NOON + timedelta(minutes=45))
    later = exported(since=NOON + timedelta(minutes=42), until=NOON + timedelta(minutes=45))
    earlier = exported(since=NOON + timedelta(minutes=41), until=NOON + timedelta(minutes=44))
    for other, seq in ((later, 41), (earlier, 44)):
        said = json.loads(other[MANIFEST])
        said["manifest"] |= {name: manifest(files)[name] for name in ("since", "until")}
        forged = {**other, MANIFEST: manifest_text(said["manifest"], "", "").encode()}
        assert str(verdict(forged)) == f"entry {seq}: it belongs to the part and is left out"


def test_an_empty_log_and_the_portal_s_own() -> None:
    count_quiet_run(CHAIN)
    files = exported()
    assert "no entry after number 0 of 0" in words(files)
    assert "No entry of this time." in files["index.html"].decode()
    assert "entries 1 to 2 of 2 in portal" in words(exported(PORTAL))


def test_quiet_runs_are_told() -> None:
    write([intent()])
    for _ in range(3):
        count_quiet_run(CHAIN)
    files = exported()
    assert manifest(files)["head"]["quiet_runs"] == 3
    assert re.search(r"changed nothing</dt><dd>3</dd>", files["index.html"].decode())
    assert verdict(files) is None


def test_a_log_that_is_not_there_and_a_time_that_ends_before_it_begins_are_refused() -> None:
    with pytest.raises(Refused, match="There is no log"):
        evidence.prepare(CHAIN, ANNA)
    diary()
    with pytest.raises(Refused, match="not before its end"):
        evidence.prepare(CHAIN, ANNA, since=NOON, until=NOON)
    assert not SyncLog.objects.filter(kind=Kind.ACCESS_EXPORTED).exists()


def test_who_asked_is_noted_before_the_first_byte() -> None:
    diary()
    evidence.prepare(CHAIN, ANNA, since=NOON, values=False, clock=Noon())
    entry = SyncLog.objects.get(kind=Kind.ACCESS_EXPORTED)
    said = json.loads(entry.header)
    assert (entry.actor, entry.chain.name) == (ANNA, PORTAL)
    assert {name: said[name] for name in ("log", "since", "until", "values")} == {
        "log": CHAIN,
        "since": "2026-11-24T12:00:00.000000Z",
        "until": None,
        "values": False,
    }


# Without values


def test_without_values_no_payload_and_no_salt_goes_out_and_the_chain_is_proven() -> None:
    write([intent({"before": {"name": "Bob Canary"}, "after": {"canary_field": "x"}, "reasons": [{"why": "canary"}]})])
    files = exported(values=False)
    salt = SyncLog.objects.get(chain__name=CHAIN).salt
    assert salt is not None
    hidden = ("bob", "canary", salt)
    for name, data in files.items():
        assert not any(word in data.decode().lower() for word in hidden), name
    text = words(files)
    assert "The values were left out on purpose" in text
    assert "left out on purpose" in files["index.html"].decode()
    assert [row["note"] for row in table(files)] == ["left out"]


def test_an_entry_that_was_erased_is_nowhere_in_it() -> None:
    write([intent({"before": {"name": "Bob Canary"}, "after": {"name": "Rob"}})])
    erase(1)
    files = exported()
    assert not any(b"Canary" in data for data in files.values())
    assert verdict(files) is None
    assert table(files)[0]["note"] == "erased"


# Checkpoints and keys


@pytest.mark.proves("E10 signed checkpoints")
def test_it_agrees_with_the_signed_checkpoints_and_with_those_kept_elsewhere(keeper: Path) -> None:
    diary()
    for hours in range(1, 4):
        checkpoint.hourly(NOON + hours * HOUR)
    files = exported()
    text = words(files, key=checkpoint.public_key())
    assert "It agrees with 2 signed checkpoints." in text
    assert "(the key that you named)" in text
    assert verdict(files, key="00" * 32) is not None
    out: list[str] = []
    (keeper.parent / "e.zip").write_bytes(packed())
    assert main([str(keeper.parent / "e.zip"), "--kept", str(keeper)], ".", out.append) == 0
    assert "It agrees with 5 signed checkpoints, 3 of them kept by you." in out


@pytest.mark.proves("I31")
def test_newest_entries_that_were_taken_away_are_missed_by_a_checkpoint(keeper: Path) -> None:
    """All hashes fit, and so does the head: only who signed or kept where it stood can tell."""
    diary()
    checkpoint.hourly(NOON + HOUR)
    with triggers.suspended():
        last = SyncLog.objects.get(chain__name=CHAIN, seq=40)
        QuerySet(SyncLog).filter(chain__name=CHAIN, seq__gt=40).delete()
        LogChain.objects.filter(name=CHAIN).update(head_seq=40, head_hash=last.entry_hash, last_at=last.at)
        files = exported()
    assert "checkpoint 1 knows 50 entries: the newest were taken away" in str(verdict(files))


def test_a_history_written_anew_differs_from_what_was_signed(keeper: Path) -> None:
    diary()
    checkpoint.hourly(NOON + HOUR)
    with triggers.suspended():
        rewrite(20, {"actor": "user:mallory"}, {"actor": "user:mallory"})
        files = exported()
    assert str(verdict(files)) == "entry 50: it is not the one that checkpoint 1 signed"


def test_a_changed_key_leaves_old_signatures_good(keeper: Path, settings: Settings) -> None:
    diary()
    checkpoint.hourly(NOON + HOUR)
    settings.CHECKPOINT_KEY = OTHER_KEY
    write([intent()], now=NOON + timedelta(days=1))
    checkpoint.hourly(NOON + timedelta(days=1))
    files = exported()
    assert len(manifest(files)["public_keys"]) == 2
    assert "It agrees with 2 signed checkpoints." in words(files, key=checkpoint.public_key())


def test_a_part_is_bound_to_the_checkpoint_that_came_after_it(keeper: Path) -> None:
    diary()
    checkpoint.hourly(NOON + HOUR)
    files = exported(until=NOON + timedelta(minutes=45))
    assert files[FOLLOWING].count(b"\n") == LAST - 44
    assert b"payload\\" not in files[FOLLOWING]
    assert "It agrees with 1 signed checkpoints." in words(files)


def test_of_each_day_one_checkpoint_goes_along(keeper: Path) -> None:
    diary()
    for hours in range(1, 60, 5):
        checkpoint.hourly(NOON + hours * HOUR)
    numbers = [json.loads(json.loads(line)["statement"])["number"] for line in exported()[CHECKPOINTS].splitlines()]
    assert numbers == [1, 3, 7, 12]


def test_our_signatures_hold_by_the_rules_alone_and_no_other() -> None:
    for seed in range(20):
        key = Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
        public, message = key.public_key().public_bytes_raw(), bytes(range(seed))
        signature = key.sign(message)
        assert signature_holds(public, message, signature)
        bad = bytes([signature[0] ^ 1, *signature[1:]])
        for wrong in ((public, message + b" ", signature), (public, message, bad), (public[:-1], message, signature)):
            assert not signature_holds(*wrong)
            assert not ed25519.verifies(*wrong)
    order = 2**252 + 27742317777372353535851937790883648493
    beyond = (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert not signature_holds(public, message, signature[:32] + beyond)


# Whoever checks it


def run(*arguments: str, folder: Path) -> tuple[int, str]:
    """verify.py in a Python that sees the standard library and nothing of ours."""
    command = [sys.executable, "-I", "-S", str(folder / "verify.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_verify_py_needs_nothing_but_python(tmp_path: Path, keeper: Path) -> None:
    diary()
    checkpoint.hourly(NOON + HOUR)
    (tmp_path / "e.zip").write_bytes(packed())
    for name, data in exported().items():
        (tmp_path / name).write_bytes(data)
    code, text = run(folder=tmp_path)
    assert (code, text.endswith("\nOK\n")) == (0, True)
    assert run("--key", checkpoint.public_key(), str(tmp_path / "e.zip"), folder=tmp_path)[0] == 0
    lines = (tmp_path / ENTRIES).read_text().replace("Böb 17", "Bob 17")
    (tmp_path / ENTRIES).write_text(lines)
    assert run(folder=tmp_path) == (1, "BROKEN entry 17: its payload or salt was changed\n")
    assert run(str(tmp_path / "no.zip"), folder=tmp_path)[0] == 1
    (tmp_path / "e.zip").write_bytes((tmp_path / "e.zip").read_bytes()[:-300])
    assert run(str(tmp_path / "e.zip"), folder=tmp_path)[0] == 1


def test_verify_py_is_the_rules_themselves_each_name_once() -> None:
    names = [name for path in RULES for name in top_names(ast.parse(path.read_text()))]
    assert sorted(set(names)) == sorted(names)
    text = bundle.verify_py()
    assert "syncer." not in "\n".join(line for line in text.splitlines() if "import" in line)
    for path in RULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert str(ast.get_source_segment(path.read_text(), node)) in text


def top_names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))


def test_verify_py_keeps_to_what_python_3_8_knows() -> None:
    """There is no such Python here: its grammar is asked, and the usual newer things are looked for."""
    tree = ast.parse(bundle.verify_py(), feature_version=(3, 8))
    modules = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module.split(".")[0] for module in modules} <= sys.stdlib_module_names
    called = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in called:
        assert "strict" not in {keyword.arg for keyword in call.keywords}
        if isinstance(call.func, ast.Name) and call.func.id == "isinstance":
            assert not isinstance(call.args[1], ast.BinOp)
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert attributes.isdisjoint({"UTC", "removeprefix", "removesuffix", "pairwise", "batched"})


# Texts that somebody typed to do harm

FORMULAS = ("=1+1", "+49 30 1", "-2", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u00a0=1", "＝1", '=HYPERLINK("http://x")')
INSIDE = {"a;=1": "a;'=1", "a\t+1": "a\t'+1", "a\n-1": "a\n'-1", "a; @x": "a; '@x", "a=b; c": "a=b; c", ";=1": ";'=1"}


def test_no_cell_is_a_formula_and_nothing_is_lost_but_an_apostrophe() -> None:
    write([intent({"before": {"=f": value}, "after": {"=f": None}}) for value in FORMULAS])
    found = table(exported())
    assert [row["before"].replace("'", "") for row in found] == list(FORMULAS)
    assert not [value for row in found for value in row.values() if value.strip()[:1] in tuple("=+-@＝")]
    assert sheet.cell("a=b") == "a=b"
    assert {text: sheet.cell(text) for text in INSIDE} == INSIDE, "where semicolons or tabs separate cells"


def test_hostile_texts_stay_text_in_the_page() -> None:
    evil = "</td><script>alert(1)</script><img src=x onerror=alert(1)> \u202egnp.exe \U0001f469\u200d\U0001f680 {{ 7 }}"
    write([intent({"before": {evil: evil}, "after": {evil: [evil]}, "detail": evil})])
    files = exported()
    text = files["index.html"].decode()
    assert "<script" not in text and "<img" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"(src|href)=|url\(", text.replace("img src=x", ""))
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
    assert verdict(files) is None
    assert table(files)[0]["before"] == evil


def test_the_page_shows_the_newest_and_says_what_it_leaves_out() -> None:
    write([intent({"before": {}, "after": {"note": f"{number} {'x' * 1000}"}}) for number in range(250)])
    text = exported()["index.html"].decode()
    assert "The newest 200; 50 older ones are in" in text
    assert text.count("<article>") == 200
    assert "x" * 301 not in text


def test_a_tampered_configuration_is_found() -> None:
    said: dict[str, JSON] = {"version": 1, "digest": sha256(b"{}").hexdigest()}
    write([Entry(Kind.CONFIG_CHANGED, ANNA, said, {"before": None, "after": "{}"})])
    files = exported()
    line = json.dumps(
        {"body": "{}", "digest": sha256(b"{}").hexdigest(), "number": 1}, separators=(",", ":"), sort_keys=True
    )
    good = {**files, "versions.jsonl": f"{line}\n".encode()}
    assert "versions.jsonl: it is not as it was exported" in str(verdict(good))
    bad = {**files, "versions.jsonl": f"{line}\n".replace("{}", '{"a":1}').replace('"{"a', '"{\\"a').encode()}
    assert "versions.jsonl line 1" in str(verdict(bad))
    assert "The 1 configurations that it names are not in it" in words(files), "its connection is deleted"
    assert verdict(files) is None


# Size


def test_a_long_log_is_exported_and_checked_in_flat_memory(tmp_path: Path) -> None:
    """A log that is three times as long needs no more, although its lines are megabytes."""
    peaks = []
    for count in (1200, 0, 1800):
        write([intent({"before": {"name": "Bob" * 200}, "after": {"name": "Rob" * 200}})] * count)
        tracemalloc.start()
        with (tmp_path / "e.zip").open("wb") as out:
            evidence.prepare(CHAIN, ANNA, clock=Noon()).write_to(out)
        assert main([str(tmp_path / "e.zip")], ".", lambda line: None) == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    warm, longer = peaks[1:]
    assert longer - warm < 1_500_000
    assert len(exported()[ENTRIES]) > 7_000_000


def test_a_pack_that_cannot_be_read_is_broken_and_no_crash() -> None:
    for files in ({}, {MANIFEST: b""}, {MANIFEST: b"[]\n"}, {MANIFEST: b"[" * 100_000}, {MANIFEST: b"\xff"}):
        assert verdict(files) is not None
