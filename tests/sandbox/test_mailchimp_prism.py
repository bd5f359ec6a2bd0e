"""Between Mailchimp's official client, our connector and the stand-in stands a program that nobody here wrote, and
minds every request and every answer by Mailchimp's own description."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from portal.clock import SYSTEM
from sandbox.mailchimp import KEY, MailchimpApp, serve
from syncer.connectors.base import Outcome
from tests.contract.mailchimp import ALL, LIST, MORE, connector_to, create, results, seen_in, update, whole_pass
from tests.contract.mailchimp_spec import spec
from tests.contract.salesmate import FakeClock
from tests.contract.servers import closed_port
from tests.needs import needs, prism
from tests.sandbox.test_mailchimp_client import client_of, subscribed

pytestmark = [needs("specs"), needs("prism")]
PATIENCE = 60


@contextmanager
def proxied(folder: Path, upstream: str) -> Iterator[str]:
    """The address of the proxy before this server."""
    described = {**without_times(spec()), "servers": [{"url": "http://127.0.0.1"}]}
    described["paths"] = {f"/3.0{path}": verbs for path, verbs in described["paths"].items()}
    file, said, port = folder / "spec.json", folder / "said", closed_port()
    file.write_text(json.dumps(described))
    program = prism()
    assert program is not None
    command = [program, "proxy", "--errors", "--port", str(port), str(file), upstream]
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            wait_for(f"http://127.0.0.1:{port}/3.0/ping", process, said)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(PATIENCE)


def without_times(described: Any) -> Any:
    """A time that is not there is "" to Mailchimp (recorded), which its description denies."""
    if isinstance(described, list):
        return [without_times(one) for one in described]
    if not isinstance(described, dict):
        return described
    return {
        name: without_times(one) for name, one in described.items() if not (name == "format" and one == "date-time")
    }


def wait_for(url: str, process: "subprocess.Popen[bytes]", said: Path) -> None:
    deadline = SYSTEM.monotonic() + PATIENCE
    while True:
        assert process.poll() is None and SYSTEM.monotonic() < deadline, said.read_text()
        try:
            ask(url)
        except URLError as error:
            if hasattr(error, "code"):
                return
            threading.Event().wait(0.1)
        else:
            return


def ask(url: str, method: str = "GET", body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    with urlopen(Request(url, data, headers, method=method), timeout=PATIENCE) as reply:
        return json.load(reply)


def test_nothing_of_ours_is_against_mailchimp_s_own_description(tmp_path: Path) -> None:
    app = MailchimpApp(FakeClock())
    app.audience().fields |= {one["tag"]: {**one} for one in MORE}
    with serve(app) as upstream, proxied(tmp_path, upstream) as url:
        # Prism sees what is wrong: a status that there is not, and an answer with a number where a text belongs.
        with pytest.raises(URLError, match="422"):
            ask(f"{url}/3.0/lists/{LIST}/members", "POST", {"email_address": "a@x.example", "status": "sure"})
        app.audience().name = 7  # type: ignore[assignment]
        with pytest.raises(URLError, match="500"):
            ask(f"{url}/3.0/lists")
        app.audience().name = "Newsletter"
        # The official client
        lists = client_of(url).lists
        lists.add_list_member(LIST, subscribed())
        assert lists.get_list_members_info(LIST)["total_items"] == 1
        # Our connector
        mailchimp = connector_to(url)
        assert mailchimp.check().key
        assert [book.id for book in mailchimp.books()] == [LIST]
        assert len(mailchimp.fields(LIST)) > 10
        cursor = whole_pass(mailchimp)[-1].finish
        made = results(mailchimp, *(create(n, tags=["VIP"], NOTE="here", LTV="12.5") for n in range(3)))
        assert [one.outcome for one in made] == [Outcome.DONE] * 3
        ids = [seen_in(one).remote_id for one in made]
        held = dict(mailchimp.read(LIST, ids[0], ALL).values)
        done = results(
            mailchimp,
            update(ids[0], {"FNAME": "New", "tags": ["Press"]}, held),
            update(ids[1], {"email_address": "moved@x.example"}),
            update(ids[2], {"status": "unsubscribed"}),
        )
        assert [one.outcome for one in done] == [Outcome.DONE] * 3
        assert len(whole_pass(mailchimp, cursor)[0].records) == 4
        assert len(mailchimp.find(LIST, "moved@x.example", fields=ALL)) == 1
        assert set(mailchimp.tags(LIST)) == {"VIP", "Press"}
