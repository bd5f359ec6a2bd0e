"""The methods of people: reading them one by one and in batches, and writing them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final, TypeVar

from sandbox.google import schema
from sandbox.google.account import Account
from sandbox.google.answers import STALE, TYPE, Failure, invalid
from sandbox.google.call import Call, sources
from sandbox.google.contact import Contact, check_etags, updated
from sandbox.google.shown import PHOTO

Key = TypeVar("Key", int, str)
MOST_READ: Final = 200
MOST_WRITTEN: Final = 200
MOST_DELETED: Final = 500
CREATE_BATCH: Final = schema.made_of(
    contacts=schema.listed(schema.made_of(contactPerson=schema.PERSON)),
    readMask=schema.text,
    sources=schema.listed(schema.text),
)
UPDATE_BATCH: Final = schema.made_of(
    contacts=schema.mapped(schema.PERSON),
    updateMask=schema.text,
    readMask=schema.text,
    sources=schema.listed(schema.text),
)
DELETE_BATCH: Final = schema.made_of(resourceNames=schema.listed(schema.text))


def get(call: Call) -> dict[str, Any]:
    call.account.spend("reads")
    return _shown(call, call.name, call.person_fields(), call.sources())


def batch_get(call: Call) -> dict[str, Any]:
    call.account.spend("reads")
    mask, wanted, names = call.person_fields(), call.sources(), call.query.get("resourceNames", [])
    if not 1 <= len(names) <= MOST_READ:
        raise invalid()
    return {"responses": [_found(call, name, mask, wanted) for name in names]}


def _found(call: Call, name: str, mask: Sequence[str], wanted: Sequence[str]) -> dict[str, Any]:
    try:
        return {**_response(_shown(call, name, mask, wanted)), "requestedResourceName": name}
    except Failure as failure:
        return {"httpStatusCode": failure.code, "status": failure.as_status(), "requestedResourceName": name}


def _response(person: Mapping[str, Any]) -> dict[str, Any]:
    return {"httpStatusCode": 200, "person": person, "status": {}}


def _shown(call: Call, name: str, mask: Sequence[str], wanted: Sequence[str]) -> dict[str, Any]:
    if name in ("people/me", me(call.account)):
        return _oneself(call.account, mask)
    return call.show(call.account.find(name), mask, wanted)


def me(account: Account) -> str:
    """The name of the user, who is a person too."""
    return f"people/1{int(sha256(account.email.encode()).hexdigest(), 16) % 10**20:020}"


def _oneself(account: Account, mask: Sequence[str]) -> dict[str, Any]:
    name, number = account.email.partition("@")[0].capitalize(), me(account).removeprefix("people/")
    source = {"type": "PROFILE", "id": number}
    own = {"primary": True, "source": source, "sourcePrimary": True}
    verified = {"primary": True, "verified": True, "source": {"type": "ACCOUNT", "id": number}, "sourcePrimary": True}
    profile = {"objectType": "PERSON", "userTypes": ["GOOGLE_USER"]}
    whole = {
        "metadata": {
            "sources": [{**source, "etag": "#profile=", "profileMetadata": profile}],
            "objectType": "PERSON",
        },
        "names": [{"metadata": own, "displayName": name, "displayNameLastFirst": name, "unstructuredName": name}],
        "emailAddresses": [{"metadata": verified, "value": account.email}],
        "photos": [{"metadata": {"primary": True, "source": source}, "url": PHOTO, "default": True}],
    }
    return {"resourceName": me(account), "etag": "%profile="} | {part: whole[part] for part in whole if part in mask}


def create(call: Call) -> dict[str, Any]:
    _spend(call)
    mask, wanted = call.person_fields(required=False), call.sources()
    contact = call.account.draft(call.json(schema.PERSON, "person"))
    return call.show(call.account.put([contact])[0], mask, wanted)


def update(call: Call) -> dict[str, Any]:
    _spend(call)
    mask, wanted = call.person_fields(required=False), call.sources()
    fields = _written(call.one("updatePersonFields"), "updatePersonFields", call)
    contact = _changed(call, call.name, call.json(schema.PERSON, "person"), fields)
    return call.show(call.account.put([contact])[0], mask, wanted)


def delete(call: Call) -> dict[str, Any]:
    call.account.spend("writes")
    call.account.remove([call.account.find(call.name)])
    return {}


def _spend(call: Call, reads: bool = True) -> None:
    """A write that answers with the person reads it, and that counts too."""
    call.account.spend("writes")
    if reads:
        call.account.spend("reads")


def _written(given: str, name: str, call: Call) -> tuple[str, ...]:
    fields = schema.mask(given, name, schema.WRITABLE, call.method)
    if not fields:
        raise schema.no_mask(name, call.method)
    return fields


def _changed(call: Call, name: str, person: Mapping[str, Any], fields: Sequence[str]) -> Contact:
    """What an update makes of a contact. Nothing is kept yet. Raises Failure."""
    contact = call.account.find(name)
    check_etags(contact, person)
    if call.account.clock.now() < contact.updated + timedelta(seconds=call.levers.etag_settles):
        raise STALE
    return updated(contact, person, fields, call.account.joinable())


def batch_create(call: Call) -> dict[str, Any]:
    body = call.json(CREATE_BATCH)
    people = [item.get("contactPerson", {}) for item in body.get("contacts", ())]
    mask, wanted = _read_mask(call, body), sources(body.get("sources", ()))
    if not 1 <= len(people) <= MOST_WRITTEN:
        raise invalid()
    drafts = _each(call, "BatchCreateContacts", range(len(people)), lambda place: call.account.draft(people[place]))
    made = call.account.put(drafts)
    if not mask:
        return {}
    responses = [_response(call.show(contact, mask, wanted)) for contact in made]
    named = [{**each, "requestedResourceName": each["person"]["resourceName"]} for each in responses]
    return {"createdPeople": named}


def batch_update(call: Call) -> dict[str, Any]:
    body = call.json(UPDATE_BATCH)
    people = body.get("contacts", {})
    mask, wanted = _read_mask(call, body), sources(body.get("sources", ()))
    fields = _written(body.get("updateMask", ""), "updateMask", call)
    if not 1 <= len(people) <= MOST_WRITTEN:
        raise invalid()
    drafts = _each(call, "BatchUpdateContacts", people, lambda name: _changed(call, name, people[name], fields))
    if len({draft.id for draft in drafts}) < len(drafts):
        raise invalid()
    made = dict(zip(people, call.account.put(drafts), strict=True))
    if not mask:
        return {}
    responses = {name: _response(call.show(contact, mask, wanted)) for name, contact in made.items()}
    return {"updateResult": {name: {**each, "requestedResourceName": name} for name, each in responses.items()}}


def batch_delete(call: Call) -> dict[str, Any]:
    call.account.spend("writes")
    names = call.json(DELETE_BATCH).get("resourceNames", [])
    if not 1 <= len(names) <= MOST_DELETED:
        raise invalid()
    found = {contact.id: contact for contact in map(call.account.find, names)}
    call.account.remove(found.values())
    return {}


def _read_mask(call: Call, body: Mapping[str, Any]) -> tuple[str, ...]:
    mask = schema.mask(body.get("readMask", ""), "readMask", schema.READABLE, call.method)
    _spend(call, reads=bool(mask))
    return mask


def _each(call: Call, batch: str, keys: Iterable[Key], draft: Callable[[Key], Contact]) -> list[Contact]:
    """All or none: with one that is refused, the error names all that are."""
    drafts: list[Contact] = []
    errors: dict[str, Failure] = {}
    for place, key in enumerate(keys):
        try:
            if call.refused and place % 2 == 1:
                raise invalid()
            drafts.append(draft(key))
        except Failure as failure:
            errors[str(key)] = failure
    if errors:
        statuses = {key: failure.as_status() for key, failure in errors.items()}
        first = next(iter(errors.values()))
        details = [{"@type": f"{TYPE}people.v1.{batch}ErrorDetails", "contactErrors": statuses}]
        raise Failure(first.code, first.status, first.message, details)
    return drafts
