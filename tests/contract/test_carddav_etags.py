"""Reading from servers without sync-collection: a list of etags, and a full pass wherever it moved."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.connectors.base import CursorExpired, RateLimited, Transient
from tests.contract.carddav import (
    BOOK,
    WITHOUT_SYNC,
    Server,
    authorised,
    connect,
    create,
    data,
    everything,
    ids,
    listed,
    meddler,
    multistatus,
    refusing,
    servers,
    serving,
    started,
    update,
    vcard,
    written,
)
from tests.contract.servers import raw_server

A_BOOK = "<d:resourcetype><d:collection/><c:addressbook/></d:resourcetype>"


@pytest.fixture(params=servers(*WITHOUT_SYNC))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with started(request.param, tmp_path) as running:
        yield running


def test_the_book_is_found(server: Server) -> None:
    alice = connect(server.url)
    assert [(book.id, book.name) for book in alice.books()] == [(server.path("alice"), "Contacts")]


def test_a_full_pass_is_complete_and_a_quiet_delta_costs_one_call(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard(f"ada-{n:03}") for n in range(210)])
    alice = authorised(server.url)
    server.calls()
    first = alice.changes(book, "", [])
    second = alice.changes(book, first.cursor, [])
    # The report that is not there, the etags, and three multigets of at most a hundred.
    assert server.calls() == ["REPORT", "PROPFIND", "REPORT", "REPORT", "REPORT"]
    assert [(page.done, page.complete, len(page.records)) for page in (first, second)] == [
        (False, False, 200),
        (True, True, 10),
    ]
    assert ids([*first.records, *second.records]) == [f"{book}ada-{n:03}.vcf" for n in range(210)]
    fresh = authorised(server.url)
    server.calls()
    page = fresh.changes(book, second.cursor, [])
    assert (page.records, page.gone, page.done, page.complete, page.cursor) == ([], [], True, False, second.cursor)
    assert server.calls() == ["PROPFIND"]


@pytest.mark.parametrize("act", ["create", "edit", "delete"])
@pytest.mark.proves("I27", "E2 pull")
def test_whatever_changes_is_seen_by_a_full_pass(server: Server, act: str) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada"), vcard("grace"), vcard("mary")])
    alice = authorised(server.url)
    records, _, cursor = everything(alice, book)
    etags = {record.remote_id: record.etag for record in records}
    match act:
        case "create":
            server.place("alice", "joan", vcard("joan"))
        case "edit":
            server.place("alice", "grace", vcard("grace", "TITLE:Rear admiral"))
        case _:
            server.remove("alice", "mary")
    with pytest.raises(CursorExpired):
        alice.changes(book, cursor, [])
    again, gone, _ = everything(alice, book)
    now = {record.remote_id: record.etag for record in again}
    changed = {"create": "joan", "edit": "grace", "delete": "mary"}[act]
    assert {key for key in now | etags if now.get(key) != etags.get(key)} == {f"{book}{changed}.vcf"} and gone == []
    missing = alice.read_many(book, [f"{book}mary.vcf"], [])
    assert (missing == [None]) == (act == "delete")


def test_our_own_writes_move_the_list_as_well(server: Server) -> None:
    book = server.path("alice")
    alice = authorised(server.url)
    _, _, empty = everything(alice, book)
    (result,) = written(alice, create("joan", given="Joan"), book=book)
    with pytest.raises(CursorExpired):
        alice.changes(book, empty, [])
    assert everything(alice, book)[0] == [result.observed]


def test_a_pass_that_goes_on_elsewhere_keeps_its_first_list_as_token(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard(f"ada-{n:03}") for n in range(210)])
    first = authorised(server.url).changes(book, "", [])
    # One before the cursor is edited, one behind it deleted: the rest of this pass cannot tell all of it.
    server.place("alice", "ada-003", vcard("ada-003", "TITLE:Countess"))
    server.remove("alice", "ada-205")
    rest = authorised(server.url).changes(book, first.cursor, [])
    assert rest.done and rest.complete and len(rest.records) == 9
    with pytest.raises(CursorExpired):
        authorised(server.url).changes(book, rest.cursor, [])


@pytest.mark.parametrize("asked", [b"PROPFIND", b"addressbook-multiget"])
@pytest.mark.proves("I26")
def test_a_list_or_a_page_that_is_cut_short_completes_nothing(server: Server, asked: bytes) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada"), vcard("grace")])
    alice = authorised(server.url)

    def cut(request: bytes, reply: bytes) -> bytes:
        return reply[: len(reply) * 2 // 3] if asked in request and b"getetag" in request else reply

    with meddler(server, cut) as between:
        alice = authorised(between.url)
        with pytest.raises(Transient):
            alice.changes(book, "", [])


@pytest.mark.proves("I26")
def test_a_page_that_fails_in_the_middle_is_asked_for_again(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard(f"ada-{n:03}") for n in range(210)])
    broken = [True]

    def fail(request: bytes, reply: bytes) -> bytes:
        return refusing(503, "") if broken and b"ada-205" in request else reply

    with meddler(server, fail) as between:
        alice = authorised(between.url)
        first = alice.changes(book, "", [])
        assert (first.done, first.complete, first.finish) == (False, False, "")
        with pytest.raises(RateLimited):
            alice.changes(book, first.cursor, [])
        broken.clear()
        rest = alice.changes(book, first.cursor, [])
    assert rest.complete and len(rest.records) == 10


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_server_that_loses_its_reports_is_read_anew(status: int) -> None:
    def answers(method: str, request: str) -> bytes:
        if "sync-collection" in request:
            return refusing(status, "supported-report" if status == 403 else "")
        return multistatus(listed(BOOK, A_BOOK))

    with raw_server(serving(answers)) as old:
        alice = connect(old.url)
        with pytest.raises(CursorExpired):
            alice.changes(BOOK, json.dumps({"token": "http://example.com/sync/7"}), [])
        page = alice.changes(BOOK, "", [])
    assert (page.records, page.done, page.complete) == ([], True, True)


def full(*members: str) -> bool:
    """Whether a server that answers a listing of etags so lets a full pass be complete."""

    def answers(method: str, request: str) -> bytes:
        if "sync-collection" in request:
            return refusing(501, "")
        if "multiget" in request:
            hrefs = re.findall(r"<(?:\w+:)?href(?: [^>]*)?>([^<]*)<", request)
            return multistatus(*(data(href, vcard("x")) for href in hrefs))
        return multistatus(*members)

    with raw_server(serving(answers)) as old:
        return connect(old.url).changes(BOOK, "", []).complete


ADA = listed(f"{BOOK}ada.vcf")
MORE = f"<d:response><d:href>{BOOK}</d:href><d:status>HTTP/1.1 507 Insufficient Storage</d:status></d:response>"


@pytest.mark.proves("I26")
def test_only_a_list_of_the_whole_book_is_complete() -> None:
    assert full(listed(BOOK, A_BOOK), ADA) and full(listed(BOOK.rstrip("/"), A_BOOK))
    for members, words in (
        ((), "did not list the address book"),
        ((ADA,), "did not list the address book"),
        ((listed(BOOK), ADA), "did not list the address book"),
        ((listed(BOOK, A_BOOK), ADA, MORE), "more cards than it can list"),
        ((listed(BOOK, A_BOOK), listed("/bob/book/x.vcf")), "outside the address book"),
    ):
        with pytest.raises(Transient, match=words):
            full(*members)


def test_where_etags_do_not_show_an_edit_every_pass_is_a_full_one() -> None:
    bare = ADA.replace("<d:getetag>1</d:getetag>", "")

    def answers(method: str, request: str) -> bytes:
        if "sync-collection" in request:
            return refusing(501, "")
        if "multiget" in request:
            return multistatus(data(f"{BOOK}ada.vcf", vcard("ada")))
        return multistatus(listed(BOOK, A_BOOK), bare)

    with raw_server(serving(answers)) as old:
        alice = connect(old.url)
        _, _, cursor = everything(alice)
        with pytest.raises(CursorExpired):
            alice.changes(BOOK, cursor, [])


def test_an_update_is_made_with_the_etag_of_the_card(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada", "TITLE:Lady"), vcard("grace", "TITLE:Doctor")])
    ada, grace = everything(authorised(server.url), book)[0]
    puts: list[str] = []

    def listen(request: bytes, reply: bytes) -> bytes:
        if request.startswith(b"PUT"):
            puts.extend(re.findall(r"(?i)\r\nif-match: ([^\r]+)", request.decode()))
        return reply

    with meddler(server, listen) as between:
        (result,) = written(authorised(between.url), update(ada, {"title": "Countess"}), book=book)
    assert set(puts) == {ada.etag} and result.observed is not None and result.observed.etag != ada.etag
    assert "TITLE:Doctor" in server.read("alice", "grace") and grace.etag != ada.etag
