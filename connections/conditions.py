"""The IF of a rule: does this contact match, and why (DESIGN.md 7).

Pure and three-valued: what the app did not report makes a condition unknown, never true and never false, and more
knowledge never turns a yes into a no. Every condition of a rule is judged and traced; the trace names fields and what
the condition asks for, never what the contact holds. Text is compared without regard to case. Days begin at midnight
UTC, because no time zone of a contact is known.
"""

import operator as compare
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from connections.fieldtypes import InvalidValue, clean, fold, key, same, word
from syncer.connectors.base import Capabilities, Field, FieldType, Value, Values

ALL, ANY = "all", "any"
MOST_DAYS = 36_500
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


class Kind(StrEnum):
    HAS_TAG = "has_tag"
    LACKS_TAG = "lacks_tag"
    OWNED_BY = "owned_by"
    NOT_OWNED_BY = "not_owned_by"
    FIELD = "field"
    EXISTS_IN_OTHER = "exists_in_other"
    IS_DELETED = "is_deleted"


class Operator(StrEnum):
    IS = "is"
    IS_NOT = "is_not"
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    ONE_OF = "one_of"
    NONE_OF = "none_of"
    EMPTY = "empty"
    NOT_EMPTY = "not_empty"
    EQUAL = "="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    BETWEEN = "between"
    IN_LAST_DAYS = "in_last_days"


@dataclass(frozen=True)
class Condition:
    """`field` and `operator` belong to the kind `field` alone. `value`: a tag, an owner id, or what the operator
    takes: a list for one_of, none_of and between (low, high), a number of days for in_last_days."""

    kind: str
    field: str = ""
    operator: str = ""
    value: Value = None


@dataclass(frozen=True)
class Rule:
    """`source` is the side that the rule searches; `match` is `all` or `any` of the conditions."""

    name: str
    source: str
    match: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Facts:
    """What is known of one contact. `owner_field` and `tags_field` name the fields that hold them, empty where the app
    has none. `in_other` is None until both books are completely read. `now` has a time zone; `region` is the home
    country of phone numbers without one (see `fieldtypes.key`)."""

    values: Values
    fields: Mapping[str, Field]
    owner_field: str
    tags_field: str
    in_other: bool | None
    deleted: bool
    now: datetime
    region: str | None = None


@dataclass(frozen=True)
class Step:
    """How one condition came out, in words. `missing` is the field that was not reported, if that made it unknown;
    `recheck_at` is when time alone changes the answer. The rule's own gate for deleted contacts has no condition."""

    condition: Condition | None
    matched: bool | None
    text: str
    missing: str = ""
    recheck_at: datetime | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Verdict:
    """`matched` is None where it cannot be told: then the rule does not match. `recheck_at` is the earliest moment at
    which time alone may change the verdict."""

    matched: bool | None
    trace: tuple[Step, ...]
    recheck_at: datetime | None = None


@dataclass(frozen=True)
class Offer:
    """What a form offers: the kinds, and for each field that can be asked about, its operators."""

    kinds: tuple[Kind, ...]
    operators: Mapping[str, tuple[Operator, ...]]


_EQUALS = (Operator.IS, Operator.IS_NOT)
_PARTS = (Operator.CONTAINS, Operator.NOT_CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH)
_TEXT = (*_EQUALS, *_PARTS, Operator.ONE_OF, Operator.EMPTY, Operator.NOT_EMPTY)
_NUMBER = (Operator.EQUAL, Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST, Operator.BETWEEN)
_TIME = (*_NUMBER, Operator.IN_LAST_DAYS)
_CHOICE = (Operator.ONE_OF, Operator.NONE_OF)
OPERATORS: Mapping[FieldType, tuple[Operator, ...]] = {
    FieldType.TEXT: _TEXT,
    FieldType.LONG_TEXT: _TEXT,
    FieldType.EMAIL: _TEXT,
    FieldType.PHONE: _TEXT,
    FieldType.URL: _TEXT,
    FieldType.INTEGER: _NUMBER,
    FieldType.DECIMAL: _NUMBER,
    FieldType.BOOLEAN: (Operator.IS,),
    FieldType.DATE: _TIME,
    FieldType.DATETIME: _TIME,
    FieldType.CHOICE: _CHOICE,
    FieldType.MULTI_CHOICE: _CHOICE,
    FieldType.CONSENT: _CHOICE,
    FieldType.TAGS: (),  # has_tag and lacks_tag ask about them
    FieldType.OWNER: (),  # owned_by and not_owned_by
}


def evaluate(rule: Rule, facts: Facts) -> Verdict:
    """Total and deterministic. A rule without conditions matches everyone; a deleted contact matches only a rule with
    an is_deleted condition, and such a rule matches nobody else."""
    steps = tuple(_step(condition, facts) for condition in rule.conditions)
    results = [step.matched for step in steps]
    matched = _any(results) if rule.match == ANY and len(results) > 0 else _all(results)
    for_deleted = any(condition.kind == Kind.IS_DELETED for condition in rule.conditions)
    if for_deleted != facts.deleted:
        who = "contacts that were deleted" if for_deleted else "contacts that exist"
        return Verdict(False, (*steps, Step(None, False, f"this rule is for {who}: no")))
    moments = [] if facts.deleted else [step.recheck_at for step in steps if step.recheck_at is not None]
    return Verdict(matched, steps, min(moments, default=None))


def problems(condition: Condition, fields: Mapping[str, Field], capabilities: Capabilities) -> list[str]:
    """Why a condition cannot be saved for this app, in words; empty if it can."""
    if condition.kind in (Kind.HAS_TAG, Kind.LACKS_TAG):
        return _problems_of_word(condition, "tag", "tags", capabilities.tags)
    if condition.kind in (Kind.OWNED_BY, Kind.NOT_OWNED_BY):
        return _problems_of_word(condition, "owner", "owners", capabilities.owners)
    if condition.kind in (Kind.EXISTS_IN_OTHER, Kind.IS_DELETED):
        return []
    if condition.kind != Kind.FIELD:
        return [f"There is no condition {condition.kind}."]
    field = fields.get(condition.field)
    if field is None:
        return [f"This app has no field {condition.field}. Choose another field."]
    if condition.operator not in OPERATORS[field.type]:
        return [f"{field.label} cannot be asked with {condition.operator or 'nothing'}. {_operators_in_words(field)}"]
    try:
        wanted = _wanted(condition, field)
    except InvalidValue as error:
        return [f"The value for {field.label} {error}."]
    known = dict(field.choices)
    listed = field.type in (FieldType.CHOICE, FieldType.MULTI_CHOICE)
    return [f"{item} is not one of the choices of {field.label}." for item in wanted if listed and item not in known]


def offered(fields: Mapping[str, Field], capabilities: Capabilities) -> Offer:
    operators = {name: OPERATORS[field.type] for name, field in fields.items() if OPERATORS[field.type] != ()}
    shown = {
        Kind.HAS_TAG: capabilities.tags,
        Kind.LACKS_TAG: capabilities.tags,
        Kind.OWNED_BY: capabilities.owners,
        Kind.NOT_OWNED_BY: capabilities.owners,
        Kind.FIELD: len(operators) > 0,
    }
    return Offer(tuple(kind for kind in Kind if shown.get(kind, True)), operators)


def describe(condition: Condition, fields: Mapping[str, Field]) -> str:
    """The condition in words: "Country one of AT, CH"."""
    asked = condition.kind.replace("_", " ")
    if condition.kind == Kind.FIELD:
        label = fields[condition.field].label if condition.field in fields else condition.field
        asked = f"{label} {condition.operator.replace('_', ' ')}"
    items = condition.value if isinstance(condition.value, list) else [condition.value]
    words = [word(item) for item in items if item is not None]
    return asked if words == [] else f"{asked} {', '.join(words)}"


class _Unknown(Exception):
    """Why a condition cannot be told, in words."""

    def __init__(self, why: str, missing: str = "") -> None:
        super().__init__(why)
        self.missing = missing


def _step(condition: Condition, facts: Facts) -> Step:
    words = describe(condition, facts.fields)
    try:
        matched, recheck_at = _TESTS.get(condition.kind, _no_such_kind)(condition, facts)
    except _Unknown as unknown:
        return Step(condition, None, f"{words}: unknown, {unknown}", unknown.missing)
    except InvalidValue as error:
        return Step(condition, None, f"{words}: unknown, the condition's value {error}")
    return Step(condition, matched, f"{words}: {'yes' if matched else 'no'}", "", recheck_at)


_Answer = tuple[bool, datetime | None]


def _has_tag(condition: Condition, facts: Facts) -> _Answer:
    wanted = key(FieldType.TAGS, [_word(condition)])
    held = key(FieldType.TAGS, _reported(facts.tags_field, FieldType.TAGS, facts, "tags"))
    return isinstance(held, frozenset) and isinstance(wanted, frozenset) and wanted <= held, None


def _owned_by(condition: Condition, facts: Facts) -> _Answer:
    owner = _reported(facts.owner_field, FieldType.OWNER, facts, "owner")
    return same(FieldType.OWNER, owner, _word(condition)), None


def _not(test: Callable[[Condition, Facts], _Answer]) -> Callable[[Condition, Facts], _Answer]:
    def negated(condition: Condition, facts: Facts) -> _Answer:
        return not test(condition, facts)[0], None

    return negated


def _exists_in_other(condition: Condition, facts: Facts) -> _Answer:
    if facts.in_other is None:
        raise _Unknown("the two apps have not been read completely yet")
    return facts.in_other, None


def _is_deleted(condition: Condition, facts: Facts) -> _Answer:
    return facts.deleted, None


def _no_such_kind(condition: Condition, facts: Facts) -> _Answer:
    raise _Unknown("there is no such condition")


def _field(condition: Condition, facts: Facts) -> _Answer:
    field = facts.fields.get(condition.field)
    if field is None:
        raise _Unknown("the app does not have this field any more", condition.field)
    if condition.operator not in OPERATORS[field.type]:
        raise _Unknown("this cannot be asked about such a field")
    wanted = _wanted(condition, field)
    value = _reported(condition.field, field.type, facts, condition.field)
    operator = Operator(condition.operator)
    if operator is Operator.IN_LAST_DAYS:
        return _in_last_days(field.type, value, int(wanted[0]), facts.now)
    if OPERATORS[field.type] == _CHOICE:
        held = [] if value is None else value if isinstance(value, list) else [str(value)]
        return (operator is Operator.ONE_OF) == any(item in wanted for item in held), None
    if operator in _NUMBER:
        return value is not None and _ordered(operator, field.type, value, wanted), None
    if field.type is FieldType.BOOLEAN:
        return same(FieldType.BOOLEAN, value, wanted[0]), None
    if operator in (Operator.IS, Operator.IS_NOT, Operator.ONE_OF):
        alike = any(_alike(field.type, value, item, facts.region) for item in wanted)
        return alike is not (operator is Operator.IS_NOT), None
    return _text(operator, None if value is None else str(value), wanted), None


_TESTS: Mapping[str, Callable[[Condition, Facts], _Answer]] = {
    Kind.HAS_TAG: _has_tag,
    Kind.LACKS_TAG: _not(_has_tag),
    Kind.OWNED_BY: _owned_by,
    Kind.NOT_OWNED_BY: _not(_owned_by),
    Kind.FIELD: _field,
    Kind.EXISTS_IN_OTHER: _exists_in_other,
    Kind.IS_DELETED: _is_deleted,
}


def _reported(name: str, type: FieldType, facts: Facts, what: str) -> Value:
    if name == "":
        raise _Unknown(f"this app has no {what}")
    label = facts.fields[name].label if name in facts.fields else name
    if name not in facts.values:
        raise _Unknown(f"{label} was not reported", name)
    try:
        return clean(type, facts.values[name])
    except InvalidValue:
        raise _Unknown(f"{label} holds what cannot be understood") from None


def _word(condition: Condition) -> str:
    text = clean(FieldType.TEXT, condition.value)
    if text is None:
        raise InvalidValue("is missing")
    return str(text)


def _wanted(condition: Condition, field: Field) -> list[str]:
    """What the condition asks for, cleaned, as words. Raises InvalidValue with a phrase that follows "the value"."""
    operator, raw = condition.operator, condition.value
    if operator in (Operator.EMPTY, Operator.NOT_EMPTY):
        return []
    if operator == Operator.IN_LAST_DAYS:
        days = clean(FieldType.INTEGER, raw)
        if not isinstance(days, int) or not 1 <= days <= MOST_DAYS:
            raise InvalidValue(f"must be a number of days from 1 to {MOST_DAYS}")
        return [str(days)]
    several = operator in (Operator.ONE_OF, Operator.NONE_OF, Operator.BETWEEN)
    if isinstance(raw, list) is not several:
        raise InvalidValue("must be a list of values" if several else "must be one value")
    cleaned = [clean(_ASKED.get(field.type, field.type), item) for item in (raw if isinstance(raw, list) else [raw])]
    if None in cleaned or len(cleaned) == 0:
        raise InvalidValue("is missing")
    wanted = [word(item) for item in cleaned]
    if operator in _NUMBER and not (operator == Operator.EQUAL and field.type is FieldType.DATE):
        places = [_place(field.type, item) for item in wanted]
        if operator == Operator.BETWEEN and (len(places) != 2 or places[0] > places[1]):
            raise InvalidValue("must be two values, the lower one first")
    return wanted


_ASKED: Mapping[FieldType, FieldType] = {
    FieldType.INTEGER: FieldType.DECIMAL,
    FieldType.MULTI_CHOICE: FieldType.CHOICE,
}


def _place(type: FieldType, text: str) -> Decimal:
    """Where a number, a day (its ordinal) or a moment (seconds since 1970) stands in order."""
    if type is FieldType.DATETIME:
        return Decimal(_seconds(datetime.fromisoformat(text)))
    if type is FieldType.DATE:
        if text.startswith("--"):
            raise InvalidValue("is a date without a year, which is neither before nor after another")
        return Decimal(date.fromisoformat(text).toordinal())
    return Decimal(text)


def _place_held(type: FieldType, value: Value) -> Decimal:
    try:
        return _place(type, str(value))
    except InvalidValue:
        raise _Unknown("the contact's date has no year") from None


def _seconds(moment: datetime) -> int:
    return (moment - EPOCH) // SECOND


_COMPARISONS: Mapping[Operator, Callable[[Decimal, Decimal], bool]] = {
    Operator.EQUAL: compare.eq,
    Operator.LESS: compare.lt,
    Operator.AT_MOST: compare.le,
    Operator.MORE: compare.gt,
    Operator.AT_LEAST: compare.ge,
}


def _ordered(operator: Operator, type: FieldType, value: Value, wanted: list[str]) -> bool:
    if operator is Operator.EQUAL and type is FieldType.DATE:
        return value == wanted[0]
    held = _place_held(type, value)
    places = [_place(type, item) for item in wanted]
    if operator is Operator.BETWEEN:
        return places[0] <= held <= places[1]
    return _COMPARISONS[operator](held, places[0])


def _in_last_days(type: FieldType, value: Value, days: int, now: datetime) -> _Answer:
    """A day counts as a whole: today and the `days` before it. A moment counts by the second."""
    if value is None:
        return False, None
    held = int(_place_held(type, value))
    if type is FieldType.DATE:
        age = now.astimezone(UTC).date().toordinal() - held
        return 0 <= age <= days, _next_look(age, days, date.fromordinal(held), DAY)
    age = _seconds(now) - held
    return 0 <= age <= days * 86_400, _next_look(age, days * 86_400, datetime.fromisoformat(str(value)), SECOND)


def _next_look(age: int, most: int, start: date, unit: timedelta) -> datetime | None:
    """When something that began at `start` and is `age` units old next enters or leaves the last `most` units."""
    if age > most:
        return None
    moment = start if isinstance(start, datetime) else datetime(start.year, start.month, start.day, tzinfo=UTC)
    try:
        return moment if age < 0 else moment + (most + 1) * unit
    except OverflowError:  # beyond the year 9999
        return None


def _alike(type: FieldType, value: Value, wanted: str, region: str | None) -> bool:
    """Another spelling of the same phone or web address is the same; otherwise case alone may differ."""
    return isinstance(value, str) and (fold(value) == fold(wanted) or same(type, value, wanted, region))


def _text(operator: Operator, value: str | None, wanted: list[str]) -> bool:
    if operator in (Operator.EMPTY, Operator.NOT_EMPTY):
        return (value is None) is (operator is Operator.EMPTY)
    held, part = None if value is None else fold(value), fold(wanted[0])
    if operator is Operator.NOT_CONTAINS:
        return held is None or part not in held
    if operator is Operator.STARTS_WITH:
        return held is not None and held.startswith(part)
    if operator is Operator.ENDS_WITH:
        return held is not None and held.endswith(part)
    return held is not None and part in held


def _all(results: Iterable[bool | None]) -> bool | None:
    known = set(results)
    return False if False in known else None if None in known else True


def _any(results: Iterable[bool | None]) -> bool | None:
    known = set(results)
    return True if True in known else None if None in known else False


def _problems_of_word(condition: Condition, what: str, plural: str, has: bool) -> list[str]:
    if not has:
        return [f"This app has no {plural}, so a condition cannot ask for them."]
    try:
        _word(condition)
    except InvalidValue:
        return [f"Say which {what} the condition asks for."]
    return []


def _operators_in_words(field: Field) -> str:
    operators = OPERATORS[field.type]
    if field.type is FieldType.TAGS:
        return f"Use {Kind.HAS_TAG} or {Kind.LACKS_TAG}."
    if field.type is FieldType.OWNER:
        return f"Use {Kind.OWNED_BY} or {Kind.NOT_OWNED_BY}."
    return f"Use {', '.join(operators)}."
