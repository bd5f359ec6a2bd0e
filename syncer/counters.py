"""What /metrics counts and no table can tell at a glance: kept as sums, so that nobody has to count all of time."""

from collections.abc import Mapping

from django.db import transaction
from django.db.models import F

from syncer.models.counter import Counter

RUNS = "runs"
CHANGES = "changes"
API_CALLS = "api_calls"
ERRORS = "errors"
LEASE_WAITS = "lease_waits"
LEASES_LOST = "leases_lost"

Key = tuple[str, ...]
"""The name of a counter, then what it is labelled with."""


def add(amounts: Mapping[Key, int]) -> None:
    """Count what the caller's transaction did once it is committed: a count never makes work fail or wait, and is
    lost only where the process dies at that moment."""
    transaction.on_commit(lambda: store(amounts), robust=True)


def store(amounts: Mapping[Key, int]) -> None:
    """Sorted: of two who count the same things at once, neither waits for what the other waits for."""
    with transaction.atomic():
        for key in sorted(key for key, amount in amounts.items() if amount):
            name, labels = key[0], " ".join(key[1:])
            row = Counter.objects.filter(name=name, labels=labels)
            if not row.update(total=F("total") + amounts[key]):
                Counter.objects.get_or_create(name=name, labels=labels)
                row.update(total=F("total") + amounts[key])
