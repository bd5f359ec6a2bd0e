"""The contacts of the demo are lifelike, and the same ones each time."""

import vobject

from sandbox.cards import card, uid
from sandbox.people import Person, books
from sandbox.seed import fields

ADA = Person(7, "Ada", "Lovelace", "ada@example.com", "United Kingdom")


def addresses(people: list[Person]) -> list[str]:
    return [person.email.lower() for person in people if person.email != ""]


def test_the_same_contacts_come_each_time() -> None:
    assert books(60) == books(60)


def test_books_have_the_sizes_and_the_flaws_of_real_ones() -> None:
    made = books(400)
    left, right = addresses(list(made.left)), addresses(list(made.right))
    assert (len(made.left), len(made.right)) == (400, 300)
    assert len(set(left) & set(right)) == 120
    assert (len(left) - len(set(left)), len(right) - len(set(right))) == (6, 6)
    assert sum(person.email == "" for person in (*made.left, *made.right)) == 12
    assert sum(person.family == "" for person in made.left) == 12
    assert all(person.family != "" for person in made.right)
    assert any(not person.given.isascii() for person in made.left)
    assert any(len(person.note) > 2000 for person in made.left)
    assert len({uid(person) for person in made.left}) == 400


def test_google_s_overlap_with_either_book() -> None:
    made = books(400)
    left, right, google = (set(addresses(list(book))) for book in (made.left, made.right, made.google))
    assert [len(google & (left & right)), len(google & (left - right)), len(google & (right - left))] == [50, 50, 50]
    assert len(google - left - right) == 50 - 6
    assert len(made.google) == 150 + 50 + 6
    assert sum(person.family == "" for person in made.google) == 12


def test_a_few_contacts_still_have_every_flaw() -> None:
    made = books(20)
    assert (len(made.left), len(made.right)) == (20, 15)
    assert any(person.email == "" for person in made.left)
    assert any(person.family == "" for person in made.left)


def test_every_card_can_be_read_and_is_folded() -> None:
    for person in books(200).left:
        text = card(person)
        assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
        read = vobject.readOne(text)
        assert (read.n.value.given, read.n.value.family) == (person.given, person.family)
        assert read.fn.value != ""


def test_what_could_be_mistaken_for_syntax_is_escaped() -> None:
    strange = Person(1, "A;B", "C,D\\E", "a@example.com", "", note="one\ntwo; three", tags=("x, y", "z"))
    read = vobject.readOne(card(strange))
    assert (read.n.value.given, read.n.value.family, read.note.value) == ("A;B", "C,D\\E", "one\ntwo; three")
    assert "CATEGORIES:x\\, y,z" in card(strange)


def test_parts_that_nobody_maps_are_in_some_cards() -> None:
    texts = [card(person) for person in books(100).left]
    assert any("PHOTO;ENCODING=b" in text for text in texts)
    assert any("X-ABSHOWAS" in text for text in texts)


def test_salesmate_gets_what_it_takes() -> None:
    given = fields(Person(7, "Ada", "Lovelace", "ada@example.com", "UK", note="x" * 3000, tags=("VIP", "Press")))
    assert (given["firstName"], given["tags"], given["owner"]) == ("Ada", "VIP,Press", 2)
    assert len(given["description"]) == 2000
    assert given["billingCountry"] == ""
    assert fields(ADA)["mobile"] == ""
