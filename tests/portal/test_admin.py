"""The queue's pages are for looking: nobody, not even a superuser, can make the worker run something from there."""

from datetime import UTC, datetime

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client as Browser
from django_q.models import Schedule

from portal.admin import READ_ONLY


@pytest.fixture
def alice(db: None) -> Browser:
    browser = Browser()
    browser.force_login(User.objects.create_superuser("alice", password="a-long-password"))
    return browser


@pytest.fixture
def schedule(db: None) -> Schedule:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    return Schedule.objects.create(name="tick", func="syncer.tasks.tick", schedule_type="I", minutes=1, next_run=now)


def test_all_pages_of_the_queue_are_ours() -> None:
    for model, page in READ_ONLY:
        assert type(admin.site.get_model_admin(model)) is page


def test_a_schedule_can_be_seen_and_not_changed(alice: Browser, schedule: Schedule) -> None:
    page = f"/admin/django_q/schedule/{schedule.pk}/change/"
    assert b"syncer.tasks.tick" in alice.get(page).content
    assert alice.post(page, {"name": "evil", "func": "os.system"}).status_code == 403
    schedule.refresh_from_db()
    assert schedule.func == "syncer.tasks.tick"


def test_a_schedule_can_be_neither_added_nor_deleted(alice: Browser, schedule: Schedule) -> None:
    assert alice.get("/admin/django_q/schedule/add/").status_code == 403
    assert alice.post("/admin/django_q/schedule/add/", {"func": "os.system"}).status_code == 403
    assert alice.post(f"/admin/django_q/schedule/{schedule.pk}/delete/", {"post": "yes"}).status_code == 403
    selected = {"action": "delete_selected", "_selected_action": str(schedule.pk), "post": "yes"}
    alice.post("/admin/django_q/schedule/", selected)
    assert list(Schedule.objects.filter(pk=schedule.pk)) == [schedule]


@pytest.mark.parametrize("name", ["schedule", "success", "failure", "ormq"])
def test_every_list_opens_and_offers_no_action(alice: Browser, schedule: Schedule, name: str) -> None:
    response = alice.get(f"/admin/django_q/{name}/")
    assert response.status_code == 200
    assert b'name="action"' not in response.content
