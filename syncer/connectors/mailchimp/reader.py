"""Members as the engine sees them, and what one connector remembers of an audience while it works."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from syncer.connectors.base import Field, Observed, RecordGone, Transient
from syncer.connectors.mailchimp import fields, wire
from syncer.connectors.mailchimp.client import Client
from syncer.connectors.mailchimp.wire import Member, text

NO_IDS: Final = (
    "Mailchimp does not answer to the id of a contact that it has just listed, so nothing counts as deleted. Tell us: "
    "this is not known to happen."
)
MANY: Final = 25
"""More contacts than this are looked for in the whole list rather than one by one."""
FRESH: Final = 60.0
MARGIN: Final = timedelta(seconds=2)


@dataclass
class Known:
    """What one connector knows of an audience: all that changed up to `until`, by the server's clock (None: it has not
    read it), and how those who changed since its last pass are now, by id. `at`: when it found that out, by ours."""

    until: datetime | None = None
    at: float = 0.0
    moved: dict[str, Member] = field(default_factory=dict)


class Reader:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.asked: Sequence[str] = ()
        self._known: dict[str, Known] = {}
        self._types: dict[str, Mapping[str, str]] = {}
        self._answers_ids: set[str] = set()

    def known(self, book: str) -> Known:
        return self._known.setdefault(book, Known())

    def passed(self, book: str, began: datetime | None) -> None:
        """A pass that began then has shown all."""
        self._known[book] = Known(began, self.client.clock())

    def schema(self, book: str) -> list[Field]:
        found = self.client.merge_fields(book)
        self._types[book] = {text(one.get("tag")): text(one.get("type")) for one in found}
        return fields.schema(found)

    def types(self, book: str) -> Mapping[str, str]:
        """Of the merge fields, by tag."""
        if book not in self._types:
            self.schema(book)
        return self._types[book]

    def observe(self, book: str, member: Member, asked: Sequence[str]) -> Observed:
        remote_id = text(member.get("contact_id"))
        if fields.TAGS in asked:
            member = self._with_all_tags(book, member, remote_id)
        return Observed(remote_id, fields.observed(member, asked))

    def _with_all_tags(self, book: str, member: Member, key: str) -> Member:
        """A member shows a part of its tags where it has many."""
        shown, count = wire.dicts(member.get("tags")), wire.number(member.get("tags_count")) or 0
        if len(shown) >= max(count, 1) or (count == 0 and len(shown) < self.client.assumed.tags_shown):
            return member
        return {**member, "tags": self.client.member_tags(book, key)}

    # By id

    def member(self, book: str, remote_id: str) -> Member:
        """Raises RecordGone where it is proven: Mailchimp answers to the ids of others."""
        try:
            found = self.client.member(book, remote_id)
        except RecordGone:
            self._prove_that_ids_are_answered(book)
            raise
        self._answers_ids.add(book)
        return found

    def _prove_that_ids_are_answered(self, book: str) -> None:
        if book in self._answers_ids:
            return
        for one in self.client.members(book, {}, count=1).members:
            try:
                self.client.member(book, text(one.get("contact_id")))
            except RecordGone:
                raise Transient(NO_IDS) from None
        self._answers_ids.add(book)

    def member_or_none(self, book: str, remote_id: str) -> Member | None:
        try:
            return self.member(book, remote_id)
        except RecordGone:
            return None

    def members(self, book: str, remote_ids: Sequence[str]) -> dict[str, Member | None]:
        """As they are now, None for one that is gone."""
        found: dict[str, Member | None] = {}
        if len(set(remote_ids)) > MANY:
            found |= {one: member for one, member in self._all(book).items() if one in set(remote_ids)}
        return {one: found[one] if one in found else self.member_or_none(book, one) for one in remote_ids}

    def _all(self, book: str) -> dict[str, Member]:
        found: dict[str, Member] = {}
        for status in ({}, {"status": wire.ARCHIVED}):
            offset = 0
            while True:
                sort = {"sort_field": "timestamp_opt", "sort_dir": "ASC"}
                page = self.client.members(book, {**sort, **status}, offset).members
                found |= {text(one.get("contact_id")): one for one in page}
                offset += len(page)
                if len(page) < self.client.assumed.page:
                    break
        return found

    def by_address(self, book: str, email: str) -> Member | None:
        """Archived ones too."""
        try:
            return self.client.member(book, wire.hash_of(email))
        except RecordGone:
            return None

    # What changed since we read

    def look(self, book: str) -> Known | None:
        """All that changed since the last pass or look of this connector is in `moved` afterwards; None where it has
        not read the audience, and so knows of nobody."""
        known = self.known(book)
        if known.until is None:
            return None
        since = wire.stamp(known.until - MARGIN)
        times: list[datetime | None] = []
        for status in ({}, {"status": wire.ARCHIVED}):
            offset = 0
            while True:
                asked = {"since_last_changed": since, "sort_field": "last_changed", "sort_dir": "ASC", **status}
                page = self.client.members(book, asked, offset)
                times.append(page.at)
                known.moved |= {text(one.get("contact_id")): one for one in page.members}
                offset += len(page.members)
                if len(page.members) < self.client.assumed.page:
                    break
        begun = [time for time in times if time is not None]
        known.until = begun[0] if len(begun) == len(times) else known.until
        known.at = self.client.clock()
        return known

    def fresh(self, book: str) -> Known | None:
        """As `look`, but without asking where it was found out a moment ago: for those who are to be created, where
        the pass of the same run has just shown who is there (ENGINE.md 6)."""
        known = self.known(book)
        return known if known.until is not None and self.client.clock() - known.at < FRESH else self.look(book)
