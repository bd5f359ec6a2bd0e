"""What a person would click together first: a login, a client, four accounts, three connections. Made once; found again
later, also half done."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model

from connections import services
from connections.clients import save_client
from connections.models import Account, Client, Connection

ACTOR = "demo"
USER = "demo"
CLIENT = "Harbour & Pine"


@dataclass(frozen=True)
class Login:
    """How to get into an app, and the book in it. `secrets` is asked where the account is not there yet; `options` are
    those of its connection."""

    app: str
    label: str
    book: str
    settings: Mapping[str, str]
    secrets: Callable[[], Mapping[str, str]] = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=lambda: {"sync_deletions": "both"})


def ensure_user(password: str) -> bool:
    """The login for the admin; False where somebody has changed its password since."""
    users = get_user_model().objects
    user = users.filter(username=USER).first()
    if user is None:
        users.create_superuser(USER, "demo@example.com", password)
        return True
    return user.check_password(password)


def ensure_connections(lefts: Sequence[Login], right: Login) -> list[Connection]:
    """One from each of `lefts` to the same `right`, active, with their accounts checked. Raises Refused,
    ValidationError, ConnectorError."""
    client = Client.objects.filter(slug="harbour-and-pine").first()
    if client is None:
        client = save_client(Client(name=CLIENT, slug="harbour-and-pine"), ACTOR)
    shared = ensure_account(client, right)
    return [ensure_connection(client, left, ensure_account(client, left), shared, right.book) for left in lefts]


def ensure_connection(client: Client, login: Login, left: Account, right: Account, right_book: str) -> Connection:
    connection = Connection.objects.filter(client=client, left_account=left, right_account=right).first()
    if connection is None:
        connection = create(client, left, login, right, right_book)
    if connection.state == Connection.State.DRAFT:
        services.activate(connection, ACTOR)
    return connection


def ensure_account(client: Client, login: Login) -> Account:
    account = Account.objects.filter(client=client, app=login.app, label=login.label).first()
    if account is None:
        account = services.create_account(
            client, ACTOR, app=login.app, label=login.label, settings=login.settings, credentials=login.secrets()
        )
    if account.status != Account.Status.CONNECTED:
        services.check_account(account, ACTOR)
    return account


def create(client: Client, left: Account, login: Login, right: Account, right_book: str) -> Connection:
    """With the options of the login; new contacts in Salesmate get its first active user as owner. Who has no last
    name waits for a person: Salesmate wants one, and nobody chose what to put there."""
    owner = next(one for one in services.owners_of(right) if one.active)
    return services.create_connection(
        client,
        ACTOR,
        name=f"{left.label} and {right.label}",
        left_account=left,
        left_book=login.book,
        right_account=right,
        right_book=right_book,
        interval=60,
        create_defaults={"right": {"owner": owner.id}},
        **login.options,
    )
