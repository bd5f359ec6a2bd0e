"""How django-axes counts failed log-ins, in the database that all processes share: by name and network together. Who
goes through many names is stopped by the network alone, at a count that a whole office does not reach.
"""

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_network
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.crypto import salted_hmac

from portal.addresses import client_address
from portal.clock import SYSTEM, Clock

SIX_PREFIX = 64
"""What one subscriber has of IPv6 at least (RFC 6177): within it, a new address for each try costs nothing."""
UNKNOWN = "unknown:"


def counted_name(request: HttpRequest | None, credentials: Mapping[str, Any] | None) -> str:
    """What a try is counted under: the name of somebody we know, else a digest. People type passwords into the box for
    the name, and the tables of failed log-ins must not hold one."""
    typed = str((credentials or {}).get("username") or "")
    if get_user_model().objects.filter(username=typed).exists():
        return typed
    return UNKNOWN + salted_hmac("portal.login.throttle", typed, algorithm="sha256").hexdigest()[:32]


def counted_address(request: HttpRequest) -> str | None:
    """The address of IPv4, the network of IPv6."""
    found = client_address(request).partition("%")[0]
    if ":" not in found:
        return found or None
    address = IPv6Address(found)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, SIX_PREFIX), strict=False).network_address)


def sprayed(request: HttpRequest, clock: Clock = SYSTEM) -> bool:
    """Whether so many log-ins failed from this network, under whatever names, that it may try no more for now."""
    since = clock.now() - settings.AXES_COOLOFF_TIME
    tries = AccessAttempt.objects.filter(ip_address=counted_address(request), attempt_time__gte=since)
    return int(tries.aggregate(sum=Sum("failures_since_start"))["sum"] or 0) >= settings.LOGIN_FAILURES_PER_NETWORK


def locked(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """The page of who tried too often."""
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    context = {**admin.site.each_context(request), "title": "Too many tries", "minutes": minutes}
    answer = render(request, "admin/counterpart/locked.html", context, status=429)
    answer["Retry-After"] = str(minutes * 60)
    return answer
