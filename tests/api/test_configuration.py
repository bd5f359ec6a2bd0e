"""The whole configuration as one document: versions and what each changed, putting back, templates, restoring."""

from typing import Any

import pytest

from connections import services
from connections.models import Account, ConfigVersion, Connection, FieldMapping
from portal.clock import SYSTEM
from tests.api.desk import InMemory, Tool, rows, tool
from tests.api.test_bad_input import problem
from tests.engine.memory import MemoryApp
from tests.engine.world import ANNA, World, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    found = make_world(MemoryApp("a"), MemoryApp("b"))
    InMemory.worlds.update(a=found.left, b=found.right)
    return found


@pytest.fixture
def acme(world: World) -> Tool:
    return tool(world.connection.client)


def where(connection: Connection, what: str = "configuration/") -> str:
    return f"connections/{connection.code}/{what}"


def document(acme: Tool, connection: Connection) -> tuple[Any, dict[str, str]]:
    """The document, and the header that says that it was seen."""
    answer = acme.get(where(connection))
    assert answer.status_code == 200, answer.content
    return answer.json(), {"If-Match": answer["ETag"]}


def put(acme: Tool, connection: Connection, body: Any, seen: dict[str, str]) -> Any:
    return acme.call("PUT", where(connection), body, **seen)


def line_of(body: Any, left_field: str) -> Any:
    return next(line for line in body["mappings"] if line["left_field"] == left_field)


def test_what_was_got_and_is_put_back_changes_nothing(acme: Tool, world: World) -> None:
    body, seen = document(acme, world.connection)
    before = list(FieldMapping.objects.order_by("pk").values())
    answer = put(acme, world.connection, body, seen)
    assert (answer.status_code, answer.json(), answer["ETag"]) == (200, body, seen["If-Match"])
    assert ConfigVersion.objects.count() == 1
    assert list(FieldMapping.objects.order_by("pk").values()) == before


def test_several_changes_are_one_version_that_says_what_changed(acme: Tool, world: World) -> None:
    body, seen = document(acme, world.connection)
    title = line_of(body, "title")
    body["interval"], title["enabled"] = 600, False
    body["rules"][0]["conditions"] = [{"kind": "has_tag", "field": "", "operator": "", "value": "vip"}]
    body["mappings"] = [line for line in body["mappings"] if line["left_field"] != "note"]
    answer = put(acme, world.connection, body, seen)
    assert answer.status_code == 200, answer.content
    assert answer.json() == body
    assert answer["ETag"] != seen["If-Match"]
    newest, first = rows(acme.get(where(world.connection, "versions/")))
    assert (newest["number"], first["number"], first["changes"]) == (2, 1, [])
    found = {change["path"]: (change["before"], change["after"]) for change in newest["changes"]}
    condition = body["rules"][0]["conditions"][0]
    rule = f"rules[left: {body['rules'][0]['name']}]"
    assert found.pop("interval") == (300, 600)
    assert found.pop("mappings[title / title].enabled") == (True, False)
    assert found.pop(f"{rule}.conditions[0]") == (None, condition)
    assert found.pop("mappings[note / note]")[1] is None
    assert found == {}
    whole = acme.get(where(world.connection, "versions/2/")).json()
    assert whole["configuration"] == body
    assert acme.get(where(world.connection, "versions/3/")).status_code == 404
    assert acme.get(where(world.connection, "versions/" + "9" * 4500 + "/")).status_code == 404


def test_two_lines_can_exchange_their_fields(acme: Tool, world: World) -> None:
    body, seen = document(acme, world.connection)
    one, two = line_of(body, "given"), line_of(body, "family")
    one["right_field"], two["right_field"] = "family", "given"
    codes = {one["code"], two["code"]}
    answer = put(acme, world.connection, body, seen)
    assert answer.status_code == 200, answer.content
    new = {line_of(answer.json(), name)["code"] for name in ("given", "family")}
    assert codes.isdisjoint(new), "a changed line starts as a first merge"


def test_without_what_was_seen_nothing_is_replaced(acme: Tool, world: World) -> None:
    body, seen = document(acme, world.connection)
    problem(put(acme, world.connection, body, {}), 428)
    world.edit(winner="right")
    problem(put(acme, world.connection, {**body, "interval": 600}, seen), 412)
    world.connection.refresh_from_db()
    assert (world.connection.winner, world.connection.interval) == ("right", 300)


def test_a_change_made_while_the_apps_were_asked_is_not_overwritten(
    acme: Tool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, seen = document(acme, world.connection)
    asked = services.fields_of

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(services, "fields_of", asked)
        FieldMapping.objects.filter(left_field="title").delete()
        services.save_version(Connection.objects.get(), "bert", "mapping removed", SYSTEM)
        return asked(*args, **kwargs)

    monkeypatch.setattr(services, "fields_of", meanwhile)
    problem(put(acme, world.connection, body, seen), 412)
    assert not FieldMapping.objects.filter(left_field="title").exists()


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (["colour"], "red", "colour"),
        (["version"], 2, "version"),
        (["interval"], 1, "interval"),
        (["limits"], {"nonsense": 1}, "limits"),
        (["mappings", 0, "colour"], "red", "mappings.0.colour"),
        (["mappings", 0, "left_field"], "nothing", "mappings.0.left_field"),
        (["mappings", 1, "left_field"], "email", "mappings.1.left_field"),
        (
            ["rules", 0, "conditions"],
            [{"kind": "x", "field": "", "operator": "", "value": 1}],
            "rules.0.conditions.0.kind",
        ),
        (["rules", 0, "conditions"], [{"kind": "field", "field": "x", "operator": "is", "value": "y"}], "rules.0"),
        (
            ["rules", 0, "conditions"],
            [{"kind": "has_tag", "field": "", "operator": "", "value": 1.5}],
            "rules.0.conditions.0.value",
        ),
        (["left_account"], "0" * 32, "left_account"),
        (["name"], "", "name"),
    ],
)  # fmt: skip
def test_a_document_that_is_not_right_changes_nothing(
    acme: Tool, world: World, path: list[Any], value: Any, field: str
) -> None:
    body, seen = document(acme, world.connection)
    before = services.body_of(world.connection)
    part = body
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    body["winner"] = "right"
    assert field in problem(put(acme, world.connection, body, seen))["errors"]
    world.connection.refresh_from_db()
    assert services.body_of(world.connection) == before
    assert ConfigVersion.objects.count() == 1


def test_a_document_without_a_part_is_none(acme: Tool, world: World) -> None:
    body, seen = document(acme, world.connection)
    del body["rules"]
    assert "rules" in problem(put(acme, world.connection, body, seen))["errors"]


def another(world: World, app: str = "memory") -> Connection:
    """A second connection of the client, of other accounts."""
    client = world.connection.client
    made = [
        Account.objects.create(client=client, app="memory", label=name, identity=name, status="connected")
        for name in ("c", "d")
    ]
    connection = services.create_connection(
        client,
        ANNA,
        name="Another",
        left_account=made[0],
        left_book="contacts",
        right_account=made[1],
        right_book="contacts",
    )
    Account.objects.filter(pk__in=[made[0].pk]).update(app=app)
    return connection


def test_the_document_of_another_connection_is_a_template(acme: Tool, world: World) -> None:
    template, _ = document(acme, another(world))
    template["winner"] = "right"
    line_of(template, "title")["on_conflict"] = "hold"
    own, seen = document(acme, world.connection)
    answer = put(acme, world.connection, template, seen)
    assert answer.status_code == 200, answer.content
    found = answer.json()
    for name in ("name", "left_account", "left_book", "right_account", "right_book"):
        assert found[name] == own[name], name
    assert (found["winner"], line_of(found, "title")["on_conflict"]) == ("right", "hold")
    assert [line["code"] for line in found["mappings"]] == [line["code"] for line in own["mappings"]], "the same lines"
    assert [rule["code"] for rule in found["rules"]] == [rule["code"] for rule in own["rules"]]


def test_the_document_of_other_apps_is_none(acme: Tool, world: World) -> None:
    template, _ = document(acme, another(world, app="carddav"))
    _, seen = document(acme, world.connection)
    assert "left_account" in problem(put(acme, world.connection, template, seen))["errors"]


def test_the_version_in_force_at_a_time(acme: Tool, world: World) -> None:
    world.clock.forward(3600)
    world.edit(interval=600)
    path = where(world.connection, "versions/")
    at = {"2026-11-24T08:59:59Z": [], "2026-11-24T09:30:00Z": [1], "2026-11-24T10:00:00Z": [2]}
    for moment, numbers in at.items():
        assert [row["number"] for row in rows(acme.get(f"{path}?at={moment}"))] == numbers, moment
    assert rows(acme.get(f"{path}?at=2026-11-24T10:00:00Z"))[0]["changes"] == [
        {"path": "interval", "before": 300, "after": 600}
    ]
    for wrong in ("yesterday", "2026-13-01", "9" * 5000):
        assert "at" in problem(acme.get(f"{path}?at={wrong}"))["errors"]


def test_versions_come_in_pages(acme: Tool, world: World) -> None:
    for interval in (600, 900, 1200):
        world.edit(interval=interval)
    first = acme.get(where(world.connection, "versions/?page_size=2")).json()
    second = acme.get(first["next"]).json()
    assert [row["number"] for row in first["results"] + second["results"]] == [4, 3, 2, 1]
    assert [row["changes"][0]["before"] for row in first["results"] + second["results"][:1]] == [900, 600, 300]
    assert second["next"] is None


def test_a_version_is_restored_as_a_new_one(acme: Tool, world: World) -> None:
    before, _ = document(acme, world.connection)
    body, seen = document(acme, world.connection)
    body["winner"], line_of(body, "title")["enabled"] = "right", False
    put(acme, world.connection, body, seen)
    path = where(world.connection, "versions/1/restore/")
    problem(acme.post(path, **seen), 412)
    answer = acme.post(path)
    assert (answer.status_code, answer.json()) == (200, before)
    newest = rows(acme.get(where(world.connection, "versions/")))[0]
    assert (newest["number"], newest["reason"]) == (3, "version 1 restored")
    assert acme.post(path).json() == before
    assert ConfigVersion.objects.count() == 3, "it is so already"
    problem(acme.post(where(world.connection, "versions/9/restore/")), 404)
