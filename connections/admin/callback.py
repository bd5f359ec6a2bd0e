"""Where an app's own page sends people back to: one address for all apps, outside the admin."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_GET

from connections.admin.base import REFUSALS, ServiceAdmin, page_of, words
from connections.models import Account, Authorization
from connections.oauth import finish_authorization, take_authorization
from connections.services import Refused
from syncer.connectors.registry import connector_class

CLOSE = "You can close this window."


@require_GET
def oauth_callback(request: HttpRequest) -> HttpResponse:
    """A GET that has an effect, because a browser that is sent back can send nothing else: what it carries works once.
    Who began in the admin goes on there; who was sent by a tool needs no log-in and reads a plain page."""
    session = request.session.session_key if request.user.is_authenticated else None
    try:
        taken = take_authorization(request.GET.get("state", ""), session or "")
    except Refused as error:
        answer = plain(request, "Not authorised", [str(error)], 400)
    else:
        finish = finish_in_admin if taken.session != "" else finish_alone
        answer = finish(request, taken)
    # The address of this page holds what the app sent.
    answer["Cache-Control"] = "no-store"
    answer["Referrer-Policy"] = "no-referrer"
    return answer


def finish_in_admin(request: HttpRequest, taken: Authorization) -> HttpResponse:
    page = admin.site.get_model_admin(Account)
    assert isinstance(page, ServiceAdmin)
    if not page.may_act(request, taken.account):
        raise PermissionDenied
    try:
        identity = finish_authorization(taken, request.GET.get("code", ""), request.GET.get("error", ""))
    except REFUSALS as error:
        messages.error(request, words(error))
    else:
        messages.success(request, f"Connected as {identity.label}.")
        page.log_change(request, taken.account, "Authorise")
    return HttpResponseRedirect(page_of(taken.account))


def finish_alone(request: HttpRequest, taken: Authorization) -> HttpResponse:
    account = taken.account
    app = connector_class(account.app).app.label
    which = f"The {app} account “{account}” of {account.client}"
    try:
        identity = finish_authorization(taken, request.GET.get("code", ""), request.GET.get("error", ""))
    except REFUSALS as error:
        return plain(request, "Not connected", [f"{which} is not authorised.", words(error), CLOSE], 400)
    return plain(request, "Connected", [f"{which} is connected as {identity.label}.", CLOSE])


def plain(request: HttpRequest, title: str, lines: list[str], status: int = 200) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": title, "lines": lines}
    return render(request, "admin/counterpart/sent_back.html", context, status=status)
