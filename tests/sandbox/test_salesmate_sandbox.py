"""The stand-in for Salesmate behaves as the real one is said to: asked over plain HTTP, without our connector."""

import json
import os
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox.salesmate import Fault, SalesmateApp, search, serve
from sandbox.salesmate.faults import FAULTS

GOOD = {"accessToken": "session", "x-linkname": "acme.salesmate.io", "Content-Type": "application/json"}
ADA = {"firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.com", "owner": 1, "tags": "VIP,Bags"}
ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class FakeClock:
    at: datetime = field(default_factory=lambda: datetime(2026, 11, 24, 12, 0, tzinfo=UTC))

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@dataclass(frozen=True)
class Got:
    status: int
    body: bytes
    date: str

    @property
    def data(self) -> Any:
        return json.loads(self.body)["Data"]

    @property
    def error(self) -> Any:
        return json.loads(self.body)["Error"]


@dataclass
class Caller:
    app: SalesmateApp
    clock: FakeClock
    connection: HTTPConnection

    def __call__(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = GOOD) -> Got:
        sent = None if body is None else json.dumps(body)
        self.connection.request(method, path, sent, dict(headers))
        reply = self.connection.getresponse()
        return Got(reply.status, reply.read(), reply.headers["Date"])

    def search(self, rows: int = 250, start: int = 0, **parts: Any) -> Any:
        body = {
            "displayingFields": ["contact.id"],
            "filterQuery": {"group": {"operator": "AND", "rules": parts.pop("rules", [])}},
            "sort": {"fieldName": "contact.id", "order": "asc"},
            **parts,
        }
        return self("POST", f"/apis/contact/v4/search?rows={rows}&from={start}", body)

    def found(self, **parts: Any) -> list[int]:
        return [row["id"] for row in self.search(**parts).data["data"]]


@pytest.fixture
def call() -> Iterator[Caller]:
    clock = FakeClock()
    app = SalesmateApp("acme", "session", clock)
    with serve(app) as url:
        connection = HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=5)
        yield Caller(app, clock, connection)
        connection.close()


def rule(name: str, condition: str, data: Any = "") -> dict[str, Any]:
    return {"condition": condition, "moduleName": "Contact", "field": {"fieldName": f"contact.{name}"}, "data": data}


@pytest.mark.parametrize("key", ["", "access", "secret"])
def test_a_wrong_key_is_403_in_lower_case(call: Caller, key: str) -> None:
    got = call("GET", "/apis/core/v4/users", headers={**GOOD, "accessToken": key})
    assert (got.status, got.error) == (403, {"message": "", "name": "AuthorizationFailed"})


def test_a_wrong_link_is_404(call: Caller) -> None:
    got = call("GET", "/apis/core/v4/users", headers={**GOOD, "x-linkname": "acme"})
    assert (got.status, got.error["name"]) == (404, "NoSuchLinkExist")


def test_header_names_are_known_in_any_case(call: Caller) -> None:
    assert call("GET", "/apis/core/v4/users", headers={name.upper(): text for name, text in GOOD.items()}).status == 200


def test_failures_may_come_with_200(call: Caller) -> None:
    call.app.levers.failures_with_200 = True
    got = call("GET", "/apis/contact/v4/7")
    assert (got.status, got.error["Code"], got.error["Name"]) == (200, "4005", "ObjectNotFound")


@pytest.mark.parametrize(
    ("path", "status"), [("/apis/contact/v4/x", 404), ("/apis/contact/v9", 404), ("/apis/v1/contacts", 404)]
)
def test_wrong_paths_are_not_found(call: Caller, path: str, status: int) -> None:
    assert call("GET", path).error["Name"] == "ObjectNotFound"
    assert call("GET", path).status == status


def test_outside_the_api_is_the_app_itself(call: Caller) -> None:
    assert call("GET", "/contacts").body.startswith(b"<!DOCTYPE html>")


def test_a_create_answers_with_the_id_alone_and_get_shows_all(call: Caller) -> None:
    created = call("POST", "/apis/contact/v4", {**ADA, "company": 38})
    assert created.data == {"id": 1}
    data = call("GET", "/apis/contact/v4/1").data
    assert (data["name"], data["tags"], data["mobile"]) == ("Ada Lovelace", "VIP,Bags", "")
    assert data["owner"]["email"] == "sara@agency.example"
    assert data["company"] == {"id": 38, "name": "Analytical Engines"}
    assert data["currency"]["code"] == "USD"
    assert (data["isDeleted"], data["createdAt"]) == (False, 1795521600)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lastName": ""}, "Last Name is required"),
        ({"owner": None}, "Owner is required"),
        ({"email": "nonsense"}, "Email should be valid"),
        ({"currency": "XXX"}, "No such currency exists"),
        ({"owner": 3}, "No such user exists"),
        ({"owner": "1"}, "No such user exists"),
        ({"company": 7}, "No such company exists"),
        ({"billingZipCode": "x" * 21}, "Billing Zip Code can have a maximum of 20 characters"),
        ({"emailOptOut": "yes"}, "Email Opt Out should be valid"),
        ({"intCustomField1": 2**31}, "Seats should be valid"),
        ({"decimalCustomField1": "x"}, "Discount should be valid"),
        ({"tags": "x" * 101}, "Invalid Tags"),
        ({"id": 9}, "Invalid field"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_values_are_checked(call: Caller, values: dict[str, Any], message: str, method: str) -> None:
    one = call.app.person_create(**ADA)
    path = "/apis/contact/v4" if method == "POST" else f"/apis/contact/v4/{one}"
    got = call(method, path, {**ADA, **values})
    assert (got.status, got.error["Code"], got.error["Message"]) == (400, "4001", message)
    assert list(call.app.account.contacts) == [one]


def test_a_put_merges_and_replaces_tags_whole(call: Caller) -> None:
    one = call.app.person_create(**ADA, designation="Analyst")
    call.clock.at += timedelta(seconds=7)
    assert call("PUT", f"/apis/contact/v4/{one}", {"lastName": "King", "owner": 2, "tags": "New, new"}).data == {
        "id": one
    }
    data = call("GET", f"/apis/contact/v4/{one}").data
    assert (data["lastName"], data["owner"]["id"], data["tags"]) == ("King", 2, "New")
    assert (data["designation"], data["firstName"]) == ("Analyst", "Ada")
    assert data["lastModifiedAt"] - data["createdAt"] == 7


@pytest.mark.parametrize("body", [[], "x", None])
def test_a_body_that_is_no_object_is_refused(call: Caller, body: Any) -> None:
    call.connection.request("POST", "/apis/contact/v4", json.dumps(body), GOOD)
    assert json.loads(call.connection.getresponse().read())["Error"]["Code"] == "4001"


def test_deleting_is_soft(call: Caller) -> None:
    one = call.app.person_create(**ADA)
    assert call("DELETE", f"/apis/contact/v4/{one}").status == 200
    data = call("GET", f"/apis/contact/v4/{one}").data
    assert data["isDeleted"] is True
    assert data["deletedAt"]
    assert call.found() == [one]
    assert call("PUT", f"/apis/contact/v4/{one}", ADA).error["Name"] == "ObjectNotFound"
    assert call("DELETE", f"/apis/contact/v4/{one}").error["Name"] == "ObjectNotFound"
    call.app.person_restore(one)
    assert call("GET", f"/apis/contact/v4/{one}").data["isDeleted"] is False
    call.app.person_purge(one)
    assert call("GET", f"/apis/contact/v4/{one}").error["Name"] == "ObjectNotFound"


def test_rows_are_capped_without_a_word(call: Caller) -> None:
    for number in range(260):
        call.app.person_create(**{**ADA, "email": f"{number}@x.example"})
    data = call.search(rows=1000).data
    assert (len(data["data"]), data["totalRows"], data["totalPages"]) == (250, 260, 2)
    assert call.found(start=250) == list(range(251, 261))
    assert len(call("POST", "/apis/contact/v4/search", {}).data["data"]) == 25


def test_objects_come_back_only_in_named_parts(call: Caller) -> None:
    call.app.person_create(**ADA, company=38)
    shown = ["contact.owner", "contact.company.name", "contact.owner.id", "contact.firstName"]
    (row,) = call.search(displayingFields=shown).data["data"]
    assert row == {"owner": {"id": 1}, "company": {"name": "Analytical Engines"}, "firstName": "Ada"}
    (row,) = call.search(displayingFields=["contact.owner"]).data["data"]
    assert row == {}


def test_owner_may_be_spelled_large(call: Caller) -> None:
    call.app.levers.capital_objects = True
    call.app.person_create(**ADA)
    (row,) = call.search(displayingFields=["contact.owner.id", "contact.company.id"]).data["data"]
    assert row == {"Owner": {"id": 1}, "Company": {}}


@pytest.mark.parametrize(
    ("condition", "name", "data", "expected"),
    [
        ("EQUALS", "email", "ADA@example.com", [1]),
        ("NOT_EQUALS", "email", "ada@example.com", [2]),
        ("CONTAINS", "tags", "vi", [1]),
        ("EMPTY", "tags", "", [2]),
        ("NOT_EMPTY", "tags", "", [1]),
        ("EQUALS", "isDeleted", "1", [2]),
        ("EQUALS", "isDeleted", 0, [1]),
        ("EQUALS", "owner", 2, [2]),
        ("EQUALS", "owner.id", "1", [1]),
        ("EQUALS", "id", 2, [2]),
        ("IS_AFTER", "createdAt", "Nov 24, 2026 05:29 PM", [1, 2]),
        ("IS_AFTER", "createdAt", "Nov 24, 2026 05:30 PM", []),
    ],
)
def test_conditions(call: Caller, condition: str, name: str, data: Any, expected: list[int]) -> None:
    """Noon in UTC is half past five in the afternoon where the owner of the key lives."""
    call.app.person_create(**ADA)
    call.app.person_create(**{**ADA, "email": "ben@example.com", "tags": "", "owner": 2})
    call.app.person_delete(2)
    assert call.found(rules=[rule(name, condition, data)]) == expected


def test_groups_in_groups(call: Caller) -> None:
    for name in ("a", "b", "c"):
        call.app.person_create(**{**ADA, "firstName": name})
    either = {"group": {"operator": "OR", "rules": [rule("firstName", "EQUALS", name) for name in ("a", "b")]}}
    assert call.found(rules=[either]) == [1, 2]
    assert call.found(rules=[either, rule("firstName", "NOT_EQUALS", "a")]) == [2]


@pytest.mark.parametrize(
    "parts",
    [
        {"sort": {"fieldName": "contact.email", "order": "asc"}},
        {"sort": {"fieldName": "contact.id", "order": "up"}},
        {"displayingFields": ["firstName"]},
        {"displayingFields": ["contact.nonsense"]},
        {"rules": [rule("firstName", "IS_LIKE", "a")]},
        {"rules": [rule("nonsense", "EQUALS", "a")]},
        {"rules": [{**rule("firstName", "EQUALS", "a"), "moduleName": "contact"}]},
        {"rules": [rule("createdAt", "IS_AFTER", "2026-11-24")]},
        {"rules": ["x"]},
    ],
)
def test_a_search_that_salesmate_does_not_know(call: Caller, parts: dict[str, Any]) -> None:
    call.app.person_create(**ADA)
    assert call.search(**parts).error["Name"] == "ValidationError"


@pytest.mark.parametrize("name", search.SORTABLE)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_what_can_be_sorted_by(call: Caller, name: str, order: str) -> None:
    for letter in "abc":
        call.app.person_create(**{**ADA, "firstName": letter, "lastName": letter})
        call.clock.at += timedelta(seconds=1)
    expected = [1, 2, 3] if order == "asc" else [3, 2, 1]
    assert call.found(sort={"fieldName": f"contact.{name}", "order": order}) == expected


@pytest.mark.parametrize(
    ("stamps", "shown"),
    [
        ("seconds", 1795521600),
        ("milliseconds", 1795521600000),
        ("iso", "2026-11-24T12:00:00Z"),
        ("text", "Nov 24, 2026 12:00 PM"),
    ],
)
def test_times_in_every_form(call: Caller, stamps: str, shown: Any) -> None:
    call.app.levers.stamps = stamps
    call.app.person_create(**ADA)
    assert call.search(displayingFields=["contact.createdAt"]).data["data"] == [{"createdAt": shown}]
    assert call("GET", "/apis/contact/v4/1").date == "Tue, 24 Nov 2026 12:00:00 GMT"


def test_unstable_paging_repeats_and_misses(call: Caller) -> None:
    for number in range(300):
        call.app.person_create(**{**ADA, "email": f"{number}@x.example"})
    call.app.levers.unstable_paging = True
    listings = [
        [number for start in range(0, 300, 50) for number in call.found(rows=50, start=start)] for _ in range(2)
    ]
    for listed in listings:
        assert len(listed) == 300
        assert len(set(listed)) < 300
    assert set(listings[0]) | set(listings[1]) == set(range(1, 301))


def test_a_listing_can_be_cut_or_empty(call: Caller) -> None:
    for _ in range(3):
        call.app.person_create(**ADA)
    call.app.levers.cut_listing_at = 2
    assert call.found() == [1, 2]
    assert call.search().data["totalRows"] == 3
    call.app.levers.empty_listing = True
    assert call.search().data["totalRows"] == 0


def test_a_search_can_lag_behind(call: Caller) -> None:
    call.app.person_create(**ADA)
    call.app.freeze_search()
    call.app.person_create(**ADA)
    assert call.found() == [1]
    call.app.thaw_search()
    assert call.found() == [1, 2]


def test_an_hour_has_so_many_calls(call: Caller) -> None:
    call.app.levers.calls_per_hour = 2
    assert [call("GET", "/apis/core/v4/users").status for _ in range(3)] == [200, 200, 429]
    call.clock.at += timedelta(hours=1)
    assert call("GET", "/apis/core/v4/users").status == 200


def test_users_with_and_without_those_who_left(call: Caller) -> None:
    assert [user["id"] for user in call("GET", "/apis/core/v4/users?status=active").data] == [1, 2]
    call.app.levers.active_as_number = True
    assert [user["isActive"] for user in call("GET", "/apis/core/v4/users").data] == [1, 1, 0]


def test_the_metadata_has_every_kind_of_custom_field(call: Caller) -> None:
    items = {item["fieldName"]: item for item in call("GET", "/apis/module/v4/1/fields").data}
    assert json.loads(items["textCustomField5"]["fieldOptions"]) == {"values": ["Gold", "Silver", "Bronze"]}
    prefixes = {name.split("CustomField")[0] for name in items if "CustomField" in name}
    assert prefixes == {
        "text", "textArea", "int", "bigInt", "decimal", "checkbox", "date", "dateTime", "multiSelect",
        "companySingleLookup",
    }  # fmt: skip


def test_the_old_list_of_tags(call: Caller) -> None:
    call.app.person_create(**ADA)
    assert call("GET", "/apis/v1/tags").data == [{"tag": "VIP"}, {"tag": "Bags"}]
    call.app.levers.tags_listed = False
    assert call("GET", "/apis/v1/tags").status == 404


NO_ANSWER = {"drop_before", "drop_after", "silent_before", "silent_after", "reset_after", "cut_body"}
APPLIED = {"drop_after", "silent_after", "reset_after", "html_500_after", "error_200_after", "cut_body", "cut_json"}
APPLIED |= {"empty_body", "huge", "wrong_type"}


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_faults_strike_once_and_do_what_they_say(call: Caller, kind: str) -> None:
    call.app.fault(kind, "POST", "/contact/v4")
    call("GET", "/apis/core/v4/users")
    assert call.connection.sock is not None
    call.connection.sock.settimeout(0.3 if kind.startswith("silent") else 5)
    status: int | None = None
    try:
        status = call("POST", "/apis/contact/v4", ADA).status
    except (HTTPException, OSError):
        call.connection.close()
    assert (status is None) is (kind in NO_ANSWER)
    assert len(call.app.account.contacts) == (1 if kind in APPLIED else 0)
    assert call("POST", "/apis/contact/v4", ADA).status == 200


@pytest.mark.parametrize(
    ("kind", "status", "start"),
    [
        ("html_200", 200, b"<!DOCTYPE html>"),
        ("html_403", 403, b"<!DOCTYPE html>"),
        ("html_404", 404, b"<!DOCTYPE html>"),
        ("html_500_before", 500, b"<!DOCTYPE html>"),
        ("html_502", 502, b"<!DOCTYPE html>"),
        ("error_200", 200, b'{"Status": "failure", "Error": {"Name": "UnknownError"'),
        ("error_200_after", 200, b'{"Status": "failure", "Error": {"Name": "UnknownError"'),
        ("auth", 403, b'{"Status": "failure", "Error": {"message": "", "name": "AuthorizationFailed"'),
        ("auth_401", 401, b'{"Status": "failure", "Error": {"Code": "4002"'),
        ("forbidden", 403, b'{"Status": "failure", "Error": {"Name": "ForbiddenError"'),
        ("cut_json", 200, b'{"Status": "success"'),
        ("empty_body", 200, b""),
        ("wrong_type", 200, b'{"Status": "success", "Data": {"id": 1}}'),
    ],
)
def test_what_a_fault_looks_like(call: Caller, kind: str, status: int, start: bytes) -> None:
    call.app.fault(kind, "POST")
    got = call("POST", "/apis/contact/v4", ADA)
    assert got.status == status
    assert got.body.startswith(start)
    assert (got.body == b"") is (start == b"")
    if kind == "cut_json":
        with pytest.raises(json.JSONDecodeError):
            json.loads(got.body)


def test_a_huge_answer_is_small_on_the_wire(call: Caller) -> None:
    call.app.fault("huge", "GET")
    packed = call("GET", "/apis/core/v4/users").body
    assert len(packed) < 2**20
    assert zlib.decompressobj(wbits=31).decompress(packed, 2**26 + 1) == b" " * (2**26 + 1)


def test_a_connection_reset_breaks_off_in_the_middle(call: Caller) -> None:
    call.app.fault("reset_after", "GET")
    with pytest.raises((HTTPException, ConnectionResetError)):
        call("GET", "/apis/core/v4/users")


def test_a_write_may_be_accepted_and_ignored(call: Caller) -> None:
    one = call.app.person_create(**ADA)
    call.app.fault("ignored", "PUT")
    call.app.fault("ignored", "POST")
    assert call("PUT", f"/apis/contact/v4/{one}", {**ADA, "firstName": "Augusta"}).data == {"id": one}
    assert call("POST", "/apis/contact/v4", ADA).data == {"id": 2}
    assert [contact["firstName"] for contact in call.app.account.contacts.values()] == ["Ada"]
    assert call("GET", "/apis/contact/v4/2").status == 404


@pytest.mark.parametrize(
    ("form", "status", "body"),
    [
        ("json", 429, b"TooManyRequests"),
        ("html", 429, b"<!DOCTYPE html>"),
        ("words", 403, b"calls per hour"),
        ("later", 429, b""),
    ],
)
def test_the_answer_over_the_limit_in_every_form(call: Caller, form: str, status: int, body: bytes) -> None:
    call.app.levers.over_limit = form
    call.app.levers.calls_per_hour = 0
    got = call("GET", "/apis/core/v4/users")
    assert got.status == status
    assert body in got.body
    call.app.levers.calls_per_hour = 99
    call.app.fault("limit")
    assert call("GET", "/apis/core/v4/users").body == got.body


def test_a_get_of_a_deleted_contact_may_find_nothing(call: Caller) -> None:
    one = call.app.person_create(**ADA)
    call.app.person_delete(one)
    call.app.levers.deleted_shown = False
    got = call("GET", f"/apis/contact/v4/{one}")
    assert (got.status, got.error["Name"]) == (404, "ObjectNotFound")


def test_equal_stamps_may_come_in_another_order_each_time(call: Caller) -> None:
    for number in range(30):
        call.app.person_create(**{**ADA, "email": f"{number}@x.example"})
    by_stamp = {"sort": {"fieldName": "contact.lastModifiedAt", "order": "desc"}}
    assert call.found(**by_stamp) == call.found(**by_stamp)
    call.app.levers.shuffle_ties = True
    first, second = call.found(**by_stamp), call.found(**by_stamp)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(1, 31))
    assert call.found() == list(range(1, 31))  # by id there are no ties


def test_the_date_header_may_be_ahead_of_the_stamps(call: Caller) -> None:
    call.app.levers.date_ahead = 86_400
    one = call.app.person_create(**ADA)
    got = call("GET", f"/apis/contact/v4/{one}")
    assert (got.date, got.data["createdAt"]) == ("Wed, 25 Nov 2026 12:00:00 GMT", 1795521600)


def test_a_fault_can_wait_its_turn() -> None:
    fault = Fault("limit", skip=1, times=2)
    assert [fault.strikes("GET", "/") for _ in range(4)] == [False, True, True, False]
    with pytest.raises(ValueError, match="kind"):
        Fault("earthquake")


def test_one_connection_serves_many_requests(call: Caller) -> None:
    call("GET", "/apis/core/v4/users")
    kept = call.connection.sock
    call("GET", "/apis/core/v4/users")
    assert kept is not None
    assert call.connection.sock is kept


def test_the_log_has_every_request(call: Caller, tmp_path: Path) -> None:
    call("POST", "/apis/contact/v4", ADA)
    call("GET", "/apis/contact/v4/9?x=1")
    first, second = call.app.log
    assert (first.method, first.status, first.json()["email"]) == ("POST", 200, "ada@example.com")
    assert (second.path, second.query, second.status) == ("/apis/contact/v4/9", "x=1", 404)
    assert first.headers["accesstoken"] == "session"
    assert "session" not in repr(first)


def test_the_side_door(call: Caller) -> None:
    def door(method: str, path: str, body: Any = None) -> Any:
        got = call(method, f"/_sandbox/{path}", body, {})
        return json.loads(got.body) if got.status == 200 else got.status

    assert door("POST", "contacts", ADA) == {"id": 1}
    door("PATCH", "contacts/1", {"firstName": "Augusta"})
    assert [contact["firstName"] for contact in door("GET", "contacts")] == ["Augusta"]
    door("DELETE", "contacts/1")
    assert door("PATCH", "contacts/1", {"firstName": "x"}) == 404
    door("POST", "contacts/1/restore")
    assert call.app.account.contacts[1]["isDeleted"] is False
    door("POST", "contacts/1/purge")
    assert door("GET", "contacts") == []
    assert door("POST", "levers", {"capital_objects": True, "calls_per_hour": 9})["capital_objects"] is True
    assert door("GET", "levers")["calls_per_hour"] == 9
    assert door("POST", "levers", {"nonsense": 1}) == 400
    assert door("POST", "levers", {"stamps": "moon"}) == 400
    assert door("POST", "levers", {"over_limit": "song"}) == 400
    assert door("POST", "faults", {"kind": "limit"}) == {}
    assert door("POST", "faults", {"kind": "earthquake"}) == 400
    assert door("POST", "contacts", {"nonsense": 1}) == 400
    assert door("GET", "nonsense") == 404
    assert call("GET", "/apis/core/v4/users").status == 429
    assert door("GET", "log") == [{"method": "GET", "path": "/apis/core/v4/users", "status": 429}]
    door("POST", "reset")
    assert (call.app.faults, call.app.log, call.app.levers.capital_objects) == ([], [], False)


def test_contacts_survive_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "salesmate.json"
    first = SalesmateApp("acme", "session", FakeClock(), state_file=state)
    one, two = first.person_create(**ADA), first.person_create(**ADA)
    first.person_edit(one, firstName="Augusta")
    first.person_delete(two)
    second = SalesmateApp("acme", "session", FakeClock(), state_file=state)
    assert second.account.contacts == first.account.contacts
    assert second.person_create(**ADA) == 3


def test_it_runs_on_its_own(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    options = ["--port", str(port), "--session-key", "session", "--state", str(tmp_path / "s"), "--log", str(log)]
    command = [sys.executable, "-m", "sandbox.salesmate", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ})
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Salesmate stand-in for acme.salesmate.io: http://127.0.0.1:{port}\n"
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/apis/contact/v4?x=secret", json.dumps(ADA), GOOD)
        assert json.loads(connection.getresponse().read())["Data"] == {"id": 1}
        connection.close()
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert log.read_text() == '{"method": "POST", "path": "/apis/contact/v4", "status": 200}\n'
    assert json.loads((tmp_path / "s").read_text())["next_id"] == 2
