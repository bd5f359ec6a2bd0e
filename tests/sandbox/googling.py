"""Google's own Python client against the stand-in, with the API's description as a judge between them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from sandbox.google import Account, GoogleApp, serve
from tests.contract.described import Judged
from tests.contract.google_spec import judged

ANNA, BEN = "anna@example.com", "ben@example.com"
EVERYTHING = (
    "addresses,biographies,birthdays,emailAddresses,memberships,metadata,names,nicknames,organizations,phoneNumbers,"
    "photos,relations,urls,userDefined"
)


@dataclass
class FakeClock:
    at: datetime = field(default_factory=lambda: datetime(2026, 11, 24, 12, 0, tzinfo=UTC))

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Googling:
    """`api` is the first of the official clients, as Anna."""

    app: GoogleApp
    clock: FakeClock
    judge: Judged
    url: str
    clients: list[Any] = field(default_factory=list)

    @property
    def api(self) -> Any:
        return self.clients[0]

    @property
    def anna(self) -> Account:
        return self.app.account(ANNA)

    def client(self, token: str = "", refresh: str | None = None) -> Any:
        credentials = Credentials(  # type: ignore[no-untyped-call]
            token,
            refresh_token=refresh,
            token_uri=f"{self.url}/token",
            client_id=self.app.oauth.client_id,
            client_secret=self.app.oauth.client_secret,
        )
        self.clients.append(client_at(self.url, credentials))
        return self.clients[-1]

    def people(self) -> Any:
        return self.api.people()

    def listed(self, fields: str = "names,emailAddresses,metadata", **more: Any) -> Any:
        asked = {"resourceName": "people/me", "personFields": fields, **more}
        return self.api.people().connections().list(**asked).execute()

    def synced(self, token: str = "", **more: Any) -> Any:
        """A sync request: full without a token."""
        return self.listed(requestSyncToken=True, **more, **({"syncToken": token} if token else {}))

    def get(self, name: str, fields: str = EVERYTHING, **more: Any) -> Any:
        return self.api.people().get(resourceName=name, personFields=fields, **more).execute()

    def create(self, **person: Any) -> Any:
        return self.api.people().createContact(body=person, personFields=EVERYTHING).execute()

    def update(self, name: str, person: Any, fields: str, **more: Any) -> Any:
        request = self.api.people().updateContact(
            resourceName=name, body=person, updatePersonFields=fields, personFields=EVERYTHING, **more
        )
        return request.execute()

    def put(self, seen: Any, **fields: Any) -> Any:
        """An update of a person that was read, with its etags."""
        person = {"etag": seen["etag"], "metadata": seen["metadata"], **fields}
        return self.update(seen["resourceName"], person, ",".join(fields))


def client_at(url: str, credentials: Credentials) -> Any:
    options = {"api_endpoint": url}
    return build("people", "v1", credentials=credentials, client_options=options, static_discovery=True)


@contextmanager
def googling(**levers: Any) -> Iterator[Googling]:
    """What the description does not allow, and came through all the same, fails the test at the end."""
    clock = FakeClock()
    app = GoogleApp(clock, [ANNA, BEN], **levers)
    judge = judged(app)
    with serve(judge) as url:
        found = Googling(app, clock, judge, url)
        given = app.allow(ANNA)
        found.client(given["access_token"], given["refresh_token"])
        try:
            yield found
        finally:
            for client in found.clients:
                client.close()
    assert (judge.let_through, judge.answered) == ([], [])


def refused(act: Callable[[], Any]) -> tuple[int, str, str, Any]:
    """Code, status, message and details of what the official client makes of a refusal."""
    with pytest.raises(HttpError) as caught:
        act()
    told = json.loads(caught.value.content)["error"]
    return told["code"], told["status"], told["message"], told.get("details", [])
