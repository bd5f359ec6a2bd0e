"""The pages of what was done, read only, and the pages of a connection and an account with how they run."""

from syncer.admin import account, book, connection, hold, link, log, run

__all__ = ["account", "book", "connection", "hold", "link", "log", "run"]
