"""What is set up of a connection, and its mapping. How it runs, syncer/api/ adds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from connections import configuration as whole
from connections import services
from connections.api.base import MANAGE, READ, Api, Lists, Shows, location, tag_of
from connections.api.documents import ConfigurationBody, VersionBody, WholeVersionBody
from connections.api.errors import Problem
from connections.api.filters import ConnectionFilter
from connections.api.paging import NewestFirst
from connections.api.serializers import ConnectionBody, MappingBody, OptionBody
from connections.fieldtypes import compatibility
from connections.models import ConfigVersion, Connection, FieldMapping
from connections.models.connection import SIDES
from connections.numbers import whole_number

ONE_VERSION = "versions/(?P<number>[^/]+)"
NUMBER = OpenApiParameter("number", int, OpenApiParameter.PATH, description="The number of a version.")
AT = OpenApiParameter("at", datetime, description="Only the version in force at that time.")
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="The ETag that you saw: 412 where it was changed since."
)
LEFT_FIELD = OpenApiParameter("left_field", str, required=True, description="The name of a field of the left book.")


@extend_schema(tags=["connections"])
@extend_schema_view(list=extend_schema(summary="The connections"), retrieve=extend_schema(summary="One connection"))
class ConnectionView(Lists, Shows):
    serializer_class = ConnectionBody
    queryset = Connection.objects.select_related("client", "left_account", "right_account").order_by("pk")
    filterset_class = ConnectionFilter
    scopes = {
        **dict.fromkeys(["list", "retrieve", "versions", "version", "configuration", "mapping_options"], (READ,)),
        **dict.fromkeys(["create", "partial_update", "destroy", "replace", "restore"], (MANAGE,)),
    }
    queries = {"mapping_options": frozenset({"left_field"}), "versions": frozenset({"at"})}
    paged = frozenset({"list", "versions"})

    def etag(self, obj: Connection) -> str:
        return tag_of_version(obj)

    def seen_version(self, connection: Connection) -> int | None:
        """For the service to compare again, in the transaction of the change: with If-Match only."""
        return connection.version if "If-Match" in self.request.headers else None

    @extend_schema(
        summary="Add a connection: a draft with its default mapping and a rule for either side",
        responses={201: ConnectionBody},
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = self.read()
        client = self.client_given(given.pop("client", None))
        connection = services.create_connection(client, self.actor, **given)
        return self.shown(connection, 201, Location=location(request, connection, "connections"))

    @extend_schema(summary="Change settings. Its books stay as they are once it has run")
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = self.get_object()
        self.check_match(connection)
        given = self.read(partial=True)
        if given.pop("client", connection.client) != connection.client:
            raise services.Refused("A connection stays with its client. Add another connection.")
        seen = self.seen_version(connection)
        return self.shown(services.update_connection(connection, self.actor, given, "by API", seen=seen))

    @extend_schema(summary="Delete a connection. Its history stays", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = self.get_object()
        self.check_match(connection)
        services.delete_connection(connection, self.actor, seen=self.seen_version(connection))
        return Response(status=204)

    @extend_schema(
        summary="The versions of its configuration, newest first, with what each changed",
        parameters=[AT],
        responses=VersionBody(many=True),
    )
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=NewestFirst)
    def versions(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        rows = ConfigVersion.objects.filter(connection=self.get_object())
        if (moment := self.moment("at")) is not None:
            rows = rows.filter(pk__in=rows.filter(at__lte=moment).order_by("-number").values("pk")[:1])
        page = self.paginate_queryset(rows) or []
        return self.get_paginated_response(VersionBody(page, many=True, context=changes_of(page)).data)

    @extend_schema(summary="One version, whole", parameters=[NUMBER], responses=WholeVersionBody)
    @action(
        detail=True,
        methods=["get"],
        url_path=ONE_VERSION,
        url_name="version",
        filterset_class=None,
        pagination_class=None,
    )
    def version(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        found = self.one_version(self.get_object())
        return Response(WholeVersionBody(found, context=changes_of([found])).data)

    @extend_schema(
        summary="Make the configuration what it was: a new version. Accounts and books stay",
        parameters=[NUMBER, IF_MATCH],
        request=None,
        responses=ConfigurationBody,
    )
    @action(
        detail=True,
        methods=["post"],
        url_path=f"{ONE_VERSION}/restore",
        url_name="restore",
        filterset_class=None,
        pagination_class=None,
    )
    def restore(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = self.acted_on()
        version = self.one_version(connection)
        self.check_match(connection)
        whole.replace(connection, self.actor, version.document, f"version {version.number} restored")
        return self.document(connection)

    def one_version(self, connection: Connection) -> ConfigVersion:
        """Raises Http404."""
        number = whole_number(self.kwargs["number"])
        found = connection.versions.filter(number=number).first() if number is not None else None
        if found is None:
            raise Http404
        return found

    @extend_schema(summary="The whole configuration as one document", responses=ConfigurationBody)
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def configuration(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.document(self.get_object())

    @extend_schema(
        summary="Replace the whole configuration, as one version. Its accounts and books stay",
        request=ConfigurationBody,
        responses=ConfigurationBody,
    )
    @configuration.mapping.put
    def replace(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = self.get_object()
        if "If-Match" not in request.headers:
            raise Problem(428, "Send the ETag that you saw as If-Match: a whole configuration goes over no change.")
        self.check_match(connection)
        context = {**self.get_serializer_context(), "connection": connection}
        given = ConfigurationBody(data=request.data, context=context)
        given.is_valid(raise_exception=True)
        whole.replace(connection, self.actor, given.validated_data)
        return self.document(connection)

    def document(self, connection: Connection) -> Response:
        connection.refresh_from_db()
        return Response(services.body_of(connection), headers={"ETag": self.etag(connection)})

    @extend_schema(
        summary="What a left field can be mapped to", parameters=[LEFT_FIELD], responses=OptionBody(many=True)
    )
    @action(detail=True, methods=["get"], url_path="mapping-options", filterset_class=None, pagination_class=None)
    def mapping_options(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = self.get_object()
        fields = {side: services.fields_of(connection.account(side), connection.book_id(side)) for side in SIDES}
        name = request.query_params.get("left_field", "")
        left = next((field for field in fields["left"] if field.name == name), None)
        if left is None:
            raise Problem(400, "Look at: left_field.", {"left_field": ["The left book has no such field."]})
        answers = [(right, compatibility(left, right)) for right in fields["right"]]
        options = [
            {
                "right_field": right.name,
                "label": right.label,
                "directions": sorted(answer.directions),
                "reasons": dict(answer.reasons),
            }
            for right, answer in answers
        ]
        return Response(options)


def changes_of(versions: Sequence[ConfigVersion]) -> dict[str, Any]:
    """What each changed, by number, for its serializer."""
    before = {one.number: one.document for one in versions}
    missing = {one.number - 1 for one in versions} - before.keys()
    older = ConfigVersion.objects.filter(connection__in={one.connection_id for one in versions}, number__in=missing)
    before |= {one.number: one.document for one in older}
    return {
        "changes": {
            one.number: whole.differences(before[one.number - 1], before[one.number])
            if one.number - 1 in before
            else []
            for one in versions
        }
    }


def tag_of_version(connection: Connection) -> str:
    return tag_of([str(connection.code), connection.version])


class OfConnection(Api):
    """Parts of a connection, under its address. Changing one makes a new version: If-Match names the connection's."""

    client_path = "connection__client"

    def connection(self) -> Connection:
        rows = Connection.objects.select_related("client", "left_account", "right_account")
        found: Connection = self.named(self.of_client(rows, "client"), self.kwargs["connection"])
        return found

    def etag(self, obj: Any) -> str:
        return tag_of_version(obj.connection)

    def own(self, rows: Any) -> Any:
        return rows.filter(connection=self.connection())


@extend_schema(tags=["field mappings"])
@extend_schema_view(list=extend_schema(summary="The lines of a mapping"), retrieve=extend_schema(summary="One line"))
class MappingView(OfConnection, Lists, Shows):
    serializer_class = MappingBody
    queryset = FieldMapping.objects.select_related("connection").order_by("pk")
    scopes = {
        **dict.fromkeys(["list", "retrieve"], (READ,)),
        **dict.fromkeys(["create", "partial_update", "destroy"], (MANAGE,)),
    }

    @extend_schema(summary="Map a field to another", responses={201: MappingBody})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        mapping = services.save_mapping(FieldMapping(connection=self.connection(), **self.read()), self.actor)
        return self.shown(mapping, 201, Location=f"{request.build_absolute_uri()}{mapping.code}/")

    @extend_schema(summary="Change a line. One whose fields, direction or value map change gets a new code")
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        mapping = self.get_object()
        self.check_match(mapping)
        for name, value in self.read(partial=True).items():
            setattr(mapping, name, value)
        return self.shown(services.save_mapping(mapping, self.actor))

    @extend_schema(summary="Remove a line", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        mapping = self.get_object()
        self.check_match(mapping)
        services.delete_mapping(mapping, self.actor)
        return Response(status=204)
