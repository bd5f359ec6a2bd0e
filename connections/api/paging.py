"""Lists are read page by page from where one stands: nothing is counted, and what comes meanwhile shifts nothing."""

import re
from typing import Any

from django.db.models import QuerySet
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


class NewestOfSeveral(NewestFirst):
    """The newest of the history of several connections, which an index has apart: by one question for all of them, the
    database would sort every entry that there is."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        return super().paginate_queryset(self.near(queryset, request, view), request, view)

    def near(self, rows: QuerySet[Any], request: Request, view: Any) -> QuerySet[Any]:
        """Of each connection as many as a page may need, from where the page begins."""
        if view.key.client_id is None or {"connection", "run", "link"} & set(request.query_params):
            return rows
        offset, back, position = self.decode_cursor(request) or (0, False, None)
        most = offset + self.get_page_size(request) + 1
        start = {} if position is None else {"pk__gt" if back else "pk__lt": position}
        ordered = rows.filter(**start).order_by("pk" if back else "-pk").values_list("pk", flat=True)
        found = [pk for code in view.several() for pk in ordered.filter(connection=code)[:most]]
        return rows.filter(pk__in=found)
