"""Log lines: one line each, about the right request or run, and without what must not stand in them."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import path
from pytest_django import Settings
from structlog.contextvars import clear_contextvars
from structlog.stdlib import ProcessorFormatter

from portal import logs, redact
from portal.access import Access
from portal.urls import urlpatterns as real_urls
from syncer import context
from syncer.connectors import registry
from syncer.connectors.base import Transient
from syncer.engine.run import run_slice
from syncer.models import SyncRun
from tests.engine.memory import MemoryApp, TestClock, raising
from tests.engine.world import START, World, make_world

CANARY = "s3cret-canary"
NAME = "Ada Lovelace"
log = logging.getLogger("tests.lines")


def broken(request: HttpRequest, token: str) -> HttpResponse:
    raise ValueError(NAME, CANARY)


def slow(request: HttpRequest) -> HttpResponse:
    CLOCK.forward(0.25)
    return HttpResponse("done", status=202)


CLOCK = TestClock(START)
urlpatterns = [path("broken/<str:token>/", broken), *real_urls]


@pytest.fixture(autouse=True)
def nobody_s_context() -> Iterator[None]:
    clear_contextvars()
    yield
    clear_contextvars()


@contextmanager
def written(form: str = "json", level: int = logging.INFO) -> Iterator[StringIO]:
    """What all loggers write meanwhile, as the console of the portal would have it."""
    out, root = StringIO(), logging.getLogger()
    handler = logging.StreamHandler(out)
    handler.setFormatter(ProcessorFormatter(processors=logs.processors(form)))
    before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    try:
        yield out
    finally:
        root.setLevel(before)
        root.removeHandler(handler)


def lines(out: StringIO, logger: str = "") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    return [line for line in found if line["logger"] == logger] if logger else found


def told(error: Exception, form: str = "json") -> str:
    """What the log says of an exception."""
    with written(form) as out:
        try:
            raise error
        except Exception:
            log.exception("It broke")
    return out.getvalue()


# Lines


def test_each_event_is_one_json_object() -> None:
    with written() as out:
        log.info("Read %s pages", 3)
        log.warning("A line\nand another")
    first, second = lines(out)
    assert (first["level"], first["logger"], first["event"]) == ("info", "tests.lines", "Read 3 pages")
    assert first["at"].endswith("Z") and len(first["at"]) == len("2026-11-24T13:00:00.123Z")
    assert (second["level"], second["event"]) == ("warning", "A line\nand another")


@pytest.mark.parametrize("form", logs.FORMATS)
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_line_can_be_forged(form: str, end: str) -> None:
    with written(form) as out:
        log.info("Logged in: %s", f"mallory{end}2026-11-24 13:00:00,000 INFO portal: Logged in: anna")
    assert len(out.getvalue().splitlines()) == 1


def test_a_terminal_is_not_told_what_to_do() -> None:
    with written("plain") as out:
        log.info("\x1b[2J\u202eevil")
    assert "\x1b" not in out.getvalue() and "\u202e" not in out.getvalue()


def test_plain_lines_stay_readable() -> None:
    with written("plain") as out, context.working("host:7"):
        context.on(connection="c1")
        log.info("Grüße an %s", "alle")
    line = out.getvalue()
    assert line.endswith(" INFO tests.lines: Grüße an alle [worker=host:7 connection=c1]\n")


def test_the_lines_of_a_traceback_cannot_be_taken_for_others() -> None:
    head, *rest = told(RuntimeError("x"), "plain").splitlines()
    assert head.endswith("ERROR tests.lines: It broke")
    assert rest and all(line.startswith("    ") for line in rest)


def test_a_format_that_is_not_known_is_refused_in_words() -> None:
    wrong = os.environ | {"LOG_FORMAT": "xml"}
    command = [sys.executable, "-c", "import portal.settings"]
    done = subprocess.run(command, env=wrong, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "LOG_FORMAT must be one of: plain, json." in done.stderr


# Secrets


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Basic {CANARY}",
        f"{{'authorization': 'Digest username=\"{CANARY}\"', 'depth': '1'}}",
        f"Proxy-Authorization={CANARY} and more",
        f"Cookie: sessionid={CANARY}; csrftoken={CANARY}",
        f"X-Api-Key: {CANARY}",
        f"sent Bearer {CANARY}",
        f"the key cpk_{CANARY}.{CANARY}",
        f"{{'session_key': '{CANARY}', 'subdomain': 'acme'}}",
        f'"password": "{CANARY} with blanks"',
        f"SECRET_KEY={CANARY}",
        f"postgres://counterpart:{CANARY}@db:5432/counterpart",
        f"GET https://app.example/v4/contacts?key={CANARY}&page=2",
        f"{CANARY}@example.com is not valid",
        f"/people/{CANARY}%40example.com/",
        f"the row gAAAAABm{CANARY}-0123456789012345",
    ],
)
@pytest.mark.parametrize("form", logs.FORMATS)
def test_what_looks_like_a_secret_is_taken_out(text: str, form: str) -> None:
    with written(form) as out:
        log.warning("Answer: %s", text)
        log.warning(text, extra={"path": text})
    assert CANARY not in out.getvalue() and redact.REMOVED in out.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "Run 0b9c2d6e-3f60-4d53-8a47-0e4d2c1b7f55 of connection 5b9c2d6e-3f60-4d53-8a47-0e4d2c1b7f55 failed: Transient",
        "SECRET_KEY is not set.",
        "Checkpoint 7 is kept and not delivered: /mnt/kept cannot be written (Read-only file system).",
        "GET /admin/connections/account/7/change/ 200 12 ms",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert redact.redacted(text) == text


def test_a_long_text_is_looked_at_and_cut_off() -> None:
    found = redact.redacted(f"password={CANARY} " + "a@" * 1_000_000)
    assert CANARY not in found and found.endswith(" [cut off]") and len(found) < 25_000


@pytest.mark.parametrize("form", logs.FORMATS)
@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"could not convert string to float: '{CANARY}'"),
        KeyError(CANARY),
        IntegrityError(f"duplicate key\nDETAIL:  Key (match_key)=({CANARY}) already exists."),
        Transient(f"The address https://app.example/?key={CANARY} did not answer."),
        OSError(f"ada.{CANARY}@example.com"),
        RuntimeError(CANARY),
    ],
)
def test_an_exception_s_text_shows_no_value(error: Exception, form: str) -> None:
    text = told(error, form)
    assert CANARY not in text
    assert type(error).__name__ in text and "test_logs.py" in text, "where and what is said"


def test_texts_of_ours_and_of_the_machine_are_shown_and_causes_too() -> None:
    def fail() -> None:
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise Transient("It is tried again later.") from error

    with written() as out:
        try:
            fail()
        except Transient:
            log.exception("It broke")
    (line,) = lines(out)
    first, last = line["exception"].find("No space left on device"), line["exception"].find("It is tried again later.")
    assert 0 < first < last


def test_causes_that_go_round_in_a_circle_come_to_an_end() -> None:
    one, two = ValueError(), TypeError()
    one.__context__, two.__context__ = two, one
    assert len(list(logs.lines_of(one))) == 2


def test_the_queue_s_own_line_of_a_failure_leaves_the_traceback_out() -> None:
    with written() as out:
        logging.getLogger("django-q").error(f"Failed 'tick' (two-three) - {CANARY} : Traceback (most recent\n{CANARY}")
    assert lines(out)[0]["event"] == "Failed 'tick' (two-three)"


# Requests


def test_every_answer_names_its_request_as_the_log_does(client: Browser) -> None:
    with written() as out:
        answer = client.get("/nowhere/?q=ada", headers={"X-Request-Id": "abc-1_2.3"})
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (404, "abc-1_2.3")
    (line,) = lines(out)
    assert (line["request"], line["logger"]) == ("abc-1_2.3", "portal.access")
    assert (line["method"], line["path"], line["status"]) == ("GET", "/nowhere/", 404)
    assert "ada" not in out.getvalue()


@pytest.mark.parametrize(
    "given",
    [
        *("", " ", "a b", "x" * 65, "a\nb", "a\r\nSet-Cookie: x=1", "ada@example.com", "ä", "\x00", "<script>", "a;b"),
        *(f"cpk_{CANARY}", "../../x", "%0a"),
    ],
)
def test_an_id_that_is_no_plain_token_is_not_taken(given: str) -> None:
    request = RequestFactory().get("/healthz")
    request.META["HTTP_X_REQUEST_ID"] = given
    answer = Access(lambda request: HttpResponse(), CLOCK, lambda: "made")(request)
    assert answer.headers["X-Request-Id"] == "made"


def test_the_longest_id_is_taken_and_made_ones_differ(client: Browser) -> None:
    longest = "x" * 64
    assert client.get("/healthz", headers={"X-Request-Id": longest}).headers["X-Request-Id"] == longest
    made = {client.get("/healthz").headers["X-Request-Id"] for _ in range(3)}
    assert len(made) == 3


@pytest.mark.parametrize(
    ("asked", "host", "status"),
    [("/nowhere", "localhost", 404), ("/healthz", "evil.example", 400), ("/admin", "localhost", 301)],
)
def test_error_pages_and_redirects_have_an_id_too(client: Browser, asked: str, host: str, status: int) -> None:
    answer = client.get(asked, headers={"Host": host})
    assert answer.status_code == status
    assert len(answer.headers["X-Request-Id"]) == 32


@pytest.mark.urls("tests.portal.test_logs")
def test_a_crash_is_told_with_its_request_and_without_the_text_or_the_secret_in_the_path() -> None:
    token = "tok3n" + "a1b2c3d4" * 4
    with written() as out:
        answer = Browser(raise_request_exception=False).get(
            f"/broken/{token}/", headers={"X-Request-Id": "it-was-me", "Authorization": f"Bearer {CANARY}"}
        )
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (500, "it-was-me")
    assert CANARY not in out.getvalue() and token not in out.getvalue() and NAME not in out.getvalue()
    crash, access = lines(out)
    assert crash["request"] == access["request"] == "it-was-me"
    assert "builtins.ValueError" in crash["exception"] and "in broken" in crash["exception"]
    assert access["path"] == "/broken/[removed]/"


def test_the_line_says_how_long_it_took_and_of_probes_there_is_none() -> None:
    with written() as out:
        for asked in ("/slow", "/healthz", "/readyz", "/metrics"):
            Access(slow, CLOCK)(RequestFactory().get(asked))
    (line,) = lines(out)
    assert (line["milliseconds"], line["status"], line["event"]) == (250, 202, "GET /slow 202 250 ms")


def test_a_line_break_in_a_path_forges_no_line(client: Browser) -> None:
    with written("plain") as out:
        client.get("/x%0A2026-11-24%2013:00:00,000%20INFO%20portal:%20forged")
    assert len(out.getvalue().splitlines()) == 1


def test_after_a_request_its_id_is_forgotten(client: Browser) -> None:
    with written() as out:
        client.get("/nowhere/")
        log.info("Nobody's")
    assert "request" not in lines(out)[-1]


# Work


@pytest.fixture
def world(db: None, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setitem(registry.CONNECTORS, "memory", "tests.engine.memory.MemoryConnector")
    return make_world(MemoryApp("left"), MemoryApp("right"))


def test_the_lines_of_a_run_carry_its_codes_and_its_worker(world: World) -> None:
    world.left.person_creates(given="Ada", email="ada@example.com")
    with written() as out, context.working("host:7"):
        assert world.slice().status == "done"
    run = SyncRun.objects.get()
    (line,) = lines(out)
    assert line["event"] == "The slice ended: done"
    assert (line["connection"], line["run"], line["worker"]) == (str(world.connection.code), str(run.code), "host:7")


def test_a_run_that_fails_says_so_with_its_codes_and_no_values(world: World) -> None:
    world.left.person_creates(given="Ada", email="ada@example.com")
    world.left.on_call = raising(Transient(f"ada@example.com {CANARY}"))
    with written(level=logging.DEBUG) as out:
        assert world.slice().status == "failed"
    ours = [line for line in lines(out) if line["logger"].startswith("syncer")]
    assert len(ours) == 2
    assert {line["connection"] for line in ours} == {str(world.connection.code)}
    assert {line["run"] for line in ours} == {str(SyncRun.objects.get().code)}
    assert "ada@example.com" not in str(ours) and CANARY not in str(ours)


def test_the_next_task_starts_with_nothing_of_the_last(world: World) -> None:
    with written() as out:
        with context.working("host:7"):
            run_slice(world.connection.pk, world.worker)
        with context.working("host:7"):
            log.info("Another")
    last = lines(out)[-1]
    assert last["worker"] == "host:7" and "connection" not in last and "run" not in last


def test_the_middleware_is_the_first_so_that_no_answer_goes_without(settings: Settings) -> None:
    assert settings.MIDDLEWARE[0] == "portal.access.Access"
