"""What an OAuth server remembers, and its refusals."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

CODE_LIFE: Final = timedelta(minutes=10)
TESTING_LIFE: Final = timedelta(days=7)
# What the authorise page needs to know again when its form is sent.
ASKED: Final = (
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "access_type",
    "prompt",
    "code_challenge",
    "code_challenge_method",
)


class Refused(Exception):
    """An error of the token endpoint, in its own words."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(error)
        self.status, self.body = status, {"error": error, "error_description": description}


class BadRequest(Exception):
    """The authorise page cannot even send the person back; the text is the name of Google's error."""


@dataclass
class Grant:
    """What one user allowed. `refresh_token` is empty where none was given."""

    user: str
    scopes: tuple[str, ...]
    at: datetime
    refresh_token: str = field(repr=False)
    revoked: bool = False


@dataclass
class Access:
    grant: Grant
    ends: datetime | None


@dataclass
class Code:
    """`offline` codes give a refresh token."""

    user: str
    scopes: tuple[str, ...]
    redirect_uri: str
    challenge: str = field(repr=False)
    offline: bool
    ends: datetime
    used: bool = False


@dataclass
class OAuthLevers:
    """`testing`: refresh tokens end after 7 days, as with a Google project in Testing. `rotate`: each refresh gives a
    new refresh token, and the old one is dead. `refused`: statuses with which the next calls of the token endpoint
    fail, first one first."""

    testing: bool = False
    rotate: bool = False
    refused: list[int] = field(default_factory=list)
