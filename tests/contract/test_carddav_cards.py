"""Cards, without a server: what they say, and that an edit touches nothing else."""

import time
from collections.abc import Callable

import pytest
import vobject
from hypothesis import given, settings
from hypothesis import strategies as st

from syncer.connectors.base import FieldType, Value
from syncer.connectors.carddav.card import FORBIDDEN, Card, Unreadable, fold, new, parse
from syncer.connectors.carddav.fields import BOUND, STANDARD, Unfit, apply, read


def card(*lines: str, version: str = "3.0") -> Card:
    whole = ("BEGIN:VCARD", f"VERSION:{version}", "UID:ada", *lines, "END:VCARD")
    return parse("".join(f"{line}\r\n" for line in whole).encode())


def lines(of: Card) -> list[str]:
    return [str(line) for line in of.lines]


def changed(before: Card, **values: Value) -> tuple[list[str], list[str]]:
    """The lines that an edit takes away and those that it brings."""
    after = apply(before, {name.replace("__", "."): value for name, value in values.items()})
    old, fresh = lines(before), lines(parse(after.octets()))
    return [line for line in old if line not in fresh], [line for line in fresh if line not in old]


@pytest.mark.parametrize(
    ("name", "line", "value"),
    [
        ("given", "N:Lovelace;Ada;King;Lady;III", "Ada"),
        ("family", "N:Love\\;lace\\, Countess;Ada", "Love;lace, Countess"),
        ("family", "N:Smith,Jones;Ada", "Smith,Jones"),
        ("given", "N:Lovelace", None),
        ("nickname", "NICKNAME:", None),
        ("email", "EMAIL:ada@example.com", "ada@example.com"),
        ("email", "EMAIL:a@x.org\r\nEMAIL;TYPE=internet,pref:b@x.org", "b@x.org"),
        ("email", "EMAIL;PREF=2:a@x.org\r\nEMAIL;PREF=1:b@x.org", "b@x.org"),
        ("email", "EMAIL;INTERNET:a@x.org\r\nEMAIL;PREF;INTERNET:b@x.org", "b@x.org"),
        ("phone.mobile", "TEL;TYPE=CELL,VOICE:1", "1"),
        ("phone.mobile", 'TEL;VALUE=uri;TYPE="voice,cell":tel:+44-1', "+44-1"),
        ("phone.mobile", "TEL;TYPE=iPhone;TYPE=CELL:1", "1"),
        ("phone.work", "TEL;TYPE=WORK,FAX:1\r\nTEL;WORK:2", "2"),
        ("phone.work", "TEL;TYPE=WORK,CELL:1", None),
        ("phone.home", "TEL;TYPE=HOME:1", "1"),
        ("phone.other", "TEL;TYPE=HOME:1\r\nTEL;TYPE=MAIN:2", "2"),
        ("phone.other", "TEL;TYPE=PAGER:1", None),
        ("organization", "ORG:Analytical Engines\\; Ltd;Research", "Analytical Engines; Ltd"),
        ("url", "URL:https://example.com/?a=b;c", "https://example.com/?a=b;c"),
        ("note", "NOTE:one\\ntwo\\Nthree\\, four\\\\five, six", "one\ntwo\nthree, four\\five, six"),
        ("birthday", "BDAY:1815-12-10", "1815-12-10"),
        ("birthday", "BDAY;VALUE=date-and-or-time:18151210T000000Z", "1815-12-10"),
        ("birthday", "BDAY:--1210", "--12-10"),
        ("birthday", "BDAY:--02-29", "--02-29"),
        ("birthday", "BDAY;X-APPLE-OMIT-YEAR=1604:1604-12-10", "--12-10"),
        ("birthday", "TITLE:x", None),
        ("address.home.street", "ADR;TYPE=HOME:Box;Flat 2;12 Square;London;Mx;SW1Y;UK", "12 Square"),
        ("address.home.street2", "ADR;TYPE=HOME:Box;Flat 2;12 Square;London;Mx;SW1Y;UK", "Flat 2"),
        ("address.work.city", "ADR;TYPE=HOME:;;;Home\r\nADR;TYPE=WORK:;;;Work", "Work"),
        ("address.work.country", "ADR;TYPE=HOME,WORK:;;;;;;UK", None),
        ("address.home.country", "item1.ADR;TYPE=HOME,WORK:;;;;;;UK", "UK"),
        ("tags", "CATEGORIES:VIP, Red\\, dark\r\nCATEGORIES:VIP,Blue,", ["VIP", "Red, dark", "Blue"]),
        ("tags", "CATEGORIES:", None),
        ("uid", "TITLE:x", "ada"),
    ],
)
def test_a_property_is_read(name: str, line: str, value: Value) -> None:
    assert read(card(line), [name]) == {name: value}


@pytest.mark.parametrize("line", ["BDAY;VALUE=text:circa 1800", "BDAY:1815", "BDAY:---10", "BDAY:1815-13-10", "BDAY:x"])
def test_a_birthday_that_is_no_date_is_absent_not_empty(line: str) -> None:
    assert read(card(line), ["birthday"]) == {}


def test_only_the_fields_asked_for_are_given() -> None:
    assert set(read(card("TITLE:Countess"), ["title", "note", "unknown"])) == {"title", "note"}
    assert set(read(card("TITLE:Countess"))) == set(BOUND) == {field.name for field in STANDARD}


def test_a_card_of_the_old_version_is_read() -> None:
    old = card(
        "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:L=C3=B3pez;Mar=C3=ADa",
        "NOTE;ENCODING=QUOTED-PRINTABLE:a long =",
        "line=0D=0Aand another",
        "TITLE;CHARSET=no-such;QUOTED-PRINTABLE:caf=E9",
        version="2.1",
    )
    assert read(old, ["given", "family", "note", "title"]) == {
        "given": "María",
        "family": "López",
        "note": "a long line\r\nand another",
        "title": "café",
    }


def test_a_card_of_the_old_version_stays_one() -> None:
    old = card("N:Lovelace;Ada", "FN:Ada Lovelace", "TEL;CELL:1", version="2.1")
    assert changed(old, given="Zoë", phone__work="2") == (
        ["N:Lovelace;Ada", "FN:Ada Lovelace"],
        [
            "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Lovelace;Zo=C3=AB;;;",
            "FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Zo=C3=AB=20Lovelace",
            "TEL;WORK:2",
        ],
    )


NASTY = (
    "FN:Dr. Ada King",
    "N:Lovelace;Ada;King;Lady;",
    "item1.EMAIL;type=INTERNET;type=pref:ada@example.com",
    "item1.X-ABLabel:_$!<Other>!$_",
    "EMAIL;TYPE=WORK:work@example.com",
    "TEL;TYPE=CELL:1",
    "TEL;TYPE=CELL:2",
    "TEL;TYPE=WORK:3",
    "ORG:Engines;Research;Secret\\; very",
    'ADR;TYPE=HOME;LABEL="12; Square, London":Box;;12 Square;London;;SW1Y;UK',
    "ADR;TYPE=WORK:;;1 Street;Leeds;;;",
    "CATEGORIES:VIP",
    "item2.CATEGORIES:Blue",
    "PHOTO;ENCODING=b;TYPE=JPEG:" + "/9j/4AAQ" * 200,
    'X-custom_thing;p="a;b:c",d:unescaped, comma; semicolon \\q \\',
    "X-ARABIC:\u0622\u062f\u0627",
    "BDAY:1815-12-10",
)


@pytest.mark.parametrize(
    ("name", "value", "gone", "come"),
    [
        ("email", "new@example.com", [2], ["item1.EMAIL;type=INTERNET;type=pref:new@example.com"]),
        ("email", None, [2], []),
        ("phone.mobile", "9", [5], ["TEL;TYPE=CELL:9"]),
        ("phone.mobile", None, [5], []),
        ("phone.home", "9", [], ["TEL;TYPE=HOME:9"]),
        ("organization", "A;B", [8], ["ORG:A\\;B;Research;Secret\\; very"]),
        ("organization", None, [8], ["ORG:;Research;Secret\\; very"]),
        ("address.home.city", None, [9], [NASTY[9].replace("London;;", ";;")]),
        ("address.work.region", "Yorks", [10], ["ADR;TYPE=WORK:;;1 Street;Leeds;Yorks;;"]),
        ("tags", ["VIP", "a, b"], [11, 12], ["CATEGORIES:VIP,a\\, b"]),
        ("tags", None, [11, 12], []),
        ("tags", [], [11, 12], []),
        ("birthday", "--12-10", [16], ["BDAY:--12-10"]),
        ("birthday", None, [16], []),
        ("note", "a\nb,c", [], ["NOTE:a\\nb\\,c"]),
        ("given", "Augusta", [1], ["N:Lovelace;Augusta;King;Lady;"]),
        ("given", None, [1], ["N:Lovelace;;King;Lady;"]),
        ("title", None, [], []),
    ],
)
def test_an_edit_touches_its_own_line_alone(name: str, value: Value, gone: list[int], come: list[str]) -> None:
    before = card(*NASTY)
    assert changed(before, **{name.replace(".", "__"): value}) == ([NASTY[i] for i in gone], come)


def test_untouched_lines_keep_their_folds_and_bytes() -> None:
    photo = b"PHOTO;ENCODING=b:AAAA\r\n  BBBB\r\n\tCCCC="
    split_character = b"X-NAME:" + "é".encode()[:1] + b"\r\n " + "é".encode()[1:]
    text = b"\r\n".join((b"begin:vcard", b"version:3.0", b"Fn:Ada", photo, split_character, b"end:vcard", b""))
    edited = apply(parse(text), {"note": "x" * 100}).octets()
    assert (
        photo in edited and split_character in edited and edited.startswith(b"begin:vcard\r\nversion:3.0\r\nFn:Ada\r\n")
    )
    assert edited.replace(b"\r\n ", b"").count(b"NOTE:" + b"x" * 100 + b"\r\n") == 1
    assert parse(text.replace(b"\r\n", b"\n")).lines[3].value == " ".join(("AAAA", "BBBBCCCC="))


def test_an_address_left_with_nothing_goes() -> None:
    before = card("FN:x", "ADR;TYPE=HOME:;;;London;;;", "ORG:Engines")
    assert changed(before, address__home__city=None, organization=None) == (
        ["ADR;TYPE=HOME:;;;London;;;", "ORG:Engines"],
        [],
    )


def test_a_nested_card_is_not_ours_to_read_or_change() -> None:
    before = card("FN:Ada", "AGENT:", "BEGIN:VCARD", "TITLE:Agent", "NOTE:x", "END:VCARD", version="2.1")
    assert read(before, ["title", "note"]) == {"title": None, "note": None}
    after = apply(apply(before, {"title": "Countess", "nickname": "A"}), {"title": None, "note": "mine"})
    assert [line for line in lines(after) if line not in lines(before)] == ["NICKNAME:A", "NOTE:mine"]
    assert parse(after.octets()) == parse(parse(after.octets()).octets())


@pytest.mark.parametrize(
    ("shown", "then"),
    [
        ("Lady Ada King Lovelace", "Lady Augusta King Lovelace"),
        ("Ada Lovelace", "Augusta Lovelace"),
        ("Lovelace Ada", "Lovelace Augusta"),
        ("Lovelace, Ada", "Lovelace, Augusta"),
        ("Enchantress of Number", "Enchantress of Number"),
        ("", "Lady Augusta King Lovelace"),
    ],
)
def test_the_shown_name_follows_only_where_it_was_made_of_the_name(shown: str, then: str) -> None:
    after = apply(card(f"FN:{shown}", "N:Lovelace;Ada;King;Lady;"), {"given": "Augusta"})
    assert [line.value.replace("\\,", ",") for line in after.lines if line.key == "FN"] == [then]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"given": "Ada", "family": "Lovelace"}, "Ada Lovelace"),
        ({"organization": "Engines, Ltd", "email": "x@example.com"}, "Engines\\, Ltd"),
        ({"email": "ada@example.com"}, "ada@example.com"),
        ({"phone.work": "+44 1"}, "+44 1"),
        ({"note": "nobody"}, ""),
    ],
)
def test_a_new_card_always_shows_a_name_made_of_its_own_values(values: dict[str, Value], shown: str) -> None:
    made = apply(new("key"), values)
    assert [line.value for line in made.lines if line.key == "FN"] == [shown]
    assert read(parse(made.octets()), list(values)) == values


def test_a_card_of_version_4_is_written_its_own_way() -> None:
    before = card("FN:Ada", "N:;Ada;;;", "TEL;VALUE=uri;TYPE=cell:tel:+44-1", version="4.0")
    values: dict[str, Value] = {"birthday": "--12-10", "phone.mobile": "+44 2", "phone.home": "3", "email": "a@x.org"}
    after = apply(before, values)
    fresh = [line for line in lines(after) if line not in lines(before)]
    assert sorted(fresh) == ["BDAY:--1210", "EMAIL:a@x.org", "TEL;TYPE=cell:+44 2", "TEL;TYPE=home:3"]
    assert read(parse(after.octets()), list(values)) == values


@pytest.mark.parametrize("bad", ["page\x0c", "nul\x00", "\ud800", "\ufffe"])
def test_a_control_character_is_refused_and_named(bad: str) -> None:
    for name, value in (("note", bad), ("tags", ["fine", bad])):
        with pytest.raises(Unfit) as refused:
            apply(card("FN:x"), {name: value})
        assert refused.value.field == name and "control character" in str(refused.value)


@pytest.mark.parametrize(
    "values", [{"birthday": "soon"}, {"birthday": "2020-01-01T10:00"}, {"shoe": "37"}, {"note": 3}]
)
def test_a_value_that_no_card_holds_is_refused(values: dict[str, Value]) -> None:
    with pytest.raises(Unfit):
        apply(card("FN:x"), values)


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "empty or cut short"),
        (b"BEGIN:VCARD\r\nFN:x\r\n", "cut short"),
        (b"FN:x\r\nEND:VCARD\r\n", "BEGIN:VCARD"),
        (b"BEGIN:VCARD\r\nEND:VCARD\r\nBEGIN:VCARD\r\nEND:VCARD\r\n", "more than one"),
        (b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "BEGIN:VCARD"),
        (b"BEGIN:VCARD\r\nno colon\r\nEND:VCARD\r\n", "no colon"),
        (b"BEGIN:VCARD\r\n b\xe4d:x\r\nEND:VCARD\r\n", "UTF-8"),
        (b"BEGIN:VCARD\r\na b:x\r\nEND:VCARD\r\n", "name of a property"),
        (b"BEGIN:VCARD\r\n" + b"A:\r\n" * 20_001, "more than 20000 lines"),
    ],
)
def test_what_is_no_card_is_explained_without_quoting_it(octets: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        parse(octets)


def test_a_hostile_card_costs_no_time() -> None:
    hostile = (
        b"X;a=" + b"," * 100_000 + b":x",
        b"NOTE:" + b"\\" * 100_001,
        b"X;" + b'"' * 100_000 + b":x",
        b"N:" + b";" * 100_000,
        b"NOTE;QUOTED-PRINTABLE:" + b"=\r\n" * 15_000,
    )
    start = time.monotonic()
    for line in hostile:
        read(parse(b"BEGIN:VCARD\r\n" + line + b"\r\nEND:VCARD\r\n"))
    assert time.monotonic() - start < 5


TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]).filter(lambda c: c != "\r" and FORBIDDEN.match(c) is None), min_size=1
)


@settings(deadline=None)
@given(
    TEXTS, st.sampled_from([f.name for f in STANDARD if f.type in (FieldType.TEXT, FieldType.LONG_TEXT) and f.writable])
)
def test_every_text_comes_back_as_it_was_written(text: str, name: str) -> None:
    before = card(*NASTY)
    after = parse(apply(before, {name: text}).octets())
    assert read(after, [name]) == {name: text}
    others = [field for field in BOUND if field != name]
    assert read(after, others) == read(before, others)
    assert max(len(line) for line in fold("NOTE:" + text).split(b"\r\n")) <= 75


def stripped(text: str) -> str:
    return text.strip()


@settings(deadline=None)
@given(st.lists(TEXTS.map(stripped).filter(bool), min_size=1, unique=True))
def test_every_tag_comes_back_as_it_was_written(tags: list[str]) -> None:
    assert read(parse(apply(card("FN:x"), {"tags": list(tags)}).octets()), ["tags"]) == {"tags": tags}


LIBRARY: dict[str, Callable[[vobject.base.Component], Value]] = {
    "given": lambda other: str(other.n.value.given),
    "family": lambda other: str(other.n.value.family),
    "email": lambda other: str(other.email.value),
    "note": lambda other: str(other.note.value),
    "organization": lambda other: str(other.org.value[0]),
    "address.home.street": lambda other: str(other.adr.value.street),
    "tags": lambda other: [str(tag) for tag in other.categories.value],
}


def test_another_library_reads_what_we_write() -> None:
    values: dict[str, Value] = {
        "given": "Ada; \u0622\u062f\u0627",
        "family": "King, Countess \\ of Lovelace",
        "email": "ada@example.com",
        "note": "one\ntwo, three; four \U0001f469\u200d\U0001f4bb " * 2000,
        "organization": "Engines; Ltd",
        "address.home.street": "12, Square",
        "tags": ["a, b", "c;d", "e\\f"],
    }
    other = vobject.readOne(apply(new("key"), values).octets().decode())
    assert {name: look(other) for name, look in LIBRARY.items()} == values
    other.validate(raiseException=True)
