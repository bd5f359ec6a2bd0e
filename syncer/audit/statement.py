"""What a checkpoint says, its signature, and its form as a file. Only data: no database, no settings.

A file holds the canonical JSON of {"statement": the statement's canonical JSON as text, "signature", "public_key"} and
a line end; the latter two in lower-case hex. What is signed is form.CHECKPOINT + the text, so whoever checks it need
spell nothing anew (docs/adr/0007-checkpoints.md).
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from syncer.audit import format as form

FIRST = "0" * 64
KEY_BYTES = 32
MAKE_A_KEY = 'python -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'

Head: TypeAlias = tuple[int, str, int]


@dataclass(frozen=True)
class Statement:
    """All heads at one moment: {chain name: (head_seq, head_hash, quiet_runs)}. `at` is spelled as in an entry."""

    number: int
    at: str
    key_id: str
    previous_hash: str
    heads: Mapping[str, Head]

    @cached_property
    def text(self) -> str:
        return form.canonical(
            {
                "v": form.VERSION,
                "number": self.number,
                "at": self.at,
                "key_id": self.key_id,
                "previous_hash": self.previous_hash,
                "heads": self.heads,
            }
        )

    @cached_property
    def signed(self) -> bytes:
        """The bytes under the signature."""
        return form.CHECKPOINT + self.text.encode()

    @cached_property
    def digest(self) -> str:
        """What the next statement names as its previous_hash."""
        return sha256(self.signed).hexdigest()

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.at)


@dataclass(frozen=True)
class Signed:
    """A statement whose signature fits the public key that came with it; whose key that is, is another question."""

    statement: Statement
    signature: str
    public_key: str

    @property
    def name(self) -> str:
        """The file's: by number, and two histories that count alike do not overwrite each other."""
        return f"checkpoint-{self.statement.number:010d}-{self.statement.digest[:16]}.json"

    @property
    def text(self) -> str:
        parts = {"statement": self.statement.text, "signature": self.signature, "public_key": self.public_key}
        return form.canonical(parts) + "\n"


def private_key(text: str) -> Ed25519PrivateKey:
    """The key of the setting. Raises ValueError in words that do not show it."""
    try:
        seed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        seed = b""
    if len(seed) != KEY_BYTES:
        # `from None`: the text goes into logs.
        raise ValueError(
            f"CHECKPOINT_KEY is not {KEY_BYTES} random bytes in URL-safe base64. Make one with: {MAKE_A_KEY}"
        ) from None
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_of(key: Ed25519PrivateKey) -> str:
    """The raw public key in hex."""
    return key.public_key().public_bytes_raw().hex()


def holds(statement: Statement, signature: str, public_key: str) -> bool:
    """Whether this key signed exactly this."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), statement.signed)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return statement.key_id == form.key_id(public_key)


def heads_from(value: Any) -> dict[str, Head]:
    """Raises ValueError, TypeError, AttributeError for anything but heads."""
    heads: dict[str, Head] = {}
    for name, (seq, head_hash, quiet_runs) in value.items():
        if not (type(seq) is int and isinstance(head_hash, str) and type(quiet_runs) is int):
            raise ValueError("a head is a number, a hash and a number")
        heads[name] = (seq, head_hash, quiet_runs)
    return heads


def read(name: str, text: str) -> Signed:
    """What a file of this name says. Raises ValueError where it is not exactly what was delivered."""
    try:
        # Spelling it anew shows that it is canonical and holds nothing else.
        parts = json.loads(text)
        said = json.loads(parts["statement"])
        heads = heads_from(said["heads"])
        statement = Statement(said["number"], said["at"], said["key_id"], said["previous_hash"], heads)
        signed = Signed(statement, parts["signature"], parts["public_key"])
        whole = signed.text == text and signed.name == name
        if whole and statement.moment.tzinfo is not None and holds(statement, signed.signature, signed.public_key):
            return signed
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise ValueError(f"{name} is not as it was delivered")
