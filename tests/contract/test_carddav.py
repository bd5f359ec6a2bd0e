"""Reading, on real servers that have sync-collection."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.connectors.base import CursorExpired, Misconfigured, RecordGone, Transient
from tests.contract.carddav import (
    BOOK,
    WITH_SYNC,
    Server,
    answer,
    authorised,
    body_of,
    connect,
    create,
    everything,
    ids,
    meddler,
    servers,
    started,
    update,
    vcard,
    written,
)
from tests.contract.radicale import Radicale
from tests.contract.xandikos import Xandikos
from tests.needs import needs

pytestmark = needs("radicale")


@pytest.fixture(params=servers(*WITH_SYNC))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with started(request.param, tmp_path) as running:
        yield running


def test_the_book_of_another_person_cannot_be_read(server: Server) -> None:
    book = server.path("alice")
    with pytest.raises(Misconfigured, match="does not let this user read"):
        connect(server.url, user="bob").changes(book, "", [])


def test_a_book_that_is_not_there_is_no_deletion(server: Server) -> None:
    alice, other = connect(server.url), server.path("alice", "other")
    for look in (lambda: alice.changes(other, "", []), lambda: alice.read(other, f"{other}x.vcf", [])):
        with pytest.raises(Misconfigured, match="at this address"):
            look()


def test_a_full_pass_is_complete_and_in_order(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard(f"ada-{n:03}", f"EMAIL:ada{n}@example.com") for n in range(450)])
    alice = authorised(server.url)
    server.calls()
    first = alice.changes(book, "", ["email"])
    second = alice.changes(book, first.cursor, ["email"])
    third = alice.changes(book, second.cursor, ["email"])
    assert server.calls() == ["REPORT"] * (1 + 2 + 2 + 1)
    assert [(page.done, page.complete, len(page.records)) for page in (first, second, third)] == [
        (False, False, 200),
        (False, False, 200),
        (True, True, 50),
    ]
    seen = ids([*first.records, *second.records, *third.records])
    assert seen == sorted(seen) == [f"{book}ada-{n:03}.vcf" for n in range(450)]
    assert first.records[7].values == {"email": "ada7@example.com"}
    assert json.loads(third.cursor) == {"token": json.loads(first.cursor)["token"]}


def test_a_quiet_delta_costs_one_call_also_for_a_fresh_instance(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada")])
    _, _, cursor = everything(authorised(server.url), book)
    fresh = authorised(server.url)
    server.calls()
    page = fresh.changes(book, cursor, [])
    assert (page.records, page.gone, page.done, page.complete, page.cursor) == ([], [], True, False, cursor)
    assert server.calls() == ["REPORT"]


def test_a_delta_shows_what_was_made_changed_and_deleted(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada"), vcard("grace"), vcard("mary")])
    alice = authorised(server.url)
    records, _, cursor = everything(alice, book)
    written(alice, create("joan", given="Joan"), update(records[0], {"title": "Countess"}), book=book)
    server.remove("alice", "mary")
    records, gone, _ = everything(alice, book, cursor=cursor)
    assert ids(records) == [f"{book}ada.vcf", f"{book}joan.vcf"] and gone == [f"{book}mary.vcf"]
    assert records[0].values["title"] == "Countess"


def test_a_fresh_instance_goes_on_where_a_pass_stopped_and_keeps_its_first_token(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard(f"ada-{n:03}") for n in range(300)])
    first = authorised(server.url).changes(book, "", [])
    # Meanwhile: one behind the cursor is changed, one before it is deleted, one before and one behind are made.
    other = authorised(server.url)
    written(other, update(first.records[3], {"title": "Countess"}), create("aaa", given="Early"), book=book)
    written(other, create("zzz", given="Late"), book=book)
    server.remove("alice", "ada-250")
    rest = authorised(server.url).changes(book, first.cursor, [])
    assert rest.done and rest.complete and len(rest.records) == 100
    assert json.loads(rest.cursor)["token"] == json.loads(first.cursor)["token"]
    records, gone, _ = everything(authorised(server.url), book, cursor=rest.cursor)
    assert ids(records) == [f"{book}{name}.vcf" for name in ("aaa", "ada-003", "zzz")]
    assert gone == [f"{book}ada-250.vcf"]


def test_a_long_delta_is_paged_and_resumed_too(radicale: Radicale) -> None:
    alice = authorised(radicale.url)
    _, _, cursor = everything(alice)
    for n in range(250):
        radicale.place("alice", f"ada-{n:03}", vcard(f"ada-{n:03}"))
    first = alice.changes(BOOK, cursor, [])
    rest = authorised(radicale.url).changes(BOOK, first.cursor, [])
    assert (first.done, len(first.records), rest.done, len(rest.records), rest.complete) == (
        False,
        200,
        True,
        50,
        False,
    )
    assert authorised(radicale.url).changes(BOOK, rest.cursor, []).records == []


def test_another_pass_in_between_does_not_shorten_the_one_under_way(radicale: Radicale) -> None:
    radicale.fill("alice", [vcard(f"ada-{n:03}") for n in range(210)])
    alice = authorised(radicale.url)
    first = alice.changes(BOOK, "", [])
    assert alice.changes(BOOK, json.dumps({"token": json.loads(first.cursor)["token"]}), []).records == []
    rest = alice.changes(BOOK, first.cursor, [])
    assert (len(rest.records), rest.complete) == (10, True)


@pytest.mark.parametrize("token", ["http://radicale.org/ns/sync/" + "0" * 64, "0" * 40, "rubbish"])
def test_an_unknown_token_means_reading_anew(server: Server, token: str) -> None:
    book = server.path("alice")
    with pytest.raises(CursorExpired):
        authorised(server.url).changes(book, json.dumps({"token": token}), [])


@pytest.mark.parametrize("cursor", ["rubbish", "[]", "{}", '{"token": 3}', '{"after": "x"}'])
def test_a_cursor_that_is_not_ours_means_reading_anew(radicale: Radicale, cursor: str) -> None:
    with pytest.raises(CursorExpired):
        authorised(radicale.url).changes(BOOK, cursor, [])


@pytest.mark.proves("E2 expired cursor")
def test_a_token_that_the_server_has_forgotten_means_reading_anew(server: Radicale | Xandikos) -> None:
    book = server.path("alice")
    alice = authorised(server.url)
    _, _, cursor = everything(alice, book)
    written(alice, create("ada", given="Ada"), book=book)
    server.forget("alice")
    with pytest.raises(CursorExpired):
        alice.changes(book, cursor, [])
    assert len(everything(alice, book)[0]) == 1


def test_one_card_is_read_or_proven_gone(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada", "TITLE:Countess")])
    alice = authorised(server.url)
    server.calls()
    assert alice.read(book, f"{book}ada.vcf", ["title"]).values == {"title": "Countess"}
    assert server.calls() == ["REPORT"]
    with pytest.raises(RecordGone):
        alice.read(book, f"{book}grace.vcf", [])
    assert server.calls() == ["REPORT", "GET"]
    found = alice.read_many(book, [f"{book}grace.vcf", f"{book}ada.vcf"], [])
    assert [None if one is None else one.remote_id for one in found] == [None, f"{book}ada.vcf"]


def test_a_contact_is_found_by_its_primary_email_in_any_case(server: Server) -> None:
    book = server.path("alice")
    cards = [
        vcard("ada", "EMAIL:Ada@Example.com", "EMAIL:second@example.com"),
        vcard("grace", "EMAIL:not.ada@example.com"),
    ]
    server.fill("alice", cards)
    alice = authorised(server.url)
    assert ids(alice.find(book, "ada@example.COM")) == [f"{book}ada.vcf"]
    assert ids(alice.find(book, "second@example.com")) == [] == ids(alice.find(book, "nobody@example.com"))
    assert ids(alice.find(book, marker="grace")) == [f"{book}grace.vcf"] and alice.find(book) == []


def test_the_categories_in_use_are_listed(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("a", "CATEGORIES:VIP,Red\\, dark"), vcard("b", "CATEGORIES:VIP"), vcard("c")])
    assert authorised(server.url).tags(book) == ["Red, dark", "VIP"]


def test_groups_are_no_contacts(server: Server) -> None:
    book = server.path("alice")
    group = vcard("friends", "X-ADDRESSBOOKSERVER-KIND:group", "X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:ada")
    server.fill("alice", [vcard("ada"), group])
    alice = authorised(server.url)
    page = alice.changes(book, "", [])
    assert ids(page.records) == [f"{book}ada.vcf"] and page.complete
    assert "group" in alice.read(book, f"{book}friends.vcf", []).problem


def test_a_broken_card_does_not_stop_the_others(radicale: Radicale) -> None:
    radicale.fill("alice", [vcard("ada"), vcard("grace")])
    radicale.place("alice", "torn", vcard("torn").partition("END")[0])

    def spoil(request: bytes, reply: bytes) -> bytes:
        return answer(body_of(reply).replace("UID:grace", "no colon here")) if b"multiget" in request else reply

    with meddler(radicale, spoil) as between:
        page = authorised(between.url).changes(BOOK, "", [])
    problems = {record.remote_id: record.problem for record in page.records}
    # Radicale hides what it cannot read itself (torn.vcf).
    assert page.complete and problems["/alice/book/ada.vcf"] == "" and len(problems) == 2
    assert "no colon" in problems["/alice/book/grace.vcf"]


@pytest.mark.proves("I26")
@pytest.mark.parametrize("asked", [b"sync-collection", b"addressbook-multiget"])
def test_a_listing_that_is_cut_short_completes_nothing(server: Server, asked: bytes) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada"), vcard("grace")])

    def cut(request: bytes, reply: bytes) -> bytes:
        return reply[: len(reply) * 2 // 3] if asked in request else reply

    with meddler(server, cut) as between, pytest.raises(Transient):
        authorised(between.url).changes(book, "", [])


def test_a_web_page_in_place_of_a_listing_completes_nothing(radicale: Radicale) -> None:
    def page(request: bytes, reply: bytes) -> bytes:
        return answer("<html>Sorry</html>", "200 OK", "text/html") if b"REPORT" in request else reply

    with meddler(radicale, page) as between:
        alice = authorised(between.url)
        with pytest.raises(Transient):
            alice.changes(BOOK, "", [])


def test_an_entity_bomb_is_refused(radicale: Radicale) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><multistatus xmlns="DAV:"><sync-token>&a;</sync-token></multistatus>'
    with meddler(radicale, lambda request, reply: answer(bomb) if b"REPORT" in request else reply) as between:
        alice = authorised(between.url)
        with pytest.raises(Transient, match="did not answer as a CardDAV server"):
            alice.changes(BOOK, "", [])


def test_a_control_character_in_one_card_does_not_hide_the_book(radicale: Radicale) -> None:
    radicale.fill("alice", [vcard("ada", "NOTE:page one"), vcard("grace")])

    def poison(request: bytes, reply: bytes) -> bytes:
        return answer(body_of(reply).replace("page one", "page\x0cone")) if b"multiget" in request else reply

    with meddler(radicale, poison) as between:
        records = authorised(between.url).changes(BOOK, "", []).records
    assert len(records) == 2 and records[0].values["note"] == "pageone"


def test_a_card_that_multiget_leaves_out_is_asked_for_alone(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada"), vcard("grace")])

    def forget(request: bytes, reply: bytes) -> bytes:
        return answer('<multistatus xmlns="DAV:"/>') if b"multiget" in request else reply

    with meddler(server, forget) as between:
        page = authorised(between.url).changes(book, "", [])
    assert page.complete and len(page.records) == 2 and page.gone == []
    assert server.calls().count("GET") == 2


@pytest.mark.proves("I27")
def test_a_card_deleted_during_the_pass_is_gone_only_by_its_own_404(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada"), vcard("grace")])

    def delete(request: bytes, reply: bytes) -> bytes:
        if b"sync-collection" in request:
            server.remove("alice", "grace")
        return reply

    with meddler(server, delete) as between:
        page = authorised(between.url).changes(book, "", [])
    assert ids(page.records) == [f"{book}ada.vcf"] and page.gone == [f"{book}grace.vcf"] and page.complete
