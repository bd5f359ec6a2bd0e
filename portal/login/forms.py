from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError

from connections import people
from connections.secrets import SecretUnreadable
from connections.services import Refused
from portal.login import two_factor
from portal.login.throttle import sprayed
from syncer.audit.chain import LogBroken, LogBusy

if TYPE_CHECKING:
    SetBase = SetPasswordForm[User]
else:
    SetBase = SetPasswordForm
TOO_MANY = "Too many log-ins failed from your network. Wait a quarter of an hour."
NO_CODE = "This log-in needs a second factor. Enter your password again, and the code that your app shows now."
ONE_TIME = {"autocomplete": "one-time-code", "inputmode": "text", "spellcheck": "false"}


def code_input(required: bool) -> forms.CharField:
    return forms.CharField(label="Code", max_length=40, required=required, widget=forms.TextInput(attrs=ONE_TIME))


class LoginForm(AdminAuthenticationForm):
    """Name, password, and, where the person turned it on, a code. All are checked before anybody is logged in, so there
    is no state between."""

    code = code_input(required=False)

    def clean(self) -> dict[str, Any]:
        if self.request is not None and sprayed(self.request):
            self.request.axes_locked_out = True  # type: ignore[attr-defined]  # its middleware shows the page
            raise ValidationError(TOO_MANY)
        found: dict[str, Any] = super().clean()
        user = self.get_user()
        if isinstance(user, User) and two_factor.in_use(user) is not None:
            user.otp_device = self.second_factor(user)  # type: ignore[attr-defined]  # django-otp looks there
        return found

    def second_factor(self, user: User) -> Any:
        code = self.cleaned_data.get("code", "")
        try:
            if code == "":
                raise Refused(NO_CODE)
            return two_factor.verified(user, code)
        except (Refused, SecretUnreadable, LogBusy, LogBroken) as error:
            # The password was right. A wrong code, or none, counts as a wrong password does, for the lock and for the
            # history: somebody may have the password who should not.
            tried = {"username": user.get_username(), "code": "wrong" if code != "" else "missing"}
            user_login_failed.send(sender=type(self), credentials=tried, request=self.request)
            raise ValidationError(str(error)) from None


class CodeForm(forms.Form):
    code = code_input(required=True)


class OwnPasswordForm(PasswordChangeForm):
    """A person's own password, after the old one."""

    def save(self, commit: bool = True) -> User:
        return people.set_password(self.user, self.cleaned_data["new_password1"], self.user.get_username())


class InvitedForm(SetBase):
    """The first password, by a one-time link."""

    def save(self, commit: bool = True) -> User:
        return people.set_password(self.user, self.cleaned_data["new_password1"], self.user.get_username())
