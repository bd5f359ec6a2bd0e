"""The key ring and the encrypted field, on whichever database the run has."""

import base64
import copy
import os
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import FieldError, ImproperlyConfigured, ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, models
from django.db.migrations.writer import MigrationWriter
from django.forms import modelform_factory
from django.test import override_settings
from django.test.utils import isolate_apps
from pytest_django import Settings

from connections.models import Account, Client, Credential
from connections.secrets import EncryptedJSONField, KeyRing, SecretUnreadable, key_ring, unreadable

SECRET = "s3cret-canary"


def new_key(length: int = 32) -> str:
    return base64.urlsafe_b64encode(os.urandom(length)).decode()


def stored_bytes(credential: Credential) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM connections_credential WHERE id = %s", [credential.pk])
        return bytes(cursor.fetchone()[0])


@pytest.fixture
def acme(db: None) -> Iterator[Credential]:
    client = Client.objects.create(name="Acme", slug="acme")
    account = Account.objects.create(client=client, app="salesmate", label="Acme's Salesmate")
    yield Credential.objects.create(account=account, secrets={"session_key": SECRET, "empty": ""})


def test_what_was_stored_is_read_again(acme: Credential) -> None:
    assert Credential.objects.get().secrets == {"session_key": SECRET, "empty": ""}


@pytest.mark.proves("I34")
def test_the_database_holds_no_secret_and_no_pickle(acme: Credential) -> None:
    token = stored_bytes(acme)
    assert SECRET.encode() not in token
    assert key_ring().decrypt(token) == b'{"empty": "", "session_key": "s3cret-canary"}'


def test_the_same_secret_is_never_stored_the_same_way_twice(acme: Credential) -> None:
    before = stored_bytes(acme)
    acme.save()
    assert stored_bytes(acme) != before


def test_no_text_shows_the_values(acme: Credential) -> None:
    fresh = Credential.objects.get()
    unsaved = Credential(secrets={"session_key": SECRET})
    for text in (repr(fresh.secrets), str(fresh.secrets), f"{fresh.secrets}", repr(unsaved.__dict__), repr(fresh)):
        assert SECRET not in text
    assert "session_key" in repr(fresh.secrets)


def test_a_deferred_secret_is_fetched_when_asked_for(acme: Credential) -> None:
    assert Credential.objects.defer("secrets").get().secrets["session_key"] == SECRET


def test_bulk_writes_and_update_encrypt_too(acme: Credential) -> None:
    Credential.objects.update(secrets={"session_key": "second"})
    assert Credential.objects.get().secrets == {"session_key": "second"}
    acme.secrets = {"session_key": "third"}
    Credential.objects.bulk_update([acme], ["secrets"])
    assert Credential.objects.values_list("secrets", flat=True).get() == {"session_key": "third"}


@pytest.mark.parametrize("value", [{"a": 1}, {1: "a"}, ["a"], SECRET, {"a": None}])
def test_only_text_under_text_names_is_taken(value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Credential(secrets=value)
    assert str(value) not in str(caught.value)


def test_it_cannot_be_searched(acme: Credential) -> None:
    with pytest.raises(FieldError):
        Credential.objects.filter(secrets={"session_key": SECRET}).exists()
    with pytest.raises(FieldError):
        Credential.objects.filter(secrets__session_key=SECRET).exists()
    assert Credential.objects.filter(secrets__isnull=False).exists()


def test_no_form_shows_it() -> None:
    assert list(modelform_factory(Credential, fields="__all__").base_fields) == ["account"]


@pytest.mark.proves("I34")
def test_no_dump_holds_it(acme: Credential) -> None:
    out = StringIO()
    with pytest.raises(CommandError, match=r"--exclude connections\.Credential"):
        call_command("dumpdata", "connections.Credential", stdout=out)
    assert SECRET not in out.getvalue()


def test_a_new_first_key_reads_the_old_and_writes_the_new(acme: Credential, settings: Settings) -> None:
    old, new = settings.FIELD_ENCRYPTION_KEYS[0], new_key()
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    credential = Credential.objects.get()
    assert credential.secrets["session_key"] == SECRET
    assert not key_ring().is_newest(stored_bytes(credential))
    credential.save()
    assert key_ring().is_newest(stored_bytes(credential))
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert Credential.objects.get().secrets["session_key"] == SECRET
    assert unreadable() == 0


def test_a_wrong_key_is_said_in_plain_words(acme: Credential, settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [new_key()]
    with pytest.raises(SecretUnreadable, match="Put back the key") as caught:
        Credential.objects.get()
    assert SECRET not in str(caught.value)
    assert unreadable() == 1


def test_a_wrong_key_spoils_no_list_of_accounts(acme: Credential, settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [new_key()]
    assert [account.label for account in Account.objects.select_related("client")] == ["Acme's Salesmate"]


def test_another_secret_key_changes_nothing(acme: Credential) -> None:
    with override_settings(SECRET_KEY="another"):
        assert Credential.objects.get().secrets["session_key"] == SECRET


@pytest.mark.parametrize("place", [0, 8, 20, -1])
def test_a_changed_byte_is_noticed(acme: Credential, place: int) -> None:
    token = bytearray(stored_bytes(acme))
    token[place] ^= 1
    with pytest.raises(SecretUnreadable):
        key_ring().decrypt(bytes(token))


@pytest.mark.parametrize("token", [b"", b"\x80", b"x" * 500])
def test_rubbish_is_unreadable_not_a_crash(token: bytes) -> None:
    with pytest.raises(SecretUnreadable):
        KeyRing([new_key()]).decrypt(token)


@pytest.mark.parametrize(
    "keys",
    [[], ["short"], [new_key(31)], ["not base64 at all, but long enough to be a key !!"], [new_key(), ""]],
)
def test_malformed_keys_are_refused_without_showing_them(keys: list[str]) -> None:
    with pytest.raises(ImproperlyConfigured, match="FIELD_ENCRYPTION_KEYS") as caught:
        KeyRing(keys)
    assert all(key not in str(caught.value) for key in keys if key)


def test_the_same_key_twice_is_refused() -> None:
    key = new_key()
    with pytest.raises(ImproperlyConfigured, match="twice"):
        KeyRing([key, key])


def test_keys_without_padding_and_longer_keys_are_taken() -> None:
    assert KeyRing([new_key().rstrip("=")]).encrypt(b"x")
    assert KeyRing([new_key(48)]).encrypt(b"x")


def test_migrations_name_this_field_and_never_a_key() -> None:
    text, imports = MigrationWriter.serialize(EncryptedJSONField(null=True))
    assert text == "connections.secrets.EncryptedJSONField(null=True)"
    assert imports == {"import connections.secrets"}


@isolate_apps("connections")
def test_copies_of_the_field_stay_what_they_are() -> None:
    class Vault(models.Model):
        content = EncryptedJSONField(null=True)

        class Meta:
            app_label = "connections"

        def __str__(self) -> str:
            return "vault"

    field = Vault._meta.get_field("content")
    for twin in (field.clone(), copy.deepcopy(field)):
        assert type(twin) is EncryptedJSONField
        assert twin.null
        assert twin.db_type(connection) in ("BLOB", "bytea")
    assert Vault().content is None


def test_no_key_and_no_lifetime_of_its_own() -> None:
    with pytest.raises(TypeError):
        EncryptedJSONField(key=b"0" * 32)
    with pytest.raises(TypeError):
        EncryptedJSONField(ttl=5)
