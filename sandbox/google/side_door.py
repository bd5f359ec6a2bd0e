"""/_sandbox/: what people in front of Google Contacts do, and the levers, as plain JSON for tests and people.

GET    /_sandbox/users                             the users
GET    /_sandbox/users/EMAIL/contacts              all contacts, as people.get shows them
POST   /_sandbox/users/EMAIL/contacts              create a person, or a list of them -> {"resourceNames": [...]}
PATCH  /_sandbox/users/EMAIL/contacts/c1           edit {field: [items], ...}; each field is replaced as a whole
DELETE /_sandbox/users/EMAIL/contacts/c1           delete; POST .../rename gives it another resource name
POST   /_sandbox/users/EMAIL/contacts/c1/link      {field: [items], ...} from a Google profile join the contact
POST   /_sandbox/users/EMAIL/contacts/c1/labels    {"add": ["contactGroups/1", ...], "remove": [...]}
GET    /_sandbox/users/EMAIL/groups                labels; POST {"name": ...} makes one
POST   /_sandbox/users/EMAIL/allow                 the user gives access to contacts -> {"refresh_token": ..., ...}
POST   /_sandbox/users/EMAIL/withdraw              the user takes all access away
GET    /_sandbox/levers                            the levers; POST {lever: value, ...} moves them
POST   /_sandbox/faults                            {"kind": "drop_after", "method": "PATCH", "path": "", "times": 1}
POST   /_sandbox/catch-up                          sync requests see everything that was done so far
POST   /_sandbox/end-access                        all access tokens are over
GET    /_sandbox/log                               method, path and status of each request
POST   /_sandbox/reset                             no contacts, no groups, levers as at the start
"""

import json
import re
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from sandbox.google import schema, shown
from sandbox.google.account import Account
from sandbox.google.answers import NOT_FOUND, Failure
from sandbox.google.levers import Levers

if TYPE_CHECKING:
    from sandbox.google.app import GoogleApp

OF_USER = re.compile(r"/_sandbox/users/([^/]+)/(contacts|groups|allow|withdraw)(?:/([^/]+))?(?:/([a-z]+))?")


def answer(app: "GoogleApp", method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and JSON body; what is asked wrongly gets 400 with the reason, what does not exist 404."""
    try:
        data = json.loads(body) if body else {}
        return 200, json.dumps(act(app, method, path, data)).encode()
    except Failure as failure:
        return failure.code, json.dumps({"error": failure.message}).encode()
    except (ValueError, TypeError) as error:
        return 400, json.dumps({"error": str(error)}).encode()


def act(app: "GoogleApp", method: str, path: str, data: Any) -> Any:
    of_user = OF_USER.fullmatch(path)
    if of_user is not None:
        email, what, name, verb = of_user.groups(default="")
        return act_of_user(app, method, email, what, name, verb, data)
    match method, path.removeprefix("/_sandbox/"):
        case "GET", "users":
            return list(app.accounts)
        case "GET", "levers":
            return asdict(app.levers)
        case "POST", "levers":
            return move(app, data)
        case "POST", "faults":
            app.fault(**data)
        case "POST", "catch-up":
            app.catch_up()
        case "POST", "end-access":
            app.oauth.end_access()
        case "GET", "log":
            return [{"method": seen.method, "path": seen.path, "status": seen.status} for seen in app.log]
        case "POST", "reset":
            app.reset()
        case _:
            raise NOT_FOUND
    return {}


def act_of_user(app: "GoogleApp", method: str, email: str, what: str, name: str, verb: str, data: Any) -> Any:
    if email not in app.accounts:
        raise NOT_FOUND
    account = app.accounts[email]
    match method, what, name:
        case "POST", "allow", "":
            return app.allow(email)
        case "POST", "withdraw", "":
            app.oauth.person_withdraws(email)
        case "GET", "groups", "":
            return [{"resourceName": group.resource, "name": group.name} for group in account.living_groups()]
        case "POST", "groups", "":
            return {"resourceName": account.person_make_group(**data)}
        case "GET", "contacts", "":
            return [whole(account, resource) for resource in resources(account)]
        case "POST", "contacts", "":
            return {"resourceNames": created(account, data if isinstance(data, list) else [data])}
        case _, "contacts", _ if name:
            return act_on_one(account, method, f"people/{name}", verb, data)
        case _:
            raise NOT_FOUND
    return {}


def act_on_one(account: Account, method: str, resource: str, verb: str, data: Any) -> Any:
    match method, verb:
        case "GET", "":
            return whole(account, resource)
        case "PATCH", "":
            account.person_edit(resource, **data)
        case "DELETE", "":
            account.person_delete(resource)
        case "POST", "rename":
            return {"resourceName": account.person_rename(resource)}
        case "POST", "link":
            account.person_link(resource, **data)
        case "POST", "labels":
            account.person_regroup(resource, **data)
        case _:
            raise NOT_FOUND
    return {}


def created(account: Account, people: list[Any]) -> list[str]:
    """All or none."""
    drafts = [account.draft(schema.PERSON(person, "person")) for person in people]
    return [contact.resource for contact in account.put(drafts)]


def resources(account: Account) -> list[str]:
    return [contact.resource for contact in account.contacts.values()]


def whole(account: Account, resource: str) -> dict[str, Any]:
    return shown.person(account.find(resource), schema.READABLE, account.region)


def move(app: "GoogleApp", data: Any) -> Any:
    if not isinstance(data, dict) or not set(data) <= {lever.name for lever in fields(Levers)}:
        raise ValueError("no such lever")
    for name, value in data.items():
        setattr(app.levers, name, value)
    return asdict(app.levers)
