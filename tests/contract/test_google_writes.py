"""Google Contacts: every way a write can end, and what a batch costs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sandbox.google.answers import Failure, invalid
from syncer.connectors.base import Observed, Outcome, Write
from syncer.connectors.google_contacts.connector import BOOK
from syncer.connectors.google_contacts.fields import KNOWN, TAGS
from syncer.connectors.google_contacts.wire import ASSUMED, MARKER
from tests.contract.google import ALL, Bench, bench, create, results, seen_in, update

LOOK, CREATE, UPDATE, MODIFY = "batchGet", "batchCreateContacts", "batchUpdateContacts", "members:modify"


@pytest.fixture
def google() -> Iterator[Bench]:
    with bench() as made:
        yield made


def outcomes(google: Bench, *writes: Write) -> list[Outcome]:
    return [result.outcome for result in results(google.connector(), *writes)]


def unless(field: str, value: object) -> Callable[[Observed], bool]:
    """Does the contact still show this?"""
    return lambda observed: observed.values.get(field) == value


# What it costs, and what is sent


@pytest.mark.proves("I14")
def test_two_hundred_edits_are_three_calls(google: Bench) -> None:
    people = google.people(200)
    google.calls()
    more: list[dict[str, Any]] = [{"mobile": "+31612345678"}, {"note": "n"}]
    writes = [update(name, title=f"T{number}", **more[number % 2]) for number, name in enumerate(people)]
    done = results(google.connector(), *writes)
    assert [result.outcome for result in done] == [Outcome.DONE] * 200
    assert [seen_in(result).values["organizations.title"] for result in done] == [f"T{n}" for n in range(200)]
    assert not any(result.edited for result in done)
    assert google.calls() == ["GET contactGroups", "GET people:batchGet", "POST people:batchUpdateContacts"]


@pytest.mark.proves("I14")
def test_two_hundred_edits_with_labels_are_seven_calls(google: Bench) -> None:
    people = google.people(200)
    google.label("VIP", *people[:100])
    google.calls()
    writes = [update(name, title="T", tags=["Bags"] if number < 100 else ["VIP"]) for number, name in enumerate(people)]
    done = results(google.connector(), *writes)
    assert [result.outcome for result in done] == [Outcome.DONE] * 200
    assert [seen_in(result).values[TAGS] for result in done] == [["Bags"]] * 100 + [["VIP"]] * 100
    assert google.calls() == [
        "GET contactGroups",
        "GET people:batchGet",
        "POST contactGroups",
        "POST people:batchUpdateContacts",
        "POST members:modify",
        "POST members:modify",
        "GET people:batchGet",
    ]


@pytest.mark.proves("I14")
def test_a_thousand_new_contacts_are_a_call_for_each_two_hundred_and_two_for_their_label(google: Bench) -> None:
    connector = google.connector()
    for start in range(0, 1000, 200):
        done = results(connector, *(create(number, tags=["VIP"]) for number in range(start, start + 200)))
        assert [result.outcome for result in done] == [Outcome.DONE] * 200
        assert [seen_in(result).values["emailAddresses"] for result in done] == [
            f"ada{number}@example.com" for number in range(start, start + 200)
        ]
    assert google.calls() == ["GET contactGroups", "POST contactGroups"] + ["POST people:batchCreateContacts"] * 5
    assert len(google.anna.contacts) == 1000


def test_a_new_contact_has_our_mark_and_is_among_the_contacts(google: Bench) -> None:
    google.label("VIP")
    (result,) = results(google.connector(), create(tags=["vip", "Bags"], mobile=None))
    seen = seen_in(result)
    (kept,) = google.anna.contacts.values()
    assert kept.fields["clientData"] == [{"key": MARKER, "value": "0b8e6f3e-0"}]
    assert seen.marker == "0b8e6f3e-0"
    assert "myContacts" in kept.groups
    assert google.tags_of(seen.remote_id) == {"VIP", "Bags"}
    assert "phoneNumbers" not in kept.fields
    again = google.connector().read(BOOK, seen.remote_id, ALL)
    assert again == seen
    assert google.connector().find(BOOK, marker="0b8e6f3e-0", fields=ALL) == [again]


def test_one_mask_for_all_and_nobody_loses_what_others_change(google: Bench) -> None:
    ada = google.person(1, phoneNumbers=[{"value": "1", "type": "workFax"}], biographies=[{"value": "old"}])
    ben = google.person(2, relations=[{"person": "Cem", "type": "friend"}], urls=[{"value": "https://ben.example/"}])
    done = outcomes(google, update(ada, mobile="2"), update(ben, note="new"))
    assert done == [Outcome.DONE, Outcome.DONE]
    (sent,) = google.sent(UPDATE)
    assert sent.json()["updateMask"] == "biographies,phoneNumbers"
    assert [item["value"] for item in google.held(ada)["phoneNumbers"]] == ["1", "2"]
    assert google.held(ada)["biographies"][0]["value"] == "old"
    assert google.held(ben)["biographies"][0]["value"] == "new"
    assert google.held(ben)["relations"] == [{"person": "Cem", "type": "friend"}]
    assert google.held(ben)["urls"][0]["value"] == "https://ben.example/"


def test_what_is_there_already_is_not_written(google: Bench) -> None:
    one = google.person()
    google.calls()
    (result,) = results(google.connector(), update(one, title="Analyst", tags=None))
    assert (result.outcome, result.edited) == (Outcome.DONE, False)
    assert google.calls() == ["GET contactGroups", f"GET {one.removeprefix('people/')}"]


def test_one_contact_twice_in_a_batch_is_written_one_after_the_other(google: Bench) -> None:
    one = google.person()
    writes = [update(one, title="First", mobile="1"), update(one, title="Second"), update(one, note="Third")]
    done = results(google.connector(), *writes)
    assert [result.outcome for result in done] == [Outcome.DONE] * 3
    assert google.held(one)["organizations"][0]["title"] == "Second"
    assert google.held(one)["phoneNumbers"][0]["value"] == "1"
    assert google.held(one)["biographies"][0]["value"] == "Third"


# Somebody is faster


@pytest.mark.proves("I1", "E6 re-read")
def test_an_edit_before_we_look_is_stale(google: Bench) -> None:
    one, two = google.people(2)
    google.anna.person_edit(one, organizations=[{"title": "Queen"}])
    holds = unless("organizations.title", "Analyst")
    done = results(google.connector(), update(one, holds, title="T"), update(two, holds, title="T"))
    assert [result.outcome for result in done] == [Outcome.STALE, Outcome.DONE]
    assert seen_in(done[0]).values["organizations.title"] == "Queen"
    assert google.held(one)["organizations"] == [{"title": "Queen"}]


@pytest.mark.proves("I1")
def test_an_edit_of_the_same_field_between_look_and_write_is_stale(google: Bench) -> None:
    one, two = google.people(2)
    google.once(LOOK, lambda: google.anna.person_edit(one, organizations=[{"title": "Queen"}]))
    holds = unless("organizations.title", "Analyst")
    done = results(google.connector(), update(one, holds, title="T"), update(two, holds, title="T"))
    assert [result.outcome for result in done] == [Outcome.STALE, Outcome.DONE]
    assert seen_in(done[0]).values["organizations.title"] == "Queen"
    assert google.held(one)["organizations"] == [{"title": "Queen"}]
    assert google.held(two)["organizations"][0]["title"] == "T"


@pytest.mark.proves("I1", "E6 changed fields")
def test_an_edit_of_another_field_between_look_and_write_stays_and_so_does_ours(google: Bench) -> None:
    one, two = google.people(2)
    phones = [{"value": "1", "type": "home"}]
    google.once(LOOK, lambda: google.anna.person_edit(one, biographies=[{"value": "hers"}], phoneNumbers=phones))
    holds = unless("organizations.title", "Analyst")
    done = results(google.connector(), update(one, holds, title="T", mobile="2"), update(two, holds, note="n"))
    assert [result.outcome for result in done] == [Outcome.DONE, Outcome.DONE]
    assert google.held(one)["biographies"][0]["value"] == "hers"
    assert [item["value"] for item in google.held(one)["phoneNumbers"]] == ["1", "2"]
    assert seen_in(done[0]).values["biographies"] == "hers"


@pytest.mark.proves("I2")
def test_an_edit_after_the_write_is_the_next_delta_s(google: Bench) -> None:
    one = google.person()
    google.once(UPDATE, lambda: google.anna.person_edit(one, organizations=[{"title": "Queen"}]))
    (result,) = results(google.connector(), update(one, title="T"))
    assert (result.outcome, result.edited) == (Outcome.DONE, False)
    assert seen_in(result).values["organizations.title"] == "T"
    assert google.held(one)["organizations"] == [{"title": "Queen"}]


@pytest.mark.proves("I2")
@pytest.mark.parametrize("step", [UPDATE, MODIFY])
def test_an_edit_before_the_reading_back_is_told(google: Bench, step: str) -> None:
    one = google.person()
    google.once(step, lambda: google.anna.person_edit(one, organizations=[{"title": "Queen"}]))
    (result,) = results(google.connector(), update(one, title="T", tags=["VIP"]))
    assert (result.outcome, result.edited) == (Outcome.DONE, True)
    assert seen_in(result).values["organizations.title"] == "Queen"
    assert seen_in(result).values[TAGS] == ["VIP"]


@pytest.mark.proves("I2")
def test_a_label_that_somebody_sets_meanwhile_stays(google: Bench) -> None:
    one, two = google.people(2)
    press = google.label("Press")
    google.once(LOOK, lambda: google.anna.person_regroup(one, add=[press]))
    result, _ = results(google.connector(), update(one, tags=["VIP"]), update(two, tags=["VIP"]))
    assert result.outcome is Outcome.DONE
    assert google.tags_of(one) == {"VIP", "Press"}
    assert set(seen_in(result).values[TAGS] or []) == {"VIP", "Press"}  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [LOOK, UPDATE, MODIFY])
@pytest.mark.proves("I6", "E7 updates")
def test_a_deletion_at_any_step_is_told_and_nobody_is_made(google: Bench, step: str) -> None:
    one, two = google.people(2)
    google.once(step, lambda: google.anna.person_delete(one))
    writes = [update(one, title="T", tags=["VIP"]), update(two, title="T", tags=["VIP"])]
    assert outcomes(google, *writes) == [Outcome.GONE, Outcome.DONE]
    assert [contact.resource for contact in google.anna.contacts.values()] == [two]


@pytest.mark.parametrize("step", [LOOK, UPDATE, MODIFY])
@pytest.mark.proves("E2 renames")
def test_another_name_at_any_step_is_followed(google: Bench, step: str) -> None:
    one, two = google.people(2)
    names: list[str] = []
    google.once(step, lambda: names.append(google.anna.person_rename(one)))
    done = results(google.connector(), *(update(each, title="T", tags=["VIP"]) for each in (one, two)))
    assert [result.outcome for result in done] == [Outcome.DONE, Outcome.DONE]
    assert seen_in(done[0]).remote_id == names[0]
    assert google.held(names[0])["organizations"][0]["title"] == "T"


def test_two_names_of_one_contact_are_one_write(google: Bench) -> None:
    old = google.person()
    new = google.anna.person_rename(old)
    assert outcomes(google, update(old, title="T"), update(new, note="n")) == [Outcome.DONE, Outcome.STALE]
    assert google.held(new)["organizations"][0]["title"] == "T"


@pytest.mark.parametrize("lever", [{"list_etags_refused": True}, {"etag_settles": 5}])
def test_an_etag_that_google_does_not_like_yet_is_no_loss(google: Bench, lever: dict[str, Any]) -> None:
    one = google.person()
    for name, value in lever.items():
        setattr(google.app.levers, name, value)
    (result,) = results(google.connector(), update(one, title="T"))
    if "etag_settles" in lever:
        assert result.outcome is Outcome.STALE
        assert seen_in(result).values["organizations.title"] == "Analyst"
        google.clock.advance(6)
        (result,) = results(google.connector(), update(one, title="T"))
    assert result.outcome is Outcome.DONE


# What Google refuses


@pytest.mark.proves("E6 one bad item")
def test_those_that_a_batch_names_are_refused_and_the_others_written(google: Bench) -> None:
    people = google.people(6)
    google.app.fault("batch_refused")
    google.calls()
    done = results(google.connector(), *(update(name, title="T") for name in people))
    assert [result.outcome for result in done] == [Outcome.DONE, Outcome.REFUSED] * 3
    assert {result.field for result in done if result.outcome is Outcome.REFUSED} == {"organizations.title"}
    titles = [google.held(name)["organizations"][0]["title"] for name in people]
    assert titles == ["T", "Analyst"] * 3
    assert google.calls().count("POST people:batchUpdateContacts") == 2


@pytest.mark.proves("E6 one bad item")
def test_who_is_refused_over_what_others_change_is_written_alone(google: Bench) -> None:
    people = google.people(4)
    google.app.fault("batch_refused")
    words: list[dict[str, Any]] = [{"title": "T"}, {"note": "n"}]
    done = results(google.connector(), *(update(name, **words[n % 2]) for n, name in enumerate(people)))
    assert [result.outcome for result in done] == [Outcome.DONE] * 4
    assert [one.json()["updateMask"] for one in google.sent(UPDATE)] == [
        "biographies,organizations",
        "organizations",
        "biographies",
        "biographies",
    ]


@pytest.mark.proves("E6 one bad item", "I11")
def test_creates_that_a_batch_names_are_refused_and_the_others_made_once(google: Bench) -> None:
    google.app.fault("batch_refused")
    done = results(google.connector(), *(create(number) for number in range(6)))
    assert [result.outcome for result in done] == [Outcome.DONE, Outcome.REFUSED] * 3
    assert len(google.anna.contacts) == 3


@pytest.mark.proves("I11")
def test_where_a_batch_may_be_half_done_the_others_are_not_made_again(google: Bench) -> None:
    google.app.fault("batch_refused")
    wary = google.connector(assumed=replace(ASSUMED, all_or_nothing=False))
    done = results(wary, *(create(number) for number in range(4)))
    assert [result.outcome for result in done] == [Outcome.UNKNOWN, Outcome.REFUSED] * 2
    assert len(google.sent(CREATE)) == 1


def minding(google: Bench, word: str) -> None:
    """Google refuses a whole batch with this word in it, and does not say why."""
    plain = type(google.app)._of_api

    def of_api(self: Any, headers: Any, method: str, path: str, query: str, body: bytes, fault: str) -> Any:
        if method == "POST" and word.encode() in body:
            raise invalid()
        return plain(self, headers, method, path, query, body, fault)

    google.app._of_api = of_api.__get__(google.app)  # type: ignore[method-assign]


@pytest.mark.proves("E6 one bad item")
def test_a_batch_refused_without_names_is_halved_until_it_comes_out(google: Bench) -> None:
    people = google.people(40)
    minding(google, "forbidden word")
    google.calls()
    titles = ["forbidden word" if number in (3, 17) else "T" for number in range(40)]
    done = results(google.connector(), *(update(name, title=title) for name, title in zip(people, titles, strict=True)))
    refused = [number for number, result in enumerate(done) if result.outcome is Outcome.REFUSED]
    assert refused == [3, 17]
    assert [result.outcome for number, result in enumerate(done) if number not in refused] == [Outcome.DONE] * 38
    assert done[3].field == "organizations.title"
    assert google.calls().count("POST people:batchUpdateContacts") <= ASSUMED.sends


def failing(google: Bench, path: str, failures: Sequence[Failure]) -> None:
    """The first requests with this path do nothing and end so."""
    plain, left = type(google.app)._of_api, list(failures)

    def of_api(self: Any, headers: Any, method: str, at: str, query: str, body: bytes, fault: str) -> Any:
        if path in at and left:
            raise left.pop(0)
        return plain(self, headers, method, at, query, body, fault)

    google.app._of_api = of_api.__get__(google.app)  # type: ignore[method-assign]


def parts_refused(**codes: int) -> Failure:
    """Of a batch, by the keys that Google gives."""
    statuses = {key: {"code": code} for key, code in codes.items()}
    kind = "type.googleapis.com/google.people.v1.BatchCreateContactsErrorDetails"
    return invalid(details=[{"@type": kind, "contactErrors": statuses}])


@pytest.mark.proves("E6 one bad item", "I11")
def test_in_half_a_batch_new_contacts_are_counted_from_its_beginning(google: Bench) -> None:
    failing(google, CREATE, [invalid(), *[parts_refused(**{"0": 3})] * 2])
    done = outcomes(google, *(create(number) for number in range(4)))
    assert done == [Outcome.REFUSED, Outcome.DONE] * 2
    assert len(google.anna.contacts) == 2


@pytest.mark.proves("E6 one bad item")
def test_a_batch_refused_by_keys_that_nobody_knows_is_halved(google: Bench) -> None:
    failing(google, CREATE, [parts_refused(**{"contacts[1]": 3})] * 3)
    assert outcomes(google, *(create(number) for number in range(4))) == [
        Outcome.REFUSED,
        Outcome.DONE,
        Outcome.DONE,
        Outcome.DONE,
    ]
    assert len(google.sent(CREATE)) == 5


@pytest.mark.parametrize("path", [CREATE, UPDATE])
def test_where_all_that_unknown_keys_name_had_moved_the_batch_is_sent_again(google: Bench, path: str) -> None:
    people = google.people(3)
    failing(google, path, [parts_refused(a=10, b=9, c=5)])
    writes = [create(number) for number in range(3)] if path == CREATE else [update(one, title="T") for one in people]
    assert outcomes(google, *writes) == [Outcome.DONE] * 3
    assert len(google.sent(path)) == 2


@pytest.mark.parametrize("code", [3, 10])
@pytest.mark.proves("I11")
def test_where_a_batch_may_be_half_done_unknown_keys_send_nobody_again(google: Bench, code: int) -> None:
    failing(google, CREATE, [parts_refused(a=code)])
    wary = google.connector(assumed=replace(ASSUMED, all_or_nothing=False))
    assert [result.outcome for result in results(wary, create(1), create(2))] == [Outcome.UNKNOWN] * 2
    assert len(google.sent(CREATE)) == 1


def test_a_batch_that_google_aborted_is_looked_at_and_sent_again(google: Bench) -> None:
    failing(google, UPDATE, [Failure(409, "ABORTED", "The operation was aborted.")])
    assert outcomes(google, *(update(name, title="T") for name in google.people(3))) == [Outcome.DONE] * 3
    assert len(google.sent(UPDATE)) == 2


def test_a_batch_of_which_all_is_refused_ends(google: Bench) -> None:
    minding(google, "ada")
    done = outcomes(google, *(create(number) for number in range(100)))
    assert set(done) == {Outcome.REFUSED, Outcome.NOT_SENT}
    assert len(google.sent(CREATE)) == ASSUMED.sends
    assert not google.anna.contacts


def test_what_cannot_be_written_is_not_sent(google: Bench) -> None:
    one = google.person()
    writes = [update(one, birthdays="never"), update(google.person(2), shoeSize="39"), create(birthdays=7)]
    done = results(google.connector(), *writes)
    assert [(result.outcome, result.field) for result in done] == [
        (Outcome.REFUSED, "birthdays"),
        (Outcome.REFUSED, "shoeSize"),
        (Outcome.REFUSED, "birthdays"),
    ]
    assert not google.sent(UPDATE) and not google.sent(CREATE)


def test_a_refused_label_stops_its_contact_before_anything_is_sent(google: Bench) -> None:
    one, two = google.people(2)
    done = results(google.connector(), update(one, title="T", tags=["starred"]), update(two, title="T", tags=["VIP"]))
    assert [(result.outcome, result.field) for result in done] == [(Outcome.REFUSED, TAGS), (Outcome.DONE, "")]
    assert google.held(one)["organizations"][0]["title"] == "Analyst"


# Labels


def test_a_label_that_somebody_made_at_the_same_time_is_taken(google: Bench) -> None:
    one = google.person()
    google.once("/v1/contactGroups", lambda: google.label("VIP"))
    (result,) = results(google.connector(), update(one, tags=["VIP"]))
    assert result.outcome is Outcome.DONE
    assert google.tags_of(one) == {"VIP"}
    assert [group.name for group in google.anna.living_groups()] == ["VIP"]


def test_a_label_in_another_case_is_the_same_one(google: Bench) -> None:
    one = google.person()
    google.label("vip", one)
    google.label("Press")
    (result,) = results(google.connector(), update(one, tags=["VIP", "press"]))
    assert result.outcome is Outcome.DONE
    assert google.tags_of(one) == {"vip", "Press"}


def test_a_label_deleted_while_we_write_is_judged_again(google: Bench) -> None:
    one, two = google.people(2)
    vip = google.label("VIP")
    google.once(LOOK, lambda: google.anna.drop_group(google.anna.group(vip)))
    connector = google.connector()
    done = results(connector, update(one, tags=["VIP"]), update(two, tags=["Bags"]))
    assert [result.outcome for result in done] == [Outcome.STALE, Outcome.DONE]
    assert [result.outcome for result in results(connector, update(one, tags=["VIP"]))] == [Outcome.DONE]
    assert google.tags_of(one) == {"VIP"}


def test_the_last_label_of_a_contact_stays_and_that_is_told(google: Bench) -> None:
    one, two = google.people(2)
    google.label("VIP", one, two)
    google.anna.person_regroup(one, remove=["contactGroups/myContacts"])
    done = results(google.connector(), update(one, tags=None), update(two, tags=None))
    assert [(result.outcome, result.field) for result in done] == [(Outcome.REFUSED, TAGS), (Outcome.DONE, "")]
    assert google.tags_of(one) == {"VIP"} and google.tags_of(two) == set()
    (swapped,) = results(google.connector(), update(one, tags=["Bags"]))
    assert swapped.outcome is Outcome.DONE
    assert google.tags_of(one) == {"Bags"}


def test_contacts_that_change_places_between_two_labels_are_in_one_at_every_moment(google: Bench) -> None:
    one, two = google.people(2)
    google.label("A", one), google.label("B", two)
    for name in (one, two):
        google.anna.person_regroup(name, remove=["contactGroups/myContacts"])
    done = outcomes(google, update(one, tags=["B"]), update(two, tags=["A"]))
    assert done == [Outcome.DONE, Outcome.DONE]
    assert (google.tags_of(one), google.tags_of(two)) == ({"B"}, {"A"})


def test_a_renamed_label_is_looked_up_before_it_is_used(google: Bench) -> None:
    one = google.person()
    vip = google.label("VIP")
    connector = google.connector()
    assert list(connector.tags(BOOK)) == ["VIP"]
    google.anna.keep_group(replace(google.anna.group(vip), name="Old friends"))
    google.clock.advance(ASSUMED.labels_good_for)
    (result,) = results(connector, update(one, tags=["VIP"]))
    assert result.outcome is Outcome.DONE
    assert google.tags_of(one) == {"VIP"}


def test_without_labels_among_the_fields_no_label_is_asked_for(google: Bench) -> None:
    one = google.person()
    connector = google.connector()
    connector.read(BOOK, one, tuple(KNOWN))
    google.calls()
    (result,) = results(connector, update(one, title="T"))
    assert result.outcome is Outcome.DONE
    assert google.calls() == [f"GET {one.removeprefix('people/')}", "POST people:batchUpdateContacts"]
