import uuid
from collections.abc import Mapping
from typing import ClassVar, Self

from django.db import models
from django.db.models import Q

from connections.models.client import Client
from connections.secrets import EncryptedJSONField, Secrets, SecretUnreadable

WRITTEN_FOR = "written for"
"""The name, that no app asks for, under which a credential keeps the code of its account."""


class Account(models.Model):
    """One login to one app. Any number of connections can use it."""

    class Status(models.TextChoices):
        CONNECTED = "connected", "Connected"
        NEEDS_AUTHORIZATION = "needs_authorization", "Needs authorisation"
        DISABLED = "disabled", "Disabled"

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    client = models.ForeignKey(Client, models.PROTECT, related_name="accounts")
    app = models.CharField(max_length=40)
    label = models.CharField(max_length=200)
    settings = models.JSONField(default=dict, blank=True)
    identity = models.CharField(max_length=500, blank=True, editable=False)
    status = models.CharField(max_length=30, choices=Status.choices, default=Status.NEEDS_AUTHORIZATION)
    status_text = models.TextField(blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    blocked_until = models.DateTimeField(null=True, blank=True)
    api_share = models.PositiveSmallIntegerField(
        default=80, help_text="How much of the app's hourly calls we may use, in percent; the rest is for other tools."
    )

    class Meta:
        ordering: ClassVar = ["client", "label"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["client", "label"], name="account_label_once"),
            models.UniqueConstraint(
                fields=["client", "app", "identity"], condition=~Q(identity=""), name="account_login_once"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["connected", "needs_authorization", "disabled"]), name="account_status_known"
            ),
            models.CheckConstraint(condition=Q(api_share__gte=1, api_share__lte=100), name="account_api_share_percent"),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def lease_key(self) -> str:
        """The same login has the same lease and the same call budget, whichever client it belongs to."""
        return f"{self.app}:{self.identity or self.code}"


class Credential(models.Model):
    """The secrets of one account, apart so that no list ever decrypts them. The account's code is encrypted with them:
    a row that was copied or moved to another account opens nothing there. `version` counts what was written into this
    row by `renew`, which nobody configured: `updated_at` stays."""

    account = models.OneToOneField(Account, models.CASCADE, related_name="credential")
    secrets = EncryptedJSONField()
    updated_at = models.DateTimeField(auto_now=True)
    version = models.PositiveBigIntegerField(default=0, editable=False)

    def __str__(self) -> str:
        return f"Credentials of {self.account_id}"

    @classmethod
    def store(cls, account: Account, secrets: Mapping[str, str]) -> Self:
        """In place of what was stored, which may not be readable any more; in the caller's transaction."""
        cls.objects.filter(account=account).delete()
        return cls.objects.create(account=account, secrets={**secrets, WRITTEN_FOR: str(account.code)})

    @classmethod
    def row_of(cls, account: Account) -> Self | None:
        """Raises SecretUnreadable, also for another account's."""
        found = cls.objects.filter(account=account).first()
        if found is not None and found.secrets.get(WRITTEN_FOR) != str(account.code):
            raise SecretUnreadable(
                f"The stored credentials of {account} were written for another account. "
                "Enter this account's credentials again."
            )
        return found

    @classmethod
    def of(cls, account: Account) -> Secrets:
        """The secrets of the account, empty where none are stored. Raises SecretUnreadable, also for another's."""
        found = cls.row_of(account)
        return found.plain if found is not None else Secrets()

    @property
    def plain(self) -> Secrets:
        return Secrets({name: value for name, value in self.secrets.items() if name != WRITTEN_FOR})

    def renew(self, secrets: Mapping[str, str]) -> bool:
        """In place of what this row held when it was read. False where somebody stored others since: theirs stay."""
        there = type(self).objects.filter(pk=self.pk, version=self.version)
        kept = {**secrets, WRITTEN_FOR: self.secrets[WRITTEN_FOR]}
        return there.update(secrets=kept, version=models.F("version") + 1) == 1
