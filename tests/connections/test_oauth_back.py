"""Coming back from an app's own page while something goes wrong: what is stored and what is said fit together."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from connections import services
from connections.models import Account, Authorization, Credential
from connections.secrets import SecretUnreadable
from connections.services import Refused
from connections.tokens import StoredTokens
from syncer.audit.chain import LogBusy, append
from syncer.connectors.base import Misconfigured, Transient
from tests.connections.rolodex import ANNA, OWN, Desk, desk
from tests.connections.test_oauth import allow, authorised, begin, come_back, entries_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def rolodex(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with desk(settings, monkeypatch) as found:
        yield found


def row(account: Account) -> tuple[str, str, Mapping[str, str]]:
    there = Account.objects.get(pk=account.pk)
    return there.status, there.identity, Credential.of(there)


# Whose it is


def test_access_of_somebody_unknown_takes_nobody_s_place(rolodex: Desk) -> None:
    account = authorised(rolodex)
    before = row(account)
    rolodex.app.down = True
    with pytest.raises(Transient):
        allow(rolodex, account, user="ben")
    assert row(account) == before
    account.refresh_from_db()
    assert account.status_text == "Rolodex has a trouble of its own."
    assert rolodex.server.user_of(StoredTokens(account).access()) == "anna"


def test_the_first_access_is_stored_and_its_trouble_said_at_once(rolodex: Desk) -> None:
    account = rolodex.account()
    rolodex.app.down = True
    with pytest.raises(Transient):
        allow(rolodex, account)
    status, identity, stored = row(account)
    assert (status, identity) == ("needs_authorization", "")
    assert rolodex.server.user_of(stored["access_token"]) == "anna"
    assert entries_of("account.failed") == 1


def test_what_a_run_said_meanwhile_stands(rolodex: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    account = authorised(rolodex)
    url = rolodex.server.person_allows(begin(account).url)
    real = services.asked_by_a_person

    def ended(asked: Account, *args: Any) -> Any:
        rolodex.app.down = True
        Account.objects.update(status="needs_authorization")
        return real(asked, *args)

    monkeypatch.setattr(services, "asked_by_a_person", ended)
    with pytest.raises(Transient):
        come_back(url)
    assert row(account)[0] == "needs_authorization"


# All of it or nothing


class Crash(Exception):
    pass


def test_nothing_is_connected_without_its_access(rolodex: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*args: Any) -> None:
        raise Crash

    account = rolodex.account()
    before = row(account)
    monkeypatch.setattr(Credential, "store", crash)
    with pytest.raises(Crash):
        allow(rolodex, account)
    assert row(account) == before
    assert entries_of("account.authorised") == 0


def test_an_answer_to_what_was_asked_before_tells_nothing_of_the_new_access(rolodex: Desk) -> None:
    account = rolodex.account()
    asked_before = Account.objects.get()
    allow(rolodex, account)
    with pytest.raises(Refused, match="was changed while the app was asked"):
        services.checked(asked_before, ANNA, "account.failed", "needs_authorization", "ended", "", rolodex.clock)
    assert row(account)[0] == "connected"


def test_an_account_changed_while_the_app_is_asked_keeps_its_own(
    rolodex: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = authorised(rolodex)
    url = rolodex.server.person_allows(begin(account).url)
    given = {"refresh_token": "1//0other"}
    real = services.asked_by_a_person

    def meanwhile(asked: Account, *args: Any) -> Any:
        services.update_account(Account.objects.get(), ANNA, credentials=given)
        return real(asked, *args)

    monkeypatch.setattr(services, "asked_by_a_person", meanwhile)
    with pytest.raises(Refused, match="was changed while the app was asked"):
        come_back(url)
    assert row(account) == ("needs_authorization", "anna", given)


class Busy:
    """A history that is busy for the first `times` writes."""

    def __init__(self, times: int) -> None:
        self.left = times

    def append(self, *args: Any) -> None:
        if self.left:
            self.left -= 1
            raise LogBusy("The log portal is busy.")
        append(*args)


@pytest.mark.parametrize("user", ["anna", "ben"])
def test_a_busy_history_is_written_to_again(rolodex: Desk, monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    account = authorised(rolodex)
    before = row(account)
    url = rolodex.server.person_allows(begin(account).url, user=user)
    monkeypatch.setattr(services, "append", Busy(2).append)
    if user == "anna":
        assert come_back(url).key == "anna"
        assert row(account)[2]["access_token"] != before[2]["access_token"]
        assert (entries_of("account.authorised"), entries_of("account.failed")) == (2, 0)
    else:
        with pytest.raises(Refused, match="another login"):
            come_back(url)
        assert row(account) == before
        assert (entries_of("account.authorised"), entries_of("account.failed")) == (1, 1)


def test_a_history_that_stays_busy_is_said_and_nothing_is_stored(
    rolodex: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = rolodex.account()
    before = row(account)
    url = rolodex.server.person_allows(begin(account).url)
    monkeypatch.setattr(services, "append", Busy(3).append)
    with pytest.raises(Refused, match=r"history is busy, and nothing was stored\. Begin again"):
        come_back(url)
    assert row(account) == before
    assert allow(rolodex, account).key == "anna"


# What cannot be read


UNREADABLE: Mapping[str, str] = {**OWN, "written for": "another"}


def test_a_client_of_its_own_that_cannot_be_read_is_entered_again(rolodex: Desk, settings: Any) -> None:
    settings.GOOGLE_CLIENT_ID = ""
    rolodex.server.client_id, rolodex.server.client_secret = OWN["client_id"], OWN["client_secret"]
    account = rolodex.account(OWN)
    Credential.objects.filter(account=account).update(secrets=UNREADABLE)
    with pytest.raises(Refused, match="Enter this account's credentials again"):
        begin(account)
    assert not Authorization.objects.exists()
    services.update_account(account, ANNA, credentials=OWN)
    assert allow(rolodex, account).key == "anna"


@pytest.mark.parametrize("portal_s", ["", "the-portal's"])
def test_what_became_unreadable_on_the_way_stays(rolodex: Desk, settings: Any, portal_s: str) -> None:
    settings.GOOGLE_CLIENT_ID = portal_s
    rolodex.server.client_id, rolodex.server.client_secret = OWN["client_id"], OWN["client_secret"]
    account = rolodex.account(OWN)
    url = rolodex.server.person_allows(begin(account).url)
    Credential.objects.filter(account=account).update(secrets=UNREADABLE)
    with pytest.raises((Refused, Misconfigured)) as caught:
        come_back(url)
    account.refresh_from_db()
    assert account.status_text == str(caught.value)
    assert Credential.objects.get(account=account).secrets == UNREADABLE


def test_another_name_replaces_nothing_that_cannot_be_read(rolodex: Desk) -> None:
    account = rolodex.account(OWN)
    Credential.objects.filter(account=account).update(secrets=UNREADABLE)
    with pytest.raises(SecretUnreadable):
        services.update_account(account, ANNA, label="Renamed")
    with pytest.raises(ValidationError, match="belong together"):
        services.update_account(account, ANNA, credentials={"client_secret": "half"})
