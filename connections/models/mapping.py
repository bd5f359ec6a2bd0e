import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q

from connections.models.connection import Connection, Direction


class FieldMapping(models.Model):
    """A left field and a right field whose values are kept equal.

    `code` names the line in shadows and holds. It is replaced whenever a field, the direction or the value map changes,
    so that a changed line starts as a first merge.
    """

    class OnConflict(models.TextChoices):
        INHERIT = "inherit", "As the connection says"
        LEFT = "left", "The left wins"
        RIGHT = "right", "The right wins"
        HOLD = "hold", "Ask a person"

    class WriteMode(models.TextChoices):
        ALWAYS = "always", "Always"
        IF_EMPTY = "if_empty", "Only where the field is empty"
        ON_CREATE = "on_create", "Only when a contact is created"

    class Clears(models.TextChoices):
        PROPAGATE = "propagate", "An emptied field empties the other"
        IGNORE = "ignore", "An emptied field is left at that"

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="mappings")
    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    left_field = models.CharField(max_length=200)
    right_field = models.CharField(max_length=200)
    direction = models.CharField(max_length=10, choices=Direction.choices, default=Direction.BOTH)
    is_default = models.BooleanField(default=False, editable=False)
    enabled = models.BooleanField(default=True)
    on_conflict = models.CharField(max_length=10, choices=OnConflict.choices, default=OnConflict.INHERIT)
    write_mode = models.CharField(max_length=10, choices=WriteMode.choices, default=WriteMode.ALWAYS)
    clears = models.CharField(max_length=10, choices=Clears.choices, default=Clears.PROPAGATE)
    accept_lossy = models.BooleanField(
        default=False, help_text="The conversion may lose something or fail for some values, and that is accepted."
    )
    value_map = models.JSONField(null=True, blank=True, help_text="Left value to right value, one to one.")
    fallback = models.JSONField(
        null=True,
        blank=True,
        help_text='What fills a required field that is empty: {"constant": "..."} or {"field": "name of a field"}.',
    )

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["connection", "left_field"], condition=Q(enabled=True), name="mapping_left_field_once"
            ),
            models.UniqueConstraint(
                fields=["connection", "right_field"], condition=Q(enabled=True), name="mapping_right_field_once"
            ),
            models.CheckConstraint(
                condition=Q(direction__in=["both", "to_right", "to_left"]), name="mapping_direction_known"
            ),
            models.CheckConstraint(
                condition=Q(on_conflict__in=["inherit", "left", "right", "hold"]), name="mapping_on_conflict_known"
            ),
            models.CheckConstraint(
                condition=Q(write_mode__in=["always", "if_empty", "on_create"]), name="mapping_write_mode_known"
            ),
            models.CheckConstraint(condition=Q(clears__in=["propagate", "ignore"]), name="mapping_clears_known"),
        ]

    def __str__(self) -> str:
        arrow = {"both": "<->", "to_right": "->", "to_left": "<-"}[self.direction]
        return f"{self.left_field} {arrow} {self.right_field}"
