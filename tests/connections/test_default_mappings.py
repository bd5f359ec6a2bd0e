"""What a connection of two apps maps from the start, written down: a line that comes, goes or turns is seen here."""

from pathlib import Path

from connections.fieldtypes import default_lines
from syncer.connectors.base import Field, Role
from syncer.connectors.google_contacts import fields as google
from syncer.connectors.salesmate import fields as salesmate

WRITTEN = Path(__file__).with_name("default_google_salesmate.txt")
ONLY_IN_GOOGLE = {"name.middle", "name.prefix", "name.suffix", "name.nickname", "email.work", "email.home"}
ONLY_IN_GOOGLE |= {"email.other", "organization.department", Role.PHONE_HOME, Role.BIRTHDAY}


def by_role(fields: tuple[Field, ...]) -> dict[str, Field]:
    return {field.role: field for field in fields if field.role}


def test_google_and_salesmate() -> None:
    lines = default_lines(google.STANDARD, salesmate.STANDARD)
    assert [f"{line.left_field} {line.direction} {line.right_field}" for line in lines] == (
        WRITTEN.read_text().splitlines()
    )


def test_google_and_salesmate_the_other_way_round_are_the_same_lines() -> None:
    turned = {"both": "both", "to_left": "to_right", "to_right": "to_left"}
    lines = default_lines(salesmate.STANDARD, google.STANDARD)
    back = [f"{line.right_field} {turned[line.direction]} {line.left_field}" for line in lines]
    assert sorted(back) == sorted(WRITTEN.read_text().splitlines())


def test_what_both_apps_have_is_mapped_and_salesmate_has_no_place_for_the_rest() -> None:
    ours, theirs = by_role(google.STANDARD), by_role(salesmate.STANDARD)
    paired = {line.left_field for line in default_lines(google.STANDARD, salesmate.STANDARD)}
    assert {field.name for role, field in ours.items() if role in theirs} == paired
    missing = {role for role in ours if role not in theirs}
    assert {role for role in missing if not role.startswith("address.")} == ONLY_IN_GOOGLE
    assert {role.rpartition(".")[0] for role in missing - ONLY_IN_GOOGLE} == {"address.home", "address.other"}


def test_what_salesmate_only_shows_goes_to_google_alone() -> None:
    read_only = {field.name for field in salesmate.STANDARD if not field.writable}
    lines = default_lines(google.STANDARD, salesmate.STANDARD)
    assert {line.right_field for line in lines if line.direction == "to_left"} == read_only
