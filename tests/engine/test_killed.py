"""A worker that is killed loses nothing and makes nothing twice."""

import random
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from django.db.models.functions import Now

from connections.models import Connection
from syncer.audit.verify import verify
from syncer.models import AccountLease, Change, Link, LogChain, Record, SyncRun
from syncer.tasks import enqueue
from tests.engine.cluster import cluster, kill, wait_until
from tests.engine.real import Real, person, real

KILLS = 10
PEOPLE = 200


def done(world: Real) -> bool:
    """No run is under way, and the last one found nothing to do."""
    under_way = SyncRun.objects.filter(connection=world.connection, status__in=["queued", "running"]).exists()
    return not under_way and Connection.objects.get().quiet_runs > 0


def written(world: Real, number: int) -> bool:
    return sum(world.writes_seen()) >= number


def nobody_holds_the_accounts() -> bool:
    return not AccountLease.objects.filter(expires_at__gt=Now()).exists()


def seed(world: Real) -> None:
    """100 only in the book, 60 only in Salesmate, 40 in both with another job title."""
    world.radicale.fill("alice", [person(n, TITLE=f"Card {n}") for n in range(140)])
    for n in range(100, PEOPLE):
        world.salesmate.person_create(
            firstName=f"Given{n}", lastName=f"Fämily{n}", email=f"p{n}@example.com", owner=1, designation=f"Crm {n}"
        )


@pytest.mark.django_db(transaction=True)
def test_ten_kills_in_a_sync_of_two_hundred_contacts(tmp_path: Path) -> None:
    with real(tmp_path) as world:
        world.connection.refresh_from_db()
        seed(world)
        before = sum(world.writes_seen())
        expected = 100 + 60 + 40
        moments = sorted(random.Random(20261124).sample(range(1, expected), KILLS))
        for moment in moments:
            wait_until(nobody_holds_the_accounts, 10, "the dead worker's lease")
            enqueue(world.connection.pk)
            with cluster(tmp_path / "worker.log") as worker:
                wait_until(partial(written, world, before + moment), 60, f"write {moment}")
                kill(worker)
        wait_until(nobody_holds_the_accounts, 10, "the dead worker's lease")
        for _ in range(4):
            enqueue(world.connection.pk)
        with cluster(tmp_path / "worker.log"):
            wait_until(lambda: done(world), 90, "a quiet run")
        everybody_is_there_once(world)
        the_log_is_whole(world)


def everybody_is_there_once(world: Real) -> None:
    wanted = Counter(f"p{n}@example.com" for n in range(PEOPLE))
    live = [row["email"] for row in world.salesmate.account.contacts.values() if not row["isDeleted"]]
    assert Counter(live) == wanted
    cards = [path.read_text() for path in world.radicale.book_folder("alice").glob("*.vcf")]
    found = Counter(
        line.rpartition(":")[2].strip() for card in cards for line in card.splitlines() if line.startswith("EMAIL")
    )
    assert found == wanted
    for n in range(100, 140):
        assert world.people()[f"p{n}@example.com"]["designation"] == f"Card {n}"
    assert Link.objects.filter(state="in_sync").count() == PEOPLE
    assert Record.objects.filter(state="live").count() == 2 * PEOPLE


def the_log_is_whole(world: Real) -> None:
    for chain in LogChain.objects.all():
        report = verify(chain.name)
        assert report.ok, report
    assert not Change.objects.filter(state="sending").exists()
    assert len(world.entries("write.intent")) == len(world.entries("write.result"))
