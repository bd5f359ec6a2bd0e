"""Planning: judge all that changed and store the verdicts, the changes and how far we came, in one transaction each
(ENGINE.md 3, 5)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from django.db.models import Q

from connections.models import Client, Connection
from connections.models.connection import SIDES, SideName
from syncer.audit.chain import Entry, append
from syncer.engine.cancelling import started_entry, stop_if_cancelled
from syncer.engine.decide import Verdict, judge_links, judge_records
from syncer.engine.guard import Breach, Tally, breaches
from syncer.engine.holds import sync_link_holds
from syncer.engine.rows import save_all
from syncer.engine.setup import Setup, needed_fields
from syncer.engine.slice import NotReady, Slice
from syncer.engine.values import canonical, digest
from syncer.models import Book, Change, Hold, Link, Record, SyncRun
from syncer.models.link import ENDED

AT_ONCE = 500


def check_ready(setup: Setup) -> None:
    """Both books need one complete pass that read what this configuration needs, and no open hold of their own."""
    for side, ours in setup.sides.items():
        hold = Hold.objects.filter(book=ours.book, resolved__isnull=True).first()
        if hold is not None:
            raise NotReady(f"{ours.app_label}: {hold.get_kind_display().lower()}")
        if ours.book.complete_pass == 0:
            raise NotReady(ours.book.problem or f"{ours.app_label} has not been read completely yet")
        if not needed_fields(setup, side) <= set(ours.book.complete_fields):
            raise NotReady(f"{ours.app_label} is being read again, with the fields that are newly mapped")


def begin(slice: Slice, setup: Setup, run: SyncRun) -> None:
    """Fix what this plan is about: everything up to the present sequence of each book."""
    with slice.transaction():
        for name, ours in setup.sides.items():
            if not run.dry_run and ours.side.version != setup.version:
                ours.side.planned, ours.side.version = 0, setup.version
                ours.side.save(update_fields=["planned", "version"])
            start = ours.side.planned if ours.side.version == setup.version else 0
            setattr(run, f"{name}_position", start)
            setattr(run, f"{name}_target", Book.objects.values_list("sequence", flat=True).get(pk=ours.book.pk))
        run.phase = SyncRun.Phase.PLAN
        run.save(update_fields=["phase", "left_position", "right_position", "left_target", "right_target"])


def plan_all(slice: Slice, setup: Setup, run: SyncRun) -> None:
    """Judge up to the target; can be called again in the next slice, and goes on. Raises OutOfTime, Cancelled,
    LeaseLost."""
    for side in SIDES:
        while records := next_records(setup, run, side):
            slice.check_time()
            stop_if_cancelled(run)
            verdicts = judge_records(setup, side, records, slice.now(), claimed_by(run, records))
            with slice.transaction():
                setattr(run, f"{side}_position", records[-1].sequence)
                store(setup, run, verdicts, slice)
                move(setup, run, side, slice)
            slice.progress("Planning", run.left_position + run.right_position, run.left_target + run.right_target)
    last = 0
    while links := due_links(setup, slice, last):
        slice.check_time()
        last = links[-1].pk
        records = [record for link in links for record in (link.left, link.right) if record is not None]
        verdicts = judge_links(setup, links, slice.now(), claimed_by(run, records))
        with slice.transaction():
            store(setup, run, verdicts, slice)


def next_records(setup: Setup, run: SyncRun, side: SideName) -> list[Record]:
    position, target = getattr(run, f"{side}_position"), getattr(run, f"{side}_target")
    records = Record.objects.filter(book=setup.sides[side].book, sequence__gt=position, sequence__lte=target)
    return list(records.order_by("sequence")[:AT_ONCE])


def due_links(setup: Setup, slice: Slice, after: int) -> list[Link]:
    links = Link.objects.filter(connection=setup.connection, next_attempt_at__lte=slice.now(), pk__gt=after)
    return list(links.exclude(state__in=ENDED).select_related("left", "right").order_by("pk")[:AT_ONCE])


def claimed_by(run: SyncRun, records: Sequence[Record]) -> set[int]:
    """Those of the records that this run's plan deals with already."""
    ids = [record.pk for record in records]
    touched = Q(link__left__in=ids) | Q(link__right__in=ids) | Q(record__in=ids)
    rows = Change.objects.filter(touched, run=run, state__in=["planned", "held"])
    return {pk for row in rows.values_list("link__left", "link__right", "record") for pk in row if pk is not None}


def move(setup: Setup, run: SyncRun, side: SideName, slice: Slice) -> None:
    run.attempts = 0
    run.save(update_fields=[f"{side}_position", "attempts"])
    if not run.dry_run:
        ours = setup.sides[side].side
        ours.planned, ours.planned_at = getattr(run, f"{side}_position"), slice.now()
        ours.save(update_fields=["planned", "planned_at"])


def store(setup: Setup, run: SyncRun, verdicts: Sequence[Verdict], slice: Slice) -> None:
    """Store verdicts in the caller's transaction. A dry run stores its changes and the new one-sided links they are
    about, and nothing else."""
    if run.dry_run:
        verdicts = [verdict for verdict in verdicts if verdict.changes]
        Link.objects.bulk_create(new_links(verdicts))
        store_changes(run, verdicts)
        return
    now = slice.now()
    moved = [verdict for verdict in verdicts if take_over(setup, verdict, now)]
    Link.objects.bulk_create(new_links(verdicts), batch_size=200)
    saved = [verdict.link for verdict in moved if verdict.link.updated_at == now]
    save_all(saved, STORED)
    store_changes(run, verdicts)
    entries = deletion_entries(setup, run, verdicts)
    entries += sync_link_holds(setup.connection, [(v.link, v.held) for v in verdicts if v.judged], run.code, now)
    record(setup.connection, run, entries, slice)


def new_links(verdicts: Sequence[Verdict]) -> list[Link]:
    links = [link for verdict in verdicts for link in (verdict.link, verdict.also) if link is not None]
    return [link for link in links if link.pk is None]


STORED = [
    "state",
    "reason",
    "shadow",
    "trace",
    "next_attempt_at",
    "version",
    "applied_actions",
    "attempts",
    "refused",
    "updated_at",
]


def take_over(setup: Setup, verdict: Verdict, now: datetime) -> bool:
    """Bring the link in line with its verdict; False where it was so already."""
    link = verdict.link
    before = [getattr(link, name) for name in STORED]
    link.state, link.reason, link.trace = verdict.state, verdict.reason[:500], verdict.trace
    link.shadow = {**link.shadow, **verdict.shadow} if verdict.shadow else link.shadow
    link.next_attempt_at, link.version = verdict.again_at, setup.version
    if verdict.actions is not None:
        link.applied_actions = verdict.actions
    if verdict.judged:
        link.refused = verdict.refused
    if verdict.state == Link.State.IN_SYNC and not verdict.changes:
        link.attempts = 0
    changed = before != [getattr(link, name) for name in STORED]
    if changed:
        link.updated_at = now
    return changed and link.pk is not None


def store_changes(run: SyncRun, verdicts: Sequence[Verdict]) -> None:
    changes = [change for verdict in verdicts for change in verdict.changes]
    for verdict in verdicts:
        for change in verdict.changes:
            change.run, change.link = run, verdict.link
    Change.objects.bulk_create(changes, batch_size=200)


def deletion_entries(setup: Setup, run: SyncRun, verdicts: Sequence[Verdict]) -> list[Entry]:
    return [
        Entry(
            "link.opposite_deleted",
            "system",
            connection=setup.connection.code,
            run=run.code,
            link=verdict.link.code,
        )
        for verdict in verdicts
        if verdict.deletion
    ]


def record(connection: Connection, run: SyncRun, entries: list[Entry], slice: Slice) -> None:
    """Append to the connection's chain; the first entry of a run is preceded by its start."""
    if not entries:
        return
    if not run.recorded:
        run.recorded = True
        run.save(update_fields=["recorded"])
        entries = [started_entry(connection, run), *entries]
    append(connection.chain, entries, slice.now())


# The guard, the review and the name of a plan


def planned(run: SyncRun) -> Iterator[Change]:
    return run.changes.filter(state__in=["planned", "held"]).order_by("pk").iterator(chunk_size=500)


def seal(run: SyncRun) -> int:
    """Name the plan by a digest over its rows in order; how many rows there are."""
    names, count = [], 0
    total = digest([])
    for row in (
        run.changes.filter(state__in=["planned", "held"]).order_by("pk").values_list("digest", flat=True).iterator()
    ):
        names.append(row)
        count += 1
        if len(names) == AT_ONCE:
            total, names = digest([total, names]), []
    run.plan_digest = digest([total, names])
    run.progress_done, run.progress_total = 0, count
    return count


def over_limits(setup: Setup, run: SyncRun, slice: Slice) -> list[Breach]:
    """Where the plan, with what was done in the last 24 hours, is over a limit. What a person let through does not
    count, be it done, or planned again because it did not arrive."""
    since = slice.now() - timedelta(hours=24)
    done = Change.objects.filter(
        run__connection=setup.connection, run__released=False, state__in=["done", "recovered"], settled_at__gte=since
    )
    let_through = Change.objects.filter(
        run__connection=setup.connection,
        run__released=True,
        state__in=["lost", "stale", "superseded"],
        settled_at__gte=since,
    )
    approved = set(let_through.values_list("digest", flat=True))
    mine = tally(change for change in planned(run) if change.digest not in approved)
    before = tally(done.iterator(chunk_size=500))
    tallies: dict[SideName, Tally] = {}
    for side, ours in setup.sides.items():
        size = Record.objects.filter(book=ours.book, state="live").count()
        tallies[side] = Tally(mine[side], before[side], size)
    return breaches(tallies, setup.connection.limits, first_plan=is_first(setup.connection))


def is_first(connection: Connection) -> bool:
    """No plan of this connection was carried out so far."""
    return not connection.runs.filter(dry_run=False, status__in=["done", "partial"]).exists()


def tally(changes: Iterable[Change]) -> dict[str, Counter[str]]:
    """What changes do to either side, by the names of guard.DEFAULT_LIMITS."""
    counts: dict[str, Counter[str]] = {"left": Counter(), "right": Counter()}
    values: dict[str, Counter[str]] = {"left": Counter(), "right": Counter()}
    for change in changes:
        mine = counts[change.side]
        if change.operation == "create":
            mine["creates"] += 1
        elif change.operation == "tag":
            mine["trash_tags"] += 1
        elif change.operation == "update":
            mine["changed_share"] += 1
            for name, value in change.values.items():
                values[change.side][canonical([name, value])] += 1
                if value is None:
                    mine["clears"] += 1
                elif change.base.get(name) is not None:
                    mine["overwrites"] += 1
    for side, seen in values.items():
        counts[side]["same_value"] = max(seen.values(), default=0)
    return counts


def needs_review(connection: Connection) -> bool:
    """What a client with four eyes has changed is seen by somebody, whatever the connection's own setting says."""
    edited = connection.reviewed_version < connection.version
    if connection.review_once or (edited and Client.objects.filter(pk=connection.client_id, four_eyes=True).exists()):
        return True
    if connection.review == Connection.Review.NEVER:
        return False
    if connection.review == Connection.Review.FIRST:
        return connection.reviewed_version == 0
    return edited
