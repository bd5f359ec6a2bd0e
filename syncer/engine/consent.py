"""Consent: an opt-out is read always, travels one way only, and is never undone by a sync (ENGINE.md 8).

Nothing here writes a status but `unsubscribed`, except for a new contact: its status is what a person chose, and
`unsubscribed` wherever anything says that this person or this address has opted out.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from connections.fieldtypes import fold
from connections.models.connection import SideName, other
from syncer.connectors.base import Field, Role, Value
from syncer.engine.planner import CreatePlan, Held, PairPlan, Shadow, Write, plan_pair
from syncer.engine.setup import Setup
from syncer.engine.values import ABSENT, UNSUBSCRIBED, Absent, opted_out, tag_keys, with_tag
from syncer.models import Book, OptOut, Record

CONSENT = "consent"
"""The role of the field, and the reserved code of its shadow."""
SUBSCRIBED = "subscribed"
NOT_CHOSEN = "nobody has chosen the status of new contacts. Choose it in the connection"
MOVED = "the new address has opted out there: the contact would be subscribed under it again"


def consent_of(setup: Setup, side: SideName, record: Record) -> Value | Absent:
    field = setup.sides[side].by_role(CONSENT)
    return record.values.get(field.name, ABSENT) if field is not None else ABSENT


def consent_pair(side: SideName, value: Value) -> list[Value]:
    """The shadow of consent: what the side that reports unsubscribes showed when its tag was settled."""
    return [value, None] if side == "left" else [None, value]


def plan_contact(setup: Setup, shadow: Shadow, records: Mapping[SideName, Record]) -> PairPlan:
    """The plan for a pair: its lines, the tag for an unsubscribe, and no way round an opt-out."""
    plan = plan_pair(setup.lines, shadow, records["left"].values, records["right"].values, setup.policy)
    if plan.stop is None:
        tag_unsubscribed(setup, shadow, records, plan)
        keep_from_opted_out(setup, records, plan)
    return plan


def tag_unsubscribed(setup: Setup, shadow: Shadow, records: Mapping[SideName, Record], plan: PairPlan) -> None:
    """Once per transition, and at the first link. What a person takes away afterwards stays away."""
    source = setup.unsubscribes_from
    if source is None or (now := consent_of(setup, source, records[source])) is ABSENT:
        return
    target, tag = other(source), setup.connection.unsubscribe_tag
    name = setup.sides[target].tags_field
    before = shadow.get(CONSENT, (None, None))[0 if source == "left" else 1]
    if opted_out(now) and not opted_out(before):
        if name not in records[target].values:
            return
        have = records[target].values[name]
        if fold(tag) not in tag_keys(have):
            add_tag(plan.writes[target], name, have, tag, now)
            return
    plan.agreed[CONSENT] = consent_pair(source, now)


def add_tag(writes: list[Write], name: str, have: Value, tag: str, source: Value) -> None:
    """One more write of the tags, in one value with what the tags' own line writes."""
    mapped = next((write.value for write in writes if write.field == name), have)
    value = with_tag(mapped, tag)
    writes[:] = [replace(write, value=value) if write.field == name else write for write in writes]
    writes.append(Write(CONSENT, name, value, have, source, "unsubscribed"))


def keep_from_opted_out(setup: Setup, records: Mapping[SideName, Record], plan: PairPlan) -> None:
    """A contact that is not opted out does not move to an address that is: there it would be subscribed again."""
    for side, writes in plan.writes.items():
        now, ours = consent_of(setup, side, records[side]), setup.sides[side]
        if now is ABSENT or opted_out(now):
            continue
        for write in [one for one in writes if ours.fields[one.field].role == Role.EMAIL]:
            if isinstance(write.value, str) and who_opted_out(ours.book, [write.value]):
                writes.remove(write)
                pair = (write.source, write.base) if side == "right" else (write.base, write.source)
                plan.held.append(Held("consent", write.line, f"{ours.app_label}: {MOVED}", *pair))


def fill_consent(setup: Setup, side: SideName, record: Record, plan: CreatePlan, out: AbstractSet[str]) -> None:
    """What a new contact, made from this one, is to the other app: its status there, and the tag that tells of an
    unsubscribe here. `out` are the addresses that have opted out there."""
    target, now = other(side), consent_of(setup, side, record)
    field = setup.sides[target].by_role(CONSENT)
    if field is not None:
        status, how = status_of_new(setup, side, record, field, out)
        if status is None:
            plan.missing.append(Held("required_empty", "", NOT_CHOSEN))
        else:
            plan.values[field.name], plan.filled[field.name] = status, how
    name = setup.sides[target].tags_field
    if setup.unsubscribes_from == side and now is not ABSENT and name:
        plan.source[CONSENT] = now
        if opted_out(now):
            plan.values[name] = with_tag(plan.values.get(name), setup.connection.unsubscribe_tag)
            plan.filled[name] = "unsubscribed"


def status_of_new(
    setup: Setup, side: SideName, record: Record, field: Field, out: AbstractSet[str]
) -> tuple[Value, str]:
    """(status, how it was found); the status is None where nobody has chosen one."""
    target, now = other(side), consent_of(setup, side, record)
    tags = tag_keys(record.values.get(setup.sides[side].tags_field))
    if opted_out(now) or tags.keys() & setup.told or record.match_key in out:
        return UNSUBSCRIBED, "opted_out"
    statuses = dict(field.choices)
    mapped = any(line.is_consent and target in line.to for line in setup.lines)
    if mapped and now in statuses:
        return str(now), "consent"
    chosen = setup.connection.default_for(target, CONSENT)
    return (str(chosen), "default") if chosen in statuses else (None, "")


# Who has opted out, in which book


def opt_out_key(book: Book, address: str) -> str:
    """The address itself may be erased on request; that it has opted out may not."""
    return hashlib.sha256(f"{book.pk}\n{address.casefold()}".encode()).hexdigest()


def who_opted_out(book: Book, addresses: Iterable[str]) -> set[str]:
    """Those of the addresses that have."""
    keys = {opt_out_key(book, address): address for address in addresses if address}
    found: set[str] = set()
    for start in range(0, len(keys), 400):
        some = OptOut.objects.filter(book=book, key__in=list(keys)[start : start + 400])
        found |= {keys[key] for key in some.values_list("key", flat=True)}
    return found


def remember_opt_outs(book: Book, fields: Mapping[str, Field], rows: Sequence[Record]) -> None:
    """Remember, for good, the addresses that the app showed as opted out. Only the app can take that back, by showing
    the address as subscribed: then its owner, or a person, has done it there."""
    name = next((field.name for field in fields.values() if field.role == CONSENT), None)
    if name is None:
        return
    known = [(opt_out_key(book, row.match_key), row.values.get(name)) for row in rows if row.match_key]
    out = {key for key, value in known if opted_out(value)}
    back = {key for key, value in known if value == SUBSCRIBED} - out
    OptOut.objects.bulk_create([OptOut(book=book, key=key) for key in sorted(out)], 200, ignore_conflicts=True)
    for start in range(0, len(back), 400):
        OptOut.objects.filter(book=book, key__in=sorted(back)[start : start + 400]).delete()
