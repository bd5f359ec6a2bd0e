"""Clients, accounts and what apps say of them. Thin: each act is a service of connections/."""

from collections.abc import Sequence
from typing import Any

import django_filters
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from connections import clients, services
from connections.api.base import MANAGE, READ, Api, Lists, Shows, location, tag_of
from connections.api.errors import Problem
from connections.api.filters import ByClient
from connections.api.serializers import (
    AccountBody,
    AppBody,
    BegunBody,
    BookBody,
    CheckBody,
    ClientBody,
    FieldBody,
    MeBody,
    OwnerBody,
)
from connections.models import Account, Client
from connections.oauth import begin_authorization
from portal.clock import SYSTEM
from syncer.connectors.registry import apps
from syncer.rates import used

BOOK = OpenApiParameter("book", str, required=True, description="The id of a book, from `books/`.")


@extend_schema(tags=["me"])
class MeView(Api):
    serializer_class = MeBody
    scopes = {"retrieve": None}

    @extend_schema(summary="The key that asks: client, scopes, expiry")
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.shown(self.key)


@extend_schema(tags=["apps"])
class AppView(Api):
    serializer_class = AppBody
    queryset = Client.objects.none()
    pagination_class = None
    scopes = {"list": (READ,)}

    @extend_schema(summary="The apps, with what each needs and can do")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(self.get_serializer(apps(), many=True).data)


@extend_schema(tags=["clients"])
@extend_schema_view(
    list=extend_schema(summary="The clients (agency keys)"), retrieve=extend_schema(summary="One client (agency keys)")
)
class ClientView(Lists, Shows):
    serializer_class = ClientBody
    queryset = Client.objects.order_by("pk")
    client_path = "pk"
    agency_only = True
    scopes = {"list": (READ,), "retrieve": (READ,), "create": (MANAGE,), "partial_update": (MANAGE,)}

    def etag(self, obj: Client) -> str:
        return tag_of([obj.name, obj.slug])

    @extend_schema(summary="Add a client", responses={201: ClientBody})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        client = clients.save_client(Client(**self.read()), self.actor)
        return self.shown(client, 201, Location=location(request, client, "clients"))

    @extend_schema(summary="Change a client")
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        client = self.get_object()
        self.check_match(client)
        for name, value in self.read(partial=True).items():
            setattr(client, name, value)
        return self.shown(clients.save_client(client, self.actor))


class AccountFilter(ByClient):
    app = django_filters.CharFilter(help_text="The slug of an app")
    status = django_filters.ChoiceFilter(choices=Account.Status.choices)


@extend_schema(tags=["accounts"])
@extend_schema_view(
    list=extend_schema(summary="The accounts"),
    retrieve=extend_schema(summary="One account"),
)
class AccountView(Lists, Shows):
    serializer_class = AccountBody
    queryset = Account.objects.select_related("client", "credential").order_by("pk")
    filterset_class = AccountFilter
    scopes = {
        **dict.fromkeys(["list", "retrieve", "books", "fields", "owners", "tags"], (READ,)),
        **dict.fromkeys(["create", "partial_update", "destroy", "check", "authorize"], (MANAGE,)),
    }

    queries = {"fields": frozenset({"book"}), "tags": frozenset({"book"})}

    def etag(self, obj: Account) -> str:
        stored = getattr(obj, "credential", None)
        return tag_of([obj.label, obj.settings, obj.api_share, str(stored.updated_at) if stored is not None else ""])

    def beside(self, rows: Sequence[Account]) -> dict[str, Any]:
        return {"used": used([account.lease_key for account in rows], SYSTEM.now())}

    @extend_schema(summary="Add an account; ask the app with `check/`", responses={201: AccountBody})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = self.read()
        client = self.client_given(given.pop("client", None))
        share = given.pop("api_share", None)
        account = services.create_account(client, self.actor, api_share=share, **given)
        return self.shown(account, 201, Location=location(request, account, "accounts"))

    @extend_schema(summary="Change an account; what is left out stays")
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        account = self.get_object()
        self.check_match(account)
        given = self.read(partial=True)
        for name in ("client", "app"):
            if name in given and given.pop(name) != getattr(account, name):
                raise services.Refused("An account stays with its app and its client. Add another account.")
        return self.shown(services.update_account(account, self.actor, **given))

    @extend_schema(summary="Delete an account that no connection uses", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        account = self.get_object()
        self.check_match(account)
        services.delete_account(account, self.actor)
        return Response(status=204)

    @extend_schema(summary="Ask the app who we are", request=None, responses=CheckBody)
    @action(detail=True, methods=["post"])
    def check(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        account = self.acted_on()
        identity = services.check_account(account, self.actor)
        return Response({"status": account.status, "identity": identity.key})

    @extend_schema(
        summary="Where a person gives access on the app's own page: an address that works once, for ten minutes",
        request=None,
        responses=BegunBody,
    )
    @action(detail=True, methods=["post"])
    def authorize(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        account = self.acted_on()
        begun = begin_authorization(account, self.actor, request.build_absolute_uri(reverse("oauth_callback")))
        return Response(BegunBody(begun).data, headers={"Cache-Control": "no-store"})

    @extend_schema(summary="Its books, read from the app", responses=BookBody(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def books(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(BookBody(services.books_of(self.get_object()), many=True).data)

    @extend_schema(summary="The fields of a book", parameters=[BOOK], responses=FieldBody(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def fields(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        account = self.get_object()
        return Response(FieldBody(services.fields_of(account, self.book(account)), many=True).data)

    @extend_schema(summary="Who can own a contact", responses=OwnerBody(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def owners(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(OwnerBody(services.owners_of(self.get_object()), many=True).data)

    @extend_schema(
        summary="The tags in use in a book",
        parameters=[BOOK],
        responses={200: {"type": "array", "items": {"type": "string"}}},
    )
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def tags(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        account = self.get_object()
        return Response(services.tags_of(account, self.book(account)))

    def book(self, account: Account) -> str:
        book = self.request.query_params.get("book", "")
        known = [one.id for one in services.books_of(account)]
        if book not in known:
            text = f"Say which book: one of {', '.join(known) or 'none, it seems; make one in the app'}."
            raise Problem(400, "Look at: book.", {"book": [text]})
        return book
