"""How connections run, and the record of it. Thin: each act is a service of syncer/."""

from datetime import datetime
from typing import Any
from uuid import UUID

import django_filters
from django.core.cache import caches
from django.db.models import Count, Q, QuerySet
from django.http import Http404, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework.decorators import action
from rest_framework.exceptions import MethodNotAllowed, Throttled
from rest_framework.request import Request
from rest_framework.response import Response

from connections import services as configuration
from connections.api.base import APPROVE, AUDIT, MANAGE, READ, SYNC, Lists, Shows, as_input
from connections.api.connections import ConnectionView
from connections.api.errors import Problem
from connections.api.filters import Moment
from connections.api.paging import NewestFirst, NewestOfSeveral, Pages
from connections.api.serializers import ConnectionBody
from connections.models import Connection
from connections.models.connection import SIDES
from portal.clock import SYSTEM
from syncer import evidence, services
from syncer.api.serializers import (
    ApproveBody,
    ChangeBody,
    EntryBody,
    ExplanationBody,
    HealthBody,
    HoldBody,
    LinkBody,
    OneHoldBody,
    ResolveBody,
    RunBody,
    RunningConnectionBody,
    StartedBody,
    VerifyBody,
)
from syncer.attention import by_state, live_links
from syncer.audit.chain import PORTAL, of_connection
from syncer.audit.verify import verify
from syncer.engine.explain import explain, rules_trace
from syncer.models import Book, Change, Hold, Link, LogChain, Record, Side, SyncLog, SyncRun
from syncer.models.log import Kind

HEALTH = {
    "in_sync": ["in_sync"],
    "waiting": ["new", "creating"],
    "excluded": ["excluded"],
    "duplicate": ["duplicate"],
    "failing": ["failing"],
    "held": ["held"],
    "opposite_deleted": ["opposite_deleted"],
}
MOST_REASONS = 200
MOST_SECONDS = 120
MOST_ALIKE = 1_000


class RunningConnectionView(ConnectionView):
    serializer_class = RunningConnectionBody
    scopes = {
        **ConnectionView.scopes,
        "health": (READ,),
        "activate": (MANAGE,),
        **dict.fromkeys(["sync", "plan", "pause", "resume"], (SYNC,)),
    }

    def get_serializer_class(self) -> Any:
        """In lists without `attention`, which asks a dozen questions for each."""
        return ConnectionBody if self.action == "list" else RunningConnectionBody

    @extend_schema(summary="Start: the first run reads both books", request=None, responses=RunningConnectionBody)
    @action(detail=True, methods=["post"])
    def activate(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = self.acted_on()
        if connection.state == Connection.State.PAUSED:
            raise configuration.Refused("The connection is paused. Resume it.")
        configuration.activate(connection, self.actor)
        return self.shown(connection)

    @extend_schema(summary="Stop at the next change", request=None, responses=RunningConnectionBody)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = self.acted_on()
        if connection.state == Connection.State.DRAFT:
            raise configuration.Refused("The connection is a draft: there is nothing to pause.")
        configuration.pause(connection, self.actor)
        return self.shown(connection)

    @extend_schema(summary="Go on after a pause", request=None, responses=RunningConnectionBody)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = self.acted_on()
        if connection.state == Connection.State.DRAFT:
            raise configuration.Refused("The connection is a draft. Activate it first.")
        configuration.resume(connection, self.actor)
        return self.shown(connection)

    @extend_schema(summary="Run now", request=None, responses={202: StartedBody})
    @action(detail=True, methods=["post"])
    def sync(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.started(services.request_sync(self.acted_on(), self.actor))

    @extend_schema(summary="Make a plan, and write nothing", request=None, responses={202: StartedBody})
    @action(detail=True, methods=["post"])
    def plan(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.started(services.request_plan(self.acted_on(), self.actor))

    def started(self, run: SyncRun) -> Response:
        where = self.request.build_absolute_uri(f"/api/v1/runs/{run.code}/")
        return Response({"run": str(run.code)}, status=202, headers={"Location": where})

    @extend_schema(summary="How its contacts are, and why", responses=HealthBody)
    @action(detail=True, methods=["get"])
    def health(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(health(self.get_object()))


def health(connection: Connection) -> dict[str, Any]:
    counts = by_state(connection)
    found = {name: sum(counts.get(state, 0) for state in states) for name, states in HEALTH.items()}
    told = [state for states in HEALTH.values() for state in states if state != Link.State.IN_SYNC]
    rows = live_links(connection).filter(state__in=told).values_list("state", "reason").annotate(count=Count("*"))
    reasons = [
        {"state": state, "reason": reason, "count": count}
        for state, reason, count in rows.order_by("-count", "state", "reason")[:MOST_REASONS]
    ]
    return {"total": sum(found.values()), **found, "reasons": reasons}


# Runs


class RunFilter(django_filters.FilterSet):
    connection = django_filters.UUIDFilter(field_name="connection__code", help_text="The code of a connection")
    status = django_filters.ChoiceFilter(choices=SyncRun.Status.choices)
    updated_since = Moment(method="since", help_text="Queued or finished since")

    @extend_schema_field(OpenApiTypes.DATETIME)
    def since(self, rows: Any, name: str, value: datetime) -> Any:
        return rows.filter(Q(queued_at__gte=value) | Q(finished__gte=value) | Q(finished=None))


@extend_schema(tags=["runs"])
@extend_schema_view(list=extend_schema(summary="The runs, newest first"), retrieve=extend_schema(summary="One run"))
class RunView(Lists, Shows):
    serializer_class = RunBody
    queryset = SyncRun.objects.select_related("connection")
    filterset_class = RunFilter
    pagination_class = NewestFirst
    paged = frozenset({"list", "changes"})
    client_path = "connection__client"
    scopes = {
        **dict.fromkeys(["list", "retrieve", "changes"], (READ,)),
        **dict.fromkeys(["approve", "reject"], (APPROVE,)),
        "cancel": (SYNC,),
    }

    @extend_schema(summary="What it does or would do, contact by contact", responses=ChangeBody(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=Pages)
    def changes(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(Change.objects.filter(run=self.get_object()).select_related("link"))
        return self.get_paginated_response(ChangeBody(page, many=True).data)

    @extend_schema(summary="Let exactly this plan through", request=ApproveBody, responses=RunBody)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = as_input(ApproveBody, request)
        return self.shown(services.approve(self.get_object(), self.actor, given.get("digest", "")))

    @extend_schema(summary="Do not carry it out; the connection pauses", request=None, responses=RunBody)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.shown(services.reject(self.acted_on(), self.actor))

    @extend_schema(
        summary="End it. Where a worker is at it, it ends as soon as what was sent is settled",
        request=None,
        responses=RunBody,
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.shown(services.cancel(self.acted_on(), self.actor))


# Contacts


class LinkFilter(django_filters.FilterSet):
    connection = django_filters.UUIDFilter(field_name="connection__code", help_text="The code of a connection")
    state = django_filters.ChoiceFilter(choices=Link.State.choices)
    email = django_filters.CharFilter(method="of", max_length=320, help_text="The address on either side")
    updated_since = Moment(field_name="updated_at", lookup_expr="gte")

    def of(self, rows: Any, name: str, value: str) -> Any:
        """By the records of the key's books first, and one side after the other: a condition on both sides would walk
        all links."""
        client = getattr(self.request, "auth").client_id  # noqa: B009  # DRF's request, which django-filter types as Django's
        sides = Side.objects.all() if client is None else Side.objects.filter(connection__client=client)
        found = Record.objects.filter(book__in=sides.values("book"), match_key=value.strip().casefold())
        ids = list(found.values_list("pk", flat=True)[:MOST_ALIKE])
        links = [Link.objects.filter(**{f"{side}__in": ids}).values_list("pk", flat=True) for side in SIDES]
        return rows.filter(pk__in=[pk for one in links for pk in one])


@extend_schema(tags=["links"])
@extend_schema_view(
    list=extend_schema(summary="Contacts as connections know them; ended ones too"),
    retrieve=extend_schema(summary="One contact's state"),
)
class LinkView(Lists, Shows):
    serializer_class = LinkBody
    queryset = Link.objects.select_related("connection", "left", "right")
    filterset_class = LinkFilter
    client_path = "connection__client"
    scopes = dict.fromkeys(["list", "retrieve", "explain"], (READ,))

    @extend_schema(summary="Why it is as it is", responses=ExplanationBody)
    @action(detail=True, methods=["get"])
    def explain(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        found = explain(self.get_object(), SYSTEM.now())
        told = {
            "link": found.link,
            "lines": found.lines,
            "rules": rules_trace(found.verdict),
            "holds": [hold.code for hold in found.holds],
        }
        return Response(ExplanationBody(told).data)


# Holds


class HoldFilter(django_filters.FilterSet):
    connection = django_filters.UUIDFilter(method="of", help_text="The code of a connection: its own and its books'")
    kind = django_filters.ChoiceFilter(choices=Hold.Kind.choices)
    updated_since = Moment(field_name="updated_at", lookup_expr="gte", help_text="Opened, changed or resolved since")
    open = django_filters.ChoiceFilter(choices=[("true", "Open"), ("false", "Resolved")], method="is_open")

    def is_open(self, rows: Any, name: str, value: str) -> Any:
        return rows.filter(resolved__isnull=value == "true")

    @extend_schema_field(OpenApiTypes.UUID)
    def of(self, rows: Any, name: str, value: UUID) -> Any:
        books = Book.objects.filter(sides__connection__code=value).values("pk")
        return rows.filter(Q(connection__code=value) | Q(book__in=books))


@extend_schema(tags=["holds"])
@extend_schema_view(
    list=extend_schema(summary="What waits for a person, newest first", responses=HoldBody(many=True)),
    retrieve=extend_schema(summary="One question, with the contacts that could be its answer"),
)
class HoldView(Lists, Shows):
    serializer_class = OneHoldBody
    queryset = Hold.objects.select_related("connection", "book__account", "link")
    filterset_class = HoldFilter
    pagination_class = NewestFirst
    scopes = {**dict.fromkeys(["list", "retrieve"], (READ,)), "resolve": (APPROVE,)}

    def get_serializer_class(self) -> Any:
        """In lists without `candidates`, which are looked for one by one."""
        return HoldBody if self.action == "list" else OneHoldBody

    def own(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        client = self.key.client_id
        return rows if client is None else rows.filter(Q(connection__client=client) | Q(book__account__client=client))

    @extend_schema(summary="Answer it with one of its choices", request=ResolveBody, responses=OneHoldBody)
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        hold, given = self.get_object(), as_input(ResolveBody, request)
        services.resolve(hold, given["resolution"], self.actor, given.get("record", ""), digest=given.get("digest", ""))
        return self.shown(self.get_object())


# The history


class EntryFilter(django_filters.FilterSet):
    connection = django_filters.UUIDFilter(help_text="The code of a connection, deleted ones too (agency keys)")
    link = django_filters.UUIDFilter(help_text="The code of a contact's link")
    run = django_filters.UUIDFilter(help_text="The code of a run")
    kind = django_filters.ChoiceFilter(choices=Kind.choices)
    since = Moment(field_name="at", lookup_expr="gte")
    until = Moment(field_name="at", lookup_expr="lt")


SINCE = OpenApiParameter("since", datetime, description="Entries of this time and later")
UNTIL = OpenApiParameter("until", datetime, description="Entries before this time")
CONNECTION = OpenApiParameter("connection", UUID, description="The code of a connection; the portal's own without.")


@extend_schema(tags=["history"])
class LogView(Lists):
    """Nothing here changes anything, and nothing is counted."""

    serializer_class = EntryBody
    queryset = SyncLog.objects.select_related("chain")
    filterset_class = EntryFilter
    pagination_class = NewestOfSeveral
    scopes = {"list": (READ, AUDIT), "verify": (READ, AUDIT), "export": (AUDIT,)}
    queries = {"verify": frozenset({"connection"}), "export": frozenset({"connection", "since", "until"})}

    def own(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        client = self.key.client_id
        if client is None:
            return rows
        return rows.filter(connection__in=self.several())

    def several(self) -> list[UUID]:
        """The connections of the key's client."""
        return list(Connection.objects.filter(client=self.key.client_id).values_list("code", flat=True))

    def get_serializer_context(self) -> dict[str, Any]:
        values = getattr(self.request, "auth", None) is not None and AUDIT in self.key.scopes
        return {**super().get_serializer_context(), "values": values}

    @extend_schema(summary="The history, newest first; values with the scope audit")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Check every entry of a log", parameters=[CONNECTION], responses=VerifyBody)
    @action(detail=False, methods=["get"], filterset_class=None, pagination_class=None)
    def verify(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        chain, held = self.chain(), caches["shared"]
        # One walk at a time: it takes seconds where there is much, and a thread of a web process.
        if not held.add("verify", True, MOST_SECONDS):
            raise Throttled(wait=10)
        try:
            return Response(VerifyBody(verify(chain)).data)
        finally:
            held.delete("verify")

    @extend_schema(
        summary="The evidence of a log, or of a part of it, as a ZIP with its verifier",
        parameters=[CONNECTION, SINCE, UNTIL],
        responses={(200, "application/zip"): OpenApiTypes.BINARY},
    )
    @action(detail=False, methods=["get"], filterset_class=None, pagination_class=None)
    def export(self, request: Request, *args: Any, **kwargs: Any) -> StreamingHttpResponse:
        if request.method != "GET":
            raise MethodNotAllowed(str(request.method))
        since, until = self.moment("since"), self.moment("until")
        if since is not None and until is not None and since >= until:
            raise Problem(400, "Look at: until.", {"until": ["It is not later than since."]})
        pack = evidence.prepare(self.chain(), self.actor, since, until, values=True, clock=SYSTEM)
        named = {"Content-Disposition": f'attachment; filename="{pack.file_name}"', "Cache-Control": "no-store"}
        return StreamingHttpResponse(pack.chunks(), content_type="application/zip", headers=named)

    def chain(self) -> str:
        """The log that is asked for. Raises Http404 for what is not there or another client's."""
        code = self.request.query_params.get("connection")
        if code is None:
            if self.key.client_id is not None:
                raise Problem(400, "Look at: connection.", {"connection": ["Say of which connection."]})
            return PORTAL
        try:
            name, known = of_connection(UUID(code)), UUID(code)
        except ValueError:
            raise Problem(400, "Look at: connection.", {"connection": ["This is not a code."]}) from None
        mine = Connection.objects.filter(code=known, client=self.key.client_id).exists()
        if not (mine or self.key.client_id is None) or not LogChain.objects.filter(name=name).exists():
            raise Http404
        return name
