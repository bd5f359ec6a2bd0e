"""The pages of what was done, read only, and the connection's own page with its buttons."""

from syncer.admin import connection

__all__ = ["connection"]
