"""A batch of writes (README.md, 4): a look at what changed meanwhile, one request for all that a batch can carry, one
each for the others, and what Mailchimp showed of it. Nothing is ever sent twice."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    Misconfigured,
    Observed,
    Operation,
    Outcome,
    RecordGone,
    Rejected,
    Stale,
    Transient,
    Write,
    WriteResult,
)
from syncer.connectors.mailchimp import errors, fields, wire
from syncer.connectors.mailchimp.fields import EMAIL, STATUS, TAGS
from syncer.connectors.mailchimp.reader import Reader
from syncer.connectors.mailchimp.wire import Member, chunks, dicts, text
from syncer.connectors.tags import once

UNSUBSCRIBED: Final = "unsubscribed"
NOT_LOWERED: Final = "Nobody who is in an audience is made anything but unsubscribed by a sync."
NO_STATUS: Final = "The status of new contacts has not been chosen. Choose it in the connection."
WAITING: Final = "This was not sent to Mailchimp: the batch stopped before it. A later run sends it."
NOT_SAID: Final = "Mailchimp did not say what became of this contact. The next run looks at it."
THERE: Final = "Somebody with this address came into the audience meanwhile."


@dataclass
class Draft:
    """One write on its way. `now` is the member as we know it, `email` the address to which it answers."""

    write: Write
    email: str = ""
    now: Member = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    add: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    shown: Member | None = None
    begun: bool = False
    result: WriteResult | None = None

    @property
    def creates(self) -> bool:
        return self.write.operation is Operation.CREATE

    @property
    def alone(self) -> bool:
        """A batch names members by their address, and must not touch a status."""
        return not self.creates and (EMAIL in self.body or STATUS in self.write.values or archived(self.now))


def archived(member: Member) -> bool:
    return member.get("status") == wire.ARCHIVED


class Batch:
    """`run` once. `asked` are the fields to show afterwards; those that are written are added to them."""

    def __init__(self, reader: Reader, book: str, writes: Sequence[Write]) -> None:
        self._reader, self._client, self._book = reader, reader.client, book
        self._asked: list[str] = []
        self._drafts = [Draft(write) for write in writes]
        self._halted = False
        self._fatal: ConnectorError | None = None

    def run(self) -> Iterator[WriteResult]:
        """One result per write, in order. What concerns the whole account is raised after them."""
        try:
            self._asked = self._wanted()
            self._look()
            self._prepare()
        except ConnectorError as error:
            self._stop(self._open(), error)
        together = [draft for draft in self._open() if not draft.alone]
        for creates in (True, False):
            for part in chunks([draft for draft in together if draft.creates is creates], wire.BATCH):
                self._send_together(part)
        for draft in [draft for draft in self._open() if draft.alone]:
            self._one(draft, self._send_alone)
        for draft in [draft for draft in self._open() if draft.add or draft.remove]:
            self._one(draft, self._send_tags)
        self._read_back()
        for draft in self._drafts:
            yield draft.result or WriteResult(Outcome.NOT_SENT, detail=WAITING)
        if self._fatal is not None:
            raise self._fatal

    def _wanted(self) -> list[str]:
        """What the last pass asked for; all where this connector has made none."""
        if not self._drafts:
            return []
        asked = self._reader.asked or [field.name for field in self._reader.schema(self._book)]
        return list(dict.fromkeys((*asked, *(name for draft in self._drafts for name in draft.write.values))))

    def _open(self) -> list[Draft]:
        return [draft for draft in self._drafts if draft.result is None]

    # Before

    def _look(self) -> None:
        """Who is not as was planned has a result."""
        look = self._reader.fresh if all(draft.creates for draft in self._drafts) else self._reader.look
        known = look(self._book)
        moved = known.moved if known is not None else {}
        addresses = {text(one.get("email_address")).lower(): one for one in moved.values()}
        for draft in self._drafts:
            if draft.creates:
                self._look_for_address(draft, addresses, known is None)
            else:
                self._look_at(draft, moved, known is None)

    def _look_for_address(self, draft: Draft, addresses: Mapping[str, Member], unknown: bool) -> None:
        draft.email = str(draft.write.values.get(EMAIL) or "")
        there = addresses.get(draft.email.lower())
        if there is None and unknown and draft.email:
            there = self._reader.by_address(self._book, draft.email)
        if there is not None:
            draft.result = WriteResult(Outcome.STALE, detail=THERE)

    def _look_at(self, draft: Draft, moved: Mapping[str, Member], unknown: bool) -> None:
        """Read anew where it changed since we read it, where nothing is known, or where the whole of it is needed."""
        write = draft.write
        now: Member | None = moved.get(write.remote_id)
        parts = any(":" in name and not name.endswith(f":{fields.BIRTHDAY}") for name in write.values)
        held = write.held.get(EMAIL)
        if now is None and not unknown and not parts and isinstance(held, str):
            draft.email, draft.now = held, {"status": write.held.get(STATUS)}
            return
        if now is None:
            now = self._reader.member_or_none(self._book, write.remote_id)
        if now is None:
            draft.result = WriteResult(Outcome.GONE, detail=errors.GONE_TEXT)
            return
        observed = self._observe(now)
        draft.email, draft.now = text(now.get("email_address")), now
        if not write.still_holds(observed):
            draft.result = WriteResult(Outcome.STALE, observed)

    def _prepare(self) -> None:
        seen: set[str] = set()
        for draft in self._open():
            try:
                self._prepare_one(draft)
            except Rejected as refused:
                draft.result = refusal(draft, refused)
                continue
            if draft.email.lower() in seen:
                draft.result = WriteResult(Outcome.NOT_SENT, detail=WAITING)
            seen.add(draft.email.lower())

    def _prepare_one(self, draft: Draft) -> None:
        values = draft.write.values
        merging = any(name not in fields.KNOWN for name in values)
        types = self._reader.types(self._book) if merging else {}
        if draft.creates:
            self._prepare_new(draft, types)
            return
        draft.body = fields.body(values, types, draft.now)
        if draft.body.get(EMAIL, draft.email) == draft.email:
            draft.body.pop(EMAIL, None)
        if STATUS in values:
            if values[STATUS] != UNSUBSCRIBED:
                raise Rejected(NOT_LOWERED, STATUS)
            draft.body[STATUS] = UNSUBSCRIBED
        if TAGS in values:
            draft.add, draft.remove = self._changed_tags(draft)

    def _prepare_new(self, draft: Draft, types: Mapping[str, str]) -> None:
        values = {name: value for name, value in draft.write.values.items() if value is not None}
        if EMAIL not in values:
            raise Rejected("A Mailchimp contact needs an e-mail address.", EMAIL)
        if values.get(STATUS) not in dict(fields.STATUSES):
            raise Rejected(NO_STATUS, STATUS)
        draft.body = {**fields.body(values, types, {}), STATUS: values[STATUS]}
        draft.add = tags_in(values.get(TAGS))
        if draft.add and self._client.assumed.batch_tags:
            draft.body[TAGS] = draft.add

    def _changed_tags(self, draft: Draft) -> tuple[list[str], list[str]]:
        """What to add and to take away, from what it has now."""
        wanted = {tag.casefold(): tag for tag in tags_in(draft.write.values[TAGS])}
        have = draft.write.held.get(TAGS) if TAGS not in draft.now else fields.tags_of(draft.now)
        there = {tag.casefold(): tag for tag in tags_in(have)}
        return (
            [tag for key, tag in wanted.items() if key not in there],
            [tag for key, tag in there.items() if key not in wanted],
        )

    # Sending

    def _send_together(self, drafts: Sequence[Draft]) -> None:
        """One request; where Mailchimp refuses it as a whole, half by half it comes out whom it means."""
        drafts = [draft for draft in drafts if draft.body]
        if not drafts or self._halted:
            return
        if not drafts[0].creates and not self._client.assumed.update_in_batches:
            for draft in drafts:
                self._one(draft, self._send_alone)
            return
        members = [{"email_address": draft.email, **draft.body} for draft in drafts]
        try:
            answer = self._client.batch(self._book, members, update=not drafts[0].creates)
        except (Rejected, Stale) as refused:
            if len(drafts) == 1:
                drafts[0].result = refusal(drafts[0], refused)
                return
            middle = len(drafts) // 2
            self._send_together(drafts[:middle])
            self._send_together(drafts[middle:])
        except ConnectorError as error:
            self._stop(drafts, error)
        else:
            self._settle(drafts, answer)

    def _settle(self, drafts: Sequence[Draft], answer: Mapping[str, Any]) -> None:
        """By address, never by place. A create that changed somebody, or an update that made somebody, is looked at by
        the next run like any other whose outcome is not known."""
        new, changed = (by_address(answer.get(name)) for name in ("new_members", "updated_members"))
        refused = by_address(answer.get("errors"))
        for draft in drafts:
            key = draft.email.lower()
            shown = (new if draft.creates else changed).get(key)
            if key in refused:
                draft.result = refusal(draft, errors.in_batch(refused[key]))
            elif shown is None:
                draft.result = WriteResult(Outcome.UNKNOWN, detail=NOT_SAID)
            else:
                self._shown(draft, shown)

    def _shown(self, draft: Draft, shown: Member) -> None:
        draft.begun, draft.shown = True, shown
        if draft.creates:
            have = {tag.casefold() for tag in tags_in(fields.tags_of(shown))}
            draft.add = [tag for tag in draft.add if tag.casefold() not in have]

    def _send_alone(self, draft: Draft) -> None:
        if draft.body:
            shown = self._client.update(self._book, draft.write.remote_id, draft.body)
            draft.begun, draft.shown, draft.email = True, shown, text(shown.get("email_address"))

    def _send_tags(self, draft: Draft) -> None:
        self._client.set_tags(self._book, draft.email, draft.add, draft.remove)
        draft.begun, draft.shown = True, None

    def _one(self, draft: Draft, send: Any) -> None:
        if self._halted:
            if draft.begun:
                draft.result = WriteResult(Outcome.UNKNOWN, detail=WAITING)
            return
        try:
            send(draft)
        except RecordGone as gone:
            draft.result = WriteResult(Outcome.GONE, detail=str(gone))
        except (Rejected, Stale) as refused:
            draft.result = refusal(draft, refused)
        except ConnectorError as error:
            self._stop([draft], error)

    def _stop(self, drafts: Sequence[Draft], error: ConnectorError) -> None:
        """These and all later ones are left."""
        self._halted = True
        if isinstance(error, AuthFailed | Misconfigured):
            self._fatal = error
        applied = isinstance(error, Transient) and error.maybe_applied
        for draft in drafts:
            unknown = applied or draft.begun
            draft.result = WriteResult(Outcome.UNKNOWN if unknown else Outcome.NOT_SENT, detail=str(error))

    # After

    def _read_back(self) -> None:
        """Whom an answer showed is known; who got tags is in one listing of what changed, or read by id."""
        begun = [draft for draft in self._open() if draft.begun]
        tagged = [draft for draft in begun if draft.shown is None]
        try:
            moved = self._moved(tagged) if tagged else {}
            for draft in tagged:
                draft.shown = self._now(draft, moved)
            for draft in begun:
                self._done(draft)
        except ConnectorError as error:
            self._stop([draft for draft in begun if draft.result is None], error)
        for draft in self._open():
            if not draft.begun and not draft.body and not draft.add and not draft.remove:
                self._nothing_to_do(draft)

    def _moved(self, tagged: Sequence[Draft]) -> Mapping[str, Member]:
        known = self._reader.look(self._book) if len(tagged) > 1 else None
        return known.moved if known is not None else {}

    def _now(self, draft: Draft, moved: Mapping[str, Member]) -> Member | None:
        if draft.creates:
            return self._reader.by_address(self._book, draft.email)
        return moved.get(draft.write.remote_id) or self._reader.member_or_none(self._book, draft.write.remote_id)

    def _done(self, draft: Draft) -> None:
        if draft.shown is None:
            draft.result = WriteResult(Outcome.GONE, detail=errors.GONE_TEXT)
            return
        observed = self._observe(draft.shown)
        known = self._reader.known(self._book)
        known.moved[observed.remote_id] = draft.shown
        draft.result = WriteResult(Outcome.DONE, observed)

    def _nothing_to_do(self, draft: Draft) -> None:
        """It is as wanted already: shown as it is."""
        try:
            now = self._reader.member_or_none(self._book, draft.write.remote_id)
        except ConnectorError as error:
            self._stop([draft], error)
            return
        gone = WriteResult(Outcome.GONE, detail=errors.GONE_TEXT)
        draft.result = gone if now is None else WriteResult(Outcome.DONE, self._observe(now))

    def _observe(self, member: Member) -> Observed:
        return self._reader.observe(self._book, member, self._asked)


def tags_in(value: Any) -> list[str]:
    """Raises Rejected."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise Rejected("Mailchimp's tags are a list of names.", TAGS)
    return once(value)


def by_address(items: Any) -> dict[str, dict[str, Any]]:
    return {text(one.get("email_address")).lower(): one for one in dicts(items)}


def refusal(draft: Draft, error: ConnectorError) -> WriteResult:
    if isinstance(error, Rejected):
        return WriteResult(Outcome.REFUSED, field=field_in(draft.write, error.field), detail=str(error))
    return WriteResult(Outcome.STALE, detail=str(error))


def field_in(write: Write, named: str) -> str:
    """Mailchimp names a merge field by its tag; a part of an address that we wrote stands for all of it."""
    if named in write.values:
        return named
    tag = named.partition(":")[0]
    return next((name for name in write.values if tag and name.partition(":")[0] == tag), "")
