"""Checks an evidence pack of Counterpart: python -I verify.py [--key HEX] [--kept FOLDER] [PACK]

PACK is the ZIP file or the folder that it was unpacked into (else the folder of this file). It needs Python 3.8 and
nothing else. The exit code is 0 where everything is as it was written; else it is 1, and the first break is named.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from syncer.audit.ed25519 import signature_holds
from syncer.audit.format import CHECKPOINT, NO_PAYLOAD, genesis, key_id, moment, parse
from syncer.audit.pack import (
    CHECKPOINTS,
    ENTRIES,
    ERASURES,
    FOLLOWING,
    MANIFEST,
    VERSIONS,
    Damage,
    Manifest,
    Pack,
    bare_header,
    open_pack,
    parsed,
    read_manifest,
    row_of,
    sealed_bytes,
)
from syncer.audit.walk import Break, Judge, Row, is_number, redacts

_KEPT = re.compile(r"checkpoint-\d{10,}-[0-9a-f]{16}\.json")


def check_pack(pack: Pack, key: str = "", kept: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """What is proven, in words. Raises Damage for the first thing that is not as it was written.

    `key`: the public key in hex that the signatures must lead to; `kept`: checkpoints that somebody else kept.
    """
    try:
        return _checked(pack, key, kept)
    except Damage:
        raise
    except Exception as error:
        # Whatever somebody made of it, it is not what was exported.
        raise Damage("the pack", f"it cannot be read ({type(error).__name__})") from error


def _checked(pack: Pack, key: str, kept: Sequence[Mapping[str, Any]]) -> list[str]:
    manifest, public_key, signature = read_manifest(pack)
    said = [_signed(manifest, public_key, signature, key)]
    marks = Marks(manifest)
    for place, file in pack.objects(CHECKPOINTS):
        marks.add(place, file)
    for one in kept:
        marks.add(str(one.get("name")), {name: one[name] for name in one if name != "name"}, kept=True)
    walk = PackWalk(pack, manifest, marks)
    walk.go()
    without = _check_versions(pack, walk.versions)
    _check_files(pack, manifest)
    beside = sorted(set(pack.names) - set(manifest.files) - {MANIFEST})
    said += [f"Not part of the evidence: {', '.join(map(ascii, beside))}."] if beside else []
    return said + walk.words() + without + marks.words()


# The manifest and the files


def _signed(manifest: Manifest, public_key: str, signature: str, key: str) -> str:
    if signature == "" and key == "":
        return "The manifest is not signed: nothing here shows who made it."
    if key not in ("", public_key):
        raise Damage(MANIFEST, "it is not signed by the key that you named")
    if not _holds(public_key, sealed_bytes(manifest.said), signature):
        raise Damage(MANIFEST, "its signature does not fit")
    compare = "the key that you named" if key else f"compare it with the key that you were given: {public_key}"
    return f"The manifest is signed by key {key_id(public_key)} ({compare})."


def _holds(public_key: Any, message: bytes, signature: Any) -> bool:
    try:
        spelled = re.fullmatch("[0-9a-f]{64}", public_key) and re.fullmatch("[0-9a-f]{128}", signature)
        return bool(spelled) and signature_holds(bytes.fromhex(public_key), message, bytes.fromhex(signature))
    except (ValueError, TypeError, AttributeError):
        return False


def _check_files(pack: Pack, manifest: Manifest) -> None:
    for name, said in sorted(manifest.files.items()):
        check_file(pack, name, said)
    for name, count in manifest.lines.items():
        if name not in manifest.files:
            raise Damage(MANIFEST, f"it does not name {name}")
        if sum(1 for _ in pack.objects(name)) != count:
            raise Damage(name, f"it does not have the {count} lines that the manifest counts")


def check_file(pack: Pack, name: str, said: Mapping[str, Any]) -> None:
    if pack.digest(name, said["size"]) != (said["sha256"], said["size"]):
        raise Damage(name, "it is not as it was exported")


def _check_versions(pack: Pack, named: Mapping[int, str]) -> list[str]:
    """Each configuration against its digest, and against what the log says of it. A deleted connection has none left;
    the digests in the log still bind them."""
    found = set()
    for place, version in pack.objects(VERSIONS):
        number, body, digest = version.get("number"), version.get("body"), version.get("digest")
        if type(number) is not int or not isinstance(body, str):
            raise Damage(place, "it cannot be read")
        if hashlib.sha256(body.encode()).hexdigest() != digest or named.get(number, digest) != digest:
            raise Damage(place, f"version {number} is not the configuration of that time")
        found.add(number)
    lost = sorted(set(named) - found)
    if found and lost:
        raise Damage(VERSIONS, f"version {lost[0]} is missing")
    return [f"The {len(lost)} configurations that it names are not in it, only their digests."] if lost else []


# Checkpoints


class Marks:
    """What signed checkpoints say of this chain: the hash of an entry, by its number."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.by_seq: dict[int, list[tuple[int, Any, bool]]] = {}
        self.added = self.compared = self.kept = self.covered = self.newer = 0
        self._last: Mapping[str, Any] = {"number": 0, "seq": 0, "digest": ""}

    def add(self, place: str, file: Mapping[str, Any], kept: bool = False) -> None:
        """The next one; `kept` by somebody else than who made the pack. Raises Damage."""
        text, key = file.get("statement"), file.get("public_key")
        said = parsed(text) if isinstance(text, str) else None
        if said is None or not isinstance(text, str) or file.keys() != {"statement", "public_key", "signature"}:
            raise Damage(place, "it cannot be read")
        signed = CHECKPOINT + text.encode()
        if said.get("key_id") not in self.manifest.public_keys or self.manifest.public_keys[said["key_id"]] != key:
            raise Damage(place, "it is signed by a key that the manifest does not name")
        if key_id(str(key)) != said["key_id"] or not _holds(key, signed, file["signature"]):
            raise Damage(place, "its signature does not fit what it says")
        try:
            number, at, previous, head = said["number"], said["at"], said["previous_hash"], said["heads"]
            seq, made = head.get(self.manifest.chain, [0, "", 0])[:2]
            if type(number) is not int or type(seq) is not int:
                raise TypeError
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Damage(place, "it cannot be read") from None
        self._follows(place, number, seq, previous)
        self._last = {"number": number, "seq": seq, "digest": hashlib.sha256(signed).hexdigest()}
        self.added += 1
        early = moment(at) < moment(self.manifest.made_at) - timedelta(minutes=1)
        if seq > self.manifest.head["seq"] and (early or number <= self.manifest.checkpoint):
            raise Damage(place, f"checkpoint {number} knows {seq} entries: the newest were taken away")
        if seq > self.manifest.head["seq"]:
            self.newer = max(self.newer, seq)
        if seq > 0:
            self.by_seq.setdefault(seq, []).append((number, made, kept))

    def _follows(self, place: str, number: int, seq: int, previous: Any) -> None:
        last = self._last
        if number < last["number"]:  # those that somebody kept begin anew
            last = {"number": 0, "seq": 0, "digest": ""}
        if seq < last["seq"]:
            raise Damage(place, f"the log went back since checkpoint {last['number']}")
        if number == last["number"] + 1 and last["digest"] not in ("", previous):
            raise Damage(place, f"it does not follow from checkpoint {last['number']}")

    def check(self, seq: int, made: Any) -> None:
        """Raises Damage where the entry of this number is not the one that was signed."""
        for number, due, kept in self.by_seq.get(seq, []):
            if made != due:
                raise Damage(f"entry {seq}", f"it is not the one that checkpoint {number} signed", seq)
            self.covered, self.compared, self.kept = seq, self.compared + 1, self.kept + kept

    def words(self) -> list[str]:
        """What was compared, and what could not be: a checkpoint before or after the part says nothing of it."""
        found = [f"It was made at {self.manifest.made_at}."]
        if self.newer:
            head = self.manifest.head["seq"]
            found.append(
                f"A newer checkpoint knows {self.newer} entries: this evidence shows no more than {head} of them."
            )
        if self.covered == 0:
            found.append("No checkpoint covers it yet: nothing here shows that no newest entries were taken away.")
            return found
        beside = f", {self.kept} of them kept by you" if self.kept else ""
        rest = (
            "" if self.covered >= self.manifest.after["seq"] else f"; none covers the entries after {self.covered} yet"
        )
        found.append(f"It agrees with {self.compared} signed checkpoints{beside}{rest}.")
        others = self.added - self.compared
        if others:
            found.append(f"{others} more checkpoints speak of entries that are not in it, and were not compared.")
        return found


# Entries


class PackWalk(Judge):
    """One walk over the entries of a pack."""

    def __init__(self, pack: Pack, manifest: Manifest, marks: Marks) -> None:
        self.pack, self.manifest, self.marks = pack, manifest, marks
        before = manifest.before
        super().__init__(manifest.chain, before["seq"], before["hash"], self._start(), manifest.values)
        self.first = before["seq"] + 1
        self.known = self.erased = 0
        self.versions: dict[int, str] = {}
        self._held = bytearray()
        self._hashes: dict[int, Any] = {}
        self._names = self._who_erased()

    def _start(self) -> str:
        """The time of the entry before the first. Raises Damage where the head before is not that of an entry."""
        before, since = self.manifest.before, self.manifest.since
        if before["seq"] == 0:
            if before["hash"] != genesis(self.manifest.chain):
                raise Damage("entry 1", "the log does not begin with it", 1)
            return ""
        header = bare_header(before["entry"], self.manifest.chain)
        if header is None or not is_number(header.get("seq"), before["seq"]):
            raise Damage(f"entry {before['seq']}", "the head before the part cannot be proven", before["seq"])
        if before["entry"]["entry_hash"] != before["hash"] or since is None or not str(header.get("at")) < since:
            raise Damage(f"entry {before['seq']}", "it belongs to the part and is left out", before["seq"])
        return str(header["at"])

    def _who_erased(self) -> dict[int, frozenset[int]]:
        """The redact entries that are referred to, and what they name: those of the part, and those after it."""
        wanted = {row.redacted_by for row in self._rows() if row is not None and type(row.redacted_by) is int}
        found: dict[int, frozenset[int]] = {}
        if wanted:
            for row in self._rows():
                if row is None or row.seq not in wanted:
                    continue
                named = redacts(row.header, self.name, row.seq)
                entry = {name: getattr(row, name) for name in ("seq", "header", "payload_commit")}
                entry.update(previous_hash=row.previous_hash, entry_hash=row.entry_hash)
                if named is not None and bare_header(entry, self.name) is not None:
                    found[row.seq] = named
        for place, entry in self.pack.objects(ERASURES):
            named = redacts(entry["header"], self.name, entry["seq"]) if bare_header(entry, self.name) else None
            if not named or entry["seq"] <= self.manifest.after["seq"]:
                raise Damage(place, "it is no erasure that came after the part")
            found[entry["seq"]] = named
            self._hashes[entry["seq"]] = entry["entry_hash"]
        return found

    def _rows(self) -> Iterable[Row | None]:
        return (row_of(line, self.values) for _, line in self.pack.lines(ENTRIES))

    def named_by(self, by: int) -> frozenset[int] | None:
        return self._names.get(by, None if by <= self.manifest.after["seq"] else frozenset())

    def keeps(self, seqs: Sequence[int]) -> bool:
        places = [seq - self.first for seq in seqs]
        return any(self._held[place] for place in places if 0 <= place < len(self._held))

    def go(self) -> None:
        """All of it. Raises Damage."""
        self.marks.check(self.seq, self.last_hash)
        for row in self._rows():
            self.judge(row)
        self.end()

    def judge(self, row: Row | None) -> None:
        due = self.seq + 1
        if row is None:
            raise Damage(f"entry {due}", "its line cannot be read", due)
        try:
            self.step(row)
        except Break as found:
            raise Damage(f"entry {found.seq}", str(found), found.seq) from None
        self._held.append(row.payload_commit != NO_PAYLOAD and row.redacted_by is None)
        self.erased += row.redacted_by is not None
        since, until = self.manifest.since, self.manifest.until
        if (since is not None and self.last_at < since) or (until is not None and self.last_at >= until):
            raise Damage(f"entry {due}", "it is outside of the time that the manifest names", due)
        self.marks.check(due, self.last_hash)
        header = parse(row.header)
        if header["kind"] == "config.changed" and {"version", "digest"} <= header.keys():
            self.versions[header["version"]] = header["digest"]

    def end(self) -> None:
        """Judge the head after the part, and the chain's, against the last entry. Raises Damage."""
        after, head = self.manifest.after, self.manifest.head
        last = min(after["seq"], head["seq"])
        if self.seq < after["seq"]:
            raise self._at(self.seq + 1, f"entry {self.seq + 1} is missing")
        if self.seq > last:
            raise self._at(last + 1, "an entry stands beyond the head of the chain")
        if after["hash"] != self.last_hash or (last == head["seq"] and head["hash"] != self.last_hash):
            raise self._at(self.seq, "the head's hash is not the last entry's")
        if last == head["seq"] and head["at"] != (self.last_at or None):
            raise self._at(self.seq, "the head's time is not the last entry's")
        self._goes_on()

    def _goes_on(self) -> None:
        """What follows the part, to the next checkpoint: it shows that none of the part is left out, and binds it."""
        seq, last_hash, until = self.seq, self.last_hash, self.manifest.until
        for _, line in self.pack.lines(FOLLOWING):
            entry = parsed(line) or {}
            header = bare_header(entry, self.name)
            if header is None or not is_number(header.get("seq"), seq + 1):
                raise self._at(seq + 1, f"entry {seq + 1} is missing")
            if entry["previous_hash"] != last_hash:
                raise self._at(seq + 1, "it does not follow from the entry before it")
            if until is None or not str(header.get("at")) >= until:
                raise self._at(seq + 1, "it belongs to the part and is left out")
            seq, last_hash = seq + 1, entry["entry_hash"]
            if self._hashes.get(seq, last_hash) != last_hash:
                raise self._at(seq, "what is said to erase is another entry than the one that follows")
            self.marks.check(seq, last_hash)
        if seq == self.seq and seq < self.manifest.head["seq"]:
            raise self._at(seq + 1, f"entry {seq + 1} is missing")
        self.known = seq

    def _at(self, seq: int, reason: str) -> Damage:
        return Damage(f"entry {seq}", reason, seq)

    def words(self) -> list[str]:
        head, erased = self.manifest.head, f"{self.erased} payloads were erased, each named by a redact entry."
        span = f"entries {self.first} to {self.seq}" if self.entries else f"no entry after number {self.seq}"
        found = [f"{self.entries} entries are as they were written: {span} of {head['seq']} in {self.name}."]
        found += [erased] if self.erased else []
        later = sum(1 for seq in self._names if seq > self.known)
        if later:
            found.append(f"{later} of these came after the part: only an evidence that holds them proves them.")
        if not self.values:
            found.append("The values were left out on purpose; only their commitments are in it.")
        return found


# The command


def read_kept(folder: str) -> list[Mapping[str, Any]]:
    """The checkpoints that somebody kept, oldest first, each with its name. Raises Damage."""
    found: list[Mapping[str, Any]] = []
    try:
        names = sorted(name for name in os.listdir(folder) if _KEPT.fullmatch(name))
        for name in names:
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                found.append({**(parsed(file.read().rstrip("\n")) or {}), "name": name})
    except OSError as error:
        raise Damage(folder, f"it cannot be read ({error.strerror})") from None
    if not found:
        raise Damage(folder, "no checkpoint lies there")
    return found


def main(arguments: Sequence[str], here: str, say: Callable[[str], object] = print) -> int:
    options = argparse.ArgumentParser(prog="verify.py", description="Checks an evidence pack of Counterpart.")
    options.add_argument("pack", nargs="?", default=here, help="the ZIP file, or the folder it was unpacked into")
    options.add_argument("--key", help="the public key that you were given, in hex")
    options.add_argument("--kept", metavar="FOLDER", help="delivered checkpoints that you kept")
    chosen = options.parse_args(arguments)
    for name in ("key", "kept"):
        if getattr(chosen, name) is not None and not getattr(chosen, name).strip():
            options.error(f"--{name} is empty")
    try:
        kept = read_kept(chosen.kept) if chosen.kept else ()
        for line in check_pack(open_pack(chosen.pack), (chosen.key or "").strip().lower(), kept):
            say(line)
    except Damage as found:
        say(f"BROKEN {found}")
        return 1
    say("OK")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.path.dirname(os.path.abspath(__file__))))
