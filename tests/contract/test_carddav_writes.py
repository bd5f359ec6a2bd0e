"""Writing, on real servers: conditions, outcomes, and what a batch costs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncer.connectors.base import AuthFailed, BudgetSpent, Observed, Outcome
from syncer.connectors.carddav.connector import CardDav
from tests.contract.carddav import (
    OPEN,
    WITH_SYNC,
    Server,
    account,
    answer,
    authorised,
    body_of,
    connect,
    create,
    everything,
    meddler,
    servers,
    started,
    update,
    vcard,
    written,
)
from tests.contract.radicale import Radicale
from tests.contract.vdirsyncer import vdirsyncer
from tests.needs import needs

pytestmark = needs("radicale")


@pytest.fixture(params=servers(*WITH_SYNC, "sabredav"))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with started(request.param, tmp_path) as running:
        yield running


def never(observed: Observed) -> bool:
    return False


def test_twenty_creates_cost_twenty_puts_and_one_reading_back(server: Server) -> None:
    book = server.path("alice")
    alice = authorised(server.url)
    server.calls()
    writes = [create(f"key-{n}", given="Ada", family=f"Number {n}", email=f"ada{n}@example.com") for n in range(20)]
    results = written(alice, *writes, book=book)
    assert server.calls() == ["PUT"] * 20 + ["REPORT"]
    assert {result.outcome for result in results} == {Outcome.DONE}
    shown = [result.observed for result in results if result.observed is not None]
    assert [one.remote_id for one in shown] == [alice.created_id(book, write) for write in writes]
    assert shown[3].values["family"] == "Number 3" and shown[3].values["uid"] == "key-3" and shown[3].etag != ""
    assert alice.read(book, shown[3].remote_id, []) == shown[3]


def test_twenty_updates_cost_a_look_twenty_puts_and_one_reading_back(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard(f"ada-{n}", "TITLE:Lady") for n in range(20)])
    alice = authorised(server.url)
    records, _, _ = everything(alice, book)
    server.calls()
    results = written(alice, *(update(record, {"title": "Countess"}) for record in records), book=book)
    assert server.calls() == ["REPORT"] + ["PUT"] * 20 + ["REPORT"]
    assert [(r.outcome, r.observed.values["title"]) for r in results if r.observed is not None] == [
        (Outcome.DONE, "Countess")
    ] * 20


def test_an_update_that_changes_nothing_is_not_sent(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada", "TITLE:Countess")])
    alice = authorised(server.url)
    (ada,) = everything(alice, book)[0]
    server.calls()
    (result,) = written(alice, update(ada, {"title": "Countess", "note": None}), book=book)
    assert result.outcome is Outcome.DONE and server.calls() == ["REPORT"]


def test_an_edit_of_something_else_is_no_conflict(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada", "TITLE:Lady")])
    alice = authorised(server.url)
    (ada,) = everything(alice, book)[0]
    server.place("alice", "ada", vcard("ada", "TITLE:Lady", "X-SHOE-SIZE:37"))
    (result,) = written(alice, update(ada, {"title": "Countess"}), book=book)
    stored = server.read("alice", "ada")
    assert result.outcome is Outcome.DONE and "X-SHOE-SIZE:37" in stored and "TITLE:Countess" in stored


@pytest.mark.proves("I1", "E6 re-read")
def test_an_edit_of_the_same_field_is_stale_and_shows_what_stands_there(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada", "TITLE:Lady")])
    alice = authorised(server.url)
    (ada,) = everything(alice, book)[0]
    server.place("alice", "ada", vcard("ada", "TITLE:Enchantress of Number"))
    server.calls()
    (result,) = written(alice, replace(update(ada, {"title": "Countess"}), still_holds=never), book=book)
    assert result.outcome is Outcome.STALE and result.observed is not None
    assert result.observed.values["title"] == "Enchantress of Number" and server.calls() == ["REPORT"]


def test_without_an_etag_the_plan_is_asked(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada")])
    alice = authorised(server.url)
    (ada,) = everything(alice, book)[0]
    (result,) = written(alice, replace(update(ada, {"title": "Countess"}, etag=""), still_holds=never), book=book)
    assert result.outcome is Outcome.STALE


def test_an_edit_between_our_look_and_our_put_is_stale(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada", "TITLE:Lady")])
    (ada,) = everything(authorised(server.url), book)[0]

    def edit(request: bytes, reply: bytes) -> bytes:
        if b"multiget" in request:
            server.place("alice", "ada", vcard("ada", "TITLE:Lady", "NICKNAME:AAL"))
        return reply

    with meddler(server, edit) as between:
        (result,) = written(authorised(between.url), update(ada, {"title": "Countess"}), book=book)
    assert result.outcome is Outcome.STALE and result.observed is not None
    assert result.observed.values["nickname"] == "AAL" and result.observed.values["title"] == "Lady"


def test_a_contact_deleted_before_or_during_an_update_is_gone(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada"), vcard("grace")])
    ada, grace = everything(authorised(server.url), book)[0]
    server.remove("alice", "grace")

    def delete(request: bytes, reply: bytes) -> bytes:
        if b"multiget" in request:
            server.remove("alice", "ada")
        return reply

    with meddler(server, delete) as between:
        results = written(
            authorised(between.url), update(ada, {"title": "X"}), update(grace, {"title": "Y"}), book=book
        )
    assert [result.outcome for result in results] == [Outcome.GONE, Outcome.GONE]
    assert everything(authorised(server.url), book)[0] == []


def test_a_create_sent_again_finds_its_own_card(server: Server) -> None:
    book = server.path("alice")
    alice = authorised(server.url)
    first, second = (written(alice, create("key-1", given="Ada"), book=book)[0] for _ in range(2))
    assert first.outcome is second.outcome is Outcome.DONE and first.observed == second.observed
    assert len(everything(alice, book)[0]) == 1


@pytest.mark.proves("E7 create never updates")
def test_a_create_never_overwrites_the_card_of_another(server: Server) -> None:
    book = server.path("alice")
    server.place("alice", "key-1", vcard("another", name="Grace Hopper"))
    (result,) = written(authorised(server.url), create("key-1", given="Ada"), book=book)
    assert result.outcome is Outcome.STALE and result.observed is not None
    assert result.observed.values["given"] == "Grace"


def test_a_copied_card_keeps_its_uid_and_can_be_found_again(server: Server) -> None:
    book = server.path("alice")
    alice = authorised(server.url)
    plain, odd = create("key-1", uid="ada-1815", given="Ada"), create("key-2", uid="urn:uuid:../../x", given="Eve")
    results = written(alice, plain, odd, book=book)
    assert alice.created_id(book, plain) == f"{book}ada-1815.vcf"
    assert alice.created_id(book, odd).removeprefix(book).count("/") == 0
    for write, result in zip((plain, odd), results, strict=True):
        assert result.observed is not None and result.observed.values["uid"] == write.values["uid"]
        assert alice.read(book, alice.created_id(book, write), []) == result.observed
    assert alice.created_id(book, update(everything(alice, book)[0][0], {})) == ""


def test_a_uid_that_is_taken_is_refused_in_the_servers_words(radicale: Radicale) -> None:
    radicale.fill("alice", [vcard("ada-1815")])
    radicale.place("alice", "elsewhere", vcard("grace-1906"))
    alice = authorised(radicale.url)
    (result,) = written(alice, create("key-1", uid="grace-1906", given="Grace"))
    assert result.outcome is Outcome.REFUSED and "no-uid-conflict" in result.detail
    (ada, _) = everything(alice)[0]
    (changed,) = written(alice, update(ada, {"uid": "other"}))
    assert (changed.outcome, changed.field) == (Outcome.REFUSED, "uid")


@pytest.mark.parametrize("kind", servers("xandikos", "sabredav"))
def test_a_uid_that_is_taken_is_accepted_elsewhere(kind: str, tmp_path: Path) -> None:
    with started(kind, tmp_path) as server:
        book = server.path("alice")
        server.place("alice", "elsewhere", vcard("grace-1906"))
        (result,) = written(authorised(server.url), create("key-1", uid="grace-1906", given="Grace"), book=book)
        assert result.outcome is Outcome.DONE and server.stored("alice") == {"elsewhere", "grace-1906"}


def test_one_bad_value_is_refused_by_name_and_the_others_go_on(server: Server) -> None:
    book = server.path("alice")
    alice = authorised(server.url)
    server.calls()
    results = written(
        alice, create("a", given="A"), create("b", note="page\x0c"), create("c", birthday="soon"), book=book
    )
    assert [(result.outcome, result.field) for result in results] == [
        (Outcome.DONE, ""),
        (Outcome.REFUSED, "note"),
        (Outcome.REFUSED, "birthday"),
    ]
    assert server.calls() == ["PUT", "REPORT"]


def test_the_book_of_another_person_is_not_written(server: Server) -> None:
    (result,) = written(connect(server.url, user="bob"), create("key-1", given="Mallory"), book=server.path("alice"))
    assert result.outcome is Outcome.REFUSED and "status 403" in result.detail
    assert server.stored("alice") == set()


def test_a_put_without_an_answer_is_unknown_and_nothing_more_is_sent(server: Server) -> None:
    book = server.path("alice")

    def lose(request: bytes, reply: bytes) -> bytes:
        return b"" if f"PUT {book}b.vcf".encode() in request else reply

    with meddler(server, lose) as between:
        alice = authorised(between.url)
        results = written(alice, *(create(key, given=key) for key in "abcd"), book=book)
    assert [result.outcome for result in results] == [
        Outcome.DONE,
        Outcome.UNKNOWN,
        Outcome.NOT_SENT,
        Outcome.NOT_SENT,
    ]
    assert server.calls().count("PUT") == 2 and server.stored("alice") == {"a", "b"}
    assert authorised(server.url).read(book, f"{book}b.vcf", ["given"]).values == {"given": "b"}


def test_a_login_that_fails_half_way_stops_the_batch_after_what_was_done(server: Server) -> None:
    book = server.path("alice")

    def refuse(request: bytes, reply: bytes) -> bytes:
        return answer("", "401 Unauthorized") if f"PUT {book}b.vcf".encode() in request else reply

    results = []
    with meddler(server, refuse) as between:
        batch = authorised(between.url).write(book, [create(key, given=key) for key in "abc"])
        with pytest.raises(AuthFailed):
            for result in batch:
                results.append(result)
    assert [result.outcome for result in results] == [Outcome.DONE]
    assert "c" not in server.stored("alice")


def test_what_cannot_be_read_back_is_unknown(server: Server) -> None:
    book = server.path("alice")

    def cut(request: bytes, reply: bytes) -> bytes:
        return answer("<multistatus") if b"multiget" in request else reply

    with meddler(server, cut) as between:
        (result,) = written(authorised(between.url), create("a", given="A"), book=book)
    assert result.outcome is Outcome.UNKNOWN and "could not be read back" in result.detail


def test_updates_whose_cards_cannot_be_read_first_are_not_sent(server: Server) -> None:
    book = server.path("alice")
    server.fill("alice", [vcard("ada")])
    (ada,) = everything(authorised(server.url), book)[0]
    server.calls()
    busy = answer("", "503 Service Unavailable").replace(b"\r\n\r\n", b"\r\nRetry-After: 60\r\n\r\n")
    with meddler(server, lambda request, reply: busy if b"multiget" in request else reply) as between:
        results = written(authorised(between.url), update(ada, {"title": "X"}), create("b", given="B"), book=book)
    assert [result.outcome for result in results] == [Outcome.NOT_SENT, Outcome.NOT_SENT]
    assert "PUT" not in server.calls()


@dataclass
class Purse:
    calls: int

    def take(self) -> None:
        if self.calls == 0:
            raise BudgetSpent("The budget is spent.", datetime(2026, 11, 24, tzinfo=UTC))
        self.calls -= 1


def test_a_spent_budget_leaves_the_rest_unsent(radicale: Radicale) -> None:
    identity = connect(radicale.url).check().key
    alice = CardDav(account(radicale.url, identity=identity), OPEN, Purse(2))
    results = written(alice, *(create(key, given=key) for key in "abc"))
    # Nothing was left for the reading back either, so the two that were taken are to be looked at.
    assert [result.outcome for result in results] == [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.NOT_SENT]


NASTY = (
    "item1.EMAIL;type=INTERNET;type=pref:ada@example.com",
    "item1.X-ABLabel:_$!<Other>!$_",
    "EMAIL;TYPE=WORK:work@example.com",
    "item2.TEL;TYPE=CELL:+44 20 7946 0001",
    "item2.X-ABLABEL:boat\\, at sea",
    "TEL;TYPE=WORK,VOICE:+44 20 7946 0002",
    "TEL;TYPE=WORK,FAX:+44 20 7946 0003",
    'ADR;TYPE=HOME;LABEL="12, St James\'s; London":;;12 St James\\, Square;London;;SW1Y;UK',
    "PHOTO;ENCODING=b;TYPE=JPEG:" + "/9j/4AAQSkZJRg" * 400,
    "X-SOCIALPROFILE;TYPE=twitter:https://example.com/ada",
    "X-ARABIC:\u0622\u062f\u0627 \u0644\u0627\u0641\u0644\u064a\u0633",
    "X-EMOJI:" + "\U0001f469\u200d\U0001f4bb" * 40,
    "NOTE:" + "semi\\; comma\\, back\\\\slash\\nnew line " * 1600,
    "REV:2020-01-01T00:00:00Z",
)


def test_what_we_do_not_map_is_sent_back_as_the_server_gave_it(server: Server) -> None:
    book = server.path("alice")
    server.place("alice", "ada", vcard("ada", *NASTY))
    sent: list[str] = []
    given = unfolded(server.read("alice", "ada"))

    def listen(request: bytes, reply: bytes) -> bytes:
        if request.startswith(b"PUT"):
            sent.extend(unfolded(body_of(request)))
        return reply

    with meddler(server, listen) as between:
        alice = authorised(between.url)
        (ada,) = everything(alice, book)[0]
        (result,) = written(alice, update(ada, {"phone.mobile": "+44 20 7946 9999", "family": "King"}), book=book)
    assert result.outcome is Outcome.DONE and result.observed is not None
    assert set(given) - set(sent) == {"FN:Ada Lovelace", "N:Lovelace;Ada;;;", "item2.TEL;TYPE=CELL:+44 20 7946 0001"}
    assert set(sent) - set(given) == {"FN:Ada King", "N:King;Ada;;;", "item2.TEL;TYPE=CELL:+44 20 7946 9999"}
    assert [len(given), len(NASTY) + 6] == [len(sent), len(sent)]
    assert {**ada.values, "phone.mobile": "+44 20 7946 9999", "family": "King"} == result.observed.values


def unfolded(text: str) -> list[str]:
    return text.replace("\r\n ", "").split("\r\n")[:-1]


@needs("vdirsyncer")
def test_another_tool_finds_nothing_left_to_do(radicale: Radicale, tmp_path: Path) -> None:
    alice, bob = authorised(radicale.url), authorised(radicale.url, "bob")
    written(alice, *(create(f"key-{n}", given="Ada", email=f"ada{n}@example.com", tags=["VIP"]) for n in range(5)))
    copies = [create(f"other-{n}", **record.values) for n, record in enumerate(everything(alice)[0])]
    assert {result.outcome for result in written(bob, *copies, book="/bob/book/")} == {Outcome.DONE}
    radicale.calls()
    vdirsyncer(radicale, tmp_path)
    assert "PUT" not in radicale.calls()
