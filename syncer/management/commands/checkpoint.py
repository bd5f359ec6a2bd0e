"""Sign where the history stands, and deliver what waits."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.clock import SYSTEM
from syncer.audit import checkpoint
from syncer.audit.chain import LogBusy


class Command(BaseCommand):
    help = "Makes a signed checkpoint of the history now (workers make one each hour) and delivers it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--public-key", action="store_true", help="only print the key that checks signatures (PEM)")

    def handle(self, *args: Any, public_key: bool, **options: Any) -> None:
        if public_key:
            self.stdout.write(pem())
            return
        if (reason := checkpoint.behind()) != "":
            raise CommandError(reason)
        now = SYSTEM.now()
        try:
            made = checkpoint.make(now)
        except (ImproperlyConfigured, LogBusy) as error:
            raise CommandError(str(error)) from None
        said = f"Checkpoint {made.number} is made" if made is not None else "A worker made a checkpoint just now"
        if (problem := checkpoint.deliver(now)) != "":
            raise CommandError(f"{said} and kept. It is not delivered: {problem} Workers try again each minute.")
        self.stdout.write(f"{said} and delivered to {settings.CHECKPOINT_DIR}.")


def pem() -> str:
    raw = checkpoint.public_key()
    if raw == "":
        raise CommandError("CHECKPOINT_KEY is not set or malformed; `python manage.py check --database default`.")
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(raw))
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().strip()
