"""What was done and what was not, in lines for a terminal, from the rows that the engine left."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import StringIO

from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models import Count, Sum

from connections.models import Connection
from connections.models.connection import SIDES
from portal.clock import Clock
from syncer.connectors.base import Role
from syncer.connectors.registry import connector_class
from syncer.engine.planner import WORDS
from syncer.engine.setup import fields_from
from syncer.models import ApiUsage, Book, Change, Hold, Link, Record, SyncRun

DONE = ("done", "recovered")
VERBS = {"create": "created", "update": "updated", "tag": "tagged", "untag": "untagged", "link": "linked"}
NAMES = (Role.GIVEN, Role.FAMILY)
WIDTH = 60
MOST_NEWS = 10


def app_labels(connection: Connection) -> dict[str, str]:
    return {side: connector_class(connection.account(side).app).app.label for side in SIDES}


class Names:
    """What to call a contact; the fields of its book are read once."""

    def __init__(self) -> None:
        self._fields: dict[int, dict[str, str]] = {}

    def of(self, record: Record | None) -> str:
        if record is None:
            return ""
        fields = self._roles(record.book_id)
        parts = [record.values.get(fields[role]) for role in NAMES if role in fields]
        name = " ".join(str(part) for part in parts if part is not None)
        organization = record.values.get(fields.get(Role.ORGANIZATION, ""))
        shown = name if name != "" else str(organization) if organization is not None else ""
        address = f"<{record.match_key}>" if record.match_key else ""
        return " ".join(part for part in (shown, address) if part) or record.remote_id

    def of_link(self, link: Link) -> str:
        return self.of(link.left if link.left is not None else link.right)

    def _roles(self, book: int) -> dict[str, str]:
        if book not in self._fields:
            schema = Book.objects.values_list("schema", flat=True).get(pk=book)
            self._fields[book] = {field.role: field.name for field in fields_from(schema).values() if field.role}
        return self._fields[book]


def plan_lines(run: SyncRun) -> list[str]:
    """The totals of a plan, and an example of each kind of change."""
    labels, names = app_labels(run.connection), Names()
    open_changes = run.changes.filter(state__in=["planned", "held"])
    counts = open_changes.order_by().values_list("operation", "side").annotate(number=Count("pk"))
    lines = []
    for operation, side, number in sorted(counts):
        change = open_changes.filter(operation=operation, side=side).order_by("pk")
        example = change.select_related("link__left", "link__right", "record").first()
        where = "" if operation == "link" else f" in {labels[side]}"
        shown = f"  {number:>5} to {operation}{where}"
        lines.append(f"{shown:<38}e.g. {change_line(example, names)}" if example is not None else shown)
    return lines


def change_line(change: Change, names: Names) -> str:
    """One change: whom, which field from what to what, and why."""
    who = names.of_link(change.link)
    if change.operation in ("link", "create"):
        return who
    name, value = next(iter(change.values.items()), ("", None))
    whys = [str(reason["why"]) for reason in change.reasons if reason.get("field", name) == name]
    why = f" ({WORDS.get(whys[0], whys[0])})" if whys else ""
    return f"{who}: {name} {brief(change.base.get(name))} -> {brief(value)}{why}"


def brief(value: object) -> str:
    if value is None:
        return "(empty)"
    text = ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
    text = text.replace("\n", " ")
    return text if len(text) <= 30 else text[:29] + "…"


@dataclass(frozen=True)
class Group:
    """Contacts of one fate: how many, why, and one of them."""

    count: int
    reason: str
    example: str


def grouped(found: Iterable[tuple[str, Link]], names: Names) -> list[Group]:
    counts: Counter[str] = Counter()
    first: dict[str, Link] = {}
    for reason, link in found:
        counts[reason] += 1
        first.setdefault(reason, link)
    return [Group(number, reason, names.of_link(first[reason])) for reason, number in counts.most_common()]


def group_lines(title: str, groups: Sequence[Group]) -> list[str]:
    if not groups:
        return []
    lines = [f"{title} ({sum(group.count for group in groups)})"]
    for group in groups:
        reason = group.reason if len(group.reason) <= WIDTH else group.reason[: WIDTH - 1] + "…"
        lines.append(f"  {group.count:>5}  {reason:<{WIDTH}}  e.g. {group.example}")
    return lines


def done_lines(connection: Connection) -> list[str]:
    """All that was done since the connection was made, by side, as a table."""
    labels = app_labels(connection)
    rows = Change.objects.filter(run__connection=connection, state__in=DONE).order_by()
    counts = {
        (operation, side): number
        for operation, side, number in rows.values_list("operation", "side").annotate(number=Count("pk"))
    }
    table = [f"  {'':<12}" + "".join(f"{labels[side]:>17}" for side in SIDES)]
    for operation in ("create", "update", "tag", "untag"):
        if any(counts.get((operation, side)) for side in SIDES):
            table.append(
                f"  {VERBS[operation]:<12}" + "".join(f"{counts.get((operation, side), 0):>17}" for side in SIDES)
            )
    linked = sum(number for (operation, _), number in counts.items() if operation == "link")
    pairs = Link.objects.filter(connection=connection, state=Link.State.IN_SYNC).count()
    return [*table, f"  {linked} were in both already and are now linked; {pairs} contacts are in sync"]


def held_lines(connection: Connection, names: Names) -> list[str]:
    holds = Hold.objects.filter(connection=connection, resolved__isnull=True, link__isnull=False)
    holds = holds.exclude(kind=Hold.Kind.AMBIGUOUS).select_related("link__left", "link__right").order_by("pk")
    found = [(str(hold.data.get("reason") or hold.get_kind_display()), hold.link) for hold in holds if hold.link]
    return group_lines("Waiting for a person", grouped(found, names))


def link_lines(connection: Connection, state: Link.State, title: str, names: Names) -> list[str]:
    links = Link.objects.filter(connection=connection, state=state).select_related("left", "right").order_by("pk")
    return group_lines(title, grouped(((link.reason, link) for link in links), names))


def calls_line(connections: Sequence[Connection]) -> str:
    """Calls of the last day, for as long as they are kept."""
    accounts = {account.pk: account for one in connections for account in map(one.account, SIDES)}
    used = {
        connector_class(account.app).app.label: ApiUsage.objects.filter(key=account.lease_key).aggregate(
            total=Sum("calls")
        )["total"]
        for account in accounts.values()
    }
    return "Calls: " + ", ".join(f"{label} {calls or 0}" for label, calls in used.items())


def history_line() -> str:
    """What verify_log says: each entry of the audit trail was read and checked."""
    out = StringIO()
    try:
        call_command("verify_log", stdout=out)
    except CommandError as error:
        return f"History: {error}"
    return f"History: {out.getvalue().strip().splitlines()[-1]} (verify_log)"


def summary_lines(connection: Connection) -> list[str]:
    names = Names()
    return [
        *done_lines(connection),
        *held_lines(connection, names),
        *link_lines(connection, Link.State.FAILING, "Failing", names),
        *link_lines(connection, Link.State.DUPLICATE, "Duplicates, left alone", names),
        *link_lines(connection, Link.State.EXCLUDED, "Excluded", names),
        *link_lines(connection, Link.State.OPPOSITE_DELETED, "Deleted on the other side", names),
    ]


class News:
    """Tells what runs did since it was made, at most MOST_NEWS changes at a time."""

    def __init__(self, connection: Connection, say: Callable[[str], None], clock: Clock) -> None:
        self._connection, self._say, self._names = connection, say, Names()
        self._labels = app_labels(connection)
        self._since, self._told = clock.now(), set[int]()

    def tell(self) -> None:
        done = Change.objects.filter(run__connection=self._connection, state__in=DONE, settled_at__gte=self._since)
        fresh = list(done.exclude(pk__in=self._told).select_related("link__left", "link__right").order_by("pk"))
        for change in fresh[:MOST_NEWS]:
            what = f"{VERBS[change.operation]} in {self._labels[change.side]}: {change_line(change, self._names)}"
            self._say(f"{change.settled_at:%H:%M:%S} UTC  {what}")
        if len(fresh) > MOST_NEWS:
            self._say(f"and {len(fresh) - MOST_NEWS} more")
        self._told |= {change.pk for change in fresh}
