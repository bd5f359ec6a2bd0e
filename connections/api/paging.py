"""Lists are read page by page from where one stands: nothing is counted, and what comes meanwhile shifts nothing."""

import re
from typing import Any

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

BAD_CURSOR = {"cursor": ["Take the address of `next` or `previous` as it is."]}


class Pages(CursorPagination):
    """`{"next", "previous", "results"}`, in the order in which the rows were made."""

    page_size = 100
    max_page_size = 500
    page_size_query_param = "page_size"
    ordering = "pk"

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get("page_size", str(self.page_size))
        if not re.fullmatch("[1-9][0-9]{0,2}", given) or int(given) > self.max_page_size:
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
            found = super().decode_cursor(request)
        except (NotFound, ValueError):
            raise ValidationError(BAD_CURSOR) from None
        if found is not None and found.position is not None and not re.fullmatch("[0-9]{1,18}", str(found.position)):
            raise ValidationError(BAD_CURSOR)
        return found


class NewestFirst(Pages):
    ordering = "-pk"
