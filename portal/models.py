"""What logging in needs beside Django's own users: the second factor, encrypted, and its recovery codes, hashed."""

from base64 import b32encode
from datetime import datetime
from hashlib import sha256
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.models import User
from django.db import models
from django.db.models import F, Q
from django_otp.models import Device, ThrottlingMixin
from django_otp.oath import TOTP

from connections.secrets import EncryptedJSONField, SecretUnreadable

if TYPE_CHECKING:

    class Throttled(models.Model):
        """What mypy has to know of django-otp's mixin, which has no types."""

        throttling_failure_count = models.PositiveIntegerField(default=0)
        throttling_failure_timestamp = models.DateTimeField(null=True)

        class Meta:
            abstract = True

        def verify_is_allowed(self) -> tuple[bool, Any]: ...

    class DeviceBase(models.Model):
        user = models.ForeignKey(User, models.CASCADE)
        name = models.CharField(max_length=64)
        confirmed = models.BooleanField(default=True)

        class Meta:
            abstract = True
else:
    Throttled, DeviceBase = ThrottlingMixin, Device

KEY_BYTES, DIGITS, STEP_SECONDS, TOLERANCE = 20, 6, 30, 1
CODE_BYTES, CODES = 10, 10


class Person(User):
    """Somebody who logs in. Django's user; the name is for the pages."""

    class Meta:
        proxy = True
        verbose_name, verbose_name_plural = "person", "people"


class Authenticators(models.Manager["Authenticator"]):
    """What django-otp asks of the manager of a device. Secrets are read where they are used: after a loss of the keys,
    people can still be listed, and their second factor reset."""

    def get_queryset(self) -> models.QuerySet["Authenticator"]:
        return super().get_queryset().defer("secrets")

    def devices_for_user(self, user: User, confirmed: bool | None = None) -> models.QuerySet["Authenticator"]:
        found = self.filter(user=user)
        return found if confirmed is None else found.filter(confirmed=confirmed)


class Authenticator(Throttled, DeviceBase):
    """An app that shows a person the codes of RFC 6238: django-otp's device, with its key encrypted. The person is
    encrypted with it, so that a row copied to somebody else opens nothing there. It counts once `confirmed`."""

    secrets = EncryptedJSONField()
    last_step = models.BigIntegerField(default=-1)
    made_at = models.DateTimeField()

    objects = Authenticators()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user"], condition=Q(confirmed=True), name="authenticator_one_in_use")
        ]

    def __str__(self) -> str:
        return f"Authenticator of {self.user_id}"

    def get_throttle_factor(self) -> int:
        """Seconds to wait after the first wrong code; doubled with each further one."""
        return 1

    @classmethod
    def make(cls, user: User, now: datetime) -> "Authenticator":
        key = token_bytes(KEY_BYTES).hex()
        found = {"key": key, "user": str(user.pk)}
        return cls.objects.create(user_id=user.pk, name="authenticator", confirmed=False, secrets=found, made_at=now)

    @property
    def key(self) -> bytes:
        """Raises SecretUnreadable."""
        if self.secrets.get("user") != str(self.user_id):
            raise SecretUnreadable("This authenticator was made for somebody else. Have two-factor log-in reset.")
        return bytes.fromhex(self.secrets["key"])

    @property
    def key_text(self) -> str:
        """The key as authenticator apps take it by hand."""
        return b32encode(self.key).decode()

    def may_try(self, now: datetime) -> bool:
        """Take the one try that is open now. It counts as a wrong one until `tried_well`: who guesses many codes at the
        same moment has one try too."""
        if not self.verify_is_allowed()[0]:
            return False
        seen = {"pk": self.pk, "throttling_failure_count": self.throttling_failure_count}
        raised = F("throttling_failure_count") + 1
        mine = type(self).objects.filter(**seen)
        return mine.update(throttling_failure_count=raised, throttling_failure_timestamp=now) == 1

    def tried_well(self) -> None:
        mine = type(self).objects.filter(pk=self.pk)
        mine.update(throttling_failure_count=0, throttling_failure_timestamp=None)

    def takes(self, code: str, now: datetime) -> bool:
        """Whether it is the code of now, or of the step before or after it; each is taken once. Raises
        SecretUnreadable."""
        totp = TOTP(self.key, STEP_SECONDS, 0, DIGITS)
        totp.time = now.timestamp()
        right: bool = totp.verify(int(code), tolerance=TOLERANCE, min_t=self.last_step + 1)
        if not right:
            return False
        step = totp.t()  # with the drift that `verify` found
        return type(self).objects.filter(pk=self.pk, last_step__lt=step).update(last_step=step) == 1

    def takes_recovery(self, code: str) -> bool:
        """Whether it is one of the recovery codes that are left; it is gone then."""
        count, _ = self.recovery_codes.filter(digest=digest_of(code)).delete()
        return count == 1


class RecoveryCode(models.Model):
    """One of the codes that stand in for a lost authenticator. Random enough (80 bits) for a plain hash."""

    authenticator = models.ForeignKey(Authenticator, models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["authenticator", "digest"], name="recovery_code_once")]

    def __str__(self) -> str:
        return f"Recovery code of authenticator {self.authenticator_id}"

    @staticmethod
    def make(authenticator: Authenticator) -> list[str]:
        """New ones in place of all that were there, in the caller's transaction; the only time that they are seen."""
        codes = [_spelled(token_bytes(CODE_BYTES)) for _ in range(CODES)]
        RecoveryCode.objects.filter(authenticator=authenticator).delete()
        rows = [RecoveryCode(authenticator=authenticator, digest=digest_of(code)) for code in codes]
        RecoveryCode.objects.bulk_create(rows)
        return codes


def _spelled(data: bytes) -> str:
    text = b32encode(data).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def digest_of(code: str) -> str:
    """However it is typed: hyphens, spaces and capitals do not matter."""
    plain = "".join(letter for letter in code.lower() if letter.isalnum())
    return sha256(plain.encode()).hexdigest()
