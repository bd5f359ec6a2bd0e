"""A Digest-speaking address book server that counts and remembers, for the tests of logging in. That it speaks Digest
as others do is shown there with a client that is not ours."""

import hashlib
import itertools
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.contract.carddav import BOOK, answer, data, listed, multistatus, vcard
from tests.contract.radicale import USERS

SECRET = USERS["alice"]
ADA = f"{BOOK}ada.vcf"
A_BOOK = "<d:resourcetype><d:collection/><c:addressbook/></d:resourcetype>"
PRINCIPAL = "<d:current-user-principal><d:href>/alice/</d:href></d:current-user-principal>"
HOME = "<c:addressbook-home-set><d:href>/alice/</d:href></c:addressbook-home-set>"
SAID = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


def books(method: str, request: str) -> bytes:
    """A server with one book that holds Ada; what it is asked with does not matter."""
    if method == "PUT":
        return answer("", "204 No Content")
    if "sync-collection" in request:
        return multistatus(listed(ADA), token="t")
    if "multiget" in request:
        return multistatus(data(ADA, vcard("ada")))
    return multistatus(listed(BOOK, A_BOOK + PRINCIPAL + HOME))


@dataclass
class Digest:
    """A server that speaks Digest as RFC 7616 has it: each nonce is good for `uses` answers, whose counts must rise.
    `more` stands beside its challenge."""

    user: str = "alice"
    password: str = SECRET
    qop: str = "auth"
    algorithm: str = "MD5"
    uses: int = 1000
    says_stale: bool = True
    more: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __call__(self, connection: socket.socket, request: bytes) -> None:
        text = request.decode("latin-1")
        method, uri, _ = text.partition("\r\n")[0].split(" ")
        found = re.search(r"(?i)\r\nauthorization: (\w+) ([^\r]*)", text)
        verdict = self._verdict(method, uri, found[2]) if found and found[1] == "Digest" else "no"
        self.log.append(f"{method} {found[1] if found else '-'} {verdict}")
        connection.sendall(books(method, text) if verdict == "yes" else self._challenge(verdict))
        connection.shutdown(socket.SHUT_RDWR)

    def _verdict(self, method: str, uri: str, header: str) -> str:
        said = {name: bare or re.sub(r"\\(.)", r"\1", quoted) for name, quoted, bare in SAID.findall(header)}
        said = {name: value.encode("latin-1").decode() for name, value in said.items()}
        if said.get("username") != self.user or said.get("uri") != uri or said["response"] != self._right(method, said):
            return "no"
        used = self.counts.get(said["nonce"], self.uses)
        count = int(said.get("nc", "0"), 16) if self.qop else used + 1
        if used >= self.uses or count <= used:
            return "stale"
        self.counts[said["nonce"]] = count
        return "yes"

    def _right(self, method: str, said: dict[str, str]) -> str:
        def h(*parts: str) -> str:
            made = hashlib.sha256 if self.algorithm.startswith("SHA-256") else hashlib.md5
            return made(":".join(parts).encode()).hexdigest()

        secret = h(self.user, "books", self.password)
        if self.algorithm.lower().endswith("-sess"):
            secret = h(secret, said["nonce"], said["cnonce"])
        middle = [said["nc"], said["cnonce"], said["qop"]] if self.qop else []
        return h(secret, said["nonce"], *middle, h(method, said["uri"]))

    def _challenge(self, verdict: str) -> bytes:
        nonce = f"nonce,{next(self.numbers)}=="
        self.counts[nonce] = 0
        parts = ['realm="books"', f'nonce="{nonce}"', 'opaque="a b"']
        parts += [f'qop="{self.qop}"'] if self.qop else []
        parts += [f"algorithm={self.algorithm}"] if self.algorithm != "MD5" else []
        parts += ["stale=TRUE"] if verdict == "stale" and self.says_stale else []
        header = f"\r\nWWW-Authenticate: Digest {', '.join(parts)}{self.more}\r\n\r\n"
        return answer("", "401 Unauthorized").replace(b"\r\n\r\n", header.encode(), 1)
