"""From rows to contacts: which fields are known, which were last asked for, and what a row says."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from syncer.connectors.base import Field, Observed, RecordGone
from syncer.connectors.salesmate import errors, fields, values, wire
from syncer.connectors.salesmate.client import Client

STANDARD_NAMES: Final = tuple(field.name for field in fields.STANDARD)


class Reader:
    """`asked` holds the names of the fields that were last asked for: a write is read back with them."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.asked: tuple[str, ...] = STANDARD_NAMES
        self._own: dict[str, Field] | None = None
        client.labels.update({name: field.label for name, field in fields.KNOWN.items()})
        client.learn = self._learn

    def schema(self) -> list[Field]:
        """All fields, read anew from the account (one call)."""
        found = fields.all_fields(self.client.metadata())
        self._own = {field.name: field for field in found}
        self.client.labels.update({field.name: field.label for field in found})
        return found

    def _learn(self) -> None:
        if self._own is None:
            self.schema()

    def field(self, name: str) -> Field | None:
        """A field by its name; the account is asked only where its name does not tell. None: no such field."""
        known = (self._own or {}).get(name) or fields.KNOWN.get(name) or fields.by_key(name)
        if known is None and self._own is None:
            self.schema()
            return self.field(name)
        return known

    def named(self, names: Iterable[str]) -> list[Field]:
        """The known ones of these fields, each once."""
        found = (self.field(name) for name in dict.fromkeys(names))
        return [field for field in found if field is not None]

    def ask(self, names: Sequence[str]) -> list[Field]:
        """The fields of these names, remembered for read-backs; without names, the fields last asked for."""
        if names:
            self.asked = tuple(names)
        return self.named(self.asked)

    def remote_id(self, row: Mapping[str, Any]) -> str:
        found = wire.number(wire.member(row, "id")[1])
        if found is None:
            raise errors.strange(errors.Request(self.client.subdomain))
        return str(found)

    def observe(self, row: Mapping[str, Any], asked: Sequence[Field]) -> Observed:
        try:
            return Observed(self.remote_id(row), values.decode_row(row, asked))
        except values.Unreadable as error:
            return Observed(self.remote_id(row), {}, problem=str(error))

    def read(self, remote_id: str) -> Mapping[str, Any]:
        """The whole row of a live contact. Raises RecordGone for one in the bin, or known no more."""
        row = self.client.contact(remote_id)
        if deleted(row):
            raise RecordGone(errors.GONE_TEXT)
        if self.remote_id(row) != remote_id:
            raise errors.strange(errors.Request(self.client.subdomain))
        return row


def displaying(asked: Iterable[Field]) -> list[str]:
    return [path for field in asked for path in fields.paths(field)]


def deleted(row: Mapping[str, Any]) -> bool:
    """Does the row say itself that it is in the bin? Silence is no proof."""
    return wire.flag(wire.member(row, "isDeleted")[1]) is True
