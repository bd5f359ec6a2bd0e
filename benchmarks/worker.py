"""A worker that is up, with one connection from alice's book to bob's: it syncs whenever it is told to.

`python -m benchmarks.worker URL FOLDER` answers each line of its input with one of JSON. Its database is the default
one, with the settings that production has, in FOLDER.
"""

import base64
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.books import USERS

ACTOR = "benchmark"


def prepare(folder: str) -> None:
    os.environ |= {
        "ENV_FILE": os.devnull,
        "SECRET_KEY": "only-for-benchmarks-" + "0" * 40,
        "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(bytes(range(32))).decode(),
        "DATA_DIR": folder,
        "ALLOW_PRIVATE_HOSTS": "true",
        "LOG_LEVEL": "WARNING",
        "DJANGO_SETTINGS_MODULE": "portal.settings",
    }
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def connect(url: str) -> int:
    """Both accounts and the connection, as the admin makes them; its number."""
    from connections import services
    from connections.models import Client

    client = Client.objects.create(name="Acme", slug="acme")
    accounts = {}
    for user, password in USERS.items():
        accounts[user] = services.create_account(
            client,
            ACTOR,
            app="carddav",
            label=user,
            settings={"url": url, "username": user},
            credentials={"password": password},
        )
        services.check_account(accounts[user], ACTOR)
    connection = services.create_connection(
        client,
        ACTOR,
        name="Alice to Bob",
        left_account=accounts["alice"],
        left_book="/alice/book/",
        right_account=accounts["bob"],
        right_book="/bob/book/",
        review="never",
    )
    services.activate(connection, ACTOR)
    return int(connection.pk)


def sync(connection: int, counted: Callable[[], int]) -> dict[str, Any]:
    """Slices until there is nothing more to do at once."""
    from syncer.engine.run import run_slice
    from syncer.tasks import this_worker

    before, start = counted(), time.perf_counter()
    cpu = time.process_time()
    while True:
        outcome = run_slice(connection, this_worker())
        if outcome.again_at is None:
            break
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "cpu": time.process_time() - cpu,
        "statements": counted() - before,
        "status": outcome.status,
        "reason": outcome.reason,
    }


def serve(url: str) -> None:
    from django.db import connection

    statements = [0]

    def count(execute: Callable[..., Any], *args: Any) -> Any:
        statements[0] += 1
        return execute(*args)

    number = connect(url)
    with connection.execute_wrapper(count):
        print(json.dumps({"ready": number}), flush=True)
        for _ in sys.stdin:
            print(json.dumps(sync(number, lambda: statements[0])), flush=True)


if __name__ == "__main__":
    prepare(sys.argv[2])
    serve(sys.argv[1])
