import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q

ENDED = ("superseded", "erased")


class Side(models.Model):
    """How far a connection has planned one of its books: all up to sequence `planned` has a stored verdict under
    configuration `version`."""

    connection = models.ForeignKey("connections.Connection", models.CASCADE, related_name="sides")
    side = models.CharField(max_length=5)
    book = models.ForeignKey("syncer.Book", models.RESTRICT, related_name="sides")
    planned = models.PositiveBigIntegerField(default=0)
    version = models.PositiveIntegerField(default=0)
    planned_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["connection", "side"], name="side_once"),
            models.CheckConstraint(condition=Q(side__in=["left", "right"]), name="side_known"),
        ]

    def __str__(self) -> str:
        return f"{self.side} of {self.connection_id}"


class Link(models.Model):
    """What a connection knows of one contact: its record on either side, and its state.

    A *pair* has both sides; a *one-sided* link is a verdict on one record. `shadow` maps a mapping's code to the pair
    of values [left, right] at the last agreement. `applied_actions` holds what a rule or an option set, and what was
    there before.
    """

    class State(models.TextChoices):
        NEW = "new", "Waiting"
        CREATING = "creating", "Being created"
        IN_SYNC = "in_sync", "In sync"
        EXCLUDED = "excluded", "Excluded"
        DUPLICATE = "duplicate", "Duplicate"
        FAILING = "failing", "Failing"
        HELD = "held", "Waiting for a person"
        OPPOSITE_DELETED = "opposite_deleted", "Deleted on the other side"
        SUPERSEDED = "superseded", "Superseded"
        ERASED = "erased", "Erased"

    connection = models.ForeignKey("connections.Connection", models.CASCADE, related_name="links")
    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    left = models.ForeignKey("syncer.Record", models.RESTRICT, null=True, blank=True, related_name="left_links")
    right = models.ForeignKey("syncer.Record", models.RESTRICT, null=True, blank=True, related_name="right_links")
    state = models.CharField(max_length=20, choices=State.choices, default=State.NEW)
    reason = models.CharField(max_length=500, blank=True)
    shadow = models.JSONField(default=dict, blank=True)
    applied_actions = models.JSONField(default=dict, blank=True)
    flips = models.JSONField(default=dict, blank=True)
    trace = models.JSONField(default=list, blank=True, help_text="The reasons of the last decision, as they were then.")
    refused = models.JSONField(
        default=dict, blank=True, help_text="What the app refused: digests of values or changes, each with its reason."
    )
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["connection", "state", "reason"], name="link_health"),
            models.Index(fields=["connection", "updated_at"], name="link_updated"),
            models.Index(fields=["connection", "left"], name="link_connection_left"),
            models.Index(fields=["connection", "right"], name="link_connection_right"),
            models.Index(
                fields=["connection", "next_attempt_at"], condition=Q(next_attempt_at__isnull=False), name="link_due"
            ),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["connection", "left"], condition=~Q(state__in=ENDED), name="link_left_once"
            ),
            models.UniqueConstraint(
                fields=["connection", "right"], condition=~Q(state__in=ENDED), name="link_right_once"
            ),
            models.CheckConstraint(condition=Q(left__isnull=False) | Q(right__isnull=False), name="link_has_a_side"),
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "new",
                        "creating",
                        "in_sync",
                        "excluded",
                        "duplicate",
                        "failing",
                        "held",
                        "opposite_deleted",
                        "superseded",
                        "erased",
                    ]
                ),
                name="link_state_known",
            ),
        ]

    def __str__(self) -> str:
        return str(self.code)

    @property
    def is_pair(self) -> bool:
        return self.left_id is not None and self.right_id is not None

    @property
    def is_live(self) -> bool:
        return self.state not in ENDED
