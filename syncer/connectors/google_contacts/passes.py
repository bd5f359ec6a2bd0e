"""Passes over all contacts: full ones from the start, delta ones by Google's sync token (README.md, 3).

A contact does not count as changed when one of its labels gets another name, so a pass begins with the labels: where
one that we know is called otherwise, or is gone, the cursor has expired and all contacts are read again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from syncer.connectors.base import CursorExpired, Page, Transient
from syncer.connectors.google_contacts import wire
from syncer.connectors.google_contacts.client import Listed, Place
from syncer.connectors.google_contacts.fields import TAGS
from syncer.connectors.google_contacts.reader import Reader, deleted, name_of
from syncer.connectors.google_contacts.wire import Assumed

VERSION: Final = 1
UNREADABLE: Final = (
    "The bookmark of the last sync cannot be used. All contacts are read again; nothing is changed by that."
)
RENAMED: Final = "A label in Google was renamed or deleted. All contacts are read again, with their labels as they are."
CUT_SHORT: Final = "Google's list of changed contacts ended without a bookmark. It is read again later."


@dataclass(frozen=True)
class Cursor:
    """Where a pass is. `form` is how the listing was asked for, which must stay the same; `labels` holds the digest of
    the name of each label, by its id, None where labels were not asked for."""

    place: Place = field(default_factory=Place)
    form: str = ""
    labels: Mapping[str, str] | None = None

    def text(self) -> str:
        data = {
            "version": VERSION,
            "sync": self.place.sync,
            "page": self.place.page,
            "began": self.place.began,
            "form": self.form,
            "labels": self.labels,
        }
        return json.dumps(data, sort_keys=True, separators=(",", ":"))


def form_of(assumed: Assumed) -> str:
    return f"{wire.PERSON_FIELDS} {wire.SOURCE} {assumed.page}"


def parse(text: str, assumed: Assumed) -> Cursor:
    """An empty cursor starts a full pass. Raises CursorExpired for one that is not ours, or was asked otherwise."""
    if not text:
        return Cursor(form=form_of(assumed))
    try:
        data = json.loads(text)
        cursor = Cursor(Place(data["sync"], data["page"], data["began"]), data["form"], data["labels"])
        usable = data["version"] == VERSION and well_formed(cursor)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        usable = False
    if not usable or cursor.form != form_of(assumed) or not (cursor.place.sync or cursor.place.page):
        raise CursorExpired(UNREADABLE)
    return cursor


def well_formed(cursor: Cursor) -> bool:
    place, labels = cursor.place, cursor.labels
    texts: list[Any] = [place.sync, place.page, cursor.form]
    if labels is not None:
        texts += [*labels.keys(), *labels.values()]
    return all(isinstance(each, str) for each in texts) and (place.began is None or type(place.began) is int)


def next_page(reader: Reader, cursor: Cursor, asked: Sequence[str]) -> Page:
    """Raises CursorExpired where a delta would miss what only a full pass shows."""
    if not cursor.place.page:
        cursor = with_labels(reader, cursor, asked)
    found = reader.client.connections(cursor.place)
    live = [person for person in found.people if not deleted(person)]
    records = reader.observe_all(live, asked)
    ids = {record.remote_id for record in records}
    gone = dict.fromkeys(name_of(person) for person in found.people if deleted(person))
    if TAGS in asked:
        cursor = replace(cursor, labels={**reader.labels.digests(), **(cursor.labels or {})})
    finish = replace(cursor, place=Place(sync=found.sync)).text()
    done, full = not found.page, not cursor.place.sync
    if done and not full and not found.sync:
        raise Transient(CUT_SHORT)
    return Page(
        records,
        cursor=finish if done else onward(cursor, found).text(),
        done=done,
        gone=[name for name in gone if name not in ids],
        complete=done and full and bool(found.sync),
        total=found.total if full else None,
        finish=finish if done else "",
    )


def with_labels(reader: Reader, cursor: Cursor, asked: Sequence[str]) -> Cursor:
    """At the start of a pass. Raises CursorExpired where a label that its contacts were read with is another now."""
    if TAGS not in asked:
        return replace(cursor, labels=None)
    reader.labels.refresh()
    if not cursor.place.sync:
        return replace(cursor, labels=reader.labels.digests())
    now = reader.labels.digests()
    if cursor.labels is None or any(now.get(group) != digest for group, digest in cursor.labels.items()):
        raise CursorExpired(RENAMED)
    return cursor


def onward(cursor: Cursor, found: Listed) -> Cursor:
    began = cursor.place.began if cursor.place.page else found.date
    return replace(cursor, place=replace(cursor.place, page=found.page, began=began))
