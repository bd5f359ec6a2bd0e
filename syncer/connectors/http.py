"""The one way out: every request to an app goes through `Http`."""

import json as jsonlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

import requests
from django.conf import settings
from django.db import connections
from requests.auth import AuthBase
from requests.exceptions import InvalidHeader, InvalidSchema, InvalidURL, MissingSchema, RequestException, Timeout
from requests.utils import check_header_validity
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util import Retry

from syncer.connectors.base import Meter, Misconfigured, Transient
from syncer.connectors.together import HomeMeter
from syncer.connectors.wire import CONNECT_SECONDS, MAX_BODY, Adapter, Door, Exchange, TooLarge, World, current

MAX_REDIRECTS = 3
REPEATED = frozenset({502, 503, 504})
PORTS = {"http": 80, "https": 443}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# All that goes along to another host; everything else may be a credential (Salesmate's session key has its own name).
HARMLESS = frozenset(
    {"accept", "brief", "content-type", "depth", "if-match", "if-modified-since", "if-none-match", "prefer"}
)
BAD_ADDRESS = "The address is not valid. It needs the form https://host/path."
REAL_WORLD = World()


@dataclass(frozen=True)
class Reply:
    """An answer, whatever its status. `headers` has lower-case names.

    `maybe_applied` is true for the answer to a write, and goes into the errors of `json`.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    maybe_applied: bool = False

    def json(self) -> Any:
        """The body as JSON; raises Transient (HTML instead of JSON, a body cut short)."""
        try:
            return jsonlib.loads(self.body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            trouble = "with a web page instead of data" if self._is_page() else "with data that is damaged or cut short"
        raise Transient(f"{_host(self.url)} answered {trouble}. It is tried again later.", self.maybe_applied)

    def _is_page(self) -> bool:
        return "html" in self.headers.get("content-type", "").lower() or self.body.lstrip()[:1] == b"<"


def retry_after(reply: Reply) -> float | None:
    """Seconds, where the answer names them as a number."""
    seconds = reply.headers.get("retry-after", "").strip()
    return float(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 7 else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


class _Hopeless(Transient):
    """Not worth a repeat right now."""


class _Repeats(Retry):
    """How often a read is repeated, and after which pause. The loop is ours (`Http._persist`): urllib3's own would
    not know our deadline, and logs whole addresses."""

    def get_backoff_time(self) -> float:
        """Seconds; unlike Retry's, the first repeat waits as well."""
        return float(self.backoff_factor * 2 ** len(self.history))


REPEATS = _Repeats(total=2, backoff_factor=0.25)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None to requests, which would otherwise prepare the next step, and fail on a target that is none."""


class Http:
    """Requests to one app for one account.

    - Addresses are checked at connect time, redirects included: no private, loopback, link-local or otherwise special
      address unless `allow_private` (raises Misconfigured).
    - `read` may be repeated (twice more, on connection errors and 502, 503, 504); `write` never is. Each attempt is
      taken from `meter` first.
    - At most `deadline` seconds for a whole request, at most 64 MiB of answer, at most 3 redirects (reads only), and no
      credentials to another host.
    - No status is an error here; a failure of the network raises Transient, with `maybe_applied` true only where a
      write may have reached the app. No text of an error holds a header, a query string or a body.
    - Raises RuntimeError inside a database transaction: no call is ever made in one.
    - May be used by the threads of `together`: the meter is then still taken in the thread that they work for. (Those
      have no transaction of their own; that one is asked by whoever starts them, with `refuse_in_transaction`.)

    `certificates` is a file of authorities to trust instead of the public ones. The time of the system's name look-up
    is not bounded by `deadline`, but nothing is sent after it.
    """

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        auth: AuthBase | None = None,
        meter: Meter | None = None,
        allow_private: bool = False,
        deadline: float = 30.0,
        certificates: str | None = None,
        world: World = REAL_WORLD,
    ) -> None:
        self._headers, self._auth = dict(headers or {}), auth
        self._allow_private, self._deadline, self._world = allow_private, deadline, world
        self._verify = True if certificates is None else certificates
        self._session = _Session()
        self._session.trust_env = False
        self._session.headers["User-Agent"] = "Counterpart"
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = Adapter(Door(world, allow_private), HomeMeter(meter) if meter is not None else None)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def read(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: bytes | None = None,
    ) -> Reply:
        refuse_in_transaction()
        exchange = self._exchange()
        request = self._request(method, url, params, headers, json, data)
        repeats: Retry = REPEATS
        for _ in range(1 + MAX_REDIRECTS):
            reply, repeats = self._persist(request, exchange, repeats)
            following = self._following(request, reply)
            if following is None:
                return reply
            request = following
        raise Misconfigured(f"{_host(reply.url)} sends us from one address to another without end. Check the address.")

    def write(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: bytes | None = None,
    ) -> Reply:
        refuse_in_transaction()
        exchange = self._exchange()
        request = self._request(method, url, params, headers, json, data)
        try:
            return replace(self._attempt(request, exchange), maybe_applied=True)
        except Transient as error:
            failure = Transient(str(error), maybe_applied=exchange.sent)
        raise failure

    def close(self) -> None:
        self._session.close()

    def _exchange(self) -> Exchange:
        return Exchange(self._world.clock() + self._deadline, self._world.clock)

    def _request(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        json: Any,
        data: bytes | None,
    ) -> requests.Request:
        merged = {**self._headers, **(headers or {})}
        return requests.Request(method.upper(), url, merged, data=data, json=json, params=params, auth=self._auth)

    def _persist(self, request: requests.Request, exchange: Exchange, repeats: Retry) -> tuple[Reply, Retry]:
        """The answer to a read, repeated while that may help, and the repeats that are left."""
        while True:
            outcome = self._outcome(request, exchange)
            if isinstance(outcome, Reply) and not _asks_for_repeat(outcome):
                return outcome, repeats
            pause = repeats.get_backoff_time() * (0.5 + self._world.random())
            if not repeats.total or pause >= exchange.left() or isinstance(outcome, _Hopeless):
                if isinstance(outcome, Transient):
                    raise outcome
                return outcome, repeats
            repeats = repeats.increment(request.method, error=outcome if isinstance(outcome, Transient) else None)
            self._world.sleep(pause)

    def _outcome(self, request: requests.Request, exchange: Exchange) -> Reply | Transient:
        try:
            return self._attempt(request, exchange)
        except Transient as error:
            return error

    def _attempt(self, request: requests.Request, exchange: Exchange) -> Reply:
        """One request and its answer. Raises Transient and Misconfigured, neither of which leads to the error behind
        it: the text of that one may hold the whole address or a header."""
        prepared = self._prepare(request)
        host = _host(str(prepared.url))
        token = current.set(exchange)
        failure: Transient
        try:
            timeout = (CONNECT_SECONDS, exchange.timeout())
            response = self._session.send(
                prepared, allow_redirects=False, stream=True, timeout=timeout, verify=self._verify
            )
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status_code, headers, response.content, str(prepared.url))
        except TooLarge:
            failure = _Hopeless(f"{host} sent more than {MAX_BODY // 2**20} MiB in one answer, which is too much.")
        except (RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            failure = self._broken(error, exchange, host)
        finally:
            current.reset(token)
        raise failure

    def _broken(self, error: Exception, exchange: Exchange, host: str) -> Transient:
        if exchange.left() <= 0 or isinstance(error, (Timeout, ReadTimeoutError, TimeoutError)):
            return _Hopeless(f"{host} did not answer within {self._deadline:g} seconds. It is tried again later.")
        return Transient(f"The connection to {host} broke before its answer was complete. It is tried again later.")

    def _prepare(self, request: requests.Request) -> requests.PreparedRequest:
        """The request as it goes out; raises Misconfigured where its address or a header cannot be used."""
        try:
            prepared = self._session.prepare_request(request)
            for name, value in prepared.headers.items():
                check_header_validity((name, value))
                f"{name}{value}".encode("latin-1")
        except (InvalidURL, MissingSchema, InvalidSchema):
            failure = BAD_ADDRESS
        except (UnicodeError, InvalidHeader):
            failure = "A setting of this account has a character that cannot be sent. Enter it again."
        else:
            self._check_address(str(prepared.url))
            return prepared
        raise Misconfigured(failure)

    def _check_address(self, url: str) -> None:
        """Scheme, host, port and no login: what can be judged before the host is looked up. Raises Misconfigured."""
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise Misconfigured(BAD_ADDRESS)
        if "@" in parts.netloc:
            raise Misconfigured("The address must not hold a user name or a password. Enter them in their own fields.")
        if parts.scheme == "http" and not self._allow_private:
            raise Misconfigured(
                f"The address of {parts.hostname} must begin with https://, or others can read what is sent."
            )

    def _following(self, request: requests.Request, reply: Reply) -> requests.Request | None:
        """The request that a redirect asks for; None where the reply is the answer (or a POST, with what it holds,
        is sent to another host). RFC 9110 15.4; a PROPFIND stays one (RFC 6764 5)."""
        location = reply.headers.get("location")
        if reply.status not in REDIRECTS or location is None:
            return None
        target = _join(reply.url, location)
        self._check_address(target)
        same = _same_party(reply.url, target)
        if request.method == "POST" and reply.status != 303 and not same:
            return None
        following = requests.Request(request.method, target, data=request.data, json=request.json)
        following.headers = {k: v for k, v in request.headers.items() if same or k.lower() in HARMLESS}
        following.auth = request.auth if same else None
        if reply.status == 303:
            following.method = "HEAD" if request.method == "HEAD" else "GET"
            following.data, following.json = None, None
        return following


def _asks_for_repeat(reply: Reply) -> bool:
    """A passing trouble of the app. Where it says how long it takes, the caller has to wait, not we."""
    return reply.status in REPEATED and "retry-after" not in reply.headers


def _join(base: str, location: str) -> str:
    """The target of a redirect. http.client reads headers as Latin-1; a server that sends more means UTF-8."""
    with suppress(ValueError):
        return urljoin(base, location.encode("latin-1").decode())
    raise Misconfigured(f"{_host(base)} sends us to an address that cannot be used. Check the address.")


def _same_party(before: str, after: str) -> bool:
    """Whether a redirect may take the credentials along: the same origin, or its https on the usual ports."""
    old, new = _origin(before), _origin(after)
    return new == old or (old == ("http", old[1], 80) and new == ("https", old[1], 443))


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme]


def _host(url: str) -> str:
    return urlsplit(url).hostname or "The app"


def refuse_in_transaction() -> None:
    """A call may take half a minute: inside a transaction it would hold up every other writer, and what it did
    outside could not be rolled back. (The transactions that Django's TestCase wraps around tests do not count.)"""
    if not settings.configured:
        return
    for connection in connections.all(initialized_only=True):
        open_by_hand = (
            connection.connection is not None and not connection.in_atomic_block and not connection.autocommit
        )
        if open_by_hand or any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks):
            raise RuntimeError("An app was called inside a database transaction.")
