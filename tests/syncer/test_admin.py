"""What was done can be looked at by those who may, changed by nobody, and a plan is approved only as it was seen."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from connections import services
from connections.models import Client, Connection
from portal.clock import SYSTEM
from syncer.admin import base
from syncer.audit.chain import Entry, append
from syncer.engine.holds import open_book_hold
from syncer.models import Book, Hold, Link, Record, SyncLog, SyncRun
from tests.connections.office import ANNA, SECRETS, Office, at_desk, office, said, staff

pytestmark = pytest.mark.django_db
MODELS = ("syncrun", "hold", "link", "book", "record", "synclog")
INSIDE = ("logchain", "logcheckpoint", "accountlease", "apiusage", "heartbeat")


@pytest.fixture
def acme(tmp_path: Path, settings: Any) -> Iterator[Office]:
    with office(tmp_path, settings) as found:
        yield found


def url(model: str, obj: Any = None, what: str = "change") -> str:
    return f"/admin/syncer/{model}/" + (f"{obj.pk}/{what}/" if obj is not None else "")


def text(page: Any) -> str:
    html = re.sub(r"<(script|style).*?</\1>", "", page.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def the_plan() -> SyncRun:
    return SyncRun.objects.get(status="waiting")


def things(connection: Connection) -> dict[str, Any]:
    book = Book.objects.get(account=connection.left_account)
    open_book_hold(book, Hold.Kind.SUSPECTS, {"contacts": 7, "of": 100}, SYSTEM.now())
    return {
        "syncrun": SyncRun.objects.get(),
        "hold": Hold.objects.get(),
        "link": Link.objects.exclude(left=None).exclude(changes=None).first(),
        "book": book,
        "record": Record.objects.filter(book=book).first(),
        "synclog": SyncLog.objects.filter(connection=connection.code).first(),
    }


def test_a_plan_is_shown_in_words(acme: Office) -> None:
    connection = acme.first_plan()
    page = text(acme.browser.get(url("syncrun", the_plan())))
    assert (
        "a plan waits for review"
        in text(acme.browser.get(f"/admin/connections/connection/{connection.pk}/change/")).lower()
    )
    assert "Grace Hopper <grace@example.com>" in page
    assert "not in the other book" in page
    assert "the same e-mail address" in page
    assert "Approve this plan" in page
    only = text(acme.browser.get(url("syncrun", the_plan()) + "?operation=create&side=left"))
    assert "Person 1" in only
    assert "Grace" not in only


@pytest.mark.proves("I29", "E5 approving")
def test_exactly_the_plan_that_was_seen_is_approved(acme: Office) -> None:
    connection = acme.first_plan()
    plan = the_plan()
    for digest in ("", "0" * 64):
        page = acme.browser.post(url("syncrun", plan, "act/approve"), {"digest": digest}, follow=True)
        assert said(page) == ["This is not the plan that you looked at. Load it again."]
    page = acme.browser.post(url("syncrun", plan, "act/approve"), {"digest": plan.plan_digest}, follow=True)
    assert said(page)[0].startswith("Approved.")
    assert acme.sync(connection) == "done"
    assert SyncLog.objects.filter(kind="plan.approved").get().actor == ANNA
    page = acme.browser.get(url("syncrun", plan))
    assert "created on the right" in text(page)
    page = acme.browser.post(url("syncrun", plan, "act/approve"), {"digest": plan.plan_digest}, follow=True)
    assert said(page) == ["That is not possible any more. Here is how it stands now."]


def test_a_plan_is_rejected_and_the_connection_pauses(acme: Office) -> None:
    connection = acme.first_plan()
    plan = the_plan()
    page = acme.browser.post(url("syncrun", plan, "act/reject"), {"digest": plan.plan_digest}, follow=True)
    assert said(page)[0].startswith("Rejected")
    connection.refresh_from_db()
    assert connection.state == "paused"


def test_before_and_after_of_an_update_and_its_history(acme: Office) -> None:
    connection = acme.first_plan()
    plan = the_plan()
    acme.browser.post(url("syncrun", plan, "act/approve"), {"digest": plan.plan_digest})
    acme.sync(connection)
    link = Link.objects.get(left__match_key="ada@example.com", right__isnull=False)
    acme.sync(connection)
    page = text(acme.browser.get(url("link", link)))
    assert "In sync" in page
    assert "Result of a write" in page
    update = link.changes.filter(operation="update").last()
    assert update is not None
    shown = text(acme.browser.get(url("syncrun", update.run)))
    assert "Programmer \u2192 Countess (both changed, and the left wins" in shown
    entry = SyncLog.objects.filter(link=link.code, operation="update", kind="write.intent").last()
    assert entry is not None
    assert "Countess" in text(acme.browser.get(url("synclog", entry)))


def test_a_book_s_question_is_answered_by_a_button(acme: Office) -> None:
    connection = acme.first_plan()
    hold = things(connection)["hold"]
    page = acme.browser.get(url("hold", hold))
    assert "say so; then reading goes on" in text(page)
    page = acme.browser.post(url("hold", hold, "act/right"), follow=True)
    assert said(page) == ["Noted. The next runs of its connections go on from here."]
    hold.refresh_from_db()
    assert (hold.resolver, hold.resolution) == (ANNA, "it is right")
    page = acme.browser.post(url("hold", hold, "act/right"), follow=True)
    assert said(page) == ["That is not possible any more. Here is how it stands now."]


def test_open_holds_come_first(acme: Office) -> None:
    connection = acme.first_plan()
    hold = things(connection)["hold"]
    now = SYSTEM.now()
    done = {"connection": connection, "kind": "guard", "opened": now, "resolved": now, "resolution": "approved"}
    Hold.objects.create(subject="later", **done)
    rows = acme.browser.get(url("hold")).context["cl"].result_list
    assert rows[0].pk == hold.pk
    listed = acme.browser.get(url("hold") + f"?of={connection.pk}&state=open").context["cl"].result_list
    assert [row.pk for row in listed] == [hold.pk]


def test_nothing_here_can_be_added_changed_or_deleted(acme: Office) -> None:
    connection = acme.first_plan()
    for model, thing in things(connection).items():
        assert acme.browser.get(url(model) + "add/").status_code == 403
        assert acme.browser.post(url(model, thing), {"actor": "x"}).status_code == 403
        assert acme.browser.post(url(model, thing, "delete"), {"post": "yes"}).status_code == 403
        page = acme.browser.get(url(model, thing))
        assert page.status_code == 200
        assert b'name="_save"' not in page.content


def test_the_machine_room_is_for_superusers_to_look_at(acme: Office) -> None:
    acme.first_plan()
    bob = at_desk(staff("bob", (acme.acme, "manager")))
    for model in INSIDE:
        page = acme.browser.get(url(model))
        assert page.status_code == 200
        for row in page.context["cl"].result_list[:1]:
            assert acme.browser.get(url(model, row)).status_code == 200
        assert bob.get(url(model)).status_code == 403


def test_staff_of_another_client_see_and_do_nothing(acme: Office) -> None:
    connection = acme.first_plan()
    found = things(connection)
    globex = Client.objects.create(name="Globex", slug="globex")
    bob = at_desk(staff("bob", (globex, "manager"), values="full"))
    plan = the_plan()
    for model, thing in found.items():
        assert bob.get(url(model, thing)).status_code == 302, model
        assert bob.get(url(model, thing, "history")).status_code in (302, 404)
        for act in ("approve", "reject", "right"):
            assert bob.post(url(model, thing, f"act/{act}"), {"digest": plan.plan_digest}).status_code in (302, 403)
        page = bob.get(url(model))
        assert len(page.context["cl"].result_list) == 0
        assert "Alice" not in page.content.decode()
    plan.refresh_from_db()
    assert plan.status == "waiting"


def test_an_auditor_sees_a_plan_masked_and_cannot_approve_it(acme: Office) -> None:
    connection = acme.first_plan()
    found = things(connection)
    carol = at_desk(staff("carol", (acme.acme, "auditor")))
    for model, thing in found.items():
        for page in (carol.get(url(model, thing)), carol.get(url(model))):
            assert page.status_code == 200
            assert "Hopper" not in page.content.decode(), model
            assert "@example.com" not in page.content.decode(), model
    page = carol.get(url("syncrun", the_plan()))
    assert "H... (6 characters)" in text(page)
    assert "Approve" not in text(page)
    for act in ("approve", "reject"):
        answer = carol.post(url("syncrun", the_plan(), f"act/{act}"), {"digest": the_plan().plan_digest})
        assert answer.status_code == 403
    dora = at_desk(staff("dora", (acme.acme, "approver"), values="full"))
    page = dora.get(url("syncrun", the_plan()))
    assert "Hopper" in text(page)
    page = dora.post(url("syncrun", the_plan(), "act/approve"), {"digest": the_plan().plan_digest}, follow=True)
    assert said(page)[0].startswith("Approved.")


def test_the_log_of_the_portal_is_for_superusers(acme: Office) -> None:
    acme.first_plan()
    carol = at_desk(staff("carol", (acme.acme, "auditor"), values="full"))
    seen = {row.chain_id for row in carol.get(url("synclog")).context["cl"].result_list}
    entry = SyncLog.objects.filter(chain__name="portal").first()
    assert entry is not None
    assert entry.chain_id not in seen
    assert carol.get(url("synclog", entry)).status_code == 302
    assert acme.browser.get(url("synclog", entry)).status_code == 200


def test_the_log_is_found_by_code_kind_and_date(acme: Office) -> None:
    connection = acme.first_plan()
    plan = the_plan()
    for question, wanted in (
        (f"?q={plan.code}", {"run": plan.code}),
        (f"?q={connection.code}", {"connection": connection.code}),
        ("?kind__exact=plan.made", {"kind": "plan.made"}),
    ):
        rows = acme.browser.get(url("synclog") + question).context["cl"].result_list
        assert rows
        assert {row.pk for row in rows} == set(SyncLog.objects.filter(**wanted).values_list("pk", flat=True))
    assert acme.browser.get(url("synclog") + "?q=nonsense").context["cl"].result_list == []


def test_leafing_ends_and_counts_no_further(acme: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry("key.rotated", ANNA) for _ in range(119)]  # and one of Anna's log-in
    with transaction.atomic():
        append("portal", entries, SYSTEM.now())
    page = acme.browser.get(url("synclog"))
    assert len(page.context["cl"].result_list) == 50
    assert page.context["cl"].result_count == 120
    monkeypatch.setattr(base, "MOST", 100)
    page = acme.browser.get(url("synclog"))
    assert page.context["cl"].paginator.num_pages == 2


@pytest.mark.parametrize("model", ["syncrun", "hold", "link", "record", "synclog"])
def test_a_longer_list_asks_no_more_questions(acme: Office, model: str, django_assert_max_num_queries: Any) -> None:
    connection = acme.first_plan()
    things(connection)
    for number in range(2, 12):
        acme.salesmate.person(number)
    plan = the_plan()
    acme.browser.post(url("syncrun", plan, "act/reject"), {"digest": plan.plan_digest})
    services.resume(Connection.objects.get(), ANNA)
    acme.sync(connection)
    with django_assert_max_num_queries(16):
        acme.browser.get(url(model))


def test_contacts_are_found_by_their_address(acme: Office) -> None:
    acme.first_plan()
    for model in ("link", "record"):
        rows = acme.browser.get(url(model) + "?q=Grace@Example.com").context["cl"].result_list
        assert ["Grace Hopper" in row.person for row in rows] == [True]


def test_empty_lists_open(acme: Office) -> None:
    for model in (*MODELS, *INSIDE):
        assert acme.browser.get(url(model)).status_code == 200


@pytest.mark.proves("I34")
def test_no_page_holds_a_secret(acme: Office) -> None:
    connection = acme.first_plan()
    for model, thing in things(connection).items():
        for address in (url(model), url(model, thing)):
            html = acme.browser.get(address).content.decode()
            assert not any(secret in html for secret in SECRETS), address


def test_every_link_leads_somewhere(acme: Office) -> None:
    connection = acme.first_plan()
    plan = the_plan()
    acme.browser.post(url("syncrun", plan, "act/approve"), {"digest": plan.plan_digest})
    acme.sync(connection)
    pages = [url(model, thing) for model, thing in things(connection).items()] + [url(model) for model in MODELS]
    configured = {"client": connection.client, "account": connection.left_account, "connection": connection}
    pages += [f"/admin/connections/{model}/{thing.pk}/change/" for model, thing in configured.items()]
    found = {(page, unescape(link)) for page in pages for link in links(acme.browser.get(page).content.decode())}
    assert len(found) > 100
    for page, link in sorted(found):
        target = link if link.startswith("/") else page + link
        assert acme.browser.get(target, follow=True).status_code == 200, (page, link)


def links(html: str) -> list[str]:
    content = html[html.index('id="content"') :]
    return [link for link in re.findall(r'<a [^>]*href="([^"#]+)"', content) if link.startswith(("/", "?"))]


def test_a_run_that_waits_for_a_worker_is_cancelled_by_who_may_start_one(acme: Office) -> None:
    acme.first_plan()
    approve_the_plan(acme)
    run = SyncRun.objects.get()
    assert "Cancel this run" in text(acme.browser.get(url("syncrun", run)))
    approver = at_desk(staff("the-approver", (acme.acme, "approver")))
    assert "Cancel this run" not in text(approver.get(url("syncrun", run)))
    approver.post(url("syncrun", run, "act/cancel"))
    run.refresh_from_db()
    assert run.status == "queued"
    manager = at_desk(staff("the-manager", (acme.acme, "manager")))
    page = manager.post(url("syncrun", run, "act/cancel"), follow=True)
    assert said(page)[0].startswith("Cancelled.")
    run.refresh_from_db()
    assert (run.status, run.error) == ("cancelled", "cancelled by the-manager")
    page = acme.browser.post(url("syncrun", run, "act/cancel"), follow=True)
    assert said(page) == ["That is not possible any more. Here is how it stands now."]


def approve_the_plan(acme: Office) -> None:
    plan = the_plan()
    acme.browser.post(url("syncrun", plan, "act/approve"), {"digest": plan.plan_digest})
