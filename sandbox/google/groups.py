"""The methods of contact groups, the labels of Google Contacts."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from sandbox.google import schema
from sandbox.google.answers import EXPIRED_FORMS, Failure, invalid
from sandbox.google.call import Call
from sandbox.google.contact import JOINABLE, Contact
from sandbox.google.group import ANSWERED, LISTED, SYSTEM, Group, system_shown
from sandbox.google.tokens import SyncToken

MOST_LISTED: Final = 1000
MOST_READ: Final = 200
MOST_MODIFIED: Final = 1000
USUAL_PAGE: Final = 30
TERMS: Final = "groups"
CREATE: Final = schema.made_of(contactGroup=schema.GROUP, readGroupFields=schema.text)
UPDATE: Final = schema.made_of(contactGroup=schema.GROUP, updateGroupFields=schema.text, readGroupFields=schema.text)
MODIFY: Final = schema.made_of(
    resourceNamesToAdd=schema.listed(schema.text), resourceNamesToRemove=schema.listed(schema.text)
)


def list_groups(call: Call) -> dict[str, Any]:
    """Those of people before Google's own. A page token is the place at which the page begins."""
    call.account.spend("reads")
    mask, size = _mask(call), call.number("pageSize", USUAL_PAGE, MOST_LISTED)
    place = call.number("pageToken", 0, MOST_LISTED * MOST_LISTED)
    token = _token(call)
    if token is None:
        shown = [_shown(call, group, mask) for group in call.account.living_groups()]
        shown += [system_shown(name, mask, len(call.account.members(name))) for name in SYSTEM]
    else:
        changed = [group for group in call.account.groups.values() if group.position > token.position]
        shown = [_shown(call, group, mask) for group in changed]
    page = shown[place : place + size]
    answer: dict[str, Any] = {"contactGroups": page} if page else {}
    if shown:
        answer["totalItems"] = len(shown)
    if place + size < len(shown):
        return {**answer, "nextPageToken": str(place + size)}
    began = token.began if token is not None else call.account.clock.now().timestamp()
    next_token = SyncToken(call.account.born, call.account.version, began, TERMS)
    return {**answer, "nextSyncToken": str(next_token)}


def _token(call: Call) -> SyncToken | None:
    if not call.one("syncToken"):
        return None
    token = SyncToken.read(call.one("syncToken"))
    if token.born != call.account.born or token.terms != TERMS:
        raise invalid()
    life = timedelta(days=call.levers.token_days).total_seconds()
    if call.account.clock.now().timestamp() >= token.began + life:
        raise EXPIRED_FORMS[call.levers.expired_form]
    return token


def get(call: Call) -> dict[str, Any]:
    call.account.spend("reads")
    return _with_members(call, call.name)


def batch_get(call: Call) -> dict[str, Any]:
    call.account.spend("reads")
    names = call.query.get("resourceNames", [])
    if not 1 <= len(names) <= MOST_READ:
        raise invalid()
    return {"responses": [_found(call, name) for name in names]}


def _found(call: Call, name: str) -> dict[str, Any]:
    try:
        return {"requestedResourceName": name, "contactGroup": _with_members(call, name), "status": {}}
    except Failure as failure:
        return {"requestedResourceName": name, "status": failure.as_status()}


def _with_members(call: Call, name: str) -> dict[str, Any]:
    mask, most = _mask(call), call.number("maxMembers", 0, MOST_LISTED * MOST_LISTED)
    group_id = name.removeprefix("contactGroups/")
    members = call.account.members(group_id)
    if group_id in SYSTEM:
        shown = system_shown(group_id, mask, len(members))
    else:
        shown = _shown(call, call.account.group(name), mask)
    listed = [member.resource for member in members[:most]]
    return shown | ({"memberResourceNames": listed} if listed else {})


def _shown(call: Call, group: Group, mask: tuple[str, ...]) -> dict[str, Any]:
    return group.shown(mask, len(call.account.members(group.id)))


def _mask(call: Call) -> tuple[str, ...]:
    return schema.mask(call.one("groupFields"), "groupFields", schema.GROUP_PARTS, call.method) or LISTED


def create(call: Call) -> dict[str, Any]:
    call.account.spend("writes")
    body = call.json(CREATE)
    mask = _read_mask(call, body.get("readGroupFields", ""))
    given = body.get("contactGroup", {})
    made = call.account.make_group(given.get("name", ""), given.get("clientData", ()))
    return _shown(call, made, mask)


def update(call: Call) -> dict[str, Any]:
    call.account.spend("writes")
    body = call.json(UPDATE)
    mask = _read_mask(call, body.get("readGroupFields", ""))
    allowed = frozenset({"name", "clientData"})
    fields = schema.mask(body.get("updateGroupFields", ""), "updateGroupFields", allowed, call.method) or ("name",)
    group, given = _of_people(call), body.get("contactGroup", {})
    if "name" in fields:
        call.account.check_name(given.get("name", ""), but=group.id)
        group = replace(group, name=given.get("name", ""))
    if "clientData" in fields:
        group = replace(group, client_data=tuple(given.get("clientData", ())))
    return _shown(call, call.account.keep_group(group), mask)


def delete(call: Call) -> dict[str, Any]:
    call.account.spend("writes")
    call.account.drop_group(_of_people(call), call.flag("deleteContacts"))
    return {}


def _read_mask(call: Call, given: str) -> tuple[str, ...]:
    return schema.mask(given, "readGroupFields", schema.GROUP_PARTS, call.method) or ANSWERED


def _of_people(call: Call) -> Group:
    """Google's own groups stay as they are."""
    if call.name.removeprefix("contactGroups/") in SYSTEM:
        raise invalid()
    return call.account.group(call.name)


def modify(call: Call) -> dict[str, Any]:
    """Whom it cannot find, and whom it cannot take from their last group, it names in an answer with 200."""
    call.account.spend("writes")
    body = call.json(MODIFY)
    add, remove = body.get("resourceNamesToAdd", []), body.get("resourceNamesToRemove", [])
    group_id = call.name.removeprefix("contactGroups/")
    if group_id not in SYSTEM:
        call.account.group(call.name)
    if len(add) + len(remove) > MOST_MODIFIED or (add and group_id in set(SYSTEM) - JOINABLE):
        raise invalid()
    lost: list[str] = []
    joined = [one for one in _people(call, add, lost) if group_id not in one.groups]
    call.account.put(replace(one, groups=(*one.groups, group_id)) for one in joined)
    leaving = [one for one in _people(call, remove, lost) if group_id in one.groups]
    stuck = [one.resource for one in leaving if one.groups == (group_id,)]
    left = [one for one in leaving if one.resource not in stuck]
    call.account.put(replace(one, groups=tuple(each for each in one.groups if each != group_id)) for one in left)
    answer = {"notFoundResourceNames": lost, "canNotRemoveLastContactGroupResourceNames": stuck}
    return {name: names for name, names in answer.items() if names}


def _people(call: Call, names: list[str], lost: list[str]) -> list[Contact]:
    """Each once; the names of those who are not there are added to `lost`."""
    found: dict[str, Contact] = {}
    for name in names:
        try:
            contact = call.account.find(name)
        except Failure:
            lost.append(name)
        else:
            found[contact.id] = contact
    return list(found.values())
