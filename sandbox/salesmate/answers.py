"""What the stand-in answers with, failures included, in the two spellings that are known of Salesmate's."""

import json
from collections.abc import Mapping
from typing import Any, Final

from sandbox.exchange import Answer

SHELL: Final = b"<!DOCTYPE html><html><head><title>Salesmate</title></head><body><div id=app></div></body></html>"


class Failure(Exception):
    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(status)
        self.status, self.error = status, error

    def answer(self, with_200: bool = False) -> Answer:
        return Answer(200 if with_200 else self.status, json.dumps({"Status": "failure", "Error": self.error}).encode())


LINK: Final = Failure(404, {"message": "Link  not found", "name": "NoSuchLinkExist"})
AUTH: Final = Failure(403, {"message": "", "name": "AuthorizationFailed"})
AUTH_DOCUMENTED: Final = Failure(401, {"Code": "4002", "Name": "AuthorizationFailed", "Message": "Invalid Credential"})
FORBIDDEN: Final = Failure(403, {"Name": "ForbiddenError", "Message": "You do not have rights"})
MISSING: Final = Failure(404, {"Code": "4005", "Name": "ObjectNotFound", "Message": "Object not found"})
UNKNOWN: Final = Failure(200, {"Name": "UnknownError", "Message": "Something went wrong"})
LIMIT: Final = Failure(429, {"Code": "4029", "Name": "TooManyRequests", "Message": "API limit reached"})


def page(status: int) -> Answer:
    """The HTML of the app, or of the gateway before it."""
    return Answer(status, SHELL, "text/html")


def success(data: Any) -> Answer:
    return Answer(200, json.dumps({"Status": "success", "Data": data}).encode())


# How an answer over the limit looks is not documented.
OVER_LIMIT: Final[Mapping[str, Answer]] = {
    "json": LIMIT.answer(),
    "html": page(429),
    "words": Failure(403, {"Name": "Unknown", "Message": "You have reached 1500 API calls per hour"}).answer(),
    "later": Answer(429, b"", "text/plain", more=(("Retry-After", "120"),)),
}
