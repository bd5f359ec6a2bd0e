"""The acts of people on clients and their members; the same rules as in connections/services.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from connections.models import Client, Membership
from connections.services import Overtaken, Refused
from portal.clock import SYSTEM, Clock
from syncer.audit.chain import PORTAL, Entry, append

FIELDS = ("name", "slug", "four_eyes")
NOT_ONESELF = "Nobody gives themselves a role: ask another administrator."


@dataclass(frozen=True, order=True)
class Member:
    """One role of one person."""

    user_id: int
    role: str
    values: str = Membership.Values.MASKED


def stored(client: Client) -> dict[str, Any]:
    """What can be changed of a client, as it is loaded."""
    return {name: getattr(client, name) for name in FIELDS}


def save_client(
    client: Client,
    actor: str,
    members: Sequence[Member] | None = None,
    clock: Clock = SYSTEM,
    seen: Mapping[str, Any] | None = None,
) -> Client:
    """Add or change a client; `members`, where given, become exactly its members. `seen` is what `stored` said when the
    caller loaded it. Raises Refused, ValidationError, and Overtaken where it is not so any more."""
    if members is not None and len({(one.user_id, one.role) for one in members}) != len(members):
        raise ValidationError("Somebody has the same role twice. Keep one of the two lines.")
    old = Client.objects.filter(pk=client.pk).first() if client.pk is not None else None
    client.full_clean()
    with transaction.atomic():
        entries: list[Entry] = []
        if old is None:
            client.save()
            entries.append(entry("config.changed", actor, client, {"created": True, "four_eyes": client.four_eyes}))
        elif stored(old) != stored(client):
            changed = Client.objects.filter(pk=client.pk, **(stored(old) if seen is None else seen))
            if changed.update(**stored(client)) != 1:
                raise Overtaken
            entries.append(entry("config.changed", actor, client, {"created": False, "four_eyes": client.four_eyes}))
        if members is not None:
            entries += changed_members(client, actor, members)
        append(PORTAL, entries, clock.now())
    return client


def changed_members(client: Client, actor: str, members: Sequence[Member]) -> list[Entry]:
    """Bring the members in line, in the caller's transaction; the entries that tell of it. Raises Refused."""
    there = {Member(row.user_id, row.role, row.values): row for row in client.memberships.select_related("user")}
    entries = [taken(there[gone], actor) for gone in sorted(there.keys() - set(members))]
    new = [Membership(client=client, **vars(member)) for member in sorted(set(members) - there.keys())]
    return entries + [given(row, actor) for row in new]


def taken(row: Membership, actor: str) -> Entry:
    row.delete()
    return entry("access.revoked", actor, row.client, role_of(row), str(row.user))


def given(row: Membership, actor: str) -> Entry:
    """Raises Refused, ValidationError."""
    row.full_clean()
    if row.user.get_username() == actor:
        raise Refused(NOT_ONESELF)
    row.save()
    return entry("access.granted", actor, row.client, role_of(row), str(row.user))


def role_of(row: Membership) -> dict[str, Any]:
    return {"user": row.user_id, "role": str(row.role), "values": str(row.values)}


def delete_client(client: Client, actor: str, clock: Clock = SYSTEM) -> None:
    """Raises Refused while it has accounts or connections: nothing is lost by the way."""
    parts = [(client.connections.count(), "connection"), (client.accounts.count(), "account")]
    left = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in parts if count > 0]
    if left:
        raise Refused(f"{client} still has {' and '.join(left)}. Delete those first, connections before accounts.")
    with transaction.atomic():
        entries = [*changed_members(client, actor, []), entry("config.changed", actor, client, {"deleted": True})]
        client.delete()
        append(PORTAL, entries, clock.now())


def entry(kind: str, actor: str, client: Client, header: Mapping[str, Any], user: str = "") -> Entry:
    payload = {"name": client.name, "slug": client.slug, **({"user": user} if user != "" else {})}
    return Entry(kind, actor, {"client": str(client.code), **header}, payload)
