"""Accounts of apps that people give access to on the app's own page: begun, come back from, renewed."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.exceptions import ValidationError
from django.db import connections as databases

from connections import services
from connections.models import Account, Authorization, Client, Credential
from connections.oauth import (
    Begun,
    begin_authorization,
    digest_of,
    finish_authorization,
    forget_authorizations,
    take_authorization,
)
from connections.services import Refused
from connections.tokens import StoredTokens
from portal.clock import SYSTEM
from syncer.connectors.base import AuthFailed, Identity, Misconfigured, RateLimited, Transient
from syncer.connectors.oauth import NotAllAllowed
from syncer.leases import acquire
from syncer.models import SyncLog
from tests.connections.rolodex import ANNA, BACK, OWN, READ, Desk, FakeClock, desk

pytestmark = pytest.mark.django_db


@pytest.fixture
def rolodex(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with desk(settings, monkeypatch) as found:
        yield found


def begin(account: Account, session: str = "") -> Begun:
    return begin_authorization(account, ANNA, BACK, session=session)


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def come_back(url: str, session: str = "") -> Identity:
    answer = query(url)
    taken = take_authorization(answer["state"], session)
    return finish_authorization(taken, answer.get("code", ""), answer.get("error", ""))


def allow(rolodex: Desk, account: Account, **more: Any) -> Identity:
    return come_back(rolodex.server.person_allows(begin(account).url, **more))


def authorised(rolodex: Desk, credentials: Mapping[str, str] | None = None) -> Account:
    account = rolodex.account(credentials)
    allow(rolodex, account)
    account.refresh_from_db()
    return account


def entries_of(kind: str) -> int:
    return SyncLog.objects.filter(kind=kind, actor=ANNA).count()


def over(account: Account) -> None:
    """Its access ends in less than a minute."""
    row = Credential.objects.get(account=account)
    ends = datetime.now(UTC) + timedelta(seconds=59)
    assert row.renew({**row.plain, "access_expires": ends.isoformat()})


# A new account


def test_a_new_account_says_that_it_waits_for_a_person(rolodex: Desk) -> None:
    account = rolodex.account()
    assert (account.status, account.identity) == ("needs_authorization", "")
    assert account.status_text == (
        "Rolodex has not given access yet, or it ended. Authorise the account on Rolodex's own page."
    )
    assert rolodex.account(OWN, label="With a client of its own").status_text == account.status_text
    assert rolodex.account({"refresh_token": "1//0x"}, label="Entered").status_text == ""


@pytest.mark.parametrize("given", [{"client_id": "half"}, {"client_secret": "half"}])
def test_half_an_oauth_client_is_refused(rolodex: Desk, given: dict[str, str]) -> None:
    missing = ({"client_id", "client_secret"} - given.keys()).pop()
    with pytest.raises(ValidationError) as caught:
        rolodex.account(given)
    assert caught.value.message_dict == {
        missing: ["Client ID and Client secret belong together. Enter both, or neither to use the portal's own."]
    }
    assert not Account.objects.exists()


def test_another_client_needs_its_own_secret(rolodex: Desk) -> None:
    account = rolodex.account(OWN)
    with pytest.raises(ValidationError) as caught:
        services.update_account(account, ANNA, credentials={"client_id": "another"})
    assert list(caught.value.message_dict) == ["client_secret"]
    services.update_account(account, ANNA, credentials={"client_secret": "turned over"})
    assert Credential.of(account) == {"client_id": OWN["client_id"], "client_secret": "turned over"}


def test_a_refresh_token_from_elsewhere_works(rolodex: Desk) -> None:
    first = authorised(rolodex)
    token = Credential.of(first)["refresh_token"]
    services.delete_account(first, ANNA)
    account = rolodex.account({"refresh_token": token}, label="Entered")
    assert services.check_account(account, ANNA).label == "anna"
    assert account.status == "connected"


# The way there and back


def test_a_person_allows_and_the_account_is_connected(rolodex: Desk) -> None:
    account = rolodex.account()
    before = SYSTEM.now()
    begun = begin(account)
    assert before + timedelta(minutes=10) <= begun.expires_at <= SYSTEM.now() + timedelta(minutes=10)
    identity = come_back(rolodex.server.person_allows(begun.url))
    account.refresh_from_db()
    assert (identity.label, account.identity, account.status, account.status_text) == ("anna", "anna", "connected", "")
    stored = Credential.of(account)
    assert set(stored) == {"refresh_token", "access_token", "access_expires"}
    assert entries_of("account.authorised") == 1
    assert rolodex.refreshes() == [], "what was granted is used"


def test_a_client_of_its_own_goes_before_the_portal_s(rolodex: Desk, settings: Any) -> None:
    rolodex.server.client_id, rolodex.server.client_secret = OWN["client_id"], OWN["client_secret"]
    account = authorised(rolodex, OWN)
    assert account.status == "connected"
    over(account)
    assert services.check_account(account, ANNA).key == "anna"
    assert rolodex.refreshes() == [200]


def test_without_an_oauth_client_nothing_is_begun(rolodex: Desk, settings: Any) -> None:
    settings.GOOGLE_CLIENT_SECRET = ""
    with pytest.raises(Refused, match="Enter client ID and client secret in the account, or set GOOGLE_CLIENT_ID"):
        begin(rolodex.account())
    assert not Authorization.objects.exists()


def test_an_app_without_a_page_is_refused(rolodex: Desk) -> None:
    account = Account(client=rolodex.acme, app="salesmate", label="CRM")
    with pytest.raises(Refused, match="has no page for this"):
        begin(account)


def test_only_digests_and_ciphers_are_stored_of_the_way(rolodex: Desk) -> None:
    begun = begin(rolodex.account(), session="s3ssion-canary")
    row = Authorization.objects.values().get()
    state = query(begun.url)["state"]
    assert row["digest"] == digest_of(state)
    shown = repr({name: value for name, value in row.items() if name != "secrets"}) + repr(begun)
    assert state not in shown
    assert "s3ssion-canary" not in shown
    assert len(row["secrets"]["verifier"]) >= 43
    assert row["secrets"]["verifier"] not in repr(row["secrets"]) + begun.url


def at_once(work: Callable[[], None], times: int) -> None:
    threads = [Thread(target=work) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


def refuse(url: str, session: str = "", match: str | None = None) -> None:
    with pytest.raises(Refused, match=match):
        come_back(url, session)


def test_a_state_that_nobody_began_is_refused(rolodex: Desk) -> None:
    begin(rolodex.account())
    for state in ("", "guess", "x" * 100_000, "\x00"):
        with pytest.raises(Refused, match="begun here"):
            take_authorization(state)
    assert rolodex.server.log == []


def test_a_way_works_once(rolodex: Desk) -> None:
    account = rolodex.account()
    url = rolodex.server.person_allows(begin(account).url)
    come_back(url)
    entries = SyncLog.objects.count()
    refuse(url, match="was finished already")
    refuse(f"{BACK}?state={query(url)['state']}&error=access_denied", match="was finished already")
    account.refresh_from_db()
    assert account.status == "connected"
    assert (SyncLog.objects.count(), len(rolodex.server.log)) == (entries, 1)


@pytest.mark.django_db(transaction=True)
def test_a_way_is_taken_by_one_of_many_at_once(rolodex: Desk) -> None:
    state = query(begin(rolodex.account()).url)["state"]
    together, got = Barrier(4), []

    def work() -> None:
        together.wait(10)
        try:
            got.append(take_authorization(state).digest)
        except Refused as error:
            got.append(str(error))
        finally:
            databases.close_all()

    at_once(work, 4)
    assert sorted(one == digest_of(state) for one in got) == [False, False, False, True]


def test_a_way_ends_after_ten_minutes(rolodex: Desk) -> None:
    state = query(begin(rolodex.account()).url)["state"]
    late = FakeClock(SYSTEM.now() + timedelta(minutes=10))
    with pytest.raises(Refused, match="longer than ten minutes"):
        take_authorization(state, clock=late)
    assert take_authorization(state).used_at is None


def test_a_way_begun_in_a_session_is_its_own(rolodex: Desk) -> None:
    url = rolodex.server.person_allows(begin(rolodex.account(), session="annas").url)
    for stranger in ("", "bens"):
        refuse(url, stranger, match="by somebody who was logged in")
    assert come_back(url, "annas").key == "anna"


def test_who_denies_changes_nothing_that_works(rolodex: Desk) -> None:
    account = rolodex.account()
    refuse(rolodex.server.person_denies(begin(account).url), match="Rolodex gave no access: it was not allowed")
    account.refresh_from_db()
    assert account.status == "needs_authorization"
    assert account.status_text.startswith("Rolodex gave no access")
    assert entries_of("account.failed") == 1
    allow(rolodex, account)
    refuse(rolodex.server.person_denies(begin(account).url))
    account.refresh_from_db()
    assert account.status == "connected"
    assert services.check_account(account, ANNA).key == "anna"


@pytest.mark.parametrize("error", ["<script>alert(1)</script>", "no_such_error", "{label.__class__}", "x" * 9000])
def test_a_reason_that_is_not_known_is_not_repeated(rolodex: Desk, error: str) -> None:
    account = rolodex.account()
    taken = take_authorization(query(begin(account).url)["state"])
    with pytest.raises(Refused) as caught:
        finish_authorization(taken, error=error)
    expected = "Rolodex gave no access, for a reason that is not known here. Begin again in the portal."
    account.refresh_from_db()
    assert (str(caught.value), account.status_text) == (expected, expected)


@pytest.mark.parametrize("code", ["", "c" * 4001])
def test_no_answer_at_all_is_refused(rolodex: Desk, code: str) -> None:
    taken = take_authorization(query(begin(rolodex.account()).url)["state"])
    with pytest.raises(Refused, match="sent nobody back"):
        finish_authorization(taken, code)
    assert rolodex.server.log == []


def test_a_code_of_another_way_is_refused(rolodex: Desk) -> None:
    """Somebody who gives a victim's browser their own code: its verifier is another."""
    mine, theirs = begin(rolodex.account()), begin(rolodex.account(label="Another"))
    code = query(rolodex.server.person_allows(theirs.url, user="ben"))["code"]
    with pytest.raises(AuthFailed):
        finish_authorization(take_authorization(query(mine.url)["state"]), code)
    assert not Account.objects.filter(status="connected").exists()


def test_what_is_left_out_is_asked_for(rolodex: Desk) -> None:
    account = rolodex.account()
    with pytest.raises(NotAllAllowed):
        allow(rolodex, account, scopes=[READ])
    account.refresh_from_db()
    assert account.status == "needs_authorization"
    assert "Left out: Change contacts." in account.status_text
    assert Credential.of(account) == {}


def test_another_login_is_refused_and_the_right_one_stays(rolodex: Desk) -> None:
    account = authorised(rolodex)
    stored = Credential.of(account)
    with pytest.raises(Refused, match=r"This is another login \(ben\)"):
        allow(rolodex, account, user="ben")
    account.refresh_from_db()
    assert (account.identity, account.status) == ("anna", "connected"), "nobody took its access away"
    assert account.status_text.startswith("This is another login (ben)")
    assert entries_of("account.failed") == 1
    assert Credential.of(account) == stored
    assert services.check_account(account, ANNA).key == "anna"


def test_authorising_again_keeps_the_account_and_takes_the_new_access(rolodex: Desk) -> None:
    account = authorised(rolodex)
    stored = Credential.of(account)
    rolodex.server.person_withdraws("anna")
    over(account)
    with pytest.raises(AuthFailed):
        services.check_account(account, ANNA)
    allow(rolodex, account)
    again = Account.objects.get()
    assert (again.pk, again.identity, again.status) == (account.pk, "anna", "connected")
    assert Credential.of(account)["refresh_token"] != stored["refresh_token"]


def test_a_login_that_is_connected_already_is_refused(rolodex: Desk) -> None:
    authorised(rolodex)
    second = rolodex.account(label="Twice")
    with pytest.raises(Refused, match="connected already"):
        allow(rolodex, second)
    assert Credential.of(second) == {}


def test_what_was_granted_stays_while_the_app_is_down(rolodex: Desk) -> None:
    account = rolodex.account()
    rolodex.app.down = True
    with pytest.raises(Transient):
        allow(rolodex, account)
    rolodex.app.down = False
    account.refresh_from_db()
    assert services.check_account(account, ANNA).key == "anna"


def test_a_log_in_that_is_down_leaves_a_working_account_alone(rolodex: Desk) -> None:
    account = authorised(rolodex)
    url = rolodex.server.person_allows(begin(account).url)
    rolodex.server.levers.refused = [503]
    with pytest.raises(Transient):
        come_back(url)
    account.refresh_from_db()
    assert account.status == "connected"


def test_a_wrong_client_is_said(rolodex: Desk, settings: Any) -> None:
    account = rolodex.account()
    url = rolodex.server.person_allows(begin(account).url)
    settings.GOOGLE_CLIENT_SECRET = "wrong"
    with pytest.raises(Misconfigured, match="does not know the portal's OAuth client"):
        come_back(url)


def test_ways_are_forgotten_when_they_are_over(rolodex: Desk) -> None:
    begun = begin(rolodex.account())
    forget_authorizations(begun.expires_at)
    assert Authorization.objects.count() == 1
    forget_authorizations(begun.expires_at + timedelta(seconds=1))
    assert Authorization.objects.count() == 0


def test_credentials_that_cannot_be_read_are_replaced_by_authorising(rolodex: Desk, settings: Any) -> None:
    account = authorised(rolodex)
    settings.FIELD_ENCRYPTION_KEYS = ["A" * 43]
    allow(rolodex, account)
    account.refresh_from_db()
    assert services.check_account(account, ANNA).key == "anna"


# Renewal


def access(account: Account, refused: str = "") -> str:
    return StoredTokens(account).access(refused)


def test_access_is_used_until_a_minute_before_its_end(rolodex: Desk) -> None:
    account = authorised(rolodex)
    stored = Credential.of(account)
    ends = datetime.fromisoformat(stored["access_expires"])
    early = FakeClock(ends - timedelta(seconds=61))
    assert StoredTokens(account, early).access() == stored["access_token"]
    assert rolodex.refreshes() == []
    early.at += timedelta(seconds=1)
    assert StoredTokens(account, early).access() != stored["access_token"]
    assert rolodex.refreshes() == [200]


def test_a_renewal_is_kept_and_is_no_change_of_the_configuration(rolodex: Desk) -> None:
    account = authorised(rolodex)
    over(account)
    before = Credential.objects.get(account=account)
    entries = SyncLog.objects.count()
    token = access(account)
    after = Credential.objects.get(account=account)
    assert access(account) == token == after.plain["access_token"]
    assert rolodex.refreshes() == [200]
    assert (after.updated_at, SyncLog.objects.count()) == (before.updated_at, entries)
    assert after.plain["refresh_token"] == before.plain["refresh_token"]


def test_what_the_app_refused_is_never_given_again(rolodex: Desk) -> None:
    account = authorised(rolodex)
    token = access(account)
    rolodex.server.end_access()
    fresh = access(account, refused=token)
    assert fresh != token
    assert access(account, refused=token) == fresh, "somebody renewed it meanwhile"
    assert rolodex.refreshes() == [200]
    assert services.check_account(account, ANNA).key == "anna"


def test_a_new_refresh_token_takes_the_place_of_the_old_one(rolodex: Desk) -> None:
    rolodex.server.levers.rotate = True
    account = authorised(rolodex)
    for _ in range(3):
        over(account)
        access(account)
    assert rolodex.refreshes() == [200, 200, 200]


def test_access_that_ended_for_good_needs_a_person(rolodex: Desk) -> None:
    account = authorised(rolodex)
    rolodex.server.levers.testing = True
    rolodex.clock.at += timedelta(days=7)
    over(account)
    with pytest.raises(AuthFailed, match="ended our access"):
        services.check_account(account, ANNA)
    account.refresh_from_db()
    assert account.status == "needs_authorization"


def test_an_account_that_nobody_authorised_says_so_without_asking(rolodex: Desk) -> None:
    account = rolodex.account()
    with pytest.raises(AuthFailed, match="has not given access yet"):
        services.check_account(account, ANNA)
    assert rolodex.server.log == []


def test_troubles_of_the_log_in_pass(rolodex: Desk) -> None:
    account = authorised(rolodex)
    over(account)
    rolodex.server.levers.refused = [500, 429]
    with pytest.raises(Transient):
        access(account)
    with pytest.raises(RateLimited):
        access(account)
    assert access(account), "the lease is free again"


def test_who_comes_while_another_renews_tries_again(rolodex: Desk) -> None:
    account = authorised(rolodex)
    over(account)
    lease = acquire([f"oauth:{account.code}"], "another", timedelta(seconds=45), SYSTEM)
    assert lease is not None
    with pytest.raises(Transient, match="is being renewed"):
        access(account)
    assert rolodex.refreshes() == []
    lease.release()
    assert access(account)


class Meanwhile(StoredTokens):
    """Somebody acts between the call to the app and what is stored of it."""

    def __init__(self, account: Account, act: Any) -> None:
        super().__init__(account)
        self.act = act

    def renewed(self, row: Credential | None, refused: str) -> str:
        self.act()
        return super().renewed(row, refused)


def test_who_authorised_again_meanwhile_wins(rolodex: Desk) -> None:
    account = authorised(rolodex)
    over(account)
    token = Meanwhile(account, lambda: allow(rolodex, account)).access()
    stored = Credential.of(account)
    assert token == stored["access_token"]
    assert rolodex.refreshes() == [200], "its answer was dropped"
    account.refresh_from_db()
    assert services.check_account(account, ANNA).key == "anna"


def test_credentials_entered_meanwhile_win(rolodex: Desk) -> None:
    account = authorised(rolodex)
    over(account)
    given = {"refresh_token": "1//0other"}
    with pytest.raises(Transient, match="changed just now"):
        Meanwhile(account, lambda: services.update_account(account, ANNA, credentials=given)).access()
    assert Credential.of(account) == given


@pytest.mark.parametrize("given", [{"refresh_token": "1//0other"}, OWN])
def test_other_credentials_end_the_old_access(rolodex: Desk, given: dict[str, str]) -> None:
    account = authorised(rolodex)
    services.update_account(account, ANNA, credentials=given)
    stored = Credential.of(account)
    assert "access_token" not in stored
    assert "access_expires" not in stored
    assert stored.items() >= given.items()


def test_another_name_leaves_the_access_alone(rolodex: Desk) -> None:
    account = authorised(rolodex)
    token = access(account)
    services.update_account(account, ANNA, label="Renamed", credentials={"refresh_token": ""})
    assert access(account) == token


@pytest.mark.django_db(transaction=True)
def test_two_who_need_it_at_once_renew_once(rolodex: Desk) -> None:
    account = authorised(rolodex)
    over(account)
    together, got = Barrier(2), []

    def work() -> None:
        together.wait(10)
        try:
            got.append(access(account))
        except Transient as error:
            got.append(str(error))
        finally:
            databases.close_all()

    at_once(work, 2)
    token = Credential.of(account)["access_token"]
    assert rolodex.refreshes() == [200]
    assert len(got) == 2
    assert token in got
    assert all(one == token or "is being renewed" in one for one in got)


def test_the_same_login_at_another_client_has_its_own_access(rolodex: Desk) -> None:
    account = authorised(rolodex)
    other = rolodex.account(client=Client.objects.create(name="Globex", slug="globex"))
    allow(rolodex, other)
    over(account)
    lease = acquire([f"oauth:{other.code}"], "another", timedelta(seconds=45), SYSTEM)
    assert lease is not None
    assert access(account)
