"""Sync tokens, which carry all that they mean, and listings, which go on from page to page."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from hashlib import sha256

from sandbox.google.answers import invalid
from sandbox.google.contact import Contact


@dataclass(frozen=True)
class SyncToken:
    """`born` is the book it belongs to, `began` the Unix time of the full sync that it comes from (or of the delta,
    where that renews it); `terms` are the parameters that have to stay the same."""

    born: str
    position: int
    began: float
    terms: str

    def __str__(self) -> str:
        text = json.dumps(astuple(self)).encode()
        return base64.urlsafe_b64encode(sha256(text).digest()[:6] + text).decode()

    @classmethod
    def read(cls, token: str) -> "SyncToken":
        """Raises Failure for what is none."""
        try:
            whole = base64.urlsafe_b64decode(token)
            mark, text = whole[:6], whole[6:]
            if sha256(text).digest()[:6] != mark:
                raise invalid()
            born, position, began, terms = json.loads(text)
        except (binascii.Error, ValueError):
            raise invalid() from None
        return cls(born, position, began, terms)


@dataclass(frozen=True)
class Listing:
    """A pass in its midst: who is still to come, and what comes with the last page. `terms` as in a sync token, of all
    parameters."""

    rest: Sequence[Contact]
    total: int
    next_token: str
    terms: str
