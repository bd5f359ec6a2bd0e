"""Move every stored credential to the newest key, while web and workers go on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from connections.models import Account, Credential
from connections.secrets import Stored, key_ring, rewrite, stored_values
from portal.clock import SYSTEM, Clock
from syncer.audit.chain import PORTAL, Entry, LogBroken, LogBusy, append

TURNS = 5
"""How often what was written with an older key meanwhile is moved after all, before it is somebody's mistake."""
NOT_TRIED = 2


@dataclass(frozen=True)
class Survey:
    """Which keys the stored values need."""

    newest: int
    old: list[Stored]
    unreadable: list[Stored]


def survey() -> Survey:
    ring, newest = key_ring(), 0
    old: list[Stored] = []
    unreadable: list[Stored] = []
    for value in stored_values():
        if ring.is_newest(value.token):
            newest += 1
        else:
            (old if ring.opens(value.token) else unreadable).append(value)
    return Survey(newest, old, unreadable)


@dataclass
class Rotation:
    """May be killed at any moment and repeated: each batch is a transaction, and each row a compare-and-set."""

    actor: str
    batch: int
    clock: Clock
    moved: int = 0
    told: bool = field(default=False, init=False)

    def run(self) -> Survey:
        """What is left in the end."""
        for turn in range(1, TURNS + 1):
            found = survey()
            if not found.old:
                break
            *first, last = parts(found.old, self.batch)
            for part in first:
                self.move(part)
            self.end_turn(last, final=turn == TURNS)
        left = survey()
        if self.moved and not self.told:
            with transaction.atomic():
                self.tell(self.moved, left)
        return left

    def move(self, part: Sequence[Stored]) -> None:
        with transaction.atomic():
            count = sum(map(rewrite, part))
        self.moved += count

    def end_turn(self, part: Sequence[Stored], final: bool) -> None:
        """The history is told in the transaction of the last batch: who is killed before it repeats that one too."""
        try:
            with transaction.atomic():
                moved = self.moved + sum(map(rewrite, part))
                left = survey()
                told = moved > 0 and (final or not left.old)
                if told:
                    self.tell(moved, left)
        except LogBusy:
            if final:
                raise
            return  # the batch was taken back, and is found again
        self.moved, self.told = moved, told

    def tell(self, moved: int, left: Survey) -> None:
        counts = {"moved": moved, "newest": left.newest, "old": len(left.old), "unreadable": len(left.unreadable)}
        append(PORTAL, [Entry("key.rotated", self.actor, counts)], self.clock.now())


def parts(values: Sequence[Stored], size: int) -> Iterator[Sequence[Stored]]:
    return (values[start : start + size] for start in range(0, len(values), size))


class Command(BaseCommand):
    help = (
        "Encrypts every stored credential with the first key in FIELD_ENCRYPTION_KEYS, so that the others can be "
        "removed. Web and workers go on meanwhile. The exit code is 0 when nothing needs an older key, 1 when "
        "something still does or cannot be read, 2 when there was no second key and so nothing was tried."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--actor", default="command line", help="who asks, as it stands in the history")
        parser.add_argument("--batch", type=int, default=100, help="credentials in one transaction (100)")

    def handle(self, *args: Any, actor: str, batch: int, **options: Any) -> None:
        if batch < 1:
            raise CommandError("--batch must be 1 or more.", returncode=NOT_TRIED)
        rotation = Rotation(actor, batch, SYSTEM)
        try:
            key_ring()
            if len(settings.FIELD_ENCRYPTION_KEYS) == 1:
                raise CommandError(NO_SECOND_KEY, returncode=NOT_TRIED)
            left = rotation.run()
        except ImproperlyConfigured as error:
            raise CommandError(str(error), returncode=NOT_TRIED) from None
        except (LogBusy, LogBroken) as error:
            raise CommandError(str(error)) from error
        self.report(rotation.moved, left)

    def report(self, moved: int, left: Survey) -> None:
        """Says what was done; raises CommandError where the older keys have to stay."""
        there = left.newest - moved
        if moved == 0 and not left.old and not left.unreadable:
            self.stdout.write(f"Nothing to do: of {counted(left.newest)} none needs an older key.")
        else:
            self.stdout.write(f"Moved {counted(moved)} to the newest key; {max(there, 0)} were there already.")
        problems = []
        if left.old:
            problems.append(WRITTEN_AGAIN.format(count=counted(len(left.old)), names=named(left.old)))
        if left.unreadable:
            problems.append(UNREADABLE.format(count=counted(len(left.unreadable)), names=named(left.unreadable)))
        if problems:
            raise CommandError("\n".join(problems))
        self.stdout.write(DONE)


def counted(number: int) -> str:
    return f"{number} credential{'' if number == 1 else 's'}"


def named(values: Sequence[Stored]) -> str:
    """Whose they are: accounts by their code."""
    of_accounts = [value.pk for value in values if value.model is Credential]
    codes = Account.objects.filter(credential__in=of_accounts).order_by("pk").values_list("code", flat=True)
    others = [f"{value.model._meta.label} {value.pk}" for value in values if value.model is not Credential]
    return ", ".join([*(f"account {code}" for code in codes), *others])


NO_SECOND_KEY = (
    "FIELD_ENCRYPTION_KEYS holds one key, so there is nothing to move from or to; nothing was done. Put a new key in "
    "front of it, restart all processes, and run this again (docs/operations.md, Keys)."
)
WRITTEN_AGAIN = (
    "{count} written with an older key while this ran: {names}. A process still has that key in front: restart all "
    "web and worker processes with the newest key first, and run this again. Keep the older keys until then."
)
UNREADABLE = (
    "{count} that none of the keys opens: {names}. Put back the key they were written with (after the newest one) and "
    "run this again, or enter the credentials of these accounts again."
)
DONE = "Only the first key in FIELD_ENCRYPTION_KEYS is needed now: remove the others, and restart all processes."
