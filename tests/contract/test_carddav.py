"""Reading, on a real Radicale."""

import json

import pytest

from syncer.connectors.base import CursorExpired, Misconfigured, RecordGone, Transient
from tests.contract.carddav import (
    BOOK,
    answer,
    authorised,
    body_of,
    connect,
    create,
    everything,
    ids,
    meddler,
    update,
    vcard,
    written,
)
from tests.contract.radicale import Radicale
from tests.needs import needs

pytestmark = needs("radicale")


def test_the_book_of_another_person_cannot_be_read(radicale: Radicale) -> None:
    with pytest.raises(Misconfigured, match="does not let this user read"):
        connect(radicale.url, user="bob").changes(BOOK, "", [])


def test_a_book_that_is_not_there_is_no_deletion(radicale: Radicale) -> None:
    alice = connect(radicale.url)
    for look in (lambda: alice.changes("/alice/other/", "", []), lambda: alice.read("/alice/other/", "/alice/x", [])):
        with pytest.raises(Misconfigured, match="nothing at this address"):
            look()


def test_a_full_pass_is_complete_and_in_order(radicale: Radicale) -> None:
    radicale.fill("alice", [vcard(f"ada-{n:03}", f"EMAIL:ada{n}@example.com") for n in range(450)])
    alice = authorised(radicale.url)
    radicale.calls()
    first = alice.changes(BOOK, "", ["email"])
    second = alice.changes(BOOK, first.cursor, ["email"])
    third = alice.changes(BOOK, second.cursor, ["email"])
    assert radicale.calls() == ["REPORT"] * (1 + 2 + 2 + 1)
    assert [(page.done, page.complete, len(page.records)) for page in (first, second, third)] == [
        (False, False, 200),
        (False, False, 200),
        (True, True, 50),
    ]
    seen = ids([*first.records, *second.records, *third.records])
    assert seen == sorted(seen) == [f"/alice/book/ada-{n:03}.vcf" for n in range(450)]
    assert first.records[7].values == {"email": "ada7@example.com"}
    assert json.loads(third.cursor) == {"token": json.loads(first.cursor)["token"]}


def test_a_quiet_delta_costs_one_call_also_for_a_fresh_instance(radicale: Radicale) -> None:
    radicale.fill("alice", [vcard("ada")])
    _, _, cursor = everything(authorised(radicale.url))
    fresh = authorised(radicale.url)
    radicale.calls()
    page = fresh.changes(BOOK, cursor, [])
    assert (page.records, page.gone, page.done, page.complete, page.cursor) == ([], [], True, False, cursor)
    assert radicale.calls() == ["REPORT"]


def test_a_delta_shows_what_was_made_changed_and_deleted(radicale: Radicale) -> None:
    radicale.fill("alice", [vcard("ada"), vcard("grace"), vcard("mary")])
    alice = authorised(radicale.url)
    records, _, cursor = everything(alice)
    written(alice, create("joan", given="Joan"), update(records[0], {"title": "Countess"}))
    (radicale.book_folder("alice") / "mary.vcf").unlink()
    records, gone, _ = everything(alice, cursor=cursor)
    assert ids(records) == ["/alice/book/ada.vcf", "/alice/book/joan.vcf"] and gone == ["/alice/book/mary.vcf"]
    assert records[0].values["title"] == "Countess"


def test_a_fresh_instance_goes_on_where_a_pass_stopped_and_keeps_its_first_token(radicale: Radicale) -> None:
    radicale.fill("alice", [vcard(f"ada-{n:03}") for n in range(300)])
    first = authorised(radicale.url).changes(BOOK, "", [])
    # Meanwhile: one behind the cursor is changed, one before it is deleted, one before and one behind are made.
    other = authorised(radicale.url)
    written(other, update(first.records[3], {"title": "Countess"}), create("aaa", given="Early"))
    written(other, create("zzz", given="Late"))
    (radicale.book_folder("alice") / "ada-250.vcf").unlink()
    rest = authorised(radicale.url).changes(BOOK, first.cursor, [])
    assert rest.done and rest.complete and len(rest.records) == 100
    assert json.loads(rest.cursor)["token"] == json.loads(first.cursor)["token"]
    records, gone, _ = everything(authorised(radicale.url), cursor=rest.cursor)
    assert ids(records) == [f"/alice/book/{name}.vcf" for name in ("aaa", "ada-003", "zzz")]
    assert gone == ["/alice/book/ada-250.vcf"]


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


@pytest.mark.parametrize("token", ["http://radicale.org/ns/sync/" + "0" * 64, "rubbish"])
def test_an_unknown_token_means_reading_anew(radicale: Radicale, token: str) -> None:
    with pytest.raises(CursorExpired):
        authorised(radicale.url).changes(BOOK, json.dumps({"token": token}), [])


@pytest.mark.parametrize("cursor", ["rubbish", "[]", "{}", '{"token": 3}', '{"after": "x"}'])
def test_a_cursor_that_is_not_ours_means_reading_anew(radicale: Radicale, cursor: str) -> None:
    with pytest.raises(CursorExpired):
        authorised(radicale.url).changes(BOOK, cursor, [])


def test_a_token_that_the_server_has_forgotten_means_reading_anew(radicale: Radicale) -> None:
    alice = authorised(radicale.url)
    _, _, cursor = everything(alice)
    for token in (radicale.book_folder("alice") / ".Radicale.cache" / "sync-token").iterdir():
        token.unlink()
    written(alice, create("ada", given="Ada"))
    with pytest.raises(CursorExpired):
        alice.changes(BOOK, cursor, [])
    assert len(everything(alice)[0]) == 1


def test_one_card_is_read_or_proven_gone(radicale: Radicale) -> None:
    radicale.fill("alice", [vcard("ada", "TITLE:Countess")])
    alice = authorised(radicale.url)
    radicale.calls()
    assert alice.read(BOOK, "/alice/book/ada.vcf", ["title"]).values == {"title": "Countess"}
    assert radicale.calls() == ["REPORT"]
    with pytest.raises(RecordGone):
        alice.read(BOOK, "/alice/book/grace.vcf", [])
    assert radicale.calls() == ["REPORT", "GET"]
    found = alice.read_many(BOOK, ["/alice/book/grace.vcf", "/alice/book/ada.vcf"], [])
    assert [None if one is None else one.remote_id for one in found] == [None, "/alice/book/ada.vcf"]


def test_a_contact_is_found_by_its_primary_email_in_any_case(radicale: Radicale) -> None:
    cards = [
        vcard("ada", "EMAIL:Ada@Example.com", "EMAIL:second@example.com"),
        vcard("grace", "EMAIL:not.ada@example.com"),
    ]
    radicale.fill("alice", cards)
    alice = authorised(radicale.url)
    assert ids(alice.find(BOOK, "ada@example.COM")) == ["/alice/book/ada.vcf"]
    assert ids(alice.find(BOOK, "second@example.com")) == [] == ids(alice.find(BOOK, "nobody@example.com"))
    assert ids(alice.find(BOOK, marker="grace")) == ["/alice/book/grace.vcf"] and alice.find(BOOK) == []


def test_the_categories_in_use_are_listed(radicale: Radicale) -> None:
    radicale.fill("alice", [vcard("a", "CATEGORIES:VIP,Red\\, dark"), vcard("b", "CATEGORIES:VIP"), vcard("c")])
    assert authorised(radicale.url).tags(BOOK) == ["Red, dark", "VIP"]


def test_groups_are_no_contacts(radicale: Radicale) -> None:
    group = vcard("friends", "X-ADDRESSBOOKSERVER-KIND:group", "X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:ada")
    radicale.fill("alice", [vcard("ada"), group])
    alice = authorised(radicale.url)
    page = alice.changes(BOOK, "", [])
    assert ids(page.records) == ["/alice/book/ada.vcf"] and page.complete
    assert "group" in alice.read(BOOK, "/alice/book/friends.vcf", []).problem


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


@pytest.mark.parametrize("asked", [b"sync-collection", b"addressbook-multiget"])
def test_a_listing_that_is_cut_short_completes_nothing(radicale: Radicale, asked: bytes) -> None:
    radicale.fill("alice", [vcard("ada"), vcard("grace")])

    def cut(request: bytes, reply: bytes) -> bytes:
        return reply[: len(reply) * 2 // 3] if asked in request else reply

    with meddler(radicale, cut) as between, pytest.raises(Transient):
        authorised(between.url).changes(BOOK, "", [])


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


def test_a_card_that_multiget_leaves_out_is_asked_for_alone(radicale: Radicale) -> None:
    radicale.fill("alice", [vcard("ada"), vcard("grace")])

    def forget(request: bytes, reply: bytes) -> bytes:
        return answer('<multistatus xmlns="DAV:"/>') if b"multiget" in request else reply

    with meddler(radicale, forget) as between:
        page = authorised(between.url).changes(BOOK, "", [])
    assert page.complete and len(page.records) == 2 and page.gone == []
    assert radicale.calls().count("GET") == 2


def test_a_card_deleted_during_the_pass_is_gone_only_by_its_own_404(radicale: Radicale) -> None:
    radicale.fill("alice", [vcard("ada"), vcard("grace")])

    def delete(request: bytes, reply: bytes) -> bytes:
        if b"sync-collection" in request:
            (radicale.book_folder("alice") / "grace.vcf").unlink(missing_ok=True)
        return reply

    with meddler(radicale, delete) as between:
        page = authorised(between.url).changes(BOOK, "", [])
    assert ids(page.records) == ["/alice/book/ada.vcf"] and page.gone == ["/alice/book/grace.vcf"] and page.complete
