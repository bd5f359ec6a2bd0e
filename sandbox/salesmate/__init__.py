"""A faithful local stand-in for Salesmate (`python -m sandbox.salesmate --port 8101`)."""

from sandbox.exchange import Seen
from sandbox.salesmate.app import SalesmateApp
from sandbox.salesmate.levers import Fault, Levers
from sandbox.serving import serve, server

__all__ = ["Fault", "Levers", "SalesmateApp", "Seen", "serve", "server"]
