"""What is kept in sync: configuration only."""

from connections.models.account import Account, Credential
from connections.models.authorization import Authorization
from connections.models.client import Client, Membership
from connections.models.connection import ConfigVersion, Connection
from connections.models.key import ApiAnswer, ApiKey
from connections.models.mapping import FieldMapping
from connections.models.rule import Action, Condition, Rule

__all__ = [
    "Account",
    "Action",
    "ApiAnswer",
    "ApiKey",
    "Authorization",
    "Client",
    "Condition",
    "ConfigVersion",
    "Connection",
    "Credential",
    "FieldMapping",
    "Membership",
    "Rule",
]
