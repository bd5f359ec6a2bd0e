"""People as vCards 3.0 (RFC 2426), written as address books on phones write them: folded, with parts nobody maps."""

from sandbox.people import Person

FOLD = 75
# No END, so that no program can read it; every old address book has one of these.
TORN = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:torn\r\nFN:Half a card\r\nN:card;Half\r\n"


def uid(person: Person) -> str:
    return f"demo-{person.number:06}"


def card(person: Person) -> str:
    n = ";".join(_escaped(part) for part in (person.family, person.given, "", "", ""))
    shown = " ".join(part for part in (person.given, person.family) if part != "") or person.company or person.email
    lines = ["BEGIN:VCARD", "VERSION:3.0", f"UID:{uid(person)}", f"N:{n}", f"FN:{_escaped(shown)}"]
    lines += [f"{name}:{_escaped(text)}" for name, text in _texts(person) if text != ""]
    if person.street != "" or person.city != "":
        parts = ("", "", person.street, person.city, "", person.postcode, person.country)
        lines.append("ADR;TYPE=WORK:" + ";".join(_escaped(part) for part in parts))
    if person.tags:
        lines.append("CATEGORIES:" + ",".join(_escaped(tag) for tag in person.tags))
    if person.photo != "":
        lines.append(f"PHOTO;ENCODING=b;TYPE=PNG:{person.photo}")
    if person.number % 9 == 0:
        lines += ["X-SOCIALPROFILE;TYPE=mastodon:https://social.example/@someone", "X-ABSHOWAS:PERSON"]
    return "".join(_folded(line) for line in [*lines, "END:VCARD"])


def _texts(person: Person) -> tuple[tuple[str, str], ...]:
    return (
        ("EMAIL;TYPE=INTERNET,WORK", person.email),
        ("TEL;TYPE=CELL", person.mobile),
        ("TEL;TYPE=WORK", person.work_phone),
        ("TEL;TYPE=HOME", person.home_phone),
        ("ORG", person.company),
        ("TITLE", person.title),
        ("URL", person.url),
        ("BDAY", person.birthday),
        ("NOTE", person.note),
    )


def _escaped(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return quoted.replace("\n", "\\n")


def _folded(line: str) -> str:
    """At most 75 octets a line, never inside a character (RFC 2426 2.6)."""
    parts, size = [""], 0
    for char in line:
        octets = len(char.encode())
        if size + octets > FOLD:
            parts.append(" ")
            size = 1
        parts[-1] += char
        size += octets
    return "\r\n".join(parts) + "\r\n"
