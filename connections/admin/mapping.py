from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from connections import scope, services
from connections.admin.base import ServiceAdmin, actor, list_of, page_of
from connections.admin.connection import ConnectionFilter
from connections.admin.panel import Go, Panel
from connections.forms.base import ServiceForm, asked
from connections.forms.mapping import MappingForm
from connections.models import Connection, FieldMapping
from connections.numbers import row, whole_number


class PartAdmin(ServiceAdmin):
    """A part of a connection. Which one is asked first, where the address does not say it."""

    client_path = "connection__client"
    list_filter = [("connection", ConnectionFilter), "enabled"]
    list_select_related = ["connection"]
    asks_side = False
    hidden = ("connection",)

    def connections(self, request: HttpRequest) -> Any:
        found = Connection.objects.select_related("client", "left_account", "right_account")
        return found.filter(client__in=scope.clients(request, scope.MANAGER))

    def connection(self, request: HttpRequest, obj: Any) -> Connection:
        """Raises Http404 for another client's."""
        if obj is not None:
            found: Connection = obj.connection
            return found
        chosen: Connection | None = row(self.connections(request), asked(request, "connection"))
        if chosen is None:
            raise Http404("There is no such connection.")
        return chosen

    def knows(self, request: HttpRequest) -> bool:
        side = not self.asks_side or asked(request, "source") in ("left", "right")
        return side and whole_number(asked(request, "connection")) is not None

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if self.has_add_permission(request) and not self.knows(request):
            context = {
                **self.admin_site.each_context(request),
                "title": f"Add {self.opts.verbose_name}: for which connection?",
                "opts": self.opts,
                "connections": self.connections(request),
                "sides": ["left", "right"] if self.asks_side else [],
                "add_connection": list_of(Connection) + "add/",
            }
            return TemplateResponse(request, "admin/counterpart/choose_connection.html", context)
        return super().add_view(request, form_url, extra_context)

    def panel(self, request: HttpRequest, obj: Any) -> Panel:
        mine = list_of(self.model, connection__id__exact=obj.connection_id)
        to = [Go(str(obj.connection), page_of(obj.connection)), Go(f"All its {self.opts.verbose_name_plural}", mine)]
        return Panel(links=to)


@admin.register(FieldMapping)
class FieldMappingAdmin(PartAdmin):
    list_display = ["__str__", "connection", "direction", "enabled", "is_default", "on_conflict", "write_mode"]
    search_fields = ["left_field", "right_field"]

    def form_class(self, request: HttpRequest, obj: Any) -> type[ServiceForm]:
        known = {"connection_it_is_of": self.connection(request, obj)}
        return type("MappingForm", (MappingForm,), known)

    def groups(self, request: HttpRequest, obj: Any) -> Any:
        return [
            (None, {"fields": ["left_field", "right_field", "direction", "enabled", "seen", "connection"]}),
            ("How values are written", {"fields": ["on_conflict", "write_mode", "clears"]}),
            ("Conversion", {"fields": ["accept_lossy", "value_map", "fallback"]}),
        ]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        services.save_mapping(obj, actor(request))

    def delete_by_service(self, request: HttpRequest, obj: Any) -> None:
        services.delete_mapping(obj, actor(request))
