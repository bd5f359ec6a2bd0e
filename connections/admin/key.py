"""API keys: administrators make and revoke them, and see a new one once."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from connections import keys
from connections.admin.base import ClientFilter, ServiceAdmin, actor, page_of
from connections.admin.panel import Button, Panel
from connections.forms.base import ServiceForm
from connections.models import ApiKey
from connections.roles import Right
from portal.clock import SYSTEM


class KeyForm(ServiceForm):
    scopes = forms.MultipleChoiceField(
        choices=ApiKey.Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text="No more than the tool needs. What is changed with it stands in the history under its name.",
    )

    class Meta:
        model = ApiKey
        fields: ClassVar = ["name", "client", "scopes", "expires_at"]
        help_texts: ClassVar = {
            "name": "The tool that will use it.",
            "client": "Empty: a key of the whole agency, for every client.",
            "expires_at": "UTC. Empty: it is valid until somebody revokes it.",
        }


@admin.register(ApiKey)
class KeyAdmin(ServiceAdmin):
    form = KeyForm
    hidden = ("name", "client", "scopes", "expires_at")
    list_display = ["name", "prefix", "client", "can", "last_used_at", "expires_at", "revoked_at"]
    list_filter = [ClientFilter]
    list_select_related = ["client"]
    search_fields = ["name", "prefix"]
    fieldsets = [(None, {"fields": ["name", "client", "scopes", "expires_at", "seen"]})]

    @admin.display(description="scopes")
    def can(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A key stays what it is: revoke it, and make another."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def may_act(self, request: HttpRequest, obj: Any) -> bool:
        return self.may(request, obj, Right.SET_UP)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        given = form.cleaned_data
        made, text = keys.create_key(
            given["client"],
            actor(request),
            name=given["name"],
            scopes=given["scopes"],
            expires_at=given["expires_at"],
        )
        obj.pk, obj.text = made.pk, text

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """The one page that shows the key: a message, or a page behind a redirect, would have to store it."""
        context = {
            **self.admin_site.each_context(request),
            "title": "The new key",
            "opts": self.opts,
            "key": obj,
            "text": obj.text,
            "page": page_of(obj),
        }
        return TemplateResponse(
            request, "admin/counterpart/key_made.html", context, headers={"Cache-Control": "no-store"}
        )

    def buttons(self, request: HttpRequest, obj: Any) -> Sequence[Button]:
        if obj.revoked_at is not None:
            return []
        return [Button("revoke", "Revoke", lambda: self.revoked(obj, actor(request)))]

    def revoked(self, obj: ApiKey, by: str) -> str:
        keys.revoke_key(obj, by)
        return "Revoked: it opens nothing any more."

    def panel(self, request: HttpRequest, obj: Any) -> Panel:
        facts = [
            ("State", "valid" if obj.valid(SYSTEM.now()) else "not valid any more"),
            ("Begins with", f"cpk_{obj.prefix}_"),
            ("For", obj.client or "the whole agency"),
            ("May", ", ".join(str(ApiKey.Scope(one).label) for one in obj.scopes)),
            ("Made", obj.created_at),
            ("By", obj.created_by),
            ("Last used", obj.last_used_at or "never"),
            ("Expires", obj.expires_at or "never"),
        ]
        return Panel([*facts, *([("Revoked", obj.revoked_at)] if obj.revoked_at is not None else [])])
