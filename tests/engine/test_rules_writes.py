"""The engine's rules one by one: what is sent, what becomes of it, and how connections share (ENGINE.md 6 to 10)."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models import Sum
from django.db.models.functions import Now

from connections import services
from connections.models import Condition, Rule
from syncer.connectors.base import Transient, Value
from syncer.engine.settle import again_later
from syncer.models import Change, Hold, Link, SyncLog
from syncer.models.lease import AccountLease, ApiUsage
from tests.engine.memory import MemoryApp, raising
from tests.engine.test_rules import pair_of, people, title
from tests.engine.three import net
from tests.engine.world import ANNA, START, make_world

pytestmark = pytest.mark.django_db
NO_ANSWER = raising(Transient("no answer", maybe_applied=True))


def only_update() -> Change:
    return Change.objects.filter(operation="update").earliest("pk")


# 6 Apply


@pytest.mark.proves("I21", "E6 batches", "E3 outcomes")
def test_each_write_of_a_batch_is_settled_by_its_own_result() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    names = ("done", "stale", "gone", "refused", "unknown")
    ids = {name: world.left.person_creates(given=name, email=f"{name}@example.com") for name in names}
    world.settle()
    theirs = {str(values["given"]): one for one, values in world.right.contacts.items()}
    for name, one in ids.items():
        world.left.person_edits(one, title="No such title" if name == "refused" else "New")

    def meanwhile() -> None:
        world.right.person_edits(theirs["stale"], title="Theirs")
        world.right.person_deletes(theirs["gone"])

    world.right.fault_in("reread", meanwhile)
    world.right.refuse = lambda values: "no" if values["title"] == "No such title" else ""
    world.right.breaks_at = 4
    planned = Change.objects.count()
    world.slice()
    states = Change.objects.order_by("pk").values_list("link__left__values__given", "state")[planned:]
    assert dict(states) == dict(zip(names, ("done", "stale", "stale", "refused", "sending"), strict=True))
    due = Link.objects.filter(next_attempt_at__lte=world.clock.now()).values_list("left__values__given", flat=True)
    assert set(due) == {"stale", "gone"}
    world.settle()
    assert {str(v["given"]): v["title"] for v in world.right.contacts.values()} == {
        "done": "New",
        "stale": "New",
        "refused": None,
        "unknown": "New",
    }


@pytest.mark.proves("E6 backoff")
def test_who_fails_is_tried_again_at_once_twice_and_then_later_and_later_for_ever() -> None:
    link = Link()
    waits = []
    for _ in range(20):
        again_later(link, START)
        assert link.next_attempt_at is not None
        waits.append(int((link.next_attempt_at - START).total_seconds() // 60))
    assert waits[:6] == [0, 0, 5, 10, 20, 40] and waits[-9:] == [24 * 60] * 9
    assert waits == sorted(waits)


@pytest.mark.proves("E6 backoff", "I22")
def test_who_has_to_wait_is_tried_at_once_when_something_is_new() -> None:
    world = pair_of()
    world.left.person_edits("l1", title="Mathematician")
    world.right.unsent = lambda values: True
    for _ in range(12):
        world.slice()
        world.clock.forward(300)
    link = Link.objects.get(state="failing")
    assert link.reason and link.next_attempt_at is not None
    Link.objects.update(next_attempt_at=world.clock.now() + timedelta(hours=20))
    world.right.unsent = lambda values: False
    world.left.person_edits("l1", note="something new")
    world.settle()
    assert title(world) == ("Mathematician", "Mathematician")


@pytest.mark.proves("E6 refused value")
def test_a_refused_value_is_not_sent_again_by_an_edit_of_the_connection() -> None:
    world = pair_of()
    world.left.person_edits("l1", title="Nobody")
    world.left.person_creates(given="Bob", email="bob@example.com", title="Nobody")
    world.right.refuse = lambda values: "no such title" if values.get("title") == "Nobody" else ""
    world.settle()
    sent = len(world.entries("write.intent"))
    world.edit(name="Another name", winner="right")
    world.settle()
    assert len(world.entries("write.intent")) == sent == 2
    assert world.states()["failing"] == 2


@pytest.mark.proves("E6 stopped at once")
@pytest.mark.parametrize("act", ["pause", "edit"])
def test_who_pauses_or_edits_a_connection_stops_it_at_the_next_batch(act: str) -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"))
    people(world.left, 25)

    def meanwhile() -> None:
        if act == "pause":
            services.pause(world.connection, ANNA, world.clock)
        else:
            world.edit(winner="right")

    world.right.fault_in("create", meanwhile)
    assert world.slice().status == "superseded"
    assert len(world.right.contacts) == 10, "the batch that was on its way"
    if act == "pause":
        services.resume(world.connection, ANNA, world.clock, world.worker.connect)
    world.settle()
    assert len(world.right.contacts) == 25


@pytest.mark.proves("E10 budgets")
def test_no_call_is_made_that_the_budget_of_the_login_does_not_hold() -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right"), limits=lambda app: 30)
    people(world.left, 40)
    for _ in range(10):
        world.slice()
        world.clock.forward(60)
    assert ApiUsage.objects.filter(key__contains="right").aggregate(n=Sum("calls"))["n"] <= 24, "80 % of it"
    assert 10 < len([call for call in world.right.calls if call not in ("created", "updated")]) <= 24
    world.clock.forward(3600)
    world.settle()
    assert len(world.right.contacts) == 40


# 7 Recover


@pytest.mark.proves("E7 updates", "I2")
@pytest.mark.parametrize(
    ("at", "meanwhile", "state", "then"),
    [
        ("updated", {}, "recovered", ("M", "N")),
        ("update", {}, "lost", ("M", "N")),
        ("updated", {"note": "Theirs"}, "lost", ("M", "Theirs")),
        ("updated", {"mobile": "+442079460001"}, "recovered", ("M", "N")),
        ("update", {"title": "Theirs"}, "lost", ("Theirs", "N")),
    ],
    ids=["arrived", "lost", "arrived and edited", "arrived, and another field edited", "lost and edited"],
)
def test_an_update_without_an_answer_is_settled_by_what_stands_there(
    at: str, meanwhile: dict[str, Value], state: str, then: tuple[str, str]
) -> None:
    world = pair_of(winner="right")
    world.left.person_edits("l1", title="M", note="N")
    world.right.fault_in(at, NO_ANSWER)
    world.slice()
    assert only_update().state == "sending"
    if meanwhile:
        world.right.person_edits("r1", **meanwhile)
    world.clock.forward(300)
    world.settle()
    assert only_update().state == state
    for app, one in ((world.left, "l1"), (world.right, "r1")):
        assert (app.contacts[one]["title"], app.contacts[one]["note"]) == then
        assert app.contacts[one]["mobile"] == meanwhile.get("mobile")
    world.assert_log_is_whole()


@pytest.mark.proves("E7 updates", "I6")
def test_an_update_of_what_was_deleted_meanwhile_is_lost_and_nothing_is_made_anew() -> None:
    world = pair_of()
    world.left.person_edits("l1", title="Mathematician")
    world.right.fault_in("updated", NO_ANSWER)
    world.slice()
    world.right.person_deletes("r1")
    world.clock.forward(300)
    world.settle()
    assert only_update().state == "lost" and world.right.contacts == {}
    assert world.states()["opposite_deleted"] == 1


@pytest.mark.proves("E7 whoever sent it", "I22")
def test_a_write_of_a_paused_connection_is_settled_too() -> None:
    world = pair_of()
    world.left.person_edits("l1", title="Mathematician")
    world.right.fault_in("updated", NO_ANSWER)
    world.slice()
    services.pause(world.connection, ANNA, world.clock)
    world.clock.forward(300)
    world.sync()
    assert only_update().state == "recovered"
    assert len(world.right.mutations) == 1
    world.assert_log_is_whole()


@pytest.mark.proves("E7 whoever sent it", "E10 intent and result")
def test_a_write_is_settled_by_another_connection_of_the_account_in_the_history_of_its_own() -> None:
    apps = [MemoryApp("one"), MemoryApp("two"), MemoryApp("three")]
    world = net(apps, [(0, 1), (1, 2)])
    apps[0].person_creates("a", given="Ada", email="ada@example.com")
    world.settle()
    apps[0].person_edits("a", title="Mathematician")
    apps[1].fault_in("updated", NO_ANSWER)
    first, second = world.connections
    world.slice(first)
    world.clock.forward(300)
    world.slice(second)
    assert only_update().state == "recovered"
    results = SyncLog.objects.filter(kind="write.result", header__contains=str(only_update().key))
    assert [entry.chain.name for entry in results] == [first.chain]
    world.settle()
    assert [app.by_email("ada@example.com")[0]["title"] for app in apps] == ["Mathematician"] * 3


@pytest.mark.proves("I11", "E7 creates by id")
@pytest.mark.parametrize("at", ["create", "created"])
def test_a_create_with_an_id_of_ours_is_found_by_it_or_sent_again(at: str) -> None:
    world = pair_of()
    world.left.person_creates(given="Bob", email="bob@example.com")
    world.right.fault_in(at, NO_ANSWER)
    world.slice()
    world.clock.forward(300)
    world.settle()
    assert len(world.right.by_email("bob@example.com")) == 1
    assert Change.objects.filter(operation="create").earliest("pk").state == ("lost" if at == "create" else "recovered")


@pytest.mark.proves("I2", "I16", "E7 agrees on what was sent")
@pytest.mark.parametrize("create", ["client_id", "search"])
def test_an_edit_of_a_created_contact_before_we_knew_of_it_travels_back(create: str) -> None:
    world = make_world(MemoryApp("left"), MemoryApp("right", create=create))
    world.left.person_creates("l1", given="Ada", email="ada@example.com", title="Countess")
    world.right.fault_in("created", NO_ANSWER)
    world.slice()
    world.right.person_edits(next(iter(world.right.contacts)), title="Mathematician")
    world.clock.forward(300)
    world.settle()
    assert world.left.contacts["l1"]["title"] == "Mathematician"


@pytest.mark.proves("E7 never left", "I11")
def test_what_never_left_is_sent_again_and_not_looked_for() -> None:
    world = pair_of()
    world.left.person_creates(given="Bob", email="bob@example.com")
    world.right.unsent = lambda values: True
    calls = len(world.right.calls)
    world.slice()
    assert Change.objects.get(operation="create").state == "planned"
    world.right.unsent = lambda values: False
    world.clock.forward(300)
    world.settle()
    assert len(world.right.by_email("bob@example.com")) == 1
    assert not {"read", "read_many", "find"} & set(world.right.calls[calls:])


# 8 Deletion


@pytest.mark.proves("E8 both gone")
def test_deleted_on_both_sides_a_pair_ends_without_a_write() -> None:
    world = pair_of(sync_deletions="both")
    world.left.person_deletes("l1")
    world.right.person_deletes("r1")
    world.settle()
    assert set(world.states()) == {"superseded"}
    assert world.left.mutations == world.right.mutations == []


@pytest.mark.proves("E8 not retroactive")
def test_who_was_deleted_before_the_option_was_on_gets_no_tag() -> None:
    world = pair_of()
    people(world.left, 1)
    world.settle()
    world.left.person_deletes("l1")
    world.settle()
    world.edit(sync_deletions="both")
    world.settle()
    world.left.person_deletes(next(iter(world.left.contacts)))
    world.settle()
    tags = {values["given"]: values["tags"] for values in world.right.contacts.values()}
    assert tags == {"Ada": None, "P0": ["PieSync Trash"]}


@pytest.mark.proves("E8 survivor", "I6", "I22")
def test_a_survivor_that_was_edited_since_is_asked_about() -> None:
    world = pair_of(sync_deletions="both")
    world.left.person_deletes("l1")
    world.right.person_edits("r1", title="Edited")
    world.settle()
    assert world.right.contacts["r1"]["title"] == "Edited"
    assert [hold.kind for hold in Hold.objects.filter(resolved=None)] == ["deleted_edited"]
    assert world.left.contacts == {}


@pytest.mark.proves("E8 back in scope", "I2")
def test_who_comes_back_into_scope_goes_on_from_the_old_agreement() -> None:
    world = pair_of(winner="right")
    Rule.objects.filter(connection=world.connection, source="right").delete()
    wanted = Condition(kind="field", field="family", operator="is", value="Lovelace")
    rule = world.connection.rules.get(source="left")
    services.save_rule(rule, ANNA, [wanted], [], world.worker.connect, world.clock)
    world.connection.refresh_from_db()
    world.left.person_edits("l1", family="King", title=None)
    world.settle()
    assert world.states()["excluded"] == 1 and title(world) == (None, "Countess")
    world.left.person_edits("l1", family="Lovelace")
    world.settle()
    assert title(world) == (None, None), "a clear that was made meanwhile travels"


@pytest.mark.proves("E8 reserved tags")
def test_the_tag_of_a_deletion_does_not_travel_on_to_a_third_book() -> None:
    apps = [MemoryApp("one"), MemoryApp("two"), MemoryApp("three")]
    world = net(apps, [(0, 1), (1, 2)], sync_deletions="both")
    apps[0].person_creates("a", given="Ada", email="ada@example.com", tags=["vip"])
    world.settle()
    apps[0].person_deletes("a")
    world.settle()
    assert [app.by_email("ada@example.com")[0]["tags"] for app in apps[1:]] == [["PieSync Trash", "vip"], ["vip"]]


# 10 Between connections, and the history


@pytest.mark.proves("E10 leases", "I21")
def test_after_a_slice_another_connection_of_the_account_has_its_turn() -> None:
    apps = [MemoryApp("one", page_size=1000), MemoryApp("two"), MemoryApp("three")]
    people(apps[0], 700)
    apps[2].person_creates(given="Ada", email="ada@example.com")
    world = net(apps, [(0, 1), (1, 2)], direction="to_right")
    first, second = world.connections
    world.worker = replace(
        world.worker, progress=lambda what, done, total: world.clock.forward(300 if what == "Planning" else 0)
    )
    outcome = world.slice(first)
    assert (outcome.status, outcome.again_at) == ("running", world.clock.now())
    assert not AccountLease.objects.filter(expires_at__gt=Now()).exists()
    assert world.slice(second).status in ("done", "quiet", "running")
