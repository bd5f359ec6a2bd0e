"""How the stand-in calls the addresses of webhooks."""

from collections.abc import Mapping
from queue import Queue
from threading import Thread
from typing import Final, Protocol
from urllib.error import URLError
from urllib.request import Request, urlopen

SECONDS: Final = 10


class Send(Protocol):
    def __call__(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer; 0 where there is none."""


def by_http(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> int:
    try:
        with urlopen(Request(url, body or None, dict(headers), method=method), timeout=SECONDS) as answer:
            status: int = answer.status
            return status
    except URLError as error:
        return int(getattr(error, "code", 0))
    except OSError:
        return 0


class Caller:
    """Calls the webhooks, one after the other, from a thread of its own: whoever changed a member does not wait."""

    def __init__(self, send: Send = by_http) -> None:
        self.send = send
        self._waiting: Queue[tuple[str, bytes, Mapping[str, str]]] = Queue()
        self._thread: Thread | None = None

    def __deepcopy__(self, memo: object) -> "Caller":
        """There is one, whatever is set back."""
        return self

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        self._waiting.put((url, body, headers))
        if self._thread is None:
            self._thread = Thread(target=self._work, daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            url, body, headers = self._waiting.get()
            self.send("POST", url, body, headers)


class AtOnce(Caller):
    """Before the change is answered, for tests."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.send("POST", url, body, headers)
