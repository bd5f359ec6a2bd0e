"""What two do at the same moment, who may approve, and what changed since."""

from datetime import timedelta
from typing import Any

import pytest

from connections import clients, services
from connections.models import Account, Client, Connection
from connections.services import Overtaken, Refused
from portal.clock import SYSTEM
from syncer import services as runs
from syncer.connectors.base import AuthFailed
from syncer.models import Hold, SyncLog, SyncRun
from tests.api.desk import InMemory, Tool, rows, tool
from tests.api.test_bad_input import problem
from tests.engine.memory import MemoryApp
from tests.engine.world import ANNA, World, make_world

pytestmark = pytest.mark.django_db
BERT = "bert"


@pytest.fixture
def world() -> World:
    found = make_world(MemoryApp("a"), MemoryApp("b"), now=SYSTEM.now())
    InMemory.worlds.update(a=found.left, b=found.right)
    return found


@pytest.fixture
def agency(world: World) -> Tool:
    return tool(None)


# Accounts and clients


def test_of_two_who_change_an_account_only_the_first_does(world: World) -> None:
    one, two = (Account.objects.get(label="a") for _ in range(2))
    services.update_account(one, ANNA, api_share=50)
    for act in (lambda: services.update_account(two, BERT, label="x"), lambda: services.delete_account(two, BERT)):
        with pytest.raises((Overtaken, Refused)):
            act()
    stored = Account.objects.get(pk=one.pk)
    assert (stored.label, stored.api_share, stored.edition) == ("a", 50, 1)


def test_an_account_that_was_changed_is_not_deleted(world: World) -> None:
    account = Account.objects.create(client=world.connection.client, app="memory", label="spare")
    Account.objects.filter(pk=account.pk).update(edition=1)
    with pytest.raises(Overtaken):
        services.delete_account(account, BERT)
    assert Account.objects.filter(pk=account.pk).exists()


def test_the_etag_of_an_account_changes_with_it(agency: Tool, world: World) -> None:
    path = f"accounts/{Account.objects.get(label='a').code}/"
    seen = agency.get(path)["ETag"]
    new = agency.patch(path, {"api_share": 50}, **{"If-Match": seen})
    assert new.status_code == 200, new.content
    problem(agency.patch(path, {"api_share": 60}, **{"If-Match": seen}), 412)
    assert agency.patch(path, {"api_share": 60}, **{"If-Match": new["ETag"]}).status_code == 200


@pytest.mark.parametrize("answer", ["it is", "it is not"])
def test_an_answer_about_what_an_account_was_is_not_remembered(world: World, answer: str) -> None:
    account = Account.objects.get(label="a")
    Account.objects.update(status="needs_authorization")

    def meanwhile() -> None:
        services.update_account(Account.objects.get(pk=account.pk), BERT, api_share=50)
        if answer == "it is not":
            raise AuthFailed("no")

    world.left.fault_in("check", meanwhile)
    before = SyncLog.objects.exclude(kind="config.changed").count()
    with pytest.raises(Refused, match="changed while"):
        services.check_account(account, ANNA, world.worker.connect, world.clock)
    stored = Account.objects.get(pk=account.pk)
    assert (stored.status, stored.checked_at) == ("needs_authorization", None)
    assert SyncLog.objects.exclude(kind="config.changed").count() == before


def test_a_run_does_not_call_new_credentials_bad_for_what_became_of_the_old(world: World) -> None:
    def meanwhile() -> None:
        Account.objects.filter(label="a").update(edition=7)
        raise AuthFailed("no")

    world.left.fault_in("changes", meanwhile)
    assert world.slice().status == "failed"
    assert Account.objects.get(label="a").status == "connected"


def test_of_two_who_change_a_client_only_the_first_does(world: World) -> None:
    one, two = (Client.objects.get() for _ in range(2))
    seen = clients.stored(two)
    one.name = "Acme Ltd"
    clients.save_client(one, ANNA, seen=seen)
    two.slug = "other"
    with pytest.raises(Overtaken):
        clients.save_client(two, BERT, seen=seen)
    assert clients.stored(Client.objects.get()) == {"name": "Acme Ltd", "slug": "acme", "four_eyes": False}


def test_a_connection_that_was_edited_is_not_deleted(world: World) -> None:
    seen = world.connection.version
    world.edit(winner="right")
    with pytest.raises(Overtaken):
        services.delete_connection(world.connection, BERT, seen=seen)
    assert Connection.objects.get().state == "active"


# Four eyes


def waiting(world: World) -> SyncRun:
    world.edit(review="changes")
    world.left.person_creates(given="Ada", email=f"p{len(world.left.contacts)}@example.com")
    assert world.sync().status == "waiting"
    return SyncRun.objects.get(status="waiting")


def asks_for_four_eyes(agency: Tool, world: World, yes: bool = True) -> None:
    path = f"clients/{world.connection.client.code}/"
    assert agency.patch(path, {"four_eyes": yes}).json()["four_eyes"] is yes


def test_who_changed_the_configuration_does_not_approve_its_plan(agency: Tool, world: World) -> None:
    plan = waiting(world)
    asks_for_four_eyes(agency, world)
    with pytest.raises(Refused, match="four eyes"):
        runs.approve(plan, ANNA, clock=world.clock)
    assert SyncRun.objects.get().status == "waiting"
    runs.approve(plan, BERT, clock=world.clock)
    assert world.sync().status == "done"
    world.connection.refresh_from_db()
    services.update_connection(world.connection, BERT, {"winner": "right"}, clock=world.clock)
    plan = waiting_again(world)
    with pytest.raises(Refused, match="four eyes"):
        runs.approve(plan, BERT, clock=world.clock)
    runs.approve(plan, ANNA, clock=world.clock)


def waiting_again(world: World) -> SyncRun:
    world.left.person_creates(given="Cy", email="cy@example.com")
    world.clock.forward(300)
    assert world.sync().status == "waiting"
    return SyncRun.objects.get(status="waiting")


def test_a_change_of_the_limits_counts_too(agency: Tool, world: World) -> None:
    runs.approve(waiting(world), BERT, clock=world.clock)
    world.sync()
    asks_for_four_eyes(agency, world)
    services.update_connection(Connection.objects.get(), BERT, {"limits": {"creates": 500}}, clock=world.clock)
    run = runs.request_plan(Connection.objects.get(), ANNA, world.clock, enqueue=False)
    world.left.person_creates(given="Cy", email="cy@example.com")
    assert world.sync().status == "waiting"
    run.refresh_from_db()
    with pytest.raises(Refused, match="You made version"):
        runs.approve(run, BERT, clock=world.clock)
    with pytest.raises(Refused, match="You asked"):
        runs.approve(run, ANNA, clock=world.clock)
    runs.approve(run, "cleo", clock=world.clock)


def test_a_key_is_somebody_of_its_own_and_a_hold_is_no_way_around(agency: Tool, world: World) -> None:
    acme, other = tool(world.connection.client), tool(world.connection.client)
    asks_for_four_eyes(agency, world)
    code = world.connection.code
    assert acme.patch(f"connections/{code}/", {"review": "changes", "winner": "right"}).status_code == 200
    world.left.person_creates(given="Ada", email="ada@example.com")
    assert world.sync().status == "waiting"
    plan = SyncRun.objects.get()
    assert "four eyes" in problem(acme.post(f"runs/{plan.code}/approve/"), 409)["detail"]
    hold = Hold.objects.create(connection=world.connection, kind="guard", subject="x", opened=world.clock.now())
    problem(acme.post(f"holds/{hold.code}/resolve/", {"resolution": "approve"}), 409)
    assert other.post(f"runs/{plan.code}/approve/").status_code == 200


def test_four_eyes_are_the_agency_s_to_set_and_on_record(agency: Tool, world: World) -> None:
    acme = tool(world.connection.client)
    problem(acme.patch(f"clients/{world.connection.client.code}/", {"four_eyes": True}), 403)
    for yes in (True, False):
        asks_for_four_eyes(agency, world, yes)
        assert f'"four_eyes":{str(yes).lower()}' in SyncLog.objects.filter(kind="config.changed").latest("id").header


# What changed since


def names(agency: Tool, path: str, since: Any) -> list[str]:
    address = f"{path}?updated_since={since.isoformat().replace('+00:00', 'Z')}"
    return [row.get("label", row.get("name", row.get("kind"))) for row in rows(agency.get(address))]


def test_lists_can_be_asked_for_what_changed(agency: Tool, world: World) -> None:
    Account.objects.update(updated_at=world.clock.now())
    world.clock.forward(3600)
    since = world.clock.now()
    for path in ("accounts/", "connections/", "holds/"):
        assert names(agency, path, since) == []
        problem(agency.get(f"{path}?updated_since=yesterday"))
    services.update_account(Account.objects.get(label="b"), ANNA, api_share=50, clock=world.clock)
    services.pause(world.connection, ANNA, world.clock)
    assert (names(agency, "accounts/", since), names(agency, "connections/", since)) == (["b"], ["Left and right"])
    after = since + timedelta(seconds=1)
    assert (names(agency, "accounts/", after), names(agency, "connections/", after)) == ([], [])


def test_runs_do_not_count_as_a_change_of_a_connection(agency: Tool, world: World) -> None:
    world.clock.forward(3600)
    world.left.person_creates("l1", given="Ada", email="ada@example.com")
    world.settle()
    assert names(agency, "connections/", world.connection.updated_at + timedelta(seconds=1)) == []


def test_a_question_is_news_when_it_is_opened_and_when_it_ends(agency: Tool, world: World) -> None:
    for number in range(2):
        world.left.person_creates(f"l{number}", given="Ada", email="ada@example.com")
    world.settle()
    opened = Hold.objects.earliest("pk").opened
    assert names(agency, "holds/", opened) == ["ambiguous"] * 2
    later = world.clock.now() + timedelta(seconds=1)
    assert names(agency, "holds/", later) == []
    world.clock.forward(300)
    world.left.person_edits("l1", email="other@example.com")
    world.settle()
    assert not Hold.objects.filter(resolved=None).exists()
    assert names(agency, "holds/", later) == ["ambiguous"] * 2
