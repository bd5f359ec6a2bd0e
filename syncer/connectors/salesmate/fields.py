"""The fields of a Salesmate contact, its own and those of the account (README.md, 5)."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from syncer.connectors.base import Field, FieldType, Role
from syncer.connectors.salesmate.wire import flag

TEXT, LONG_TEXT, EMAIL, PHONE, URL = (
    FieldType.TEXT,
    FieldType.LONG_TEXT,
    FieldType.EMAIL,
    FieldType.PHONE,
    FieldType.URL,
)

STANDARD: Final[tuple[Field, ...]] = (
    Field("firstName", "First Name", TEXT, Role.GIVEN, max_length=255),
    Field("lastName", "Last Name", TEXT, Role.FAMILY, required=True, max_length=255),
    Field("email", "Email", EMAIL, Role.EMAIL, max_length=255),
    Field("mobile", "Mobile", PHONE, Role.PHONE_MOBILE, max_length=255),
    Field("phone", "Work Phone", PHONE, Role.PHONE_WORK, max_length=255),
    Field("otherPhone", "Other Phone", PHONE, Role.PHONE_OTHER, max_length=255),
    Field("designation", "Job Title", TEXT, Role.TITLE, max_length=255),
    Field("company.name", "Company", TEXT, Role.ORGANIZATION, writable=False, max_length=255),
    Field("owner", "Owner", FieldType.OWNER, Role.OWNER, required=True),
    Field("tags", "Tags", FieldType.TAGS, Role.TAGS),
    Field("type", "Type", FieldType.CHOICE, max_length=255),
    Field("website", "Website", URL, Role.URL, max_length=255),
    Field("description", "Description", LONG_TEXT, Role.NOTE, max_length=2000),
    Field("billingAddressLine1", "Billing Address Line 1", TEXT, "address.work.street", max_length=255),
    Field("billingAddressLine2", "Billing Address Line 2", TEXT, "address.work.street2", max_length=255),
    Field("billingCity", "Billing City", TEXT, "address.work.city", max_length=255),
    Field("billingState", "Billing State", TEXT, "address.work.region", max_length=255),
    Field("billingZipCode", "Billing Zip Code", TEXT, "address.work.postcode", max_length=20),
    Field("billingCountry", "Billing Country", TEXT, "address.work.country", max_length=255),
    Field("currency", "Currency", TEXT, max_length=3),
    Field("skypeId", "Skype", TEXT, max_length=255),
    Field("linkedInHandle", "LinkedIn", TEXT, max_length=100),
    Field("facebookHandle", "Facebook", TEXT, max_length=100),
    Field("twitterHandle", "Twitter", TEXT, max_length=100),
    Field("googlePlusHandle", "Google Plus", TEXT, max_length=100),
    Field("emailOptOut", "Email Opt Out", FieldType.BOOLEAN),
)
# Seen in the app, but not in the description of v4: offered where the account's metadata lists them.
IF_LISTED: Final[tuple[Field, ...]] = (
    Field("emailOptOutReason", "Email Opt Out Reason", TEXT, max_length=255),
    Field("smsOptOut", "SMS Opt Out", FieldType.BOOLEAN),
    Field("instagramHandle", "Instagram", TEXT, max_length=100),
    Field("timezone", "Timezone", FieldType.CHOICE),
    Field("shippingAddressLine1", "Shipping Address Line 1", TEXT, max_length=255),
    Field("shippingAddressLine2", "Shipping Address Line 2", TEXT, max_length=255),
    Field("shippingCity", "Shipping City", TEXT, max_length=255),
    Field("shippingState", "Shipping State", TEXT, max_length=255),
    Field("shippingZipCode", "Shipping Zip Code", TEXT, max_length=20),
    Field("shippingCountry", "Shipping Country", TEXT, max_length=255),
)
KNOWN: Final[Mapping[str, Field]] = {field.name: field for field in (*STANDARD, *IF_LISTED)}

# Kept by Salesmate itself, or about visits and mails: not offered.
SYSTEM_NAMES: Final = """
    id name photo company createdAt createdBy lastModifiedAt lastModifiedBy isDeleted deletedAt deletedBy
    lastCommunicationAt lastCommunicationBy lastCommunicationMode lastNote lastNoteAddedAt lastNoteAddedBy
    lastEmailSentAt lastEmailReceivedAt lastSendEmailId emailMessageCount viewsOfLastEmailCount
    clicksOfLastEmailCount openActivities closedActivities totalActivities openDealCount wonDealCount lostDealCount
    totalAmountOfOpenDeal totalAmountOfWonDeal totalAmountOfLostDeal salesmateScore userId utmSource utmMedium
    utmCampaign utmTerm utmContent library libraryVersion browser browserVersion ipAddress region countryCode
    latitude longitude host os device androidDevice
"""
SYSTEM: Final = frozenset(SYSTEM_NAMES.split())

LOOKUP: Final = re.compile(r"[A-Za-z]+SingleLookupCustomField[0-9]+")
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
# What a generated key says about its storage.
PREFIXES: Final[Mapping[str, tuple[FieldType, int | None]]] = {
    "text": (TEXT, 255),
    "textArea": (LONG_TEXT, 2000),
    "int": (FieldType.INTEGER, None),
    "bigInt": (FieldType.INTEGER, None),
    "decimal": (FieldType.DECIMAL, None),
    "checkbox": (FieldType.BOOLEAN, None),
    "date": (FieldType.DATE, None),
    "dateTime": (FieldType.DATETIME, None),
    "multiSelect": (FieldType.MULTI_CHOICE, None),
}
# `type` of the metadata, casefolded and without blanks.
TYPES: Final[Mapping[str, FieldType]] = {
    "text": TEXT,
    "string": TEXT,
    "textarea": LONG_TEXT,
    "longtext": LONG_TEXT,
    "email": EMAIL,
    "phone": PHONE,
    "url": URL,
    "website": URL,
    "select": FieldType.CHOICE,
    "multiselect": FieldType.MULTI_CHOICE,
    "number": FieldType.DECIMAL,
    "int": FieldType.INTEGER,
    "integer": FieldType.INTEGER,
    "bigint": FieldType.INTEGER,
    "biginteger": FieldType.INTEGER,
    "decimal": FieldType.DECIMAL,
    "percentage": FieldType.DECIMAL,
    "currency": FieldType.DECIMAL,
    "boolean": FieldType.BOOLEAN,
    "checkbox": FieldType.BOOLEAN,
    "date": FieldType.DATE,
    "datetime": FieldType.DATETIME,
}
STORED_AS_TEXT: Final = frozenset({TEXT, EMAIL, PHONE, URL, FieldType.CHOICE})


def by_key(name: str) -> Field | None:
    """What a generated custom key says about its field, without metadata; None for other names."""
    if LOOKUP.fullmatch(name):
        return Field(name, name, FieldType.INTEGER, writable=False, custom=True)
    prefix, mark, digits = name.partition("CustomField")
    if not mark or not digits.isdigit() or prefix not in PREFIXES:
        return None
    kind, size = PREFIXES[prefix]
    return Field(name, name, kind, max_length=size, custom=True)


def all_fields(metadata: Any) -> list[Field]:
    """The standard fields and then the account's own, from `Data` of the metadata endpoint."""
    items = {item["fieldName"]: item for item in metadata if usable(item)} if isinstance(metadata, list) else {}
    standard = [with_choices(field, items.get(field.name)) for field in STANDARD]
    listed = [with_choices(field, items[field.name]) for field in IF_LISTED if field.name in items]
    own = [custom(item) for name, item in items.items() if name not in KNOWN and name not in SYSTEM]
    return standard + listed + own


def usable(item: Any) -> bool:
    if not isinstance(item, dict) or not NAME.fullmatch(str(item.get("fieldName", ""))):
        return False
    return flag(item.get("isInternal")) is not True and item.get("groupName") != "Internal"


def with_choices(field: Field, item: Mapping[str, Any] | None) -> Field:
    if item is None or field.type is not FieldType.CHOICE:
        return field
    return replace(field, choices=choices(item.get("fieldOptions")))


def custom(item: Mapping[str, Any]) -> Field:
    """The storage follows from the key; the metadata's type tells apart what is stored as text, and other names."""
    name, label = item["fieldName"], str(item.get("displayName") or item["fieldName"])[:255]
    said = str(item.get("type") or "").replace(" ", "").replace("_", "").casefold()
    known = TYPES.get(said)
    field = by_key(name)
    if field is None:
        field = Field(name, label, known or TEXT, writable=known is not None, custom=True)
    elif field.type is TEXT and known in STORED_AS_TEXT and known is not None:
        field = replace(field, type=known)
    offered = choices(item.get("fieldOptions")) if field.type in (FieldType.CHOICE, FieldType.MULTI_CHOICE) else ()
    return replace(field, label=label, choices=offered, required=flag(item.get("isRequired")) is True)


def choices(options: Any) -> tuple[tuple[str, str], ...]:
    """(value, label) pairs from `fieldOptions`, a JSON text with `valuesMeta` or `values`; () where it has neither."""
    try:
        found = json.loads(options) if isinstance(options, str) and options else options
    except (ValueError, RecursionError):
        return ()
    if not isinstance(found, dict):
        return ()
    described = found.get("valuesMeta")
    if isinstance(described, list) and described:
        pairs = [(item.get("value"), item.get("label")) for item in described if isinstance(item, dict)]
        return tuple(
            (str(value), str(value if label is None else label)) for value, label in pairs if value is not None
        )
    plain = found.get("values")
    return tuple((str(value), str(value)) for value in plain) if isinstance(plain, list) else ()


def paths(field: Field) -> tuple[str, ...]:
    """What to name in displayingFields: nested objects come back only for the sub-fields named."""
    if field.name == "company.name":
        return ("contact.company.id", "contact.company.name")
    if field.type is FieldType.OWNER or LOOKUP.fullmatch(field.name):
        return (f"contact.{field.name}.id",)
    if field.name == "currency":
        return ("contact.currency.code",)
    return (f"contact.{field.name}",)
