"""The OpenAPI description: what every call shares is said here, once."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from connections.api.base import Api
from connections.api.errors import CONTENT_TYPE, TITLES

WORDS = {status: title for status, (_, title) in TITLES.items()}
A_NAME = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"}
READ_FROM = ("accounts", "mapping-options", "/export/")
"""Calls that only read and can still not fit the state: an app that does not answer, a log that is busy."""
ALWAYS = ("401", "403", "429", "503")


class ProblemBody(serializers.Serializer[Any]):
    """Problem details (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()), required=False, help_text="Messages by field."
    )


class Schema(AutoSchema):
    def get_override_parameters(self) -> list[Any]:
        found = list(super().get_override_parameters())
        if not isinstance(self.view, Api):
            return found
        if self.method == "POST":
            text = "The same key and body gives the first answer again (24 hours)."
            found.append(OpenApiParameter("Idempotency-Key", A_NAME, OpenApiParameter.HEADER, description=text))
        if self.method in ("PATCH", "DELETE"):
            text = "The ETag that you saw: 412 where it was changed since."
            found.append(OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, description=text))
        if self.method == "PUT":
            text = "The ETag that you saw, demanded: 428 without, 412 where it was changed since."
            found.append(OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, required=True, description=text))
        return found

    def get_operation(self, *args: Any) -> Any:
        operation = super().get_operation(*args)
        if operation is not None and isinstance(self.view, Api):
            component = self.resolve_serializer(ProblemBody, "response")
            for status in self.refusals():
                operation["responses"].setdefault(
                    status,
                    {"description": WORDS[int(status)], "content": {CONTENT_TYPE: {"schema": component.ref}}},
                )
        return operation

    def refusals(self) -> list[str]:
        """The refusals that this call can answer with."""
        found = {*ALWAYS, "400"}
        if "{" in self.path or self.path.endswith(("/verify/", "/export/")):
            found.add("404")
        if self.method in ("POST", "PUT", "PATCH", "DELETE") or any(part in self.path for part in READ_FROM):
            found.add("409")
        if self.method in ("POST", "PUT", "PATCH"):
            found |= {"413", "415"}
        if self.method in ("PUT", "PATCH", "DELETE") or self.path.endswith("/restore/"):
            found.add("412")
        if self.method == "PUT":
            found.add("428")
        return sorted(found)


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "connections.api.auth.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        text = "`Authorization: Bearer cpk_...`; made by `python manage.py create_api_key` or in the admin."
        return {"type": "http", "scheme": "bearer", "description": text}
