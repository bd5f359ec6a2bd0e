"""vdirsyncer, an independent sync tool, between the books of alice and bob."""

import configparser
import os
import subprocess
import sys
from pathlib import Path

from tests.contract.radicale import USERS, Radicale


def vdirsyncer(radicale: Radicale, folder: Path) -> None:
    config = configparser.ConfigParser(delimiters=("=",))
    config["general"] = {"status_path": f'"{folder / "status"}"'}
    config["pair contacts"] = {"a": '"alice"', "b": '"bob"', "collections": '[["book", "book", "book"]]'}
    for user, password in USERS.items():
        config[f"storage {user}"] = {
            "type": '"carddav"',
            "url": f'"{radicale.url}"',
            "username": f'"{user}"',
            "password": f'"{password}"',
        }
    with (folder / "config").open("w") as file:
        config.write(file)
    tool = [str(Path(sys.executable).with_name("vdirsyncer")), "-c", str(folder / "config")]
    for act in ("discover", "sync"):
        subprocess.run([*tool, act], check=True, input=b"y\n" * 9, env={**os.environ, "HOME": str(folder)}, timeout=60)
