"""The programs that stand for the apps in the demo: where they are, who gets in, and what is in them at first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from portal.management.demo.place import CALLS_PER_HOUR
from portal.management.demo.setting_up import Login
from sandbox.carddav import CardDavServer
from sandbox.contacts import GoogleServer
from sandbox.crm import SalesmateServer
from sandbox.newsletter import AUDIENCE, MailchimpServer
from sandbox.people import books
from sandbox.seed import seed

GOOGLE_USER = "anna@example.com"


@dataclass(frozen=True)
class StandIns:
    dav: CardDavServer
    salesmate: SalesmateServer
    google: GoogleServer
    mailchimp: MailchimpServer

    @classmethod
    def of(cls, folder: Path, values: Mapping[str, str], portal: str) -> "StandIns":
        """`values` are the demo's settings, `portal` its address: Google and Mailchimp send people back to there."""
        dav_port, salesmate_port, google_port, mailchimp_port = (
            int(values[f"DEMO_{name}_PORT"]) for name in ("CARDDAV", "SALESMATE", "GOOGLE", "MAILCHIMP")
        )
        return cls(
            CardDavServer(folder / "radicale", dav_port, "harbour", values["DEMO_CARDDAV_PASSWORD"]),
            SalesmateServer(folder / "salesmate", salesmate_port, CALLS_PER_HOUR),
            GoogleServer(
                folder / "google", google_port, (GOOGLE_USER,), f"{portal}/oauth/callback/", CALLS_PER_HOUR // 60
            ),
            MailchimpServer(folder / "mailchimp", mailchimp_port, f"{portal}/oauth/callback/"),
        )

    def ports(self, again: str) -> dict[int, str]:
        """With what to do where one is taken; `again` starts the demo afresh."""
        return {
            self.dav.port: f"Free it, or start afresh on another: {again} DEMO_CARDDAV_PORT={self.dav.port + 1}",
            self.salesmate.port: f"Try another: make demo DEMO_SALESMATE_PORT={self.salesmate.port + 2}",
            self.google.port: f"Try another: make demo DEMO_GOOGLE_PORT={self.google.port + 2}",
            self.mailchimp.port: f"Try another: make demo DEMO_MAILCHIMP_PORT={self.mailchimp.port + 1}",
        }

    def programs(self) -> dict[str, tuple[Sequence[str], Callable[[], bool]]]:
        """The command of each, and the question whether it answers."""
        return {
            "radicale": (self.dav.command(), self.dav.answers),
            "salesmate": (self.salesmate.command(), self.salesmate.answers),
            "google": (self.google.command(), self.google.answers),
            "mailchimp": (self.mailchimp.command(), self.mailchimp.answers),
        }

    def seed(self, count: int, say: Callable[[str], None], tick: Callable[[], None]) -> None:
        people = books(count)
        say(
            f"Writing {len(people.left)} contacts into CardDAV, {len(people.google)} into Google Contacts, "
            f"{len(people.members)} into Mailchimp and {len(people.right)} into Salesmate"
        )
        seed(people, self.dav, self.salesmate, self.google, self.mailchimp, tick)

    def lefts(self) -> list[Login]:
        return [
            Login(
                "carddav",
                "Address book",
                self.dav.book,
                {"url": self.dav.url, "username": self.dav.user},
                lambda: {"password": self.dav.password},
            ),
            Login("google_contacts", "Google Contacts", "contacts", {}, lambda: self.google.allow(GOOGLE_USER)),
            Login(
                "mailchimp",
                "Mailchimp",
                AUDIENCE,
                {},
                lambda: {"api_key": self.mailchimp.api_key},
                {"direction": "to_right", "sync_unsubscribes": "to_right"},
            ),
        ]

    def right(self) -> Login:
        keys = {"access_key": "sandbox-access-key", "secret_key": "sandbox-secret-key"}
        return Login(
            "salesmate",
            "Salesmate",
            "contacts",
            {"subdomain": self.salesmate.subdomain},
            lambda: {**keys, "session_key": self.salesmate.session_key},
        )
