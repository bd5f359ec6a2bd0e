"""What can be made to go wrong with the stand-in for Google, its side door, and how it runs as a program of its own."""

import json
import os
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox.google import GoogleApp, Levers, serve
from sandbox.google.answers import EXPIRED_FORMS
from sandbox.google.faults import AFTER, BEFORE, FAULTS, Fault
from tests.sandbox.googling import ANNA, BEN, FakeClock

ROOT = Path(__file__).resolve().parent.parent.parent
LIST = "/v1/people/me/connections?personFields=names,metadata"
CREATE = "/v1/people:createContact?personFields=names,metadata"
ADA: dict[str, Any] = {"names": [{"givenName": "Ada", "familyName": "Lovelace"}]}


@dataclass(frozen=True)
class Got:
    status: int
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.data["error"]


@dataclass
class Caller:
    app: GoogleApp
    clock: FakeClock
    connection: HTTPConnection
    token: str

    def __call__(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Got:
        sent = None if body is None else json.dumps(body)
        self.connection.request(method, path, sent, headers or {"Authorization": f"Bearer {self.token}"})
        reply = self.connection.getresponse()
        return Got(reply.status, reply.read())

    def door(self, method: str, path: str, body: Any = None) -> Any:
        got = self(method, f"/_sandbox/{path}", body, {"Accept": "*/*"})
        return got.data if got.status == 200 else got.status

    def update(self, seen: Any, path: str = "") -> Got:
        body = {"etag": seen["etag"], "metadata": seen["metadata"], "nicknames": [{"value": "x"}]}
        name = path or seen["resourceName"]
        return self("PATCH", f"/v1/{name}:updateContact?updatePersonFields=nicknames&personFields=metadata", body)


@pytest.fixture
def call() -> Iterator[Caller]:
    clock = FakeClock()
    app = GoogleApp(clock, [ANNA, BEN])
    with serve(app) as url:
        connection = HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=5)
        yield Caller(app, clock, connection, app.allow()["access_token"])
        connection.close()


NO_ANSWER = {"drop_before", "drop_after", "silent_before", "silent_after", "reset_after", "cut_body"}
ANYWHERE = sorted(
    FAULTS - {"stale_etag", "malformed_token", "batch_refused"} - {f"expired_{form}" for form in EXPIRED_FORMS}
)


@pytest.mark.parametrize("kind", ANYWHERE)
def test_faults_strike_once_and_do_what_they_say(call: Caller, kind: str) -> None:
    call.app.fault(kind, "POST", ":createContact")
    call("GET", LIST)
    assert call.connection.sock is not None
    call.connection.sock.settimeout(0.3 if kind.startswith("silent") else 5)
    status: int | None = None
    try:
        status = call("POST", CREATE, ADA).status
    except (HTTPException, OSError):
        call.connection.close()
    assert (status is None) is (kind in NO_ANSWER)
    assert len(call.app.account().contacts) == (1 if kind in AFTER else 0)
    assert call("POST", CREATE, ADA).status == 200


@pytest.mark.parametrize(
    ("kind", "status", "start"),
    [
        ("html_502", 502, b"<!DOCTYPE html>"),
        ("internal_500", 500, b'{"error": {"code": 500'),
        ("internal_500_after", 500, b'{"error": {"code": 500'),
        ("unavailable_503", 503, b'{"error": {"code": 503'),
        ("unavailable_503_after", 503, b'{"error": {"code": 503'),
        ("unauthenticated", 401, b'{"error": {"code": 401'),
        ("few_scopes", 403, b'{"error": {"code": 403, "message": "Request had insufficient'),
        ("bare_403", 403, b""),
        ("rate_403", 403, b'{"error": {"code": 403, "message": "User-rate limit'),
        ("quota_429", 429, b'{"error": {"code": 429, "message": "Quota exceeded'),
        ("exhausted_429", 429, b'{"error": {"code": 429, "message": "Resource has been'),
        ("not_found", 404, b'{"error": {"code": 404'),
        ("empty_body", 200, b""),
        ("wrong_type", 200, b'{"resourceName"'),
    ],
)
def test_what_a_fault_looks_like(call: Caller, kind: str, status: int, start: bytes) -> None:
    call.app.fault(kind, "POST")
    got = call("POST", CREATE, ADA)
    assert (got.status, got.body[: len(start)], got.body == b"") == (status, start, start == b"")


def test_a_huge_answer_is_small_on_the_wire(call: Caller) -> None:
    call.app.fault("huge", "GET")
    packed = call("GET", LIST).body
    assert len(packed) < 2**20
    assert zlib.decompressobj(wbits=31).decompress(packed, 2**26 + 1) == b" " * (2**26 + 1)


def test_what_is_ignored_is_answered_and_not_kept(call: Caller) -> None:
    seen = call("POST", CREATE, ADA).data
    call.app.fault("ignored", "PATCH")
    ignored = call.update(seen).data
    assert ignored["etag"] != seen["etag"]
    assert call("GET", f"/v1/{seen['resourceName']}?personFields=nicknames,metadata").data["etag"] == seen["etag"]
    assert call.update(seen).data["etag"] != ignored["etag"]
    call.app.fault("ignored", "POST")
    made = call("POST", CREATE, ADA).data
    assert call("GET", f"/v1/{made['resourceName']}?personFields=names").status == 404


def test_faults_of_tokens_strike_where_a_token_is(call: Caller) -> None:
    token = call("GET", f"{LIST}&requestSyncToken=true").data["nextSyncToken"]
    for kind in ("malformed_token", *(f"expired_{form}" for form in EXPIRED_FORMS)):
        call.app.fault(kind)
        assert call("GET", LIST).status == 200
        got = call("GET", f"{LIST}&requestSyncToken=true&syncToken={token}")
        assert got.status == (410 if kind == "expired_gone" else 400)
        assert ("details" in got.error) is (kind in ("expired_error_info", "expired_invalid_argument"))


def test_a_stale_etag_can_be_had_without_a_change(call: Caller) -> None:
    seen = call("POST", CREATE, ADA).data
    call.app.fault("stale_etag")
    assert call.update(seen).error["status"] == "FAILED_PRECONDITION"
    assert call.update(seen).status == 200


def test_half_of_a_batch_refused_is_a_batch_refused(call: Caller) -> None:
    call.app.fault("batch_refused")
    body = {"contacts": [{"contactPerson": ADA}] * 3, "readMask": "names"}
    assert call("POST", "/v1/people:batchCreateContacts", body).error["details"][0]["contactErrors"].keys() == {"1"}
    assert call.app.account().contacts == {}
    assert len(call("POST", "/v1/people:batchCreateContacts", body).data["createdPeople"]) == 3


def test_the_etag_of_a_list_may_be_refused(call: Caller) -> None:
    seen = call("POST", CREATE, ADA).data
    call.app.levers.list_etags_refused = True
    listed = call("GET", LIST).data["connections"][0]
    assert call.update(listed).error["status"] == "FAILED_PRECONDITION"
    assert call.update(call("GET", f"/v1/{seen['resourceName']}?personFields=metadata").data).status == 200


def test_an_etag_may_take_a_while_to_settle(call: Caller) -> None:
    call.app.levers.etag_settles = 5
    seen = call("POST", CREATE, ADA).data
    assert call.update(seen).error["status"] == "FAILED_PRECONDITION"
    call.clock.advance(5)
    assert call.update(seen).status == 200


def test_items_may_come_in_another_order_each_time(call: Caller) -> None:
    values = [{"value": str(number)} for number in range(30)]
    name = call.app.account().person_create(urls=values)
    call.app.levers.shuffled = True

    def order() -> list[str]:
        return [each["value"] for each in call("GET", f"/v1/{name}?personFields=urls").data["urls"]]

    first, second = order(), order()
    assert first != second
    assert sorted(first) == sorted(second) == sorted(each["value"] for each in values)


def test_a_minute_has_so_many_reads_and_writes_of_each_user(call: Caller) -> None:
    call.app.levers.reads = 3
    call.app.levers.writes = 2
    statuses = [call("POST", CREATE, ADA).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    error = call("POST", CREATE, ADA).error
    assert error["details"][0]["metadata"]["quota_limit"] == "CriticalWritesPerMinutePerProjectPerUser"
    assert [call("GET", LIST).status for _ in range(2)] == [200, 429]  # two of three reads went to the writes
    anna, call.token = call.token, call.app.allow(BEN)["access_token"]
    assert call("GET", LIST).status == 200
    call.token = anna
    call.clock.advance(60)
    assert call("GET", LIST).status == 200


def test_a_write_that_answers_with_nothing_costs_no_read(call: Caller) -> None:
    call.app.levers.reads = 0
    body = {"contacts": [{"contactPerson": ADA}], "readMask": ""}
    assert call("POST", "/v1/people:batchCreateContacts", body).status == 200
    got = call("POST", "/v1/people:batchCreateContacts", {**body, "readMask": "names"})
    assert got.error["details"][0]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert len(call.app.account().contacts) == 1


@pytest.mark.parametrize(("form", "status"), [("quota", 429), ("exhausted", 429), ("forbidden", 403)])
def test_the_first_pages_of_full_syncs_have_a_limit_of_their_own(call: Caller, form: str, status: int) -> None:
    call.app.levers.full_syncs = 1
    call.app.levers.limit_form = form
    token = call("GET", f"{LIST}&requestSyncToken=true").data["nextSyncToken"]
    assert call("GET", f"{LIST}&requestSyncToken=true&syncToken={token}").status == 200
    got = call("GET", f"{LIST}&requestSyncToken=true")
    assert (got.status, got.error["code"]) == (status, status)


def test_bodies_that_are_no_json_and_paths_that_are_nowhere(call: Caller) -> None:
    assert call("POST", CREATE, [ADA]).error["status"] == "INVALID_ARGUMENT"
    call.connection.request("POST", CREATE, "{", {"Authorization": f"Bearer {call.token}"})
    reply = call.connection.getresponse()
    assert (reply.status, b"BadRequest" in reply.read()) == (400, True)
    for method, path in (("GET", "/v1/people"), ("PUT", "/v1/people/c1"), ("GET", "/v1/"), ("GET", "/v2/people/me")):
        assert call(method, path).status == 404


def test_kinds_and_choices_are_checked() -> None:
    with pytest.raises(ValueError, match="kind is one of"):
        Fault("earthquake")
    with pytest.raises(ValueError, match="expired_form is one of error_info"):
        Levers(expired_form="politely")
    assert not BEFORE.keys() & AFTER.keys()


def test_the_side_door(call: Caller) -> None:
    door = call.door
    assert door("GET", "users") == [ANNA, BEN]
    here = f"users/{ANNA}/contacts"
    one, two = door("POST", here, [ADA, {"names": [{"givenName": "Ben"}]}])["resourceNames"]
    at = here + one.removeprefix("people")
    door("PATCH", at, {"names": [{"givenName": "Augusta"}]})
    door("POST", f"{at}/link", {"urls": [{"value": "u"}]})
    group = door("POST", f"users/{ANNA}/groups", {"name": "VIP"})["resourceName"]
    door("POST", f"{at}/labels", {"add": [group], "remove": ["contactGroups/myContacts"]})
    shown = door("GET", at)
    assert (shown["names"][0]["displayName"], shown["urls"][0]["value"]) == ("Augusta", "u")
    assert [each["contactGroupMembership"]["contactGroupResourceName"] for each in shown["memberships"]] == [group]
    new = door("POST", f"{at}/rename")["resourceName"]
    assert [each["resourceName"] for each in door("GET", here)] == [new, two]
    assert door("GET", f"users/{ANNA}/groups") == [{"resourceName": group, "name": "VIP"}]
    door("DELETE", here + two.removeprefix("people"))
    assert len(door("GET", here)) == 1
    assert door("GET", f"users/{BEN}/contacts") == []
    assert call("GET", f"{LIST}&requestSyncToken=true").data.get("connections") is None
    door("POST", "catch-up")
    assert len(call("GET", f"{LIST}&requestSyncToken=true").data["connections"]) == 1


def test_what_the_side_door_refuses(call: Caller) -> None:
    door, here = call.door, f"users/{ANNA}/contacts"
    one = door("POST", here, ADA)["resourceNames"][0].removeprefix("people")
    assert door("POST", here, [ADA, {"nonsense": 1}]) == 400
    assert len(door("GET", here)) == 1
    assert door("PATCH", here + one, {"photos": []}) == 400
    assert door("POST", f"{here}{one}/labels", {"add": ["contactGroups/nowhere"]}) == 404
    assert door("POST", f"{here}{one}/labels", {"remove": ["contactGroups/myContacts"]}) == 400
    for path in (f"{here}/c1", f"{here}{one}/dance", "users/nobody@example.com/contacts", "nonsense"):
        assert door("POST", path, {}) == 404
    assert door("POST", "faults", {"kind": "earthquake"}) == 400
    assert door("POST", "levers", {"nonsense": 1}) == 400
    assert door("POST", "levers", {"limit_form": "song"}) == 400


def test_levers_access_log_and_reset_at_the_side_door(call: Caller) -> None:
    door = call.door
    assert door("POST", "levers", {"shuffled": True, "reads": 9})["shuffled"] is True
    assert door("GET", "levers")["reads"] == 9
    assert door("POST", "faults", {"kind": "not_found"}) == {}
    call("GET", LIST)
    assert door("GET", "log") == [{"method": "GET", "path": "/v1/people/me/connections", "status": 404}]
    door("POST", "reset")
    assert (call.app.faults, call.app.log, call.app.levers) == ([], [], Levers())
    assert call("GET", LIST).status == 200
    door("POST", "end-access")
    assert call("GET", LIST).status == 401
    call.token = call.app.allow()["access_token"]
    assert call("GET", LIST).status == 200
    door("POST", f"users/{ANNA}/withdraw")
    assert call("GET", LIST).status == 401


def test_the_log_keeps_no_secret_in_sight(call: Caller) -> None:
    call("POST", CREATE, ADA)
    seen = call.app.log[0]
    assert (seen.method, seen.path, seen.status, seen.json()) == ("POST", "/v1/people:createContact", 200, ADA)
    assert call.token in seen.headers["authorization"]
    assert call.token not in repr(seen)


def test_contacts_and_access_survive_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "google.json"
    first = GoogleApp(FakeClock(), [ANNA], state_file=state)
    refresh = first.allow()["refresh_token"]
    with serve(first) as url:
        door = HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=5)
        for person in (ADA, ADA):
            door.request("POST", f"/_sandbox/users/{ANNA}/contacts", json.dumps(person))
            door.getresponse().read()
        first.account().person_delete(next(iter(first.account().contacts.values())).resource)
        first.account().feed.catch_up(first.clock.now())
        door.request("POST", f"/_sandbox/users/{ANNA}/groups", json.dumps({"name": "VIP"}))
        door.getresponse().read()
        door.close()
    second = GoogleApp(FakeClock(), [ANNA, BEN], state_file=state)
    for part in ("contacts", "groups", "feed", "born", "version"):
        assert getattr(second.account(), part) == getattr(first.account(), part), part
    assert [grant.refresh_token for grant in second.oauth.grants] == [refresh]
    assert state.stat().st_mode & 0o077 == 0
    assert GoogleApp(FakeClock(), [BEN], state_file=state).account(BEN).contacts == {}


def test_it_runs_on_its_own(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    options = ["--port", str(port), "--user", ANNA, "--user", BEN, "--state", str(tmp_path / "s"), "--log", str(log)]
    command = [sys.executable, "-m", "sandbox.google", *options, "--redirect-uri", "http://127.0.0.1/back"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ})
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Google stand-in for {ANNA}, {BEN}: http://127.0.0.1:{port}\n"
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        asked = "client_id=sandbox-client&redirect_uri=http://127.0.0.1/back&response_type=code"
        scope = "https://www.googleapis.com/auth/contacts"
        connection.request("GET", f"/o/oauth2/v2/auth?{asked}&scope={scope}")
        reply = connection.getresponse()
        assert (reply.status, BEN.encode() in reply.read()) == (200, True)
        connection.close()
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert log.read_text() == '{"method": "GET", "path": "/o/oauth2/v2/auth", "status": 200}\n'
