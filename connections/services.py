"""The acts of people on the configuration: one function each, called by the admin, the API and commands alike.

Each takes the actor (text, as it stands in the audit trail) and is recorded in the transaction of what it does. Objects
are reached through their client, so that nobody touches another client's. No call to an app is made inside a
transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from hashlib import sha256
from typing import Any, TypeVar

from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import IntegrityError, OperationalError, transaction

from connections.fieldtypes import default_lines
from connections.models import (
    Account,
    Action,
    Client,
    Condition,
    ConfigVersion,
    Connection,
    Credential,
    FieldMapping,
    Rule,
)
from connections.models.connection import SIDES, SideName, other
from connections.secrets import SecretUnreadable
from connections.tokens import StoredTokens, entered, not_authorised, waits_for_a_person
from connections.validation import (
    activation_problems,
    limit_problems,
    mapping_problems,
    read_only_problems,
    rule_problems,
    setting_problems,
    status_problems,
    target_problems,
    unsubscribe_problem,
)
from portal.clock import SYSTEM, Clock
from syncer.audit.chain import PORTAL, Entry, append
from syncer.audit.format import JSON, canonical
from syncer.connectors.base import Account as Login
from syncer.connectors.base import (
    AuthFailed,
    BookInfo,
    Connector,
    ConnectorError,
    Field,
    Identity,
    Meter,
    Misconfigured,
    Owner,
)
from syncer.connectors.registry import calls_per_hour, connect, connector_class
from syncer.rates import Budget

Connect = Callable[[Account, Meter], Connector]
KEPT_SECONDS = 60
T = TypeVar("T")


class Refused(Exception):
    """The act does not fit the state; the text is for people and says what to do."""


class Overtaken(Refused):
    """Somebody else changed it since the caller looked."""

    def __init__(self) -> None:
        super().__init__("Somebody else changed this meanwhile. Load it again.")


# Accounts


def connector_of(account: Account, meter: Meter | None = None) -> Connector:
    """A connector for an account, with its secrets. Raises SecretUnreadable."""
    tokens = StoredTokens(account) if connector_class(account.app).app.oauth is not None else None
    secrets = entered(Credential.of(account))
    return connect(Login(account.app, account.settings, secrets, account.identity, tokens), meter)


def asked_by_a_person(account: Account, connect_to: Connect, clock: Clock) -> Connector:
    """The connector for a click: its calls are counted against the same budget as those of runs."""
    limit = calls_per_hour(account.app)
    return connect_to(account, Budget(account.lease_key, "people", limit, clock, at_once=True))


def create_account(
    client: Client,
    actor: str,
    *,
    app: str,
    label: str,
    settings: Mapping[str, str],
    credentials: Mapping[str, str],
    api_share: int | None = None,
    clock: Clock = SYSTEM,
) -> Account:
    """Raises ValidationError with messages by field. The account is asked who it is by `check_account`."""
    clean = cleaned_settings(app, settings, credentials)
    share = {} if api_share is None else {"api_share": api_share}
    about = connector_class(app).app
    text = not_authorised(about) if waits_for_a_person(about, credentials) else ""
    named = {"label": label.strip(), "status_text": text, "updated_at": clock.now()}
    account = Account(client=client, app=app, settings=clean, **named, **share)
    check_label(account)
    account.full_clean()
    with transaction.atomic():
        account.save()
        Credential.store(account, credentials)
        portal_entry("config.changed", actor, account, {"created": True}, clock)
    return account


def update_account(
    account: Account,
    actor: str,
    *,
    label: str | None = None,
    settings: Mapping[str, str] | None = None,
    credentials: Mapping[str, str] | None = None,
    api_share: int | None = None,
    clock: Clock = SYSTEM,
) -> Account:
    """Change what is given; a credential left out or empty stays. New credentials need a new check, and new settings
    new credentials: what is stored is sent nowhere but where it was meant to go. Raises ValidationError, and Overtaken
    where somebody changed the account since the caller loaded it."""
    given = {name: value for name, value in (credentials or {}).items() if value != ""}
    refuse_to_move(account, settings, given)
    secrets = {**kept_secrets(account, given), **given}
    if "client_id" in given and "client_secret" not in given:
        secrets.pop("client_secret", None)
    account.settings = cleaned_settings(account.app, settings if settings is not None else account.settings, secrets)
    account.label = label.strip() if label is not None else account.label
    account.api_share = api_share if api_share is not None else account.api_share
    check_label(account)
    account.full_clean()
    with transaction.atomic():
        changed = [
            name
            for name, value in (("label", label), ("settings", settings), ("api_share", api_share))
            if value is not None
        ]
        if given or settings is not None:
            account.status, account.status_text = Account.Status.NEEDS_AUTHORIZATION, "not checked since it was changed"
            changed += ["status", "status_text"]
        take(account)
        account.updated_at = clock.now()
        account.save(update_fields=[*changed, "updated_at"])
        if given:
            Credential.store(account, secrets)
        portal_entry("config.changed", actor, account, {"credentials": sorted(given)}, clock)
    forget(account)
    return account


def take(account: Account) -> None:
    """Of two who change an account at once only the first does; in the caller's transaction. Raises Overtaken."""
    mine = Account.objects.filter(pk=account.pk, edition=account.edition)
    if mine.update(edition=account.edition + 1) != 1:
        raise Overtaken
    account.edition += 1


def refuse_to_move(account: Account, settings: Mapping[str, str] | None, given: Mapping[str, str]) -> None:
    """Raises ValidationError by field where stored secrets would go along to another place."""
    app = connector_class(account.app).app
    names = [one.name for one in app.settings]
    moved = [name for name in names if str((settings or {}).get(name, "")).strip() != account.settings.get(name, "")]
    missing = [one for one in app.credentials if one.required and one.name not in given]
    if settings is not None and moved and missing:
        text = "Enter it again: it was meant for what this account pointed at before."
        raise ValidationError({one.name: [text] for one in missing})


def kept_secrets(account: Account, given: Mapping[str, str]) -> Mapping[str, str]:
    """What is stored of what was entered. Where it cannot be read any more, entering all of it anew is the way out.
    Raises SecretUnreadable."""
    try:
        return entered(Credential.of(account))
    except SecretUnreadable:
        required = {one.name for one in connector_class(account.app).app.credentials if one.required}
        if not given or not required <= given.keys():
            raise
        return {}


def check_label(account: Account) -> None:
    """Raises ValidationError where the client has another account of this name."""
    same = Account.objects.filter(client=account.client, label=account.label).exclude(pk=account.pk)
    if same.exists():
        raise ValidationError({"label": ["This client has an account of this name already. Choose another name."]})


def cleaned_settings(app: str, settings: Mapping[str, str], credentials: Mapping[str, str]) -> dict[str, str]:
    """The settings as the app wants them; raises ValidationError by field."""
    problems = setting_problems(app, settings, credentials) or secrets_in_plain_sight(settings, credentials)
    if problems:
        raise ValidationError({name: [text] for name, text in problems.items()})
    names = {one.name for one in connector_class(app).app.settings}
    return {name: str(value).strip() for name, value in settings.items() if name in names}


def secrets_in_plain_sight(settings: Mapping[str, str], credentials: Mapping[str, str]) -> dict[str, str]:
    """Settings are stored as they are and shown in forms: no address may hold a log-in."""
    problems = {}
    for name, value in settings.items():
        address, _, query = str(value).partition("?")
        before_path = address.partition("://")[2].partition("/")[0]
        if "@" in before_path or any(secret != "" and secret in query for secret in credentials.values()):
            problems[name] = "Leave the user name and the password out of the address: they have their own fields."
    return problems


def check_account(account: Account, actor: str, connect_to: Connect = connector_of, clock: Clock = SYSTEM) -> Identity:
    """Ask the app who we are, and remember it. Another login than before is another account: refused. Raises
    ConnectorError or Refused; the account then says why. Where it was changed while the app was asked nothing is
    remembered: Refused."""
    try:
        identity = same_login(account, connect_to, clock)
    except (ConnectorError, Refused) as error:
        settled = isinstance(error, AuthFailed | Misconfigured | Refused)
        status = Account.Status.NEEDS_AUTHORIZATION if settled else None
        checked(account, actor, "account.failed", status, str(error), account.identity, clock)
        raise
    connected(account, actor, identity, clock)
    return identity


def same_login(account: Account, connect_to: Connect, clock: Clock) -> Identity:
    """Who the app says we are. Raises ConnectorError, and Refused for another login than before."""
    identity = asked_by_a_person(account, connect_to, clock).check()
    if account.identity not in ("", identity.key):
        raise Refused(
            f"This is another login ({identity.label}) than the one this account was connected with. "
            "Add it as an account of its own."
        )
    return identity


def connected(
    account: Account, actor: str, identity: Identity, clock: Clock, store: Callable[[], None] | None = None
) -> None:
    """Remember who it is; `store` as in `checked`. Raises Refused, also where the client has this login already."""
    try:
        checked(account, actor, "account.authorised", Account.Status.CONNECTED, "", identity.key, clock, store)
    except IntegrityError as error:
        text = f"{identity.label} is connected already. Take that account."
        checked(account, actor, "account.failed", Account.Status.NEEDS_AUTHORIZATION, text, account.identity, clock)
        raise Refused(text) from error


def checked(
    account: Account,
    actor: str,
    kind: str,
    status: str | None,
    text: str,
    identity: str,
    clock: Clock,
    store: Callable[[], None] | None = None,
) -> None:
    """Remember an answer of the app; without a status the account keeps the one it has by now. `store` writes the
    secrets that the app was asked with, in the same transaction. Raises Refused where the account is not any more what
    the app was asked about."""
    now = clock.now()
    values = {"status_text": text, "identity": identity, "checked_at": now, "updated_at": now}
    values |= {"status": status} if status is not None else {}
    with transaction.atomic():
        if Account.objects.filter(pk=account.pk, edition=account.edition).update(**values) != 1:
            raise Refused("The account was changed while the app was asked. Check it again.")
        # Only now: new secrets make another edition of the account.
        if store is not None:
            store()
        portal_entry(kind, actor, account, {}, clock, {"text": text, "identity": identity})
    for name, value in values.items():
        setattr(account, name, value)


def delete_account(account: Account, actor: str, clock: Clock = SYSTEM) -> None:
    used = [*account.left_connections.all(), *account.right_connections.all()]
    if used:
        names = ", ".join(connection.name for connection in used)
        raise Refused(f"{account} is used by {names}. Remove or change that first.")
    with transaction.atomic():
        take(account)
        portal_entry("config.changed", actor, account, {"deleted": True}, clock)
        account.delete()


def portal_entry(
    kind: str,
    actor: str,
    account: Account,
    header: Mapping[str, Any],
    clock: Clock,
    payload: Mapping[str, Any] | None = None,
) -> None:
    about = {"client": str(account.client.code), "account": str(account.code), "app": account.app, **header}
    append(PORTAL, [Entry(kind, actor, about, {"label": account.label, **(payload or {})})], clock.now())


def fields_of(
    account: Account, book: str, connect_to: Connect = connector_of, clock: Clock = SYSTEM
) -> Sequence[Field]:
    """The fields of a book, read from the app (kept for a minute). Raises ConnectorError."""
    place = sha256(book.encode()).hexdigest()
    return kept(f"fields:{account.code}:{place}", lambda: asked_by_a_person(account, connect_to, clock).fields(book))


def books_of(account: Account, connect_to: Connect = connector_of, clock: Clock = SYSTEM) -> Sequence[BookInfo]:
    """The books of an account, read from the app (kept for a minute). Raises ConnectorError."""
    return kept(f"books:{account.code}", lambda: asked_by_a_person(account, connect_to, clock).books())


def owners_of(account: Account, connect_to: Connect = connector_of, clock: Clock = SYSTEM) -> Sequence[Owner]:
    """Who can own a contact, read from the app (kept for a minute); nobody where the app has no owners. Raises
    ConnectorError."""
    if not connector_class(account.app).app.capabilities.owners:
        return []
    return kept(f"owners:{account.code}", lambda: asked_by_a_person(account, connect_to, clock).owners())


def tags_of(account: Account, book: str, connect_to: Connect = connector_of, clock: Clock = SYSTEM) -> Sequence[str]:
    """The tags in use in a book (kept for a minute); none where the app has no tags. Raises ConnectorError."""
    if not connector_class(account.app).app.capabilities.tags:
        return []
    place = sha256(book.encode()).hexdigest()
    return kept(f"tags:{account.code}:{place}", lambda: asked_by_a_person(account, connect_to, clock).tags(book))


def kept(name: str, read: Callable[[], Sequence[T]]) -> Sequence[T]:
    found: Sequence[T] | None = cache.get(name)
    if found is None:
        found = list(read())
        cache.set(name, found, KEPT_SECONDS)
    return found


def forget(account: Account) -> None:
    """Another login or another key may see other books and owners. What books hold is forgotten within a minute."""
    cache.delete_many([f"books:{account.code}", f"owners:{account.code}"])


# Connections


def create_connection(
    client: Client,
    actor: str,
    *,
    name: str,
    left_account: Account,
    left_book: str,
    right_account: Account,
    right_book: str,
    connect_to: Connect = connector_of,
    clock: Clock = SYSTEM,
    **options: Any,
) -> Connection:
    """A draft with the default mapping of its two apps and a rule for either side that takes everybody. Raises
    ValidationError, ConnectorError."""
    connection = Connection(
        client=client,
        name=name.strip(),
        left_account=left_account,
        left_book=left_book,
        right_account=right_account,
        right_book=right_book,
        updated_at=clock.now(),
        **options,
    )
    check_connection(connection)
    fields = {side: fields_of(connection.account(side), connection.book_id(side), connect_to, clock) for side in SIDES}
    with transaction.atomic():
        connection.save()
        for line in default_lines(fields["left"], fields["right"]):
            FieldMapping.objects.create(
                connection=connection,
                left_field=line.left_field,
                right_field=line.right_field,
                direction=line.direction,
                is_default=True,
            )
        for side in SIDES:
            label = connector_class(connection.account(side).app).app.label
            Rule.objects.create(connection=connection, source=side, name=f"Every contact of {label}")
        save_version(connection, actor, "created", clock)
    return connection


def check_connection(connection: Connection) -> None:
    """Raises ValidationError by field."""
    problems: dict[str, str] = {}
    for side in SIDES:
        if connection.account(side).client_id != connection.client_id:
            problems[f"{side}_account"] = "This account belongs to another client."
    if connection.left_account_id == connection.right_account_id and connection.left_book == connection.right_book:
        problems["right_book"] = "Left and right are the same book. Choose another."
    if connection.interval is not None and connection.interval < 60:
        problems["interval"] = "At least 60 seconds."
    for text in limit_problems(connection.limits):
        problems["limits"] = text
    problems |= read_only_problems(connection)
    if problem := unsubscribe_problem(connection):
        problems["sync_unsubscribes"] = problem
    if connection.state != Connection.State.DRAFT:
        for text in (text for side in SIDES for text in status_problems(connection, side)):
            problems["create_defaults"] = text
    same = Connection.objects.filter(client_id=connection.client_id, name=connection.name).exclude(pk=connection.pk)
    if same.exists():
        problems["name"] = "This client has a connection of this name already. Choose another name."
    if problems:
        raise ValidationError(problems)
    connection.full_clean(exclude=["version"])


SETTINGS = (
    "name",
    "direction",
    "winner",
    "avoid_duplicates",
    "sync_deletions",
    "sync_unsubscribes",
    "trash_tag",
    "unsubscribe_tag",
    "interval",
    "review",
    "limits",
    "create_defaults",
)
BOOK_FIELDS = frozenset({"left_account", "left_book", "right_account", "right_book"})
COSMETIC = frozenset({"name", "interval", "review", "limits"})
GUARDS = frozenset({"review", "limits"})
"""Where a client wants four eyes, nobody takes these away from themselves unseen."""


def stays_reviewed(connection: Connection, changed: AbstractSet[str]) -> bool:
    """Whether a change of these settings alone needs no new review."""
    return changed <= (COSMETIC - GUARDS if connection.client.four_eyes else COSMETIC)


def update_connection(
    connection: Connection,
    actor: str,
    changes: Mapping[str, Any],
    reason: str = "",
    clock: Clock = SYSTEM,
    seen: int | None = None,
) -> Connection:
    """Change settings. The accounts and books of a connection stay as they are: links belong to them. `seen` is the
    version that the caller looked at; raises Overtaken where it is another by now."""
    connection.refresh_from_db()
    if seen not in (None, connection.version):
        raise Overtaken
    moved = [name for name in BOOK_FIELDS & set(changes) if changes[name] != getattr(connection, name)]
    if moved and connection.state != Connection.State.DRAFT:
        raise Refused("The books of a connection that has run cannot be changed. Make a new connection.")
    for name, value in changes.items():
        setattr(connection, name, value)
    check_connection(connection)
    with transaction.atomic():
        connection.save(update_fields=list(changes))
        save_version(connection, actor, reason, clock, reviewed=stays_reviewed(connection, set(changes)))
    return connection


def activate(connection: Connection, actor: str, clock: Clock = SYSTEM, connect_to: Connect = connector_of) -> None:
    fields = {side: fields_of(connection.account(side), connection.book_id(side), connect_to, clock) for side in SIDES}
    problems = activation_problems(connection, fields)
    if problems:
        raise Refused(" ".join(problems))
    set_state(connection, actor, Connection.State.ACTIVE, clock)


def resume(connection: Connection, actor: str, clock: Clock = SYSTEM, connect_to: Connect = connector_of) -> None:
    activate(connection, actor, clock, connect_to)


def pause(connection: Connection, actor: str, clock: Clock = SYSTEM) -> None:
    set_state(connection, actor, Connection.State.PAUSED, clock)


def set_state(connection: Connection, actor: str, state: str, clock: Clock) -> None:
    if connection.state == state:
        return
    with transaction.atomic():
        connection.state = state
        connection.next_run_at = clock.now() if state == Connection.State.ACTIVE else connection.next_run_at
        connection.updated_at = clock.now()
        connection.save(update_fields=["state", "next_run_at", "updated_at"])
        note(connection, actor, {"state": state}, clock)


def delete_connection(connection: Connection, actor: str, clock: Clock = SYSTEM, seen: int | None = None) -> None:
    """Its history stays in the audit trail. `seen` as in `update_connection`. Raises Refused, Overtaken."""
    try:
        remove(connection, actor, clock, seen)
    except (IntegrityError, OperationalError) as error:
        raise Refused("A run of this connection is under way. Pause it, wait a minute, and try again.") from error


def remove(connection: Connection, actor: str, clock: Clock, seen: int | None) -> None:
    with transaction.atomic():
        # The row is ours from here on: a worker that is about to send waits, and then finds nothing to send for.
        row = Connection.objects.filter(pk=connection.pk)
        row = row if seen is None else row.filter(version=seen)
        if row.update(state=Connection.State.PAUSED) != 1 and seen is not None:
            raise Overtaken
        if connection.runs.filter(changes__state="sending").exists():
            raise Refused(
                "A write is under way whose outcome is not known yet. Pause the connection and try again later."
            )
        code, chain = connection.code, connection.chain
        header: dict[str, JSON] = {"client": str(connection.client.code), "deleted": True}
        payload: dict[str, JSON] = {"name": connection.name}
        connection.delete()
        append(chain, [Entry("config.changed", actor, header, payload, connection=code)], clock.now())


def note(connection: Connection, actor: str, header: Mapping[str, Any], clock: Clock) -> None:
    about = {"client": str(connection.client.code), **header}
    entry = Entry("config.changed", actor, about, {"name": connection.name}, connection=connection.code)
    append(connection.chain, [entry], clock.now())


# Mappings and rules


MAPPING_FIELDS = (
    "left_field",
    "right_field",
    "direction",
    "enabled",
    "on_conflict",
    "write_mode",
    "clears",
    "accept_lossy",
    "value_map",
    "fallback",
)
RULE_FIELDS = ("source", "name", "position", "enabled", "match", "on_leave")
IDENTITY_OF_A_LINE = ("left_field", "right_field", "direction", "value_map")


def save_mapping(
    mapping: FieldMapping, actor: str, connect_to: Connect = connector_of, clock: Clock = SYSTEM
) -> FieldMapping:
    """Add or change a line. A line whose fields, direction or value map changed gets a new code: it starts as a first
    merge. Raises ValidationError in words."""
    connection = mapping.connection
    fields = {side: fields_of(connection.account(side), connection.book_id(side), connect_to, clock) for side in SIDES}
    problems = mapping_problems(mapping, fields)
    if problems:
        raise ValidationError(problems)
    old = FieldMapping.objects.filter(pk=mapping.pk).first() if mapping.pk else None
    if old is not None and any(getattr(old, name) != getattr(mapping, name) for name in IDENTITY_OF_A_LINE):
        mapping.code = type(mapping)._meta.get_field("code").get_default()
        mapping.is_default = False
    mapping.full_clean()
    with transaction.atomic():
        mapping.save()
        save_version(connection, actor, "mapping", clock)
    return mapping


def delete_mapping(mapping: FieldMapping, actor: str, clock: Clock = SYSTEM) -> None:
    with transaction.atomic():
        connection = mapping.connection
        mapping.delete()
        save_version(connection, actor, "mapping removed", clock)


def save_rule(
    rule: Rule,
    actor: str,
    conditions: Sequence[Condition],
    actions: Sequence[Action],
    connect_to: Connect = connector_of,
    clock: Clock = SYSTEM,
) -> Rule:
    """Add or replace a rule with its conditions and actions. Raises ValidationError in words."""
    connection = rule.connection
    side: SideName = "left" if rule.source == "left" else "right"
    fields = fields_of(connection.account(side), connection.book_id(side), connect_to, clock)
    problems = rule_problems(rule, conditions, actions, fields)
    if actions and not problems:
        far = other(side)
        targets = fields_of(connection.account(far), connection.book_id(far), connect_to, clock)
        problems = target_problems(rule, actions, targets)
    if problems:
        raise ValidationError(problems)
    rule.full_clean()
    with transaction.atomic():
        store_rule(rule, conditions, actions)
        save_version(connection, actor, "rules", clock)
    return rule


def store_rule(rule: Rule, conditions: Sequence[Condition], actions: Sequence[Action]) -> None:
    """In place of what it had, in the caller's transaction."""
    rule.save()
    rule.conditions.all().delete()
    rule.actions.all().delete()
    for condition in conditions:
        condition.pk, condition.rule = None, rule
        condition.save()
    for action in actions:
        action.pk, action.rule = None, rule
        action.save()


def delete_rule(rule: Rule, actor: str, clock: Clock = SYSTEM) -> None:
    with transaction.atomic():
        connection = rule.connection
        rule.delete()
        save_version(connection, actor, "rule removed", clock)


# Versions


def body_of(connection: Connection) -> dict[str, Any]:
    """The whole configuration as plain data."""
    return {
        **{name: getattr(connection, name) for name in (*SETTINGS, "left_book", "right_book")},
        "left_account": str(connection.left_account.code),
        "right_account": str(connection.right_account.code),
        "mappings": [
            {"code": str(row.code), **{name: getattr(row, name) for name in MAPPING_FIELDS}}
            for row in connection.mappings.all()
        ],
        "rules": [rule_body(rule) for rule in connection.rules.prefetch_related("conditions", "actions")],
    }


def rule_body(rule: Rule) -> dict[str, Any]:
    return {
        "code": str(rule.code),
        **{name: getattr(rule, name) for name in RULE_FIELDS},
        "conditions": [
            {name: getattr(row, name) for name in ("kind", "field", "operator", "value")}
            for row in rule.conditions.all()
        ],
        "actions": [
            {name: getattr(row, name) for name in ("kind", "field", "value", "mode")} for row in rule.actions.all()
        ],
    }


def save_version(
    connection: Connection, actor: str, reason: str, clock: Clock, reviewed: bool = False
) -> ConfigVersion | None:
    """Keep the configuration as it is now under the next number; nothing where it is as before. `reviewed`: the change
    touches neither mapping nor rules, so a plan let through before needs no new review. Raises Overtaken where somebody
    made another version since the caller loaded this one."""
    body = body_of(connection)
    text = canonical(body)
    last = connection.versions.first()
    if last is not None and last.body == text:
        return None
    # The version stays the one that the caller read: what anybody changed since makes the update below miss.
    connection.refresh_from_db(fields=["reviewed_version"])
    number = connection.version + 1
    keep = reviewed and connection.reviewed_version == connection.version
    updated = Connection.objects.filter(pk=connection.pk, version=connection.version).update(
        version=number,
        reviewed_version=number if keep else connection.reviewed_version,
        updated_at=clock.now(),
    )
    if updated != 1:
        raise Overtaken
    connection.version = number
    version = ConfigVersion.objects.create(
        connection=connection,
        number=number,
        body=text,
        digest=sha256(text.encode()).hexdigest(),
        author=actor,
        reason=reason,
        at=clock.now(),
    )
    log_version(connection, actor, version, last, clock.now())
    return version


def log_version(
    connection: Connection, actor: str, version: ConfigVersion, last: ConfigVersion | None, now: datetime
) -> None:
    header: dict[str, JSON] = {
        "version": version.number,
        "digest": version.digest,
        "client": str(connection.client.code),
    }
    payload = {"reason": version.reason, "before": last.body if last is not None else None, "after": version.body}
    append(connection.chain, [Entry("config.changed", actor, header, payload, connection=connection.code)], now)
