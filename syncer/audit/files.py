"""Delivered checkpoints: one file each, in a folder that another machine keeps."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from syncer.audit.statement import Signed, read

_NAME = re.compile(r"checkpoint-\d{10,}-[0-9a-f]{16}\.json")
_MOST_BYTES = 50_000_000
# By folder: when it was changed last, and the newest good file at that time.
_seen: dict[Path, tuple[int, Signed | None]] = {}


def write(folder: Path, signed: Signed) -> None:
    """Whole or not at all, and on the disk when this returns; the same again is harmless. Raises OSError."""
    handle, temporary = tempfile.mkstemp(prefix=".checkpoint-", suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(signed.text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # nothing secret is in it, and its keeper is somebody else
            os.fsync(file.fileno())
        os.replace(temporary, folder / signed.name)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _seen.pop(folder, None)
    _sync(folder)


def _sync(folder: Path) -> None:
    """The name too is to outlive a crash; not every network disk can do that for a folder."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def newest(folder: Path) -> Signed | None:
    """The good file with the highest number; None where there is none or the folder cannot be read. Damaged ones are
    passed over here, and `damaged` names them."""
    try:
        changed = folder.stat().st_mtime_ns
        if folder in _seen and _seen[folder][0] == changed:
            return _seen[folder][1]
        names = sorted(_names(folder), key=_number, reverse=True)
    except OSError:
        return None
    sure = True
    for name in names:
        try:
            found = _read(folder / name)
        except (ValueError, OSError) as error:
            sure = sure and isinstance(error, ValueError)
            continue
        break
    else:
        found = None
    if sure:  # what could not be read just now is tried again at the next call
        _seen[folder] = (changed, found)
    return found


def damaged(folder: Path) -> Iterator[str]:
    """The files that are not as they were delivered, in words."""
    try:
        names = sorted(_names(folder), key=_number)
    except OSError:
        return
    for name in names:
        try:
            _read(folder / name)
        except ValueError as error:
            yield f"delivered file {error}"
        except OSError:
            yield f"delivered file {name} cannot be read"


def _names(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if _NAME.fullmatch(name)]


def _number(name: str) -> tuple[int, str]:
    return int(name.split("-")[1]), name


def _read(path: Path) -> Signed:
    """Raises ValueError where it is not a good one, OSError."""
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path.name} is not as it was delivered")
    return read(path.name, path.read_text(encoding="utf-8", errors="replace"))
