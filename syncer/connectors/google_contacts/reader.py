"""From persons to contacts: which fields were last asked for, and what a person says of them."""

from collections.abc import Iterable, Sequence
from typing import Final

from syncer.connectors.base import Observed, Transient, Value
from syncer.connectors.google_contacts import fields, wire
from syncer.connectors.google_contacts.client import Client
from syncer.connectors.google_contacts.fields import TAGS
from syncer.connectors.google_contacts.labels import Labels
from syncer.connectors.google_contacts.values import Unreadable
from syncer.connectors.google_contacts.wire import Person, dicts, inner, text

STRANGE: Final = "Google showed a contact without its name in the API. It is tried again later."


class Reader:
    """`asked` holds the names of the fields that were last asked for: a write is read back with them."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.labels = Labels(client)
        self.asked: tuple[str, ...] = tuple(field.name for field in fields.STANDARD)

    def ask(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names of the fields, remembered for read-backs; without names, those last asked for."""
        if names:
            self.asked = tuple(dict.fromkeys(names))
        return self.asked

    def observe(self, person: Person, asked: Sequence[str]) -> Observed:
        """Raises Transient for a person that cannot be told from others."""
        previous = inner(person, "metadata", "previousResourceNames")
        ids = tuple(name for name in previous if isinstance(name, str)) if isinstance(previous, list) else ()
        name, etag, mark = name_of(person), text(person.get("etag")), marker_of(person)
        try:
            values = {**fields.read(person, asked), **self._tags(person, asked)}
        except Unreadable as trouble:
            return Observed(name, {}, etag, mark, ids, str(trouble))
        return Observed(name, values, etag, mark, ids)

    def observe_all(self, people: Sequence[Person], asked: Sequence[str]) -> list[Observed]:
        """Where a contact has a label that was made meanwhile, the labels are read anew, once."""
        if TAGS in asked and people:
            self.labels.learn(people)
        return [self.observe(person, asked) for person in people]

    def _tags(self, person: Person, asked: Iterable[str]) -> dict[str, Value]:
        """Absent where a label of it is not known: to leave it out would seem as if somebody had taken it off."""
        if TAGS not in asked:
            return {}
        try:
            return {TAGS: self.labels.of(person)}
        except KeyError:
            return {}


def name_of(person: Person) -> str:
    name = text(person.get("resourceName"))
    if wire.RESOURCE.fullmatch(name) is None:
        raise Transient(STRANGE)
    return name


def marker_of(person: Person) -> str:
    """The mark that we left when we made this contact."""
    marks = [text(item.get("value")) for item in dicts(person.get("clientData")) if item.get("key") == wire.MARKER]
    return marks[0] if marks else ""


def deleted(person: Person) -> bool:
    return inner(person, "metadata", "deleted") is True
