"""How long and how large an answer may be, and what an error may say."""

import base64
import gzip
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_httpserver import HTTPServer
from requests import PreparedRequest
from requests.auth import AuthBase, HTTPBasicAuth

from syncer.connectors.base import ConnectorError, Misconfigured, Transient
from syncer.connectors.http import Http, Reply
from syncer.connectors.wire import MAX_BODY
from tests.contract.servers import Pauses, RawServer, answering, closed_port, closing, dripping, quick, raw_server

CANARY = "c4nary"


@pytest.fixture
def http() -> Iterator[Http]:
    headers, auth = {"sessionToken": CANARY}, HTTPBasicAuth("alice", CANARY)
    http = Http(headers=headers, auth=auth, allow_private=True, deadline=5, world=Pauses().world())
    yield http
    http.close()


@dataclass
class Raw(AuthBase):
    """A login whose token goes out as it is."""

    token: str

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = self.token
        return request


# Time and size


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["status", "headers", "body", "chunks", "continue"],
)
def test_a_server_that_drips_is_cut_off_at_the_deadline(start: bytes, drop: bytes) -> None:
    with (
        raw_server(dripping(start, drop)) as server,
        pytest.raises(Transient, match=r"did not answer within 0\.3 seconds") as caught,
    ):
        quick().read("GET", server.url)
    assert (len(server.requests), caught.value.maybe_applied) == (1, False)


def test_an_answer_may_be_large_but_not_too_large() -> None:
    with raw_server(answering(bytes(MAX_BODY))) as server:
        assert len(quick(20).read("GET", server.url).body) == MAX_BODY
    with (
        raw_server(answering(bytes(MAX_BODY + 1))) as server,
        pytest.raises(Transient, match=r"127\.0\.0\.1 sent more than 64 MiB"),
    ):
        quick(20).read("GET", server.url)
    assert len(server.requests) == 1


def test_a_small_answer_may_not_unpack_to_a_large_one() -> None:
    bomb = gzip.compress(bytes(MAX_BODY + 1), compresslevel=1)
    assert len(bomb) < 1_000_000
    with (
        raw_server(answering(bomb, "Content-Encoding: gzip")) as server,
        pytest.raises(Transient, match="more than 64 MiB") as caught,
    ):
        quick(20).write("POST", server.url, data=b"")
    assert caught.value.maybe_applied


def test_a_packed_answer_is_unpacked(http: Http) -> None:
    with raw_server(answering(gzip.compress(b'{"a": "b"}'), "Content-Encoding: gzip")) as server:
        assert http.read("GET", server.url).json() == {"a": "b"}


def test_a_damaged_packed_answer_is_a_broken_one(http: Http) -> None:
    with (
        raw_server(answering(b"no gzip", "Content-Encoding: gzip")) as server,
        pytest.raises(Transient, match="broke before its answer was complete"),
    ):
        http.read("GET", server.url)


# JSON


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "text/html; charset=utf-8", "a web page instead of data"),
        (b"\n <html>", "application/json", "a web page instead of data"),
        (b"", "text/html", "a web page instead of data"),
        (b"", "application/json", "cut short"),
        (b'{"a": [1, 2', "application/json", "cut short"),
        (b'{"a": NaN}', "application/json", "damaged"),
        (b"-Infinity", "application/json", "damaged"),
        (b'"\xff"', "application/json", "damaged"),
        (b"[" * 100_000, "application/json", "damaged"),
        (b"1" * 5_000, "application/json", "damaged"),
    ],
)
def test_what_is_no_json_is_said(body: bytes, content_type: str, words: str) -> None:
    for maybe in (False, True):
        reply = Reply(200, {"content-type": content_type}, body, f"https://app.example/?k={CANARY}", maybe)
        with pytest.raises(Transient, match=f"app.example answered with .*{words}") as caught:
            reply.json()
        assert caught.value.maybe_applied is maybe
        assert_silent(caught.value)


def test_empty_values_are_values() -> None:
    values: list[Any] = [0, "", [], {}, False, None]
    for value in values:
        assert Reply(200, {}, json.dumps(value).encode(), "https://app.example/").json() == value


# Secrets


def refused(server: RawServer) -> str:
    return f"http://127.0.0.1:{closed_port()}"


def answered(server: RawServer) -> str:
    return server.url


@pytest.mark.proves("I34")
@pytest.mark.parametrize("address", [refused, answered])
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        f"{CANARY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{CANARY}".encode(),
        f"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\nX: {CANARY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n".encode(),
        f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ftp://x/{CANARY}\r\n\r\n".encode(),
        f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://x:{CANARY}@y/\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n {CANARY}\r\nbad {CANARY}\r\n\r\n[".encode(),
    ],
)
def test_no_error_and_no_log_line_holds_a_secret(
    http: Http, answer: bytes, address: Callable[[RawServer], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with raw_server(closing(answer)) as server:
        url = f"{address(server)}/{CANARY}?api_key={CANARY}"
        calls: list[Callable[[], Reply]] = [
            lambda: http.read("POST", url, params={"token": CANARY}, json={"password": CANARY}),
            lambda: http.write("PUT", url, headers={"X-Key": CANARY}, data=CANARY.encode()),
        ]
        for call in calls:
            try:
                call()
            except ConnectorError as error:
                assert_silent(error)
    assert CANARY not in caplog.text


@pytest.mark.parametrize("value", [f"{CANARY}\n", f"{CANARY}\u20ac", f" {CANARY}", f"{CANARY}\r\nX: y"])
def test_a_secret_that_cannot_be_sent_is_not_said(value: str) -> None:
    logins: list[dict[str, Any]] = [{"headers": {"sessionToken": value}}, {"auth": Raw(value)}]
    for login in logins:
        with pytest.raises(Misconfigured, match="a character that cannot be sent") as caught:
            Http(allow_private=True, **login).read("GET", "http://127.0.0.1/")
        assert_silent(caught.value)


def test_a_password_outside_latin_1_is_not_said() -> None:
    http = Http(allow_private=True, auth=HTTPBasicAuth("alice", f"{CANARY}\u20ac"))
    with pytest.raises(Misconfigured, match="a character that cannot be sent") as caught:
        http.read("GET", "http://127.0.0.1/")
    assert_silent(caught.value)


def test_a_reply_shows_nothing_of_itself() -> None:
    reply = Reply(200, {"set-cookie": CANARY}, CANARY.encode(), f"https://app.example/?k={CANARY}")
    assert CANARY not in repr(reply)


def assert_silent(error: BaseException) -> None:
    """Neither the text nor the trace nor any error behind it holds the canary, plain or as base64."""
    behind: BaseException | None = error
    text = "".join(traceback.format_exception(error))
    while behind is not None:
        text += f"{behind!r}{behind.args!r}"
        behind = behind.__cause__ or behind.__context__
    assert CANARY not in text.replace("CANARY", "")
    assert base64.b64encode(CANARY.encode()).decode() not in text


# Transactions


@pytest.mark.proves("E6 no call in transaction")
@pytest.mark.django_db(transaction=True)
def test_no_call_is_made_inside_a_transaction(http: Http, httpserver: HTTPServer) -> None:
    with transaction.atomic():
        for call in (http.read, http.write):
            with pytest.raises(RuntimeError, match="inside a database transaction"):
                call("GET", httpserver.url_for("/"))
    assert httpserver.log == []


@pytest.mark.proves("E6 no call in transaction")
@pytest.mark.django_db(transaction=True)
def test_no_call_is_made_inside_a_transaction_opened_by_hand(http: Http, httpserver: HTTPServer) -> None:
    connection.ensure_connection()
    transaction.set_autocommit(False)
    try:
        with pytest.raises(RuntimeError):
            http.read("GET", httpserver.url_for("/"))
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


@pytest.mark.django_db
def test_the_transaction_of_a_test_case_does_not_count(http: Http, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("ok")
    assert http.read("GET", httpserver.url_for("/")).body == b"ok"
    with transaction.atomic(), pytest.raises(RuntimeError):
        http.read("GET", httpserver.url_for("/"))
