from typing import ClassVar

from django.db import models


class AccountLease(models.Model):
    """The right to work on an account: `key` names the login (app and identity), `token` fences off whoever held it
    before."""

    key = models.CharField(max_length=600, unique=True)
    holder = models.CharField(max_length=200, blank=True)
    token = models.PositiveBigIntegerField(default=0)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.key


class ApiUsage(models.Model):
    """How many calls a login spent in one slot of time, and for whom."""

    key = models.CharField(max_length=600)
    slot = models.PositiveBigIntegerField(help_text="Seconds since 1970 divided by the length of a slot.")
    caller = models.CharField(max_length=200)
    calls = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = verbose_name_plural = "API usage"
        constraints: ClassVar = [models.UniqueConstraint(fields=["key", "slot", "caller"], name="api_usage_once")]

    def __str__(self) -> str:
        return f"{self.calls} calls of {self.key}"


class Heartbeat(models.Model):
    """The last sign of life of a worker."""

    name = models.CharField(max_length=100, unique=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
