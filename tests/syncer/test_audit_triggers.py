"""The database's own guard over the audit trail, tried by SQL that goes past the models."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, models, transaction
from pytest_django.fixtures import DjangoAssertNumQueries

from syncer.audit import triggers
from syncer.audit.chain import PORTAL, Entry
from syncer.audit.verify import verify
from syncer.models.log import Kind, LogChain, LogCheckpoint, SyncLog
from tests.syncer.trail import CHAIN, NOON, erase, intent, write

pytestmark = pytest.mark.django_db

COLUMNS = [str(field.column) for field in SyncLog._meta.local_concrete_fields]


@pytest.fixture
def bob() -> Iterator[SyncLog]:
    """Entry 1, about Bob, which nothing may change; 2 has no payload, 3 is of kind redact and erased nothing of Bob."""
    write(
        [
            intent({"name": "Bob"}),
            intent(),
            Entry(Kind.REDACT, "user:anna", {"redacts": [2]}),
            intent({"name": "Carol"}),
        ]
    )
    yield SyncLog.objects.get(seq=1)


def run(query: str, *params: str | int | None) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(query, params)


def refused(query: str, *params: str | int | None, text: str = "append-only") -> None:
    with pytest.raises(IntegrityError, match=text):
        run(query, *params)


@pytest.mark.parametrize("column", COLUMNS)
def test_no_column_of_an_entry_changes(bob: SyncLog, column: str) -> None:
    others = {
        "id": "id + 100",
        "chain_id": "chain_id + 1",
        "seq": "seq + 100",
        "redacted_by": "3",
        "at": "'2026-11-25 00:00:00+00:00'",
        **dict.fromkeys(("payload", "salt", "connection", "run", "link", "record"), "NULL"),
    }
    value = others.get(column, "'x'")
    refused(f"UPDATE syncer_synclog SET {column} = {value} WHERE id = %s", bob.pk)


@pytest.mark.parametrize(
    "change",
    [
        "payload = NULL, salt = NULL",
        "payload = NULL, salt = NULL, redacted_by = NULL",
        "payload = NULL, salt = NULL, redacted_by = 1",
        "payload = NULL, salt = NULL, redacted_by = 4",
        "payload = NULL, salt = NULL, redacted_by = 99",
        "payload = NULL, salt = NULL, redacted_by = 3, actor = 'user:mallory'",
        "payload = '{}', redacted_by = 3",
        "payload = '{}', salt = '00'",
    ],
)
def test_only_a_whole_redaction_that_a_later_entry_stands_for_is_an_allowed_change(bob: SyncLog, change: str) -> None:
    refused(f"UPDATE syncer_synclog SET {change} WHERE id = %s", bob.pk)


@pytest.mark.proves("I32", "E10 redaction")
def test_a_redaction_is_allowed_once_and_not_taken_back(bob: SyncLog) -> None:
    run("UPDATE syncer_synclog SET payload = NULL, salt = NULL, redacted_by = 3 WHERE id = %s", bob.pk)
    refused("UPDATE syncer_synclog SET payload = %s, salt = %s, redacted_by = NULL WHERE id = %s", "{}", "00", bob.pk)
    refused("UPDATE syncer_synclog SET redacted_by = 4 WHERE id = %s", bob.pk)
    refused("UPDATE syncer_synclog SET redacted_by = 3 WHERE seq = 2")


def test_a_redaction_needs_an_entry_that_came_later(bob: SyncLog) -> None:
    refused("UPDATE syncer_synclog SET payload = NULL, salt = NULL, redacted_by = 3 WHERE seq = 4")


def test_a_redaction_needs_an_entry_of_its_own_chain(bob: SyncLog) -> None:
    write([Entry(Kind.AUTH_LOGGED_IN, "user:anna")] * 8 + [Entry(Kind.REDACT, "user:anna", {"redacts": [1]})], PORTAL)
    refused("UPDATE syncer_synclog SET payload = NULL, salt = NULL, redacted_by = 9 WHERE id = %s", bob.pk)


@pytest.mark.proves("I30")
def test_no_entry_is_deleted(bob: SyncLog) -> None:
    refused("DELETE FROM syncer_synclog WHERE id = %s", bob.pk)
    refused("DELETE FROM syncer_synclog")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        models.QuerySet(SyncLog).filter(pk=bob.pk).delete()


def test_no_entry_is_replaced(bob: SyncLog) -> None:
    columns = ", ".join(COLUMNS)
    renumbered = columns.replace("id,", "id + 100,", 1)
    if connection.vendor == "sqlite":
        again = "INSERT OR REPLACE INTO syncer_synclog ({}) SELECT {} FROM syncer_synclog WHERE id = %s"
        end = ""
    else:
        again = "INSERT INTO syncer_synclog ({}) SELECT {} FROM syncer_synclog WHERE id = %s ON CONFLICT (id) DO UPDATE"
        end = " SET actor = 'user:mallory'"
        connection.check_constraints()
    refused(again.format(columns, columns) + end, bob.pk)
    refused(again.format(columns, renumbered) + end, bob.pk, text="append-only|synclog_chain_seq")


@pytest.mark.proves("I30")
def test_a_head_only_moves_forward(bob: SyncLog) -> None:
    for change in (
        "head_seq = head_seq - 1",
        "head_hash = 'x'",
        "last_at = NULL",
        "last_at = '2026-11-25 00:00:00+00:00'",
        "head_seq = head_seq + 1, last_at = '2026-11-23 00:00:00+00:00'",
        "name = 'portal'",
        "id = id + 1",
        "created_at = '2020-01-01 00:00:00+00:00'",
        "quiet_runs = quiet_runs - 1",
    ):
        refused(f"UPDATE syncer_logchain SET {change}", text="moves forward")
    run("UPDATE syncer_logchain SET quiet_runs = quiet_runs + 1")
    refused("UPDATE syncer_logchain SET quiet_runs = 0", text="moves forward")


def test_no_chain_is_deleted_or_replaced(bob: SyncLog) -> None:
    refused("DELETE FROM syncer_logchain", text="moves forward")
    if connection.vendor == "sqlite":
        again = "INSERT OR REPLACE INTO syncer_logchain (name, head_seq, head_hash, quiet_runs, created_at)"
        refused(f"{again} VALUES (%s, 0, 'x', 0, 'now')", CHAIN, text="moves forward")


def test_a_checkpoint_is_delivered_once_and_else_never_changed() -> None:
    LogCheckpoint.objects.create(number=1, at=NOON, heads="{}", key_id="k", signature="s", previous_hash="0" * 64)
    for change in ("number = 2", "heads = '{\"a\": 1}'", "signature = 'x'", "at = '2020-01-01 00:00:00+00:00'"):
        refused(f"UPDATE syncer_logcheckpoint SET {change}", text="never changed")
    LogCheckpoint.objects.update(delivered_at=NOON)
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        LogCheckpoint.objects.update(delivered_at=NOON + timedelta(hours=1))
    refused("DELETE FROM syncer_logcheckpoint", text="never changed")


def test_no_table_is_truncated(bob: SyncLog) -> None:
    """SQLite knows no TRUNCATE: its DELETE without conditions is the same, and is refused row by row."""
    connection.check_constraints()
    for table in ("syncer_synclog", "syncer_synclog, syncer_logchain", "syncer_logcheckpoint"):
        if connection.vendor == "postgresql":
            refused(f"TRUNCATE {table} CASCADE", text="append-only|moves forward|never changed")
    assert SyncLog.objects.count() == 4


def test_the_replica_role_does_not_switch_them_off(bob: SyncLog) -> None:
    if connection.vendor == "postgresql" and _is_superuser():
        run("SET LOCAL session_replication_role = replica")
    refused("DELETE FROM syncer_synclog")


def _is_superuser() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        return bool(cursor.fetchone()[0])


def test_what_is_missing_is_named_and_put_back() -> None:
    name = "syncer_synclog_no_delete" if connection.vendor == "sqlite" else "syncer_synclog_no_change"
    on = "" if connection.vendor == "sqlite" else " ON syncer_synclog"
    run(f"DROP TRIGGER {name}{on}")
    assert triggers.missing(connection) == [name]
    triggers.install()
    assert triggers.missing(connection) == []


def test_a_weakened_trigger_counts_as_missing() -> None:
    if connection.vendor == "sqlite":
        run("DROP TRIGGER syncer_synclog_no_delete")
        run("CREATE TRIGGER syncer_synclog_no_delete BEFORE DELETE ON syncer_synclog WHEN 0 BEGIN SELECT 1; END")
        expected = ["syncer_synclog_no_delete"]
    else:
        run("ALTER TABLE syncer_synclog DISABLE TRIGGER syncer_synclog_no_truncate")
        expected = ["syncer_synclog_no_truncate"]
    assert triggers.missing(connection) == expected
    triggers.install()
    assert triggers.missing(connection) == []


def test_a_weakened_function_counts_as_missing() -> None:
    if connection.vendor == "postgresql":
        body = "BEGIN RETURN NEW; END"
        run(f"CREATE OR REPLACE FUNCTION syncer_logchain_guard() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        assert triggers.missing(connection) == ["syncer_logchain_no_change", "syncer_logchain_no_truncate"]
    triggers.install()
    write([intent()])
    refused("DELETE FROM syncer_logchain", text="moves forward")


def test_installing_again_costs_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1):
        triggers.install()


def test_they_come_back_after_suspension_and_after_an_error_in_it(bob: SyncLog) -> None:
    with pytest.raises(ZeroDivisionError), triggers.suspended():
        run("DELETE FROM syncer_synclog WHERE seq = 4")
        raise ZeroDivisionError
    assert triggers.missing(connection) == []
    refused("DELETE FROM syncer_synclog WHERE seq = 3")


def test_entries_chains_and_erasure_work_under_them(bob: SyncLog) -> None:
    erase(1, 4)
    assert LogChain.objects.get().head_seq == 5
    assert verify(CHAIN).ok


@pytest.mark.django_db(transaction=True)
def test_migrate_puts_them_back_and_flush_leaves_them_in_place() -> None:
    triggers.remove()
    assert len(triggers.missing(connection)) > 0
    call_command("migrate", verbosity=0)
    assert triggers.missing(connection) == []
    write([intent()])
    call_command("flush", verbosity=0, interactive=False)
    assert SyncLog.objects.count() == 0
    assert triggers.missing(connection) == []
