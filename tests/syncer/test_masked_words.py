"""Who sees contacts' values masked reads no value in a sentence either: apps quote what they refuse."""

import pytest

from syncer.admin.values import Eyes
from syncer.connectors.registry import CONNECTORS
from syncer.models import Link, SyncRun
from tests.connections.office import at_desk, staff
from tests.engine.memory import MemoryApp
from tests.engine.world import make_world

SAID = "Ada Lovelace <ada@example.com> has the number +49 30 901820 of Analytical Engines already."


def test_a_sentence_is_shown_without_what_it_quotes() -> None:
    told = Eyes(False).tell(SAID, {"given": "Ada", "company": "Analytical Engines", "tags": ["Lovelace"], "n": None})
    assert told == (
        "A... (3 characters) L... (8 characters) <a... (15 characters)> has the number +... (13 characters) of "
        "A... (18 characters) already."
    )
    assert Eyes(True).tell(SAID, {"given": "Ada"}) == SAID
    assert (
        Eyes(False).tell("3 of 100 failed, version 12; try at 09:30.") == "3 of 100 failed, version 12; try at 09:30."
    )


@pytest.mark.django_db
def test_no_page_of_an_auditor_quotes_a_contact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONNECTORS, "memory", "tests.api.desk.InMemory")
    world = make_world(MemoryApp("a"), MemoryApp("b"))
    world.left.person_creates(given="Ada", email="ada@example.com")
    world.settle()
    link, run = Link.objects.get(), SyncRun.objects.all()[0]
    text = "Refused: Ada with ada@example.com is there already."
    Link.objects.update(reason=text)
    SyncRun.objects.update(error=text)
    run.changes.update(detail=text)
    client = world.connection.client
    pages = ["/admin/syncer/link/", f"/admin/syncer/link/{link.pk}/change/", f"/admin/syncer/syncrun/{run.pk}/change/"]
    for values, seen in (("masked", False), ("full", True)):
        desk = at_desk(staff(values, (client, "auditor"), values=values))
        for page in pages:
            html = desk.get(page).content.decode()
            assert "Refused" in html, page
            assert (text in html) is seen, page
            assert ("ada@example.com" in html) is seen, page
