"""Contact groups of the stand-in: labels that people make, Google's own, and who is in them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.needs import needs
from tests.sandbox.googling import Googling, googling, refused

pytestmark = needs("specs")


@pytest.fixture
def google() -> Iterator[Googling]:
    with googling(reads=None, writes=None, feed_delay=0) as found:
        yield found


def groups(google: Googling) -> Any:
    return google.api.contactGroups()


def make(google: Googling, name: str, **more: Any) -> Any:
    return groups(google).create(body={"contactGroup": {"name": name, **more}}).execute()


def modify(google: Googling, group: str, add: list[str], remove: list[str]) -> Any:
    body = {"resourceNamesToAdd": add, "resourceNamesToRemove": remove}
    return groups(google).members().modify(resourceName=group, body=body).execute()


def inside(google: Googling, name: str) -> list[str]:
    shown = google.get(name, "memberships")["memberships"]
    return [each["contactGroupMembership"]["contactGroupId"] for each in shown]


def test_a_group_is_made_renamed_and_deleted(google: Googling) -> None:
    made = make(google, "VIP")
    name = made["resourceName"]
    assert (made["formattedName"], made["groupType"]) == ("VIP", "USER_CONTACT_GROUP")
    done = groups(google).update(resourceName=name, body={"contactGroup": {"name": "VIPs"}}).execute()
    assert (done["name"], done["resourceName"], done["etag"] != made["etag"]) == ("VIPs", name, True)
    assert groups(google).delete(resourceName=name).execute() == {}
    for act in (groups(google).get(resourceName=name), groups(google).delete(resourceName=name)):
        assert refused(act.execute)[:2] == (404, "NOT_FOUND")
    assert make(google, "VIPs")["resourceName"] != name


def test_a_name_is_there_once(google: Googling) -> None:
    make(google, "VIP")
    other = make(google, "Press")["resourceName"]
    rename = groups(google).update(resourceName=other, body={"contactGroup": {"name": "VIP"}})
    for act in (lambda: make(google, "VIP"), rename.execute, lambda: make(google, "starred")):
        assert refused(act)[:2] == (409, "ALREADY_EXISTS")
    same = groups(google).update(resourceName=other, body={"contactGroup": {"name": "Press"}})
    assert same.execute()["name"] == "Press"
    assert refused(lambda: make(google, " "))[0] == 400


def test_data_of_an_app_stays_with_a_group(google: Googling) -> None:
    data = [{"key": "id", "value": "7"}]
    name = make(google, "VIP", clientData=data)["resourceName"]
    assert groups(google).get(resourceName=name, groupFields="clientData").execute()["clientData"] == data
    body = {"contactGroup": {"clientData": []}, "updateGroupFields": "clientData", "readGroupFields": "name,clientData"}
    done = groups(google).update(resourceName=name, body=body).execute()
    assert (done["name"], "clientData" in done) == ("VIP", False)


@pytest.mark.parametrize("name", ["starred", "myContacts", "all"])
def test_googles_own_groups_stay_as_they_are(google: Googling, name: str) -> None:
    own = f"contactGroups/{name}"
    assert groups(google).get(resourceName=own).execute()["name"] == name
    rename = groups(google).update(resourceName=own, body={"contactGroup": {"name": "x"}})
    for act in (rename, groups(google).delete(resourceName=own)):
        assert refused(act.execute)[0] == 400


def test_members_come_and_go(google: Googling) -> None:
    one, two = (google.anna.person_create(names=[{"givenName": name}]) for name in ("Ada", "Ben"))
    group = make(google, "VIP")["resourceName"]
    assert modify(google, group, [one, two, one], []) == {}
    got = groups(google).get(resourceName=group, maxMembers=1).execute()
    assert (got["memberCount"], got["memberResourceNames"]) == (2, [one])
    assert "memberResourceNames" not in groups(google).get(resourceName=group).execute()
    assert modify(google, group, [], [two]) == {}
    assert inside(google, two) == ["myContacts"]
    both = groups(google).batchGet(resourceNames=[group, "contactGroups/x"], maxMembers=9).execute()["responses"]
    assert both[0]["contactGroup"]["memberResourceNames"] == [one]
    assert (both[1]["requestedResourceName"], both[1]["status"]["code"]) == ("contactGroups/x", 5)


def test_who_is_not_there_or_in_no_other_group_is_named_in_a_good_answer(google: Googling) -> None:
    one = google.anna.person_create(names=[{"givenName": "Ada"}])
    answer = modify(google, "contactGroups/myContacts", ["people/c1"], [one, "people/c2"])
    assert answer == {
        "notFoundResourceNames": ["people/c1", "people/c2"],
        "canNotRemoveLastContactGroupResourceNames": [one],
    }
    assert inside(google, one) == ["myContacts"]


def test_what_cannot_be_modified(google: Googling) -> None:
    one = google.anna.person_create(names=[{"givenName": "Ada"}])
    assert modify(google, "contactGroups/starred", [one], []) == {}
    assert refused(lambda: modify(google, "contactGroups/friends", [one], []))[0] == 400
    assert modify(google, "contactGroups/friends", [], [one]) == {}
    assert refused(lambda: modify(google, "contactGroups/x", [one], []))[0] == 404
    assert refused(lambda: modify(google, "contactGroups/starred", [one] * 600, [one] * 401))[0] == 400
    assert inside(google, one) == ["myContacts", "starred"]


def test_a_change_of_members_moves_the_etag_and_reaches_the_feed(google: Googling) -> None:
    seen = google.create(names=[{"givenName": "Ada"}])
    token = google.synced()["nextSyncToken"]
    group = make(google, "VIP")["resourceName"]
    modify(google, group, [seen["resourceName"]], [])
    assert refused(lambda: google.put(seen, urls=[{"value": "u"}]))[1] == "FAILED_PRECONDITION"
    assert len(google.synced(token)["connections"]) == 1
    now = google.get(seen["resourceName"])
    modify(google, group, [seen["resourceName"]], [])  # is in it already
    assert google.get(seen["resourceName"])["etag"] == now["etag"]


@pytest.mark.parametrize("with_contacts", [False, True])
def test_with_a_group_its_contacts_stay_or_go(google: Googling, with_contacts: bool) -> None:
    group = make(google, "VIP")["resourceName"]
    one, two = (google.anna.person_create(names=[{"givenName": name}]) for name in ("Ada", "Ben"))
    modify(google, group, [one, two], [])
    modify(google, "contactGroups/myContacts", [], [two])
    groups(google).delete(resourceName=group, deleteContacts=with_contacts).execute()
    if with_contacts:
        assert google.anna.contacts == {}
    else:
        assert (inside(google, one), inside(google, two)) == (["myContacts"], ["myContacts"])


def test_the_list_goes_on_and_syncs(google: Googling) -> None:
    made = [make(google, f"Label {number}")["resourceName"] for number in range(25)]
    page = groups(google).list().execute()
    assert (len(page["contactGroups"]), page["totalItems"], "nextSyncToken" in page) == (30, 33, False)
    last = groups(google).list(pageToken=page["nextPageToken"]).execute()
    assert [each["groupType"] for each in last["contactGroups"]] == ["SYSTEM_CONTACT_GROUP"] * 3
    token = last["nextSyncToken"]
    assert groups(google).list(syncToken=token).execute().keys() == {"nextSyncToken"}
    groups(google).delete(resourceName=made[0]).execute()
    make(google, "New")
    delta = groups(google).list(syncToken=token).execute()
    told = [(each.get("name"), each["metadata"].get("deleted", False)) for each in delta["contactGroups"]]
    assert (told, delta["totalItems"]) == ([(None, True), ("New", False)], 2)
    assert refused(groups(google).list(syncToken="nonsense").execute)[0] == 400
    of_people = google.synced()["nextSyncToken"]
    assert refused(groups(google).list(syncToken=of_people).execute)[:2] == (400, "INVALID_ARGUMENT")
    google.app.levers.token_days = 0
    assert refused(groups(google).list(syncToken=token).execute)[3][0]["reason"] == "EXPIRED_SYNC_TOKEN"


def test_masks_of_groups_are_checked(google: Googling) -> None:
    assert "etag" in refused(groups(google).list(groupFields="name,etag").execute)[2]
    names = groups(google).list(groupFields="name").execute()["contactGroups"]
    assert names[0].keys() == {"resourceName", "name", "formattedName"}
    assert refused(groups(google).list(pageSize=1001).execute)[0] == 400
    assert refused(groups(google).batchGet(resourceNames=["contactGroups/x"] * 201).execute)[0] == 400
