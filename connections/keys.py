"""API keys: made, revoked and looked up; the same rules as in connections/services.py."""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from hmac import compare_digest

from django.core.cache import caches
from django.core.exceptions import ValidationError
from django.db import transaction

from connections.models import ApiAnswer, ApiKey, Client
from connections.models.key import digest_of
from connections.services import Refused
from portal.clock import SYSTEM, Clock
from syncer.audit.chain import PORTAL, Entry, append
from syncer.audit.format import JSON

FORM = re.compile(r"cpk_(k[0-9a-f]{11})_([A-Za-z0-9_-]{43})")
USED_AT_MOST_EVERY = 60
"""Seconds between two notes of the last use: reading must not write each time."""
ANSWERS_KEPT = timedelta(hours=24)


def create_key(
    client: Client | None,
    actor: str,
    *,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
    clock: Clock = SYSTEM,
) -> tuple[ApiKey, str]:
    """A new key, and its text: shown to whoever asked for it, once, and stored nowhere. Raises ValidationError."""
    problems = {}
    if not name.strip():
        problems["name"] = ["Name the tool that will use it."]
    unknown = sorted(set(scopes) - set(ApiKey.Scope.values))
    if unknown or not scopes:
        known = ", ".join(ApiKey.Scope.values)
        problems["scopes"] = [f"There is no scope {', '.join(unknown)}." if unknown else f"Choose some of: {known}."]
    if expires_at is not None and expires_at <= clock.now():
        problems["expires_at"] = ["This time is over already."]
    if problems:
        raise ValidationError(problems)
    # A letter first: in the header of an entry, digits alone could be a phone number.
    prefix, secret = f"k{secrets.token_hex(6)[:11]}", secrets.token_urlsafe(32)
    key = ApiKey(
        client=client,
        name=name.strip(),
        prefix=prefix,
        digest=digest_of(secret),
        scopes=[scope for scope in ApiKey.Scope.values if scope in scopes],
        created_at=clock.now(),
        created_by=actor,
        expires_at=expires_at,
    )
    key.full_clean()
    with transaction.atomic():
        key.save()
        append(PORTAL, [entry("key.created", actor, key, {"scopes": key.scopes})], clock.now())
    return key, f"cpk_{prefix}_{secret}"


def revoke_key(key: ApiKey, actor: str, clock: Clock = SYSTEM) -> None:
    """From now on it opens nothing. Raises Refused where it was revoked before."""
    now = clock.now()
    with transaction.atomic():
        if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now):
            raise Refused("This key was revoked already.")
        key.revoked_at = now
        append(PORTAL, [entry("key.revoked", actor, key, {})], now)


def entry(kind: str, actor: str, key: ApiKey, header: dict[str, JSON]) -> Entry:
    client = str(key.client.code) if key.client is not None else None
    return Entry(kind, actor, {"key": key.prefix, "client": client, **header}, {"name": key.name})


def find_key(text: str, clock: Clock = SYSTEM) -> ApiKey | None:
    """The valid key of this text, with its last use noted."""
    parts = FORM.fullmatch(text)
    if parts is None:
        return None
    key = ApiKey.objects.select_related("client").filter(prefix=parts[1]).first()
    now = clock.now()
    if key is None or not compare_digest(key.digest, digest_of(parts[2])) or not key.valid(now):
        return None
    if caches["shared"].add(f"key-used:{key.prefix}", True, USED_AT_MOST_EVERY):
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


def forget_answers(now: datetime) -> None:
    """What was kept for repeated requests, after a day."""
    ApiAnswer.objects.filter(at__lt=now - ANSWERS_KEPT).delete()
