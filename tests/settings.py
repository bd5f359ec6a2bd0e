"""The settings of the tests and of the type check: keys of their own, no `.env`, a database in a file of its own.

A file and not memory: two connections, two threads and killed processes then behave as they do in production.
"""

import base64
import os
import tempfile
from pathlib import Path

# The process id keeps two runs at once apart. conftest.py makes the directory and removes it.
TEMPORARY = Path(tempfile.gettempdir()) / f"counterpart-test-{os.getpid()}"

os.environ |= {
    "ENV_FILE": os.devnull,
    "SECRET_KEY": "only-for-tests-" + "0" * 50,
    "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(bytes(range(32))).decode(),
    "DATABASE_URL": os.environ.get("TEST_DATABASE_URL") or "sqlite://:memory:",
    "DATA_DIR": str(TEMPORARY),
}

from portal.settings import *  # noqa: E402, F403
from portal.settings import DATABASES, INSTALLED_APPS, STORAGES  # noqa: E402

IS_SQLITE = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
TEST_NAME = str(TEMPORARY / "test.sqlite3") if IS_SQLITE else f"counterpart_test_{os.getpid()}"
DATABASES["default"]["TEST"] = {"NAME": TEST_NAME}
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
STATIC_ROOT = TEMPORARY / "static"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Emptying the tables between transactional tests would be refused by the triggers of the audit trail.
INSTALLED_APPS = [*INSTALLED_APPS, "tests.flushing"]
