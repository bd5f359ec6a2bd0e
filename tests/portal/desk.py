"""People at the log-in page, and what the history says of them."""

import json
from typing import Any

from django.contrib.auth.models import User
from django.test import Client as Browser
from django_otp.oath import TOTP

from portal.login import two_factor
from portal.models import STEP_SECONDS, Authenticator
from syncer.models import SyncLog

PASSWORD = "a-long-pass-phrase"
LOGIN, TWO_FACTOR = "/admin/login/", "/admin/two-factor/"


def person(name: str, **rights: Any) -> User:
    return User.objects.create_user(name, f"{name}@example.com", PASSWORD, is_staff=True, **rights)


def administrator(name: str = "anna") -> User:
    return person(name, is_superuser=True)


def log_in(name: str, password: str = PASSWORD, code: str = "", browser: Browser | None = None, **extra: Any) -> Any:
    """The answer to the form of the log-in page."""
    sent = {"username": name, "password": password, "code": code, "next": "/admin/"}
    return (browser or Browser()).post(LOGIN, sent, **extra)


def is_in(browser: Browser) -> bool:
    return bool(browser.get("/admin/").status_code == 200)


def shown_at(device: Authenticator, at: float) -> str:
    """What the app on the phone shows at that moment."""
    return code_of(device.key, at)


def code_of(key: bytes, at: float) -> str:
    totp = TOTP(key, STEP_SECONDS)
    totp.time = at
    return f"{totp.token():06}"


class At:
    """A clock that stands."""

    def __init__(self, moment: Any) -> None:
        self.moment = moment

    def now(self) -> Any:
        return self.moment

    def monotonic(self) -> float:
        return float(self.moment.timestamp())


def with_phone(user: User, moment: Any) -> tuple[Authenticator, list[str]]:
    """They turn two-factor log-in on at that moment."""
    begun = two_factor.begin(user, At(moment))
    return two_factor.confirm(user, shown_at(begun, moment.timestamp()), At(moment))


def entries(*families: str) -> list[tuple[str, str]]:
    """(kind, actor) of the portal's chain, oldest first."""
    rows = SyncLog.objects.filter(chain__name="portal").order_by("seq").values_list("kind", "actor")
    return [row for row in rows if not families or row[0].partition(".")[0] in families]


def last(kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of the newest entry of a kind."""
    found = SyncLog.objects.filter(kind=kind).order_by("-seq").first()
    assert found is not None, kind
    return json.loads(found.header), json.loads(found.payload or "{}")
