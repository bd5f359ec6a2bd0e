"""What nobody needs any more is forgotten (ENGINE.md 1). The audit trail is not touched: what was done stays there."""

from datetime import datetime, timedelta

from django.db.models import Exists, Model, OuterRef, QuerySet

from syncer.models import Change, Hold, Link, Record, Side
from syncer.models.link import ENDED

AT_ONCE = 500
KEPT = timedelta(days=30)
"""How long the changes of a run stay after its end, and ended links."""


def tidy(now: datetime) -> int:
    """Forget some of what is old, at most 500 rows of each kind; how many that were."""
    return sum(forget(some) for some in (old_changes(now), old_links(now), old_records()))


def forget(rows: QuerySet[Model]) -> int:
    found = list(rows.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    rows.model._default_manager.filter(pk__in=found).delete()
    return len(found)


def old_changes(now: datetime) -> QuerySet[Change]:
    """Those of runs that ended long ago, but none that is on its way or that somebody is asked about."""
    asked = Hold.objects.filter(link=OuterRef("link"), resolved__isnull=True)
    return Change.objects.filter(~Exists(asked), run__finished__lt=now - KEPT).exclude(state=Change.State.SENDING)


def old_links(now: datetime) -> QuerySet[Link]:
    changes = Change.objects.filter(link=OuterRef("pk"))
    return Link.objects.filter(~Exists(changes), state__in=ENDED, updated_at__lt=now - KEPT)


def old_records() -> QuerySet[Record]:
    """Records that are gone, that every connection of their book has judged and none has a link for, and of whose
    origin nobody lives: as long as one does, this is what keeps it from being made again."""
    behind = Side.objects.filter(book=OuterRef("book"), planned__lt=OuterRef("sequence"))
    kin = Record.objects.filter(lineage=OuterRef("lineage"), state__in=["live", "suspect"])
    links = (Link.objects.filter(left=OuterRef("pk")), Link.objects.filter(right=OuterRef("pk")))
    changes = Change.objects.filter(record=OuterRef("pk"))
    needed = [~Exists(query) for query in (behind, kin, *links, changes)]
    return Record.objects.filter(*needed, state=Record.State.GONE, needs_read=False)
