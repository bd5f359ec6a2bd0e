"""The tables of docs/connectors.md, made from the registry. `python -m tests.connectors_page --write` fills them in."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from itertools import combinations
from pathlib import Path

import django

from connections.fieldtypes import default_lines
from syncer.connectors.base import App, Field, Role
from syncer.connectors.registry import CONNECTORS, apps

PAGE = Path(__file__).resolve().parent.parent / "docs" / "connectors.md"
BEGIN, END = "<!-- {} -->", "<!-- end -->"
YES, NO = "yes", "–"
CREATES = {"client_id": "by an id of ours", "marker": "by a mark of ours", "search": "by its e-mail address"}
ORDER = [value for name, value in vars(Role).items() if name.isupper()]


def standard(slug: str) -> Sequence[Field]:
    """The fields that every account of an app has."""
    module = import_module(CONNECTORS[slug].rpartition(".")[0].rpartition(".")[0] + ".fields")
    found: Sequence[Field] = module.STANDARD
    return found


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([row(head), row(["---"] * len(head)), *map(row, rows)])


def abilities() -> str:
    """What each app can do, by its capabilities."""
    head = ["", *(app.label for app in apps())]
    return table(head, [[words, *(say(app) for app in apps())] for words, say in QUESTIONS])


def yes(value: object) -> str:
    return YES if value else NO


def connected_by(app: App) -> str:
    keys = [one.label for one in app.credentials if one.secret and one.name not in ("client_secret", "refresh_token")]
    ways = [", ".join(keys)] if keys else []
    return " or ".join([*ways, *(["its own page (OAuth 2)"] if app.oauth is not None else [])])


QUESTIONS: tuple[tuple[str, Callable[[App], str]], ...] = (
    ("Connected by", connected_by),
    ("Can be written", lambda app: yes(not app.capabilities.read_only)),
    ("Tells what changed", lambda app: yes(app.capabilities.delta)),
    ("Tells what was deleted", lambda app: yes(app.capabilities.tombstones) if app.capabilities.delta else NO),
    ("Tells who unsubscribed", lambda app: yes(app.capabilities.unsubscribes)),
    ("Refuses a write over somebody's edit", lambda app: yes(app.capabilities.conditional_update)),
    ("Tags (or labels)", lambda app: yes(app.capabilities.tags)),
    ("Owners", lambda app: yes(app.capabilities.owners)),
    (
        "A new contact of ours is known again",
        lambda app: NO if app.capabilities.read_only else CREATES[app.capabilities.create],
    ),
    ("Contacts in one write", lambda app: NO if app.capabilities.read_only else str(app.capabilities.write_batch)),
    ("Calls an hour", lambda app: str(app.capabilities.calls_per_hour or "no limit of ours")),
)


def partners() -> str:
    """With what Salesmate can be paired."""
    labels = [app.label for app in apps()]
    return "\n".join(f"- {label}" for label in labels)


def roles() -> list[str]:
    """Those that at least two apps map by default."""
    fields = {slug: {field.role for field in standard(slug) if field.role} for slug in CONNECTORS}
    found = {role for one, other in combinations(CONNECTORS, 2) for role in fields[one] & fields[other]}
    found -= {Role.OWNER, "consent", "uid"}
    return sorted(found, key=lambda role: (ORDER.index(role) if role in ORDER else len(ORDER), role))


def mapping() -> str:
    """What is mapped to what from the start, for all pairs."""
    fields = {app.slug: {field.role: field for field in standard(app.slug)} for app in apps()}
    rows = [[role, *(named(fields[app.slug].get(role)) for app in apps())] for role in roles()]
    return table(["Role", *(app.label for app in apps())], rows)


def named(field: Field | None) -> str:
    if field is None:
        return NO
    return field.label if field.writable else f"{field.label} (read only)"


def pairs() -> str:
    """How many lines each pair begins with, and which of them go one way."""
    labels = {app.slug: app.label for app in apps()}
    rows = []
    for left, right in combinations(labels, 2):
        lines = default_lines(standard(left), standard(right))
        one_way = [f"{line.left_field} → {line.right_field}" for line in lines if line.direction == "to_right"]
        one_way += [f"{line.right_field} → {line.left_field}" for line in lines if line.direction == "to_left"]
        rows.append([labels[left], labels[right], str(len(lines)), ", ".join(one_way) or NO])
    return table(["Left", "Right", "Lines", "One way only"], rows)


PARTS: Mapping[str, Callable[[], str]] = {
    "abilities": abilities,
    "partners": partners,
    "mapping": mapping,
    "pairs": pairs,
}


def filled(text: str) -> str:
    for name, make in PARTS.items():
        begin = BEGIN.format(name)
        before, _, rest = text.partition(begin)
        _, end, after = rest.partition(END)
        text = f"{before}{begin}\n\n{make()}\n\n{end}{after}"
    return text


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    text = PAGE.read_text(encoding="utf-8")
    if "--write" in sys.argv:
        PAGE.write_text(filled(text), encoding="utf-8")
    else:
        sys.stdout.write(filled(text))


if __name__ == "__main__":
    main()
