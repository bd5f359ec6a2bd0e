"""A real CardDAV server for the demo: Radicale, as a program of its own, with one user and one address book."""

import base64
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

BOOK = "contacts"
# Each option on a line of its own; without [auth] Radicale 3.9 lets nobody in.
CONFIGURATION = """\
[server]
hosts = 127.0.0.1:{port}
max_connections = 50
[auth]
type = htpasswd
htpasswd_filename = {users}
htpasswd_encryption = plain
delay = 0.1
[rights]
type = owner_only
[storage]
filesystem_folder = {folder}
[logging]
level = warning
[web]
type = none
"""
NAMED = (
    '<?xml version="1.0"?><propertyupdate xmlns="DAV:"><set><prop><displayname>{name}</displayname></prop></set>'
    "</propertyupdate>"
)


@dataclass(frozen=True)
class CardDavServer:
    """All of it is in `folder`, which is made by `command`."""

    folder: Path
    port: int
    user: str
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def book(self) -> str:
        """The path of the address book."""
        return f"/{self.user}/{BOOK}/"

    def at(self, path: str) -> str:
        """The whole address of a path on this server."""
        return self.url.rstrip("/") + path

    def command(self) -> list[str]:
        """Writes the configuration; what is to be run."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        users, configuration = self.folder / "users", self.folder / "radicale.conf"
        users.write_text(f"{self.user}:{self.password}\n")
        users.chmod(0o600)
        configuration.write_text(CONFIGURATION.format(port=self.port, users=users, folder=self.folder))
        return [sys.executable, "-m", "radicale", "--config", str(configuration)]

    def answers(self) -> bool:
        """Whether it is up and knows the user."""
        try:
            self.ask("PROPFIND", f"/{self.user}/", headers={"Depth": "0"})
        except (URLError, OSError):
            return False
        return True

    def fill(self, cards: str, name: str) -> None:
        """The whole address book anew, in one request (a PUT for each card takes time that grows with the book). A
        card's address is its UID with .vcf."""
        self.ask("PUT", self.book, cards.encode(), {"Content-Type": "text/vcard; charset=utf-8"})
        self.ask("PROPPATCH", self.book, NAMED.format(name=name).encode(), {"Content-Type": "application/xml"})

    def place(self, name: str, text: str) -> None:
        """A file put into the address book behind the server's back."""
        (self.folder / "collection-root" / self.user / BOOK / f"{name}.vcf").write_text(text, newline="")

    def read(self, uid: str) -> str:
        return self.ask("GET", f"{self.book}{uid}.vcf").decode()

    def write(self, uid: str, card: str) -> None:
        headers = {"Content-Type": "text/vcard; charset=utf-8"}
        self.ask("PUT", f"{self.book}{uid}.vcf", card.encode(), headers)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> bytes:
        """Raises HTTPError, URLError, OSError."""
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        given = {"Authorization": f"Basic {login}", **(headers or {})}
        with urlopen(Request(self.at(path), body, given, method=method), timeout=120) as reply:
            answer: bytes = reply.read()
        return answer
