"""How we log in: the way that the server asks for, and never with the password in the clear where it offers Digest."""

import base64
import json
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from requests.auth import HTTPDigestAuth

from syncer.connectors.base import AuthFailed, BudgetSpent, Misconfigured, Outcome, RateLimited
from syncer.connectors.carddav.connector import CardDav
from syncer.connectors.carddav.login import MEMORY, REMEMBERED_AT_MOST, Challenge, Login, Memory, Nonce, challenges
from syncer.connectors.http import Http
from tests.contract.carddav import (
    BOOK,
    OPEN,
    account,
    answer,
    connect,
    create,
    everything,
    ids,
    listed,
    multistatus,
    nothing_remembered,
    refusing,
    serving,
    started,
    update,
    vcard,
    written,
)
from tests.contract.carddav_digest import A_BOOK, ADA, SECRET, Digest, books
from tests.contract.sabredav import SabreDav
from tests.contract.servers import Authority, RawServer, raw_server
from tests.contract.test_carddav_writes import Purse
from tests.needs import needs

IN_THE_CLEAR = re.compile(rb"(?i)\r\nauthorization: basic ")


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    with nothing_remembered():
        yield


def in_the_clear(server: RawServer) -> bool:
    return any(IN_THE_CLEAR.search(request) for request in server.requests)


# RFC 7616 3.9.1.
EXAMPLE = {
    "realm": "http-auth@example.org",
    "qop": "auth, auth-int",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
}


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_the_standard_comes_out(algorithm: str, response: str) -> None:
    challenge = Challenge("digest", {**EXAMPLE, "algorithm": algorithm})
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    header = challenge.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", 1, cnonce)
    assert challenge.usable and f'response="{response}"' in header and "qop=auth, nc=00000001" in header


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        ("Basic", [("basic", {})]),
        ('Basic realm="a, b=\\"c\\"", Digest nonce=x,qop = "auth"', ["basic", "digest"]),
        ('Digest realm="a",nonce="b==",stale=true , Basic realm="c"', ["digest", "basic"]),
        ('DIGEST NONCE="n1", algorithm=SHA-256, Digest nonce="n2"', ["digest", "digest"]),
        ("Negotiate abc==, Basic realm=x", ["negotiate", "basic"]),
        ('Digest realm="never closed', ["digest"]),
        ("realm=lost, Basic", ["basic"]),
    ],
)
def test_challenges_are_told_apart(header: str, expected: list[str | tuple[str, dict[str, str]]]) -> None:
    found = challenges(header)
    assert [one.scheme for one in found] == [one if isinstance(one, str) else one[0] for one in expected]


def test_the_parameters_of_a_challenge_are_its_own() -> None:
    basic, digest = challenges('Basic realm="a, b=\\"c\\"", Digest realm=d, NONCE="x==", stale=TRUE')
    assert basic.params == {"realm": 'a, b="c"'} and not basic.stale
    assert digest.params == {"realm": "d", "nonce": "x==", "stale": "TRUE"} and digest.stale


@pytest.mark.parametrize(
    ("params", "usable"),
    [
        ({}, True),
        ({"algorithm": "md5-sess", "qop": "auth"}, True),
        ({"algorithm": "SHA-512-256", "qop": "auth"}, False),
        ({"algorithm": "MD5-sess"}, False),
        ({"qop": "auth-int"}, False),
        ({"qop": "auth-int,auth"}, True),
        ({"nonce": ""}, False),
    ],
)
def test_what_we_can_answer(params: dict[str, str], usable: bool) -> None:
    assert Challenge("digest", {"nonce": "n", **params}).usable is usable


@needs("sabredav")
def test_a_real_server_that_wants_digest_never_sees_the_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with started("sabredav", tmp_path) as sabre:
        book = sabre.path("alice")
        sabre.fill("alice", [vcard("ada", "TITLE:Lady")])
        first = connect(sabre.url)
        assert first.check().label.startswith("alice at")
        assert [line.rpartition(" ")[2] for line in sabre.lines()] == ["-", "Digest", "Digest", "Digest"]
        (ada,) = everything(first, book)[0]
        (result,) = written(connect(sabre.url), update(ada, {"title": "Countess"}), book=book)
        assert result.outcome is Outcome.DONE and "TITLE:Countess" in sabre.read("alice", "ada")
        assert {line.rpartition(" ")[2] for line in sabre.lines()} == {"Digest"}
    assert SECRET not in caplog.text and base64.b64encode(f"alice:{SECRET}".encode()).decode() not in caplog.text


@needs("sabredav")
def test_a_wrong_password_is_tried_once_and_not_repeated_to_anyone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with started("sabredav", tmp_path) as sabre:
        with pytest.raises(AuthFailed) as refused:
            connect(sabre.url, password="wr0ng").check()
        assert sabre.lines() == ["PROPFIND / -", "PROPFIND / Digest"]
    assert "enter them again" in str(refused.value) and "wr0ng" not in str(refused.value) + caplog.text


@needs("sabredav")
def test_the_book_of_another_person_is_closed_to_digest_too(tmp_path: Path) -> None:
    with started("sabredav", tmp_path) as sabre, pytest.raises(Misconfigured, match="does not let this user read"):
        connect(sabre.url, user="bob").changes(sabre.path("alice"), "", [])


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess"])
@pytest.mark.parametrize("qop", ["auth", "auth,auth-int", "auth-int, auth"])
def test_every_kind_of_digest_is_answered(algorithm: str, qop: str) -> None:
    digest = Digest(algorithm=algorithm, qop=qop)
    with raw_server(digest) as server:
        assert ids(everything(connect(server.url))[0]) == [ADA]
        assert not in_the_clear(server)
    assert digest.log[0] == "PROPFIND - no" and all(line.endswith("Digest yes") for line in digest.log[1:])


def test_the_old_digest_without_qop_is_answered() -> None:
    with raw_server(Digest(qop="")) as server:
        assert connect(server.url).check().key.endswith("/alice/ alice")


def test_another_client_logs_in_to_the_server_of_these_tests() -> None:
    """The witness that our Digest server is one: requests' own client, which shares no code with ours."""
    with raw_server(Digest()) as server:
        with requests.request("PROPFIND", server.url, auth=HTTPDigestAuth("alice", SECRET), timeout=5) as reply:
            assert reply.status_code == 207
        with requests.request("PROPFIND", server.url, auth=HTTPDigestAuth("alice", "wr0ng"), timeout=5) as reply:
            assert reply.status_code == 401


def test_a_nonce_is_used_again_also_by_the_next_connector() -> None:
    digest = Digest()
    with raw_server(digest) as server:
        _, _, cursor = everything(connect(server.url))
        digest.log.clear()
        everything(connect(server.url), cursor=cursor)
    assert "no" not in " ".join(digest.log) and len(digest.counts) == 1


@pytest.mark.parametrize("says_stale", [True, False])
def test_a_nonce_that_is_out_of_date_costs_one_more_request(says_stale: bool) -> None:
    digest = Digest(uses=1, says_stale=says_stale)
    with raw_server(digest) as server:
        alice = connect(server.url)
        assert ids(everything(alice)[0]) == [ADA]
        digest.log.clear()
        (result,) = written(alice, create("ada", given="Ada"))
    assert result.outcome is Outcome.DONE
    assert digest.log == ["PUT Digest stale", "PUT Digest yes", "REPORT Digest stale", "REPORT Digest yes"]


def test_a_server_that_never_takes_a_nonce_is_not_asked_without_end() -> None:
    digest = Digest(uses=0)
    with raw_server(digest) as server, pytest.raises(AuthFailed):
        connect(server.url).check()
    assert digest.log == ["PROPFIND - no", "PROPFIND Digest stale", "PROPFIND Digest stale"]


def test_a_password_that_was_changed_is_a_failed_login() -> None:
    digest = Digest()
    with raw_server(digest) as server:
        alice = connect(server.url)
        alice.check()
        digest.password = "another"
        digest.log.clear()
        for _ in range(2):
            with pytest.raises(AuthFailed):
                alice.changes(BOOK, "", [])
    # The second time the nonce is fresh, so the first refusal says all.
    assert digest.log == ["REPORT Digest no"] * 3


@pytest.mark.parametrize("more", [', Basic realm="books"', '\r\nWWW-Authenticate: Basic realm="books"'])
def test_where_both_are_offered_the_password_is_not_sent_in_the_clear(more: str) -> None:
    digest = Digest(more=more)
    with raw_server(digest) as server:
        alice = connect(server.url)
        alice.check()
        written(alice, create("ada", given="Ada"))
        assert not in_the_clear(server) and "PUT Digest yes" in digest.log


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "405 Method Not Allowed", "200 OK"])
def test_a_web_site_in_front_of_the_address_books_gets_no_password(status: str) -> None:
    digest = Digest()
    moved = b"HTTP/1.1 301 Moved\r\nLocation: /dav/\r\nContent-Length: 0\r\n\r\n"

    def site(connection: socket.socket, request: bytes) -> None:
        if b" /dav/" in request or b" /alice/" in request.partition(b"\r\n")[0]:
            return digest(connection, request)
        connection.sendall(moved if b"well-known" in request else answer("<html>", status, "text/html"))
        connection.shutdown(socket.SHUT_RDWR)

    with raw_server(site) as server:
        assert connect(server.url).check().key.endswith("/alice/ alice")
        assert not in_the_clear(server)


@pytest.mark.parametrize("digest", [Digest(algorithm="SHA-512-256"), Digest(qop="auth-int")])
def test_a_digest_that_we_cannot_do_is_no_reason_to_send_the_password(digest: Digest) -> None:
    digest.more = ', Basic realm="books"'
    with raw_server(digest) as server:
        with pytest.raises(Misconfigured, match="begins with https://") as refused:
            connect(server.url).check()
        (result,) = written(connect(server.url), create("ada", given="Ada"))
        assert not in_the_clear(server)
    assert SECRET not in str(refused.value) and result.outcome is Outcome.NOT_SENT


def test_a_server_that_changes_to_digest_gets_digest() -> None:
    digest = Digest()
    with raw_server(digest) as server:
        Login("alice", SECRET).unasked(server.url)
        connect(server.url).check()
    assert [line.split(" ")[1] for line in digest.log] == ["Basic", "Digest"]


def challenge(scheme: str) -> bytes:
    header = f"\r\nWWW-Authenticate: {scheme} realm=x\r\n\r\n".encode()
    return answer("", "401 Unauthorized").replace(b"\r\n\r\n", header, 1)


def test_a_server_that_changes_to_basic_gets_basic() -> None:
    def basic(method: str, request: str) -> bytes:
        return books(method, request) if "authorization: basic" in request.lower() else challenge("Basic")

    with raw_server(serving(basic)) as server:
        (digest,) = challenges('Digest realm="books", nonce="old", qop="auth"')
        MEMORY.keep(server.url, "alice", Nonce(digest))
        assert connect(server.url).check().key.endswith("/alice/ alice")


@pytest.mark.parametrize("scheme", ["Bearer", "Negotiate"])
def test_a_login_that_is_no_password_is_not_ours(scheme: str) -> None:
    with raw_server(serving(lambda *_: challenge(scheme))) as server:
        with pytest.raises(AuthFailed):
            connect(server.url).check()
        assert not in_the_clear(server)


def test_what_a_server_shows_to_nobody_in_particular_is_not_believed() -> None:
    """An open server may show a part of a book to those who do not log in: the rest is not missing."""

    def halves(method: str, request: str) -> bytes:
        known = "authorization: basic" in request.lower()
        if "sync-collection" in request:
            return multistatus(*([listed(ADA)] if known else []), token="t")
        if method == "PROPFIND" and not known:
            nobody = "<d:current-user-principal><d:unauthenticated/></d:current-user-principal>"
            return multistatus(listed(BOOK, A_BOOK + nobody))
        return books(method, request)

    with raw_server(serving(halves)) as server:
        assert ids(connect(server.url).changes(BOOK, "", []).records) == [ADA]
    with nothing_remembered(), raw_server(serving(halves)) as server:
        assert connect(server.url).check().key.endswith("/alice/ alice")


@pytest.mark.parametrize("status", [404, 429, 500])
def test_no_write_goes_out_before_the_server_has_said_how_to_log_in(status: int) -> None:
    with raw_server(serving(lambda *_: refusing(status, ""))) as server:
        (result,) = written(connect(server.url), create("ada", given="Ada"))
        assert not any(request.startswith(b"PUT") for request in server.requests) and not in_the_clear(server)
    assert result.outcome is Outcome.NOT_SENT


def test_the_second_request_of_a_login_is_counted() -> None:
    with raw_server(Digest()) as server, pytest.raises(BudgetSpent):
        CardDav(account(server.url), OPEN, Purse(1)).check()


def test_a_slow_down_before_the_login_is_one() -> None:
    with raw_server(serving(lambda *_: refusing(429, ""))) as server, pytest.raises(RateLimited):
        connect(server.url).changes(BOOK, json.dumps({"token": "t"}), [])


@pytest.mark.parametrize("user", ['al"ice', "back\\slash", "ådå lövelace", "комната", "a,b=c"])
def test_any_name_can_log_in(user: str) -> None:
    digest = Digest(user=user, password='pässwörd, "quoted"')
    with raw_server(digest) as server:
        made = account(server.url, password=digest.password)
        CardDav(type(made)(made.app, {**made.settings, "username": user}, made.credentials), OPEN).check()
    assert digest.log[1] == "PROPFIND Digest yes"


def test_a_name_that_cannot_be_sent_is_said() -> None:
    with raw_server(Digest()) as server:
        made = account(server.url)
        alice = CardDav(type(made)(made.app, {**made.settings, "username": "a\r\nX-Evil: 1"}, made.credentials), OPEN)
        with pytest.raises(Misconfigured, match="cannot be sent"):
            alice.check()
        assert not any(b"X-Evil" in request for request in server.requests)


@pytest.mark.parametrize("more", ["", ', Basic realm="books"'])
def test_over_https_basic_comes_first_and_digest_where_it_is_wanted(tmp_path: Path, more: str) -> None:
    authority, digest = Authority.create(tmp_path), Digest(more=more)
    with raw_server(digest, authority.server("localhost")) as server:
        login = Login("alice", SECRET, Memory())
        http = Http(auth=login, allow_private=True, certificates=str(authority.file))
        for _ in range(2):
            assert http.read("PROPFIND", f"https://localhost:{server.port}/").status == 207
        http.close()
    assert digest.log == ["PROPFIND Basic no", "PROPFIND Digest yes", "PROPFIND Digest yes"]


def test_what_is_remembered_has_an_end_and_no_password() -> None:
    memory = Memory()
    for n in range(REMEMBERED_AT_MOST + 1):
        memory.keep(f"http://{n}", "alice", None)
    assert not memory.knows("http://0", "alice") and memory.knows("http://1", "alice")
    assert memory.knows(f"http://{REMEMBERED_AT_MOST}", "alice") and not memory.knows("http://1", "bob")


@needs("sabredav")
def test_a_book_that_is_not_there_is_no_deletion_at_a_server_with_digest(tmp_path: Path) -> None:
    with started("sabredav", tmp_path) as sabre:
        assert isinstance(sabre, SabreDav)
        alice, other = connect(sabre.url), sabre.path("alice", "other")
        for look in (lambda: alice.changes(other, "", []), lambda: alice.read(other, f"{other}x.vcf", [])):
            with pytest.raises(Misconfigured, match="at this address"):
                look()
