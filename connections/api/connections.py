"""What is set up of a connection, and its mapping. How it runs, syncer/api/ adds."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from connections import services
from connections.api.base import MANAGE, READ, Api, Lists, Shows, location, tag_of
from connections.api.errors import Problem
from connections.api.filters import ConnectionFilter
from connections.api.serializers import ConnectionBody, MappingBody, OptionBody, VersionBody
from connections.fieldtypes import compatibility
from connections.models import ConfigVersion, Connection, FieldMapping
from connections.models.connection import SIDES

LEFT_FIELD = OpenApiParameter("left_field", str, required=True, description="The name of a field of the left book.")


@extend_schema(tags=["connections"])
@extend_schema_view(list=extend_schema(summary="The connections"), retrieve=extend_schema(summary="One connection"))
class ConnectionView(Lists, Shows):
    serializer_class = ConnectionBody
    queryset = Connection.objects.select_related("client", "left_account", "right_account").order_by("pk")
    filterset_class = ConnectionFilter
    scopes = {
        **dict.fromkeys(["list", "retrieve", "versions", "configuration", "mapping_options"], (READ,)),
        **dict.fromkeys(["create", "partial_update", "destroy"], (MANAGE,)),
    }
    queries = {"mapping_options": frozenset({"left_field"})}

    def etag(self, obj: Connection) -> str:
        return tag_of_version(obj)

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
        seen = connection.version if "If-Match" in request.headers else None
        return self.shown(services.update_connection(connection, self.actor, given, "by API", seen=seen))

    @extend_schema(summary="Delete a connection. Its history stays", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = self.get_object()
        self.check_match(connection)
        services.delete_connection(connection, self.actor)
        return Response(status=204)

    @extend_schema(summary="The versions of its configuration, newest first", responses=VersionBody(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def versions(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        rows = ConfigVersion.objects.filter(connection=self.get_object()).defer("body")
        return Response(VersionBody(rows, many=True).data)

    @extend_schema(summary="The whole configuration as one document", responses={200: {"type": "object"}})
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def configuration(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        connection = self.get_object()
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
