"""`Idempotency-Key` on POST: the same key and request are answered the same again, for 24 hours, and done once."""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils.crypto import salted_hmac
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api.errors import CONTENT_TYPE, Problem, Replay
from connections.keys import ANSWERS_KEPT
from connections.models import ApiAnswer, ApiKey

HEADER = "Idempotency-Key"
LONGEST = 200
NOT_KEPT = (401, 403, 405, 406, 413, 415, 429)
"""Refused before anything was tried: the same may be tried again, as may what says when."""


def claim(request: Request, key: ApiKey, raw: bytes, now: datetime) -> ApiAnswer | None:
    """The row that the answer will be kept in; None without the header. Raises Replay with the answer of the first
    time, and Problem where the key names another request, or one that has not ended."""
    name = request.headers.get(HEADER)
    if name is None or request.method != "POST":
        return None
    if not (0 < len(name) <= LONGEST and name.isprintable() and name.isascii()):
        raise Problem(400, f"{HEADER} is 1 to {LONGEST} printable ASCII characters, new for each request.")
    # Keyed: a body can hold a password, and a plain hash could be guessed by who reads the database.
    asked = b"\0".join([request.method.encode(), request.get_full_path().encode(), raw])
    digest = salted_hmac("connections.idempotency", asked, algorithm="sha256").hexdigest()
    ApiAnswer.objects.filter(key=key, name=name, at__lt=now - ANSWERS_KEPT).delete()
    try:
        with transaction.atomic():
            return ApiAnswer.objects.create(key=key, name=name, request=digest, at=now)
    except IntegrityError:
        first = ApiAnswer.objects.filter(key=key, name=name).first()
    if first is None or (first.request == digest and first.status is None):
        raise Problem(
            409,
            "The first request with this key has not been answered. Look at what it did before you try another key.",
        )
    if first.request != digest:
        raise Problem(409, f"This {HEADER} was used for another request. Use a new one for each.")
    raise Replay(answer_of(first))


def answer_of(first: ApiAnswer) -> Response:
    status = first.status or 500
    response = Response(status=status, headers={"Idempotent-Replay": "true"})
    response.data = Kept(first.body)
    if status >= 400:
        response.content_type = CONTENT_TYPE
    if first.location:
        response["Location"] = first.location
    return response


class Kept(str):
    """A body as it was rendered the first time."""


class KeptJSON(JSONRenderer):
    def render(self, data: object, accepted_media_type: object = None, renderer_context: object = None) -> bytes:
        if isinstance(data, Kept):
            return data.encode()
        rendered: bytes = super().render(data, accepted_media_type, renderer_context)  # type: ignore[arg-type]
        return rendered


def keep(claimed: ApiAnswer, response: Response, rendered: bytes) -> None:
    passing = response.status_code >= 500 or "Retry-After" in response
    if passing or response.status_code in NOT_KEPT or response.get("Cache-Control") == "no-store":
        claimed.delete()
        return
    ApiAnswer.objects.filter(pk=claimed.pk).update(
        status=response.status_code, body=rendered.decode(), location=response.get("Location", "")
    )
