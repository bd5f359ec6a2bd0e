"""What this Salesmate account has: fields with their rules, users, companies and currencies."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
SMALL: Final = ("googlePlusHandle", "linkedInHandle", "facebookHandle", "twitterHandle", "instagramHandle")
ADDRESS: Final = tuple(
    f"{kind}{part}"
    for kind in ("billing", "shipping")
    for part in ("AddressLine1", "AddressLine2", "City", "State", "Country")
)
TEXTS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("firstName", "lastName", "email", "mobile", "phone", "otherPhone", "designation"), 255),
    **dict.fromkeys(("website", "skypeId", "type", "timezone", "emailOptOutReason", *ADDRESS), 255),
    **dict.fromkeys(SMALL, 100),
    "billingZipCode": 20,
    "shippingZipCode": 20,
    "description": 2000,
}
LABELS: Final[Mapping[str, str]] = {
    "firstName": "First Name",
    "lastName": "Last Name",
    "email": "Email",
    "designation": "Job Title",
    "billingZipCode": "Billing Zip Code",
    "emailOptOutReason": "Email Opt Out Reason",
}
FLAGS: Final = ("emailOptOut", "smsOptOut")
SYSTEM: Final = (
    "id",
    "name",
    "createdAt",
    "createdBy",
    "lastModifiedAt",
    "lastModifiedBy",
    "isDeleted",
    "deletedAt",
    "deletedBy",
)
WRITABLE: Final = frozenset({*TEXTS, *FLAGS, "tags", "owner", "company", "currency"})
INT: Final = 2**31
BIG: Final = 10**15

CUSTOM: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("textCustomField1", "Nickname", "Text", ""),
    ("textCustomField2", "Second Email", "Email", ""),
    ("textCustomField3", "Assistant Phone", "Phone", ""),
    ("textCustomField4", "Blog", "URL", ""),
    ("textCustomField5", "Tier", "Select", json.dumps({"values": ["Gold", "Silver", "Bronze"]})),
    ("textAreaCustomField1", "Background", "Text Area", ""),
    ("intCustomField1", "Seats", "Integer", ""),
    ("bigIntCustomField1", "Customer Number", "Big Integer", ""),
    ("decimalCustomField1", "Discount", "Decimal", ""),
    ("decimalCustomField2", "Share", "Percentage", ""),
    ("decimalCustomField3", "Credit Limit", "Currency", ""),
    ("checkboxCustomField1", "Newsletter", "Boolean", ""),
    ("dateCustomField1", "Birthday", "Date", ""),
    ("dateTimeCustomField1", "Next Call", "DateTime", ""),
    (
        "multiSelectCustomField1",
        "Interests",
        "Multi Select",
        json.dumps({"valuesMeta": [{"label": "Bags", "value": "bags"}, {"label": "Shoes", "value": "shoes"}]}),
    ),
    ("companySingleLookupCustomField1", "Reseller", "Lookup", json.dumps({"url": "/lookups/companies"})),
)
CUSTOM_NAMES: Final = frozenset(name for name, *_ in CUSTOM)
KNOWN: Final = frozenset({*WRITABLE, *SYSTEM, *CUSTOM_NAMES})
TYPE_OPTIONS: Final = json.dumps({"values": ["Lead", "Customer", "Vendor"]})
CURRENCIES: Final = frozenset({"USD", "EUR"})


def metadata() -> list[dict[str, Any]]:
    """`Data` of the metadata endpoint; `fieldOptions` is a JSON text, as the app sends it."""
    items = [
        item(name, LABELS.get(name, spaced(name)), "Select" if name == "type" else "Text", required=name == "lastName")
        for name in TEXTS
    ]
    items += [item(name, spaced(name), "Boolean") for name in FLAGS]
    items += [item("tags", "Tags", "Text"), item("owner", "Owner", "Lookup", required=True)]
    items += [item(name, spaced(name), "DateTime") for name in ("createdAt", "lastModifiedAt")]
    items.append({**item("salesmateScore", "Score", "Number"), "isInternal": True, "groupName": "Internal"})
    return items + [item(name, label, kind, options) for name, label, kind, options in CUSTOM]


def item(name: str, label: str, kind: str, options: str = "", required: bool = False) -> dict[str, Any]:
    return {
        "fieldName": name,
        "displayName": label,
        "type": kind,
        "isRequired": int(required),
        "isInternal": False,
        "groupName": "Contact Information",
        "fieldOptions": TYPE_OPTIONS if name == "type" else options or None,
    }


def spaced(name: str) -> str:
    """`billingCity` -> `Billing City`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", name[:1].upper() + name[1:])


def users() -> list[dict[str, Any]]:
    people = (("Sara", "Khan", True), ("Ben", "Jobs", True), ("Old", "Colleague", False))
    return [
        {
            "id": number,
            "firstName": first,
            "lastName": last,
            "name": f"{first} {last}",
            "email": f"{first.lower()}@agency.example",
            "mobile": "",
            "timezone": "Asia/Kolkata",
            "isActive": active,
            "Role": {"id": 1, "name": "Sales"},
            "Profile": {"id": 1, "name": "Standard"},
        }
        for number, (first, last, active) in enumerate(people, 1)
    ]


def complaint(name: str, value: Any) -> str:
    """The Message of the refusal of a value that is not empty; "" where it is fine. (Owner and company: account.)"""
    if name in TEXTS or name.startswith("text"):
        return text_complaint(name, value)
    if name == "tags":
        return "" if isinstance(value, str) and all(len(tag) <= 100 for tag in value.split(",")) else "Invalid Tags"
    if name == "currency":
        return "" if value in CURRENCIES else "No such currency exists"
    if name in FLAGS or name.startswith("checkbox"):
        return "" if isinstance(value, bool) else f"{label(name)} should be valid"
    if name.startswith(("int", "bigInt")):
        limit = INT if name.startswith("int") else BIG
        fine = isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
        return "" if fine else f"{label(name)} should be valid"
    if name.startswith("decimal"):
        fine = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < BIG
        return "" if fine else f"{label(name)} should be valid"
    return "" if isinstance(value, str | int) else f"{label(name)} should be valid"


def text_complaint(name: str, value: Any) -> str:
    if not isinstance(value, str):
        return f"{label(name)} should be valid"
    most = TEXTS.get(name) or (2000 if name.startswith("textArea") else 255)
    if len(value) > most:
        return f"{label(name)} can have a maximum of {most} characters"
    if (name == "email" or label(name) == "Second Email") and not EMAIL.fullmatch(value):
        return f"{label(name)} should be valid"
    return ""


def label(name: str) -> str:
    own = {key: text for key, text, *_ in CUSTOM}
    return LABELS.get(name) or own.get(name) or spaced(name)
