"""A contact as people.get and the lists show it: under a mask, from the sources asked for, and completed by Google."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import phonenumbers

from sandbox.google.contact import Contact

PHOTO: Final = "https://lh3.googleusercontent.com/contact-photo-placeholder"
MOST_LISTED: Final = 100  # e-mail addresses and phone numbers of one person in a list
NO_TIME: Final = "1970-01-01T00:00:00Z"
CONTACT_SOURCE: Final = "READ_SOURCE_TYPE_CONTACT"
PROFILE_SOURCE: Final = "READ_SOURCE_TYPE_PROFILE"
BOTH: Final = (CONTACT_SOURCE, PROFILE_SOURCE)
# Types that Google knows and shows as words; any other is shown as it was written.
KNOWN: Final = (
    *("home", "work", "mobile", "other", "main", "pager", "profile", "blog", "anniversary", "account", "customer"),
    *("network", "school"),
)
WORDS: Final = {
    "homePage": "Home Page",
    "ftp": "FTP",
    "workMobile": "Work Mobile",
    "workPager": "Work Pager",
    "homeFax": "Home Fax",
    "workFax": "Work Fax",
    "otherFax": "Other Fax",
    "googleVoice": "Google Voice",
    **{word: word.capitalize() for word in KNOWN},
}
RELATIONS: Final = {
    word: word.capitalize()
    for word in ("spouse", "child", "mother", "father", "parent", "brother", "sister", "friend", "relative", "manager")
} | {"assistant": "Assistant", "partner": "Partner", "domesticPartner": "Domestic Partner", "referredBy": "Referred By"}
TYPED: Final = frozenset(
    ("addresses", "calendarUrls", "emailAddresses", "events", "externalIds", "imClients", "miscKeywords")
) | {"organizations", "phoneNumbers", "sipAddresses", "urls"}


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def person(
    contact: Contact,
    mask: Collection[str],
    region: str,
    sources: Collection[str] = BOTH,
    *,
    listed: bool = False,
    synced: bool = False,
) -> dict[str, Any]:
    """`region`: of phone numbers without a country. `listed`: in a list, which cuts long fields. `synced`: in the
    answer to a sync token, which tells the names of old."""
    shown: dict[str, Any] = {"resourceName": contact.resource, "etag": contact.etag()}
    if "metadata" in mask:
        shown["metadata"] = metadata(contact, sources, synced)
    if "photos" in mask:
        shown["photos"] = [{"default": True, "metadata": _metadata(contact, 0, "photos", {}), "url": PHOTO}]
    if contact.deleted:
        return shown
    for name in sorted(mask):
        items = [*_items(contact, name, region, sources), *_linked(contact, name, region, sources)]
        if listed and name in ("emailAddresses", "phoneNumbers"):
            items = items[:MOST_LISTED]
        if items:
            shown[name] = _with_one_primary(items) if name != "memberships" else items
    return shown


def metadata(contact: Contact, sources: Collection[str], synced: bool) -> dict[str, Any]:
    own = {"type": "CONTACT", "id": contact.id, "etag": contact.source_etag(), "updateTime": stamp(contact.updated)}
    if contact.deleted:
        return {"sources": [{**own, "updateTime": NO_TIME}], "deleted": True, "objectType": "PERSON"}
    told: list[dict[str, Any]] = [own] if CONTACT_SOURCE in sources else []
    if contact.profile and PROFILE_SOURCE in sources:
        profile = {"objectType": "PERSON", "userTypes": ["GOOGLE_USER"]}
        told.append({"type": "PROFILE", "id": profile_id(contact), "etag": "#profile=", "profileMetadata": profile})
    shown: dict[str, Any] = {"sources": told, "objectType": "PERSON"}
    if synced and contact.previous:
        shown["previousResourceNames"] = list(contact.previous)
    return shown


def profile_id(contact: Contact) -> str:
    return f"1{int(contact.id, 16) % 10**20:020}"


def _items(contact: Contact, name: str, region: str, sources: Collection[str]) -> list[dict[str, Any]]:
    if CONTACT_SOURCE not in sources:
        return []
    if name == "memberships":
        return [_membership(contact, group) for group in contact.groups]
    items = contact.fields.get(name, ())
    return [
        {**computed(name, item, region), "metadata": _metadata(contact, place, name, item)}
        for place, item in enumerate(items)
    ]


def _linked(contact: Contact, name: str, region: str, sources: Collection[str]) -> list[dict[str, Any]]:
    """What the profile adds."""
    if PROFILE_SOURCE not in sources:
        return []
    source = {"type": "PROFILE", "id": profile_id(contact)}
    return [{**computed(name, item, region), "metadata": {"source": source}} for item in contact.profile.get(name, ())]


def _membership(contact: Contact, group: str) -> dict[str, Any]:
    names = {"contactGroupId": group, "contactGroupResourceName": f"contactGroups/{group}"}
    return {"contactGroupMembership": names, "metadata": {"source": {"type": "CONTACT", "id": contact.id}}}


def _metadata(contact: Contact, place: int, name: str, item: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"source": {"type": "CONTACT", "id": contact.id}}
    if name == "names" or "sourcePrimary" in item.get("metadata", {}):
        told["sourcePrimary"] = True
    return {"primary": True, **told} if name == "photos" else told


def _with_one_primary(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The one that its source calls so, or the first."""
    chosen = next((item for item in items if "sourcePrimary" in item["metadata"]), items[0])
    for item in items:
        if item is chosen:
            item["metadata"] = {"primary": True, **item["metadata"]}
    return items


def computed(name: str, item: Mapping[str, Any], region: str) -> dict[str, Any]:
    """The item with the parts that cannot be written."""
    shown = {part: value for part, value in item.items() if part != "metadata"}
    if name in TYPED and "type" in item:
        shown["formattedType"] = WORDS.get(item["type"], item["type"])
    if name == "relations" and "type" in item:
        shown["formattedType"] = RELATIONS.get(item["type"], item["type"])
    match name:
        case "names":
            shown |= whole_names(item)
        case "addresses" if "formattedValue" not in item:
            shown["formattedValue"] = formatted_address(item)
        case "phoneNumbers" if (canonical := canonical_phone(item.get("value", ""), region)) != "":
            shown["canonicalForm"] = canonical
        case "genders" if "value" in item:
            shown["formattedValue"] = item["value"].capitalize()
        case "imClients" if "protocol" in item:
            shown["formattedProtocol"] = item["protocol"].capitalize()
    return shown


def whole_names(name: Mapping[str, Any]) -> dict[str, str]:
    given = [name[part] for part in ("honorificPrefix", "givenName", "middleName") if part in name]
    family, suffix = name.get("familyName", ""), name.get("honorificSuffix", "")
    display = " ".join([*given, *(part for part in (family, suffix) if part)])
    first = " ".join(given)
    last_first = ", ".join(part for part in (family, first, suffix) if part)
    whole = {"displayName": display, "displayNameLastFirst": last_first, "unstructuredName": display}
    return {part: text for part, text in whole.items() if text}


def formatted_address(address: Mapping[str, Any]) -> str:
    town = " ".join(address[part] for part in ("postalCode", "city") if part in address)
    lines = [address.get(part, "") for part in ("streetAddress", "extendedAddress", "poBox")]
    return "\n".join(line for line in (*lines, town, address.get("region", ""), address.get("country", "")) if line)


def canonical_phone(value: str, region: str) -> str:
    """E.164, or "" for what is no number."""
    if not re.search(r"\d", value):
        return ""
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_possible_number(number):
        return ""
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
