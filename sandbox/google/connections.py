"""people.connections.list: full syncs and deltas, page by page, with tokens that have to be used as they were given."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from sandbox.google.answers import EXPIRED_FORMS, invalid
from sandbox.google.call import GLOBAL, Call
from sandbox.google.contact import Contact
from sandbox.google.shown import whole_names
from sandbox.google.tokens import Listing, SyncToken

MOST: Final = 1000
KEPT: Final = 50  # listings in their midst, of each account
ORDERS: Final = ("LAST_MODIFIED_ASCENDING", "LAST_MODIFIED_DESCENDING", "FIRST_NAME_ASCENDING", "LAST_NAME_ASCENDING")


def connections(call: Call) -> dict[str, Any]:
    call.account.spend("reads")
    mask, wanted = call.person_fields(), call.sources()
    size = call.number("pageSize", call.levers.default_page, MOST)
    if call.name != "people/me" or call.one("sortOrder") not in ("", *ORDERS):
        raise invalid()
    call.account.feed.catch_up(call.account.clock.now())
    listing = went_on(call) if call.one("pageToken") else begun(call)
    synced = call.one("syncToken") != ""
    page, rest = listing.rest[:size], listing.rest[size:]
    shown = [call.show(contact, mask, wanted, listed=True, synced=synced) for contact in page]
    answer: dict[str, Any] = {"connections": shown} if shown else {}
    if rest:
        answer["nextPageToken"] = kept(call, replace(listing, rest=rest))
    elif listing.next_token:
        answer["nextSyncToken"] = listing.next_token
    if listing.total:
        answer |= {"totalPeople": listing.total, "totalItems": listing.total}
    return answer


def terms(call: Call, *without: str) -> str:
    """The parameters as one text, but for these and those that every method takes."""
    left = {name: texts for name, texts in call.query.items() if name not in without and name not in GLOBAL}
    return json.dumps(left, sort_keys=True)


def kept(call: Call, listing: Listing) -> str:
    token = call.account.new_id()
    passes = call.account.passes
    passes[token] = listing
    while len(passes) > KEPT:
        passes.pop(next(iter(passes)))
    return token


def went_on(call: Call) -> Listing:
    listing = call.account.passes.get(call.one("pageToken"))
    if listing is None or listing.terms != terms(call, "pageToken"):
        raise invalid()
    return listing


def begun(call: Call) -> Listing:
    account, now = call.account, call.account.clock.now().timestamp()
    of_sync = terms(call, "pageToken", "syncToken", "requestSyncToken")
    if call.one("syncToken"):
        token = valid(call, of_sync, now)
        people, began = account.feed.since(token.position), token.began
        if call.levers.tokens_renewed:
            began = now
    else:
        account.spend("full_syncs")
        people, began = full(call), now
    next_token = SyncToken(account.born, account.feed.position, began, of_sync)
    listed = in_order(people, call.one("sortOrder"))
    return Listing(
        rest=listed,
        total=len(listed),
        next_token=str(next_token) if call.flag("requestSyncToken") else "",
        terms=terms(call, "pageToken"),
    )


def full(call: Call) -> list[Contact]:
    """A sync request sees what has reached the feed; any other sees all."""
    if call.flag("requestSyncToken"):
        return call.account.feed.living()
    return sorted(call.account.contacts.values(), key=lambda contact: contact.version)


def valid(call: Call, of_sync: str, now: float) -> SyncToken:
    token = SyncToken.read(call.one("syncToken"))
    if token.born != call.account.born or token.terms != of_sync:
        raise invalid()
    if now >= token.began + timedelta(days=call.levers.token_days).total_seconds():
        raise EXPIRED_FORMS[call.levers.expired_form]
    return token


def in_order(people: list[Contact], order: str) -> list[Contact]:
    match order:
        case "LAST_MODIFIED_DESCENDING":
            return people[::-1]
        case "FIRST_NAME_ASCENDING":
            return sorted(people, key=lambda contact: name_of(contact, "displayName"))
        case "LAST_NAME_ASCENDING":
            return sorted(people, key=lambda contact: name_of(contact, "displayNameLastFirst"))
    return people


def name_of(contact: Contact, part: str) -> str:
    names = contact.fields.get("names", [{}])
    return whole_names(names[0]).get(part, "").casefold()
