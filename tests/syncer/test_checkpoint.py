"""Each hour a signed statement of where the history stands lies where another machine keeps it."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from portal.checks import no_checkpoint_key
from syncer.audit import checkpoint, files, statement, triggers
from syncer.audit.chain import count_quiet_run
from syncer.models import LogChain, LogCheckpoint, SyncLog
from syncer.tasks import tick
from tests.syncer import ed25519
from tests.syncer.test_tasks import at_once
from tests.syncer.trail import CHAIN, NOON, diary, intent, write

pytestmark = pytest.mark.django_db
KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.urlsafe_b64encode(bytes(range(1, 33))).decode()
ROOT = Path(__file__).resolve().parent.parent.parent
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def keeper(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """A folder that another machine keeps, and a key to sign with."""
    folder = tmp_path / "keeper"
    folder.mkdir()
    settings.CHECKPOINT_KEY, settings.CHECKPOINT_DIR = KEY, folder
    yield folder


def delivered(folder: Path) -> list[dict[str, Any]]:
    """The files as whoever keeps them reads them, oldest first."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("checkpoint-*.json"))]


def said(file: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file["statement"])
    return found


def signed_bytes(file: dict[str, Any]) -> bytes:
    text: str = file["statement"]
    return b"counterpart/checkpoint/1\0" + text.encode()


def verified() -> list[str]:
    return list(checkpoint.problems())


def rewrite(row: LogCheckpoint, **values: object) -> None:
    with triggers.suspended():
        LogCheckpoint.objects.filter(pk=row.pk).update(**values)


def number(count: int) -> list[int]:
    return list(range(1, count + 1))


def numbers() -> list[int]:
    return list(LogCheckpoint.objects.order_by("number").values_list("number", flat=True))


# What is signed


@pytest.mark.proves("I30", "E10 signed checkpoints")
def test_a_delivered_file_is_checked_without_any_of_our_code(keeper: Path) -> None:
    diary()
    checkpoint.hourly(NOON)
    (file,) = delivered(keeper)
    public, signature = bytes.fromhex(file["public_key"]), bytes.fromhex(file["signature"])
    assert ed25519.verifies(public, signed_bytes(file), signature)
    assert not ed25519.verifies(public, signed_bytes(file) + b" ", signature)
    words = said(file)
    assert words["key_id"] == sha256(public).hexdigest()[:16]
    assert (words["number"], words["previous_hash"], words["at"]) == (1, "0" * 64, "2026-11-24T12:00:00.000000Z")
    assert file["statement"] == json.dumps(words, sort_keys=True, separators=(",", ":"))
    assert set(words) == {"v", "number", "at", "key_id", "previous_hash", "heads"}


def test_the_lines_in_our_docs_check_a_file(keeper: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    script = page.partition("```python\n")[2].partition("```")[0]
    checkpoint.hourly(NOON)
    (path,) = keeper.iterdir()
    forged = tmp_path / "forged.json"
    forged.write_text(path.read_text().replace('\\"number\\":1', '\\"number\\":2'))
    assert forged.read_text() != path.read_text()
    codes = [
        subprocess.run(
            [sys.executable, "-c", script, str(file), checkpoint.public_key()], stderr=subprocess.DEVNULL
        ).returncode
        for file in (path, forged)
    ]
    assert codes == [0, 1]


def test_it_says_where_every_chain_stands() -> None:
    diary()
    checkpoint.hourly(NOON)
    heads = checkpoint.statement_of(LogCheckpoint.objects.get()).heads
    assert heads == {
        chain.name: (chain.head_seq, chain.head_hash, chain.quiet_runs) for chain in LogChain.objects.all()
    }
    assert heads[CHAIN][0] == 50


def test_each_follows_the_one_before_also_on_quiet_hours_and_quiet_runs_are_counted(keeper: Path) -> None:
    write([intent()])
    for hours in range(4):
        checkpoint.hourly(NOON + hours * HOUR)
        count_quiet_run(CHAIN)
    found = delivered(keeper)
    assert [said(file)["number"] for file in found] == [1, 2, 3, 4]
    assert [said(file)["heads"][CHAIN][2] for file in found] == [0, 1, 2, 3]
    assert len({said(file)["heads"][CHAIN][1] for file in found}) == 1
    hashes = [sha256(signed_bytes(file)).hexdigest() for file in found]
    assert [said(file)["previous_hash"] for file in found] == ["0" * 64, *hashes[:-1]]
    assert verified() == []


def test_files_hold_nothing_of_a_contact(keeper: Path) -> None:
    write([intent({"before": {"name": "Bob Canary"}, "remote": "bob@example.com"})])
    checkpoint.hourly(NOON)
    text = "".join(path.read_text() for path in keeper.iterdir())
    assert not any(word in text for word in ("Bob", "Canary", "bob@", KEY, bytes(range(32)).hex()))


# When


@pytest.mark.parametrize(
    ("after", "made"),
    [
        (timedelta(minutes=59, seconds=59), 1),
        (HOUR, 2),
        (timedelta(seconds=-30), 1),
        (timedelta(days=-3), 2),
    ],
)
def test_one_an_hour_whatever_the_clock_does(after: timedelta, made: int) -> None:
    checkpoint.hourly(NOON)
    checkpoint.hourly(NOON + after)
    checkpoint.hourly(NOON + after)
    assert numbers() == number(made)


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_make_one(keeper: Path) -> None:
    write([intent()])
    checkpoint.hourly(NOON)
    answers = at_once(lambda: checkpoint.hourly(NOON + HOUR), 4)
    assert answers == [None] * 4
    assert numbers() == [1, 2]
    assert [said(file)["number"] for file in delivered(keeper)] == [1, 2]
    assert LogCheckpoint.objects.filter(delivered_at=None).count() == 0
    assert verified() == []


@pytest.mark.django_db(transaction=True)
def test_a_checkpoint_of_the_moment_is_one_even_where_nobody_looked_at_the_hour() -> None:
    made = at_once(lambda: checkpoint.make(NOON), 4)
    assert all(row is None or isinstance(row, LogCheckpoint) for row in made)
    assert numbers() == number(sum(row is not None for row in made))
    assert verified() == []


def test_a_worker_s_tick_makes_and_delivers_it(keeper: Path) -> None:
    tick()
    tick()
    assert len(delivered(keeper)) == 1


def test_where_nothing_is_due_two_queries_are_asked() -> None:
    checkpoint.hourly(NOON)
    with CaptureQueriesContext(connection) as asked:
        checkpoint.hourly(NOON)
    assert len(asked) == 2


# The key


def test_without_a_key_nothing_is_made_and_that_is_said(settings: Settings, keeper: Path) -> None:
    settings.CHECKPOINT_KEY = ""
    checkpoint.hourly(NOON)
    assert (numbers(), delivered(keeper)) == ([], [])
    assert "set CHECKPOINT_KEY" in checkpoint.trouble(NOON)
    (warning,) = no_checkpoint_key(None, databases=["default"])
    assert warning.id == "portal.W002"
    with pytest.raises(CommandError, match="CHECKPOINT_KEY is not set"):
        call_command("checkpoint")


@pytest.mark.parametrize("key", ["canary", "canary!", base64.b64encode(bytes(31)).decode(), "a" * 99])
def test_a_malformed_key_is_refused_in_words_that_do_not_show_it(
    settings: Settings, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CHECKPOINT_KEY = key
    (problem,) = run_checks()
    assert problem.id == "portal.E006"
    assert "CHECKPOINT_KEY is not 32 random bytes" in problem.msg
    checkpoint.hourly(NOON)
    assert "CHECKPOINT_KEY" in caplog.text
    assert not any(key in text for text in (problem.msg, str(problem.hint), caplog.text, checkpoint.trouble(NOON)))
    assert numbers() == []


def test_keys_in_either_alphabet_of_base64_are_one_key(settings: Settings) -> None:
    seed = bytes([0xFB, 0xFF] * 16)
    settings.CHECKPOINT_KEY = base64.b64encode(seed).decode()
    one = checkpoint.public_key()
    settings.CHECKPOINT_KEY = base64.urlsafe_b64encode(seed).decode().rstrip("=")
    assert checkpoint.public_key() == one != ""


def test_old_signatures_are_checked_after_a_change_of_key(settings: Settings) -> None:
    checkpoint.hourly(NOON)
    settings.CHECKPOINT_KEY = OTHER_KEY
    checkpoint.hourly(NOON + HOUR)
    assert len({row.key_id for row in LogCheckpoint.objects.all()}) == 2
    assert SyncLog.objects.filter(kind="key.created").count() == 2
    assert verified() == []
    settings.CHECKPOINT_KEY = ""
    assert verified() == []


def test_the_public_key_can_be_printed_for_whoever_checks() -> None:
    out = StringIO()
    call_command("checkpoint", "--public-key", stdout=out)
    lines = out.getvalue().strip().splitlines()
    assert lines[0] == "-----BEGIN PUBLIC KEY-----"
    assert base64.b64decode("".join(lines[1:-1]))[-32:].hex() == checkpoint.public_key()


# Delivery


@pytest.mark.proves("E10 signed checkpoints")
def test_what_cannot_be_delivered_is_kept_said_and_delivered_later(
    settings: Settings, keeper: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CHECKPOINT_DIR = tmp_path / "not mounted"
    for hours in range(2):
        checkpoint.hourly(NOON + hours * HOUR)
    assert numbers() == [1, 2]
    assert LogCheckpoint.objects.filter(delivered_at=None).count() == 2
    assert "not delivered" in caplog.text
    assert checkpoint.trouble(NOON + HOUR).startswith("1 checkpoint(s) could not be delivered")
    assert not (tmp_path / "not mounted").exists()
    settings.CHECKPOINT_DIR = keeper
    later = NOON + HOUR + timedelta(minutes=1)
    checkpoint.hourly(later)
    assert [said(file)["number"] for file in delivered(keeper)] == [1, 2]
    assert {row.delivered_at for row in LogCheckpoint.objects.all()} == {later}
    assert checkpoint.trouble(later) == ""


def test_the_default_folder_is_made(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.CHECKPOINT_DIR = tmp_path / "data", tmp_path / "data" / "checkpoints"
    checkpoint.hourly(NOON)
    assert len(delivered(settings.CHECKPOINT_DIR)) == 1


def test_a_disk_that_is_full_leaves_no_half_file(keeper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    checkpoint.hourly(NOON)
    assert list(keeper.iterdir()) == []
    assert LogCheckpoint.objects.get().delivered_at is None
    monkeypatch.undo()
    checkpoint.hourly(NOON)
    assert len(delivered(keeper)) == 1


def test_a_file_is_on_the_disk_before_it_has_its_name(keeper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, rename = os.fsync, os.replace

    def synced(handle: int) -> None:
        steps.append("fsync")
        sync(handle)

    def named(one: str, two: Path) -> None:
        steps.append("rename")
        rename(one, two)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", named)
    checkpoint.hourly(NOON)
    assert steps[:2] == ["fsync", "rename"]


def test_a_crash_after_the_file_and_before_our_note_of_it_is_harmless(keeper: Path) -> None:
    checkpoint.hourly(NOON)
    rewrite(LogCheckpoint.objects.get(), delivered_at=None)
    checkpoint.hourly(NOON + timedelta(minutes=1))
    assert len(delivered(keeper)) == 1
    assert LogCheckpoint.objects.get().delivered_at == NOON + timedelta(minutes=1)


def test_hours_without_a_worker_are_noticed() -> None:
    checkpoint.hourly(NOON)
    assert checkpoint.trouble(NOON + HOUR) == ""
    assert checkpoint.trouble(NOON + 2 * HOUR).startswith("no checkpoint since 2026-11-24 12:00")


# Who looks at it later


def three() -> list[LogCheckpoint]:
    """Three checkpoints of a history that grows."""
    for hours in range(3):
        write([intent(version=hours + 1)], now=NOON + hours * HOUR)
        checkpoint.hourly(NOON + hours * HOUR)
    return list(LogCheckpoint.objects.order_by("number"))


def judged() -> str:
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("verify_log", stdout=out)
    return out.getvalue()


def test_verify_log_counts_good_checkpoints_as_good() -> None:
    three()
    out = StringIO()
    call_command("verify_log", stdout=out)
    assert "BROKEN" not in out.getvalue()


@pytest.mark.proves("I31")
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"at": NOON - HOUR}, "its signature does not fit"),
        ({"previous_hash": "a" * 64}, "does not follow"),
        ({"key_id": "0123456789abcdef"}, "which the history does not name"),
        ({"signature": "00" * 64}, "its signature does not fit"),
        ({"signature": "not hex"}, "its signature does not fit"),
        ({"heads": "{}"}, "a log went back"),
        ({"heads": "nonsense"}, "checkpoint 2: "),
        ({"heads": '{"portal":[1,2,3]}'}, "checkpoint 2: "),
    ],
)
def test_a_changed_checkpoint_is_named(changed: dict[str, object], words: str) -> None:
    rewrite(three()[1], **changed)
    assert words in judged()
    assert "checkpoint 2: " in judged()


@pytest.mark.proves("I31")
def test_a_checkpoint_that_was_taken_away_is_missed() -> None:
    rows = three()
    with triggers.suspended():
        LogCheckpoint.objects.filter(pk=rows[1].pk)._raw_delete("default")
    assert "checkpoint 3: it does not follow from the one before it" in judged()


@pytest.mark.proves("I31")
@pytest.mark.parametrize("whole", [False, True])
def test_newest_entries_that_were_taken_away_with_their_head_are_missed(whole: bool) -> None:
    """What the chain alone cannot show."""
    three()
    with triggers.suspended():
        kept = SyncLog.objects.get(chain__name=CHAIN, seq=1)
        SyncLog.objects.filter(chain__name=CHAIN, seq__gt=0 if whole else 1)._raw_delete("default")
        chain = LogChain.objects.filter(name=CHAIN)
        if whole:
            chain._raw_delete("default")
        else:
            chain.update(head_seq=1, head_hash=kept.entry_hash, last_at=kept.at)
    found = judged()
    assert f"BROKEN {CHAIN}" not in found
    assert (f"the log {CHAIN} is missing" if whole else f"the log {CHAIN} has 1 of its 3 entries") in found


@pytest.mark.proves("I31")
def test_a_history_that_was_written_anew_is_missed() -> None:
    three()
    with triggers.suspended():
        SyncLog.objects.filter(chain__name=CHAIN)._raw_delete("default")
        LogChain.objects.filter(name=CHAIN)._raw_delete("default")
    write([intent(version=version) for version in (7, 8, 9, 10)], now=NOON + 3 * HOUR)
    found = judged()
    assert f"BROKEN {CHAIN}" not in found
    assert f"checkpoint 1: entry 1 of the log {CHAIN} is another" in found


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_file_that_was_changed_is_named_and_not_believed(keeper: Path, place: float) -> None:
    three()
    path = sorted(keeper.iterdir())[-1]
    data = bytearray(path.read_bytes())
    at = int(len(data) * place)
    data[at] = data[at] ^ 1
    path.write_bytes(bytes(data))
    os.utime(keeper, (1, 1))
    newest = files.newest(keeper)
    assert newest is not None
    assert newest.statement.number == 2
    assert f"delivered file {path.name} is not as it was delivered" in judged()


def test_a_file_under_another_s_name_is_not_believed(keeper: Path) -> None:
    three()
    oldest = min(keeper.iterdir())
    oldest.rename(keeper / oldest.name.replace("-0000000001-", "-0000000009-"))
    newest = files.newest(keeper)
    assert newest is not None
    assert newest.statement.number == 3
    assert len(list(files.damaged(keeper))) == 1


@pytest.mark.parametrize("text", ["", "null", "[]", '{"statement":1}', '{"statement":"{}"}', "\0\xff"])
def test_nonsense_in_the_folder_is_passed_over(keeper: Path, text: str) -> None:
    three()
    (keeper / f"checkpoint-{99:010d}-{'0' * 16}.json").write_text(text)
    (keeper / "readme.txt").write_text("not ours")
    newest = files.newest(keeper)
    assert newest is not None
    assert newest.statement.number == 3
    assert checkpoint.behind() == ""


def test_a_signature_by_somebody_else_s_key_says_whose_it_is(keeper: Path) -> None:
    three()
    found = files.newest(keeper)
    assert found is not None
    forged = statement.Signed(found.statement, found.signature, statement.public_of(statement.private_key(OTHER_KEY)))
    with pytest.raises(ValueError, match="not as it was delivered"):
        statement.read(forged.name, forged.text)


def test_a_statement_in_another_key_s_name_is_not_believed(settings: Settings) -> None:
    found = checkpoint.statement_of(three()[2])
    thief = statement.private_key(OTHER_KEY)
    forged = statement.Signed(found, thief.sign(found.signed).hex(), statement.public_of(thief))
    with pytest.raises(ValueError, match="not as it was delivered"):
        statement.read(forged.name, forged.text)


def test_rows_are_append_only() -> None:
    row = three()[0]
    with pytest.raises(IntegrityError):
        LogCheckpoint.objects.filter(pk=row.pk).update(delivered_at=datetime.now(NOON.tzinfo))
