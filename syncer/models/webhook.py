from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from connections.secrets import EncryptedJSONField
from syncer.models.book import Book

QUIET = timedelta(seconds=30)
"""A webhook wakes its book at most so often."""


class Webhook(models.Model):
    """That an app calls us when somebody changes a book. Found by the SHA-256 of the secret in its address.

    Kept until the app was told to stop, also where the book is not used any more. `portal` is the public address that
    it was made with. `attempt_at` is when it is next to be made or removed; empty where nothing is to be done.
    """

    class State(models.TextChoices):
        WANTED = "wanted", "Not made yet"
        LISTENING = "listening", "Listening"
        LEAVING = "leaving", "To be removed"

    book = models.OneToOneField(Book, models.CASCADE, related_name="webhook")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WANTED)
    portal = models.CharField(max_length=500)
    digest = models.CharField(max_length=64, blank=True)
    remote_id = models.CharField(max_length=100, blank=True)
    attempt_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    problem = models.CharField(max_length=500, blank=True)
    made_at = models.DateTimeField(null=True, blank=True)
    heard_at = models.DateTimeField(null=True, blank=True)
    heard_count = models.PositiveBigIntegerField(default=0)
    woken_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["attempt_at"], name="webhook_attempt")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["digest"], condition=~Q(digest=""), name="webhook_digest_once"),
            models.CheckConstraint(
                condition=Q(state__in=["wanted", "listening", "leaving"]), name="webhook_state_known"
            ),
        ]

    def __str__(self) -> str:
        return f"Webhook of {self.book_id}"


class WebhookSecret(models.Model):
    """What is secret of a webhook, apart so that no list decrypts it: the end of its address, and what signs."""

    webhook = models.OneToOneField(Webhook, models.CASCADE, related_name="secret")
    secrets = EncryptedJSONField()

    def __str__(self) -> str:
        return f"Secrets of webhook {self.webhook_id}"


class Delivery(models.Model):
    """One delivery that counted, as a hash: apps deliver again what they are not sure of. Nothing of it is kept."""

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    key = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "deliveries"
        indexes: ClassVar = [models.Index(fields=["at"], name="delivery_at")]
        constraints: ClassVar = [models.UniqueConstraint(fields=["webhook", "key"], name="delivery_once")]

    def __str__(self) -> str:
        return f"Delivery to {self.webhook_id}"
