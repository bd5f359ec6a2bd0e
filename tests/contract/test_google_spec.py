"""The judge of the People API's traffic sees what it is there to see."""

import json
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import pytest

from sandbox.exchange import Start
from tests.contract.described import Judged
from tests.contract.google_spec import differences, judged
from tests.needs import needs

pytestmark = needs("specs")
CREATE = "/v1/people:createContact"


def ask(method: str, path: str, query: str = "", body: bytes = b"", answer: Any = None, fault: str = "") -> Judged:
    """What is judged of one request, to which a server answers so: a status and a body."""
    status, sent = answer or ("200 OK", {})

    def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        environ["sandbox.fault"] = fault
        start_response(status, [])
        return [sent if isinstance(sent, bytes) else json.dumps(sent).encode()]

    judge = judged(app)
    length = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)}
    judge({"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, **length}, lambda status, headers: None)
    return judge


def test_what_is_right_is_let_go() -> None:
    body = json.dumps({"names": [{"givenName": "Ada"}]}).encode()
    judge = ask("POST", CREATE, "personFields=names&alt=json", body, ("200 OK", {"resourceName": "people/c1"}))
    assert (judge.asked, judge.let_through, judge.answered, judge.count) == ([], [], [], 1)


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("POST", CREATE, "", b'{"name": []}'),
        ("POST", CREATE, "", b'{"names": {}}'),
        ("POST", CREATE, "", b'{"names": [{"given": "Ada"}]}'),
        ("POST", CREATE, "", b"{"),
        ("POST", CREATE, "fields2=x", b"{}"),
        ("GET", "/v1/people/me/connections", "pageSize=many", b""),
        ("GET", "/v1/people/me/connections", "sources=CONTACT", b""),
        ("GET", "/v1/people/me/connections", "requestSyncToken=1", b""),
        ("GET", "/v1/people/me", "", b"{}"),
        ("PUT", "/v1/people/c1", "", b"{}"),
        ("GET", "/v1/people/c1/c2", "", b""),
    ],
)
def test_what_may_not_be_asked_is_told_and_that_it_came_through(
    method: str, path: str, query: str, body: bytes
) -> None:
    judge = ask(method, path, query, body)
    assert judge.asked == [each.replace(" 200 OK:", ":") for each in judge.let_through] != []
    error = {"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}
    refused = ask(method, path, query, body, ("400 Bad Request", error))
    assert (refused.asked, refused.let_through, refused.answered) == (judge.asked, [], [])


@pytest.mark.parametrize(
    "answer",
    [
        ("200 OK", {"resourcename": "people/c1"}),
        ("200 OK", {"names": [{"metadata": {"primary": "yes"}}]}),
        ("200 OK", b""),
        ("400 Bad Request", {"error": "no"}),
        ("403 Forbidden", b""),
    ],
)
def test_an_answer_that_is_none_of_this_api(answer: Any) -> None:
    assert ask("GET", "/v1/people/c1", "personFields=names", answer=answer).answered != []


def test_what_a_fault_broke_is_not_judged() -> None:
    assert ask("GET", "/v1/people/c1", answer=("200 OK", b"{"), fault="cut_json").answered == []
    assert ask("GET", "/v1/people/c1", answer=("200 OK", b"{"), fault="quota_429").answered != []


def test_differences_of_two_shapes() -> None:
    assert list(differences({"a": [1, {"b": "x"}]}, {"a": [2, {"b": "y"}]})) == []
    assert list(differences({"a": 1, "c": 1}, {"a": "1", "b": 1})) == [
        "$.a: int in the recording, str in ours",
        "$.b is only in ours",
        "$.c is only in the recording",
    ]
    assert list(differences([1], [])) == ["$ has 1 items in the recording and 0 in ours"]
