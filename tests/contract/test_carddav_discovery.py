"""From what a person types to address books: on a real Radicale, and on servers that lead elsewhere."""

from pathlib import Path

import pytest

from syncer.connectors.base import AuthFailed, Connector, ConnectorError, Misconfigured, Transient
from syncer.connectors.carddav.connector import CardDav
from syncer.connectors.carddav.discovery import discover
from syncer.connectors.http import Http
from syncer.connectors.registry import ConnectorClass, Options, connector_class
from tests.contract.carddav import (
    OPEN,
    Answers,
    account,
    answer,
    body_of,
    connect,
    listed,
    meddler,
    multistatus,
    refusing,
    servers,
    serving,
    started,
)
from tests.contract.radicale import Radicale
from tests.contract.servers import Authority, answering, raw_server
from tests.needs import needs

pytestmark = needs("radicale")


ADDRESSES = {
    "radicale": ("/alice/", ("", "alice/", "alice/book/", "alice/book", ".well-known/carddav", "not/there/")),
    "xandikos": ("/alice/", ("", "alice/", "alice/contacts/", "alice/contacts/book/", ".well-known/carddav")),
    "sabredav": ("/principals/alice/", ("", "principals/alice/", "addressbooks/alice/", "addressbooks/alice/book/")),
}


@pytest.mark.parametrize("kind", servers(*ADDRESSES))
def test_any_address_on_a_server_leads_to_the_books(kind: str, tmp_path: Path) -> None:
    principal, addresses = ADDRESSES[kind]
    with started(kind, tmp_path) as server:
        host = server.url.removeprefix("http://").rstrip("/")
        for path in addresses:
            alice = connect(server.url + path)
            assert alice.check().key == f"{host}{principal} alice", path
            assert alice.check().label == f"alice at {host}"
            assert [(book.id, book.name) for book in alice.books()] == [(server.path("alice"), "Contacts")], path


def test_all_books_of_a_person_are_found_and_nothing_else(radicale: Radicale) -> None:
    radicale.book("alice", "work", "Work & more")
    calendar = radicale.book_folder("alice", "dates")
    calendar.mkdir()
    (calendar / ".Radicale.props").write_text('{"tag": "VCALENDAR"}')
    books = connect(radicale.url).books()
    assert sorted((book.id, book.name) for book in books) == [
        ("/alice/book/", "Contacts"),
        ("/alice/work/", "Work & more"),
    ]


def test_a_wrong_password_is_said_without_repeating_it(radicale: Radicale) -> None:
    with pytest.raises(AuthFailed) as refused:
        connect(radicale.url, password="wr0ng").check()
    assert "enter them again" in str(refused.value) and "wr0ng" not in str(refused.value)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("http://dav.example.com/", "https://"),
        ("https://alice:s3cret@dav.example.com/", "their own fields"),
        ("https://", "not a web address"),
        ("https://dav.example.com:port/", "not a web address"),
        ("https://dav example com/", "not a web address"),
        ("https://dav.example.com/a/../b/", "dots"),
        ("ftp://dav.example.com/", "https://"),
    ],
)
def test_an_address_that_cannot_be_right_is_explained(typed: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=words) as refused:
        CardDav(account(typed), Options(False, {})).check()
    assert "s3cret" not in str(refused.value)


def test_a_web_page_is_no_address_book() -> None:
    page = answering(b"<html>Hello</html>", "Content-Type: text/html")
    with raw_server(page) as site, pytest.raises(Misconfigured, match="No CardDAV server was found"):
        connect(site.url).check()


def test_a_server_that_points_to_another_host_gets_no_password_there(radicale: Radicale) -> None:
    def elsewhere(request: bytes, reply: bytes) -> bytes:
        return answer(body_of(reply).replace("/alice/", "http://evil.example/alice/"))

    with meddler(radicale, elsewhere) as between, pytest.raises(Misconfigured, match=r"another host \(evil.example\)"):
        connect(between.url).check()


def test_a_redirect_of_the_discovery_is_followed_and_remembered() -> None:
    principal = "<d:current-user-principal><d:href>/dav/ada/</d:href></d:current-user-principal>"
    home = "<c:addressbook-home-set><d:href>/dav/home/</d:href></c:addressbook-home-set>"
    book = "<d:resourcetype><d:collection/><c:addressbook/></d:resourcetype><d:displayname>Mine</d:displayname>"

    def there(method: str, request: str) -> bytes:
        if "authorization" not in request.lower():
            return refusing(401, "")
        return multistatus(
            listed("/dav/home/b/", book) if "PROPFIND /dav/home/" in request else listed("/dav/", principal + home)
        )

    with raw_server(serving(there)) as target:
        moved = f"HTTP/1.1 301 Moved\r\nLocation: {target.url}/dav/\r\nContent-Length: 0\r\n\r\n".encode()
        with raw_server(serving(lambda *_: moved)) as server:
            ada = connect(server.url)
            assert ada.check().key == f"127.0.0.1:{target.port}/dav/ada/ alice"
            assert [(found.id, found.name) for found in ada.books()] == [("/dav/home/b/", "Mine")]


PRINCIPAL = "<d:current-user-principal><d:href>/ada/</d:href></d:current-user-principal>"


def refused(answers: Answers) -> ConnectorError:
    with raw_server(serving(answers)) as server, pytest.raises(ConnectorError) as error:
        connect(server.url).check()
    return error.value


def test_a_server_that_does_not_know_us_wants_a_password() -> None:
    nobody = listed("/", "<d:current-user-principal><d:unauthenticated/></d:current-user-principal>")
    assert isinstance(refused(lambda *_: multistatus(nobody)), AuthFailed)


def test_a_principal_that_lives_on_another_host_is_named() -> None:
    home = "<c:addressbook-home-set><d:href>https://p07.example.com/ada/</d:href></c:addressbook-home-set>"

    def answers(method: str, request: str) -> bytes:
        return multistatus(listed("/ada/", home) if "PROPFIND /ada/" in request else listed("/", PRINCIPAL))

    problem = refused(answers)
    assert isinstance(problem, Misconfigured) and "p07.example.com" in str(problem)


@pytest.mark.parametrize(
    "body", ["", '<d:response xmlns:d="DAV:"/>', '<d:response xmlns:d="DAV:"><d:href>http://[/</d:href></d:response>']
)
def test_an_answer_that_names_nothing_is_no_server(body: str) -> None:
    problem = refused(lambda *_: multistatus(body))
    assert isinstance(problem, Misconfigured) and "No CardDAV server" in str(problem)


def test_a_home_that_answers_with_a_web_page_is_tried_again_later() -> None:
    home = "<c:addressbook-home-set><d:href>/home/</d:href></c:addressbook-home-set>"

    def answers(method: str, request: str) -> bytes:
        return (
            answer("<html/>")
            if "/home/" in request.partition("HTTP/")[0]
            else multistatus(listed("/", PRINCIPAL, home))
        )

    assert isinstance(refused(answers), Transient)


def test_an_account_says_what_it_can_do(radicale: Radicale) -> None:
    alice = connect(radicale.url)
    assert alice.books()[0].id == "/alice/book/" and alice.owners() == [] and alice.changes("/alice/book/", "", []).done
    given, uid = alice.fields("/alice/book/")[0], alice.fields("/alice/book/")[-1]
    assert (given.name, given.role, given.writable) == ("given", "name.given", True)
    assert (uid.name, uid.writable) == ("uid", False) and alice.stored(given, "Ada") == "Ada"
    assert [field.secret for field in (*alice.app.settings, *alice.app.credentials)] == [False, False, True]
    alice.close()


def test_a_server_that_moved_to_another_scheme_is_named(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    here = answering(b"<html/>", "Content-Type: text/html")
    with raw_server(here, authority.server("localhost")) as secure:
        there = f"https://localhost:{secure.port}"
        with raw_server(answering(b"", f"Location: {there}/dav/", status="301 Moved")) as server:
            http = Http(allow_private=True, certificates=str(authority.file))
            with pytest.raises(Misconfigured, match=f"moved to {there}: "):
                discover(http, f"{server.url}/")
            http.close()


def test_it_is_a_connector_like_any_other(radicale: Radicale) -> None:
    kind: ConnectorClass = CardDav
    made: Connector = kind(account(radicale.url), OPEN)
    assert connector_class("carddav") is CardDav and made.app.slug == "carddav"
