"""A real Xandikos 0.4 on a free loopback port: its books are git repositories, its tokens are commits.

Its login is left to what stands in front of it (REMOTE_USER): here Basic, and everyone to their own folder.

    with Xandikos(folder) as server:
        server.book("alice")
"""

import base64
import io
import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from dulwich.repo import Repo
from xandikos.multi_user import MultiUserFilesystemBackend, MultiUserXandikosApp
from xandikos.store import STORE_TYPE_ADDRESSBOOK
from xandikos.wsgi_helpers import WellknownRedirector

from tests.contract.radicale import USERS, basic
from tests.contract.servers import Served, asked


class Xandikos(Served):
    """A book of alice is at `/alice/contacts/<book>/`."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        logging.getLogger("xandikos").setLevel(logging.CRITICAL)
        backend: Any = MultiUserFilesystemBackend
        self._backend = backend(str(folder))
        for user in USERS:
            self._backend.create_principal(f"/{user}/")
        self._turn = threading.Lock()
        self._inner = WellknownRedirector(MultiUserXandikosApp(self._backend, "/%(REMOTE_USER)s/"), "/")
        super().__init__(self._with_login, port)

    def path(self, user: str, name: str = "book") -> str:
        return f"/{user}/contacts/{name}/"

    def book(self, user: str, name: str = "book", label: str = "Contacts") -> str:
        made = self._backend.create_collection(self.path(user, name))
        made.store.set_type(STORE_TYPE_ADDRESSBOOK)
        made.store.set_displayname(label)
        return self.path(user, name)

    def fill(self, user: str, cards: Iterable[str], name: str = "book") -> None:
        """These cards added in one commit of git, at `<UID>.vcf`."""
        home = self.folder / self.path(user, name)[1:]
        with closing(Repo(str(home))) as repo:
            tree, names = repo.get_worktree(), []
            for card in cards:
                names.append(card.partition("UID:")[2].partition("\r\n")[0] + ".vcf")
                (home / names[-1]).write_bytes(card.encode())
            tree.stage(names)
            tree.commit(message=b"Filled")

    def place(self, user: str, uid: str, card: str, name: str = "book") -> None:
        self._ask("PUT", user, uid, name, card.encode())

    def remove(self, user: str, uid: str, name: str = "book") -> None:
        if uid in self.stored(user, name):
            self._ask("DELETE", user, uid, name)

    def read(self, user: str, uid: str, name: str = "book") -> str:
        return self._ask("GET", user, uid, name).decode()

    def stored(self, user: str, name: str = "book") -> set[str]:
        return {path.stem for path in (self.folder / self.path(user, name)[1:]).glob("*.vcf")}

    def forget(self, user: str, name: str = "book") -> None:
        """Old trees swept out of the repository: tokens that named them are known no more."""
        with closing(Repo(str(self.folder / self.path(user, name)[1:]))) as repo:
            now = repo.get_object(repo.head()).as_raw_string().split()[1]  # "tree <sha>" begins a commit
            for file in Path(repo.controldir(), "objects").glob("??/*"):
                sha = (file.parent.name + file.name).encode()
                if sha != now and repo[sha].type_name == b"tree":
                    file.unlink()

    def _ask(self, method: str, user: str, uid: str, name: str, body: bytes | None = None) -> bytes:
        url = f"{self.url}{self.path(user, name)[1:]}{uid}.vcf"
        return asked(method, url, body, {"Authorization": basic(user)})

    def _with_login(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        user = _user(environ.get("HTTP_AUTHORIZATION", ""))
        if user is None:
            start_response("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="Xandikos"')])
            return [b""]
        folder = environ["PATH_INFO"].split("/")[1]
        if folder in USERS and folder != user:
            start_response("403 Forbidden", [])
            return [b""]
        environ["REMOTE_USER"] = user
        # Xandikos reads to the end of its input; wsgiref's has none before the connection is closed.
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        with self._turn:
            return list(self._inner(environ, start_response))


def _user(header: str) -> str | None:
    known = {base64.b64encode(f"{user}:{password}".encode()).decode(): user for user, password in USERS.items()}
    return known.get(header.removeprefix("Basic "))
