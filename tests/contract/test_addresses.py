"""Where a connection may go: the addresses, the names, and the certificates."""

import socket
import threading
from collections.abc import Iterator

import pytest

from syncer.connectors.addresses import addresses_of, is_public, system_resolve
from syncer.connectors.base import Misconfigured, Transient
from syncer.connectors.http import Http
from syncer.connectors.wire import World
from tests.contract.servers import Authority, RawServer, answering, raw_server

SPECIAL = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.1",
    "192.0.0.200",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:224.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "localhost",
    "",
]
PUBLIC = ["1.1.1.1", "93.184.215.14", "223.255.255.255", "::ffff:1.1.1.1", "2606:4700:4700::1111", "2a00:1450::1"]
SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST",
]


@pytest.mark.parametrize("address", SPECIAL)
def test_a_special_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.fixture
def inner() -> Iterator[RawServer]:
    with raw_server(answering(b"{}")) as server:
        yield server


@pytest.mark.parametrize("host", SPELLINGS)
def test_no_spelling_of_an_inner_host_gets_through(host: str, inner: RawServer) -> None:
    with pytest.raises(Misconfigured):
        Http().read("GET", f"https://{host}:{inner.port}/")
    assert inner.connections == 0


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["1.1.1.1", "fe80::1%eth0"]])
def test_one_inner_answer_refuses_a_name(answers: list[str], inner: RawServer) -> None:
    http = Http(world=World(resolve=lambda host: answers))
    with pytest.raises(Misconfigured, match=r"mixed\.example is an address of a private network"):
        http.read("GET", f"https://mixed.example:{inner.port}/")
    assert inner.connections == 0


def test_a_name_is_looked_up_once_for_a_connection(inner: RawServer) -> None:
    """A rebinding name says one thing to the check and another to the call; it is not asked a second time."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    http = Http(allow_private=True, world=World(resolve=lambda host: next(answers)))
    assert http.read("GET", f"http://rebind.example:{inner.port}/").status == 200
    assert http.read("GET", f"http://rebind.example:{inner.port}/").status == 200
    assert inner.connections == 1
    assert next(answers) == ["127.0.0.2"]
    assert f"Host: rebind.example:{inner.port}\r\n".encode() in inner.requests[0]


def test_the_next_address_is_tried_where_one_does_not_answer(inner: RawServer) -> None:
    http = Http(allow_private=True, world=World(resolve=lambda host: ["127.0.0.2", "127.0.0.1"]))
    assert http.read("GET", f"http://two.example:{inner.port}/").status == 200


def test_plain_http_needs_the_permission_for_private_hosts() -> None:
    with pytest.raises(Misconfigured, match="must begin with https://"):
        Http().write("POST", "http://app.example/", data=b"{}")


def unknown(host: str) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app.example",
        "ftp://app.example/",
        "file:///etc/passwd",
        "gopher://app.example/",
        "https://",
        "https:///path",
        "https://app.example:port/",
        "https://app.example:0/",
        "https://app.example:99999/",
        "https://[::1",
        "https://*.example/",
        "https://.example/",
        "https://a b/",
        "https://xn--/\x00",
        "httpx://app.example/",
        "https://me:secret@app.example/",
    ],
)
def test_an_address_that_cannot_be_used_is_a_setting_to_correct(url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Http(allow_private=True, world=World(resolve=unknown)).read("GET", url)
    assert "secret" not in str(caught.value)


def test_a_host_that_does_not_exist_is_a_setting_to_correct() -> None:
    with pytest.raises(Misconfigured, match=r"There is no host called nowhere\.invalid\. Check the address\."):
        Http(world=World(resolve=unknown)).read("GET", "https://nowhere.invalid/")


def test_a_host_with_no_address_is_a_setting_to_correct() -> None:
    with pytest.raises(Misconfigured, match="There is no host"):
        addresses_of("empty.example", lambda host: [], allow_private=True)


def test_a_label_that_is_too_long_is_no_host() -> None:
    with pytest.raises(Misconfigured, match="There is no host"):
        addresses_of("a" * 64 + ".example", system_resolve, allow_private=False)


def test_a_resolver_out_of_order_may_work_later() -> None:
    def later(host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with pytest.raises(Transient, match=r"address of app\.example cannot be looked up") as caught:
        Http(world=World(resolve=later)).write("POST", "https://app.example/", data=b"")
    assert not caught.value.maybe_applied


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("tls"))


def at_home(host: str) -> list[str]:
    return ["127.0.0.1"]


def test_tls_keeps_the_name_that_was_asked_for(authority: Authority) -> None:
    with raw_server(answering(b"[1]"), authority.server("app.example")) as server:
        http = Http(allow_private=True, certificates=str(authority.file), world=World(resolve=at_home))
        assert http.read("GET", f"https://app.example:{server.port}/").json() == [1]
        assert http.write("PUT", f"https://app.example:{server.port}/", json={}).json() == [1]
    assert server.names == ["app.example"]
    assert server.requests[0].startswith(b"GET / HTTP/1.1\r\nHost: app.example:")


@pytest.mark.parametrize("inside", ["127.0.0.1", "127.1", "2130706433", "localhost", "[::1]", "rebind.example"])
def test_a_redirect_to_an_inner_host_is_refused(inside: str, authority: Authority, inner: RawServer) -> None:
    """The first host is public, as far as its name goes; only then does it point inside."""

    def resolve(host: str) -> list[str]:
        return {"app.example": ["1.1.1.1"], "rebind.example": ["127.0.0.1"]}.get(host) or system_resolve(host)

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        return socket.create_connection(("127.0.0.1", address[1]), timeout)

    redirect = answering(b"", f"Location: https://{inside}:{inner.port}/", status="302 Found")
    with raw_server(redirect, authority.server("app.example")) as outer:
        http = Http(certificates=str(authority.file), world=World(resolve=resolve, connect=connect))
        with pytest.raises(Misconfigured, match="an address of a private network"):
            http.read("GET", f"https://app.example:{outer.port}/")
    assert (len(outer.requests), inner.connections) == (1, 0)


def test_a_certificate_for_another_name_is_refused(authority: Authority) -> None:
    with raw_server(answering(b"[1]"), authority.server("app.example")) as server:
        http = Http(allow_private=True, certificates=str(authority.file), world=World(resolve=at_home))
        with pytest.raises(Misconfigured, match=r"other\.example could not prove who it is"):
            http.write("POST", f"https://other.example:{server.port}/?key=s3cret", data=b"")
    assert server.requests == []


def test_a_certificate_that_nobody_vouches_for_is_refused(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment of the process cannot bring in an authority either."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(authority.file))
    with raw_server(answering(b"[1]"), authority.server("app.example")) as server:
        http = Http(allow_private=True, world=World(resolve=at_home))
        with pytest.raises(Misconfigured, match="TLS certificate"):
            http.read("GET", f"https://app.example:{server.port}/")
    assert server.connections == 1


def test_a_server_that_never_shakes_hands_has_received_nothing() -> None:
    with raw_server(answering(b"{}")) as server:
        http = Http(allow_private=True, deadline=0.2, world=World(resolve=at_home))
        with pytest.raises(Transient, match=r"Could not connect to app\.example: it does not answer") as caught:
            http.write("POST", f"https://app.example:{server.port}/", data=b"{}")
    assert not caught.value.maybe_applied


def test_a_server_that_speaks_no_tls_has_received_nothing() -> None:
    def greet() -> None:
        with listener.accept()[0] as connection:
            connection.sendall(b"220 mail.example ESMTP\r\n")
            connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        greeter = threading.Thread(target=greet)
        greeter.start()
        http = Http(allow_private=True, world=World(resolve=at_home))
        with pytest.raises(Transient, match=r"no secure \(TLS\) connection could be made") as caught:
            http.write("POST", f"https://app.example:{listener.getsockname()[1]}/", data=b"{}")
        greeter.join()
    assert not caught.value.maybe_applied
