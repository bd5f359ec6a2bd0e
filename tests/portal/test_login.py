"""Who logs in, who does not, and how often somebody may try; the history tells of all of it."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured
from django.db import connection as database
from django.test import Client as Browser
from django.test import RequestFactory

from portal.addresses import client_address
from portal.login import trail
from syncer.audit import triggers
from syncer.audit.chain import Entry, LogBusy, append
from syncer.models import LogChain, SyncLog
from tests.portal.desk import LOGIN, PASSWORD, administrator, entries, is_in, last, log_in, person

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
TYPED = "hunter2-typed-in-the-wrong-box"


def tables() -> str:
    found = []
    with database.cursor() as cursor:
        for name in database.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {database.ops.quote_name(name)}")
            found += [str(cell) for row in cursor.fetchall() for cell in row]
    return "\n".join(found)


# The history


def test_logging_in_and_out_stands_in_the_history() -> None:
    bob = person("bob")
    browser = Browser()
    assert log_in("bob", browser=browser, REMOTE_ADDR="192.0.2.7").status_code == 302
    assert is_in(browser)
    header, payload = last("auth.logged_in")
    assert (header["user"], payload) == (bob.pk, {"user": "bob", "address": "192.0.2.7"})
    browser.post("/admin/logout/")
    assert not is_in(browser)
    assert entries("auth") == [("auth.logged_in", "bob"), ("auth.logged_out", "bob")]


def test_a_wrong_password_is_told_of_the_person_it_was_tried_for() -> None:
    bob = person("bob")
    assert log_in("bob", "wrong", REMOTE_ADDR="192.0.2.7").status_code == 200
    header, payload = last("auth.failed")
    assert (header["user"], header["reason"]) == (bob.pk, "password")
    assert payload == {"user": "bob", "address": "192.0.2.7"}
    assert entries("auth") == [("auth.failed", "somebody")]


def test_what_somebody_unknown_typed_is_kept_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """People type their password into the box for the name."""
    caplog.set_level(logging.DEBUG)
    person("bob")
    log_in(TYPED, TYPED, HTTP_USER_AGENT="phone")
    header, payload = last("auth.failed")
    assert "user" not in header
    assert payload == {"address": "127.0.0.1"}
    assert AccessAttempt.objects.get().username.startswith("unknown:")
    assert TYPED not in tables()
    # What Django's own debug lines of SQL hold is no line that LOG_LEVEL lets through in production.
    said = [record.getMessage() for record in caplog.records if not record.name.startswith("django.db")]
    assert not any(TYPED in line for line in said)


def test_a_password_is_in_no_table_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    person("bob")
    for password in (PASSWORD, TYPED):
        log_in("bob", password)
    assert TYPED not in tables()
    assert PASSWORD not in tables()
    assert not any(word in record.getMessage() for record in caplog.records for word in (PASSWORD, TYPED))


def test_somebody_deactivated_is_told_nothing_and_not_let_in() -> None:
    bob = person("bob")
    bob.is_active = False
    bob.save()
    answer = log_in("bob")
    assert "correct username and password" in answer.content.decode()
    assert entries("auth") == [("auth.failed", "somebody")]


def test_a_busy_history_is_tried_once_more(caplog: pytest.LogCaptureFixture) -> None:
    entry, tries = Entry("auth.logged_in", "bob"), []

    def busy(*given: Any) -> None:
        tries.append(given)
        if len(tries) <= rivals:
            raise LogBusy("The log portal is busy; nothing was written. Try again.")
        append(*given)

    rivals = 1
    trail.tell([entry], write=busy)
    assert entries("auth") == [("auth.logged_in", "bob")]
    rivals = 9
    trail.tell([entry], write=busy)
    assert len(tries) == 4
    assert entries("auth") == [("auth.logged_in", "bob")]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_broken_history_keeps_nobody_out() -> None:
    """Who has to repair it must get in."""
    person("bob")
    log_in("bob")
    log_in("bob")
    with triggers.suspended():
        LogChain.objects.filter(name="portal").update(head_seq=1)
    browser = Browser()
    assert log_in("bob", browser=browser).status_code == 302
    assert is_in(browser)


# The lock


def test_the_fifth_wrong_try_locks_that_name_at_that_address_for_a_while() -> None:
    person("bob")
    with time_machine.travel(NOW, tick=False) as clock:
        answers = [log_in("bob", "wrong").status_code for _ in range(5)]
        assert answers == [200, 200, 200, 200, 429]
        answer = log_in("bob")
        assert answer.status_code == 429
        assert answer["Retry-After"] == "900"
        assert "Wait 15 minutes" in answer.content.decode()
        assert log_in("bob", REMOTE_ADDR="192.0.2.7").status_code == 302, "another address is not locked"
        clock.shift(timedelta(minutes=14))
        assert log_in("bob").status_code == 429
        clock.shift(timedelta(minutes=1, seconds=1))
        assert log_in("bob").status_code == 302


def test_trying_while_locked_makes_it_no_longer_and_fills_no_history() -> None:
    person("bob")
    with time_machine.travel(NOW, tick=False) as clock:
        for _ in range(5):
            log_in("bob", "wrong")
        told = SyncLog.objects.count()
        assert entries("auth")[-1] == ("auth.locked_out", "somebody")
        assert [kind for kind, _ in entries("auth")].count("auth.failed") == 5
        for _ in range(5):
            clock.shift(timedelta(minutes=2))
            assert log_in("bob", "wrong").status_code == 429
        assert SyncLog.objects.count() == told
        clock.shift(timedelta(minutes=6))
        assert log_in("bob").status_code == 302


def test_two_processes_count_together() -> None:
    """Each has a memory of its own; the count is in the database."""
    from django.core.cache import cache

    person("bob")
    one, two = Browser(), Browser()
    for number in range(4):
        assert log_in("bob", "wrong", browser=(one, two)[number % 2]).status_code == 200
        cache.clear()  # what another process would not see either
    assert log_in("bob", "wrong", browser=two).status_code == 429
    assert log_in("bob", browser=one).status_code == 429


def test_success_forgets_earlier_slips_and_unknown_names_are_locked_too() -> None:
    person("bob")
    for _ in range(3):
        for _ in range(4):
            log_in("bob", "wrong")
        assert log_in("bob").status_code == 302
    assert [log_in(TYPED, "wrong").status_code for _ in range(5)][-1] == 429
    assert log_in("bob").status_code == 302, "others at the same address are not locked"


def test_failed_log_ins_are_looked_at_by_administrators_alone() -> None:
    administrator()
    person("bob")
    log_in("bob", "wrong")
    attempt = AccessAttempt.objects.get()
    base = "/admin/axes/accessattempt/"
    anna, bob = Browser(), Browser()
    log_in("anna", browser=anna)
    log_in("bob", browser=bob, REMOTE_ADDR="192.0.2.7")
    page = anna.get(f"{base}{attempt.pk}/change/")
    assert b"Save" not in page.content
    assert anna.post(f"{base}{attempt.pk}/delete/", {"post": "yes"}).status_code == 403
    assert anna.post(f"{base}{attempt.pk}/change/", {"username": "x"}).status_code == 403
    assert bob.get(base).status_code == 403
    axes = [model for model in admin.site._registry if model._meta.app_label == "axes"]
    assert [model.__name__ for model in axes] == ["AccessAttempt"]
    assert not apps.get_model("axes", "AccessLog")._default_manager.exists()


# Where somebody comes from


@pytest.mark.parametrize(
    ("behind", "count", "passed", "found"),
    [
        (False, 1, "192.0.2.1", "127.0.0.1"),
        (True, 1, "192.0.2.1", "192.0.2.1"),
        (True, 1, "6.6.6.6, 192.0.2.1", "192.0.2.1"),
        (True, 2, "6.6.6.6, 192.0.2.1, 10.0.0.1", "192.0.2.1"),
        (True, 2, "192.0.2.1", "127.0.0.1"),
        (True, 1, "", ""),
        (True, 1, "<script>", ""),
        (True, 1, "2001:db8::1", "2001:db8::1"),
    ],
)
def test_behind_a_proxy_its_word_counts_and_nobody_else_s(
    settings: Any, behind: bool, count: int, passed: str, found: str
) -> None:
    settings.BEHIND_PROXY, settings.PROXY_COUNT = behind, count
    assert client_address(RequestFactory().get("/", HTTP_X_FORWARDED_FOR=passed)) == found


def test_who_makes_up_an_address_is_counted_all_the_same(settings: Any) -> None:
    settings.BEHIND_PROXY = True
    person("bob")
    for number in range(5):
        answer = log_in("bob", "wrong", HTTP_X_FORWARDED_FOR=f"6.6.6.{number}, 192.0.2.1")
    assert answer.status_code == 429


def test_the_trail_listens_to_all_ways_in() -> None:
    """Also to those that are not ours: a log-in without a form."""
    browser = Browser()
    browser.force_login(person("bob"))
    assert entries("auth") == [("auth.logged_in", "bob")]
    assert trail.SOMEBODY == "somebody"


def test_a_setting_that_means_nothing_stops_the_start() -> None:
    import os
    import subprocess
    import sys

    env = os.environ | {"TWO_FACTOR": "yes", "DJANGO_SETTINGS_MODULE": "tests.settings"}
    code = "import django; django.setup()"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert ImproperlyConfigured.__name__ in done.stderr
    assert "optional or required" in done.stderr


def test_the_log_in_page_opens_for_anybody() -> None:
    page = Browser().get(LOGIN)
    assert page.status_code == 200
    assert b'name="code"' in page.content
