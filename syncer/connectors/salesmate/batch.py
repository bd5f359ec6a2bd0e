"""A batch of writes, then one read-back for all of them (README.md, 6).

An update is preceded by a re-read, since Salesmate checks no version; nothing is ever sent twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    Field,
    FieldType,
    Misconfigured,
    Observed,
    Operation,
    Outcome,
    RecordGone,
    Rejected,
    Transient,
    Value,
    Write,
    WriteResult,
)
from syncer.connectors.salesmate import fields, values
from syncer.connectors.salesmate.reader import Reader, deleted, displaying

FAILURES_IN_A_ROW: Final = 3  # after which Salesmate counts as unreachable
INSISTED_ON: Final[Mapping[str, str]] = {
    "lastName": "Salesmate needs a last name. Fill it in, in either app, or give its mapping a fallback.",
    "owner": "Salesmate needs an owner. Choose a default owner in the settings of this connection.",
}
NOT_READ_BACK: Final = "Salesmate took this change but could not show the contact afterwards. The next run looks at it."
NOT_READ_YET: Final = "Salesmate created this contact but could not show it afterwards. The next run reads it."
GONE_AT_ONCE: Final = "This contact was deleted in Salesmate right after it was created."
WAITING: Final = "This was not sent to Salesmate: the batch stopped before it. A later run sends it."


class Batch:
    """`run` once. `asked` are the fields to read back; those that are written are added to them."""

    def __init__(self, reader: Reader, asked: Sequence[str], writes: Sequence[Write]) -> None:
        self._reader, self._client, self._writes = reader, reader.client, writes
        self._names = (*asked, *(name for write in writes for name in write.values))
        self._results: dict[int, WriteResult] = {}
        self._sent: dict[int, str] = {}
        self._failures = 0
        self._halted = False
        self._fatal: ConnectorError | None = None

    def run(self) -> Iterator[WriteResult]:
        """One result per write, in order. What concerns the whole account is raised after them."""
        for index, write in enumerate(self._writes):
            if self._halted:
                self._results[index] = WriteResult(Outcome.NOT_SENT, detail=WAITING)
                continue
            done = self._settle(write)
            if isinstance(done, str):
                self._sent[index] = done
            else:
                self._results[index] = done
        if self._sent:
            self._read_back()
        for index in range(len(self._writes)):
            yield self._results[index]
        if self._fatal is not None:
            raise self._fatal

    def _settle(self, write: Write) -> str | WriteResult:
        """The id of the contact where the write went through; else what became of it."""
        try:
            done = self._create(write) if write.operation is Operation.CREATE else self._update(write)
        except RecordGone as error:
            return WriteResult(Outcome.GONE, detail=str(error))
        except Rejected as error:
            return WriteResult(Outcome.REFUSED, field=error.field, detail=str(error))
        except Transient as error:
            self._failures += 1
            self._halted = self._halted or self._failures >= FAILURES_IN_A_ROW
            return WriteResult(Outcome.UNKNOWN if error.maybe_applied else Outcome.NOT_SENT, detail=str(error))
        except ConnectorError as error:
            self._stop(error)
            return WriteResult(Outcome.NOT_SENT, detail=str(error))
        self._failures = 0
        return done

    def _stop(self, error: ConnectorError) -> None:
        self._halted = True
        if isinstance(error, AuthFailed | Misconfigured):
            self._fatal = error

    def _create(self, write: Write) -> str:
        body = self._body(write)
        for name in INSISTED_ON:
            insist(name, write.values.get(name))
        try:
            return self._client.create({name: body[name] for name in body if write.values[name] is not None})
        except Transient as error:
            self._halted = not error.maybe_applied
            raise

    def _update(self, write: Write) -> str | WriteResult:
        body = self._body(write)
        row = self._reader.read(write.remote_id)
        observed = self._reader.observe(row, self._asked())
        if observed.problem or not write.still_holds(observed):
            return WriteResult(Outcome.STALE, observed)
        try:
            self._client.update(write.remote_id, {**self._as_reread(row, write), **body})
        except Transient as error:
            self._halted = not error.maybe_applied
            raise
        return write.remote_id

    def _asked(self) -> list[Field]:
        return self._reader.named(self._names)

    def _body(self, write: Write) -> dict[str, Any]:
        """The changed fields as Salesmate takes them. Raises Rejected."""
        body: dict[str, Any] = {}
        for name, value in write.values.items():
            if name in INSISTED_ON:
                insist(name, value)
            field = self._reader.field(name)
            if field is None:
                raise Rejected("Salesmate has no such field any more. Refresh the fields of this account.", name)
            body[name] = values.encode(field, value, self._client.assumed)
        return body

    def _as_reread(self, row: Mapping[str, Any], write: Write) -> dict[str, Any]:
        """Last name and owner as they stand: an update without them is refused. Raises Rejected where one is empty."""
        body: dict[str, Any] = {}
        for name in INSISTED_ON:
            if name not in write.values:
                field = fields.KNOWN[name]
                value = values.decode_row(row, [field]).get(name)
                insist(name, value)
                body[name] = values.encode(field, value, self._client.assumed)
        return body

    def _read_back(self) -> None:
        """Results for all that was sent: from one listing, and by id for what it does not show as sent."""
        asked: list[Field] = []
        trouble: ConnectorError | None = None
        shown: dict[str, Observed] = {}
        try:
            asked = self._asked()
            shown = self._newest(asked)
        except ConnectorError as error:
            trouble = error
            self._stop(error)
        for index, remote_id in self._sent.items():
            write = self._writes[index]
            seen = shown.get(remote_id)
            if seen is not None and shows(seen, write, asked):
                self._results[index] = WriteResult(Outcome.DONE, seen)
            elif trouble is not None:
                self._results[index] = unseen(write, remote_id)
            else:
                self._results[index], trouble = self._read_one(write, remote_id, asked)

    def _newest(self, asked: Sequence[Field]) -> dict[str, Observed]:
        rows = self._client.search(displaying(asked), [self._client.live()]).rows
        found = [self._reader.observe(row, asked) for row in rows if not deleted(row)]
        return {observed.remote_id: observed for observed in found}

    def _read_one(
        self, write: Write, remote_id: str, asked: Sequence[Field]
    ) -> tuple[WriteResult, ConnectorError | None]:
        """The result by a read, and the error that makes further reads pointless."""
        try:
            observed = self._reader.observe(self._reader.read(remote_id), asked)
            return WriteResult(Outcome.DONE, observed), None
        except RecordGone as error:
            if write.operation is Operation.CREATE:
                return WriteResult(Outcome.DONE, Observed(remote_id, {}, problem=GONE_AT_ONCE)), None
            return WriteResult(Outcome.GONE, detail=str(error)), None
        except ConnectorError as error:
            self._stop(error)
            return unseen(write, remote_id), error


def insist(name: str, value: Value) -> None:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise Rejected(INSISTED_ON[name], name)


def unseen(write: Write, remote_id: str) -> WriteResult:
    """What was sent and accepted, but not seen. A create keeps its id, so that it is never made again."""
    if write.operation is Operation.CREATE:
        return WriteResult(Outcome.DONE, Observed(remote_id, {}, problem=NOT_READ_YET), detail=NOT_READ_YET)
    return WriteResult(Outcome.UNKNOWN, detail=NOT_READ_BACK)


def shows(observed: Observed, write: Write, asked: Sequence[Field]) -> bool:
    """Does a listed row hold what was sent? If not, the list may be old, or the app holds it differently."""
    by_name = {field.name: field for field in asked}
    return all(
        name in observed.values and comparable(by_name[name], observed.values[name]) == comparable(by_name[name], value)
        for name, value in write.values.items()
    )


def comparable(field: Field, value: Value) -> Value:
    if isinstance(value, list):
        return sorted(tag.casefold() for tag in values.stored_tags(value)) or None
    if field.type is FieldType.DECIMAL and isinstance(value, str):
        return values.plain_decimal(value)
    return value
