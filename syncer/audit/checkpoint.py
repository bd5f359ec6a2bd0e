"""Signed checkpoints: each hour, also on a quiet day, one statement of where all chains of the audit trail stand.

They are kept in the table and delivered as files to a folder that another machine keeps. From there they prove what the
chains alone cannot: that no newest entries were taken away. And they show that this database was set back to an older
state, in which what was written to the apps since is not known (docs/adr/0007-checkpoints.md).
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, transaction

from syncer.audit import files
from syncer.audit import format as form
from syncer.audit.chain import PORTAL, Entry, LogBusy, append
from syncer.audit.compare import Differing, differences
from syncer.audit.statement import (
    FIRST,
    MAKE_A_KEY,
    Signed,
    Statement,
    heads_from,
    holds,
    private_key,
    public_of,
)
from syncer.models.log import Kind, LogChain, LogCheckpoint, SyncLog

log = logging.getLogger(__name__)
LATE = timedelta(minutes=10)
"""How long a checkpoint may wait for its delivery, and an hour for its checkpoint, before people are told."""
PURPOSE = "checkpoints"
_NAMED = 3


@dataclass(frozen=True)
class Behind:
    """The newest delivered checkpoint knows a history that this database does not have."""

    signed: Signed
    differing: tuple[Differing, ...]

    def __str__(self) -> str:
        statement = self.signed.statement
        some = [str(one) for one in self.differing[:_NAMED]]
        more = [f"{len(self.differing) - _NAMED} more logs"] if len(self.differing) > _NAMED else []
        at = f"{statement.moment:%Y-%m-%d %H:%M} UTC"
        other = "" if self.signed.public_key == public_key() else " (signed by another key than CHECKPOINT_KEY)"
        return (
            f"This database is older than checkpoint {statement.number} of {at}{other}: "
            f"{', '.join([*some, *more])}. It was probably restored from a backup. Nothing is written to the apps "
            "until a superuser acknowledges that: Checkpoints in the admin, or `manage.py acknowledge_restore`."
        )


# The key


def signer() -> Ed25519PrivateKey | None:
    """None where no key is set. Raises ImproperlyConfigured in words that do not show it."""
    if settings.CHECKPOINT_KEY == "":
        return None
    try:
        return private_key(settings.CHECKPOINT_KEY)
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from None


def public_key() -> str:
    """Raw and in hex; nothing where there is no good key."""
    try:
        key = signer()
    except ImproperlyConfigured:
        return ""
    return public_of(key) if key is not None else ""


def known_keys() -> dict[str, str]:
    """The public keys by their id: ours, and those that the history names because they signed before."""
    own = public_key()
    made = SyncLog.objects.filter(chain__name=PORTAL, kind=Kind.KEY_CREATED).order_by("seq")
    headers = [form.parse(text) for text in made.values_list("header", flat=True)]
    named = [header["public_key"] for header in headers if header.get("purpose") == PURPOSE]
    return {form.key_id(key): key for key in [*named, own] if key != ""}


# Making one


def make(now: datetime, follows: Statement | None = None, hourly: bool = False) -> LogCheckpoint | None:
    """Sign where all chains stand; None where another worker signed at this moment (or, `hourly`, in this hour), and
    nothing was done.

    It follows the last one of this database, or, after a restore was acknowledged, the delivered one `follows`. Raises
    ImproperlyConfigured where there is no good key, LogBusy.
    """
    key = signer()
    if key is None:
        raise ImproperlyConfigured(f"CHECKPOINT_KEY is not set. Make one with: {MAKE_A_KEY}")
    try:
        with transaction.atomic():
            last = LogCheckpoint.objects.order_by("-number").first()
            # Looked at again, and by the row whose number the new one counts on from: two cannot.
            if hourly and not is_due(last.at if last is not None else None, now):
                return None
            introduce(public_of(key), last, now)
            return signed_row(key, last, follows, now)
    except IntegrityError:
        return None


def introduce(public: str, last: LogCheckpoint | None, now: datetime) -> None:
    """The history names each key before it first signs, so that an old signature can be checked for ever."""
    if last is None or last.key_id != form.key_id(public):
        header = {"purpose": PURPOSE, "public_key": public}
        append(PORTAL, [Entry(Kind.KEY_CREATED, "system", header)], now)


def next_number(last: LogCheckpoint | None, follows: Statement | None) -> int:
    return max(last.number if last is not None else 0, follows.number if follows is not None else 0) + 1


def signed_row(
    key: Ed25519PrivateKey, last: LogCheckpoint | None, follows: Statement | None, now: datetime
) -> LogCheckpoint:
    """Made and stored in the caller's transaction. Raises IntegrityError where the number is taken."""
    previous = follows.digest if follows is not None else statement_of(last).digest if last is not None else FIRST
    statement = Statement(
        number=next_number(last, follows),
        at=form.spell_time(now),
        key_id=form.key_id(public_of(key)),
        previous_hash=previous,
        heads={
            name: (head_seq, head_hash, quiet_runs)
            for name, head_seq, head_hash, quiet_runs in LogChain.objects.order_by("name").values_list(
                "name", "head_seq", "head_hash", "quiet_runs"
            )
        },
    )
    return LogCheckpoint.objects.create(
        number=statement.number,
        at=now,
        heads=form.canonical(statement.heads),
        key_id=statement.key_id,
        signature=key.sign(statement.signed).hex(),
        previous_hash=previous,
    )


def statement_of(row: LogCheckpoint) -> Statement:
    """Raises ValueError where the row does not hold one."""
    try:
        heads = heads_from(form.parse(row.heads))
    except (TypeError, AttributeError):
        raise ValueError("its heads cannot be read") from None
    return Statement(row.number, form.spell_time(row.at), row.key_id, row.previous_hash, heads)


# Each hour


def hourly(now: datetime) -> None:
    """Make the checkpoint of this hour where nobody has, and deliver what waits. Cheap where there is nothing to do.

    What goes wrong is tried again at the next call, and said by `trouble`. While the database is older than what was
    delivered none is made: it would go on from a history that a person has to judge first.
    """
    try:
        if signer() is None:
            return
        last = LogCheckpoint.objects.order_by("-number").values_list("at", flat=True).first()
        made = make(now, hourly=True) if is_due(last, now) and older() is None else None
    except (ImproperlyConfigured, LogBusy) as error:
        log.warning("No checkpoint was made: %s", error)
        return
    problem = deliver(now)
    if problem != "" and made is not None:
        log.warning("Checkpoint %s is kept and not delivered: %s", made.number, problem)


def is_due(last: datetime | None, now: datetime) -> bool:
    """One each hour of the clock. A clock that was set back by more than that does not stop them."""
    return last is None or hour(now) > hour(last) or now < last - timedelta(hours=1)


def hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def deliver(now: datetime) -> str:
    """Write what was not delivered yet, oldest first. What keeps it from that, in words; nothing if all is there."""
    waiting = list(LogCheckpoint.objects.filter(delivered_at__isnull=True).order_by("number"))
    if not waiting:
        return ""
    if (reason := behind()) != "":
        return reason
    keys = known_keys()
    for row in waiting:
        try:
            files.write(folder(), Signed(statement_of(row), row.signature, keys[row.key_id]))
        except KeyError:
            return f"Checkpoint {row.number} was signed by a key that the history does not name; run verify_log."
        except OSError as error:
            return f"{settings.CHECKPOINT_DIR} cannot be written ({error.strerror or type(error).__name__})."
        except ValueError as error:
            return f"Checkpoint {row.number}: {error}; run verify_log."
        LogCheckpoint.objects.filter(pk=row.pk, delivered_at__isnull=True).update(delivered_at=now)
    return ""


def folder() -> Path:
    """Where checkpoints are delivered to. Ours is made; one that was named must be there: where a disk is not mounted
    the files would else land beside it."""
    place = Path(settings.CHECKPOINT_DIR)
    if place.parent == Path(settings.DATA_DIR):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


# An older database


def behind() -> str:
    """Why nothing may be written: this database is older than the newest delivered checkpoint, and nobody acknowledged
    that yet. Nothing where all is well.

    Cheap enough for each slice: the file is read again only when the folder changed, and one query compares all chains.
    """
    found = older()
    return str(found) if found is not None else ""


def older() -> Behind | None:
    """What `behind` says, as data. An acknowledgement that is not delivered yet stands in the table: it follows the
    newest file."""
    signed = files.newest(Path(settings.CHECKPOINT_DIR))
    if signed is None:
        return None
    differing = differences(signed.statement.heads)
    if not differing or LogCheckpoint.objects.filter(previous_hash=signed.statement.digest).exists():
        return None
    return Behind(signed, tuple(differing))


# For people


def trouble(now: datetime) -> str:
    """What keeps checkpoints from being made and delivered, in words for anybody: no names, no paths."""
    try:
        if signer() is None:
            return "no checkpoints are signed: set CHECKPOINT_KEY"
    except ImproperlyConfigured:
        return "no checkpoints are signed: CHECKPOINT_KEY is malformed; run `python manage.py check`"
    if older() is not None:
        return "this database is older than its newest checkpoint; a superuser must acknowledge that"
    rows = LogCheckpoint.objects.order_by("-number")
    waiting = rows.filter(delivered_at__isnull=True, at__lt=now - LATE).count()
    if waiting:
        return f"{waiting} checkpoint(s) could not be delivered; check CHECKPOINT_DIR"
    last = rows.values_list("at", flat=True).first()
    if last is not None and now - last > timedelta(hours=1) + LATE:
        return f"no checkpoint since {last:%Y-%m-%d %H:%M} UTC; does a worker run?"
    return ""


def problems() -> Iterator[str]:
    """Every checkpoint in the table, and the files that are there, against the keys, each other and the chains."""
    keys, restored = known_keys(), acknowledged()
    last: Statement | None = None
    for row in LogCheckpoint.objects.order_by("number").iterator(500):
        try:
            statement = statement_of(row)
        except ValueError as error:
            yield f"checkpoint {row.number}: {error}"
            continue
        if row.key_id not in keys:
            yield f"checkpoint {row.number}: signed by the key {row.key_id}, which the history does not name"
        elif not holds(statement, row.signature, keys[row.key_id]):
            yield f"checkpoint {row.number}: its signature does not fit what it says"
        due = (last.number + 1, last.digest) if last is not None else (1, FIRST)
        if (statement.number, statement.previous_hash) not in (due, restored.get(statement.number)):
            yield f"checkpoint {row.number}: it does not follow from the one before it"
        known = last.heads if last is not None else {}
        if any(name not in statement.heads or statement.heads[name][0] < head[0] for name, head in known.items()):
            yield f"checkpoint {row.number}: a log went back since the one before it"
        news = {
            name: head
            for name, head in statement.heads.items()
            if known.get(name, head)[:2] != head[:2] or name not in known
        }
        yield from (f"checkpoint {row.number}: {one}" for one in differences(news))
        last = statement
    yield from files.damaged(Path(settings.CHECKPOINT_DIR))
    if (reason := behind()) != "":
        yield reason


def acknowledged() -> dict[int, tuple[int, str]]:
    """The checkpoints that follow a delivered one instead of the last in the table: (number, previous_hash)."""
    entries = SyncLog.objects.filter(chain__name=PORTAL, kind=Kind.CHECKPOINT).order_by("seq")
    headers = [form.parse(text) for text in entries.values_list("header", flat=True)]
    return {header["number"]: (header["number"], header["follows_hash"]) for header in headers if "follows" in header}
