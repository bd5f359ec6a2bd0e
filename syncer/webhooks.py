"""Webhooks are made where a connection that runs uses a book whose app can call us, and removed where none does any
more. Which those are is derived anew each minute, as everything that is due; polling goes on whatever becomes of them.
"""

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import cast

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from connections.models import Account, Connection
from connections.secrets import SecretUnreadable
from connections.services import connector_of
from portal.addresses import public_address
from portal.clock import Clock
from syncer.audit.chain import PORTAL, Entry, append
from syncer.connectors.base import Connector, ConnectorError, Hook, Listens, Meter, RateLimited
from syncer.connectors.registry import CONNECTORS, calls_per_hour, listener_class
from syncer.models import Book, Delivery, Webhook, WebhookSecret
from syncer.rates import Budget

Connect = Callable[[Account, Meter | None], Connector]
State = Webhook.State
CLAIMED = timedelta(minutes=5)
"""How long one attempt may take before another begins."""
LONGEST = timedelta(hours=24)
KEPT = timedelta(hours=2)
"""How long a delivery is remembered; Mailchimp tries again for 75 minutes."""
AT_ONCE = 1000


def digest_of(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def wanted_books() -> QuerySet[Book]:
    """Those whose app is to call us."""
    portal, _ = public_address()
    apps = [slug for slug in CONNECTORS if listener_class(slug) is not None] if portal else []
    in_use = Connection.objects.exclude(state=Connection.State.DRAFT).values("sides__book")
    books = Book.objects.filter(account__app__in=apps, pk__in=in_use)
    return books.exclude(account__status=Account.Status.DISABLED)


def survey(now: datetime) -> list[int]:
    """Note which webhooks are to be made or removed; those whose time has come."""
    portal, _ = public_address()
    wanted = wanted_books()
    for book in wanted.filter(webhook=None):
        with suppress(IntegrityError), transaction.atomic():  # another tick was first
            Webhook.objects.create(book=book, portal=portal, attempt_at=now)
    again = {"attempts": 0, "problem": "", "attempt_at": now}
    unused = Webhook.objects.exclude(state=State.LEAVING).exclude(book__in=wanted, portal=portal)
    unused.update(state=State.LEAVING, **again)
    # The app may have removed it already: it is made anew, which replaces what is left.
    Webhook.objects.filter(state=State.LEAVING, book__in=wanted, portal=portal).update(state=State.WANTED, **again)
    # Nobody but a person gets such an account to work again; then its webhooks are due at once.
    asleep = Q(book__account__status=Account.Status.NEEDS_AUTHORIZATION)
    due = Webhook.objects.filter(attempt_at__lte=now).exclude(asleep)
    return list(due.order_by("attempt_at").values_list("pk", flat=True)[:AT_ONCE])


def tend(webhook_id: int, clock: Clock, connect: Connect = connector_of) -> str:
    """Make or remove one; never in a transaction, and by one worker at a time."""
    now = clock.now()
    mine = Webhook.objects.filter(pk=webhook_id, attempt_at__lte=now)
    if mine.update(attempt_at=now + CLAIMED, attempts=F("attempts") + 1) != 1:
        return "not due"
    webhook = Webhook.objects.select_related("book__account__client").get(pk=webhook_id)
    try:
        connector = connect(webhook.book.account, meter_of(webhook.book.account, clock))
        app = cast(Listens, connector)
        try:
            return removed(webhook, app, clock) if webhook.state == State.LEAVING else made(webhook, app, clock)
        finally:
            getattr(connector, "close", lambda: None)()
    except (ConnectorError, SecretUnreadable) as error:
        wait = error.retry_after if isinstance(error, RateLimited) else None
        put_off(webhook, str(error), now + backoff(webhook.attempts, wait))
        return "failed"


def meter_of(account: Account, clock: Clock) -> Budget:
    return Budget(account.lease_key, "webhooks", calls_per_hour(account.app), clock, at_once=True)


def backoff(attempts: int, wait: float | None) -> timedelta:
    doubled: timedelta = min(LONGEST, timedelta(minutes=5) * 2 ** min(attempts - 1, 12))
    return max(doubled, min(LONGEST, timedelta(seconds=wait or 0)))


def put_off(webhook: Webhook, problem: str, until: datetime) -> None:
    Webhook.objects.filter(pk=webhook.pk).update(problem=problem[:500], attempt_at=until)


def made(webhook: Webhook, app: Listens, clock: Clock) -> str:
    """The address is stored first: the app asks it before it answers, and a try that broke off is found by it."""
    secret = secret_of(webhook).get("url", "") or new_secret(webhook)
    slug = webhook.book.account.app
    hook = app.listen(webhook.book.remote_id, f"{webhook.portal}/hooks/{slug}/{secret}/")
    with transaction.atomic():
        WebhookSecret.objects.filter(webhook=webhook).update(secrets={"url": secret, "signing": hook.secret})
        now = clock.now()
        rows = Webhook.objects.filter(pk=webhook.pk)
        rows.update(remote_id=hook.id, made_at=now, attempts=0, problem="")
        # It may have been given up meanwhile: then what was made is removed next.
        rows.filter(state=State.WANTED).update(state=State.LISTENING, attempt_at=None)
        rows.filter(state=State.LEAVING).update(attempt_at=now)
        tell("book.webhook_made", webhook, hook, now)
    return "made"


def removed(webhook: Webhook, app: Listens, clock: Clock) -> str:
    """Where its making broke off, the app may have it under an id that we do not know: its address then answers to
    nothing, and the app gives it up."""
    if webhook.remote_id != "":
        app.stop_listening(webhook.book.remote_id, webhook.remote_id)
    with transaction.atomic():
        mine = Webhook.objects.filter(pk=webhook.pk, state=State.LEAVING, remote_id=webhook.remote_id)
        if mine.delete()[0] == 0:
            # Wanted again while the app removed it.
            Webhook.objects.filter(pk=webhook.pk).update(state=State.WANTED, remote_id="", attempt_at=clock.now())
        if webhook.remote_id != "":
            tell("book.webhook_removed", webhook, Hook(webhook.remote_id), clock.now())
    return "removed"


def tell(kind: str, webhook: Webhook, hook: Hook, now: datetime) -> None:
    account = webhook.book.account
    header = {"client": str(account.client.code), "account": str(account.code), "app": account.app}
    told = {"label": account.label, "book": str(webhook.book), "webhook": hook.id}
    append(PORTAL, [Entry(kind, "system", header, told)], now)


def secret_of(webhook: Webhook) -> Mapping[str, str]:
    """Raises SecretUnreadable."""
    found = WebhookSecret.objects.filter(webhook=webhook).first()
    return found.secrets if found is not None else {}


def new_secret(webhook: Webhook) -> str:
    secret = secrets.token_hex(32)
    with transaction.atomic():
        WebhookSecret.objects.filter(webhook=webhook).delete()
        WebhookSecret.objects.create(webhook=webhook, secrets={"url": secret, "signing": ""})
        Webhook.objects.filter(pk=webhook.pk).update(digest=digest_of(secret))
    return secret


def forget_deliveries(now: datetime) -> None:
    Delivery.objects.filter(at__lt=now - KEPT).delete()


def words(book: Book) -> list[tuple[str, object]]:
    """How it stands with the webhook of a book, for its page; nothing where its app has none."""
    if listener_class(book.account.app) is None:
        return []
    webhook = Webhook.objects.filter(book=book).first()
    if webhook is None:
        why_not = public_address()[1]
        polled = "Changes are noticed at the next interval."
        return [("Webhook", f"none. {why_not or 'It is made once a connection of this book is active.'} {polled}")]
    said: list[tuple[str, object]] = [("Webhook", webhook.get_state_display())]
    if webhook.state == State.LISTENING:
        said.append(("Last heard from the app", webhook.heard_at or "never"))
        said.append(("Calls of the app that counted", webhook.heard_count))
    return said


def of_account(account: Account) -> list[tuple[str, object]]:
    """The same in a line, for the page of an account."""
    if listener_class(account.app) is None:
        return []
    why_not = public_address()[1]
    if why_not != "":
        return [("Webhooks", f"none. {why_not} Changes are noticed at the next interval.")]
    states = Webhook.objects.filter(book__account=account).order_by("pk").values_list("book__name", "state")
    said = [f"{name}: {State(state).label.lower()}" for name, state in states]
    return [("Webhooks", ", ".join(said) or "none yet: no connection of this account is active")]


def problems(books: QuerySet[Book]) -> list[str]:
    """What hinders webhooks; contacts are kept in sync at the interval all the same."""
    found = Webhook.objects.filter(book__in=books).exclude(problem="").select_related("book")
    act = {State.LEAVING: "cannot be removed"}
    return [
        f"The webhook of {one.book} {act.get(State(one.state), 'cannot be made')}, and is tried again; until then "
        f"changes are noticed at the interval. {one.problem}"
        for one in found
    ]
