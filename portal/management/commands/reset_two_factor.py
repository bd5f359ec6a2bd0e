"""For the administrator who lost phone and recovery codes: who may run commands here may let somebody in."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from connections.services import Refused
from portal.login.two_factor import reset
from syncer.audit.chain import LogBroken, LogBusy


class Command(BaseCommand):
    help = "Turns somebody's two-factor log-in off, so that the password alone lets them in. It stands in the history."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the name that the person logs in with")
        parser.add_argument("--actor", default="command line", help="who asks, as it stands in the history")

    def handle(self, *args: Any, name: str, actor: str, **options: Any) -> None:
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"Nobody here logs in as {name}.")
        try:
            reset(user, actor)
        except (Refused, LogBusy, LogBroken) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{name} logs in with the password alone now, and can set two-factor log-in up anew.")
