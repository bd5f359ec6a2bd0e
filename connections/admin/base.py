"""What all our pages share: clients' borders, acts through services, refusals in words."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, ProtectedError, QuerySet, RestrictedError
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse

from connections import scope
from connections.admin.panel import Button, Panel
from connections.forms.base import ServiceForm
from connections.numbers import whole_number
from connections.roles import Right, roles_with
from connections.secrets import SecretUnreadable
from connections.services import Refused
from syncer.audit.chain import LogBroken, LogBusy
from syncer.connectors.base import ConnectorError

if TYPE_CHECKING:
    PlainAdmin = admin.ModelAdmin[Any]
    AnyForm = ModelForm[Any]
else:
    PlainAdmin, AnyForm = admin.ModelAdmin, ModelForm

Row = TypeVar("Row", bound=Model)
REFUSALS = (Refused, ValidationError, ConnectorError, SecretUnreadable, LogBusy, LogBroken)
_REFUSAL = "counterpart.refusal"


def words(error: Exception) -> str:
    if isinstance(error, ProtectedError | RestrictedError):
        return "Something else still needs this. Remove that first."
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)


def actor(request: HttpRequest) -> str:
    return request.user.get_username()


def page_of(obj: Model) -> str:
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])


def list_of(model: type[Model], **filters: Any) -> str:
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{url}?{urlencode(filters)}" if filters else url


class ClientFilter(admin.SimpleListFilter):
    """By client, naming only those that the person may see."""

    title = "client"
    parameter_name = "client"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = scope.clients(request)
        return [(str(client.pk), client.name) for client in found] if len(found) > 1 else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value, where = whole_number(self.value()), self.model_admin_path(queryset)
        return queryset.filter(**{where: value}) if value is not None else queryset

    def model_admin_path(self, queryset: QuerySet[Any]) -> str:
        found = admin.site.get_model_admin(queryset.model)
        return cast(ServiceAdmin, found).client_path


def kept(fields: Sequence[Any], names: set[str]) -> list[Any]:
    flat = [name for one in fields for name in ([one] if isinstance(one, str) else one)]
    return [name for name in flat if name in names]


def rows_sent(formsets: Any, there: QuerySet[Row]) -> list[Row]:
    """The rows of a page's formsets as it says; one that is not on it (somebody else added it just now) stays."""
    forms = [one for formset in formsets for one in formset.forms if one.cleaned_data]
    mentioned = [one.instance.pk for one in forms if one.instance.pk is not None]
    sent: list[Row] = [one.instance for one in forms if not one.cleaned_data.get("DELETE", False)]
    return [*there.exclude(pk__in=mentioned), *sent]


class GivenByAdministrators:
    """Mixed in before an inline of roles: only administrators give and take them."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return scope.sees_all(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return scope.sees_all(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return scope.sees_all(request)


class ServiceAdmin(PlainAdmin):
    """Saves and deletes by services alone. The stock view holds a transaction open around everything: here it does not,
    because services call apps, and no call to an app stands in a transaction."""

    client_path = "client"
    actions = None
    show_full_result_count = False
    change_form_template = "admin/counterpart/change_form.html"
    delete_confirmation_template = "admin/counterpart/delete.html"
    hidden: tuple[str, ...] = ()
    narrowed_by: tuple[str, ...] = ()

    # Who

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found = super().get_queryset(request)
        if scope.sees_all(request):
            return found
        roles = roles_with(self.opts.label_lower, Right.LOOK)
        return found.filter(**{f"{self.client_path}__in": scope.client_ids(request, *roles) if roles else []})

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only what the page's own filters and links send: by any other, who sees values masked could guess them letter
        by letter. Nor a row that no database could number."""
        filters = self.list_filter if request is None else self.get_list_filter(request)
        own = {getattr(one, "parameter_name", one[0] if isinstance(one, tuple) else one) for one in filters}
        name, _, end = lookup.partition("__")
        if end in ("", "exact", "id__exact") and self.is_relation(name) and whole_number(value) is None:
            return False
        return name in {*own, *self.narrowed_by} and end in {"", "exact", "id__exact", "isnull", "gte", "lt"}

    def is_relation(self, name: str) -> bool:
        return any(field.name == name and field.is_relation for field in self.opts.get_fields())

    def client_of(self, obj: Any) -> int | None:
        for part in self.client_path.split("__")[:-1]:
            obj = getattr(obj, part)
        last = self.client_path.split("__")[-1]
        found: int | None = obj.pk if last == "pk" else getattr(obj, f"{last}_id")
        return found

    def may(self, request: HttpRequest, obj: Any, right: Right) -> bool:
        """What the person's roles say (connections/roles.py): for this object, or without one for any client."""
        if obj is None or obj.pk is None:
            return scope.may(request, self.opts.label_lower, right)
        client = self.client_of(obj)
        return scope.sees_all(request) or (
            client is not None and scope.may(request, self.opts.label_lower, right, client)
        )

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, obj, Right.LOOK)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may(request, None, Right.SET_UP)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, obj, Right.SET_UP)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, obj, Right.SET_UP)

    # Saving

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        view = super()._changeform_view  # type: ignore[misc]
        try:
            answer: HttpResponse = view(request, object_id, form_url, extra_context)
        except REFUSALS as error:
            # Once more, with a form that knows what the service said.
            request.META[_REFUSAL] = error
            answer = view(request, object_id, form_url, extra_context)
        return answer

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[AnyForm]:
        known = {"request": request, "refusal": request.META.get(_REFUSAL)}
        base = self.form_class(request, obj)
        return type(base.__name__, (base,), known)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        found = self.groups(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return found
        # Who only looks needs no inputs, hidden or other: just what is stored.
        stored = {field.name for field in self.opts.get_fields()} - set(self.hidden)
        shown = [(title, {"fields": kept(group["fields"], stored)}) for title, group in found]
        return [(title, group) for title, group in shown if group["fields"]]

    def groups(self, request: HttpRequest, obj: Any) -> Any:
        """The form's inputs, as fieldsets."""
        return self.fieldsets or []

    def form_class(self, request: HttpRequest, obj: Any) -> type[ServiceForm]:
        return cast(type[ServiceForm], self.form)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        raise NotImplementedError(f"{type(self).__name__} names no service that saves.")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing but what services save."""

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        changed = list(form.changed_data)
        for formset in formsets or []:
            changed += [formset.opts_name] if formset.has_changed() and hasattr(formset, "opts_name") else []
        return [{"added": {}}] if add else [{"changed": {"fields": sorted(set(changed) - {"seen"})}}]

    # Deleting

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            answer: HttpResponse = super()._delete_view(request, object_id, extra_context)  # type: ignore[misc]
        except (*REFUSALS, ProtectedError, RestrictedError) as error:
            messages.error(request, words(error))
            answer = HttpResponseRedirect(self.change_url(object_id))
        return answer

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """What goes along, counted and not listed: a connection can have a hundred thousand links."""
        counts: dict[str, int] = {}
        for obj in objs:
            counts |= {name: count for name, count in self.goes_along(obj).items() if count > 0}
        return [str(obj) for obj in objs], counts, set(), []

    def goes_along(self, obj: Any) -> dict[str, int]:
        return {}

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Only after it was done, in `delete_model`."""

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        gone = [type(obj).objects.get(pk=obj.pk)]
        self.delete_by_service(request, obj)
        super().log_deletions(request, cast("QuerySet[Any]", gone))

    def delete_by_service(self, request: HttpRequest, obj: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} names no service that deletes.")

    # Buttons and the panel above the form

    def buttons(self, request: HttpRequest, obj: Any) -> Sequence[Button]:
        """What can be done with it as it is now."""
        return []

    def readers_buttons(self, request: HttpRequest, obj: Any) -> Sequence[Button]:
        """What also those may do who only look."""
        return []

    def panel(self, request: HttpRequest, obj: Any) -> Panel | None:
        return None

    def title_of(self, request: HttpRequest, obj: Any) -> str:
        return str(obj)

    def may_act(self, request: HttpRequest, obj: Any) -> bool:
        return self.has_change_permission(request, obj)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_act"
        return [path("<path:object_id>/act/<slug:name>/", view, name=name), *super().get_urls()]

    def possible(self, request: HttpRequest, obj: Any) -> list[Button]:
        """The buttons of this person."""
        acts = self.buttons(request, obj) if self.may_act(request, obj) else []
        return [*acts, *self.readers_buttons(request, obj)]

    def act_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponseBase:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            missing: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]
            return missing
        button = next((button for button in self.possible(request, obj) if button.name == name), None)
        if button is None and not self.may_act(request, obj):
            raise PermissionDenied
        if button is None:
            messages.error(request, "That is not possible any more. Here is how it stands now.")
        answer = self.do(request, obj, button) if button is not None else None
        return answer if answer is not None else HttpResponseRedirect(self.change_url(object_id))

    def do(self, request: HttpRequest, obj: Any, button: Button) -> HttpResponseBase | None:
        """None: back to the page, which says what was done."""
        try:
            done = button.act()
        except REFUSALS as error:
            messages.error(request, words(error))
            return None
        if isinstance(done, HttpResponseBase):
            return done
        messages.success(request, done)
        self.log_change(request, obj, button.label)
        return None

    def change_url(self, object_id: str) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[unquote(object_id)])

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        context |= {"show_save_and_add_another": False}
        if obj is not None and obj.pk is not None:
            context |= {"subtitle": self.title_of(request, obj)}
            context |= {"panel": self.panel(request, obj), "buttons": self.possible(request, obj)}
            context |= {"act_url": f"admin:{self.opts.app_label}_{self.opts.model_name}_act"}
        return super().render_change_form(request, context, add, change, form_url, obj)
