"""A tool with a key in front of the API, with the office of connections/office.py behind it."""

import json
from typing import Any, ClassVar

from django.test import Client as Browser

from connections.keys import create_key
from connections.models import Client
from syncer.connectors.base import Account, Meter
from syncer.connectors.registry import Options
from tests.engine.memory import MemoryApp, MemoryConnector


class InMemory(MemoryConnector):
    """An app in memory as the registry makes it: `worlds` by identity, an empty one where there is none."""

    worlds: ClassVar[dict[str, MemoryApp]] = {}

    def __init__(self, account: Account, options: Options, meter: Meter | None = None) -> None:
        name = account.identity or "new"
        super().__init__(self.worlds.setdefault(name, MemoryApp(name)), meter)


ALL = ("read", "manage", "sync", "approve", "audit")


class Tool:
    """`call` sends JSON with a key, and hands back the answer; `json` is what it said last."""

    def __init__(self, key: str = "") -> None:
        self.key, self.browser = key, Browser(raise_request_exception=False)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key:
            said.setdefault("Authorization", f"Bearer {self.key}")
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        where = path if path.startswith("http") else f"/api/v1/{path}"
        return self.browser.generic(method, where, data, content_type="application/json", headers=said)

    def get(self, path: str, **headers: str) -> Any:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self.call("DELETE", path, **headers)


def tool(client: Client | None, *scopes: str) -> Tool:
    _, text = create_key(client, "anna", name="the test's", scopes=scopes or ALL)
    return Tool(text)


def rows(answer: Any) -> list[Any]:
    assert answer.status_code == 200, answer.content
    found: list[Any] = answer.json()["results"]
    return found
