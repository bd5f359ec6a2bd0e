"""Mailchimp's own description of its Marketing API as a judge of a client and of the stand-in, and its recorded
answers."""

import json
from functools import cache
from typing import Any

from sandbox.exchange import BROKEN, Wsgi
from tests.contract.described import Description, Judged
from tests.needs import SPECS

# Faults after which the answer is no answer of the API any more.
NO_ANSWERS = frozenset({*BROKEN, "html_502", "bare_403"})


@cache
def spec() -> Any:
    return json.loads((SPECS / "mailchimp-marketing.openapi.json").read_text())


@cache
def exchanges() -> list[dict[str, Any]]:
    """Real requests with their answers, in the order in which they were made, file by file."""
    found: list[dict[str, Any]] = json.loads((SPECS / "mailchimp-recordings" / "exchanges.json").read_text())
    return found


MARKETING = Description("marketing", spec, under="/3.0/", prefix="/3.0", error="ProblemDetailDocument")


def judged(app: Wsgi) -> Judged:
    return Judged(app, MARKETING, NO_ANSWERS)
