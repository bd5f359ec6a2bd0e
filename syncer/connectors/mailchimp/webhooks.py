"""Webhooks of an audience: made, removed, and what is believed of a delivery, which is that something happened.

Mailchimp delivers at least once, as application/x-www-form-urlencoded. Sources disagree on whether it signs: so the
signature is checked where the answer to the making of the webhook gave a secret, and cannot be checked elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from hmac import new as hmac
from typing import Final
from urllib.parse import parse_qsl

from syncer.connectors.base import Heard, Hook, NotFromApp, RecordGone, Transient
from syncer.connectors.mailchimp.client import Client
from syncer.connectors.mailchimp.wire import HOOK_ID, LIST_ID, text

EVENTS: Final = ("subscribe", "unsubscribe", "profile", "cleaned", "upemail")
FORM: Final = "application/x-www-form-urlencoded"
MOST_FIELDS: Final = 1000
NO_ID: Final = "Mailchimp did not say which webhook it made. It is made again later."
NOT_A_FORM: Final = "This is not a form, as Mailchimp sends it."
NO_EVENT: Final = "This names no event and no audience of Mailchimp's."
UNSIGNED: Final = "The signature is missing, wrong or too old."


@dataclass(frozen=True)
class Assumed:
    """What no primary source says. `header`, as in t=<seconds>,v1=<hex>: HMAC-SHA256 of "<t>.<body>", several v1 while
    a secret is being changed. `window`: how far its time may be from ours."""

    header: str = "x-mailchimp-signature"
    window: timedelta = timedelta(seconds=300)


ASSUMED: Final = Assumed()


def listen(client: Client, book: str, url: str) -> Hook:
    for one in client.hooks(book):
        if text(one.get("url")) == url:
            stop(client, book, text(one.get("id")))
    sources = {"user": True, "admin": True, "api": False}
    made = client.add_hook(book, {"url": url, "events": dict.fromkeys(EVENTS, True), "sources": sources})
    if HOOK_ID.fullmatch(text(made.get("id"))) is None:
        raise Transient(NO_ID, maybe_applied=True)
    return Hook(text(made["id"]), text(made.get("signing_secret")))


def stop(client: Client, book: str, hook: str) -> None:
    try:
        client.remove_hook(book, hook)
    except RecordGone:
        return


def heard(headers: Mapping[str, str], body: bytes, secret: str, now: datetime, assumed: Assumed = ASSUMED) -> Heard:
    if secret and not _signed(headers.get(assumed.header, ""), body, secret, now, assumed.window):
        raise NotFromApp(UNSIGNED, forged=True)
    if headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise NotFromApp(NOT_A_FORM)
    try:
        told = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise NotFromApp(NOT_A_FORM) from None
    book = told.get("data[list_id]", "")
    if told.get("type") not in EVENTS or LIST_ID.fullmatch(book) is None:
        raise NotFromApp(NO_EVENT)
    # An e-mail change has the new id alone, a bounce the address alone.
    who = told.get("data[id]") or told.get("data[new_id]") or told.get("data[email]", "")
    return Heard(book, "\n".join((told["type"], who, told.get("fired_at", ""))))


def _signed(header: str, body: bytes, secret: str, now: datetime, window: timedelta) -> bool:
    """Over the bytes as they came, before anything of them is read."""
    pairs = [part.strip().partition("=") for part in header.split(",")[:20]]
    stamp = next((value for name, _, value in pairs if name == "t"), "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        return False
    if abs(now.timestamp() - int(stamp)) > window.total_seconds():
        return False
    right = hmac(secret.encode(), stamp.encode() + b"." + body, sha256).hexdigest()
    given = [value for name, _, value in pairs if name == "v1"]
    return any(compare_digest(right.encode(), value.encode()) for value in given)
