"""Credentials at rest: one encrypted JSON field, under a ring of keys that is ours alone.

It is a thin layer over django-cryptography's `EncryptedMixin` and `FernetBytes` (AES-CBC, then HMAC-SHA256). The
package alone signs with SECRET_KEY, knows one key only and pickles its values; here the keys come from
FIELD_ENCRYPTION_KEYS (newest first: it writes, all of them read), SECRET_KEY plays no part, and the content is JSON
(docs/adr/0001-given-packages.md).
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import lru_cache
from typing import Any, NoReturn

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.signing import BadSignature
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models.functions import Cast
from django.db.models.query_utils import DeferredAttribute
from django.utils.encoding import force_bytes
from django_cryptography.core.signing import FernetSigner
from django_cryptography.fields import EncryptedMixin
from django_cryptography.utils.crypto import FernetBytes, InvalidToken

KEY_BYTES = 32
_PURPOSE = b"counterpart field encryption 1"


class SecretUnreadable(Exception):
    """A stored secret fits none of the keys, or was damaged. The text is for people and holds nothing secret."""


class SecretsStayHere(Exception):
    """Something tried to write secrets out of the database (dumpdata, a serializer)."""


class Secrets(dict[str, str]):
    """Names and secret values. A plain dictionary to use, but its text shows the names alone."""

    def __repr__(self) -> str:
        return f"<Secrets: {', '.join(sorted(self)) or 'none'}; values hidden>"

    __str__ = __repr__


class KeyRing:
    """Several of the package's ciphers: the first writes, all read."""

    def __init__(self, keys: Sequence[str]) -> None:
        """`keys`, newest first, each at least 32 random bytes in URL-safe base64. Raises ImproperlyConfigured."""
        if not keys:
            raise ImproperlyConfigured(
                "FIELD_ENCRYPTION_KEYS is not set, so no credential can be stored or read. "
                "`make run` writes one into .env; elsewhere set it in the environment (docs/operations.md, Keys)."
            )
        if len(set(keys)) != len(keys):
            raise ImproperlyConfigured("FIELD_ENCRYPTION_KEYS names the same key twice: list each key once.")
        self._locks = [_lock(_decoded(key, place)) for place, key in enumerate(keys, start=1)]

    def encrypt(self, data: bytes) -> bytes:
        return self._locks[0].encrypt(data)

    def decrypt(self, token: bytes) -> bytes:
        """Raises SecretUnreadable."""
        for lock in self._locks:
            plain = _opened(lock, token)
            if plain is not None:
                return plain
        raise SecretUnreadable(
            "A stored credential cannot be read with any key in FIELD_ENCRYPTION_KEYS. Put back the key it was written "
            "with (after the newest one), or enter the account's credentials again (docs/operations.md, Keys)."
        )

    def opens(self, token: bytes) -> bool:
        return any(_opened(lock, token) is not None for lock in self._locks)

    def is_newest(self, token: bytes) -> bool:
        """Was it written with the newest key? If not, saving it again moves it there."""
        return _opened(self._locks[0], token) is not None


def key_ring() -> KeyRing:
    """The ring of the present settings; a changed setting is a new ring. Raises ImproperlyConfigured."""
    return _ring_of(tuple(settings.FIELD_ENCRYPTION_KEYS))


@lru_cache(maxsize=4)
def _ring_of(keys: tuple[str, ...]) -> KeyRing:
    return KeyRing(keys)


def _decoded(key: str, place: int) -> bytes:
    try:
        material = base64.b64decode(key + "=" * (-len(key) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        material = b""
    if len(material) < KEY_BYTES:
        # `from None`, and the place instead of the key: the text goes into logs.
        raise ImproperlyConfigured(
            f"Key number {place} in FIELD_ENCRYPTION_KEYS is not {KEY_BYTES} or more random bytes in URL-safe base64. "
            'Make one with: python -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'
        ) from None
    return material


def _lock(material: bytes) -> FernetBytes:
    derived = HKDF(algorithm=SHA256(), length=2 * KEY_BYTES, salt=None, info=_PURPOSE).derive(material)
    return FernetBytes(derived[:KEY_BYTES], FernetSigner(derived[KEY_BYTES:]))


def _opened(lock: FernetBytes, token: bytes) -> bytes | None:
    """None where the key does not fit. The signature is checked before anything is decrypted."""
    try:
        return lock.decrypt(token)
    except (BadSignature, InvalidToken):
        return None


class _CurrentRing(FernetBytes):
    """Stands where the package keeps its one fixed cipher, and looks the ring up at each use."""

    def __init__(self) -> None:
        pass  # the package's own would take its key from SECRET_KEY

    def encrypt(self, data: bytes | str) -> bytes:
        return key_ring().encrypt(force_bytes(data))

    def decrypt(self, data: bytes, ttl: int | None = None) -> bytes:
        return key_ring().decrypt(data)


class _HiddenAttribute(DeferredAttribute):
    """Turns every assigned value into Secrets, so that a plain dictionary never sits in a model's repr."""

    field: "EncryptedJSONField"

    def __set__(self, instance: models.Model, value: Mapping[str, str] | None) -> None:
        instance.__dict__[self.field.attname] = self.field.to_python(value)


class EncryptedJSONField(EncryptedMixin):
    """Names and secret values (dict[str, str]), encrypted in the database; reads as Secrets.

    It can be asked for nothing but `isnull`, appears in no form and in no dump. Reading raises SecretUnreadable; keep
    it in a table of its own, so that a wrong key spoils no list.
    """

    description = "Encrypted names and values"
    descriptor_class = _HiddenAttribute

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not {"key", "ttl"}.isdisjoint(kwargs):
            raise TypeError("EncryptedJSONField takes no key and no ttl: the keys are in FIELD_ENCRYPTION_KEYS.")
        super().__init__(*args, **kwargs)
        self._fernet = _CurrentRing()

    def _dump(self, value: Mapping[str, str]) -> bytes:
        return self._fernet.encrypt(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())

    def _load(self, value: bytes) -> Secrets:
        return Secrets(json.loads(self._fernet.decrypt(value)))

    def to_python(self, value: object) -> Secrets | None:
        """Raises ValidationError for anything but text under text names, without showing it."""
        if value is None:
            return None
        if not isinstance(value, Mapping) or not all(isinstance(part, str) for pair in value.items() for part in pair):
            raise ValidationError("Secrets are text values under text names.", code="invalid")
        return Secrets(value)

    def get_prep_value(self, value: object) -> Secrets | None:
        return self.to_python(value)

    def value_to_string(self, obj: models.Model) -> NoReturn:
        raise SecretsStayHere(
            f"{obj._meta.label} holds secrets and is not exported. Leave it out (dumpdata --exclude {obj._meta.label}) "
            "and enter the credentials again where you load the data."
        )

    def formfield(self, *args: Any, **kwargs: Any) -> None:
        """No form shows or takes it: credentials have their own write-only inputs."""
        return None

    def clone(self) -> "EncryptedJSONField":
        _, _, args, kwargs = self.deconstruct()
        return type(self)(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        # The package's own would name encrypt() and a base field; the path of this class is what migrations keep.
        return models.Field.deconstruct(self)


@dataclass(frozen=True)
class Stored:
    """One value as it lies in the database."""

    model: type[models.Model]
    field: str
    pk: int
    token: bytes = dataclass_field(repr=False)


def stored_values(alias: str = DEFAULT_DB_ALIAS) -> Iterator[Stored]:
    """Every encrypted value of every table that is there, not decrypted."""
    tables = set(connections[alias].introspection.table_names())
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, EncryptedJSONField) and model._meta.db_table in tables:
                yield from _stored(model, field.attname, alias)


def _stored(model: type[models.Model], name: str, alias: str) -> Iterator[Stored]:
    rows = _with_token(model, name, alias).filter(**{f"{name}__isnull": False}).order_by("pk")
    for pk, token in rows.values_list("pk", "token").iterator():
        yield Stored(model, name, pk, bytes(token))


def _with_token(model: type[models.Model], name: str, alias: str) -> models.QuerySet[Any]:
    # Cast to bytes: the stored form, so that one bad row spoils no other.
    rows: models.QuerySet[Any] = model._base_manager.using(alias).annotate(token=Cast(name, models.BinaryField()))
    return rows


def rewrite(value: Stored, alias: str = DEFAULT_DB_ALIAS) -> bool:
    """Encrypt it anew, with the newest key. False where somebody changed it since it was read: what they wrote stays.
    Raises SecretUnreadable."""
    ring = key_ring()
    fresh = models.Value(ring.encrypt(ring.decrypt(value.token)), models.BinaryField())
    unchanged = _with_token(value.model, value.field, alias).filter(pk=value.pk, token=value.token)
    return unchanged.update(**{value.field: fresh}) == 1


def unreadable(alias: str = DEFAULT_DB_ALIAS) -> int:
    """How many stored values open with none of the keys. Raises ImproperlyConfigured where the keys are wrong."""
    return sum(not key_ring().opens(value.token) for value in stored_values(alias))
