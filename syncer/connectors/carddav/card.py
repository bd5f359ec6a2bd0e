"""A vCard as the lines it is made of, so that an edit touches the lines of the changed properties and no others.

Read: vCard 2.1, 3.0 (RFC 2426) and 4.0 (RFC 6350), folded or not, with bare LF, quoted-printable (2.1), item groups
and parameters without a name (2.1). The scanner is linear and our own: vobject 0.9.9 needs time exponential in the
commas of a parameter (22 commas: 1.8 s) and drops what follows an unescaped comma in a text, so it may not read a
stranger's card.
Unchanged lines keep their bytes, folds included; only what we write is folded, at 75 octets (RFC 6350 3.2).
"""

import quopri
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

MAX_LINES = 20_000
FOLD = 75
NAME = re.compile(r"[A-Za-z0-9_-]+")
ESCAPE = re.compile(r"\\([nN,;:\\])")
# RFC 6350 3.3 allows no control character but TAB; XML 1.0 2.2 cannot even carry the rest, so one such card would make
# the whole listing unreadable.
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class Unreadable(ValueError):
    """This is no vCard that we understand; the text says why, for people, and quotes nothing of the card."""


@dataclass(frozen=True)
class Line:
    """One content line, unfolded. `params` are the raw pieces between semicolons; `value` is raw (still escaped).

    `source` is the line as it came, folded; None for one that we wrote.
    """

    name: str
    value: str
    params: tuple[str, ...] = ()
    group: str = ""
    source: bytes | None = None

    @property
    def key(self) -> str:
        return self.name.upper()

    def param(self, name: str) -> list[str]:
        """The values of a parameter, unquoted; for TYPE those without a name too (2.1)."""
        found: list[str] = []
        for piece in self.params:
            head, equals, tail = piece.partition("=")
            if equals and head.strip().upper() == name:
                found += [part.strip().strip('"') for part in tail.strip('"').split(",")]
            elif not equals and name == "TYPE":
                found.append(head.strip())
        return [value for value in found if value != ""]

    @cached_property
    def types(self) -> frozenset[str]:
        return frozenset(value.lower() for value in self.param("TYPE"))

    @property
    def quoted_printable(self) -> bool:
        encodings = {value.upper() for value in self.param("ENCODING")} | {value.upper() for value in self.types}
        return "QUOTED-PRINTABLE" in encodings

    @property
    def text(self) -> str:
        """The raw value, quoted-printable undone, escapes kept."""
        if not self.quoted_printable:
            return self.value
        octets = quopri.decodestring(self.value.encode())
        try:
            return octets.decode("".join(self.param("CHARSET")[:1]) or "utf-8")
        except (LookupError, UnicodeError):
            return octets.decode("latin-1")

    def without(self, *names: str) -> "Line":
        """Without these parameters (`ENCODING` takes a bare QUOTED-PRINTABLE with it)."""
        bare = {"QUOTED-PRINTABLE", "BASE64"} if "ENCODING" in names else set()
        kept = [p for p in self.params if p.partition("=")[0].strip().upper() not in {*names, *bare}]
        return replace(self, params=tuple(kept), source=None)

    def with_text(self, text: str, version: str) -> "Line":
        """The same property holding this escaped text; what described the old value's encoding goes."""
        plain = replace(self.without("ENCODING", "CHARSET"), value=text)
        if version != "2.1" or text.isascii():
            return plain
        octets = "".join(chr(b) if 33 <= b <= 126 and b != 61 else f"={b:02X}" for b in text.encode())
        params = (*plain.params, "CHARSET=UTF-8", "ENCODING=QUOTED-PRINTABLE")
        return replace(plain, params=params, value=octets)

    def __str__(self) -> str:
        group = f"{self.group}." if self.group != "" else ""
        return f"{group}{';'.join((self.name, *self.params))}:{self.value}"

    def octets(self) -> bytes:
        return fold(str(self)) if self.source is None else self.source


@dataclass(frozen=True)
class Card:
    """The lines of one card, BEGIN and END included; lines of a card nested in it (2.1 AGENT) are in `opaque`."""

    lines: tuple[Line, ...]
    opaque: frozenset[int] = frozenset()

    @property
    def version(self) -> str:
        found = self.first("VERSION")
        return "3.0" if found is None else found.value.strip()

    @cached_property
    def _index(self) -> Mapping[str, Sequence[tuple[int, Line]]]:
        found: dict[str, list[tuple[int, Line]]] = {}
        for index, line in enumerate(self.lines):
            if index not in self.opaque:
                found.setdefault(line.key, []).append((index, line))
        for pairs in found.values():
            if len(pairs) > 1:
                pairs.sort(key=lambda pair: preference(pair[1]))
        return found

    def all(self, name: str, wanted: Callable[[Line], bool] = lambda line: True) -> list[tuple[int, Line]]:
        """The (index, line) of a property, the preferred ones first (RFC 6350 5.3), else in the card's order."""
        return [pair for pair in self._index.get(name, ()) if wanted(pair[1])]

    def first(self, name: str) -> Line | None:
        found = self.all(name)
        return found[0][1] if len(found) > 0 else None

    def put(self, index: int, line: Line) -> "Card":
        return replace(self, lines=(*self.lines[:index], line, *self.lines[index + 1 :]))

    def add(self, line: Line) -> "Card":
        """After the last property of its name, else at the end."""
        same = [index for index, other in enumerate(self.lines) if other.key == line.key and index not in self.opaque]
        at = same[-1] + 1 if len(same) > 0 else len(self.lines) - 1
        moved = frozenset(index + 1 if index >= at else index for index in self.opaque)
        return Card((*self.lines[:at], line, *self.lines[at:]), moved)

    def drop(self, index: int) -> "Card":
        moved = frozenset(other - 1 if other > index else other for other in self.opaque)
        return Card((*self.lines[:index], *self.lines[index + 1 :]), moved)

    def octets(self) -> bytes:
        return b"".join(line.octets() + b"\r\n" for line in self.lines)


def preference(line: Line) -> int:
    """1 to 100, smaller is preferred; TYPE=pref (3.0, 2.1) counts as 1, none as 101."""
    if "pref" in line.types:
        return 1
    numbers = [int(value) for value in line.param("PREF") if value.isascii() and value.isdigit() and len(value) <= 3]
    return min(numbers, default=101)


def parse(octets: bytes) -> Card:
    """The one card in these octets. Raises Unreadable."""
    lines = [_line(text, source) for text, source in unfold(octets)]
    opaque, depth = set(), 0
    for index, line in enumerate(lines):
        opens, closes = (line.key == name and line.value.strip().upper() == "VCARD" for name in ("BEGIN", "END"))
        depth += 1 if opens else 0
        if depth == 0 or (index == 0) != (opens and depth == 1):
            raise Unreadable("The card does not begin with BEGIN:VCARD, or there is more than one in it.")
        if depth > 1:
            opaque.add(index)
        depth -= 1 if closes else 0
    if len(lines) == 0 or depth != 0:
        raise Unreadable("The card has no END:VCARD: it is empty or cut short.")
    return Card(tuple(lines), frozenset(opaque))


def unfold(octets: bytes) -> list[tuple[str, bytes]]:
    """(unfolded line, its octets as they came, without the last line end); blank lines are left out."""
    logical: list[list[bytes]] = []
    soft = False
    for physical in octets.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").split(b"\n"):
        if len(logical) > 0 and (soft or physical[:1] in (b" ", b"\t")):
            logical[-1].append(physical)
        elif physical.strip() != b"":
            logical.append([physical])
        else:
            continue
        soft = _soft(logical[-1])
        if len(logical) > MAX_LINES:
            raise Unreadable(f"The card has more than {MAX_LINES} lines.")
    return [(_joined(parts), b"\r\n".join(parts)) for parts in logical]


def _soft(parts: list[bytes]) -> bool:
    """Does a quoted-printable value (2.1) go on in the next line?"""
    return parts[-1].endswith(b"=") and _quoted_printable(parts[0])


def _quoted_printable(physical: bytes) -> bool:
    return b"QUOTED-PRINTABLE" in physical[:1000].partition(b":")[0].upper()


def _joined(parts: list[bytes]) -> str:
    if _quoted_printable(parts[0]):
        whole = b"".join(part.removesuffix(b"=") if i < len(parts) - 1 else part for i, part in enumerate(parts))
    else:
        # Folds may stand inside a character (RFC 6350 3.2), so they are undone before the text is decoded.
        whole = b"".join((parts[0], *(part[1:] for part in parts[1:])))
    try:
        return whole.decode()
    except UnicodeDecodeError:
        raise Unreadable("The card is not UTF-8 text.") from None


def _line(text: str, source: bytes) -> Line:
    pieces, start, quoted = [], 0, False
    for index, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif char in ";:" and not quoted:
            pieces.append(text[start:index])
            start = index + 1
            if char == ":":
                break
    else:
        raise Unreadable("A line of the card has no colon.")
    group, dot, name = pieces[0].rpartition(".")
    if NAME.fullmatch(name) is None or (dot and NAME.fullmatch(group) is None):
        raise Unreadable("A line of the card does not begin with the name of a property.")
    return Line(name, text[start:], tuple(pieces[1:]), group, source)


def fold(text: str) -> bytes:
    """At most 75 octets a line, never inside a character."""
    parts: list[bytes] = [b""]
    for char in text:
        octets = char.encode()
        if len(parts[-1]) + len(octets) > FOLD:
            parts.append(b" ")
        parts[-1] += octets
    return b"\r\n".join(parts)


def unescape(raw: str) -> str:
    return ESCAPE.sub(lambda match: "\n" if match[1] in "nN" else match[1], raw)


def escape(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return escaped.replace("\r\n", "\\n").replace("\r", "\\n").replace("\n", "\\n")


def split(raw: str, separator: str) -> list[str]:
    """Raw parts at the separators that no backslash escapes."""
    parts, start, index = [], 0, 0
    while index < len(raw):
        if raw[index] == separator:
            parts.append(raw[start:index])
            start = index + 1
        index += 2 if raw[index] == "\\" else 1
    return [*parts, raw[start:]]


def new(uid: str) -> Card:
    """A card without a name; 3.0, which every CardDAV server must take (RFC 6352 5.1) and which asks for an N."""
    texts: Sequence[tuple[str, str]] = (
        ("BEGIN", "VCARD"),
        ("VERSION", "3.0"),
        ("PRODID", "-//Counterpart//Contact sync//EN"),
        ("UID", escape(uid)),
        ("N", ";;;;"),
        ("END", "VCARD"),
    )
    return Card(tuple(Line(name, value) for name, value in texts))
