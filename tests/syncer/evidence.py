"""Builders for the tests of the evidence: a pack in memory, and what its verifier says of it."""

import io
import zipfile
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from syncer import evidence
from syncer.audit.pack import Damage, Pack
from syncer.audit.verifier import check_pack
from tests.syncer.trail import CHAIN, NOON

ANNA = "anna"


class Noon:
    """A clock that stands still, a day after the diary began."""

    def now(self) -> datetime:
        return NOON.replace(day=25)

    def monotonic(self) -> float:
        return 0.0


def packed(chain: str = CHAIN, **options: Any) -> bytes:
    """The ZIP of a log's evidence."""
    out = io.BytesIO()
    evidence.prepare(chain, ANNA, clock=Noon(), **options).write_to(out)
    return out.getvalue()


def files_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def exported(chain: str = CHAIN, **options: Any) -> dict[str, bytes]:
    """The files of a log's evidence, by name."""
    return files_of(packed(chain, **options))


def in_memory(files: Mapping[str, bytes]) -> Pack:
    return Pack(list(files), lambda name: io.BytesIO(files[name]))


def verdict(files: Mapping[str, bytes], **options: Any) -> Damage | None:
    """What the verifier names first; nothing where all is in order."""
    try:
        check_pack(in_memory(files), **options)
    except Damage as found:
        return found
    return None


def words(files: Mapping[str, bytes], **options: Any) -> str:
    return "\n".join(check_pack(in_memory(files), **options))


def broken_entry(files: Mapping[str, bytes]) -> int | None:
    """The number of the entry that the verifier names; nothing where all is in order."""
    found = verdict(files)
    assert found is None or found.seq is not None, found
    return None if found is None else found.seq
