"""Handing out the evidence of a log: who asked is in the history before the first byte goes out.

Called by the command, the admin and the API alike. What is in a pack: syncer/audit/export.py.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import Q
from django.template.loader import render_to_string

from connections.models import ConfigVersion, Connection
from connections.services import Refused
from portal.clock import SYSTEM, Clock
from syncer.audit import checkpoint
from syncer.audit import format as form
from syncer.audit.chain import JSON, PORTAL, Entry, append
from syncer.audit.changes import Told
from syncer.audit.export import Beside, Part, chunks, part_of
from syncer.audit.sheet import in_words
from syncer.engine.planner import WORDS
from syncer.models import LogChain, SyncRun
from syncer.models.log import Kind

LONGEST = 300
"""How much of a text the page shows."""


@dataclass(frozen=True)
class Evidence:
    """One pack that may go out: it was noted who asked for it."""

    file_name: str
    part: Part
    values: bool
    beside: Beside

    @property
    def entries(self) -> int:
        return self.part.last - self.part.first + 1

    def chunks(self, progress: Callable[[int], object] | None = None) -> Iterator[bytes]:
        """The ZIP, for a response that is sent while it is made."""
        return chunks(self.part, self.values, self.beside, progress)

    def write_to(self, out: BinaryIO, progress: Callable[[int], object] | None = None) -> None:
        for chunk in self.chunks(progress):
            out.write(chunk)


def prepare(
    chain: str,
    actor: str,
    since: datetime | None = None,
    until: datetime | None = None,
    values: bool = True,
    clock: Clock = SYSTEM,
) -> Evidence:
    """The evidence of a log, of the entries from `since` on and before `until`. The caller has judged who may have it,
    and whether with values. Raises Refused, LogBusy."""
    if not LogChain.objects.filter(name=chain).exists():
        raise Refused(f"There is no log {chain} yet: nothing happened that it would tell of.")
    if since is not None and until is not None and since >= until:
        raise Refused("The beginning of the evidence is not before its end.")
    try:
        checkpoint.signer()
    except ImproperlyConfigured as error:
        raise Refused(str(error)) from error
    connection = connection_of(chain)
    now = clock.now()
    note(chain, connection, actor, since, until, values, now)
    part = part_of(chain, since, until)
    named = f"{chain.replace(':', '-')}-{now:%Y%m%dT%H%M%SZ}"
    beside = Beside(
        about=about(connection),
        made_at=now,
        made_by=actor,
        versions=versions(connection, until),
        runs=runs(connection, since, until, values),
        words=WORDS,
        page=page,
    )
    return Evidence(f"evidence-{named}.zip", part, values, beside)


def note(
    chain: str,
    connection: Connection | None,
    actor: str,
    since: datetime | None,
    until: datetime | None,
    values: bool,
    now: datetime,
) -> None:
    header: dict[str, JSON] = {
        "log": chain,
        "since": form.spell_time(since) if since is not None else None,
        "until": form.spell_time(until) if until is not None else None,
        "values": values,
    }
    code = connection.code if connection is not None else None
    with transaction.atomic():
        append(PORTAL, [Entry(Kind.ACCESS_EXPORTED, actor, header, connection=code)], now)


def connection_of(chain: str) -> Connection | None:
    """None for the portal's log, and where the connection was deleted."""
    code = chain.partition(":")[2]
    return Connection.objects.select_related("client").filter(code=UUID(code)).first() if code else None


def about(connection: Connection | None) -> Mapping[str, JSON]:
    if connection is None:
        return {}
    return {"client": connection.client.name, "connection": connection.name, "code": str(connection.code)}


def versions(connection: Connection | None, until: datetime | None) -> Iterator[JSON]:
    """The configurations up to the end: also those from before the part, because runs name them."""
    found = ConfigVersion.objects.filter(connection=connection).order_by("number")
    found = found.filter(at__lt=until) if until is not None else found
    for version in found.iterator(20):
        yield {
            "number": version.number,
            "body": version.body,
            "digest": version.digest,
            "author": version.author,
            "reason": version.reason,
            "at": form.spell_time(version.at),
        }


def runs(connection: Connection | None, since: datetime | None, until: datetime | None, values: bool) -> Iterator[JSON]:
    """Summaries of the runs of that time, oldest first. The words of an error may quote a contact's value."""
    found = SyncRun.objects.filter(connection=connection).order_by("pk")
    if since is not None:
        found = found.filter(Q(finished__gte=since) | Q(finished=None))
    if until is not None:
        found = found.filter(queued_at__lt=until)
    # By pages: no cursor stays open while somebody's network is slow.
    last = 0
    while page := list(found.filter(pk__gt=last)[:500]):
        for run in page:
            yield summary(run, values)
        last = page[-1].pk


def summary(run: SyncRun, values: bool) -> dict[str, JSON]:
    found: dict[str, JSON] = {
        "code": str(run.code),
        "version": run.version,
        "trigger": run.trigger,
        "actor": run.actor,
        "dry_run": run.dry_run,
        "status": run.status,
        "counts": run.counts,
        "plan_digest": run.plan_digest,
        "api_calls": run.api_calls,
        "error_kind": run.error_kind,
    }
    for name in ("queued_at", "started", "finished"):
        at = getattr(run, name)
        found[name] = form.spell_time(at) if at is not None else None
    return {**found, "error": form.clean_text(run.error)} if values else found


# The page for people


def page(manifest: Mapping[str, Any], kinds: Mapping[str, int], newest: Sequence[Told]) -> str:
    count = sum(kinds.values())
    found = {
        "title": manifest["about"].get("connection", manifest["chain"]),
        "manifest": manifest,
        "facts": facts(manifest, count),
        "kinds": [(labelled(kind), number) for kind, number in sorted(kinds.items())],
        "signed": checkpoint.public_key() != "",
        "newest": [shown(entry) for entry in newest],
        "left_out": count - len(newest),
    }
    return render_to_string("evidence/index.html", found)


def facts(manifest: Mapping[str, Any], count: int) -> list[tuple[str, Any]]:
    before, after, head = manifest["before"], manifest["after"], manifest["head"]
    checkpoints = manifest["counts"]["checkpoints"]
    return [
        (
            "Of",
            manifest["about"].get("client", "the portal" if manifest["chain"] == PORTAL else "a deleted connection"),
        ),
        ("Log", manifest["chain"]),
        ("From", manifest["since"] or "its beginning"),
        ("To", f"before {manifest['until']}" if manifest["until"] else "the newest entry"),
        ("Entries", f"{count}: number {before['seq'] + 1} to {after['seq']}" if count else "none"),
        ("Made", f"{manifest['made']['at']} by {manifest['made']['by']}"),
        ("Head before", f"{before['seq']}: {before['hash']}"),
        ("Head after", f"{after['seq']}: {after['hash']}"),
        ("The log's head", f"{head['seq']}: {head['hash']}"),
        ("Runs since then that changed nothing", head["quiet_runs"]),
        ("Signed checkpoints", checkpoints or "none that covers it"),
    ]


def shown(entry: Told) -> dict[str, Any]:
    mirrors = entry.mirrors
    fields = [(cut(one.field), cut(one.before), cut(one.after)) for one in entry.fields]
    found = {name: cut(mirrors[name]) for name in ("at", "actor", "side", "operation", "link")}
    words = {"what": labelled(mirrors["kind"]), "why": cut(in_words(entry.why, WORDS)) if entry.why else ""}
    return {**found, **words, "seq": entry.seq, "fields": fields, "more": cut(entry.more), "state": entry.state}


def labelled(kind: str) -> str:
    return str(Kind(kind).label) if kind in Kind.values else cut(kind)


def cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
