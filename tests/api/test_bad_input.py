"""Whatever a tool sends: a problem detail that says what to do, and nothing changed."""

import json
from base64 import b64encode
from typing import Any

import pytest
from django.db import OperationalError

from connections import services
from connections.models import Account, Client, Connection, FieldMapping
from portal.clock import SYSTEM
from syncer.connectors.base import RateLimited
from syncer.models import SyncLog, SyncRun
from tests.api.desk import ALL, InMemory, Tool, rows, tool
from tests.engine.memory import MemoryApp, raising
from tests.engine.world import World, make_world

pytestmark = pytest.mark.django_db
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture
def world() -> World:
    found = make_world(MemoryApp("a"), MemoryApp("b"), now=SYSTEM.now())
    InMemory.worlds.update(a=found.left, b=found.right)
    return found


@pytest.fixture
def agency(world: World) -> Tool:
    return tool(None)


def problem(answer: Any, status: int = 400) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= set(found)
    assert found["status"] == status
    assert found["detail"]
    return found


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"null", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"\xff\xfe", 400),
        (b'{"name": NaN}', 400),
        (b'{"name": "a", "name": "b", "slug": "c"}', 400),
        (b'{"name": "a\\u0000b", "slug": "c"}', 400),
        (b'{"name": "a\\ud800b", "slug": "c"}', 400),
        (b'{"na\\u0000me": "a", "slug": "c"}', 400),
        (b'{"name": 1e999, "slug": "c"}', 400),
        (json.dumps({"name": DEEP}).encode(), 400),
        (DEEP.encode(), 400),
        (b'{"name": ' + DEEP.encode() + b"}", 400),
        (b'{"name": "' + b"x" * 1_100_000 + b'"}', 413),
        (b'{"name": 99999999999999999999999999, "slug": "c"}', 400),
    ],
)
def test_a_body_that_is_no_object_of_json(agency: Tool, body: bytes, status: int) -> None:
    before = Client.objects.count()
    problem(agency.post("clients/", body), status)
    assert Client.objects.count() == before


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json"]
)
def test_only_json_is_taken(agency: Tool, kind: str) -> None:
    answer = agency.browser.generic(
        "POST", "/api/v1/clients/", b"name=x", content_type=kind, headers={"Authorization": f"Bearer {agency.key}"}
    )
    problem(answer, 415)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"slug": "x"}, "name"),
        ({"name": "", "slug": "x"}, "name"),
        ({"name": "  ", "slug": "x"}, "name"),
        ({"name": 7, "slug": "x"}, "name"),
        ({"name": None, "slug": "x"}, "name"),
        ({"name": ["x"], "slug": "x"}, "name"),
        ({"name": {"x": 1}, "slug": "x"}, "name"),
        ({"name": True, "slug": "x"}, "name"),
        ({"name": "x" * 201, "slug": "x"}, "name"),
        ({"name": "x", "slug": "not a slug"}, "slug"),
        ({"name": "x", "slug": "acme"}, "slug"),
        ({"name": "x", "slug": "x", "colour": "red"}, "colour"),
        ({"name": "x", "slug": "x", "code": "9" * 32}, "code"),
    ],
)
def test_fields_of_a_client(agency: Tool, body: Any, field: str) -> None:
    found = problem(agency.post("clients/", body))
    assert field in found["errors"], found
    assert Client.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"direction": "sideways"}, "direction"),
        ({"direction": 1}, "direction"),
        ({"interval": 59}, "interval"),
        ({"interval": "300"}, "interval"),
        ({"interval": 300.5}, "interval"),
        ({"interval": True}, "interval"),
        ({"interval": 10**30}, ""),
        ({"avoid_duplicates": "true"}, "avoid_duplicates"),
        ({"avoid_duplicates": 1}, "avoid_duplicates"),
        ({"trash_tag": ""}, "trash_tag"),
        ({"trash_tag": "  "}, "trash_tag"),
        ({"sync_unsubscribes": "to_left"}, "sync_unsubscribes"),
        ({"trash_tag": "x" * 101}, "trash_tag"),
        ({"sync_unsubscribes": "both"}, "sync_unsubscribes"),
        ({"limits": {"clears": -1}}, "limits.clears"),
        ({"limits": {"clears": "9"}}, "limits.clears"),
        ({"limits": {"nonsense": 9}}, "limits"),
        ({"limits": [1]}, "limits"),
        ({"create_defaults": {"up": {}}}, "create_defaults.up"),
        ({"create_defaults": {"right": {"owner": 1}}}, "create_defaults.right.owner"),
        ({"left_account": "x"}, "left_account"),
        ({"left_account": 1}, "left_account"),
        ({"left_account": "0" * 32}, "left_account"),
        ({"state": "active"}, "state"),
        ({"version": 9}, "version"),
        ({"name": "\u0000"}, ""),
    ],
)
def test_fields_of_a_connection(agency: Tool, world: World, change: Any, field: str) -> None:
    code, before = world.connection.code, Connection.objects.values().get()
    found = problem(agency.patch(f"connections/{code}/", change))
    assert field == "" or field in found["errors"], found
    assert Connection.objects.values().get() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"right_field": "note"}, "left_field"),
        ({"left_field": "nothing", "right_field": "note"}, "left_field"),
        ({"left_field": "note", "right_field": "nothing"}, "right_field"),
        ({"left_field": "given", "right_field": "given"}, "left_field"),
        ({"left_field": "note", "right_field": "tags", "direction": "up"}, "direction"),
        ({"left_field": "note", "right_field": "tags", "value_map": ["a"]}, "value_map"),
        ({"left_field": "note", "right_field": "tags", "value_map": {"a": 1}}, "value_map.a"),
        ({"left_field": "note", "right_field": "tags", "fallback": {"x": "y"}}, "fallback"),
    ],
)
def test_fields_of_a_mapping(agency: Tool, world: World, body: Any, field: str) -> None:
    before = FieldMapping.objects.count()
    found = problem(agency.post(f"connections/{world.connection.code}/field-mappings/", body))
    assert field in found["errors"], found
    assert FieldMapping.objects.count() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"app": "myspace"}, "app"),
        ({"app": 1}, "app"),
        ({"label": " "}, "label"),
        ({"settings": "x"}, "settings"),
        ({"settings": {"subdomain": 1}}, "settings.subdomain"),
        ({"settings": {"subdomain": ""}}, "subdomain"),
        ({"settings": {"subdomain": "acme", "colour": "red"}}, "colour"),
        ({"settings": {"subdomain": "http://127.0.0.1/"}}, "subdomain"),
        ({"credentials": {"access_key": "a"}}, "secret_key"),
        ({"credentials": {"access_key": None}}, "credentials.access_key"),
        ({"api_share": 0}, "api_share"),
        ({"api_share": 101}, "api_share"),
        ({"identity": "me"}, "identity"),
    ],
)
def test_fields_of_an_account(agency: Tool, world: World, body: Any, field: str) -> None:
    keys = {"access_key": "canary-1", "secret_key": "canary-2", "session_key": "canary-3"}
    good = {"app": "salesmate", "label": "x", "settings": {"subdomain": "acme"}, "credentials": keys}
    before = Account.objects.count()
    client = str(world.connection.client.code)
    answer = agency.post("accounts/", {"client": client, **good, **body})
    assert field in problem(answer)["errors"], answer.content
    assert "canary" not in answer.content.decode()
    assert Account.objects.count() == before


@pytest.mark.parametrize(
    "address",
    [
        "connections/?colour=red",
        "connections/?state=asleep",
        "connections/?client=x",
        "connections/?cursor=x",
        "runs/?connection=1",
        "runs/?updated_since=yesterday",
        "links/?email=" + "x" * 400,
        "links/?state=",
        "links/?email=%00",
        "links/?email=%20",
        "links/?page_size=0",
        "links/?page_size=501",
        "links/?page_size=00000000119999999",
        "links/?page_size=" + "9" * 5000,
        "links/?cursor=" + b64encode(b"p=abc").decode(),
        "links/?cursor=" + b64encode(b"p=" + b"9" * 5000).decode(),
        "sync-log/?link=%09",
        "sync-log/?since=0001-01-01T00:00:00%2B14:00",
        "sync-log/export/?until=9999-12-31T23:59:59-14:00",
        "sync-log/?kind=x",
        "sync-log/?since=2026-13-01",
        "sync-log/verify/?connection=x",
        "sync-log/verify/?chain=portal",
        "holds/?open=perhaps",
    ],
)
def test_parameters_of_a_list(agency: Tool, address: str) -> None:
    problem(agency.get(address))


@pytest.mark.parametrize("since", ["2026-11-24T09:00:00Z", "2026-11-25T00:00:00Z"])
def test_a_part_of_the_history_begins_before_it_ends(agency: Tool, world: World, since: str) -> None:
    before = SyncLog.objects.count()
    span = f"connection={world.connection.code}&since={since}&until=2026-11-24T09:00:00Z"
    assert list(problem(agency.get(f"sync-log/export/?{span}"))["errors"]) == ["until"]
    assert SyncLog.objects.count() == before


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e3", "\u0661", ""])
def test_a_length_that_is_none(agency: Tool, length: str) -> None:
    headers: Any = {"HTTP_AUTHORIZATION": f"Bearer {agency.key}", "CONTENT_LENGTH": length}
    answer = agency.browser.generic("GET", "/api/v1/me/", **headers)
    assert answer.status_code == (200 if length == "" else 413)


@pytest.mark.parametrize(
    "address",
    [
        "nothing/",
        "connections/x/",
        "connections/%00/",
        "runs/" + "9" * 300 + "/",
        "..%2f..%2fadmin/",
        "",
        "me",
        "me/x/",
    ],
)
def test_an_address_that_is_none(agency: Tool, address: str) -> None:
    problem(agency.get(address), 404)


def test_a_method_that_is_none(agency: Tool) -> None:
    assert "GET" in agency.call("PUT", "clients/", {})["Allow"]
    problem(agency.call("PUT", "clients/", {}), 405)
    problem(agency.delete("me/"), 405)


@pytest.mark.parametrize("resolution", ["", "x" * 30, 7, None, "accept"])
def test_a_hold_takes_only_its_choices(agency: Tool, world: World, resolution: Any) -> None:
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    world.left.person_creates("l2", given="Ada", email="ada@example.com")
    world.settle()
    hold = rows(agency.get("holds/?open=true"))[0]
    assert hold["choices"] == []
    answer = agency.post(f"holds/{hold['code']}/resolve/", {"resolution": resolution})
    assert answer.status_code == (409 if resolution == "accept" else 400), answer.content
    assert rows(agency.get("holds/?open=true"))[0] == hold


def test_a_plan_is_approved_once(agency: Tool, world: World) -> None:
    world.edit(review="changes")
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    assert world.sync().status == "waiting"
    code = rows(agency.get("runs/?status=waiting"))[0]["code"]
    assert agency.post(f"runs/{code}/approve/").status_code == 200
    problem(agency.post(f"runs/{code}/approve/"), 409)
    problem(agency.post(f"runs/{code}/reject/"), 409)


@pytest.mark.parametrize("resolution", ["approve", "reject"])
def test_the_question_about_a_plan_is_answered_only_as_it_was_seen(agency: Tool, world: World, resolution: str) -> None:
    world.edit(limits={"creates": 0}, review="never")
    world.settle()
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    world.connection.runs.update(status="done")
    SyncRun.objects.create(connection=world.connection, version=1, status="done", queued_at=world.clock.now())
    assert world.sync().status == "held"
    hold = rows(agency.get("holds/?open=true"))[0]
    digest = SyncRun.objects.get(status="held").plan_digest
    path, other = f"holds/{hold['code']}/resolve/", "0" * 64
    found = problem(agency.post(path, {"resolution": resolution, "digest": other}), 409)
    assert "not the plan" in found["detail"]
    assert rows(agency.get("holds/?open=true")) == [hold]
    answer = agency.post(path, {"resolution": resolution, "digest": digest})
    assert (answer.status_code, answer.json()["choices"]) == (200, [])


@pytest.mark.parametrize("act", ["activate", "pause", "resume", "sync", "plan"])
def test_a_call_without_input_takes_none(agency: Tool, world: World, act: str) -> None:
    before = Connection.objects.values().get()
    found = problem(agency.post(f"connections/{world.connection.code}/{act}/", {"dry_run": False}))
    assert "dry_run" in found["errors"]
    assert Connection.objects.values().get() == before


def test_who_may_set_up_may_not_end_a_pause(world: World) -> None:
    world.connection.state = Connection.State.PAUSED
    world.connection.save()
    staff = tool(world.connection.client, "manage")
    problem(staff.post(f"connections/{world.connection.code}/resume/"), 403)
    problem(staff.post(f"connections/{world.connection.code}/activate/"), 409)


def test_what_passes_by_itself_says_when_and_is_not_kept(
    agency: Tool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account.objects.filter(label="a").get()
    InMemory.worlds["a"].fault_at(1, raising(RateLimited("slow down", 30)))
    first = agency.post(f"accounts/{account.code}/check/", **{"Idempotency-Key": "one"})
    problem(first, 409)
    assert first["Retry-After"] == "30"
    assert agency.post(f"accounts/{account.code}/check/", **{"Idempotency-Key": "one"}).status_code == 200


def test_a_change_made_while_the_app_was_asked_is_not_overwritten(
    agency: Tool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the check of If-Match and the write lies a call to the app, and somebody else's change."""
    base = f"connections/{world.connection.code}/field-mappings/"
    line = next(one for one in rows(agency.get(base)) if one["left_field"] == "title")
    seen = agency.get(f"{base}{line['code']}/")["ETag"]
    asked = services.fields_of

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(services, "fields_of", asked)
        FieldMapping.objects.get(code=line["code"]).delete()
        services.save_version(Connection.objects.get(), "bert", "mapping removed", SYSTEM)
        return asked(*args, **kwargs)

    monkeypatch.setattr(services, "fields_of", meanwhile)
    problem(agency.patch(f"{base}{line['code']}/", {"enabled": False}, **{"If-Match": seen}), 412)
    assert not FieldMapping.objects.filter(left_field="title").exists()


def test_a_busy_database_asks_to_try_again(agency: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr("connections.clients.save_client", busy)
    answer = agency.post("clients/", {"name": "x", "slug": "x"})
    problem(answer, 503)
    assert answer["Retry-After"] == "5"


def test_a_defect_of_ours_says_nothing_of_the_inside(agency: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("canary: the inside")

    monkeypatch.setattr("connections.clients.save_client", broken)
    answer = agency.post("clients/", {"name": "x", "slug": "x"})
    problem(answer, 500)
    assert "canary" not in answer.content.decode()


@pytest.mark.parametrize("scopes", [("read",), ALL])
def test_values_of_the_history_need_the_scope(world: World, scopes: tuple[str, ...]) -> None:
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    world.settle()
    answer = tool(world.connection.client, *scopes).get("sync-log/")
    assert ("ada@example.com" in answer.content.decode()) == ("audit" in scopes)
    assert len(rows(answer)) == SyncLog.objects.filter(connection=world.connection.code).count()


def test_pages_follow_each_other(agency: Tool, world: World) -> None:
    for number in range(5):
        world.left.person_creates(given=f"P{number}", email=f"p{number}@example.com")
    world.settle()
    seen, address = [], "links/?page_size=2"
    while address:
        answer = agency.get(address).json()
        seen += [row["code"] for row in answer["results"]]
        address = answer["next"] or ""
    assert len(seen) == len(set(seen)) == len(rows(agency.get("links/")))
