"""Carrying a plan out (ENGINE.md 6): T1 records the intent, the write goes out, T2 records what became of it."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import F, Q, QuerySet

from connections.models import Connection
from syncer.audit.chain import Entry
from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    Misconfigured,
    Observed,
    Operation,
    Outcome,
    RateLimited,
    Write,
    WriteResult,
)
from syncer.engine.cancelling import stop_if_cancelled
from syncer.engine.consent import plan_contact
from syncer.engine.decide import judge_links
from syncer.engine.plan import record
from syncer.engine.replica import store, unite
from syncer.engine.rows import save_all
from syncer.engine.settle import LINK_FIELDS, intent_entry, reason_codes, settle
from syncer.engine.setup import Setup, fields_from
from syncer.engine.slice import Slice
from syncer.engine.surroundings import source_lineage
from syncer.engine.unsent import drop
from syncer.engine.values import cleaned, digest
from syncer.models import Book, Change, Link, SyncRun
from syncer.models.link import ENDED

LINKS_AT_ONCE = 300
CALLS_PER_WRITE = 3
"""The most that one write costs: a re-read, the write, and its share of reading back."""


class Stopped(Exception):
    """The connection was paused or edited: nothing further is sent."""


class Paused(Exception):
    """The app takes no more for now; the run goes on at `until` (None: with the next run)."""

    def __init__(self, reason: str, until: datetime | None = None) -> None:
        super().__init__(reason)
        self.until = until


def apply_all(slice: Slice, setup: Setup, run: SyncRun) -> None:
    """Carry out what is planned. Raises OutOfTime, Stopped, Cancelled, Paused, LeaseLost, ConnectorError."""
    while links := planned(run, Change.Operation.LINK)[:LINKS_AT_ONCE]:
        slice.check_time()
        make_links(slice, setup, run, list(links))
    while batch := next_batch(slice, setup, run):
        slice.check_time()
        with slice.at(batch[0].book.account_id):
            send(slice, setup, run, batch)
        slice.progress("Syncing", run.progress_done, run.progress_total)


def step_forward(run: SyncRun, changes: int) -> None:
    """Stored with the changes: a run that gets on is no run that kills its workers."""
    run.progress_done += changes
    run.attempts = 0 if changes else run.attempts
    run.save(update_fields=["progress_done", "attempts"])


def planned(run: SyncRun, operation: str | None = None) -> QuerySet[Change]:
    changes = Change.objects.filter(run=run, state=Change.State.PLANNED).order_by("pk")
    changes = changes.filter(operation=operation) if operation else changes
    return changes.select_related("link__left", "link__right", "record")


def still_allowed(setup: Setup, run: SyncRun) -> None:
    """Editing or pausing a connection, or cancelling its run, stops the run at the next change."""
    mine = Connection.objects.filter(pk=setup.connection.pk)
    # An UPDATE and not a SELECT: whoever pauses, edits or deletes the connection meanwhile waits for this transaction.
    if mine.filter(state=Connection.State.ACTIVE, version=run.version).update(version=run.version) != 1:
        paused = not mine.filter(state=Connection.State.ACTIVE).exists()
        raise Stopped("the connection was paused" if paused else "the connection was edited")
    stop_if_cancelled(run)


def confirmed(setup: Setup, changes: Sequence[Change], now: datetime) -> tuple[list[Change], list[Change]]:
    """Plan each link again from the replica: (the changes that are still just so, the others)."""
    links = {change.link_id: change.link for change in changes}
    again = {row.digest for verdict in judge_links(setup, list(links.values()), now, set()) for row in verdict.changes}
    keep = [change for change in changes if change.digest in again]
    return keep, [change for change in changes if change.digest not in again]


# Links


def make_links(slice: Slice, setup: Setup, run: SyncRun, changes: Sequence[Change]) -> None:
    """Two contacts become a pair: no call, one transaction for many."""
    now = slice.now()
    for change in changes:
        change.run = run
    with slice.transaction():
        still_allowed(setup, run)
        keep, overtaken = confirmed(setup, changes, now)
        drop(overtaken, Change.State.SUPERSEDED, now)
        trash = end_others(setup, keep, now)
        links = [pair_up(setup, change, trash, now) for change in keep]
        save_all(links, LINK_FIELDS)
        unite(links, now)
        Change.objects.filter(pk__in=[change.pk for change in keep]).update(state=Change.State.DONE, settled_at=now)
        step_forward(run, len(changes))
        record(setup.connection, run, [linked_entry(setup, change) for change in keep], slice)


def end_others(setup: Setup, changes: Sequence[Change], now: datetime) -> dict[int, object]:
    """Supersede every other live link of the records that become pairs; what is remembered of their trash tags, by
    record."""
    keepers = [change.link_id for change in changes]
    ids = [pk for c in changes for pk in (c.link.left_id, c.link.right_id, c.record_id) if pk is not None]
    mine = Link.objects.filter(connection=setup.connection).exclude(state__in=ENDED).exclude(pk__in=keepers)
    old = list(mine.filter(Q(left__in=ids) | Q(right__in=ids)))
    trash: dict[int, object] = {}
    for link in old:
        if "trash" in link.applied_actions:
            trash |= {pk: link.applied_actions["trash"] for pk in (link.left_id, link.right_id) if pk is not None}
    Link.objects.filter(pk__in=[link.pk for link in old]).update(
        state=Link.State.SUPERSEDED, reason="linked to another contact", next_attempt_at=None, updated_at=now
    )
    return trash


def pair_up(setup: Setup, change: Change, trash: dict[int, object], now: datetime) -> Link:
    link = change.link
    setattr(link, change.side, change.record)
    assert link.left is not None and link.right is not None
    plan = plan_contact(setup, {}, {"left": link.left, "right": link.right})
    link.state, link.reason, link.shadow, link.updated_at = Link.State.IN_SYNC, "", plan.agreed, now
    remembered = trash.get(link.left.pk, trash.get(link.right.pk))
    link.applied_actions = {"trash": remembered} if remembered is not None else {}
    link.next_attempt_at = now if remembered is not None or plan.held else None
    return link


def linked_entry(setup: Setup, change: Change) -> Entry:
    left, right = change.link.left, change.link.right
    assert left is not None and right is not None
    return Entry(
        "link.made",
        change.run.actor,
        {"change": str(change.key), "reasons": reason_codes(change), "right_record": str(right.code)},
        {"left": left.remote_id, "right": right.remote_id},
        connection=setup.connection.code,
        run=change.run.code,
        link=change.link.code,
        record=left.code,
        operation="link",
    )


# Writes


def next_batch(slice: Slice, setup: Setup, run: SyncRun) -> list[Change]:
    """The next changes for one book, at most one per record, as many as the app takes at once and the budget allows."""
    first = planned(run).values_list("side", flat=True).first()
    if first is None:
        return []
    book = setup.sides["left" if first == "left" else "right"].book
    size = max(1, slice.connectors[book.account_id].app.capabilities.write_batch)
    budget = slice.budgets[book.account_id]
    free = budget.available()
    if free is not None:
        affordable = (free - 1) // CALLS_PER_WRITE
        if affordable < 1:
            raise Paused("the call budget is spent", budget.free_at(CALLS_PER_WRITE + 1))
        size = min(size, affordable)
    batch: dict[object, Change] = {}
    for change in planned(run).filter(side=first)[:size]:
        change.book, change.run = book, run
        batch.setdefault(change.record_id or f"new {change.pk}", change)
    return list(batch.values())


def send(slice: Slice, setup: Setup, run: SyncRun, batch: Sequence[Change]) -> None:
    book = batch[0].book
    look_again(slice, batch)
    writes = first_transaction(slice, setup, run, batch)
    results, ended = outcomes(slice, book, writes) if writes else ([], None)
    with slice.transaction():
        entries = settle(slice, setup, results)
        step_forward(run, len(batch) - sum(result.outcome == Outcome.NOT_SENT for _, result in results))
        record(setup.connection, run, entries, slice)
    if ended is not None:
        raise ended
    unsent = next((result for _, result in results if result.outcome == Outcome.NOT_SENT), None)
    # Where the app refused one, it took none of the batch because of that: the others go once more without it.
    if unsent is not None and not any(result.outcome == Outcome.REFUSED for _, result in results):
        raise Paused(unsent.detail or "the app takes no more for now")


def look_again(slice: Slice, batch: Sequence[Change]) -> None:
    """Right before a create: what the app finds by the address and does not list yet is stored, and the create is
    overtaken by it. Not asked where the pull of this slice showed all there is, nor where the app's search lags too."""
    book = batch[0].book
    connector = slice.connectors[book.account_id]
    can = connector.app.capabilities
    if not can.visibility_delay or can.marker_found_by != "search":
        return
    for change in batch:
        if change.operation == Change.Operation.CREATE and change.match_key:
            hits = connector.find(book.remote_id, change.match_key, fields=book.fields)
            if hits:
                with slice.transaction():
                    store(slice, book, hits, hint=not can.fresh_feed)


def first_transaction(slice: Slice, setup: Setup, run: SyncRun, batch: Sequence[Change]) -> list[tuple[Change, Write]]:
    """T1: what is still as planned becomes an intent, in the database and in the log, before anything is sent."""
    now = slice.now()
    with slice.transaction():
        still_allowed(setup, run)
        keep, overtaken = confirmed(setup, batch, now)
        drop(overtaken, Change.State.SUPERSEDED, now)
        busy = unsettled(keep)
        drop([change for change in keep if change.pk in busy], Change.State.SUPERSEDED, now)
        keep = [change for change in keep if change.pk not in busy]
        for change in keep:
            change.state, change.sent_at, change.attempts = Change.State.SENDING, now, change.attempts + 1
            if change.operation == Change.Operation.CREATE:
                change.link.state = Link.State.CREATING
        sent = Change.objects.filter(pk__in=[change.pk for change in keep])
        sent.update(state=Change.State.SENDING, sent_at=now, attempts=F("attempts") + 1)
        creating = [change.link_id for change in keep if change.operation == Change.Operation.CREATE]
        Link.objects.filter(pk__in=creating).update(state=Link.State.CREATING, updated_at=now)
        record(setup.connection, run, [intent_entry(setup, change) for change in keep], slice)
    return [(change, as_write(change.book, change)) for change in keep]


def unsettled(changes: Sequence[Change]) -> set[int]:
    """Changes whose target has another write in flight, by whichever connection, and all but the first that would
    create one person: they wait."""
    sending = Change.objects.filter(book=changes[0].book if changes else None, state=Change.State.SENDING)
    taken = {what for change in sending.select_related("link__left", "link__right") for what in claims(change)}
    busy = set()
    for change in changes:
        if taken & claims(change):
            busy.add(change.pk)
        taken |= claims(change)
    return busy


def claims(change: Change) -> set[object]:
    """What only one write at a time may be about: a record, or the address and the origin of a new contact."""
    if change.operation != Change.Operation.CREATE:
        return {change.record_id}
    return set[object]((change.match_key, source_lineage(change))) - {"", None}


def as_write(book: Book, change: Change) -> Write:
    operation = Operation.CREATE if change.operation == Change.Operation.CREATE else Operation.UPDATE
    if change.record is None:
        return Write(operation, str(change.key), change.values)
    fields = fields_from(book.schema)

    def still_holds(observed: Observed) -> bool:
        """The fields that we are about to replace show what the plan saw."""
        values, _ = cleaned(fields, observed.values)
        return all(name in values and digest(values[name]) == digest(base) for name, base in change.base.items())

    record = change.record
    return Write(
        operation, str(change.key), change.values, record.remote_id, record.etag, still_holds, held=record.values
    )


def outcomes(
    slice: Slice, book: Book, writes: Sequence[tuple[Change, Write]]
) -> tuple[list[tuple[Change, WriteResult]], ConnectorError | None]:
    """Send a batch: its results, and what ended it where that says something about the account, to be raised once the
    results are stored. A change without a result has an unknown outcome."""
    connector = slice.connectors[book.account_id]
    results: list[WriteResult] = []
    ended: ConnectorError | None = None
    try:
        for result in connector.write(book.remote_id, [write for _, write in writes]):
            results.append(result)
    except ConnectorError as error:
        if not results:
            raise
        ended = error if isinstance(error, (AuthFailed, Misconfigured, RateLimited)) else None
    missing = len(writes) - len(results)
    results += [WriteResult(Outcome.UNKNOWN)] * missing
    return [(change, result) for (change, _), result in zip(writes, results, strict=True)], ended
