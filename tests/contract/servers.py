"""For the HTTP tests: local servers that answer byte by byte or run an application and keep a log, TLS with an
authority of our own, time that flies."""

import datetime
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from syncer.connectors.http import Http
from syncer.connectors.wire import World


@dataclass
class RawServer:
    """What a server saw: each request's head and body as bytes, and how many connections were made."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    names: list[str | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Serve = Callable[[socket.socket, bytes], None]


@contextmanager
def raw_server(serve: Serve, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Calls `serve(connection, request)` for each request, on one connection until it closes it."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = RawServer(listener.getsockname()[1])
    if tls is not None:
        tls.sni_callback = lambda sock, name, context: server.names.append(name)
    threading.Thread(target=_accept, args=(listener, server, serve, tls), daemon=True).start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener: socket.socket, server: RawServer, serve: Serve, tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        server.connections += 1
        threading.Thread(target=_talk, args=(connection, server, serve, tls), daemon=True).start()


def _talk(connection: socket.socket, server: RawServer, serve: Serve, tls: ssl.SSLContext | None) -> None:
    try:
        talk = tls.wrap_socket(connection, server_side=True) if tls else connection
        with talk:
            while request := _request(talk):
                server.requests.append(request)
                serve(talk, request)
    except OSError:
        connection.close()


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while lengths and len(body) < lengths[0]:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(body: bytes, *headers: str, status: str = "200 OK") -> Serve:
    """A well-behaved HTTP/1.1 server with keep-alive."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    return lambda connection, request: connection.sendall(answer)


def closing(answer: bytes) -> Serve:
    """Sends these bytes and closes the connection."""

    def serve(connection: socket.socket, request: bytes) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)

    return serve


def dripping(start: bytes, drop: bytes = b"x", every: float = 0.02) -> Serve:
    """Sends a byte now and then, without end: each wait is short, the whole is not."""

    def serve(connection: socket.socket, request: bytes) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(drop)
            time.sleep(every)

    return serve


@dataclass(frozen=True)
class Authority:
    """A certificate authority that nobody else trusts."""

    file: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, folder: Path) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        certificate = _builder(name, name, key.public_key()).add_extension(constraints, critical=True)
        signed = certificate.sign(key, hashes.SHA256())
        file = folder / "authority.pem"
        file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return cls(file, key, signed)

    def server(self, host: str) -> ssl.SSLContext:
        """What a server needs to be `host`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        builder = _builder(name, self.certificate.subject, key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        file = self.file.with_name(f"{host}.pem")
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write_bytes(private + builder.sign(self.key, hashes.SHA256()).public_bytes(pem))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


@dataclass
class Pauses:
    """A world where sleeping takes no time and chance is always in the middle."""

    slept: list[float] = field(default_factory=list)

    def world(self) -> World:
        return World(sleep=self.slept.append, random=lambda: 0.5)


def quick(deadline: float = 0.3) -> Http:
    return Http(allow_private=True, deadline=deadline, world=Pauses().world())


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    status: int


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class Served:
    """A WSGI application on a loopback port (0: a free one), with a log of every request but those of `asked`."""

    def __init__(self, application: Callable[..., Iterable[bytes]], port: int = 0) -> None:
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._application = application
        self._server = make_server("127.0.0.1", port, self._logged, server_class=_Server, handler_class=_Silent)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def calls(self) -> list[str]:
        """The methods asked for since the last look, in order."""
        with self._lock:
            methods = [request.method for request in self.requests]
            self.requests.clear()
        return methods

    def __enter__(self) -> Self:
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
                if OTHERS not in environ:
                    self.requests.append(request)
            return start_response(status, headers, *rest)

        return self._application(environ, start)


OTHERS = "HTTP_X_ANOTHER_PROGRAM"


def asked(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
    """What a server answers to a program that is not ours: these requests are left out of its log."""
    request = urllib.request.Request(url, body, method=method)
    for name, value in {"Content-Type": "text/vcard; charset=utf-8", "X-Another-Program": "1", **headers}.items():
        request.add_header(name, value)
    with urllib.request.urlopen(request, timeout=60) as reply:
        answer: bytes = reply.read()
    return answer
