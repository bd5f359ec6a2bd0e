"""The stand-in for Mailchimp on a real socket, a connector that talks to it, and people in front of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sandbox.exchange import Wsgi
from sandbox.mailchimp import KEY, Audience, MailchimpApp, Seen, serve
from sandbox.mailchimp.merging import field
from syncer.connectors.base import Account, Meter, Observed, Operation, Page, Tokens, Value, Write, WriteResult
from syncer.connectors.mailchimp.connector import Mailchimp
from syncer.connectors.mailchimp.fields import KNOWN
from syncer.connectors.mailchimp.wire import ASSUMED, Assumed
from syncer.connectors.registry import Options
from syncer.connectors.wire import World
from tests.contract.mailchimp_spec import judged
from tests.contract.salesmate import FakeClock
from tests.needs import SPECS

LIST = "a36b032126"
MERGE = ("FNAME", "LNAME", "PHONE", "JOBTITLE", "NOTE", "LTV", "JOINED", "SHOP", "SIZE", "ZIPCODE", "BIRTHDAY:day")
ALL = (*KNOWN, *MERGE, *(f"ADDRESS:{part}" for part in ("addr1", "addr2", "city", "state", "zip", "country")))
MORE = (
    field(11, "JOBTITLE", "Job Title", "text"),
    field(12, "NOTE", "Note", "text"),
    field(13, "LTV", "Lifetime value", "number"),
    field(14, "JOINED", "Joined", "date", {"date_format": "MM/DD/YYYY"}),
    field(15, "SHOP", "Shop", "url"),
    field(16, "SIZE", "Size", "dropdown", {"choices": ["S", "M"]}),
    field(17, "ZIPCODE", "Zip code", "zip"),
    field(18, "KEPT", "Kept", "text"),
)


def options(url: str) -> Options:
    names = {"mailchimp": url, "mailchimp_auth": f"{url}/oauth2/authorize", "mailchimp_token": f"{url}/oauth2/token"}
    return Options(True, {**names, "mailchimp_metadata": f"{url}/oauth2/metadata"})


def connector_to(
    url: str,
    meter: Meter | None = None,
    assumed: Assumed = ASSUMED,
    key: str = KEY,
    tokens: Tokens | None = None,
    clock: FakeClock | None = None,
) -> Mailchimp:
    account = Account("mailchimp", {}, {"api_key": key} if key else {}, tokens=tokens)
    world = World(sleep=lambda seconds: None, clock=(clock or FakeClock()).monotonic)
    return Mailchimp(account, options(url), meter, assumed=assumed, world=world)


@dataclass
class Bench:
    app: MailchimpApp
    clock: FakeClock
    url: str

    @property
    def audience(self) -> Audience:
        return self.app.audience()

    def connector(self, meter: Meter | None = None, assumed: Assumed = ASSUMED) -> Mailchimp:
        return connector_to(self.url, meter, assumed, clock=self.clock)

    def member(self, number: int = 0, status: str = "subscribed", tags: Sequence[str] = (), **merge: Any) -> str:
        """Somebody signs up; the contact_id."""
        named = {"FNAME": "Ada", "LNAME": f"Person {number}"}
        made = self.audience.person_adds(f"p{number}@x.example", status, tags, **{**named, **merge})
        return self.audience.members[made].contact_id

    def members(self, count: int) -> list[str]:
        return [self.member(number) for number in range(count)]

    def quiet(self) -> None:
        """Time goes by, and the log starts anew."""
        self.clock.advance(3600)
        self.app.log.clear()

    def calls(self) -> list[str]:
        """What was asked since the last look, without the names of members."""
        seen = [f"{one.method} {kind_of(one)}" for one in self.app.log]
        self.app.log.clear()
        return seen

    def once(self, path: str, act: Callable[[], object], method: str = "") -> None:
        """Somebody does this when a request with this path has been carried out, before its answer is here."""
        left = [True]

        def people_act(seen: Seen) -> None:
            if path in seen.path and method in ("", seen.method) and left:
                left.clear()
                act()

        self.app.people_act = people_act


def kind_of(seen: Seen) -> str:
    rest = seen.path.removeprefix("/3.0").removeprefix(f"/lists/{LIST}").strip("/") or "batch"
    parts = rest.split("/")
    return "/".join([parts[0], *(["*"] if len(parts) > 1 and parts[0] == "members" else parts[1:2]), *parts[2:]])


@contextmanager
def bench(clock: FakeClock | None = None) -> Iterator[Bench]:
    clock = clock or FakeClock()
    app = MailchimpApp(clock)
    app.audience().fields |= {one["tag"]: {**one} for one in MORE}
    with as_described(app) as judge, serve(judge) as url:
        yield Bench(app, clock, url)


@contextmanager
def as_described(app: MailchimpApp) -> Iterator[Wsgi]:
    """The stand-in behind a judge, who minds each request of ours, and each of its answers, that Mailchimp's
    description of its API does not know; without that description, the stand-in alone."""
    if not SPECS.is_dir():
        yield app
        return
    judge = judged(app)
    yield judge
    assert (judge.asked, judge.answered) == ([], [])


def whole_pass(mailchimp: Mailchimp, cursor: str = "", names: Sequence[str] = ALL) -> list[Page]:
    pages = [mailchimp.changes(LIST, cursor, names)]
    while not pages[-1].done:
        pages.append(mailchimp.changes(LIST, pages[-1].cursor, names))
    return pages


def ids(pages: Sequence[Page]) -> list[str]:
    return [record.remote_id for page in pages for record in page.records]


def create(number: int = 0, **values: Value) -> Write:
    whole: dict[str, Value] = {"FNAME": "Ada", "email_address": f"ada{number}@x.example", "status": "subscribed"}
    return Write(Operation.CREATE, f"0b8e6f3e-{number}", {**whole, **values})


def update(
    remote_id: str,
    values: dict[str, Value],
    held: dict[str, Value] | None = None,
    still_holds: Callable[[Observed], bool] = lambda observed: True,
) -> Write:
    return Write(Operation.UPDATE, "0b8e6f3f", values, remote_id, still_holds=still_holds, held=held or {})


def results(mailchimp: Mailchimp, *writes: Write) -> list[WriteResult]:
    return list(mailchimp.write(LIST, writes))


def seen_in(result: WriteResult) -> Observed:
    assert result.observed is not None, result
    return result.observed
