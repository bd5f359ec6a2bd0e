"""Serves a stand-in on the loopback interface: threaded, HTTP/1.1 with keep-alive, and able to hang up."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

from sandbox.exchange import Dropped, Reset, Silent, Wsgi

RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    app: Wsgi

    def answer(self) -> None:
        try:
            self._answer()
        except Dropped:
            self.close_connection = True
        except Silent:
            self.close_connection = True
            self.rfile.read(1)  # returns when the client has gone
        except Reset:
            self.close_connection = True
            self._reset()
        except ConnectionError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_PROPFIND = do_REPORT = do_OPTIONS = answer

    def _answer(self) -> None:
        sent: list[tuple[str, list[tuple[str, str]]]] = []
        body = b"".join(type(self).app(self._environ(), lambda status, headers: sent.append((status, headers))))
        status, headers = sent[0]
        code, _, words = status.partition(" ")
        self.send_response_only(int(code), words)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if len(body) < int(dict(headers)["Content-Length"]):
            self.close_connection = True

    def _reset(self) -> None:
        self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"Status"')
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        os.close(self.connection.detach())  # at once: close() would wait for the reader and the writer

    def _environ(self) -> dict[str, Any]:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        return {
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(parts.path),
            "QUERY_STRING": parts.query,
            "CONTENT_LENGTH": str(length),
            "wsgi.input": BytesIO(self.rfile.read(length)),
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()},
        }

    def log_message(self, format: str, *args: Any) -> None:
        """The access log is the app's."""


def server(app: Wsgi, port: int = 0) -> ThreadingHTTPServer:
    """Bound to 127.0.0.1; port 0 takes any free one."""
    handler = type("AppHandler", (Handler,), {"app": staticmethod(app)})
    made = ThreadingHTTPServer(("127.0.0.1", port), handler)
    made.daemon_threads = True
    return made


@contextmanager
def serve(app: Wsgi, port: int = 0) -> Iterator[str]:
    """The address of the running stand-in."""
    made = server(app, port)
    thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_address[1]}"
    finally:
        made.shutdown()
        thread.join()
        made.server_close()
