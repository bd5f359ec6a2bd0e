"""The one way out: every request to an app goes through `Http`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from requests.auth import AuthBase

from syncer.connectors.base import Meter


@dataclass(frozen=True)
class Reply:
    """An answer, whatever its status. `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def json(self) -> Any:
        """The body as JSON; raises Transient (HTML instead of JSON, a body cut short)."""
        raise NotImplementedError


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
    """

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        auth: AuthBase | None = None,
        meter: Meter | None = None,
        allow_private: bool = False,
        deadline: float = 30.0,
    ) -> None:
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
