"""The answer of pages that cannot do their work for now, in place of a defect: the history takes no entry, or a stored
secret opens with none of the keys. Nothing was done then. (Calls of the API have their own.)
"""

from collections.abc import Callable

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from connections.secrets import SecretUnreadable
from syncer.audit.chain import LogBroken, LogBusy

AGAIN_SECONDS = 5
REASONS = {
    LogBusy: "The history is being written by others right now. Try again in a moment.",
    LogBroken: "The history takes no new entry: it was changed from outside. An administrator has to look at it, with "
    "`python manage.py verify_log`.",
    SecretUnreadable: "A stored secret cannot be read with the keys that are set. An administrator has to put back the "
    "key in FIELD_ENCRYPTION_KEYS, or reset what was stored with it.",
}


class Busy:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        text = next((text for kind, text in REASONS.items() if isinstance(error, kind)), None)
        if text is None:
            return None
        context = {**admin.site.each_context(request), "title": "Not now", "reason": text}
        answer = render(request, "admin/counterpart/busy.html", context, status=503)
        if isinstance(error, LogBusy):
            answer["Retry-After"] = str(AGAIN_SECONDS)
        return answer
