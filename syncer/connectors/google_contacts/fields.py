"""The fields of a Google contact and where in a person each has its place (README.md, 5)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from syncer.connectors.base import Field, FieldType, Rejected, Role, Value, Values
from syncer.connectors.google_contacts.values import (
    Birthday,
    Item,
    Items,
    Pick,
    Spot,
    Unfit,
    besides_the_first,
    first,
    items_of,
    of_type,
    structured,
    with_key,
    without_emptied,
)
from syncer.connectors.google_contacts.wire import Person, dicts, text

TEXT, PHONE, EMAIL = FieldType.TEXT, FieldType.PHONE, FieldType.EMAIL
TAGS: Final = "labels"
CUSTOM: Final = "userDefined."
LONGEST_KEY: Final = 200 - len(CUSTOM)  # a mapping holds names of 200 characters
NAME_FORMS: Final = frozenset({"unstructuredName", "displayName", "displayNameLastFirst"})
ONLY_ADDRESS: Final = (
    "Google makes the only e-mail address of a contact its primary one. Fill in the primary address first, or map it."
)


class Bound(Protocol):
    """Where a field lives. `read` gives an empty list for what the field cannot express."""

    @property
    def mask(self) -> str: ...

    def read(self, items: Items) -> list[Value]: ...

    def write(self, items: Items, value: Value) -> list[Item]: ...


@dataclass(frozen=True)
class Known:
    field: Field
    bound: Bound


def name(part: str, label: str, role: str) -> Known:
    return Known(Field(f"names.{part}", label, TEXT, role), Spot("names", part, first, derived=NAME_FORMS))


def email(kind: str, label: str) -> Known:
    types = (kind, "") if kind == "other" else (kind,)
    spot = Spot(
        "emailAddresses",
        "value",
        besides_the_first(*types),
        {"type": kind},
        whole=True,
        not_alone=ONLY_ADDRESS,
    )
    return Known(Field(f"emailAddresses.{kind}", label, EMAIL, f"email.{kind}"), spot)


def phone(kind: str, label: str, role: str, *more: str) -> Known:
    spot = Spot(
        "phoneNumbers",
        "value",
        of_type(kind, *more),
        {"type": kind},
        frozenset({"canonicalForm"}),
        whole=True,
    )
    return Known(Field(f"phoneNumbers.{kind}", label, PHONE, role), spot)


def organization(key: str, label: str, role: str) -> Known:
    return Known(Field(f"organizations.{key}", label, TEXT, role), Spot("organizations", key, first))


ADDRESS: Final[Mapping[str, tuple[str, str]]] = {
    "street": ("streetAddress", "street"),
    "street2": ("extendedAddress", "address line 2"),
    "city": ("city", "city"),
    "region": ("region", "region"),
    "postcode": ("postalCode", "postcode"),
    "country": ("country", "country"),
}


def addresses(kind: str) -> list[Known]:
    """Google puts the free form of an address together anew where it is left out."""
    pick = structured(kind, "") if kind == "other" else structured(kind)
    found = []
    for part, (key, words) in ADDRESS.items():
        derived = frozenset({"formattedValue", "countryCode"} if part == "country" else {"formattedValue"})
        field = Field(f"addresses.{kind}.{key}", f"{kind.title()} {words}", TEXT, f"address.{kind}.{part}")
        found.append(Known(field, Spot("addresses", key, pick, {"type": kind}, derived)))
    return found


def single(mask: str, field: Field, pick: Pick = first, **sets: str) -> Known:
    return Known(field, Spot(mask, "value", pick, sets=sets, whole=True))


KNOWN: Final[Mapping[str, Known]] = {
    known.field.name: known
    for known in (
        name("givenName", "First name", Role.GIVEN),
        name("familyName", "Last name", Role.FAMILY),
        name("middleName", "Middle name", "name.middle"),
        name("honorificPrefix", "Name prefix", "name.prefix"),
        name("honorificSuffix", "Name suffix", "name.suffix"),
        single("nicknames", Field("nicknames", "Nickname", TEXT, "name.nickname")),
        single("emailAddresses", Field("emailAddresses", "E-mail (primary)", EMAIL, Role.EMAIL)),
        email("work", "E-mail (work, besides the primary)"),
        email("home", "E-mail (home, besides the primary)"),
        email("other", "E-mail (other, besides the primary)"),
        phone("mobile", "Mobile phone", Role.PHONE_MOBILE),
        phone("work", "Work phone", Role.PHONE_WORK),
        phone("home", "Home phone", Role.PHONE_HOME),
        phone("other", "Other phone", Role.PHONE_OTHER, "", "main"),
        organization("name", "Company", Role.ORGANIZATION),
        organization("title", "Job title", Role.TITLE),
        organization("department", "Department", "organization.department"),
        single("urls", Field("urls", "Website", FieldType.URL, Role.URL)),
        single("biographies", Field("biographies", "Notes", FieldType.LONG_TEXT, Role.NOTE), contentType="TEXT_PLAIN"),
        Known(Field("birthdays", "Birthday", FieldType.DATE, Role.BIRTHDAY), Birthday()),
        *addresses("work"),
        *addresses("home"),
        *addresses("other"),
    )
}
LABELS: Final = Field(TAGS, "Labels", FieldType.TAGS, Role.TAGS)
STANDARD: Final[tuple[Field, ...]] = (*(known.field for known in KNOWN.values()), LABELS)


def known(field: str) -> Known | None:
    """A field by its name; None for one that no contact can have. Any name can be that of a custom field."""
    key = field.removeprefix(CUSTOM)
    if key != field and key and len(key) <= LONGEST_KEY:
        spot = Spot("userDefined", "value", with_key(key), {"key": key}, whole=True)
        return Known(Field(field, key, TEXT, custom=True), spot)
    return KNOWN.get(field)


def custom(people: Iterable[Person]) -> list[Field]:
    """The custom fields that these contacts have."""
    keys = {text(item.get("key")) for person in people for item in dicts(person.get("userDefined"))}
    found = [known(f"{CUSTOM}{key}") for key in sorted(keys, key=lambda key: (key.casefold(), key))]
    return [one.field for one in found if one is not None]


def read(person: Person, names: Iterable[str]) -> dict[str, Value]:
    """The values of these fields, labels left out; one that is there in a form we cannot express is absent. Raises
    Unreadable."""
    values: dict[str, Value] = {}
    for field in names:
        found = known(field)
        if found is not None:
            values.update((field, value) for value in found.bound.read(items_of(person, found.bound.mask)))
    return values


def apply(person: Person, values: Values) -> dict[str, list[Item]]:
    """The fields of the person that these values, labels left out, change, by mask, with all of their items. Raises
    Rejected, Unreadable."""
    now: dict[str, list[Item]] = {}
    for field in sorted(values, key=order):
        found = known(field)
        if found is None:
            raise Rejected("Google has no such field. Refresh the fields of this account.", field)
        mask = found.bound.mask
        items = now.get(mask, items_of(person, mask))
        wanted = None if values[field] in ("", []) else values[field]
        if found.bound.read(items) == [wanted]:
            continue
        try:
            now[mask] = found.bound.write(items, wanted)
        except Unfit as unfit:
            raise Rejected(str(unfit), field) from None
    return {mask: without_emptied(items) for mask, items in now.items()}


def order(field: str) -> tuple[int, str]:
    """The primary address before the others, which cannot be without it."""
    return (0 if field == "emailAddresses" else 1, field)


def field_in(values: Values, mask: str) -> str:
    """The one of these fields that lives there; "" where it is none or several."""
    fields = [field for field in values if (found := known(field)) is not None and found.bound.mask == mask]
    return fields[0] if len(fields) == 1 else ""
