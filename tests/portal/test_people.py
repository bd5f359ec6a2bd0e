"""Administrators add people, give and take their roles, and let nobody lock themselves or everybody out."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape
from threading import Barrier
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import connection as database
from django.test import Client as Browser

from connections import clients, people
from connections.models import Client, Membership
from connections.services import Refused
from portal.models import Person
from tests.connections.office import at_desk, filled, problems, said, staff
from tests.portal.desk import PASSWORD, administrator, entries, is_in, last, log_in

pytestmark = pytest.mark.django_db
LIST = "/admin/portal/person/"
FIRST = "a-first-pass-phrase"


@pytest.fixture
def acme(db: None) -> Client:
    return Client.objects.create(name="Acme", slug="acme")


@pytest.fixture
def anna(db: None) -> Iterator[Browser]:
    return_to = at_desk(administrator())
    yield return_to


def page_of(user: User, what: str = "change") -> str:
    return f"{LIST}{user.pk}/{what}/"


def sent(*rows: dict[str, Any], initial: int = 0, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"username": "bob", "email": "bob@example.com", "password": FIRST, **fields}
    found |= {"memberships-TOTAL_FORMS": len(rows), "memberships-INITIAL_FORMS": initial}
    for number, row in enumerate(rows):
        found |= {f"memberships-{number}-{name}": value for name, value in row.items()}
    return found


def link_on(page: Any) -> str:
    found = re.search(r'class="cp-link">([^<]+)<', page.content.decode())
    assert found is not None, said(page)
    return unescape(found[1]).removeprefix("http://testserver")


# Adding somebody


def test_a_person_is_added_with_a_password_and_roles(anna: Browser, acme: Client) -> None:
    row = {"client": acme.pk, "role": "manager", "values": "full"}
    assert anna.post(f"{LIST}add/", sent(row, first_name="Bob", last_name="Bit")).status_code == 302
    bob = User.objects.get(username="bob")
    assert (bob.is_staff, bob.is_superuser, bob.get_full_name()) == (True, False, "Bob Bit")
    assert bob.memberships.get().values == "full"
    assert entries("access") == [("access.added", "anna"), ("access.granted", "anna")]
    header, payload = last("access.granted")
    assert (header["user"], header["role"], payload["user"]) == (bob.pk, "manager", "bob")
    assert log_in("bob", FIRST).status_code == 302


def test_a_one_time_link_lets_somebody_choose_their_password_once(anna: Browser, acme: Client) -> None:
    page = anna.post(f"{LIST}add/", sent(password=""), follow=True)
    link, bob = link_on(page), User.objects.get(username="bob")
    assert entries("access") == [("access.added", "anna"), ("access.invited", "anna")]
    assert not bob.has_usable_password()
    browser = Browser()
    form = browser.get(link, follow=True)
    assert b"You log in as" in form.content
    address = form.redirect_chain[-1][0]
    weak = browser.post(address, {"new_password1": "short", "new_password2": "short"})
    assert any("too short" in text for text in problems(weak))
    done = browser.post(address, {"new_password1": PASSWORD, "new_password2": PASSWORD}, follow=True)
    assert said(done) == ["Your password is set. Log in with it."]
    assert entries("auth")[-1] == ("auth.password_changed", "bob")
    assert log_in("bob").status_code == 302
    again = Browser().get(link, follow=True)
    assert b"This link does not work" in again.content
    assert not is_in(browser), "the link logs nobody in"


def test_a_new_link_ends_the_old_one_and_the_password(anna: Browser) -> None:
    first = link_on(anna.post(f"{LIST}add/", sent(password=""), follow=True))
    bob = User.objects.get(username="bob")
    second = link_on(anna.post(page_of(bob, "act/link"), follow=True))
    assert b"does not work" in Browser().get(first, follow=True).content
    with time_machine.travel(timedelta(days=4)):
        assert b"does not work" in Browser().get(second, follow=True).content
    assert b"You log in as" in Browser().get(second, follow=True).content
    anna.post(page_of(bob, "act/deactivate"))
    assert b"does not work" in Browser().get(second, follow=True).content


@pytest.mark.parametrize("part", ["x/y", "MQ/set-password", "MQ/abc-def", "AAAA/set-password"])
def test_a_link_that_nobody_made_does_nothing(anna: Browser, part: str) -> None:
    assert b"does not work" in Browser().get(f"/admin/invited/{part}/", follow=True).content
    answer = Browser().post(f"/admin/invited/{part}/", {"new_password1": PASSWORD, "new_password2": PASSWORD})
    assert b"does not work" in answer.content


def test_a_weak_password_and_a_name_that_is_there_are_refused_in_words(anna: Browser) -> None:
    page = anna.post(f"{LIST}add/", sent(password="short"))
    assert any("too short" in text for text in problems(page))
    assert "short" not in re.sub(r"too short", "", page.content.decode()), "what was typed is not shown again"
    page = anna.post(f"{LIST}add/", sent(username="anna"))
    assert any("already exists" in text for text in problems(page))
    assert entries("access") == []


# Changing somebody


def test_roles_are_given_changed_and_taken_in_one_place(anna: Browser, acme: Client) -> None:
    globex = Client.objects.create(name="Globex", slug="globex")
    bob = staff("bob", (acme, "auditor"))
    form = filled(anna.get(page_of(bob)))
    more = {"client": globex.pk, "role": "approver", "values": "masked"}
    form |= {f"memberships-1-{name}": value for name, value in more.items()}
    form |= {"memberships-TOTAL_FORMS": 2, "memberships-0-values": "full"}
    assert anna.post(page_of(bob), form).status_code == 302
    assert sorted(bob.memberships.values_list("client__name", "role", "values")) == [
        ("Acme", "auditor", "full"),
        ("Globex", "approver", "masked"),
    ]
    assert [kind for kind, _ in entries("access")] == ["access.revoked", "access.granted", "access.granted"]
    form = filled(anna.get(page_of(bob))) | {"memberships-0-DELETE": "on"}
    anna.post(page_of(bob), form)
    assert bob.memberships.count() == 1
    assert entries("access")[-1] == ("access.revoked", "anna")


def test_the_same_role_twice_is_refused(anna: Browser, acme: Client) -> None:
    row = {"client": acme.pk, "role": "manager", "values": "full"}
    page = anna.post(f"{LIST}add/", sent(row, {**row, "values": "masked"}))
    assert page.status_code == 200
    assert not User.objects.filter(username="bob").exists()
    with pytest.raises(ValidationError, match="twice"):
        people.save_person(User(username="bob"), "anna", [people.Role(acme.pk, "manager")] * 2, PASSWORD)


def test_a_role_that_somebody_gave_meanwhile_stays(anna: Browser, acme: Client) -> None:
    bob = staff("bob", (acme, "auditor"))
    form = filled(anna.get(page_of(bob)))
    bob.memberships.create(client=acme, role="approver")
    anna.post(page_of(bob), {**form, "first_name": "Bob"})
    assert bob.memberships.count() == 2


def test_an_edit_of_a_name_stands_in_the_history_and_one_of_nothing_does_not(anna: Browser) -> None:
    bob = staff("bob")
    anna.post(page_of(bob), filled(anna.get(page_of(bob))))
    assert entries("access") == []
    anna.post(page_of(bob), filled(anna.get(page_of(bob))) | {"email": "new@example.com"})
    _, payload = last("access.changed")
    assert (payload["before"]["email"], payload["after"]["email"]) == ("", "new@example.com")


def test_an_administrator_is_made_and_unmade(anna: Browser) -> None:
    bob = staff("bob")
    anna.post(page_of(bob), filled(anna.get(page_of(bob))) | {"is_superuser": "on"})
    assert administrators() == ["anna", "bob"]
    assert last("access.granted")[0]["role"] == "administrator"
    form = filled(anna.get(page_of(bob)))
    del form["is_superuser"]
    anna.post(page_of(bob), form)
    assert administrators() == ["anna"]
    assert last("access.revoked")[0]["role"] == "administrator"


def administrators() -> list[str]:
    return list(User.objects.filter(is_superuser=True).order_by("username").values_list("username", flat=True))


# Nobody gives themselves a role


@pytest.mark.parametrize("renamed", [False, True])
def test_nobody_gives_themselves_a_role(anna: Browser, acme: Client, renamed: bool) -> None:
    me = User.objects.get(username="anna")
    row = {"client": acme.pk, "role": "manager", "values": "full"}
    name = "not-anna" if renamed else "anna"
    page = anna.post(page_of(me), sent(row, username=name, is_superuser="on"))
    assert problems(page) == [clients.NOT_ONESELF]
    form = {"name": "Acme", "slug": "acme", **sent({"user": me.pk, "role": "manager", "values": "full"})}
    page = anna.post(f"/admin/connections/client/{acme.pk}/change/", form)
    assert problems(page) == [clients.NOT_ONESELF]
    assert not Membership.objects.exists()
    assert User.objects.get().username == "anna"


@pytest.mark.parametrize("role", ["manager", "approver", "auditor", None])
def test_nobody_else_touches_people_whatever_they_send(anna: Browser, acme: Client, role: str | None) -> None:
    bob = staff("bob", *([(acme, role)] if role is not None else []), values="full")
    carol, me = staff("carol"), User.objects.get(username="anna")
    desk = at_desk(bob)
    before = list(User.objects.order_by("pk").values()), list(Membership.objects.order_by("pk").values())
    told = len(entries("access"))
    row = {"client": acme.pk, "role": "manager", "values": "full", "user": bob.pk}
    crafted = sent(row, is_superuser="on", is_staff="on", user_permissions="1", groups="1")
    for user in (bob, carol, me):
        for what in ("change", "delete", "act/link", "act/reset", "act/deactivate", "act/activate"):
            assert desk.post(page_of(user, what), {**crafted, "post": "yes"}).status_code in (302, 403), what
    assert desk.post(f"{LIST}add/", crafted | {"username": "eve"}).status_code == 403
    for address in (f"/admin/connections/client/{acme.pk}/change/", "/admin/connections/client/add/"):
        assert desk.post(address, {"name": "Acme", "slug": "acme", **crafted}).status_code == 403
    for old in ("/admin/auth/user/", f"/admin/auth/user/{bob.pk}/change/", "/admin/auth/group/"):
        assert desk.get(old).status_code == 404
        assert anna.get(old).status_code == 404
    assert before == (list(User.objects.order_by("pk").values()), list(Membership.objects.order_by("pk").values()))
    assert len(entries("access")) == told


def test_fields_that_the_page_does_not_have_are_not_taken(anna: Browser, acme: Client) -> None:
    """is_staff, a password's hash, permissions, a role for somebody else."""
    bob, carol = staff("bob"), staff("carol")
    row = {"client": acme.pk, "role": "manager", "values": "full", "user": carol.pk}
    crafted = sent(row, is_active="", is_staff="", password="pbkdf2$x", user_permissions="1", pk=carol.pk, id=carol.pk)
    anna.post(page_of(bob), crafted)
    assert not Membership.objects.exists()
    del crafted["memberships-0-user"]
    anna.post(page_of(bob), crafted)
    bob.refresh_from_db()
    assert (bob.is_staff, bob.is_active, bob.password.startswith("pbkdf2$x")) == (True, True, False)
    assert Membership.objects.get().user == bob
    assert not bob.user_permissions.exists()


def test_permissions_and_groups_of_django_give_nothing(acme: Client) -> None:
    from django.contrib.auth.models import Permission

    bob = staff("bob")
    bob.user_permissions.set(Permission.objects.all())
    group = Group.objects.create(name="all")
    group.permissions.set(Permission.objects.all())
    bob.groups.add(group)
    assert not bob.has_perm("connections.view_client")
    assert not bob.has_module_perms("connections")
    assert at_desk(bob).get("/admin/connections/client/").status_code == 403


# Going away


def test_somebody_deactivated_is_out_at_once_and_keeps_their_roles(anna: Browser, acme: Client) -> None:
    bob = staff("bob", (acme, "manager"))
    desk = at_desk(bob)
    assert is_in(desk)
    page = anna.post(page_of(bob, "act/deactivate"), follow=True)
    assert said(page) == ["Deactivated and logged out: bob. Roles and history stay."]
    assert not is_in(desk)
    assert bob.memberships.count() == 1
    assert entries("access")[-1] == ("access.deactivated", "anna")
    anna.post(page_of(bob, "act/activate"))
    assert entries("access")[-1] == ("access.activated", "anna")
    bob.refresh_from_db()
    assert bob.is_active


def test_the_last_administrator_stays(anna: Browser) -> None:
    me = User.objects.get(username="anna")
    page = anna.post(page_of(me, "act/deactivate"), follow=True)
    assert said(page) == [people.LAST]
    form = filled(anna.get(page_of(me)))
    del form["is_superuser"]
    assert problems(anna.post(page_of(me), form)) == [people.LAST]
    page = anna.post(page_of(me, "delete"), {"post": "yes"}, follow=True)
    assert said(page) == ["Nobody deletes themselves: ask another administrator."]
    other = administrator("other")
    other.is_active = False
    other.save()
    with pytest.raises(Refused, match="last administrator"):
        people.deactivate(me, "somebody else")
    with pytest.raises(Refused, match="last administrator"):
        people.delete_person(me, "somebody else")
    me.refresh_from_db()
    assert (me.is_active, me.is_superuser) == (True, True)
    assert entries("access") == []
    assert is_in(anna)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", [people.deactivate, people.delete_person])
def test_two_administrators_who_end_each_other_at_once_leave_one(act: Callable[[User, str], None]) -> None:
    pair = [administrator(name) for name in ("anna", "bea")]
    start = Barrier(2)

    def ends(other: User, by: str) -> str:
        try:
            start.wait(10)
            act(other, by)
            return "done"
        except Refused as error:
            return str(error)
        finally:
            database.close()

    with ThreadPoolExecutor(2) as both:
        said_to = list(both.map(ends, reversed(pair), ("anna", "bea")))
    assert sorted(said_to) == sorted(["done", people.LAST])
    assert User.objects.filter(is_superuser=True, is_active=True).count() == 1


def test_who_is_deleted_loses_each_role_by_an_entry(anna: Browser, acme: Client) -> None:
    bob = staff("bob", (acme, "manager"), (acme, "approver"))
    page = anna.get(page_of(bob, "delete")).content.decode()
    assert "2 roles" in page
    assert anna.post(page_of(bob, "delete"), {"post": "yes"}).status_code == 302
    assert not Person.objects.filter(username="bob").exists()
    assert entries("access") == [("access.revoked", "anna")] * 2 + [("access.deleted", "anna")]
    assert last("access.revoked")[1]["user"] == "bob"


def test_people_are_not_deleted_by_the_handful(anna: Browser) -> None:
    bob = staff("bob")
    anna.post(LIST, {"action": "delete_selected", "_selected_action": bob.pk, "post": "yes"})
    assert User.objects.filter(pk=bob.pk).exists()


def test_nobody_makes_a_link_for_themselves(anna: Browser) -> None:
    me = User.objects.get(username="anna")
    page = anna.post(page_of(me, "act/link"), follow=True)
    assert said(page) == ["That is not possible any more. Here is how it stands now."]
    with pytest.raises(Refused, match="own password"):
        people.invite(me, "anna")


# One's own password


def test_one_s_own_password_is_changed_by_the_page(anna: Browser) -> None:
    me = User.objects.get(username="anna")
    page = anna.post("/admin/password_change/", {"old_password": "wrong"})
    assert page.status_code == 200
    new = {"old_password": PASSWORD, "new_password1": FIRST, "new_password2": FIRST}
    assert anna.post("/admin/password_change/", new).status_code == 302
    assert entries("auth")[-1] == ("auth.password_changed", "anna")
    assert last("auth.password_changed")[0]["user"] == me.pk
    assert is_in(anna), "this log-in goes on"
    assert log_in("anna", FIRST).status_code == 302
