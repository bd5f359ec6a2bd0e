"""A real Radicale 3.9 on a free loopback port, with two users and a log of every request.

    with Radicale(folder) as server:
        server.url, server.requests

`python -m tests.contract.radicale FOLDER PORT` keeps one running.
"""

import base64
import logging
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from radicale import config
from radicale.app import Application

from tests.contract.servers import Served, asked

USERS: Mapping[str, str] = {"alice": "s3cret", "bob": "hunter2"}
BOOK_PROPS = '{{"tag": "VADDRESSBOOK", "D:displayname": "{name}"}}'


class Radicale(Served):
    """Its storage is below `folder`; a book of alice is the folder `collection-root/alice/<book>`."""

    def __init__(self, folder: Path, port: int = 0, token_age: int = 2_592_000) -> None:
        self.folder = folder
        users = folder / "users"
        users.write_text("".join(f"{name}:{password}\n" for name, password in USERS.items()))
        # Radicale sets its level only when it is started from its own command line.
        logging.getLogger("radicale").setLevel(logging.CRITICAL)
        super().__init__(Application(_configuration(folder, users, token_age)), port)

    def path(self, user: str, name: str = "book") -> str:
        return f"/{user}/{name}/"

    def book(self, user: str, name: str = "book", label: str = "Contacts") -> str:
        """Makes an address book (if it is not there yet); its path."""
        home = self.book_folder(user, name)
        home.mkdir(parents=True, exist_ok=True)
        (home / ".Radicale.props").write_text(BOOK_PROPS.format(name=label))
        return self.path(user, name)

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

    def remove(self, user: str, uid: str, name: str = "book") -> None:
        """The card at `<uid>.vcf` deleted, if it is there, as another program would."""
        (self.book_folder(user, name) / f"{uid}.vcf").unlink(missing_ok=True)

    def stored(self, user: str, name: str = "book") -> set[str]:
        """The names of the cards in the storage folder, without ".vcf"."""
        return {path.stem for path in self.book_folder(user, name).glob("*.vcf")}

    def forget(self, user: str, name: str = "book") -> None:
        """No token that was handed out is known any more."""
        for token in (self.book_folder(user, name) / ".Radicale.cache" / "sync-token").iterdir():
            token.unlink()

    def _ask(self, method: str, path: str, user: str, body: bytes | None) -> bytes:
        return asked(method, f"{self.url}{path}", body, {"Authorization": basic(user)})


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
