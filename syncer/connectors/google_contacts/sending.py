"""One batch call for several contacts, and what is known of each afterwards (README.md, 7).

Google takes all of a batch or nothing, and names those that it refuses, or does not. What it refused is settled, and
the others are left to be sent again; what may have been done is never sent again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    Misconfigured,
    Observed,
    Outcome,
    Rejected,
    Stale,
    Transient,
    Values,
    Write,
    WriteResult,
)
from syncer.connectors.google_contacts import errors
from syncer.connectors.google_contacts.errors import Kind, Missing, PartsRefused
from syncer.connectors.google_contacts.fields import field_in
from syncer.connectors.google_contacts.values import Item
from syncer.connectors.google_contacts.wire import Assumed, Person

WAITING: Final = "This was not sent to Google: the batch stopped before it. A later run sends it."
TOGETHER: Final = "Google refused another contact of the same batch, so this one was not written. A later run sends it."
PERHAPS: Final = "Google refused another contact of the same batch; whether this one was written, the next run sees."


@dataclass
class Draft:
    """A write on its way. `person` and `observed`: the contact as last read; `items`: the fields of it that change;
    `add` and `remove`: groups, `stuck`: those it could not leave at first; `expected`: the values that it should have
    then; `begun`: something of it is done; `alone`: to be sent by itself."""

    index: int
    write: Write
    name: str = ""
    person: Person = field(default_factory=dict)
    observed: Observed | None = None
    items: dict[str, list[Item]] = field(default_factory=dict)
    add: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    expected: Values = field(default_factory=dict)
    begun: bool = False
    alone: bool = False
    result: WriteResult | None = None


Call = Callable[[Sequence[Draft]], None]
"""Sends these drafts, and notes in them what became of each."""


class Sender:
    """Sends batches until something stops it: then `halted`, and `fatal` is what concerns the whole account."""

    def __init__(self, assumed: Assumed) -> None:
        self.halted = False
        self.fatal: ConnectorError | None = None
        self._assumed = assumed
        self._sends = 0

    def begin(self) -> None:
        """Another batch may take as many calls again."""
        self._sends = 0

    def send(self, drafts: Sequence[Draft], call: Call) -> list[Draft]:
        """Those that were not done and may be sent again; the others have a result, or what they became."""
        if not drafts:
            return []
        if self.halted or self._sends >= self._assumed.sends:
            settle(drafts, WriteResult(Outcome.NOT_SENT, detail=WAITING if self.halted else TOGETHER))
            return []
        self._sends += 1
        try:
            call(drafts)
        except PartsRefused as refused:
            return self._parted(drafts, call, refused)
        except (Stale, Missing):
            return list(drafts)
        except Rejected as refused:
            return self._halved(drafts, call, refused)
        except ConnectorError as error:
            self.stop(drafts, error)
        return []

    def _parted(self, drafts: Sequence[Draft], call: Call, refused: PartsRefused) -> list[Draft]:
        keys = keys_of(drafts)
        named = {id(keys[key]): kind for key, kind in refused.parts.items() if key in keys}
        if not named:
            return self._unnamed(drafts, call, refused)
        again = []
        mask = {each for draft in drafts for each in draft.items}
        for draft in drafts:
            kind = named.get(id(draft))
            if kind is Kind.REJECTED and draft.name and set(draft.items) != mask:
                # Google may mind what it holds in a field that only others of the batch change.
                draft.alone = True
                again.append(draft)
            elif kind is Kind.REJECTED:
                draft.result = refusal(draft)
            elif kind is not None or self._assumed.all_or_nothing:
                again.append(draft)
            else:
                draft.result = WriteResult(Outcome.UNKNOWN, detail=PERHAPS)
        return again

    def _unnamed(self, drafts: Sequence[Draft], call: Call, refused: PartsRefused) -> list[Draft]:
        """Google names some by keys that are none of ours."""
        if len(drafts) > 1 and not self._assumed.all_or_nothing:
            settle(drafts, WriteResult(Outcome.UNKNOWN, detail=PERHAPS))
            return []
        if all(kind in (Kind.MOVED, Kind.MISSING) for kind in refused.parts.values()):
            return list(drafts)
        return self._halved(drafts, call, refused)

    def _halved(self, drafts: Sequence[Draft], call: Call, refused: Rejected) -> list[Draft]:
        """Google does not say whom it refused: half by half it comes out."""
        if len(drafts) == 1:
            drafts[0].result = refusal(drafts[0], refused.field)
            return []
        middle = len(drafts) // 2
        return [*self.send(drafts[:middle], call), *self.send(drafts[middle:], call)]

    def stop(self, drafts: Sequence[Draft], error: ConnectorError, sent: bool = True) -> None:
        """These and all later ones are left. `sent`: the call that failed was a write of these."""
        self.halted = True
        if isinstance(error, AuthFailed | Misconfigured):
            self.fatal = error
        applied = sent and isinstance(error, Transient) and error.maybe_applied
        for draft in drafts:
            if draft.result is not None:
                continue
            unknown = applied or draft.begun
            draft.result = WriteResult(Outcome.UNKNOWN if unknown else Outcome.NOT_SENT, detail=str(error))


def keys_of(drafts: Sequence[Draft]) -> dict[str, Draft]:
    """How Google names the contacts of one call: by their names, and new ones by their place in it, from 0."""
    return {draft.name or str(at): draft for at, draft in enumerate(drafts)}


def settle(drafts: Sequence[Draft], result: WriteResult) -> None:
    for draft in drafts:
        draft.result = result


def refusal(draft: Draft, field: str = "") -> WriteResult:
    """The field is named where there is only one that it can be."""
    masks = list(draft.items)
    named = field or (field_in(draft.write.values, masks[0]) if len(masks) == 1 else "")
    return WriteResult(Outcome.REFUSED, field=named, detail=errors.REFUSED_TEXT)
