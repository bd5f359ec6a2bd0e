"""Every tenth request to any app fails, for fifty runs: everything arrives all the same, and nothing twice."""

from pathlib import Path
from random import Random

import pytest
from django.db.models.functions import Now

from connections.models import Account
from sandbox.exchange import Wsgi
from syncer.audit.verify import verify
from syncer.engine.run import run_slice
from syncer.models import AccountLease, Hold
from tests.engine.faulty import BadLine
from tests.engine.floor import APPS, Floor, floor, person

pytestmark = pytest.mark.django_db
RUNS, RATE, PEOPLE = 50, 0.1, 12


def addresses(found: Floor) -> dict[str, list[str]]:
    return {slug: sorted(str(one["email"]) for one in side.people()) for slug, side in found.sides.items()}


def somebody_edits(found: Floor, number: int) -> None:
    slug, who = APPS[number % len(APPS)], f"p{number % PEOPLE}@x.example"
    if who in addresses(found)[slug]:
        found.sides[slug].edits(who, given=f"Round{number}", family="Edited")


@pytest.mark.proves("I11", "I14", "I15", "E6 broken batches")
@pytest.mark.parametrize("seed", [1, 2])
def test_everything_arrives_and_nothing_twice(tmp_path: Path, seed: int) -> None:
    chance, lines = Random(seed), list[BadLine]()

    def line(app: Wsgi) -> Wsgi:
        lines.append(BadLine(app, chance))
        return lines[-1]

    with floor(tmp_path, *APPS, line=line) as found:
        others = [slug for slug in APPS if slug != "salesmate"]
        connections = [found.connection(slug, "salesmate") for slug in others]
        for number in range(PEOPLE):
            found.sides[APPS[number % len(APPS)]].creates(person(number))
        for each in lines:
            each.rate = RATE
        for number in range(RUNS):
            found.clock.forward(400)
            if number % 5 == 0:
                somebody_edits(found, number)
            run_slice(connections[number % len(connections)].pk, found.worker)
        assert sum(len(each.failed) for each in lines) > 20, "the lines were bad"
        for each in lines:
            each.rate = 0.0
        AccountLease.objects.update(expires_at=Now())
        Account.objects.update(blocked_until=None)
        found.clock.forward(2 * 86400)
        found.settle(*connections, rounds=12)
        everybody = sorted(f"p{number}@x.example" for number in range(PEOPLE))
        assert addresses(found) == dict.fromkeys(sorted(APPS), everybody)
        names = {slug: {one["email"]: one["given"] for one in side.people()} for slug, side in found.sides.items()}
        assert len({str(sorted(one.items())) for one in names.values()}) == 1, names
        assert not Hold.objects.filter(resolved=None).exists()
        assert all(verify(connection.chain).ok for connection in connections)
