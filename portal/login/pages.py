"""The pages around logging in that Django's admin lacks: one's own second factor, and the one-time link."""

from collections.abc import Callable
from typing import Any

import django_otp
from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordResetConfirmView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import mark_safe

from connections.secrets import SecretUnreadable
from connections.services import Refused
from portal.login import two_factor
from portal.login.forms import CodeForm, InvitedForm
from syncer.audit.chain import LogBroken, LogBusy

PAGE = "admin/counterpart/two_factor.html"


def two_factor_page(request: HttpRequest, shared: dict[str, Any]) -> HttpResponse:
    """Turn it on, look how it stands, turn it off. `shared` is what all pages of the admin show."""
    act = ACTS.get(request.POST.get("act", "")) if request.method == "POST" else None
    if act is None:
        return shown(request, shared)
    try:
        return act(request, shared)
    except (Refused, SecretUnreadable, LogBusy, LogBroken) as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(reverse("admin:two_factor"))


def person(request: HttpRequest) -> User:
    return User.objects.get(username=request.user.get_username())


def shown(request: HttpRequest, shared: dict[str, Any], **more: Any) -> HttpResponse:
    user = person(request)
    device, begun = two_factor.in_use(user), two_factor.begun(user)
    context = {**shared, "title": "Two-factor log-in", "device": device, "required": two_factor.required(), **more}
    if device is not None:
        context["left"] = device.recovery_codes.count()
    elif begun is not None:
        context |= {"key": grouped(begun.key_text), "picture": mark_safe(two_factor.picture_of(begun))}  # noqa: S308
    context["form"] = CodeForm()
    return TemplateResponse(request, PAGE, context)


def grouped(key: str) -> str:
    return " ".join(key[start : start + 4] for start in range(0, len(key), 4))


def begin(request: HttpRequest, shared: dict[str, Any]) -> HttpResponse:
    two_factor.begin(person(request))
    return HttpResponseRedirect(reverse("admin:two_factor"))


def confirm(request: HttpRequest, shared: dict[str, Any]) -> HttpResponse:
    device, codes = two_factor.confirm(person(request), request.POST.get("code", ""))
    django_otp.login(request, device)
    messages.success(request, "Two-factor log-in is on. Log in with a code from now on.")
    return shown(request, shared, codes=codes)


def new_codes(request: HttpRequest, shared: dict[str, Any]) -> HttpResponse:
    codes = two_factor.new_codes(person(request), request.POST.get("code", ""))
    messages.success(request, "New recovery codes. The old ones do not work any more.")
    return shown(request, shared, codes=codes)


def turn_off(request: HttpRequest, shared: dict[str, Any]) -> HttpResponse:
    two_factor.turn_off(person(request), request.POST.get("code", ""))
    messages.success(request, "Two-factor log-in is off.")
    return HttpResponseRedirect(reverse("admin:two_factor"))


Act = Callable[[HttpRequest, dict[str, Any]], HttpResponse]
ACTS: dict[str, Act] = {"begin": begin, "confirm": confirm, "codes": new_codes, "off": turn_off}


class InvitedView(PasswordResetConfirmView):
    """Where a one-time link leads: Django's own page for a forgotten password, for people who may log in."""

    form_class = InvitedForm
    template_name = "admin/counterpart/invited.html"
    title = "Choose your password"

    def get_user(self, uidb64: str) -> Any:
        found = super().get_user(uidb64)
        return found if found is not None and found.is_active else None

    def get_success_url(self) -> str:
        messages.success(self.request, "Your password is set. Log in with it.")
        return reverse("admin:login")
