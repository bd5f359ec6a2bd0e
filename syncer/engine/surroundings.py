"""What the replicas hold around contacts without a counterpart, and the question that matching answers from it
(ENGINE.md 4)."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from connections.models.connection import SideName, other
from syncer.engine import matching
from syncer.engine.setup import Setup
from syncer.models import Change, Link, Record
from syncer.models.link import ENDED


@dataclass
class Surroundings:
    """What the replicas hold around unpaired contacts: by side and match key, the live records with that key, and which
    of them are in a pair."""

    by_key: dict[SideName, dict[str, list[Record]]]
    links: dict[int, Link]
    creating: dict[SideName, list[Change]]
    in_flight: set[int] = field(default_factory=set)
    in_flight_records: set[int] = field(default_factory=set)


def look_around(setup: Setup, links: Iterable[Link]) -> Surroundings:
    around = Surroundings({"left": defaultdict(list), "right": defaultdict(list)}, {}, {"left": [], "right": []})
    books = {ours.book.pk: side for side, ours in setup.sides.items()}
    for change in Change.objects.filter(book__in=books, state=Change.State.SENDING):
        around.in_flight.add(change.link_id)
        if change.record_id is not None:
            around.in_flight_records.add(change.record_id)
        if change.operation == Change.Operation.CREATE:
            around.creating[books[change.book_id]].append(change)
    keys = {record.match_key for link in links for record in without_counterpart(link) if record.match_key}
    if keys:
        look_for(setup, keys, around)
    return around


def look_for(setup: Setup, keys: set[str], around: Surroundings) -> None:
    """The live records with these match keys in either book, and the links of this connection that they are in."""
    ids = []
    for side, ours in setup.sides.items():
        # The state is looked at here: asked for in SQL, SQLite would walk all live records of the book.
        for record in Record.objects.filter(book=ours.book, match_key__in=keys).order_by("pk"):
            if record.state in (Record.State.LIVE, Record.State.SUSPECT):
                around.by_key[side][record.match_key].append(record)
                ids.append(record.pk)
    mine = Link.objects.filter(connection=setup.connection).exclude(state__in=ENDED).select_related("left", "right")
    for link in (*mine.filter(left__in=ids), *mine.filter(right__in=ids)):
        around.links |= {pk: link for pk in (link.left_id, link.right_id) if pk is not None}


def without_counterpart(link: Link) -> list[Record]:
    """The records of a link that have none on the other side, or a deleted one."""
    records = [record for record in (link.left, link.right) if record is not None]
    if link.is_pair and not any(record.state == Record.State.GONE for record in records):
        return []
    return records


def question_of(setup: Setup, side: SideName, record: Record, around: Surroundings, scope: bool) -> matching.Question:
    target = other(side)
    key = record.match_key
    twins = [one for one in around.by_key[side].get(key, []) if one.pk != record.pk] if key else []
    theirs = around.by_key[target].get(key, []) if key else []
    blocked = setup.sides[target].book.problem
    return matching.Question(
        record=record.pk,
        match_key=key,
        candidates=[candidate(setup, one, around) for one in theirs],
        twins=[candidate(setup, one, around) for one in twins],
        ready=not blocked or bool(theirs),
        creating=any(
            (change.match_key == key or not key) and change.sent_at and record.first_seen_at >= change.sent_at
            for change in around.creating[side]
        ),
        avoid_duplicates=setup.connection.avoid_duplicates,
        creates=scope and setup.connection.writes_to(target),
        why_not=why_not_created(setup, target, scope),
    )


def why_not_created(setup: Setup, target: SideName, scope: bool) -> str:
    if not setup.connection.writes_to(target):
        return f"this connection creates no contacts in {setup.sides[target].app_label}"
    return "" if scope else "no rule matches this contact"


def candidate(setup: Setup, record: Record, around: Surroundings) -> matching.Candidate:
    link = around.links.get(record.pk)
    free = link is None or len(without_counterpart(link)) > 0
    return matching.Candidate(record.pk, free, record.usable)
