"""Searches as Salesmate's v4 does them: nested rule groups, named sub-fields, six sortable fields, 250 rows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

MOST_ROWS = 250
DEFAULT_ROWS = 25
SORTABLE = ("id", "createdAt", "lastModifiedAt", "name", "firstName", "lastName")
CONDITIONS = ("EQUALS", "NOT_EQUALS", "CONTAINS", "IS_AFTER", "EMPTY", "NOT_EMPTY")
LITERAL = "%b %d, %Y %I:%M %p"


class Refused(Exception):
    """The text is the Message of a ValidationError."""


@dataclass(frozen=True)
class Query:
    """`zone`: the time zone of the key's owner, in which date literals are read."""

    fields: Sequence[str]
    rules: Sequence[Any]
    operator: str
    sort: str
    descending: bool
    zone: str


def parse(body: Any, known: frozenset[str], zone: str) -> Query:
    if not isinstance(body, dict):
        raise Refused("Invalid search body")
    names = [unprefixed(name, known) for name in body.get("displayingFields") or []]
    group = (body.get("filterQuery") or {}).get("group") or {}
    sort = body.get("sort") or {}
    name = str(sort.get("fieldName") or "").removeprefix("contact.")
    if name and name not in SORTABLE:
        raise Refused("Sorting by this field is not supported")
    order = str(sort.get("order") or "asc")
    if order not in ("asc", "desc"):
        raise Refused("Invalid sort order")
    return Query(names, group.get("rules") or [], group.get("operator") or "AND", name or "id", order == "desc", zone)


def unprefixed(name: Any, known: frozenset[str]) -> str:
    text = str(name)
    plain = text.removeprefix("contact.")
    if plain == text or plain.split(".")[0] not in known:
        raise Refused("Invalid field in displayingFields")
    return plain


def find(
    query: Query, rows: Sequence[Mapping[str, Any]], known: frozenset[str], ties_by_id: bool = True
) -> list[Mapping[str, Any]]:
    """All rows that fit, sorted; ties by id, or as the rows come."""
    fitting = [row for row in rows if fits(query.rules, query.operator, row, query.zone, known)]
    if ties_by_id:
        fitting.sort(key=lambda row: int(row["id"]))
    return sorted(fitting, key=lambda row: sort_key(row.get(query.sort)), reverse=query.descending)


def sort_key(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    return (1, value) if isinstance(value, int) else (2, str(value).casefold())


def fits(rules: Sequence[Any], operator: str, row: Mapping[str, Any], zone: str, known: frozenset[str]) -> bool:
    if operator not in ("AND", "OR"):
        raise Refused("Invalid operator")
    if not rules:
        return True
    answers = [fits_one(rule, row, zone, known) for rule in rules]
    return all(answers) if operator == "AND" else any(answers)


def fits_one(rule: Any, row: Mapping[str, Any], zone: str, known: frozenset[str]) -> bool:
    if not isinstance(rule, dict):
        raise Refused("Invalid rule")
    if "group" in rule:
        return fits(rule["group"].get("rules") or [], rule["group"].get("operator") or "AND", row, zone, known)
    if rule.get("moduleName") != "Contact" or rule.get("condition") not in CONDITIONS:
        raise Refused("Invalid rule")
    name = unprefixed((rule.get("field") or {}).get("fieldName"), known)
    return holds(str(rule["condition"]), value_at(row, name), rule.get("data"), zone)


def value_at(row: Mapping[str, Any], path: str) -> Any:
    outer, _, inner = path.partition(".")
    value = row.get(outer)
    if isinstance(value, dict):
        return value.get(inner or "id")
    return value


def holds(condition: str, value: Any, data: Any, zone: str) -> bool:
    if condition in ("EMPTY", "NOT_EMPTY"):
        return (value is None or value == "") is (condition == "EMPTY")
    if condition == "IS_AFTER":
        return isinstance(value, int) and value > moment(data, zone)
    if condition == "CONTAINS":
        return comparable(data) in comparable(value)
    return (comparable(value) == comparable(data)) is (condition == "EQUALS")


def moment(data: Any, zone: str) -> int:
    try:
        return int(datetime.strptime(str(data), LITERAL).replace(tzinfo=ZoneInfo(zone)).timestamp())
    except ValueError:
        raise Refused("Invalid date") from None


def comparable(value: Any) -> str:
    if isinstance(value, bool) or str(value) in ("true", "false"):
        return "1" if value in (True, "true") else "0"
    return "" if value is None else str(value).strip().casefold()


def shown(row: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The fields asked for. An object comes back only with its named parts; asked for whole, it stays away."""
    answer: dict[str, Any] = {}
    for path in fields:
        outer, _, inner = path.partition(".")
        value = row.get(outer)
        if not inner and outer not in OBJECTS:
            answer[outer] = value
        elif inner:
            part = answer.setdefault(outer, {})
            if isinstance(value, dict) and inner in value:
                part[inner] = value[inner]
    return answer


OBJECTS = frozenset({"owner", "company", "currency", "createdBy", "lastModifiedBy", "deletedBy"})
