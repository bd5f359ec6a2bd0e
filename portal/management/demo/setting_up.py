"""What a person would click together first: a login, a client, two accounts, a connection. Made once; found again
later, also half done."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.contrib.auth import get_user_model

from connections import services
from connections.clients import save_client
from connections.models import Account, Client, Connection

ACTOR = "demo"
USER = "demo"
CLIENT = "Harbour & Pine"
NAME = "Address book and Salesmate"


@dataclass(frozen=True)
class Apps:
    """Where the two apps are, and how to get in."""

    carddav: Mapping[str, str]
    carddav_secrets: Mapping[str, str] = field(repr=False)
    carddav_book: str
    salesmate: Mapping[str, str]
    salesmate_secrets: Mapping[str, str] = field(repr=False)


def ensure_user(password: str) -> bool:
    """The login for the admin; False where somebody has changed its password since."""
    users = get_user_model().objects
    user = users.filter(username=USER).first()
    if user is None:
        users.create_superuser(USER, "demo@example.com", password)
        return True
    return user.check_password(password)


def ensure_connection(apps: Apps) -> Connection:
    """Active, with its accounts checked. Raises Refused, ValidationError, ConnectorError."""
    client = Client.objects.filter(slug="harbour-and-pine").first()
    if client is None:
        client = save_client(Client(name=CLIENT, slug="harbour-and-pine"), ACTOR)
    left = ensure_account(client, "carddav", "Address book", apps.carddav, apps.carddav_secrets)
    right = ensure_account(client, "salesmate", "Salesmate", apps.salesmate, apps.salesmate_secrets)
    connection = Connection.objects.filter(client=client, left_account=left, right_account=right).first()
    if connection is None:
        connection = create(client, left, apps.carddav_book, right)
    if connection.state == Connection.State.DRAFT:
        services.activate(connection, ACTOR)
    return connection


def ensure_account(
    client: Client, app: str, label: str, settings: Mapping[str, str], secrets: Mapping[str, str]
) -> Account:
    account = Account.objects.filter(client=client, app=app, label=label).first()
    if account is None:
        account = services.create_account(client, ACTOR, app=app, label=label, settings=settings, credentials=secrets)
    if account.status != Account.Status.CONNECTED:
        services.check_account(account, ACTOR)
    return account


def create(client: Client, left: Account, book: str, right: Account) -> Connection:
    """Both ways, deletions too; new contacts in Salesmate get its first active user as owner. Who has no last name
    waits for a person: Salesmate wants one, and nobody chose what to put there."""
    owner = next(one for one in services.owners_of(right) if one.active)
    return services.create_connection(
        client,
        ACTOR,
        name=NAME,
        left_account=left,
        left_book=book,
        right_account=right,
        right_book="contacts",
        sync_deletions="both",
        interval=60,
        create_defaults={"right": {"owner": owner.id}},
    )
