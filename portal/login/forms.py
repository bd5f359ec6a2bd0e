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
from syncer.audit.chain import LogBroken, LogBusy

if TYPE_CHECKING:
    SetBase = SetPasswordForm[User]
else:
    SetBase = SetPasswordForm
NO_CODE = "This log-in needs a second factor. Enter your password again, and the code that your app shows now."
ONE_TIME = {"autocomplete": "one-time-code", "inputmode": "text", "spellcheck": "false"}


def code_input(required: bool) -> forms.CharField:
    return forms.CharField(label="Code", max_length=40, required=required, widget=forms.TextInput(attrs=ONE_TIME))


class LoginForm(AdminAuthenticationForm):
    """Name, password, and, where the person turned it on, a code. All are checked before anybody is logged in, so there
    is no state between."""

    code = code_input(required=False)

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean()
        user = self.get_user()
        if isinstance(user, User) and two_factor.in_use(user) is not None:
            user.otp_device = self.second_factor(user)  # type: ignore[attr-defined]  # django-otp looks there
        return found

    def second_factor(self, user: User) -> Any:
        code = self.cleaned_data.get("code", "")
        if code == "":
            raise ValidationError(NO_CODE)
        try:
            return two_factor.verified(user, code)
        except (Refused, SecretUnreadable, LogBusy, LogBroken) as error:
            # A wrong code counts as a wrong password does, for the lock and for the history.
            tried = {"username": user.get_username(), "code": ""}
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
