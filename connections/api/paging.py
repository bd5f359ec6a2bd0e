"""Lists are read page by page from where one stands: nothing is counted, and what comes meanwhile shifts nothing."""

from typing import Any

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request


class Pages(CursorPagination):
    """`{"next", "previous", "results"}`, in the order in which the rows were made."""

    page_size = 100
    max_page_size = 500
    page_size_query_param = "page_size"
    ordering = "pk"

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get("page_size", str(self.page_size))
        if not (given.isascii() and given.isdecimal() and 1 <= int(given[:9]) <= self.max_page_size):
            raise ValidationError({"page_size": [f"A whole number from 1 to {self.max_page_size}."]})
        return int(given)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        found = super().get_schema_operation_parameters(view)
        for one in found:
            if one["name"] == "page_size":
                one["schema"] = {"type": "integer", "minimum": 1, "maximum": self.max_page_size}
        return found

    def decode_cursor(self, request: Request) -> Any:
        try:
            return super().decode_cursor(request)
        except NotFound:
            raise ValidationError({"cursor": ["Take the address of `next` or `previous` as it is."]}) from None


class NewestFirst(Pages):
    ordering = "-pk"
