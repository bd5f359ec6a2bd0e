"""What became of writes, brought into record, link, shadow, change and log: the second transaction of every write
(ENGINE.md 6), and the same for what recovery found out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from connections.fieldtypes import fold
from connections.models.connection import SideName
from syncer.audit.chain import JSON, Entry
from syncer.audit.format import clean_text
from syncer.connectors.base import Outcome, Value, WriteResult
from syncer.engine.consent import CONSENT, consent_pair
from syncer.engine.holds import close, resolved_entry
from syncer.engine.planner import Line
from syncer.engine.pull import answered
from syncer.engine.refused import refused_value, why_refused
from syncer.engine.replica import store, take_sequences, unite
from syncer.engine.rows import save_all
from syncer.engine.setup import Setup
from syncer.engine.slice import Slice
from syncer.engine.surroundings import source_lineage
from syncer.engine.values import tag_keys
from syncer.models import Book, Change, Hold, Link, Record
from syncer.models.link import ENDED

MOST_TRIES = 3
AT_ONCE = 2
FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=5), timedelta(hours=24)


@dataclass
class Settled:
    """The rows that settling changed, to be stored together, and their log entries."""

    links: list[Link] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


def settle(
    slice: Slice, setup: Setup, results: Sequence[tuple[Change, WriteResult]], how: Change.State = Change.State.DONE
) -> list[Entry]:
    """Settle writes of one connection, all to the same book, inside the caller's transaction. Returns the entries for
    the connection's chain. `how` is done, or recovered where we only looked."""
    if not results:
        return []
    now, book = slice.now(), results[0][0].book
    results = [(change, as_renamed(change, result)) for change, result in results]
    observed = [result.observed for _, result in results if result.observed is not None]
    store(slice, book, observed, written=True, lineages=lineages(results))
    ids = [one.remote_id for one in observed]
    records = {row.remote_id: row for row in Record.objects.filter(book=book, remote_id__in=ids)}
    settled = Settled()
    for change, result in results:
        settle_one(setup, change, result, records, settled, how, now)
    end_one_sided(setup, settled)
    unite([change.link for change in settled.changes if change.operation == Change.Operation.CREATE], now)
    suspect(book, [change.record for change, result in results if result.outcome == Outcome.GONE])
    save_all(settled.links, LINK_FIELDS)
    save_all(settled.changes, ["state", "detail", "settled_at", "record", "attempts"])
    if how == Change.State.DONE or not settled.changes:
        return settled.entries
    return [*settled.entries, *close_questions(settled.changes, now)]


def as_renamed(change: Change, result: WriteResult) -> WriteResult:
    """A write can move a contact to another id: its record goes with it."""
    if change.record is None or result.observed is None:
        return result
    return replace(result, observed=answered(change.record.remote_id, result.observed))


def lineages(results: Sequence[tuple[Change, WriteResult]]) -> dict[str, UUID]:
    """The origin that a new contact gets: that of the contact it was made from."""
    return {
        result.observed.remote_id: origin
        for change, result in results
        if change.operation == Change.Operation.CREATE and result.observed is not None
        if (origin := source_lineage(change)) is not None
    }


def end_one_sided(setup: Setup, settled: Settled) -> None:
    """What was created may have been seen, and given a link of its own, before we knew it for ours."""
    made = [c for c in settled.changes if c.operation == Change.Operation.CREATE and c.record is not None]
    if made:
        seen = Link.objects.filter(connection=setup.connection, **{f"{made[0].side}__in": [c.record for c in made]})
        seen.exclude(pk__in=[c.link_id for c in made]).exclude(state__in=ENDED).update(
            state=Link.State.SUPERSEDED, reason="it is the contact that we created", next_attempt_at=None
        )


LINK_FIELDS = [
    "left",
    "right",
    "state",
    "reason",
    "shadow",
    "applied_actions",
    "refused",
    "attempts",
    "next_attempt_at",
    "updated_at",
]


def settle_one(
    setup: Setup,
    change: Change,
    result: WriteResult,
    records: Mapping[str, Record],
    settled: Settled,
    how: Change.State,
    now: datetime,
) -> None:
    link = change.link
    if result.outcome == Outcome.UNKNOWN:
        link.reason, link.updated_at = "sent; the app's answer did not arrive, so we look before we go on", now
        settled.links.append(link)
        return
    change.detail, change.settled_at = clean_text(result.detail)[:500], now
    if result.outcome == Outcome.DONE:
        change.state = how
        done(setup, change, result, records, now)
    elif result.outcome == Outcome.REFUSED:
        change.state = Change.State.REFUSED
        refused(link, change, result, now)
    elif result.outcome == Outcome.NOT_SENT:
        not_sent(link, change, now)
    else:
        change.state = Change.State.LOST if how == Change.State.LOST else Change.State.STALE
        link.state = Link.State.NEW if link.state == Link.State.CREATING else link.state
        again_later(link, now)
        if link.attempts > MOST_TRIES:
            link.state = Link.State.FAILING
            link.reason = change.detail or "each time we came to write, it was not as we had read it"
    link.updated_at = now
    settled.links.append(link)
    settled.changes.append(change)
    settled.entries.append(result_entry(setup, change, result))


def close_questions(changes: Sequence[Change], now: datetime) -> list[Entry]:
    """The outcome is known now: nobody needs to say whether it was created."""
    links = [change.link_id for change in changes]
    holds = list(Hold.objects.filter(link__in=links, kind=Hold.Kind.CREATE_UNKNOWN, resolved__isnull=True))
    close(holds, "the cause is gone", "system", now)
    return [resolved_entry(hold, changes[0].run.connection.code) for hold in holds]


def not_sent(link: Link, change: Change, now: datetime) -> None:
    """Sent once more with the next batch; what the app does not take time and again stops nobody else."""
    link.state = Link.State.NEW if link.state == Link.State.CREATING else link.state
    change.state = Change.State.PLANNED
    if change.attempts >= MOST_TRIES:
        change.state = Change.State.SUPERSEDED
        link.state, link.attempts = Link.State.FAILING, max(link.attempts, AT_ONCE)
        link.reason = change.detail or "the app did not take it"
        again_later(link, now)


def again_later(link: Link, now: datetime) -> None:
    """At once for the first times, then five minutes later, doubled with each attempt, up to a day; for ever."""
    link.attempts += 1
    late = link.attempts - AT_ONCE
    link.next_attempt_at = now if late <= 0 else now + min(FIRST_RETRY * 2 ** min(late - 1, 12), LONGEST_RETRY)


def refused(link: Link, change: Change, result: WriteResult, now: datetime) -> None:
    """The same value is not sent again until it, or what the app says of its fields, changes. Where the app named the
    field, the others go once more without it."""
    named = change.operation in (Change.Operation.CREATE, Change.Operation.UPDATE) and result.field in change.values
    what = refused_value(change.side, result.field, change.values[result.field]) if named else change.digest
    link.refused = {**link.refused, what: change.detail or "the app refused it"}
    link.state, link.reason, link.attempts = Link.State.FAILING, why_refused(link.refused), link.attempts + 1
    link.next_attempt_at = now if named else None


def done(setup: Setup, change: Change, result: WriteResult, records: Mapping[str, Record], now: datetime) -> None:
    link, side = change.link, change.side
    assert result.observed is not None
    if not link.is_live:
        return
    record = records[result.observed.remote_id]
    change.record = record
    if change.operation == Change.Operation.CREATE:
        setattr(link, side, record)
    link.state = Link.State.FAILING if link.refused else Link.State.IN_SYNC
    link.reason, link.attempts, link.next_attempt_at = why_refused(link.refused), 0, None
    if change.operation == Change.Operation.TAG:
        link.state = Link.State.OPPOSITE_DELETED
        link.reason = "deleted on the other side, tagged here"
        tag = setup.connection.trash_tag
        link.applied_actions = {
            **link.applied_actions,
            "trash": {"wanted": True, "set": True, "side": side, "tag": tag},
        }
    elif change.operation == Change.Operation.UNTAG:
        link.applied_actions = {key: value for key, value in link.applied_actions.items() if key != "trash"}
        link.next_attempt_at = now
    else:
        link.shadow = advanced(setup, change, record.values, result.edited)
        link.next_attempt_at = now if result.edited else None


def advanced(setup: Setup, change: Change, shown: Mapping[str, Value], edited: bool) -> dict[str, list[Value]]:
    """The shadow after a write: for the written lines alone, (the source value used, the value read back); where
    somebody edited it before we read it back, the value as the app would have held it, so that the edit travels."""
    shadow = dict(change.link.shadow)
    side: SideName = "left" if change.side == "left" else "right"
    for line in setup.lines:
        name = line.field(side).name
        if line.code not in change.source or name not in shown:
            continue
        if line.is_tags:
            shadow[line.code] = advanced_tags(setup, line, change, shown[name])
            continue
        became = shown[name]
        if edited:
            became = setup.policy.stored[side](line.field(side), change.values.get(name))
        pair = [change.source[line.code], became]
        shadow[line.code] = pair if side == "right" else pair[::-1]
    return shadow | consent_told(change)


def consent_told(change: Change) -> dict[str, list[Value]]:
    """That an unsubscribe was told by its tag, or that there was none to tell when the contact was made."""
    source: SideName = "right" if change.side == "left" else "left"
    return {CONSENT: consent_pair(source, change.source[CONSENT])} if CONSENT in change.source else {}


def advanced_tags(setup: Setup, line: Line, change: Change, shown: Value) -> list[Value]:
    """Only the tags that this write carried are agreed now: one that a person added to the target meanwhile, or that
    still has to travel the other way, is not."""
    side: SideName = "left" if change.side == "left" else "right"
    field = line.field(side)
    base, sent = tag_keys(change.base.get(field.name)), tag_keys(change.values.get(field.name))
    held = tag_keys(setup.policy.stored[side](field, change.values.get(field.name)))
    read = tag_keys(shown)
    removed = set(base) - set(sent)
    gained = {key: tag for key, tag in read.items() if key in held and key not in base}
    source = tag_keys(change.source[line.code])
    carried = {key: source.get(key, tag) for key, tag in sent.items() if key not in base}
    old = change.link.shadow.get(line.code, [None, None])
    target_index = 1 if side == "right" else 0
    pair: list[Value] = [None, None]
    for index, added in ((target_index, gained), (1 - target_index, carried)):
        kept = {key: tag for key, tag in tag_keys(old[index]).items() if key not in removed}
        tags = {**added, **kept}
        pair[index] = sorted(tags.values(), key=fold) if tags else None
    return pair


def suspect(book: Book, records: Sequence[Record | None]) -> None:
    """The app says that they are gone: that is read by id before it is believed."""
    ids = [record.pk for record in records if record is not None and record.state == Record.State.LIVE]
    if ids:
        take_sequences(book, ids, state=Record.State.SUSPECT)


def intent_entry(setup: Setup, change: Change) -> Entry:
    header: dict[str, JSON] = {
        "change": str(change.key),
        "version": change.run.version,
        "digest": change.digest,
        "reasons": reason_codes(change),
    }
    payload: dict[str, JSON] = {
        "book": change.book.remote_id,
        "remote_id": change.record.remote_id if change.record is not None else "",
        "before": change.base,
        "after": change.values,
        "reasons": change.reasons,
    }
    return entry(setup, "write.intent", change, header, payload)


def reason_codes(change: Change) -> list[dict[str, str]]:
    """Why, without the names of fields: an app's field can be called anything."""
    return [{key: reason[key] for key in ("line", "why") if key in reason} for reason in change.reasons]


def result_entry(setup: Setup, change: Change, result: WriteResult) -> Entry:
    header: dict[str, JSON] = {"change": str(change.key), "outcome": str(result.outcome), "state": change.state}
    payload: dict[str, JSON] = {"detail": change.detail, "field": result.field}
    if result.observed is not None:
        payload |= {"remote_id": result.observed.remote_id}
    if result.outcome == Outcome.DONE and change.record is not None:
        payload |= {"stored": stored_differently(change, change.record.values)}
    return entry(setup, "write.result", change, header, payload)


def stored_differently(change: Change, shown: Mapping[str, Value]) -> dict[str, Value]:
    """What the app shows other than what we sent."""
    return {name: shown[name] for name, value in change.values.items() if name in shown and shown[name] != value}


def entry(setup: Setup, kind: str, change: Change, header: Mapping[str, JSON], payload: Mapping[str, JSON]) -> Entry:
    return Entry(
        kind,
        change.run.actor,
        header,
        payload,
        connection=setup.connection.code,
        run=change.run.code,
        link=change.link.code,
        record=change.record.code if change.record is not None else None,
        side=change.side,
        operation=change.operation,
    )
