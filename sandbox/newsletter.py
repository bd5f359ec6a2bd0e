"""The stand-in for Mailchimp as a program of its own, and the way to its side door."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.knocking import answers, side_door
from sandbox.mailchimp import KEY
from sandbox.people import Person

AT_ONCE = 100  # members in one request
AUDIENCE = "a36b032126"


@dataclass(frozen=True)
class MailchimpServer:
    """The stand-in for Mailchimp, as a program of its own, with one audience; `folder` keeps its members."""

    folder: Path
    port: int
    redirect_uri: str = ""
    api_key: str = field(default=KEY, repr=False)
    client_id: str = "sandbox-client"
    client_secret: str = field(default="sandbox-client-secret", repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self) -> dict[str, str]:
        """With which the portal finds it."""
        return {
            "MAILCHIMP_URL": self.url,
            "MAILCHIMP_AUTH_URL": f"{self.url}/oauth2/authorize",
            "MAILCHIMP_TOKEN_URL": f"{self.url}/oauth2/token",
            "MAILCHIMP_METADATA_URL": f"{self.url}/oauth2/metadata",
            "MAILCHIMP_CLIENT_ID": self.client_id,
            "MAILCHIMP_CLIENT_SECRET": self.client_secret,
        }

    def command(self) -> list[str]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [sys.executable, "-m", "sandbox.mailchimp", "--port", str(self.port)]
        command += ["--audience", f"{AUDIENCE}=Newsletter", "--api-key", self.api_key]
        command += ["--client-id", self.client_id, "--client-secret", self.client_secret]
        command += ["--redirect-uri", self.redirect_uri] if self.redirect_uri else []
        return [*command, "--state", str(self.folder / "members.json"), "--log", str(self.folder / "requests.jsonl")]

    def answers(self) -> bool:
        return answers(self.url)

    def fill(self, people: Sequence[Person], tick: Callable[[], None]) -> None:
        """The members anew: one of six has unsubscribed, and the address of one of them is dead. `tick` is called
        before each step, and may raise to leave it."""
        self.side_door("POST", "reset", {})
        for start in range(0, len(people), AT_ONCE):
            tick()
            some = [member(person) for person in people[start : start + AT_ONCE]]
            self.side_door("POST", "members", some)
        for person in people[5::6]:
            tick()
            self.side_door("POST", f"members/{person.email}/unsubscribe", {})
        for person in people[2:3]:
            self.side_door("POST", f"members/{person.email}/bounce", {})

    def member(self, email: str) -> str:
        """The address of a member at the side door."""
        return f"{self.url}/_sandbox/audiences/{AUDIENCE}/members/{email}"

    def side_door(self, method: str, path: str, body: object = None) -> Any:
        """What people in front of Mailchimp, and its subscribers, do (sandbox/mailchimp/side_door.py). Raises
        HTTPError, URLError."""
        return side_door(self.url, method, f"audiences/{AUDIENCE}/{path}", body)


def member(person: Person) -> dict[str, Any]:
    merge = {"FNAME": person.given, "LNAME": person.family, "PHONE": person.mobile}
    return {"email": person.email, "tags": [*person.tags, "Newsletter"], **merge}
