"""Every call x every scope x own client, another client, no key. The calls are read from the list of addresses, so that
a new one that nobody thought about fails here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from connections.api.base import Api
from connections.models import Account, Client, Connection, FieldMapping
from portal.clock import SYSTEM
from syncer.api.urls import urlpatterns
from syncer.models import Hold, Link, SyncRun
from tests.api.desk import ALL, Tool, tool
from tests.engine.memory import MemoryApp
from tests.engine.world import make_world

pytestmark = pytest.mark.django_db

OPEN = ("read", "manage", "sync", "approve", "audit")
READ, MANAGE, SYNC, APPROVE, LOG = ("read",), ("manage",), ("sync",), ("approve",), ("read", "audit")
EXPECTED: dict[str, tuple[str, ...]] = {
    "GET me/": OPEN,
    "GET apps/": READ,
    "GET clients/": READ,
    "POST clients/": MANAGE,
    "GET clients/{code}/": READ,
    "PATCH clients/{code}/": MANAGE,
    "GET accounts/": READ,
    "POST accounts/": MANAGE,
    "GET accounts/{code}/": READ,
    "PATCH accounts/{code}/": MANAGE,
    "DELETE accounts/{code}/": MANAGE,
    "POST accounts/{code}/check/": MANAGE,
    "POST accounts/{code}/authorize/": MANAGE,
    "GET accounts/{code}/books/": READ,
    "GET accounts/{code}/fields/": READ,
    "GET accounts/{code}/owners/": READ,
    "GET accounts/{code}/tags/": READ,
    "GET connections/": READ,
    "POST connections/": MANAGE,
    "GET connections/{code}/": READ,
    "PATCH connections/{code}/": MANAGE,
    "DELETE connections/{code}/": MANAGE,
    "POST connections/{code}/activate/": MANAGE,
    "POST connections/{code}/pause/": SYNC,
    "POST connections/{code}/resume/": SYNC,
    "POST connections/{code}/sync/": SYNC,
    "POST connections/{code}/plan/": SYNC,
    "GET connections/{code}/health/": READ,
    "GET connections/{code}/versions/": READ,
    "GET connections/{code}/versions/{number}/": READ,
    "POST connections/{code}/versions/{number}/restore/": MANAGE,
    "GET connections/{code}/configuration/": READ,
    "PUT connections/{code}/configuration/": MANAGE,
    "GET connections/{code}/mapping-options/": READ,
    "GET connections/{connection}/field-mappings/": READ,
    "POST connections/{connection}/field-mappings/": MANAGE,
    "GET connections/{connection}/field-mappings/{code}/": READ,
    "PATCH connections/{connection}/field-mappings/{code}/": MANAGE,
    "DELETE connections/{connection}/field-mappings/{code}/": MANAGE,
    "GET runs/": READ,
    "GET runs/{code}/": READ,
    "GET runs/{code}/changes/": READ,
    "POST runs/{code}/approve/": APPROVE,
    "POST runs/{code}/reject/": APPROVE,
    "POST runs/{code}/cancel/": SYNC,
    "GET links/": READ,
    "GET links/{code}/": READ,
    "GET links/{code}/explain/": READ,
    "GET holds/": READ,
    "GET holds/{code}/": READ,
    "POST holds/{code}/resolve/": APPROVE,
    "GET sync-log/": LOG,
    "GET sync-log/verify/": LOG,
    "GET sync-log/export/": ("audit",),
}
AGENCY_ONLY = {call for call in EXPECTED if " clients/" in call}


def calls() -> Iterator[str]:
    """As `METHOD address/`, of every address that a view stands behind."""
    for pattern in urlpatterns:
        view: Any = pattern.callback
        if not (isinstance(getattr(view, "cls", None), type) and issubclass(view.cls, Api)):
            continue
        address = re.sub(r"\(\?P<(\w+)>\[\^/\]\+\)", r"{\1}", str(pattern.pattern).strip("^$"))
        for method in sorted(set(view.actions) - {"head"}):
            yield f"{method.upper()} {address}"


def test_the_table_is_complete() -> None:
    assert sorted(set(calls())) == sorted(EXPECTED)


@dataclass
class Place:
    """Acme and Globex with a connection each; `codes` are Globex's, by what they name in an address."""

    acme: Client
    globex: Client
    codes: dict[str, str]

    def address(self, call: str) -> tuple[str, str]:
        method, address = call.split(" ")
        name = address.split("/")[-3] if "{code}" in address else ""
        name = "accounts" if address.startswith("accounts") else name
        name = address.split("/")[0] if name not in ("field-mappings",) else name
        filled = address.replace("{code}", self.codes.get(name, "")).replace("{connection}", self.codes["connections"])
        filled = filled.replace("{number}", "1")
        if filled.endswith(("verify/", "export/")):
            filled += f"?connection={self.codes['connections']}"
        return method, filled


@pytest.fixture
def place() -> Place:
    acme = make_world(MemoryApp("a"), MemoryApp("b"), now=SYSTEM.now()).connection.client
    world = make_world(MemoryApp("c"), MemoryApp("d"), slug="globex", now=SYSTEM.now())
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    world.settle()
    connection = world.connection
    run = SyncRun.objects.get()
    hold = Hold.objects.create(
        connection=connection,
        kind="conflict",
        subject="x",
        link=Link.objects.get(),
        opened=datetime(2026, 11, 24, tzinfo=UTC),
    )
    codes = {
        "clients": connection.client.code,
        "accounts": Account.objects.filter(client=connection.client).first().code,  # type: ignore[union-attr]
        "connections": connection.code,
        "field-mappings": FieldMapping.objects.filter(connection=connection).first().code,  # type: ignore[union-attr]
        "runs": run.code,
        "links": Link.objects.get().code,
        "holds": hold.code,
    }
    return Place(acme, connection.client, {name: str(code) for name, code in codes.items()})


def everything() -> list[Any]:
    """All that a call could change."""
    models = (Client, Account, Connection, FieldMapping, SyncRun, Hold, Link)
    return [list(model._default_manager.order_by("pk").values_list()) for model in models]


@pytest.mark.parametrize("call", EXPECTED)
def test_only_the_scopes_that_it_names_open_a_call(call: str, place: Place) -> None:
    method, address = place.address(call)
    for scope in ALL:
        before = everything()
        answer = tool(place.globex if call not in AGENCY_ONLY else None, scope).call(method, address)
        if scope in EXPECTED[call]:
            assert answer.status_code not in (401, 403, 404, 405), (scope, answer.content)
            assert answer.status_code < 500, (scope, answer.content)
        else:
            assert answer.status_code == 403, (scope, answer.content)
            assert everything() == before


@pytest.mark.parametrize("call", EXPECTED)
def test_without_a_key_nothing_is_said_and_nothing_happens(call: str, place: Place) -> None:
    method, address = place.address(call)
    before = everything()
    for key in ("", "cpk_k00000000000_" + "A" * 43):
        assert Tool(key).call(method, address).status_code == 401
    assert everything() == before


@pytest.mark.parametrize("call", [call for call in EXPECTED if "{" in call or "verify" in call or "export" in call])
def test_another_clients_things_are_not_there(call: str, place: Place) -> None:
    method, address = place.address(call)
    before = everything()
    answer = tool(place.acme, *ALL).call(method, address)
    assert answer.status_code == (403 if call in AGENCY_ONLY else 404), answer.content
    nowhere = address.replace(place.codes["connections"], "0" * 8 + "-0000-4000-8000-" + "0" * 12)
    for code in place.codes.values():
        nowhere = nowhere.replace(code, "0" * 8 + "-0000-4000-8000-" + "0" * 12)
    if call not in AGENCY_ONLY:
        assert tool(place.acme, *ALL).call(method, nowhere).content == answer.content, "never told apart"
    assert everything() == before


@pytest.mark.parametrize("name", ["accounts", "connections", "runs", "links", "holds", "sync-log"])
def test_lists_hold_only_the_own_clients_rows(name: str, place: Place) -> None:
    mine, theirs = tool(place.acme, *ALL), tool(place.globex, *ALL)
    shown = theirs.get(f"{name}/").json()["results"]
    assert shown, name
    assert names(shown).isdisjoint(names(mine.get(f"{name}/").json()["results"]))


def names(shown: list[Any]) -> set[str]:
    return {str(row.get("code", row.get("entry_hash"))) for row in shown}


def test_a_client_cannot_be_named_that_is_anothers(place: Place) -> None:
    mine = tool(place.acme, *ALL)
    globex = place.codes["clients"]
    body = {"client": globex, "app": "memory", "label": "x", "settings": {}, "credentials": {}}
    assert mine.post("accounts/", body).status_code == 400
    account = place.codes["accounts"]
    own = str(Account.objects.filter(client=place.acme).values_list("code", flat=True)[0])
    pair = {"name": "x", "left_account": account, "left_book": "b", "right_account": own, "right_book": "b"}
    answer = mine.post("connections/", pair)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["left_account"])
    assert mine.get(f"accounts/?client={globex}").json()["results"] == []
    assert mine.get(f"runs/?connection={place.codes['connections']}").json()["results"] == []
