"""Writing the evidence of a chain as a ZIP, part by part, in flat memory (docs/adr/0008-evidence.md).

Only what the audit trail itself knows; what else lies beside it comes from `syncer/evidence.py`. The state of the chain
is written as it is found, also where somebody tampered with it: the verifier in the pack is to name that.
"""

import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any

from django.db.models import Max, Min

from syncer.audit import checkpoint, sheet
from syncer.audit import format as form
from syncer.audit.bundle import verify_py
from syncer.audit.changes import Told, told
from syncer.audit.pack import (
    CHECKPOINTS,
    ENTRIES,
    ERASURES,
    FOLLOWING,
    LINES,
    MANIFEST,
    PACK_FORMAT,
    RUNS,
    VERSIONS,
    bare,
    line_of,
    manifest_text,
    sealed_bytes,
    shown,
)
from syncer.audit.statement import Signed, public_of
from syncer.audit.verify import BEGINNING, Head, head_of, pages
from syncer.audit.walk import Row, redacts
from syncer.models.log import LogChain, LogCheckpoint, SyncLog

VERIFIER, SHEET, PAGE = "verify.py", "log.csv", "index.html"
NEWEST = 200
"""How many entries the page shows."""
_SPARE = 1 << 16
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Part:
    """What of a chain is exported, found out before anything is written: entries `first` to `last`. `since` is within,
    `until` is not. `checkpoint` is the newest one that was there before the head was read: it cannot know more."""

    pk: int
    chain: str
    head: Head
    first: int
    last: int
    checkpoint: int
    since: datetime | None = None
    until: datetime | None = None

    @property
    def from_the_beginning(self) -> int:
        """Where reading begins: before entry 1 there is nothing, and what is found there is shown."""
        return BEGINNING if self.first == 1 else self.first


def part_of(chain: str, since: datetime | None = None, until: datetime | None = None) -> Part:
    """The entries of this time as they are now. Raises LogChain.DoesNotExist."""
    pk: int = LogChain.objects.values_list("pk", flat=True).get(name=chain)
    newest = LogCheckpoint.objects.aggregate(last=Max("number"))["last"] or 0
    head = head_of(pk)
    entries = SyncLog.objects.filter(chain_id=pk)
    end = max(head.seq, entries.aggregate(last=Max("seq"))["last"] or 0)
    first = 1
    if since is not None:
        first = entries.filter(at__gte=since, seq__gte=1).aggregate(first=Min("seq"))["first"] or end + 1
    if until is not None:
        end = entries.filter(at__lt=until).aggregate(last=Max("seq"))["last"] or 0
    return Part(pk, chain, head, first, max(end, first - 1), newest, since, until)


@dataclass
class Beside:
    """What lies beside the log, from those who know it. `about` goes into the manifest: of whom it is, made by whom."""

    about: Mapping[str, Any]
    made_at: datetime
    made_by: str
    versions: Iterable[form.JSON] = ()
    runs: Iterable[form.JSON] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    page: Callable[[Mapping[str, Any], Mapping[str, int], list[Told]], str] | None = None


def chunks(
    part: Part, values: bool, beside: Beside, progress: Callable[[int], object] | None = None
) -> Iterator[bytes]:
    """The bytes of the ZIP. `progress` is told how many more entries were written. Raises ImproperlyConfigured at the
    first one where CHECKPOINT_KEY is malformed."""
    sink = _Sink()
    for read in _Writing(sink, part, values, beside).steps():
        if progress is not None:
            progress(read)
        if sink.size >= _SPARE:
            yield sink.taken()
    yield sink.taken()


class _Sink:
    """Where the ZIP is written to, as to a socket: there is no going back."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self.parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def taken(self) -> bytes:
        found = b"".join(self.parts)
        self.parts, self.size = [], 0
        return found


class _File:
    """One file of the pack while it is written: its hash, its size, its lines."""

    def __init__(self, out: IO[bytes]) -> None:
        self.out = out
        self.made = hashlib.sha256()
        self.size = self.lines = 0

    def write(self, text: str) -> int:
        data = text.encode()
        self.out.write(data)
        self.made.update(data)
        self.size += len(data)
        return len(text)

    def line(self, text: str) -> None:
        self.write(f"{text}\n")
        self.lines += 1


class _Writing:
    """One ZIP in the making. Its steps yield how many entries each of them wrote."""

    def __init__(self, sink: _Sink, part: Part, values: bool, beside: Beside) -> None:
        self.key = checkpoint.signer()
        self.keys = checkpoint.known_keys()
        self.archive = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED)  # type: ignore[call-overload]
        self.part, self.values, self.beside = part, values, beside
        self.files: dict[str, dict[str, Any]] = {}
        self.lines = dict.fromkeys(LINES.values(), 0)
        self.kinds: Counter[str] = Counter()
        self.erasures: set[int] = set()
        self.after_hash: Any = None

    def steps(self) -> Iterator[int]:
        covering, numbers = covering_checkpoints(self.part)
        self.whole(VERIFIER, verify_py())
        self.json(VERSIONS, self.beside.versions)
        self.json(RUNS, self.beside.runs)
        with self.file(CHECKPOINTS) as out:
            for number in numbers:
                out.line(self.checkpoint(LogCheckpoint.objects.get(number=number)))
                yield 0
        yield from self.entries()
        yield from self.following(covering)
        self.json(ERASURES, (bare(row) for row in self.erased_by()))
        yield from self.sheet()
        manifest = self.manifest()
        if self.beside.page is not None:
            self.whole(PAGE, self.beside.page(manifest, dict(self.kinds), self.newest()))
        self.seal(self.manifest())
        yield 0

    # Files

    @contextmanager
    def file(self, name: str) -> Iterator[_File]:
        at = self.beside.made_at
        info = zipfile.ZipInfo(name, (max(at.year, 1980), at.month, at.day, at.hour, at.minute, at.second))
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        # Its size is not known yet, and may be beyond what the small form holds.
        with self.archive.open(info, "w", force_zip64=True) as out:
            file = _File(out)
            yield file
        if name != MANIFEST:
            self.files[name] = {"sha256": file.made.hexdigest(), "size": file.size}
        if name in LINES:
            self.lines[LINES[name]] = file.lines

    def whole(self, name: str, text: str) -> None:
        with self.file(name) as out:
            out.write(text)

    def json(self, name: str, items: Iterable[form.JSON]) -> None:
        with self.file(name) as out:
            for item in items:
                out.line(form.canonical(item))

    def checkpoint(self, row: LogCheckpoint) -> str:
        """As it was delivered. One that cannot be read is left to the verifier to name."""
        try:
            statement = checkpoint.statement_of(row)
        except ValueError:
            return form.canonical({"number": row.number})
        return Signed(statement, row.signature, self.keys.get(row.key_id, "")).text.rstrip("\n")

    # Entries

    def entries(self) -> Iterator[int]:
        last = self.part.last
        with self.file(ENTRIES) as out:
            for page in pages(self.part.pk, self.part.from_the_beginning, last):
                for row in page:
                    out.line(line_of(row, self.values))
                    self.kinds[str(row.mirrors[1])] += 1
                    if type(row.redacted_by) is int and row.redacted_by > last:
                        self.erasures.add(row.redacted_by)
                self.after_hash = page[-1].entry_hash if page[-1].seq == last else None
                yield len(page)

    def following(self, covering: int) -> Iterator[int]:
        """Up to the entry that a checkpoint signed, at least the next one: they show where the part ends."""
        last = self.part.last
        until = max(covering, last + 1 if last < self.part.head.seq else last)
        with self.file(FOLLOWING) as out:
            for page in pages(self.part.pk, last + 1, until):
                for row in page:
                    out.line(form.canonical(bare(row)))
                yield 0

    def erased_by(self) -> Iterator[Row]:
        """The redact entries after the part that entries of the part refer to."""
        for seq in sorted(self.erasures):
            for page in pages(self.part.pk, seq, seq):
                yield from (row for row in page if redacts(row.header, self.part.chain, seq))

    def sheet(self) -> Iterator[int]:
        with self.file(SHEET) as out:
            text: Any = out
            sheet.begin(text)
            for page in pages(self.part.pk, self.part.from_the_beginning, self.part.last):
                for row in page:
                    sheet.write(text, told(row, self.values), self.beside.words)
                yield 0

    def newest(self) -> list[Told]:
        """The newest entries of the part, the newest first."""
        first = max(self.part.from_the_beginning, self.part.last - NEWEST + 1)
        rows = [row for page in pages(self.part.pk, first, self.part.last) for row in page]
        return [told(row, self.values) for row in reversed(rows)]

    # The manifest

    def manifest(self) -> dict[str, Any]:
        part, head = self.part, self.part.head
        at_head = part.last == head.seq
        return {
            "format": PACK_FORMAT,
            "chain": part.chain,
            "about": self.beside.about,
            "made": {"at": form.spell_time(self.beside.made_at), "by": form.clean_text(self.beside.made_by)},
            "since": form.spell_time(part.since) if part.since is not None else None,
            "until": form.spell_time(part.until) if part.until is not None else None,
            "values": self.values,
            "before": self.before(),
            "after": {"seq": part.last, "hash": shown(head.hash if at_head else self.after())},
            "head": {name: shown(value) for name, value in head._asdict().items()},
            "counts": self.lines,
            "checkpoint": part.checkpoint,
            "public_keys": self.keys,
            "files": self.files,
        }

    def before(self) -> dict[str, Any]:
        """The head before the part."""
        seq = self.part.first - 1
        if seq == 0:
            return {"seq": 0, "hash": form.genesis(self.part.chain), "entry": None}
        row = self.row(seq)
        return {"seq": seq, "hash": shown(row.entry_hash) if row else None, "entry": bare(row) if row else None}

    def after(self) -> Any:
        """The hash of the last entry, also where there is none in the part."""
        if self.part.last < self.part.first:
            return self.before()["hash"]
        return self.after_hash

    def row(self, seq: int) -> Row | None:
        return next((row for page in pages(self.part.pk, seq, seq) for row in page), None)

    def seal(self, manifest: dict[str, Any]) -> None:
        """The manifest comes last: it names all other files."""
        signature = self.key.sign(sealed_bytes(manifest)).hex() if self.key is not None else ""
        public_key = public_of(self.key) if self.key is not None else ""
        self.whole(MANIFEST, manifest_text(manifest, public_key, signature))
        self.archive.close()


def covering_checkpoints(part: Part) -> tuple[int, list[int]]:
    """The checkpoints that go with a part, by number: the last of each day from its beginning, and the first that knows
    all of it. Before them, how many entries that one knows, 0 where there is none yet."""
    begin = part.since or time_of(next((row for page in pages(part.pk, 1, 1) for row in page), None))
    covering, chosen, waiting = 0, list[int](), None
    for row in LogCheckpoint.objects.filter(at__gte=begin, number__lte=part.checkpoint).order_by("number").iterator(50):
        if waiting is not None and waiting.at.date() != row.at.date():
            chosen.append(waiting.number)
        waiting = row if part.until is None or row.at < part.until else None
        if covering == 0 and (known := known_entries(row, part.chain)) >= max(part.last, 1):
            covering, waiting = known, None
            chosen.append(row.number)
        if waiting is None and covering > 0 and part.until is not None and row.at >= part.until:
            break
    if waiting is not None:
        chosen.append(waiting.number)
    return covering, chosen


def time_of(row: Row | None) -> datetime:
    """Before all checkpoints where it cannot be read."""
    try:
        return form.moment(row.mirrors[0]) if row is not None else _LONG_AGO
    except (ValueError, TypeError):
        return _LONG_AGO


def known_entries(row: LogCheckpoint, chain: str) -> int:
    try:
        return checkpoint.statement_of(row).heads.get(chain, (0, "", 0))[0]
    except ValueError:
        return 0
