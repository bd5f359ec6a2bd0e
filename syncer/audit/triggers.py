"""The database's own guard over the audit trail, on SQLite and PostgreSQL: what came in stays as it is.

Refused, as django.db.IntegrityError: any UPDATE of an entry but a redaction, any DELETE, TRUNCATE (PostgreSQL), INSERT
OR REPLACE (SQLite, whose REPLACE fires no delete triggers), a head that moves back, a changed checkpoint. The
database's owner can drop triggers: `missing` says so at start, and `verify` finds what was done meanwhile.

A SQLite migration that rebuilds a table loses its triggers, so post_migrate installs them again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from syncer.models.log import LogChain, LogCheckpoint, SyncLog

_APPEND_ONLY = "the audit trail is append-only"
_HEAD = "the head of a log only moves forward"
_CHECKPOINT = "a checkpoint is never changed"


@dataclass(frozen=True)
class _Guard:
    """What one table allows. `allowed` is an SQL condition over OLD and NEW; `keys` are its unique sets of columns."""

    table: str
    text: str
    allowed: str
    keys: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _Trigger:
    """One trigger as it must stand in the catalogue. `body` is the function's source (PostgreSQL only)."""

    name: str
    table: str
    create: str
    body: str = ""


def install(sender: Any = None, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """Receiver of post_migrate: put the triggers in place. One query where they are there already."""
    connection = connections[using]
    if not missing(connection):
        return
    with transaction.atomic(using=using):
        _remove(connection)
        with connection.cursor() as cursor:
            for trigger in _present_tables(connection, _expected(connection)):
                _create(cursor, trigger)


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """The names of the triggers that are absent, changed or switched off; of tables that do not exist, none."""
    found = _found(connection)
    absent = [
        trigger for trigger in _expected(connection) if found.get(trigger.name) != _catalogued(connection, trigger)
    ]
    return [trigger.name for trigger in _present_tables(connection, absent)] if absent else []


def remove(using: str = DEFAULT_DB_ALIAS) -> None:
    """For tests alone: take the triggers away, so that a test's tables can be flushed."""
    with transaction.atomic(using=using):
        _remove(connections[using])


@contextmanager
def suspended(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """For tests alone: do inside what only somebody who owns the database could do."""
    remove(using)
    try:
        yield
    finally:
        with transaction.atomic(using=using):
            _settle(connections[using])
            install(using=using)


def _guards(connection: BaseDatabaseWrapper) -> list[_Guard]:
    same = "IS" if connection.vendor == "sqlite" else "IS NOT DISTINCT FROM"
    log, chain, checkpoint = (model._meta.db_table for model in (SyncLog, LogChain, LogCheckpoint))
    redaction = f"""{_unchanged(SyncLog, same, "payload", "salt", "redacted_by")}
        AND OLD.payload IS NOT NULL AND NEW.payload IS NULL AND NEW.salt IS NULL AND OLD.redacted_by IS NULL
        AND NEW.redacted_by > OLD.seq AND EXISTS (SELECT 1 FROM {log} later
            WHERE later.chain_id = OLD.chain_id AND later.seq = NEW.redacted_by AND later.kind = 'redact')"""  # noqa: S608
    forward = f"""{_unchanged(LogChain, same, "head_seq", "head_hash", "last_at", "quiet_runs")} AND (
        (NEW.head_seq = OLD.head_seq AND NEW.head_hash = OLD.head_hash AND NEW.last_at {same} OLD.last_at
            AND NEW.quiet_runs >= OLD.quiet_runs)
        OR (NEW.head_seq > OLD.head_seq AND (OLD.last_at IS NULL OR NEW.last_at >= OLD.last_at)))"""
    delivery = f"{_unchanged(LogCheckpoint, same, 'delivered_at')} AND OLD.delivered_at IS NULL"
    return [
        _Guard(log, _APPEND_ONLY, redaction, (("id",), ("chain_id", "seq"))),
        _Guard(chain, _HEAD, forward, (("id",), ("name",))),
        _Guard(checkpoint, _CHECKPOINT, delivery, (("id",), ("number",))),
    ]


def _unchanged(model: type[models.Model], same: str, *but: str) -> str:
    """Every other column stays as it was; a column that is added later is guarded without a thought."""
    columns = [field.column for field in model._meta.local_concrete_fields if field.name not in but]
    return " AND ".join(f'NEW."{column}" {same} OLD."{column}"' for column in columns)


def _expected(connection: BaseDatabaseWrapper) -> list[_Trigger]:
    build = {"sqlite": _sqlite_triggers, "postgresql": _postgresql_triggers}[connection.vendor]
    return [trigger for guard in _guards(connection) for trigger in build(guard)]


def _sqlite_triggers(guard: _Guard) -> Iterator[_Trigger]:
    taken = " OR ".join("(" + " AND ".join(f"{key} = NEW.{key}" for key in keys) + ")" for keys in guard.keys)
    acts = {
        "update": f"UPDATE ON {guard.table} WHEN ({guard.allowed}) IS NOT TRUE",
        "delete": f"DELETE ON {guard.table}",
        "replace": f"INSERT ON {guard.table} WHEN EXISTS (SELECT 1 FROM {guard.table} WHERE {taken})",  # noqa: S608
    }
    for act, when in acts.items():
        name = f"{guard.table}_no_{act}"
        create = f"CREATE TRIGGER {name} BEFORE {when} BEGIN SELECT RAISE(ABORT, '{guard.text}'); END"
        yield _Trigger(name, guard.table, create)


def _postgresql_triggers(guard: _Guard) -> Iterator[_Trigger]:
    """ENABLE ALWAYS, so that session_replication_role does not switch them off."""
    body = f"""
    BEGIN
        IF TG_OP = 'UPDATE' AND TG_LEVEL = 'ROW' THEN
            IF ({guard.allowed}) IS TRUE THEN RETURN NEW; END IF;
        END IF;
        RAISE EXCEPTION '{guard.text}' USING ERRCODE = 'integrity_constraint_violation';
    END """
    for act, when in {"change": "UPDATE OR DELETE", "truncate": "TRUNCATE"}.items():
        name = f"{guard.table}_no_{act}"
        each = "STATEMENT" if act == "truncate" else "ROW"
        create = f"""CREATE TRIGGER {name} BEFORE {when} ON {guard.table} FOR EACH {each}
            EXECUTE FUNCTION {guard.table}_guard();
            ALTER TABLE {guard.table} ENABLE ALWAYS TRIGGER {name}"""
        yield _Trigger(name, guard.table, create, body)


# BEFORE, and what fires it, as bits of pg_trigger.tgtype (src/include/catalog/pg_trigger.h).
_ROW_UPDATE_DELETE = 1 | 2 | 8 | 16
_STATEMENT_TRUNCATE = 2 | 32


def _catalogued(connection: BaseDatabaseWrapper, trigger: _Trigger) -> tuple[Any, ...]:
    if connection.vendor == "sqlite":
        return (trigger.table, trigger.create)
    bits = _STATEMENT_TRUNCATE if trigger.name.endswith("_truncate") else _ROW_UPDATE_DELETE
    return (trigger.table, trigger.body, "A", bits, True)


def _found(connection: BaseDatabaseWrapper) -> dict[str, tuple[Any, ...]]:
    """The triggers on our tables, as `_catalogued` would have them."""
    tables = [model._meta.db_table for model in (SyncLog, LogChain, LogCheckpoint)]
    marks = ", ".join(["%s"] * len(tables))
    if connection.vendor == "sqlite":
        query = f"SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ({marks})"  # noqa: S608
    else:
        query = f"""SELECT t.tgname, c.relname, p.prosrc, t.tgenabled::text, t.tgtype, t.tgqual IS NULL
            FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
            WHERE NOT t.tgisinternal AND pg_table_is_visible(c.oid) AND c.relname IN ({marks})"""  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(query, tables)
        return {row[0]: tuple(row[1:]) for row in cursor.fetchall()}


def _present_tables(connection: BaseDatabaseWrapper, triggers: list[_Trigger]) -> list[_Trigger]:
    tables = set(connection.introspection.table_names())
    return [trigger for trigger in triggers if trigger.table in tables]


def _create(cursor: CursorWrapper, trigger: _Trigger) -> None:
    if trigger.body:
        function = f"{trigger.table}_guard() RETURNS trigger LANGUAGE plpgsql"
        cursor.execute(f"CREATE OR REPLACE FUNCTION {function} AS $guard${trigger.body}$guard$")
    cursor.execute(trigger.create)


def _remove(connection: BaseDatabaseWrapper) -> None:
    """Take away ours, and whatever else stands on these tables under a name of ours."""
    _settle(connection)
    with connection.cursor() as cursor:
        for name, (table, *_) in _found(connection).items():
            if name.startswith(f"{table}_no_"):
                on = "" if connection.vendor == "sqlite" else f" ON {table}"
                cursor.execute(f"DROP TRIGGER {name}{on}")


def _settle(connection: BaseDatabaseWrapper) -> None:
    """PostgreSQL changes no triggers of a table while deferred checks of foreign keys wait on it."""
    if connection.vendor == "postgresql":
        connection.check_constraints()
