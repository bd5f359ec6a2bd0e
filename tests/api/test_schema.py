"""The OpenAPI description: complete, without outside assets, and true: schemathesis sends what it allows and what it
forbids, with keys of each scope, and no answer may be one that it does not tell of."""

import os
import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client as Browser
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from schemathesis import Case, GenerationMode
from schemathesis.checks import positive_data_acceptance
from schemathesis.specs.openapi.checks import ignored_auth

from portal.clock import SYSTEM
from tests.api.desk import ALL, InMemory, Tool, tool
from tests.engine.memory import MemoryApp
from tests.engine.world import World, make_world

pytestmark = pytest.mark.django_db
EXAMPLES = int(os.environ.get("EXAMPLES", "6"))
"""Of each call, scope and kind (allowed, forbidden); EXAMPLES=100 looks longer."""
NOT_ASKED: Any = [ignored_auth, positive_data_acceptance]
"""That a key is needed, test_matrix.py asks. What is of the right form can still be wrong: an app that is not known."""


@pytest.fixture
def world() -> World:
    found = make_world(MemoryApp("a"), MemoryApp("b"), now=SYSTEM.now())
    InMemory.worlds.update(a=found.left, b=found.right)
    found.left.person_creates("l1", given="Ada", email="ada@example.com")
    found.settle()
    return found


@pytest.fixture(autouse=True)
def one_connection() -> Iterator[None]:
    """A server behind WSGI closes its database connection after a request; here it is the test's own."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def described() -> Any:
    return schemathesis.openapi.from_wsgi("/api/schema/?format=json", get_wsgi_application())


def test_it_is_complete_and_without_warnings() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


def test_every_call_says_what_it_is_for_and_how_it_fails() -> None:
    for path, methods in described().raw_schema["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            assert operation["security"] == [{"key": []}], (method, path)
            assert {"400", "401", "403", "429"} <= operation["responses"].keys(), (method, path)


def test_the_page_that_shows_it_asks_nobody_else() -> None:
    page = Browser().get("/api/docs/")
    assert page.status_code == 200
    places = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page.content.decode())
    assert places
    assert all(place.startswith(("/static/", "data:", "#")) for place in places), places


def sent(tools: dict[str, Tool], scope: str, case: Case[Any]) -> None:
    headers = {"Authorization": f"Bearer {tools[scope].key}"}
    case.call_and_validate(headers=headers, excluded_checks=NOT_ASKED)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("scope", ALL)
def test_no_answer_is_undocumented(world: World, scope: str, mode: GenerationMode, settings: Any) -> None:
    settings.API_RATE = "1000000/minute"
    whole = {one: tool(world.connection.client, one) for one in ALL}
    for result in described().get_all_operations():
        operation = result.ok()
        judged(operation.as_strategy(generation_mode=mode), whole, scope)


def judged(cases: Any, tools: dict[str, Tool], scope: str) -> None:
    @seeded(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def each(case: Case[Any]) -> None:
        sent(tools, scope, case)

    each()


def test_the_description_is_open_and_not_without_end(settings: Any) -> None:
    settings.API_DOCS_RATE = "3/minute"
    answers = [Browser().get(path) for path in ["/api/schema/", "/api/docs/"] * 2]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1]["Content-Type"] == "application/problem+json"
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60
    assert Browser().get("/api/schema/", REMOTE_ADDR="192.0.2.7").status_code == 200
