"""What a vCard says in our fields, and how a change of them is spliced back into the card.

`read(card, names)` gives plain values as base.py describes them; a property that the card lacks is None, one that
cannot be expressed in the field's type (BDAY:circa 1800) is left out (ABSENT). `apply(card, changes)` changes the
lines of the changed fields alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from syncer.connectors.base import Field, FieldType, Role, Value, Values
from syncer.connectors.carddav.card import FORBIDDEN, Card, Line, escape, split, unescape

N_PARTS, ORG_PARTS, ADR_PARTS = 5, 1, 7
FAMILY, GIVEN, ADDITIONAL, PREFIX, SUFFIX = range(N_PARTS)
# RFC 6350 6.3.1: post office box, extended, street, locality, region, code, country.
ADDRESS = {"street": 2, "street2": 1, "city": 3, "region": 4, "postcode": 5, "country": 6}
ADDRESS_LABELS = {
    "street": "street",
    "street2": "address line 2",
    "city": "city",
    "region": "region",
    "postcode": "postcode",
    "country": "country",
}
NOT_A_LINE = frozenset({"fax", "pager", "modem", "bbs", "pcs", "textphone", "x-fax"})
DATE = re.compile(r"(?:(\d{4})-?|--)(\d\d)-?(\d\d)(?:[T ].*)?")


class Unfit(ValueError):
    """A value that no card can hold; `field` names it, the text is for people."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


Wanted = Callable[[Line], bool]
Reader = Callable[[Card], list[Value]]
"""An empty list: the card says something that the field cannot express."""
Writer = Callable[[Card, Value], Card]


@dataclass(frozen=True)
class Bound:
    """A field and where in a card it lives."""

    field: Field
    read: Reader
    write: Writer


def everything(line: Line) -> bool:
    return True


def mobile(line: Line) -> bool:
    return bool(line.types & {"cell", "iphone"}) and not line.types & NOT_A_LINE


def landline(kind: str) -> Wanted:
    return lambda line: kind in line.types and not mobile(line) and not line.types & NOT_A_LINE


def other_phone(line: Line) -> bool:
    return not line.types & (NOT_A_LINE | {"cell", "iphone", "work", "home"})


def address(kind: str) -> Wanted:
    """An address of both kinds counts as the home one, so that two fields never share a line."""
    return lambda line: kind in line.types and (kind == "home" or "home" not in line.types)


def param_for(kind: str, version: str) -> tuple[str, ...]:
    if kind == "" or (kind == "internet" and version == "4.0"):
        return ()
    return (kind.upper(),) if version == "2.1" else (f"TYPE={kind if version == '4.0' else kind.upper()}",)


def as_text(value: Value) -> str:
    return value if isinstance(value, str) else ""


def text_bound(field: Field, prop: str, wanted: Wanted = everything, kind: str = "") -> Bound:
    """A property with one text: the preferred one of those wanted, else the first."""

    def read(card: Card) -> list[Value]:
        found = card.all(prop, wanted)
        text = unescape(found[0][1].text) if len(found) > 0 else ""
        if prop == "TEL" and text[:4].lower() == "tel:":
            text = text[4:]
        return [text if text != "" else None]

    def write(card: Card, value: Value) -> Card:
        found, text = card.all(prop, wanted), as_text(value)
        if text == "":
            return card.drop(found[0][0]) if len(found) > 0 else card
        if len(found) == 0:
            return card.add(Line(prop, "", param_for(kind, card.version)).with_text(escape(text), card.version))
        index, line = found[0]
        plain = line.without("VALUE") if prop == "TEL" else line
        return card.put(index, plain.with_text(escape(text), card.version))

    return Bound(field, read, write)


def part_bound(
    field: Field, prop: str, index: int, parts: int, wanted: Wanted = everything, kind: str = "", keep: bool = False
) -> Bound:
    """One component of a structured property. A line left with no component goes, unless `keep` (N, RFC 2426 3.1.2)."""

    def read(card: Card) -> list[Value]:
        found = card.all(prop, wanted)
        raw = split(found[0][1].text, ";") if len(found) > 0 else []
        text = unescape(raw[index]) if index < len(raw) else ""
        return [text if text != "" else None]

    def write(card: Card, value: Value) -> Card:
        found, text = card.all(prop, wanted), as_text(value)
        if len(found) == 0 and text == "":
            return card
        raw = split(found[0][1].text, ";") if len(found) > 0 else []
        raw += [""] * (parts - len(raw))
        raw[index] = escape(text)
        joined = ";".join(raw)
        if len(found) == 0:
            return card.add(Line(prop, "", param_for(kind, card.version)).with_text(joined, card.version))
        at, line = found[0]
        if not keep and all(part.strip() == "" for part in raw):
            return card.drop(at)
        return card.put(at, line.with_text(joined, card.version))

    return Bound(field, read, write)


def read_tags(card: Card) -> list[Value]:
    tags: list[str] = []
    for _, line in sorted(card.all("CATEGORIES")):
        tags += [unescape(part).strip() for part in split(line.text, ",")]
    found = [tag for tag in dict.fromkeys(tags) if tag != ""]
    return [found if len(found) > 0 else None]


def write_tags(card: Card, value: Value) -> Card:
    """One line holds all; the others go."""
    tags = value if isinstance(value, list) else []
    indices = sorted(index for index, _ in card.all("CATEGORIES"))
    text = ",".join(escape(tag) for tag in tags)
    first = card.lines[indices[0]] if len(indices) > 0 else Line("CATEGORIES", "")
    for index in reversed(indices[1:] if len(tags) > 0 else indices):
        card = card.drop(index)
    if len(tags) == 0:
        return card
    line = first.with_text(text, card.version)
    return card.put(indices[0], line) if len(indices) > 0 else card.add(line)


def read_birthday(card: Card) -> list[Value]:
    line = card.first("BDAY")
    if line is None or line.text.strip() == "":
        return [None]
    found = DATE.fullmatch(unescape(line.text).strip())
    if found is None or "text" in {value.lower() for value in line.param("VALUE")}:
        return []
    year, month, day = found[1], found[2], found[3]
    # Apple writes a birthday without a year as one in 1604, and says so.
    no_year = year is None or year in line.param("X-APPLE-OMIT-YEAR")
    try:
        date(2000 if no_year else int(year), int(month), int(day))
    except ValueError:
        return []
    return [f"--{month}-{day}" if no_year else f"{year}-{month}-{day}"]


def write_birthday(card: Card, value: Value) -> Card:
    found, text = card.all("BDAY"), as_text(value)
    if text == "":
        return card.drop(found[0][0]) if len(found) > 0 else card
    if DATE.fullmatch(text) is None or "T" in text:
        raise Unfit("birthday", "A birthday must be a date like 1996-04-15, or --04-15 without a year.")
    # RFC 6350 6.2.5 takes the basic format only; 3.0 readers expect the extended one.
    if card.version == "4.0":
        text = f"--{text[2:].replace('-', '')}" if text.startswith("--") else text.replace("-", "")
    index, line = found[0] if len(found) > 0 else (None, Line("BDAY", ""))
    line = line.without("VALUE", "X-APPLE-OMIT-YEAR", "CALSCALE").with_text(text, card.version)
    return card.add(line) if index is None else card.put(index, line)


def read_uid(card: Card) -> list[Value]:
    uid = uid_of(card)
    return [uid if uid != "" else None]


def uid_of(card: Card) -> str:
    line = card.first("UID")
    return "" if line is None else unescape(line.text).strip()


def keep_uid(card: Card, value: Value) -> Card:
    """A card's UID is its identity: `new` sets it, an update never does (RFC 6350 6.7.6)."""
    raise Unfit("uid", "The UID of a card cannot be changed.")


def _address_bounds(kind: str) -> list[Bound]:
    return [
        part_bound(
            Field(
                f"address.{kind}.{part}",
                f"{kind.title()} {ADDRESS_LABELS[part]}",
                FieldType.TEXT,
                f"address.{kind}.{part}",
            ),
            "ADR",
            index,
            ADR_PARTS,
            address(kind),
            kind,
        )
        for part, index in ADDRESS.items()
    ]


def _name(name: str, label: str, role: str, index: int) -> Bound:
    return part_bound(Field(name, label, FieldType.TEXT, role), "N", index, N_PARTS, keep=True)


def _phone(name: str, label: str, role: str, wanted: Wanted, kind: str) -> Bound:
    return text_bound(Field(name, label, FieldType.PHONE, role), "TEL", wanted, kind)


BOUND: Mapping[str, Bound] = {
    bound.field.name: bound
    for bound in (
        _name("given", "Given name", Role.GIVEN, GIVEN),
        _name("family", "Family name", Role.FAMILY, FAMILY),
        text_bound(Field("nickname", "Nickname", FieldType.TEXT, "name.nickname"), "NICKNAME"),
        text_bound(Field("email", "E-mail", FieldType.EMAIL, Role.EMAIL), "EMAIL", kind="internet"),
        _phone("phone.mobile", "Mobile phone", Role.PHONE_MOBILE, mobile, "cell"),
        _phone("phone.work", "Work phone", Role.PHONE_WORK, landline("work"), "work"),
        _phone(
            "phone.home",
            "Home phone",
            Role.PHONE_HOME,
            lambda line: landline("home")(line) and "work" not in line.types,
            "home",
        ),
        _phone("phone.other", "Other phone", Role.PHONE_OTHER, other_phone, "voice"),
        part_bound(Field("organization", "Organization", FieldType.TEXT, Role.ORGANIZATION), "ORG", 0, ORG_PARTS),
        text_bound(Field("title", "Job title", FieldType.TEXT, Role.TITLE), "TITLE"),
        text_bound(Field("url", "Web site", FieldType.URL, Role.URL), "URL"),
        text_bound(Field("note", "Note", FieldType.LONG_TEXT, Role.NOTE), "NOTE"),
        Bound(Field("birthday", "Birthday", FieldType.DATE, Role.BIRTHDAY), read_birthday, write_birthday),
        *_address_bounds("home"),
        *_address_bounds("work"),
        Bound(Field("tags", "Categories", FieldType.TAGS, Role.TAGS), read_tags, write_tags),
        Bound(Field("uid", "UID", FieldType.TEXT, "uid", writable=False), read_uid, keep_uid),
    )
}
STANDARD: tuple[Field, ...] = tuple(bound.field for bound in BOUND.values())


def read(card: Card, names: Sequence[str] = ()) -> Values:
    """The values of these fields (none named: all); one that the card holds in a form we cannot express is absent."""
    wanted = BOUND if len(names) == 0 else [name for name in names if name in BOUND]
    found = {name: BOUND[name].read(card) for name in wanted}
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def apply(card: Card, changes: Values) -> Card:
    """The card with these fields changed, FN kept right. Raises Unfit."""
    changed = card
    for name, value in changes.items():
        bound = BOUND.get(name)
        if bound is None:
            raise Unfit(name, f"An address book has no field {name}.")
        _check(name, value)
        if bound.read(changed) != [None if value in ("", []) else value]:
            changed = bound.write(changed, value)
    return with_names(card, changed)


def _check(name: str, value: Value) -> None:
    for text in value if isinstance(value, list) else [value]:
        if text is not None and not isinstance(text, str):
            raise Unfit(name, "An address book holds texts only here.")
        if text is not None and FORBIDDEN.search(text) is not None:
            raise Unfit(name, "The value holds a control character, which a vCard cannot hold: remove it.")


def with_names(before: Card, after: Card) -> Card:
    """FN is always there (RFC 6350 6.2.1); it is rewritten only if it was made of the old name."""
    found = after.all("FN")
    if len(found) == 0:
        return after.add(Line("FN", "").with_text(escape(display_names(after)[0]), after.version))
    index, line = found[0]
    old, shown = display_names(before), unescape(line.text).strip()
    if old == display_names(after) or (shown != "" and shown not in old):
        return after
    text = display_names(after)[old.index(shown) if shown in old else 0]
    return after.put(index, line.with_text(escape(text), after.version))


def display_names(card: Card) -> list[str]:
    """The shapes FN usually has: all parts of the name, given and family alone, family first. Without a name, what else
    the card says of itself."""
    line = card.first("N")
    raw = [unescape(part).strip() for part in split(line.text, ";")] if line is not None else []
    name = [*raw, *[""] * N_PARTS]
    shapes = [
        (name[PREFIX], name[GIVEN], name[ADDITIONAL], name[FAMILY], name[SUFFIX]),
        (name[GIVEN], name[FAMILY]),
        (name[FAMILY], name[GIVEN]),
    ]
    joined = [" ".join(part for part in shape if part != "") for shape in shapes]
    joined.append(", ".join(part for part in (name[FAMILY], name[GIVEN]) if part != ""))
    return [text if text != "" else _without_name(card) for text in joined]


def _without_name(card: Card) -> str:
    for name in ("organization", "nickname", "email", "phone.mobile", "phone.work", "phone.home", "phone.other"):
        value = BOUND[name].read(card)[0]
        if value is not None:
            return str(value).strip()
    return ""
