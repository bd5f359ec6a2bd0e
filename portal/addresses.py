"""Where a request comes from."""

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest | None) -> str:
    """The IP address of whoever asks, empty where it is not known. Behind our own proxies it is the one that the
    outermost of them saw: what stands further left in X-Forwarded-For anybody can make up."""
    if request is None:
        return ""
    found = str(request.META.get("REMOTE_ADDR", ""))
    if settings.BEHIND_PROXY:
        passed = [part.strip() for part in str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",")]
        found = passed[-settings.PROXY_COUNT] if len(passed) >= settings.PROXY_COUNT else found
    return found if _is_address(found) else ""


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
