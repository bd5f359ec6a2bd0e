"""A live server whose threads have database connections of their own."""

import pytest
from pytest_django.live_server_helper import LiveServer


@pytest.fixture(scope="session")
def live_server(django_db_setup: None, live_server: LiveServer) -> LiveServer:
    """pytest-django's own, started when the test database is there. Earlier the settings still name a database in
    memory, and all threads would share the one connection to it: SQLite then crashes the process now and then."""
    return live_server
