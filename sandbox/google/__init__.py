"""A faithful local stand-in for Google's log-in and People API (`python -m sandbox.google --port 8102`)."""

from sandbox.exchange import Seen
from sandbox.google.account import Account
from sandbox.google.app import CONTACTS, CONTACTS_READ, EMAIL, GoogleApp
from sandbox.google.faults import Fault
from sandbox.google.levers import Levers
from sandbox.serving import serve, server

__all__ = ["CONTACTS", "CONTACTS_READ", "EMAIL", "Account", "Fault", "GoogleApp", "Levers", "Seen", "serve", "server"]
