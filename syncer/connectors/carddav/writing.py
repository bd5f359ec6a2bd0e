"""A batch of writes: the cards as they are now, one PUT each with a condition, then one reading back of all.

Servers may rewrite what we send (Radicale orders properties anew), so what counts as written is what is read back.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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
from syncer.connectors.carddav.dav import Dav, conditions, retry_after, words
from syncer.connectors.carddav.errors import Act, Meaning, error, meaning
from syncer.connectors.carddav.reading import Fetched, Reader, observe
from syncer.connectors.http import Reply

READ_BEFORE = 50
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
class Sent:
    """The server took it; what it made of it is still to be read."""

    href: str


class Halt(Exception):
    """No further write now. `result` is that of the write under way; `error` is raised after the earlier results."""

    def __init__(self, result: WriteResult, error: AuthFailed | None = None) -> None:
        super().__init__(result.detail)
        self.result, self.error = result, error


def not_sent(why: str) -> WriteResult:
    return WriteResult(Outcome.NOT_SENT, detail=why)


class Batch:
    def __init__(self, dav: Dav, reader: Reader) -> None:
        self.dav, self.reader = dav, reader

    def run(self, writes: Sequence[Write]) -> Iterator[WriteResult]:
        """One result per write, in order. Raises AuthFailed after the results of the writes before it."""
        try:
            now = self._now(writes)
        except AuthFailed:
            raise
        except ConnectorError as trouble:
            yield from (not_sent(str(trouble)) for _ in writes)
            return
        results: list[WriteResult | Sent] = []
        halt: Halt | None = None
        for write in writes:
            try:
                results.append(self._one(write, now))
            except Halt as stop:
                halt = stop
                break
        yield from self._read_back(results)
        if halt is None:
            return
        if halt.error is not None:
            raise halt.error
        yield halt.result
        yield from (not_sent(halt.result.detail) for _ in writes[len(results) + 1 :])

    def _now(self, writes: Sequence[Write]) -> dict[str, Fetched]:
        ids = [write.remote_id for write in writes if write.operation is Operation.UPDATE]
        return self.reader.fetch(ids, READ_BEFORE)

    def _one(self, write: Write, now: Mapping[str, Fetched]) -> WriteResult | Sent:
        try:
            return self._create(write) if write.operation is Operation.CREATE else self._update(write, now)
        except fields.Unfit as unfit:
            return WriteResult(Outcome.REFUSED, field=unfit.field, detail=str(unfit))

    def _create(self, write: Write) -> WriteResult | Sent:
        href = created_href(self.reader.book, write)
        values = {name: value for name, value in write.values.items() if name != "uid"}
        card = fields.apply(new(uid_for(write)), values)
        return self._put(Act.CREATE, write, href, card.octets(), {"If-None-Match": "*"})

    def _update(self, write: Write, now: Mapping[str, Fetched]) -> WriteResult | Sent:
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
        return self._put(Act.UPDATE, write, write.remote_id, changed.octets(), {"If-Match": fetched.etag})

    def _put(
        self, act: Act, write: Write, href: str, octets: bytes, condition: Mapping[str, str]
    ) -> WriteResult | Sent:
        try:
            reply = self.dav.put(href, octets, condition)
        except Transient as trouble:
            outcome = Outcome.UNKNOWN if trouble.maybe_applied else Outcome.NOT_SENT
            raise Halt(WriteResult(outcome, detail=str(trouble))) from trouble
        except ConnectorError as trouble:
            raise Halt(not_sent(str(trouble))) from trouble
        return self._answered(act, write, href, reply)

    def _answered(self, act: Act, write: Write, href: str, reply: Reply) -> WriteResult | Sent:
        found = meaning(act, reply.status, conditions(reply))
        match found:
            case Meaning.OK:
                return Sent(href)
            case Meaning.AUTH:
                refused = AuthFailed(str(error(found, self.dav.host, reply.status)))
                raise Halt(not_sent(str(refused)), refused)
            case Meaning.STALE:
                return self._instead(write, href)
            case Meaning.REFUSED:
                return WriteResult(Outcome.REFUSED, detail=f"{self.dav.host} refused the card: {words(reply)}")
            case Meaning.SLOW_DOWN | Meaning.NOT_NOW:
                slow = RateLimited(f"{self.dav.host} takes no changes now (status {reply.status}).", retry_after(reply))
                raise Halt(not_sent(str(slow)))
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
            yield self._settled(result.href, found, trouble) if isinstance(result, Sent) else result

    def _settled(self, href: str, found: Mapping[str, Fetched], trouble: str) -> WriteResult:
        fetched = found.get(href, Fetched(problem=trouble))
        if fetched.gone:
            return WriteResult(Outcome.GONE, detail="The card was taken, and deleted by someone right after.")
        if fetched.problem != "":
            return WriteResult(Outcome.UNKNOWN, detail=fetched.problem)
        return WriteResult(Outcome.DONE, observe(href, fetched))
