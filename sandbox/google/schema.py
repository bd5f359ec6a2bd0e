"""What a Person of the People API consists of, as far as contacts have it, and reading one from JSON as Google does."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from sandbox.google.answers import Failure, bad_request

Kind = Callable[[Any, str], Any]
"""Takes a value and its place in the request; gives it back, or raises Failure."""

SINGLE: Final = ("biographies", "birthdays", "genders", "names")
MOST_NUMBER: Final = 2**31


def text(value: Any, at: str) -> Any:
    return value if isinstance(value, str) else refuse(value, at, "TYPE_STRING")


def flag(value: Any, at: str) -> Any:
    return value if isinstance(value, bool) else refuse(value, at, "TYPE_BOOL")


def number(value: Any, at: str) -> Any:
    fine = isinstance(value, int) and not isinstance(value, bool) and -MOST_NUMBER <= value < MOST_NUMBER
    return value if fine else refuse(value, at, "TYPE_INT32")


def choice(*names: str) -> Kind:
    return lambda value, at: value if value in names else refuse(value, at, "TYPE_ENUM")


def output(kind: Kind) -> Kind:
    """Is read, and counts for nothing."""

    def read(value: Any, at: str) -> Any:
        kind(value, at)

    return read


def listed(kind: Kind) -> Kind:
    def read(value: Any, at: str) -> Any:
        if not isinstance(value, list):
            refuse(value, at, "TYPE_LIST")
        return [kind(item, f"{at}[{place}]") for place, item in enumerate(value)]

    return read


def mapped(kind: Kind) -> Kind:
    """An object with any keys."""

    def read(value: Any, at: str) -> Any:
        if isinstance(value, list):
            raise bad_request(at, f"Invalid JSON payload received. Cannot bind a list to map for field '{at}'.")
        if not isinstance(value, dict):
            refuse(value, at, "TYPE_MESSAGE")
        return {name: kind(item, f"{at}[{name}]") for name, item in value.items()}

    return read


def made_of(**kinds: Kind) -> Kind:
    """An object with these names. What says nothing (null, "", false, 0) is left out, as by Google."""

    def read(value: Any, at: str) -> Any:
        if not isinstance(value, dict):
            refuse(value, at, "TYPE_MESSAGE")
        unknown = sorted(set(value) - kinds.keys())
        if unknown:
            place = f" at '{at}'" if at else ""
            message = f'Invalid JSON payload received. Unknown name "{unknown[0]}"{place}: Cannot find field.'
            raise bad_request(at, message)
        parts = {
            name: kinds[name](item, f"{at}.{snake(name)}" if at else snake(name))
            for name, item in value.items()
            if item is not None
        }
        return {name: item for name, item in parts.items() if item}

    return read


def refuse(value: Any, at: str, kind: str) -> Any:
    shown = f'"{value}"' if isinstance(value, str) else value
    raise bad_request(at, f"Invalid value at '{at}' ({kind}), {shown}")


def snake(name: str) -> str:
    """`phoneNumbers` -> `phone_numbers`: places are told in the names of the protocol."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def texts(names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), text)


SOURCE_TYPES: Final = ("ACCOUNT", "PROFILE", "DOMAIN_PROFILE", "CONTACT", "OTHER_CONTACT", "DOMAIN_CONTACT")
OBJECT: Final = choice("OBJECT_TYPE_UNSPECIFIED", "PERSON", "PAGE")
PROFILE: Final = made_of(objectType=output(OBJECT), userTypes=output(listed(text)))
SOURCE: Final = made_of(
    type=choice("SOURCE_TYPE_UNSPECIFIED", *SOURCE_TYPES),
    updateTime=output(text),
    profileMetadata=output(PROFILE),
    **texts("id etag"),
)
METADATA: Final = made_of(primary=output(flag), verified=output(flag), source=output(SOURCE), sourcePrimary=flag)
PERSON_METADATA: Final = made_of(
    sources=listed(SOURCE),
    deleted=output(flag),
    objectType=output(OBJECT),
    linkedPeopleResourceNames=output(listed(text)),
    previousResourceNames=output(listed(text)),
)
DATE: Final = made_of(year=number, month=number, day=number)
MEMBERSHIP: Final = made_of(contactGroupResourceName=text, contactGroupId=output(text))
KEYWORDS: Final = (
    "TYPE_UNSPECIFIED OUTLOOK_BILLING_INFORMATION OUTLOOK_DIRECTORY_SERVER OUTLOOK_KEYWORD OUTLOOK_MILEAGE "
    "OUTLOOK_PRIORITY OUTLOOK_SENSITIVITY OUTLOOK_SUBJECT OUTLOOK_USER HOME WORK OTHER"
)
NICKNAMES: Final = "DEFAULT MAIDEN_NAME INITIALS GPLUS OTHER_NAME ALTERNATE_NAME SHORT_NAME"
TYPED: Final = {"formattedType": output(text)}
VALUE: Final = texts("type value")
# The fields that can be written, and what an item of each is made of.
PARTS: Final[Mapping[str, Mapping[str, Kind]]] = {
    "addresses": TYPED
    | texts(
        "type formattedValue poBox streetAddress extendedAddress city region postalCode country countryCode",
    ),
    "biographies": {"value": text, "contentType": choice("CONTENT_TYPE_UNSPECIFIED", "TEXT_PLAIN", "TEXT_HTML")},
    "birthdays": {"date": DATE, "text": text},
    "calendarUrls": TYPED | texts("type url"),
    "clientData": texts("key value"),
    "emailAddresses": TYPED | VALUE | texts("displayName"),
    "events": {**TYPED, "type": text, "date": DATE},
    "externalIds": TYPED | VALUE,
    "genders": {"formattedValue": output(text), **texts("value addressMeAs")},
    "imClients": TYPED | {"formattedProtocol": output(text)} | texts("type protocol username"),
    "interests": texts("value"),
    "locales": texts("value"),
    "locations": {**VALUE, "current": flag, **texts("buildingId floor floorSection deskCode")},
    "memberships": {
        "contactGroupMembership": MEMBERSHIP,
        "domainMembership": output(made_of(inViewerDomain=flag)),
    },
    "miscKeywords": {**TYPED, "value": text, "type": choice(*KEYWORDS.split())},
    "names": dict.fromkeys(("displayName", "displayNameLastFirst"), output(text))
    | texts(
        "unstructuredName honorificPrefix givenName middleName familyName honorificSuffix phoneticFullName "
        "phoneticHonorificPrefix phoneticGivenName phoneticMiddleName phoneticFamilyName phoneticHonorificSuffix",
    ),
    "nicknames": {"value": text, "type": choice(*NICKNAMES.split())},
    "occupations": texts("value"),
    "organizations": {
        **TYPED,
        "current": flag,
        "startDate": DATE,
        "endDate": DATE,
        "fullTimeEquivalentMillipercent": number,
        **texts("type name phoneticName department title jobDescription symbol domain location costCenter"),
    },
    "phoneNumbers": TYPED | {"canonicalForm": output(text)} | VALUE,
    "relations": TYPED | texts("type person"),
    "sipAddresses": TYPED | VALUE,
    "urls": TYPED | VALUE,
    "userDefined": texts("key value"),
}
WRITABLE: Final = frozenset(PARTS)
READABLE: Final = WRITABLE | {"ageRanges", "coverPhotos", "metadata", "photos", "skills"}
_PICTURE: Final = output(listed(made_of(url=text, default=flag, metadata=METADATA)))
_VALUES: Final = output(listed(made_of(value=text, formattedValue=text, metadata=METADATA)))
# Part of a Person, and nothing that a contact's data can hold.
_IDLE: Final = {
    **dict.fromkeys(("photos", "coverPhotos"), _PICTURE),
    **dict.fromkeys(("braggingRights", "fileAses", "skills", "taglines"), output(listed(made_of(value=text)))),
    **dict.fromkeys(("relationshipInterests", "relationshipStatuses"), _VALUES),
    "residences": output(listed(made_of(value=text, current=flag))),
    "ageRange": output(text),
    "ageRanges": output(listed(made_of(ageRange=text, metadata=METADATA))),
}
PERSON: Final = made_of(
    resourceName=text,
    etag=text,
    metadata=PERSON_METADATA,
    **{name: listed(made_of(metadata=METADATA, **parts)) for name, parts in PARTS.items()},
    **_IDLE,
)
GROUP_PARTS: Final = frozenset({"clientData", "groupType", "memberCount", "metadata", "name"})
GROUP: Final = made_of(
    **texts("resourceName etag name"),
    clientData=listed(made_of(**texts("key value"))),
    metadata=output(made_of(updateTime=text, deleted=flag)),
    groupType=output(text),
    formattedName=output(text),
    memberCount=output(number),
    memberResourceNames=output(listed(text)),
)


def mask(given: str, name: str, allowed: frozenset[str], method: str) -> tuple[str, ...]:
    """The fields of a mask, each once. Raises Failure."""
    fields = tuple(dict.fromkeys(part.strip() for part in given.split(",") if part.strip()))
    for field in fields:
        if field not in allowed:
            raise unknown_path(name, field, method)
    return fields


DOCS: Final = "https://developers.google.com/people/api/rest/v1/"


def unknown_path(name: str, field: str, method: str) -> Failure:
    message = f'Invalid {name} mask path: "{field}". Valid paths are documented at {DOCS}{method}.'
    return bad_request(snake(name), message)


def no_mask(name: str, method: str) -> Failure:
    message = f"{name} mask is required. Please specify one or more valid paths. Valid paths are documented at "
    return bad_request(snake(name), f"{message}{DOCS}{method}.")
