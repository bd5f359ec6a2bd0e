"""A connection between apps on this machine: a Radicale book of alice (left) and the Salesmate stand-in (right)."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.test import override_settings

from connections import services
from connections.models import Account, Client, Connection
from sandbox.salesmate import SalesmateApp, serve
from syncer.engine.run import Outcome, Worker, run_slice
from syncer.models import SyncLog
from tests.contract.radicale import Radicale
from tests.contract.salesmate import KEYS
from tests.engine.memory import TestClock

ANNA = "anna (staff)"
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
WRITES = {"PUT", "POST", "DELETE"}


def card(uid: str, *lines: str) -> str:
    return "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", f"UID:{uid}", *lines, "END:VCARD", ""])


def person(n: int, **more: str) -> str:
    """Contact number n as a vCard."""
    extra = [f"{name}:{value}" for name, value in more.items()]
    return card(
        f"uid-{n}",
        f"FN:Given{n} Fämily{n}",
        f"N:Fämily{n};Given{n};;;",
        f"EMAIL;TYPE=INTERNET:p{n}@example.com",
        f"TEL;TYPE=CELL:+1 212 555 {n % 10000:04}",
        "X-KEEP;X-PARAM=yes:this stays",
        *extra,
    )


class Syncing:
    """A connection that is synced here, slice by slice, by a clock that only goes where it is told to."""

    connection: Connection
    clock: TestClock
    worker: Worker

    def sync(self) -> Outcome:
        for _ in range(50):
            outcome = run_slice(self.connection.pk, self.worker)
            if outcome.again_at is None:
                return outcome
            self.clock.forward(max(0.0, (outcome.again_at - self.clock.now()).total_seconds()))
        raise AssertionError(f"the run does not end: {outcome}")

    def settle(self) -> None:
        for _ in range(6):
            self.clock.forward(300)
            if self.sync().status == "quiet":
                return
        raise AssertionError("not quiet")


@dataclass
class Real(Syncing):
    radicale: Radicale
    salesmate: SalesmateApp
    connection: Connection
    clock: TestClock
    worker: Worker

    def people(self) -> dict[str, dict[str, Any]]:
        """The live contacts of Salesmate by e-mail."""
        return {row["email"]: row for row in self.salesmate.account.contacts.values() if not row["isDeleted"]}

    def number(self, email: str) -> int:
        return int(self.people()[email]["id"])

    def entries(self, kind: str) -> list[SyncLog]:
        return list(SyncLog.objects.filter(chain__name=self.connection.chain, kind=kind).order_by("seq"))

    def writes_seen(self) -> tuple[int, int]:
        """What the servers' own logs say: writes to contacts that succeeded, at Radicale and at Salesmate."""
        dav = sum(one.method in WRITES and one.status < 300 for one in self.radicale.requests)
        contact = [one for one in self.salesmate.log if one.path.startswith("/apis/contact/v4")]
        crm = sum(one.method in WRITES and not one.path.endswith("/search") and one.status == 200 for one in contact)
        return dav, crm

    def cards_put(self) -> Counter[str]:
        """The writes of single cards by path, from Radicale's own log."""
        good = (one.path for one in self.radicale.requests if one.method == "PUT" and one.status < 300)
        return Counter(path for path in good if path.endswith(".vcf"))

    def contacts_put(self) -> Counter[str]:
        """The writes of contacts by id, from Salesmate's own log; a create is of a contact that it made."""
        good = [one for one in self.salesmate.log if one.status == 200]
        updates = Counter(one.path.rpartition("/")[2] for one in good if one.method == "PUT")
        creates = sum(one.method == "POST" and one.path == "/apis/contact/v4" for one in good)
        return updates + Counter(str(number) for number in sorted(self.salesmate.account.contacts)[-creates:])


@contextmanager
def real(folder: Path, **options: Any) -> Iterator[Real]:
    clock = TestClock(START)
    app = SalesmateApp("acme", KEYS["session_key"], clock, calls_per_hour=options.pop("calls_per_hour", 1_000_000))
    with Radicale(folder) as radicale, serve(app) as url:
        radicale.book("alice")
        limits = options.pop("limits", lambda app: None)
        with override_settings(SALESMATE_URL=url, ALLOW_PRIVATE_HOSTS=True):
            connection = connect(radicale, clock, options)
            worker = Worker("tests", clock, services.connector_of, 1e9, 3600, limits)
            yield Real(radicale, app, connection, clock, worker)


def connect(radicale: Radicale, clock: TestClock, options: dict[str, Any]) -> Connection:
    client = Client.objects.create(name="Acme", slug="acme")
    left = account(client, "carddav", {"url": radicale.url, "username": "alice"}, {"password": "s3cret"}, clock)
    right = account(client, "salesmate", {"subdomain": "acme"}, KEYS, clock)
    connection = services.create_connection(
        client,
        ANNA,
        name="Radicale and Salesmate",
        left_account=left,
        left_book="/alice/book/",
        right_account=right,
        right_book="contacts",
        clock=clock,
        **{"review": "never", "create_defaults": {"right": {"owner": "1"}}, "sync_deletions": "both", **options},
    )
    services.activate(connection, ANNA, clock)
    return connection


def account(
    client: Client, app: str, settings: dict[str, str], credentials: dict[str, str], clock: TestClock, label: str = ""
) -> Account:
    made = services.create_account(
        client, ANNA, app=app, label=label or app, settings=settings, credentials=credentials, clock=clock
    )
    services.check_account(made, ANNA, clock=clock)
    return made
