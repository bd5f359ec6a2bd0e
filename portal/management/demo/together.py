"""What two connections that share an app did to each other: contacts go over both, and nobody may become two."""

from django.db.models import Exists, OuterRef, QuerySet

from connections.models import Connection
from portal.management.demo.telling import DONE, app_labels
from syncer.models import Change, Link, Record


def together_lines(one: Connection, other: Connection) -> list[str]:
    """Of two connections to the same book on the right."""
    shared = app_labels(one)["right"]
    both = pairs(one).filter(right__in=pairs(other).values("right")).count()
    apps = f"{app_labels(one)['left']}, {app_labels(other)['left']} and {shared}"
    return [
        f"Together: {both} contacts are in {apps}, each one contact over both connections",
        *(passed_line(source, target, shared) for source, target in ((one, other), (other, one))),
        doubles_line(one, other),
    ]


def passed_line(source: Connection, target: Connection, shared: str) -> str:
    """Who was made by `source` in the shared book, and by `target` in its left one."""
    over = pairs(target).filter(pk__in=created(target, "left"), right__in=made_in(source, "right")).count()
    return f"  {over} went from {app_labels(source)['left']} by way of {shared} to {app_labels(target)['left']}"


def doubles_line(*connections: Connection) -> str:
    """Whom we made, compared with all that their books hold now."""
    made = {pk for connection in connections for side in ("left", "right") for pk in made_in(connection, side)}
    namesake = Record.objects.filter(book=OuterRef("book"), match_key=OuterRef("match_key"), state=Record.State.LIVE)
    records = Record.objects.filter(pk__in=made, state=Record.State.LIVE).exclude(match_key="")
    doubles = records.filter(Exists(namesake.exclude(pk=OuterRef("pk")))).count()
    found = f"{doubles} of them have" if doubles else "none of them has"
    return f"  {len(made)} contacts were made in all; {found} the e-mail address of another contact of its app"


def pairs(connection: Connection) -> QuerySet[Link]:
    return Link.objects.filter(connection=connection, state=Link.State.IN_SYNC)


def created(connection: Connection, side: str) -> QuerySet[Change, int]:
    """The links whose record on this side is our work."""
    rows = Change.objects.filter(link__connection=connection, side=side, operation="create", state__in=DONE)
    return rows.values_list("link", flat=True)


def made_in(connection: Connection, side: str) -> QuerySet[Link, int]:
    """The records that we made on this side."""
    links = Link.objects.filter(pk__in=created(connection, side), **{f"{side}__isnull": False})
    return links.values_list(side, flat=True)
