"""The stand-in for Google as a program of its own, and the way to its side door."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.google.lifelike import fields
from sandbox.knocking import answers, side_door
from sandbox.people import Person

AT_ONCE = 50  # contacts in one request


@dataclass(frozen=True)
class GoogleServer:
    """The stand-in for Google, as a program of its own; `folder` keeps its contacts and who gave access. `users` are
    Google users; `feed_delay` seconds go by until a sync request sees a write."""

    folder: Path
    port: int
    users: Sequence[str]
    redirect_uri: str
    calls_per_minute: int = 90
    feed_delay: float = 5
    client_id: str = "sandbox-client"
    client_secret: str = field(default="sandbox-client-secret", repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self) -> dict[str, str]:
        """With which the portal finds it."""
        return {
            "GOOGLE_PEOPLE_URL": self.url,
            "GOOGLE_AUTH_URL": f"{self.url}/o/oauth2/v2/auth",
            "GOOGLE_TOKEN_URL": f"{self.url}/token",
            "GOOGLE_CLIENT_ID": self.client_id,
            "GOOGLE_CLIENT_SECRET": self.client_secret,
        }

    def command(self) -> list[str]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [sys.executable, "-m", "sandbox.google", "--port", str(self.port)]
        command += [word for user in self.users for word in ("--user", user)]
        command += ["--client-id", self.client_id, "--client-secret", self.client_secret]
        command += ["--redirect-uri", self.redirect_uri, "--calls-per-minute", str(self.calls_per_minute)]
        command += ["--feed-delay", str(self.feed_delay), "--state", str(self.folder / "contacts.json")]
        return [*command, "--log", str(self.folder / "requests.jsonl")]

    def answers(self) -> bool:
        return answers(self.url)

    def fill(self, user: str, people: Sequence[Person], tick: Callable[[], None]) -> None:
        """The contacts of a user who has none yet. `tick` is called before each step, and may raise to leave it."""
        here, tags = f"users/{user}", sorted({tag for person in people for tag in person.tags})
        labels = {tag: self.side_door("POST", f"{here}/groups", {"name": tag})["resourceName"] for tag in tags}
        for start in range(0, len(people), AT_ONCE):
            tick()
            some = [fields(person, labels) for person in people[start : start + AT_ONCE]]
            self.side_door("POST", f"{here}/contacts", some)
        self.side_door("POST", "catch-up", {})

    def allow(self, user: str) -> dict[str, str]:
        """The credentials of an account to which this user has just given access to the contacts."""
        given = self.side_door("POST", f"users/{user}/allow", {})
        client = {"client_id": self.client_id, "client_secret": self.client_secret}
        return {**client, "refresh_token": given["refresh_token"]}

    def contact(self, user: str, resource: str) -> str:
        """The address of a contact at the side door."""
        return f"{self.url}/_sandbox/users/{user}/contacts/{resource.removeprefix('people/')}"

    def side_door(self, method: str, path: str, body: object = None) -> Any:
        """What people in front of Google Contacts do (sandbox/google/side_door.py). Raises HTTPError, URLError."""
        return side_door(self.url, method, path, body)
