"""The form of a connection. Books and owners are read from the apps."""

from typing import Any, ClassVar

from django import forms
from django.http import HttpRequest

from connections import scope
from connections.forms import reading
from connections.forms.account import choosable
from connections.forms.base import ServiceForm, asked
from connections.models import Account, Connection
from connections.models.connection import SIDES, SideName
from connections.numbers import row, whole_number
from connections.validation import LIMITS

BOOKS = ("left_account", "left_book", "right_account", "right_book")


class ConnectionForm(ServiceForm):
    left_book = forms.ChoiceField(label="Left book")
    right_book = forms.ChoiceField(label="Right book")
    left_owner = forms.ChoiceField(label="Owner of new contacts on the left", required=False)
    right_owner = forms.ChoiceField(label="Owner of new contacts on the right", required=False)
    left_consent = forms.ChoiceField(label="Status of new contacts on the left", required=False)
    right_consent = forms.ChoiceField(label="Status of new contacts on the right", required=False)
    interval = forms.IntegerField(
        label="Interval", min_value=60, initial=300, help_text="Seconds between two runs; at least 60."
    )
    limits = forms.JSONField(
        required=False,
        initial=dict,
        widget=forms.Textarea(attrs={"rows": 2, "cols": 60}),
        help_text=(
            "How much one plan may do on a side before it waits for a person, where the defaults do not fit: "
            f'{{"clears": 10, "creates": 500}}. Known: {", ".join(LIMITS)}.'
        ),
    )

    class Meta:
        model = Connection
        fields: ClassVar = [
            "client",
            "name",
            *BOOKS,
            "direction",
            "winner",
            "avoid_duplicates",
            "sync_deletions",
            "sync_unsubscribes",
            "trash_tag",
            "unsubscribe_tag",
            "interval",
            "review",
            "limits",
        ]
        labels: ClassVar = {
            "winner": "Where both sides changed, who wins",
            "avoid_duplicates": "Avoid duplicates",
            "sync_deletions": "Deletions travel",
            "sync_unsubscribes": "Unsubscribes travel",
            "trash_tag": "Tag for deleted",
            "unsubscribe_tag": "Tag for unsubscribed",
            "review": "Show for review",
        }
        help_texts: ClassVar = {
            "sync_deletions": "As a tag on the contact of the other side. Nothing is ever deleted.",
            "sync_unsubscribes": (
                "As a tag on the contact of the other side, from the app where people unsubscribe, whichever way the "
                "other values travel. No sync takes an unsubscribe back."
            ),
            "review": "A plan that is shown for review writes nothing until somebody approves it.",
        }

    def fill(self) -> None:
        client: Any = self.fields["client"]
        client.queryset = choosable(self.request)
        client.disabled = self.instance.pk is not None
        for side in SIDES:
            self.fill_side(side)

    def client_id(self) -> int | None:
        """Whose connection: as stored, as sent, or that of the account in the address."""
        given = str(self.instance.client_id or self.data.get("client", self.initial.get("client", "")))
        return whole_number(given)

    def fill_side(self, side: SideName) -> None:
        accounts = Account.objects.filter(client__in=[self.client_id()])
        choice: Any = self.fields[f"{side}_account"]
        book, owner = self.fields[f"{side}_book"], self.fields[f"{side}_owner"]
        if self.instance.pk is None:
            accounts = accounts.filter(client__in=scope.clients(self.request, scope.MANAGER))
        choice.queryset, choice.label_from_instance = accounts, reading.account_words
        choice.error_messages["invalid_choice"] = "This account is not one of this client. Choose another."
        chosen = self.chosen(side)
        account = row(accounts, chosen)
        fixed = self.instance.pk is not None and self.instance.state != Connection.State.DRAFT
        choice.disabled = book.disabled = fixed
        if fixed:
            choice.help_text = book.help_text = "Fixed: this connection has run. For other books make a new connection."
        self.fill_books(side, book, account, fixed)
        if account is None or not reading.app_of(account).capabilities.owners:
            del self.fields[f"{side}_owner"]
        else:
            self.fill_owners(side, owner, account)
        if account is None or not reading.app_of(account).statuses:
            del self.fields[f"{side}_consent"]
        else:
            self.fill_statuses(side, self.fields[f"{side}_consent"], account)

    def fill_statuses(self, side: SideName, status: Any, account: Account) -> None:
        app, stored = reading.app_of(account), str(self.instance.default_for(side, "consent") or "")
        words = f"{{}} (not known to {app.label})"
        status.choices = [("", "Not chosen yet"), *reading.with_current(app.statuses, stored, words)]
        status.initial = stored
        status.help_text = (
            f"What the contacts that the sync creates in {app.label} are there. Subscribe only people who agreed to "
            "it. Who has opted out before is created as unsubscribed."
        )

    def chosen(self, side: SideName) -> str:
        """The account: as sent, as stored, or as the address says."""
        stored = getattr(self.instance, f"{side}_account_id")
        return str(self.data.get(f"{side}_account", "") or stored or asked(self.request, f"{side}_account"))

    def fill_books(self, side: SideName, book: Any, account: Account | None, fixed: bool) -> None:
        stored = getattr(self.instance, f"{side}_book")
        if fixed or account is None:
            book.choices = reading.with_current([], stored, "{}")
            return
        read = reading.books(account)
        choices = [(one.id, reading.book_words(one)) for one in read.items]
        own = stored if account.pk == getattr(self.instance, f"{side}_account_id") else ""
        listed = reading.with_current(choices, own, "{}" if read.problem else "{} (not found in the app)")
        book.choices = listed if len(listed) == 1 else [("", "Choose a book"), *listed]
        if len(listed) == 1:
            book.initial = listed[0][0]
        if read.problem:
            book.help_text = f"The books of {account} could not be read: {read.problem}"
            book.error_messages["required"] = book.help_text
        elif choices == []:
            book.help_text = f"{account} has no book. Make one in the app, then load this page again."
        book.error_messages["invalid_choice"] = f"{account} has no such book. Choose one of its books."

    def fill_owners(self, side: SideName, owner: Any, account: Account) -> None:
        stored = str(self.instance.default_for(side, "owner") or "")
        read = reading.owners(account)
        choices = [(one.id, reading.owner_words(one)) for one in read.items if one.active]
        owner.choices = [("", "Nobody chosen"), *reading.with_current(choices, stored)]
        owner.initial = stored
        owner.help_text = f"Who owns the contacts that the sync creates in {reading.app_of(account).label}."
        if read.problem:
            owner.help_text = f"The owners could not be read: {read.problem}"

    def create_defaults(self) -> dict[str, Any]:
        """What is stored, with the owners and the statuses as chosen."""
        found = {side: dict(values) for side, values in self.instance.create_defaults.items()}
        for side, name in ((side, name) for side in SIDES for name in ("owner", "consent")):
            if f"{side}_{name}" in self.cleaned_data:
                chosen = self.cleaned_data[f"{side}_{name}"]
                mine = {one: value for one, value in found.get(side, {}).items() if one != name}
                found[side] = {**mine, name: chosen} if chosen != "" else mine
        return {side: values for side, values in found.items() if values}

    def clean_limits(self) -> Any:
        return {} if self.cleaned_data["limits"] is None else self.cleaned_data["limits"]

    def state(self) -> dict[str, Any]:
        return {**super().state(), "create_defaults": self.instance.create_defaults}


class AccountsForm(forms.Form):
    """The first step: the two accounts, of one client."""

    left_account = forms.ModelChoiceField(Account.objects.none(), label="Left account")
    right_account = forms.ModelChoiceField(Account.objects.none(), label="Right account")

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        clients = scope.clients(request, scope.MANAGER)
        accounts = Account.objects.filter(client__in=clients).select_related("client").order_by("client__name", "label")
        self.several = len(clients) > 1
        for field in self.fields.values():
            field.queryset = accounts  # type: ignore[attr-defined]
            field.label_from_instance = self.words  # type: ignore[attr-defined]

    def words(self, account: Account) -> str:
        name = reading.account_words(account)
        return f"{account.client.name}: {name}" if self.several else name

    def clean(self) -> dict[str, Any]:
        found = self.cleaned_data
        left, right = found.get("left_account"), found.get("right_account")
        if left is not None and right is not None and left.client_id != right.client_id:
            raise forms.ValidationError("These accounts belong to different clients. Choose two of one client.")
        return found
