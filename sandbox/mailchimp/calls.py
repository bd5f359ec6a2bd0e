"""What each address of the API does: a function of the audience, the query and the body, which gives the answer."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sandbox.mailchimp import hooks, merging, shown
from sandbox.mailchimp.answers import NOT_FOUND, Failure, invalid
from sandbox.mailchimp.audience import PATCHABLE, WRITABLE, Audience, Member
from sandbox.mailchimp.merging import TAG, TYPES

Query = Mapping[str, str]
MOST_ROWS: Final = 1000
MOST_IN_BATCH: Final = 500
SORTED_BY: Final = {"timestamp_opt": "opted", "timestamp_signup": "opted", "last_changed": "changed"}
STATUSES: Final = (*WRITABLE, "archived")
NOT_VALID: Final = "The resource submitted could not be validated. For field-specific details, see the 'errors' array."


def number(query: Query, name: str, usual: int, most: int) -> int:
    text = query.get(name, str(usual))
    if not text.isdecimal() or int(text) > most:
        raise invalid(NOT_VALID, [(name, f"must be a number up to {most}")])
    return int(text)


def flag(query: Query, name: str) -> bool:
    return query.get(name, "").lower() == "true"


def paged(query: Query, items: list[Any]) -> list[Any]:
    start = number(query, "offset", 0, 10**9)
    return items[start : start + number(query, "count", 10, MOST_ROWS)]


# Members


def list_members(audience: Audience, query: Query, body: Any) -> Any:
    found = [one for one in audience.members.values() if is_asked(audience, query, one)]
    by = query.get("sort_field", "")
    if by and by not in SORTED_BY:
        raise invalid(NOT_VALID, [("sort_field", "must be one of the choices")])
    key = SORTED_BY.get(by, "opted")
    found.sort(key=lambda one: (getattr(one, key), one.web_id), reverse=query.get("sort_dir") == "DESC")
    page = [shown.member(audience, one) for one in paged(query, found)]
    links = shown.links("self", f"/lists/{audience.id}/members", "Lists/Members")
    return {"members": page, "list_id": audience.id, "total_items": len(found), "_links": links}


def is_asked(audience: Audience, query: Query, one: Member) -> bool:
    status = query.get("status", "")
    if status and status not in STATUSES:
        raise invalid(NOT_VALID, [("status", "must be one of the choices")])
    if status and one.status != status:
        return False
    if not status and one.status == "archived" and not audience.levers.archived_listed:
        return False
    since, before = query.get("since_last_changed", ""), query.get("before_last_changed", "")
    changed = one.changed[:19]
    if since and (changed < since[:19] or (changed == since[:19] and not audience.levers.since_inclusive)):
        return False
    return not before or changed <= before[:19]


def add_member(audience: Audience, query: Query, body: Any) -> Any:
    made = audience.add(body, body.get("status"), flag(query, "skip_merge_validation"))
    return shown.member(audience, made)


def get_member(audience: Audience, query: Query, body: Any, key: str) -> Any:
    return shown.member(audience, audience.find(key))


def put_member(audience: Audience, query: Query, body: Any, key: str) -> Any:
    """Changes, or adds where the address is not there; a hash of another address that is there is refused."""
    try:
        member = audience.find(key)
    except Failure:
        wanted = audience.check_address(body.get("email_address"))
        member_there = audience.by_address(wanted)
        if member_there is None or member_there.status == "archived":
            status = body.get("status_if_new", body.get("status"))
            made = audience.add(body, status, flag(query, "skip_merge_validation"))
            return shown.member(audience, made)
        member = Member(wanted, "", "", 0)
        return audience.change(member, body)  # which says that the address is taken
    changed = audience.change(member, body, body.get("status"), flag(query, "skip_merge_validation"))
    return shown.member(audience, changed)


def patch_member(audience: Audience, query: Query, body: Any, key: str) -> Any:
    status = body.get("status")
    if status is not None and status not in PATCHABLE:
        raise invalid(NOT_VALID, [("status", "must be one of the choices")])
    changed = audience.change(audience.find(key), body, status, flag(query, "skip_merge_validation"))
    return shown.member(audience, changed)


def archive_member(audience: Audience, query: Query, body: Any, key: str) -> Any:
    audience.archive(audience.find(key))


def delete_member(audience: Audience, query: Query, body: Any, key: str) -> Any:
    audience.delete_permanently(audience.find(key))


def set_tags(audience: Audience, query: Query, body: Any, key: str) -> Any:
    member = audience.find(key)
    for one in body.get("tags", []):
        if not isinstance(one, dict) or not str(one.get("name", "")).strip():
            raise invalid(NOT_VALID, [("tags", "This value should not be blank.")])
        audience.tag(member, str(one["name"]), one.get("status") != "inactive")
    if body.get("tags"):
        audience.put(member)


def get_tags(audience: Audience, query: Query, body: Any, key: str) -> Any:
    member = audience.find(key)
    tags = [{"id": id, "name": name, "date_added": member.changed} for name, id in member.tags.items()]
    links = shown.links("self", f"/lists/{audience.id}/members/{member.id}/tags", "Lists/Members/Tags")
    return {"tags": paged(query, tags), "total_items": len(tags), "_links": links}


def search_tags(audience: Audience, query: Query, body: Any) -> Any:
    name = query.get("name", "").lower()
    tags = [{"id": id, "name": tag} for tag, id in audience.all_tags().items() if tag.lower().startswith(name)]
    links = shown.links("self", f"/lists/{audience.id}/tag-search", "Lists/Tags")
    return {"tags": tags, "total_items": len(tags), "_links": links}


def batch(audience: Audience, query: Query, body: Any) -> Any:
    """Up to 500 members at once. Always 200: what went wrong stands in `errors`."""
    members = body.get("members")
    if not isinstance(members, list) or len(members) > MOST_IN_BATCH:
        raise invalid(NOT_VALID, [("members", f"must be a list of at most {MOST_IN_BATCH}")])
    new: list[dict[str, Any]] = []
    updated: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()
    for one in members:
        email = str(one.get("email_address", ""))
        try:
            if email.lower() in seen and not flag(query, "skip_duplicate_check"):
                raise Failure(400, "Duplicate", "Multiple instances of this address were sent.")
            seen.add(email.lower())
            member, fresh = batch_one(audience, query, body, one)
            (new if fresh else updated).append(shown.member(audience, member))
        except Failure as failure:
            errors.append(batch_error(email, failure))
    return {
        "new_members": new,
        "updated_members": updated,
        "errors": errors,
        "total_created": len(new),
        "total_updated": len(updated),
        "error_count": len(errors),
        "_links": shown.links("self", f"/lists/{audience.id}", "Lists"),
    }


def batch_one(audience: Audience, query: Query, body: Any, one: Any) -> tuple[Member, bool]:
    there = audience.by_address(audience.check_address(one.get("email_address")))
    skip, update = flag(query, "skip_merge_validation"), body.get("update_existing") is True
    back = there is not None and there.status == "archived" and audience.levers.batch_unarchives
    if there is None or (back and not update):
        return audience.add(one, one.get("status"), skip), there is None
    if not update:
        words = f"{there.email} is already a list member, do you want to update? please provide update_existing:true"
        raise Failure(400, "Member Exists", words)
    if audience.levers.batch_needs_status and "status" not in one:
        raise invalid("The status is missing.")
    if body.get("sync_tags") is True:
        there.tags = {}
    return audience.change(there, one, one.get("status"), skip), False


def batch_error(email: str, failure: Failure) -> dict[str, Any]:
    kind = "ERROR_CONTACT_EXISTS" if failure.title == "Member Exists" else "ERROR_GENERIC"
    field, message = failure.errors[0] if failure.errors else ("", "")
    told = {"email_address": email, "error": failure.detail, "error_code": kind}
    return {**told, "field": field, "field_message": message}


# Merge fields


def list_fields(audience: Audience, query: Query, body: Any) -> Any:
    fields = [shown.merge_field(audience, one) for one in audience.fields.values()]
    fields = [one for one in fields if query.get("type", one["type"]) == one["type"]]
    links = shown.links("self", f"/lists/{audience.id}/merge-fields", "Lists/MergeFields")
    return {
        "merge_fields": paged(query, fields),
        "list_id": audience.id,
        "total_items": len(fields),
        "_links": links,
    }


def add_field(audience: Audience, query: Query, body: Any) -> Any:
    name, kind = str(body.get("name", "")).strip(), body.get("type")
    if not name or kind not in TYPES:
        raise invalid(NOT_VALID, [("type", "must be one of the choices")])
    next_id = 1 + max((one["merge_id"] for one in audience.fields.values()), default=0)
    tag = str(body.get("tag") or f"MMERGE{next_id}")
    if TAG.fullmatch(tag) is None or tag in audience.fields:
        raise invalid(f'A Merge Field with the tag "{tag}" already exists for this list.')
    made = merging.field(next_id, tag, name, kind, body.get("options"), body.get("required") is True)
    audience.fields[tag] = made
    return shown.merge_field(audience, made)


def field_of(audience: Audience, key: str) -> dict[str, Any]:
    for one in audience.fields.values():
        if str(one["merge_id"]) == key:
            return one
    raise NOT_FOUND


def get_field(audience: Audience, query: Query, body: Any, key: str) -> Any:
    return shown.merge_field(audience, field_of(audience, key))


def patch_field(audience: Audience, query: Query, body: Any, key: str) -> Any:
    one = field_of(audience, key)
    one |= {name: body[name] for name in ("name", "required", "public", "help_text", "options") if name in body}
    return shown.merge_field(audience, one)


def delete_field(audience: Audience, query: Query, body: Any, key: str) -> Any:
    one = field_of(audience, key)
    del audience.fields[one["tag"]]
    for member in audience.members.values():
        member.merge.pop(one["tag"], None)


def interest_categories(audience: Audience, query: Query, body: Any) -> Any:
    links = shown.links("self", f"/lists/{audience.id}/interest-categories", "Lists/InterestCategories")
    return {"list_id": audience.id, "categories": [], "total_items": 0, "_links": links}


Act = Callable[..., Any]
MEMBER: Final = "members/(?P<key>[^/]+)"
ROUTES: Final[tuple[tuple[str, str, Act], ...]] = (
    ("POST", "", batch),
    ("GET", "members", list_members),
    ("POST", "members", add_member),
    ("GET", MEMBER, get_member),
    ("PUT", MEMBER, put_member),
    ("PATCH", MEMBER, patch_member),
    ("DELETE", MEMBER, archive_member),
    ("POST", f"{MEMBER}/actions/delete-permanent", delete_member),
    ("GET", f"{MEMBER}/tags", get_tags),
    ("POST", f"{MEMBER}/tags", set_tags),
    ("GET", "tag-search", search_tags),
    ("GET", "merge-fields", list_fields),
    ("POST", "merge-fields", add_field),
    ("GET", "merge-fields/(?P<key>[0-9]+)", get_field),
    ("PATCH", "merge-fields/(?P<key>[0-9]+)", patch_field),
    ("DELETE", "merge-fields/(?P<key>[0-9]+)", delete_field),
    ("GET", "interest-categories", interest_categories),
    ("GET", "webhooks", hooks.listing),
    ("POST", "webhooks", hooks.add),
    ("GET", "webhooks/(?P<key>[0-9a-z]+)", hooks.get),
    ("DELETE", "webhooks/(?P<key>[0-9a-z]+)", hooks.remove),
)
