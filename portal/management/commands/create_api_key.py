"""A key for a tool, printed once."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from connections.clients import save_client
from connections.keys import create_key
from connections.models import ApiKey, Client
from portal.clock import SYSTEM

ACTOR = "terminal"


class Command(BaseCommand):
    help = "Makes an API key and prints it alone on standard output, once: only its hash is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--client", metavar="SLUG", help="of this client, which is made if it is new")
        whose.add_argument("--all-clients", action="store_true", help="of the whole agency")
        parser.add_argument("--scopes", required=True, help=f"some of {','.join(ApiKey.Scope.values)}, with commas")
        parser.add_argument("--name", default="terminal", help="the tool that will use it")
        parser.add_argument("--days", type=int, help="it expires after so many days (never, if left out)")

    def handle(
        self,
        *args: Any,
        client: str | None,
        scopes: str,
        name: str,
        days: int | None,
        **options: Any,
    ) -> None:
        expires = None if days is None else SYSTEM.now() + timedelta(days=days)
        wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
        try:
            whose = client_of(client) if client is not None else None
            _, text = create_key(whose, ACTOR, name=name, scopes=wanted, expires_at=expires)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(text)


def client_of(slug: str) -> Client:
    found = Client.objects.filter(slug=slug).first()
    return found if found is not None else save_client(Client(name=slug, slug=slug), ACTOR)
