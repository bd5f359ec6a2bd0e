"""What stops those who try many names or many addresses, and what still works where the history or the keys do not."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client as Browser

from connections import people
from connections.services import Refused
from portal import busy
from portal.login import two_factor
from portal.models import Authenticator
from syncer.audit.chain import LogBroken, LogBusy
from syncer.models import SyncLog
from syncer.models.log import Kind
from tests.connections.office import at_desk, said
from tests.portal.desk import PASSWORD, TWO_FACTOR, administrator, entries, last, log_in, person, with_phone

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
ROOT = Path(__file__).parent.parent.parent
KIND = re.compile(r'"((?:auth|access|key)\.[a-z_]+|book\.(?:added|changed|emptied|cursor_expired))"')


def test_a_new_address_of_the_same_network_is_no_new_try() -> None:
    person("bob")
    answers = [log_in("bob", "wrong", REMOTE_ADDR=f"2001:db8:1:2::{number:x}").status_code for number in range(1, 6)]
    assert answers == [200, 200, 200, 200, 429]
    assert log_in("bob", REMOTE_ADDR="2001:db8:1:2:ffff::7").status_code == 429
    assert log_in("bob", REMOTE_ADDR="2001:db8:1:3::7").status_code == 302, "the next network is another subscriber"


def test_addresses_of_ipv4_stay_apart_on_a_socket_for_both() -> None:
    person("bob")
    for _ in range(5):
        log_in("bob", "wrong", REMOTE_ADDR="::ffff:203.0.113.9")
    assert log_in("bob", REMOTE_ADDR="203.0.113.9").status_code == 429
    assert log_in("bob", REMOTE_ADDR="::ffff:198.51.100.7").status_code == 302


def test_ever_new_names_are_stopped_and_fill_no_history(settings: Any) -> None:
    settings.LOGIN_FAILURES_PER_NETWORK = 12
    person("bob")
    with time_machine.travel(NOW, tick=False) as clock:
        answers = [log_in(f"name-{number}", "wrong", REMOTE_ADDR="192.0.2.7").status_code for number in range(12)]
        assert answers == [200] * 12
        told = SyncLog.objects.count()
        for number in range(12, 20):
            assert log_in(f"name-{number}", "wrong", REMOTE_ADDR="192.0.2.7").status_code == 429
        answer = log_in("bob", REMOTE_ADDR="192.0.2.7")
        assert (answer.status_code, answer["Retry-After"]) == (429, "900"), "a right password is not looked at either"
        assert SyncLog.objects.count() == told
        assert log_in("bob", REMOTE_ADDR="192.0.2.8").status_code == 302
        clock.shift(timedelta(minutes=15, seconds=1))
        assert log_in("bob", REMOTE_ADDR="192.0.2.7").status_code == 302


def test_a_right_password_without_the_code_is_on_record_and_counts() -> None:
    bob = person("bob")
    with_phone(bob, NOW)
    answers = [log_in("bob").status_code for _ in range(5)]
    assert answers == [200, 200, 200, 200, 429]
    header, payload = last("auth.failed")
    assert (header["user"], header["reason"], payload["user"]) == (bob.pk, "no_code", "bob")


@pytest.mark.parametrize("name", ["schedule", "System", "ANNA", "anna"])
def test_no_name_is_mistaken_for_another(name: str) -> None:
    administrator()
    with pytest.raises(ValidationError) as error:
        people.save_person(User(username=name), "anna", password=PASSWORD)
    assert "username" in error.value.message_dict
    assert User.objects.count() == 1


def test_a_name_may_keep_its_capitals_when_its_person_is_edited() -> None:
    anna, bob = administrator(), person("Bob")
    bob.email = "b@example.com"
    people.save_person(bob, anna.username)
    bob.username = "BOB"
    people.save_person(bob, anna.username)
    assert User.objects.get(pk=bob.pk).username == "BOB"


def test_who_has_no_password_yet_is_not_the_administrator_who_stays() -> None:
    anna, bob = administrator(), administrator("bob")
    people.invite(bob, anna.username)
    with pytest.raises(Refused, match="last administrator"):
        people.deactivate(anna, "bob")
    assert User.objects.get(pk=anna.pk).is_active


def test_a_link_ends_with_its_person_s_deactivation() -> None:
    administrator()
    bob = person("bob")
    who, what = people.invite(bob, "anna")
    people.deactivate(User.objects.get(pk=bob.pk), "anna")
    people.activate(User.objects.get(pk=bob.pk), "anna")
    assert b"does not work" in Browser().get(f"/admin/invited/{who}/{what}/", follow=True).content


# Where the keys are lost, or the history takes nothing


def test_after_the_keys_are_lost_people_are_listed_and_the_second_factor_is_reset(settings: Any) -> None:
    bob = person("bob")
    with_phone(bob, NOW)
    desk = at_desk(administrator())
    settings.FIELD_ENCRYPTION_KEYS = ["bmV3LWtleS1uZXcta2V5LW5ldy1rZXktbmV3LWtleS0="]
    for address in ("/admin/portal/person/", f"/admin/portal/person/{bob.pk}/change/"):
        assert desk.get(address).status_code == 200
    assert "cannot be read" in log_in("bob", code="123456").content.decode()
    page = desk.post(f"/admin/portal/person/{bob.pk}/act/reset/", follow=True)
    assert "is reset" in said(page)[0]
    assert not Authenticator.objects.exists()
    assert log_in("bob").status_code == 302


def test_a_second_factor_that_cannot_be_read_is_a_page_in_words(settings: Any) -> None:
    anna = administrator()
    two_factor.begin(anna)
    settings.FIELD_ENCRYPTION_KEYS = ["bmV3LWtleS1uZXcta2V5LW5ldy1rZXktbmV3LWtleS0="]
    answer = at_desk(anna).get(TWO_FACTOR)
    assert answer.status_code == 503
    assert "FIELD_ENCRYPTION_KEYS" in answer.content.decode()


@pytest.mark.parametrize("kind", [LogBusy, LogBroken])
def test_a_history_that_takes_nothing_is_a_page_in_words(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = administrator()
    desk = at_desk(anna)

    def full(*args: Any) -> None:
        raise kind("The log portal is busy.")

    monkeypatch.setattr(people, "append", full)
    new = {"old_password": PASSWORD, "new_password1": "another-pass-phrase", "new_password2": "another-pass-phrase"}
    answer = desk.post("/admin/password_change/", new)
    assert answer.status_code == 503
    assert busy.REASONS[kind].split("`")[0] in answer.content.decode()
    assert ("Retry-After" in answer) == (kind is LogBusy)
    assert User.objects.get(pk=anna.pk).check_password(PASSWORD)


def test_every_kind_has_a_name_for_people() -> None:
    folders = [ROOT / name for name in ("portal", "connections", "syncer")]
    texts = [path.read_text() for folder in folders for path in folder.rglob("*.py") if "migrations" not in path.parts]
    assert {kind for text in texts for kind in KIND.findall(text)} <= set(Kind.values)
    assert entries() == []
