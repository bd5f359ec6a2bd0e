"""Writing the audit trail: order, time, transactions, rivals, erasure, and what may stand in a header."""

import hashlib
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, models, transaction
from django.db.models import ProtectedError
from pytest_django.fixtures import DjangoAssertNumQueries

from syncer.audit import triggers
from syncer.audit.chain import JSON, PORTAL, Entry, LogBroken, append, count_quiet_run, of_connection, redact
from syncer.audit.format import NO_PAYLOAD, canonical, genesis, parse, payload_commit
from syncer.audit.verify import verify
from syncer.models.log import KINDS, AppendOnly, Kind, LogChain, LogCheckpoint, SyncLog
from tests.syncer.trail import CHAIN, CONNECTION, LINK, NOON, RECORD, RUN, erase, intent, write

pytestmark = pytest.mark.django_db


def headers() -> list[dict[str, Any]]:
    return [json.loads(text) for text in SyncLog.objects.order_by("id").values_list("header", flat=True)]


@pytest.mark.proves("I30")
def test_entries_stand_in_order_and_each_follows_from_the_one_before() -> None:
    write([intent(version=1), intent({"before": 1}, version=1)])
    write([intent(version=2)])
    first, second, third = SyncLog.objects.order_by("seq")
    assert [first.seq, second.seq, third.seq] == [1, 2, 3]
    assert first.previous_hash == genesis(CHAIN)
    assert (second.previous_hash, third.previous_hash) == (first.entry_hash, second.entry_hash)
    head = LogChain.objects.get(name=CHAIN)
    assert (head.head_seq, head.head_hash, head.last_at) == (3, third.entry_hash, NOON)


def test_the_header_says_what_the_columns_say() -> None:
    write([intent({"after": "Bob"}, version=7, reasons=["winner.left"])])
    assert headers() == [
        {
            "v": 1,
            "chain": CHAIN,
            "seq": 1,
            "at": "2026-11-24T12:00:00.000000Z",
            "kind": "write.intent",
            "actor": "schedule",
            "connection": str(CONNECTION),
            "run": str(RUN),
            "link": str(LINK),
            "record": str(RECORD),
            "side": "right",
            "operation": "update",
            "version": 7,
            "reasons": ["winner.left"],
        }
    ]
    row = SyncLog.objects.get()
    assert (row.connection, row.run, row.link, row.record) == (CONNECTION, RUN, LINK, RECORD)
    assert (row.kind, row.actor, row.side, row.operation, row.at) == (
        "write.intent",
        "schedule",
        "right",
        "update",
        NOON,
    )


def test_a_payload_is_bound_by_a_salted_commitment_and_none_by_a_fixed_one() -> None:
    with transaction.atomic():
        append(CHAIN, [intent({"b": "Bob", "a": None}), intent()], NOON, salt=lambda: b"0123456789abcdef")
    told, silent = SyncLog.objects.order_by("seq")
    assert told.payload == '{"a":null,"b":"Bob"}'
    assert told.salt == b"0123456789abcdef".hex()
    assert told.payload_commit == payload_commit(b"0123456789abcdef", told.payload)
    assert (silent.payload, silent.salt, silent.payload_commit) == (None, None, NO_PAYLOAD)


def test_an_empty_payload_is_not_the_same_as_none() -> None:
    write([intent({})])
    row = SyncLog.objects.get()
    assert row.payload == "{}"
    assert row.payload_commit != NO_PAYLOAD


def test_every_payload_has_a_salt_of_its_own() -> None:
    write([intent({"name": "Bob"}), intent({"name": "Bob"})])
    assert len(set(SyncLog.objects.values_list("payload_commit", flat=True))) == 2


def test_time_never_goes_back_within_a_chain() -> None:
    write([intent()], now=NOON)
    write([intent()], now=NOON - timedelta(hours=1))
    assert [header["at"] for header in headers()] == ["2026-11-24T12:00:00.000000Z"] * 2
    assert verify(CHAIN).ok


def test_chains_are_apart() -> None:
    write([intent()])
    write([Entry(Kind.AUTH_LOGGED_IN, "user:anna")], chain=PORTAL)
    assert [(header["chain"], header["seq"]) for header in headers()] == [(CHAIN, 1), (PORTAL, 1)]


def test_quiet_runs_are_said_by_the_next_entry_and_counted_anew() -> None:
    count_quiet_run(CHAIN)
    count_quiet_run(CHAIN)
    write([intent(), intent()])
    count_quiet_run(CHAIN)
    write([intent()])
    write([intent()])
    assert [header.get("quiet_runs") for header in headers()] == [2, None, 1, None]
    assert LogChain.objects.get().quiet_runs == 0
    assert verify(CHAIN).ok


def test_a_quiet_run_costs_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    count_quiet_run(CHAIN)
    with django_assert_num_queries(1):
        count_quiet_run(CHAIN)


def test_twenty_entries_cost_as_many_queries_as_one(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    write([intent()])
    for count in (1, 20):
        with django_assert_num_queries(3):  # head, head moved, entries
            append(CHAIN, [intent({"name": "Bob"})] * count, NOON)


def test_no_entries_cost_nothing(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        append(CHAIN, [], NOON)


@pytest.mark.proves("E10 append in transaction")
def test_what_is_rolled_back_leaves_nothing() -> None:
    write([intent()])
    before = LogChain.objects.values().get()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        append(CHAIN, [intent()], NOON)
        raise ZeroDivisionError
    assert SyncLog.objects.count() == 1
    assert LogChain.objects.values().get() == before
    write([intent()])
    assert verify(CHAIN).entries == 2


@pytest.mark.proves("E10 append in transaction")
@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_nothing_is_written() -> None:
    with pytest.raises(RuntimeError, match="atomic"):
        append(CHAIN, [intent()], NOON)
    assert SyncLog.objects.count() == 0


def at_once(*acts: Callable[[], None]) -> list[BaseException]:
    """Run the acts in threads of their own, from one start; what they raised."""
    start, raised = threading.Barrier(len(acts)), list[BaseException]()

    def run(act: Callable[[], None]) -> None:
        start.wait()
        try:
            act()
        except Exception as error:
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@pytest.mark.proves("I30", "E10 append in transaction")
@pytest.mark.django_db(transaction=True)
def test_rivals_on_one_chain_all_get_in() -> None:
    def keep_writing() -> None:
        for _ in range(10):
            write([intent({"name": "Bob"}), intent()])

    def keep_counting() -> None:
        for _ in range(10):
            count_quiet_run(CHAIN)

    assert at_once(keep_writing, keep_writing, keep_writing, keep_counting) == []
    report = verify(CHAIN)
    assert (report.ok, report.entries) == (True, 60)
    said = sum(header.get("quiet_runs", 0) for header in headers())
    assert said + LogChain.objects.get().quiet_runs == 10


@pytest.mark.django_db(transaction=True)
def test_a_chain_is_made_once() -> None:
    def start() -> None:
        write([intent()])

    assert at_once(start, start, start) == []
    assert verify(CHAIN).entries == 3


def test_an_entry_put_in_by_hand_stops_the_chain() -> None:
    write([intent()])
    stray = SyncLog.objects.get()
    stray.pk, stray.seq, stray._state.adding = None, 2, True
    stray.save()
    with pytest.raises(LogBroken, match="takes no entry 2: run verify_log"), transaction.atomic():
        append(CHAIN, [intent()], NOON)


def test_a_head_set_forward_by_hand_stops_the_chain() -> None:
    write([intent()])
    LogChain.objects.update(head_seq=5, head_hash="0" * 64)
    append(CHAIN, [intent()], NOON)
    report = verify(CHAIN)
    assert (report.ok, report.seq) == (False, 2)


@pytest.mark.proves("I32", "E10 redaction")
def test_erasing_keeps_the_chain_in_order_and_says_what_was_erased() -> None:
    write([intent({"name": "Bob"}), intent({"name": "Carol"}), intent()])
    assert erase(1, 3) == 1
    bob, carol, _, erasure = SyncLog.objects.order_by("seq")
    assert (bob.payload, bob.salt, bob.redacted_by) == (None, None, 4)
    assert carol.payload == '{"name":"Carol"}'
    assert json.loads(erasure.header)["redacts"] == [1]
    assert verify(CHAIN).ok


def test_erasing_twice_does_nothing_more() -> None:
    write([intent({"name": "Bob"})])
    assert (erase(1), erase(1), erase()) == (1, 0, 0)
    assert SyncLog.objects.count() == 2


@pytest.mark.proves("I32")
def test_only_a_redact_entry_erases() -> None:
    write([intent({"name": "Bob"})])
    with pytest.raises(ValueError, match="kind redact"):
        redact(CHAIN, [1], intent(), NOON)


def test_the_models_refuse_change_and_deletion() -> None:
    write([intent()])
    row, chain = SyncLog.objects.get(), LogChain.objects.get()
    refused: list[Callable[[], object]] = [
        row.save,
        row.delete,
        chain.delete,
        SyncLog.objects.all().delete,
        LogChain.objects.all().delete,
        LogCheckpoint.objects.all().delete,
        LogCheckpoint().delete,
        lambda: SyncLog.objects.filter(seq=1).update(actor="user:mallory"),
        lambda: SyncLog.objects.bulk_update([row], ["actor"]),
    ]
    for act in refused:
        with pytest.raises(AppendOnly, match="append-only"), transaction.atomic():
            act()
    with pytest.raises(ProtectedError):
        models.QuerySet(LogChain).delete()


PERSONAL = ("bob@example.com", "Bob@Example.com", "+359 888 123 456", "+359888123456", "0888123456", "Bob Brown", "Боб")


def disguises(token: str) -> list[str]:
    """The token itself and its unsalted hashes, which are as good as the token."""
    plain = [token, token.lower(), token.upper()]
    hashed = [hashlib.new(name, text.encode()).hexdigest() for name in ("md5", "sha1", "sha256") for text in plain]
    return plain + hashed


@pytest.mark.proves("I33")
@pytest.mark.parametrize("token", PERSONAL)
def test_a_header_refuses_what_may_be_personal(token: str) -> None:
    for value in (token, [token], {"to": token}, {token: 1}):
        with pytest.raises(ValueError, match="put texts and values in payload"):
            append(CHAIN, [intent(reason=value)], NOON)
    assert SyncLog.objects.count() == 0


@pytest.mark.proves("I33")
def test_no_header_and_no_column_holds_what_the_payload_holds() -> None:
    payload: dict[str, JSON] = {"before": list(PERSONAL), "after": {token: token for token in PERSONAL}}
    write([Entry(kind, "schedule", {"version": 1}, payload) for kind in sorted(KINDS - {Kind.REDACT})])
    erase(1, 2)
    kept = [field.name for field in SyncLog._meta.local_fields if field.name != "payload"]
    text = repr(list(SyncLog.objects.values_list(*kept)))
    assert [shape for token in PERSONAL for shape in disguises(token) if shape in text] == []


@pytest.mark.parametrize(
    "entry",
    [
        intent(seq=9),
        intent(quiet_runs=9),
        intent(redacts=[1]),
        Entry("gossip", "schedule"),
        Entry("write.maybe", "schedule"),
        Entry("auth.Nonsense!", "schedule"),
        Entry(Kind.UNDO, ""),
        Entry(Kind.UNDO, "a" * 201),
        Entry(Kind.UNDO, "schedule", side="middle"),
        Entry(Kind.UNDO, "schedule", operation="o" * 21),
    ],
)
def test_unfit_entries_are_refused(entry: Entry) -> None:
    with pytest.raises(ValueError):
        append(CHAIN, [intent(), entry], NOON)
    assert SyncLog.objects.count() == 0


def test_a_family_takes_kinds_of_its_own() -> None:
    write([Entry("book.renamed", "schedule")])
    assert SyncLog.objects.get().kind == "book.renamed"


def test_unfit_names_times_and_salts_are_refused() -> None:
    for name in ("portal2", "connection:1", f"connection:{uuid4()}x"):
        with pytest.raises(ValueError, match="named portal or connection"):
            append(name, [intent()], NOON)
    with pytest.raises(ValueError, match="zone"):
        append(CHAIN, [intent()], datetime(2026, 11, 24))
    with pytest.raises(ValueError, match="16 bytes"):
        append(of_connection(uuid4()), [intent({})], NOON, salt=lambda: b"short")


def test_an_apps_odd_text_does_not_stop_an_entry() -> None:
    write([intent({"detail": "nul \0 and half \ud83d", "k\0": ["\udc00"]})])
    row = SyncLog.objects.get()
    assert row.payload == '{"detail":"nul \ufffd and half \ufffd","k\ufffd":["\ufffd"]}'
    assert verify(CHAIN).ok


def test_canonical_json_has_one_spelling() -> None:
    assert canonical({"b": [1, True, None, ""], "a": "Ünï\n\\u0000"}) == '{"a":"Ünï\\n\\\\u0000","b":[1,true,null,""]}'
    for text in ('{"a": 1}', '{"b":1,"a":2}', '{"a":1,"a":1}', '"\\u00e9"', "1.0", "1e3", "NaN", "[1", "[" * 100_000):
        with pytest.raises(ValueError):
            parse(text)


@pytest.mark.parametrize("value", [1.5, {"a": [float("nan")]}, {1: "a"}, b"bytes", {"a": NOON}, {"a": {1, 2}}])
def test_canonical_json_takes_only_json(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical(value)


@pytest.mark.parametrize("value", ["\0", "\ud800", ["\\\0"], {"a\0": 1}])
def test_canonical_json_takes_no_nul_and_no_half_pairs(value: Any) -> None:
    with pytest.raises(ValueError, match="NUL"):
        canonical(value)


def test_time_is_written_in_utc() -> None:
    write([intent()], now=datetime.fromisoformat("2026-11-24T14:30:00.5+02:00"))
    assert headers()[0]["at"] == "2026-11-24T12:30:00.500000Z"
    assert SyncLog.objects.get().at == datetime(2026, 11, 24, 12, 30, 0, 500_000, tzinfo=UTC)


def test_triggers_are_in_place_for_all_of_this() -> None:
    assert triggers.missing(connection) == []
