"""The lifelike contacts of the demo, as the stand-in for Google holds them."""

from sandbox.google.lifelike import fields
from sandbox.people import Person, books
from tests.needs import needs
from tests.sandbox.googling import googling

ADA = Person(
    9, "Ada", "Lovelace", "ada@example.com", "United Kingdom", "+44 7700 900123", birthday="1815-12-10", tags=("VIP",)
)


def test_a_person_is_what_google_takes() -> None:
    made = fields(ADA, {"VIP": "contactGroups/1"})
    assert made["phoneNumbers"] == [{"value": "+44 7700 900123", "type": "mobile"}]
    assert made["birthdays"] == [{"date": {"year": 1815, "month": 12, "day": 10}}]
    assert made["memberships"] == [{"contactGroupMembership": {"contactGroupResourceName": "contactGroups/1"}}]
    assert made["userDefined"] == [{"key": "Shelf", "value": "9"}]
    assert "addresses" not in made
    assert set(fields(Person(1, "Ada", "", "", "Nowhere"), {})) == {"names"}


@needs("specs")
def test_the_api_takes_and_shows_every_one_of_them() -> None:
    people = books(200)
    with googling(reads=None, writes=None, feed_delay=0) as google:
        tags = {tag for person in people.left for tag in person.tags}
        labels = {tag: google.anna.person_make_group(tag) for tag in sorted(tags)}
        for start in (0, 100):
            made = [{"contactPerson": fields(person, labels)} for person in people.left[start : start + 100]]
            google.api.people().batchCreateContacts(body={"contacts": made, "readMask": "names"}).execute()
        shown = google.synced(pageSize=1000, fields="names,emailAddresses,phoneNumbers,memberships")["connections"]
        assert google.judge.asked == []
    mails = {each["value"].lower() for person in shown for each in person.get("emailAddresses", ())}
    crm = {person.email.lower() for person in people.right} - {""}
    assert (len(shown), len(mails & crm)) == (200, 60)
    phones = [each for person in shown for each in person.get("phoneNumbers", ())]
    assert all(each["canonicalForm"].startswith("+") for each in phones)
    inside = [each["contactGroupMembership"]["contactGroupId"] for person in shown for each in person["memberships"]]
    assert inside.count("myContacts") == 200
