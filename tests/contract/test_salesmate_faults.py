"""Every fault of the stand-in, and what the connector and the engine make of it: nothing lost, nothing doubled, and
words that say what to do."""

import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connections import services
from connections.models import Account
from sandbox.salesmate import Levers
from sandbox.salesmate.faults import AFTER, BEFORE, FAULTS
from syncer.audit.verify import verify
from syncer.connectors import registry
from syncer.connectors.base import (
    AuthFailed,
    Connector,
    ConnectorError,
    Meter,
    Outcome,
    RateLimited,
    RecordGone,
    Rejected,
    Transient,
)
from syncer.connectors.registry import Options
from syncer.connectors.salesmate import batch, errors
from syncer.connectors.salesmate.connector import BOOK, Salesmate
from syncer.connectors.wire import World
from syncer.engine.run import run_slice
from syncer.models import Change, Hold, Link, LogChain, Record
from tests.contract.salesmate import (
    ADA,
    KEYS,
    NAMES,
    PATIENT,
    Bench,
    OfWrites,
    account_of,
    bench,
    create,
    results,
    update,
)
from tests.engine.real import ANNA, Real, card, real
from tests.needs import needs


class Hasty(socket.socket):
    """Waits for nothing longer than a fifth of a second: a time-out without the time."""

    def settimeout(self, value: float | None) -> None:
        super().settimeout(0.2 if value is None else min(value, 0.2))


def hasty(address: tuple[str, int], timeout: float) -> socket.socket:
    made = Hasty(socket.AF_INET)
    made.settimeout(timeout)
    made.connect(address)
    return made


HASTY: World = replace(PATIENT, connect=hasty)


@pytest.fixture
def acme() -> Iterator[Bench]:
    with bench() as made:
        yield made


def connector(acme: Bench, **keys: str) -> Salesmate:
    return Salesmate(account_of(**keys), Options(True, {"salesmate": acme.url}), world=HASTY)


# The connector

ERRORS: dict[str, type[ConnectorError] | None] = {
    **dict.fromkeys((*BEFORE, *AFTER), Transient),
    "auth": AuthFailed,
    "auth_401": AuthFailed,
    "forbidden": AuthFailed,
    "limit": RateLimited,
    "wrong_type": None,  # the answer is whole, whatever it calls itself
}


@pytest.mark.parametrize("kind", sorted(ERRORS))
@pytest.mark.proves("I27", "I34")
def test_what_a_reading_makes_of_each_fault(acme: Bench, kind: str) -> None:
    ada = acme.app.person_create(**ADA)
    salesmate = connector(acme)
    for read in (lambda: salesmate.read(BOOK, str(ada), NAMES), lambda: salesmate.changes(BOOK, "", NAMES)):
        acme.app.fault(kind, times=3)
        expected = ERRORS[kind]
        if expected is None:
            read()
            acme.app.faults.clear()
            continue
        with pytest.raises(expected) as caught:
            read()
        assert not isinstance(caught.value, RecordGone)
        assert "canary" not in repr((caught.value, caught.value.args, caught.value.__context__))
        assert str(caught.value).endswith(".")
        acme.app.faults.clear()
    assert salesmate.read(BOOK, str(ada), NAMES).remote_id == str(ada)


OUTCOMES: dict[str, Outcome] = {
    **dict.fromkeys((*BEFORE, *AFTER), Outcome.UNKNOWN),
    "auth": Outcome.NOT_SENT,
    "auth_401": Outcome.NOT_SENT,
    "forbidden": Outcome.REFUSED,
    "limit": Outcome.NOT_SENT,
    "wrong_type": Outcome.DONE,
}


@pytest.mark.parametrize("kind", sorted(OUTCOMES))
@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.proves("I11", "E6 batches")
def test_what_a_write_makes_of_each_fault(acme: Bench, kind: str, method: str) -> None:
    """No answer, or none that is understood, is unknown; and it is never sent again."""
    ada = acme.app.person_create(**ADA)
    acme.app.fault(kind, method, "/apis/contact/v4" if method == "POST" else f"/{ada}")
    given = []
    try:
        for result in connector(acme).write(BOOK, [create() if method == "POST" else update(ada, mobile="1")]):
            given.append(result)
    except AuthFailed:
        assert kind.startswith("auth")
    (result,) = given
    assert result.outcome is OUTCOMES[kind]
    assert result.detail or result.outcome is Outcome.DONE
    assert len(acme.sent(method)) == 1
    applied = (
        len(acme.app.account.contacts) == 2 if method == "POST" else acme.app.account.contacts[ada]["mobile"] == "1"
    )
    assert applied is (kind in AFTER)


def test_every_fault_is_tried() -> None:
    assert set(ERRORS) == set(OUTCOMES) == FAULTS - {"ignored"}


def test_an_ignored_write_reads_back_as_it_was(acme: Bench) -> None:
    """What stands there is what counts: the old value of an update, nobody for a create."""
    ada = acme.app.person_create(**ADA, mobile="old")
    acme.app.fault("ignored", "PUT")
    acme.app.fault("ignored", "POST", "/apis/contact/v4")
    updated, created = results(connector(acme), update(ada, mobile="new"), create())
    assert updated.outcome is Outcome.DONE
    assert updated.observed is not None
    assert updated.observed.values["mobile"] == "old"
    assert created.observed is not None
    assert (created.outcome, created.observed.problem) == (Outcome.DONE, batch.GONE_AT_ONCE)


@pytest.mark.parametrize(("form", "wait"), [("json", None), ("html", None), ("words", None), ("later", 120)])
@pytest.mark.parametrize("with_200", [False, True])
def test_over_the_limit_in_every_form(acme: Bench, form: str, wait: float | None, with_200: bool) -> None:
    acme.app.levers.over_limit, acme.app.levers.failures_with_200 = form, with_200
    acme.app.levers.calls_per_hour = 0
    with pytest.raises(RateLimited) as caught:
        connector(acme).check()
    assert (str(caught.value), caught.value.retry_after) == (errors.LIMIT_TEXT, wait)


@pytest.mark.parametrize("with_200", [False, True])
@pytest.mark.parametrize("key", ["access_key", "secret_key"])
def test_another_key_in_place_of_the_session_key(acme: Bench, key: str, with_200: bool) -> None:
    acme.app.levers.failures_with_200 = with_200
    with pytest.raises(AuthFailed, match="third value under My Account"):
        connector(acme, session_key=KEYS[key]).check()


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.proves("I27")
def test_a_deleted_contact_is_gone_whether_or_not_a_get_shows_it(acme: Bench, shown: bool) -> None:
    ada = acme.app.person_create(**ADA)
    acme.app.person_delete(ada)
    acme.app.levers.deleted_shown = shown
    with pytest.raises(RecordGone):
        connector(acme).read(BOOK, str(ada), NAMES)


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"owner": "99"}, "owner", "Choose an active user"),
        ({"currency": "XXX"}, "currency", "one that is active in its settings"),
        ({"lastName": None}, "lastName", "needs a last name"),
        ({"intCustomField1": 2**31}, "intCustomField1", "the value of Seats"),
        ({"textCustomField1": "x" * 256}, "textCustomField1", "Nickname is too long"),
    ],
)
@pytest.mark.parametrize("with_200", [False, True])
def test_a_refusal_names_the_field_the_account_s_own_too(
    acme: Bench, values: dict[str, Any], field: str, words: str, with_200: bool
) -> None:
    acme.app.levers.failures_with_200 = with_200
    first, second = results(connector(acme), create(**values), create(**values))
    for result in (first, second):
        assert (result.outcome, result.field) == (Outcome.REFUSED, field)
        assert words in result.detail
    assert acme.calls().count("GET module/v4/1/fields") == (1 if "CustomField" in field else 0)


def test_a_refusal_whose_field_cannot_be_looked_up_is_a_refusal_all_the_same(acme: Bench) -> None:
    acme.app.fault("drop_before", "GET", "/fields", times=3)
    with pytest.raises(Rejected) as caught:
        acme.reader().client.create({"lastName": "L", "owner": 1, "intCustomField1": 2**31})
    assert caught.value.field == ""


# The engine

SEARCH, GET, PUT, POST = "/search", "/apis/contact/v4/", "/apis/contact/v4/", "/apis/contact/v4"


def connect(account: Account, meter: Meter) -> Connector:
    """As the portal does it, but waiting for nobody."""
    if account.app != "salesmate":
        return services.connector_of(account, meter)
    return Salesmate(account_of(), registry.options(), meter, world=HASTY)


def person(n: int, *lines: str) -> str:
    return card(f"p{n}", f"FN:Given{n} Family{n}", f"N:Family{n};Given{n};;;", f"EMAIL:p{n}@example.com", *lines)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Real]:
    """Four people in both, in sync."""
    with real(tmp_path) as world:
        world.worker = replace(world.worker, connect=connect)
        world.radicale.fill("alice", [person(n) for n in range(4)])
        world.settle()
        world.clock.forward(300)
        yield world


def work_on_both_sides(world: Real) -> None:
    """An edit and a new contact on each side."""
    world.radicale.place("alice", "p0", person(0, "NOTE:First programmer"))
    world.radicale.place("alice", "p4", person(4))
    world.salesmate.person_edit(world.number("p1@example.com"), designation="Countess")
    world.salesmate.person_create(firstName="Given5", lastName="Family5", email="p5@example.com", owner=1)


def until_quiet(world: Real) -> None:
    """Runs, and a person who enters the keys again where they are asked for."""
    for _ in range(20):
        world.clock.forward(400)
        outcome = run_slice(world.connection.pk, world.worker)
        account = world.connection.right_account
        account.refresh_from_db()
        if account.status == Account.Status.NEEDS_AUTHORIZATION:
            assert account.status_text in (errors.AUTH_TEXT, errors.FORBIDDEN_TEXT)
            services.check_account(account, ANNA, clock=world.clock)
        elif outcome.status == "quiet" and not Change.objects.filter(state="sending").exists():
            return
    raise AssertionError(f"not quiet: {outcome}")


def emails_of_the_book(world: Real) -> Counter[str]:
    texts = [path.read_text() for path in world.radicale.book_folder("alice").glob("*.vcf")]
    found = [re.search(r"^EMAIL[^:]*:(.*)$", text, re.MULTILINE) for text in texts]
    return Counter(one[1] for one in found if one is not None)


def assert_both_have_everything_once(world: Real) -> None:
    everybody = Counter(f"p{n}@example.com" for n in range(6))
    assert Counter(row["email"] for row in world.salesmate.account.contacts.values()) == everybody
    assert emails_of_the_book(world) == everybody
    assert world.people()["p0@example.com"]["description"] == "First programmer"
    assert "TITLE:Countess" in world.radicale.read("alice", "p1")
    assert Link.objects.filter(state="in_sync").count() == 6
    assert not Hold.objects.filter(resolved__isnull=True).exists()


def assert_the_log_is_whole(world: Real) -> None:
    intents, done = (world.entries(kind) for kind in ("write.intent", "write.result"))
    changes = [[json.loads(entry.header)["change"] for entry in entries] for entries in (intents, done)]
    assert sorted(changes[0]) == sorted(changes[1])
    for chain in LogChain.objects.all():
        assert verify(chain.name).ok


@needs("radicale")
@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", sorted(FAULTS - {"ignored", "forbidden"}))
@pytest.mark.proves("I2", "I11", "I15", "I26", "I30")
def test_each_fault_at_every_kind_of_call_loses_and_doubles_nobody(world: Real, kind: str) -> None:
    work_on_both_sides(world)
    for method, path in (("POST", SEARCH), ("GET", GET), ("PUT", PUT)):
        world.salesmate.fault(kind, method, path)
    world.salesmate.faults.append(OfWrites(kind, "POST", POST))
    until_quiet(world)
    assert not [fault for fault in world.salesmate.faults if fault.times > 0]
    assert_both_have_everything_once(world)
    assert_the_log_is_whole(world)


@needs("radicale")
@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
@pytest.mark.proves("I21", "I22", "E6 backoff")
def test_what_the_user_of_the_key_may_not_do_waits_with_its_reason_until_the_account_is_authorised_again(
    world: Real,
) -> None:
    work_on_both_sides(world)
    world.salesmate.fault("forbidden", "PUT", PUT)
    world.salesmate.faults.append(OfWrites("forbidden", "POST", POST))
    until_quiet(world)
    reasons = Link.objects.filter(state="failing").values_list("reason", flat=True)
    assert list(reasons) == [errors.FORBIDDEN_TEXT] * 2
    assert "p5@example.com" in emails_of_the_book(world)
    services.check_account(world.connection.right_account, ANNA, clock=world.clock)
    until_quiet(world)
    assert_both_have_everything_once(world)


@needs("radicale")
@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
@pytest.mark.proves("I2", "I16", "E6 read-back")
def test_an_update_that_is_accepted_and_ignored_is_told_in_the_log_and_not_sent_for_ever(world: Real) -> None:
    world.radicale.place("alice", "p0", person(0, "NOTE:First programmer"))
    world.salesmate.fault("ignored", "PUT", PUT, times=99)
    until_quiet(world)
    assert "NOTE:First programmer" in world.radicale.read("alice", "p0")
    assert json.loads(world.entries("write.result")[-1].payload or "")["stored"] == {"description": None}
    assert world.contacts_put()[str(world.number("p0@example.com"))] == 2  # the create, and this one
    world.radicale.place("alice", "p0", person(0, "NOTE:Countess"))
    world.salesmate.faults.clear()
    until_quiet(world)
    assert world.people()["p0@example.com"]["description"] == "Countess"


@needs("radicale")
@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
@pytest.mark.proves("I2", "I11", "E6 read-back")
def test_a_create_that_is_accepted_and_ignored_touches_nobody_else_and_is_told(world: Real) -> None:
    """To us it is a contact that was deleted at once. It is not made again and again, and the left keeps its own."""
    world.radicale.place("alice", "p4", person(4))
    world.salesmate.faults.append(OfWrites("ignored", "POST", POST))
    until_quiet(world)
    assert "FN:Given4 Family4" in world.radicale.read("alice", "p4")
    assert "p4@example.com" not in world.people()
    assert Link.objects.exclude(state="in_sync").exclude(reason="").count() == 1
    assert_the_log_is_whole(world)


@needs("radicale")
@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("form", ["json", "html", "words", "later"])
@pytest.mark.proves("I2", "I11", "I14")
def test_over_the_limit_in_the_middle_of_a_run_goes_on_in_the_next_hour(world: Real, form: str) -> None:
    work_on_both_sides(world)
    world.salesmate.levers.over_limit = form
    calls = len(world.salesmate.log) + 7
    world.salesmate.levers.calls_per_hour = calls
    outcomes = []
    for _ in range(14):
        world.clock.forward(400)
        outcomes.append(run_slice(world.connection.pk, world.worker))
    assert errors.LIMIT_TEXT in {outcome.reason for outcome in outcomes}
    world.salesmate.levers.calls_per_hour = 1500
    until_quiet(world)
    assert_both_have_everything_once(world)
    assert_the_log_is_whole(world)


@needs("radicale")
@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "levers",
    [
        {"failures_with_200": True},
        {"capital_objects": True},
        {"stamps": "milliseconds"},
        {"stamps": "iso"},
        {"stamps": "text"},
        {"active_as_number": True},
        {"tag_separator": ", "},
        {"deleted_shown": False},
        {"unstable_paging": True, "most_rows": 2},
        {"shuffle_ties": True, "most_rows": 2},
    ],
    ids=str,
)
@pytest.mark.proves("I2", "I11", "I14", "I15")
def test_however_salesmate_spells_it_both_sides_get_everything_once(world: Real, levers: dict[str, Any]) -> None:
    for name, value in levers.items():
        setattr(world.salesmate.levers, name, value)
    work_on_both_sides(world)
    until_quiet(world)
    assert_both_have_everything_once(world)
    world.salesmate.person_delete(world.number("p2@example.com"))
    world.salesmate.person_edit(world.number("p3@example.com"), tags="VIP")
    until_quiet(world)
    assert "PieSync Trash" in world.radicale.read("alice", "p2")
    assert "CATEGORIES:VIP" in world.radicale.read("alice", "p3")
    world.clock.forward(300)
    before = world.writes_seen()
    assert world.sync().status == "quiet"
    assert world.writes_seen() == before


@needs("radicale")
@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
@pytest.mark.proves("I26", "E2 complete")
@pytest.mark.parametrize("levers", [{"cut_listing_at": 1}, {"empty_listing": True}, {"ignore_filters": True}], ids=str)
def test_a_listing_that_cannot_be_true_takes_nobody_for_deleted(world: Real, levers: dict[str, Any]) -> None:
    """Not in a delta, and not in the full pass of the day."""
    for name, value in levers.items():
        setattr(world.salesmate.levers, name, value)
    for _ in range(2):
        run_slice(world.connection.pk, world.worker)
        world.clock.forward(86_400)
    assert "PieSync Trash" not in "".join(world.radicale.read("alice", f"p{n}") for n in range(4))
    assert not Record.objects.filter(state__in=["gone", "suspect"]).exists()
    for name in levers:
        setattr(world.salesmate.levers, name, getattr(Levers(), name))
    work_on_both_sides(world)
    until_quiet(world)
    assert_both_have_everything_once(world)
