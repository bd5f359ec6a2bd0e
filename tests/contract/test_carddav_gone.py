"""The closed lists of "gone" and "stale" from outside: every status with every body, and what stands around them."""

import json

import pytest

from syncer.connectors.base import AuthFailed, ConnectorError, Misconfigured, Operation, Outcome, RecordGone, Write
from syncer.connectors.carddav.errors import CLOSED_LIST, REFUSALS, Act, Meaning, meaning
from tests.contract.carddav import (
    BOOK,
    answer,
    body_of,
    connect,
    data,
    ids,
    known,
    listed,
    marked,
    multistatus,
    refusing,
    serving,
    vcard,
    written,
)
from tests.contract.servers import raw_server
from tests.contract.test_carddav_errors import ADA, Seen, outcome_of

A_BOOK = "<d:resourcetype><d:collection/><c:addressbook/></d:resourcetype>"
EVERY_STATUS = (200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 307, 308)
EVERY_STATUS += (*range(400, 419), *range(421, 427), 428, 429, 431, 451, 499, *range(500, 509), 510, 511, 520, 525, 599)
ERRORS = (*sorted({row[2] for row in CLOSED_LIST}), "resource-must-be-null", "need-privileges", "no-such-thing")
BODIES = (
    *(("application/xml", body_of(refusing(409, name))) for name in ERRORS),
    ("text/html", "<html><title>404 Not Found</title>Gone.</html>"),
    ("application/json", '{"status": 404, "error": "not found"}'),
    ("application/xml", body_of(multistatus(marked(ADA, 404)))),
    ("text/plain", ""),
)


def said(status: int, kind: str, body: str) -> bytes:
    """An answer that no reader repeats right away."""
    return answer(body, f"{status} X", kind).replace(b"\r\n\r\n", b"\r\nRetry-After: 60\r\n\r\n", 1)


def looked(url: str) -> Seen:
    try:
        return "problem" if connect(url).read(BOOK, ADA, []).problem != "" else "ok"
    except ConnectorError as error:
        return type(error)


@pytest.mark.parametrize("status", EVERY_STATUS)
@pytest.mark.proves("I27")
def test_whatever_a_server_says_of_a_card_only_its_own_404_or_410_makes_it_gone(status: int) -> None:
    replies = iter([said(status, *body) for body in BODIES])

    def answers(method: str, request: str) -> bytes:
        return next(replies) if method == "GET" else multistatus(listed(BOOK, A_BOOK))

    with raw_server(serving(answers)) as server:
        seen = {looked(server.url) for _ in BODIES}
    assert (RecordGone in seen) == (status in (404, 410)) and (len(seen) == 1 or RecordGone not in seen)


@pytest.mark.parametrize("status", EVERY_STATUS)
@pytest.mark.parametrize("act", ["multiget", "member", "propfind"])
@pytest.mark.proves("I27")
def test_no_answer_of_the_book_makes_a_card_gone(act: str, status: int) -> None:
    """Neither to the multiget, nor of one card in it, nor to the question whether the book is there at all."""
    replies = iter([said(status, *body) for body in BODIES])

    def answers(method: str, request: str) -> bytes:
        if method == "GET":
            return said(500, "text/plain", "")
        if "multiget" in request:
            if act == "member":
                return multistatus(marked(ADA, status))
            return next(replies) if act == "multiget" else refusing(404, "")
        asking = act == "propfind" and len(server.requests) > 1
        return next(replies) if asking else multistatus(listed(BOOK, A_BOOK))

    with raw_server(serving(answers)) as server:
        alice = known(server.url)
        for _ in BODIES:
            try:
                assert alice.read(BOOK, ADA, []).problem != "" or act == "multiget"
            except ConnectorError as error:
                assert not isinstance(error, RecordGone)


@pytest.mark.parametrize("status", EVERY_STATUS)
@pytest.mark.proves("I27")
def test_in_a_list_of_changes_only_a_404_is_a_tombstone(status: int) -> None:
    assert (outcome_of(Act.TOMBSTONE, status, "") == "gone") == (status == 404)


@pytest.mark.parametrize("status", EVERY_STATUS)
@pytest.mark.parametrize("operation", Operation)
@pytest.mark.proves("I27")
def test_only_a_failed_condition_makes_us_look_what_stands_there(operation: Operation, status: int) -> None:
    """Whatever else a PUT is answered, the card is not called gone or stale, though a look would say that it is."""
    act = Act.CREATE if operation is Operation.CREATE else Act.UPDATE
    gets: list[str] = []

    def answers(method: str, request: str) -> bytes:
        if method == "PUT":
            return next(replies)
        if method == "GET":
            gets.append(request)
            return refusing(404, "")
        return multistatus(data(ADA, vcard("ada"))) if len(gets) == 0 and "multiget" in request else multistatus()

    for name, body in zip((*ERRORS, *[""] * 4), BODIES, strict=True):
        replies = iter([said(status, *body)])
        gets.clear()
        with raw_server(serving(answers)) as server:
            try:
                outcome: Seen = written(known(server.url), Write(operation, "ada", {"title": "X"}, ADA))[0].outcome
            except AuthFailed:
                outcome = AuthFailed
        found = meaning(act, status, frozenset({name} if status >= 300 else ()))
        looks = found is Meaning.STALE or found is Meaning.OK
        assert looks or outcome not in (Outcome.STALE, Outcome.GONE, Outcome.DONE), (status, name)


def test_the_stale_answers_are_these() -> None:
    names = frozenset(row[2] for row in CLOSED_LIST if row[2] in REFUSALS)
    stale = {(act, status) for act in Act for status in range(100, 600) if meaning(act, status) is Meaning.STALE}
    assert stale == {(Act.CREATE, 412), (Act.UPDATE, 412), (Act.UPDATE, 404), (Act.UPDATE, 410)}
    for name in names:
        refused = {(act, s) for act in Act for s in range(600) if meaning(act, s, frozenset({name})) is Meaning.REFUSED}
        assert {(Act.CREATE, 412), (Act.UPDATE, 412)} <= refused


@pytest.mark.proves("I27")
def test_no_precondition_turns_another_status_into_gone() -> None:
    for name in (*ERRORS, "anything-else"):
        gone = {(act, s) for act in Act for s in range(100, 600) if meaning(act, s, frozenset({name})) is Meaning.GONE}
        assert gone == {(Act.CARD, 404), (Act.CARD, 410), (Act.TOMBSTONE, 404)}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.proves("I27")
def test_a_card_that_leads_elsewhere_is_not_gone_because_nothing_is_there(status: int) -> None:
    moved = answer("", f"{status} Moved").replace(b"\r\n\r\n", b"\r\nLocation: /login?next=card\r\n\r\n", 1)

    def answers(method: str, request: str) -> bytes:
        if method == "GET":
            return moved if f"GET {ADA}" in request else refusing(404, "")
        return multistatus(listed(BOOK, A_BOOK))

    with raw_server(serving(answers)) as server:
        assert looked(server.url) == "problem"


@pytest.mark.proves("I27")
def test_a_book_that_leads_to_another_one_is_not_there() -> None:
    def answers(method: str, request: str) -> bytes:
        if method == "PROPFIND":
            return multistatus(listed("/alice/", A_BOOK))
        return refusing(404, "")

    with raw_server(serving(answers)) as server, pytest.raises(Misconfigured, match="choose the address book again"):
        connect(server.url).read(BOOK, ADA, [])


@pytest.mark.parametrize("pair", [(marked(ADA, 404), listed(ADA)), (listed(ADA), marked(ADA, 404))])
def test_what_one_list_calls_both_removed_and_there_is_looked_at(pair: tuple[str, str]) -> None:
    def answers(method: str, request: str) -> bytes:
        if "sync-collection" in request:
            return multistatus(*pair, token="next")
        return multistatus(data(ADA, vcard("ada"))) if "multiget" in request else multistatus(listed(BOOK, A_BOOK))

    with raw_server(serving(answers)) as server:
        page = connect(server.url).changes(BOOK, json.dumps({"token": "last"}), [])
    assert (ids(page.records), page.gone) == ([ADA], [])
