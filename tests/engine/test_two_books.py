"""Two books of one kind: what our engine synced, another tool finds nothing left to do with."""

from pathlib import Path

import pytest

from connections import services
from connections.models import Client
from syncer.engine.run import Worker, run_slice
from tests.contract.radicale import Radicale
from tests.contract.vdirsyncer import vdirsyncer
from tests.engine.memory import TestClock
from tests.engine.real import ANNA, START, WRITES, account, card
from tests.needs import needs

pytestmark = pytest.mark.django_db


def mapped(n: int) -> str:
    """A card of properties that all are mapped."""
    return card(
        f"uid-{n}",
        f"FN:Given{n} Family{n}",
        f"N:Family{n};Given{n};;;",
        f"EMAIL;TYPE=INTERNET:p{n}@example.com",
        f"TEL;TYPE=CELL:+1 212 555 {n:04}",
        "CATEGORIES:friends,vip",
        "NOTE:Two lines\\nand a comma\\, too",
    )


@pytest.mark.proves("I14", "I15")
@needs("vdirsyncer")
def test_vdirsyncer_transfers_nothing_afterwards(tmp_path: Path, settings: object) -> None:
    settings.ALLOW_PRIVATE_HOSTS = True  # type: ignore[attr-defined]
    clock = TestClock(START)
    with Radicale(tmp_path) as radicale:
        radicale.book("alice")
        radicale.book("bob")
        radicale.fill("alice", [mapped(n) for n in range(20)])
        radicale.fill("bob", [mapped(n) for n in range(15, 30)])
        client = Client.objects.create(name="Acme", slug="acme")
        alice = account(client, "carddav", {"url": radicale.url, "username": "alice"}, {"password": "s3cret"}, clock)
        bob = account(
            client, "carddav", {"url": radicale.url, "username": "bob"}, {"password": "hunter2"}, clock, label="bob"
        )
        connection = services.create_connection(
            client,
            ANNA,
            name="Alice and Bob",
            left_account=alice,
            left_book="/alice/book/",
            right_account=bob,
            right_book="/bob/book/",
            review="never",
            clock=clock,
        )
        services.activate(connection, ANNA, clock)
        outcome = run_slice(connection.pk, Worker("tests", clock, services.connector_of, 1e9, 3600, lambda app: None))
        assert outcome.status == "done", outcome
        for user in ("alice", "bob"):
            names = {path.stem for path in radicale.book_folder(user).glob("*.vcf")}
            assert names == {f"uid-{n}" for n in range(30)}
        radicale.calls()
        vdirsyncer(radicale, tmp_path)
        assert not WRITES & set(radicale.calls())
