"""The whole thing on one machine: a real CardDAV server and stand-ins for Google Contacts, Mailchimp and Salesmate with
lifelike contacts, the web server and the worker, a connection of each of the first three with Salesmate, their first
syncs, and a summary. Then it stays up."""

import os
import shutil
import signal
import sys
import threading
from argparse import SUPPRESS
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
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
from portal.management.demo.inviting import things_to_try
from portal.management.demo.standins import GOOGLE_USER, StandIns
from portal.management.demo.starting import PAUSE, START_SECONDS, Halted, pause, start_all
from portal.management.demo.telling import News, calls_line, history_line, plan_lines, summary_lines
from portal.management.demo.together import together_lines
from portal.processes import Crew, ProgramEnded, stop_signals, wait_until_ready
from syncer.connectors.base import ConnectorError
from syncer.engine.run import OPEN_PLAN
from syncer.models import SyncRun
from syncer.services import approve
from syncer.tasks import queue_webhooks

SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
TRIES = 5
TURNS = 4
NEWS_SECONDS = 2.0
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
        self.apps = StandIns.of(self.folder, self.values, address())
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
            connections = self.set_up()
            self.bring_in_sync(connections)
            queue_webhooks(SYSTEM.now())  # the worker would within a minute
            self.sum_up(connections, SYSTEM.monotonic() - began)
            news = [News(connection, self.say, SYSTEM) for connection in connections]
            while True:
                self.wait(NEWS_SECONDS)
                for each in news:
                    each.tell()
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
        ports = self.apps.ports(f"rm -r {place.short(self.folder)}; make demo")
        place.refuse_taken(self.folder, {settings.PORT: f"Try another: make demo PORT={settings.PORT + 1}", **ports})

    def set_up(self) -> list[Connection]:
        """Everything runs, and the connections are active, when it comes back."""
        self.say("Setting up the database")
        with redirect_stdout(StringIO()):
            prepare()
        self.check_halt()
        programs = self.apps.programs()
        start_all(self.crew, self.halt, self.folder / "log", programs)
        self.note_programs(*programs)
        self.seed_once()
        self.own_password = setting_up.ensure_user(self.values["DEMO_PASSWORD"])
        connections = setting_up.ensure_connections(self.apps.lefts(), self.apps.right())
        self.check_halt()
        for part in ("web", "worker"):
            self.crew.start(PROGRAMS[part]())
        self.note_programs(*programs, "web", "worker")
        answer = wait_until_ready(address() + "/healthz", self.crew, SYSTEM, START_SECONDS, self.halt, host_header())
        self.check_halt()
        if answer:
            raise CommandError(f"The web server does not answer. Its output is in {self.folder / 'log' / 'web.log'}.")
        return connections

    def note_programs(self, *names: str) -> None:
        place.note_programs(self.folder, {name: self.crew.process_id(name) for name in names})

    def seed_once(self) -> None:
        done = self.folder / "seeded"
        if done.exists():
            return
        self.apps.seed(int(self.values["DEMO_CONTACTS"]), self.say, self.check_halt)
        done.touch()

    def bring_in_sync(self, connections: Sequence[Connection]) -> None:
        """In turns, until none of them finds anything to do: what one brings into Salesmate is news for the other."""
        for _ in range(TURNS):
            done = [self.bring_on(connection) for connection in connections]
            if not any(done):
                return

    def bring_on(self, connection: Connection) -> bool:
        """Through the queue: asks for runs and watches what the worker makes of them, until one finds nothing to do.
        The first plan is approved here; a later one waits for a person. Whether anything was done."""
        progress, run, done = Progress(self.say, SYSTEM), None, False
        for _ in range(TRIES):
            run = follow(ask_for_run(connection), progress, self.wait)
            if run is not None and run.status in OPEN_PLAN:
                connection.refresh_from_db()
                if connection.reviewed_version:
                    self.say(f"{connection}: a plan waits for you in the admin.")
                    return False
                self.show_plan(run)
                run = follow(approve(run, setting_up.ACTOR, run.plan_digest), progress, self.wait)
            if run is None:
                return done
            done = True
            if run.status not in ENDED_WELL:
                self.say(f"A run ended: {run.get_status_display().lower()}. {run.error}".strip())
        if run is not None and run.status not in ENDED_WELL:
            log = place.short(self.folder / "log" / "worker.log")
            raise CommandError(f"It does not come to an end. The worker's output is in {log}.")
        return done

    def show_plan(self, run: SyncRun) -> None:
        self.say(f"\nThe plan for {run.connection} (nothing is written yet):")
        for line in plan_lines(run):
            self.say(fitting(line))
        if run.error:
            self.say(f"  over a limit, so a person must look: {run.error}")
        self.say("Approved by demo; the worker carries it out.")

    def sum_up(self, connections: Sequence[Connection], seconds: float) -> None:
        book, google, mail = connections
        self.say(f"\nIn sync after {seconds:.0f} s")
        for connection in connections:
            connection.refresh_from_db()
            self.say(f"\n{connection} of {connection.client}")
            for line in summary_lines(connection):
                self.say(fitting(line))
        for line in ("", *together_lines(book, google), calls_line(connections), history_line()):
            self.say(fitting(line))
        for line in self.places(book, google, mail):
            self.say(line)

    def places(self, book: Connection, google: Connection, mail: Connection) -> list[str]:
        """Where to look, and what to try."""
        password = self.values["DEMO_PASSWORD"] if self.own_password else "(the one that you set)"
        dav = self.apps.dav
        return [
            "",
            f"Admin      {address()}/admin/   user {setting_up.USER}, password {password}",
            *(f"           {address()}{page_of(connection)}   {connection}" for connection in (book, google, mail)),
            f"CardDAV    {dav.at(dav.book)}   user {dav.user}, password {dav.password}",
            f"Google     {self.apps.google.url}/_sandbox/users/{GOOGLE_USER}/contacts",
            f"Mailchimp  {self.apps.mailchimp.member('').rstrip('/')}",
            f"Salesmate  {self.apps.salesmate.url}/_sandbox/contacts",
            "",
            *things_to_try(book, google, mail, self.apps, place.short(self.folder / place.ENV)),
            "",
            "Ctrl-C stops everything; `make demo` goes on from here.",
        ]


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
