"""Against vdirsyncer, an independent sync tool: `python -m benchmarks.vdirsyncer [--contacts N] [--repeats N]`.

Two Radicale books, the same lifelike contacts, fresh copies for each tool: the first sync of all contacts into an empty
book, a pass with nothing to do, and one with ten changed contacts; beside them the bare PUTs of the same cards. The
tools take turns in each round. docs/performance.md says what is counted how.
"""

import argparse
import json
import os
import platform
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import requests

from benchmarks.books import Books, fresh, people, template
from benchmarks.tools import BarePuts, Counterpart, Spent, Tool, Vdirsyncer

CHANGED = 10
QUIET_PASSES = 5
CHANGE_PASSES = 3
START_UPS = 5
JSON_FILE = Path("var/benchmarks/vdirsyncer.json")


@dataclass(frozen=True)
class Measure:
    tool: str
    step: str
    round: int
    spent: Spent
    server: dict[str, Any]

    def told(self) -> dict[str, Any]:
        spent = {"seconds": self.spent.seconds, "cpu": self.spent.cpu, **self.spent.more}
        return {"tool": self.tool, "step": self.step, "round": self.round, **spent, "server": self.server}


@dataclass(frozen=True)
class Goal:
    """`most` is how many times the other's time ours may take."""

    name: str
    step: str
    other: str
    most: float
    less_start_up: bool


GOALS = (
    Goal("first sync, against vdirsyncer", "initial", "vdirsyncer", 1.15, False),
    Goal("first sync, against the bare PUTs", "initial", "bare PUTs", 1.2, False),
    Goal("quiet pass, against vdirsyncer", "quiet", "vdirsyncer", 1.0, True),
    Goal(f"{CHANGED} changed contacts, against vdirsyncer", "changed", "vdirsyncer", 1.0, True),
)


def measured(server: Books, tool: Tool, step: str, number: int) -> Measure:
    server.asked()
    cpu = server.cpu()
    spent = tool.sync()
    asked = server.asked()
    told = {"cpu": server.cpu() - cpu, "calls": dict(asked.methods), "seconds": asked.seconds}
    return Measure(tool.name, step, number, spent, told)


def story(server: Books, tool: Tool, number: int) -> Iterator[Measure]:
    """The first sync, the pass after it, quiet passes, passes with changes and the passes after them. Raises
    AssertionError where a tool did not do what it was asked for: such a time is worth nothing."""
    yield measured(server, tool, "initial", number)
    assert server.stored("bob").keys() == server.stored("alice").keys()
    if isinstance(tool, BarePuts):
        return
    yield measured(server, tool, "after initial", number)
    for _ in range(QUIET_PASSES):
        quiet = measured(server, tool, "quiet", number)
        assert "PUT" not in quiet.server["calls"]
        yield quiet
    for turn in range(CHANGE_PASSES):
        names = change(server, turn)
        yield measured(server, tool, "changed", number)
        bobs = server.stored("bob")
        assert all(nickname(turn) in bobs[name] for name in names)
        yield measured(server, tool, "after changed", number)


def nickname(turn: int) -> bytes:
    return b"NICKNAME:Turn %d" % turn


def change(server: Books, turn: int) -> list[str]:
    """Another program edits alice's next ten cards; their names."""
    cards = sorted(server.stored("alice").items())
    chosen = [cards[(turn * CHANGED + index) % len(cards)] for index in range(CHANGED)]
    with requests.Session() as session:
        for name, octets in chosen:
            server.put(session, "alice", name, octets.replace(b"END:VCARD", nickname(turn) + b"\r\nEND:VCARD"))
    return [name for name, _ in chosen]


def rounds(contacts: int, repeats: int, say: Callable[[str], None]) -> tuple[list[Measure], list[float]]:
    """All measures, and what vdirsyncer needs to start."""
    kinds = (Counterpart, Vdirsyncer, BarePuts)
    measures: list[Measure] = []
    start_ups: list[float] = []
    with tempfile.TemporaryDirectory(prefix="counterpart-bench-") as directory:
        place = Path(directory)
        template(place / "template", people(contacts))
        for number in range(repeats):
            for index in range(len(kinds)):
                kind = kinds[(number + index) % len(kinds)]
                folder = place / f"{kind.__name__}-{number}"
                folder.mkdir()
                with fresh(place / "template", place / "served") as server:
                    tool = kind(server, folder)
                    for measure in story(server, tool, number):
                        say(line_of(measure))
                        measures.append(measure)
                    if isinstance(tool, Vdirsyncer):
                        start_ups += [tool.start_up().seconds for _ in range(START_UPS)]
                    tool.stop()
    return measures, start_ups


def line_of(measure: Measure) -> str:
    calls = ", ".join(f"{count} {method}" for method, count in sorted(measure.server["calls"].items()))
    spent, server = measure.spent, measure.server
    return (
        f"{measure.round + 1:>3} {measure.tool:<12}{measure.step:<14}{spent.seconds:9.2f} s  "
        f"cpu: ours {spent.cpu:6.2f} s, server {server['cpu']:6.2f} s   {calls}"
    )


def by_step(measures: Sequence[Measure]) -> dict[tuple[str, str], list[Spent]]:
    found: dict[tuple[str, str], list[Spent]] = defaultdict(list)
    for measure in measures:
        found[measure.tool, measure.step].append(measure.spent)
    return found


def middle(spent: Sequence[Spent]) -> dict[str, float]:
    seconds = [one.seconds for one in spent]
    return {
        "seconds": median(seconds),
        "cpu": median(one.cpu for one in spent),
        "times": len(seconds),
        "least": min(seconds),
        "most": max(seconds),
    }


def judged(measures: Sequence[Measure], start_up: float) -> list[dict[str, Any]]:
    """Each goal with the median times and their ratio."""
    spent = {key: middle(found)["seconds"] for key, found in by_step(measures).items()}
    results = []
    for goal in GOALS:
        ours = spent[Counterpart.name, goal.step]
        other = spent[goal.other, goal.step] - (start_up if goal.less_start_up else 0)
        ratio = ours / other
        results.append(
            {
                "goal": goal.name,
                "most": goal.most,
                "ours": ours,
                "other": other,
                "ratio": ratio,
                "met": ratio <= goal.most,
            }
        )
    return results


def machine() -> dict[str, Any]:
    packages = ("Django", "requests", "urllib3", "Radicale", "vdirsyncer", "aiohttp")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in packages},
    }


def show(report: dict[str, Any]) -> None:
    print("\n" + ", ".join(f"{name} {value}" for name, value in report["machine"].items()))
    load = [f"{one:.1f}" for one in (report["load_before"], report["load_after"])]
    print(f"Load of the machine {load[0]} before, {load[1]} after; vdirsyncer starts in {report['start_up']:.2f} s.\n")
    for name, found in report["medians"].items():
        spread = f"{found['times']} times, {found['least']:.2f} to {found['most']:.2f}"
        print(f"{name:<28}{found['seconds']:9.2f} s   cpu {found['cpu']:6.2f} s   ({spread})")
    print()
    for goal in report["goals"]:
        verdict = "met" if goal["met"] else "MISSED"
        times = f"{goal['ours']:8.2f} s against {goal['other']:8.2f} s"
        print(f"{goal['goal']:<44}{times}: {goal['ratio']:5.2f} (at most {goal['most']:.2f}) {verdict}")


def report_of(contacts: int, measures: Sequence[Measure], start_ups: Sequence[float], load: float) -> dict[str, Any]:
    start_up = median(start_ups)
    medians = {f"{tool}, {step}": middle(spent) for (tool, step), spent in by_step(measures).items()}
    return {
        "machine": machine(),
        "load_before": load,
        "load_after": os.getloadavg()[0],
        "contacts": contacts,
        "start_up": start_up,
        "medians": medians,
        "goals": judged(measures, start_up),
        "measures": [measure.told() for measure in measures],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="First sync, quiet pass and ten changes, against vdirsyncer.")
    parser.add_argument("--contacts", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, default=JSON_FILE, help="where all measures are written")
    chosen = parser.parse_args()
    load = os.getloadavg()[0]
    measures, start_ups = rounds(chosen.contacts, chosen.repeats, lambda text: print(text, flush=True))
    report = report_of(chosen.contacts, measures, start_ups, load)
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(report, indent=1) + "\n")
    show(report)


if __name__ == "__main__":
    main()
