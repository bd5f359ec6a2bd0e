"""Who calls: `Authorization: Bearer cpk_...`, and what the key is allowed to do."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from connections.keys import find_key
from connections.models import ApiKey

HOW = "Send a valid key: `Authorization: Bearer cpk_...`. `python manage.py create_api_key` makes one."


class Caller(AnonymousUser):
    """A tool with a key. It is nobody that Django's own pages know."""

    def __init__(self, key: ApiKey) -> None:
        self.key = key
        self.actor = key.actor

    @property
    def is_authenticated(self) -> Any:
        return True


class KeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Caller, ApiKey] | None:
        parts = get_authorization_header(request).split()
        if not parts:
            return None
        try:
            kind, text = (part.decode("ascii") for part in parts)
        except ValueError:
            raise AuthenticationFailed(HOW) from None
        key = find_key(text) if kind.lower() == "bearer" else None
        if key is None:
            raise AuthenticationFailed(f"This key is not known, was revoked, or has expired. {HOW}")
        return Caller(key), key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Counterpart"'


class HasScope(BasePermission):
    """The key has one of the scopes that the view names for its action. A view that names none is for any key; an
    action that is missing from them is for nobody."""

    def has_permission(self, request: Request, view: Any) -> bool:
        key = request.auth
        if not isinstance(key, ApiKey):
            return False
        if view.action is None:
            return True  # no such method here, which is said next
        wanted = view.wanted_scopes()
        self.message = f"This key lacks the scope {' or '.join(wanted)}." if wanted else "This key may not do that."
        if wanted is None:
            return True
        if view.agency_only and key.client_id is not None:
            self.message = "This call is for keys of the whole agency."
            return False
        return bool(set(wanted) & set(key.scopes))
