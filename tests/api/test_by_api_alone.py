"""From an empty portal to a finished sync and its history, by calls alone, with real servers behind."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from connections.models import Connection
from syncer.models import SyncRun
from tests.api.desk import Tool, rows, tool
from tests.connections.office import Office
from tests.contract.carddav import vcard
from tests.contract.radicale import USERS
from tests.contract.salesmate import KEYS
from tests.needs import needs

pytestmark = [pytest.mark.django_db, needs("radicale")]


def accounts(agency: Tool, office: Office, client: str) -> tuple[str, str]:
    """A CardDAV and a Salesmate account, checked."""
    codes = []
    for app, settings, credentials in (
        ("carddav", {"url": office.radicale.url, "username": "alice"}, {"password": USERS["alice"]}),
        ("salesmate", {"subdomain": "acme"}, KEYS),
    ):
        body = {"client": client, "app": app, "label": app, "settings": settings, "credentials": dict(credentials)}
        made = agency.post("accounts/", body)
        assert made.status_code == 201, made.content
        code = made.json()["code"]
        assert made["Location"].endswith(f"/api/v1/accounts/{code}/")
        assert agency.post(f"accounts/{code}/check/").json()["status"] == "connected"
        codes.append(code)
    return codes[0], codes[1]


def connected(agency: Tool, office: Office) -> tuple[str, str]:
    """(client, connection): a draft between Alice's cards and Salesmate."""
    client = agency.post("clients/", {"name": "Globex", "slug": "globex"}).json()["code"]
    left, right = accounts(agency, office, client)
    book = agency.get(f"accounts/{right}/books/").json()[0]["id"]
    assert [one["id"] for one in agency.get(f"accounts/{left}/books/").json()] == ["/alice/book/"]
    body = {
        "client": client,
        "name": "Cards and CRM",
        "left_account": left,
        "left_book": "/alice/book/",
        "right_account": right,
        "right_book": book,
        "sync_deletions": "both",
        "create_defaults": {"right": {"owner": "1"}},
    }
    made = agency.post("connections/", body)
    assert made.status_code == 201, made.content
    return client, made.json()["code"]


def people(office: Office) -> None:
    office.radicale.place("alice", "ada", vcard("ada", "EMAIL:ada@example.com", "TITLE:Countess"))
    office.radicale.place("alice", "grace", vcard("grace", "EMAIL:grace@example.com", name="Grace Hopper"))
    office.salesmate.person(0, lastName="Lovelace", email="ada@example.com", designation="Programmer")
    office.salesmate.person(1)


def verified(pack: bytes, folder: Path) -> str:
    """What the verifier in the evidence says of it, run as an auditor would: nothing but Python."""
    with ZipFile(BytesIO(pack)) as archive:
        archive.extractall(folder / "evidence")
    verifier = [sys.executable, "-I", "-S", "verify.py"]
    done = subprocess.run(verifier, cwd=folder / "evidence", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_from_nothing_to_a_finished_sync(acme: Office, tmp_path: Path) -> None:
    agency = tool(None)
    people(acme)
    client, code = connected(agency, acme)
    draft = agency.get(f"connections/{code}/").json()
    assert (draft["state"], draft["direction"], draft["review"], draft["version"]) == ("draft", "both", "changes", 1)

    # The mapping: the title goes one way, and what else it could go to is told with reasons.
    lines = rows(agency.get(f"connections/{code}/field-mappings/"))
    title = next(one for one in lines if one["right_field"] == "designation")
    changed = agency.patch(f"connections/{code}/field-mappings/{title['code']}/", {"direction": "to_right"})
    assert changed.status_code == 200, changed.content
    assert changed.json()["code"] != title["code"]
    options = agency.get(f"connections/{code}/mapping-options/?left_field={title['left_field']}").json()
    assert any(one["right_field"] == "designation" and "both" in one["directions"] for one in options)
    assert any(one["reasons"] for one in options)

    # Its first plan waits, and exactly it is approved.
    assert agency.post(f"connections/{code}/activate/").json()["state"] == "active"
    started = agency.post(f"connections/{code}/sync/")
    assert started.status_code == 202
    connection = Connection.objects.get(code=code)
    assert acme.sync(connection) == "waiting"
    run = agency.get(started["Location"]).json()
    assert (run["code"], run["status"], run["dry_run"]) == (started.json()["run"], "waiting", False)
    assert run["counts"]["right"]["created"] == 1
    plan = rows(agency.get(f"runs/{run['code']}/changes/"))
    create = next(one for one in plan if one["operation"] == "create" and one["side"] == "right")
    assert create["after"]["email"] == "grace@example.com"
    assert agency.post(f"runs/{run['code']}/approve/", {"digest": "0" * 64}).status_code == 409
    approved = agency.post(f"runs/{run['code']}/approve/", {"digest": run["digest"]})
    assert approved.status_code == 200, approved.content
    assert acme.sync(connection) in ("done", "quiet")

    # What became of it.
    done = agency.get(f"runs/{run['code']}/").json()
    assert (done["status"], done["counts"]["left"]["created"], done["counts"]["right"]["created"]) == ("done", 1, 1)
    health = agency.get(f"connections/{code}/health/").json()
    assert health["total"] == health["in_sync"] == 3
    [ada] = rows(agency.get(f"links/?connection={code}&email=ADA@example.com&state=in_sync"))
    why = agency.get(f"links/{ada['code']}/explain/").json()
    assert {line["left_field"] for line in why["lines"]} > {"E-mail"}

    # The history: newest first, with values for those who may see them, and it verifies.
    entries = rows(agency.get(f"sync-log/?connection={code}&kind=write.intent"))
    assert {entry["actor"] for entry in entries} == {SyncRun.objects.get(code=run["code"]).actor}
    assert any(entry["after"] and entry["after"].get("email") == "grace@example.com" for entry in entries)
    assert agency.get(f"sync-log/verify/?connection={code}").json()["ok"] is True
    exported = agency.get(f"sync-log/export/?connection={code}")
    assert exported.status_code == 200
    told = verified(b"".join(exported.streaming_content), tmp_path)
    assert "grace@example.com" not in told
    assert "ok" in told.lower()
    assert rows(agency.get("sync-log/?kind=access.exported"))[0]["actor"].startswith("API key")
    assert rows(agency.get(f"sync-log/?run={run['code']}&kind=plan.approved"))[0]["actor"].startswith("API key")
    assert client == agency.get(f"connections/{code}/").json()["client"]


def test_a_conflict_of_two_who_edit_is_seen(acme: Office) -> None:
    """If-Match: the second of two who loaded the same version is told."""
    agency = tool(None)
    _, code = connected(agency, acme)
    seen = agency.get(f"connections/{code}/")["ETag"]
    first = agency.patch(f"connections/{code}/", {"trash_tag": "Gone"}, **{"If-Match": seen})
    assert first.status_code == 200
    assert first["ETag"] != seen
    second = agency.patch(f"connections/{code}/", {"trash_tag": "Deleted"}, **{"If-Match": seen})
    assert second.status_code == 412
    assert agency.get(f"connections/{code}/").json()["trash_tag"] == "Gone"
    line = rows(agency.get(f"connections/{code}/field-mappings/"))[0]["code"]
    assert agency.delete(f"connections/{code}/field-mappings/{line}/", **{"If-Match": seen}).status_code == 412
    assert agency.delete(f"connections/{code}/field-mappings/{line}/", **{"If-Match": first["ETag"]}).status_code == 204


def test_what_does_not_fit_the_state_is_a_conflict_in_words(acme: Office) -> None:
    agency = tool(None)
    _, code = connected(agency, acme)
    for act in ("sync", "plan", "pause", "resume"):
        answer = agency.post(f"connections/{code}/{act}/")
        assert answer.status_code == 409, act
        assert "draft" in answer.json()["detail"] or "not active" in answer.json()["detail"]
    assert agency.post(f"connections/{code}/activate/").status_code == 200
    assert agency.post(f"connections/{code}/sync/").status_code == 202
    busy = agency.post(f"connections/{code}/sync/")
    assert (busy.status_code, busy.json()["detail"]) == (409, "A run of this connection is under way already.")
    account = agency.get(f"connections/{code}/").json()["left_account"]
    used = agency.delete(f"accounts/{account}/")
    assert used.status_code == 409
    assert "Cards and CRM" in used.json()["detail"]


def test_a_login_that_the_app_refuses_says_so(acme: Office) -> None:
    agency = tool(acme.acme)
    body: dict[str, Any] = {"app": "salesmate", "label": "Wrong", "settings": {"subdomain": "acme"}}
    made = agency.post("accounts/", {**body, "credentials": {**KEYS, "session_key": "wrong"}}).json()
    answer = agency.post(f"accounts/{made['code']}/check/")
    assert answer.status_code == 409
    assert "session key" in answer.json()["detail"].lower() or "Salesmate" in answer.json()["detail"]
    assert agency.get(f"accounts/{made['code']}/").json()["status"] == "needs_authorization"
    assert "wrong" not in answer.content.decode()
