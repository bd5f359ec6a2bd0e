"""What the replicas hold around contacts without a counterpart, and the question that matching answers from it
(ENGINE.md 4)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from connections.fieldtypes import fold, key
from connections.models.connection import SideName, other
from syncer.connectors.base import Field, FieldType, Role, Values
from syncer.engine import matching
from syncer.engine.consent import CONSENT, who_opted_out
from syncer.engine.setup import Setup
from syncer.models import Change, Link, Record
from syncer.models.link import ENDED


@dataclass
class Surroundings:
    """What the replicas hold around unpaired contacts: by side, the live records by match key and all records by
    lineage; which of them are in a pair; the creates and other writes that are not settled. `opted_out`: those of the
    unpaired contacts' addresses that have opted out, by the side of the book in which they have."""

    by_key: dict[SideName, dict[str, list[Record]]] = field(default_factory=lambda: both_sides())
    by_lineage: dict[SideName, dict[UUID, list[Record]]] = field(default_factory=lambda: both_sides())
    links: dict[int, Link] = field(default_factory=dict)
    creating: dict[SideName, list[Change]] = field(default_factory=lambda: {"left": [], "right": []})
    opted_out: dict[SideName, set[str]] = field(default_factory=lambda: {"left": set(), "right": set()})
    in_flight: set[int] = field(default_factory=set)
    in_flight_records: set[int] = field(default_factory=set)

    def record(self, side: SideName, pk: int) -> Record:
        """A candidate by its key."""
        groups = (*self.by_key[side].values(), *self.by_lineage[side].values())
        return next(one for group in groups for one in group if one.pk == pk)


def both_sides() -> dict[SideName, Any]:
    return {"left": defaultdict(list), "right": defaultdict(list)}


def look_around(setup: Setup, links: Sequence[Link]) -> Surroundings:
    around = Surroundings()
    look_for_writes(setup, around)
    unpaired = [record for link in links for record in without_counterpart(link)]
    known = [link for link in links if link.pk is not None and link.is_live]
    around.links = {pk: link for link in known for pk in (link.left_id, link.right_id) if pk is not None}
    if unpaired:
        look_for(setup, unpaired, around)
    return around


def look_for_writes(setup: Setup, around: Surroundings) -> None:
    """Every write into either book that is not settled, by whichever connection."""
    books = {ours.book.pk: side for side, ours in setup.sides.items()}
    sending = Change.objects.filter(book__in=books, state=Change.State.SENDING)
    for change in sending.select_related("link__left", "link__right"):
        around.in_flight.add(change.link_id)
        if change.record_id is not None:
            around.in_flight_records.add(change.record_id)
        if change.operation == Change.Operation.CREATE:
            around.creating[books[change.book_id]].append(change)


def look_for(setup: Setup, unpaired: Sequence[Record], around: Surroundings) -> None:
    """The records of either book with the match keys or of the origin of these, and the links of this connection that
    they are in."""
    keys = {record.match_key for record in unpaired if record.match_key}
    lineages = {record.lineage for record in unpaired}
    ids = []
    for side, ours in setup.sides.items():
        if ours.by_role(CONSENT) is not None:
            around.opted_out[side] = who_opted_out(ours.book, keys)
        # The state is looked at here: asked for in SQL, SQLite would walk all live records of the book.
        for record in Record.objects.filter(book=ours.book, match_key__in=keys).order_by("pk"):
            if record.may_be_there:
                around.by_key[side][record.match_key].append(record)
                ids.append(record.pk)
        for record in Record.objects.filter(book=ours.book, lineage__in=lineages).order_by("pk"):
            around.by_lineage[side][record.lineage].append(record)
            ids.append(record.pk)
    others = set(ids) - around.links.keys()
    if not others:
        return
    mine = Link.objects.filter(connection=setup.connection).exclude(state__in=ENDED).select_related("left", "right")
    for link in (*mine.filter(left__in=others), *mine.filter(right__in=others)):
        around.links |= {pk: link for pk in (link.left_id, link.right_id) if pk is not None}


def source_lineage(change: Change) -> UUID | None:
    """The origin of what a create makes."""
    source = change.link.right if change.side == "left" else change.link.left
    return source.lineage if source is not None else None


def without_counterpart(link: Link) -> list[Record]:
    """The records of a link that have none on the other side, or a deleted one."""
    records = [record for record in (link.left, link.right) if record is not None]
    if link.is_pair and not any(record.state == Record.State.GONE for record in records):
        return []
    return records


def question_of(setup: Setup, side: SideName, record: Record, around: Surroundings, scope: bool) -> matching.Question:
    target = other(side)
    twins = [one for one in around.by_key[side].get(record.match_key, []) if one.pk != record.pk]
    theirs = around.by_key[target].get(record.match_key, [])
    kin = around.by_lineage[target].get(record.lineage, [])
    living = [one for one in kin if one.may_be_there]
    blocked = setup.sides[target].book.problem
    return matching.Question(
        record=record.pk,
        match_key=record.match_key,
        candidates=[candidate(setup, one, around) for one in theirs],
        twins=[candidate(setup, one, around) for one in twins],
        kin=[candidate(setup, one, around) for one in living],
        kin_gone=len(living) < len(kin),
        ready=not blocked or bool(theirs or living),
        creating=maybe_ours(setup, side, record, around.creating[side])
        or any(source_lineage(change) == record.lineage for change in around.creating[target]),
        avoid_duplicates=setup.connection.avoid_duplicates,
        creates=scope and setup.connection.writes_to(target),
        why_not=why_not_created(setup, target, scope),
    )


def maybe_ours(setup: Setup, side: SideName, record: Record, creating: Sequence[Change]) -> bool:
    """Whether this record may be what an unsettled create made, even if somebody gave it another address since."""
    fields = setup.sides[side].fields
    return any(
        change.sent_at is not None
        and record.first_seen_at >= change.sent_at
        and (
            not record.match_key
            or change.match_key == record.match_key
            or likeness(fields, change.values) & likeness(fields, record.values)
        )
        for change in creating
    )


def likeness(fields: Mapping[str, Field], values: Values) -> set[tuple[object, ...]]:
    """What two contacts that could be one person have in common: the whole name, or a phone number."""
    roles = {field.role: values.get(name) for name, field in fields.items() if field.role}
    names = tuple(
        fold(part) for role in (Role.GIVEN, Role.FAMILY, Role.FULL) if isinstance(part := roles.get(role), str)
    )
    phones = {
        ("phone", key(FieldType.PHONE, values[name]))
        for name, field in fields.items()
        if field.type == FieldType.PHONE and values.get(name) is not None
    }
    return {("name", *names), *phones} if names else {*phones}


def why_not_created(setup: Setup, target: SideName, scope: bool) -> str:
    if not setup.connection.writes_to(target):
        return f"this connection creates no contacts in {setup.sides[target].app_label}"
    return "" if scope else "no rule matches this contact"


def candidate(setup: Setup, record: Record, around: Surroundings) -> matching.Candidate:
    link = around.links.get(record.pk)
    free = link is None or len(without_counterpart(link)) > 0
    return matching.Candidate(record.pk, free, record.usable)
