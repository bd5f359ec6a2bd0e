"""The admin's own pages: log-in with a second factor, one's password, and the first page."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, URLResolver, path, reverse_lazy

from portal.login.forms import LoginForm, OwnPasswordForm
from portal.login.pages import InvitedView, two_factor_page


class Site(AdminSite):
    site_header = site_title = "Counterpart"
    index_title = "What is kept in sync, and what was done"
    login_form = LoginForm

    def get_urls(self) -> list[URLResolver | URLPattern]:
        return [
            path("two-factor/", self.admin_view(self.two_factor), name="two_factor"),
            path("invited/<uidb64>/<token>/", self.invited, name="invited"),
            *super().get_urls(),
        ]

    def two_factor(self, request: HttpRequest) -> HttpResponse:
        return two_factor_page(request, self.each_context(request))

    def invited(self, request: HttpRequest, uidb64: str, token: str) -> HttpResponseBase:
        view = InvitedView.as_view(extra_context=self.each_context(request))
        return view(request, uidb64=uidb64, token=token)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Django's page, with a form that writes into the history."""
        view = PasswordChangeView.as_view(
            form_class=OwnPasswordForm,
            success_url=reverse_lazy("admin:password_change_done"),
            template_name="registration/password_change_form.html",
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return view(request)
