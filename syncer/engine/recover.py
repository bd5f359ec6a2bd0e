"""Writes whose outcome is not known are settled by looking, never by guessing (ENGINE.md 7). First thing in every run,
for whichever connection sent them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from connections.fieldtypes import same
from connections.models import Connection
from connections.models.connection import SideName
from syncer.audit.chain import append
from syncer.connectors.base import (
    Connector,
    Observed,
    Outcome,
    Value,
    WriteResult,
)
from syncer.engine.creates import GONE_AGAIN, Found, find_creates, read_all
from syncer.engine.replica import mark_gone
from syncer.engine.rows import save_all
from syncer.engine.settle import consent_told, settle
from syncer.engine.setup import Setup, fields_from, load
from syncer.engine.slice import Slice
from syncer.engine.values import cleaned, tag_keys
from syncer.models import Book, Change

AT_ONCE = 100


def recover(slice: Slice) -> int:
    """Settle every `sending` change into a book whose account this slice holds; how many stay open."""
    accounts = list(slice.connectors)
    changes = Change.objects.filter(state=Change.State.SENDING, book__account__in=accounts).order_by("pk")
    rows = list(changes.select_related("link__left", "link__right", "record", "book", "run__connection"))
    groups: dict[tuple[int, int], list[Change]] = defaultdict(list)
    for change in rows:
        groups[(change.run.connection_id, change.book_id)].append(change)
    settled = 0
    for group in groups.values():
        for start in range(0, len(group), AT_ONCE):
            slice.check_time()
            with slice.at(group[0].book.account_id):
                settled += settle_group(slice, group[start : start + AT_ONCE])
    return len(rows) - settled


def settle_group(slice: Slice, changes: Sequence[Change]) -> int:
    connection, book = changes[0].run.connection, changes[0].book
    connector = slice.connectors[book.account_id]
    setup = load(connection, connectors_by_side(slice, connection))
    found = [*updates(connector, book, changes), *find_creates(slice, connector, book, changes)]
    if not found:
        return 0
    with slice.transaction():
        entries = []
        for how in (Change.State.RECOVERED, Change.State.LOST):
            mine = [(change, result) for change, result, state in found if state == how]
            entries += settle(slice, setup, mine, how)
        keep_what_was_sent(setup, [change for change, _, state in found if state == Change.State.RECOVERED], slice)
        again = [result.observed for _, result, _ in found if result.detail == GONE_AGAIN]
        mark_gone(slice, book, [one.remote_id for one in again if one is not None])
        append(connection.chain, entries, slice.now())
    return len(found)


def connectors_by_side(slice: Slice, connection: Connection) -> dict[SideName, Connector]:
    accounts: dict[SideName, int] = {"left": connection.left_account_id, "right": connection.right_account_id}
    return {side: slice.connectors[pk] for side, pk in accounts.items() if pk in slice.connectors}


def updates(connector: Connector, book: Book, changes: Sequence[Change]) -> list[Found]:
    """All as sent: done. Anything else: lost, and planned again from what stands there."""
    mine = [change for change in changes if change.operation != Change.Operation.CREATE and change.record is not None]
    ids = [change.record.remote_id for change in mine if change.record is not None]
    now = read_all(connector, book, ids)
    found: list[Found] = []
    for change in mine:
        assert change.record is not None
        if change.record.remote_id not in now:
            continue
        observed = now[change.record.remote_id]
        if observed is None:
            found.append((change, WriteResult(Outcome.GONE, detail="deleted meanwhile"), Change.State.LOST))
        elif as_sent(connector, book, change, observed):
            found.append((change, WriteResult(Outcome.DONE, observed), Change.State.RECOVERED))
        else:
            found.append((change, WriteResult(Outcome.STALE, observed, detail="never arrived"), Change.State.LOST))
    return found


def as_sent(connector: Connector, book: Book, change: Change, observed: Observed) -> bool:
    fields = fields_from(book.schema)
    values, _ = cleaned(fields, observed.values)
    if change.operation in (Change.Operation.TAG, Change.Operation.UNTAG):
        return tag_arrived(change, values)
    return all(
        name in values
        and (
            same(fields[name].type, values[name], value)
            or same(fields[name].type, values[name], connector.stored(fields[name], value))
        )
        for name, value in change.values.items()
        if name in fields
    )


def tag_arrived(change: Change, values: Mapping[str, Value]) -> bool:
    """The one tag that we set or took away is as we wanted it, whatever people did to the others since."""
    name = next(iter(change.values))
    was, sent = set(tag_keys(change.base[name])), set(tag_keys(change.values[name]))
    return name in values and (was ^ sent) & set(tag_keys(values[name])) == sent - was


def keep_what_was_sent(setup: Setup, changes: Sequence[Change], slice: Slice) -> None:
    """A recovered create agrees on what we sent, not on what stands there now: an edit made meanwhile still travels.
    One that is gone again is a deletion; the next judgement says so."""
    created = [change for change in changes if change.operation == Change.Operation.CREATE]
    for change in created:
        change.link.shadow = sent_shadow(setup, change)
        change.link.next_attempt_at = slice.now()
    save_all([change.link for change in created], ["shadow", "next_attempt_at"])


def sent_shadow(setup: Setup, change: Change) -> dict[str, list[Value]]:
    side: SideName = "left" if change.side == "left" else "right"
    shadow: dict[str, list[Value]] = {}
    for line in setup.lines:
        field = line.field(side)
        if line.code not in change.source:
            continue
        pair = [change.source[line.code], setup.policy.stored[side](field, change.values.get(field.name))]
        shadow[line.code] = pair if side == "right" else pair[::-1]
    return shadow | consent_told(change)
