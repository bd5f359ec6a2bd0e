"""Only the stand-ins of the apps, for people who develop: a real CardDAV server, Salesmate, Google and Mailchimp."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.clock import SYSTEM
from portal.management.commands.run import address, keep_watch
from portal.management.demo import place
from portal.management.demo.starting import Halted, start_all
from portal.processes import Crew, ProgramEnded, stop_signals
from sandbox.carddav import CardDavServer
from sandbox.contacts import GoogleServer
from sandbox.crm import SalesmateServer
from sandbox.newsletter import MailchimpServer
from sandbox.people import books
from sandbox.seed import seed

USERS = ("anna@example.com", "ben@example.com")


class Command(BaseCommand):
    help = "Runs a CardDAV server and stand-ins for Salesmate, Google and Mailchimp until Ctrl-C; their contacts stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--carddav-port", type=int, default=5232)
        parser.add_argument("--salesmate-port", type=int, default=8101)
        parser.add_argument("--google-port", type=int, default=8102)
        parser.add_argument("--mailchimp-port", type=int, default=8103)
        parser.add_argument("--fill", type=int, metavar="CONTACTS", help="start with so many lifelike contacts, anew")

    def handle(
        self,
        *args: Any,
        carddav_port: int,
        salesmate_port: int,
        google_port: int,
        mailchimp_port: int,
        fill: int | None,
        **options: Any,
    ) -> None:
        folder = Path(settings.DATA_DIR) / "sandbox"
        dav = CardDavServer(folder / "radicale", carddav_port, "sandbox", "sandbox")
        salesmate = SalesmateServer(folder / "salesmate", salesmate_port, calls_per_hour=1500)
        google = GoogleServer(folder / "google", google_port, USERS, f"{address()}/oauth/callback/")
        mailchimp = MailchimpServer(folder / "mailchimp", mailchimp_port, f"{address()}/oauth/callback/")
        ports = {
            carddav_port: "Choose another: --carddav-port",
            salesmate_port: "Choose another: --salesmate-port",
            google_port: "Choose another: --google-port",
            mailchimp_port: "Choose another: --mailchimp-port",
        }
        with place.only_one(folder):
            place.refuse_taken(folder, ports)
            self.serve(folder, dav, salesmate, google, mailchimp, fill)

    def serve(
        self,
        folder: Path,
        dav: CardDavServer,
        salesmate: SalesmateServer,
        google: GoogleServer,
        mailchimp: MailchimpServer,
        fill: int | None,
    ) -> None:
        crew = Crew(SYSTEM, self.stdout.write, folder / "log")
        with stop_signals(crew) as halt, crew:

            def check_halt() -> None:
                if halt.is_set():
                    raise Halted

            programs = {
                "radicale": (dav.command(), dav.answers),
                "salesmate": (salesmate.command(), salesmate.answers),
                "google": (google.command(), google.answers),
                "mailchimp": (mailchimp.command(), mailchimp.answers),
            }
            try:
                start_all(crew, halt, folder / "log", programs)
                if fill is not None:
                    seed(books(fill), dav, salesmate, google, mailchimp, check_halt)
                self.announce(dav, salesmate, google, mailchimp)
                keep_watch(crew, halt)
            except Halted:
                return
            except ProgramEnded as error:
                raise CommandError(str(error)) from error

    def announce(
        self, dav: CardDavServer, salesmate: SalesmateServer, google: GoogleServer, mailchimp: MailchimpServer
    ) -> None:
        self.stdout.write(f"CardDAV    {dav.url}   user {dav.user}, password {dav.password}")
        self.stdout.write(f"Salesmate  subdomain {salesmate.subdomain}, session key {salesmate.session_key}")
        self.stdout.write(f"Google     users {', '.join(google.users)}, no passwords")
        self.stdout.write(f"Mailchimp  API key {mailchimp.api_key}")
        self.stdout.write(f"For the portal at {address()}: ALLOW_PRIVATE_HOSTS=true SALESMATE_URL={salesmate.url}")
        for settings_of in (google, mailchimp):
            self.stdout.write(" ".join(f"{name}={value}" for name, value in settings_of.settings().items()))
        self.stdout.write("Ctrl-C stops them.")
        self.stdout.flush()
