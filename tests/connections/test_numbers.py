"""A row is named by a number that the database can hold; any other text names none, and breaks nothing."""

import pytest
from django.contrib import admin

from connections.numbers import whole_number
from tests.connections.office import Office

LONG = ("9" * 4500, "9" * 30, "\u0661", "-1", "1 ", "x", "")


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("42", 42), ("9" * 18, int("9" * 18)), (7, 7), (None, None)])
def test_what_is_one(text: object, number: int | None) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", [*LONG, "9" * 19, "1.0", "0x1", "1\n"])
def test_what_is_none(text: str) -> None:
    assert whole_number(text) is None


@pytest.mark.django_db
@pytest.mark.parametrize("text", LONG)
def test_no_page_breaks_at_one(acme: Office, text: str) -> None:
    acme.connection()
    names = ("client", "of", "connection", "connection__id__exact", "left_account", "p", "app", "state", "page")
    for model in admin.site._registry:
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        for what in ("", "add/", f"{text or 'x'}/change/"):
            for name in names:
                more = {"source": "left"} if what == "add/" else {}
                answer = acme.browser.get(f"{base}{what}", {name: text, **more})
                assert answer.status_code in (200, 302, 400, 403, 404), (base, what, name)
