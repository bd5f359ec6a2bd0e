import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q

from connections.models.connection import Connection


class Rule(models.Model):
    """IF conditions THEN actions, for the contacts of one side. The rules of a side are ORed."""

    class Source(models.TextChoices):
        LEFT = "left", "Left"
        RIGHT = "right", "Right"

    class Match(models.TextChoices):
        ALL = "all", "All conditions"
        ANY = "any", "Any condition"

    class OnLeave(models.TextChoices):
        KEEP = "keep", "Keep what the rule did"
        UNDO = "undo", "Undo what the rule did"

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="rules")
    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    source = models.CharField(max_length=10, choices=Source.choices)
    name = models.CharField(max_length=200)
    position = models.PositiveIntegerField(default=0)
    enabled = models.BooleanField(default=True)
    match = models.CharField(max_length=10, choices=Match.choices, default=Match.ALL)
    on_leave = models.CharField(max_length=10, choices=OnLeave.choices, default=OnLeave.KEEP)

    class Meta:
        ordering: ClassVar = ["position", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(source__in=["left", "right"]), name="rule_source_known"),
            models.CheckConstraint(condition=Q(match__in=["all", "any"]), name="rule_match_known"),
            models.CheckConstraint(condition=Q(on_leave__in=["keep", "undo"]), name="rule_on_leave_known"),
        ]

    def __str__(self) -> str:
        return self.name


class Condition(models.Model):
    """One condition of a rule; the kinds and their operators stand in connections/conditions.py."""

    class Kind(models.TextChoices):
        HAS_TAG = "has_tag", "Has the tag"
        LACKS_TAG = "lacks_tag", "Does not have the tag"
        OWNED_BY = "owned_by", "Is owned by"
        NOT_OWNED_BY = "not_owned_by", "Is not owned by"
        FIELD = "field", "A field's value"
        EXISTS_IN_OTHER = "exists_in_other", "Exists in the other app already"
        IS_DELETED = "is_deleted", "Gets deleted"

    rule = models.ForeignKey(Rule, models.CASCADE, related_name="conditions")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    field = models.CharField(max_length=200, blank=True)
    operator = models.CharField(max_length=20, blank=True)
    value = models.JSONField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(
                    kind__in=[
                        "has_tag",
                        "lacks_tag",
                        "owned_by",
                        "not_owned_by",
                        "field",
                        "exists_in_other",
                        "is_deleted",
                    ]
                ),
                name="condition_kind_known",
            )
        ]

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.get_kind_display(), self.field, self.operator, self.value) if part)


class Action(models.Model):
    """What a rule does to the contact on the other side."""

    class Kind(models.TextChoices):
        ADD_TAG = "add_tag", "Add a tag"
        REMOVE_TAG = "remove_tag", "Remove a tag"
        SET_OWNER = "set_owner", "Set the owner"
        SET_FIELD = "set_field", "Set a field"

    class Mode(models.TextChoices):
        ALWAYS = "always", "Always"
        ON_CREATE = "on_create", "When the contact is created"
        IF_EMPTY = "if_empty", "Where the field is empty"

    rule = models.ForeignKey(Rule, models.CASCADE, related_name="actions")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    field = models.CharField(max_length=200, blank=True)
    value = models.JSONField(null=True, blank=True)
    mode = models.CharField(max_length=10, choices=Mode.choices, default=Mode.ALWAYS)

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind__in=["add_tag", "remove_tag", "set_owner", "set_field"]), name="action_kind_known"
            ),
            models.CheckConstraint(condition=Q(mode__in=["always", "on_create", "if_empty"]), name="action_mode_known"),
        ]

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.get_kind_display(), self.field, self.value) if part)
