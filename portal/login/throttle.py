"""How django-axes counts failed log-ins: by name and address together, in the database that all processes share."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.crypto import salted_hmac

from portal.addresses import client_address

UNKNOWN = "unknown:"


def counted_name(request: HttpRequest | None, credentials: Mapping[str, Any] | None) -> str:
    """What a try is counted under: the name of somebody we know, else a digest. People type passwords into the box for
    the name, and the tables of failed log-ins must not hold one."""
    typed = str((credentials or {}).get("username") or "")
    if get_user_model().objects.filter(username=typed).exists():
        return typed
    return UNKNOWN + salted_hmac("portal.login.throttle", typed, algorithm="sha256").hexdigest()[:32]


def counted_address(request: HttpRequest) -> str | None:
    return client_address(request) or None


def locked(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """The page of who tried too often."""
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    context = {**admin.site.each_context(request), "title": "Too many tries", "minutes": minutes}
    answer = render(request, "admin/counterpart/locked.html", context, status=429)
    answer["Retry-After"] = str(minutes * 60)
    return answer
