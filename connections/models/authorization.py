from typing import ClassVar

from django.db import models

from connections.models.account import Account
from connections.secrets import EncryptedJSONField


class Authorization(models.Model):
    """One way of a person to an app's own page and back. Of what proves that it is theirs, the state in the address and
    their session here, there are digests alone."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="authorizations")
    digest = models.CharField(max_length=64, unique=True)
    secrets = EncryptedJSONField()
    redirect_uri = models.CharField(max_length=2000)
    actor = models.CharField(max_length=200)
    session = models.CharField(max_length=64, blank=True, help_text="Empty where a tool began it.")
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="authorization_expires_at")]

    def __str__(self) -> str:
        return f"Authorisation of {self.account_id}"
