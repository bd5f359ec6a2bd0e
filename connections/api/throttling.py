"""How often a key, or an address without one, may call. The counts stand in the cache that all processes share:
fairness, not protection."""

from collections.abc import Callable
from functools import wraps
from math import ceil

from django.conf import settings
from django.core.cache import caches
from django.http import HttpRequest, HttpResponseBase
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from connections.api.errors import json_problem
from connections.models import ApiKey
from portal.addresses import client_address

View = Callable[..., HttpResponseBase]


class PerKey(SimpleRateThrottle):
    scope = "key"
    cache = caches["shared"]

    def get_rate(self) -> str:
        rate: str = settings.API_RATE
        return rate

    def get_cache_key(self, request: Request, view: object) -> str | None:
        return f"throttle:key:{request.auth.prefix}" if isinstance(request.auth, ApiKey) else None


class PerAddress(SimpleRateThrottle):
    """For pages that are open to anybody."""

    scope = "address"
    cache = caches["shared"]

    def get_rate(self) -> str:
        rate: str = settings.API_DOCS_RATE
        return rate

    def get_cache_key(self, request: Request, view: object) -> str | None:
        return f"throttle:address:{client_address(request._request)}"


def per_address(view: View) -> View:
    """An open page, so many times for each address."""

    @wraps(view)
    def asked(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        throttle = PerAddress()
        if throttle.allow_request(Request(request), APIView()):
            return view(request, *args, **kwargs)
        answer = json_problem(request, 429, "This page was asked for too often from here. Wait a moment.")
        answer["Retry-After"] = str(max(1, ceil(throttle.wait() or 1)))
        return answer

    return asked
