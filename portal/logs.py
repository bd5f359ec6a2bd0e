"""How a log line looks: plain text, or one JSON object (LOG_FORMAT=json). No line can be forged by what stands in it.

Who logs does so by Python's own `logging`; structlog only gathers, redacts and writes. Which request, connection and
run a line is about comes from context variables (portal/access.py, syncer/context.py).
"""

import json
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from logging import LogRecord
from typing import Any

from structlog.contextvars import merge_contextvars
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict, Processor

from portal import redact

FORMATS = ("plain", "json")
ACCESS = ("method", "path", "status", "milliseconds")
CONTEXT = ("request", "worker", "connection", "run")
MOST_CAUSES = 5
MOST_FRAMES = 40


def config(form: str, level: str) -> dict[str, Any]:
    """For Django's LOGGING."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": ProcessorFormatter, "processors": processors(form)}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            # What they would print by handlers of their own goes the way of everything else.
            "django": {"handlers": [], "propagate": True},
            "gunicorn.error": {"handlers": [], "propagate": True},
            # The line of each request says its status; a 500 has its traceback too.
            "django.request": {"level": "ERROR"},
            # urllib3's lines hold whole addresses, and with them secrets of other libraries' making. Its own loggers
            # are named: to set logging up again undoes what syncer/connectors/wire.py says of those that are not.
            "urllib3": {"level": "WARNING"},
            "urllib3.connection": {"level": "ERROR"},
            "urllib3.connectionpool": {"level": "ERROR"},
            "django-q": {"level": "WARNING"},
            # Each log-in would be several lines; the history tells of it.
            "axes": {"level": "WARNING"},
        },
    }


def processors(form: str) -> list[Processor]:
    line = json_line if form == "json" else plain_line
    return [merge_contextvars, ExtraAdder(ACCESS), described, own_words, told_error, without_secrets, line]


def described(logger: Any, method: str, event: EventDict) -> EventDict:
    record: LogRecord = event["_record"]
    event["at"] = datetime.fromtimestamp(record.created, UTC)
    event["level"], event["logger"] = record.levelname, record.name
    return event


def own_words(logger: Any, method: str, event: EventDict) -> EventDict:
    """Two of others' lines hold more than they should: Django's have the path as it was asked for, and django-q's have
    the whole traceback of a task, which we have told already."""
    request = getattr(event["_record"], "request", None)
    asked = getattr(request, "path", "")
    if asked:
        event["event"] = event["event"].replace(asked, redact.path(asked))
    if event["logger"] == "django-q" and "Traceback" in event["event"]:
        event["event"] = event["event"].partition(" - ")[0]
    return event


def told_error(logger: Any, method: str, event: EventDict) -> EventDict:
    found = event.pop("exc_info", None)
    event.pop("stack_info", None)
    if found and found[1] is not None:
        event["exception"] = "\n".join(lines_of(found[1]))
    return event


def lines_of(error: BaseException) -> Iterator[str]:
    """Where it broke, the first cause first; texts only as `redact.words_of` gives them."""
    causes = [error]
    while (cause := before(causes[-1])) is not None and cause not in causes and len(causes) < MOST_CAUSES:
        causes.append(cause)
    for one in reversed(causes):
        for frame in traceback.extract_tb(one.__traceback__)[-MOST_FRAMES:]:
            yield f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}"
        words = redact.words_of(one)
        yield f"{type(one).__module__}.{type(one).__qualname__}" + (f": {words}" if words else "")


def before(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def without_secrets(logger: Any, method: str, event: EventDict) -> EventDict:
    del event["_record"], event["_from_structlog"]
    return {
        name: redact.redacted(value) if isinstance(value, str) else value
        for name, value in event.items()
        if value not in ("", None)
    }


def json_line(logger: Any, method: str, event: EventDict) -> str:
    """Line breaks, and all that is not ASCII, are escaped by JSON itself."""
    first = {
        "at": event.pop("at").isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": event.pop("level").lower(),
        "logger": event.pop("logger"),
        "event": event.pop("event", ""),
    }
    return json.dumps({**first, **event}, default=str)


def plain_line(logger: Any, method: str, event: EventDict) -> str:
    """As ever, with what it is about in brackets; a traceback's lines are indented, so that none looks like a line of
    its own."""
    at = f"{event['at']:%Y-%m-%d %H:%M:%S},{event['at'].microsecond // 1000:03d}"
    about = " ".join(f"{name}={event[name]}" for name in CONTEXT if name in event)
    head = f"{at} {event['level']} {event['logger']}: {escaped(event.get('event', ''))}"
    error = [f"    {escaped(line)}" for line in event.get("exception", "").split("\n") if line]
    return "\n".join([f"{head} [{escaped(about)}]" if about else head, *error])


def escaped(text: str) -> str:
    """Printable: no line breaks of any kind, no escape sequences for a terminal, nothing that turns text around."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
