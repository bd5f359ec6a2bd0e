"""What every log line of a piece of work says: who works, on which connection, in which run.

Kept in context variables, which whatever writes the lines reads (structlog.contextvars.merge_contextvars).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from structlog.contextvars import bind_contextvars, bound_contextvars


@contextmanager
def working(worker: str) -> Iterator[None]:
    """For one task of a worker, which is then on nothing yet; at its end all is as it was before."""
    with bound_contextvars(worker=worker, connection="", run=""):
        yield


def on(**codes: object) -> None:
    """From here on it is about this connection or run. It stays after an error: the line that tells of it comes later,
    from whoever catches it."""
    bind_contextvars(**{name: str(code) for name, code in codes.items()})
