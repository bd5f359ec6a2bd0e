"""A real Radicale 3.9 on a free loopback port, with two users and a log of every request.

    with Radicale(folder) as server:
        server.url, server.requests

`python -m tests.contract.radicale FOLDER PORT` keeps one running.
"""

import base64
import logging
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from radicale import config
from radicale.app import Application

USERS: Mapping[str, str] = {"alice": "s3cret", "bob": "hunter2"}
BOOK_PROPS = '{{"tag": "VADDRESSBOOK", "D:displayname": "{name}"}}'


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    status: int


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class Radicale:
    """Its storage is below `folder`; a book of alice is the folder `collection-root/alice/<book>`."""

    def __init__(self, folder: Path, port: int = 0, token_age: int = 2_592_000) -> None:
        self.folder = folder
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        users = folder / "users"
        users.write_text("".join(f"{name}:{password}\n" for name, password in USERS.items()))
        # Radicale sets its level only when it is started from its own command line.
        logging.getLogger("radicale").setLevel(logging.CRITICAL)
        self._application = Application(_configuration(folder, users, token_age))
        self._server = make_server("127.0.0.1", port, self._logged, server_class=_Server, handler_class=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def book(self, user: str, name: str = "book", label: str = "Contacts") -> str:
        """Makes an address book (if it is not there yet); its path."""
        home = self.book_folder(user, name)
        home.mkdir(parents=True, exist_ok=True)
        (home / ".Radicale.props").write_text(BOOK_PROPS.format(name=label))
        return f"/{user}/{name}/"

    def book_folder(self, user: str, name: str = "book") -> Path:
        return self.folder / "collection-root" / user / name

    def fill(self, user: str, cards: Iterable[str], name: str = "book") -> None:
        """The whole book anew, in one request (one PUT a card costs time that grows with the book). Addresses become
        `<UID>.vcf`; the tokens of earlier listings are forgotten."""
        props = self.book_folder(user, name) / ".Radicale.props"
        label = props.read_bytes()
        self._ask("PUT", f"{user}/{name}/", user, "".join(cards).encode())
        props.write_bytes(label)

    def place(self, user: str, uid: str, card: str, name: str = "book") -> None:
        """A card put into the storage folder, as another program would; at `<uid>.vcf`."""
        (self.book_folder(user, name) / f"{uid}.vcf").write_bytes(card.encode())

    def read(self, user: str, uid: str, name: str = "book") -> str:
        """The card at `<uid>.vcf` as the server gives it."""
        return self._ask("GET", f"{user}/{name}/{uid}.vcf", user, None).decode()

    def _ask(self, method: str, path: str, user: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(f"{self.url}{path}", body, method=method)
        request.add_header("Content-Type", "text/vcard; charset=utf-8")
        request.add_header("Authorization", basic(user))
        with urllib.request.urlopen(request, timeout=60) as reply:
            answer: bytes = reply.read()
        return answer

    def calls(self) -> list[str]:
        """The methods asked for since the last look, in order."""
        with self._lock:
            methods = [request.method for request in self.requests]
            self.requests.clear()
        return methods

    def __enter__(self) -> "Radicale":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _logged(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            request = Request(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""), int(status.split()[0]))
            with self._lock:
                self.requests.append(request)
            return start_response(status, headers, *rest)

        answer: Iterable[bytes] = self._application(environ, start)
        return answer


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{USERS[user]}".encode()).decode()


def _configuration(folder: Path, users: Path, token_age: int) -> config.Configuration:
    chosen = config.load()
    chosen.update(
        {
            "auth": {
                "type": "htpasswd",
                "htpasswd_filename": str(users),
                "htpasswd_encryption": "plain",
                "delay": "0.01",
            },
            "rights": {"type": "owner_only"},
            "storage": {
                "filesystem_folder": str(folder),
                "max_sync_token_age": str(token_age),
                "_filesystem_fsync": "False",
            },
            "server": {"delay_on_error": "0"},
            "logging": {"level": "critical"},
            "web": {"type": "none"},
        },
        "tests",
        privileged=True,
    )
    return chosen


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with Radicale(folder, port) as server:
        for user in USERS:
            server.book(user)
        print(f"Radicale answers at {server.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
