"""The portal's own pages: people, and the machine room."""

from portal.admin import machine, person
from portal.admin.machine import READ_ONLY

__all__ = ["READ_ONLY", "machine", "person"]
