"""The acts on people who log in: one function each, recorded in the portal's chain in the transaction of what it does.

Nobody gives themselves a role, and somebody can always administrate. Only administrators reach these acts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from connections import clients
from connections.models import Membership
from connections.services import Refused
from portal.clock import SYSTEM, Clock
from syncer.audit.chain import JSON, PORTAL, Entry, append

ADMINISTRATOR = "administrator"
NAMES = ("username", "first_name", "last_name", "email")
LAST = "This is the last administrator who can log in. Make somebody else one first."
RESERVED = frozenset({"portal", "schedule", "somebody", "system", "terminal", "undo"})
"""Actors in the history who are no people."""
TAKEN = "Somebody has this name already, but for small and capital letters. Choose another one."
OURS = "The history uses this name for the portal itself. Choose another one."
TWICE = "The person has the same role for a client twice. Keep one of the two lines."


@dataclass(frozen=True, order=True)
class Role:
    """What a person is for one client."""

    client_id: int
    role: str
    values: str = Membership.Values.MASKED


def save_person(
    person: User, actor: str, roles: Sequence[Role] | None = None, password: str = "", clock: Clock = SYSTEM
) -> User:
    """Add or change a person; `roles`, where given, become exactly theirs. Who is added without a password needs a
    one-time link (`invite`). Raises ValidationError, Refused."""
    if roles is not None and len({(one.client_id, one.role) for one in roles}) != len(roles):
        raise ValidationError(TWICE)
    old = User.objects.filter(pk=person.pk).first() if person.pk is not None else None
    if old is None:
        person.is_staff = True  # the admin is the only door there is
        set_first_password(person, password)
    person.full_clean()
    name_of_its_own(person, old)
    with transaction.atomic():
        person.save()
        entries = [*told_of(person, old, actor), *administrates(person, old, actor)]
        if roles is not None:
            # With the name until now: somebody who renames themselves is still the same.
            entries += changed_roles(person if old is None else old, actor, roles)
        append(PORTAL, entries, clock.now())
        keep_an_administrator(old)
    return person


def set_first_password(person: User, password: str) -> None:
    if password == "":
        person.set_unusable_password()
        return
    try:
        validate_password(password, person)
    except ValidationError as error:
        raise ValidationError({"password": error.messages}) from None
    person.set_password(password)


def name_of_its_own(person: User, old: User | None) -> None:
    """The history names people by their log-in names: no two may be mixed up, and none with the portal itself. Raises
    ValidationError."""
    name = person.get_username()
    if old is not None and old.get_username() == name:
        return
    if name.casefold() in RESERVED:
        raise ValidationError({"username": [OURS]})
    if User.objects.filter(username__iexact=name).exclude(pk=person.pk).exists():
        raise ValidationError({"username": [TAKEN]})


def told_of(person: User, old: User | None, actor: str) -> list[Entry]:
    now = {name: str(getattr(person, name)) for name in NAMES}
    if old is None:
        return [entry("access.added", actor, person, after=now)]
    before = {name: str(getattr(old, name)) for name in NAMES}
    return [entry("access.changed", actor, person, before=before, after=now)] if before != now else []


def administrates(person: User, old: User | None, actor: str) -> list[Entry]:
    """That somebody became an administrator, or is none any more. Raises Refused for oneself."""
    before = old is not None and old.is_superuser
    if before == person.is_superuser:
        return []
    if person.is_superuser:
        not_oneself(person if old is None else old, actor)
    kind = "access.granted" if person.is_superuser else "access.revoked"
    return [entry(kind, actor, person, {"role": ADMINISTRATOR})]


def changed_roles(person: User, actor: str, roles: Sequence[Role]) -> list[Entry]:
    """Bring the roles in line, in the caller's transaction; the entries that tell of it. Raises Refused."""
    rows = Membership.objects.filter(user=person).select_related("client", "user")
    there = {Role(row.client_id, row.role, row.values): row for row in rows}
    entries = [clients.taken(there[gone], actor) for gone in sorted(there.keys() - set(roles))]
    new = [Membership(user=person, **vars(role)) for role in sorted(set(roles) - there.keys())]
    return entries + [clients.given(row, actor) for row in new]


def set_password(person: User, password: str, actor: str, clock: Clock = SYSTEM) -> User:
    """Raises ValidationError."""
    validate_password(password, person)
    with transaction.atomic():
        person.set_password(password)
        person.save(update_fields=["password"])
        append(PORTAL, [entry("auth.password_changed", actor, person)], clock.now())
    return person


def invite(person: User, actor: str, clock: Clock = SYSTEM) -> tuple[str, str]:
    """Who (coded) and what of a new one-time link to set a password. The password until now and older links end.
    Raises Refused."""
    if not person.is_active:
        raise Refused("Somebody who is deactivated gets no link. Activate them first.")
    not_oneself(person, actor, "Change your own password by the page for that.")
    with transaction.atomic():
        person.set_unusable_password()
        person.save(update_fields=["password"])
        append(PORTAL, [entry("access.invited", actor, person)], clock.now())
    return urlsafe_base64_encode(force_bytes(person.pk)), default_token_generator.make_token(person)


def deactivate(person: User, actor: str, clock: Clock = SYSTEM) -> None:
    """They are logged out at once, and a one-time link ends; their roles stay for when they come back. Raises
    Refused."""
    with transaction.atomic():
        if not person.has_usable_password():
            person.set_unusable_password()  # another one, which no link was made for
            person.save(update_fields=["password"])
        if User.objects.filter(pk=person.pk, is_active=True).update(is_active=False) != 1:
            raise Refused("They are deactivated already.")
        append(PORTAL, [entry("access.deactivated", actor, person)], clock.now())
        keep_an_administrator(person)


def activate(person: User, actor: str, clock: Clock = SYSTEM) -> None:
    """Raises Refused."""
    with transaction.atomic():
        if User.objects.filter(pk=person.pk, is_active=False).update(is_active=True) != 1:
            raise Refused("They are active already.")
        append(PORTAL, [entry("access.activated", actor, person)], clock.now())


def delete_person(person: User, actor: str, clock: Clock = SYSTEM) -> None:
    """With their roles, each of which the history shows as taken. Raises Refused."""
    not_oneself(person, actor, "Nobody deletes themselves: ask another administrator.")
    with transaction.atomic():
        entries = changed_roles(person, actor, [])
        entries.append(entry("access.deleted", actor, person))
        User.objects.filter(pk=person.pk).delete()
        append(PORTAL, entries, clock.now())
        keep_an_administrator(person)


def keep_an_administrator(before: User | None) -> None:
    """Raises Refused where nobody could administrate any more. After the entry was written: its chain lets one writer
    through at a time, so two who deactivate each other see each other."""
    if before is None or not before.is_superuser:
        return
    left = User.objects.filter(is_superuser=True, is_active=True)
    if not any(one.has_usable_password() for one in left):
        raise Refused(LAST)


def not_oneself(person: User, actor: str, text: str = clients.NOT_ONESELF) -> None:
    if person.get_username() == actor:
        raise Refused(text)


def entry(kind: str, actor: str, person: User, header: Mapping[str, JSON] | None = None, **payload: Any) -> Entry:
    return Entry(kind, actor, {"user": person.pk, **(header or {})}, {"user": person.get_username(), **payload})
