"""Who looks at whose history is on record: once for a person, a connection and a quarter of an hour."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User

from connections.models import Connection
from syncer.models import Link, SyncLog
from tests.connections.office import ANNA, Office, at_desk, office, staff

pytestmark = pytest.mark.django_db
NOW = datetime(2030, 1, 1, 9, 1, tzinfo=UTC)


@pytest.fixture
def acme(tmp_path: Path, settings: Any) -> Iterator[Office]:
    with office(tmp_path, settings) as found:
        yield found


def viewings() -> list[tuple[str, str]]:
    """(who, the connection's code), oldest first."""
    rows = SyncLog.objects.filter(kind="access.viewed").order_by("seq")
    return [(row.actor, json.loads(row.header)["viewed"]) for row in rows]


def pages(connection: Connection) -> list[str]:
    entry = SyncLog.objects.filter(connection=connection.code).first()
    link = Link.objects.filter(connection=connection).first()
    assert entry is not None and link is not None
    return [f"/admin/syncer/synclog/{entry.pk}/change/", f"/admin/syncer/link/{link.pk}/change/"]


def test_each_page_of_a_history_is_on_record_and_only_once_a_quarter_of_an_hour(acme: Office) -> None:
    connection = acme.first_plan()
    code = str(connection.code)
    for page in [*pages(connection), "/admin/syncer/synclog/", f"/admin/syncer/synclog/?q={code}"]:
        with time_machine.travel(NOW + timedelta(hours=len(viewings())), tick=False) as clock:
            before = len(viewings())
            carol = at_desk(staff(f"carol-{before}", (acme.acme, "auditor")))
            assert carol.get(page).status_code == 200
            assert viewings()[before:] == [(f"carol-{before}", code)], page
            clock.shift(timedelta(minutes=13))
            carol.get(page)
            assert len(viewings()) == before + 1
            clock.shift(timedelta(minutes=1))
            carol.get(page)
            assert len(viewings()) == before + 2


def test_each_person_is_on_record_administrators_too(acme: Office) -> None:
    connection = acme.first_plan()
    carol = staff("carol", (acme.acme, "auditor"))
    with time_machine.travel(NOW, tick=False):
        for desk in (at_desk(carol), at_desk(User.objects.get(username=ANNA))):
            desk.get(pages(connection)[1], REMOTE_ADDR="192.0.2.7")
    assert [who for who, _ in viewings()] == ["carol", ANNA]
    row = SyncLog.objects.filter(kind="access.viewed", actor="carol").get()
    assert (json.loads(row.header)["user"], row.chain.name) == (carol.pk, "portal")
    assert json.loads(row.payload or "") == {"user": "carol", "address": "192.0.2.7"}


def test_who_may_not_look_leaves_no_record(acme: Office) -> None:
    connection = acme.first_plan()
    eve = at_desk(staff("eve"))
    for page in pages(connection):
        assert eve.get(page).status_code in (302, 403)
    assert viewings() == []
