"""The columns of a file as fields: headers that exports of known apps use have roles, all others are text."""

import re
from collections.abc import Sequence

from syncer.connectors.base import Field, FieldType, Role


def _standard(name: str, label: str, type: FieldType, role: str) -> Field:
    return Field(name, label, type, role, writable=False)


_TEXT = FieldType.TEXT
_PARTS = (
    ("street", "street"),
    ("street2", "address line 2"),
    ("city", "city"),
    ("region", "state"),
    ("postcode", "postcode"),
    ("country", "country"),
)
STANDARD: tuple[Field, ...] = (
    _standard("given", "First Name", _TEXT, Role.GIVEN),
    _standard("family", "Last Name", _TEXT, Role.FAMILY),
    _standard("email", "Email", FieldType.EMAIL, Role.EMAIL),
    _standard("mobile", "Mobile", FieldType.PHONE, Role.PHONE_MOBILE),
    _standard("phone", "Work Phone", FieldType.PHONE, Role.PHONE_WORK),
    _standard("home_phone", "Home Phone", FieldType.PHONE, Role.PHONE_HOME),
    _standard("other_phone", "Other Phone", FieldType.PHONE, Role.PHONE_OTHER),
    _standard("company", "Company", _TEXT, Role.ORGANIZATION),
    _standard("title", "Job Title", _TEXT, Role.TITLE),
    _standard("website", "Website", FieldType.URL, Role.URL),
    _standard("note", "Notes", FieldType.LONG_TEXT, Role.NOTE),
    _standard("tags", "Tags", FieldType.TAGS, Role.TAGS),
    *(_standard(f"work_{part}", f"Work {words}", _TEXT, f"address.work.{part}") for part, words in _PARTS),
    *(_standard(f"home_{part}", f"Home {words}", _TEXT, f"address.home.{part}") for part, words in _PARTS),
)

# In the words of exports of Google Contacts, Outlook and Salesmate, without case and punctuation.
_HEADERS = {
    "given": "first name, given name, firstname, forename",
    "family": "last name, family name, lastname, surname",
    "email": "email, e mail, e mail address, email address, e mail 1 value, primary email",
    "mobile": "mobile, mobile phone, cell, cell phone",
    "phone": "work phone, business phone, phone, phone number, telephone",
    "home_phone": "home phone",
    "other_phone": "other phone",
    "company": "company, company name, organization, organization name, organisation, organization 1 name",
    "title": "job title, title, organization title, organization 1 title, designation, position",
    "website": "website, web site, web page, url, website 1 value",
    "note": "notes, note, description",
    "tags": "tags, labels, categories",
    "work_street": "work street, business street, billing address line 1",
    "work_street2": "work address line 2, business street 2, billing address line 2",
    "work_city": "work city, business city, billing city",
    "work_region": "work state, business state, billing state",
    "work_postcode": "work postcode, business postal code, billing zip code",
    "work_country": "work country, business country region, billing country",
    "home_street": "home street",
    "home_street2": "home address line 2, home street 2",
    "home_city": "home city",
    "home_region": "home state",
    "home_postcode": "home postcode, home postal code",
    "home_country": "home country, home country region",
}
KNOWN = {header: name for name, headers in _HEADERS.items() for header in headers.split(", ")}
BY_NAME = {field.name: field for field in STANDARD}


def plain(header: str) -> str:
    """A header as it is compared."""
    return " ".join(re.findall(r"\w+", header.replace("_", " ").casefold()))


def fields_of(headers: Sequence[str]) -> list[Field]:
    """One for each column. Of two columns for one standard field the first is it, the other is text."""
    found: list[Field] = []
    taken: set[str] = set()
    for header in headers:
        name = KNOWN.get(plain(header), "")
        if name == "" or name in taken:
            label = header.strip()
            found.append(Field(f"column:{label.casefold()}", label, _TEXT, writable=False, custom=True))
            continue
        taken.add(name)
        standard = BY_NAME[name]
        found.append(Field(name, header.strip(), standard.type, standard.role, writable=False))
    return found
