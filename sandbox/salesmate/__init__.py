"""A faithful local stand-in for Salesmate (`python -m sandbox.salesmate --port 8101`)."""

from sandbox.salesmate.app import SalesmateApp, Seen
from sandbox.salesmate.levers import Fault, Levers
from sandbox.salesmate.server import serve, server

__all__ = ["Fault", "Levers", "SalesmateApp", "Seen", "serve", "server"]
