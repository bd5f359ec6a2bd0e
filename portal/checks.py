"""What must be right before anything starts: run by every command, the database part by `migrate` and `run` alone."""

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from connections.secrets import key_ring, unreadable
from syncer.audit import checkpoint, triggers
from syncer.audit.statement import MAKE_A_KEY


@register(Tags.compatibility)
def one_cryptography(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    """The original and the drop-in install the same files, and pip does not notice which came last."""
    try:
        distribution("django-cryptography")
    except PackageNotFoundError:
        return []
    return [
        Error(
            "django-cryptography is installed beside its drop-in django-cryptography-5; both own the same files.",
            hint="Remove it (pip uninstall django-cryptography), then install requirements.txt again.",
            id="portal.E001",
        )
    ]


@register(Tags.security)
def encryption_keys(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    try:
        key_ring()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="portal.E002")]
    return []


@register(Tags.security)
def checkpoint_key(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    try:
        checkpoint.signer()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="portal.E006")]
    return []


@register(Tags.database)
def no_checkpoint_key(
    app_configs: object, databases: Sequence[str] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """A warning, so that who set it up before there were checkpoints can go on; of `migrate` and `run`, not of all."""
    if not databases or settings.CHECKPOINT_KEY != "":
        return []
    return [
        Warning(
            "CHECKPOINT_KEY is not set: no checkpoints of the history are signed, and a database that was restored "
            "from a backup is not noticed.",
            hint=f"Add CHECKPOINT_KEY to .env (docs/operations.md, Checkpoints). Make one with: {MAKE_A_KEY}",
            id="portal.W002",
        )
    ]


@register(Tags.caches)
def queue_settings(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    return queue_problems(settings.Q_CLUSTER)


@register(Tags.compatibility)
def sqlite_settings(app_configs: object, **kwargs: object) -> list[CheckMessage]:
    return sqlite_problems(settings.DATABASES[DEFAULT_DB_ALIAS])


@register(Tags.database)
def stored_secrets(app_configs: object, databases: Sequence[str] | None = None, **kwargs: object) -> list[CheckMessage]:
    """Every stored credential must open with the keys we have: better a clear refusal now than failures one by one."""
    try:
        count = sum(unreadable(alias) for alias in databases or ())
    except (ImproperlyConfigured, DatabaseError):
        return []  # the keys have their own check; a database that cannot be asked yet holds nothing to read
    if count == 0:
        return []
    return [
        Error(
            f"{count} stored credential(s) cannot be read with the keys in FIELD_ENCRYPTION_KEYS.",
            hint="Put back the key they were written with, after the newest one (docs/operations.md, Keys).",
            id="portal.E003",
        )
    ]


@register(Tags.database)
def log_triggers(app_configs: object, databases: Sequence[str] | None = None, **kwargs: object) -> list[CheckMessage]:
    """A warning, not an error: `migrate` installs them, and it runs this check first."""
    try:
        absent = [name for alias in databases or () for name in missing_triggers(alias)]
    except DatabaseError:
        return []
    if not absent:
        return []
    return [
        Warning(
            f"The history is not protected against change: {', '.join(absent)} missing in the database.",
            hint="Run `python manage.py migrate`, then `python manage.py verify_log`.",
            id="portal.W001",
        )
    ]


def queue_problems(cluster: Mapping[str, Any]) -> list[CheckMessage]:
    """django-q2 counts `retry` from the moment a task is fetched, not started: a worker's whole queue must fit in."""
    rounds = math.ceil((cluster["queue_limit"] + 1) / cluster["workers"]) + 1
    needed = cluster["timeout"] * rounds
    if cluster["retry"] > needed:
        return []
    return [
        Error(
            f"The queue would run tasks twice: retry is {cluster['retry']} s and must be above {needed} s "
            "(timeout x (ceil((queue_limit + 1) / workers) + 1)).",
            hint="Raise `retry` in Q_CLUSTER, or lower `timeout` or `queue_limit` (docs/adr/0003-the-queue.md).",
            id="portal.E004",
        )
    ]


def sqlite_problems(database: Mapping[str, Any]) -> list[CheckMessage]:
    if database["ENGINE"] != "django.db.backends.sqlite3":
        return []
    options = database.get("OPTIONS", {})
    wrong = [
        text
        for right, text in (
            (options.get("transaction_mode") == "IMMEDIATE", "transaction_mode must be IMMEDIATE"),
            (options.get("timeout", 0) >= 20, "timeout must be 20 seconds or more"),
            ("journal_mode=wal" in _squeezed(options.get("init_command")), "init_command must set journal_mode=WAL"),
        )
        if not right
    ]
    if not wrong:
        return []
    return [
        Error(
            f"SQLite would lose work with web and worker together: {'; '.join(wrong)}.",
            hint="Leave the OPTIONS that settings.py sets, or use PostgreSQL (docs/adr/0002-sqlite-by-default.md).",
            id="portal.E005",
        )
    ]


def missing_triggers(alias: str = DEFAULT_DB_ALIAS) -> list[str]:
    """The names of the history's triggers that the database lacks; none for tables that are not there yet."""
    return triggers.missing(connections[alias])


def _squeezed(command: str | None) -> str:
    return "" if command is None else "".join(command.split()).lower()
