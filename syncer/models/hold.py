import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Hold(models.Model):
    """Something that waits for a person: of a connection, or of a book (then for every connection of it)."""

    class Kind(models.TextChoices):
        CONFLICT = "conflict", "Both sides changed a field"
        AMBIGUOUS = "ambiguous", "Several contacts could be the same person"
        GUARD = "guard", "The plan is over a limit"
        REQUIRED_EMPTY = "required_empty", "A required field is empty"
        VALUE = "value", "A value does not fit the other side"
        MATCH_KEY_REMOVED = "match_key_removed", "The e-mail address was removed on one side"
        DELETED_EDITED = "deleted_edited", "Deleted on one side, edited on the other"
        CONSENT = "consent", "The new address has opted out on the other side"
        CREATE_UNKNOWN = "create_unknown", "A contact may or may not have been created"
        EMPTIED = "emptied", "A book that had contacts lists none"
        SUSPECTS = "suspects", "Many contacts are missing at once"
        IDENTITY = "identity", "The account is another login than before"

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    connection = models.ForeignKey(
        "connections.Connection", models.CASCADE, null=True, blank=True, related_name="holds"
    )
    book = models.ForeignKey("syncer.Book", models.CASCADE, null=True, blank=True, related_name="holds")
    kind = models.CharField(max_length=30, choices=Kind.choices)
    link = models.ForeignKey("syncer.Link", models.CASCADE, null=True, blank=True, related_name="holds")
    mapping = models.UUIDField(null=True, blank=True)
    subject = models.CharField(max_length=200, editable=False, help_text="What it is about; one open hold each.")
    data = models.JSONField(default=dict, blank=True)
    opened = models.DateTimeField()
    resolved = models.DateTimeField(null=True, blank=True)
    resolution = models.CharField(max_length=100, blank=True)
    resolver = models.CharField(max_length=200, blank=True)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["connection"], condition=Q(resolved__isnull=True), name="hold_open"),
            models.Index(fields=["kind"], condition=Q(resolved__isnull=True), name="hold_open_kind"),
            models.Index(fields=["updated_at"], name="hold_updated"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["subject"], condition=Q(resolved__isnull=True), name="hold_open_once"),
            models.CheckConstraint(
                condition=Q(connection__isnull=False, book__isnull=True)
                | Q(connection__isnull=True, book__isnull=False),
                name="hold_of_one_thing",
            ),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()

    @staticmethod
    def subject_of(
        kind: str,
        *,
        connection_id: int | None = None,
        book_id: int | None = None,
        link_id: int | None = None,
        mapping: str = "",
    ) -> str:
        """SQL compares no two NULLs, so what makes a hold unique stands in one text."""
        return f"{connection_id or 0}:{book_id or 0}:{kind}:{link_id or 0}:{mapping}"
