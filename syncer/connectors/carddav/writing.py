"""A batch of writes: the cards as they are now, one PUT each with a condition, then one reading back of all.

Servers may rewrite what we send, also those that answer a PUT with a strong ETag, which says that they did not (RFC
6352 6.3.2.3; Radicale does so, and orders properties anew). So what counts as written is what is read back.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    Operation,
    Outcome,
    RateLimited,
    Transient,
    Write,
    WriteResult,
)
from syncer.connectors.carddav import fields
from syncer.connectors.carddav.card import Unreadable, new
from syncer.connectors.carddav.dav import Dav, conditions, words
from syncer.connectors.carddav.errors import Act, Meaning, error, meaning
from syncer.connectors.carddav.reading import Fetched, Reader, observe
from syncer.connectors.http import Reply, refuse_in_transaction, retry_after
from syncer.connectors.together import together

READ_BEFORE = 50
AT_ONCE = 4
"""PUTs under way at a time, on connections that are kept: a server far away is waited for once and not four times."""
ONE_BY_ONE = 4
"""The first writes of a batch wait for each other: a full disk or a login that fails shows before much is under way."""
FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


def uid_for(write: Write) -> str:
    """The UID of a created card: the source's own where that is a card too, else the key of the write."""
    given = write.values.get("uid")
    return given if isinstance(given, str) and given != "" else write.key


def created_href(book: str, write: Write) -> str:
    uid = uid_for(write)
    name = uid if FILE_NAME.fullmatch(uid) is not None else hashlib.sha256(uid.encode()).hexdigest()[:40]
    return f"{book}{name}.vcf"


@dataclass(frozen=True)
class Put:
    """A card that is ready to be sent, on a condition."""

    act: Act
    write: Write
    href: str
    octets: bytes
    condition: Mapping[str, str]


@dataclass(frozen=True)
class Sent:
    """The server took it, and said which version it made of it, if it did; what that holds is still to be read."""

    href: str
    etag: str


@dataclass(frozen=True)
class Halt:
    """No further write begins. `result` is that of this one; `error` is raised after the results."""

    result: WriteResult
    error: AuthFailed | None = None


Step = WriteResult | Sent | Halt


def not_sent(why: str) -> WriteResult:
    return WriteResult(Outcome.NOT_SENT, detail=why)


class Batch:
    def __init__(self, dav: Dav, reader: Reader) -> None:
        self.dav, self.reader = dav, reader

    def run(self, writes: Sequence[Write]) -> Iterator[WriteResult]:
        """One result per write, in order. Raises AuthFailed after the results of the writes that were done."""
        try:
            now = self._now(writes)
        except AuthFailed:
            raise
        except ConnectorError as trouble:
            yield from (not_sent(str(trouble)) for _ in writes)
            return
        steps = self._carried_out(writes, now)
        halts = [step for step in steps if isinstance(step, Halt)]
        refused = next((halt.error for halt in halts if halt.error is not None), None)
        while refused is not None and len(steps) > 0 and isinstance(steps[-1], Halt):
            steps.pop()
        yield from self._read_back([step.result if isinstance(step, Halt) else step for step in steps])
        if refused is not None:
            raise refused
        yield from (not_sent(halts[0].result.detail) for _ in writes[len(steps) :])

    def _now(self, writes: Sequence[Write]) -> dict[str, Fetched]:
        ids = [write.remote_id for write in writes if write.operation is Operation.UPDATE]
        return self.reader.fetch(ids, READ_BEFORE)

    def _carried_out(self, writes: Sequence[Write], now: Mapping[str, Fetched]) -> list[Step]:
        """What became of the writes, up to a halt and what was under way then."""
        refuse_in_transaction()
        tasks = (self._task(write, now) for write in writes)
        steps: list[Step] = []
        for task in islice(tasks, ONE_BY_ONE):
            steps.append(task())
            if isinstance(steps[-1], Halt):
                return steps
        return steps + together(tasks, AT_ONCE, lambda step: not isinstance(step, Halt))

    def _task(self, write: Write, now: Mapping[str, Fetched]) -> Callable[[], Step]:
        """All that needs no network is done; what remains is the PUT, where one is needed."""
        try:
            done = self._create(write) if write.operation is Operation.CREATE else self._update(write, now)
        except fields.Unfit as unfit:
            done = WriteResult(Outcome.REFUSED, field=unfit.field, detail=str(unfit))
        return partial(self._put, done) if isinstance(done, Put) else lambda: done

    def _create(self, write: Write) -> Put:
        # A new card has no lines to empty.
        values = {name: value for name, value in write.values.items() if name != "uid" and value not in (None, "", [])}
        card = fields.apply(new(uid_for(write)), values)
        return Put(Act.CREATE, write, created_href(self.reader.book, write), card.octets(), {"If-None-Match": "*"})

    def _update(self, write: Write, now: Mapping[str, Fetched]) -> WriteResult | Put:
        fetched = now[write.remote_id]
        if fetched.gone:
            return WriteResult(Outcome.GONE)
        observed = observe(write.remote_id, fetched)
        if observed.problem != "":
            return WriteResult(Outcome.STALE, observed, detail=observed.problem)
        # A moved etag alone is no conflict: someone may have edited what we do not map.
        if (write.etag == "" or write.etag != fetched.etag) and not write.still_holds(observed):
            return WriteResult(Outcome.STALE, observed)
        card = fetched.card()
        changed = fields.apply(card, write.values)
        if changed == card:
            return WriteResult(Outcome.DONE, observed)
        if fetched.etag == "":
            return WriteResult(
                Outcome.REFUSED, detail="The server gives no version (ETag) of this card, so no change of it is safe."
            )
        return Put(Act.UPDATE, write, write.remote_id, changed.octets(), {"If-Match": fetched.etag})

    def _put(self, put: Put) -> Step:
        try:
            reply = self.dav.put(put.href, put.octets, put.condition)
        except Transient as trouble:
            outcome = Outcome.UNKNOWN if trouble.maybe_applied else Outcome.NOT_SENT
            return Halt(WriteResult(outcome, detail=str(trouble)))
        except ConnectorError as trouble:
            return Halt(not_sent(str(trouble)))
        return self._answered(put, reply)

    def _answered(self, put: Put, reply: Reply) -> Step:
        found = meaning(put.act, reply.status, conditions(reply))
        match found:
            case Meaning.OK:
                return Sent(put.href, reply.headers.get("etag", ""))
            case Meaning.AUTH:
                refused = AuthFailed(str(error(found, self.dav.host, reply.status)))
                return Halt(not_sent(str(refused)), refused)
            case Meaning.STALE:
                return self._instead(put.write, put.href)
            case Meaning.REFUSED:
                return WriteResult(Outcome.REFUSED, detail=f"{self.dav.host} refused the card: {words(reply)}")
            case Meaning.SLOW_DOWN | Meaning.NOT_NOW:
                slow = RateLimited(f"{self.dav.host} takes no changes now (status {reply.status}).", retry_after(reply))
                return Halt(not_sent(str(slow)))
            case _:
                return WriteResult(Outcome.UNKNOWN, detail=f"{self.dav.host} answered with status {reply.status}.")

    def _instead(self, write: Write, href: str) -> WriteResult:
        """What stands where the condition failed. A card with the key of this write is ours, from an earlier try."""
        try:
            fetched = self.reader.fetch([href])[href]
        except ConnectorError as trouble:
            return WriteResult(Outcome.UNKNOWN, detail=str(trouble))
        creating = write.operation is Operation.CREATE
        if fetched.gone:
            return (
                not_sent("Another card stood at this address and is gone now.")
                if creating
                else WriteResult(Outcome.GONE)
            )
        try:
            ours = creating and fields.uid_of(fetched.card()) == write.key
        except Unreadable:
            ours = False
        return WriteResult(Outcome.DONE if ours else Outcome.STALE, observe(href, fetched))

    def _read_back(self, results: Sequence[WriteResult | Sent]) -> Iterator[WriteResult]:
        hrefs = [result.href for result in results if isinstance(result, Sent)]
        trouble, found = "", dict[str, Fetched]()
        try:
            found = self.reader.fetch(hrefs)
        except ConnectorError as failure:
            trouble = f"The card was taken, but could not be read back: {failure}"
        for result in results:
            yield self._settled(result, found, trouble) if isinstance(result, Sent) else result

    def _settled(self, sent: Sent, found: Mapping[str, Fetched], trouble: str) -> WriteResult:
        fetched = found.get(sent.href, Fetched(problem=trouble))
        if fetched.gone:
            return WriteResult(Outcome.GONE, detail="The card was taken, and deleted by someone right after.")
        if fetched.problem != "":
            return WriteResult(Outcome.UNKNOWN, detail=fetched.problem)
        # Strong versions that differ are two states of the card (RFC 9110 8.8.3).
        versions = {sent.etag, fetched.etag}
        edited = len(versions) == 2 and all(etag.startswith('"') for etag in versions)
        return WriteResult(Outcome.DONE, observe(sent.href, fetched), edited=edited)
