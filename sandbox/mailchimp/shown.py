"""How the API shows audiences, members and fields, and `fields` and `exclude_fields` of a query."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sandbox.mailchimp import merging
from sandbox.mailchimp.audience import Audience, Member, id_of

MOST_TAGS: Final = 50
SCHEMA: Final = "https://us6.api.mailchimp.com/schema/3.0/Definitions"
BORN: Final = "2020-08-12T16:21:04+00:00"


def member(audience: Audience, one: Member) -> dict[str, Any]:
    merge = merging.shown(audience.fields, one.merge)
    names = [str(merge.get(tag) or "") for tag in ("FNAME", "LNAME")]
    tags = [{"id": number, "name": name} for name, number in one.tags.items()]
    return {
        "id": one.id,
        "email_address": one.email,
        "unique_email_id": id_of(one.contact_id)[:10],
        "contact_id": one.contact_id,
        "full_name": " ".join(name for name in names if name),
        "web_id": one.web_id,
        "email_type": one.more.get("email_type", "html"),
        "status": one.status,
        **({"unsubscribe_reason": "N/A (Unsubscribed by the user)"} if one.status == "unsubscribed" else {}),
        "consents_to_one_to_one_messaging": True,
        "merge_fields": merge,
        "stats": {"avg_open_rate": 0, "avg_click_rate": 0},
        "ip_signup": one.more.get("ip_signup", ""),
        "timestamp_signup": one.more.get("timestamp_signup", ""),
        "ip_opt": one.more.get("ip_opt", "192.0.2.7"),
        "timestamp_opt": one.more.get("timestamp_opt", one.opted),
        "member_rating": 2,
        "last_changed": one.changed,
        "language": one.more.get("language", ""),
        "vip": bool(one.more.get("vip", False)),
        "email_client": "",
        "location": {
            "latitude": 0,
            "longitude": 0,
            "gmtoff": 0,
            "dstoff": 0,
            "country_code": "",
            "timezone": "",
        },
        "source": one.source,
        "tags_count": len(tags),
        "tags": tags[:MOST_TAGS],
        "list_id": audience.id,
        "_links": links("self", f"/lists/{audience.id}/members/{one.id}", "Lists/Members"),
    }


def audience(one: Audience) -> dict[str, Any]:
    counts = dict.fromkeys(("subscribed", "unsubscribed", "cleaned"), 0)
    for each in one.members.values():
        if each.status in counts:
            counts[each.status] += 1
    return {
        "id": one.id,
        "web_id": 382062,
        "name": one.name,
        "contact": {
            "company": "Harbour Tea",
            "address1": "1 Pier",
            "city": "Bristol",
            "state": "",
            "zip": "BS1",
            "country": "GB",
        },
        "permission_reminder": "You asked for our news.",
        "use_archive_bar": True,
        "campaign_defaults": {
            "from_name": "Harbour Tea",
            "from_email": "news@example.org",
            "subject": "",
            "language": "en",
        },
        "notify_on_subscribe": "",
        "notify_on_unsubscribe": "",
        "date_created": BORN,
        "list_rating": 0,
        "email_type_option": False,
        "subscribe_url_short": "http://eepurl.example/haJ6YH",
        "subscribe_url_long": f"https://harbour.us6.list-manage.example/subscribe?id={one.id}",
        "beamer_address": "us6-beamer@example.org",
        "visibility": "prv",
        "double_optin": False,
        "has_welcome": False,
        "marketing_permissions": False,
        "modules": [],
        "stats": {
            "member_count": counts["subscribed"],
            "unsubscribe_count": counts["unsubscribed"],
            "cleaned_count": counts["cleaned"],
            "member_count_since_send": counts["subscribed"],
            "unsubscribe_count_since_send": 0,
            "cleaned_count_since_send": 0,
            "campaign_count": 0,
            "campaign_last_sent": "",
            "merge_field_count": len(one.fields),
            "avg_sub_rate": 0,
            "avg_unsub_rate": 0,
            "target_sub_rate": 0,
            "open_rate": 0,
            "click_rate": 0,
            "last_sub_date": "",
            "last_unsub_date": "",
        },
        "_links": links("self", f"/lists/{one.id}", "Lists"),
    }


def merge_field(one: Audience, field: Mapping[str, Any]) -> dict[str, Any]:
    place = f"/lists/{one.id}/merge-fields/{field['merge_id']}"
    return {**field, "list_id": one.id, "_links": links("self", place, "Lists/MergeFields")}


def links(rel: str, place: str, schema: str) -> list[dict[str, str]]:
    href = f"https://us6.api.mailchimp.com/3.0{place}"
    return [{"rel": rel, "href": href, "method": "GET", "targetSchema": f"{SCHEMA}/{schema}/Response.json"}]


def chosen(data: dict[str, Any], fields: str, excluded: str) -> dict[str, Any]:
    """What is left of an answer: `fields` names what to keep, `exclude_fields` what not, both with dots into objects
    and the objects of lists."""
    if fields:
        data = only(data, [part.strip().split(".") for part in fields.split(",")])
    for part in excluded.split(",") if excluded else []:
        without(data, part.strip().split("."))
    return data


def only(data: Any, paths: Iterable[list[str]]) -> Any:
    if isinstance(data, list):
        return [only(item, paths) for item in data]
    if not isinstance(data, dict):
        return data
    kept = {}
    for name, value in data.items():
        mine = [path[1:] for path in paths if path[0] == name]
        if mine:
            kept[name] = value if [] in mine else only(value, mine)
    return kept


def without(data: Any, path: list[str]) -> None:
    if isinstance(data, list):
        for item in data:
            without(item, path)
    elif isinstance(data, dict) and len(path) == 1:
        data.pop(path[0], None)
    elif isinstance(data, dict) and path[0] in data:
        without(data[path[0]], path[1:])
