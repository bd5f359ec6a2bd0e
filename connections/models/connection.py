import json
import uuid
from typing import Any, ClassVar, Literal

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from connections.models.account import Account
from connections.models.client import Client

SideName = Literal["left", "right"]
SIDES: tuple[SideName, SideName] = ("left", "right")


def other(side: SideName) -> SideName:
    return "right" if side == "left" else "left"


class Direction(models.TextChoices):
    BOTH = "both", "Both ways"
    TO_RIGHT = "to_right", "To the right"
    TO_LEFT = "to_left", "To the left"


class Travel(models.TextChoices):
    """Which way deletions travel (as tags)."""

    OFF = "off", "Off"
    TO_RIGHT = "to_right", "To the right"
    TO_LEFT = "to_left", "To the left"
    BOTH = "both", "Both ways"


class Connection(models.Model):
    """A pair of books, left and right, kept in sync."""

    class Winner(models.TextChoices):
        LEFT = "left", "Left"
        RIGHT = "right", "Right"
        HOLD = "hold", "Nobody: ask a person"

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"

    class Review(models.TextChoices):
        FIRST = "first", "The first plan"
        CHANGES = "changes", "The first plan, and the first after a change of mapping or rules"
        NEVER = "never", "Never (the limits still hold)"

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    client = models.ForeignKey(Client, models.PROTECT, related_name="connections")
    name = models.CharField(max_length=200)
    left_account = models.ForeignKey(Account, models.PROTECT, related_name="left_connections")
    left_book = models.CharField(max_length=500)
    right_account = models.ForeignKey(Account, models.PROTECT, related_name="right_connections")
    right_book = models.CharField(max_length=500)
    direction = models.CharField(max_length=10, choices=Direction.choices, default=Direction.BOTH)
    winner = models.CharField(max_length=10, choices=Winner.choices, default=Winner.LEFT)
    avoid_duplicates = models.BooleanField(
        default=True, help_text="Contacts without an e-mail address are left alone; switched off, they are created too."
    )
    sync_deletions = models.CharField(max_length=10, choices=Travel.choices, default=Travel.OFF)
    sync_unsubscribes = models.CharField(
        max_length=10, choices=[(t.value, t.label) for t in Travel if t != Travel.BOTH], default=Travel.OFF
    )
    trash_tag = models.CharField(max_length=100, default="PieSync Trash")
    unsubscribe_tag = models.CharField(max_length=100, default="PieSync Unsubscribes")
    interval = models.PositiveIntegerField(default=300, help_text="Seconds between two runs; at least 60.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT, editable=False)
    review = models.CharField(max_length=10, choices=Review.choices, default=Review.CHANGES)
    limits = models.JSONField(default=dict, blank=True)
    create_defaults = models.JSONField(default=dict, blank=True)
    version = models.PositiveIntegerField(default=0, editable=False)
    reviewed_version = models.PositiveIntegerField(
        default=0, editable=False, help_text="The newest version whose mapping and rules a person has let through."
    )
    review_once = models.BooleanField(
        default=False, editable=False, help_text="The next plan is shown for review whatever the option says."
    )
    next_run_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_run_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_success_at = models.DateTimeField(null=True, blank=True, editable=False)
    quiet_runs = models.PositiveIntegerField(default=0, editable=False)
    updated_at = models.DateTimeField(
        db_default=Now(),
        editable=False,
        help_text="When its configuration or state last changed; runs do not count.",
    )

    class Meta:
        ordering: ClassVar = ["client", "name"]
        indexes: ClassVar = [models.Index(fields=["next_run_at"], name="connection_due")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["client", "name"], name="connection_name_once"),
            models.CheckConstraint(
                condition=~Q(left_account=F("right_account"), left_book=F("right_book")), name="connection_books_differ"
            ),
            models.CheckConstraint(condition=Q(interval__gte=60), name="connection_interval_minimum"),
            models.CheckConstraint(condition=Q(state__in=["draft", "active", "paused"]), name="connection_state_known"),
            models.CheckConstraint(
                condition=Q(direction__in=["both", "to_right", "to_left"]), name="connection_direction_known"
            ),
            models.CheckConstraint(condition=Q(winner__in=["left", "right", "hold"]), name="connection_winner_known"),
            models.CheckConstraint(
                condition=Q(sync_deletions__in=["off", "to_right", "to_left", "both"]),
                name="connection_deletions_known",
            ),
            models.CheckConstraint(
                condition=Q(sync_unsubscribes__in=["off", "to_right", "to_left"]), name="connection_unsubscribes_known"
            ),
            models.CheckConstraint(
                condition=Q(review__in=["first", "changes", "never"]), name="connection_review_known"
            ),
            models.CheckConstraint(condition=~Q(trash_tag="") & ~Q(unsubscribe_tag=""), name="connection_tags_named"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def chain(self) -> str:
        """The name of this connection's audit chain."""
        return f"connection:{self.code}"

    def account(self, side: SideName) -> Account:
        return self.left_account if side == "left" else self.right_account

    def book_id(self, side: SideName) -> str:
        return self.left_book if side == "left" else self.right_book

    def writes_to(self, side: SideName) -> bool:
        """Whether the direction lets values travel to this side."""
        return self.direction in (Direction.BOTH, f"to_{side}")

    def default_for(self, side: SideName, name: str) -> Any:
        """A default for creates on a side (owner, consent, create_companies), or None."""
        return self.create_defaults.get(side, {}).get(name)


class ConfigVersion(models.Model):
    """One state of a connection's configuration, never changed. Every run names its version."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    body = models.TextField(help_text="The whole configuration as canonical JSON.")
    digest = models.CharField(max_length=64)
    author = models.CharField(max_length=200)
    reason = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["connection", "number"], name="config_version_number_once")
        ]

    def __str__(self) -> str:
        return f"Version {self.number} of {self.connection_id}"

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found
