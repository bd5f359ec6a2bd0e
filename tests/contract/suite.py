"""What every connector must do, whatever its app: subclass `ConnectorSuite` with a fixture `bench`, and it is tested.

A `Harness` is one account with one book in an app on this machine, the people who work in that app, and the faults
that can be put between it and us. The suite speaks of fields by the words of WORDS; a harness knows the app's names.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from syncer.connectors.base import (
    BudgetSpent,
    Connector,
    ConnectorError,
    CursorExpired,
    Meter,
    Observed,
    Operation,
    Outcome,
    Page,
    RecordGone,
    Value,
    Values,
    Write,
    WriteResult,
)

WORDS = ("given", "family", "email", "mobile", "title", "note", "tags")
KEPT = "this stays as it is"  # what a contact holds that no test maps
SETTLED = {Outcome.DONE, Outcome.NOT_SENT, Outcome.UNKNOWN}
MOST_PAGES = 50


@dataclass
class Counter:
    """A meter with so many calls in it; `taken` counts."""

    calls: int = 10**6
    taken: int = 0

    def take(self) -> None:
        if self.calls == 0:
            raise BudgetSpent("The budget is spent.", datetime(2026, 11, 24, tzinfo=UTC))
        self.calls, self.taken = self.calls - 1, self.taken + 1


@dataclass(frozen=True)
class Refusal:
    """Values that the app, or the connector for it, refuses; `field` is the app's name of the field at fault, "" where
    the app does not say which."""

    values: Values
    field: str


class Harness(ABC):
    book: str
    names: Mapping[str, str]
    """From our words to the app's fields."""
    secrets: Sequence[str] = ()
    troubles: Sequence[str] = ()
    """Kinds of `trouble`, none of which proves anybody deleted."""
    refusals: Sequence[Refusal] = ()
    samples: Values = {}
    """A value for a field of each type that the app has, by the app's names."""
    defaults: Values = {}
    """What a create in this app cannot do without, by the app's names."""
    page: int = 20
    """More contacts than one page of a listing holds."""

    @abstractmethod
    def connector(self, meter: Meter | None = None) -> Connector: ...

    @abstractmethod
    def nobody(self) -> Connector:
        """A connector to an address where nobody listens."""

    @abstractmethod
    def person_creates(self, **values: Value) -> str:
        """By our words; with KEPT somewhere. The new id."""

    @abstractmethod
    def person_edits(self, remote_id: str, **values: Value) -> None: ...

    @abstractmethod
    def person_deletes(self, remote_id: str) -> None: ...

    @abstractmethod
    def holds(self, remote_id: str) -> str:
        """All that the app itself holds of a contact, as one text."""

    @abstractmethod
    def ids(self) -> set[str]:
        """The live contacts, as the app itself knows them."""

    @abstractmethod
    def requests(self) -> tuple[int, int]:
        """How many requests reached the app since the last look, and how many of them were writes."""

    @abstractmethod
    def lose_answer(self, number: int) -> None:
        """Of the writes to come the one with this number (from 0) is done, and its answer is lost."""

    @abstractmethod
    def trouble(self, kind: str) -> AbstractContextManager[None]:
        """While it lasts, every request is answered with this."""

    @abstractmethod
    def expired_cursor(self) -> str:
        """A delta cursor that the app does not know any more."""

    # What the tests are told in

    def fields(self) -> list[str]:
        return [self.names[word] for word in WORDS]

    def by_name(self, values: Mapping[str, Value]) -> dict[str, Value]:
        return {self.names[word]: value for word, value in values.items()}

    def create(self, number: int = 0, **values: Value) -> Write:
        wanted = {"given": "Ada", "family": f"Lovelace {number}", "email": f"ada{number}@example.com", **values}
        key = str(UUID(int=number + 1))
        return Write(Operation.CREATE, key, {**self.defaults, **self.by_name(wanted)})

    def update(self, of: Observed, still_holds: bool = True, **values: Value) -> Write:
        named, key = self.by_name(values), str(UUID(int=10**6))
        etag = of.etag if still_holds else f"{of.etag}-old"
        return Write(Operation.UPDATE, key, named, of.remote_id, etag, lambda observed: still_holds)

    def people(self, count: int) -> list[str]:
        return [
            self.person_creates(given=f"P{n}", family=f"L{n}", email=f"p{n}@example.com", title="Lady")
            for n in range(count)
        ]

    def value(self, observed: Observed, word: str) -> Value:
        return observed.values[self.names[word]]


def results(connector: Connector, book: str, writes: Sequence[Write]) -> list[WriteResult]:
    """As the engine takes them: what a batch leaves out is unknown."""
    found: list[WriteResult] = []
    with suppress(ConnectorError):
        found += connector.write(book, writes)
    assert len(found) <= len(writes), "at most one result for each write"
    return found + [WriteResult(Outcome.UNKNOWN)] * (len(writes) - len(found))


@dataclass
class Pass:
    """A pass as the engine does it: to the end, or until a delta reaches ground without news."""

    pages: list[Page] = field(default_factory=list)
    records: dict[str, Observed] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    cursor: str = ""


def read_pass(
    connector: Connector, bench: Harness, cursor: str = "", known: Mapping[str, Observed] | None = None
) -> Pass:
    done = Pass()
    for _ in range(MOST_PAGES):
        page = connector.changes(bench.book, cursor, bench.fields())
        news = [one for one in page.records if (known or {}).get(one.remote_id) != one]
        done.pages.append(page)
        done.records |= {one.remote_id: one for one in page.records}
        done.gone |= set(page.gone)
        cursor = page.cursor
        if page.done or (page.stop_if_known and not news and not set(page.gone) & set(known or {})):
            # The next delta goes from where this pass began.
            done.cursor = next(one.finish for one in done.pages if one.finish) if page.finish else page.cursor
            return done
    raise AssertionError("the pass does not end")


def said(error: BaseException | None) -> str:
    """All that an error and those behind it say."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), repr(error.args)]
        error = error.__cause__ or error.__context__
    return " ".join(texts)


class ReadingSuite:
    """What an app can be asked; all of it for an app that is only read."""

    @pytest.fixture
    def bench(self) -> Iterator[Harness]:
        raise NotImplementedError

    @pytest.fixture
    def connector(self, bench: Harness) -> Connector:
        return bench.connector()

    # Reading

    @pytest.mark.proves("I17", "E2 pull")
    def test_ids_are_stable(self, bench: Harness, connector: Connector) -> None:
        people = bench.people(3)
        assert set(read_pass(connector, bench).records) == set(people)
        bench.person_edits(people[0], family="Changed", email="other@example.com")
        again = read_pass(bench.connector(), bench).records
        assert set(again) == set(people)
        assert bench.value(again[people[0]], "family") == "Changed"

    @pytest.mark.proves("I5", "E3 absent")
    def test_an_empty_field_is_none_and_an_unknown_one_is_absent(self, bench: Harness, connector: Connector) -> None:
        one = bench.person_creates(given="Ada", family="Lovelace", email="ada@example.com")
        seen = connector.read(bench.book, one, [*bench.fields(), "no such field"])
        assert {word: bench.value(seen, word) for word in ("mobile", "note", "tags")} == {
            "mobile": None,
            "note": None,
            "tags": None,
        }
        assert "no such field" not in seen.values
        listed = read_pass(connector, bench).records[one]
        assert {name: listed.values[name] for name in bench.fields()} == {
            name: seen.values[name] for name in bench.fields()
        }

    @pytest.mark.proves("I26", "E2 complete")
    def test_a_full_pass_shows_everybody_once_and_proves_it(self, bench: Harness, connector: Connector) -> None:
        people = bench.people(bench.page + 5)
        bench.person_deletes(people[1])
        done = read_pass(connector, bench)
        assert sorted(one.remote_id for page in done.pages for one in page.records) == sorted(set(people) - {people[1]})
        last = done.pages[-1]
        assert last.complete or last.total == len(people) - 1
        assert len(done.pages) > 1
        assert done.cursor

    @pytest.mark.proves("I20", "E2 pull")
    def test_a_delta_shows_who_came_changed_and_went(self, bench: Harness, connector: Connector) -> None:
        people = bench.people(4)
        full = read_pass(connector, bench)
        new = bench.person_creates(given="New", family="Person", email="new@example.com")
        bench.person_edits(people[0], title="Countess")
        bench.person_deletes(people[1])
        delta = read_pass(connector, bench, full.cursor, full.records)
        assert bench.value(delta.records[people[0]], "title") == "Countess"
        assert new in delta.records
        assert people[1] in delta.gone
        assert not delta.gone & {new, people[0], people[2], people[3]}
        assert people[1] not in delta.records
        assert delta.cursor

    @pytest.mark.proves("I14", "E2 pull")
    def test_a_delta_without_news_is_at_most_two_requests(self, bench: Harness, connector: Connector) -> None:
        bench.people(3)
        full = read_pass(connector, bench)
        settled = read_pass(connector, bench, full.cursor, full.records)
        bench.requests()
        quiet = read_pass(connector, bench, settled.cursor, full.records)
        assert not quiet.gone
        assert all(full.records[one] == seen for one, seen in quiet.records.items())
        assert bench.requests()[0] <= 2

    @pytest.mark.proves("I17", "E2 pull")
    def test_a_page_asked_for_again_is_the_same(self, bench: Harness, connector: Connector) -> None:
        bench.people(bench.page + 5)
        first = connector.changes(bench.book, "", bench.fields())
        second = connector.changes(bench.book, first.cursor, bench.fields())
        for again in (connector, bench.connector()):
            assert again.changes(bench.book, "", bench.fields()).records == first.records
            assert again.changes(bench.book, first.cursor, bench.fields()).records == second.records

    @pytest.mark.proves("E2 expired cursor")
    def test_a_cursor_that_the_app_does_not_know_has_expired(self, bench: Harness, connector: Connector) -> None:
        bench.people(2)
        with pytest.raises(CursorExpired):
            connector.changes(bench.book, bench.expired_cursor(), bench.fields())
        assert len(read_pass(connector, bench).records) == 2

    @pytest.mark.proves("I27")
    def test_a_deleted_contact_is_gone(self, bench: Harness, connector: Connector) -> None:
        one, two = bench.people(2)
        bench.person_deletes(one)
        with pytest.raises(RecordGone):
            connector.read(bench.book, one, bench.fields())
        assert connector.read(bench.book, two, bench.fields()).remote_id == two

    @pytest.mark.proves("I27", "I34")
    def test_no_trouble_proves_anybody_deleted(self, bench: Harness) -> None:
        one, two = bench.people(2)
        for kind in bench.troubles:
            connector = bench.connector()
            with bench.trouble(kind):
                for what in (
                    lambda c: c.read(bench.book, one, bench.fields()),
                    lambda c: c.read_many(bench.book, [one, two], bench.fields()),
                    lambda c: c.changes(bench.book, "", bench.fields()),
                    lambda c: c.find(bench.book, "p0@example.com", fields=bench.fields()),
                ):
                    gone, text = outcome(what, connector)
                    assert not gone, f"{kind} is taken for a deletion"
                    assert not [secret for secret in bench.secrets if secret in text], f"{kind} gives a secret away"
        assert {one.remote_id for one in bench.connector().find(bench.book, "p0@example.com")} == {one}

    @pytest.mark.proves("E2 suspects")
    def test_several_are_read_in_the_order_asked(self, bench: Harness, connector: Connector) -> None:
        first, second, third = bench.people(3)
        bench.person_deletes(second)
        found = connector.read_many(bench.book, [third, second, first], bench.fields())
        assert [one and one.remote_id for one in found] == [third, None, first]
        assert connector.read_many(bench.book, [], bench.fields()) == []

    @pytest.mark.proves("E7 creates")
    def test_find_minds_no_case_and_finds_no_one_else(self, bench: Harness, connector: Connector) -> None:
        one = bench.person_creates(given="Ada", family="Lovelace", email="Ada@Example.com")
        two = bench.person_creates(given="Eve", family="Other", email="ada@example.com")
        bench.person_creates(given="Ben", family="Other", email="ada@example.com.au")
        bench.person_creates(given="Cem", family="Other", email="bada@example.com")
        bench.person_creates(given="Dag", family="Without")
        bench.person_deletes(two)
        found = connector.find(bench.book, "ada@example.com", fields=bench.fields())
        assert [seen.remote_id for seen in found] == [one]
        assert bench.value(found[0], "family") == "Lovelace"
        assert list(connector.find(bench.book, "nobody@example.com", fields=bench.fields())) == []


class ConnectorSuite(ReadingSuite):
    # Writing

    @pytest.mark.proves("E6 batches")
    def test_a_create_returns_what_the_app_holds(self, bench: Harness, connector: Connector) -> None:
        writes = [bench.create(n, title="Countess", tags=["VIP", "bags"]) for n in range(3)]
        ids = [connector.created_id(bench.book, write) for write in writes]
        done = results(connector, bench.book, writes)
        assert [result.outcome for result in done] == [Outcome.DONE] * 3
        for number, (result, chosen) in enumerate(zip(done, ids, strict=True)):
            assert result.observed is not None
            seen = connector.read(bench.book, result.observed.remote_id, bench.fields())
            assert {name: result.observed.values[name] for name in bench.fields()} == {
                name: seen.values[name] for name in bench.fields()
            }
            assert chosen in ("", seen.remote_id)
            assert (bench.value(seen, "family"), bench.value(seen, "title")) == (f"Lovelace {number}", "Countess")
            assert sorted(tags_of(bench.value(seen, "tags"))) == ["VIP", "bags"]
        assert len(bench.ids()) == 3

    @pytest.mark.proves("I11", "E7 create never updates")
    def test_a_create_never_changes_a_contact_that_is_there(self, bench: Harness, connector: Connector) -> None:
        there = bench.person_creates(given="Ada", family="Lovelace", email="ada0@example.com", title="Lady")
        before = bench.holds(there)
        (result,) = results(connector, bench.book, [bench.create(0, title="Countess")])
        assert bench.holds(there) == before
        assert result.observed is None or result.observed.remote_id != there
        assert len(bench.ids()) == (2 if result.outcome is Outcome.DONE else 1)

    @pytest.mark.proves("I1", "E6 changed fields")
    def test_an_update_changes_the_changed_fields_alone(self, bench: Harness, connector: Connector) -> None:
        """Even where a person has edited another field since we looked."""
        one = bench.person_creates(given="Ada", family="Lovelace", email="ada@example.com", title="Lady", tags=["VIP"])
        seen = connector.read(bench.book, one, bench.fields())
        bench.person_edits(one, note="First programmer")
        (result,) = results(connector, bench.book, [bench.update(seen, title="Countess", mobile="+12125550001")])
        assert result.outcome is Outcome.DONE
        assert result.observed is not None
        expected = {"given": "Ada", "title": "Countess", "note": "First programmer", "tags": ["VIP"]}
        assert {word: bench.value(result.observed, word) for word in expected} == expected
        assert KEPT in bench.holds(one)
        assert "First programmer" in bench.holds(one)

    @pytest.mark.proves("I4", "E6 changed fields")
    def test_a_field_can_be_emptied(self, bench: Harness, connector: Connector) -> None:
        one = bench.person_creates(given="Ada", family="Lovelace", email="ada@example.com", title="Lady", tags=["VIP"])
        seen = connector.read(bench.book, one, bench.fields())
        (result,) = results(connector, bench.book, [bench.update(seen, title=None, tags=None)])
        assert result.outcome is Outcome.DONE
        now = connector.read(bench.book, one, bench.fields())
        assert (bench.value(now, "title"), bench.value(now, "tags")) == (None, None)
        assert bench.value(now, "given") == "Ada"

    @pytest.mark.proves("I1", "E6 re-read")
    def test_what_somebody_changed_is_stale_and_not_written(self, bench: Harness, connector: Connector) -> None:
        one = bench.person_creates(given="Ada", family="Lovelace", email="ada@example.com", title="Lady")
        seen = connector.read(bench.book, one, bench.fields())
        bench.person_edits(one, title="Analyst")
        before = bench.holds(one)
        bench.requests()
        (result,) = results(connector, bench.book, [bench.update(seen, still_holds=False, title="Countess")])
        assert result.outcome is Outcome.STALE
        assert result.observed is not None
        assert bench.value(result.observed, "title") == "Analyst"
        assert bench.holds(one) == before
        assert bench.requests()[1] == 0

    @pytest.mark.proves("I6", "E7 updates")
    def test_an_update_of_a_deleted_contact_creates_nobody(self, bench: Harness, connector: Connector) -> None:
        one, two = bench.people(2)
        seen = [connector.read(bench.book, remote_id, bench.fields()) for remote_id in (one, two)]
        bench.person_deletes(one)
        done = results(connector, bench.book, [bench.update(each, title="Countess") for each in seen])
        assert [result.outcome for result in done] == [Outcome.GONE, Outcome.DONE]
        assert bench.ids() == {two}

    @pytest.mark.proves("E6 batches")
    def test_one_result_for_each_write_in_their_order(self, bench: Harness, connector: Connector) -> None:
        people = bench.people(3)
        seen = [connector.read(bench.book, one, bench.fields()) for one in people]
        writes = [
            bench.update(seen[0], title="T0"),
            bench.create(7),
            bench.update(seen[1], still_holds=False, title="T1"),
            bench.update(seen[2], title="T2"),
        ]
        bench.person_edits(people[1], note="Moved")
        bench.requests()
        done = results(connector, bench.book, writes)
        assert [result.outcome for result in done] == [Outcome.DONE, Outcome.DONE, Outcome.STALE, Outcome.DONE]
        ids = [result.observed.remote_id if result.observed is not None else "" for result in done]
        assert (ids[0], ids[2], ids[3]) == tuple(people)
        assert bench.requests()[1] == 3
        assert results(connector, bench.book, []) == []
        assert bench.requests() == (0, 0)

    @pytest.mark.parametrize("operation", ["create", "update"])
    @pytest.mark.parametrize("number", [0, 2])
    @pytest.mark.proves("I11", "E6 broken batches")
    def test_a_lost_answer_is_unknown_and_nothing_is_sent_twice(
        self, bench: Harness, operation: str, number: int
    ) -> None:
        people = bench.people(4)
        connector = bench.connector()
        seen = [connector.read(bench.book, one, bench.fields()) for one in people]
        writes = [bench.create(n) if operation == "create" else bench.update(seen[n], title=f"T{n}") for n in range(4)]
        bench.requests()
        bench.lose_answer(number)
        done = [result.outcome for result in results(connector, bench.book, writes)]
        assert done[:number] == [Outcome.DONE] * number
        assert done[number] is Outcome.UNKNOWN
        assert set(done[number + 1 :]) <= SETTLED
        sent = bench.requests()[1]
        assert number + 1 <= sent <= len(writes)
        if operation == "create":
            assert len(bench.ids()) == len(people) + sent
            return
        held = [f"T{n}" in bench.holds(one) for n, one in enumerate(people)]
        assert held[: number + 1] == [True] * (number + 1)
        for outcome, applied in zip(done, held, strict=True):
            assert outcome is Outcome.UNKNOWN or applied is (outcome is Outcome.DONE)

    @pytest.mark.proves("E7 never left")
    def test_where_nobody_listens_nothing_was_sent(self, bench: Harness) -> None:
        people = bench.people(1)
        seen = bench.connector().read(bench.book, people[0], bench.fields())
        for write in (bench.create(1), bench.update(seen, title="Countess")):
            outcomes = [result.outcome for result in results(bench.nobody(), bench.book, [write, bench.create(2)])]
            assert outcomes == [Outcome.NOT_SENT, Outcome.NOT_SENT]

    @pytest.mark.proves("I8", "E7 stored")
    def test_each_type_comes_back_as_the_connector_says(self, bench: Harness, connector: Connector) -> None:
        fields = {one.name: one for one in connector.fields(bench.book)}
        write = bench.create(0)
        write = Write(Operation.CREATE, write.key, {**write.values, **bench.samples})
        connector.changes(bench.book, "", [*bench.fields(), *bench.samples])
        (result,) = results(connector, bench.book, [write])
        assert result.outcome is Outcome.DONE, result.detail
        assert result.observed is not None
        seen = connector.read(bench.book, result.observed.remote_id, [*bench.fields(), *bench.samples])
        for name, value in bench.samples.items():
            assert seen.values[name] == connector.stored(fields[name], value), name
        assert {fields[name].type for name in bench.samples} == {one.type for one in fields.values() if one.writable}

    @pytest.mark.proves("I21", "E6 one bad item")
    def test_what_the_app_refuses_names_its_field_and_stops_no_other(self, bench: Harness) -> None:
        for refusal in bench.refusals:
            connector = bench.connector()
            bad, before = bench.create(1), bench.ids()
            bad = Write(Operation.CREATE, bad.key, {**bad.values, **refusal.values})
            refused, done = results(connector, bench.book, [bad, bench.create(2)])
            assert (refused.outcome, refused.field) == (Outcome.REFUSED, refusal.field), refusal
            assert refused.detail
            assert done.outcome is Outcome.DONE
            (made,) = bench.ids() - before
            bench.person_deletes(made)

    # What it costs, and what it says

    @pytest.mark.proves("E10 budgets")
    def test_each_request_is_taken_from_the_meter(self, bench: Harness) -> None:
        people, meter = bench.people(3), Counter()
        bench.requests()
        connector = bench.connector(meter)
        for act in acts(bench, people):
            act(connector)
            assert meter.taken == bench.requests()[0] > 0
            meter.taken = 0

    @pytest.mark.parametrize("calls", range(5))
    @pytest.mark.proves("E10 budgets")
    def test_a_spent_budget_stops_before_the_request(self, bench: Harness, calls: int) -> None:
        people = bench.people(3)
        for act in acts(bench, people):
            connector = bench.connector(Counter(calls))
            bench.requests()
            try:
                act(connector)
            except BudgetSpent:
                assert bench.requests()[0] == calls
            else:
                assert bench.requests()[0] <= calls
        assert set(people) <= bench.ids()


def tags_of(value: Value) -> list[str]:
    assert isinstance(value, list)
    return value


def outcome(what: Any, connector: Connector) -> tuple[bool, str]:
    """Whether somebody is told gone by this, and all that the error said."""
    try:
        found = what(connector)
    except RecordGone:
        return True, ""
    except ConnectorError as error:
        return False, said(error)
    return (None in found if isinstance(found, list) else bool(getattr(found, "gone", ()))), ""


def acts(bench: Harness, people: Sequence[str]) -> list[Any]:
    """One call of each kind."""

    def update(connector: Connector) -> None:
        seen = Observed(people[0], {})
        done = results(connector, bench.book, [bench.update(seen, title="T"), bench.create(1)])
        assert {result.outcome for result in done} <= SETTLED

    return [
        lambda connector: connector.check(),
        lambda connector: connector.changes(bench.book, "", bench.fields()),
        lambda connector: connector.read(bench.book, people[0], bench.fields()),
        lambda connector: connector.read_many(bench.book, people, bench.fields()),
        lambda connector: connector.find(bench.book, "p0@example.com", fields=bench.fields()),
        update,
    ]
