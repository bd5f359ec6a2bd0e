"""What `Http` promises, seen from a server: what it sends, how often, and where it goes on."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from requests.auth import HTTPBasicAuth, HTTPDigestAuth
from werkzeug import Request, Response

from syncer.connectors.base import BudgetSpent, Misconfigured, Transient
from syncer.connectors.http import Http
from syncer.connectors.wire import World
from tests.contract.servers import Pauses, answering, closed_port, closing, dripping, quick, raw_server

CANARY = "c4nary"


@dataclass
class Purse:
    """A meter with a few calls in it."""

    calls: int
    taken: int = 0

    def take(self) -> None:
        if self.taken == self.calls:
            raise BudgetSpent("The budget is spent.", datetime(2026, 11, 24, tzinfo=UTC))
        self.taken += 1


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def purse() -> Purse:
    return Purse(99)


@pytest.fixture
def http(pauses: Pauses, purse: Purse) -> Iterator[Http]:
    headers = {"sessionToken": CANARY}
    auth = HTTPBasicAuth("alice", CANARY)
    http = Http(headers=headers, auth=auth, meter=purse, allow_private=True, deadline=5, world=pauses.world())
    yield http
    http.close()


# What is sent


def test_a_read_sends_what_was_given(http: Http, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/contacts", method="POST", query_string="a=1&b=%26").respond_with_json({"rows": []})
    reply = http.read("post", httpserver.url_for("/contacts?a=1"), params={"b": "&"}, json={"x": 0})
    request = httpserver.log[0][0]
    assert (reply.status, reply.json(), reply.headers["content-type"]) == (200, {"rows": []}, "application/json")
    assert (request.json, request.headers["sessionToken"]) == ({"x": 0}, CANARY)
    assert request.authorization is not None
    assert request.authorization.password == CANARY


def test_no_status_is_an_error(http: Http, httpserver: HTTPServer, purse: Purse) -> None:
    for status in (204, 400, 401, 404, 409, 412, 429, 500):
        httpserver.expect_request(f"/{status}").respond_with_data("", status=status)
        assert http.read("GET", httpserver.url_for(f"/{status}")).status == status
        assert http.write("PUT", httpserver.url_for(f"/{status}"), data=b"").status == status
    assert purse.taken == 16


def test_one_connection_serves_many_requests(http: Http) -> None:
    with raw_server(answering(b"")) as server:
        for method in ("HEAD", "PROPFIND", "REPORT"):
            assert http.read(method, server.url).status == 200
        assert http.write("PUT", server.url, data=b"card").status == 200
    assert server.connections == 1
    assert server.requests[3].endswith(b"card")


def test_an_http_1_0_server_is_understood(http: Http) -> None:
    with raw_server(closing(b"HTTP/1.0 207 Multi-Status\r\nServer: old\r\n\r\n<x/>")) as server:
        replies = [http.read("PROPFIND", server.url, data=b"<p/>"), http.write("PUT", server.url, data=b"card")]
    assert [(reply.status, reply.body) for reply in replies] == [(207, b"<x/>")] * 2
    assert server.connections == 2


def test_the_environment_sends_no_credentials_and_no_proxy(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text(f"machine {httpserver.host} login root password {CANARY}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    httpserver.expect_request("/").respond_with_data("ok")
    assert quick(5).read("GET", httpserver.url_for("/")).body == b"ok"
    assert "Authorization" not in httpserver.log[0][0].headers


def test_cookies_are_not_kept(http: Http, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("", headers={"Set-Cookie": "session=1; Path=/"})
    for _ in range(2):
        http.read("GET", httpserver.url_for("/"))
    assert "Cookie" not in httpserver.log[1][0].headers


def test_a_digest_login_takes_both_its_requests_from_the_meter(httpserver: HTTPServer, purse: Purse) -> None:
    def ask_once(request: Request) -> Response:
        if "Authorization" in request.headers:
            return Response("in")
        return Response("", 401, {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'})

    httpserver.expect_request("/").respond_with_handler(ask_once)
    http = Http(auth=HTTPDigestAuth("alice", CANARY), meter=purse, allow_private=True)
    assert http.write("PUT", httpserver.url_for("/"), data=b"card").body == b"in"
    assert purse.taken == 2
    assert [request.get_data() for request, _ in httpserver.log] == [b"card", b"card"]


# Repeats


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_read_is_repeated_twice(
    http: Http, httpserver: HTTPServer, pauses: Pauses, purse: Purse, status: int
) -> None:
    httpserver.expect_request("/").respond_with_data("busy", status=status)
    assert http.read("GET", httpserver.url_for("/")).status == status
    assert (len(httpserver.log), purse.taken, pauses.slept) == (3, 3, [0.25, 0.5])


def test_a_read_that_works_in_the_end_is_an_answer(http: Http, httpserver: HTTPServer) -> None:
    httpserver.expect_ordered_request("/").respond_with_data("", status=503)
    httpserver.expect_ordered_request("/").respond_with_data("", status=502)
    httpserver.expect_ordered_request("/").respond_with_data("ok")
    assert http.read("REPORT", httpserver.url_for("/"), data=b"<r/>").body == b"ok"
    assert [request.get_data() for request, _ in httpserver.log] == [b"<r/>"] * 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_the_app_asks_for_is_left_to_the_caller(
    http: Http, httpserver: HTTPServer, pauses: Pauses, status: int
) -> None:
    httpserver.expect_request("/").respond_with_data("", status=status, headers={"Retry-After": "7"})
    reply = http.read("GET", httpserver.url_for("/"))
    assert (reply.status, reply.headers["retry-after"], len(httpserver.log), pauses.slept) == (status, "7", 1, [])


def test_a_read_is_repeated_where_the_connection_breaks(http: Http, purse: Purse) -> None:
    with (
        raw_server(closing(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")) as server,
        pytest.raises(Transient, match=r"The connection to 127\.0\.0\.1 broke") as caught,
    ):
        http.read("GET", server.url)
    assert (len(server.requests), purse.taken, caught.value.maybe_applied) == (3, 3, False)


def test_a_read_is_repeated_where_nobody_listens(http: Http, purse: Purse) -> None:
    with pytest.raises(Transient, match=r"Could not connect to 127\.0\.0\.1: it takes no connections"):
        http.read("GET", f"http://127.0.0.1:{closed_port()}/")
    assert purse.taken == 3


def test_a_repeat_stops_where_the_budget_is_spent(httpserver: HTTPServer, pauses: Pauses) -> None:
    httpserver.expect_request("/").respond_with_data("", status=503)
    with pytest.raises(BudgetSpent):
        Http(meter=Purse(2), allow_private=True, world=pauses.world()).read("GET", httpserver.url_for("/"))
    assert len(httpserver.log) == 2


def test_there_is_no_repeat_past_the_deadline(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("", status=503)
    slept: list[float] = []
    http = Http(allow_private=True, deadline=0.2, world=World(sleep=slept.append, random=lambda: 0.5))
    assert http.read("GET", httpserver.url_for("/")).status == 503
    assert (len(httpserver.log), slept) == (1, [])


# Writes


@pytest.mark.proves("I11")
def test_a_write_is_never_repeated(http: Http, httpserver: HTTPServer, purse: Purse, pauses: Pauses) -> None:
    httpserver.expect_request("/").respond_with_data("", status=503)
    assert http.write("POST", httpserver.url_for("/"), json={}).status == 503
    assert (len(httpserver.log), purse.taken, pauses.slept) == (1, 1, [])


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"nonsense\r\n\r\n"])
def test_a_write_whose_answer_is_lost_may_be_applied(http: Http, answer: bytes) -> None:
    with raw_server(closing(answer)) as server, pytest.raises(Transient) as caught:
        http.write("POST", server.url, json={"name": "Ann"})
    assert (len(server.requests), caught.value.maybe_applied) == (1, True)


def test_a_write_answered_with_a_web_page_may_be_applied(http: Http) -> None:
    with raw_server(answering(b"<html>", "Content-Type: text/html")) as server:
        replies = [http.read("POST", server.url), http.write("POST", server.url)]
    for reply, maybe_applied in zip(replies, (False, True), strict=True):
        with pytest.raises(Transient, match="a web page instead of data") as caught:
            reply.json()
        assert caught.value.maybe_applied is maybe_applied


@pytest.mark.proves("E7 never left")
def test_a_write_that_never_left_is_not_applied(http: Http) -> None:
    with pytest.raises(Transient) as caught:
        http.write("POST", f"http://127.0.0.1:{closed_port()}/", json={})
    assert not caught.value.maybe_applied


def test_a_write_past_the_deadline_may_be_applied() -> None:
    with (
        raw_server(dripping(b"HTTP/1.1 200 OK\r\n\r\n")) as server,
        pytest.raises(Transient, match=r"127\.0\.0\.1 did not answer within 0\.3 seconds") as caught,
    ):
        quick().write("POST", server.url, data=b"")
    assert caught.value.maybe_applied


def test_a_server_that_reads_nothing_is_cut_off_at_the_deadline() -> None:
    """The time that the connection was given for connecting has no say in it."""

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        return socket.create_connection(address, 60)

    http = Http(allow_private=True, deadline=0.3, world=World(connect=connect))
    cut_off = pytest.raises(Transient, match=r"did not answer within 0\.3 seconds")
    with socket.create_server(("127.0.0.1", 0)) as server, cut_off as caught:
        http.write("PUT", f"http://127.0.0.1:{server.getsockname()[1]}/", data=bytes(20_000_000))
    assert caught.value.maybe_applied


def test_a_write_uses_no_connection_that_the_app_has_closed(http: Http) -> None:
    closed = threading.Event()

    def serve(connection: socket.socket, request: bytes) -> None:
        closing(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")(connection, request)
        closed.set()

    with raw_server(serve) as server:
        http.read("GET", server.url)
        assert closed.wait(5)
        assert http.write("PUT", server.url, data=b"card").status == 200
    assert server.connections == 2


def test_a_write_follows_no_redirect(http: Http, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("", status=307, headers={"Location": "/other"})
    reply = http.write("PUT", httpserver.url_for("/"), data=b"card")
    assert (reply.status, reply.headers["location"], len(httpserver.log)) == (307, "/other", 1)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_keeps_method_body_and_login(http: Http, httpserver: HTTPServer, purse: Purse, status: int) -> None:
    httpserver.expect_request("/.well-known/carddav").respond_with_data("", status, headers={"Location": "/dav/"})
    httpserver.expect_request("/dav/", method="PROPFIND").respond_with_data("<x/>", 207)
    reply = http.read("PROPFIND", httpserver.url_for("/.well-known/carddav"), data=b"<p/>", headers={"Depth": "0"})
    second = httpserver.log[1][0]
    assert (reply.status, reply.url, purse.taken) == (207, httpserver.url_for("/dav/"), 2)
    assert (second.get_data(), second.headers["Depth"], second.headers["sessionToken"]) == (b"<p/>", "0", CANARY)
    assert "Authorization" in second.headers


def test_another_host_gets_no_credentials(http: Http, httpserver: HTTPServer) -> None:
    with raw_server(answering(b"<x/>", status="207 Multi-Status")) as other:
        httpserver.expect_request("/").respond_with_data("", 301, headers={"Location": f"{other.url}/dav/"})
        reply = http.read("PROPFIND", httpserver.url_for("/"), params={"key": CANARY}, headers={"Depth": "1"})
    assert (reply.status, reply.url) == (207, f"{other.url}/dav/")
    assert b"PROPFIND /dav/ " in other.requests[0]
    assert b"Depth: 1" in other.requests[0]
    assert CANARY.encode() not in other.requests[0]
    assert b"Authorization" not in other.requests[0]


def test_a_post_does_not_take_its_body_to_another_host(http: Http, httpserver: HTTPServer) -> None:
    with raw_server(answering(b"{}")) as other:
        httpserver.expect_request("/").respond_with_data("", 307, headers={"Location": other.url})
        assert http.read("POST", httpserver.url_for("/"), json={"email": "ann@example.com"}).status == 307
    assert other.connections == 0


def test_see_other_becomes_a_get(http: Http, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/search").respond_with_data("", 303, headers={"Location": "result"})
    httpserver.expect_request("/result", method="GET").respond_with_json([1])
    assert http.read("POST", httpserver.url_for("/search"), json={"q": 1}).json() == [1]
    assert httpserver.log[1][0].get_data() == b""


def test_redirects_without_end_are_an_address_to_correct(http: Http, httpserver: HTTPServer, purse: Purse) -> None:
    httpserver.expect_request("/").respond_with_data("", 302, headers={"Location": "/"})
    with pytest.raises(Misconfigured, match="without end"):
        http.read("GET", httpserver.url_for("/"))
    assert purse.taken == 4


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://app.example/", "http://me:pw@127.0.0.1/", "http://[::", "http://x:0/"]
)
def test_a_redirect_to_no_usable_address_is_refused(http: Http, location: str) -> None:
    redirect = answering(b"", f"Location: {location}", status="302 Found")
    with raw_server(redirect) as server, pytest.raises(Misconfigured, match=r"address"):
        http.read("GET", server.url)
