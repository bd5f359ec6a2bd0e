"""What a connection did each day, from what its runs counted."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta

from connections.admin.chart import Chart
from connections.forms.reading import app_label
from connections.models import Account, Connection
from syncer.models import SyncRun

DAYS = 14
MOST_RUNS = 5000
CHANGES = ("created", "updated", "tagged", "untagged")


def chart_of(connection: Connection, now: datetime) -> Chart:
    today = now.date()
    first = today - timedelta(days=DAYS - 1)
    found = changes_since(connection, first)
    days = [first + timedelta(days=number) for number in range(DAYS)]
    names = tuple(f"{app_label(account.app)} ({side})" for side, account in sides(connection))
    return Chart(
        "Changes per day",
        (names[0], names[1]),
        [(day, found[(day, "left")], found[(day, "right")]) for day in days],
        f"Nothing was changed in the last {DAYS} days.",
    )


def sides(connection: Connection) -> list[tuple[str, Account]]:
    return [("left", connection.left_account), ("right", connection.right_account)]


def changes_since(connection: Connection, first: date) -> Counter[tuple[date, str]]:
    """By day (UTC) and side; of the newest runs, where there were very many."""
    found: Counter[tuple[date, str]] = Counter()
    runs = SyncRun.objects.filter(connection=connection, finished__gte=datetime.combine(first, time(), UTC))
    for at, counts in runs.order_by("-finished").values_list("finished", "counts")[:MOST_RUNS]:
        assert at is not None
        for side in ("left", "right"):
            done = counts.get(side) or {}
            found[(at.astimezone(UTC).date(), side)] += sum(done.get(name, 0) for name in CHANGES)
    return found
