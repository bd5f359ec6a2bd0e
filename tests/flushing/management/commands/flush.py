"""Django's flush, with the audit trail's triggers lifted meanwhile. Outside the tests they refuse a flush."""

from typing import Any

from django.core.management.commands import flush

from syncer.audit import triggers


class Command(flush.Command):
    def handle(self, **options: Any) -> None:
        with triggers.suspended(using=options["database"]):
            super().handle(**options)
