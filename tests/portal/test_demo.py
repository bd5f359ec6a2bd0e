"""`manage.py demo` as a newcomer meets it: with real programs, from an empty folder to contacts that travel."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from portal.clock import SYSTEM
from portal.management.demo import place
from portal.management.demo.standins import GOOGLE_USER
from sandbox.carddav import CardDavServer
from sandbox.contacts import GoogleServer
from sandbox.crm import SalesmateServer
from sandbox.newsletter import MailchimpServer
from tests.needs import needs
from tests.portal.test_run import descendants, gone

ROOT = Path(__file__).resolve().parent.parent.parent
DEMO = [sys.executable, str(ROOT / "manage.py"), "demo"]
PATIENCE = 150
UP = "`make demo` goes on from here."
WRITES = ("POST", "PUT", "PATCH", "DELETE")
pytestmark = needs("radicale")


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@dataclass
class Demo:
    environment: dict[str, str]
    folder: Path
    out: Path

    @contextmanager
    def started(self, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Whatever happens, nothing of it is left."""
        with self.out.open("wb") as out:
            process = subprocess.Popen(
                command or DEMO, env=self.environment, stdout=out, stderr=out, start_new_session=True
            )
        try:
            yield process
        finally:
            left = descendants(process.pid)
            process.kill()
            process.wait()
            for child in [child for child in left if not gone(child)]:
                os.kill(child, signal.SIGKILL)

    def says(self) -> str:
        return self.out.read_text()

    def wait_for(self, process: "subprocess.Popen[bytes]", text: str) -> str:
        deadline = SYSTEM.monotonic() + PATIENCE
        while text not in self.says():
            assert process.poll() is None, self.says()
            assert SYSTEM.monotonic() < deadline, self.says()
            threading.Event().wait(0.1)
        return self.says()

    def stop(self, process: "subprocess.Popen[bytes]") -> None:
        """Ctrl-C, after which no process may be left."""
        children = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0, self.says()
        assert [child for child in children if not gone(child)] == []
        assert "Traceback" not in self.says()

    @property
    def dav(self) -> CardDavServer:
        values = place.read(self.folder / "env")
        port, password = int(values["DEMO_CARDDAV_PORT"]), values["DEMO_CARDDAV_PASSWORD"]
        return CardDavServer(self.folder / "radicale", port, "harbour", password)

    @property
    def salesmate(self) -> SalesmateServer:
        port = int(place.read(self.folder / "env")["DEMO_SALESMATE_PORT"])
        return SalesmateServer(self.folder / "salesmate", port, 1)

    @property
    def google(self) -> GoogleServer:
        port = int(place.read(self.folder / "env")["DEMO_GOOGLE_PORT"])
        return GoogleServer(self.folder / "google", port, (GOOGLE_USER,), "")

    @property
    def mailchimp(self) -> MailchimpServer:
        port = int(place.read(self.folder / "env")["DEMO_MAILCHIMP_PORT"])
        return MailchimpServer(self.folder / "mailchimp", port)

    def members(self) -> dict[str, str]:
        """Their statuses by address."""
        return {one["email_address"].lower(): one["status"] for one in self.mailchimp.side_door("GET", "members")}

    def cards(self) -> list[str]:
        whole = self.dav.ask("GET", self.dav.book).decode().replace("\r\n ", "")
        return re.findall(r"BEGIN:VCARD.*?END:VCARD", whole, re.DOTALL)

    def people(self) -> dict[str, dict[str, object]]:
        return {str(row["email"]).lower(): row for row in self.salesmate.side_door("GET", "contacts")}

    def google_people(self) -> dict[str, dict[str, Any]]:
        found = self.google.side_door("GET", f"users/{GOOGLE_USER}/contacts")
        return {one["emailAddresses"][0]["value"].lower(): one for one in found if "emailAddresses" in one}

    def labels(self, email: str) -> set[str]:
        names = {
            one["resourceName"]: one["name"] for one in self.google.side_door("GET", f"users/{GOOGLE_USER}/groups")
        }
        inside = [one["contactGroupMembership"] for one in self.google_people()[email].get("memberships", ())]
        return {names.get(one["contactGroupResourceName"], "") for one in inside}

    def writes(self) -> int:
        """To Salesmate, Google and Mailchimp, by the portal."""
        logs = [self.folder / name / "requests.jsonl" for name in ("salesmate", "google", "mailchimp")]
        seen = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
        besides = ("/search", "/token", "/webhooks")
        return sum(one["method"] in WRITES and not one["path"].endswith(besides) for one in seen)


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    web, carddav, salesmate, google, mailchimp = free_ports(5)
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")}
    environment = kept | {
        "DATA_DIR": str(tmp_path),
        "STATIC_ROOT": str(tmp_path / "static"),
        "PORT": str(web),
        "DEMO_CARDDAV_PORT": str(carddav),
        "DEMO_SALESMATE_PORT": str(salesmate),
        "DEMO_GOOGLE_PORT": str(google),
        "DEMO_MAILCHIMP_PORT": str(mailchimp),
        "DEMO_CONTACTS": "40",
    }
    return Demo(environment, tmp_path / "demo", tmp_path / "out")


def emails(cards: list[str]) -> Counter[str]:
    found = (re.search(r"^EMAIL[^:]*:(.*?)\r?$", card, re.MULTILINE) for card in cards)
    return Counter(match[1].lower() for match in found if match is not None)


def test_from_nothing_to_contacts_that_travel(demo: Demo) -> None:
    with demo.started() as process:
        text = demo.wait_for(process, UP)
        assert_both_sides_hold_everybody(demo)
        assert_who_unsubscribed_is_tagged(demo)
        assert_the_summary_says_why(text)
        again = subprocess.run(DEMO, env=demo.environment, capture_output=True, text=True, timeout=PATIENCE)
        assert (again.returncode, "running already" in again.stderr) == (1, True)
        demo.stop(process)
    writes = demo.writes()
    with demo.started() as process:
        began = SYSTEM.monotonic()
        text = demo.wait_for(process, UP)
        assert SYSTEM.monotonic() - began < 30
        assert "Writing" not in text and "The plan" not in text
        assert demo.writes() == writes
        edit_in_each_app(demo)
        text = demo.wait_for(process, "(changed on the other side)")
        for line in 2 * printed(text, "sync '"):
            run_printed(demo, line)
        assert_the_edits_arrived(demo)
        assert all("Nothing to do." in run_printed(demo, line) for line in printed(text, "sync '"))
        assert_a_deletion_in_salesmate_is_a_label(demo)
        assert_an_unsubscribe_becomes_a_tag(demo)
        demo.stop(process)


def assert_both_sides_hold_everybody(demo: Demo) -> None:
    """But for those without an address, without a last name, and the second of twins."""
    cards, people = demo.cards(), demo.people()
    book = emails(cards)
    nameless = {email for card in cards if "\nN:;" in card for email in emails([card])}
    twins = {email for email, count in book.items() if count > 1}
    assert set(book) - nameless - twins <= set(people)
    assert len(set(people) - {""} - set(book)) == 1, "the twins of Salesmate stay there"
    assert nameless and not nameless & set(people)
    in_google = set(demo.google_people())
    assert len(set(people) - {""} - in_google) == 1, "the twins of Salesmate stay there"
    assert in_google & set(book) - set(people) <= nameless
    assert any("PHOTO" in card for card in cards) and any("X-ABSHOWAS" in card for card in cards)


def assert_who_unsubscribed_is_tagged(demo: Demo) -> None:
    members, people = demo.members(), demo.people()
    assert set(members) <= set(people), "all of Mailchimp are in Salesmate"
    tagged = {email for email, row in people.items() if "PieSync Unsubscribes" in str(row["tags"])}
    assert tagged == {email for email, status in members.items() if status != "subscribed"} != set()
    assert len(set(demo.google_people()) - set(members)) > 0
    assert not any("PieSync Unsubscribes" in card for card in demo.cards()), "that tag goes no further"


def assert_an_unsubscribe_becomes_a_tag(demo: Demo) -> None:
    text = demo.says()
    who = re.search(r"members/(\S+)/unsubscribe", text)
    assert who is not None, text
    demo.mailchimp.side_door("POST", f"members/{who[1]}/unsubscribe", {})
    deadline = SYSTEM.monotonic() + PATIENCE
    while "PieSync Unsubscribes" not in str(demo.people()[who[1].lower()]["tags"]):
        assert SYSTEM.monotonic() < deadline, demo.says()
        threading.Event().wait(0.2)
    assert "POST /hooks/mailchimp/[removed]/ 200" in (demo.folder / "log" / "web.log").read_text()
    assert demo.members()[who[1].lower()] == "unsubscribed"


def assert_the_summary_says_why(text: str) -> None:
    for words in (
        "Last Name must not be empty",
        "several contacts of this book have the same e-mail address",
        "no e-mail address, and duplicates are to be avoided",
        "Google Contacts and Salesmate of Harbour & Pine",
        "went from Google Contacts by way of Salesmate to CardDAV",
        "none of them has the e-mail address of another contact of its app",
        "are in order (verify_log)",
        "user demo, password demo-",
    ):
        assert words in text, text


def edit_in_each_app(demo: Demo) -> None:
    """As the printed commands do; and one contact less in Google."""
    text = demo.says()
    card = re.search(r"/(demo-\d+)\.vcf", text)
    contact = re.search(r"contacts/(\d+) -d", text)
    note = re.search(r"contacts/(c\d+) -d", text)
    gone = re.search(rf"DELETE {demo.google.url}/_sandbox/(\S+)", text)
    assert card is not None and contact is not None and note is not None and gone is not None, text
    old = demo.dav.read(card[1])
    demo.dav.write(card[1], re.sub(r"(?m)^TITLE:.*$", "TITLE:Lighthouse keeper", old))
    demo.salesmate.side_door("PATCH", f"contacts/{contact[1]}", {"designation": "Ship chandler"})
    words = {"biographies": [{"value": "Sails to Bergen in May."}]}
    demo.google.side_door("PATCH", f"users/{GOOGLE_USER}/contacts/{note[1]}", words)
    demo.google.side_door("DELETE", gone[1])


def assert_the_edits_arrived(demo: Demo) -> None:
    """In the two other apps."""
    people, cards, google = demo.people().values(), demo.cards(), demo.google_people().values()
    for title in ("Lighthouse keeper", "Ship chandler"):
        assert sum(row["designation"] == title for row in people) == 1
        assert sum(f"TITLE:{title}" in card for card in cards) == 1
        assert sum(one.get("organizations", [{}])[0].get("title") == title for one in google) == 1
    assert sum(row["description"] == "Sails to Bergen in May." for row in people) == 1
    assert sum("NOTE:Sails to Bergen in May." in card for card in cards) == 1
    assert sum("PieSync Trash" in str(row["tags"]) for row in people) == 1


def assert_a_deletion_in_salesmate_is_a_label(demo: Demo) -> None:
    (line,) = printed(demo.says(), "sync --full '")
    contact = re.search(r"contacts/(\d+)", line)
    assert contact is not None, line
    (email,) = (email for email, row in demo.people().items() if str(row["id"]) == contact[1])
    demo.salesmate.side_door("DELETE", f"contacts/{contact[1]}")
    run_printed(demo, line.partition("&& ")[2])
    assert "PieSync Trash" in demo.labels(email)


def printed(text: str, words: str) -> list[str]:
    return [line for line in text.splitlines() if f"manage.py {words}" in line]


def run_printed(demo: Demo, line: str) -> str:
    """What a command that the demo shows says."""
    variable, _, *words = shlex.split(line)
    name, _, value = variable.partition("=")
    command = [sys.executable, str(ROOT / "manage.py"), *words[1:]]
    kept = {key: demo.environment[key] for key in ("PATH",) if key in demo.environment}
    done = subprocess.run(command, env={**kept, name: value}, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_cut_off_at_any_moment_it_goes_on(demo: Demo) -> None:
    demo.environment["DEMO_CONTACTS"] = "120"
    for moment in ("Writing", "Approved"):
        with demo.started() as process:
            demo.wait_for(process, moment)
            demo.stop(process)
    with demo.started() as process:
        text = demo.wait_for(process, UP)
        found = emails(demo.cards())
        assert max(found.values()) == 2 and list(found.values()).count(2) == 1, "none but the twins are there twice"
        assert len(demo.people()) == len(demo.salesmate.side_door("GET", "contacts")) - 1
        assert "none of them has the e-mail address of another contact of its app" in text
        assert "are in order (verify_log)" in text
        demo.stop(process)


def test_a_taken_port_is_said_before_anything_starts(demo: Demo) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(demo.environment["DEMO_CARDDAV_PORT"])))
        other.listen()
        done = subprocess.run(DEMO, env=demo.environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert "make demo DEMO_CARDDAV_PORT=" in done.stderr and "Traceback" not in done.stderr
    assert not (demo.folder / "radicale").exists()


def test_the_stand_ins_run_alone_too(demo: Demo) -> None:
    carddav, salesmate = (demo.environment[f"DEMO_{name}_PORT"] for name in ("CARDDAV", "SALESMATE"))
    google, mailchimp = map(str, free_ports(2))
    options = ["--carddav-port", carddav, "--salesmate-port", salesmate, "--google-port", google]
    options += ["--mailchimp-port", mailchimp, "--fill", "20"]
    with demo.started(*DEMO[:-1], "sandbox", *options) as process:
        demo.wait_for(process, "Ctrl-C stops them.")
        contacts = SalesmateServer(demo.folder, int(salesmate), 1).side_door("GET", "contacts")
        book = CardDavServer(demo.folder, int(carddav), "sandbox", "sandbox").ask("GET", "/sandbox/contacts/")
        here = GoogleServer(demo.folder, int(google), (), "").side_door("GET", "users/anna@example.com/contacts")
        readers = MailchimpServer(demo.folder, int(mailchimp)).side_door("GET", "members")
        assert (len(contacts), book.count(b"BEGIN:VCARD"), len(here), len(readers)) == (15, 20, 12, 4)
        demo.stop(process)
