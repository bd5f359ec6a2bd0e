"""The stand-in for the People API behaves as the real one is said to: people, read and written by Google's client."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.google import CONTACTS_READ
from tests.needs import needs
from tests.sandbox.googling import ANNA, BEN, EVERYTHING, Googling, googling, refused

pytestmark = needs("specs")
ADA: dict[str, Any] = {
    "names": [{"givenName": "Ada", "familyName": "Lovelace"}],
    "emailAddresses": [{"value": "ada@example.com", "type": "work"}, {"value": "ada@home.example", "type": "home"}],
}
STALE = "Request person.etag is different than the current person.etag. Clear local cache and get the latest person."


@pytest.fixture
def google() -> Iterator[Googling]:
    with googling(reads=None, writes=None) as found:
        yield found


def test_a_created_contact_is_read_at_once_and_is_in_my_contacts(google: Googling) -> None:
    made = google.create(**ADA)
    seen = google.get(made["resourceName"])
    assert seen == made
    assert [each["contactGroupMembership"]["contactGroupId"] for each in seen["memberships"]] == ["myContacts"]
    assert seen["resourceName"] == f"people/c{int(seen['metadata']['sources'][0]['id'], 16)}"


def test_each_user_has_contacts_of_their_own(google: Googling) -> None:
    made = google.create(**ADA)
    ben = google.client(google.app.allow(BEN)["access_token"])
    assert ben.people().connections().list(resourceName="people/me", personFields="names").execute() == {}
    get = ben.people().get(resourceName=made["resourceName"], personFields="names")
    assert refused(get.execute)[:3] == (404, "NOT_FOUND", "Requested entity was not found.")


def test_one_self_is_a_person_too(google: Googling) -> None:
    me = google.get("people/me", "names,emailAddresses,metadata,photos")
    assert me["emailAddresses"][0]["value"] == ANNA
    assert me["metadata"]["sources"][0]["type"] == "PROFILE"
    assert google.get(me["resourceName"], "names")["names"] == me["names"]


def test_what_google_computes_cannot_be_written(google: Googling) -> None:
    name = {"displayName": "Nobody", "givenName": "Ada", "honorificPrefix": "Dr.", "middleName": "Byron"}
    made = google.create(
        names=[{**name, "familyName": "Lovelace"}],
        phoneNumbers=[
            {"value": "(212) 555-0123", "type": "mobile", "canonicalForm": "+1", "formattedType": "x"},
            {"value": "ask Charles", "type": "Zeppelin"},
        ],
        relations=[{"person": "Charles", "type": "colleague"}, {"person": "Annabella", "type": "mother"}],
    )
    assert made["names"][0]["displayName"] == made["names"][0]["unstructuredName"] == "Dr. Ada Byron Lovelace"
    assert made["names"][0]["displayNameLastFirst"] == "Lovelace, Dr. Ada Byron"
    first, second = made["phoneNumbers"]
    assert (first["canonicalForm"], first["formattedType"]) == ("+12125550123", "Mobile")
    assert ("canonicalForm" in second, second["formattedType"]) == (False, "Zeppelin")
    assert [each["formattedType"] for each in made["relations"]] == ["colleague", "Mother"]


def test_what_else_google_computes(google: Googling) -> None:
    made = (
        google.api.people()
        .createContact(
            body={
                "genders": [{"value": "female"}, {}],
                "imClients": [{"protocol": "jabber", "username": "ada"}],
                "phoneNumbers": [{"value": "1"}, {"value": "+99 9"}],
                "addresses": [{"city": "London"}, {"city": "Paris", "formattedValue": "Somewhere"}],
            }
        )
        .execute()
    )
    assert made["genders"][0]["formattedValue"] == "Female"
    assert made["imClients"][0]["formattedProtocol"] == "Jabber"
    assert ["canonicalForm" in each for each in made["phoneNumbers"]] == [False, False]
    assert [each["formattedValue"] for each in made["addresses"]] == ["London", "Somewhere"]


@pytest.mark.parametrize(
    ("whole", "given", "family"),
    [("Ada Lovelace", "Ada", "Lovelace"), ("Ada Byron Lovelace", "Ada Byron", "Lovelace"), ("Björk", "Björk", None)],
)
def test_a_name_in_one_piece_is_taken_apart(google: Googling, whole: str, given: str, family: str | None) -> None:
    name = google.create(names=[{"unstructuredName": whole}])["names"][0]
    assert (name["givenName"], name.get("familyName"), name["displayName"]) == (given, family, whole)


def test_of_a_field_one_is_primary(google: Googling) -> None:
    def primaries(person: Any, name: str) -> list[bool]:
        return [each["metadata"].get("primary", False) for each in person[name]]

    made = google.create(**ADA, urls=[{"value": "a"}, {"value": "b", "metadata": {"sourcePrimary": True}}])
    assert (primaries(made, "emailAddresses"), primaries(made, "urls")) == ([True, False], [False, True])
    assert "primary" not in made["memberships"][0]["metadata"]
    twice = [{"value": each, "metadata": {"sourcePrimary": True}} for each in "ab"]
    assert refused(lambda: google.create(urls=twice))[:2] == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("field", ["names", "biographies", "birthdays", "genders"])
def test_there_is_one_of_a_single_field(google: Googling, field: str) -> None:
    items: dict[str, Any] = {
        "names": [{"givenName": "Ada"}, {"givenName": "Augusta"}],
        "birthdays": [{"text": "1"}, {"text": "2"}],
    }
    two = items.get(field, [{"value": "a"}, {"value": "b"}])
    code, status, message, _ = refused(lambda: google.create(**{field: two}))
    assert (code, status) == (400, "INVALID_ARGUMENT")
    assert message == f"Cannot have more than one person.{field} per source."
    assert google.anna.contacts == {}


def test_what_says_nothing_is_not_kept(google: Googling) -> None:
    made = google.create(**ADA, urls=[{"value": ""}, {}], organizations=[{"name": "Engines", "title": ""}])
    assert "urls" not in made
    assert "title" not in made["organizations"][0]


@pytest.mark.parametrize(("date", "fine"), [((1815, 12, 10), True), ((0, 2, 29), True), ((2025, 2, 29), False)])
def test_a_date_may_be_without_a_year_and_has_to_be_one(
    google: Googling, date: tuple[int, int, int], fine: bool
) -> None:
    given = {"date": dict(zip(("year", "month", "day"), date, strict=True))}
    if fine:
        shown = google.create(birthdays=[given])["birthdays"][0]["date"]
        assert shown == {name: value for name, value in given["date"].items() if value}
    else:
        assert refused(lambda: google.create(birthdays=[given]))[0] == 400


UNKNOWN = "Invalid JSON payload received. Unknown name"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": []}, f"{UNKNOWN} \"name\" at 'person': Cannot find field."),
        ({"phoneNumbers": [{}, {"n": "2"}]}, f"{UNKNOWN} \"n\" at 'person.phone_numbers[1]': Cannot find field."),
        ({"urls": [{"value": 7}]}, "Invalid value at 'person.urls[0].value' (TYPE_STRING), 7"),
        ({"nicknames": [{"type": "X"}]}, "Invalid value at 'person.nicknames[0].type' (TYPE_ENUM), \"X\""),
        ({"events": [{"date": {"day": "1"}}]}, "Invalid value at 'person.events[0].date.day' (TYPE_INT32), \"1\""),
        ({"birthdays": [{"date": 1815}]}, "Invalid value at 'person.birthdays[0].date' (TYPE_MESSAGE), 1815"),
        ({"urls": "x"}, "Invalid value at 'person.urls' (TYPE_LIST), \"x\""),
        ({"locations": [{"current": "y"}]}, "Invalid value at 'person.locations[0].current' (TYPE_BOOL), \"y\""),
    ],
)
def test_what_is_no_person_is_refused_by_its_place(google: Googling, body: Any, message: str) -> None:
    code, status, told, details = refused(lambda: google.create(**body))
    assert (code, status, told) == (400, "INVALID_ARGUMENT", message)
    assert details[0]["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert details[0]["fieldViolations"][0]["description"] == message
    assert google.judge.asked != []


def test_an_update_replaces_the_fields_of_its_mask_and_no_other(google: Googling) -> None:
    made = google.create(**ADA, urls=[{"value": "https://a.example"}])
    done = google.put(made, emailAddresses=[{"value": "new@example.com"}], urls=[])
    assert [each["value"] for each in done["emailAddresses"]] == ["new@example.com"]
    assert "urls" not in done
    assert done["names"] == made["names"]
    person = {**done, "names": [{"givenName": "Unmasked"}], "nicknames": [{"value": "Countess"}]}
    done = google.update(done["resourceName"], person, "nicknames")
    assert (done["names"], done["nicknames"][0]["value"]) == (made["names"], "Countess")


@pytest.mark.parametrize("part", ["person", "source"])
def test_each_etag_that_is_given_has_to_fit(google: Googling, part: str) -> None:
    made = google.create(**ADA)
    own = made["metadata"]["sources"][0]
    old = {"etag": made["etag"]} if part == "person" else {}
    source = {"type": "CONTACT"} | ({"etag": own["etag"]} if part == "source" else {})
    person = {**old, "metadata": {"sources": [source]}, "urls": [{"value": "u"}]}
    google.update(made["resourceName"], person, "urls")
    assert refused(lambda: google.update(made["resourceName"], person, "urls")) == (
        400,
        "FAILED_PRECONDITION",
        STALE,
        [],
    )
    mixed = {"etag": own["etag"], "metadata": {"sources": [{"type": "CONTACT"}]}}
    assert refused(lambda: google.update(made["resourceName"], mixed, "urls"))[2] == STALE


@pytest.mark.parametrize(
    "person",
    [{}, {"etag": "%x"}, {"metadata": {"sources": [{"type": "PROFILE", "etag": "#x"}]}, "etag": "%x"},
     {"metadata": {"sources": [{"type": "CONTACT"}]}}],
)  # fmt: skip
def test_an_update_without_a_source_or_an_etag_is_refused(google: Googling, person: Any) -> None:
    made = google.create(**ADA)
    code, status, message, _ = refused(lambda: google.update(made["resourceName"], person, "urls"))
    assert (code, status) == (400, "INVALID_ARGUMENT")
    assert message.startswith("Request must set person.etag or person.metadata.sources.etag")


def test_the_etag_of_an_answer_is_good_for_the_next_update(google: Googling) -> None:
    seen = google.create(**ADA)
    for number in range(3):
        seen = google.put(seen, nicknames=[{"value": f"n{number}"}])
    assert seen["nicknames"][0]["value"] == "n2"


def test_memberships_are_replaced_and_never_none(google: Googling) -> None:
    made, group = google.create(**ADA), google.anna.person_make_group("VIP")

    def member(name: str) -> Any:
        return {"contactGroupMembership": {"contactGroupResourceName": name}}

    done = google.put(made, memberships=[member(group)])
    assert [each["contactGroupMembership"]["contactGroupResourceName"] for each in done["memberships"]] == [group]
    assert refused(lambda: google.put(done, memberships=[]))[:2] == (400, "INVALID_ARGUMENT")
    assert refused(lambda: google.put(done, memberships=[member("contactGroups/friends")]))[0] == 400
    assert refused(lambda: google.put(done, memberships=[member("contactGroups/nowhere")]))[0] == 400


def test_masks_are_needed_and_checked(google: Googling) -> None:
    made = google.create(**ADA)
    name = made["resourceName"]
    for act in (
        lambda: google.get(name, ""),
        lambda: google.listed(""),
        lambda: google.api.people().getBatchGet(resourceNames=[name]).execute(),
        lambda: google.api.people().updateContact(resourceName=name, body=made).execute(),
    ):
        code, status, message, _ = refused(act)
        assert (code, status) == (400, "INVALID_ARGUMENT")
        assert "mask is required" in message
    assert '"emails"' in refused(lambda: google.get(name, "names,emails"))[2]
    assert '"photos"' in refused(lambda: google.update(name, made, "photos"))[2]
    old = google.api.people().get(resourceName=name, requestMask_includeField="person.names").execute()
    assert set(old) == {"resourceName", "etag", "names"}


def test_unknown_parameters_are_refused(google: Googling) -> None:
    http, url = google.api._http, f"{google.url}/v1/people/me/connections?personFields=names"
    for more in (
        "&fieldss=x",
        "&requestSyncToken=maybe",
        "&pageSize=few",
        "&sources=READ_SOURCE_TYPE_MOON",
        "&sortOrder=SIZE",
    ):
        reply, _ = http.request(url + more)
        assert reply.status == 400, more
    assert len(google.judge.asked) == 5


def test_a_batch_get_tells_of_each(google: Googling) -> None:
    made = google.create(**ADA)
    names = [made["resourceName"], "people/c1", "people/me"]
    got = google.api.people().getBatchGet(resourceNames=names, personFields="names").execute()["responses"]
    assert [each["requestedResourceName"] for each in got] == names
    assert [each["httpStatusCode"] for each in got] == [200, 404, 200]
    assert (got[0]["person"]["names"], got[1]["status"]["code"]) == (made["names"], 5)
    many = google.api.people().getBatchGet(resourceNames=["people/c1"] * 201, personFields="names")
    assert refused(many.execute)[0] == 400


def test_a_deleted_contact_is_not_found(google: Googling) -> None:
    name = google.create(**ADA)["resourceName"]
    assert google.api.people().deleteContact(resourceName=name).execute() == {}
    for act in (lambda: google.get(name), lambda: google.api.people().deleteContact(resourceName=name).execute()):
        assert refused(act)[:3] == (404, "NOT_FOUND", "Requested entity was not found.")


def test_a_batch_creates_all_or_none(google: Googling) -> None:
    def create(people: list[Any], mask: str = "names") -> Any:
        body = {"contacts": [{"contactPerson": person} for person in people], "readMask": mask}
        return google.api.people().batchCreateContacts(body=body).execute()

    made = create([ADA, {"names": [{"givenName": "Ben"}]}])["createdPeople"]
    assert [each["person"]["names"][0]["displayName"] for each in made] == ["Ada Lovelace", "Ben"]
    assert create([ADA], "") == {}
    assert len(google.anna.contacts) == 3
    two_names = {"names": [{"givenName": "A"}, {"givenName": "B"}]}
    code, _, _, details = refused(lambda: create([ADA, two_names, ADA, two_names]))
    assert (code, details[0]["@type"]) == (
        400,
        "type.googleapis.com/google.people.v1.BatchCreateContactsErrorDetails",
    )
    assert {name: each["code"] for name, each in details[0]["contactErrors"].items()} == {"1": 3, "3": 3}
    assert len(google.anna.contacts) == 3
    assert refused(lambda: create([ADA] * 201))[0] == refused(lambda: create([]))[0] == 400
    assert len(create([ADA] * 200)["createdPeople"]) == 200


def test_a_batch_updates_all_or_none_under_one_mask(google: Googling) -> None:
    one, two = google.create(**ADA), google.create(**ADA)

    def update(people: Any, fields: str = "urls", mask: str = "urls,metadata") -> Any:
        body = {"contacts": people, "updateMask": fields, "readMask": mask}
        return google.api.people().batchUpdateContacts(body=body).execute()

    def changed(seen: Any, url: str) -> Any:
        return {"etag": seen["etag"], "metadata": seen["metadata"], "urls": [{"value": url}]}

    both = {one["resourceName"]: changed(one, "1"), two["resourceName"]: changed(two, "2")}
    done = update(both)["updateResult"]
    assert {name: each["person"]["urls"][0]["value"] for name, each in done.items()} == {
        one["resourceName"]: "1",
        two["resourceName"]: "2",
    }
    one, old = done[one["resourceName"]]["person"], two
    mixed = {
        one["resourceName"]: changed(one, "3"),
        old["resourceName"]: changed(old, "4"),
        "people/c1": changed(old, "5"),
    }
    _, status, _, details = refused(lambda: update(mixed))
    errors = details[0]["contactErrors"]
    assert (status, {name: each["code"] for name, each in errors.items()}) == (
        "FAILED_PRECONDITION",
        {old["resourceName"]: 9, "people/c1": 5},
    )
    assert google.get(one["resourceName"], "urls")["urls"][0]["value"] == "1"
    assert update({one["resourceName"]: changed(one, "6")}, mask="") == {}
    assert refused(lambda: update({f"people/c{number}": {} for number in range(201)}))[0] == 400
    assert refused(lambda: update("all"))[2] == "Invalid value at 'contacts' (TYPE_MESSAGE), \"all\""
    new = google.anna.person_rename(two["resourceName"])
    now = google.get(new)
    assert refused(lambda: update({new: changed(now, "9"), two["resourceName"]: changed(now, "9")}))[0] == 400
    told = refused(lambda: update([changed(one, "7")]))[2]
    assert told == "Invalid JSON payload received. Cannot bind a list to map for field 'contacts'."
    assert "mask is required" in refused(lambda: update({one["resourceName"]: changed(one, "8")}, fields=""))[2]


def test_a_batch_deletes_all_or_none(google: Googling) -> None:
    names = [google.create(**ADA)["resourceName"] for _ in range(3)]

    def delete(gone: list[str]) -> Any:
        return google.api.people().batchDeleteContacts(body={"resourceNames": gone}).execute()

    assert refused(lambda: delete([names[0], "people/c1"]))[0] == 404
    assert len(google.anna.contacts) == 3
    assert refused(lambda: delete(names * 167))[0] == 400
    assert delete(names[:2]) == {}
    assert google.anna.contacts.keys() == {google.get(names[2], "metadata")["metadata"]["sources"][0]["id"]}


def test_a_profile_is_a_second_source(google: Googling) -> None:
    name = google.create(**ADA)["resourceName"]
    google.anna.person_link(name, emailAddresses=[{"value": "ada@gmail.example"}], names=[{"givenName": "Countess"}])
    both = google.get(name)
    assert [source["type"] for source in both["metadata"]["sources"]] == ["CONTACT", "PROFILE"]
    assert [each["metadata"]["source"]["type"] for each in both["names"]] == ["CONTACT", "PROFILE"]
    assert [each["metadata"].get("primary") for each in both["names"]] == [True, None]
    own = google.get(name, sources="READ_SOURCE_TYPE_CONTACT")
    assert [source["type"] for source in own["metadata"]["sources"]] == ["CONTACT"]
    assert len(own["emailAddresses"]) == 2
    assert google.put(both, urls=[{"value": "u"}])["urls"]


def test_who_has_no_token_or_a_lesser_one(google: Googling) -> None:
    nobody = google.client("ya29.wrong")
    listing = nobody.people().connections().list(resourceName="people/me", personFields="names")
    http, url = nobody._http.http, f"{google.url}/v1/people/me/connections?personFields=names"
    reply, _ = http.request(url)
    assert (reply.status, 'error="invalid_token"' in reply["www-authenticate"]) == (401, True)
    with pytest.raises(Exception, match="refresh"):
        listing.execute()
    reader = google.client(google.app.allow(ANNA, [CONTACTS_READ])["access_token"])
    assert reader.people().get(resourceName="people/me", personFields="names").execute()["names"]
    code, status, message, _ = refused(reader.people().createContact(body=ADA).execute)
    assert (code, status, message) == (403, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")


def test_the_official_client_renews_its_token_and_goes_on(google: Googling) -> None:
    given = google.app.allow(ANNA)
    client = google.client(given["access_token"], given["refresh_token"])
    google.clock.advance(3600)
    assert client.people().createContact(body=ADA).execute()["names"]
    assert [kind for kind, _ in google.app.oauth.log][-1] == "refresh_token"


def test_people_in_front_of_it(google: Googling) -> None:
    name = google.anna.person_create(**ADA)
    google.anna.person_edit(name, names=[{"givenName": "Augusta"}])
    assert google.get(name, EVERYTHING)["names"][0]["displayName"] == "Augusta"
    with pytest.raises(ValueError, match="no such field: photos"):
        google.anna.person_edit(name, photos=[])
    google.anna.person_delete(name)
    assert refused(lambda: google.get(name))[0] == 404
