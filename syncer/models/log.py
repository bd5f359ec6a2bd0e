"""The audit trail's tables. Entries are written by `syncer.audit.chain` alone; triggers hold what is said here.

Chains and entries are never deleted and take no foreign key from what can be: what an entry is about stands in it as
text or UUID.
"""

import json
from typing import Any, NoReturn

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

KEEP = "The audit trail is append-only: it is never changed or deleted. To erase a person's data, use redact_contact."


class AppendOnly(Exception):
    """Somebody tried to change or delete what the audit trail keeps."""

    def __init__(self) -> None:
        super().__init__(KEEP)


class Kind(models.TextChoices):
    """What an entry is about. Kinds of the families book, access, auth and key may be added without being listed."""

    RUN_STARTED = "run.started", "Run started"
    RUN_FINISHED = "run.finished", "Run finished"
    WRITE_INTENT = "write.intent", "About to write"
    WRITE_RESULT = "write.result", "Result of a write"
    LINK_MADE = "link.made", "Linked"
    LINK_RELINKED = "link.relinked", "Linked anew"
    LINK_EXCLUDED = "link.excluded", "Excluded"
    LINK_OPPOSITE_DELETED = "link.opposite_deleted", "Deleted on the other side"
    HOLD_OPENED = "hold.opened", "Hold opened"
    HOLD_RESOLVED = "hold.resolved", "Hold resolved"
    PLAN_MADE = "plan.made", "Plan made"
    PLAN_APPROVED = "plan.approved", "Plan approved"
    PLAN_REJECTED = "plan.rejected", "Plan rejected"
    CONFIG_CHANGED = "config.changed", "Configuration changed"
    ACCOUNT_AUTHORISED = "account.authorised", "Account authorised"
    ACCOUNT_FAILED = "account.failed", "Account failed"
    PASS_COMPLETED = "pass.completed", "Pass completed"
    BOOK_ADDED = "book.added", "Book added"
    BOOK_CHANGED = "book.changed", "Book changed"
    BOOK_EMPTIED = "book.emptied", "Book lists no contacts"
    BOOK_CURSOR_EXPIRED = "book.cursor_expired", "Cursor expired"
    BOOK_WEBHOOK_MADE = "book.webhook_made", "Webhook made"
    BOOK_WEBHOOK_REMOVED = "book.webhook_removed", "Webhook removed"
    ACCESS_ADDED = "access.added", "Person added"
    ACCESS_CHANGED = "access.changed", "Person changed"
    ACCESS_DEACTIVATED = "access.deactivated", "Person deactivated"
    ACCESS_ACTIVATED = "access.activated", "Person activated"
    ACCESS_DELETED = "access.deleted", "Person deleted"
    ACCESS_GRANTED = "access.granted", "Role given"
    ACCESS_REVOKED = "access.revoked", "Role taken"
    ACCESS_INVITED = "access.invited", "Invited"
    ACCESS_EXPORTED = "access.exported", "Log exported"
    ACCESS_VIEWED = "access.viewed", "History viewed"
    AUTH_LOGGED_IN = "auth.logged_in", "Logged in"
    AUTH_LOGGED_OUT = "auth.logged_out", "Logged out"
    AUTH_FAILED = "auth.failed", "Log-in failed"
    AUTH_LOCKED_OUT = "auth.locked_out", "Log-in locked"
    AUTH_TWO_FACTOR_ON = "auth.two_factor_on", "Second factor turned on"
    AUTH_TWO_FACTOR_OFF = "auth.two_factor_off", "Second factor turned off"
    AUTH_RECOVERY_CODE_USED = "auth.recovery_code_used", "Recovery code used"
    AUTH_RECOVERY_CODES_MADE = "auth.recovery_codes_made", "Recovery codes made anew"
    AUTH_PASSWORD_CHANGED = "auth.password_changed", "Password changed"
    KEY_CREATED = "key.created", "Key created"
    KEY_REVOKED = "key.revoked", "Key revoked"
    KEY_ROTATED = "key.rotated", "Keys rotated"
    REDACT = "redact", "Personal data erased"
    CHECKPOINT = "checkpoint", "Checkpoint"
    UNDO = "undo", "Undo"


KINDS: frozenset[str] = frozenset(Kind.values)
FAMILIES: frozenset[str] = frozenset({"book", "access", "auth", "key"})


class LogChainQuerySet(models.QuerySet["LogChain"]):
    def delete(self) -> NoReturn:
        raise AppendOnly


class LogChain(models.Model):
    """The head of one chain: "portal", or "connection:<uuid>". It only moves forward.

    `quiet_runs` counts the runs that changed nothing since the last entry; the next entry says the number. Until then
    it is no evidence, nor is `created_at`.
    """

    name = models.CharField(max_length=60, unique=True)
    head_seq = models.BigIntegerField(default=0)
    head_hash = models.CharField(max_length=64)
    last_at = models.DateTimeField(null=True)
    quiet_runs = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())

    objects = LogChainQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(name="portal") | Q(name__startswith="connection:"), name="logchain_name_is_known"
            ),
            models.CheckConstraint(condition=Q(head_seq__gte=0), name="logchain_head_seq_from_0"),
            models.CheckConstraint(condition=Q(quiet_runs__gte=0), name="logchain_quiet_runs_from_0"),
        ]

    def __str__(self) -> str:
        return self.name

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly


class SyncLogQuerySet(models.QuerySet["SyncLog"]):
    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def delete(self) -> NoReturn:
        raise AppendOnly


class SyncLog(models.Model):
    """One entry of one chain.

    `header` is the canonical JSON that is hashed; it holds no personal data. `payload` (values, remote ids, texts) is
    canonical JSON too and bound by the salted `payload_commit`, so that both can be erased and the chain still
    verifies; `redacted_by` is then the seq of the `redact` entry. The rest mirrors the header, for searching.
    """

    chain = models.ForeignKey(LogChain, on_delete=models.PROTECT, db_index=False, related_name="entries")
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=40, choices=Kind.choices)
    header = models.TextField()
    payload = models.TextField(null=True)
    salt = models.CharField(max_length=32, null=True)
    payload_commit = models.CharField(max_length=64)
    previous_hash = models.CharField(max_length=64)
    entry_hash = models.CharField(max_length=64)
    redacted_by = models.BigIntegerField(null=True)
    connection = models.UUIDField(null=True)
    run = models.UUIDField(null=True)
    link = models.UUIDField(null=True)
    record = models.UUIDField(null=True)
    actor = models.CharField(max_length=200)
    side = models.CharField(max_length=5, blank=True)
    operation = models.CharField(max_length=20, blank=True)

    objects = SyncLogQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = "history entry", "history"
        constraints = [
            models.UniqueConstraint(fields=["chain", "seq"], name="synclog_chain_seq"),
            models.CheckConstraint(condition=Q(seq__gte=1), name="synclog_seq_from_1"),
            models.CheckConstraint(
                condition=Q(payload__isnull=True, salt__isnull=True) | Q(payload__isnull=False, salt__isnull=False),
                name="synclog_payload_with_salt",
            ),
            models.CheckConstraint(
                condition=Q(redacted_by__isnull=True) | Q(payload__isnull=True), name="synclog_redacted_is_empty"
            ),
        ]
        indexes = [
            models.Index(fields=["connection", "-id"], name="synclog_connection"),
            models.Index(fields=["link", "-id"], name="synclog_link"),
            models.Index(fields=["run", "id"], name="synclog_run"),
            models.Index(fields=["kind", "-id"], name="synclog_kind"),
            models.Index(fields=["at"], name="synclog_at"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} ({self.seq})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    @property
    def said(self) -> "dict[str, Any] | None":
        """The payload as data, versions of a configuration (JSON in JSON) unfolded; None where it has none, or none any
        more."""
        if self.payload is None:
            return None
        found: dict[str, Any] = json.loads(self.payload)
        return {name: unfolded(value) for name, value in found.items()} if self.kind == Kind.CONFIG_CHANGED else found


def unfolded(value: Any) -> Any:
    """A version's body, which is JSON in JSON; anything else as it is."""
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value


class LogCheckpointQuerySet(models.QuerySet["LogCheckpoint"]):
    def delete(self) -> NoReturn:
        raise AppendOnly


class LogCheckpoint(models.Model):
    """All heads at one moment, signed; made hourly, also when nothing happened. Only `delivered_at` is set later.

    `heads` is canonical JSON: {chain name: [head_seq, head_hash, quiet_runs]}. `number` counts from 1 without gaps.
    What is signed, the *statement*, is b"counterpart/checkpoint/1\\0" + the canonical JSON of {"v": 1, "number", "at",
    "key_id", "previous_hash", "heads" (the object, not the text)}, with `at` as in an entry's header. `signature` is
    the Ed25519 signature (RFC 8032) of the statement in lower-case hex; `key_id` is the first 16 hex digits of the
    SHA-256 of the raw public key; `previous_hash` is the SHA-256 of the previous statement in hex, 64 zeros for the
    first. A checkpoint that another machine keeps proves that no entry up to its heads was taken away or replaced.
    """

    number = models.BigIntegerField(unique=True)
    at = models.DateTimeField()
    heads = models.TextField()
    key_id = models.CharField(max_length=16)
    signature = models.CharField(max_length=128)
    previous_hash = models.CharField(max_length=64)
    delivered_at = models.DateTimeField(null=True, blank=True)

    objects = LogCheckpointQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(number__gte=1), name="logcheckpoint_number_from_1")]

    def __str__(self) -> str:
        return f"Checkpoint {self.number}"

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly
