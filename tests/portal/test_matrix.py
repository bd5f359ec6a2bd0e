"""Every page of the admin for every kind of person: a table, complete by the admin's own list of addresses.

A page that is new and not in the table fails here, and so does a row of the table that no page has any more.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client as Browser
from django.urls import URLPattern, get_resolver
from django_q.models import Failure, OrmQ, Schedule, Success, Task

from connections import roles
from connections.admin.base import ServiceAdmin
from connections.keys import create_key
from connections.models import Account, Client, Connection, FieldMapping, Membership, Rule
from portal.admin.machine import ReadOnly
from portal.clock import SYSTEM
from portal.models import Authenticator, Person
from syncer.admin.base import InsideAdmin
from syncer.engine.holds import open_book_hold
from syncer.models import (
    AccountLease,
    ApiUsage,
    Book,
    Heartbeat,
    Hold,
    Link,
    LogChain,
    LogCheckpoint,
    Record,
    SyncLog,
    SyncRun,
)
from tests.connections.office import Office, at_desk, office, staff
from tests.portal.desk import log_in

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parent.parent.parent

WHO = ("administrator", "manager", "approver", "auditor", "stranger", "roleless", "nobody")
"""The roles are for Acme. The stranger has all of them for another client, values in full; nobody is not logged in."""

# What a GET answers, in the order of WHO. "login" and "index" are redirects to there, "on" is one to elsewhere.
OPEN = "200 200 200 200 200 200 200"
STAFF = "200 200 200 200 200 200 login"
LOOK = "200 200 200 200 index 403 login"
LISTED = "200 200 200 200 200 403 login"
TOLD = "200 200 200 200 index index login"
"""The history of a thing."""
MANAGE = "200 200 403 403 index 403 login"
MANAGE_ADD = "200 200 403 403 200 403 login"
ADMIN = "200 403 403 403 403 403 login"
HIDDEN = "200 index index index index index login"
NEVER = "403 403 403 403 403 403 login"
POST_ONLY = "405 405 405 405 405 405 login"
REDIRECT = "on on on on on on login"

SITE = {
    "": STAFF,
    "login/": "index index index index index index 200",
    "logout/": POST_ONLY.replace("login", "index"),
    "password_change/": STAFF,
    "password_change/done/": STAFF,
    "two-factor/": STAFF,
    "invited/<uidb64>/<token>/": OPEN,
    "autocomplete/": NEVER,
    "jsi18n/": STAFF,
    "r/<path:content_type_id>/<path:object_id>/": "404 404 404 404 404 404 login",
    "(?P<url>.*)$": "404 404 404 404 404 404 login",
    "^(?P<app_label>connections|portal|syncer|django_q|axes)/$": "",  # in APPS
}
APPS = {
    "connections": "200 200 200 200 200 404 login",
    "syncer": "200 200 200 200 200 404 login",
    "portal": "200 404 404 404 404 404 login",
    "django_q": "200 404 404 404 404 404 login",
    "axes": "200 404 404 404 404 404 login",
}


def page(changelist: str, add: str, change: str, delete: str, history: str, **more: str) -> dict[str, str]:
    usual = {"changelist": changelist, "add": add, "change": change, "delete": delete, "history": history}
    return usual | {"redirect": REDIRECT} | more


SET_UP = page(LISTED, MANAGE_ADD, LOOK, MANAGE, TOLD, act=POST_ONLY)
DONE = page(LISTED, NEVER, LOOK, NEVER, TOLD, act=POST_ONLY)
INSIDE = page(ADMIN, NEVER, ADMIN, NEVER, ADMIN)
PAGES = {
    "connections.client": page(LISTED, ADMIN, LOOK, ADMIN, TOLD, act=POST_ONLY),
    "connections.account": SET_UP,
    "connections.connection": SET_UP,
    "connections.fieldmapping": SET_UP,
    "connections.rule": SET_UP,
    "syncer.syncrun": DONE,
    "syncer.hold": DONE,
    "syncer.link": DONE,
    "syncer.book": DONE,
    "syncer.record": DONE,
    "syncer.synclog": DONE,
    "portal.person": page(ADMIN, ADMIN, ADMIN, ADMIN, HIDDEN, act=POST_ONLY),
    "connections.apikey": page(ADMIN, ADMIN, ADMIN, NEVER, HIDDEN, act=POST_ONLY),
    "axes.accessattempt": INSIDE,
    "django_q.failure": INSIDE,
    "django_q.ormq": INSIDE,
    "django_q.schedule": INSIDE,
    "django_q.success": INSIDE,
    "syncer.accountlease": INSIDE,
    "syncer.apiusage": INSIDE,
    "syncer.heartbeat": INSIDE,
    "syncer.logchain": INSIDE,
    "syncer.logcheckpoint": INSIDE | {"acknowledge": POST_ONLY},
}

# Who may press which button; of WHO, those who reach it. Everybody else changes nothing, whatever they send.
BUTTONS = {
    "connections.client": {},
    "connections.account": dict.fromkeys(("authorize", "check"), "administrator manager"),
    "connections.connection": {
        **dict.fromkeys(("activate", "pause", "resume", "sync", "plan"), "administrator manager"),
        **dict.fromkeys(("evidence", "bare-evidence"), "administrator manager approver auditor"),
    },
    "syncer.syncrun": dict.fromkeys(("approve", "reject"), "administrator approver"),
    "syncer.hold": dict.fromkeys(("right", "again", "leave"), "administrator approver"),
    "connections.apikey": {"revoke": "administrator"},
    "portal.person": dict.fromkeys(("link", "reset", "deactivate", "activate"), "administrator"),
}


@pytest.fixture
def acme(tmp_path: Path, settings: Any) -> Iterator[Office]:
    with office(tmp_path, settings) as found:
        yield found


def people(acme: Office) -> dict[str, Browser]:
    globex = Client.objects.create(name="Globex", slug="globex")
    stranger = staff("stranger", *((globex, role) for role in roles.ROLES), values="full")
    return {
        "administrator": acme.browser,
        **{role: at_desk(staff(f"the-{role}", (acme.acme, role))) for role in roles.ROLES},
        "stranger": at_desk(stranger),
        "roleless": at_desk(staff("roleless")),
        "nobody": Browser(),
    }


def things(acme: Office) -> dict[str, Any]:
    """One of everything that a page is about; Acme's, where it is somebody's."""
    now, connection = SYSTEM.now(), acme.first_plan()
    book = Book.objects.get(account=connection.left_account)
    with transaction.atomic():
        open_book_hold(book, Hold.Kind.SUSPECTS, {"contacts": 7, "of": 100}, now)
    log_in("eve", "wrong", REMOTE_ADDR="192.0.2.66")
    times = {"started": now, "stopped": now, "func": "syncer.tasks.tick"}
    for number, success in enumerate((True, False)):
        Task.objects.create(id=f"{number:032}", name=str(number), success=success, **times)
    found: tuple[Any, ...] = (
        *(acme.acme, connection.left_account, connection, connection.mappings.first(), connection.rules.first()),
        *(SyncRun.objects.get(), Hold.objects.get(), Link.objects.first(), book, Record.objects.first()),
        SyncLog.objects.filter(connection=connection.code).first(),
        Person.objects.get(pk=staff("somebody").pk),
        create_key(acme.acme, "anna", name="x", scopes=["read"])[0],
        *(AccessAttempt.objects.get(), Failure.objects.get(), Success.objects.get(), LogChain.objects.first()),
        Schedule.objects.create(name="x", func="syncer.tasks.tick", schedule_type="I", minutes=1, next_run=now),
        OrmQ.objects.create(key="x", payload="x", lock=now),
        AccountLease.objects.get_or_create(key="x", defaults={"expires_at": now})[0],
        ApiUsage.objects.first() or ApiUsage.objects.create(key="x", slot=1, caller="x", calls=1),
        Heartbeat.objects.get_or_create(name="x", defaults={"at": now})[0],
        LogCheckpoint.objects.create(number=1, at=now, heads="{}", key_id="x", signature="x", previous_hash="x"),
    )
    return {thing._meta.label_lower: thing for thing in found}


def views() -> dict[str, dict[str, str]]:
    """{model: {view: its address}}, from the admin itself; the site's own under ""."""
    found: dict[str, dict[str, str]] = {"": {}}
    for entry in admin.site.get_urls():
        if isinstance(entry, URLPattern):
            found[""][str(entry.pattern).removeprefix("^") if entry.name is None else str(entry.pattern)] = ""
            continue
        app, model = str(entry.pattern).strip("/").split("/")
        of_model = found[f"{app}.{model}"] = {}
        for one in entry.url_patterns:
            name = (
                str(getattr(one, "name", None) or "x_x_redirect").removeprefix(f"{app}_{model}_").removeprefix("x_x_")
            )
            of_model[name] = f"/admin/{entry.pattern}{one.pattern}"
    return found


def kind(answer: Any) -> str:
    if answer.status_code not in (301, 302):
        return str(answer.status_code)
    if answer.url.startswith("/admin/login/"):
        return "login"
    return "index" if answer.url == "/admin/" else "on"


def answers(desks: dict[str, Browser], address: str) -> str:
    return " ".join(kind(desks[who].get(address)) for who in WHO)


def test_the_table_is_complete() -> None:
    found = views()
    assert set(found) - {""} == set(PAGES)
    assert {model: set(rows) for model, rows in found.items() if model != ""} == {
        model: set(rows) for model, rows in PAGES.items()
    }
    own = {name for name in found[""] if "app_label" not in name}
    assert own == {name for name in SITE if "app_label" not in name}
    assert {model._meta.app_label for model in admin.site._registry} == set(APPS)


def test_all_rights_come_from_the_table_of_roles() -> None:
    """No page can forget to ask: each stands on a class that asks, and each model is in the table."""
    listed = [model for part in roles.PARTS for model in part.models]
    assert sorted(listed) == sorted(model._meta.label_lower for model in admin.site._registry)
    for page_of in admin.site._registry.values():
        assert isinstance(page_of, ServiceAdmin | InsideAdmin | ReadOnly), page_of


def test_every_page_answers_everybody_as_the_table_says(acme: Office) -> None:
    found, desks, addresses = things(acme), people(acme), views()
    wrong = []
    for model, rows in PAGES.items():
        for view, expected in rows.items():
            address = addresses[model][view].replace("<path:object_id>", str(found[model].pk))
            got = answers(desks, address.replace("<slug:name>", "x"))
            if got != expected:
                wrong.append(f"{model} {view}: {got}, not {expected}")
    assert wrong == [], "\n".join(wrong)


def test_the_site_s_own_pages_answer_everybody_as_the_table_says(acme: Office) -> None:
    desks = people(acme)
    told = {"(?P<url>.*)$": "nonsense/", "invited/<uidb64>/<token>/": "invited/MQ/x/"}
    told["r/<path:content_type_id>/<path:object_id>/"] = "r/1/1/"
    wrong = []
    rows = {told.get(name, name): row for name, row in SITE.items() if row} | {f"{a}/": row for a, row in APPS.items()}
    for name, expected in rows.items():
        got = answers(desks, f"/admin/{name}")
        if got != expected:
            wrong.append(f"{name}: {got}, not {expected}")
    assert wrong == [], "\n".join(wrong)


def state() -> list[Any]:
    """Everything that a page could change."""
    models: tuple[Any, ...] = (Client, Account, Connection, FieldMapping, Rule, Membership, Authenticator)
    rows = [list(model.objects.order_by("pk").values()) for model in (*models, Hold, SyncRun, Schedule)]
    users = list(User.objects.order_by("pk").values("username", "password", "is_superuser", "is_active"))
    return [*rows, users, SyncLog.objects.exclude(kind__regex="^auth|viewed$").count()]


def test_nobody_changes_by_a_post_what_is_not_theirs(acme: Office) -> None:
    """Every address, every button, by everybody whom the table does not allow it."""
    found, desks, addresses = things(acme), people(acme), views()
    digest = {"digest": SyncRun.objects.get().plan_digest, "post": "yes", "reason": "x"}
    before = state()
    for model, rows in PAGES.items():
        buttons = {name for one in BUTTONS.values() for name in one}
        for view in rows:
            address = addresses[model][view].replace("<path:object_id>", str(found[model].pk))
            for button in sorted(buttons) if view == "act" else [""]:
                allowed = BUTTONS.get(model, {}).get(button, "administrator").split()
                may_save = view in ("add", "change", "delete") and roles.roles_with(model, roles.Right.SET_UP)
                allowed += list(may_save or ())
                for who in [one for one in WHO if one not in allowed]:
                    answer = desks[who].post(address.replace("<slug:name>", button), digest)
                    assert answer.status_code in (200, 302, 403, 404), (who, model, view, button)
                    assert state() == before, (who, model, view, button)


@pytest.mark.parametrize("who", ["manager", "approver"])
def test_each_may_do_what_is_theirs(acme: Office, who: str) -> None:
    found = things(acme)
    desk = people(acme)[who]
    plan, hold, connection = found["syncer.syncrun"], found["syncer.hold"], found["connections.connection"]
    digest = {"digest": plan.plan_digest}
    if who == "approver":
        desk.post(f"/admin/syncer/hold/{hold.pk}/act/right/")
        desk.post(f"/admin/syncer/syncrun/{plan.pk}/act/approve/", digest)
        assert SyncLog.objects.filter(kind="plan.approved").get().actor == "the-approver"
        hold.refresh_from_db()
        assert hold.resolver == "the-approver"
    else:
        desk.post(f"/admin/connections/connection/{connection.pk}/act/pause/")
        connection.refresh_from_db()
        assert connection.state == "paused"
        desk.post(f"/admin/connections/connection/{connection.pk}/act/resume/")
        connection.refresh_from_db()
        assert connection.state == "active"


def test_the_buttons_in_the_table_are_those_that_there_are(acme: Office) -> None:
    found = things(acme)
    for model, thing in found.items():
        if model in BUTTONS:
            app, name = model.split(".")
            page_of = acme.browser.get(f"/admin/{app}/{name}/{thing.pk}/change/")
            assert {button.name for button in page_of.context["buttons"]} <= set(BUTTONS[model]), model


def test_who_has_no_role_is_told_so(acme: Office) -> None:
    shown = people(acme)["roleless"].get("/admin/").content.decode()
    assert "You have no role yet" in shown
    assert "Recent actions" not in shown


def test_the_table_stands_in_the_docs() -> None:
    assert roles.table() in (ROOT / "docs" / "operations.md").read_text()


def test_the_admin_has_one_resolver() -> None:
    """What `views` reads is what is served."""
    served = [one for one in get_resolver().url_patterns if str(one.pattern) == "admin/"]
    assert len(served) == 1
