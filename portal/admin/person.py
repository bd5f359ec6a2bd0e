"""People: who may log in, and what they are for which client. It stands in place of Django's pages of users and groups,
which would give rights that nobody here asks for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from connections import people, scope
from connections.admin.base import GivenByAdministrators, ServiceAdmin, actor, page_of, rows_sent
from connections.admin.panel import Button, Panel
from connections.forms.base import ServiceForm
from connections.models import Membership
from portal.login import two_factor
from portal.models import Person

if TYPE_CHECKING:
    RoleBase = admin.TabularInline[Membership, Person]
else:
    RoleBase = admin.TabularInline

for ours in (User, Group):
    if admin.site.is_registered(ours):
        admin.site.unregister(ours)

HANDED = "Hand this one-time link to {}: {} It works once, and for three days. It is not shown again."


class PersonForm(ServiceForm):
    password = forms.CharField(
        required=False,
        max_length=200,
        strip=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password", "class": "vTextField"}),
        help_text="Leave it empty to get a one-time link by which they choose their own.",
    )

    class Meta:
        model = Person
        fields: ClassVar = ["username", "first_name", "last_name", "email", "is_superuser"]
        labels: ClassVar = {"email": "E-mail address", "is_superuser": "Administrator"}
        help_texts: ClassVar = {
            "username": "Letters, digits and @/./+/-/_ only.",
            "is_superuser": "May do everything: all clients, people and roles, the machine room. Needs no role below.",
        }

    def fill(self) -> None:
        if self.instance.pk is not None:
            del self.fields["password"]


class Roles(GivenByAdministrators, RoleBase):
    """What the person is for which client. What each role may do stands in docs/operations.md."""

    model = Membership
    fk_name = "user"
    fields = ["client", "role", "values"]
    extra = 0
    verbose_name, verbose_name_plural = "role", "roles"

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Clients are chosen here, not made or changed."""
        found: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "client":
            for what in ("add", "change", "view", "delete"):
                setattr(found.widget, f"can_{what}_related", False)
        return found

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return scope.sees_all(request)


@admin.register(Person)
class PersonAdmin(ServiceAdmin):
    form = PersonForm
    inlines = [Roles]
    list_display = ["username", "full_name", "what", "is_active", "second_factor"]
    list_filter = ["is_active"]
    search_fields = ["username", "first_name", "last_name", "email"]
    ordering = ["username"]

    # Who: administrators alone, whatever the object; people belong to no client.

    def may(self, request: HttpRequest, obj: Any, right: Any) -> bool:
        return scope.sees_all(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found = Person.objects.order_by("username")
        if not scope.sees_all(request):
            return found.none()
        return found.prefetch_related("memberships__client", "authenticator_set")

    # The list

    @admin.display(description="name")
    def full_name(self, person: Any) -> str:
        return str(person.get_full_name()) or "-"

    @admin.display(description="is")
    def what(self, person: Any) -> str:
        roles = [f"{row.get_role_display()} of {row.client}" for row in person.memberships.all()]
        return ", ".join([*(["Administrator"] if person.is_superuser else []), *roles]) or "nothing yet"

    @admin.display(description="second factor", boolean=True)
    def second_factor(self, person: Any) -> bool:
        return any(device.confirmed for device in person.authenticator_set.all())

    # The page of one person

    def groups(self, request: HttpRequest, obj: Any) -> Any:
        first = ["username", "first_name", "last_name", "email", *([] if obj is not None else ["password"])]
        return [(None, {"fields": first}), ("Rights", {"fields": ["is_superuser", "seen"]})]

    def panel(self, request: HttpRequest, obj: Any) -> Panel:
        facts = [
            ("State", "may log in" if obj.is_active else "deactivated: cannot log in"),
            ("Password", "set" if obj.has_usable_password() else "none: needs a one-time link"),
            ("Second factor", "on" if self.second_factor(obj) else "off"),
            ("Last log-in", obj.last_login or "never"),
            ("Added", obj.date_joined),
        ]
        return Panel(facts)

    def buttons(self, request: HttpRequest, obj: Any) -> Sequence[Button]:
        by, found = actor(request), []
        if obj.is_active and obj.pk != request.user.pk:
            found.append(Button("link", "New one-time link", lambda: self.linked(request, obj)))
        if self.second_factor(obj):
            found.append(Button("reset", "Reset the second factor", lambda: self.was_reset(obj, by)))
        if obj.is_active:
            found.append(Button("deactivate", "Deactivate", lambda: self.deactivated(obj, by)))
        else:
            found.append(Button("activate", "Activate", lambda: self.activated(obj, by), strong=True))
        return found

    def linked(self, request: HttpRequest, person: Any) -> str:
        who, what = people.invite(person, actor(request))
        address = request.build_absolute_uri(reverse("admin:invited", args=[who, what]))
        return format_html(HANDED, person, format_html('<span class="cp-link">{}</span>', address))

    def was_reset(self, person: Any, by: str) -> str:
        two_factor.reset(person, by)
        return f"The second factor of {person} is reset: they log in with the password alone until they set it up anew."

    def deactivated(self, person: Any, by: str) -> str:
        people.deactivate(person, by)
        return f"Deactivated and logged out: {person}. Roles and history stay."

    def activated(self, person: Any, by: str) -> str:
        people.activate(person, by)
        return f"Active again: {person}, with the roles below."

    # Saving and deleting

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """In `save_related`: a person is saved with their roles."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        person = form.instance
        password = "" if change else form.cleaned_data["password"]
        people.save_person(person, actor(request), roles_sent(person, formsets), password)
        if not change and not person.has_usable_password():
            messages.success(request, self.linked(request, person))

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return HttpResponseRedirect(page_of(obj))

    def goes_along(self, obj: Any) -> dict[str, int]:
        return {"roles": obj.memberships.count()}

    def delete_by_service(self, request: HttpRequest, obj: Any) -> None:
        people.delete_person(obj, actor(request))


def roles_sent(person: User, formsets: Any) -> list[people.Role]:
    there = Membership.objects.filter(user__in=[person.pk])
    return [people.Role(row.client_id, row.role, row.values) for row in rows_sent(formsets, there)]
