"""A batch of writes: updates on what was just read, then labels, then creates (README.md, 7).

An update carries the version that it was made from, so Google refuses it where somebody was faster. Labels have no
version: they are added and taken off one by one, and nobody else's with them. Nothing that may have been done is sent
again.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from syncer.connectors.base import (
    ConnectorError,
    Observed,
    Operation,
    Outcome,
    Rejected,
    Stale,
    Write,
    WriteResult,
)
from syncer.connectors.google_contacts import errors, fields, wire
from syncer.connectors.google_contacts.errors import Missing
from syncer.connectors.google_contacts.fields import TAGS
from syncer.connectors.google_contacts.labels import groups_of
from syncer.connectors.google_contacts.reader import Reader, name_of
from syncer.connectors.google_contacts.sending import TOGETHER, WAITING, Draft, Sender, settle
from syncer.connectors.google_contacts.values import Unreadable, items_of, sendable, sendable_source
from syncer.connectors.google_contacts.wire import Person, dicts, inner
from syncer.connectors.tags import once

NOT_READ_BACK: Final = "Google took this change but could not show the contact afterwards. The next run looks at it."
KEEPS_CHANGING: Final = "Google did not take this change, time and again, as if somebody were changing the contact."
SAME_CONTACT: Final = "Two contacts of ours are the same one in Google now. It is read and judged again."
LABEL_GONE: Final = "A label of this contact was deleted in Google while we wrote. It is read and judged again."
LAST_LABEL: Final = (
    "Google does not take the last label off a contact that is in no other group. Add the contact to My contacts in "
    "Google, then it can be taken off."
)
LABEL_REFUSED: Final = "Google did not take this label for the contact. Set it there by hand and see why."


class Batch:
    """`run` once. `asked` are the fields to read back; those that are written are added to them."""

    def __init__(self, reader: Reader, asked: Sequence[str], writes: Sequence[Write]) -> None:
        self._reader, self._client, self._labels = reader, reader.client, reader.labels
        self._assumed = reader.client.assumed
        self._asked = tuple(dict.fromkeys((*asked, *(name for write in writes for name in write.values))))
        self._drafts = [Draft(index, write, write.remote_id) for index, write in enumerate(writes)]
        self._sender = Sender(self._assumed)

    def run(self) -> Iterator[WriteResult]:
        """One result per write, in order. What concerns the whole account is raised after them."""
        updates = [draft for draft in self._drafts if draft.write.operation is not Operation.CREATE]
        creates = [draft for draft in self._drafts if draft.write.operation is Operation.CREATE]
        self._guarded(self._drafts, self._fresh_labels)
        for wave in waves(updates, self._assumed.batch):
            self._guarded(wave, partial(self._update, wave))
        for part in waves(creates, self._assumed.batch):
            self._guarded(part, partial(self._create, part))
        for draft in self._drafts:
            yield draft.result or WriteResult(Outcome.UNKNOWN, detail=NOT_READ_BACK)
        if self._sender.fatal is not None:
            raise self._sender.fatal

    def _guarded(self, drafts: Sequence[Draft], step: Callable[[], None]) -> None:
        """A step for these; where a read fails, they and the later ones are left, and what was begun is not known."""
        if self._sender.halted:
            settle([draft for draft in drafts if draft.result is None], WriteResult(Outcome.NOT_SENT, detail=WAITING))
            return
        self._sender.begin()
        try:
            step()
        except ConnectorError as error:
            self._sender.stop(drafts, error, sent=False)

    def _fresh_labels(self) -> None:
        if self._drafts and TAGS in self._asked:
            self._labels.renew()

    # Updates

    def _update(self, wave: Sequence[Draft]) -> None:
        left = list(wave)
        for _ in range(self._assumed.rounds):
            left = self._send_updates(self._look(left))
        for draft in left:
            draft.result = WriteResult(Outcome.STALE, draft.observed, detail=KEEPS_CHANGING)
        self._change_labels([draft for draft in wave if draft.result is None])
        self._read_back([draft for draft in wave if draft.result is None])

    def _look(self, drafts: Sequence[Draft]) -> list[Draft]:
        """The contacts as they are now, and what is to be changed of them; who needs nothing, is gone or is not as
        was planned has a result."""
        if not drafts:
            return []
        now = self._client.people([draft.write.remote_id for draft in drafts])
        people = [person for person in now.values() if person is not None]
        if TAGS in self._asked:
            self._labels.learn(people)
        seen: set[str] = set()
        for draft in drafts:
            person = now[draft.write.remote_id]
            if person is None:
                draft.result = WriteResult(Outcome.GONE, detail=errors.GONE_TEXT)
                continue
            self._prepare(draft, person)
            if draft.result is None and draft.name in seen:
                draft.result = WriteResult(Outcome.STALE, draft.observed, detail=SAME_CONTACT)
            seen.add(draft.name)
        return [draft for draft in drafts if draft.result is None]

    def _prepare(self, draft: Draft, person: Person) -> None:
        draft.person, draft.name = person, name_of(person)
        draft.observed = self._reader.observe(person, self._asked)
        if draft.observed.problem or not draft.write.still_holds(draft.observed):
            draft.result = WriteResult(Outcome.STALE, draft.observed, detail=draft.observed.problem)
            return
        try:
            draft.items = fields.apply(person, without_tags(draft.write))
            if TAGS in draft.write.values:
                draft.add, draft.remove = self._moves(draft)
        except (Rejected, Unreadable) as refused:
            draft.result = refused_before(refused)
            return
        draft.expected = fields.read({**person, **draft.items}, without_tags(draft.write))
        if not draft.items and not draft.add and not draft.remove:
            draft.result = WriteResult(Outcome.DONE, draft.observed)

    def _moves(self, draft: Draft) -> tuple[list[str], list[str]]:
        """The groups to add the contact to and to take it out of. Raises Rejected."""
        wanted = wanted_tags(draft.write)
        own = [group for group in groups_of(draft.person) if group in self._labels.names]
        folded = {tag.casefold() for tag in wanted}
        held = {self._labels.names[group].casefold() for group in own}
        add = [self._labels.made(tag) for tag in wanted if tag.casefold() not in held]
        return add, [group for group in own if self._labels.names[group].casefold() not in folded]

    def _send_updates(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Those to be looked at again. Who was refused over what others change goes by itself."""
        changed = [draft for draft in drafts if draft.items]
        together = [draft for draft in changed if not draft.alone]
        again = self._sender.send(together, self._post_updates)
        for draft in changed:
            if draft.alone and draft not in again:
                again += self._sender.send([draft], self._post_updates)
        return again

    def _post_updates(self, drafts: Sequence[Draft]) -> None:
        mask = sorted({mask for draft in drafts for mask in draft.items})
        shown = self._client.batch_update({draft.name: body_of(draft, mask) for draft in drafts}, mask)
        for draft in drafts:
            draft.begun = True
        for draft in drafts:
            person = shown.get(draft.name)
            if person is not None:
                draft.name = name_of(person)
                if not draft.add and not draft.remove:
                    draft.result = done(draft, self._reader.observe(person, self._asked))

    # Labels

    def _change_labels(self, drafts: Sequence[Draft]) -> None:
        """One call for each label, for all contacts of the batch; once more for those that could not leave it before
        they were in another one."""
        for group in sorted({group for draft in drafts for group in (*draft.add, *draft.remove)}):
            self._change_label(group, [draft for draft in drafts if group in (*draft.add, *draft.remove)])
        for group in sorted({group for draft in drafts for group in draft.stuck}):
            self._change_label(group, [draft for draft in drafts if group in draft.stuck])

    def _change_label(self, group: str, drafts: Sequence[Draft]) -> None:
        mine = [draft for draft in drafts if draft.result is None]
        if not mine:
            return
        if self._sender.halted:
            self._leave(mine)
            return
        try:
            self._modify(group, mine)
        except Missing:
            self._labels.forget()
            settle(mine, WriteResult(Outcome.STALE, detail=LABEL_GONE))
        except Stale:
            settle(mine, WriteResult(Outcome.STALE, detail=KEEPS_CHANGING))
        except Rejected:
            settle(mine, WriteResult(Outcome.REFUSED, field=TAGS, detail=LABEL_REFUSED))
        except ConnectorError as error:
            self._sender.stop(mine, error)

    def _leave(self, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            draft.result = WriteResult(Outcome.UNKNOWN if draft.begun else Outcome.NOT_SENT, detail=WAITING)

    def _modify(self, group: str, drafts: Sequence[Draft]) -> None:
        """Whoever is not found is left to the reading back, which tells."""
        add = [draft.name for draft in drafts if group in draft.add]
        remove = [draft.name for draft in drafts if group in draft.remove]
        _, kept = self._client.modify_members(group, add, remove)
        for draft in drafts:
            draft.begun = True
            if draft.name in kept and draft.add and group not in draft.stuck:
                draft.stuck.append(group)
            elif draft.name in kept:
                draft.result = WriteResult(Outcome.REFUSED, field=TAGS, detail=LAST_LABEL)

    def _read_back(self, drafts: Sequence[Draft]) -> None:
        """For whom the answer to the write did not say it all."""
        if not drafts:
            return
        now = self._client.people([draft.name for draft in drafts])
        for draft in drafts:
            person = now[draft.name]
            if person is None:
                draft.result = WriteResult(Outcome.GONE, detail=errors.GONE_TEXT)
                continue
            draft.result = done(draft, self._reader.observe(person, self._asked))

    # Creates

    def _create(self, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            try:
                draft.items = fields.apply({}, without_tags(draft.write))
                draft.add = [self._labels.made(tag) for tag in wanted_tags(draft.write)]
            except (Rejected, Unreadable) as refused:
                draft.result = refused_before(refused)
        left = [draft for draft in drafts if draft.result is None]
        for _ in range(self._assumed.rounds):
            left = self._sender.send(left, self._post_creates)
        settle(left, WriteResult(Outcome.NOT_SENT, detail=TOGETHER))

    def _post_creates(self, drafts: Sequence[Draft]) -> None:
        """Each is told from the others by its mark, or by its place where Google shows no marks."""
        people = self._client.batch_create([self._new(draft) for draft in drafts])
        for draft in drafts:
            draft.begun = True
        shown = [self._reader.observe(person, self._asked) for person in people]
        by_mark = {one.marker: one for one in shown if one.marker}
        in_place = len(shown) == len(drafts) and not by_mark
        for at, draft in enumerate(drafts):
            one = shown[at] if in_place else by_mark.get(draft.write.key)
            unseen = WriteResult(Outcome.UNKNOWN, detail=NOT_READ_BACK)
            draft.result = unseen if one is None else WriteResult(Outcome.DONE, one)

    def _new(self, draft: Draft) -> dict[str, Any]:
        groups = dict.fromkeys((self._labels.my_contacts(), *draft.add))
        return {
            **{mask: sendable(mask, items) for mask, items in draft.items.items() if items},
            "clientData": [{"key": wire.MARKER, "value": draft.write.key}],
            "memberships": [{"contactGroupMembership": {"contactGroupResourceName": group}} for group in groups],
        }


def waves(drafts: Sequence[Draft], size: int) -> list[Sequence[Draft]]:
    """In batches, no contact twice in one."""
    times: dict[str, int] = {}
    layers: list[list[Draft]] = []
    for draft in drafts:
        layer = times.get(draft.name, 0) if draft.name else 0
        times[draft.name] = layer + 1
        if layer == len(layers):
            layers.append([])
        layers[layer].append(draft)
    return [layer[start : start + size] for layer in layers for start in range(0, len(layer), size)]


def body_of(draft: Draft, mask: Sequence[str]) -> dict[str, Any]:
    """The contact as it was read, with its changes; the version with which it was read goes along."""
    sources = [sendable_source(source) for source in dicts(inner(draft.person, "metadata", "sources"))]
    whole = {each: draft.items.get(each, items_of(draft.person, each)) for each in mask}
    return {
        "resourceName": draft.name,
        "etag": wire.text(draft.person.get("etag")),
        "metadata": {"sources": sources},
        **{each: sendable(each, items) for each, items in whole.items() if items},
    }


def without_tags(write: Write) -> dict[str, Any]:
    return {name: value for name, value in write.values.items() if name != TAGS}


def wanted_tags(write: Write) -> list[str]:
    """Raises Rejected."""
    wanted = write.values.get(TAGS)
    if wanted is not None and not isinstance(wanted, list):
        raise Rejected("Google's labels are a list of names.", TAGS)
    return once(wanted or [])


def refused_before(refused: Rejected | Unreadable) -> WriteResult:
    field = refused.field if isinstance(refused, Rejected) else ""
    return WriteResult(Outcome.REFUSED, field=field, detail=str(refused))


def done(draft: Draft, shown: Observed) -> WriteResult:
    """Where what we wrote is not what came of it, somebody changed it before we read it back."""
    edited = any(name in shown.values and shown.values[name] != value for name, value in draft.expected.items())
    return WriteResult(Outcome.DONE, shown, edited=edited)
