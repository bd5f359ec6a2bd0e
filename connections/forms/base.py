"""A form whose errors come from the services too, and that notices when somebody else was faster."""

from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import HttpRequest

from syncer.audit.format import canonical, storable

if TYPE_CHECKING:
    PlainForm = forms.ModelForm[Any]
else:
    PlainForm = forms.ModelForm

OUTDATED = "Somebody else changed this since you opened the page. Load the page again; nothing was saved."


class OptionalJSON(forms.JSONField):
    """JSON, or nothing: an empty box, not the word null."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class ServiceForm(PlainForm):
    """`request` and `refusal` (what the service said when this same form was to be saved) are set by the admin."""

    request: ClassVar[HttpRequest]
    refusal: ClassVar[Exception | None] = None
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stored = self.fingerprint() if self.instance.pk is not None else ""
        self.fields["seen"].initial = self.stored
        self.fill()
        for field in self.fields.values():
            if type(field.widget) in (forms.TextInput, forms.Textarea):
                field.widget.attrs.setdefault("class", "vTextField")

    def fill(self) -> None:
        """Choices, words and what is fixed, once the instance is known."""

    def state(self) -> dict[str, Any]:
        """What this form changes, as stored."""
        return {name: self.instance.serializable_value(name) for name in self._meta.fields or ()}

    def fingerprint(self) -> str:
        return sha256(canonical(storable(self.state())).encode()).hexdigest()[:16]

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound and self.refusal is not None:
            self.show(self.refusal)

    def clean_seen(self) -> str:
        seen: str = self.cleaned_data["seen"]
        if seen not in ("", self.stored):
            self.add_error(None, OUTDATED)
        return seen

    def _post_clean(self) -> None:
        """As Django does, but for the constraints: the services check them, and have better words."""
        self.instance.__dict__["validate_constraints"] = lambda exclude=None: None
        try:
            super()._post_clean()  # type: ignore[misc]
        finally:
            del self.instance.__dict__["validate_constraints"]

    def show(self, error: Exception) -> None:
        if not isinstance(error, ValidationError):
            self.add_error(None, str(error))
        elif not hasattr(error, "error_dict"):
            self.add_error(None, error)
        else:
            for name, errors in error.error_dict.items():
                known = name in self.fields and name != NON_FIELD_ERRORS
                self.add_error(name if known else None, ValidationError(errors))


def asked(request: HttpRequest, name: str) -> str:
    """A value that the page is about: from the form that was sent, else from the address."""
    found = request.POST.get(name, request.GET.get(name, ""))
    return str(found)
