"""The whole configuration of a connection as one document: put back, used for another connection, restored, compared.

A document is what `services.body_of` gives. Which accounts and books it is of does not move the connection: links
belong to those. One from another connection of the same pair of apps is a template; its name is not taken over.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F

from connections import services
from connections.models import Action, Condition, ConfigVersion, Connection, FieldMapping, Rule
from connections.models.connection import SIDES, SideName, other
from connections.services import (
    BOOK_FIELDS,
    IDENTITY_OF_A_LINE,
    MAPPING_FIELDS,
    RULE_FIELDS,
    SETTINGS,
    Connect,
    Overtaken,
    connector_of,
)
from connections.validation import Fields, mapping_problems, rule_problems, target_problems
from portal.clock import SYSTEM, Clock

Document = Mapping[str, Any]
Row = TypeVar("Row", FieldMapping, Rule)


def replace(
    connection: Connection,
    actor: str,
    document: Document,
    reason: str = "configuration",
    connect_to: Connect = connector_of,
    clock: Clock = SYSTEM,
) -> ConfigVersion | None:
    """Make the configuration what the document says, as one version; None where it is so already. The connection is
    as the caller saw it. Raises ValidationError by path, ConnectorError, and Overtaken where it changed since."""
    fields: Fields = {
        side: services.fields_of(connection.account(side), connection.book_id(side), connect_to, clock)
        for side in SIDES
    }
    with transaction.atomic():
        # The row is ours from here on: nobody else changes a line or a rule meanwhile without a new version.
        mine = Connection.objects.filter(pk=connection.pk, version=connection.version)
        if mine.update(version=F("version")) != 1:
            raise Overtaken
        connection.refresh_from_db()
        changed = change_settings(connection, document)
        lines = change_lines(connection, document["mappings"], fields)
        rules = change_rules(connection, document["rules"], fields, again=lines)
        reviewed = not lines and not rules and services.stays_reviewed(connection, changed)
        return services.save_version(connection, actor, reason, clock, reviewed=reviewed)


def is_template(connection: Connection, document: Document) -> bool:
    """Whether it was made of other accounts or books. Where it says nothing of them it is this connection's."""
    own = services.body_of(connection)
    return any(name in document and document[name] != own[name] for name in BOOK_FIELDS)


def change_settings(connection: Connection, document: Document) -> set[str]:
    """The names of those that changed. Raises ValidationError."""
    left_out = {"name"} if is_template(connection, document) else set()
    names = [name for name in SETTINGS if name in document and name not in left_out]
    changed = {name for name in names if getattr(connection, name) != document[name]}
    if not changed:
        return changed
    for name in changed:
        setattr(connection, name, document[name])
    services.check_connection(connection)
    connection.save(update_fields=sorted(changed))
    return changed


def paired(rows: Sequence[Row], wanted: Sequence[Document], key: Sequence[str]) -> list[Row | None]:
    """For each of those wanted the row that it is to be: the one of its code, else a left-over one that is equal in
    `key`."""
    by_code = {str(row.code): row for row in rows}
    found = [by_code.pop(str(one.get("code", "")), None) for one in wanted]
    rest = list(by_code.values())
    for number, one in enumerate(wanted):
        if found[number] is None:
            found[number] = next((row for row in rest if all(getattr(row, name) == one[name] for name in key)), None)
            rest = [row for row in rest if row is not found[number]]
    return found


# Lines


def change_lines(connection: Connection, wanted: Sequence[Document], fields: Fields) -> bool:
    """Whether there was anything to change. Raises ValidationError."""
    rows = list(connection.mappings.all())
    pairs = list(zip(paired(rows, wanted, IDENTITY_OF_A_LINE), wanted, strict=True))
    kept = {row.pk for row, _ in pairs if row is not None}
    gone = [row for row in rows if row.pk not in kept]
    new = [(number, row, one) for number, (row, one) in enumerate(pairs) if row is None or differs(row, one)]
    connection.mappings.filter(pk__in=[row.pk for row in gone]).delete()
    # What two lines exchange neither has for a moment: a field is mapped once among those that are switched on.
    connection.mappings.filter(pk__in=[row.pk for _, row, _ in new if row is not None]).update(enabled=False)
    for number, row, one in new:
        with at(f"mappings.{number}"):
            save_line(FieldMapping(connection=connection) if row is None else row, one, fields)
    return bool(gone or new)


def differs(row: FieldMapping, wanted: Document) -> bool:
    return any(getattr(row, name) != wanted[name] for name in MAPPING_FIELDS)


def save_line(line: FieldMapping, wanted: Document, fields: Fields) -> None:
    """As `services.save_mapping`: a line that starts anew gets a new code."""
    if line.pk is not None and any(getattr(line, name) != wanted[name] for name in IDENTITY_OF_A_LINE):
        line.code, line.is_default = FieldMapping._meta.get_field("code").get_default(), False
    for name in MAPPING_FIELDS:
        setattr(line, name, wanted[name])
    if problems := mapping_problems(line, fields):
        raise ValidationError(problems)
    line.full_clean()
    line.save()


# Rules


def change_rules(connection: Connection, wanted: Sequence[Document], fields: Fields, again: bool) -> bool:
    """Whether there was anything to change. `again`: judge also those that stay as they are, because what they rest on
    changed. Raises ValidationError."""
    rows = list(connection.rules.prefetch_related("conditions", "actions"))
    pairs = list(zip(paired(rows, wanted, ("source", "name")), wanted, strict=True))
    kept = {row.pk for row, _ in pairs if row is not None}
    gone = [row for row in rows if row.pk not in kept]
    connection.rules.filter(pk__in=[row.pk for row in gone]).delete()
    changed = bool(gone)
    for number, (row, one) in enumerate(pairs):
        same = row is not None and same_rule(row, one)
        if same and not again:
            continue
        with at(f"rules.{number}"):
            save_rule(Rule(connection=connection) if row is None else row, one, fields)
        changed = changed or not same
    return changed


def same_rule(row: Rule, wanted: Document) -> bool:
    body = services.rule_body(row)
    return all(body[name] == wanted[name] for name in (*RULE_FIELDS, "conditions", "actions"))


def save_rule(rule: Rule, wanted: Document, fields: Fields) -> None:
    for name in RULE_FIELDS:
        setattr(rule, name, wanted[name])
    conditions = [Condition(**one) for one in wanted["conditions"]]
    actions = [Action(**one) for one in wanted["actions"]]
    side: SideName = "left" if rule.source == "left" else "right"
    problems = rule_problems(rule, conditions, actions, fields[side])
    problems += target_problems(rule, actions, fields[other(side)]) if not problems else []
    if problems:
        raise ValidationError(problems)
    rule.full_clean()
    services.store_rule(rule, conditions, actions)


@contextmanager
def at(path: str) -> Iterator[None]:
    """Messages of what is inside name the place in the document."""
    try:
        yield
    except ValidationError as error:
        if not hasattr(error, "error_dict"):
            raise ValidationError({path: error.messages}) from None
        raise ValidationError({f"{path}.{name}": told for name, told in error.message_dict.items()}) from None


# Comparing


def differences(before: Document, after: Document) -> list[dict[str, Any]]:
    """Field by field: [{"path", "before", "after"}]. Lines and rules are named by their fields and their name, and
    told apart by their code; one that came or went is one difference, with null on the other side."""
    return list(compared("", before, after))


def compared(path: str, before: Any, after: Any) -> Iterator[dict[str, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from compared(f"{path}.{name}".lstrip("."), before.get(name), after.get(name))
    elif isinstance(before, list) and isinstance(after, list) and (before or after):
        yield from compared_rows(path, before, after)
    elif before != after:
        yield {"path": path, "before": before, "after": after}


def compared_rows(path: str, before: list[Any], after: list[Any]) -> Iterator[dict[str, Any]]:
    rows = [*before, *after]
    if all(isinstance(row, Mapping) and "code" in row for row in rows):
        old, new = ({row["code"]: row for row in part} for part in (before, after))
        for code in dict.fromkeys(row["code"] for row in rows):
            name = title_of(new.get(code, old.get(code)))
            yield from compared(f"{path}[{name}]", old.get(code), new.get(code))
    elif all(isinstance(row, Mapping) for row in rows):
        for number, (was, now) in enumerate(zip_longest(before, after)):
            yield from compared(f"{path}[{number}]", was, now)
    elif before != after:
        yield {"path": path, "before": before, "after": after}


def title_of(row: Any) -> str:
    if "left_field" in row:
        return f"{row['left_field']} / {row['right_field']}"
    return f"{row['source']}: {row['name']}"
