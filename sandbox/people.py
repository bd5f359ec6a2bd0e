"""Lifelike contacts for the stand-ins: the same ones each time, in many languages, with the flaws of real books."""

import random
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from faker import Faker

SEED = 20261124
# Where they live: Faker's locale, the country, the shapes of a mobile and of a landline number, how often.
PLACES: tuple[tuple[str, str, str, str, int], ...] = (
    ("en_US", "United States", "+1 212 555 ####", "+1 646 555 ####", 10),
    ("en_GB", "United Kingdom", "+44 7700 900###", "+44 20 7946 0###", 10),
    ("de_DE", "Deutschland", "+49 171 39200##", "+49 30 23125 ###", 8),
    ("fr_FR", "France", "+33 6 39 98 ## ##", "+33 1 99 00 ## ##", 7),
    ("es_ES", "España", "+34 612 34# ###", "+34 915 55# ###", 6),
    ("pt_BR", "Brasil", "+55 11 96123-4###", "+55 11 2345-6###", 6),
    ("it_IT", "Italia", "+39 347 123 4###", "+39 06 1234 5###", 5),
    ("nl_NL", "Nederland", "+31 6 1234 5###", "+31 20 123 4###", 4),
    ("sv_SE", "Sverige", "+46 70 174 06 ##", "+46 8 465 004 ##", 4),
    ("pl_PL", "Polska", "+48 512 345 ###", "+48 22 123 4# ##", 5),
    ("cs_CZ", "Česko", "+420 601 123 ###", "+420 222 123 ###", 4),
    ("hu_HU", "Magyarország", "+36 20 123 4###", "+36 1 234 5###", 3),
    ("tr_TR", "Türkiye", "+90 532 123 4# ##", "+90 212 345 6# ##", 4),
    ("vi_VN", "Việt Nam", "+84 912 345 ###", "+84 24 3823 4###", 3),
    ("el_GR", "Ελλάδα", "+30 691 234 5###", "+30 21 0123 4###", 3),
    ("ru_RU", "Россия", "+7 912 345-6#-##", "+7 495 123-4#-##", 3),
    ("uk_UA", "Україна", "+380 67 123 4###", "+380 44 123 4###", 4),
    ("he_IL", "ישראל", "+972 50-123-4###", "+972 2-123-4###", 3),
    ("ar_AA", "مصر", "+20 100 123 4###", "+20 2 2345 6###", 3),
    ("hi_IN", "भारत", "+91 98765 43###", "+91 11 2345 6###", 4),
    ("ja_JP", "日本", "+81 90-1234-5###", "+81 3-1234-5###", 5),
    ("ko_KR", "대한민국", "+82 10-1234-5###", "+82 2-123-4###", 3),
    ("zh_CN", "中国", "+86 131 2345 6###", "+86 10 1234 5###", 4),
)
ONE_NAME = ("Suharto", "Madonna", "Teller", "Aung", "Björk", "Sukarno", "Ronaldinho", "Zendaya", "Xavi", "Cher")
TAGS = ("Supplier", "Customer", "Press", "Newsletter", "VIP", "Café", "Wholesale", "Räucherei", "友人", "Fair 2026")
TITLES = (
    "Buyer",
    "Head of Purchasing",
    "Owner",
    "Store manager",
    "Head chef",
    "Accountant",
    "Harbour master",
    "Editor",
)
REMARKS = (
    "Met at the fair in Hamburg; likes the smoked tea ☕.",
    "Prefers calls before noon.\nAsk for the back office.",
    "Delivery: gate 3; ring twice, then wait. 🚚",
    "Allergic to nuts, so no samples of the walnut cake!",
    "Vertrag läuft bis Ende März, danach neu verhandeln.",
    "À rappeler après les vacances d'été 🏖️",
)
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass(frozen=True)
class Person:
    """A contact, as either app may hold it. Phone numbers are in no agreed form, texts may be of any script; `birthday`
    is an ISO date; `number` tells two of them apart. "" and () mean that nothing is known."""

    number: int
    given: str
    family: str
    email: str
    country: str
    mobile: str = ""
    work_phone: str = ""
    home_phone: str = ""
    title: str = ""
    company: str = ""
    street: str = ""
    city: str = ""
    postcode: str = ""
    birthday: str = ""
    url: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()
    photo: str = ""


@dataclass(frozen=True)
class Books:
    """`left` go into the address book, `right` into Salesmate; about a third of the left are in both. `google` are for
    Google Contacts: of each quarter, those who are in both, in the address book alone, in Salesmate alone, in none.
    `members` get the newsletter: half of them are in Salesmate, half nowhere else."""

    left: Sequence[Person]
    right: Sequence[Person]
    google: Sequence[Person]
    members: Sequence[Person]


def books(count: int) -> Books:
    """`count` contacts for the address book, three quarters as many for Salesmate and about half as many for Google,
    with missing addresses, missing last names, twins and notes that are too long, in proportion."""
    chance, people = random.Random(SEED), _people()
    few, shared = max(1, count // 65), count * 3 // 10
    both = [next(people) for _ in range(shared)]
    left = [next(people) for _ in range(count - shared - few)]
    right = [next(people) for _ in range(count * 3 // 4 - shared - few)]
    known = [*both[: count // 8], *left[4 * few :][: count // 8], *right[2 * few :][: count // 8]]
    left = _flawed(left, few)
    right[:few] = [replace(person, email="") for person in right[:few]]
    left += [_twin(person) for person in left[-few:]]
    right += [_twin(person) for person in right[-few:]]
    others = [_as_others_know(person, chance) for person in both]
    books = _shuffled(both + left, chance), _shuffled(others + right, chance)
    google = _google(known, [next(people) for _ in range(max(count // 8, 5 * few))], few, chance)
    readers = [*right[2 * few + count // 8 :][: count // 16], *(next(people) for _ in range(max(count // 16, 3)))]
    return Books(*books, google, _shuffled(readers, chance))


def _google(known: Sequence[Person], fresh: Sequence[Person], few: int, chance: random.Random) -> Sequence[Person]:
    """With flaws of their own, among those whom nobody else has."""
    flawed = _flawed(fresh, few)
    twins = [_twin(person) for person in flawed[-few:]]
    return _shuffled([*(_as_others_know(person, chance) for person in known), *flawed, *twins], chance)


def _flawed(people: Sequence[Person], few: int) -> list[Person]:
    """Without an address, with one name only, companies instead of people, notes without end."""
    done = list(people)
    for index in range(few):
        done[index] = replace(done[index], email="")
        one = ONE_NAME[index % len(ONE_NAME)]
        done[few + index] = replace(done[few + index], given=one, family="")
        done[2 * few + index] = replace(done[2 * few + index], given="", family="")
    for index in range(3 * few, 3 * few + max(1, few // 3)):
        done[index] = replace(done[index], note="\n".join([*REMARKS, *REMARKS] * 5))
    return done


def _twin(person: Person) -> Person:
    """The same person, entered a second time by somebody in a hurry."""
    return replace(person, number=person.number + 100_000, title="", note="", street="", tags=("Imported",))


def _as_others_know(person: Person, chance: random.Random) -> Person:
    """What another app holds of a person: a bit more, a bit less, a bit different."""
    draw = [chance.random() for _ in range(8)]
    return replace(
        person,
        title=chance.choice(TITLES) if draw[0] < 0.3 else person.title,
        mobile=""
        if draw[1] < 0.25
        else person.mobile.replace(" ", "").replace("-", "")
        if draw[1] < 0.5
        else person.mobile,
        work_phone=person.work_phone[:-1] + "7" if draw[2] < 0.12 and person.work_phone else person.work_phone,
        note="" if draw[3] < 0.6 else person.note,
        tags=(*person.tags, chance.choice(TAGS)) if draw[4] < 0.25 else person.tags,
        email=person.email.replace("@example", "@Example") if draw[5] < 0.1 else person.email,
        url="" if draw[6] < 0.5 else person.url,
        street="" if draw[7] < 0.3 else person.street,
    )


def _shuffled(people: Sequence[Person], chance: random.Random) -> list[Person]:
    return chance.sample(people, len(people))


def _people() -> Iterator[Person]:
    """Without end; the same ones each time, and no two with one address."""
    chance = random.Random(SEED)
    fakers = {place[0]: Faker(place[0]) for place in PLACES}
    for faker in fakers.values():
        faker.seed_instance(SEED)
    number = 0
    while True:
        number += 1
        place = chance.choices(PLACES, weights=[each[4] for each in PLACES])[0]
        yield _person(number, place, fakers[place[0]], chance)


def _person(number: int, place: tuple[str, str, str, str, int], faker: Faker, chance: random.Random) -> Person:
    given, family, company = faker.first_name(), faker.last_name(), faker.company()
    roll = chance.random
    has_address = roll() < 0.6
    return Person(
        number=number,
        given=given,
        family=family,
        email=_email(number, given, family, chance),
        country=place[1],
        mobile=faker.numerify(place[2]) if roll() < 0.8 else "",
        work_phone=faker.numerify(place[3]) if roll() < 0.5 else "",
        home_phone=faker.numerify(place[3]) if roll() < 0.2 else "",
        title=chance.choice(TITLES) if roll() < 0.4 else faker.job() if roll() < 0.5 else "",
        company=company if roll() < 0.7 else "",
        street=faker.street_address().replace("\n", ", ") if has_address else "",
        city=faker.city() if has_address else "",
        postcode=faker.postcode() if has_address else "",
        birthday=f"{chance.randint(1948, 2004)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        if roll() < 0.3
        else "",
        url=f"https://www.example.com/{_plain(company) or number}" if roll() < 0.25 else "",
        note=chance.choice(REMARKS) if roll() < 0.35 else "",
        tags=tuple(chance.sample(TAGS, chance.choice((0, 0, 1, 1, 2, 3)))),
        photo=PIXEL if roll() < 0.1 else "",
    )


def _email(number: int, given: str, family: str, chance: random.Random) -> str:
    """At a domain that nobody owns (RFC 2606); the number makes it the only one, also where no letter is ASCII."""
    name = ".".join(part for part in (_plain(given), _plain(family)) if part != "")
    return f"{name or 'contact'}.{number}@example.{chance.choice(('com', 'org', 'net'))}"


def _plain(text: str) -> str:
    """In the letters a to z, as far as that goes."""
    decomposed = unicodedata.normalize("NFKD", text.lower().replace("ł", "l").replace("ß", "ss").replace("ø", "o"))
    return re.sub(r"[^a-z]+", "-", decomposed.encode("ascii", "ignore").decode()).strip("-")
