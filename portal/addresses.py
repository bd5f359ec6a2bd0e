"""Where a request comes from, and where this portal is reached from outside."""

from ipaddress import ip_address
from urllib.parse import urlsplit

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


def public_address() -> tuple[str, str]:
    """PORTAL_URL where apps can call it; else "" and why they cannot, in words."""
    url = str(settings.PORTAL_URL).strip().rstrip("/")
    if url == "":
        return "", "PORTAL_URL is not set, so no app can call this portal."
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    plain = parts.path == parts.query == parts.fragment == "" and "@" not in url if host != "" else False
    if not plain or parts.scheme not in ("http", "https"):
        return "", "PORTAL_URL is not an address like https://sync.example.com."
    if settings.ALLOW_PRIVATE_HOSTS:
        return url, ""
    if parts.scheme != "https":
        return "", "PORTAL_URL does not begin with https://, so apps are not given it."
    local = "." not in host.strip(".") and ":" not in host
    if local or host.endswith((".localhost", ".local", ".internal")) or (_is_address(host) and not _is_global(host)):
        return "", "PORTAL_URL names a private address, which no app can reach."
    return url, ""


def _is_global(text: str) -> bool:
    return ip_address(text).is_global


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
