"""What the stand-ins have in common: requests as their logs keep them, answers, and what breaks on the way."""

import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar, Final

HUGE: Final = 65 * 2**20  # bytes of an answer once unpacked
Start = Callable[[str, list[tuple[str, str]]], object]
Wsgi = Callable[[dict[str, Any], Start], Iterable[bytes]]


@dataclass(frozen=True)
class Answer:
    """`cut`: only half of the body is sent. `more`: further headers."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    cut: bool = False
    more: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Seen:
    """One request, as the access log keeps it. `headers` has lower-case names."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int

    def json(self) -> Any:
        return json.loads(self.body)


class Dropped(Exception):
    """The server closes the connection without an answer."""


class Silent(Exception):
    """The server keeps the connection and says nothing, until the client gives up."""


class Reset(Exception):
    """The connection breaks off in the middle of the answer, with a reset."""


@dataclass
class Fault:
    """The next `times` requests with this method and this text in their path go wrong, after `skip` have gone well."""

    kinds: ClassVar[frozenset[str]] = frozenset()

    kind: str
    method: str = ""
    path: str = ""
    times: int = 1
    skip: int = 0

    def __post_init__(self) -> None:
        if self.kind not in self.kinds:
            raise ValueError(f"kind is one of {', '.join(sorted(self.kinds))}")

    def strikes(self, method: str, path: str) -> bool:
        """Is it this request's turn? Counts it."""
        if self.times <= 0 or self.method not in ("", method) or self.path not in path:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


def raiser(error: type[Exception]) -> Callable[[Answer], Answer]:
    def strike(answer: Answer) -> Answer:
        raise error

    return strike


@cache
def bomb() -> bytes:
    return gzip.compress(b" " * HUGE, compresslevel=1)


def halved(answer: Answer) -> Answer:
    """JSON that ends in the middle, although the length is right."""
    return replace(answer, body=answer.body[: len(answer.body) // 2])


# What breaks on the way back, whoever answers.
BROKEN: Final[Mapping[str, Callable[[Answer], Answer]]] = {
    "drop_after": raiser(Dropped),
    "silent_after": raiser(Silent),
    "reset_after": raiser(Reset),
    "cut_body": lambda answer: replace(answer, cut=True),
    "cut_json": halved,
    "empty_body": lambda answer: Answer(200, b""),
    "huge": lambda answer: replace(answer, body=bomb(), more=(("Content-Encoding", "gzip"),)),
    "wrong_type": lambda answer: replace(answer, content_type="text/html"),
}
