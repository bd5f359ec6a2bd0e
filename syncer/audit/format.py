"""How an entry is written down and hashed. Only the standard library of Python 3.8: it goes into the evidence's
verify.py as it is (syncer/audit/bundle.py).

Every hash input begins with its own domain, so that no text can be taken for another. `||` joins bytes; hashes stand
as lower-case hex and are joined as such.

    head of an empty chain   SHA-256("counterpart/chain/1\\0" || chain name)
    payload_commit           SHA-256("counterpart/payload/1\\0" || salt, 16 bytes || payload), or NO_PAYLOAD
    entry_hash               SHA-256("counterpart/entry/1\\0" || previous_hash || header || payload_commit)

Signed by Ed25519 are CHECKPOINT || statement and EVIDENCE || manifest, both canonical JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from typing import TypeAlias

JSON: TypeAlias = "bool | int | str | Sequence[JSON] | Mapping[str, JSON] | None"

VERSION = 1
SALT_BYTES = 16
_CHAIN = b"counterpart/chain/1\0"
_PAYLOAD = b"counterpart/payload/1\0"
_ENTRY = b"counterpart/entry/1\0"
CHECKPOINT = b"counterpart/checkpoint/1\0"
EVIDENCE = b"counterpart/evidence/1\0"
NO_PAYLOAD = hashlib.sha256(b"counterpart/no-payload/1\0").hexdigest()

# NUL, and halves of surrogate pairs: neither fits into UTF-8 or PostgreSQL.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# How the encoder writes NUL, and not a backslash followed by "u0000".
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# Digits alone may be a phone number; what is a number travels as one.
_CODE = re.compile(r"(?!\d{5,}\Z)[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,99}")


def canonical(value: JSON) -> str:
    """The one spelling of a JSON value: keys sorted by code point, no spaces, text as it is.

    Raises TypeError for floats and what is not JSON, ValueError for NUL and lone surrogates.
    """
    _check(value)
    return _spelled(value)


def parse(text: str) -> Any:
    """The value of canonical JSON. Raises ValueError where the text is not the canonical one."""
    try:
        value = _DECODER.decode(text)
        same = _spelled(value) == text
    except RecursionError:
        same = False
    if not same:
        raise ValueError("not canonical JSON")
    return value


def clean_text(text: str) -> str:
    """U+FFFD for what no database can store: an app's odd answer must never stop an entry."""
    return _UNSTORABLE.sub("\ufffd", text)


def storable(value: JSON) -> JSON:
    """`clean_text` for every text in a value."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_text(key): storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(item) for item in value]
    return value


def check_code(name: str, value: JSON) -> None:
    """Refuse text in a header: what has spaces, @ or other letters may be a contact's. Raises ValueError."""
    if isinstance(value, str):
        if value and not _CODE.fullmatch(value):
            raise ValueError(f"Header item {name!r} must hold codes and numbers only; put texts and values in payload.")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            check_code(name, key)
            check_code(name, item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            check_code(name, item)


def spell_time(at: datetime) -> str:
    """UTC with six digits of a second: 2026-11-24T05:30:00.000000Z."""
    return f"{at.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def moment(text: str) -> datetime:
    """The time that `spell_time` spelled. Raises ValueError for any other spelling, TypeError for what is no text."""
    at = datetime.fromisoformat(text[:-1]).replace(tzinfo=timezone.utc)
    if spell_time(at) != text:
        raise ValueError("not a time in UTC with six digits of a second")
    return at


def key_id(public_key: str) -> str:
    """The short name of a public key in hex. Raises ValueError."""
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:16]


def genesis(chain: str) -> str:
    """The head hash of a chain that has no entry yet."""
    return hashlib.sha256(_CHAIN + chain.encode()).hexdigest()


def payload_commit(salt: bytes, payload: str) -> str:
    return hashlib.sha256(_PAYLOAD + salt + payload.encode()).hexdigest()


def entry_hash(previous_hash: str, header: str, commit: str) -> str:
    return hashlib.sha256(_ENTRY + previous_hash.encode() + header.encode() + commit.encode()).hexdigest()


def _check(value: JSON) -> None:
    """JSON's own encoder would write a float, and would turn a key that is a number into text."""
    if value is None or isinstance(value, (str, int)):
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError("The audit trail takes only text as keys.")
            _check(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check(item)
    else:
        raise TypeError(f"The audit trail takes only JSON without floats, not {type(value).__name__}.")


def _plain(value: object) -> JSON:
    """A mapping that is no dict; the rest was refused before."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"The audit trail takes only JSON, not {type(value).__name__}.")


def _refuse(text: str) -> NoReturn:
    raise ValueError("a number that is not whole")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)
_DECODER = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse)


def _spelled(value: JSON) -> str:
    text = _ENCODER.encode(value)
    if _UNSTORABLE.search(text) or ("\\u0000" in text and _NUL.search(text)):
        raise ValueError("The audit trail takes no NUL and no half surrogate pairs.")
    return text
