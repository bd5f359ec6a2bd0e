"""Another client's things are out of reach by any id in any form or address, and rights are asked for everywhere."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.test import Client as Browser

from connections import services
from connections.models import Account, Client, Condition, Connection, FieldMapping, Rule
from syncer.models import SyncLog
from tests.connections.office import ANNA, Office, at_desk, connection_sent, filled, staff, url
from tests.contract.salesmate import KEYS

pytestmark = pytest.mark.django_db
MODELS = ("client", "account", "connection", "fieldmapping", "rule")


@pytest.fixture
def theirs(acme: Office) -> Connection:
    """Acme's connection, with a rule that has a condition."""
    connection = acme.connection()
    rule = connection.rules.get(source="left")
    Condition.objects.create(rule=rule, kind="field", field="title", operator="is", value="Countess")
    return connection


@pytest.fixture
def mine(acme: Office) -> Connection:
    """Globex has two address books of one server, and a connection between them."""
    globex = Client.objects.create(name="Globex", slug="globex")
    acme.radicale.book("bob", "second")
    account = acme.carddav_account(client=globex, user="bob", label="Bob")
    return services.create_connection(
        globex,
        ANNA,
        name="Bob and Bob",
        left_account=account,
        left_book="/bob/book/",
        right_account=account,
        right_book="/bob/second/",
    )


@pytest.fixture
def bob(mine: Connection) -> Browser:
    return at_desk(staff("bob", (mine.client, "manager")))


def state() -> list[Any]:
    """Everything that is set up, as stored."""
    models: tuple[Any, ...] = (Client, Account, Connection, FieldMapping, Rule, Condition)
    return [list(model.objects.order_by("pk").values()) for model in models] + [SyncLog.objects.count()]


def things(connection: Connection) -> dict[str, Any]:
    return {
        "client": connection.client,
        "account": connection.left_account,
        "connection": connection,
        "fieldmapping": connection.mappings.first(),
        "rule": connection.rules.get(source="left"),
    }


# Forms of one's own with ids of others


@pytest.mark.parametrize("name", ["left_account", "right_account", "client"])
def test_a_connection_takes_nothing_of_another_client(
    bob: Browser, mine: Connection, theirs: Connection, name: str
) -> None:
    foreign = theirs.client if name == "client" else theirs.left_account
    sent = filled(bob.get(url("connection", mine)))
    before = state()
    page = bob.post(url("connection", mine), {**sent, "name": mine.name, name: foreign.pk})
    assert "Acme" not in page.content.decode()
    assert "Alice" not in page.content.decode()
    mine.refresh_from_db()
    assert (mine.client.name, mine.left_account.label, mine.right_account.label) == ("Globex", "Bob", "Bob")
    assert state() == before


def test_an_account_stays_with_its_client(bob: Browser, mine: Connection, theirs: Connection) -> None:
    sent = filled(bob.get(url("account", mine.left_account)))
    bob.post(url("account", mine.left_account), {**sent, "client": theirs.client_id, "label": "Still Bob's"})
    account = Account.objects.get(label="Still Bob's")
    assert account.client == mine.client


def test_a_mapping_stays_with_its_connection(bob: Browser, mine: Connection, theirs: Connection) -> None:
    mapping = mine.mappings.first()
    assert mapping is not None
    sent = filled(bob.get(url("fieldmapping", mapping)))
    before = theirs.mappings.count()
    bob.post(url("fieldmapping", mapping), {**sent, "connection": theirs.pk, "on_conflict": "hold"})
    mapping.refresh_from_db()
    assert mapping.connection == mine
    assert theirs.mappings.count() == before


@pytest.mark.parametrize("model", ["fieldmapping", "rule"])
def test_a_part_is_added_to_no_connection_of_another_client(
    bob: Browser, mine: Connection, theirs: Connection, model: str
) -> None:
    """Neither by the address nor by the hidden input, whatever the other of the two says."""
    before = state()
    for in_address, in_form in ((theirs.pk, mine.pk), (mine.pk, theirs.pk), (theirs.pk, theirs.pk), (theirs.pk, "")):
        address = f"{url(model)}?connection={in_address}&source=left"
        sent = {"connection": in_form, "source": "left", "name": "Evil", "left_field": "note", "right_field": "note"}
        bob.post(address, sent)
    assert theirs.mappings.count() == len([row for row in before[3] if row["connection_id"] == theirs.pk])
    assert not theirs.rules.filter(name="Evil").exists()


def test_a_rule_takes_no_condition_of_another_client_s_rule(bob: Browser, mine: Connection, theirs: Connection) -> None:
    foreign = Condition.objects.get(rule__connection=theirs)
    rule = mine.rules.get(source="left")
    sent = filled(bob.get(url("rule", rule)))
    row = {"id": foreign.pk, "rule": rule.pk, "kind": "field", "field": "title", "operator": "is", "value": "Mine now"}
    stolen = {f"conditions-0-{name}": value for name, value in row.items()}
    for initial in (0, 1):
        counts = {"conditions-TOTAL_FORMS": 1, "conditions-INITIAL_FORMS": initial}
        bob.post(url("rule", rule), {**sent, **stolen, **counts, "conditions-0-DELETE": "on" if initial else ""})
    foreign.refresh_from_db()
    assert (foreign.rule.connection, foreign.value) == (theirs, "Countess")


# Addresses


def test_no_filter_and_no_search_reaches_over(bob: Browser, mine: Connection, theirs: Connection) -> None:
    questions = [
        ("account", f"client={theirs.client_id}"),
        ("account", "q=Alice"),
        ("account", "client__name__startswith=A"),
        ("account", "credential__secrets__isnull=False"),
        ("connection", f"client={theirs.client_id}"),
        ("connection", "q=Alice"),
        ("connection", "left_account__credential__secrets__isnull=False"),
        ("fieldmapping", f"connection__id__exact={theirs.pk}"),
        ("rule", f"connection__id__exact={theirs.pk}"),
        ("client", "q=Acme"),
    ]
    for model, query in questions:
        page = bob.get(f"/admin/connections/{model}/?{query}", follow=True)
        html = page.content.decode()
        assert page.status_code in (200, 400), (model, query)
        assert "Alice and Salesmate" not in html, (model, query)
        assert "Acme" not in html.replace("q=Acme", "").replace('value="Acme"', ""), (model, query)


@pytest.mark.parametrize("who", ["with Django's permissions alone", "without a role", "not staff", "nobody"])
def test_without_rights_there_is_nothing(theirs: Connection, who: str) -> None:
    if who == "with Django's permissions alone":
        eve = staff("eve")
        eve.user_permissions.set(Permission.objects.all())
        desk = at_desk(eve)
    elif who == "without a role":
        desk = at_desk(staff("eve"))
    else:
        desk = Browser() if who == "nobody" else at_desk(User.objects.create_user("eve"))
    before = state()
    for model, thing in things(theirs).items():
        pages = [desk.post(url(model, thing, what), {"post": "yes", "name": "x"}) for what in ("change", "delete")]
        pages += [desk.get(url(model, thing, what)) for what in ("change", "delete", "history")]
        pages += [desk.post(url(model, thing, f"act/{name}")) for name in ("check", "activate", "sync", "plan")]
        pages += [desk.get(url(model)), desk.get(f"/admin/connections/{model}/")]
        for page in pages:
            assert page.status_code in (200, 302, 403)
            assert "Alice" not in page.content.decode()
            assert not any(key in page.content.decode() for key in KEYS.values())
    for model in ("syncrun", "hold", "link", "book", "record", "synclog"):
        page = desk.get(f"/admin/syncer/{model}/")
        assert page.status_code in (200, 302, 403)
        assert "Alice" not in page.content.decode()
    assert state() == before


# Services


def test_the_services_refuse_accounts_of_another_client(acme: Office, mine: Connection, theirs: Connection) -> None:
    with pytest.raises(ValidationError):
        services.create_connection(
            mine.client,
            ANNA,
            name="Evil",
            left_account=mine.left_account,
            left_book="/bob/book/",
            right_account=theirs.right_account,
            right_book="contacts",
        )
    for name in ("left_account", "right_account"):
        with pytest.raises(ValidationError):
            services.update_connection(Connection.objects.get(pk=mine.pk), ANNA, {name: getattr(theirs, name)})
    assert not Connection.objects.filter(name="Evil").exists()


def test_a_whole_form_with_foreign_ids_is_no_better(bob: Browser, acme: Office, theirs: Connection) -> None:
    before = state()
    page = bob.post(url("connection"), connection_sent(acme, theirs.left_account, theirs.right_account))
    assert page.status_code == 200
    assert "Alice" not in page.content.decode().replace("/alice/book/", "")
    assert state() == before


@pytest.mark.parametrize(
    "address",
    [
        "record/?match_key__startswith=a",
        "record/?match_key__regex=(",
        "record/?remote_id__regex=^(a%2B)%2B$",
        "record/?values__note__startswith=s",
        "record/?book__records__match_key__startswith=a",
        "link/?left__values__email__startswith=a",
        "link/?reason__contains=a",
        "synclog/?payload__contains=secret",
        "synclog/?at__year=99999999999",
        "hold/?data__reason__contains=a",
        "syncrun/?error__contains=a",
    ],
)
def test_who_sees_values_masked_cannot_guess_them_by_the_address_of_a_list(acme: Office, address: str) -> None:
    acme.first_plan()
    auditor = at_desk(staff("olivia", (acme.acme, "auditor"), values="masked"))
    assert auditor.get(f"/admin/syncer/{address}").status_code in (302, 400), address
