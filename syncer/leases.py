"""The right to work on accounts, for a while (DESIGN.md 10).

Acquire, renew and fence are one compare-and-set UPDATE each, by the database's clock. The lease is on the login, not on
the connection: connections that share an app never write to it at the same time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce
from operator import or_

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from portal.clock import Clock
from syncer.models.lease import AccountLease


class LeaseLost(Exception):
    """Somebody else works on the account now: stop at once, and write nothing."""


@dataclass
class Lease:
    """Holds all its keys or none. `tokens` maps a key to the token that proves the holding."""

    holder: str
    ttl: timedelta
    clock: Clock
    tokens: dict[str, int] = field(default_factory=dict)
    renewed: float = 0.0

    def fence(self) -> None:
        """First statement of every engine transaction: proves and renews the lease. Raises LeaseLost."""
        if not transaction.get_connection().in_atomic_block:
            raise RuntimeError("the fence stands inside the transaction that it protects")
        if not self.tokens:
            raise LeaseLost("released")
        asked = self.clock.monotonic()
        ours = reduce(or_, (Q(key=key, token=token) for key, token in self.tokens.items()))
        held = AccountLease.objects.filter(ours, expires_at__gt=Now())
        if held.update(expires_at=Now() + self.ttl) != len(self.tokens):
            raise LeaseLost(", ".join(self.tokens))
        self.renewed = asked

    def seconds_left(self) -> float:
        """What is left at least, by our own clock; no write to an app starts with less than its deadline."""
        return self.ttl.total_seconds() - (self.clock.monotonic() - self.renewed)

    def release(self) -> None:
        for key, token in self.tokens.items():
            AccountLease.objects.filter(key=key, token=token).update(expires_at=Now(), holder="")
        self.tokens = {}


def acquire(keys: Sequence[str], holder: str, ttl: timedelta, clock: Clock) -> Lease | None:
    """All keys in sorted order, or none: None when another holds one of them."""
    lease = Lease(holder, ttl, clock, renewed=clock.monotonic())
    for key in sorted(set(keys)):
        token = take(key, holder, ttl)
        if token is None and AccountLease.objects.get_or_create(key=key, defaults={"expires_at": Now()})[1]:
            token = take(key, holder, ttl)
        if token is None:
            lease.release()
            return None
        lease.tokens[key] = token
    return lease


def take(key: str, holder: str, ttl: timedelta) -> int | None:
    """The token where the lease was free. Read in one transaction with the UPDATE, so that it is ours for certain."""
    with transaction.atomic():
        free = AccountLease.objects.filter(key=key, expires_at__lte=Now())
        if free.update(holder=holder, token=F("token") + 1, expires_at=Now() + ttl) != 1:
            return None
        return AccountLease.objects.values_list("token", flat=True).get(key=key)
