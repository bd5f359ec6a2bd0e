"""Mailchimp's own Python client against the stand-in: every call that we make, and every error that it may meet."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from mailchimp_marketing import Client
from mailchimp_marketing.api_client import ApiClientError

from sandbox.mailchimp import KEY, Audience, Fault, MailchimpApp, id_of, serve
from tests.contract.described import Judged
from tests.contract.mailchimp_spec import judged
from tests.contract.salesmate import FakeClock
from tests.needs import needs

pytestmark = needs("specs")
LIST = "a36b032126"
ADA = "ada@lovelace.example"


@dataclass
class Bench:
    app: MailchimpApp
    judge: Judged
    client: Any
    clock: FakeClock

    @property
    def audience(self) -> Audience:
        return self.app.audience()


@pytest.fixture
def bench() -> Iterator[Bench]:
    clock = FakeClock()
    app = MailchimpApp(clock)
    judge = judged(app)
    with serve(judge) as url:
        yield Bench(app, judge, client_of(url), clock)
    assert judge.answered == []


def client_of(url: str, key: str = KEY) -> Any:
    """The client, aimed at the stand-in: it takes the address from the key otherwise."""
    client = Client()
    client.set_config({"api_key": key, "server": ""})
    for each in (client, *vars(client).values()):
        inner = getattr(each, "api_client", None)
        if inner is not None:
            inner.host = f"{url}/3.0"
    return client


def refused(act: Any) -> dict[str, Any]:
    with pytest.raises(ApiClientError) as error:
        act()
    told: dict[str, Any] = json.loads(error.value.text)
    return told


def subscribed(email: str = ADA, **more: Any) -> dict[str, Any]:
    return {"email_address": email, "status": "subscribed", **more}


def test_who_we_are_and_what_there_is(bench: Bench) -> None:
    assert bench.client.ping.get() == {"health_status": "Everything's Chimpy!"}
    assert bench.client.root.get_root()["account_name"] == "Harbour Tea"
    lists = bench.client.lists.get_all_lists(fields=["lists.id", "lists.name", "total_items"])
    assert lists == {"lists": [{"id": LIST, "name": "Newsletter"}], "total_items": 1}
    fields = bench.client.lists.get_list_merge_fields(LIST)["merge_fields"]
    assert [one["tag"] for one in fields] == ["FNAME", "LNAME", "ADDRESS", "PHONE", "BIRTHDAY"]


def test_a_member_from_its_making_to_its_end(bench: Bench) -> None:
    lists = bench.client.lists
    merge = {"FNAME": "Ada", "ADDRESS": {"addr1": "1 Pier", "city": "Bristol", "state": "BS", "zip": "BS1"}}
    made = lists.add_list_member(LIST, subscribed(merge_fields=merge, tags=["VIP"]))
    assert (made["id"], made["tags"][0]["name"]) == (id_of(ADA), "VIP")
    assert made["merge_fields"]["ADDRESS"]["country"] == "US"
    lists.update_list_member(LIST, made["id"], {"merge_fields": {"LNAME": "Lovelace"}})
    lists.update_list_member_tags(LIST, made["id"], {"tags": [{"name": "VIP", "status": "inactive"}]})
    assert lists.get_list_member_tags(LIST, made["id"])["tags"] == []
    moved = lists.set_list_member(LIST, made["id"], {"email_address": "countess@lovelace.example"})
    assert (moved["id"], moved["contact_id"]) == (id_of("countess@lovelace.example"), made["contact_id"])
    assert refused(lambda: lists.get_list_member(LIST, made["id"]))["title"] == "Resource Not Found"
    assert lists.get_list_member(LIST, made["contact_id"])["full_name"] == "Ada Lovelace"
    lists.delete_list_member(LIST, moved["id"])
    assert lists.get_list_member(LIST, moved["id"])["status"] == "archived"
    assert lists.get_list_members_info(LIST)["members"] == []
    assert len(lists.get_list_members_info(LIST, status="archived")["members"]) == 1
    assert refused(lambda: lists.delete_list_member(LIST, moved["id"]))["status"] == 405
    lists.delete_list_member_permanent(LIST, moved["id"])
    again = subscribed("countess@lovelace.example")
    assert refused(lambda: lists.add_list_member(LIST, again))["title"] == "Forgotten Email Not Subscribed"


def test_a_batch_tells_by_address_what_became_of_each(bench: Bench) -> None:
    bench.audience.person_adds("there@x.example", FNAME="There")
    members = [subscribed(), subscribed("there@x.example", merge_fields={"FNAME": "Changed"}), subscribed("nonsense")]
    answer = bench.client.lists.batch_list_members(LIST, {"members": members, "update_existing": False})
    assert [one["email_address"] for one in answer["new_members"]] == [ADA]
    assert {one["email_address"]: one["error_code"] for one in answer["errors"]} == {
        "there@x.example": "ERROR_CONTACT_EXISTS",
        "nonsense": "ERROR_GENERIC",
    }
    answer = bench.client.lists.batch_list_members(LIST, {"members": members[1:2], "update_existing": True})
    assert answer["updated_members"][0]["merge_fields"]["FNAME"] == "Changed"
    many = [subscribed(f"p{n}@x.example") for n in range(501)]
    assert refused(lambda: bench.client.lists.batch_list_members(LIST, {"members": many}))["status"] == 400


def test_a_person_who_unsubscribed_is_not_subscribed_by_the_api(bench: Bench) -> None:
    lists = bench.client.lists
    one = bench.audience.person_adds(ADA)
    lists.update_list_member(LIST, one, {"status": "unsubscribed"})
    assert lists.update_list_member(LIST, one, {"status": "subscribed"})["status"] == "subscribed", "the API did it"
    bench.audience.person_unsubscribes(one)
    told = refused(lambda: lists.update_list_member(LIST, one, {"status": "subscribed"}))
    assert (told["title"], "type" in told) == ("Member In Compliance State", False)
    assert lists.update_list_member(LIST, one, {"merge_fields": {"FNAME": "A"}})["status"] == "unsubscribed"
    bench.audience.mail_bounces(one)
    assert lists.get_list_members_info(LIST, status="cleaned")["total_items"] == 1


def test_what_changed_since(bench: Bench) -> None:
    bench.audience.person_adds("old@x.example")
    bench.clock.advance(3600)
    since = bench.clock.now().isoformat()
    bench.audience.person_adds("new@x.example")
    found = bench.client.lists.get_list_members_info(
        LIST, since_last_changed=since, sort_field="last_changed", sort_dir="ASC", exclude_fields=["members._links"]
    )
    assert [one["email_address"] for one in found["members"]] == ["new@x.example"]
    assert "_links" not in found["members"][0]


@pytest.mark.parametrize(
    ("kind", "good", "bad", "shown"),
    [
        ("number", "12.50", "much", 12.5),
        ("date", "2026-11-24", "24.11.2026", "2026-11-24"),
        ("birthday", "2/9", "31", "02/09"),
        ("url", "https://x.example/a", "no link", "https://x.example/a"),
        ("zip", "BS1 4XE", "?", "BS1 4XE"),
        ("dropdown", "Red", "Blue", "Red"),
        ("address", {"addr1": "a", "city": "b", "state": "c", "zip": "d"}, {"city": "b"}, None),
        ("text", "x" * 255, "x" * 256, "x" * 255),
    ],
)
def test_values_of_each_type(bench: Bench, kind: str, good: Any, bad: Any, shown: Any) -> None:
    lists = bench.client.lists
    options = {"choices": ["Red", "Green"]} if kind == "dropdown" else {}
    tag = lists.add_list_merge_field(LIST, {"name": "Mine", "type": kind, "tag": "MINE", "options": options})["tag"]
    one = bench.audience.person_adds(ADA)
    told = refused(lambda: lists.update_list_member(LIST, one, {"merge_fields": {tag: bad}}))
    assert (told["detail"], [error["field"] for error in told["errors"]]) == (
        "Your merge fields were invalid.",
        ["MINE"],
    )
    answer = lists.update_list_member(LIST, one, {"merge_fields": {tag: good}})
    assert answer["merge_fields"][tag] == (shown or {**good, "addr2": "", "country": "US"})
    assert lists.update_list_member(LIST, one, {"merge_fields": {tag: ""}})["merge_fields"][tag] == ""


def test_a_required_field(bench: Bench) -> None:
    lists = bench.client.lists
    lists.add_list_merge_field(LIST, {"name": "Shelf", "type": "text", "tag": "SHELF", "required": True})
    told = refused(lambda: lists.add_list_member(LIST, subscribed()))
    assert told["errors"] == [{"field": "SHELF", "message": "This value should not be blank."}]
    assert lists.add_list_member(LIST, subscribed(), skip_merge_validation=True)["id"]


def test_keys(bench: Bench) -> None:
    host = bench.client.lists.api_client.host.removesuffix("/3.0")
    assert refused(client_of(host, "wrong-us6").ping.get)["title"] == "API Key Invalid"
    anybody = Client({"access_token": bench.app.allow(), "server": ""})
    anybody.ping.api_client.host = f"{host}/3.0"
    assert anybody.ping.get()


@pytest.mark.parametrize("kind", sorted({"busy_429", "internal_500", "disabled", "compliance_503", "not_found"}))
def test_troubles(bench: Bench, kind: str) -> None:
    bench.app.fault(kind)
    assert refused(bench.client.ping.get)["title"]
    assert bench.client.ping.get()


def test_a_fault_that_is_none(bench: Bench) -> None:
    with pytest.raises(ValueError, match="kind is one of"):
        Fault("rain")
