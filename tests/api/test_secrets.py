"""A secret goes into the API and never comes out: not in an answer, a log line, a table, a task, a dump, the evidence;
nor does the key that brought it."""

import logging
from io import BytesIO, StringIO
from typing import Any
from zipfile import ZipFile

import pytest
from django.core.management import call_command

from connections import services
from connections.models import Connection
from portal import logs
from tests.api.desk import Tool, tool
from tests.connections.office import Office
from tests.contract.radicale import USERS
from tests.contract.salesmate import KEYS
from tests.needs import needs
from tests.portal.test_secrets_nowhere import SPELLINGS, WRONG, held_by, tables

pytestmark = [pytest.mark.django_db, needs("radicale")]


class Listening(Tool):
    """Remembers all that was answered."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.heard: list[str] = []

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = super().call(method, path, body, **headers)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        self.heard.append(f"{answer.headers}\n{content.decode('latin-1')}")
        return answer


def written(caplog: pytest.LogCaptureFixture, form: str) -> str:
    """The log as the portal writes it."""
    formatter = logs.config(form, "DEBUG")["formatters"]
    lines = []
    for made in formatter.values():
        build = made.get("()", logging.Formatter)
        shown = build(**{name: value for name, value in made.items() if name != "()"})
        lines += [shown.format(record) for record in caplog.records]
    return "\n".join(lines)


def use(agency: Listening, acme: Office) -> str:
    """Every way that a secret takes through the API; the code of the connection."""
    cards = {"url": acme.radicale.url, "username": "alice"}
    bodies: tuple[dict[str, Any], ...] = (
        {"app": "carddav", "label": "Cards", "settings": cards, "credentials": {"password": USERS["alice"]}},
        {"app": "salesmate", "label": "CRM", "settings": {"subdomain": "acme"}, "credentials": dict(KEYS)},
    )
    codes = []
    for body in bodies:
        agency.post("accounts/", {**body, "label": 7})
        agency.post("accounts/", {**body, "credentials": {**body["credentials"], "surplus": WRONG}})
        agency.post("accounts/", {**body, "settings": {**body["settings"], "surplus": WRONG}})
        agency.post("accounts/", str(body).encode())
        made = agency.post("accounts/", body, **{"Idempotency-Key": body["app"]})
        agency.post("accounts/", body, **{"Idempotency-Key": body["app"]})
        agency.post("accounts/", body)
        codes.append(made.json()["code"])
        agency.post(f"accounts/{codes[-1]}/check/")
        agency.get(f"accounts/{codes[-1]}/books/")
    agency.get(f"accounts/?password={WRONG}")
    pair = {"left_account": codes[0], "left_book": "/alice/book/", "right_account": codes[1], "right_book": "contacts"}
    code: str = agency.post("connections/", {"name": "x", **pair, "create_defaults": {"right": {"owner": "1"}}}).json()[
        "code"
    ]
    agency.post(f"connections/{code}/activate/")
    agency.post(f"connections/{code}/sync/")
    acme.sync(Connection.objects.get(code=code))
    wrong = dict.fromkeys(KEYS, WRONG)
    agency.patch(f"accounts/{codes[1]}/", {"credentials": wrong})
    agency.post(f"accounts/{codes[1]}/check/")
    for path in (
        "accounts/",
        "connections/",
        "runs/",
        "holds/",
        "links/",
        "sync-log/",
        f"connections/{code}/configuration/",
    ):
        agency.get(path)
    return code


def test_what_goes_in_never_comes_out(acme: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    agency = Listening(tool(acme.acme).key)
    code = use(agency, acme)
    exported = Tool(agency.key).get(f"sync-log/export/?connection={code}")
    with ZipFile(BytesIO(b"".join(exported.streaming_content))) as archive:
        evidence = "\n".join(archive.read(name).decode() for name in archive.namelist())
    out = StringIO()
    call_command("dumpdata", exclude=["connections.credential"], stdout=out)
    secret = agency.key.rpartition("_")[2]
    places = {
        "answers": "\n".join(agency.heard),
        "evidence": evidence,
        "dump": out.getvalue(),
        "plain log": written(caplog, "plain"),
        "JSON log": written(caplog, "json"),
        **tables(),
    }
    for name, text in places.items():
        assert held_by(text) == [], name
        assert secret not in text, name
    assert len(SPELLINGS) > 5 and len(agency.heard) > 20


def test_a_defect_shows_neither_in_its_answer_nor_in_its_traceback(
    acme: Office, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, credentials: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"the store is full of {credentials}")

    monkeypatch.setattr(services, "create_account", broken)
    agency = tool(acme.acme)
    body = {"app": "salesmate", "label": "x", "settings": {"subdomain": "acme"}, "credentials": dict(KEYS)}
    answer = agency.post("accounts/", body)
    assert answer.status_code == 500
    assert held_by(answer.content.decode()) == []
    assert agency.key.rpartition("_")[2] not in written(caplog, "json") + written(caplog, "plain")
    assert held_by(written(caplog, "json") + written(caplog, "plain")) == []
