"""The whole thing on one machine: a real CardDAV server and a stand-in for Salesmate with lifelike contacts, the web
server and the worker, a connection between the two, its first sync, and a summary. Then it stays up."""

import os
import shutil
import signal
import sys
import threading
from argparse import SUPPRESS
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import NoReverseMatch, reverse

from connections.models import Connection
from connections.services import Refused
from portal.clock import SYSTEM
from portal.management.commands.run import PROGRAMS, address, host_header, prepare
from portal.management.demo import place, setting_up
from portal.management.demo.following import Progress, ask_for_run, follow
from portal.management.demo.starting import PAUSE, START_SECONDS, Halted, pause, start_all
from portal.management.demo.telling import News, plan_lines, summary_lines
from portal.processes import Crew, ProgramEnded, stop_signals, wait_until_ready
from sandbox.carddav import CardDavServer
from sandbox.crm import SalesmateServer
from sandbox.people import books
from sandbox.seed import seed
from syncer.connectors.base import ConnectorError
from syncer.engine.run import OPEN_PLAN
from syncer.models import Link, SyncRun
from syncer.services import approve

SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
TRIES = 5
NEWS_SECONDS = 2.0
NEW_TITLES = ("Lighthouse keeper", "Ship chandler")
ENDED_WELL = (SyncRun.Status.DONE, SyncRun.Status.PARTIAL)


class Command(BaseCommand):
    halt: threading.Event
    own_password = True
    help = "Runs everything with local stand-ins of the apps and lifelike contacts, until Ctrl-C."
    requires_system_checks: list[str] = []  # `prepare` makes them, with the demo's own settings

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--ready", action="store_true", help=SUPPRESS)

    def handle(self, *args: Any, ready: bool, **options: Any) -> None:
        if not ready:
            start_over(settings.DATA_DIR.resolve() / "demo")
        self.folder = Path(settings.DATA_DIR)
        self.values = place.read(self.folder / place.ENV)
        self.dav = CardDavServer(
            self.folder / "radicale",
            int(self.values["DEMO_CARDDAV_PORT"]),
            "harbour",
            self.values["DEMO_CARDDAV_PASSWORD"],
        )
        self.salesmate = SalesmateServer(
            self.folder / "salesmate", int(self.values["DEMO_SALESMATE_PORT"]), settings.SALESMATE_CALLS_PER_HOUR
        )
        self.crew = Crew(SYSTEM, self.say, self.folder / "log")
        with place.only_one(self.folder), stop_signals(self.crew) as self.halt:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            try:
                with self.crew:
                    self.run()
            except Halted:
                pass
            except (ProgramEnded, Refused, ConnectorError) as error:
                raise CommandError(str(error)) from error
            except ValidationError as error:
                raise CommandError(" ".join(error.messages)) from error
            finally:
                place.forget_programs(self.folder)

    def run(self) -> None:
        began = SYSTEM.monotonic()
        try:
            self.refuse_taken_ports()
            connection = self.set_up()
            self.bring_in_sync(connection)
            self.sum_up(connection, SYSTEM.monotonic() - began)
            news = News(connection, self.say, SYSTEM)
            while True:
                self.wait(NEWS_SECONDS)
                news.tell()
        except Halted:
            self.say("Stopping; what is being done now may finish. Ctrl-C again ends it at once.")
            raise

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def wait(self, seconds: float = PAUSE) -> None:
        pause(self.crew, self.halt, seconds)

    def check_halt(self) -> None:
        if self.halt.is_set():
            raise Halted

    def refuse_taken_ports(self) -> None:
        again = f"rm -r {place.short(self.folder)}; make demo DEMO_CARDDAV_PORT={self.dav.port + 1}"
        place.refuse_taken(
            self.folder,
            {
                settings.PORT: f"Try another: make demo PORT={settings.PORT + 1}",
                self.dav.port: f"Free it, or start afresh on another: {again}",
                self.salesmate.port: f"Try another: make demo DEMO_SALESMATE_PORT={self.salesmate.port + 1}",
            },
        )

    def set_up(self) -> Connection:
        """Everything runs, and the connection is active, when it comes back."""
        self.say("Setting up the database")
        with redirect_stdout(StringIO()):
            prepare()
        self.check_halt()
        apps = {
            "radicale": (self.dav.command(), self.dav.answers),
            "salesmate": (self.salesmate.command(), self.salesmate.answers),
        }
        start_all(self.crew, self.halt, self.folder / "log", apps)
        self.note_programs(*apps)
        self.seed_once()
        self.own_password = setting_up.ensure_user(self.values["DEMO_PASSWORD"])
        connection = setting_up.ensure_connection(self.apps())
        self.check_halt()
        for part in ("web", "worker"):
            self.crew.start(PROGRAMS[part]())
        self.note_programs("radicale", "salesmate", "web", "worker")
        answer = wait_until_ready(address() + "/healthz", self.crew, SYSTEM, START_SECONDS, self.halt, host_header())
        self.check_halt()
        if answer:
            raise CommandError(f"The web server does not answer. Its output is in {self.folder / 'log' / 'web.log'}.")
        return connection

    def note_programs(self, *names: str) -> None:
        place.note_programs(self.folder, {name: self.crew.process_id(name) for name in names})

    def seed_once(self) -> None:
        done = self.folder / "seeded"
        if done.exists():
            return
        people = books(int(self.values["DEMO_CONTACTS"]))
        self.say(f"Writing {len(people.left)} contacts into CardDAV and {len(people.right)} into Salesmate")
        seed(people, self.dav, self.salesmate, self.check_halt)
        done.touch()

    def apps(self) -> setting_up.Apps:
        keys = {"access_key": "sandbox-access-key", "secret_key": "sandbox-secret-key"}
        return setting_up.Apps(
            carddav={"url": self.dav.url, "username": self.dav.user},
            carddav_secrets={"password": self.dav.password},
            carddav_book=self.dav.book,
            salesmate={"subdomain": self.salesmate.subdomain},
            salesmate_secrets={**keys, "session_key": self.salesmate.session_key},
        )

    def bring_in_sync(self, connection: Connection) -> None:
        """Through the queue: asks for runs and watches what the worker makes of them, until one finds nothing to do.
        The first plan is approved here; a later one waits for a person."""
        progress, run = Progress(self.say, SYSTEM), None
        for _ in range(TRIES):
            run = follow(ask_for_run(connection), progress, self.wait)
            if run is not None and run.status in OPEN_PLAN:
                connection.refresh_from_db()
                if connection.reviewed_version:
                    self.say("A plan waits for you in the admin.")
                    return
                self.show_plan(run)
                run = follow(approve(run, setting_up.ACTOR, run.plan_digest), progress, self.wait)
            if run is None:
                return
            if run.status not in ENDED_WELL:
                self.say(f"A run ended: {run.get_status_display().lower()}. {run.error}".strip())
        if run is not None and run.status not in ENDED_WELL:
            log = place.short(self.folder / "log" / "worker.log")
            raise CommandError(f"It does not come to an end. The worker's output is in {log}.")

    def show_plan(self, run: SyncRun) -> None:
        self.say("\nThe plan (nothing is written yet):")
        for line in plan_lines(run):
            self.say(fitting(line))
        if run.error:
            self.say(f"  over a limit, so a person must look: {run.error}")
        self.say("Approved by demo; the worker carries it out.")

    def sum_up(self, connection: Connection, seconds: float) -> None:
        connection.refresh_from_db()
        self.say(f"\n{connection} of {connection.client}: in sync after {seconds:.0f} s")
        for line in summary_lines(connection, SYSTEM):
            self.say(fitting(line))
        for line in self.places(connection):
            self.say(line)

    def places(self, connection: Connection) -> list[str]:
        """Where to look, and what to try; the commands can be copied as they stand."""
        password = self.values["DEMO_PASSWORD"] if self.own_password else "(the one that you set)"
        lines = [
            "",
            f"Admin      {address()}/admin/   user {setting_up.USER}, password {password}",
            f"           {address()}{page_of(connection)}",
            f"CardDAV    {self.dav.at(self.dav.book)}   user {self.dav.user}, password {self.dav.password}",
            f"Salesmate  {self.salesmate.url}/_sandbox/contacts",
            "",
            *self.things_to_try(connection),
            "",
            "Ctrl-C stops everything; `make demo` goes on from here.",
        ]
        return lines

    def things_to_try(self, connection: Connection) -> list[str]:
        """One edit on either side, of two contacts that are in both."""
        pair = list(islice(editable(connection), 2))
        if len(pair) < 2:
            return []
        (left, _), (_, right) = pair
        card = self.dav.at(left)
        contact = f"{self.salesmate.url}/_sandbox/contacts/{right}"
        login = f"curl -s -u {self.dav.user}:{self.dav.password}"
        return [
            "Change a contact on either side and watch it travel, within two minutes or at once by the last line:",
            f"  {login} {card} | sed 's/^TITLE:.*/TITLE:{NEW_TITLES[0]}/' |",
            f"    {login} -X PUT -H 'Content-Type: text/vcard' --data-binary @- {card}",
            f"""  curl -X PATCH {contact} -d '{{"designation": "{NEW_TITLES[1]}"}}'""",
            f"  ENV_FILE={place.short(self.folder / place.ENV)} .venv/bin/python manage.py sync '{connection}'",
        ]


def editable(connection: Connection) -> Iterator[tuple[str, str]]:
    """(left, right) ids of pairs whose card has a title that stands on one line and is not one of ours."""
    links = Link.objects.filter(connection=connection, state=Link.State.IN_SYNC, left__remote_id__contains="demo-")
    for link in links.select_related("left", "right").order_by("pk").iterator():
        if link.left is None or link.right is None:
            continue
        title = link.left.values.get("title")
        if isinstance(title, str) and len(title) < 20 and title not in NEW_TITLES:
            yield link.left.remote_id, link.right.remote_id


def start_over(folder: Path) -> None:
    """This process once more, with the demo's own settings. Signals that come meanwhile wait until they are minded."""
    with place.only_one(folder):
        environment = place.environment(folder, os.environ, settings.ENV_FILE)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    sys.stdout.flush()
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "demo", "--ready"]
    os.execve(sys.executable, command, environment)  # noqa: S606  our own command


def fitting(line: str) -> str:
    width = shutil.get_terminal_size((120, 24)).columns
    return line if len(line) <= width else line[: width - 1] + "…"


def page_of(connection: Connection) -> str:
    try:
        return reverse("admin:connections_connection_change", args=[connection.pk])
    except NoReverseMatch:
        return reverse("admin:index")
