"""A list in a CSV file goes into any other app, one way."""

from pathlib import Path

import pytest
from django.core.exceptions import ValidationError

from connections import services
from connections.models import Connection
from syncer.models import Hold, Link
from tests.engine.floor import APPS, CsvSide, Floor, floor, person
from tests.engine.real import ANNA
from tests.engine.test_all_pairs import by_email

pytestmark = pytest.mark.django_db


def upload(found: Floor) -> None:
    account = found.accounts["csv_file"]
    services.update_account(account, ANNA, credentials=dict(found.sides["csv_file"].keys), clock=found.clock)
    services.check_account(account, ANNA, found.connect_to, found.clock)


def filled(found: Floor, app: str, count: int) -> Connection:
    """A third of the list is in the app already, and somebody there is not in the list."""
    for number in range(count):
        found.sides["csv_file"].creates(person(number))
        if number % 3 == 0:
            found.sides[app].creates(person(number, given="Known"))
    found.sides[app].creates(person(count))
    upload(found)
    return found.connection("csv_file", app, direction="to_right", sync_deletions="to_right", winner="left")


@pytest.mark.parametrize("app", APPS)
@pytest.mark.proves("I14", "I15")
def test_everybody_on_the_list_arrives_once(tmp_path: Path, app: str) -> None:
    with floor(tmp_path, "csv_file", app) as found:
        connection = filled(found, app, 60)
        found.settle(connection)
        assert by_email(found.sides[app].people()) == by_email([person(number) for number in range(61)])
        assert not Hold.objects.exists()
        found.sides[app].calls()
        found.clock.forward(400)
        assert found.sync(connection).status == "quiet"
        assert len(found.sides[app].calls()) <= 2


@pytest.mark.proves("I27", "E8 trash tag")
def test_a_newer_file_changes_adds_and_tags_who_is_missing(tmp_path: Path) -> None:
    with floor(tmp_path, "csv_file", "salesmate") as found:
        connection = filled(found, "salesmate", 9)
        found.settle(connection)
        listed: CsvSide = found.sides["csv_file"]
        listed.edits("p1@x.example", given="Countess", email="countess@x.example")
        listed.creates(person(20))
        del listed.rows["3"]
        upload(found)
        found.clock.forward(86400)
        found.settle(connection)
        there = {one["email"]: one for one in found.sides["salesmate"].people()}
        assert there["countess@x.example"]["given"] == "Countess" and "p1@x.example" not in there
        assert "p20@x.example" in there and len(there) == 11
        assert "PieSync Trash" in there["p2@x.example"]["tags"]
        assert [email for email, one in there.items() if "PieSync Trash" in one["tags"]] == ["p2@x.example"]
        assert Link.objects.filter(state="opposite_deleted").count() == 1


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("direction", {}),
        ("direction", {"direction": "to_left"}),
        ("sync_deletions", {"direction": "to_right", "sync_deletions": "both"}),
    ],
)
def test_nothing_goes_into_a_file(tmp_path: Path, field: str, options: dict[str, str]) -> None:
    with floor(tmp_path, "csv_file", "salesmate") as found:
        with pytest.raises(ValidationError) as refused:
            found.connection("csv_file", "salesmate", **options)
        assert "can only be read" in refused.value.message_dict[field][0]
        assert not Connection.objects.exists()
