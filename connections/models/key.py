import uuid
from datetime import datetime
from hashlib import sha256
from typing import ClassVar

from django.db import models
from django.db.models import Q

from connections.models.client import Client


class ApiKey(models.Model):
    """A tool's right to call the API, for one client or (`client` empty) for the whole agency. Only the SHA-256 of its
    256-bit secret is stored; `prefix` finds it, and names it where the key itself must not stand."""

    class Scope(models.TextChoices):
        READ = "read", "Read (the history without values)"
        MANAGE = "manage", "Change the configuration"
        SYNC = "sync", "Sync, plan, pause, resume, cancel"
        APPROVE = "approve", "Approve and reject plans, resolve holds"
        AUDIT = "audit", "Read the history with values, export it"

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    client = models.ForeignKey(Client, models.CASCADE, null=True, blank=True, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(editable=False)
    created_by = models.CharField(max_length=200, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def actor(self) -> str:
        """How what was done with it stands in the audit trail."""
        return f"API key {self}"

    def valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class ApiAnswer(models.Model):
    """What a POST with an Idempotency-Key was answered: the same again gets the same. `status` is empty while the first
    is being worked on, and stays so where its process died."""

    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="answers")
    name = models.CharField(max_length=200)
    request = models.CharField(max_length=64, help_text="A keyed hash of method, path and body.")
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    body = models.TextField(blank=True)
    location = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["at"], name="api_answer_at")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["key", "name"], name="api_answer_once"),
            models.CheckConstraint(condition=~Q(name=""), name="api_answer_named"),
        ]

    def __str__(self) -> str:
        return f"{self.status} for {self.key_id}"


def digest_of(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
