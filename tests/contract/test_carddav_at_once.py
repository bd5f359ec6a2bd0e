"""Several cards at once, on a real Radicale: what is under way when something breaks, and in whose thread."""

import threading
from collections import Counter

import pytest
from django.db import transaction

from syncer.connectors.base import AuthFailed, Outcome
from syncer.connectors.carddav.connector import CardDav
from tests.contract.carddav import BOOK, OPEN, Meddle, account, answer, authorised, connect, create, meddler, written
from tests.contract.radicale import Radicale
from tests.contract.test_together import Purse
from tests.needs import needs

pytestmark = needs("radicale")


def names(letters: str) -> list[str]:
    return [f"/alice/book/{letter}.vcf" for letter in letters]


def puts(radicale: Radicale) -> list[str]:
    return [request.path for request in radicale.requests if request.method == "PUT"]


def is_put(request: bytes, letters: str) -> bool:
    return any(request.startswith(f"PUT {name} ".encode()) for name in names(letters))


def losing(letters: str) -> Meddle:
    """The PUTs of these are answered with nothing; those of e to h only when all four have come."""
    four = threading.Barrier(4)

    def meddle(request: bytes, reply: bytes) -> bytes:
        if is_put(request, "efgh"):
            four.wait(20)
        return b"" if is_put(request, letters) else reply

    return meddle


def test_after_the_first_four_four_are_under_way_at_a_time(radicale: Radicale) -> None:
    four = threading.Barrier(4)
    together = []

    def hold(request: bytes, reply: bytes) -> bytes:
        """Nobody of the later ones gets an answer before four wait for theirs."""
        if is_put(request, "efghijkl"):
            four.wait(20)
            together.append(request)
        return reply

    with meddler(radicale, hold) as between:
        results = written(authorised(between.url), *(create(key, given=key) for key in "abcdefghijkl"))
    assert [r.observed.values["given"] for r in results if r.observed is not None] == list("abcdefghijkl")
    assert puts(radicale)[:4] == names("abcd") and len(together) == 8


def test_of_those_under_way_only_the_one_without_an_answer_is_unknown(radicale: Radicale) -> None:
    with meddler(radicale, losing("f")) as between:
        results = written(authorised(between.url), *(create(key, given=key) for key in "abcdefgh"))
    outcomes = [result.outcome for result in results]
    assert outcomes == [*[Outcome.DONE] * 5, Outcome.UNKNOWN, *[Outcome.DONE] * 2]


def test_after_a_loss_none_begins(radicale: Radicale) -> None:
    with meddler(radicale, losing("efgh")) as between:
        results = written(authorised(between.url), *(create(key, given=key) for key in "abcdefghijkl"))
    outcomes = [result.outcome for result in results]
    assert outcomes == [*[Outcome.DONE] * 4, *[Outcome.UNKNOWN] * 4, *[Outcome.NOT_SENT] * 4]
    assert sorted(puts(radicale)) == names("abcdefgh")


def test_a_login_that_fails_while_others_are_under_way_costs_them_no_result(radicale: Radicale) -> None:
    hold = losing("")

    def refuse(request: bytes, reply: bytes) -> bytes:
        answered = hold(request, reply)
        return answer("", "401 Unauthorized") if is_put(request, "e") else answered

    results = []
    with meddler(radicale, refuse) as between:
        batch = authorised(between.url).write(BOOK, [create(key, given=key) for key in "abcdefgh"])
        with pytest.raises(AuthFailed):
            for result in batch:
                results.append(result)
    assert [result.outcome for result in results] == [
        *[Outcome.DONE] * 4,
        Outcome.NOT_SENT,
        *[Outcome.DONE] * 3,
    ]


@pytest.mark.django_db(transaction=True)
def test_no_batch_is_written_inside_a_transaction(radicale: Radicale) -> None:
    """Not by the other threads either: they see no transaction, and the writes before them need no call here."""
    alice = authorised(radicale.url)
    unfit = [create(key, birthday="soon") for key in "abcd"]
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a database transaction"):
        written(alice, *unfit, create("e", given="E"))
    assert puts(radicale) == []


def test_the_budget_is_asked_in_the_thread_of_the_engine_and_for_each_write(radicale: Radicale) -> None:
    """It may touch the database, and with it the transactions of that thread."""
    identity, purse = connect(radicale.url).check().key, Purse(10)
    alice = CardDav(account(radicale.url, identity=identity), OPEN, purse)
    results = written(alice, *(create(key, given=key) for key in "abcdefghijkl"))
    assert len(puts(radicale)) == 10 and purse.threads == {threading.get_ident()}
    # Nothing was left for the reading back.
    assert Counter(result.outcome for result in results) == {Outcome.UNKNOWN: 10, Outcome.NOT_SENT: 2}
