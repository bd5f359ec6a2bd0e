"""Whose things a person may see and change: those of the clients they are a member of; a superuser all of them."""

from django.http import HttpRequest

from connections.models import Client, Membership
from connections.roles import MANAGER, Right, roles_with

__all__ = ["MANAGER", "client_ids", "clients", "may", "sees_all", "sees_values"]
_KEPT = "counterpart.memberships"


def memberships(request: HttpRequest) -> list[tuple[int, str, str]]:
    """(client, role, values) of the person, read once a request."""
    found: list[tuple[int, str, str]] | None = request.META.get(_KEPT)
    if found is None:
        found = list(
            Membership.objects.filter(user__pk=request.user.pk or 0).values_list("client_id", "role", "values")
        )
        request.META[_KEPT] = found
    return found


def sees_all(request: HttpRequest) -> bool:
    return request.user.is_superuser


def client_ids(request: HttpRequest, *roles: str) -> list[int]:
    """The clients of a person who is no superuser: all, or those where they have one of these roles."""
    return sorted({client for client, role, _ in memberships(request) if roles == () or role in roles})


def clients(request: HttpRequest, *roles: str) -> "list[Client]":
    found = Client.objects.all()
    return list(found if sees_all(request) else found.filter(pk__in=client_ids(request, *roles)))


def may(request: HttpRequest, model: str, right: Right, client_id: int | None = None) -> bool:
    """Whether the person has this right on the pages of a model (its label): for this client, or for any."""
    roles = roles_with(model, right)
    if sees_all(request) or roles == ():
        return sees_all(request)
    return client_id in client_ids(request, *roles) if client_id is not None else client_ids(request, *roles) != []


def sees_values(request: HttpRequest, client_id: int | None) -> bool:
    """Whether contacts' values are shown in full; else masked."""
    full = {client for client, _, values in memberships(request) if values == Membership.Values.FULL}
    return sees_all(request) or client_id in full
