"""The form of a client and that of an account: exactly the inputs that the app asks for, in its order and words."""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from connections import scope
from connections.forms.base import ServiceForm
from connections.models import Account, Client, Credential
from connections.secrets import SecretUnreadable
from syncer.connectors.base import App, Input

LARGEST_FILE = 20_000_000
KEEP = "Set. Leave empty to keep it."


class ClientForm(ServiceForm):
    class Meta:
        model = Client
        fields: ClassVar = ["name", "slug", "four_eyes"]
        labels: ClassVar = {"four_eyes": "Four eyes"}
        help_texts: ClassVar = {"slug": "A short name for addresses: small letters, digits and hyphens."}


class AccountForm(ServiceForm):
    """`app` is what is asked for; made by `account_form`."""

    about: ClassVar[App]
    app = forms.CharField(widget=forms.HiddenInput, required=False)
    api_share = forms.IntegerField(
        label="Share of calls",
        min_value=1,
        max_value=100,
        initial=80,
        required=False,
        help_text="How much of the app's hourly calls we may use, in percent. The rest is for other tools.",
    )

    class Meta:
        model = Account
        fields: ClassVar = ["client", "label", "api_share"]
        labels: ClassVar = {"label": "Name"}
        help_texts: ClassVar = {"label": "How you tell this account from others of the client."}

    def fill(self) -> None:
        self.fields["app"].initial = self.about.slug
        client = self.fields["client"]
        if self.instance.pk is None:
            client.queryset = choosable(self.request)  # type: ignore[attr-defined]
        else:
            client.disabled = True

    def clean_api_share(self) -> int:
        share: int | None = self.cleaned_data["api_share"]
        return 80 if share is None else share

    def state(self) -> dict[str, Any]:
        return {**super().state(), "settings": self.instance.settings}

    def values(self, inputs: tuple[Input, ...]) -> dict[str, str]:
        return {one.name: str(self.cleaned_data.get(one.name, "")) for one in inputs}


def choosable(request: HttpRequest) -> Any:
    found = scope.clients(request, scope.MANAGER)
    return Client.objects.filter(pk__in=[client.pk for client in found])


def account_form(app: App, account: Account | None) -> type[AccountForm]:
    """The form for one app. What is stored of an account's secrets is not in it."""
    inputs: dict[str, forms.Field] = {}
    stored = set() if account is None else stored_names(app, account)
    for one in app.settings:
        inputs[one.name] = text_input(one, "" if account is None else str(account.settings.get(one.name, "")))
    for one in app.credentials:
        inputs[one.name] = secret_input(one, one.name in stored)
    return type("AccountForm", (AccountForm,), {"about": app, **inputs})


def stored_names(app: App, account: Account) -> set[str]:
    """The inputs that may be left empty because something is stored: of those that need not be there, not all."""
    names = {one.name for one in app.credentials}
    if all(one.required for one in app.credentials):
        return names
    try:
        there = Credential.of(account)
    except SecretUnreadable:
        return names
    return {one.name for one in app.credentials if one.required or there.get(one.name, "") != ""}


def text_input(one: Input, initial: str) -> forms.CharField:
    return forms.CharField(
        label=one.label,
        help_text=one.help,
        required=one.required,
        initial=initial,
        max_length=1000,
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"}),
        error_messages={"required": f"{one.label} is missing. {one.help}".strip()},
    )


class UploadedText(forms.FileField):
    """The text of a file; "" where none was chosen. Write-only, as all that is encrypted."""

    def clean(self, data: Any, initial: Any = None) -> str:
        file = super().clean(data, initial)
        if not file:
            return ""
        if file.size > LARGEST_FILE:
            raise ValidationError(
                f"The file is too large: at most {LARGEST_FILE // 1_000_000} MB. Split it into several."
            )
        return text_of(file.read())


def text_of(data: bytes) -> str:
    """UTF-8, or UTF-16 with its mark. Nothing is guessed: a wrong guess would write wrong names into the other app."""
    encoding = "utf-16" if data[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        name = encoding.removesuffix("-sig").upper()
        raise ValidationError(
            f"Line {line} is not {name}. Save the file as UTF-8 (in Excel: CSV UTF-8) and choose it again."
        ) from error


def secret_input(one: Input, stored: bool) -> forms.Field:
    """Write-only: never filled in, not even after an error."""
    if one.upload:
        return UploadedText(
            label=one.label,
            help_text=f"Stored. Choose a newer one to replace it. {one.help}" if stored else one.help,
            required=one.required and not stored,
            error_messages={
                "required": f"{one.label} is missing. {one.help}".strip(),
                "empty": "The file is empty. Its first line has to name the columns.",
            },
        )
    attributes = {"class": "vTextField", "autocomplete": "new-password"}
    return forms.CharField(
        label=one.label,
        help_text=f"{KEEP} {one.help}" if stored else one.help,
        required=one.required and not stored,
        max_length=4000,
        widget=forms.PasswordInput(render_value=False, attrs={**attributes, "placeholder": KEEP if stored else ""}),
        error_messages={"required": f"{one.label} is missing. {one.help}".strip()},
    )
