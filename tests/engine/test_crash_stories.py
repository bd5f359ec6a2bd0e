"""Stories of a sync, told in peace, and then once for each tick and each way in which it can go wrong there: the
process dies before or after it, the app fails, the answer of a write that landed is lost. Within three runs all is as
if nothing had happened.

`make test` leaves out what cannot differ: only a commit and a write that lands outlive a process, so a death at any
other tick is the death after the last of these. `make test-deep` tells every tick in every way. A failure names its
case, which can be told alone: CRASH_AT="update search/0/12/crash after".
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from django.db import connection as database

from connections import services
from syncer import services as sync_services
from syncer.audit.chain import Entry, redact
from syncer.models import SyncLog, SyncRun
from tests.engine.memory import MemoryApp
from tests.engine.stories import (
    Kind,
    Stage,
    Tick,
    check_end,
    check_moment,
    picture,
    stage_of,
    undone,
)
from tests.engine.three import net
from tests.engine.world import ANNA, make_world

Act = Callable[[Stage], None]


@dataclass(frozen=True)
class Story:
    """`begin` sets the stage, up to where all is quiet; each act of people is followed by a run. Where what people do
    meanwhile meets another write after a fault, there is more than one right end."""

    begin: Callable[[], Stage]
    acts: Sequence[Act]
    one_end: bool = True


# The stages


def two_books(how: str = "client_id", etag: str = "", **options: Any) -> Stage:
    """`how` a create is found again: by an id of ours, a mark, or by looking; `etag` "checked": the apps refuse a write
    where they hold another version than we saw."""
    apps = [MemoryApp(name, create=how, conditional=etag != "", etag=etag) for name in ("left", "right")]
    return stage_of(make_world(apps[0], apps[1], **options))


def with_ada(how: str = "client_id", etag: str = "", **options: Any) -> Stage:
    """Ada and Bob in both books, in sync."""
    stage = two_books(how, etag, **options)
    for app, letter in zip(stage.apps, "lr", strict=True):
        stage.enters(app, f"{letter}1", given="Ada", email="ada@example.com", title="Countess", mobile="+442079460001")
        stage.enters(app, f"{letter}2", given="Bob", email="bob@example.com", note="Likes tea")
    stage.settle()
    return stage


# 1 to 3: they meet, they are created, they are edited


def meet(stage: Stage) -> None:
    left, right = stage.apps
    stage.enters(left, "l1", given="Ada", email="ada@example.com", title="Countess", tags=["vip"])
    stage.enters(right, "r1", given="Ada", email="ADA@example.com", title="Poet", note="Likes tea", tags=["math"])
    stage.enters(right, "r2", given="Bob", email="bob@example.com")


def come(stage: Stage) -> None:
    left, right = stage.apps
    stage.enters(left, "l3", given="Cy", email="cy@example.com", title="Clerk")
    stage.enters(left, "l4", given="Dan", email="dan@example.com")
    stage.enters(right, "r5", given="Eve", email="eve@example.com", note="New here")


def edit_each(stage: Stage) -> None:
    left, right = stage.apps
    stage.edits(left, "l1", title="Mathematician")
    stage.edits(left, "l2", given="Robert")
    stage.edits(right, "r1", note="Wrote the first program", mobile="+442079460002")


def edit_back(stage: Stage) -> None:
    stage.edits(stage.apps[1], "r1", title="Programmer")


# 4 to 7: they are at odds, emptied, deleted, renamed


def disagree(stage: Stage) -> None:
    left, right = stage.apps
    stage.edits(left, "l1", title="Mathematician", note="From the left")
    stage.edits(right, "r1", title="Programmer", mobile="+442079460009")
    stage.edits(right, "r2", note="Likes coffee")


def empty(stage: Stage) -> None:
    left, right = stage.apps
    stage.edits(left, "l1", title=None)
    stage.edits(left, "l2", note=None)
    stage.edits(right, "r2", note="Likes coffee")


def delete(stage: Stage) -> None:
    left, right = stage.apps
    stage.deletes(left, "l1")
    stage.edits(right, "r2", note="Likes coffee")


def restore(stage: Stage) -> None:
    stage.enters(stage.apps[0], "l1", given="Ada", email="ada@example.com", title="Back", mobile="+442079460001")


def rename(stage: Stage) -> None:
    left, right = stage.apps
    stage.edits(left, "l1", email="ada.king@example.com")
    stage.edits(right, "r2", email="robert@example.com", title="Clerk")


def with_ids_of_addresses() -> Stage:
    """The right makes its ids from addresses: a new address, whoever writes it, is a new id."""
    stage = with_ada()
    right = stage.apps[1]
    right.renames_on_write = lambda old, values: f"of {values['email']}" if values.get("email") else old
    right.old_ids_answer = True
    return stage


def rename_ids(stage: Stage) -> None:
    left, right = stage.apps
    stage.edits(left, "l1", email="ada.king@example.com")
    stage.edits(right, "r2", title="Clerk")
    stage.renames(right, "r2", "of robert")


def edit_renamed(stage: Stage) -> None:
    left, right = stage.apps
    stage.edits(left, "l2", title="Senior clerk")
    stage.edits(right, "of ada.king@example.com", title="Programmer")


# 8 to 10: tags, approval


def tag(stage: Stage) -> None:
    left, right = stage.apps
    stage.edits(left, "l1", tags=["math", "vip"])
    stage.edits(right, "r1", tags=["poet"])


def untag(stage: Stage) -> None:
    stage.edits(stage.apps[1], "r1", tags=["math", "poet"])


def with_reviews() -> Stage:
    """Nothing is let through but by a person: the first plan, and each that replaces a value."""
    stage = two_books(review="changes")
    services.update_connection(stage.connection(), ANNA, {"limits": {"overwrites": 0}}, clock=stage.clock)
    stage.approves = True
    return stage


def edit_ada(stage: Stage) -> None:
    left, right = stage.apps
    stage.edits(left, "l1", title="Mathematician")
    stage.edits(right, "r1", note="Likes coffee")


def approve(stage: Stage) -> None:
    stage.approve()


# 11 to 14: erased, edited and shared while runs go on


def erase_meanwhile(stage: Stage) -> None:
    edit_each(stage)
    stage.meanwhile = ("update", erase)


def erase(stage: Stage) -> None:
    """All that the trail holds of our writes so far, the one under way included; the story keeps a copy."""
    chain = stage.connection().chain
    rows = SyncLog.objects.filter(chain__name=chain, kind__startswith="write.", payload__isnull=False)
    stage.archive |= {row.pk: str(row.payload) for row in rows}
    redact(chain, [row.seq for row in rows], Entry("redact", ANNA), stage.clock.now())


def turn_meanwhile(stage: Stage) -> None:
    disagree(stage)
    stage.meanwhile = ("reread", turn)


def turn(stage: Stage) -> None:
    services.update_connection(stage.connection(), ANNA, {"winner": "right"}, clock=stage.clock)


def cancel_meanwhile(stage: Stage) -> None:
    edit_each(stage)
    stage.meanwhile = ("reread", cancel)


def cancel(stage: Stage) -> None:
    run = SyncRun.objects.filter(connection=stage.connection(), status="running").get()
    sync_services.cancel(run, ANNA, stage.clock)


def shared() -> Stage:
    """One book in the middle of two connections."""
    middle, north, south = (MemoryApp(name) for name in ("middle", "north", "south"))
    stage = stage_of(net([middle, north, south], [(0, 1), (0, 2)]))
    stage.enters(north, "n1", given="Ada", email="ada@example.com")
    stage.enters(south, "s1", given="Ada", email="ada@example.com", title="Countess")
    stage.settle()
    return stage


def come_from_the_north(stage: Stage) -> None:
    stage.enters(stage.apps[1], "n2", given="Bob", email="bob@example.com")


def edit_in_the_south(stage: Stage) -> None:
    stage.edits(stage.apps[2], "s1", title="Mathematician")


def nothing(stage: Stage) -> None:
    """Another run."""


STORIES: dict[str, Story] = {
    "first link": Story(two_books, [meet]),
    "first link, search": Story(partial(two_books, "search"), [meet]),
    "create": Story(with_ada, [come]),
    "create, marker": Story(partial(with_ada, "marker"), [come]),
    "create, search": Story(partial(with_ada, "search"), [come]),
    "update both ways": Story(with_ada, [edit_each, edit_back]),
    "update both ways, etags": Story(partial(with_ada, etag="checked"), [edit_each]),
    "conflict": Story(with_ada, [disagree]),
    "clear": Story(with_ada, [empty]),
    "delete with no tag": Story(partial(with_ada, sync_deletions="off"), [delete, restore]),
    "delete": Story(partial(with_ada, sync_deletions="both"), [delete, restore]),
    "rename": Story(with_ada, [rename]),
    "rename of the id": Story(with_ids_of_addresses, [rename_ids, edit_renamed]),
    "tag": Story(with_ada, [tag, untag]),
    "approval": Story(with_reviews, [meet, approve, edit_ada, approve]),
    "redaction": Story(with_ada, [edit_each, erase_meanwhile]),
    "edited meanwhile": Story(with_ada, [turn_meanwhile], one_end=False),
    "cancelled meanwhile": Story(with_ada, [cancel_meanwhile, nothing]),
    "two connections": Story(shared, [come_from_the_north, edit_in_the_south, nothing]),
}
WRITING = ("reread", "create", "update")
WHOLE = "create"
LONG = ("approval", "delete", "rename of the id", "two connections")
"""In WHOLE `make test` tells of the surroundings too: leases, counts of calls, listings that fail."""
EVERY = {"sqlite": 6, "postgresql": 15}
"""Of the cases of a story `make test` tells every n-th, by database, and of WHOLE every second on SQLite; the deep test
tells them all."""


# Telling


@dataclass(frozen=True)
class Case:
    story: str
    act: int
    tick: int
    kind: Kind

    def __str__(self) -> str:
        return f"{self.story}/{self.act}/{self.tick}/{self.kind}"


def peace(story: Story, stage: Stage) -> tuple[list[list[Tick]], dict[str, list[str]]]:
    """The ticks of the run after each act, and how it ends where nothing goes wrong."""
    memory, ticks = stage.remember(), []
    with undone():
        for act in story.acts:
            act(stage)
            stage.run()
            ticks.append(stage.ticks.seen)
        stage.settle(patient=True)
        check_end(stage)
        end = picture(stage)
    stage.recall(memory)
    return ticks, end


def tell(story: Story, stage: Stage, case: Case, end: dict[str, list[str]]) -> None:
    """The rest of a story, from after the people's part of act `case.act`, with one thing going wrong in its run."""
    stage.run(case.tick, case.kind)
    assert len(stage.ticks.seen) >= case.tick, "the run is another than in peace"
    stage.steps.append(f"-- {case.kind}: {stage.ticks.seen[case.tick - 1]}")
    check_moment(stage)
    stage.settle()
    rest = story.acts[case.act + 1 :]
    for act in rest:
        act(stage)
        stage.run()
    if rest:
        stage.settle()
    check_end(stage)
    assert not story.one_end or picture(stage) == end, f"it ends otherwise than in peace: {picture(stage)}"


def cases_of(name: str, act: int, ticks: Sequence[Tick], deep: bool) -> Iterator[Case]:
    """Of a variant ("create, search") `make test` tells what comes from the first write on; of a long story every
    other commit, but every call."""
    writing = next((number for number, tick in enumerate(ticks, 1) if tick.what.split()[0] in WRITING), 1)
    first = writing - 1 if "," in name else 1
    for number, tick in enumerate(ticks, 1):
        for kind in tick.kinds:
            odd = number % 2 == 1 and name in LONG and tick.what.startswith("commit")
            if deep or (number >= first and not odd and told_always(name, tick, kind)):
                yield Case(name, act, number, kind)


def told_always(name: str, tick: Tick, kind: Kind) -> bool:
    """What `make test` tells: each death that leaves another state behind, and each failure around a write."""
    if name != WHOLE and any(one in tick.what for one in ("accountlease", "apiusage", "changes at")):
        return False
    return tick.survives if kind == Kind.AFTER else kind != Kind.BEFORE


def tell_all(name: str, deep: bool, only: str = "") -> int:
    """The cases of a story; how many they were."""
    story, failures, told = STORIES[name], [], 0
    every = 1 if deep or only else 2 if (name, database.vendor) == (WHOLE, "sqlite") else EVERY[database.vendor]
    stage = story.begin()
    ticks, end = peace(story, stage)
    for act, seen in enumerate(ticks):
        story.acts[act](stage)
        memory = stage.remember()
        for case in list(cases_of(name, act, seen, deep))[::every]:
            if only and str(case) != only:
                continue
            told += 1
            try:
                with undone():
                    tell(story, stage, case, end)
            except Exception as error:
                failures.append(
                    "\n".join([f"CRASH_AT={str(case)!r}", *stage.steps, f"{type(error).__name__}: {error}"])
                )
            stage.recall(memory)
        stage.run()
    assert not failures, f"{len(failures)} of {told} cases\n\n" + "\n\n".join(failures[:5])
    return told


ONE = os.environ.get("CRASH_AT", "")
NAMES = [ONE.split("/")[0]] if ONE else list(STORIES)


PROVEN = ("I1", "I2", "I3", "I4", "I6", "I10", "I11", "I12", "I14", "I15", "I16", "I20", "I22", "I29", "I30", "I35")


@pytest.mark.proves(*PROVEN, "E6 apply", "E7 recover")
@pytest.mark.django_db
@pytest.mark.parametrize("name", NAMES)
def test_whatever_goes_wrong_the_story_ends_as_in_peace(name: str) -> None:
    assert tell_all(name, bool(ONE), ONE) > 0


@pytest.mark.deep
@pytest.mark.django_db
@pytest.mark.parametrize("name", NAMES)
def test_every_tick_in_every_way(name: str) -> None:
    assert tell_all(name, True, ONE) > 0
