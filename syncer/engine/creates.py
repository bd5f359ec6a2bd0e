"""What became of a create whose outcome is not known: by the id that we chose, by the mark that we left, or by looking
for who came since (ENGINE.md 7)."""

from collections.abc import Sequence
from typing import TypeAlias

from syncer.audit.chain import append
from syncer.connectors.base import (
    Connector,
    Observed,
    Operation,
    Outcome,
    Write,
    WriteResult,
)
from syncer.engine.holds import sync_link_holds
from syncer.engine.planner import Held
from syncer.engine.pull import read_patiently
from syncer.engine.setup import fields_from
from syncer.engine.slice import Slice
from syncer.engine.surroundings import likeness
from syncer.models import Book, Change, Link, Record
from syncer.models.link import ENDED

GONE_AGAIN = "created, and deleted again"
Found: TypeAlias = tuple[Change, WriteResult, Change.State]


def find_creates(slice: Slice, connector: Connector, book: Book, changes: Sequence[Change]) -> list[Found]:
    mine = [change for change in changes if change.operation == Change.Operation.CREATE]
    if connector.app.capabilities.create == "client_id":
        return by_id(connector, book, mine)
    look = by_marker if connector.app.capabilities.create == "marker" else by_search
    return [found for change in mine for found in look(slice, connector, book, change)]


def by_id(connector: Connector, book: Book, changes: Sequence[Change]) -> list[Found]:
    """The id was ours to choose: read it. One that was created, seen and deleted meanwhile stands in the replica as
    gone."""
    ids = [connector.created_id(book.remote_id, write_of(change)) for change in changes]
    found: list[Found] = []
    now = read_all(connector, book, ids)
    for change, remote_id in zip(changes, ids, strict=True):
        if remote_id not in now:
            continue
        observed = now[remote_id]
        if observed is not None:
            found.append((change, WriteResult(Outcome.DONE, observed), Change.State.RECOVERED))
        elif (gone := seen_and_gone(book, remote_id)) is not None:
            found.append((change, WriteResult(Outcome.DONE, gone, detail=GONE_AGAIN), Change.State.RECOVERED))
        else:
            found += never_arrived(change)
    return found


def write_of(change: Change) -> Write:
    return Write(Operation.CREATE, str(change.key), change.values)


def seen_and_gone(book: Book, remote_id: str, proven: bool = False) -> Observed | None:
    """What the replica holds of a contact that is gone; `proven`: the app itself just said so."""
    rows = Record.objects.filter(book=book, remote_id=remote_id)
    row = rows.first() if proven else rows.filter(state=Record.State.GONE).first()
    return None if row is None else Observed(remote_id, row.values, row.etag)


def by_marker(slice: Slice, connector: Connector, book: Book, change: Change) -> list[Found]:
    """The contact carries the mark that we gave it. Where the app's search shows it, none found after the visibility
    delay means that it never arrived; where only its listing does, none in a pass that began after that delay."""
    can, mark = connector.app.capabilities, str(change.key)
    if can.marker_found_by == "search":
        hits = {one.remote_id: one for one in connector.find(book.remote_id, marker=mark, fields=book.fields)}
    else:
        rows = Record.objects.filter(book=book, marker=mark).exclude(state=Record.State.ERASED)
        ids = list(rows.values_list("remote_id", flat=True))
        read = read_all(connector, book, ids)
        if len(read) < len(ids):
            return []
        hits = {asked: one for asked, one in read.items() if one is not None}
        if ids and not hits:
            gone = next(one for asked in ids if (one := seen_and_gone(book, asked, True)) is not None)
            return [(change, WriteResult(Outcome.DONE, gone, detail=GONE_AGAIN), Change.State.RECOVERED)]
    if len(hits) > 1:
        return unknown(slice, change, "several contacts carry the mark of this one")
    if hits:
        return [(change, WriteResult(Outcome.DONE, next(iter(hits.values()))), Change.State.RECOVERED)]
    return never_arrived(change) if visible(slice, connector, book, change) else []


def visible(slice: Slice, connector: Connector, book: Book, change: Change) -> bool:
    """Whether a contact that this create made would be seen by now."""
    can = connector.app.capabilities
    assert change.sent_at is not None
    shown_at = change.sent_at + can.visibility_delay
    if can.create == "marker" and can.marker_found_by == "search":
        return slice.now() >= shown_at
    if can.create == "marker":
        return book.pass_kind == "" and book.pass_started is not None and book.pass_started > shown_at
    return book.complete_started is not None and book.complete_started > shown_at


def never_arrived(change: Change) -> list[Found]:
    return [(change, WriteResult(Outcome.STALE, detail="never arrived"), Change.State.LOST)]


def by_search(slice: Slice, connector: Connector, book: Book, change: Change) -> list[Found]:
    """The app gives no id of ours back. One contact that came since we sent, with the key, is it; several wait for a
    person. None counts as lost only after a complete reading of the book that began after the sending, and only if
    nobody came since who could be it under another address."""
    if change.match_key == "":
        return unknown(slice, change, "a contact without an e-mail address may have been created")
    hits = {one.remote_id: one for one in connector.find(book.remote_id, change.match_key, fields=book.fields)}
    hits = {remote_id: one for remote_id, one in hits.items() if free(change, book, remote_id)}
    if len(hits) == 1:
        return [(change, WriteResult(Outcome.DONE, next(iter(hits.values()))), Change.State.RECOVERED)]
    if hits:
        return unknown(slice, change, "several contacts with this e-mail address came at that time")
    if not visible(slice, connector, book, change):
        Book.objects.filter(pk=book.pk).update(full_wanted=True)
        return []
    if looks_like_it(change, book):
        return unknown(slice, change, "a contact of the same name or phone number came at that time")
    return never_arrived(change)


def looks_like_it(change: Change, book: Book) -> bool:
    """Whether somebody came since we sent, and is in no pair, who has the key, the name or a phone number that we
    sent: our contact, with what people did to it since."""
    fields = fields_from(book.schema)
    sent = likeness(fields, change.values)
    since = Record.objects.filter(book=book, first_seen_at__gte=change.sent_at, state="live")
    return any(
        (row.match_key == change.match_key or sent & likeness(fields, row.values)) and free(change, book, row.remote_id)
        for row in since.iterator(chunk_size=500)
    )


def free(change: Change, book: Book, remote_id: str) -> bool:
    """Not known before we sent, and not in a pair of this connection."""
    record = Record.objects.filter(book=book, remote_id=remote_id).first()
    if record is None:
        return True
    paired = Link.objects.filter(connection=change.run.connection, left__isnull=False, right__isnull=False)
    taken = paired.filter(**{change.side: record}).exclude(state__in=ENDED).exists()
    return not taken and change.sent_at is not None and record.first_seen_at >= change.sent_at


def unknown(slice: Slice, change: Change, reason: str) -> list[Found]:
    """A person decides: it is this one, create again, or leave. The change stays open until then."""
    with slice.transaction():
        held = Held("create_unknown", "", reason)
        entries = sync_link_holds(change.run.connection, [(change.link, [held])], change.run.code, slice.now())
        if entries:
            append(change.run.connection.chain, entries, slice.now())
    return []


def read_all(connector: Connector, book: Book, ids: Sequence[str]) -> dict[str, Observed | None]:
    """What can be read; its writes stay open for what cannot."""
    return read_patiently(connector, book, ids) if ids else {}
