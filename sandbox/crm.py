"""The stand-in for Salesmate as a program of its own, and the way to its side door."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.knocking import answers, side_door


@dataclass(frozen=True)
class SalesmateServer:
    """The stand-in for Salesmate, as a program of its own; `folder` keeps its contacts."""

    folder: Path
    port: int
    calls_per_hour: int
    subdomain: str = "harbour-and-pine"
    session_key: str = field(default="sandbox-session-key", repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [sys.executable, "-m", "sandbox.salesmate", "--port", str(self.port), "--subdomain", self.subdomain]
        command += ["--session-key", self.session_key, "--calls-per-hour", str(self.calls_per_hour)]
        return [*command, "--state", str(self.folder / "contacts.json"), "--log", str(self.folder / "requests.jsonl")]

    def answers(self) -> bool:
        return answers(self.url)

    def side_door(self, method: str, path: str, body: object = None) -> Any:
        """What a person in front of Salesmate does (sandbox/salesmate/side_door.py). Raises HTTPError, URLError."""
        return side_door(self.url, method, path, body)
