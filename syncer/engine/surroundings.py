"""What the replicas hold around contacts without a counterpart, and the question that matching answers from it
(ENGINE.md 4)."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q

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


def look_around(setup: Setup, links: Iterable[Link]) -> Surroundings:
    alone = [record for link in links for record in without_counterpart(link)]
    keys = {record.match_key for record in alone if record.match_key}
    found: dict[SideName, dict[str, list[Record]]] = {"left": defaultdict(list), "right": defaultdict(list)}
    creating: dict[SideName, list[Change]] = {"left": [], "right": []}
    if not alone:
        return Surroundings(found, {}, creating)
    ids = []
    for side, ours in setup.sides.items():
        records = Record.objects.filter(book=ours.book, match_key__in=keys, state__in=["live", "suspect"])
        for record in records.order_by("pk"):
            found[side][record.match_key].append(record)
            ids.append(record.pk)
        creating[side] = list(Change.objects.filter(book=ours.book, state="sending", operation="create"))
    paired = Link.objects.filter(Q(left__in=ids) | Q(right__in=ids), connection=setup.connection).exclude(
        state__in=ENDED
    )
    by_record: dict[int, Link] = {}
    for link in paired.select_related("left", "right"):
        by_record |= {pk: link for pk in (link.left_id, link.right_id) if pk is not None}
    return Surroundings(found, by_record, creating)


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
