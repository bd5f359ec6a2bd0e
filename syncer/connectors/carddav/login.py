"""Name and password in the way that the server asks for them: Digest (RFC 7616) wherever it is offered, else Basic
(RFC 7617).

Over https the first request carries Basic, so that nothing is asked twice. Over plain http nothing is sent until the
server has said what it wants: a password that travelled in the clear cannot be taken back.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.auth import AuthBase, HTTPBasicAuth

from syncer.connectors.base import Misconfigured

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# A parameter, or the scheme that the parameters after it belong to (RFC 9110 11.6.1).
PIECE = re.compile(rf'[\s,]*(?:({TOKEN})\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]*)|({TOKEN}))')
HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
REMEMBERED_AT_MOST = 1000
TRIES = 2
"""One for the challenge, and one where the nonce that it gave is out of date already."""


@dataclass(frozen=True)
class Challenge:
    """`scheme` and the names of `params` are in lower case."""

    scheme: str
    params: Mapping[str, str]

    @property
    def stale(self) -> bool:
        return self.params.get("stale", "").lower() == "true"

    @property
    def usable(self) -> bool:
        """A Digest that we can answer. The old form without qop is one; "auth-int" alone is none."""
        algorithm, qop = self._algorithm, self.params.get("qop", "")
        known = algorithm.removesuffix("-SESS") in HASHES and bool(self.params.get("nonce"))
        return known and ("auth" in re.split(r"[\s,]+", qop.lower()) or (qop == "" and algorithm in HASHES))

    @property
    def _algorithm(self) -> str:
        return self.params.get("algorithm", "MD5").upper()

    def hash(self, *parts: str) -> str:
        octets = ":".join(parts).encode()
        return HASHES[self._algorithm.removesuffix("-SESS")](octets, usedforsecurity=False).hexdigest()

    def answer(self, user: str, password: str, method: str, uri: str, count: int, cnonce: str) -> str:
        """The Authorization header (RFC 7616 3.4) for the use number `count` of the nonce."""
        realm, nonce = self.params.get("realm", ""), self.params["nonce"]
        secret = self.hash(user, realm, password)
        if self._algorithm.endswith("-SESS"):
            secret = self.hash(secret, nonce, cnonce)
        said = {"username": user, "realm": realm, "nonce": nonce, "uri": uri}
        said |= {name: self.params[name] for name in ("opaque",) if name in self.params}
        bare = {name: self.params[name] for name in ("algorithm",) if name in self.params}
        if self.params.get("qop", "") == "":
            said["response"] = self.hash(secret, nonce, self.hash(method, uri))
        else:
            bare |= {"qop": "auth", "nc": f"{count:08x}"}
            said["cnonce"] = cnonce
            said["response"] = self.hash(secret, nonce, bare["nc"], cnonce, "auth", self.hash(method, uri))
        return "Digest " + ", ".join([*(f"{n}={_quoted(v)}" for n, v in said.items()), *map("=".join, bare.items())])


def _quoted(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise Misconfigured("A setting of this account has a character that cannot be sent. Enter it again.")
    # http.client writes headers as Latin-1: this makes UTF-8 of them on the wire.
    return '"' + re.sub(r'(["\\])', r"\\\1", text).encode().decode("latin-1") + '"'


def challenges(header: str) -> list[Challenge]:
    """Those of a WWW-Authenticate header, in the server's order; what cannot be read ends the list."""
    found: list[tuple[str, dict[str, str]]] = []
    for name, value, scheme in _pieces(header):
        if scheme != "":
            found.append((scheme.lower(), {}))
        elif found:
            found[-1][1].setdefault(name.lower(), value)
    return [Challenge(scheme, params) for scheme, params in found]


def _pieces(header: str) -> Iterator[tuple[str, str, str]]:
    at = 0
    while piece := PIECE.match(header, at):
        at = piece.end()
        value = piece[2] or ""
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        yield piece[1] or "", value, piece[3] or ""


class Nonce:
    """A Digest challenge in use. `worked`: the server has taken an answer to it."""

    def __init__(self, challenge: Challenge) -> None:
        self.challenge, self.worked = challenge, False
        self._count, self._lock = 0, Lock()

    def next(self) -> int:
        with self._lock:
            self._count += 1
            return self._count


class Memory:
    """What servers asked for, by origin and user: None for Basic. Shared by all connectors of a process, so that a
    pass need not ask again; it holds no password."""

    def __init__(self) -> None:
        self._ways: dict[tuple[str, str], Nonce | None] = {}
        self._lock = Lock()

    def knows(self, origin: str, user: str) -> bool:
        return (origin, user) in self._ways

    def nonce(self, origin: str, user: str) -> Nonce | None:
        return self._ways.get((origin, user))

    def keep(self, origin: str, user: str, way: Nonce | None) -> None:
        with self._lock:
            if len(self._ways) >= REMEMBERED_AT_MOST:
                self._ways.pop(next(iter(self._ways)))
            self._ways[origin, user] = way


MEMORY = Memory()


def _random() -> str:
    return secrets.token_hex(16)


class Login(AuthBase):
    """The login of one account, for as many origins as it is led to."""

    def __init__(self, user: str, password: str, memory: Memory = MEMORY, cnonce: Callable[[], str] = _random) -> None:
        self._user, self._password, self._memory, self._cnonce = user, password, memory, cnonce
        self._basic = HTTPBasicAuth(user.encode(), password.encode())

    def undecided(self, origin: str) -> bool:
        """Whether requests to it carry no login, because it has not said yet which one it wants."""
        return urlsplit(origin).scheme == "http" and not self._memory.knows(origin, self._user)

    def unasked(self, origin: str) -> None:
        """It answered as an address book server does and did not say how to log in: Basic, as all of them take it."""
        self._memory.keep(origin, self._user, None)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        origin = _origin(request)
        nonce = self._memory.nonce(origin, self._user)
        if nonce is not None:
            self._sign(request, nonce)
        elif not self.undecided(origin):
            self._basic(request)
        request.register_hook("response", self._answered)  # type: ignore[no-untyped-call]
        return request

    def _sign(self, request: PreparedRequest, nonce: Nonce) -> None:
        request.headers["Authorization"] = nonce.challenge.answer(
            self._user, self._password, str(request.method), request.path_url, nonce.next(), self._cnonce()
        )

    def _answered(self, response: Response, **sending: Any) -> Response:
        """The answer to the request as the server wants it signed. A 401 says that it did nothing, so a write may be
        sent again. Raises Misconfigured."""
        origin = _origin(response.request)
        for _ in range(TRIES):
            nonce = self._memory.nonce(origin, self._user)
            again = self._signed_anew(response, origin, nonce) if response.status_code == 401 else None
            if again is None:
                break
            response.close()
            response = self._sent(response, again, sending)
        if nonce := self._memory.nonce(origin, self._user):
            nonce.worked = response.status_code != 401
        return response

    def _sent(self, refused: Response, again: PreparedRequest, sending: Mapping[str, Any]) -> Response:
        response: Response = refused.connection.send(again, **sending)
        response.history.append(refused)
        response.request = again
        return response

    def _signed_anew(self, refused: Response, origin: str, nonce: Nonce | None) -> PreparedRequest | None:
        """The same request with another login; None where the server will not have ours."""
        offered = challenges(refused.headers.get("WWW-Authenticate", ""))
        carried = refused.request.headers.get("Authorization", "").partition(" ")[0]
        again = refused.request.copy()
        digest = next((one for one in offered if one.scheme == "digest" and one.usable), None)
        if digest is not None:
            if carried == "Digest" and not (digest.stale or (nonce is not None and nonce.worked)):
                return None
            fresh = Nonce(digest)
            self._memory.keep(origin, self._user, fresh)
            self._sign(again, fresh)
            return again
        schemes = [one.scheme for one in offered]
        if "digest" in schemes and origin.startswith("http:"):
            raise Misconfigured(
                f"{urlsplit(origin).netloc} asks for a kind of Digest login that is not supported, and the password is "
                "not sent in the clear instead. Use an address that begins with https://."
            )
        if carried == "Basic" or (schemes and "basic" not in schemes) or (carried and not schemes):
            return None
        self.unasked(origin)
        self._basic(again)
        return again


def _origin(request: PreparedRequest) -> str:
    parts = urlsplit(str(request.url))
    return f"{parts.scheme}://{parts.netloc.lower()}"
