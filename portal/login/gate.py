from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from portal.login.two_factor import in_use, required

Answer = Callable[[HttpRequest], HttpResponse]
AGAIN = "Two-factor log-in was turned on elsewhere. Log in again, with a code."
FIRST = "Before anything else, set up two-factor log-in: this portal asks it of everybody."


class Gate:
    """Nobody who has a second factor works without it, on no page, and where it is required nobody works before they
    have one. A middleware, so that a new page cannot forget it."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        refused = self.refused(request)
        return self.get_response(request) if refused is None else refused

    def refused(self, request: HttpRequest) -> HttpResponse | None:
        user = request.user
        if not user.is_authenticated or user.otp_device is not None:  # type: ignore[attr-defined]
            return None
        if in_use(user) is not None:
            logout(request)
            messages.warning(request, AGAIN)
            return HttpResponseRedirect(reverse("admin:login"))
        open_to_all = (reverse("admin:two_factor"), reverse("admin:logout"))
        if required() and request.path not in open_to_all:
            messages.warning(request, FIRST)
            return HttpResponseRedirect(reverse("admin:two_factor"))
        return None
