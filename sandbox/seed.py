"""Fills the stand-ins with people. What is there before is thrown away, so that it can be cut off and done again."""

from collections.abc import Callable
from typing import Any

from sandbox.carddav import CardDavServer
from sandbox.cards import TORN, card
from sandbox.contacts import GoogleServer
from sandbox.crm import SalesmateServer
from sandbox.newsletter import MailchimpServer
from sandbox.people import Books, Person

KINDS = ("Lead", "Customer", "Vendor")
TIERS = ("Gold", "Silver", "Bronze")


def seed(
    books: Books,
    dav: CardDavServer,
    salesmate: SalesmateServer,
    google: GoogleServer,
    mailchimp: MailchimpServer,
    tick: Callable[[], None],
) -> None:
    """Google's go to its first user. `tick` is called before each step, and may raise to leave it at that."""
    tick()
    dav.fill("".join(card(person) for person in books.left), "Contacts")
    dav.place("torn", TORN)
    salesmate.side_door("POST", "reset", {})
    for person in books.right:
        tick()
        salesmate.side_door("POST", "contacts", fields(person))
    google.side_door("POST", "reset", {})
    google.fill(google.users[0], books.google, tick)
    mailchimp.fill(books.members, tick)


def fields(person: Person) -> dict[str, Any]:
    """As Salesmate holds them: texts, tags as one text, the owner by number; and some fields that nobody maps."""
    return {
        "firstName": person.given,
        "lastName": person.family,
        "email": person.email,
        "mobile": person.mobile,
        "phone": person.work_phone,
        "designation": person.title,
        "website": person.url,
        "description": person.note[:2000],
        "tags": ",".join(person.tags),
        "billingAddressLine1": person.street,
        "billingCity": person.city,
        "billingZipCode": person.postcode,
        "billingCountry": person.country if person.city != "" else "",
        "type": KINDS[person.number % 3],
        "textCustomField5": TIERS[person.number % 3] if person.number % 4 == 0 else "",
        "owner": 1 + person.number % 2,
    }
