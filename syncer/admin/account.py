"""The page of an account: what is set up (connections/admin/account.py), and how its webhooks stand."""

from dataclasses import replace
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from connections.admin.account import AccountAdmin
from connections.admin.panel import Panel
from connections.models import Account
from syncer.models import Book
from syncer.webhooks import of_account, problems


@admin.register(Account)
class RunningAccountAdmin(AccountAdmin):
    def panel(self, request: HttpRequest, obj: Any) -> Panel:
        panel = super().panel(request, obj)
        said = [*panel.problems, *problems(Book.objects.filter(account=obj))]
        return replace(panel, facts=[*panel.facts, *of_account(obj)], problems=said)
