"""`rotate_keys`: every credential moves to the newest key, while others read and write, and nothing is lost."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.db.models import F
from pytest_django import Settings

from connections.models import Account, Client, Credential
from connections.secrets import KeyRing, Stored, key_ring, rewrite, stored_values, unreadable
from syncer.audit.chain import PORTAL
from syncer.audit.verify import verify
from syncer.models import LogChain, SyncLog
from tests.engine.cluster import ROOT, environment, wait_until

SECRET = "s3cret-canary"


def new_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def accounts(count: int) -> list[Account]:
    client = Client.objects.create(name="Acme", slug="acme")
    made = [Account.objects.create(client=client, app="salesmate", label=f"Salesmate {n}") for n in range(count)]
    for account in made:
        Credential.store(account, {"session_key": f"{SECRET} {account.label}"})
    return made


def rotate(**options: Any) -> str:
    out = StringIO()
    call_command("rotate_keys", stdout=out, **options)
    assert SECRET not in out.getvalue()
    return out.getvalue()


def refused(**options: Any) -> CommandError:
    with pytest.raises(CommandError) as caught:
        rotate(**options)
    assert SECRET not in str(caught.value)
    return caught.value


def told() -> list[dict[str, int]]:
    """What the history says of rotations."""
    if LogChain.objects.filter(name=PORTAL).exists():
        assert verify(PORTAL).ok
    kept = ("moved", "newest", "old", "unreadable")
    found = SyncLog.objects.filter(chain__name=PORTAL, kind="key.rotated").order_by("seq")
    return [{name: json.loads(entry.header)[name] for name in kept} for entry in found]


def everything_is_readable(made: Sequence[Account]) -> bool:
    return all(Credential.of(account) == {"session_key": f"{SECRET} {account.label}"} for account in made)


@pytest.fixture
def two_keys(settings: Settings) -> Callable[[], None]:
    """Puts a new key in front."""

    def add() -> None:
        settings.FIELD_ENCRYPTION_KEYS = [new_key(), *settings.FIELD_ENCRYPTION_KEYS]

    return add


@pytest.mark.django_db
def test_all_move_and_the_old_key_can_go(two_keys: Callable[[], None], settings: Settings) -> None:
    made = accounts(5)
    before = list(Credential.objects.order_by("pk").values_list("pk", "account", "updated_at"))
    two_keys()
    Credential.store(made[4], {"session_key": f"{SECRET} {made[4].label}"})
    said = rotate(batch=2, actor="anna (staff)")
    assert "Moved 4 credentials to the newest key; 1 were there already." in said
    assert "remove the others, and restart" in said
    settings.FIELD_ENCRYPTION_KEYS = settings.FIELD_ENCRYPTION_KEYS[:1]
    assert everything_is_readable(made)
    assert unreadable() == 0
    assert list(Credential.objects.order_by("pk").values_list("pk", "account", "updated_at"))[:4] == before[:4]
    assert told() == [{"moved": 4, "newest": 5, "old": 0, "unreadable": 0}]
    assert SyncLog.objects.get(kind="key.rotated").actor == "anna (staff)"


@pytest.mark.django_db
def test_a_second_time_there_is_nothing_to_do(two_keys: Callable[[], None]) -> None:
    accounts(2)
    two_keys()
    rotate()
    tokens = [value.token for value in stored_values()]
    assert "Nothing to do: of 2 credentials none needs an older key." in rotate()
    assert [value.token for value in stored_values()] == tokens
    assert len(told()) == 1


@pytest.mark.django_db
def test_without_a_second_key_nothing_is_tried(settings: Settings) -> None:
    accounts(1)
    tokens = [value.token for value in stored_values()]
    error = refused()
    assert error.returncode == 2
    assert "holds one key" in str(error)
    assert [value.token for value in stored_values()] == tokens
    settings.FIELD_ENCRYPTION_KEYS = [new_key(), "not a key"]
    assert refused().returncode == 2
    assert told() == []


@pytest.mark.django_db
def test_what_no_key_opens_is_named_by_its_account_and_stays_as_it_is(two_keys: Callable[[], None]) -> None:
    made = accounts(3)
    two_keys()
    damage(made[1])
    token = next(value.token for value in stored_values() if value.pk == made[1].credential.pk)
    error = refused(batch=1)
    assert error.returncode == 1
    assert f"1 credential that none of the keys opens: account {made[1].code}." in str(error)
    assert str(made[0].code) not in str(error)
    assert token in [value.token for value in stored_values()]
    assert everything_is_readable([made[0], made[2]])
    assert told() == [{"moved": 2, "newest": 2, "old": 0, "unreadable": 1}]
    refused()
    assert len(told()) == 1


def damage(account: Account) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE connections_credential SET secrets = %s WHERE account_id = %s", [b"rub", account.pk])


@pytest.mark.django_db
def test_what_was_written_since_it_was_read_stays(two_keys: Callable[[], None]) -> None:
    made = accounts(2)
    two_keys()
    read = list(stored_values())
    Credential.objects.filter(account=made[0]).update(secrets={"session_key": "newer"})
    assert [rewrite(value) for value in read] == [False, True]
    assert Credential.objects.get(account=made[0]).secrets == {"session_key": "newer"}
    assert [rewrite(value) for value in read] == [False, False]


def test_the_text_of_a_stored_value_hides_it() -> None:
    assert "s3cret" not in repr(Stored(Credential, "secrets", 1, b"s3cret"))


@contextmanager
def after_each_write(act: Callable[[int], None], table: str = "connections_credential") -> Iterator[None]:
    """`act` is told how many rows were written so far, after each of the command's own writes to the table."""
    count, busy = 0, False

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal count, busy
        result = execute(sql, params, many, context)
        if sql.startswith(f'UPDATE "{table}"') and not busy:
            count, busy = count + 1, True
            try:
                act(count)
            finally:
                busy = False
        return result

    with connection.execute_wrapper(watch):
        yield


@pytest.mark.django_db
def test_interrupted_it_keeps_what_was_done_and_goes_on_the_next_time(two_keys: Callable[[], None]) -> None:
    made = accounts(6)
    two_keys()

    def interrupt(count: int) -> None:
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), after_each_write(interrupt):
        rotate(batch=2)
    assert newest() == [True, True, False, False, False, False]
    assert told() == []
    assert "Moved 4 credentials to the newest key; 2 were there already." in rotate(batch=2)
    assert newest() == [True] * 6
    assert everything_is_readable(made)
    assert told() == [{"moved": 4, "newest": 6, "old": 0, "unreadable": 0}]


@pytest.mark.django_db
def test_interrupted_while_it_tells_the_history_it_tells_it_the_next_time(two_keys: Callable[[], None]) -> None:
    accounts(3)
    two_keys()

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), after_each_write(interrupt, "syncer_logchain"):
        rotate(batch=1)
    assert newest() == [True, True, False]
    rotate(batch=1)
    assert told() == [{"moved": 1, "newest": 3, "old": 0, "unreadable": 0}]


def newest() -> list[bool]:
    return [key_ring().is_newest(value.token) for value in stored_values()]


@pytest.mark.django_db
def test_what_was_written_with_the_old_key_meanwhile_is_moved_too(
    two_keys: Callable[[], None], settings: Settings
) -> None:
    made = accounts(3)
    two_keys()

    def old_process(count: int) -> None:
        if count == 2:
            written_with_the_old_key(made[0], settings)

    with after_each_write(old_process):
        said = rotate(batch=1)
    assert newest() == [True] * 3
    assert "Moved 4 credentials" in said
    assert told() == [{"moved": 4, "newest": 3, "old": 0, "unreadable": 0}]


@pytest.mark.django_db
def test_a_process_that_goes_on_with_the_old_key_is_noticed(two_keys: Callable[[], None], settings: Settings) -> None:
    made = accounts(3)
    two_keys()
    with after_each_write(lambda count: written_with_the_old_key(made[0], settings)):
        error = refused()
    assert error.returncode == 1
    assert f"1 credential written with an older key while this ran: account {made[0].code}." in str(error)
    assert newest() == [False, True, True]
    assert everything_is_readable(made)
    assert [(entry["newest"], entry["old"]) for entry in told()] == [(2, 1)]


def written_with_the_old_key(account: Account, settings: Settings) -> None:
    keys = settings.FIELD_ENCRYPTION_KEYS
    settings.FIELD_ENCRYPTION_KEYS = keys[::-1]
    account.credential.save()
    settings.FIELD_ENCRYPTION_KEYS = keys


# Processes that go on meanwhile

PROGRAM = """
import sys, itertools
import django
django.setup()
from django.db import transaction
from connections.models import Account, Credential
made = list(Account.objects.order_by("pk"))
stop = sys.argv[2]
for number in itertools.count():
    for account in made:
        if sys.argv[1] == "read":
            assert "session_key" in Credential.of(account)
        elif account.pk % 3 == int(sys.argv[1]):
            with transaction.atomic():
                Credential.store(account, {"session_key": f"{sys.argv[1]} {number}"})
            print(account.pk, sys.argv[1], number, flush=True)
    if number == 0:
        print("up", flush=True)
    try:
        open(stop).close()
    except FileNotFoundError:
        continue
    break
"""


@dataclass
class Going:
    """A process that reads, or writes every third account again and again, until told to stop."""

    process: "subprocess.Popen[bytes]"
    log: Path
    stop: Path

    def is_up(self) -> bool:
        return "up" in self.log.read_text()

    def rounds(self) -> int:
        return len(self.log.read_text().splitlines())

    def end(self) -> None:
        self.stop.touch()
        assert self.process.wait(60) == 0, self.log.read_text()


@contextmanager
def going(folder: Path, what: str, keys: Sequence[str]) -> Iterator[Going]:
    log, stop = folder / f"{what}.log", folder / f"{what}.stop"
    process = started(log, keys, "-c", PROGRAM, what, str(stop))
    try:
        yield Going(process, log, stop)
    finally:
        process.kill()
        process.wait()


def started(log: Path, keys: Sequence[str], *arguments: str) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        command, given = [sys.executable, *arguments], environment(FIELD_ENCRYPTION_KEYS=",".join(keys))
        return subprocess.Popen(command, cwd=ROOT, env=given, stdout=output, stderr=output)


@pytest.mark.django_db(transaction=True)
def test_web_and_workers_go_on_while_it_runs_and_is_killed(tmp_path: Path, settings: Settings) -> None:
    """One process writes with the new key in front, one still with the old, one only reads. After that one has ended,
    one rotation is enough, and what each wrote last is what stands there."""
    made = accounts(90)
    old, new = settings.FIELD_ENCRYPTION_KEYS[0], new_key()
    with ExitStack() as stack:
        fresh = stack.enter_context(going(tmp_path, "0", [new, old]))
        late = stack.enter_context(going(tmp_path, "1", [old, new]))
        reader = stack.enter_context(going(tmp_path, "read", [new, old]))
        for one in (fresh, late, reader):
            wait_until(one.is_up, 120, "a process that goes on")
        killed_in_the_middle(tmp_path, [new, old])
        before = fresh.rounds(), late.rounds()
        settings.FIELD_ENCRYPTION_KEYS = [new, old]
        with suppress(CommandError):  # it may see what the one with the old key has just written
            rotate(batch=7)
        wait_until(lambda: fresh.rounds() > before[0] and late.rounds() > before[1], 60, "writing goes on")
        late.end()
        rotate(batch=7)
        fresh.end()
        reader.end()
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert unreadable() == 0
    for account in made:
        wanted = written_last(tmp_path, account) or f"{SECRET} {account.label}"
        assert Credential.of(account)["session_key"] == wanted
    assert all(entry["unreadable"] == 0 for entry in told())
    assert told()[-1]["old"] == 0


def killed_in_the_middle(folder: Path, keys: Sequence[str]) -> None:
    """When some are moved of the 30 that nobody else writes."""
    ring, third = KeyRing(keys), Credential.objects.annotate(third=F("account_id") % 3).filter(third=2)
    idle = set(third.values_list("pk", flat=True))
    process = started(folder / "killed.log", keys, "manage.py", "rotate_keys", "--batch", "1")
    wait_until(lambda: sum(ring.is_newest(v.token) for v in stored_values() if v.pk in idle) > 3, 120, "moves")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not all(ring.is_newest(value.token) for value in stored_values())


def written_last(folder: Path, account: Account) -> str:
    lines = [line for name in ("0", "1") for line in (folder / f"{name}.log").read_text().splitlines()]
    mine = [line.partition(" ")[2] for line in lines if re.match(rf"{account.pk} ", line)]
    return mine[-1] if mine else ""


@pytest.mark.django_db
def test_one_rotation_is_one_transaction_a_batch(two_keys: Callable[[], None]) -> None:
    accounts(5)
    two_keys()
    seen: list[bool] = []
    with after_each_write(lambda count: seen.append(transaction.get_connection().in_atomic_block)):
        rotate(batch=2)
    assert seen == [True] * 5
