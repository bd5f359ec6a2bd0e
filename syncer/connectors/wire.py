"""Connections of one `Http`: they go to checked addresses only, and no step of a request outlives its deadline.

These are urllib3's own connections and pools with two things replaced: how the socket is opened (so the name for SNI,
for the certificate and for the Host header stays the one that was asked for), and how it is read.
"""

import http.client
import io
import logging
import random
import socket
import ssl
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import SSLError
from urllib3.util.ssl_match_hostname import CertificateError

from syncer.connectors.addresses import Resolve, addresses_of, system_resolve
from syncer.connectors.base import Meter, Misconfigured, Transient

CONNECT_SECONDS = 5.0
MAX_BODY = 64 * 1024 * 1024
CHUNK = 64 * 1024

# urllib3 warns with whole addresses, query strings included: on a repeat, and whenever a server sends odd headers.
for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).setLevel(logging.ERROR)


@dataclass(frozen=True)
class World:
    """The network, time and chance. `connect` takes an address and a time-out; all times are in seconds; `random` is
    in [0, 1)."""

    resolve: Resolve = system_resolve
    connect: Callable[[tuple[str, int], float], socket.socket] = socket.create_connection
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random


@dataclass
class Exchange:
    """One request with all its repeats and redirects. `sent`: something of it may have reached the app."""

    ends: float
    clock: Callable[[], float]
    sent: bool = False

    def left(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.ends - self.clock())

    def timeout(self, at_most: float | None = None) -> float:
        """The time-out of the next step, in seconds; raises TimeoutError when there is none left."""
        left = self.left()
        if left <= 0:
            raise TimeoutError
        return left if at_most is None else min(left, at_most)


# urllib3 gives no way to hand something of ours down to the connection of one request.
current: ContextVar[Exchange] = ContextVar("current")


@dataclass(frozen=True)
class Door:
    """Opens sockets, to checked addresses only."""

    world: World
    allow_private: bool

    def open(self, host: str, port: int) -> socket.socket:
        """A connected socket. Raises Misconfigured and Transient: nothing was sent."""
        host = host.strip("[]")
        slow = False
        for address in addresses_of(host, self.world.resolve, self.allow_private):
            try:
                sock = self.world.connect((address, port), current.get().timeout(CONNECT_SECONDS))
            except TimeoutError:
                slow = True
            except OSError:
                continue
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
        raise no_connection(host, "it does not answer" if slow else "it takes no connections")


def no_connection(host: str, why: str) -> Transient:
    return Transient(f"Could not connect to {host}: {why}. Check that it is running; it is tried again later.")


class _TimedReader(io.RawIOBase):
    """The answer's bytes; each wait for more is cut at the deadline, so that a server that drips cannot hold us."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, exchange: Exchange) -> None:
        self._sock, self._raw, self._exchange = sock, raw, exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._exchange.timeout())
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp: io.BufferedReader = io.BufferedReader(_TimedReader(sock, self.fp.detach(), current.get()))


class _Connection(HTTPConnection):
    response_class = _TimedResponse

    def __init__(self, *args: Any, door: Door, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._door = door

    def _new_conn(self) -> socket.socket:
        return self._door.open(self._dns_host, self.port)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        exchange = current.get()
        self.sock.settimeout(exchange.timeout())
        exchange.sent = True
        super().send(data)


class _SecureConnection(_Connection, HTTPSConnection):
    def connect(self) -> None:
        """As urllib3 does it; what goes wrong up to here has sent nothing (Misconfigured, Transient)."""
        try:
            super().connect()
        except (ssl.SSLCertVerificationError, CertificateError):
            raise Misconfigured(
                f"{self.host} could not prove who it is: its TLS certificate is out of date, self-signed or made for "
                "another name. Check the address, or have the certificate put right."
            ) from None
        except TimeoutError:
            raise no_connection(self.host, "it does not answer") from None
        except (ssl.SSLError, SSLError):
            raise no_connection(self.host, "no secure (TLS) connection could be made") from None
        except OSError:
            raise no_connection(self.host, "it broke the connection off") from None


class Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class TooLarge(Exception):
    """The answer is larger than MAX_BODY."""


class Adapter(HTTPAdapter):
    """Takes each single request from the meter, also the second one of a digest login, and reads its answer."""

    def __init__(self, door: Door, meter: Meter | None) -> None:
        self._door, self._meter = door, meter
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": partial(Pool, door=self._door),
            "https": partial(SecurePool, door=self._door),
        }

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        if self._meter is not None:
            self._meter.take()
        response = super().send(request, *args, **kwargs)
        try:
            response._content = _body(response.raw)
        except BaseException:
            response.raw.close()
            raise
        return response


def _body(raw: Any) -> bytes:
    """The whole decoded body; raises TooLarge, and what urllib3 raises where the connection breaks."""
    body = bytearray()
    for chunk in raw.stream(CHUNK, decode_content=True):
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLarge
    return bytes(body)
