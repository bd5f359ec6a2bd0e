import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q


class Client(models.Model):
    """A customer of the agency. Everything belongs to one."""

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    four_eyes = models.BooleanField(
        default=False, help_text="Who changed the configuration, or asked for the plan, does not approve it."
    )

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """What a person may do for a client, and whether they see contacts' values or masked ones."""

    class Role(models.TextChoices):
        MANAGER = "manager", "Manager"
        APPROVER = "approver", "Approver"
        AUDITOR = "auditor", "Auditor"

    class Values(models.TextChoices):
        FULL = "full", "Full"
        MASKED = "masked", "Masked"

    client = models.ForeignKey(Client, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role.choices)
    values = models.CharField(max_length=10, choices=Values.choices, default=Values.MASKED)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["client", "user", "role"], name="membership_once"),
            models.CheckConstraint(
                condition=Q(role__in=["manager", "approver", "auditor"]), name="membership_role_known"
            ),
            models.CheckConstraint(condition=Q(values__in=["full", "masked"]), name="membership_values_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role} of {self.client}"
