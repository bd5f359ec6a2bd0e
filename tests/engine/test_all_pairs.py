"""Any two apps with each other: everything arrives, nobody comes twice, and then nothing happens."""

from itertools import combinations
from pathlib import Path

import pytest

from syncer.models import Hold, Link
from tests.engine.floor import APPS, Floor, Person, floor, person

pytestmark = pytest.mark.django_db
PAIRS = list(combinations(APPS, 2))


def fill(found: Floor, left: str, right: str, count: int) -> None:
    """A third on the left alone, a third on the right alone, a third on both, each with something of its own."""
    for number in range(count):
        match number % 3:
            case 0:
                found.sides[left].creates(person(number))
            case 1:
                found.sides[right].creates(person(number))
            case _:
                found.sides[left].creates(person(number, mobile=""))
                found.sides[right].creates(person(number, tags=["Customer"]))


def expected(count: int) -> list[Person]:
    tags = {2: lambda number: sorted({"Customer", *person(number)["tags"]})}
    return [person(n, tags=tags[2](n) if n % 3 == 2 else person(n)["tags"]) for n in range(count)]


def by_email(people: list[Person]) -> list[Person]:
    return sorted(people, key=lambda one: str(one["email"]))


def both_hold_everybody(found: Floor, left: str, right: str, count: int) -> None:
    connection = found.connection(left, right)
    fill(found, left, right, count)
    found.settle(connection)
    everybody = by_email(expected(count))
    assert by_email(found.sides[left].people()) == everybody
    assert by_email(found.sides[right].people()) == everybody
    assert set(Link.objects.exclude(state="superseded").values_list("state", flat=True)) == {"in_sync"}
    assert not Hold.objects.exists()
    found.sides[left].edits("p0@x.example", given="Countess", family="Left")
    found.sides[right].edits("p1@x.example", given="Count", family="Right")
    found.settle(connection)
    for side in (found.sides[left], found.sides[right]):
        names = {one["email"]: one["family"] for one in side.people()}
        assert (len(names), names["p0@x.example"], names["p1@x.example"]) == (count, "Left", "Right")


@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.proves("I14", "I15")
def test_both_come_to_hold_everybody(tmp_path: Path, left: str, right: str) -> None:
    with floor(tmp_path, left, right) as found:
        both_hold_everybody(found, left, right, 60)


@pytest.mark.proves("E10 rounds")
def test_a_chain_through_all_apps_settles_in_three_rounds(tmp_path: Path) -> None:
    with floor(tmp_path, *APPS) as found:
        chain = [
            found.connection(left, right)
            for left, right in (("google_contacts", "salesmate"), ("salesmate", "mailchimp"), ("mailchimp", "carddav"))
        ]
        for number, slug in enumerate(APPS * 3):
            found.sides[slug].creates(person(number))
        assert found.settle(*chain) <= 3
        everybody = by_email([person(number) for number in range(12)])
        assert [by_email(side.people()) for side in found.sides.values()] == [everybody] * 4
        found.sides["carddav"].edits("p0@x.example", given="Countess", family="Far")
        assert found.settle(*chain) <= 3
        assert {one["family"] for one in found.sides["google_contacts"].people() if one["given"] == "Countess"} == {
            "Far"
        }


@pytest.mark.deep
@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_both_come_to_hold_everybody_and_they_are_many(tmp_path: Path, left: str, right: str) -> None:
    with floor(tmp_path, left, right) as found:
        both_hold_everybody(found, left, right, 300)
