"""What all calls share: keys and scopes, the borders of clients, repeated requests, versions by ETag."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.viewsets import GenericViewSet

from connections.api import idempotency
from connections.api.auth import HasScope, KeyAuthentication
from connections.api.errors import Problem
from connections.api.fields import Nothing
from connections.api.idempotency import KeptJSON
from connections.api.paging import Pages
from connections.api.parsing import LARGEST, StrictJSON
from connections.api.throttling import PerKey
from connections.models import ApiAnswer, ApiKey, Client
from connections.numbers import whole_number
from portal.clock import SYSTEM
from syncer.audit.format import canonical

READ, MANAGE, SYNC = ApiKey.Scope.READ, ApiKey.Scope.MANAGE, ApiKey.Scope.SYNC
APPROVE, AUDIT = ApiKey.Scope.APPROVE, ApiKey.Scope.AUDIT
PAGING = frozenset({"cursor", "page_size"})


class AlwaysJSON(BaseContentNegotiation):
    """Whatever Accept says: there is nothing else."""

    def select_parser(self, request: Request, parsers: Iterable[Any]) -> Any:
        media = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if media in ("", parser.media_type)), None)

    def select_renderer(self, request: Request, renderers: Iterable[Any], format_suffix: str | None = None) -> Any:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class Api(GenericViewSet[Any]):
    """One resource. `scopes` names, by action, the scopes of which a key needs one; `client_path` leads from a row to
    its client; `queries` are, by action, the parameters of its address beside filters and paging; `paged`
    names the actions that give pages."""

    authentication_classes = [KeyAuthentication]
    permission_classes = [HasScope]
    throttle_classes = [PerKey]
    parser_classes = [StrictJSON]
    renderer_classes = [KeptJSON]
    content_negotiation_class = AlwaysJSON
    pagination_class: Any = Pages
    lookup_field = "code"
    lookup_value_regex = "[^/]+"
    scopes: Mapping[str, tuple[str, ...] | None] = {}
    client_path = "client"
    agency_only = False
    queries: Mapping[str, frozenset[str]] = {}
    paged = frozenset({"list"})
    claimed: ApiAnswer | None = None

    # Who may

    def wanted_scopes(self) -> tuple[str, ...] | None:
        return self.scopes.get(self.action or "", ())

    @property
    def key(self) -> ApiKey:
        found = self.request.auth
        assert isinstance(found, ApiKey)
        return found

    @property
    def actor(self) -> str:
        return self.key.actor

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raw = self.raw_body(request)
        self.claimed = idempotency.claim(request, self.key, raw, SYSTEM.now())
        self.check_query(request)

    def raw_body(self, request: Request) -> bytes:
        """Read here once: the parser takes it from there."""
        length = request.META.get("CONTENT_LENGTH") or "0"
        if (size := whole_number(length)) is None or size > LARGEST:
            raise Problem(413, "The body is larger than this call takes.")
        raw: bytes = request._request.body
        return raw

    def check_query(self, request: Request) -> None:
        """A misspelt filter must not give everything."""
        known = self.queries.get(self.action or "", frozenset()) | (PAGING if self.lists() else frozenset())
        known |= self.filters()
        unknown = sorted(set(request.query_params) - known)
        for name, values in request.query_params.lists():
            if len(values) > 1 or values[0].strip() == "":
                raise Problem(400, f"Look at: {name}.", {name: ["Say it once, with a value."]})
        if unknown:
            raise Problem(400, "Look at the address.", {name: ["There is no such parameter here."] for name in unknown})

    def lists(self) -> bool:
        return self.action in self.paged and self.pagination_class is not None

    def filters(self) -> frozenset[str]:
        found = getattr(self, "filterset_class", None)
        return frozenset(found.base_filters) if found is not None and self.action == "list" else frozenset()

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        found = super().finalize_response(request, response, *args, **kwargs)
        claimed = self.claimed
        if claimed is not None:
            found.add_post_render_callback(lambda done: idempotency.keep(claimed, done, done.content))
        return found

    def moment(self, name: str) -> datetime | None:
        """A time of the address. Raises Problem."""
        given = self.request.query_params.get(name)
        try:
            found = datetime.fromisoformat(given).astimezone(UTC) if given is not None else None
        except (ValueError, OverflowError):
            found = None
        if given is not None and found is None:
            raise Problem(400, f"Look at: {name}.", {name: ["A time with its zone: 2026-11-24T09:00:00Z."]})
        return found

    # Whose

    def get_queryset(self) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return found.none()
        return self.own(found)

    def own(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return self.of_client(rows, self.client_path)

    def of_client(self, rows: QuerySet[Any], path: str) -> QuerySet[Any]:
        """Those of the key's client, to which `path` leads from a row."""
        client = self.key.client_id
        return rows if client is None else rows.filter(**{path: client})

    def get_object(self) -> Any:
        """Raises Http404 for what is not there, and for what is another client's, alike."""
        return self.named(self.get_queryset(), self.kwargs[self.lookup_field])

    def acted_on(self) -> Any:
        """The object of a call that takes no input. Raises Http404, ValidationError."""
        found = self.get_object()
        as_input(Nothing, self.request)
        return found

    def named(self, rows: QuerySet[Any], code: Any) -> Any:
        try:
            found = rows.filter(code=UUID(str(code))).first()
        except ValueError:
            found = None
        if found is None:
            raise Http404
        return found

    def client_given(self, given: Client | None) -> Client:
        """The client that a new object belongs to. Raises Problem."""
        own = self.key.client
        if own is None and given is None:
            raise Problem(400, "Look at: client.", {"client": ["A key of the whole agency says for which client."]})
        if own is not None and given not in (None, own):
            raise Problem(400, "Look at: client.", {"client": ["There is no such client."]})
        found = own or given
        assert found is not None
        return found

    # How

    def read(self, **kwargs: Any) -> dict[str, Any]:
        """The body, checked. Raises ValidationError."""
        serializer = self.get_serializer(data=self.request.data, **kwargs)
        serializer.is_valid(raise_exception=True)
        found: dict[str, Any] = serializer.validated_data
        return found

    def shown(self, obj: Any, status: int = 200, **headers: str) -> Response:
        serializer = self.get_serializer(obj, context={**self.get_serializer_context(), **self.beside([obj])})
        response = Response(serializer.data, status=status, headers=headers)
        etag = self.etag(obj)
        if etag:
            response["ETag"] = etag
        return response

    def beside(self, rows: Sequence[Any]) -> dict[str, Any]:
        """What the serializer needs to know of these rows together, read in one go."""
        return {}

    def etag(self, obj: Any) -> str:
        """What changes whenever its configuration does; empty where If-Match means nothing."""
        return ""

    def check_match(self, obj: Any) -> None:
        """`If-Match`: change it only if it is as the caller saw it. Raises Problem."""
        wanted = self.request.headers.get("If-Match")
        if wanted is None or wanted.strip() == "*":
            return
        if self.etag(obj) not in [one.strip() for one in wanted.split(",")]:
            raise Problem(412, "It was changed since you loaded it. Load it again.")


class Lists(Api):
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        context = {**self.get_serializer_context(), **self.beside(page or [])}
        return self.get_paginated_response(self.get_serializer(page, many=True, context=context).data)


class Shows(Api):
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.shown(self.get_object())


def tag_of(parts: Any) -> str:
    """An ETag: other parts, another tag."""
    return f'"{sha256(canonical(parts).encode()).hexdigest()[:32]}"'


def location(request: HttpRequest | Request, obj: Model, path: str) -> str:
    return request.build_absolute_uri(f"/api/v1/{path}/{obj.code}/")  # type: ignore[attr-defined]


def as_input(serializer: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    """A body that is not the resource itself. Raises ValidationError."""
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    found: dict[str, Any] = given.validated_data
    return found
