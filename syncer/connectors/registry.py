"""The apps that Counterpart knows: adding one is a folder and a line here."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from django.conf import settings

from syncer.connectors.base import Account, App, Connector, Listens, Meter

CONNECTORS = {
    "carddav": "syncer.connectors.carddav.connector.CardDav",
    "csv_file": "syncer.connectors.csv_file.connector.CsvFile",
    "google_contacts": "syncer.connectors.google_contacts.connector.GoogleContacts",
    "mailchimp": "syncer.connectors.mailchimp.connector.Mailchimp",
    "salesmate": "syncer.connectors.salesmate.connector.Salesmate",
}


@dataclass(frozen=True)
class Options:
    """What the settings say to connectors."""

    allow_private_hosts: bool
    urls: Mapping[str, str]


class ConnectorClass(Protocol):
    app: App

    def __call__(self, account: Account, options: Options, meter: Meter | None = None) -> Connector: ...


def connector_class(slug: str) -> ConnectorClass:
    """Raises KeyError for an app that is not known."""
    module, _, name = CONNECTORS[slug].rpartition(".")
    found: ConnectorClass = getattr(import_module(module), name)
    return found


def listener_class(slug: str) -> type[Listens] | None:
    """None for an app that is not known, or that calls nobody."""
    found = connector_class(slug) if slug in CONNECTORS else None
    return cast(type[Listens], found) if found is not None and found.app.capabilities.webhooks else None


def apps() -> list[App]:
    return [connector_class(slug).app for slug in CONNECTORS]


def options() -> Options:
    names = (
        "SALESMATE_URL",
        "GOOGLE_PEOPLE_URL",
        "GOOGLE_AUTH_URL",
        "GOOGLE_TOKEN_URL",
        "MAILCHIMP_URL",
        "MAILCHIMP_AUTH_URL",
        "MAILCHIMP_TOKEN_URL",
        "MAILCHIMP_METADATA_URL",
    )
    urls = {name.removesuffix("_URL").lower(): getattr(settings, name) for name in names}
    return Options(settings.ALLOW_PRIVATE_HOSTS, urls)


def connect(account: Account, meter: Meter | None = None) -> Connector:
    return connector_class(account.app)(account, options(), meter)


def calls_per_hour(slug: str) -> int | None:
    """How many calls an hour one login of this app may make: the setting where there is one, else what the app says."""
    chosen: int | None = getattr(settings, f"{slug.upper()}_CALLS_PER_HOUR", None)
    return chosen if chosen is not None else connector_class(slug).app.capabilities.calls_per_hour
