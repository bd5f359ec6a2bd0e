"""What a value is: how it is stored, when two are the same, and what may become what (DESIGN.md 5 and 6).

Pure: no Django, no clock, no network. `clean` gives the form that is stored and sent, `key` the form that is compared,
`convert` carries a value from one field to another and never cuts or invents. The directions are `both`, `to_right`
and `to_left`. Error texts are phrases that follow a field's label; they never hold the value, which is personal data.
"""

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from syncer.connectors.base import Field, FieldType, Role, Value

BOTH, TO_RIGHT, TO_LEFT = "both", "to_right", "to_left"
LISTS = (FieldType.MULTI_CHOICE, FieldType.TAGS)
MAX_DIGITS = 100  # keeps "1e999" and its like from becoming a page of zeros
MAX_PHONE = 80  # longer is prose, not a number; also bounds the work of the pattern

LINE_BREAK = re.compile("\r\n|[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
DATE = re.compile(r"([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})")
DATE_WITHOUT_YEAR = re.compile(r"--([0-9]{2})-?([0-9]{2})")
PHONE = re.compile(
    r"(?:tel:)?\s*(?P<plus>\(?\s*[+\uff0b])?(?P<main>[\d\s()./\u2010-\u2015-]+?)"
    r"(?:(?:;ext=|,+|\s*(?:extension|extn|ext|x|#)[\s.:]*)(?P<extension>\d{1,9}))?",
    re.IGNORECASE,
)
URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*)://)?([^/?#]*)([^?#]*)(.*)", re.DOTALL)
WEB_ADDRESS = re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?", re.IGNORECASE)
BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class InvalidValue(ValueError):
    """The raw value is not of the type. The text says so in words that follow the field's label."""


class Unconvertible(ValueError):
    """This value cannot become a value of the target field. The text says why, naming both
    fields and never the value; the value is held, not written."""


def clean(type: FieldType, raw: object) -> Value:
    """The form that is stored and sent; cleaning twice changes nothing. Raises InvalidValue.

    Text is NFC without NUL, with LF line ends, trimmed, its inner white space kept; all but `long_text` is one line.
    `""` is `None`, and so is an empty list. What an app shows as an e-mail, a phone or a web address is kept as it is,
    valid or not: only `convert` checks. Integers are taken as text and as ids. Booleans come from bool, 0, 1, and the
    words true, false, yes, no. Dates are ISO 8601, or without a year (RFC 6350 4.3.1). A datetime needs a time zone
    and loses its fractions of a second. Tags lose repetitions in another case (the first spelling stays) and are
    sorted; a multi_choice loses exact repetitions, because its values are the app's own.
    """
    return None if raw is None else _CLEANERS[type](raw)


def key(type: FieldType, value: Value, region: str | None = None) -> Hashable:
    """The form that is compared: equal keys mean the same value. Total; empty is None.

    A phone is E.164 plus extension where phonenumbers finds it possible; without a `region` (ISO 3166, "US") only a
    number with + is parsed, others compare by their digits, and what holds words compares as text. The case of a name
    counts, the case of an e-mail, a host or a tag does not, nor does the punycode form of a domain (RFC 3492).
    """
    try:
        cleaned = clean(type, value)
    except InvalidValue:
        return ("unclean", repr(value))
    if isinstance(cleaned, list):
        return frozenset(map(fold, cleaned) if type is FieldType.TAGS else cleaned)
    if isinstance(cleaned, str):
        if type is FieldType.PHONE:
            return _phone_key(cleaned, region)
        if type is FieldType.EMAIL:
            return _email_key(cleaned)
        if type is FieldType.URL:
            return _url_key(cleaned)
    return cleaned


def same(type: FieldType, a: Value, b: Value, region: str | None = None) -> bool:
    return key(type, a, region) == key(type, b, region)


def fold(text: str) -> str:
    """Text for caseless comparison (Unicode 3.13, canonical caseless matching)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _characters(raw: object) -> str:
    if isinstance(raw, int) and not isinstance(raw, bool):
        if raw.bit_length() > 4 * MAX_DIGITS:
            raise InvalidValue("has too many digits")
        raw = str(raw)
    if not isinstance(raw, str):
        raise InvalidValue("is not text")
    if any("\ud800" <= character <= "\udfff" for character in raw):
        raise InvalidValue("holds half a character (a lone surrogate), which no app can store")
    return raw.replace("\0", "")


def _trimmed(text: str) -> str | None:
    text = unicodedata.normalize("NFC", text).strip()
    return None if text == "" else text


def _line(raw: object) -> str | None:
    return _trimmed(LINE_BREAK.sub(" ", _characters(raw)))


def _lines(raw: object) -> str | None:
    return _trimmed(_characters(raw).replace("\r\n", "\n").replace("\r", "\n"))


def _decimal(raw: object) -> str | None:
    if isinstance(raw, bool):
        raise InvalidValue("is not a number like 1234.5")
    text = _line(str(raw) if isinstance(raw, float | Decimal) else raw)
    if text is None:
        return None
    if len(text) > 2 * MAX_DIGITS or NUMBER.fullmatch(text) is None:
        raise InvalidValue("is not a number like 1234.5")
    number = Decimal(text)
    # Not normalize(): it rounds to the precision of the context.
    plain = "0" if number == 0 else format(number, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    if len(plain) > MAX_DIGITS:
        raise InvalidValue("has too many digits")
    return plain


def _integer(raw: object) -> int | None:
    plain = _decimal(raw)
    if plain is not None and "." in plain:
        raise InvalidValue("is not a whole number")
    return None if plain is None else int(plain)


def _boolean(raw: object) -> bool | None:
    if isinstance(raw, bool):
        return raw
    text = _line(raw)
    if text is None:
        return None
    if text.lower() not in BOOLEANS:
        raise InvalidValue("is neither yes nor no")
    return BOOLEANS[text.lower()]


def _date(raw: object) -> str | None:
    if isinstance(raw, date) and not isinstance(raw, datetime):
        return raw.isoformat()
    text = _line(raw)
    if text is None:
        return None
    full, short = DATE.fullmatch(text), DATE_WITHOUT_YEAR.fullmatch(text)
    try:
        if full is not None:
            return date(int(full[1]), int(full[3]), int(full[4])).isoformat()
        if short is not None:
            return date(2000, int(short[1]), int(short[2])).strftime("--%m-%d")  # a leap year: --02-29 exists
    except ValueError:
        raise InvalidValue("is not a day of the calendar") from None
    raise InvalidValue("is not a date like 2026-11-24 (or --11-24 without a year)")


def _datetime(raw: object) -> str | None:
    text = _line(raw.isoformat() if isinstance(raw, datetime) else raw)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
        if moment.tzinfo is None:
            raise InvalidValue("has no time zone, so it names no moment")
        return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except InvalidValue:
        raise
    except (ValueError, OverflowError):
        raise InvalidValue("is not a time like 2026-11-24T05:30:00Z") from None


def _list(raw: object, identity: Callable[[str], str]) -> list[str] | None:
    if not isinstance(raw, list | tuple):
        raise InvalidValue("is not a list")
    first: dict[str, str] = {}
    for item in raw:
        text = None if item is None else _line(item)
        if text is not None:
            first.setdefault(identity(text), text)
    return None if len(first) == 0 else sorted(first.values(), key=lambda text: (fold(text), text))


_CLEANERS: Mapping[FieldType, Callable[[object], Value]] = {
    FieldType.TEXT: _line,
    FieldType.LONG_TEXT: _lines,
    FieldType.EMAIL: _line,
    FieldType.PHONE: _line,
    FieldType.URL: _line,
    FieldType.INTEGER: _integer,
    FieldType.DECIMAL: _decimal,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _date,
    FieldType.DATETIME: _datetime,
    FieldType.CHOICE: _line,
    FieldType.MULTI_CHOICE: lambda raw: _list(raw, str),
    FieldType.TAGS: lambda raw: _list(raw, fold),
    FieldType.OWNER: _line,
    FieldType.CONSENT: _line,
}


def _phone_key(text: str, region: str | None) -> str:
    """Text with words beside the number stays text: two different notes about one number are two values."""
    match = PHONE.fullmatch(text) if len(text) <= MAX_PHONE else None
    digits = "" if match is None else _digits(match["main"])
    if match is None or digits == "":
        return text
    number = digits if match["plus"] is None else f"+{digits}"
    extension = "" if match["extension"] is None else f";ext={_digits(match['extension'])}"
    return (_e164(number, region) or number) + extension


def _digits(text: str) -> str:
    return "".join(str(unicodedata.decimal(character)) for character in text if character.isdecimal())


def _e164(number: str, region: str | None) -> str | None:
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def _email_key(text: str) -> str:
    local, at, domain = text.rpartition("@")
    return fold(text) if at == "" else f"{fold(local)}@{_domain_key(domain)}"


def _url_key(text: str) -> str:
    match = URL.fullmatch(text)
    assert match is not None, "every part of the pattern may be empty"
    scheme, authority, path, rest = match.groups()
    if rest == "":
        path = path.removesuffix("/")
    if scheme is None and "." not in authority:
        return f"{authority}{path}{rest}"
    user, at, host = authority.rpartition("@")
    return ("" if scheme is None else f"{scheme.lower()}://") + f"{user}{at}{_domain_key(host)}{path}{rest}"


def _domain_key(domain: str) -> str:
    # Lower case, not casefold: IDNA 2008 keeps "ß" apart from "ss".
    lowered = unicodedata.normalize("NFC", domain.lower())
    return ".".join(_unicode_label(label) if label.startswith("xn--") else label for label in lowered.split("."))


def _unicode_label(label: str) -> str:
    """The readable form of a punycode label; anything that is not exactly such a label stays as it is."""
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
        decoded.encode()
        proper = decoded.encode("punycode").decode() == label[4:] and not decoded.isascii()
    except (ValueError, OverflowError):
        return label
    return decoded if proper and unicodedata.normalize("NFC", decoded.lower()) == decoded else label


class Grade(StrEnum):
    """How safely a value of one type becomes one of another. EXACT: always, and different values stay different.
    LOSSY: always, and something is left out. CHECKED: value by value, some are refused. MAPPED: by a map that a person
    wrote. NONE: not at all."""

    EXACT = "exact"
    LOSSY = "lossy"
    CHECKED = "checked"
    MAPPED = "mapped"
    NONE = "none"


def _row(exact: str = "", lossy: str = "", checked: str = "", mapped: str = "") -> Mapping[FieldType, Grade]:
    words = {Grade.EXACT: exact, Grade.LOSSY: lossy, Grade.CHECKED: checked, Grade.MAPPED: mapped}
    return {FieldType(name): grade for grade, names in words.items() for name in names.split()}


GRADES: Mapping[FieldType, Mapping[FieldType, Grade]] = {
    FieldType.TEXT: _row(exact="text long_text", checked="email phone url", mapped="choice"),
    FieldType.LONG_TEXT: _row(exact="long_text", lossy="text"),
    FieldType.EMAIL: _row(exact="text long_text email"),
    FieldType.PHONE: _row(exact="text long_text phone"),
    FieldType.URL: _row(exact="text long_text url"),
    FieldType.INTEGER: _row(exact="text long_text integer decimal", mapped="choice"),
    FieldType.DECIMAL: _row(exact="text long_text decimal"),
    FieldType.BOOLEAN: _row(exact="text long_text boolean", mapped="choice"),
    FieldType.DATE: _row(exact="text long_text date"),
    FieldType.DATETIME: _row(exact="text long_text datetime", lossy="date"),
    FieldType.CHOICE: _row(exact="text long_text", mapped="integer boolean choice"),
    FieldType.MULTI_CHOICE: _row(exact="multi_choice", lossy="text long_text"),
    FieldType.TAGS: _row(exact="tags", lossy="text long_text"),
    FieldType.OWNER: _row(exact="text email"),
    FieldType.CONSENT: _row(exact="text consent"),
}
NOUNS: Mapping[FieldType, str] = {
    **{type: str(type) for type in FieldType},
    FieldType.LONG_TEXT: "long text",
    FieldType.EMAIL: "e-mail",
    FieldType.URL: "web address",
    FieldType.INTEGER: "whole number",
    FieldType.DECIMAL: "number",
    FieldType.BOOLEAN: "yes/no",
    FieldType.DATETIME: "time",
    FieldType.MULTI_CHOICE: "list of choices",
}
LOSSES: Mapping[FieldType, str] = {
    FieldType.LONG_TEXT: "line breaks become spaces",
    FieldType.DATETIME: "the time of day is left out",
    FieldType.MULTI_CHOICE: "the list becomes one text with commas",
    FieldType.TAGS: "the list becomes one text with commas",
}
LONGEST: Mapping[FieldType, int] = {
    FieldType.BOOLEAN: len("yes"),
    FieldType.DATE: len("2026-11-24"),
    FieldType.DATETIME: len("2026-11-24T05:30:00Z"),
    FieldType.INTEGER: MAX_DIGITS,
    FieldType.DECIMAL: MAX_DIGITS,
}


def grade(source: FieldType, target: FieldType) -> Grade:
    return GRADES[source].get(target, Grade.NONE)


def convert(
    source: Field,
    target: Field,
    value: Value,
    value_map: Mapping[str, str] | None = None,
    region: str | None = None,
) -> Value:
    """The value as the target field takes it; empty stays empty. Raises Unconvertible; never cuts, never invents.

    `value_map` goes from source to target words (see `word`). For an owner it is the names (to text) or the e-mails
    (to an e-mail) by owner id; without names text gets the id. A choice becomes its label in text, or its value where
    labels are not unique. A text becomes a phone only with + and the country code, or as a number of `region`, and a
    web address only with http:// or https://.
    """
    if grade(source.type, target.type) is Grade.NONE:
        raise Unconvertible(_no_way(source.type, target.type))
    try:
        cleaned = clean(source.type, value)
        if cleaned is None:
            return None
        converted = clean(target.type, _converted(source, target, cleaned, value_map))
        if source.type is not target.type and isinstance(converted, str):
            _check_syntax(target.type, converted, region)
        _check_fits(target, converted)
    except (InvalidValue, Unconvertible) as error:
        raise Unconvertible(f"{source.label} {error}") from None
    return converted


def _converted(source: Field, target: Field, value: Value, value_map: Mapping[str, str] | None) -> Value:
    alike = source.type is target.type
    if isinstance(value, list):
        if not alike:
            return ", ".join(_label(source, item) for item in value)
        if source.type is FieldType.MULTI_CHOICE and value_map is not None:
            return [_mapped(item, target, value_map) for item in value]
        return value
    if grade(source.type, target.type) is Grade.MAPPED:
        return _mapped(word(value), target, value_map or {})
    if alike:
        return value
    text = _as_text(source, value, value_map)
    return text[: len("2026-11-24")] if target.type is FieldType.DATE else text


def _as_text(source: Field, value: Value, value_map: Mapping[str, str] | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if source.type is FieldType.CHOICE:
        return _label(source, str(value))
    if source.type is FieldType.OWNER and value_map is not None:
        return value_map.get(str(value), str(value))
    return str(value)


def _label(source: Field, value: str) -> str:
    """The label of a choice; its value where a label would not tell it from every other choice."""
    labels = {choice: _line(label) for choice, label in source.choices}
    told_apart = len({fold(label) for label in labels.values() if label is not None}) == len(labels)
    if not told_apart or any(label in labels and label != choice for choice, label in labels.items()):
        return value
    label = labels.get(value)
    if label is None and value in labels.values():
        raise Unconvertible("is not one of its choices any more, and reads like another one")
    return value if label is None else label


def _mapped(source_word: str, target: Field, value_map: Mapping[str, str]) -> str:
    if source_word not in value_map:
        raise Unconvertible(f"has a value without a counterpart in {target.label}: add it to the value map")
    return value_map[source_word]


def _check_fits(target: Field, value: Value) -> None:
    if value is None:
        raise Unconvertible(f"would become empty in {target.label}")
    if target.type in (FieldType.CHOICE, FieldType.MULTI_CHOICE):
        known = dict(target.choices)
        if any(item not in known for item in (value if isinstance(value, list) else [value])):
            raise Unconvertible(f"is not one of the choices of {target.label}")
    if isinstance(value, str) and target.max_length is not None and len(value) > target.max_length:
        raise Unconvertible(f"is longer than the {target.max_length} characters that {target.label} takes")


def _check_syntax(target: FieldType, text: str, region: str | None) -> None:
    if target is FieldType.EMAIL:
        try:
            validate_email(text, check_deliverability=False)
        except EmailNotValidError:
            raise Unconvertible("is not an e-mail address") from None
    if target is FieldType.PHONE:
        number = _phone_key(text, region).partition(";")[0]
        if _e164(number, None) != number:
            raise Unconvertible("is not a phone number with + and the country code")
    if target is FieldType.URL and WEB_ADDRESS.fullmatch(text) is None:
        raise Unconvertible("is not a web address with http:// or https://")


def word(value: Value) -> str:
    """How a value is written in a value map: true and false for a boolean, digits for a number, a choice as it is."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def value_map_problems(source: Field, target: Field, value_map: Mapping[str, str]) -> list[str]:
    """What keeps a value map from being total and one-to-one, in words; empty if nothing does.

    A text or a whole number has no list of values, so a map from it can only be one-to-one: what it leaves out is held.
    """
    return _map_gaps(source, target, value_map) + _map_doubles(source, target, value_map)


def inverted(value_map: Mapping[str, str]) -> dict[str, str]:
    """The map of the other direction; of two values that become the same, the first is kept (see `compatibility`)."""
    back: dict[str, str] = {}
    for source_word, target_word in value_map.items():
        back.setdefault(target_word, source_word)
    return back


def _map_gaps(source: Field, target: Field, value_map: Mapping[str, str]) -> list[str]:
    if not _takes_map(source, target):
        return [f"{_pair(source.type, target.type)}: these fields take no value map"]
    spoken = _words(source)
    missing = [f"{label} of {source.label} has no counterpart" for w, label in spoken.items() if w not in value_map]
    unknown = [f"{w} is not a value of {source.label}" for w in value_map if not _takes(source, w)]
    wrong = [f"{w} is not a value of {target.label}" for w in inverted(value_map) if not _takes(target, w)]
    return missing + unknown + wrong


def _map_doubles(source: Field, target: Field, value_map: Mapping[str, str]) -> list[str]:
    spoken, aims = _words(source), _words(target)
    sources: dict[str, list[str]] = {}
    for source_word, target_word in value_map.items():
        sources.setdefault(target_word, []).append(spoken.get(source_word, source_word))
    return [
        f"{' and '.join(names)} of {source.label} become the same: {aims.get(target_word, target_word)}"
        for target_word, names in sources.items()
        if len(names) > 1
    ]


def _takes_map(source: Field, target: Field) -> bool:
    both_lists = source.type is target.type is FieldType.MULTI_CHOICE
    return both_lists or grade(source.type, target.type) is Grade.MAPPED


def _countable(field: Field) -> bool:
    return field.type in (FieldType.CHOICE, FieldType.MULTI_CHOICE, FieldType.BOOLEAN)


def _words(field: Field) -> dict[str, str]:
    """Every value of a field whose values can be counted, with its label."""
    if field.type is FieldType.BOOLEAN:
        return {"true": "yes", "false": "no"}
    return dict(field.choices) if _countable(field) else {}


def _takes(field: Field, text: str) -> bool:
    if _countable(field):
        return text in _words(field)
    try:
        return text != "" and word(clean(field.type, text)) == text
    except InvalidValue:
        return False


def _pair(source: FieldType, target: FieldType) -> str:
    return f"{NOUNS[source]} to {NOUNS[target]}"


def _not_every(source: FieldType, target: FieldType) -> str:
    article = "an" if NOUNS[target][0] in "aeiou" else "a"
    return f"{_pair(source, target)}: not every {NOUNS[source]} is {article} {NOUNS[target]}"


def _no_way(source: FieldType, target: FieldType) -> str:
    if target is FieldType.OWNER:
        return f"{_pair(source, target)}: owners are set by a rule, not by a mapping"
    if target is FieldType.CONSENT:
        return f"{_pair(source, target)}: consent is taken from consent alone"
    if source in LISTS or target in LISTS:
        return f"{_pair(source, target)}: a list goes only to a list of the same kind, or to text"
    if target is FieldType.CHOICE:
        return f"{_pair(source, target)}: a field with choices takes only its own choices"
    return _not_every(source, target)


@dataclass(frozen=True)
class Compatibility:
    """`directions` that two fields offer ("both" comes with both one-way ones); `reasons`, for each direction that is
    not offered, why; `lossy`, the offered directions that need a person's acceptance (never "both")."""

    directions: frozenset[str]
    reasons: Mapping[str, str]
    lossy: frozenset[str]


@dataclass(frozen=True)
class _Way:
    offered: bool
    caution: str = ""  # why it is not offered, or what must be accepted


def compatibility(left: Field, right: Field, value_map: Mapping[str, str] | None = None) -> Compatibility:
    """The directions in which two fields can be mapped. `value_map` goes from left to right.

    One way needs a target that can be written and an exact conversion or a total map; a conversion that loses or
    refuses values needs acceptance. Both ways needs both ways exact. Fields of one type stay offered both ways even
    where one is shorter: over-long values are held, never cut. Between unlike types a shorter target needs acceptance.
    """
    right_way = _way(left, right, value_map, "right")
    back = None if value_map is None else inverted(value_map)
    left_way = _way(right, left, back, "left")
    if left_way.offered and value_map is not None and _takes_map(right, left):
        doubles = _map_doubles(left, right, value_map)
        left_way = left_way if doubles == [] else _Way(False, doubles[0])
    ways = {TO_RIGHT: right_way, TO_LEFT: left_way}
    reasons = {name: way.caution for name, way in ways.items() if not way.offered}
    directions = {name for name, way in ways.items() if way.offered}
    cautions = list(dict.fromkeys(way.caution for way in ways.values() if way.caution != ""))
    if cautions == []:
        directions.add(BOTH)
    else:
        reasons[BOTH] = "; ".join(cautions)
    lossy = frozenset(name for name, way in ways.items() if way.offered and way.caution != "")
    return Compatibility(frozenset(directions), reasons, lossy)


def _way(source: Field, target: Field, value_map: Mapping[str, str] | None, side: str) -> _Way:
    if not target.writable:
        return _Way(False, f"the {side} field is read-only")
    found, pair = grade(source.type, target.type), _pair(source.type, target.type)
    if found is Grade.NONE:
        return _Way(False, _no_way(source.type, target.type))
    if found is Grade.MAPPED or (_takes_map(source, target) and value_map is not None):
        return _mapped_way(source, target, value_map)
    if found is Grade.LOSSY:
        return _Way(True, f"{pair}: {LOSSES[source.type]}")
    if source.type is FieldType.OWNER and target.type is FieldType.EMAIL and value_map is None:
        return _Way(True, f"{pair}: not of every owner is the e-mail address known")
    if found is Grade.CHECKED:
        return _Way(True, _not_every(source.type, target.type))
    if target.type is FieldType.MULTI_CHOICE and not set(_words(source)) <= set(_words(target)):
        return _Way(True, f"{pair}: the {side} field lacks some of the choices")
    if source.type is not target.type and _may_be_longer(source, target):
        return _Way(True, f"{pair}: the {side} field takes only {target.max_length} characters")
    return _Way(True)


def _mapped_way(source: Field, target: Field, value_map: Mapping[str, str] | None) -> _Way:
    pair = _pair(source.type, target.type)
    if value_map is None or len(value_map) == 0:
        return _Way(False, f"{pair}: a value map must say which value becomes which")
    gaps = _map_gaps(source, target, value_map)
    if gaps != []:
        return _Way(False, f"{pair}: {gaps[0]}")
    return _Way(True, "" if _countable(source) else f"{pair}: values outside the value map are held")


def _may_be_longer(source: Field, target: Field) -> bool:
    if target.max_length is None:
        return False
    # Only a field of choices is bound to them.
    choices = source.choices if source.type in (FieldType.CHOICE, FieldType.MULTI_CHOICE) else ()
    counted = max((len(text) for choice in choices for text in choice), default=source.max_length)
    longest = LONGEST.get(source.type, counted)
    return longest is None or longest > target.max_length


@dataclass(frozen=True)
class DefaultLine:
    """One line of the default mapping: the names of the two fields."""

    left_field: str
    right_field: str
    direction: str


def default_lines(left: Sequence[Field], right: Sequence[Field]) -> list[DefaultLine]:
    """The pairs of equal roles, in the left app's order, each in the widest direction that nobody needs to accept.

    Left out: owner, consent and uid, which are never mapped by default, pairs that need a map or an acceptance, and
    the full name where both its parts are paired (else the parts, where the full name is).
    """
    rights = _by_role(right)
    lines: dict[str, DefaultLine] = {}
    for role, field in _by_role(left).items():
        direction = _widest(field, rights[role]) if role in rights else None
        if direction is not None:
            lines[role] = DefaultLine(field.name, rights[role].name, direction)
    parts = {Role.GIVEN, Role.FAMILY}
    if Role.FULL in lines:
        parts = {Role.FULL} if parts <= lines.keys() else parts
        return [line for role, line in lines.items() if role not in parts]
    return list(lines.values())


def _by_role(fields: Iterable[Field]) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for field in fields:
        if field.role not in ("", Role.OWNER, "consent", "uid"):
            found.setdefault(field.role, field)
    return found


def _widest(left: Field, right: Field) -> str | None:
    ways = compatibility(left, right)
    exact = ways.directions - ways.lossy
    return next((direction for direction in (BOTH, TO_RIGHT, TO_LEFT) if direction in exact), None)
