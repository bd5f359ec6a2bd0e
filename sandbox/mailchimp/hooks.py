"""Webhooks of an audience: made (after a GET to their address), kept, removed, and called when people change members.

Whether Mailchimp signs its deliveries is told both ways: the lever `signed` chooses."""

import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from portal.clock import Clock
from sandbox.mailchimp import shown
from sandbox.mailchimp.answers import NOT_FOUND, invalid
from sandbox.mailchimp.audience import Audience

EVENTS: Final = ("subscribe", "unsubscribe", "profile", "cleaned", "upemail", "campaign")
SOURCES: Final = ("user", "admin", "api")
FORM: Final = "application/x-www-form-urlencoded"
UNFIT: Final = "The resource submitted could not be validated. For field-specific details, see the 'errors' array."


def of(audience: Audience, kept: Mapping[str, Any]) -> dict[str, Any]:
    links = shown.links("self", f"/lists/{audience.id}/webhooks/{kept['id']}", "Lists/Webhooks")
    told = {name: kept[name] for name in ("id", "url", "events", "sources")}
    return {**told, "list_id": audience.id, "_links": links}


def listing(audience: Audience, query: Mapping[str, str], body: Any) -> Any:
    every = [of(audience, one) for one in audience.hooks.values()]
    links = shown.links("self", f"/lists/{audience.id}/webhooks", "Lists/Webhooks")
    return {"webhooks": every, "list_id": audience.id, "total_items": len(every), "_links": links}


def add(audience: Audience, query: Mapping[str, str], body: Any) -> Any:
    url = body.get("url")
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https"):
        raise invalid(UNFIT, [("url", "We couldn't validate the URL.")])
    if any(one["url"] == url for one in audience.hooks.values()):
        raise invalid(UNFIT, [("url", "Sorry, you can't set up multiple WebHooks for one URL")])
    if audience.calls.send("GET", url, b"", {}) != 200:
        raise invalid(UNFIT, [("url", "We couldn't connect to the specified URL. Please double check.")])
    id = audience.new_id(10)
    made = {
        "id": id,
        "url": url,
        "events": chosen(body.get("events"), EVENTS),
        "sources": chosen(body.get("sources"), SOURCES),
        "secret": audience.new_id() if audience.levers.signed else "",
    }
    audience.hooks[id] = made
    signing = {"signing_secret": made["secret"], "signing_enabled": True} if made["secret"] else {}
    return {**of(audience, made), **signing}


def chosen(given: Any, names: tuple[str, ...]) -> dict[str, bool]:
    asked = given if isinstance(given, dict) else {}
    return {name: asked.get(name) is True for name in names}


def get(audience: Audience, query: Mapping[str, str], body: Any, key: str) -> Any:
    if key not in audience.hooks:
        raise NOT_FOUND
    return of(audience, audience.hooks[key])


def remove(audience: Audience, query: Mapping[str, str], body: Any, key: str) -> None:
    if audience.hooks.pop(key, None) is None:
        raise NOT_FOUND


def teller(audience: Audience, clock: Clock) -> Callable[[str, str, Mapping[str, Any]], None]:
    def tell(event: str, source: str, told: Mapping[str, Any]) -> None:
        data = {**told, "list_id": audience.id}
        fired = f"{clock.now():%Y-%m-%d %H:%M:%S}"
        body = urlencode([("type", event), ("fired_at", fired), *flat("data", data)]).encode()
        for one in audience.hooks.values():
            if one["events"].get(event) and one["sources"].get(source):
                stamp = int(clock.now().timestamp())
                audience.calls.post(one["url"], body, {"Content-Type": FORM, **signature(one["secret"], stamp, body)})

    return tell


def signature(secret: str, stamp: int, body: bytes) -> dict[str, str]:
    if not secret:
        return {}
    signed = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Mailchimp-Signature": f"t={stamp},v1={signed}"}


def flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from flat(f"{name}[{key}]", part)
    else:
        yield name, str(value)
