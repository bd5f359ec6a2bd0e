"""How often a key may call. The counts stand in the cache that all processes share: fairness, not protection."""

from django.conf import settings
from django.core.cache import caches
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from connections.models import ApiKey


class PerKey(SimpleRateThrottle):
    scope = "key"
    cache = caches["shared"]

    def get_rate(self) -> str:
        rate: str = settings.API_RATE
        return rate

    def get_cache_key(self, request: Request, view: object) -> str | None:
        return f"throttle:key:{request.auth.prefix}" if isinstance(request.auth, ApiKey) else None
