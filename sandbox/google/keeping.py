"""The state of the stand-in over a restart: contacts, groups, what is on its way to the feed, and who gave access."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from sandbox.google.account import Account
from sandbox.google.contact import Contact
from sandbox.google.feed import Feed
from sandbox.google.group import Group
from sandbox.oauth import Grant, OAuthServer


def save(file: Path | None, accounts: Mapping[str, Account], oauth: OAuthServer) -> None:
    if file is None:
        return
    state = {
        "accounts": {email: _of_account(account) for email, account in accounts.items()},
        "grants": [asdict(grant) for grant in oauth.grants],
    }
    new = file.with_suffix(".new")
    new.touch(0o600)
    new.write_text(json.dumps(state, default=datetime.isoformat))
    os.replace(new, file)


def load(file: Path | None, accounts: Mapping[str, Account], oauth: OAuthServer) -> None:
    """Users who are not among `accounts` any more are left out."""
    if file is None or not file.exists():
        return
    state = json.loads(file.read_text())
    for email, kept in state["accounts"].items():
        if email in accounts:
            _into(accounts[email], kept)
    oauth.grants = [
        Grant(**{**grant, "scopes": tuple(grant["scopes"]), "at": datetime.fromisoformat(grant["at"])})
        for grant in state["grants"]
    ]


def _of_account(account: Account) -> dict[str, Any]:
    return {
        "born": account.born,
        "version": account.version,
        "contacts": [asdict(contact) for contact in account.contacts.values()],
        "groups": [asdict(group) for group in account.groups.values()],
        "feed": {
            "position": account.feed.position,
            "shown": [(place, asdict(contact)) for place, contact in account.feed.shown.values()],
            "waiting": [(due, asdict(contact)) for due, contact in account.feed.waiting],
        },
    }


def _into(account: Account, kept: Mapping[str, Any]) -> None:
    account.born, account.version = kept["born"], kept["version"]
    account.contacts = {contact.id: contact for contact in map(_contact, kept["contacts"])}
    account.groups = {group.id: group for group in map(_group, kept["groups"])}
    feed = kept["feed"]
    shown = {contact["id"]: (place, _contact(contact)) for place, contact in feed["shown"]}
    waiting = [(datetime.fromisoformat(due), _contact(contact)) for due, contact in feed["waiting"]]
    account.feed = Feed(feed["position"], shown, waiting)


def _contact(kept: Mapping[str, Any]) -> Contact:
    updated = datetime.fromisoformat(kept["updated"])
    return Contact(**{**kept, "groups": tuple(kept["groups"]), "previous": tuple(kept["previous"]), "updated": updated})


def _group(kept: Mapping[str, Any]) -> Group:
    updated = datetime.fromisoformat(kept["updated"])
    return Group(**{**kept, "client_data": tuple(kept["client_data"]), "updated": updated})
