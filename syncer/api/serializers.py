"""What the engine knows and did, as the API speaks of it (API.md)."""

import json
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from connections.api.fields import Body, Moment, Text
from connections.api.serializers import ConnectionBody
from connections.models import Connection
from syncer.attention import attention
from syncer.models import Change, Hold, Link, SyncLog, SyncRun
from syncer.models.log import Kind
from syncer.services import choices_of, could_be_it

SIDE = [("left", "Left"), ("right", "Right")]
VALUES = {"type": "object", "additionalProperties": True}


@extend_schema_field(VALUES)
class ValuesField(serializers.JSONField):
    """Values by field name: texts, numbers, yes or no, lists of texts, or null for an empty one."""


@extend_schema_field({"type": "array", "items": VALUES})
class ReasonsField(serializers.JSONField):
    """Why, as codes, with the mapping line or the field."""


class RunningConnectionBody(ConnectionBody):
    attention = serializers.SerializerMethodField(help_text="What needs a person, in words.")

    def get_attention(self, connection: Connection) -> list[str]:
        return attention(connection)


class ReasonBody(Body):
    state = serializers.ChoiceField(Link.State.choices, read_only=True)
    reason = serializers.CharField(read_only=True)
    count = serializers.IntegerField(read_only=True)


class HealthBody(Body):
    """How many contacts are in which state; the seven add up to the total."""

    total = serializers.IntegerField(read_only=True)
    in_sync = serializers.IntegerField(read_only=True)
    waiting = serializers.IntegerField(read_only=True)
    excluded = serializers.IntegerField(read_only=True)
    duplicate = serializers.IntegerField(read_only=True)
    failing = serializers.IntegerField(read_only=True)
    held = serializers.IntegerField(read_only=True)
    opposite_deleted = serializers.IntegerField(read_only=True)
    reasons = ReasonBody(many=True, read_only=True)


class StartedBody(Body):
    run = serializers.UUIDField(read_only=True)


# Runs


class SideCountsBody(Body):
    created = serializers.IntegerField(read_only=True)
    updated = serializers.IntegerField(read_only=True)
    tagged = serializers.IntegerField(read_only=True)
    untagged = serializers.IntegerField(read_only=True)
    linked = serializers.IntegerField(read_only=True)


class CountsBody(Body):
    left = SideCountsBody(read_only=True)
    right = SideCountsBody(read_only=True)
    skipped = serializers.IntegerField(read_only=True)
    failed = serializers.IntegerField(read_only=True)
    held = serializers.IntegerField(read_only=True)


class ProgressBody(Body):
    done = serializers.IntegerField(read_only=True)
    total = serializers.IntegerField(read_only=True)


class RunBody(Body):
    code = serializers.UUIDField(read_only=True)
    connection = serializers.UUIDField(read_only=True, source="connection.code")
    status = serializers.ChoiceField(SyncRun.Status.choices, read_only=True)
    phase = serializers.ChoiceField(SyncRun.Phase.choices, read_only=True)
    dry_run = serializers.BooleanField(read_only=True)
    trigger = serializers.CharField(read_only=True)
    actor = serializers.CharField(read_only=True)
    version = serializers.IntegerField(read_only=True)
    progress = serializers.SerializerMethodField()
    counts = serializers.SerializerMethodField()
    digest = serializers.CharField(read_only=True, source="plan_digest", help_text="The name of its plan.")
    api_calls = serializers.IntegerField(read_only=True)
    queued = Moment(read_only=True, source="queued_at")
    started = Moment(read_only=True, allow_null=True)
    finished = Moment(read_only=True, allow_null=True)
    error = serializers.CharField(read_only=True)

    @extend_schema_field(ProgressBody)
    def get_progress(self, run: SyncRun) -> dict[str, int]:
        return {"done": run.progress_done, "total": run.progress_total}

    @extend_schema_field(CountsBody)
    def get_counts(self, run: SyncRun) -> dict[str, Any]:
        """Of a plan that waits, what it would do; else what was done."""
        found = run.counts.get("planned") or run.counts
        return {**{side: sides(found.get(side, {})) for side, _ in SIDE}, **rest(found)}


DONE = {"create": "created", "update": "updated", "tag": "tagged", "untag": "untagged", "link": "linked"}


def sides(found: Mapping[str, int]) -> dict[str, int]:
    """All words, whether it is a plan's (create) or a run's (created)."""
    return {word: found.get(word, found.get(operation, 0)) for operation, word in DONE.items()}


def rest(found: Mapping[str, Any]) -> dict[str, int]:
    return {name: found.get(name, 0) for name in ("skipped", "failed", "held")}


class ChangeBody(Body):
    key = serializers.UUIDField(read_only=True)
    link = serializers.UUIDField(read_only=True, source="link.code")
    side = serializers.ChoiceField(SIDE, read_only=True)
    operation = serializers.ChoiceField(Change.Operation.choices, read_only=True)
    before = ValuesField(read_only=True, source="base")
    after = ValuesField(read_only=True, source="values")
    reasons = ReasonsField(read_only=True)
    state = serializers.ChoiceField(Change.State.choices, read_only=True)
    detail = serializers.CharField(read_only=True)
    sent = Moment(read_only=True, allow_null=True, source="sent_at")
    settled = Moment(read_only=True, allow_null=True, source="settled_at")


class ApproveBody(Body):
    digest = Text(required=False, max_length=64, help_text="Let it through only if it is this plan.")


# Links


class LinkBody(Body):
    code = serializers.UUIDField(read_only=True)
    connection = serializers.UUIDField(read_only=True, source="connection.code")
    state = serializers.ChoiceField(Link.State.choices, read_only=True)
    reason = serializers.CharField(read_only=True)
    left = serializers.CharField(read_only=True, allow_null=True, source="left.remote_id", default=None)
    right = serializers.CharField(read_only=True, allow_null=True, source="right.remote_id", default=None)
    attempts = serializers.IntegerField(read_only=True)
    next_attempt = Moment(read_only=True, allow_null=True, source="next_attempt_at")
    updated = Moment(read_only=True, source="updated_at")


@extend_schema_field({"nullable": True})
class AnyValue(serializers.JSONField):
    """A value as the app shows it."""


class LineBody(Body):
    left_field = serializers.CharField(read_only=True)
    right_field = serializers.CharField(read_only=True)
    agreed = AnyValue(read_only=True, source="shadow", help_text="[left, right] at the last agreement.")
    left = AnyValue(read_only=True)
    right = AnyValue(read_only=True)
    decision = serializers.CharField(read_only=True)


class EntryBody(Body):
    """One entry of the history. `before`, `after` and `payload` need the scope audit; an entry whose payload was erased
    says by which entry."""

    seq = serializers.IntegerField(read_only=True)
    at = Moment(read_only=True)
    kind = serializers.ChoiceField(Kind.choices, read_only=True)
    actor = serializers.CharField(read_only=True)
    chain = serializers.CharField(read_only=True, source="chain.name")
    connection = serializers.UUIDField(read_only=True, allow_null=True)
    run = serializers.UUIDField(read_only=True, allow_null=True)
    link = serializers.UUIDField(read_only=True, allow_null=True)
    side = serializers.CharField(read_only=True)
    operation = serializers.CharField(read_only=True)
    before = serializers.SerializerMethodField()
    after = serializers.SerializerMethodField()
    reasons = serializers.SerializerMethodField()
    header = serializers.SerializerMethodField()
    payload = serializers.SerializerMethodField()
    redacted_by = serializers.IntegerField(read_only=True, allow_null=True)
    entry_hash = serializers.CharField(read_only=True)

    def payload_of(self, entry: SyncLog) -> dict[str, Any] | None:
        return entry.said if self.context.get("values", False) else None

    @extend_schema_field({**VALUES, "nullable": True})
    def get_before(self, entry: SyncLog) -> Any:
        return (self.payload_of(entry) or {}).get("before")

    @extend_schema_field({**VALUES, "nullable": True})
    def get_after(self, entry: SyncLog) -> Any:
        return (self.payload_of(entry) or {}).get("after")

    @extend_schema_field({"type": "array", "items": VALUES})
    def get_reasons(self, entry: SyncLog) -> Any:
        return (self.payload_of(entry) or {}).get("reasons") or json.loads(entry.header).get("reasons", [])

    @extend_schema_field(VALUES)
    def get_header(self, entry: SyncLog) -> Any:
        return json.loads(entry.header)

    @extend_schema_field({**VALUES, "nullable": True})
    def get_payload(self, entry: SyncLog) -> Any:
        return self.payload_of(entry)


class ExplanationBody(Body):
    """Why a contact is as it is: line by line, what was agreed, what either side shows, what would be done now."""

    link = LinkBody(read_only=True)
    lines = LineBody(many=True, read_only=True)
    rules = serializers.ListField(child=serializers.CharField(), read_only=True)
    holds = serializers.ListField(child=serializers.UUIDField(), read_only=True)


# Holds


class HoldBody(Body):
    code = serializers.UUIDField(read_only=True)
    kind = serializers.ChoiceField(Hold.Kind.choices, read_only=True)
    connection = serializers.UUIDField(
        read_only=True,
        allow_null=True,
        source="connection.code",
        default=None,
        help_text="Null: a question about a book.",
    )
    account = serializers.UUIDField(read_only=True, allow_null=True, source="book.account.code", default=None)
    book = serializers.CharField(read_only=True, allow_null=True, source="book.remote_id", default=None)
    link = serializers.UUIDField(read_only=True, allow_null=True, source="link.code", default=None)
    mapping = serializers.UUIDField(read_only=True, allow_null=True)
    data = ValuesField(read_only=True)  # type: ignore[assignment]
    choices = serializers.SerializerMethodField(
        help_text="What can be answered here; empty: it ends when its cause does."
    )
    opened = Moment(read_only=True)
    resolved = Moment(read_only=True, allow_null=True)
    resolution = serializers.CharField(read_only=True)
    resolver = serializers.CharField(read_only=True)
    updated = Moment(read_only=True, source="updated_at")

    def get_choices(self, hold: Hold) -> list[str]:
        return choices_of(hold)


class CandidateBody(Body):
    """A contact that may be the one that was created: `record` is what `this` takes."""

    record = serializers.CharField(read_only=True, source="remote_id")
    values = ValuesField(read_only=True)
    first_seen = Moment(read_only=True, source="first_seen_at")


class OneHoldBody(HoldBody):
    candidates = serializers.SerializerMethodField(
        help_text="Where nobody knows whether it was created: who came since and is in no pair, newest first."
    )

    @extend_schema_field(CandidateBody(many=True))
    def get_candidates(self, hold: Hold) -> Any:
        asked = hold.kind == Hold.Kind.CREATE_UNKNOWN and hold.resolved is None
        return CandidateBody(could_be_it(hold) if asked else [], many=True).data


class ResolveBody(Body):
    resolution = Text(max_length=20)
    record = Text(required=False, max_length=500, help_text="For `this`: the app's id of the contact.")
    digest = Text(required=False, max_length=64, help_text="For `approve` and `reject`: only if it is this plan.")


class VerifyBody(Body):
    """`entries` were read and are as written; where not ok, `seq` and `reason` name the first that is not."""

    ok = serializers.BooleanField(read_only=True)
    chain = serializers.CharField(read_only=True)
    entries = serializers.IntegerField(read_only=True)
    seq = serializers.IntegerField(read_only=True, allow_null=True)
    reason = serializers.CharField(read_only=True)
