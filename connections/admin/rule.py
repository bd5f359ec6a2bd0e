from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.forms import BaseInlineFormSet
from django.http import HttpRequest

from connections import services
from connections.admin.base import actor
from connections.admin.connection import ConnectionFilter
from connections.admin.mapping import PartAdmin
from connections.forms.base import ServiceForm, asked
from connections.forms.rule import ActionForm, Asking, ConditionForm, RowForm, RuleForm, asking
from connections.models import Action, Condition, Rule
from connections.models.connection import SideName

if TYPE_CHECKING:
    RowBase = admin.TabularInline[Any, Rule]
    FormSet = type[BaseInlineFormSet[Any, Any, Any]]
else:
    RowBase, FormSet = admin.TabularInline, type

_ABOUT = "counterpart.asking"


class Rows(RowBase):
    """Conditions or actions. They are part of their rule: who may change the rule may change them."""

    row_form: type[RowForm]
    extra = 1

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> FormSet:
        page = cast(RuleAdmin, admin.site.get_model_admin(Rule))
        about = page.about(request, obj)
        form: type[RowForm] = type(self.row_form.__name__, (self.row_form,), {"about": about})
        return super().get_formset(request, obj, **{**kwargs, "form": form, "fields": form._meta.fields})

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return list(self.row_form._meta.fields or ())

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        page = admin.site.get_model_admin(Rule)
        return page.has_add_permission(request) if obj is None else page.has_change_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_add_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_add_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.site.get_model_admin(Rule).has_view_permission(request, obj)


class Conditions(Rows):
    model = Condition
    row_form = ConditionForm
    verbose_name_plural = "conditions (none: every contact of its side)"


class Actions(Rows):
    model = Action
    row_form = ActionForm
    verbose_name_plural = "actions on the other side's contact (this version does not carry them out yet)"


@admin.register(Rule)
class RuleAdmin(PartAdmin):
    list_display = ["name", "connection", "source", "enabled", "match", "position"]
    list_filter = [("connection", ConnectionFilter), "enabled", "source"]
    search_fields = ["name"]
    inlines = [Conditions, Actions]
    asks_side = True

    def about(self, request: HttpRequest, obj: Any) -> Asking:
        """Read once a request."""
        found: Asking | None = request.META.get(_ABOUT)
        if found is None:
            stored = obj if obj is not None and obj.pk is not None else None
            source = stored.source if stored is not None else asked(request, "source")
            side: SideName = "left" if source == "left" else "right"
            found = request.META[_ABOUT] = asking(self.connection(request, stored), side)
        return found

    def form_class(self, request: HttpRequest, obj: Any) -> type[ServiceForm]:
        return type("RuleForm", (RuleForm,), {"about": self.about(request, obj)})

    def groups(self, request: HttpRequest, obj: Any) -> Any:
        names = ["source", "name", "enabled", "match", "on_leave", "position", "seen", "connection"]
        return [(None, {"fields": names})]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """In `save_related`: a rule is saved with its conditions and actions."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        rows: dict[type[Any], list[Any]] = {Condition: [], Action: []}
        for formset in formsets:
            mentioned = [one.instance.pk for one in formset.forms if one.instance.pk is not None]
            rows[formset.model] += formset.model.objects.filter(rule=form.instance.pk).exclude(pk__in=mentioned)
            kept = [one for one in formset.forms if one.instance.pk is not None or one.has_changed()]
            rows[formset.model] += [one.instance for one in kept if not one.cleaned_data.get("DELETE", False)]
        services.save_rule(form.instance, actor(request), rows[Condition], rows[Action])

    def delete_by_service(self, request: HttpRequest, obj: Any) -> None:
        services.delete_rule(obj, actor(request))

    def goes_along(self, obj: Any) -> dict[str, int]:
        return {"conditions": obj.conditions.count(), "actions": obj.actions.count()}
