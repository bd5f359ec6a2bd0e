"""The portal in one command: set up the database, then serve the pages and work the queue."""

import logging
import socket
import sys
import threading
from io import StringIO
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections

from portal.clock import SYSTEM
from portal.processes import Crew, Program, ProgramEnded, stop_signals, wait_until_ready

log = logging.getLogger(__name__)
PARTS = ("web", "worker")
READY_SECONDS = 180
WATCH_SECONDS = 1.0


class Command(BaseCommand):
    help = "Runs the web server and the worker until Ctrl-C or SIGTERM; `run web` or `run worker` runs one of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("parts", nargs="*", help="web, worker; both where none is named")

    def handle(self, *args: Any, **options: Any) -> None:
        parts = tuple(options["parts"]) or PARTS
        if not set(parts) <= set(PARTS):
            raise CommandError(f"Unknown part; there are {' and '.join(PARTS)}.")
        if "web" in parts:
            refuse_taken_port(settings.BIND, settings.PORT)
        prepare(web="web" in parts)
        crew = Crew(SYSTEM, self.say)
        with stop_signals(crew) as halt, crew:
            for name in parts:
                crew.start(PROGRAMS[name]())
            try:
                if "web" in parts:
                    self._announce(crew, halt)
                keep_watch(crew, halt)
            except ProgramEnded as error:
                raise CommandError(str(error)) from error
            self.say("Stopping; what is being done now may finish. Ctrl-C again ends it at once.")

    def say(self, text: str) -> None:
        """To a person, or into the log where a machine reads our output."""
        if settings.LOG_FORMAT == "json":
            log.info("%s", text)
        else:
            self.stdout.write(text)

    def _announce(self, crew: Crew, halt: threading.Event) -> None:
        self.say(f"Counterpart is starting at {address()} (Ctrl-C stops it)")
        answer = wait_until_ready(address() + "/readyz", crew, SYSTEM, READY_SECONDS, halt, host_header())
        if halt.is_set():
            return
        self.say("Ready." if answer == "" else f"Not everything is ready: {answer}")


def prepare(web: bool = True) -> None:
    """Migrations, static files, and the checks that need the database. Raises SystemCheckError, CommandError."""
    try:
        call_command("migrate", interactive=False, verbosity=0)
    except OperationalError as error:
        raise CommandError("The database cannot be used. Check DATABASE_URL, and that the server is up.") from error
    told = StringIO() if settings.LOG_FORMAT == "json" else None
    call_command("check", databases=[DEFAULT_DB_ALIAS], verbosity=0, stdout=told, stderr=told)
    if told is not None:
        log.info("%s", told.getvalue().strip())
    if web:
        call_command("collectstatic", interactive=False, verbosity=0)
    connections.close_all()


def keep_watch(crew: Crew, halt: threading.Event) -> None:
    """Returns when we are told to stop. Raises ProgramEnded."""
    while not halt.wait(WATCH_SECONDS):
        crew.watch()


def web() -> Program:
    """gunicorn; its control socket would lie in the home directory for anybody to find."""
    command = [sys.executable, "-m", "gunicorn", "portal.wsgi", "--bind", f"{settings.BIND}:{settings.PORT}"]
    command += ["--workers", str(settings.WEB_PROCESSES), "--threads", "4", "--no-control-socket"]
    command += ["--logger-class", "portal.gunicorn.Lines"]
    return Program("web", command, restart=True, grace=settings.STOP_SECONDS)


def worker() -> Program:
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster"]
    return Program("worker", command, restart=True, grace=settings.STOP_SECONDS)


PROGRAMS = {"web": web, "worker": worker}


def address() -> str:
    """Where a browser on this machine finds the portal."""
    host = "127.0.0.1" if settings.BIND in ("0.0.0.0", "::") else settings.BIND  # noqa: S104  compared, not bound
    return f"http://{host}:{settings.PORT}"


def host_header() -> str:
    """A name that ALLOWED_HOSTS takes, for our own question over the loopback; empty where any will do."""
    named = [host.removeprefix(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    return named[0] if named else ""


def refuse_taken_port(bind: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} cannot be used: {error.strerror}. Try another: make run PORT=8001"
            ) from error
