"""What forms offer, read from the apps. An app that does not answer costs a form its choices, never the page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from connections.fieldtypes import NOUNS
from connections.models import Account
from connections.secrets import SecretUnreadable
from connections.services import books_of, fields_of, owners_of
from syncer.connectors.base import App, BookInfo, Capabilities, ConnectorError, Field, Owner
from syncer.connectors.registry import CONNECTORS, connector_class

T = TypeVar("T")
Choice = tuple[str, str]


@dataclass(frozen=True)
class Read(Generic[T]):
    """What the app said, or why it said nothing, in words."""

    items: Sequence[T] = ()
    problem: str = ""


def attempt(account: Account, read: Callable[[], Sequence[T]]) -> Read[T]:
    if account.app not in CONNECTORS:
        return Read((), unknown_app(account))
    try:
        return Read(read())
    except (ConnectorError, SecretUnreadable) as error:
        return Read((), str(error))


def unknown_app(account: Account) -> str:
    return f"This version of Counterpart has no app called {account.app}."


def books(account: Account) -> Read[BookInfo]:
    return attempt(account, lambda: books_of(account))


def owners(account: Account) -> Read[Owner]:
    return attempt(account, lambda: owners_of(account))


def fields(account: Account, book: str) -> Read[Field]:
    return attempt(account, lambda: fields_of(account, book))


def app_of(account: Account) -> App:
    """An app that this version does not have can do nothing."""
    if account.app not in CONNECTORS:
        return App(account.app, account.app, (), (), Capabilities())
    return connector_class(account.app).app


def app_label(slug: str) -> str:
    return connector_class(slug).app.label if slug in CONNECTORS else slug


def account_words(account: Account) -> str:
    return f"{account.label} ({app_label(account.app)})"


def field_words(field: Field) -> str:
    """ "Job title (text)"; with what matters for a mapping."""
    marks = [NOUNS[field.type]]
    marks += ["required"] if field.required else []
    marks += [] if field.writable else ["read-only"]
    marks += ["custom"] if field.custom else []
    return f"{field.label} ({', '.join(marks)})"


def book_words(book: BookInfo) -> str:
    return book.name if book.count is None else f"{book.name} ({book.count} contacts)"


def owner_words(owner: Owner) -> str:
    return f"{owner.name} ({owner.email})" if owner.email != "" else owner.name


def with_current(choices: Sequence[Choice], current: str, words: str = "{} (not found in the app)") -> list[Choice]:
    """The choices, and what is stored even where the app does not list it (any more)."""
    there = current == "" or any(value == current for value, _ in choices)
    return list(choices) if there else [(current, words.format(current)), *choices]
