"""Whatever somebody who owns the database or the pack changes, the verifier names the entry, as verify_log does."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from django.db import IntegrityError, connection, transaction
from pytest_django import Settings

from syncer.audit import checkpoint, triggers
from syncer.audit.export import Beside, chunks, part_of
from syncer.audit.pack import (
    CHECKPOINTS,
    ENTRIES,
    ERASURES,
    FOLLOWING,
    MANIFEST,
    RUNS,
    VERSIONS,
    Damage,
    Manifest,
    line_of,
    manifest_text,
    read_manifest,
    row_of,
)
from syncer.audit.verifier import Marks, PackWalk, check_file, check_pack
from syncer.audit.verify import BEGINNING, Row, pages
from syncer.models import LogChain, SyncLog
from tests.syncer.evidence import ANNA, Noon, broken_entry, exported, files_of, in_memory, verdict
from tests.syncer.test_audit_verify import (
    EVERYWHERE,
    FIELDS,
    altered,
    another,
    broken_at,
    changed,
    entries,
    head,
    rewrite,
)
from tests.syncer.test_checkpoint import KEY
from tests.syncer.trail import CHAIN, LAST, NOON, REDACT, REDACTED, diary, erase, intent, write

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
OPAQUE = ("verify.py", "log.csv", "index.html")


@pytest.fixture
def tampering() -> Iterator[None]:
    """Fifty entries, and no triggers in the way."""
    diary()
    with triggers.suspended():
        yield


def log_files() -> dict[str, bytes]:
    """The evidence of the chain as it is, without the page."""
    return files_of(b"".join(chunks(part_of(CHAIN), True, Beside({}, Noon().now(), ANNA))))


def after(act: Callable[[], object]) -> tuple[int | None, int | None] | str:
    """Where verify_log and the evidence's verifier find the break once the act is done; then it is undone."""
    found: tuple[int | None, int | None] | str = "refused"
    try:
        with transaction.atomic():
            act()
            found = (broken_at(), broken_entry(log_files()))
            transaction.set_rollback(True)
    except IntegrityError:
        pass
    return found


def both(seq: int) -> tuple[int, int]:
    return seq, seq


def walk_of(files: dict[str, bytes]) -> PackWalk:
    pack = in_memory(files)
    manifest = read_manifest(pack)[0]
    return PackWalk(pack, manifest, Marks(manifest))


def fork(walk: PackWalk) -> PackWalk:
    """The walk as it stands, to try something on."""
    found = copy.copy(walk)
    found._held = bytearray(walk._held)
    return found


# What is in the database


@pytest.mark.proves("I31")
@pytest.mark.parametrize("values", [True, False])
def test_every_changed_byte_of_every_column_is_found_in_the_evidence_at_its_number(values: bool) -> None:
    """In memory, tens of thousands of changes; the next test changes the database."""
    diary()
    files = exported(values=values)
    walk, tried = walk_of(files), 0
    lines = files[ENTRIES].decode().splitlines()
    for row in rows():
        for bad in altered(row):
            line = line_of(bad, values)
            if line == lines[row.seq - 1]:
                assert not values  # what was left out cannot be told
                continue
            assert named(walk, files, row.seq, line) == row.seq, bad
            tried += 1
        walk.judge(row_of(line_of(row, values), values))
    walk.end()
    assert tried > LAST * 400


def rows() -> list[Row]:
    return [row for page in pages(LogChain.objects.get(name=CHAIN).pk, BEGINNING, LAST) for row in page]


def named(walk: PackWalk, files: dict[str, bytes], seq: int, line: str) -> int | None:
    """The number that the verifier names with this line in the place of entry `seq`."""
    try:
        fork(walk).judge(row_of(line, walk.values))
    except Damage as found:
        return found.seq
    # Which entry erased it is looked up in the whole file.
    lines = files[ENTRIES].decode().splitlines()
    lines[seq - 1] = line
    return broken_entry({**files, ENTRIES: "".join(f"{one}\n" for one in lines).encode()})


@pytest.mark.proves("I31")
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.usefixtures("tampering")
def test_every_changed_column_in_the_database_is_found_by_both_at_its_number(field: str) -> None:
    for seq in EVERYWHERE:
        row = entries().get(seq=seq)
        spoil = partial(entries().filter(pk=row.pk).update, **{field: another(field, getattr(row, field))})
        due = {both(seq), "refused"} if field in ("seq", "payload", "salt", "redacted_by") else {both(seq)}
        assert after(spoil) in due


@pytest.mark.proves("I31")
@pytest.mark.usefixtures("tampering")
def test_every_lost_entry_is_found_by_both_at_its_number() -> None:
    for seq in EVERYWHERE:
        assert after(entries().filter(seq=seq).delete) == both(seq)
    assert after(entries().filter(seq__lte=20).delete) == both(1)
    assert after(entries().filter(seq__gt=20).delete) == both(21)
    assert after(entries().delete) == both(1)


@pytest.mark.usefixtures("tampering")
def test_swapped_and_rewritten_entries_and_a_changed_head_are_found_by_both() -> None:
    def swap(one: int) -> None:
        for old, new in ((one, LAST + 1), (one + 1, one), (LAST + 1, one + 1)):
            entries().filter(seq=old).update(seq=new)

    ids = dict(entries().values_list("seq", "id"))
    assert after(partial(swap, 20)) == both(20)
    assert after(lambda: entries().filter(seq=20).update(id=ids[LAST] + 1)) == both(21)
    assert after(lambda: rewrite(20, {}, {"actor": "user:mallory"})) == both(20)
    assert after(lambda: head().update(head_seq=LAST + 1)) == both(LAST + 1)
    assert after(lambda: head().update(head_seq=LAST - 1)) == both(LAST)
    assert after(lambda: head().update(head_seq=0)) == both(1)
    assert after(lambda: head().update(last_at=NOON)) == both(LAST)
    assert after(lambda: head().update(last_at=None)) == both(LAST)
    for value in changed(head().get().head_hash)[2::9]:
        assert after(partial(head().update, head_hash=value)) == both(LAST)


@pytest.mark.proves("I32")
@pytest.mark.usefixtures("tampering")
def test_an_erasure_that_nobody_signed_for_is_found_by_both() -> None:
    for seq, by in [(11, None), (11, 1), (11, REDACT), (11, LAST + 1), *((seq, REDACT + 1) for seq in REDACTED)]:
        silence = partial(entries().filter(seq=seq).update, payload=None, salt=None, redacted_by=by)
        assert after(silence) == both(seq)


@pytest.mark.usefixtures("tampering")
def test_bytes_that_are_no_text_are_found_by_both() -> None:
    """SQLite takes them in a column of text; PostgreSQL refuses them itself."""
    if connection.vendor == "postgresql":
        return
    for column in ("header", "payload", "salt", "entry_hash", "actor", "at", "link"):
        for value in ("CAST(x'fffe' AS TEXT)", "CAST(x'6100' AS TEXT)", "1.5"):

            def spoil(column: str = column, value: str = value) -> None:
                with connection.cursor() as cursor:
                    cursor.execute(f"UPDATE syncer_synclog SET {column} = {value} WHERE seq = 22")

            assert after(spoil) == both(22)


# What is in the pack


@pytest.fixture
def files(settings: Settings) -> dict[str, bytes]:
    """A signed pack of a part, with everything in it: erasures that came later, what follows, a checkpoint."""
    settings.CHECKPOINT_KEY = KEY
    diary()
    checkpoint.make(NOON.replace(hour=13))
    found = exported(since=NOON, until=NOON.replace(second=1))
    assert {name: found[name].count(b"\n") for name in (ENTRIES, FOLLOWING, ERASURES, CHECKPOINTS)} == {
        ENTRIES: REDACT - 1,
        FOLLOWING: LAST - REDACT + 1,
        ERASURES: 1,
        CHECKPOINTS: 1,
    }
    return found


def without_id(line: bytes) -> bytes:
    return re.sub(rb'"id":\d+', b"", line)


def flipped(data: bytes) -> Iterator[bytes]:
    """With each of its bytes changed, one at a time."""
    for place in range(len(data)):
        yield data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.proves("I31")
def test_every_changed_byte_of_the_entries_file_is_found_at_its_entry(files: dict[str, bytes]) -> None:
    assert verdict(files) is None
    walk = walk_of(files)
    lines = files[ENTRIES].splitlines(keepends=True)
    for seq, line in enumerate(lines, start=1):
        for bad in flipped(line[:-1]):
            if without_id(bad) == without_id(line[:-1]):
                # It means nothing but the order; what keeps the order is left to the hash of the file.
                other = b"".join([*lines[: seq - 1], bad + b"\n", *lines[seq:]])
                assert verdict({**files, ENTRIES: other}) is not None
            else:
                assert named(walk, files, seq, bad.decode(errors="replace")) == seq, bad
        walk.judge(row_of(line[:-1].decode(), True))


def test_every_changed_byte_of_the_other_files_is_found(files: dict[str, bytes]) -> None:
    manifest: Manifest = read_manifest(in_memory(files))[0]
    for name, said in manifest.files.items():
        for bad in flipped(files[name]):
            with pytest.raises(Damage):
                check_file(in_memory({name: bad}), name, said)
    for bad in flipped(files[MANIFEST]):
        with pytest.raises(Damage):
            read_manifest(in_memory({MANIFEST: bad}))
            # What is left is the signature and its key.
            check_pack(in_memory({**files, MANIFEST: bad}))
    for name in (CHECKPOINTS, ERASURES):
        for bad in list(flipped(files[name]))[::7]:
            assert verdict({**files, name: bad}) is not None
    lines = files[FOLLOWING].split(b"\n", 1)
    for bad in list(flipped(lines[0]))[::7]:
        assert broken_entry({**files, FOLLOWING: b"\n".join([bad, lines[1]])}) == REDACT


def test_a_file_that_is_missing_or_longer_or_empty_is_found(files: dict[str, bytes]) -> None:
    assert {RUNS, VERSIONS, *OPAQUE, ENTRIES, FOLLOWING, ERASURES, CHECKPOINTS, MANIFEST} == set(files)
    for name, data in files.items():
        assert verdict({other: files[other] for other in files if other != name}) is not None, name
        assert verdict({**files, name: data + b"\n"}) is not None, name
        assert data == b"" or verdict({**files, name: data[:-1]}) is not None, name


def test_a_manifest_that_was_made_anew_lacks_the_signature(files: dict[str, bytes]) -> None:
    parts = json.loads(files[MANIFEST])
    parts["manifest"]["made"]["by"] = "mallory"
    forged = manifest_text(parts["manifest"], parts["public_key"], parts["signature"]).encode()
    assert str(verdict({**files, MANIFEST: forged})) == "manifest.json: its signature does not fit"
    unsigned = manifest_text(parts["manifest"], "", "").encode()
    found = verdict({**files, MANIFEST: unsigned}, key=parts["public_key"])
    assert str(found) == "manifest.json: it is not signed by the key that you named"


def test_what_is_written_during_an_export_is_left_to_the_next() -> None:
    said = intent({"before": {"name": "Bob"}, "after": {"name": "Rob"}})
    write([said] * 1200)
    out: list[bytes] = []

    def meanwhile(count: int) -> None:
        if count and SyncLog.objects.count() == 1200:
            write([said])
            erase(1, 700)

    for chunk in chunks(part_of(CHAIN), True, Beside({}, Noon().now(), ANNA), meanwhile):
        out.append(chunk)
    found = files_of(b"".join(out))
    assert found[ENTRIES].count(b"\n") == 1200
    assert found[ERASURES].count(b"\n") == 1
    assert verdict(found) is None
