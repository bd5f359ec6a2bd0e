"""A harness for any address book server of tests.contract.carddav: what stands between it and us counts requests,
loses answers and makes trouble."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote

from syncer.connectors.base import Connector, Meter, Value
from syncer.connectors.carddav.connector import CardDav
from tests.contract.carddav import OPEN, Server, account, answer, meddler, vcard
from tests.contract.radicale import USERS
from tests.contract.servers import closed_port
from tests.contract.suite import KEPT, WORDS, Harness, Refusal

PAGE = "<!DOCTYPE html><html><body>Something else</body></html>"
TROUBLES: Mapping[str, bytes] = {
    "html_200": answer(PAGE, "200 OK", "text/html"),
    "html_403": answer(PAGE, "403 Forbidden", "text/html"),
    "html_404": answer(PAGE, "404 Not Found", "text/html"),
    "html_500": answer(PAGE, "500 Error", "text/html"),
    # With Retry-After, so that a read is not repeated right away.
    "html_502": answer(PAGE, "502 Bad Gateway\r\nRetry-After: 60", "text/html"),
    "wrong_password": answer("", "401 Unauthorized", "text/plain"),
    "slow_down": answer("", "429 Too Many Requests", "text/plain"),
    "empty": answer("", "207 Multi-Status"),
    "cut": answer("<d:multistatus xmlns:d='DAV:'><d:response>")[:-10],
    "no_answer": b"",
}
PROPERTIES: Mapping[str, Callable[[str], str]] = {
    "email": "EMAIL;TYPE=INTERNET:{}".format,
    "mobile": "TEL;TYPE=CELL:{}".format,
    "title": "TITLE:{}".format,
    "note": "NOTE:{}".format,
    "tags": "CATEGORIES:{}".format,
}


def card_of(uid: str, values: Mapping[str, Value]) -> str:
    texts = {word: ",".join(value) if isinstance(value, list) else str(value) for word, value in values.items()}
    lines = [PROPERTIES[word](text) for word, text in texts.items() if word in PROPERTIES]
    return vcard(uid, *lines, f"X-KEEP:{KEPT}", name=f"{texts['given']} {texts['family']}")


@dataclass
class CardDavHarness(Harness):
    """`people` are kept here by their UIDs: cards are written whole. `url` is that of the meddler."""

    server: Server
    url: str

    names = {word: "phone.mobile" if word == "mobile" else word for word in WORDS}
    secrets = (USERS["alice"],)
    troubles = tuple(TROUBLES)
    page = 200
    refusals = (Refusal({"given": "a\x00b"}, "given"), Refusal({"birthday": "last spring"}, "birthday"))
    samples = {
        "title": "Countess",
        "note": "one\ntwo; three, four",
        "email": "ada@example.com",
        "phone.mobile": "+12125550001",
        "url": "https://example.com/",
        "birthday": "1815-12-10",
        "tags": ["VIP", "a,b"],
    }

    def __post_init__(self) -> None:
        self.book = self.server.path("alice")
        self.cards: dict[str, dict[str, Value]] = {}
        self.seen: list[str] = []
        self.losing: int | None = None
        self.answer: bytes | None = None

    def meddle(self, request: bytes, reply: bytes) -> bytes:
        self.seen.append(request.partition(b" ")[0].decode())
        if self.answer is not None:
            return self.answer
        if self.losing is not None and self.seen[-1] == "PUT":
            self.losing -= 1
            if self.losing == -1:
                return b""
        return reply

    def connector(self, meter: Meter | None = None) -> Connector:
        return CardDav(account(self.url), OPEN, meter)

    def nobody(self) -> Connector:
        return CardDav(account(f"http://127.0.0.1:{closed_port()}/"), OPEN)

    def person_creates(self, **values: Value) -> str:
        uid = f"person-{len(self.cards)}"
        self.cards[uid] = values
        self.server.place("alice", uid, card_of(uid, values))
        return f"{self.book}{uid}.vcf"

    def people(self, count: int) -> list[str]:
        """In one go."""
        first = len(self.cards)
        for n in range(count):
            person = {"given": f"P{n}", "family": f"L{n}", "email": f"p{n}@example.com", "title": "Lady"}
            self.cards[f"person-{first + n}"] = dict(person)
        uids = list(self.cards)[first:]
        self.server.fill("alice", [card_of(uid, self.cards[uid]) for uid in uids])
        return [f"{self.book}{uid}.vcf" for uid in uids]

    def person_edits(self, remote_id: str, **values: Value) -> None:
        uid = uid_of(remote_id)
        self.cards[uid] = {**self.cards[uid], **values}
        self.server.place("alice", uid, card_of(uid, self.cards[uid]))

    def person_deletes(self, remote_id: str) -> None:
        self.server.remove("alice", uid_of(remote_id))

    def holds(self, remote_id: str) -> str:
        return re.sub(r"\r?\n[ \t]", "", self.server.read("alice", uid_of(remote_id)))

    def ids(self) -> set[str]:
        return {f"{self.book}{name}.vcf" for name in self.server.stored("alice")}

    def requests(self) -> tuple[int, int]:
        seen = list(self.seen)
        self.seen.clear()
        return len(seen), seen.count("PUT")

    def lose_answer(self, number: int) -> None:
        self.losing = number

    @contextmanager
    def trouble(self, kind: str) -> Iterator[None]:
        self.answer = TROUBLES[kind]
        try:
            yield
        finally:
            self.answer = None

    def expired_cursor(self) -> str:
        return json.dumps({"token": "http://example.com/a-token-that-nobody-gave"})


def uid_of(remote_id: str) -> str:
    return unquote(remote_id.rpartition("/")[2]).removesuffix(".vcf")


@contextmanager
def carddav_harness(server: Server) -> Iterator[CardDavHarness]:
    """A book of alice on a server that runs, and is empty."""
    made: list[CardDavHarness] = []
    with meddler(server, lambda request, reply: made[0].meddle(request, reply)) as between:
        made.append(CardDavHarness(server, f"{between.url}/"))
        yield made[0]
