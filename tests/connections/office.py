"""People of an agency in front of the admin, with real servers behind: Salesmate's stand-in and Radicale."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.test import Client as Browser

from connections import services
from connections.models import Account, Client, Connection, Membership
from portal.clock import SYSTEM
from syncer.engine.run import Worker, run_slice
from syncer.models import SyncLog
from tests.contract.carddav import vcard
from tests.contract.radicale import USERS, Radicale
from tests.contract.salesmate import KEYS, Bench, bench

ANNA = "anna"
SECRETS = (*KEYS.values(), *USERS.values())


@dataclass
class Office:
    """Acme has an account in Salesmate and one in CardDAV."""

    salesmate: Bench
    radicale: Radicale
    acme: Client
    browser: Browser

    def salesmate_account(self, client: Client | None = None, label: str = "Acme Salesmate") -> Account:
        return checked(
            services.create_account(
                client or self.acme,
                ANNA,
                app="salesmate",
                label=label,
                settings={"subdomain": "acme"},
                credentials=KEYS,
            )
        )

    def carddav_account(self, client: Client | None = None, user: str = "alice", label: str = "Alice") -> Account:
        return checked(
            services.create_account(
                client or self.acme,
                ANNA,
                app="carddav",
                label=label,
                settings={"url": self.radicale.url, "username": user},
                credentials={"password": USERS[user]},
            )
        )

    def connection(self, **options: Any) -> Connection:
        left, right = self.carddav_account(), self.salesmate_account()
        return services.create_connection(
            self.acme,
            ANNA,
            name="Alice and Salesmate",
            left_account=left,
            left_book="/alice/book/",
            right_account=right,
            right_book=services.books_of(right)[0].id,
            **{"create_defaults": {"right": {"owner": "1"}}, **options},
        )

    def sync(self, connection: Connection) -> str:
        """A worker does what is due, until the run waits for a person or is over."""
        worker = Worker("tests", SYSTEM, services.connector_of, 240, 3600, limits=lambda app: None)
        for _ in range(20):
            outcome = run_slice(connection.pk, worker)
            if outcome.again_at is None or outcome.again_at > SYSTEM.now():
                return outcome.status
        raise AssertionError("the run does not end")

    def first_plan(self) -> Connection:
        """A connection whose first plan waits: Ada is on both sides, Grace in CardDAV, Person 1 in Salesmate."""
        connection = self.connection(sync_deletions="both")
        self.radicale.place("alice", "ada", vcard("ada", "EMAIL:ada@example.com", "TITLE:Countess"))
        self.radicale.place("alice", "grace", vcard("grace", "EMAIL:grace@example.com", name="Grace Hopper"))
        self.salesmate.person(0, lastName="Lovelace", email="ada@example.com", designation="Programmer")
        self.salesmate.person(1)
        services.activate(connection, ANNA)
        assert self.sync(connection) == "waiting"
        return connection


def checked(account: Account) -> Account:
    services.check_account(account, ANNA)
    return account


@contextmanager
def office(folder: Path, settings: Any) -> Iterator[Office]:
    with bench() as salesmate, Radicale(folder) as radicale:
        settings.SALESMATE_URL, settings.ALLOW_PRIVATE_HOSTS = salesmate.url, True
        for user in USERS:
            radicale.book(user)
        acme = Client.objects.create(name="Acme", slug="acme")
        yield Office(salesmate, radicale, acme, at_desk(User.objects.create_superuser(ANNA)))


def at_desk(user: User) -> Browser:
    browser = Browser()
    browser.force_login(user)
    return browser


def staff(name: str, *memberships: tuple[Client, str], values: str = "masked") -> User:
    """Somebody with these roles."""
    user = User.objects.create_user(name, is_staff=True)
    for client, role in memberships:
        Membership.objects.create(client=client, user=user, role=role, values=values)
    return user


def said(page: Any) -> list[str]:
    """The messages of a page, as text."""
    return texts(page, "messagelist")


def problems(page: Any) -> list[str]:
    """The errors of a page's forms, as text."""
    return texts(page, "errorlist")


def texts(page: Any, kind: str) -> list[str]:
    html = page.content.decode()
    parts = re.findall(rf'<ul class="{kind}[^"]*"[^>]*>(.*?)</ul>', html, re.DOTALL)
    rows = [row for part in parts for row in re.findall(r"<li[^>]*>(.*?)</li>", part, re.DOTALL)]
    return [unescape(re.sub(r"<[^>]+>", "", row)).strip() for row in rows]


def filled(page: Any) -> dict[str, Any]:
    """What a browser would send back from the page's form as it is."""
    form = page.context["adminform"].form
    sent = {name: sent_value(form[name].value()) for name in form.fields if not form.fields[name].disabled}
    for inline in page.context["inline_admin_formsets"]:
        formset = inline.formset
        for row in [formset.management_form, *formset.forms]:
            sent |= {row[name].html_name: sent_value(row[name].value()) for name in row.fields}
    return {name: value for name, value in sent.items() if value is not False}


def sent_value(value: Any) -> Any:
    if value is None:
        return ""
    return getattr(value, "pk", value)


def members(*rows: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = {"memberships-TOTAL_FORMS": len(rows), "memberships-INITIAL_FORMS": 0}
    for number, row in enumerate(rows):
        sent |= {f"memberships-{number}-{name}": value for name, value in row.items()}
    return sent


def connection_sent(acme: Office, left: Account, right: Account, **changes: Any) -> dict[str, Any]:
    sent = {
        "client": acme.acme.pk,
        "name": "Cards and CRM",
        "left_account": left.pk,
        "left_book": "/alice/book/",
        "right_account": right.pk,
        "right_book": "contacts",
        "direction": "both",
        "winner": "left",
        "avoid_duplicates": "on",
        "sync_deletions": "off",
        "sync_unsubscribes": "off",
        "trash_tag": "PieSync Trash",
        "unsubscribe_tag": "PieSync Unsubscribes",
        "interval": "300",
        "review": "changes",
        "limits": "{}",
        "right_owner": "1",
    }
    return {**sent, **changes}


def kinds(actor: str = ANNA) -> list[str]:
    """What somebody did since they sat down at their desk, which is a log-in."""
    found = SyncLog.objects.filter(actor=actor).exclude(kind="auth.logged_in")
    return list(found.order_by("pk").values_list("kind", flat=True))


def url(model: str, obj: Any = None, what: str = "change") -> str:
    return f"/admin/connections/{model}/" + (f"{obj.pk}/{what}/" if obj is not None else "add/")
