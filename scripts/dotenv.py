"""Write a `.env` with keys of its own beside manage.py, readable by its owner alone; leave one that is there."""

import base64
import os
import secrets
import sys
from pathlib import Path

TEXT = """\
# Written by make. .env.example explains these and all other settings.
# Keep a copy of FIELD_ENCRYPTION_KEYS in a safe place: without it the stored credentials cannot be read.
SECRET_KEY={secret}
FIELD_ENCRYPTION_KEYS={key}
CHECKPOINT_KEY={signer}
"""


def write(path: Path) -> bool:
    """False where the file was there already; it is never changed."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        key, signer = (base64.urlsafe_b64encode(os.urandom(32)).decode() for _ in range(2))
        file.write(TEXT.format(secret=secrets.token_urlsafe(50), key=key, signer=signer))
    return True


if __name__ == "__main__":
    target = Path(os.environ.get("ENV_FILE", Path(__file__).resolve().parent.parent / ".env"))
    if write(target):
        sys.stdout.write(f"Wrote {target} with new keys; keep a copy in a safe place.\n")
