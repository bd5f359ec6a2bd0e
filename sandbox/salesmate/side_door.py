"""/_sandbox/: what a person in front of Salesmate does, and the levers, as plain JSON for tests and people.

GET    /_sandbox/contacts              all contacts, deleted ones too
POST   /_sandbox/contacts              create {field: value, ...} -> {"id": 1}
PATCH  /_sandbox/contacts/1            edit {field: value, ...}
DELETE /_sandbox/contacts/1            into the bin; POST .../restore and .../purge
GET    /_sandbox/levers                the levers; POST {lever: value, ...} moves them
POST   /_sandbox/faults                {"kind": "drop_after", "method": "PUT", "path": "", "times": 1, "skip": 0}
GET    /_sandbox/log                   method, path and status of each request
POST   /_sandbox/reset                 back to an empty account
"""

import json
import re
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from sandbox.salesmate import schema
from sandbox.salesmate.account import NotFound
from sandbox.salesmate.levers import Levers

if TYPE_CHECKING:
    from sandbox.salesmate.app import SalesmateApp

ONE = re.compile(r"/_sandbox/contacts/([0-9]{1,18})(?:/(restore|purge))?")


def answer(app: "SalesmateApp", method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and JSON body; what is asked wrongly gets 400 with the reason, what does not exist 404."""
    try:
        data = json.loads(body) if body else {}
        return 200, json.dumps(act(app, method, path, data)).encode()
    except NotFound:
        return 404, b'{"error": "There is no such contact or address here."}'
    except (ValueError, TypeError) as error:
        return 400, json.dumps({"error": str(error)}).encode()


def act(app: "SalesmateApp", method: str, path: str, data: Any) -> Any:
    one = ONE.fullmatch(path)
    if one is not None:
        return act_on_one(app, method, int(one[1]), one[2] or "", data)
    match method, path.removeprefix("/_sandbox/"):
        case "GET", "contacts":
            return list(app.account.contacts.values())
        case "POST", "contacts":
            return {"id": app.person_create(**checked(data))}
        case "GET", "levers":
            return asdict(app.levers)
        case "POST", "levers":
            return move(app, data)
        case "POST", "faults":
            app.fault(**data)
            return {}
        case "GET", "log":
            return [{"method": seen.method, "path": seen.path, "status": seen.status} for seen in app.log]
        case "POST", "reset":
            app.reset()
            return {}
    raise NotFound


def act_on_one(app: "SalesmateApp", method: str, number: int, act_name: str, data: Any) -> Any:
    match method, act_name:
        case "PATCH", "":
            app.person_edit(number, **checked(data))
        case "DELETE", "":
            app.person_delete(number)
        case "POST", "restore":
            app.person_restore(number)
        case "POST", "purge":
            app.person_purge(number)
        case _:
            raise NotFound
    return {}


def checked(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise TypeError("send an object of fields and values")
    unknown = sorted(set(data) - schema.WRITABLE - schema.CUSTOM_NAMES)
    if unknown:
        raise ValueError(f"no such field: {', '.join(unknown)}")
    return data


def move(app: "SalesmateApp", data: Any) -> Any:
    if not isinstance(data, dict) or not set(data) <= {lever.name for lever in fields(Levers)}:
        raise ValueError("no such lever")
    for name, value in data.items():
        setattr(app.levers, name, value)
    return asdict(app.levers)
