"""The pages of what was done, read only, and the connection's own page with its buttons."""

from syncer.admin import book, connection, hold, link, log, run

__all__ = ["book", "connection", "hold", "link", "log", "run"]
