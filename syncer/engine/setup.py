"""A connection's configuration as the engine uses it for one slice, read once."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connections.conditions import Condition, Rule
from connections.fieldtypes import fold
from connections.models import Condition as ConditionRow
from connections.models import ConfigVersion, Connection, FieldMapping
from connections.models import Rule as RuleRow
from connections.models.connection import SIDES, SideName
from syncer.connectors.base import Capabilities, Connector, Field, FieldType, Role, Value
from syncer.connectors.registry import connector_class
from syncer.engine.planner import Line, Policy, Stored, as_sent
from syncer.models import Book, Side

# Records carry these whatever the mapping: they decide who a contact is and what it may be matched by.
ALWAYS_READ = (Role.EMAIL, Role.TAGS, Role.OWNER, "uid", "consent")
GOOD_TO_JOIN = timedelta(days=1)
"""How old the last complete pass of a book may be for a connection that joins it."""


@dataclass(frozen=True)
class SideSetup:
    side: Side
    book: Book
    fields: Mapping[str, Field]
    capabilities: Capabilities
    app_label: str

    def by_role(self, role: str) -> Field | None:
        return next((field for field in self.fields.values() if field.role == role), None)

    @property
    def tags_field(self) -> str:
        found = next((f for f in self.fields.values() if f.type == FieldType.TAGS and f.writable), None)
        return found.name if found else ""


@dataclass
class Setup:
    """`lines` are the enabled mappings whose fields both exist; `broken` names the others and why they rest. `told` are
    the tags, casefolded, that tell of an unsubscribe."""

    connection: Connection
    sides: Mapping[SideName, SideSetup]
    lines: Sequence[Line]
    rules: Mapping[SideName, Sequence[Rule]]
    policy: Policy
    broken: Mapping[str, str] = field(default_factory=dict)
    told: frozenset[str] = frozenset()

    @property
    def version(self) -> int:
        return self.connection.version

    @property
    def unsubscribes_from(self) -> SideName | None:
        """The side whose unsubscribes become a tag on the other."""
        ways: dict[str, SideName] = {"to_right": "left", "to_left": "right"}
        return ways.get(self.connection.sync_unsubscribes)

    def defaults(self, side: SideName) -> dict[str, Value]:
        """What staff chose for fields that a create on this side needs, by field name."""
        owner_field = next((f for f in self.sides[side].fields.values() if f.type == FieldType.OWNER), None)
        owner = self.connection.default_for(side, "owner")
        return {owner_field.name: str(owner)} if owner_field and owner not in (None, "") else {}


def fields_from(schema: Sequence[Mapping[str, Any]]) -> dict[str, Field]:
    """A book's stored schema as fields by name."""
    return {
        item["name"]: Field(
            **{
                **item,
                "type": FieldType(item["type"]),
                "choices": tuple((value, label) for value, label in item.get("choices", ())),
            }
        )
        for item in schema
    }


def schema_of(fields: Sequence[Field]) -> list[dict[str, Any]]:
    return [asdict(field) for field in fields]


def ensure_sides(connection: Connection, now: datetime | None = None) -> dict[SideName, Side]:
    """The two sides of a connection with their books, made where they are missing. A side that reads another book than
    before starts over, and has it read anew where its last complete pass is older than a day."""
    known = {side.side: side for side in connection.sides.select_related("book__account")}
    return {name: ensure_side(connection, name, known.get(name), now) for name in SIDES}


def ensure_side(connection: Connection, name: SideName, side: Side | None, now: datetime | None) -> Side:
    account, remote_id = connection.account(name), connection.book_id(name)
    if side is not None and (side.book.account_id, side.book.remote_id) == (account.pk, remote_id):
        return side
    book, _ = Book.objects.get_or_create(account=account, kind="contacts", remote_id=remote_id)
    if side is None:
        side, _ = Side.objects.get_or_create(connection=connection, side=name, defaults={"book": book})
    if side.book_id != book.pk:
        side.book, side.planned, side.version = book, 0, 0
        side.save(update_fields=["book", "planned", "version"])
    if now is not None and book.complete_started and now - book.complete_started > GOOD_TO_JOIN:
        Book.objects.filter(pk=book.pk).update(full_wanted=True)
        book.full_wanted = True
    return side


def load(connection: Connection, stored: Mapping[SideName, Connector] | None = None) -> Setup:
    """Read the configuration. `stored` are the connectors by side, for their word on how a value will be held."""
    sides = {name: side_setup(side) for name, side in ensure_sides(connection).items()}
    lines, broken = lines_of(connection, sides)
    rules: dict[SideName, list[Rule]] = {"left": [], "right": []}
    for row in connection.rules.filter(enabled=True).prefetch_related("conditions"):
        rules["left" if row.source == "left" else "right"].append(rule_of(row))
    words: dict[str, Stored] = {side: connector.stored for side, connector in (stored or {}).items()}
    told = unsubscribe_tags(connection)
    policy = Policy(reserved=reserved_tags(connection, told), stored={"left": as_sent, "right": as_sent, **words})
    return Setup(connection, sides, lines, rules, policy, broken, told)


def side_setup(side: Side) -> SideSetup:
    app, book = connector_class(side.book.account.app).app, side.book
    return SideSetup(side, book, fields_from(book.schema), app.capabilities, app.label)


def lines_of(connection: Connection, sides: Mapping[SideName, SideSetup]) -> tuple[list[Line], dict[str, str]]:
    lines, broken = [], {}
    for mapping in connection.mappings.filter(enabled=True):
        left = sides["left"].fields.get(mapping.left_field)
        right = sides["right"].fields.get(mapping.right_field)
        if left is None or right is None:
            missing = mapping.left_field if left is None else mapping.right_field
            broken[str(mapping.code)] = f"the field {missing} is no longer there"
            continue
        lines.append(line_of(connection, mapping, left, right))
    return lines, broken


def line_of(connection: Connection, mapping: FieldMapping, left: Field, right: Field) -> Line:
    to = frozenset(
        side
        for side, target in (("left", left), ("right", right))
        if mapping.direction in ("both", f"to_{side}")
        and connection.direction in ("both", f"to_{side}")
        and target.writable
    )
    winner = connection.winner if mapping.on_conflict == "inherit" else mapping.on_conflict
    return Line(
        str(mapping.code),
        left,
        right,
        to,
        winner,
        mapping.write_mode,
        mapping.clears,
        mapping.value_map,
        mapping.fallback,
    )


def rule_of(row: RuleRow) -> Rule:
    conditions = tuple(Condition(c.kind, c.field, c.operator, c.value) for c in row.conditions.all())
    return Rule(row.name, row.source, row.match, conditions)


def reserved_tags(connection: Connection, told: frozenset[str]) -> frozenset[str]:
    """Tags that no tags mapping carries: the trash and unsubscribe tags of every connection of the client, and every
    tag named in a tag action of this connection."""
    trash = Connection.objects.filter(client_id=connection.client_id).values_list("trash_tag", flat=True)
    tags = {*map(fold, trash), *told}
    for row in connection.rules.prefetch_related("actions"):
        for action in row.actions.all():
            if action.kind in ("add_tag", "remove_tag") and isinstance(action.value, str):
                tags.add(fold(action.value))
    return frozenset(tags)


def unsubscribe_tags(connection: Connection) -> frozenset[str]:
    """Those of every connection of the client, casefolded."""
    tags = Connection.objects.filter(client_id=connection.client_id).values_list("unsubscribe_tag", flat=True)
    return frozenset(map(fold, tags))


def schema_outdated(book: Book) -> bool:
    """Never read, or a connection was edited since: a field may be mapped that was not there then."""
    if book.schema_at is None:
        return True
    edited = ConfigVersion.objects.filter(connection__sides__book=book, at__gte=book.schema_at)
    return edited.exists()


def wanted_fields(book: Book) -> list[str]:
    """What a book is read with: what decides who a contact is, and the union of what its connections need, drafts left
    out: the fields of their mappings and of their rules' conditions."""
    known = fields_from(book.schema)
    wanted = always_read(known)
    sides = dict(book.sides.exclude(connection__state="draft").values_list("connection", "side"))
    for mapping in FieldMapping.objects.filter(connection__in=sides, enabled=True):
        wanted.add(mapping.left_field if sides[mapping.connection_id] == "left" else mapping.right_field)
        wanted.add(str((mapping.fallback or {}).get("field", "")))
    conditions = ConditionRow.objects.filter(rule__connection__in=sides).exclude(field="")
    for connection, source, name in conditions.values_list("rule__connection", "rule__source", "field"):
        if source == sides[connection]:
            wanted.add(name)
    return sorted(wanted & set(known))


def always_read(known: Mapping[str, Field]) -> set[str]:
    return {name for name, found in known.items() if found.role in ALWAYS_READ}


def needed_fields(setup: Setup, side: SideName) -> set[str]:
    """What this connection needs of the book on one side before it can judge."""
    known = setup.sides[side].fields
    needed = always_read(known) | {line.field(side).name for line in setup.lines}
    needed |= {str((line.fallback or {}).get("field", "")) for line in setup.lines}
    needed |= {condition.field for rule in setup.rules[side] for condition in rule.conditions}
    return needed & set(known)
