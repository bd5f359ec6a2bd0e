"""Where apps call us: /hooks/<app>/<secret>/. A call only asks for a reading of one book. Nothing of it is believed,
kept or logged, and polling goes on without any."""

import logging
from datetime import datetime
from hashlib import sha256

from django.core.cache import caches
from django.core.exceptions import RequestDataTooBig
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from connections.models import Connection
from portal.addresses import client_address
from portal.clock import SYSTEM
from syncer.connectors.base import NotFromApp
from syncer.connectors.registry import listener_class
from syncer.models import Book, Delivery, Webhook
from syncer.models.webhook import QUIET
from syncer.tasks import enqueue, waiting_in_queue
from syncer.webhooks import State, digest_of, secret_of

log = logging.getLogger(__name__)
MOST_BYTES = 256 * 1024
MOST_REMEMBERED = 1000
"""Deliveries of one webhook that are told apart; beyond, each only sets a flag that is set already."""


class PerStranger(SimpleRateThrottle):
    """How often an address may name secrets that we do not know."""

    scope = "stranger"
    cache = caches["shared"]

    def get_rate(self) -> str:
        return "30/minute"

    def get_cache_key(self, request: Request, view: object) -> str | None:
        return f"throttle:stranger:{client_address(request._request)}"


@csrf_exempt
def hook(request: HttpRequest, app: str, secret: str) -> HttpResponse:
    """Found by its hash, so that no time tells how much of a guess was right."""
    rows = Webhook.objects.select_related("book").filter(book__account__app=app, digest=digest_of(secret))
    webhook = rows.exclude(state=State.LEAVING).first()
    if webhook is None:
        return stranger(request)
    if request.method in ("GET", "HEAD"):
        return plain(200)
    if request.method != "POST":
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, POST"})
    return delivered(request, app, webhook)


def plain(status: int) -> HttpResponse:
    return HttpResponse("" if status == 200 else "No.", status=status, content_type="text/plain")


def stranger(request: HttpRequest) -> HttpResponse:
    return plain(404 if PerStranger().allow_request(Request(request), APIView()) else 429)


def delivered(request: HttpRequest, app: str, webhook: Webhook) -> HttpResponse:
    body = body_of(request)
    judge = listener_class(app)
    if body is None or judge is None:
        return plain(413 if body is None else 404)
    headers = {name.lower(): value for name, value in request.headers.items()}
    now = SYSTEM.now()
    try:
        heard = judge.heard(headers, body, secret_of(webhook).get("signing", ""), now)
    except NotFromApp as error:
        log.warning("A call for webhook %s was refused: %s", webhook.pk, error)
        return plain(403 if error.forged else 400)
    if heard.book != webhook.book.remote_id:
        log.warning("A call for webhook %s was refused: it names another book", webhook.pk)
        return plain(400)
    if new(webhook, heard.key, now):
        wake(webhook, now)
    return plain(200)


def body_of(request: HttpRequest) -> bytes | None:
    """None where it is too long, or breaks off."""
    try:
        if int(request.META.get("CONTENT_LENGTH") or 0) > MOST_BYTES:
            return None
        body = request.read(MOST_BYTES + 1)
    except (ValueError, RequestDataTooBig, UnreadablePostError):
        return None
    return body if len(body) <= MOST_BYTES else None


def new(webhook: Webhook, key: str, now: datetime) -> bool:
    """Whether this was not delivered before; counted once. A flood is not told apart any more, and fills no table."""
    if Delivery.objects.filter(webhook=webhook).count() >= MOST_REMEMBERED:
        return True
    try:
        with transaction.atomic():
            Delivery.objects.create(webhook=webhook, key=sha256(key.encode()).hexdigest(), at=now)
            Webhook.objects.filter(pk=webhook.pk).update(heard_at=now, heard_count=F("heard_count") + 1)
    except IntegrityError:
        return False
    return True


def wake(webhook: Webhook, now: datetime) -> None:
    """The book's connections are due: now, or where they were just woken, when that is long enough ago. A run that
    has read already finds the flag at its end (`schedule_next`)."""
    Book.objects.filter(pk=webhook.book_id, pull_wanted=False).update(pull_wanted=True)
    rested = Q(woken_at=None) | Q(woken_at__lte=now - QUIET)
    users = Connection.objects.filter(sides__book=webhook.book_id, state=Connection.State.ACTIVE)
    if Webhook.objects.filter(rested, pk=webhook.pk).update(woken_at=now) != 1:
        later = now + QUIET
        Connection.objects.filter(pk__in=users.values("pk"), next_run_at__gt=later).update(next_run_at=later)
        return
    waiting = waiting_in_queue()
    for pk, due in users.values_list("pk", "next_run_at"):
        if pk not in waiting and due is not None and due > now:
            with transaction.atomic():
                enqueue(pk)
