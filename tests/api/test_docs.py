"""docs/api.md does what it says: its curl and its Python, against a real portal with a real worker and real apps."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.db import connection as database
from django.db.models import Q
from pytest_django.live_server_helper import LiveServer

from connections.models import Connection
from portal.clock import SYSTEM
from syncer.models import SyncRun
from syncer.tasks import run_connection
from tests.browser.conftest import live_server
from tests.connections.office import Office, office
from tests.contract.carddav import vcard
from tests.contract.radicale import USERS
from tests.contract.salesmate import KEYS
from tests.engine.cluster import environment
from tests.needs import needs

__all__ = ["live_server"]
pytestmark = [needs("radicale"), pytest.mark.django_db(transaction=True)]
ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.DOTALL)
LONGEST = 120


@pytest.fixture
def acme(transactional_db: None, tmp_path: Path, settings: Any) -> Iterator[Office]:
    with office(tmp_path, settings) as found:
        found.radicale.place("alice", "ada", vcard("ada", "EMAIL:ada@example.com", "TITLE:Countess"))
        found.salesmate.person(1)
        yield found


@pytest.fixture
def worker(acme: Office) -> Iterator[None]:
    """Does what is due and what is queued, as the queue's worker does."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.05):
            wanted = Q(next_run_at__lte=SYSTEM.now()) | Q(runs__status=SyncRun.Status.QUEUED)
            for pk in Connection.objects.filter(wanted).values_list("pk", flat=True).distinct():
                run_connection(pk)
        database.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


def surroundings(portal: str, acme: Office) -> dict[str, str]:
    return environment(
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        PORTAL=portal,
        PAUSE="0.1",
        CARDDAV_URL=acme.radicale.url,
        CARDDAV_USER="alice",
        CARDDAV_PASSWORD=USERS["alice"],
        SUBDOMAIN="acme",
        ACCESS_KEY=KEYS["access_key"],
        SESSION_KEY=KEYS["session_key"],
        CRM_SECRET_KEY=KEYS["secret_key"],
    )


def run(command: Sequence[str], env: dict[str, str]) -> str:
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_session_with_curl(live_server: LiveServer, acme: Office, worker: None) -> None:
    shell = [text for kind, text in BLOCKS if kind == "sh"]
    said = run(["bash", "-euo", "pipefail", "-c", "\n".join(shell)], surroundings(live_server.url, acme)).split("\n")
    assert said[:3] == ["connected", "connected", "active"]
    assert said[-2] == "True"
    assert "2" in said, "two contacts in sync"


def test_the_session_in_python(live_server: LiveServer, acme: Office, worker: None) -> None:
    env = surroundings(live_server.url, acme)
    env["KEY"] = run(
        [
            sys.executable,
            "manage.py",
            "create_api_key",
            "--client",
            "acme",
            "--scopes",
            "read,manage,sync,approve,audit",
        ],
        env,
    ).strip()
    [code] = [text for kind, text in BLOCKS if kind == "python"]
    said = run([sys.executable, "-c", code], env)
    assert "2 contacts in sync" in said
    assert "'ok': True" in said
