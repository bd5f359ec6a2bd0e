"""A CSV file comes in by the admin's form or by the API, is looked at before it is kept, and never comes out again."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from connections.models import Account, Credential
from tests.api.desk import tool
from tests.connections.office import Office, problems, said, url

pytestmark = pytest.mark.django_db
TEXT = "First Name;E-mail Address;Notes\nZoë;zoe@canary.example;Grüße\n"
SENT = {"app": "csv_file", "label": "Press", "name": "Press list", "full": "", "api_share": "80"}


def upload(acme: Office, data: bytes, account: Account | None = None, **more: Any) -> Any:
    file = SimpleUploadedFile("press.csv", data, "text/csv")
    address = url("account") + "?app=csv_file" if account is None else url("account", account)
    return acme.browser.post(address, {**SENT, "client": acme.acme.pk, "contents": file, **more}, follow=True)


def stored() -> str:
    return Credential.of(Account.objects.get())["contents"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_uploaded_encrypted_and_not_shown(acme: Office, encoding: str) -> None:
    page = upload(acme, TEXT.encode(encoding))
    account = Account.objects.get()
    assert (account.status, account.identity) == ("connected", "Press list"), said(page)
    assert stored() == TEXT
    assert "Connected as Press list, 1 contact." in said(page)
    assert "canary" not in page.content.decode()
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM connections_credential")
        ((kept,),) = cursor.fetchall()
    assert b"canary" not in bytes(kept) and len(bytes(kept)) > len(TEXT)
    form = acme.browser.get(url("account") + "?app=csv_file").content.decode()
    assert 'enctype="multipart/form-data"' in form and 'type="file"' in form


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (TEXT.encode("cp1252"), "Line 2 is not UTF-8. Save the file as UTF-8"),
        (TEXT.encode("utf-16")[:-1], "is not UTF-16"),
        (b"", "The file is empty"),
        (b"a;b\n1;2;3\n", "Line 2 has 3 cells"),
        (b"a\n\0\n", "Line 2 holds a NUL"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_line_and_not_kept(acme: Office, data: bytes, words: str) -> None:
    page = upload(acme, data)
    assert any(words in text for text in problems(page)), problems(page)
    assert not Account.objects.exists()


def test_a_newer_file_takes_the_place_and_none_keeps_it(acme: Office) -> None:
    upload(acme, TEXT.encode())
    account = Account.objects.get()
    upload(acme, TEXT.replace("Zoë", "Zoe").encode(), account)
    assert stored() == TEXT.replace("Zoë", "Zoe")
    upload(acme, b"", account, contents="", label="Press, all")
    account.refresh_from_db()
    assert (account.label, account.status) == ("Press, all", "connected")
    assert stored() == TEXT.replace("Zoë", "Zoe")


def test_the_api_takes_the_text_and_gives_it_to_nobody(acme: Office) -> None:
    caller = tool(acme.acme)
    body = {"app": "csv_file", "label": "Press", "settings": {"name": "Press list"}}
    refused = caller.post("accounts/", {**body, "credentials": {"contents": "a,b\n1\n"}})
    assert refused.status_code == 400 and b"Line 2 has 1 cells" in refused.content
    long = TEXT + "\n".join(f"N{number};n{number}@canary.example;" for number in range(10_000))
    made = caller.post("accounts/", {**body, "credentials": {"contents": long}})
    assert made.status_code == 201, made.content
    assert stored() == long
    shown = caller.get(f"accounts/{made.json()['code']}/")
    assert b"canary" not in made.content + shown.content
