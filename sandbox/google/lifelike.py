"""Lifelike people as Google Contacts holds them: typed addresses and numbers, labels, and fields that nobody maps."""

from collections.abc import Mapping
from typing import Any

from sandbox.people import Person


def fields(person: Person, labels: Mapping[str, str]) -> dict[str, Any]:
    """For createContact. `labels` maps each tag to the resource name of its group."""
    name = {"givenName": person.given, "familyName": person.family}
    job = {"name": person.company, "title": person.title}
    home = {"streetAddress": person.street, "city": person.city, "postalCode": person.postcode}
    found: dict[str, list[dict[str, Any]]] = {
        "names": [name],
        "emailAddresses": [typed(person.email, "work")],
        "phoneNumbers": [
            typed(person.mobile, "mobile"),
            typed(person.work_phone, "work"),
            typed(person.home_phone, "home"),
        ],
        "organizations": [job],
        "addresses": [home | {"country": person.country, "type": "work"} if person.city else {}],
        "birthdays": [{"date": date(person.birthday)} if person.birthday else {}],
        "urls": [typed(person.url, "work")],
        "biographies": [{"value": person.note}],
        "memberships": [{"contactGroupMembership": {"contactGroupResourceName": labels[tag]}} for tag in person.tags],
    }
    if person.number % 9 == 0:
        found["relations"] = [{"person": "Somebody Else", "type": "assistant"}]
        found["userDefined"] = [{"key": "Shelf", "value": str(person.number)}]
    kept = {field: [item for item in items if any(item.values())] for field, items in found.items()}
    return {field: items for field, items in kept.items() if items}


def typed(value: str, kind: str) -> dict[str, str]:
    return {"value": value, "type": kind} if value else {}


def date(iso: str) -> dict[str, int]:
    year, month, day = map(int, iso.split("-"))
    return {"year": year, "month": month, "day": day}
