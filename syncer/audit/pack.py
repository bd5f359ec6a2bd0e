"""The form of an evidence pack: its files, its lines, and the manifest that seals them.

Only the standard library of Python 3.8: it goes into the evidence's verify.py as it is.

Each line of a .jsonl file is canonical JSON. manifest.json holds {"manifest", "sha256", "public_key", "signature"}: the
hash, and where the portal has a key the Ed25519 signature, are of EVIDENCE || canonical JSON of the manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, cast

from syncer.audit.format import EVIDENCE, canonical, moment, parse
from syncer.audit.walk import COLUMNS, MIRRORS, Row, hash_of

MANIFEST, ENTRIES, ERASURES, VERSIONS = "manifest.json", "entries.jsonl", "erasures.jsonl", "versions.jsonl"
RUNS, CHECKPOINTS, FOLLOWING = "runs.jsonl", "checkpoints.jsonl", "following.jsonl"
LINES = {
    ENTRIES: "entries",
    FOLLOWING: "following",
    ERASURES: "erasures",
    VERSIONS: "versions",
    RUNS: "runs",
    CHECKPOINTS: "checkpoints",
}
PACK_FORMAT = "counterpart/evidence/1"
BARE = ("seq", "header", "payload_commit", "previous_hash", "entry_hash")
_LONGEST = 256_000_000
_PART = 1 << 20


class Damage(Exception):
    """What is not as it was exported: where, and what. `seq` is the entry's, if it is one."""

    def __init__(self, place: str, reason: str, seq: int | None = None) -> None:
        super().__init__(f"{place}: {reason}")
        self.seq = seq


class Pack:
    """Files by name, from wherever they lie."""

    def __init__(self, names: list[str], open_file: Callable[[str], BinaryIO]) -> None:
        self.names = names
        self._open = open_file

    def open(self, name: str) -> BinaryIO:
        if name not in self.names:
            raise Damage(name, "it is missing")
        return self._open(name)

    def lines(self, name: str) -> Iterator[tuple[int, str]]:
        """The lines of a file with their numbers, without their ends."""
        with self.open(name) as file:
            number = 0
            while True:
                number += 1
                line = file.readline(_LONGEST)
                if line == b"":
                    return
                try:
                    text = line.decode()
                except UnicodeDecodeError:
                    text = ""
                yield number, text[:-1] if text.endswith("\n") else ""

    def objects(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each line as its place and its object. Raises Damage."""
        for number, line in self.lines(name):
            place = f"{name} line {number}"
            found = parsed(line)
            if found is None:
                raise Damage(place, "it cannot be read")
            yield place, found

    def digest(self, name: str, most: int) -> tuple[str, int]:
        """SHA-256 and size of a file; no more is read than one part beyond `most` bytes."""
        made, size = hashlib.sha256(), 0
        with self.open(name) as file:
            while size <= most:
                part = file.read(_PART)
                if part == b"":
                    break
                made.update(part)
                size += len(part)
        return made.hexdigest(), size


def open_pack(path: str) -> Pack:
    """A folder, or a ZIP file. Raises Damage."""
    if os.path.isdir(path):
        names = [name for name in os.listdir(path) if os.path.isfile(os.path.join(path, name))]
        return Pack(names, lambda name: open(os.path.join(path, name), "rb"))
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile):
        raise Damage(path, "it is neither a folder nor a ZIP file that can be read") from None
    names = archive.namelist()
    if len(set(names)) < len(names):
        raise Damage(path, "it holds two files of one name")
    return Pack(names, lambda name: cast(BinaryIO, archive.open(name)))


def parsed(line: str) -> dict[str, Any] | None:
    """None for what is no canonical JSON object."""
    try:
        found = parse(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


# Entries


def line_of(row: Row, values: bool) -> str:
    """An entry as a line. What no JSON can hold is shown in a form that equals no good value. Without values only says
    whether there is a payload."""
    if not values:
        row = row._replace(payload=True if (row.payload, row.salt) != (None, None) else None, salt=None)
    found = {name: shown(value) for name, value in zip(COLUMNS, row) if values or name != "salt"}
    mirrors = {name: shown(value) for name, value in zip(MIRRORS, row.mirrors)}
    return canonical({**found, "mirrors": mirrors})


def row_of(line: str, values: bool) -> Row | None:
    """The entry of a line; None where it is not exactly one."""
    found = parsed(line)
    due = {name for name in COLUMNS if values or name != "salt"} | {"mirrors"}
    if found is None or found.keys() != due:
        return None
    mirrors = found["mirrors"]
    if not isinstance(mirrors, dict) or mirrors.keys() != set(MIRRORS):
        return None
    return Row._make([*(found.get(name) for name in COLUMNS), tuple(mirrors[name] for name in MIRRORS)])


def bare(row: Row) -> dict[str, Any]:
    """An entry without its payload, for where only its place in the chain counts."""
    return {name: shown(getattr(row, name)) for name in BARE}


def bare_header(entry: Any, chain: str) -> dict[str, Any] | None:
    """The header of a bare entry of this chain; None where it does not fit its hashes."""
    if not isinstance(entry, dict) or entry.keys() != set(BARE):
        return None
    header = parsed(entry["header"]) if isinstance(entry["header"], str) else None
    if header is None or header.get("chain") != chain or header.get("seq") != entry["seq"]:
        return None
    made = hash_of(entry["previous_hash"], entry["header"], entry["payload_commit"])
    return header if made is not None and made == entry["entry_hash"] else None


def shown(value: Any) -> Any:
    if value is None or type(value) in (int, bool):
        return value
    if isinstance(value, str):
        try:
            canonical(value)
            return value
        except ValueError:
            value = value.encode("utf-8", "surrogatepass")
    return {"bytes": value.hex()} if isinstance(value, bytes) else {"other": repr(value)}


# The manifest


def sealed_bytes(manifest: Mapping[str, Any]) -> bytes:
    """What the manifest's hash and signature are of."""
    return EVIDENCE + canonical(manifest).encode()


def manifest_text(manifest: Mapping[str, Any], public_key: str, signature: str) -> str:
    """The one spelling of manifest.json."""
    digest = hashlib.sha256(sealed_bytes(manifest)).hexdigest()
    parts = {"manifest": manifest, "sha256": digest, "public_key": public_key, "signature": signature}
    return json.dumps(parts, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_manifest(pack: Pack) -> tuple[Manifest, str, str]:
    """What it says, the public key beside it and the signature. Raises Damage where a byte of it is another."""
    with pack.open(MANIFEST) as file:
        data = file.read(_LONGEST)
    try:
        text = data.decode()
        parts = json.loads(text)
        key, signature = parts["public_key"], parts["signature"]
        if manifest_text(parts["manifest"], key, signature) != text or not isinstance(key, str):
            raise ValueError
        return Manifest(parts["manifest"]), key, signature
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Damage(MANIFEST, "it is not as it was exported") from None


class Manifest:
    """What a manifest says. Raises ValueError, TypeError, KeyError, AttributeError where it does not say all of it."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        if said["format"] != PACK_FORMAT:
            raise ValueError
        self.said = said
        self.chain: str = _typed(said["chain"], str)
        self.made_at: str = said["made"]["at"]
        self.made_by: str = _typed(said["made"]["by"], str)
        self.since: str | None = said["since"]
        self.until: str | None = said["until"]
        self.values: bool = _typed(said["values"], bool)
        self.before: Mapping[str, Any] = said["before"]
        self.after: Mapping[str, Any] = said["after"]
        self.head: Mapping[str, Any] = said["head"]
        self.counts: Mapping[str, int] = said["counts"]
        self.checkpoint: int = _typed(said["checkpoint"], int)
        self.public_keys: Mapping[str, str] = said["public_keys"]
        self.files: Mapping[str, Mapping[str, Any]] = said["files"]
        for at in (self.made_at, self.since, self.until):
            if at is not None:
                moment(at)
        for place in (self.before, self.after, self.head):
            _typed(place["seq"], int)
        for said_of in self.files.values():
            _typed(said_of["sha256"], str)
            _typed(said_of["size"], int)
        self.lines = {name: _typed(self.counts[what], int) for name, what in LINES.items()}


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value
