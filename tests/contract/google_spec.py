"""The description of the People API as a judge of a client and of the stand-in, and Google's recorded answers."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from sandbox.exchange import BROKEN, Wsgi
from tests.contract.described import Description, Judged
from tests.needs import SPECS

RECORDINGS = SPECS / "google-recordings"
# Faults after which the answer is no answer of the API any more.
NO_ANSWERS = frozenset({*BROKEN, "html_502", "bare_403"})


@cache
def spec() -> Any:
    return json.loads((SPECS / "people.v1.openapi.json").read_text())


PEOPLE = Description("people", spec, under="/v1/", prefix="", error="_Error")
faults = PEOPLE.faults


def recording(name: str) -> Any:
    return json.loads((RECORDINGS / f"{name}.json").read_text())


def judged(app: Wsgi) -> Judged:
    return Judged(app, PEOPLE, NO_ANSWERS)


def differences(recorded: Any, ours: Any, at: str = "$") -> Iterator[str]:
    """Where the shapes of two values part."""
    match recorded, ours:
        case dict(), dict():
            for name in sorted({*recorded, *ours}):
                if name not in recorded or name not in ours:
                    yield f"{at}.{name} is only in {'the recording' if name in recorded else 'ours'}"
                else:
                    yield from differences(recorded[name], ours[name], f"{at}.{name}")
        case list(), list():
            if len(recorded) != len(ours):
                yield f"{at} has {len(recorded)} items in the recording and {len(ours)} in ours"
            for place, (one, other) in enumerate(zip(recorded, ours, strict=False)):
                yield from differences(one, other, f"{at}[{place}]")
        case _ if type(recorded) is not type(ours):
            yield f"{at}: {type(recorded).__name__} in the recording, {type(ours).__name__} in ours"
