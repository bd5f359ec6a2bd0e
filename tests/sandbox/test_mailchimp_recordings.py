"""Real exchanges with Mailchimp, replayed against the stand-in: the same requests, the same outcomes."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from sandbox.mailchimp import KEY, MailchimpApp, id_of
from sandbox.mailchimp.audience import Audience, Member
from tests.contract.mailchimp_spec import exchanges, judged
from tests.contract.salesmate import FakeClock
from tests.needs import needs

pytestmark = needs("specs")
LIST = "a36b032126"
ONE = re.compile(r"/3\.0/lists/a36b032126/members/([0-9a-f]{32})")


def by_file() -> list[tuple[str, list[dict[str, Any]]]]:
    return [(name, list(group)) for name, group in groupby(exchanges(), key=lambda one: one["file"])]


def prepared(recorded: Sequence[Mapping[str, Any]]) -> tuple[MailchimpApp, FakeClock]:
    """The stand-in as Mailchimp was when these began, as far as they show it: audiences, merge fields, those who are
    listed, and those who answer before anybody made them."""
    lists = [each for one in recorded if one["path"] == "/3.0/lists" for each in one["body"]["lists"]]
    clock = FakeClock()
    app = MailchimpApp(clock, {one["id"]: one["name"] for one in lists} or {LIST: "Demo"})
    audience = app.audiences[LIST]
    fields = [one["body"] for one in (*recorded, *exchanges()) if one["path"].endswith("/merge-fields")]
    audience.fields = {one["tag"]: {**one} for one in fields[0]["merge_fields"]}
    made: set[str] = set()
    for one in recorded:
        members = one["body"].get("members", []) if isinstance(one["body"], dict) else []
        for member in members:
            seat(audience, member)
        match = ONE.match(one["path"])
        key = match[1] if match is not None else ""
        if one["method"] in ("POST", "PUT") and "email_address" in one["reqBody"] and one["status"] == 200:
            made.add(id_of(one["reqBody"]["email_address"]))
        if key and key not in audience.members and key not in made and one["status"] not in (400, 404):
            shown_so = [o["body"] for o in recorded if isinstance(o["body"], dict) and o["body"].get("id") == key]
            for body in shown_so[:1]:  # nobody has this hash: the PUT makes another one
                seat(audience, body)
    return app, clock


def seat(audience: Audience, body: Mapping[str, Any]) -> None:
    """A member as one recorded answer shows it."""
    if body["id"] not in audience.members:
        merge = {tag: value for tag, value in body["merge_fields"].items() if value != ""}
        member = Member(body["email_address"], body["status"], body["contact_id"], body["web_id"], merge)
        member.changed, member.opted, member.source = body["last_changed"], body["timestamp_opt"], body["source"]
        audience.members[member.id] = member
        for tag in body["tags"]:
            audience.tag(member, tag["name"], True)


def ask(app: Any, one: Mapping[str, Any], token: str = "") -> tuple[int, Any]:
    body = json.dumps(one["reqBody"]).encode() if one.get("reqBody") else b""
    # The recordings hold percent signs that were not decoded on their way.
    query = urlencode({name: str(text).replace("%3A", ":") for name, text in one.get("query", {}).items()}, safe=":")
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": one["method"],
        "PATH_INFO": one["path"],
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        "HTTP_AUTHORIZATION": f"OAuth {token}"
        if token
        else f"Basic {base64.b64encode(f'any:{KEY}'.encode()).decode()}",
    }
    answer = b"".join(app(environ, lambda status, headers: statuses.append(status)))
    return int(statuses[0][:3]), json.loads(answer) if answer else ""


def gist(body: Any) -> Any:
    """What of an answer is the same whenever the same is asked."""
    if not isinstance(body, dict):
        return body
    if "title" in body:
        return {name: body.get(name) for name in ("title", "status", "detail", "errors")}
    if "members" in body:
        return [gist(one) for one in body["members"]], body["total_items"]
    if "email_address" in body:
        tags = sorted(one["name"] for one in body["tags"])
        same = ("id", "email_address", "full_name", "status", "tags_count", "list_id", "vip", "email_type")
        return {name: body[name] for name in same} | {"tags": tags, "merge": merged(body["merge_fields"])}
    if "merge_fields" in body:
        fields = [{name: one[name] for name in ("tag", "name", "type", "options")} for one in body["merge_fields"]]
        return fields, body["total_items"]
    if "dc" in body:
        return {name: type(body[name]) for name in ("dc", "role", "accountname", "user_id", "login", "api_endpoint")}
    # Whoever replaced the names in the recordings gave two audiences one id.
    return {one["id"] for one in body["lists"]}


def merged(values: Mapping[str, Any]) -> dict[str, Any]:
    return {tag: value for tag, value in values.items() if value != ""}


def test_what_mailchimp_answered_the_stand_in_answers() -> None:
    replayed, judged_so = 0, 0
    for _, recorded in by_file():
        app, clock = prepared(recorded)
        judge = judged(app)
        for one in recorded:
            status, body = ask(judge, one, app.allow() if one["path"].startswith("/oauth2") else "")
            where = f"{one['method']} {one['path']} {one.get('reqBody')}"
            assert (status, gist(body)) == (one["status"], gist(one["body"])), where
            clock.advance(1)
            replayed += 1
        assert judge.answered == []
        judged_so += judge.count
    assert (replayed, judged_so) == (227, 226), "the log-in is not part of the description"
