import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Book(models.Model):
    """Our replica of one set of contacts in an account, shared by every connection that uses it.

    `cursor` is durable: all before it is stored. `page_cursor` and the other pass fields belong to the pass under way.
    `sequence` numbers the changes of its records; a connection remembers up to which it has planned.
    """

    account = models.ForeignKey("connections.Account", models.CASCADE, related_name="books")
    kind = models.CharField(max_length=20, default="contacts")
    remote_id = models.CharField(max_length=500)
    name = models.CharField(max_length=300, blank=True)
    schema = models.JSONField(default=list, blank=True, help_text="The app's fields as read last.")
    schema_at = models.DateTimeField(null=True, blank=True)
    fields = models.JSONField(default=list, blank=True, help_text="The fields that cursor and values were read with.")
    cursor = models.TextField(blank=True)
    pass_kind = models.CharField(max_length=10, blank=True)
    pass_number = models.PositiveIntegerField(default=0)
    pass_started = models.DateTimeField(null=True, blank=True)
    pass_tries = models.PositiveSmallIntegerField(default=0)
    pass_total = models.PositiveIntegerField(null=True, blank=True)
    page_cursor = models.TextField(blank=True)
    finish_cursor = models.TextField(blank=True)
    complete_pass = models.PositiveIntegerField(default=0, help_text="Number of the last complete full pass.")
    complete_started = models.DateTimeField(null=True, blank=True)
    complete_at = models.DateTimeField(null=True, blank=True)
    complete_fields = models.JSONField(default=list, blank=True)
    sequence = models.PositiveBigIntegerField(default=0)
    pulled_at = models.DateTimeField(null=True, blank=True)
    pull_wanted = models.BooleanField(default=False)
    full_wanted = models.BooleanField(default=False)
    empty_accepted = models.BooleanField(
        default=False, help_text="A person said that the book is empty: the next full pass may believe it."
    )
    restored_at = models.DateTimeField(
        null=True, blank=True, help_text="When a person acknowledged that our database had been set back."
    )
    restored_until = models.DateTimeField(
        null=True, blank=True, help_text="The end of the first complete pass after that."
    )
    problem = models.CharField(max_length=500, blank=True, help_text="Why the last pass was not complete.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "kind", "remote_id"], name="book_once"),
            models.CheckConstraint(condition=Q(pass_kind__in=["", "full", "delta"]), name="book_pass_kind_known"),
        ]

    def __str__(self) -> str:
        return self.name or self.remote_id


class OptOut(models.Model):
    """An address that has opted out in a book, kept for as long as the book is: no sync subscribes it there again, not
    even after its member is gone. `key` is a digest of the address, see engine/consent.py."""

    book = models.ForeignKey(Book, models.CASCADE, related_name="opt_outs")
    key = models.CharField(max_length=64)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["book", "key"], name="opt_out_once")]

    def __str__(self) -> str:
        return self.key[:12]


class Record(models.Model):
    """Our copy of one contact of a book. Written only under the account's lease.

    `sequence` is taken anew when the values or the state change, never for an etag or an equal read-back.
    """

    class State(models.TextChoices):
        LIVE = "live", "Live"
        SUSPECT = "suspect", "Missing, not proven deleted"
        GONE = "gone", "Deleted in the app"
        ERASED = "erased", "Erased on request"

    book = models.ForeignKey(Book, models.CASCADE, related_name="records")
    remote_id = models.CharField(max_length=500)
    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    values = models.JSONField(default=dict)
    digest = models.CharField(max_length=64, blank=True)
    match_key = models.CharField(max_length=320, blank=True)
    sequence = models.PositiveBigIntegerField()
    etag = models.CharField(max_length=300, blank=True)
    marker = models.CharField(max_length=100, blank=True)
    lineage = models.UUIDField(default=uuid.uuid4)
    state = models.CharField(max_length=10, choices=State.choices, default=State.LIVE)
    needs_read = models.BooleanField(default=False)
    problem = models.CharField(max_length=500, blank=True, help_text="Why this contact cannot be read, in plain words.")
    seen_pass = models.PositiveIntegerField(default=0)
    first_seen_at = models.DateTimeField()
    observed_at = models.DateTimeField()
    written_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["book", "sequence"], name="record_book_sequence"),
            models.Index(fields=["book", "match_key"], name="record_book_match_key"),
            models.Index(fields=["book", "state", "seen_pass"], name="record_book_seen"),
            models.Index(fields=["lineage"], name="record_lineage"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["book", "remote_id"], name="record_once"),
            models.CheckConstraint(
                condition=Q(state__in=["live", "suspect", "gone", "erased"]), name="record_state_known"
            ),
        ]

    def __str__(self) -> str:
        return str(self.code)

    @property
    def may_be_there(self) -> bool:
        """Live, or not proven otherwise."""
        return self.state in (self.State.LIVE, self.State.SUSPECT) or (
            self.state == self.State.GONE and self.needs_read
        )

    @property
    def usable(self) -> bool:
        """Whether it may be source, target or match candidate."""
        return self.state == self.State.LIVE and not self.needs_read and self.problem == ""
