"""The second factor: turned on by a code, asked for at every log-in, kept encrypted, and replaced once by each
recovery code."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.test import Client as Browser

from connections.secrets import SecretUnreadable, stored_values
from connections.services import Refused
from portal.login import two_factor
from portal.models import Authenticator, RecoveryCode
from syncer.models import SyncLog
from tests.connections.office import said
from tests.portal.desk import (
    LOGIN,
    TWO_FACTOR,
    At,
    administrator,
    entries,
    is_in,
    last,
    log_in,
    person,
    shown_at,
    with_phone,
)

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def bob(db: None) -> User:
    return person("bob")


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(LATER, tick=False) as found:
        yield found


def shown(device: Authenticator, moment: datetime = LATER) -> str:
    return shown_at(device, moment.timestamp())


def codes_on(page: Any) -> list[str]:
    return re.findall(r"<li>([a-z2-7]{4}(?:-[a-z2-7]{4}){3})</li>", page.content.decode())


# Turning it on


def test_somebody_turns_it_on_by_the_page(bob: User, clock: Any) -> None:
    browser = Browser()
    log_in("bob", browser=browser)
    assert b"Set it up" in browser.get(TWO_FACTOR).content
    page = browser.post(TWO_FACTOR, {"act": "begin"}, follow=True)
    begun = Authenticator.objects.get()
    assert not begun.confirmed
    html = page.content.decode()
    assert "<svg" in html
    assert begun.key_text in html.replace(" ", "")
    page = browser.post(TWO_FACTOR, {"act": "confirm", "code": shown(begun)})
    assert len(codes_on(page)) == 10
    assert is_in(browser), "this very log-in is a verified one now"
    assert codes_on(browser.get(TWO_FACTOR)) == [], "they are shown once"
    assert "10 recovery codes are left" in browser.get(TWO_FACTOR).content.decode()
    header, payload = last("auth.two_factor_on")
    assert (header["user"], payload) == (bob.pk, {"user": "bob"})


def test_a_wrong_code_turns_nothing_on(bob: User, clock: Any) -> None:
    browser = Browser()
    log_in("bob", browser=browser)
    browser.post(TWO_FACTOR, {"act": "begin"})
    for wrong in ("", "000000", "12345", "aaaa-bbbb-cccc-dddd", "１２３４５６", "x" * 500):
        clock.shift(timedelta(minutes=2))
        page = browser.post(TWO_FACTOR, {"act": "confirm", "code": wrong}, follow=True)
        assert said(page) == [two_factor.WRONG], wrong
    assert not Authenticator.objects.filter(confirmed=True).exists()
    assert is_in(browser)


def test_without_a_beginning_there_is_nothing_to_confirm(bob: User) -> None:
    with pytest.raises(Refused, match="Begin again"):
        two_factor.confirm(bob, "123456")
    with_phone(bob, NOW)
    begun = two_factor.begin(bob, At(LATER))
    with pytest.raises(Refused, match="Begin again"):
        two_factor.confirm(bob, shown(begun), At(LATER))


def test_the_key_is_encrypted_and_bound_to_its_person(bob: User) -> None:
    device, codes = with_phone(bob, NOW)
    with database.cursor() as cursor:
        for table in (Authenticator._meta.db_table, RecoveryCode._meta.db_table):
            cursor.execute(f"SELECT * FROM {database.ops.quote_name(table)}")
            cells = [bytes(cell) if isinstance(cell, memoryview) else cell for row in cursor for cell in row]
            text = " ".join(cell.decode("latin-1") if isinstance(cell, bytes) else str(cell) for cell in cells)
            assert device.key.hex() not in text
            assert device.key_text not in text
            assert not any(code in text or code.replace("-", "") in text for code in codes)
    assert [value.model for value in stored_values()] == [Authenticator], "rotate_keys moves it too"
    carol = person("carol")
    Authenticator.objects.filter(pk=device.pk).update(user=carol)
    with pytest.raises(SecretUnreadable, match="somebody else"):
        two_factor.verified(carol, shown(device), At(LATER))


def test_neither_key_nor_codes_are_in_the_history(bob: User) -> None:
    device, codes = with_phone(bob, NOW)
    two_factor.verified(bob, codes[0], At(LATER))
    text = json.dumps(list(SyncLog.objects.values_list("header", "payload")))
    assert device.key.hex() not in text
    assert not any(code in text for code in codes)


# Logging in


def test_the_code_is_asked_for_and_the_password_alone_lets_nobody_in(bob: User, clock: Any) -> None:
    device, _ = with_phone(bob, NOW)
    browser = Browser()
    answer = log_in("bob", browser=browser)
    assert "needs a second factor" in answer.content.decode()
    assert not is_in(browser)
    assert entries("auth") == [("auth.two_factor_on", "bob"), ("auth.failed", "somebody")]
    assert log_in("bob", code=shown(device), browser=browser).status_code == 302
    assert is_in(browser)
    assert entries("auth")[-1] == ("auth.logged_in", "bob")


def test_a_wrong_password_is_told_nothing_of_the_code(bob: User, clock: Any) -> None:
    device, _ = with_phone(bob, NOW)
    answer = log_in("bob", "wrong", code=shown(device))
    assert "second factor" not in answer.content.decode().replace("two-factor", "")
    assert log_in("bob", code=shown(device)).status_code == 302, "and the code is not used up"


def test_a_code_works_once(bob: User, clock: Any) -> None:
    device, _ = with_phone(bob, NOW)
    code = shown(device)
    assert log_in("bob", code=code).status_code == 302
    clock.shift(timedelta(seconds=2))
    assert log_in("bob", code=code).status_code == 200
    clock.shift(timedelta(seconds=30))
    assert log_in("bob", code=shown(device, LATER + timedelta(seconds=32))).status_code == 302


@pytest.mark.parametrize(("seconds", "status"), [(-61, 200), (-30, 302), (0, 302), (30, 302), (61, 200)])
def test_a_clock_may_be_one_step_off(bob: User, clock: Any, seconds: int, status: int) -> None:
    device, _ = with_phone(bob, NOW)
    code = shown(device, LATER + timedelta(seconds=seconds))
    assert log_in("bob", code=code).status_code == status


def test_wrong_codes_have_to_wait_longer_each_time(bob: User) -> None:
    device, _ = with_phone(bob, NOW)
    moment = LATER
    for wait in (1, 2, 4, 8):
        with time_machine.travel(moment, tick=False):
            assert "not right" in refused(bob, "000000", moment)
            assert "Too many" in refused(bob, shown(device, moment), moment), "a right one too, that early"
        moment += timedelta(seconds=wait)
    with time_machine.travel(moment, tick=False):
        assert two_factor.verified(bob, shown(device, moment), At(moment)).pk == device.pk
        device.refresh_from_db()
        assert device.throttling_failure_count == 0


def refused(user: User, code: str, moment: datetime) -> str:
    with pytest.raises(Refused) as error:
        two_factor.verified(user, code, At(moment))
    return str(error.value)


def test_who_guesses_twice_at_the_same_moment_has_one_try(bob: User) -> None:
    """Two requests that both read the device before either wrote."""
    device, _ = with_phone(bob, NOW)
    one, two = (Authenticator.objects.get(pk=device.pk) for _ in range(2))
    assert one.may_try(LATER)
    assert not two.may_try(LATER)


def test_the_same_code_at_the_same_moment_works_once(bob: User) -> None:
    device, _ = with_phone(bob, NOW)
    one, two = (Authenticator.objects.get(pk=device.pk) for _ in range(2))
    assert one.takes(shown(device), LATER)
    assert not two.takes(shown(device), LATER)


def test_wrong_codes_lock_as_wrong_passwords_do(bob: User, clock: Any) -> None:
    with_phone(bob, NOW)
    answers = []
    for _ in range(5):
        clock.shift(timedelta(minutes=2))
        answers.append(log_in("bob", code="000000").status_code)
    assert answers == [200, 200, 200, 200, 429]
    header, payload = last("auth.failed")
    assert (header["reason"], payload["user"]) == ("code", "bob")
    assert entries("auth")[-1] == ("auth.locked_out", "somebody")


# Recovery codes


def test_each_recovery_code_lets_in_once(bob: User, clock: Any) -> None:
    _, codes = with_phone(bob, NOW)
    browser = Browser()
    assert log_in("bob", code=codes[0].upper().replace("-", " "), browser=browser).status_code == 302
    assert is_in(browser)
    header, payload = last("auth.recovery_code_used")
    assert (header["user"], header["left"], payload) == (bob.pk, 9, {"user": "bob"})
    assert log_in("bob", code=codes[0]).status_code == 200
    clock.shift(timedelta(seconds=2))
    assert log_in("bob", code=codes[1]).status_code == 302


def test_nobody_else_s_recovery_code_lets_in(bob: User, clock: Any) -> None:
    with_phone(bob, NOW)
    _, hers = with_phone(person("carol"), NOW)
    assert log_in("bob", code=hers[0]).status_code == 200
    assert RecoveryCode.objects.count() == 20


def test_new_codes_end_the_old_ones(bob: User, clock: Any) -> None:
    device, old = with_phone(bob, NOW)
    browser = Browser()
    log_in("bob", code=shown(device), browser=browser)
    page = browser.post(TWO_FACTOR, {"act": "codes", "code": "000000"}, follow=True)
    assert said(page) == [two_factor.WRONG]
    clock.shift(timedelta(seconds=60))
    code = shown(device, LATER + timedelta(seconds=60))
    new = codes_on(browser.post(TWO_FACTOR, {"act": "codes", "code": code}))
    assert len(set(new)) == 10
    assert set(new).isdisjoint(old)
    assert log_in("bob", code=old[0]).status_code == 200
    clock.shift(timedelta(seconds=2))
    assert log_in("bob", code=new[0]).status_code == 302
    assert ("auth.recovery_codes_made", "bob") in entries("auth")


# Turning it off


def test_turning_it_off_needs_a_code(bob: User, clock: Any) -> None:
    _, codes = with_phone(bob, NOW)
    browser = Browser()
    log_in("bob", code=codes[0], browser=browser)
    page = browser.post(TWO_FACTOR, {"act": "off", "code": ""}, follow=True)
    assert said(page) == [two_factor.WRONG]
    clock.shift(timedelta(seconds=2))
    page = browser.post(TWO_FACTOR, {"act": "off", "code": codes[1]}, follow=True)
    assert said(page) == ["Two-factor log-in is off."]
    assert entries("auth")[-1] == ("auth.two_factor_off", "bob")
    assert is_in(browser)
    assert log_in("bob").status_code == 302
    assert not RecoveryCode.objects.exists()


def test_other_log_ins_end_when_it_is_turned_on(bob: User, clock: Any) -> None:
    elsewhere = Browser()
    log_in("bob", browser=elsewhere)
    with_phone(bob, NOW)
    answer = elsewhere.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0] == LOGIN
    assert "Log in again" in answer.content.decode()
    assert elsewhere.post("/admin/password_change/", {}).status_code == 302


def test_an_administrator_resets_it_and_so_does_the_machine(bob: User, clock: Any) -> None:
    administrator()
    anna = Browser()
    log_in("anna", browser=anna)
    with_phone(bob, NOW)
    page = anna.post(f"/admin/portal/person/{bob.pk}/act/reset/", follow=True)
    assert said(page)[0].startswith("The second factor of bob is reset")
    assert entries("auth")[-1] == ("auth.two_factor_off", "anna")
    assert log_in("bob").status_code == 302
    with_phone(bob, NOW)
    out = StringIO()
    call_command("reset_two_factor", "bob", stdout=out)
    assert "password alone" in out.getvalue()
    assert entries("auth")[-1] == ("auth.two_factor_off", "command line")
    with pytest.raises(CommandError, match="not on"):
        call_command("reset_two_factor", "bob")
    with pytest.raises(CommandError, match="Nobody here"):
        call_command("reset_two_factor", "nobody")


# Required of everybody


def test_where_it_is_required_nobody_works_before_they_have_it(bob: User, settings: Any, clock: Any) -> None:
    settings.TWO_FACTOR = "required"
    browser = Browser()
    log_in("bob", browser=browser)
    for address in ("/admin/", "/admin/portal/person/", "/admin/password_change/", "/admin/nonsense/", "/nonsense"):
        answer = browser.get(address, follow=True)
        assert answer.redirect_chain[-1][0] == TWO_FACTOR, address
        assert "set up two-factor log-in" in answer.content.decode()
    browser.post(TWO_FACTOR, {"act": "begin"})
    browser.post(TWO_FACTOR, {"act": "confirm", "code": shown(Authenticator.objects.get())})
    assert is_in(browser)
    assert browser.post("/admin/logout/").status_code == 200
    assert Browser().get("/healthz").status_code == 200


def test_who_is_led_there_may_log_out(bob: User, settings: Any) -> None:
    settings.TWO_FACTOR = "required"
    browser = Browser()
    log_in("bob", browser=browser)
    assert browser.post("/admin/logout/").status_code == 200
    assert browser.get("/admin/")["Location"].startswith(LOGIN)
