"""What each answer of a server leads to: a test per row of the closed list, and servers that do things differently."""

import json
import re

import pytest

from syncer.connectors.base import (
    AuthFailed,
    ConnectorError,
    CursorExpired,
    Misconfigured,
    Operation,
    Outcome,
    RateLimited,
    RecordGone,
    Transient,
    Write,
)
from syncer.connectors.carddav.errors import CLOSED_LIST, Act, Meaning, Row, meaning
from tests.contract.carddav import (
    BOOK,
    answer,
    connect,
    create,
    data,
    everything,
    ids,
    known,
    listed,
    marked,
    multistatus,
    refusing,
    serving,
    update,
    vcard,
    written,
)
from tests.contract.servers import raw_server

ADA = "/alice/book/ada.vcf"
Seen = type[ConnectorError] | Outcome | str


def outcome_of(act: Act, status: int, condition: str) -> Seen:
    """What a server that answers so to this act makes of the connector's call."""
    refusal = refusing(status, condition)

    def answers(method: str, request: str) -> bytes:
        if act is Act.SYNC and "sync-collection" in request:
            return multistatus(token="next") if status == 207 else refusal
        if act is Act.TOMBSTONE and "sync-collection" in request:
            return multistatus(marked(ADA, status), token="next")
        if act in (Act.CREATE, Act.UPDATE) and method == "PUT":
            return refusal
        if act is Act.BOOK and "addressbook-query" in request:
            return multistatus() if status == 207 else refusal
        if act is Act.CARD and method == "GET":
            return answer(vcard("ada"), "200 OK", "text/vcard") if status == 200 else refusal
        if method == "PROPFIND":
            return multistatus(listed(ADA), listed("/alice/book/", "<d:resourcetype><d:collection/></d:resourcetype>"))
        return multistatus() if act is Act.CARD else multistatus(data(ADA, vcard("another")))

    with raw_server(serving(answers)) as server:
        alice = connect(server.url)
        try:
            match act:
                case Act.CARD:
                    return "problem" if alice.read(BOOK, ADA, []).problem != "" else "ok"
                case Act.BOOK:
                    return "ok" if alice.find(BOOK, "ada@example.com") == [] else "found"
                case Act.SYNC | Act.TOMBSTONE:
                    page = alice.changes(BOOK, json.dumps({"token": "last"}), [])
                    return "gone" if page.gone == [ADA] else "ok"
                case _:
                    operation = Operation.CREATE if act is Act.CREATE else Operation.UPDATE
                    return written(alice, Write(operation, "ada", {"title": "X"}, ADA))[0].outcome
        except ConnectorError as error:
            assert "Because" not in str(error) and str(error)[0].isalnum() and str(error).endswith(".")
            return type(error)


def visible(row: Row) -> Seen:
    """What the contract says of a row, in the words of base.py."""
    act, _, _, found = row
    writes: dict[Meaning, Seen] = {
        Meaning.OK: Outcome.DONE,
        Meaning.AUTH: AuthFailed,
        Meaning.REFUSED: Outcome.REFUSED,
        Meaning.STALE: Outcome.STALE,
        Meaning.NOT_NOW: Outcome.NOT_SENT,
        Meaning.SLOW_DOWN: Outcome.NOT_SENT,
    }
    reads: dict[Meaning, Seen] = {
        Meaning.OK: "ok",
        Meaning.GONE: "gone" if act is Act.TOMBSTONE else RecordGone,
        Meaning.MISSING: Misconfigured,
        Meaning.EXPIRED: CursorExpired,
        Meaning.NO_SYNC: CursorExpired,  # it had sync-collection when the token was made
        Meaning.AUTH: AuthFailed,
        Meaning.FORBIDDEN: "problem" if act is Act.CARD else Misconfigured,
        Meaning.SLOW_DOWN: RateLimited,
    }
    return writes[found] if act in (Act.CREATE, Act.UPDATE) else reads[found]


@pytest.mark.parametrize("row", CLOSED_LIST, ids=lambda row: f"{row[0]}-{row[1]}-{row[2]}")
def test_each_row_of_the_closed_list_is_what_it_says(row: Row) -> None:
    assert outcome_of(row[0], row[1], row[2]) == visible(row)


@pytest.mark.parametrize(
    ("act", "status", "expected"),
    [
        (Act.CARD, 400, "problem"),
        (Act.CARD, 500, "problem"),
        (Act.CARD, 504, Transient),
        (Act.BOOK, 500, Transient),
        (Act.SYNC, 418, Transient),
        (Act.SYNC, 412, Transient),
        (Act.TOMBSTONE, 403, "ok"),
        (Act.CREATE, 500, Outcome.UNKNOWN),
        (Act.UPDATE, 302, Outcome.UNKNOWN),
    ],
)
def test_an_answer_that_is_not_on_the_list_proves_nothing(act: Act, status: int, expected: Seen) -> None:
    assert meaning(act, status) is Meaning.UNCLEAR
    assert outcome_of(act, status, "") == expected


def test_only_a_404_or_410_of_the_card_itself_makes_it_gone() -> None:
    gone = {row[:3] for row in CLOSED_LIST if row[3] is Meaning.GONE}
    assert gone == {(Act.CARD, 404, ""), (Act.CARD, 410, ""), (Act.TOMBSTONE, 404, "")}


def asked_for(request: str) -> list[str]:
    """The addresses that a multiget names, whatever prefix its namespace has in this process."""
    return re.findall(r"<(?:\w+:)?href(?: [^>]*)?>([^<]*)<", request)


class Old:
    """Like sabre/dav 1.8: no sync-collection, and a multiget answers 404 as a whole if one card is missing."""

    def __init__(self) -> None:
        self.cards = {f"/alice/book/{uid}.vcf": vcard(uid) for uid in ("ada", "grace")}
        self.calls: list[str] = []

    def __call__(self, method: str, request: str) -> bytes:
        path = request.split(" ")[1]
        self.calls.append(method)
        if "sync-collection" in request:
            return refusing(403, "supported-report")
        if method == "GET":
            return answer(self.cards[path], "200 OK") if path in self.cards else refusing(404, "")
        if "multiget" in request:
            asked = asked_for(request)
            if not set(asked) <= set(self.cards):
                return refusing(404, "")
            return multistatus(*(data(href, self.cards[href]) for href in asked))
        book = listed("/alice/book/", "<d:resourcetype><d:collection/><c:addressbook/></d:resourcetype>")
        return multistatus(book, *(listed(href, f"<d:x>{len(card)}</d:x>") for href, card in self.cards.items()))


def test_a_server_without_sync_is_read_by_its_etags() -> None:
    old = Old()
    with raw_server(serving(old)) as server:
        alice = connect(server.url)
        records, _, cursor = everything(alice)
        assert ids(records) == sorted(old.cards)
        old.calls.clear()
        assert everything(connect(server.url), cursor=cursor) == ([], [], cursor)
        assert old.calls == ["PROPFIND"]
        del old.cards[ADA]
        with pytest.raises(CursorExpired):
            alice.changes(BOOK, cursor, [])
        assert ids(everything(alice)[0]) == ["/alice/book/grace.vcf"]


def test_where_multiget_fails_as_a_whole_each_card_is_asked_for() -> None:
    old = Old()
    with raw_server(serving(old)) as server:
        found = known(server.url).read_many(BOOK, [ADA, "/alice/book/mary.vcf"], [])
    assert [one is None for one in found] == [False, True]
    assert old.calls == ["REPORT", "PROPFIND", "GET", "GET"]


def test_a_server_that_truncates_its_delta_is_asked_again_from_there() -> None:
    def answers(method: str, request: str) -> bytes:
        if "multiget" in request:
            hrefs = asked_for(request)
            return multistatus(*(data(href, vcard("x")) for href in hrefs))
        if "sync-collection" in request and "half" not in request:
            return multistatus(listed("/alice/book/b.vcf"), marked("/alice/book/", 507), token="half")
        return multistatus(listed("/alice/book/a.vcf"), token="whole")

    with raw_server(serving(answers)) as server:
        alice = connect(server.url)
        first = alice.changes(BOOK, json.dumps({"token": "last"}), [])
        assert (ids(first.records), first.done, json.loads(first.cursor)) == (
            ["/alice/book/b.vcf"],
            False,
            {"token": "half"},
        )
        second = alice.changes(BOOK, first.cursor, [])
        assert (ids(second.records), second.done, json.loads(second.cursor)) == (
            ["/alice/book/a.vcf"],
            True,
            {"token": "whole"},
        )
        full = alice.changes(BOOK, "", [])
        assert (ids(full.records), full.complete) == (["/alice/book/a.vcf", "/alice/book/b.vcf"], True)


def test_a_resumed_delta_covers_what_its_first_listing_did_however_it_is_cut_now() -> None:
    members = [f"/alice/book/{n:03}.vcf" for n in range(250)]
    cut: list[bool] = []

    def answers(method: str, request: str) -> bytes:
        if "multiget" in request:
            hrefs = asked_for(request)
            return multistatus(*(data(href, vcard("x")) for href in hrefs))
        if "half" in request:
            return multistatus(*map(listed, members[230:]), token="later")
        if cut:
            return multistatus(*map(listed, members[:230]), marked("/alice/book/", 507), token="half")
        return multistatus(*map(listed, members), token="first")

    with raw_server(serving(answers)) as server:
        first = connect(server.url).changes(BOOK, json.dumps({"token": "last"}), [])
        cut.append(True)
        rest = connect(server.url).changes(BOOK, first.cursor, [])
    assert (ids(rest.records), rest.done, json.loads(rest.cursor)) == (members[200:], True, {"token": "first"})


def test_a_server_that_truncates_without_end_is_left_alone() -> None:
    endless = multistatus(marked("/alice/book/", 507), token="same")
    with raw_server(serving(lambda *_: endless)) as server, pytest.raises(Transient, match="end of its list"):
        connect(server.url).changes(BOOK, "", [])


@pytest.mark.parametrize(
    "href", ["/bob/book/x.vcf", "/alice/book/%2e%2e/x.vcf", "http://evil.example/alice/book/x.vcf"]
)
def test_a_listing_that_leaves_the_book_is_not_believed(href: str) -> None:
    with raw_server(serving(lambda *_: multistatus(listed(href), token="t"))) as server, pytest.raises(Transient):
        connect(server.url).changes(BOOK, "", [])


def test_a_list_without_a_token_is_not_believed() -> None:
    with raw_server(serving(lambda *_: multistatus(listed(ADA)))) as server, pytest.raises(Transient):
        connect(server.url).changes(BOOK, "", [])


def test_collections_and_other_files_in_a_book_are_passed_over() -> None:
    members = (
        listed("/alice/book/", "<d:resourcetype><d:collection/></d:resourcetype>"),
        listed("/alice/book/sub/", "<d:resourcetype><d:collection/></d:resourcetype>"),
        listed("/alice/book/party.ics", "<d:getcontenttype>text/calendar; charset=utf-8</d:getcontenttype>"),
        listed("/alice/book/%61d%61.vcf", "<d:getcontenttype>text/x-vcard</d:getcontenttype>"),
    )

    def answers(method: str, request: str) -> bytes:
        assert "party" not in request and "sub" not in request
        return multistatus(data(ADA, vcard("ada"))) if "multiget" in request else multistatus(*members, token="t")

    with raw_server(serving(answers)) as server:
        page = connect(server.url).changes(BOOK, "", [])
    assert ids(page.records) == [ADA] and page.complete and page.records[0].etag == '"1"'


def test_one_card_that_the_server_withholds_is_a_problem_of_that_card_alone() -> None:
    def answers(method: str, request: str) -> bytes:
        if "multiget" in request:
            return multistatus(data(ADA, vcard("ada")), marked("/alice/book/b.vcf", 500))
        return multistatus(listed(ADA), listed("/alice/book/b.vcf"), token="t")

    with raw_server(serving(answers)) as server:
        page = connect(server.url).changes(BOOK, "", [])
    assert [record.problem for record in page.records] == ["", "The server would not give this card (status 500)."]


def test_a_slow_down_says_for_how_long() -> None:
    slow = answer("", "429 Too Many Requests").replace(b"\r\n\r\n", b"\r\nRetry-After: 120\r\n\r\n")
    with raw_server(serving(lambda *_: slow)) as server, pytest.raises(RateLimited) as limited:
        connect(server.url).changes(BOOK, "", [])
    assert limited.value.retry_after == 120


def test_the_words_of_a_refusal_are_one_short_line() -> None:
    long = answer("No\r\n\x1b[31m" + "x" * 5000, "400 Bad Request", "text/plain")
    page = answer("<html><b>No</b></html>", "400 Bad Request", "text/html")
    for reply, words in ((long, "status 400: No [31mxxx"), (page, "refused the card: status 400")):
        with raw_server(serving(lambda *_, reply=reply: reply)) as server:
            (result,) = written(known(server.url), create("key", given="Ada"))
        assert words in result.detail and "\n" not in result.detail and len(result.detail) < 250


def test_without_etags_no_card_is_changed() -> None:
    def answers(method: str, request: str) -> bytes:
        assert method != "PUT"
        return multistatus(data(ADA, vcard("ada")).replace("<d:getetag>1</d:getetag>", ""))

    with raw_server(serving(answers)) as server:
        alice = connect(server.url)
        (result,) = written(alice, update(alice.read(BOOK, ADA, []), {"title": "X"}))
    assert result.outcome is Outcome.REFUSED and "ETag" in result.detail


def test_a_missing_book_is_no_missing_card() -> None:
    def answers(method: str, request: str) -> bytes:
        return multistatus(listed("/alice/book/")) if method == "PROPFIND" else refusing(404, "")

    with raw_server(serving(answers)) as server, pytest.raises(Misconfigured, match="choose the address book again"):
        connect(server.url).read(BOOK, ADA, [])


def test_a_full_pass_never_expires() -> None:
    with raw_server(serving(lambda *_: refusing(410, ""))) as server, pytest.raises(Transient):
        known(server.url).changes(BOOK, "", [])


def test_a_search_that_is_cut_short_finds_nothing_for_sure() -> None:
    cut = multistatus(data(ADA, vcard("ada")), marked("/alice/book/", 507))
    with raw_server(serving(lambda *_: cut)) as server:
        alice = connect(server.url)
        with pytest.raises(Transient, match="more than it can list"):
            alice.find(BOOK, "ada@example.com")
        assert alice.tags(BOOK) == []


def test_a_login_that_fails_is_no_lack_of_tags() -> None:
    with raw_server(serving(lambda *_: refusing(401, ""))) as server:
        alice = connect(server.url)
        for ask in (lambda: alice.tags(BOOK), lambda: written(alice, Write(Operation.UPDATE, "key", {}, ADA))):
            with pytest.raises(AuthFailed):
                ask()


def test_a_card_that_cannot_be_read_is_not_written() -> None:
    with raw_server(serving(lambda *_: multistatus(data(ADA, "rubbish")))) as server:
        (result,) = written(connect(server.url), Write(Operation.UPDATE, "key", {"title": "X"}, ADA))
    assert result.outcome is Outcome.STALE and result.observed is not None and "no colon" in result.observed.problem


@pytest.mark.parametrize(
    ("put", "look", "outcome"),
    [
        (201, refusing(404, ""), Outcome.GONE),
        (412, refusing(404, ""), Outcome.NOT_SENT),
        (412, refusing(503, ""), Outcome.UNKNOWN),
        (412, answer("rubbish", "200 OK"), Outcome.STALE),
    ],
)
def test_a_create_is_judged_by_what_stands_there_afterwards(put: int, look: bytes, outcome: Outcome) -> None:
    def answers(method: str, request: str) -> bytes:
        return refusing(put, "") if method == "PUT" else look if method == "GET" else multistatus()

    with raw_server(serving(answers)) as server:
        (result,) = written(connect(server.url), create("ada", given="Ada"))
    assert result.outcome is outcome
