import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q

RUN_STATES = (
    "queued",
    "running",
    "waiting",
    "done",
    "partial",
    "held",
    "failed",
    "rejected",
    "superseded",
    "cancelled",
)


class SyncRun(models.Model):
    """One execution of a connection: pull -> recover -> plan -> guard -> apply, in as many slices as it takes.

    A run that changed, held and failed nothing leaves no row. `waiting` and `held` are runs whose plan is open: it
    waits for a person (`waiting`: review; `held`: over a limit).
    """

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        WAITING = "waiting", "Waiting for review"
        DONE = "done", "Done"
        PARTIAL = "partial", "Done, some contacts failed"
        HELD = "held", "Held: over a limit"
        FAILED = "failed", "Failed"
        REJECTED = "rejected", "Rejected"
        SUPERSEDED = "superseded", "Superseded"
        CANCELLED = "cancelled", "Cancelled"

    class Phase(models.TextChoices):
        PULL = "pull", "Scanning"
        PLAN = "plan", "Planning"
        APPLY = "apply", "Syncing"
        END = "end", "Ended"

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    connection = models.ForeignKey("connections.Connection", models.CASCADE, related_name="runs")
    version = models.PositiveIntegerField()
    trigger = models.CharField(max_length=20)
    actor = models.CharField(max_length=200)
    dry_run = models.BooleanField(default=False)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.QUEUED)
    phase = models.CharField(max_length=10, choices=Phase.choices, default=Phase.PULL)
    released = models.BooleanField(default=False, help_text="A person let exactly this plan through.")
    recorded = models.BooleanField(default=False, help_text="run.started stands in the audit chain.")
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    left_position = models.PositiveBigIntegerField(default=0, help_text="How far a dry run has looked.")
    right_position = models.PositiveBigIntegerField(default=0)
    left_target = models.PositiveBigIntegerField(default=0)
    right_target = models.PositiveBigIntegerField(default=0)
    counts = models.JSONField(default=dict, blank=True)
    plan_digest = models.CharField(max_length=64, blank=True)
    api_calls = models.PositiveIntegerField(default=0)
    slices = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(
        default=0, help_text="Slices begun since the last step forward: a run that kills its worker stops."
    )
    queued_at = models.DateTimeField()
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)
    error_kind = models.CharField(max_length=50, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        verbose_name = "run"
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["connection", "-id"], name="run_connection"),
            models.Index(fields=["status"], name="run_status"),
            models.Index(fields=["connection", "-finished"], name="run_finished"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["connection"], condition=Q(status__in=["queued", "running"]), name="run_one_at_a_time"
            ),
            models.UniqueConstraint(
                fields=["connection"], condition=Q(status__in=["waiting", "held"]), name="run_one_open_plan"
            ),
            models.CheckConstraint(condition=Q(status__in=RUN_STATES), name="run_status_known"),
            models.CheckConstraint(condition=Q(phase__in=["pull", "plan", "apply", "end"]), name="run_phase_known"),
        ]

    def __str__(self) -> str:
        return str(self.code)


class Cancellation(models.Model):
    """That a person wants a run to end. A row of its own: workers save a run as a whole, and must not overwrite it.
    Whoever writes or reads it for a decision takes the connection's row first."""

    connection = models.ForeignKey("connections.Connection", models.CASCADE, related_name="cancellations")
    run = models.OneToOneField(SyncRun, models.CASCADE, related_name="cancellation")
    actor = models.CharField(max_length=200)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"Cancellation of {self.run_id}"


class Change(models.Model):
    """One planned write: the plan, the write-ahead intent and the progress bar in one row.

    `values` is what is to be written by field of the target, `base` what it replaces, `source` the values it was made
    from by mapping code. `digest` is SHA-256 of the canonical (link, side, operation, values, base).
    """

    class State(models.TextChoices):
        PLANNED = "planned", "Planned"
        HELD = "held", "Held"
        SENDING = "sending", "Being sent"
        DONE = "done", "Done"
        REFUSED = "refused", "Refused by the app"
        STALE = "stale", "Overtaken by a newer value"
        LOST = "lost", "Never arrived"
        RECOVERED = "recovered", "Done, found out afterwards"
        SUPERSEDED = "superseded", "Superseded by a newer plan"
        SKIPPED = "skipped", "Skipped"

    class Operation(models.TextChoices):
        LINK = "link", "Link"
        CREATE = "create", "Create"
        UPDATE = "update", "Update"
        TAG = "tag", "Tag"
        UNTAG = "untag", "Untag"

    run = models.ForeignKey(SyncRun, models.CASCADE, related_name="changes")
    link = models.ForeignKey("syncer.Link", models.CASCADE, related_name="changes")
    side = models.CharField(max_length=5)
    operation = models.CharField(max_length=10, choices=Operation.choices)
    book = models.ForeignKey("syncer.Book", models.RESTRICT, related_name="changes")
    record = models.ForeignKey("syncer.Record", models.RESTRICT, null=True, blank=True, related_name="changes")
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    match_key = models.CharField(max_length=320, blank=True)
    values = models.JSONField(default=dict)
    base = models.JSONField(default=dict)
    source = models.JSONField(default=dict)
    reasons = models.JSONField(default=list)
    digest = models.CharField(max_length=64)
    state = models.CharField(max_length=20, choices=State.choices, default=State.PLANNED)
    attempts = models.PositiveIntegerField(default=0)
    detail = models.CharField(max_length=500, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [
            models.Index(fields=["run", "state", "id"], name="change_run_state"),
            models.Index(fields=["book"], condition=Q(state="sending"), name="change_sending"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["record"], condition=Q(state="sending"), name="change_sending_once"),
            models.UniqueConstraint(
                fields=["book", "match_key"],
                condition=Q(state="sending", operation="create") & ~Q(match_key=""),
                name="change_creating_once",
            ),
            models.CheckConstraint(condition=Q(side__in=["left", "right"]), name="change_side_known"),
            models.CheckConstraint(
                condition=Q(operation__in=["link", "create", "update", "tag", "untag"]), name="change_operation_known"
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "planned",
                        "held",
                        "sending",
                        "done",
                        "refused",
                        "stale",
                        "lost",
                        "recovered",
                        "superseded",
                        "skipped",
                    ]
                ),
                name="change_state_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.side} ({self.state})"
