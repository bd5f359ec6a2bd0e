"""A bad line to an app: each request may fail before it arrives, or its answer may be lost."""

import http.client
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit

from sandbox.exchange import Dropped, Start, Wsgi


def unavailable(start_response: Start) -> list[bytes]:
    body = b"<html>503</html>"
    start_response("503 Unavailable", [("Content-Type", "text/html"), ("Content-Length", str(len(body)))])
    return [body]


@dataclass
class BadLine:
    """WSGI before an app. `rate` of the requests fail, by `chance`: one in three does not arrive, the answer of one in
    three is lost, and one in three is answered by something in between. `failed` counts them."""

    app: Wsgi
    chance: Random
    rate: float = 0.0
    failed: list[str] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        if self.chance.random() >= self.rate:
            return self.app(environ, start_response)
        kind = self.chance.choice(["lost on the way", "answer lost", "unavailable"])
        self.failed.append(f"{kind}: {environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        if kind == "unavailable":
            return unavailable(start_response)
        if kind == "answer lost":
            b"".join(self.app(environ, lambda status, headers: None))
        raise Dropped


def forwarding(url: str) -> Wsgi:
    """WSGI that passes each request on to a server."""
    host = urlsplit(url).netloc

    def forward(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        names = {name: text for name, text in environ.items() if name.startswith("HTTP_")}
        headers = {name[5:].replace("_", "-").title(): text for name, text in names.items()}
        headers["Connection"] = "close"
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        connection = http.client.HTTPConnection(host, timeout=30)
        try:
            connection.request(environ["REQUEST_METHOD"], environ["PATH_INFO"] + query, body, headers)
            reply = connection.getresponse()
            answer = reply.read()
        finally:
            connection.close()
        kept = [(name, text) for name, text in reply.getheaders() if name.lower() not in LEFT_OUT]
        start_response(f"{reply.status} {reply.reason}", [*kept, ("Content-Length", str(len(answer)))])
        return [answer]

    return forward


LEFT_OUT = {"connection", "content-length", "transfer-encoding"}
