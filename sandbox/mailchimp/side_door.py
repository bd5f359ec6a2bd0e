"""/_sandbox/: what people in front of Mailchimp, and its subscribers, do; as plain JSON for tests and people.

GET    /_sandbox/audiences/a36b032126/members               all members, archived ones too
POST   /_sandbox/audiences/a36b032126/members               [{"email": ..., "status": ..., "tags": [...], "FNAME": ...}]
PATCH  /_sandbox/audiences/a36b032126/members/HASH          edit {"email": ..., "tags": [...], "FNAME": ...}
POST   /_sandbox/audiences/a36b032126/members/HASH/unsubscribe   also: come_back, bounce, archive, delete
POST   /_sandbox/audiences/a36b032126/reset                 no members, nobody forgotten
GET    /_sandbox/levers                                     the levers; POST {lever: value, ...} moves them
POST   /_sandbox/faults                                     {"kind": "drop_after", "method": "PUT", "path": "",
                                                            "times": 1, "skip": 0}
GET    /_sandbox/log                                        method, path and status of each request

A member is named by the hash of its address, or by the address.
"""

import json
import re
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from sandbox.mailchimp import shown
from sandbox.mailchimp.answers import Failure
from sandbox.mailchimp.audience import Audience
from sandbox.mailchimp.levers import Levers

if TYPE_CHECKING:
    from sandbox.mailchimp.app import MailchimpApp

MEMBERS = re.compile(r"audiences/([^/]+)/members(?:/([^/]+)(?:/([a-z_]+))?)?")


def answer(app: "MailchimpApp", method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and JSON body; what is asked wrongly gets 400 with the reason, what does not exist 404."""
    try:
        data = json.loads(body) if body else {}
        return 200, json.dumps(act(app, method, path.removeprefix("/_sandbox/"), data), default=list).encode()
    except LookupError:
        return 404, b'{"error": "There is no such member or address here."}'
    except Failure as failure:
        return failure.status, json.dumps({"error": failure.detail, "fields": failure.errors}).encode()
    except (ValueError, TypeError) as error:
        return 400, json.dumps({"error": str(error)}).encode()


def act(app: "MailchimpApp", method: str, path: str, data: Any) -> Any:
    cleared = re.fullmatch(r"audiences/([^/]+)/reset", path)
    if cleared is not None and method == "POST":
        app.audiences[cleared[1]].clear()
        return {}
    match = MEMBERS.fullmatch(path)
    if match is not None:
        return of_members(app.audiences[match[1]], method, match[2] or "", match[3] or "", data)
    match method, path:
        case "GET", "levers":
            return asdict(app.levers)
        case "POST", "levers":
            return move(app, data)
        case "POST", "faults":
            app.fault(**data)
            return {}
        case "GET", "log":
            return [{"method": seen.method, "path": seen.path, "status": seen.status} for seen in app.log]
    raise LookupError


def of_members(audience: Audience, method: str, key: str, what: str, data: Any) -> Any:
    acts = {
        "unsubscribe": audience.person_unsubscribes,
        "come_back": audience.person_comes_back,
        "bounce": audience.mail_bounces,
        "archive": audience.person_archives,
        "delete": audience.person_deletes,
    }
    if method == "GET" and not key:
        return [shown.member(audience, one) for one in audience.members.values()]
    if method == "POST" and not key:
        return [{"id": audience.person_adds(**one)} for one in data]
    if method == "PATCH" and key and not what:
        return {"id": audience.person_edits(key, **data)}
    if method == "POST" and what in acts:
        acts[what](key)
        return {}
    raise LookupError


def move(app: "MailchimpApp", data: Any) -> Any:
    if not isinstance(data, dict) or not set(data) <= {lever.name for lever in fields(Levers)}:
        raise ValueError("no such lever")
    for name, value in data.items():
        setattr(app.levers, name, set(value) if isinstance(value, list) else value)
    return asdict(app.levers)
