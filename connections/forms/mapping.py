"""The form of one mapping line: two fields, as the apps name them."""

from typing import Any, ClassVar

from django import forms

from connections.fieldtypes import compatibility
from connections.forms import reading
from connections.forms.base import OptionalJSON, ServiceForm
from connections.models import Connection, FieldMapping
from connections.models.connection import SIDES, Direction, SideName
from connections.services import MAPPING_FIELDS
from syncer.connectors.base import Field

ASKED = ("left_field", "right_field")


class MappingForm(ServiceForm):
    """`connection` is the one it belongs to, set by the admin."""

    connection_it_is_of: ClassVar[Connection]
    connection = forms.ModelChoiceField(Connection.objects.none(), widget=forms.HiddenInput, disabled=True)
    left_field = forms.ChoiceField(label="Left field")
    right_field = forms.ChoiceField(label="Right field")
    value_map = OptionalJSON(
        required=False,
        label="Value map",
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text='Left value to right value, one to one: {"Customer": "client", "Lead": "prospect"}. Empty for none.',
    )
    fallback = OptionalJSON(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "cols": 60}),
        help_text=(
            "What fills a required field that is empty when a contact is created: "
            '{"constant": "Unknown"} or {"field": "name of a field"}. Empty for nothing: the contact is then held.'
        ),
    )

    class Meta:
        model = FieldMapping
        fields: ClassVar = ["connection", *MAPPING_FIELDS]
        labels: ClassVar = {
            "on_conflict": "Where both sides changed",
            "write_mode": "Write",
            "clears": "Emptied fields",
            "accept_lossy": "Accept losses",
        }

    def fill(self) -> None:
        connection = self.connection_it_is_of
        choice: Any = self.fields["connection"]
        choice.queryset = Connection.objects.filter(pk=connection.pk)
        choice.initial = connection
        found = {side: self.fill_side(side) for side in SIDES}
        self.say_directions(found)

    def fill_side(self, side: SideName) -> list[Field]:
        connection = self.connection_it_is_of
        account = connection.account(side)
        read = reading.fields(account, connection.book_id(side))
        choice: Any = self.fields[f"{side}_field"]
        choices = [(field.name, reading.field_words(field)) for field in read.items]
        stored = getattr(self.instance, f"{side}_field")
        words = "{}" if read.problem else "{} (no longer there)"
        choice.choices = [("", "Choose a field"), *reading.with_current(choices, stored, words)]
        choice.label = f"Left: {account}" if side == "left" else f"Right: {account}"
        choice.error_messages["invalid_choice"] = f"{account} has no such field. Choose one of its fields."
        if read.problem:
            choice.help_text = f"The fields of {account} could not be read: {read.problem}"
        return list(read.items)

    def say_directions(self, found: dict[SideName, list[Field]]) -> None:
        """What these two fields allow, and why not more."""
        pair = [
            next((field for field in found[side] if field.name == getattr(self.instance, f"{side}_field")), None)
            for side in SIDES
        ]
        left, right = pair
        if left is None or right is None:
            return
        answer = compatibility(left, right, self.instance.value_map)
        labels = [str(d.label).lower() for d in Direction if d.value in answer.directions]
        reasons = list(dict.fromkeys(answer.reasons.values()))
        said = f"Possible for these fields: {', '.join(labels)}." if labels else "Not possible for these fields."
        self.fields["direction"].help_text = " ".join([said, *(f"{reason}." for reason in reasons)])
